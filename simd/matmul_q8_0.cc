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

// The relaxed dot product as it is for codes of 7 bits, which all engines take alike, is two of them for Q8_0's; most
// engines need one. In the cache one token has 33 multiply-adds per ns instead of 15, from memory 12.5 instead of 10.4
// (V8 on Granite Rapids, 2026-11).
void MatMulQ8_0(const MatMulArgs& args) {
  switch (AskRelaxedDot()) {
    case RelaxedDot::kUnsigned:
      return MatMulPanels<FormatQ8_0Raised>(args);
    case RelaxedDot::kSigned:
      return MatMulPanels<FormatQ8_0Whole>(args);
    case RelaxedDot::kSevenBits:
      return MatMulPanels<FormatQ8_0>(args);
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
