// AMX as simd/unit.cc and simd/unit_attention.cc use it: numbers in two parts, tiles, and products of 32 tokens by 32
// rows.
//
// The instructions (Intel SDM volume 2) are written as assembly: no compiler needs to know them by name, and no
// function needs attributes that keep it from being inlined. No compiler uses a tile register by itself.
#if defined(MOTE_SIMD_UNIT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MOTE_SIMD_UNIT_INL_H_
#undef MOTE_SIMD_UNIT_INL_H_
#else
#define MOTE_SIMD_UNIT_INL_H_
#endif

#include "simd/primitives-inl.h"
#include "simd/unit.h"

#if MOTE_VECTORS && HWY_TARGET == HWY_AVX3_DL && HWY_ARCH_X86_64
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {

inline constexpr size_t kSide = 16;  // rows of a tile, and its columns of 32 bits
inline constexpr size_t kTileBytes = kSide * kSide * sizeof(uint32_t);
inline constexpr size_t kUnitRows = 2 * kSide;
inline constexpr size_t kUnitTokens = 2 * kSide;
inline constexpr size_t kRowBytes = kUnitRows * sizeof(float);  // of sums
static_assert(kLanes == kSide);

// The unpacked weights of 32 values of k: high parts of both tiles, then low parts.
template <bool kLow>
inline constexpr size_t kStepBytes = (kLow ? 4 : 2) * kTileBytes;

// ---- Numbers

HWY_INLINE VU32 PlusHalf(VF x) {
  const DU32 d;
  return hn::Add(hn::BitCast(d, x), hn::Set(d, 0x8000));
}
HWY_INLINE VU32 High(VF x) {
  return hn::And(PlusHalf(x), hn::Set(DU32(), 0xffff0000));
}
HWY_INLINE VF Rest(VF x, VU32 high) {
  return hn::Sub(x, hn::BitCast(DF(), high));
}
// Two values of k: the first in the lower half of each word. Of both the upper halves.
HWY_INLINE void StorePairs(VU32 first, VU32 second, uint8_t* to) {
  const DU32 d;
  const VU32 pairs = hn::OrAnd(hn::ShiftRight<16>(first), second, hn::Set(d, 0xffff0000));
  hn::Store(pairs, d, reinterpret_cast<uint32_t*>(to));
}
// The same of numbers, and where kLow what they lose, `low` bytes on.
template <bool kLow>
HWY_INLINE void StoreNumbers(VF first, VF second, uint8_t* to, size_t low = 2 * kTileBytes) {
  if constexpr (kLow) {
    const VU32 first_high = High(first), second_high = High(second);
    StorePairs(first_high, second_high, to);
    StorePairs(PlusHalf(Rest(first, first_high)), PlusHalf(Rest(second, second_high)), to + low);
  } else {
    StorePairs(PlusHalf(first), PlusHalf(second), to);
  }
}
// 32 numbers rounded (to even where two are as near), those of `first` first: VCVTNE2PS2BF16.
HWY_INLINE VU32 RoundBoth(VF first, VF second) {
  VU32 both;
  asm("vcvtne2ps2bf16 %1, %2, %0" : "=v"(both.raw) : "v"(first.raw), "v"(second.raw));
  return both;
}
HWY_INLINE void StoreRounded(VF first, VF second, uint8_t* to) {
  hn::StoreU(RoundBoth(first, second), DU32(), reinterpret_cast<uint32_t*>(to));
}
// Every lane of `sum` and the two numbers in it: VDPBF16PS.
HWY_INLINE VF AddPairs(VF sum, VU32 pairs) {
  asm("vdpbf16ps %1, %2, %0" : "+v"(sum.raw) : "v"(pairs.raw), "v"(hn::Set(DU32(), 0x3f803f80).raw));
  return sum;
}
// Lower halves of words, side by side; upper ones.
HWY_INLINE void StoreLowHalves(VU32 words, uint8_t* at) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), _mm512_cvtepi32_epi16(words.raw));
}
HWY_INLINE void StoreHalves(VU32 words, uint8_t* at) {
  StoreLowHalves(hn::ShiftRight<16>(words), at);
}

// ---- Functions of what is rounded to 8 bits

// 2^x: 7.5e-5 of it off at most, a least-maximum fit of our own of 2^r, 0 <= r < 1. From
// -126 down it stays where it is, so that no subnormal number arises: nothing beside 1.
HWY_INLINE VF RoughExp2(VF x) {
  const DF d;
  x = hn::Max(x, hn::Set(d, -126.0f));
  const VF r = VF{_mm512_reduce_ps(x.raw, 0x09)};  // x - floor(x)
  VF p = hn::MulAdd(hn::Set(d, 0.0780245227f), r, hn::Set(d, 0.226067155f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.695833541f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.999925219f));
  return VF{_mm512_scalef_ps(p.raw, x.raw)};  // times 2^floor(x)
}
// x / (1 + 2^y): 1.4e-4 of it off at most.
HWY_INLINE VF OverOnePlusExp2(VF x, VF y) {
  const VF sum = hn::Add(hn::Set(DF(), 1.0f), RoughExp2(y));
  return hn::Mul(x, VF{_mm512_rcp14_ps(sum.raw)});
}

// ---- The unit

