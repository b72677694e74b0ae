#include "targets/cpu/platform/thread_pool.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <new>

#include "targets/cpu/platform/errno_text.h"
#include "targets/cpu/platform/float_mode.h"
#include "targets/cpu/platform/futex.h"

namespace mote::native {
namespace {

// Workers are woken as a tree of this width: the caller wakes 1..8, worker 1 wakes 9..16, and so on. Waking one thread
// costs its waker 2 to 9 us (measured, KVM guest on Zen 5, 2026), and the woken one 5 to 30 us to run: eight in a row
// cost about as much as one more level of the tree.
constexpr int kWakeWidth = 8;

// Kernels keep tiles and row blocks on the stack, of kilobytes. Pages are only taken when touched, but address space is
// not free under `ulimit -v`, nor the system's default (8 MiB, or without bound) kind to 1024 workers.
constexpr size_t kStackBytes = size_t{2} << 20;

// After the time of looking with pauses, a worker looks for this many times as long while giving its CPU away.
constexpr int64_t kYieldFactor = 40;

inline void Pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb");  // about as long as x86's pause; `yield` does nothing on most cores
#endif
}

int64_t Nanoseconds() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
}

// Blocks all signals of this thread for a while: threads started meanwhile inherit that, so the host's handlers keep
// running on the host's threads.
class BlockSignals {
 public:
  BlockSignals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &saved_);
  }
  ~BlockSignals() { pthread_sigmask(SIG_SETMASK, &saved_, nullptr); }
  BlockSignals(const BlockSignals&) = delete;
  BlockSignals& operator=(const BlockSignals&) = delete;

 private:
  sigset_t saved_;
};

}  // namespace

Result<std::unique_ptr<ThreadPool>> NativeThreadPool::Create(int workers, int64_t spin_nanoseconds) {
  if (workers < 1 || workers > kMaxWorkers) {
    return Error(Code::kInvalidArgument, "thread pool: %d workers; 1 to %d are possible", workers, kMaxWorkers);
  }
  std::unique_ptr<NativeThreadPool> pool(new (std::nothrow) NativeThreadPool(workers, spin_nanoseconds));
  if (pool != nullptr) pool->workers_.reset(new (std::nothrow) Worker[static_cast<size_t>(workers)]);
  if (pool == nullptr || pool->workers_ == nullptr) {
    return Error(Code::kOutOfMemory, "thread pool: no memory for %d workers", workers);
  }
  MOTE_RETURN_IF_ERROR(pool->StartThreads());
  return std::unique_ptr<ThreadPool>(std::move(pool));
}

Status NativeThreadPool::StartThreads() {
  pthread_attr_t attributes;
  int error = pthread_attr_init(&attributes);
  if (error != 0) return Error(Code::kOutOfMemory, "thread pool: %s", ErrnoText(error).c_str());
  error = pthread_attr_setstacksize(&attributes, kStackBytes);
  process_ = getpid();
  BlockSignals block;
  for (int i = 1; i < num_workers_ && error == 0; ++i) {
    Worker& worker = workers_[static_cast<size_t>(i)];
    worker.pool = this;
    worker.index = i;
    error = pthread_create(&worker.thread, &attributes, ThreadMain, &worker);
    if (error == 0) ++num_threads_;
  }
  pthread_attr_destroy(&attributes);
  if (error == 0) return Status();
  // The destructor ends those that did start.
  return Error(Code::kOutOfMemory, "thread pool: the system started %d of %d threads: %s; fewer threads may work",
               num_threads_, num_workers_ - 1, ErrnoText(error).c_str());
}

// One system call, 0.1 us; a step asks a few times.
bool NativeThreadPool::ForkedAway() const {
  return num_threads_ > 0 && getpid() != process_;
}

NativeThreadPool::~NativeThreadPool() {
  if (ForkedAway()) return;  // nobody to join
  stop_ = true;
  ++epoch_;
  // Not by the tree: where creation failed, some of its nodes have no thread.
  for (int i = 1; i <= num_threads_; ++i) {
    Worker& worker = workers_[static_cast<size_t>(i)];
    worker.epoch.store(epoch_, std::memory_order_release);
    FutexWake(worker.epoch, 1);
  }
  for (int i = 1; i <= num_threads_; ++i) pthread_join(workers_[static_cast<size_t>(i)].thread, nullptr);
}

void NativeThreadPool::WakeChildren(int worker, uint32_t epoch) {
  const int first = worker * kWakeWidth + 1;
  const int end = std::min(first + kWakeWidth, running_);
  for (int i = first; i < end; ++i) {
    workers_[static_cast<size_t>(i)].epoch.store(epoch, std::memory_order_release);
    FutexWake(workers_[static_cast<size_t>(i)].epoch, 1);
  }
}

