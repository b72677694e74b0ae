// Matrix product with F32 weights.
#include "simd/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/matmul_f32.cc"
#include "hwy/foreach_target.h"
//
#include "simd/kernel_list-inl.h"
#include "simd/matmul_float-inl.h"

#if MOTE_VECTORS
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {

void MatMulF32(const MatMulArgs& args) {
  MatMulFloat<FormatF32>(args);
}

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
