// Sleeping on a 32-bit word, futex(2). std::atomic::wait is not used: it spins, for as long as the C++ library likes.
#ifndef MOTE_TARGETS_CPU_PLATFORM_FUTEX_H_
#define MOTE_TARGETS_CPU_PLATFORM_FUTEX_H_

#include <linux/futex.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>

namespace mote::native {

static_assert(sizeof(std::atomic<uint32_t>) == 4 && std::atomic<uint32_t>::is_always_lock_free,
              "the kernel reads the word itself");

// Sleeps while the word is `seen`; may return without reason.
inline void FutexWait(std::atomic<uint32_t>& word, uint32_t seen) {
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, seen, nullptr, nullptr, 0);
}

inline void FutexWake(std::atomic<uint32_t>& word, int threads) {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, threads, nullptr, nullptr, 0);
}

}  // namespace mote::native

#endif  // MOTE_TARGETS_CPU_PLATFORM_FUTEX_H_
