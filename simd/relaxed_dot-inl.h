// What an engine makes of the eighth bit of the relaxed dot product's second operand (WebAssembly).
//
// For 7 bits all engines do the same. Beyond them it is an engine's own matter, but always the same one, so that it can
// be asked: V8 takes 0..255 with AVX-VNNI and saturates sums of pairs on older x86 processors; on Arm codes are signed.
#if defined(MOTE_SIMD_RELAXED_DOT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MOTE_SIMD_RELAXED_DOT_INL_H_
#undef MOTE_SIMD_RELAXED_DOT_INL_H_
#else
#define MOTE_SIMD_RELAXED_DOT_INL_H_
#endif

#include "simd/primitives-inl.h"

#if MOTE_VECTORS && HWY_ARCH_WASM && defined(__wasm_relaxed_simd__)
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {

enum class RelaxedDot {
  kUnsigned,  // 0..255
  kSigned,    // -128..127
  kSevenBits,
};

// Whether four times act * code in every lane is `sum`; the compiler does not know the result.
inline bool RelaxedDotGives(int act, int code, int32_t sum) {
  asm volatile("" : "+r"(act), "+r"(code));
  const v128_t acts = wasm_i8x16_splat(static_cast<int8_t>(act)), codes = wasm_i8x16_splat(static_cast<int8_t>(code));
  const v128_t dot = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(acts, codes, wasm_i32x4_const_splat(0));
  return wasm_i32x4_all_true(wasm_i32x4_eq(dot, wasm_i32x4_splat(sum)));
}

// The largest sums of both signs tell whether sums of pairs saturate. Cheap enough to ask for each product.
inline RelaxedDot TakenByRelaxedDot() {
  if (RelaxedDotGives(127, 255, 4 * 127 * 255) && RelaxedDotGives(-127, 255, -4 * 127 * 255)) {
    return RelaxedDot::kUnsigned;
  }
  if (RelaxedDotGives(127, -128, 4 * 127 * -128) && RelaxedDotGives(-127, -128, 4 * 127 * 128)) {
    return RelaxedDot::kSigned;
  }
  return RelaxedDot::kSevenBits;
}

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // MOTE_SIMD_RELAXED_DOT_INL_H_
