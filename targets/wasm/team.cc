#include "targets/wasm/team.h"

#include <stdlib.h>

#include <algorithm>
#include <atomic>

#include "targets/wasm/wait.h"

namespace mote::wasm {
namespace {

// Kernels keep tiles and row blocks on the stack, of kilobytes; tests a little more.
constexpr size_t kStackBytes = size_t{256} << 10;

// A look costs 1 to 2 ns (V8 on Zen 3): about 50 us, as native pools pause for. Barriers of a step are that far apart.
constexpr uint32_t kLooks = 30000;

// A cache line each: a helper sleeps on its own word, so that one can be woken without the others.
struct alignas(64) Helper {
  std::atomic<uint32_t> epoch{0};  // number of the Run to execute
  uint8_t* block = nullptr;        // its stack, and above it its variables
};

// The one thing in mote that belongs to the process: threads do, too.
struct Team {
  Helper helpers[kMaxWorkers];  // 0 stays empty: the caller
  int reserved = 1;
  int size = 1;
  uint32_t looks = 0;
  uint32_t epoch = 0;

  // Written by the caller of Run before it publishes the epoch, read by the helpers after.
  void (*body)(void* argument, int worker) = nullptr;
  void* argument = nullptr;
  bool running = false;
  alignas(64) std::atomic<uint32_t> unfinished{0};  // helpers of this Run that have not returned
};
constinit Team team;

class TeamPool final : public ThreadPool {
 public:
  explicit TeamPool(int workers) : num_workers_(workers) {}
  int num_workers() const override { return num_workers_; }

  void RunSome(int workers, void (*body)(void* argument, int worker), void* argument) override {
    running_ = workers;
    if (workers == 1) {
      body(argument, 0);
      return;
    }
    if (team.running) __builtin_trap();  // a Run within a Run would wait for helpers that wait for it
    team.running = true;
    team.body = body;
    team.argument = argument;
    team.unfinished.store(static_cast<uint32_t>(workers - 1), std::memory_order_relaxed);
    ++team.epoch;
    for (int i = 1; i < workers; ++i) {
      team.helpers[i].epoch.store(team.epoch, std::memory_order_release);
      WakeSleepers(team.helpers[i].epoch, 1);
    }
    body(argument, 0);
    while (true) {
      const uint32_t left = team.unfinished.load(std::memory_order_acquire);
      if (left == 0) break;
      // Only the last helper wakes us, so a sleep on an older count still ends.
      if (!SpinWhile(team.unfinished, left, team.looks)) WaitOn(team.unfinished, left);
    }
    team.running = false;
  }

  void Sync() override {
    if (running_ == 1) return;
    // Cannot change before this worker has arrived.
    const uint32_t generation = generation_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == static_cast<uint32_t>(running_)) {
      arrived_.store(0, std::memory_order_relaxed);  // before the release below: nobody arrives again until then
      generation_.store(generation + 1, std::memory_order_seq_cst);
      // A worker counts itself before the word is compared for it; we publish the word before we look at the count. One
      // of the two sees the other, so no wake-up is lost.
      if (sleepers_.load(std::memory_order_seq_cst) != 0) WakeSleepers(generation_, kAllSleepers);
      return;
    }
    if (SpinWhile(generation_, generation, team.looks)) return;
    sleepers_.fetch_add(1, std::memory_order_seq_cst);
    while (generation_.load(std::memory_order_seq_cst) == generation) WaitOn(generation_, generation);
    sleepers_.fetch_sub(1, std::memory_order_relaxed);
  }

 private:
  const int num_workers_;
  int running_ = 1;                                  // workers of this Run
  alignas(64) std::atomic<uint32_t> arrived_{0};     // at the barrier
  alignas(64) std::atomic<uint32_t> generation_{0};  // barriers passed
  std::atomic<uint32_t> sleepers_{0};                // workers that sleep, or are about to, on generation_
};

// Without helpers there is nobody who could hold the lock or wake a sleeper: nothing here may sleep then. Wait may
// return without reason, so returning is right.
class TeamMonitor final : public Monitor {
 public:
  void Lock() override { lock_.Lock(); }
  void Unlock() override { lock_.Unlock(); }
  void Wait() override {
    const uint32_t seen = changes_.load(std::memory_order_relaxed);
    Unlock();
    if (team.size > 1) WaitOn(changes_, seen);
    Lock();
  }
  void NotifyAll() override {
    changes_.fetch_add(1, std::memory_order_release);
    if (team.size > 1) WakeSleepers(changes_, kAllSleepers);
  }

 private:
  WordLock lock_;
  std::atomic<uint32_t> changes_{0};
};

}  // namespace

int TeamSize() {
  return team.size;
}

std::unique_ptr<ThreadPool> CreatePool(int workers) {
  return std::make_unique<TeamPool>(std::clamp(workers, 1, team.size));
}

std::unique_ptr<Monitor> CreateTeamMonitor() {
  return std::make_unique<TeamMonitor>();
}

// ---- What the one who runs the module calls, in this order; README.md.

#define MOTE_EXPORT(name) extern "C" __attribute__((export_name(#name)))

// Makes room for helpers 1 .. count; returns for how many there is.
MOTE_EXPORT(mote_threads_reserve) int ReserveHelpers(int count) {
  const size_t bytes = kStackBytes + (__builtin_wasm_tls_size() + 63) / 64 * 64;
  while (team.reserved <= count && team.reserved < kMaxWorkers) {
    void* block = aligned_alloc(64, bytes);
    if (block == nullptr) break;
    team.helpers[team.reserved++].block = static_cast<uint8_t*>(block);
  }
  return team.reserved - 1;
}

// Where a helper's stack begins (it grows down), and where its variables lie: for __stack_pointer and __wasm_init_tls
// of its instance.
MOTE_EXPORT(mote_thread_stack) uint8_t* HelperStack(int index) {
  return team.helpers[index].block + kStackBytes;
}
MOTE_EXPORT(mote_thread_variables) uint8_t* HelperVariables(int index) {
  return team.helpers[index].block + kStackBytes;
}

// From here on pools have up to count + 1 workers. All of these helpers must have their instance. `spin`: 0 where there
// are more workers than CPUs, since then the one waited for needs the waiter's CPU.
MOTE_EXPORT(mote_threads_start) void StartHelpers(int count, int spin) {
  team.size = std::clamp(count, 0, team.reserved - 1) + 1;
  team.looks = spin != 0 ? kLooks : 0;
}

// What a helper runs, for as long as it lives.
MOTE_EXPORT(mote_thread_main) void RunHelper(int index) {
  Helper& helper = team.helpers[index];
  uint32_t seen = 0;
  while (true) {
    // No spinning here: an idle pool costs nothing.
    const uint32_t epoch = helper.epoch.load(std::memory_order_acquire);
    if (epoch == seen) {
      WaitOn(helper.epoch, seen);
      continue;
    }
    seen = epoch;
    team.body(team.argument, index);
    if (team.unfinished.fetch_sub(1, std::memory_order_acq_rel) == 1) WakeSleepers(team.unfinished, 1);
  }
}

}  // namespace mote::wasm