// What LDTILECFG reads. Registers: 0 to 3 sums (tokens, weight rows), 4 and 5 activations, 6 and 7 weights.
struct alignas(64) UnitConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};
// For steps of `tokens` tokens, up to 32.
HWY_INLINE void Configure(size_t tokens) {
  UnitConfig config;
  const uint8_t first = static_cast<uint8_t>(tokens < kSide ? tokens : kSide);
  const uint8_t second = static_cast<uint8_t>(tokens > kSide ? tokens - kSide : 1);  // 1: not used
  const uint8_t rows[8] = {first, first, second, second, first, second, kSide, kSide};
  for (size_t i = 0; i < 8; ++i) {
    config.rows[i] = rows[i];
    config.row_bytes[i] = kSide * sizeof(uint32_t);
  }
  asm volatile("ldtilecfg %0" : : "m"(config) : "memory");
}

#define MOTE_LOAD_ACTS(reg, at) \
  asm volatile("tileloadd (%0,%1,1), %%tmm" reg : : "r"(at), "r"(size_t{kBytes}) : "memory")
#define MOTE_LOAD_WEIGHTS(at)                                                   \
  asm volatile("tileloadd (%0,%1,1), %%tmm6\n\ttileloadd 1024(%0,%1,1), %%tmm7" \
               :                                                                \
               : "r"(at), "r"(size_t{kBytes})                                   \
               : "memory")
#define MOTE_PRODUCTS(acts, first, second) \
  asm volatile("tdpbf16ps %%tmm6, %%tmm" acts ", %%tmm" first "\n\ttdpbf16ps %%tmm7, %%tmm" acts ", %%tmm" second : : :)
HWY_INLINE void ZeroTiles() {
  asm volatile("tilezero %%tmm0\n\ttilezero %%tmm1\n\ttilezero %%tmm2\n\ttilezero %%tmm3" : : :);
}
// So that the system need not save the tiles with the thread.
HWY_INLINE void ReleaseTiles() {
  asm volatile("tilerelease" : : : "memory");
}

// kParts: products for each 32 values, 1 to 3 (unit.h), or 4: low parts of both as well. kTwo: tokens 16 and on as
// well.
template <int kParts, bool kTwo>
HWY_INLINE void Steps(const uint8_t* acts, size_t group_bytes, size_t low, const uint8_t* weights, size_t steps) {
  const uint8_t* more = acts + group_bytes;
  for (size_t step = 0; step < steps; ++step) {
    MOTE_LOAD_WEIGHTS(weights);
    if constexpr (kParts > 1) {
      MOTE_LOAD_ACTS("4", acts + low);
      MOTE_PRODUCTS("4", "0", "1");
      if constexpr (kTwo) MOTE_LOAD_ACTS("5", more + low);
      if constexpr (kTwo) MOTE_PRODUCTS("5", "2", "3");
    }
    MOTE_LOAD_ACTS("4", acts);
    MOTE_PRODUCTS("4", "0", "1");
    if constexpr (kTwo) MOTE_LOAD_ACTS("5", more);
    if constexpr (kTwo) MOTE_PRODUCTS("5", "2", "3");
    if constexpr (kParts > 2) {
      MOTE_LOAD_WEIGHTS(weights + 2 * kTileBytes);
      MOTE_PRODUCTS("4", "0", "1");
      if constexpr (kTwo) MOTE_PRODUCTS("5", "2", "3");
    }
    if constexpr (kParts > 3) {
      MOTE_LOAD_ACTS("4", acts + low);
      MOTE_PRODUCTS("4", "0", "1");
      if constexpr (kTwo) MOTE_LOAD_ACTS("5", more + low);
      if constexpr (kTwo) MOTE_PRODUCTS("5", "2", "3");
    }
    acts += kUnitStepBytes;
    more += kUnitStepBytes;
    weights += kStepBytes<(kParts > 2)>;
  }
}

// The sums of 32 tokens and 32 rows of weights, `stride` bytes from token to token. kSecond: of tokens 16 and on.
template <bool kSecond>
HWY_INLINE void LoadTiles(const float* sums, size_t stride) {
  const float* at = sums + kSecond * kSide * stride / sizeof(float);
  if constexpr (kSecond) {
    asm volatile("tileloadd (%0,%1,1), %%tmm2\n\ttileloadd 64(%0,%1,1), %%tmm3" : : "r"(at), "r"(stride) : "memory");
  } else {
    asm volatile("tileloadd (%0,%1,1), %%tmm0\n\ttileloadd 64(%0,%1,1), %%tmm1" : : "r"(at), "r"(stride) : "memory");
  }
}
template <bool kSecond>
HWY_INLINE void StoreTiles(float* sums, size_t stride) {
  float* at = sums + kSecond * kSide * stride / sizeof(float);
  if constexpr (kSecond) {
    asm volatile("tilestored %%tmm2, (%0,%1,1)\n\ttilestored %%tmm3, 64(%0,%1,1)" : : "r"(at), "r"(stride) : "memory");
  } else {
    asm volatile("tilestored %%tmm0, (%0,%1,1)\n\ttilestored %%tmm1, 64(%0,%1,1)" : : "r"(at), "r"(stride) : "memory");
  }
}

// Whether `m` rows of results, from `out` on, go past the caches, as lines that whoever stores them has whole, and then
// calls hwy::FlushStream: none near by would hold them. They are written a line or two at a time, whole rows apart,
// mostly a multiple of 4 KiB, so that they drive each other out of the few places that they have. Products by VNNI gain
// a fortieth by it here, and might lose where a nearer cache holds more: they store as ever.
inline constexpr size_t kFarBytes = 1 << 20;
HWY_INLINE bool GoFar(const float* out, size_t out_stride, size_t m) {
  return m * out_stride * sizeof(float) >= kFarBytes &&
         (reinterpret_cast<uintptr_t>(out) | out_stride * sizeof(float)) % kBytes == 0;
}

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // MOTE_SIMD_UNIT_INL_H_
