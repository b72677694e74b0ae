// CreatePlatform() for Linux: pthreads, mmap, the monotonic clock.
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>

#include <memory>
#include <string>

#include "engine/core/context.h"
#include "targets/cpu/platform/mapped_file.h"
#include "targets/cpu/platform/thread_pool.h"
#include "targets/cpu/platform/topology.h"

namespace mote {
namespace {

// How long Sync and the end of Run look before they sleep. Putting a worker to sleep and waking it again costs 30 to
// 60 us (futex round trip, KVM guest on Zen 5, 2 CPUs, 2026): looking for about as long costs at most twice the best
// choice, whichever that was. Barriers in a row took 0.2 us with 50, 3 us and more with 0 to 20. With seven other
// programs on the two CPUs, steps of 100 barriers 50 us apart took 1.04x the time of not looking with 50, 2x with 200,
// 6x with 1000.
constexpr int64_t kSpinNanoseconds = 50000;

class NativeMonitor final : public Monitor {
 public:
  NativeMonitor() = default;
  ~NativeMonitor() override {
    pthread_cond_destroy(&condition_);
    pthread_mutex_destroy(&mutex_);
  }
  NativeMonitor(const NativeMonitor&) = delete;
  NativeMonitor& operator=(const NativeMonitor&) = delete;
  void Lock() override { pthread_mutex_lock(&mutex_); }
  void Unlock() override { pthread_mutex_unlock(&mutex_); }
  void Wait() override { pthread_cond_wait(&condition_, &mutex_); }
  void NotifyAll() override { pthread_cond_broadcast(&condition_); }

 private:
  // Unlike std::mutex these cannot throw, and their static initialisers cannot fail.
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t condition_ = PTHREAD_COND_INITIALIZER;
};

class NativeClock final : public Clock {
 public:
  double Seconds() const override {
    timespec now = {};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  }
  int64_t UnixSeconds() const override { return time(nullptr); }
};

class NativeFileSystem final : public FileSystem {
 public:
  Result<std::unique_ptr<ByteSource>> Open(const std::string& path) override { return native::OpenMappedFile(path); }
};

class NativePlatform final : public Platform {
 public:
  const char* name() const override { return "native"; }
  FileSystem& files() override { return files_; }
  const Clock& clock() const override { return clock_; }
  std::unique_ptr<Monitor> CreateMonitor() override { return std::make_unique<NativeMonitor>(); }
  void PreferLargePages(void* memory, uint64_t bytes) override {
    constexpr uintptr_t kLargePage = uintptr_t{2} << 20;
    const uintptr_t begin = (reinterpret_cast<uintptr_t>(memory) + kLargePage - 1) & ~(kLargePage - 1);
    const uintptr_t end = (reinterpret_cast<uintptr_t>(memory) + bytes) & ~(kLargePage - 1);
    if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
  }
  Result<std::unique_ptr<ThreadPool>> CreateThreadPool(int workers) override {
    const native::Topology topology = native::DetectTopology();
    if (workers <= 0) workers = topology.DefaultWorkers();
    double cpus = static_cast<double>(topology.cpus.size());
    if (topology.cpu_quota > 0 && topology.cpu_quota < cpus) cpus = topology.cpu_quota;
    return native::NativeThreadPool::Create(workers, workers <= cpus ? kSpinNanoseconds : 0);
  }

 private:
  NativeFileSystem files_;
  NativeClock clock_;
};

}  // namespace

std::unique_ptr<Platform> CreatePlatform() {
  return std::make_unique<NativePlatform>();
}

}  // namespace mote
