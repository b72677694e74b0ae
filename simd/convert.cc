// Float rows to A8 rows, and to and from float16.
#include "simd/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/convert.cc"
#include "hwy/foreach_target.h"
//
#include "hwy/cache_control.h"
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

using DAI = hn::Rebind<int32_t, DA>;
using VAI = hn::Vec<DAI>;
inline constexpr int32_t kMagnitude = 0x7fffffff;

// One bad value must not spoil its group.
HWY_INLINE VA Clamped(VA v) {
  const DA d;
  const VA number = hn::IfThenElseZero(hn::Eq(v, v), v);
  return hn::Max(hn::Min(number, hn::Set(d, kA8Largest)), hn::Set(d, -kA8Largest));
}

// The largest magnitude of `group` values. As whole numbers, because the bits of larger floats are larger, those of
// infinity and NaN the largest: where those are below kA8Largest's, nothing needs to be clamped, and `clean` says so.
HWY_INLINE float LargestOf(const float* x, size_t group, bool& clean) {
  const DA d;
  const DAI di32;
  VAI bits = hn::Zero(di32);
  for (size_t i = 0; i < group; i += kActLanes) {
    bits = hn::Max(bits, hn::And(hn::BitCast(di32, hn::LoadU(d, x + i)), hn::Set(di32, kMagnitude)));
  }
  const float largest = hn::GetLane(hn::BitCast(d, hn::MaxOfLanes(di32, bits)));
  clean = largest <= kA8Largest;
  if (HWY_LIKELY(clean)) return largest;
  VA clamped = hn::Zero(d);
  for (size_t i = 0; i < group; i += kActLanes) {
    clamped = hn::Max(clamped, hn::Abs(Clamped(hn::LoadU(d, x + i))));
  }
  return hn::GetLane(hn::MaxOfLanes(d, clamped));
}

// Minus the sum of the 16 codes at `codes`, whose vectors added up to `sum`.
HWY_INLINE int32_t MinusSumOf(const uint8_t* codes, VAI sum) {
  if constexpr (kActLanes == 16) {
    // Added as bytes, raised by 128: a fold of 16 lanes takes three times as long.
    const hn::Full128<uint8_t> du8;
    const hn::Full128<uint64_t> du64;
    const auto raised = hn::Xor(hn::LoadU(du8, codes), hn::Set(du8, 128));
    const auto halves = hn::SumsOf8(raised);
    return 16 * 128 - static_cast<int32_t>(hn::GetLane(hn::Add(halves, hn::ShiftRightBytes<8>(du64, halves))));
  }
  return -hn::GetLane(hn::SumOfLanes(DAI(), sum));
}

static_assert(offsetof(A8Block, codes) == 0);
// 32 values times `factor`, rounded, with their sums, as an A8Block. Adding 1.5 * 2^23 rounds products of up to 127.5
// to the nearest whole number, ties to even, and leaves it in the lowest bits.
HWY_INLINE void QuantizeBlock(const float* x, VA factor, float scale, bool clean, uint8_t* to) {
  const DA d;
  const DAI di32;
  const hn::Rebind<int8_t, DA> di8;
  int32_t minus_half[2];
  for (size_t half = 0; half < 2; ++half) {
    VAI sum = hn::Zero(di32);
    for (size_t i = 0; i < kVectorsPer16; ++i) {
      const size_t at = half * 16 + i * kActLanes;
      const VA v = hn::LoadU(d, x + at);
      const VA rounded = hn::Add(hn::Mul(HWY_LIKELY(clean) ? v : Clamped(v), factor), hn::Set(d, 0x1.8p23f));
      const VAI code = hn::Sub(hn::BitCast(di32, rounded), hn::Set(di32, kFloatStart));
      if constexpr (kActLanes != 16) sum = hn::Add(sum, code);
      hn::StoreU(hn::DemoteTo(di8, code), di8, reinterpret_cast<int8_t*>(to) + at);
    }
    minus_half[half] = MinusSumOf(to + half * 16, sum);
  }
  const int32_t minus_sum = minus_half[0] + minus_half[1];
  const int32_t start = A8Start(minus_sum);
  memcpy(to + offsetof(A8Block, scale), &scale, sizeof(scale));
  memcpy(to + offsetof(A8Block, minus_sum), &minus_sum, sizeof(minus_sum));
  memcpy(to + offsetof(A8Block, minus_half), minus_half, sizeof(minus_half));
  memcpy(to + offsetof(A8Block, start), &start, sizeof(start));
}

}  // namespace

