// The parts of attention: scores of a block, their softmax weights, the weighted sum of values. For R rows (queries)
// at a time, so that a key or a value is loaded and converted once for all of them.
//
// Each score and each sum is one chain of multiply-adds in the order of the dimensions or positions, in its own lane:
// R, the width of a tile and the part of a block that is computed do not show in the result.
#if defined(MOTE_SIMD_ATTENTION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MOTE_SIMD_ATTENTION_INL_H_
#undef MOTE_SIMD_ATTENTION_INL_H_
#else
#define MOTE_SIMD_ATTENTION_INL_H_
#endif

#include <math.h>

#include "hwy/cache_control.h"
#include "simd/kernels.h"
#include "simd/math-inl.h"

#if MOTE_VECTORS
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {

// 6 rows by 4 vectors of sums, the 4 vectors and a query take 29 of 32 registers; by 2 vectors, 15 of 16. One or two
// rows need the 4 vectors to hide the latency of multiply-add.
inline constexpr size_t kGroupRows = 6;
#if HWY_ARCH_ARM_A64 || (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3)
inline constexpr bool kManyRegisters = true;
#else
inline constexpr bool kManyRegisters = false;
#endif
constexpr size_t WideOf(size_t rows) {
  return kManyRegisters || rows <= 2 ? 4 : 2;
}
static_assert(kAttentionBlock % (4 * kLanes) == 0 && kCachePanel % kLanes == 0);
static_assert(kAttentionSplit % kAttentionBlock == 0 && kAttentionBlock % kCachePanel == 0);

// Calls of one group (decode) read each key and value once, faster than hardware prefetchers start at the many short
// runs of a panel: they fetch one block ahead. From memory, 1.5 (F16) and 1.7 times (Q8_0) as fast (4 heads of 64, one
// core of Zen 5, 2026-11).
// Reading past the last block is harmless: a prefetch does not fault.
HWY_INLINE void FetchAhead(const void* p, size_t panel_bytes) {
  hwy::Prefetch(static_cast<const uint8_t*>(p) + kAttentionBlock / kCachePanel * panel_bytes);
}

// ---- Keys. A tile is W vectors of positions, from position p of the block on.

// As they are cached.
struct CachedKeys {
  const uint8_t* panels;
  size_t panel_bytes;
};
struct KeysF16 : CachedKeys {
  using At = const uint16_t*;
  HWY_INLINE At Begin(size_t p) const {
    return reinterpret_cast<const uint16_t*>(panels + p / kCachePanel * panel_bytes) + p % kCachePanel;
  }
  static HWY_INLINE VF Load(At at, size_t d) { return LoadF16(DF(), at + d * kCachePanel); }
  // A panel's line holds 2 values of 16 positions.
  HWY_INLINE void Fetch(At at, size_t p, size_t d) const {
    if (p % kCachePanel == 0 && d % 2 == 0) FetchAhead(at + d * kCachePanel, panel_bytes);
  }
};
struct KeysF32 {
  const float* panels;
  size_t panel_floats;
  using At = const float*;
  HWY_INLINE At Begin(size_t p) const { return panels + p / kCachePanel * panel_floats + p % kCachePanel; }
  static HWY_INLINE VF Load(At at, size_t d) { return hn::LoadU(DF(), at + d * kCachePanel); }
  HWY_INLINE void Fetch(At, size_t, size_t) const {}
};

// Queries (dim, R), already times the scale. scores[r * kAttentionBlock + p].
template <size_t R, class Keys>
HWY_INLINE void FloatScores(const Keys& keys, const float* HWY_RESTRICT queries, size_t dim, size_t begin, size_t end,
                            float* HWY_RESTRICT scores) {
  constexpr size_t W = WideOf(R);
  const DF df;
  for (size_t p = begin / (W * kLanes) * (W * kLanes); p < end; p += W * kLanes) {
    typename Keys::At at[W];
    MOTE_UNROLL for (size_t w = 0; w < W; ++w) at[w] = keys.Begin(p + w * kLanes);
    VF sums[R][W];
    MOTE_UNROLL for (size_t r = 0; r < R; ++r) {
      MOTE_UNROLL for (size_t w = 0; w < W; ++w) sums[r][w] = hn::Zero(df);
    }
    for (size_t d = 0; d < dim; ++d) {
      VF key[W];
      MOTE_UNROLL for (size_t w = 0; w < W; ++w) {
        key[w] = Keys::Load(at[w], d);
        keys.Fetch(at[w], p + w * kLanes, d);
      }
      MOTE_UNROLL for (size_t r = 0; r < R; ++r) {
        const VF query = hn::Set(df, queries[d * R + r]);
        MOTE_UNROLL for (size_t w = 0; w < W; ++w) sums[r][w] = hn::MulAdd(query, key[w], sums[r][w]);
      }
    }
    MOTE_UNROLL for (size_t r = 0; r < R; ++r) {
      MOTE_UNROLL for (size_t w = 0; w < W; ++w) {
        hn::StoreU(sums[r][w], df, scores + r * kAttentionBlock + p + w * kLanes);
      }
    }
  }
}

// Keys meet the dot product with 128 added, as it takes unsigned codes.
inline constexpr bool kRaisedKeys = MOTE_VNNI;

// Dot products of 4 adjacent bytes per lane. Where the instruction set has none, as two products of adjacent 16-bit
// pairs, bytes 0 and 2, 1 and 3: splitting a key is shared by all rows, splitting a query by all keys.
#undef MOTE_DOT_BYTES
#if MOTE_VNNI || (HWY_ARCH_ARM && defined(__ARM_FEATURE_DOTPROD))
#define MOTE_DOT_BYTES 1
#else
#define MOTE_DOT_BYTES 0
#endif

#if MOTE_DOT_BYTES
inline constexpr size_t kQueryWords = 1;  // of 32 bits, for 4 values
inline constexpr bool kDotManyRegisters = true;
struct DotKey {
#if MOTE_VNNI
  VU8 codes;
  explicit HWY_INLINE DotKey(VI8 key) : codes(hn::BitCast(DU8(), hn::Xor(key, hn::Set(DI8(), -128)))) {}
  HWY_INLINE VI32 Dot(VI32 sum, const int32_t* q) const {
    return DotU8(sum, codes, hn::BitCast(DI8(), hn::Set(DI32(), *q)));
  }
#else
  VI8 codes;
  explicit HWY_INLINE DotKey(VI8 key) : codes(key) {}
  HWY_INLINE VI32 Dot(VI32 sum, const int32_t* q) const {
    return DotI8(sum, codes, hn::BitCast(DI8(), hn::Set(DI32(), *q)));
  }
#endif
};
#else
using DI16 = hn::Repartition<int16_t, DI32>;
using VI16 = hn::Vec<DI16>;
inline constexpr size_t kQueryWords = 2;
inline constexpr bool kDotManyRegisters = false;  // two vectors per key: 2 by 6 sums, even with 32 registers
// Products of adjacent pairs, added.
HWY_INLINE VI32 DotI16(VI16 a, VI16 b) {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
  return VI32{_mm512_madd_epi16(a.raw, b.raw)};
#elif HWY_ARCH_X86 && HWY_TARGET == HWY_AVX2
  return VI32{_mm256_madd_epi16(a.raw, b.raw)};
#elif HWY_ARCH_X86
  return VI32{_mm_madd_epi16(a.raw, b.raw)};
#elif HWY_ARCH_WASM
  return VI32{wasm_i32x4_dot_i16x8(a.raw, b.raw)};
#else
  const int32x4_t low = vmull_s16(vget_low_s16(a.raw), vget_low_s16(b.raw));
  return VI32(vpaddq_s32(low, vmull_s16(vget_high_s16(a.raw), vget_high_s16(b.raw))));
#endif
}
struct DotKey {
  VI16 even, odd;
  explicit HWY_INLINE DotKey(VI8 key)
      : even(hn::ShiftRight<8>(hn::ShiftLeft<8>(hn::BitCast(DI16(), key)))),
        odd(hn::ShiftRight<8>(hn::BitCast(DI16(), key))) {}
  HWY_INLINE VI32 Dot(VI32 sum, const int32_t* q) const {
    const VI32 even_dot = DotI16(even, hn::BitCast(DI16(), hn::Set(DI32(), q[0])));
    return hn::Add(hn::Add(sum, even_dot), DotI16(odd, hn::BitCast(DI16(), hn::Set(DI32(), q[1]))));
  }
};
#endif

// 4 codes of a query as DotKey::Dot reads them.
HWY_INLINE void PackQuery(const int8_t* codes, int32_t* words) {
  if constexpr (kQueryWords == 1) {
    memcpy(words, codes, 4);
  } else {
    for (size_t i = 0; i < 2; ++i) {
      const int16_t pair[2] = {codes[i], codes[i + 2]};
      memcpy(words + i, pair, 4);
    }
  }
}

// R queries as A8: words (D / 4, R, kQueryWords), scales (D / 32, R) and first (D / 32, R): where an integer sum
// starts if kRaisedKeys, at -128 times the codes' sum.
struct Int8Queries {
  const int32_t* words;
  const float* scales;
  const int32_t* first;
};

// D = CachedDim of the keys.
template <size_t R, bool kAhead>
HWY_INLINE void Int8Scores(const CachedKeys& keys, const Int8Queries& queries, size_t dim, size_t begin, size_t end,
                           float* HWY_RESTRICT scores) {
  constexpr size_t W = kDotManyRegisters ? WideOf(R) : R > 3 && !kManyRegisters ? 1 : 2;
  const DF df;
  const DI32 di32;
  for (size_t p = begin / (W * kLanes) * (W * kLanes); p < end; p += W * kLanes) {
    const uint8_t* at[W];
    MOTE_UNROLL for (size_t w = 0; w < W; ++w) {
      const size_t position = p + w * kLanes;
      at[w] = keys.panels + position / kCachePanel * keys.panel_bytes + position % kCachePanel * 4;
    }
    for (size_t block = 0; block < dim / 32; ++block) {
      VI32 sums[R][W];
      MOTE_UNROLL for (size_t r = 0; r < R; ++r) {
        const VI32 first = kRaisedKeys ? hn::Set(di32, queries.first[block * R + r]) : hn::Zero(di32);
        MOTE_UNROLL for (size_t w = 0; w < W; ++w) sums[r][w] = first;
      }
      const int32_t* words = queries.words + block * 8 * R * kQueryWords;
      for (size_t d = block * 8; d < block * 8 + 8; ++d, words += R * kQueryWords) {
        MOTE_UNROLL for (size_t w = 0; w < W; ++w) {
          const DotKey key(hn::LoadU(DI8(), reinterpret_cast<const int8_t*>(at[w]) + d * 64));
          if (kAhead && (p + w * kLanes) % kCachePanel == 0) FetchAhead(at[w] + d * 64, keys.panel_bytes);
          MOTE_UNROLL for (size_t r = 0; r < R; ++r) sums[r][w] = key.Dot(sums[r][w], words + r * kQueryWords);
        }
      }
      MOTE_UNROLL for (size_t w = 0; w < W; ++w) {
        const size_t place = (p + w * kLanes) % kCachePanel;
        const uint8_t* key_scales = at[w] - place * 4 + dim * kCachePanel;
        if (kAhead && place == 0) FetchAhead(key_scales + block * 32, keys.panel_bytes);
        const VF key_scale = LoadF16(df, reinterpret_cast<const uint16_t*>(key_scales) + block * kCachePanel + place);
        MOTE_UNROLL for (size_t r = 0; r < R; ++r) {
          float* to = scores + r * kAttentionBlock + p + w * kLanes;
          const VF scale = hn::Mul(key_scale, hn::Set(df, queries.scales[block * R + r]));
          const VF dot = hn::ConvertTo(df, sums[r][w]);
          hn::StoreU(block == 0 ? hn::Mul(dot, scale) : hn::MulAdd(dot, scale, hn::LoadU(df, to)), df, to);
        }
      }
    }
  }
}

// ---- Softmax

// 2^x for x <= 0, at most 3 ULP; 0 below -125, so that no subnormal number arises. NaN stays NaN. 2^0 = 1.
HWY_INLINE VF Exp2(DF d, VF x) {
  const DI32 di32;
  // x = n + r, |r| <= 1/2: adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the low bits.
  const VF magic = hn::Set(d, 0x1.8p23f);
  const VF shifted = hn::Add(x, magic);
  const VF r = hn::Sub(x, hn::Sub(shifted, magic));
  // 2^r = 1 + r q(r), a least-maximum fit of our own, relative error 9e-8.
  VF q = hn::MulAdd(hn::Set(d, 0.00132647285f), r, hn::Set(d, 0.00967151392f));
  q = hn::MulAdd(q, r, hn::Set(d, 0.0555073358f));
  q = hn::MulAdd(q, r, hn::Set(d, 0.240222424f));
  q = hn::MulAdd(q, r, hn::Set(d, 0.693147004f));
  const VF one = hn::Set(d, 1.0f);
  const VF p = hn::MulAdd(q, r, one);
  // Only the low bits of `shifted` survive the shift.
  const VI32 exponent = hn::ShiftLeft<23>(hn::BitCast(di32, shifted));
  const VF power = hn::BitCast(d, hn::Add(exponent, hn::BitCast(di32, one)));
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -125.0f)), hn::Mul(p, power));
}

