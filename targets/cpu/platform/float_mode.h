// One floating-point mode for all workers, whatever the host program has set.
#ifndef MOTE_TARGETS_CPU_PLATFORM_FLOAT_MODE_H_
#define MOTE_TARGETS_CPU_PLATFORM_FLOAT_MODE_H_

#include <stdint.h>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace mote::native {

// While it lives, this thread rounds to nearest, keeps subnormals and traps nothing. Libraries built with -ffast-math
// switch subnormals off in the thread that loads them, and workers inherit the mode of the thread that created them:
// without this, a row's result would depend on who computed it.
class DefaultFloatMode {
 public:
#if defined(__SSE2__)
  DefaultFloatMode() : saved_(_mm_getcsr()) {
    _mm_setcsr(0x1F80);
  }  // the value after reset: all exceptions masked
  ~DefaultFloatMode() {
    _mm_setcsr(static_cast<uint32_t>(saved_));
  }
#elif defined(__aarch64__)
  DefaultFloatMode() {
    asm volatile("mrs %0, fpcr" : "=r"(saved_));
    asm volatile("msr fpcr, %0" : : "r"(uint64_t{0}));
  }
  ~DefaultFloatMode() {
    asm volatile("msr fpcr, %0" : : "r"(saved_));
  }
#endif
  DefaultFloatMode(const DefaultFloatMode&) = delete;
  DefaultFloatMode& operator=(const DefaultFloatMode&) = delete;

 private:
  [[maybe_unused]] uint64_t saved_ = 0;
};

}  // namespace mote::native

#endif  // MOTE_TARGETS_CPU_PLATFORM_FLOAT_MODE_H_