// Floats ahead. Rows follow each other and come from other cores' caches, faster than hardware prefetchers foresee:
// with attention tiles of 72 rows for 64 a vision tower takes 0.93 of the time, with 512 floats 0.95 (Granite Rapids,
// 2026-11). Past the last row it is harmless.
inline constexpr size_t kFetchAhead = 1024;

// Bit for bit what ref/quantize.cc computes: the same divisions and products, and integers.
void QuantizeA8(const float* x, size_t k, size_t group, void* out) {
  uint8_t* to = static_cast<uint8_t*>(out);
  for (size_t begin = 0; begin < k; begin += group) {
    for (size_t i = 0; i < group; i += 16) hwy::Prefetch(x + begin + kFetchAhead + i);
    bool clean;
    const float magnitude = LargestOf(x + begin, group, clean);
    const bool zero = magnitude < kA8Smallest;
    const float factor = zero ? 0.0f : 127.0f / magnitude;
    const float scale = zero ? 0.0f : magnitude / 127.0f;
    for (size_t i = 0; i < group; i += 32) {
      QuantizeBlock(x + begin + i, hn::Set(DA(), factor), scale, clean, to);
      to += sizeof(A8Block);
    }
  }
}

// As ref::QuantizeR8, bit for bit.
void QuantizeR8(const float* x, size_t k, void* out) {
  const DA d;
  const DAI di32;
  const hn::Rebind<int8_t, DA> di8;
  uint8_t* to = static_cast<uint8_t*>(out);
  const size_t whole = k / 16 * 16;
  HWY_ALIGN float rest[16] = {};
  memcpy(rest, x + whole, (k - whole) * sizeof(float));
  bool clean, rest_clean;
  const float of_whole = LargestOf(x, whole, clean);
  const float of_rest = LargestOf(rest, 16, rest_clean);
  const float magnitude = of_whole < of_rest ? of_rest : of_whole;
  const bool zero = magnitude < kA8Smallest;
  const VA factor = hn::Set(d, zero ? 0.0f : 127.0f / magnitude);
  VAI sum = hn::Zero(di32);
  const auto quantize = [&](const float* from, bool numbers, uint8_t* codes) HWY_ATTR {
    for (size_t i = 0; i < 16; i += kActLanes) {
      const VA v = hn::LoadU(d, from + i);
      const VA rounded = hn::Add(hn::Mul(HWY_LIKELY(numbers) ? v : Clamped(v), factor), hn::Set(d, 0x1.8p23f));
      const VAI code = hn::Sub(hn::BitCast(di32, rounded), hn::Set(di32, kFloatStart));
      sum = hn::Add(sum, code);
      hn::StoreU(hn::DemoteTo(di8, code), di8, reinterpret_cast<int8_t*>(codes) + i);
    }
  };
  for (size_t i = 0; i < whole; i += 16) {
    hwy::Prefetch(x + i + kFetchAhead);
    quantize(x + i, clean, to + i);
  }
  const size_t code_bytes = R8CodeBytes(k);
  if (whole < code_bytes) {
    quantize(rest, rest_clean, to + whole);
    memset(to + whole + 16, 0, code_bytes - whole - 16);
  }
  const R8Tail tail = {zero ? 0.0f : magnitude / 127.0f, -hn::GetLane(hn::SumOfLanes(di32, sum))};
  memset(to + code_bytes, 0, R8RowBytes(k) - code_bytes);
  memcpy(to + code_bytes, &tail, sizeof(tail));
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