// Positions [begin, end) of a block.
struct Part {
  size_t begin;
  size_t end;
};

inline constexpr float kLog2E = 1.44269504f;
// What a query is multiplied with, so that its scores are in base 2, or with a cap, shares of the cap.
HWY_INLINE float QueryScale(const AttentionArgs& args) {
  return args.softcap > 0 ? args.scale / args.softcap : args.scale * kLog2E;
}

// One row's scores to weights relative to the new largest score. Lane i of `sums` (kLanes) gains the weights of the
// positions that are i modulo kLanes. Returns the factor for what was summed before.
inline HWY_NOINLINE float Weigh(const AttentionArgs& args, const Part& part, float* HWY_RESTRICT scores, float* largest,
                                float* HWY_RESTRICT sums) {
  const DF df;
  const bool whole = part.begin == 0 && part.end == kAttentionBlock;
  VF found_lanes = hn::Set(df, -INFINITY);
  if (args.softcap > 0 || !whole) {
    const VF lowest = found_lanes;
    const VF first = hn::Set(df, static_cast<float>(part.begin));
    const VF last = hn::Set(df, static_cast<float>(part.end));
    for (size_t i = 0; i < kAttentionBlock; i += kLanes) {
      VF score = hn::LoadU(df, scores + i);
      if (args.softcap > 0) score = hn::Mul(hn::Set(df, args.softcap * kLog2E), Tanh(df, score));
      const VF place = hn::Iota(df, static_cast<float>(i));
      score = hn::IfThenElse(hn::And(hn::Ge(place, first), hn::Lt(place, last)), score, lowest);
      found_lanes = hn::Max(found_lanes, score);
      hn::StoreU(score, df, scores + i);
    }
  } else {
    for (size_t i = 0; i < kAttentionBlock; i += kLanes) {
      found_lanes = hn::Max(found_lanes, hn::LoadU(df, scores + i));
    }
  }
  const float before = *largest;
  const float found = hn::GetLane(hn::MaxOfLanes(df, found_lanes));
  // 2^0 is exactly 1: the shortcut changes no bit.
  float correction = 1;
  if (found > before) {
    correction = hn::GetLane(Exp2(df, hn::Set(df, before - found)));
    *largest = found;
  }
  const VF subtrahend = hn::Set(df, *largest);
  VF sum = hn::Mul(hn::LoadU(df, sums), hn::Set(df, correction));
  for (size_t i = 0; i < kAttentionBlock; i += kLanes) {
    const VF weight = Exp2(df, hn::Sub(hn::LoadU(df, scores + i), subtrahend));
    sum = hn::Add(sum, weight);
    hn::StoreU(weight, df, scores + i);
  }
  hn::StoreU(sum, df, sums);
  return correction;
}

