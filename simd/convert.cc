// Float rows to A8 rows, and to and from float16.
#include "simd/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/convert.cc"
#include "hwy/foreach_target.h"
//
#include "simd/kernel_list-inl.h"
#include "simd/row_layout.h"

#if MOTE_VECTORS
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {
namespace {

// Vectors of at most 16 values: a sum belongs to 16.
using DA = hn::CappedTag<float, 16>;
using VA = hn::Vec<DA>;
inline constexpr size_t kActLanes = hn::MaxLanes(DA());
inline constexpr size_t kVectorsPer16 = 16 / kActLanes;

// One bad value must not spoil its group.
HWY_INLINE VA LoadClamped(DA d, const float* x) {
  const VA v = hn::LoadU(d, x);
  const VA number = hn::IfThenElseZero(hn::Eq(v, v), v);
  return hn::Max(hn::Min(number, hn::Set(d, kA8Largest)), hn::Set(d, -kA8Largest));
}

// 32 values times `factor`, rounded, with their sums.
HWY_INLINE A8Block QuantizeBlock(const float* x, VA factor, float scale) {
  const DA d;
  const hn::Rebind<int32_t, DA> di32;
  const hn::Rebind<int8_t, DA> di8;
  A8Block block;
  block.scale = scale;
  for (size_t half = 0; half < 2; ++half) {
    auto sum = hn::Zero(di32);
    for (size_t i = 0; i < kVectorsPer16; ++i) {
      const size_t at = half * 16 + i * kActLanes;
      const auto code = hn::NearestInt(hn::Mul(LoadClamped(d, x + at), factor));
      sum = hn::Add(sum, code);
      hn::StoreU(hn::DemoteTo(di8, code), di8, block.codes + at);
    }
    block.minus_half[half] = -hn::GetLane(hn::SumOfLanes(di32, sum));
  }
  block.minus_sum = block.minus_half[0] + block.minus_half[1];
  block.start = A8Start(block.minus_sum);
  return block;
}

}  // namespace

// Bit for bit what ref/quantize.cc computes: the same divisions and products, and integers.
void QuantizeA8(const float* x, size_t k, size_t group, void* out) {
  const DA d;
  uint8_t* to = static_cast<uint8_t*>(out);
  for (size_t begin = 0; begin < k; begin += group) {
    VA largest = hn::Zero(d);
    for (size_t i = 0; i < group; i += kActLanes) {
      largest = hn::Max(largest, hn::Abs(LoadClamped(d, x + begin + i)));
    }
    const float magnitude = hn::GetLane(hn::MaxOfLanes(d, largest));
    const bool zero = magnitude < kA8Smallest;
    const float factor = zero ? 0.0f : 127.0f / magnitude;
    const float scale = zero ? 0.0f : magnitude / 127.0f;
    for (size_t i = 0; i < group; i += 32) {
      const A8Block block = QuantizeBlock(x + begin + i, hn::Set(d, factor), scale);
      memcpy(to, &block, sizeof(block));
      to += sizeof(block);
    }
  }
}

void F32ToF16Row(const float* x, size_t n, uint16_t* out) {
  const DF d;
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) StoreF16(hn::LoadU(d, x + i), d, out + i);
  if (i < n) {
    uint16_t padded[kLanes];
    StoreF16(LoadPartial(d, x + i, n - i), d, padded);
    memcpy(out + i, padded, (n - i) * sizeof(uint16_t));
  }
}

void F16ToF32Row(const uint16_t* x, size_t n, float* out) {
  const DF d;
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) hn::StoreU(LoadF16(d, x + i), d, out + i);
  if (i < n) {
    uint16_t padded[kLanes] = {};
    memcpy(padded, x + i, (n - i) * sizeof(uint16_t));
    StorePartial(LoadF16(d, padded), d, out + i, n - i);
  }
}

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
