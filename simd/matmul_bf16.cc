// Matrix product with BF16 weights.
#include "simd/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/matmul_bf16.cc"
#include "hwy/foreach_target.h"
//
#include "simd/kernel_list-inl.h"
#include "simd/matmul_float-inl.h"

#if MOTE_VECTORS
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {

void MatMulBF16(const MatMulArgs& args) {
  MatMulFloat<FormatBF16>(args);
}

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
