// Sums of products of signed 8-bit codes over blocks that are not known beforehand: what simd/dot-inl.h does for steps
// in a row, for one step at a time. A vector of codes is kLanes rows x 4 values of k; an activation is 4 values of one
// token, in every lane.
//
// SparseDot<kSmall> has the sums of one token:
//   kSmall      codes are -8..7 and there are at most 8 steps: what instruction sets without a dot product may add up
//   in
//               16 bits; else -128..127 and any number
//   Weights     a vector of codes, made ready once for all tokens
//   Acts        4 activations: LoadS8 from S8 rows, LoadA8 from A8 rows
//   Correction  what is the same for all tokens: Begin(), Add(codes)
// in the order Begin(), Add(weights, acts) and Correction::Add(codes) for each step, Total(correction).
#if defined(MOTE_SIMD_SPARSE_DOT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MOTE_SIMD_SPARSE_DOT_INL_H_
#undef MOTE_SIMD_SPARSE_DOT_INL_H_
#else
#define MOTE_SIMD_SPARSE_DOT_INL_H_
#endif

#include "simd/dot-inl.h"

#if MOTE_VECTORS
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {

struct NoCorrection {
  HWY_INLINE void Begin() {}
  HWY_INLINE void Add(VU8) {}
};

#if HWY_ARCH_X86 && MOTE_VNNI

// The unsigned operand is the activations, raised by 128: what that adds, 128 times the sum of the codes, is the same
// for all tokens and costs one dot product for each vector of codes. Raised weights would need the sums of the
// activations that are kept, another one for each token.
struct RaisedCorrection {
  VI32 sum;
  HWY_INLINE void Begin() { sum = hn::Zero(DI32()); }
  HWY_INLINE void Add(VU8 codes) { sum = DotU8(sum, hn::Set(DU8(), 128), hn::BitCast(DI8(), codes)); }
};

template <bool kSmall>
struct SparseDot {
  using Weights = VI8;
  using Acts = VU8;
  using Correction = RaisedCorrection;
  VI32 sum;

  static HWY_INLINE Weights Prepare(VU8 codes) { return hn::BitCast(DI8(), codes); }
  static HWY_INLINE Acts LoadS8(const uint8_t* codes) { return hn::BitCast(DU8(), hn::Set(DU32(), Load32(codes))); }
  static HWY_INLINE Acts LoadA8(const uint8_t* codes) { return hn::Xor(LoadS8(codes), hn::Set(DU8(), 128)); }
  HWY_INLINE void Begin() { sum = hn::Zero(DI32()); }
  HWY_INLINE void Add(const Weights& weights, const Acts& acts) { sum = DotU8(sum, acts, weights); }
  HWY_INLINE VI32 Total(const Correction& correction) const { return hn::Sub(sum, correction.sum); }
};

#elif HWY_ARCH_ARM && defined(__ARM_FEATURE_DOTPROD)

template <bool kSmall>
struct SparseDot {
  using Weights = int8x16_t;
  using Acts = int8x16_t;
  using Correction = NoCorrection;
  int32x4_t sum;

  static HWY_INLINE Weights Prepare(VU8 codes) { return vreinterpretq_s8_u8(codes.raw); }
  static HWY_INLINE Acts LoadS8(const uint8_t* codes) {
    return vreinterpretq_s8_u32(vld1q_dup_u32(reinterpret_cast<const uint32_t*>(codes)));
  }
  static HWY_INLINE Acts LoadA8(const uint8_t* codes) { return LoadS8(codes); }
  HWY_INLINE void Begin() { sum = vdupq_n_s32(0); }
  HWY_INLINE void Add(const Weights& weights, const Acts& acts) { sum = vdotq_s32(sum, weights, acts); }
  HWY_INLINE VI32 Total(const Correction&) const { return VI32(sum); }
};

#else

// DotSum's step that is neither the first nor the last: in 32 bits where each step leaves 16, in 16 bits where 8 may.
template <bool kSmall>
struct SparseDot {
  using Dot = DotSum<false, kSmall ? 8 : 1>;
  using Weights = typename Dot::Weights;
  using Acts = typename Dot::Acts;
  using Correction = NoCorrection;
  Dot dot;

  static HWY_INLINE Weights Prepare(VU8 codes) { return Dot::Prepare(codes); }
  static HWY_INLINE Acts LoadS8(const uint8_t* codes) {
    Acts acts;
    Dot::template LoadActs<0>(codes, acts);
    return acts;
  }
  static HWY_INLINE Acts LoadA8(const uint8_t* codes) { return LoadS8(codes); }
  HWY_INLINE void Add(const Weights& weights, const Acts& acts) { dot.template Add<1>(weights, acts); }

#if HWY_ARCH_X86
  using DI16 = hn::ScalableTag<int16_t>;
  HWY_INLINE void Begin() {
    if constexpr (kSmall) dot.pairs = hn::Zero(DI16());
    if constexpr (!kSmall) dot.sum = hn::Zero(DI32());
  }
  HWY_INLINE VI32 Total(const Correction&) const {
    if constexpr (!kSmall) return dot.sum;
#if HWY_TARGET <= HWY_AVX3
    return VI32{_mm512_madd_epi16(dot.pairs.raw, _mm512_set1_epi16(1))};
#elif HWY_TARGET == HWY_AVX2
    return VI32{_mm256_madd_epi16(dot.pairs.raw, _mm256_set1_epi16(1))};
#else
    return VI32{_mm_madd_epi16(dot.pairs.raw, _mm_set1_epi16(1))};
#endif
  }
#elif HWY_ARCH_ARM
  HWY_INLINE void Begin() {
    dot.low = vdupq_n_s16(0);
    dot.high = vdupq_n_s16(0);
    dot.sum_low = vdupq_n_s32(0);
    dot.sum_high = vdupq_n_s32(0);
  }
  HWY_INLINE VI32 Total(const Correction&) const {
    if constexpr (!kSmall) return VI32(vpaddq_s32(dot.sum_low, dot.sum_high));
    return VI32(vpaddq_s32(vpaddlq_s16(dot.low), vpaddlq_s16(dot.high)));
  }
#elif defined(__wasm_relaxed_simd__)
  HWY_INLINE void Begin() {
    dot.Begin(hn::Zero(DI32()));
  }
  HWY_INLINE VI32 Total(const Correction&) const {
    return dot.Total(hn::Zero(DI32()));
  }
#else
  HWY_INLINE void Begin() {
    dot.pairs = wasm_i32x4_const_splat(0);
    dot.sum = wasm_i32x4_const_splat(0);
  }
  HWY_INLINE VI32 Total(const Correction&) const {
    if constexpr (!kSmall) return VI32{dot.sum};
    return VI32{wasm_i32x4_extadd_pairwise_i16x8(dot.pairs)};
  }
#endif
};

#endif

#if HWY_ARCH_WASM && defined(__wasm_relaxed_simd__)

// SparseDot<false> where one relaxed dot product takes all 8 bits of its second operand. Signed: those are the codes.
// Unsigned: the activations, raised by 128; the codes are the first operand, which is signed everywhere. What raising
// adds is the same for all tokens, as on x86.
struct SignedRelaxedDot {
  using Weights = v128_t;
  using Acts = v128_t;
  using Correction = NoCorrection;
  v128_t sum;

  static HWY_INLINE Weights Prepare(VU8 codes) { return codes.raw; }
  static HWY_INLINE Acts LoadS8(const uint8_t* codes) { return wasm_v128_load32_splat(codes); }
  HWY_INLINE void Begin() { sum = wasm_i32x4_const_splat(0); }
  HWY_INLINE void Add(const Weights& weights, const Acts& acts) {
    sum = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(acts, weights, sum);
  }
  HWY_INLINE VI32 Total(const Correction&) const { return VI32{sum}; }
};

struct UnsignedRelaxedDot {
  using Weights = v128_t;
  using Acts = v128_t;
  struct Correction {
    v128_t sum;
    HWY_INLINE void Begin() { sum = wasm_i32x4_const_splat(0); }
    HWY_INLINE void Add(VU8 codes) {
      sum = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(codes.raw, wasm_i8x16_const_splat(-128), sum);
    }
  };
  v128_t sum;

  static HWY_INLINE Weights Prepare(VU8 codes) { return codes.raw; }
  static HWY_INLINE Acts LoadS8(const uint8_t* codes) {
    return wasm_v128_xor(wasm_v128_load32_splat(codes), wasm_i8x16_const_splat(-128));
  }
  HWY_INLINE void Begin() { sum = wasm_i32x4_const_splat(0); }
  HWY_INLINE void Add(const Weights& weights, const Acts& acts) {
    sum = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(weights, acts, sum);
  }
  HWY_INLINE VI32 Total(const Correction& correction) const { return VI32{wasm_i32x4_sub(sum, correction.sum)}; }
};

#endif

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // MOTE_VECTORS

#endif  // MOTE_SIMD_SPARSE_DOT_INL_H_