// ---- Values of a block, (kAttentionBlock, D).

struct ValuesF16 {
  const uint16_t* rows;
  size_t dim;
  HWY_INLINE VF Load(size_t p, size_t d) const {
    if (d % 32 == 0) FetchAhead(rows + p * dim + d, dim * (kCachePanel * sizeof(uint16_t)));
    return LoadF16(DF(), rows + p * dim + d);
  }
};
struct ValuesF32 {
  const float* rows;
  size_t dim;
  HWY_INLINE VF Load(size_t p, size_t d) const { return hn::LoadU(DF(), rows + p * dim + d); }
};
// scales: (D / 32, kAttentionBlock). An int8 times a float16 is exact in float32: whoever converts, and whether ahead
// or on the way, gets the same bits.
struct ValuesQ8 {
  const uint8_t* panels;
  size_t dim;
  const float* scales;
  HWY_INLINE VF Load(size_t p, size_t d) const {
    const DF df;
    const size_t row = p * dim + p / kCachePanel * dim;  // 16 times dim / 32 scales of 2 bytes end each panel
    const hn::Rebind<int8_t, DF> di8;
    if (d % 64 == 0) FetchAhead(panels + row + d, dim * (kCachePanel + 1));
    const auto codes = hn::LoadU(di8, reinterpret_cast<const int8_t*>(panels) + row + d);
    return hn::Mul(hn::ConvertTo(df, hn::PromoteTo(DI32(), codes)), hn::Set(df, scales[d / 32 * kAttentionBlock + p]));
  }
};

