// Sleeping on a 32-bit word of shared memory. Traps where the memory is not shared, and on a page's main thread:
// callers come here only when there is another thread to wait for.
#ifndef MOTE_TARGETS_WASM_WAIT_H_
#define MOTE_TARGETS_WASM_WAIT_H_

#include <stdint.h>

#include <atomic>

namespace mote::wasm {

static_assert(sizeof(std::atomic<uint32_t>) == 4 && std::atomic<uint32_t>::is_always_lock_free,
              "the instruction reads the word itself");

inline constexpr uint32_t kAllSleepers = UINT32_MAX;

// Sleeps while the word is `seen`; may return without reason.
inline void WaitOn(std::atomic<uint32_t>& word, uint32_t seen) {
  __builtin_wasm_memory_atomic_wait32(reinterpret_cast<int*>(&word), static_cast<int>(seen), -1);
}

inline void WakeSleepers(std::atomic<uint32_t>& word, uint32_t count) {
  __builtin_wasm_memory_atomic_notify(reinterpret_cast<int*>(&word), count);
}

// Looks at the word until it differs from `value`, `looks` times; whether it does. There is no pause instruction and no
// way to give the CPU away: callers keep the number small.
inline bool SpinWhile(const std::atomic<uint32_t>& word, uint32_t value, uint32_t looks) {
  for (uint32_t look = 0; look <= looks; ++look) {
    if (word.load(std::memory_order_acquire) != value) return true;
  }
  return false;
}

// A lock of one word. Without other threads it is never contended, so nothing sleeps where nothing may.
class WordLock {
 public:
  void Lock() {
    uint32_t free = 0;
    if (word_.compare_exchange_strong(free, 1, std::memory_order_acquire)) return;
    while (word_.exchange(2, std::memory_order_acquire) != 0) WaitOn(word_, 2);
  }
  void Unlock() {
    if (word_.exchange(0, std::memory_order_release) == 2) WakeSleepers(word_, 1);
  }

 private:
  std::atomic<uint32_t> word_{0};  // 0 free, 1 held, 2 held and somebody sleeps
};

}  // namespace mote::wasm

#endif  // MOTE_TARGETS_WASM_WAIT_H_
