// What the engine needs from the world around it: threads, files, a clock, a place for log lines.
//
// The engine uses no std::thread, mutex, file or clock of its own (the wasm C++ library has none). A platform folder
// (targets/cpu, targets/wasm) implements these interfaces; a Context carries them. There are no globals: everything a
// call needs is passed in, so two engines can live in one process.
#ifndef MOTE_ENGINE_CORE_CONTEXT_H_
#define MOTE_ENGINE_CORE_CONTEXT_H_

#include <stddef.h>
#include <stdint.h>

#include <memory>
#include <span>
#include <string>

#include "engine/core/status.h"

namespace mote {

// A fixed team of workers that sleep when idle.
//
// Run() and Sync() belong together: all workers execute `body`, and may meet at Sync() as often as they like, all of
// them the same number of times. Run() returns when every worker has returned. One Run at a time; the caller is worker
// 0. RunSome() is the same with workers 0 to `workers` - 1 alone, in [1, num_workers()]; the others sleep on.
class ThreadPool {
 public:
  virtual ~ThreadPool() = default;
  virtual int num_workers() const = 0;  // >= 1; 0 in a process forked from theirs, where no Run() would ever return
  void Run(void (*body)(void* argument, int worker), void* argument) { RunSome(num_workers(), body, argument); }
  virtual void RunSome(int workers, void (*body)(void* argument, int worker), void* argument) = 0;
  // A barrier among the workers of the current Run; memory written before it is visible after it to all of them.
  // Spins for a bounded time, then sleeps.
  virtual void Sync() = 0;
};

// A mutex with one condition variable.
class Monitor {
 public:
  virtual ~Monitor() = default;
  virtual void Lock() = 0;
  virtual void Unlock() = 0;
  virtual void Wait() = 0;  // only while locked; may wake without reason
  virtual void NotifyAll() = 0;
};

class MonitorLock {
 public:
  explicit MonitorLock(Monitor& monitor) : monitor_(monitor) { monitor_.Lock(); }
  ~MonitorLock() { monitor_.Unlock(); }
  MonitorLock(const MonitorLock&) = delete;
  MonitorLock& operator=(const MonitorLock&) = delete;

 private:
  Monitor& monitor_;
};

// The bytes of one file or one block of memory. Readers of formats see nothing else.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual uint64_t size() const = 0;
  virtual const std::string& name() const = 0;  // for messages: a path, or "memory"
  // Bytes [offset, offset + bytes), valid and unchanged while the source lives. Callable from any thread.
  // Native: a view of the map. kIo where the file has become shorter since it was opened.
  virtual Result<std::span<const uint8_t>> View(uint64_t offset, uint64_t bytes) = 0;
  // Tells the system that these pages will not be read again soon (after packing). Never fails; may do nothing.
  virtual void Release(uint64_t offset, uint64_t bytes) = 0;
  // True if views are pages of a file that the system reads, drops and reads again as it sees fit, and that change or
  // vanish with the file: what is read often is better copied.
  virtual bool mapped() const { return false; }
  // The same bytes as View, to be overwritten by the one who asks: what is viewed there afterwards is his. Empty where
  // the source keeps what it has, as most do.
  virtual std::span<uint8_t> GiveUp(uint64_t offset, uint64_t bytes) { return {}; }
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual Result<std::unique_ptr<ByteSource>> Open(const std::string& path) = 0;
};

class Clock {
 public:
  virtual ~Clock() = default;
  virtual double Seconds() const = 0;       // monotonic, arbitrary zero
  virtual int64_t UnixSeconds() const = 0;  // wall clock, for strftime_now in chat templates
};

enum class LogLevel : int32_t { kDebug = 0, kInfo = 1, kWarning = 2, kError = 3 };

struct LogSink {
  void (*write)(void* user, LogLevel level, const char* line) = nullptr;  // may be called from any thread
  void* user = nullptr;
};

// One per process, or more: immutable after creation and shared by everything that runs. `write` may be null (no logs).
class Platform {
 public:
  virtual ~Platform() = default;
  virtual const char* name() const = 0;  // "native", "wasm"
  virtual FileSystem& files() = 0;
  virtual const Clock& clock() const = 0;
  virtual std::unique_ptr<Monitor> CreateMonitor() = 0;
  // `workers` <= 0: one per physical core that this process may use. At most 1024.
  virtual Result<std::unique_ptr<ThreadPool>> CreateThreadPool(int workers) = 0;
  // Says that this memory, not touched yet, will be streamed again and again: large pages would pay. May do nothing.
  virtual void PreferLargePages(void* memory, uint64_t bytes) = 0;
};

// Implemented by the platform folder that the library is linked with. Stateless: each call makes a new one.
std::unique_ptr<Platform> CreatePlatform();

struct Context {
  Platform* platform = nullptr;
  ThreadPool* pool = nullptr;
  LogSink log;
};

[[gnu::format(printf, 3, 4)]] void Log(const Context& context, LogLevel level, const char* format, ...);

}  // namespace mote

#endif  // MOTE_ENGINE_CORE_CONTEXT_H_
