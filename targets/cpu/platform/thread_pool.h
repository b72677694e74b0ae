// The team of workers of native targets.
#ifndef MOTE_TARGETS_CPU_PLATFORM_THREAD_POOL_H_
#define MOTE_TARGETS_CPU_PLATFORM_THREAD_POOL_H_

#include <pthread.h>
#include <stdint.h>

#include <atomic>
#include <memory>

#include "engine/core/context.h"
#include "engine/core/status.h"

namespace mote::native {

inline constexpr int kMaxWorkers = 1024;

class NativeThreadPool final : public ThreadPool {
 public:
  // `workers` in [1, kMaxWorkers], the caller of Run included. `spin_nanoseconds`: how long Sync and the end of Run
  // look before they sleep; 0 where there are more workers than CPUs, since then the one waited for needs the waiter's
  // CPU.
  static Result<std::unique_ptr<ThreadPool>> Create(int workers, int64_t spin_nanoseconds);
  ~NativeThreadPool() override;
  NativeThreadPool(const NativeThreadPool&) = delete;
  NativeThreadPool& operator=(const NativeThreadPool&) = delete;

  int num_workers() const override { return ForkedAway() ? 0 : num_workers_; }
  void RunSome(int workers, void (*body)(void* argument, int worker), void* argument) override;
  void Sync() override;

 private:
  // A cache line each: a worker sleeps on its own word, so that one can be woken without the others.
  struct alignas(64) Worker {
    std::atomic<uint32_t> epoch{0};  // number of the Run to execute
    NativeThreadPool* pool = nullptr;
    int index = 0;
    pthread_t thread{};
  };

  NativeThreadPool(int workers, int64_t spin_nanoseconds)
      : num_workers_(workers), spin_nanoseconds_(spin_nanoseconds) {}
  Status StartThreads();
  static void* ThreadMain(void* worker);
  void WakeChildren(int worker, uint32_t epoch);
  void LeaveCallersCpu() const;
  bool ForkedAway() const;
  bool SpinWhile(const std::atomic<uint32_t>& word, uint32_t value) const;

  const int num_workers_;
  const int64_t spin_nanoseconds_;
  int num_threads_ = 0;  // started so far; num_workers_ - 1 once created
  pid_t process_ = 0;    // that has them: fork() leaves a child without
  std::unique_ptr<Worker[]> workers_;

  // Written by the caller of Run before it publishes the epoch, read by the workers after.
  void (*body_)(void* argument, int worker) = nullptr;
  void* argument_ = nullptr;
  int running_ = 1;      // workers of this Run
  int caller_cpu_ = -1;  // where its caller was
  pid_t caller_ = 0;     // its thread id; 0 where nobody needs to know
  bool stop_ = false;
  uint32_t epoch_ = 0;

  alignas(64) std::atomic<uint32_t> unfinished_{0};  // workers of this Run that have not returned, the caller aside
  alignas(64) std::atomic<uint32_t> arrived_{0};     // at the barrier
  alignas(64) std::atomic<uint32_t> generation_{0};  // barriers passed
  std::atomic<uint32_t> sleepers_{0};                // workers that sleep, or are about to, on generation_
};

}  // namespace mote::native

#endif  // MOTE_TARGETS_CPU_PLATFORM_THREAD_POOL_H_
