// Matrix product with Q8_0 weights.
#include "simd/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/matmul_q8_0.cc"
#include "hwy/foreach_target.h"
//
#include "simd/kernel_list-inl.h"
#include "simd/matmul_panel-inl.h"

#if MOTE_VECTORS
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {

#if HWY_ARCH_WASM && defined(__wasm_relaxed_simd__)

// The relaxed dot product as it is for codes of 7 bits, which all engines take alike, is two of them for Q8_0's. What
// an engine makes of the eighth bit is its own matter, but always the same: it is asked once per product. V8 takes
// 0..255 with AVX-VNNI and saturates sums of pairs on older x86 processors; on Arm codes are signed. In the cache one
// token has 33 multiply-adds per ns instead of 15, from memory 12.5 instead of 10.4 (V8 on Granite Rapids, 2026-11).
namespace {

// Four times act * code in every lane; the compiler does not know the result.
bool DotGives(int act, int code, int32_t sum) {
  asm volatile("" : "+r"(act), "+r"(code));
  const v128_t acts = wasm_i8x16_splat(static_cast<int8_t>(act)), codes = wasm_i8x16_splat(static_cast<int8_t>(code));
  const v128_t dot = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(acts, codes, wasm_i32x4_const_splat(0));
  return wasm_i32x4_all_true(wasm_i32x4_eq(dot, wasm_i32x4_splat(sum)));
}

}  // namespace

void MatMulQ8_0(const MatMulArgs& args) {
  // The largest sums of both signs tell whether sums of pairs saturate.
  if (DotGives(127, 255, 4 * 127 * 255) && DotGives(-127, 255, -4 * 127 * 255)) {
    MatMulPanels<FormatQ8_0Raised>(args);
  } else if (DotGives(127, -128, 4 * 127 * -128) && DotGives(-127, -128, 4 * 127 * 128)) {
    MatMulPanels<FormatQ8_0Whole>(args);
  } else {
    MatMulPanels<FormatQ8_0>(args);
  }
}

#else

void MatMulQ8_0(const MatMulArgs& args) {
  MatMulPanels<FormatQ8_0>(args);
}

#endif

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
