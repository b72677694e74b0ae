// Peak loops of 64-bit Arm: NEON (always there), dot product (Armv8.2), int8 and bfloat16 matrix products (Armv8.6).
#include "simd/peaks_impl.h"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace mote::simd {
namespace {

// 16 chains: four pipes at most, with a latency of 4 cycles (Neoverse V1, V2 and N2 software optimisation guides).
// There are 32 registers.
constexpr size_t kChains = 16;

#define MOTE_TARGET(features) __attribute__((target(features)))
#define MOTE_HIDE(value)          \
  ({                              \
    MOTE_PEAK_OPAQUE("w", value); \
    value;                        \
  })

// (2, 8) by (8, 2) to (2, 2): 32 multiply-accumulates.
MOTE_PEAK_LOOP(Int8Mmla, MOTE_TARGET("arch=armv8.2-a+i8mm"), "w", int32x4_t, int32_t, kChains, 32, vdupq_n_s32(0),
               vdupq_n_s8(3), vdupq_n_s8(-2), vmmlaq_s32(acc, a, b))
MOTE_PEAK_LOOP(Int8Dot, MOTE_TARGET("arch=armv8.2-a+dotprod"), "w", int32x4_t, int32_t, kChains, 16, vdupq_n_s32(0),
               vdupq_n_s8(3), vdupq_n_s8(-2), vdotq_s32(acc, a, b))
// Without a dot product: two widening multiplications into 16 bits, then pairs added to 32.
MOTE_PEAK_LOOP(Int8Mlal, , "w", int32x4_t, int32_t, kChains, 16, vdupq_n_s32(0), vdupq_n_s8(3), vdupq_n_s8(-2),
               vpadalq_s16(acc, vmlal_high_s8(vmull_s8(vget_low_s8(MOTE_HIDE(a)), vget_low_s8(b)), a, b)))

// 0x3F80 is 1 in bfloat16. (2, 4) by (4, 2) to (2, 2): 16 multiply-accumulates.
MOTE_PEAK_LOOP(Bf16Mmla, MOTE_TARGET("arch=armv8.2-a+bf16"), "w", float32x4_t, float, kChains, 16, vdupq_n_f32(0),
               vdupq_n_u16(0x3F80), vdupq_n_u16(0x3F80),
               vbfmmlaq_f32(acc, vreinterpretq_bf16_u16(a), vreinterpretq_bf16_u16(b)))

// Without matrix products: eight values, shifted into place four at a time.
MOTE_PEAK_LOOP(Bf16Shift, , "w", float32x4_t, float, kChains, 8, vdupq_n_f32(0), vdupq_n_u16(0x3F80), vdupq_n_f32(1),
               vfmaq_f32(vfmaq_f32(acc, vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(MOTE_HIDE(a)), 16)), b),
                         vreinterpretq_f32_u32(vshll_high_n_u16(a, 16)), b))

// 0x3C00 is 1 in float16; eight values, widened four at a time.
MOTE_PEAK_LOOP(F16Fma, , "w", float32x4_t, float, kChains, 8, vdupq_n_f32(0), vdupq_n_u16(0x3C00), vdupq_n_f32(1),
               vfmaq_f32(vfmaq_f32(acc, vcvt_f32_f16(vreinterpret_f16_u16(vget_low_u16(MOTE_HIDE(a)))), b),
                         vcvt_high_f32_f16(vreinterpretq_f16_u16(a)), b))

MOTE_PEAK_LOOP(F32Fma, , "w", float32x4_t, float, kChains, 4, vdupq_n_f32(0), vdupq_n_f32(1), vdupq_n_f32(1),
               vfmaq_f32(acc, a, b))

#define MOTE_LOAD(p) vld1q_u64(reinterpret_cast<const uint64_t*>(p))
MOTE_PEAK_READ(ReadSum, , uint64x2_t, vdupq_n_u64(0), MOTE_LOAD, vaddq_u64)

}  // namespace

void AddArmPeaks(std::vector<PeakLoop>& loops, std::vector<ReadLoop>& reads) {
  loops.insert(loops.end(), {
                                {PeakKind::kInt8, "smmla", "i8mm", Int8Mmla},
                                {PeakKind::kInt8, "sdot", "dotprod", Int8Dot},
                                {PeakKind::kInt8, "smull, smlal2, sadalp", "", Int8Mlal},
                                {PeakKind::kBf16, "bfmmla", "bf16", Bf16Mmla},
                                {PeakKind::kBf16, "shll, fmla", "", Bf16Shift},
                                {PeakKind::kF16, "fcvtl, fmla", "", F16Fma},
                                {PeakKind::kF32, "fmla", "", F32Fma},
                            });
  reads.push_back({"128 bit", "", ReadSum});
}

}  // namespace mote::simd

#else

namespace mote::simd {
void AddArmPeaks(std::vector<PeakLoop>&, std::vector<ReadLoop>&) {}
}  // namespace mote::simd

#endif