// out[r][d] = out[r][d] * corrections[r] + sum over the part of weights[r][p] * value[p][d], for W vectors from d on.
template <size_t R, size_t W, class Values>
HWY_INLINE void AddValueTile(const Values& values, const Part& part, const float* HWY_RESTRICT weights,
                             const float* corrections, float* HWY_RESTRICT out, size_t dim, size_t d) {
  const DF df;
  VF sums[R][W];
  MOTE_UNROLL for (size_t r = 0; r < R; ++r) {
    const VF correction = hn::Set(df, corrections[r]);
    MOTE_UNROLL for (size_t w = 0; w < W; ++w) {
      sums[r][w] = hn::Mul(hn::LoadU(df, out + r * dim + d + w * kLanes), correction);
    }
  }
  for (size_t p = part.begin; p < part.end; ++p) {
    VF value[W];
    MOTE_UNROLL for (size_t w = 0; w < W; ++w) value[w] = values.Load(p, d + w * kLanes);
    MOTE_UNROLL for (size_t r = 0; r < R; ++r) {
      const VF weight = hn::Set(df, weights[r * kAttentionBlock + p]);
      MOTE_UNROLL for (size_t w = 0; w < W; ++w) sums[r][w] = hn::MulAdd(weight, value[w], sums[r][w]);
    }
  }
  MOTE_UNROLL for (size_t r = 0; r < R; ++r) {
    MOTE_UNROLL for (size_t w = 0; w < W; ++w) hn::StoreU(sums[r][w], df, out + r * dim + d + w * kLanes);
  }
}

template <size_t R, class Values>
HWY_NOINLINE void AddValues(const Values& values, const Part& part, const float* weights, const float* corrections,
                            float* out, size_t dim) {
  constexpr size_t W = WideOf(R);
  size_t d = 0;
  for (; d + W * kLanes <= dim; d += W * kLanes) {
    AddValueTile<R, W>(values, part, weights, corrections, out, dim, d);
  }
  if constexpr (W == 4) {
    for (; d + 2 * kLanes <= dim; d += 2 * kLanes) {
      AddValueTile<R, 2>(values, part, weights, corrections, out, dim, d);
    }
  }
  for (; d < dim; d += kLanes) AddValueTile<R, 1>(values, part, weights, corrections, out, dim, d);
}

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // MOTE_VECTORS

#endif  // MOTE_SIMD_ATTENTION_INL_H_