void* NativeThreadPool::ThreadMain(void* argument) {
  Worker& worker = *static_cast<Worker*>(argument);
  NativeThreadPool& pool = *worker.pool;
  pthread_setname_np(pthread_self(), "mote-worker");
  DefaultFloatMode float_mode;
  uint32_t seen = 0;
  while (true) {
    // No spinning here: an idle pool costs nothing.
    uint32_t epoch = worker.epoch.load(std::memory_order_acquire);
    if (epoch == seen) {
      FutexWait(worker.epoch, seen);
      continue;
    }
    seen = epoch;
    if (pool.stop_) return nullptr;
    pool.LeaveCallersCpu();
    pool.WakeChildren(worker.index, epoch);
    pool.body_(pool.argument_, worker.index);
    if (pool.unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) FutexWake(pool.unfinished_, 1);
  }
}

// Called by a worker that has been woken. Where CPUs share no cache that the kernel knows of, as in many virtual
// machines, it puts the woken on the CPU of the one who woke it, though others are idle, and leaves both there for
// milliseconds: each barrier then takes a whole spin. (Two CPUs of a Firecracker machine, Linux 6.18, 2026-11: 790 of
// 800 wakes; steps of a small model took 2.4 ms instead of 0.35.) So the worker leaves, and stays away for as long as
// the caller is there: with its own old CPU allowed again, the next wake would bring it back. What the caller may use
// bounds it as well.
void NativeThreadPool::LeaveCallersCpu() const {
  if (caller_ == 0 || caller_cpu_ < 0 || sched_getcpu() != caller_cpu_) return;
  cpu_set_t cpus;
  if (sched_getaffinity(caller_, sizeof(cpus), &cpus) != 0) return;  // more CPUs than fit
  CPU_CLR(static_cast<size_t>(caller_cpu_), &cpus);
  if (CPU_COUNT(&cpus) > 0) sched_setaffinity(0, sizeof(cpus), &cpus);
}

// True once `word` differs from `value`; false if it has not for the pool's bounds.
//
// First with pauses, then giving the CPU to whoever else can run: on a busy machine that may be the very worker that we
// wait for. Sleeping at once instead makes it wake us, arrive late at the next barrier, and find us late in turn. A
// model of 260 thousand parameters decoded at 311 tokens/s with two workers beside two compilers on two CPUs when
// workers slept after 50 us, at 509 when they yielded first; alone on the machine at 14 to 16 thousand either way (Zen
// 5, KVM guest, 2026-11).
bool NativeThreadPool::SpinWhile(const std::atomic<uint32_t>& word, uint32_t value) const {
  if (word.load(std::memory_order_acquire) != value) return true;
  if (spin_nanoseconds_ <= 0) return false;
  // The clock is read once in 16 looks: a pause lasts 10 to 50 ns depending on the CPU, the clock 25 ns.
  const int64_t begin = Nanoseconds();
  int64_t waited = 0;
  while (waited < spin_nanoseconds_ * kYieldFactor) {
    if (waited < spin_nanoseconds_) {
      for (int look = 0; look < 16; ++look) {
        Pause();
        if (word.load(std::memory_order_acquire) != value) return true;
      }
    } else {
      sched_yield();
      if (word.load(std::memory_order_acquire) != value) return true;
    }
    waited = Nanoseconds() - begin;
  }
  return false;
}

void NativeThreadPool::RunSome(int workers, void (*body)(void* argument, int worker), void* argument) {
  DefaultFloatMode float_mode;
  running_ = workers;
  if (workers == 1) {
    body(argument, 0);
    return;
  }
  if (spin_nanoseconds_ > 0) {
    caller_ = gettid();
    caller_cpu_ = sched_getcpu();
  }
  body_ = body;
  argument_ = argument;
  unfinished_.store(static_cast<uint32_t>(workers - 1), std::memory_order_relaxed);
  ++epoch_;
  WakeChildren(0, epoch_);
  body(argument, 0);
  while (true) {
    const uint32_t left = unfinished_.load(std::memory_order_acquire);
    if (left == 0) return;
    // Only the last worker wakes us, so a sleep on an older count still ends.
    if (!SpinWhile(unfinished_, left)) FutexWait(unfinished_, left);
  }
}

void NativeThreadPool::Sync() {
  if (running_ == 1) return;
  // Cannot change before this worker has arrived.
  const uint32_t generation = generation_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == static_cast<uint32_t>(running_)) {
    arrived_.store(0, std::memory_order_relaxed);  // before the release below: nobody arrives again until then
    generation_.store(generation + 1, std::memory_order_seq_cst);
    // A worker counts itself before the kernel compares the generation for it; we publish the generation before we look
    // at the count. One of the two sees the other, so no wake-up is lost.
    if (sleepers_.load(std::memory_order_seq_cst) != 0) FutexWake(generation_, INT_MAX);
    return;
  }
  if (SpinWhile(generation_, generation)) return;
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  while (generation_.load(std::memory_order_seq_cst) == generation) FutexWait(generation_, generation);
  sleepers_.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace mote::native
