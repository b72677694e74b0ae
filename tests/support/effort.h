// How much of a long test to do where everything takes ten times as long: under sanitizers and under an emulator, which
// are asked whether the code is right there, not again whether it is right for every size.
#ifndef MOTE_TESTS_SUPPORT_EFFORT_H_
#define MOTE_TESTS_SUPPORT_EFFORT_H_

namespace mote {

#if defined(MOTE_SLOW_TESTS)  // tests/CMakeLists.txt
inline constexpr bool kSlowTests = true;
#else
inline constexpr bool kSlowTests = false;
#endif

// `full` natively, `reduced` in slow builds. The reduced test must still be able to fail.
template <class T>
constexpr T Effort(T full, T reduced) {
  return kSlowTests ? reduced : full;
}

}  // namespace mote

#endif  // MOTE_TESTS_SUPPORT_EFFORT_H_
