// Sums of products of 8-bit codes, the inner loop of the quantised matrix product, as each instruction set does them
// best.
//
// A vector of codes is kLanes rows x 4 values of k; a step multiplies it by the 4 activations of one token. DotSum has
// the sums of 4 or 8 steps, one per row:
//   kUnsigned   codes are 0..127 (0..255 where kDotTakesU8), else -128..127; activations are -127..127
//   kSteps      1, 2, 4 or 8: as many steps may be added up in 16 bits; StepsIn16Bits
//   Weights     a vector of codes, made ready once for all tokens
//   Acts        activations of one token, made ready once for all vectors of codes; LoadActs<kJ> must see all kJ in
//   order Begin(start), Add<kStep>(weights, acts) for all steps in order, Total(start)
// What Begin and Total are given is added once: integers, exact in any order. Sums of any number of steps: Clear(),
// then whole groups of 8 as the steps 8 to 15.
#if defined(MOTE_SIMD_DOT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MOTE_SIMD_DOT_INL_H_
#undef MOTE_SIMD_DOT_INL_H_
#else
#define MOTE_SIMD_DOT_INL_H_
#endif

#include "simd/primitives-inl.h"

#if MOTE_VECTORS
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {

// kDotTakesU8: unsigned codes may be 0..255. kPreferUnsigned: unsigned codes are cheaper than signed ones, so that
// codes with an offset had better stay unsigned; the offset is corrected once per sum. kPreferUnsignedFew: where codes
// come straight from panels, and are widened for one token or a few.
#if MOTE_VNNI
inline constexpr bool kDotTakesU8 = true;
#else
inline constexpr bool kDotTakesU8 = false;
#endif
#if HWY_ARCH_X86 || defined(__wasm_relaxed_simd__)
inline constexpr bool kPreferUnsigned = true;
#else
inline constexpr bool kPreferUnsigned = false;
#endif
inline constexpr bool kPreferUnsignedFew = kPreferUnsigned || HWY_ARCH_WASM;

// Products that are added up before they leave 16 bits, per step.
#if MOTE_VNNI || (HWY_ARCH_ARM && defined(__ARM_FEATURE_DOTPROD)) || defined(__wasm_relaxed_simd__)
inline constexpr int kProductsIn16Bits = 0;  // none: 32 bits at once
#elif HWY_ARCH_ARM
inline constexpr int kProductsIn16Bits = 1;
#else
inline constexpr int kProductsIn16Bits = 2;
#endif
// Of `steps`, for codes of magnitude `largest` or less.
constexpr size_t StepsIn16Bits(int largest, size_t steps) {
  if (kProductsIn16Bits == 0) return steps;
  while (steps > 1 && kProductsIn16Bits * static_cast<int>(steps) * largest * 127 > 32767) steps /= 2;
  return steps;
}

#if HWY_ARCH_X86 && MOTE_VNNI

template <bool kUnsigned, size_t kSteps>
struct DotSum {
  static_assert(kUnsigned, "codes are raised to 0..255");
  using Weights = VU8;
  using Acts = VI8;
  VI32 sum;

  static HWY_INLINE Weights Prepare(VU8 codes) { return codes; }
  template <size_t kJ>
  static HWY_INLINE void LoadActs(const uint8_t* codes, Acts& acts) {
    acts = hn::BitCast(DI8(), hn::Set(DU32(), Load32(codes + 4 * kJ)));
  }
  HWY_INLINE void Begin(VI32 start) { sum = start; }
  HWY_INLINE void Clear() { sum = hn::Zero(DI32()); }
  template <size_t kStep>
  HWY_INLINE void Add(const Weights& weights, const Acts& acts) {
    sum = DotU8(sum, weights, acts);
    HoldInRegister(sum);  // else every sum of I8's tile is stored once in 32 values, a quarter of the time
  }
  HWY_INLINE VI32 Total(VI32) const { return sum; }
};

#elif HWY_ARCH_X86

#if HWY_TARGET <= HWY_AVX3
#define MOTE_X86(op) _mm512_##op
#elif HWY_TARGET == HWY_AVX2
#define MOTE_X86(op) _mm256_##op
#else
#define MOTE_X86(op) _mm_##op
#endif

// maddubs adds two products in 16 bits, and saturates: 2 * 128 * 127 = 32512 still fits. Sums of kSteps of them go to
// 32 bits by a multiplication with ones.
template <bool kUnsigned, size_t kSteps>
struct DotSum {
  using DI16 = hn::ScalableTag<int16_t>;
  struct Weights {
    VU8 magnitude;
    VI8 codes;  // where signed
  };
  using Acts = VI8;
  hn::Vec<DI16> pairs;
  VI32 sum;

  static HWY_INLINE Weights Prepare(VU8 codes) {
    const VI8 as_signed = hn::BitCast(DI8(), codes);
    // |-128| is 128 in an unsigned byte.
    return {kUnsigned ? codes : VU8{MOTE_X86(abs_epi8)(as_signed.raw)}, as_signed};
  }
  template <size_t kJ>
  static HWY_INLINE void LoadActs(const uint8_t* codes, Acts& acts) {
    acts = hn::BitCast(DI8(), hn::Set(DU32(), Load32(codes + 4 * kJ)));
  }
  HWY_INLINE void Begin(VI32) {}
  HWY_INLINE void Clear() { sum = hn::Zero(DI32()); }
  template <size_t kStep>
  HWY_INLINE void Add(const Weights& weights, const Acts& acts) {
    const DI16 di16;
    const hn::Vec<DI16> two{MOTE_X86(maddubs_epi16)(weights.magnitude.raw, WithSign(acts, weights.codes).raw)};
    pairs = kStep % kSteps == 0 ? two : hn::Add(pairs, two);
    HoldInRegister(pairs);  // else all steps are multiplied first, and the products wait on the stack
    if constexpr (kStep % kSteps == kSteps - 1) {
      const VI32 four{MOTE_X86(madd_epi16)(pairs.raw, hn::Set(di16, 1).raw)};
      sum = kStep < kSteps ? four : hn::Add(sum, four);
      // Of signed codes products of many tokens are 1.2 times as fast so in Q8_0 and IQ4_NL, 1.07 in I8; of unsigned
      // ones, whose sums are rarer, 0.9 to 1.0 (AVX2 on Zen 5).
      if constexpr (!kUnsigned) HoldInRegister(sum);
    }
  }
  HWY_INLINE VI32 Total(VI32 start) const { return hn::Add(sum, start); }

 private:
  // Products with |codes|: the activations take the codes' sign. -acts cannot overflow.
  static HWY_INLINE VI8 WithSign(VI8 acts, [[maybe_unused]] VI8 codes) {
    if constexpr (kUnsigned) return acts;
#if HWY_TARGET <= HWY_AVX3
    const __mmask64 negative = _mm512_movepi8_mask(codes.raw);
    return VI8{_mm512_mask_sub_epi8(acts.raw, negative, _mm512_setzero_si512(), acts.raw)};
#else
    return VI8{MOTE_X86(sign_epi8)(acts.raw, codes.raw)};
#endif
  }
};
#undef MOTE_X86

#elif HWY_ARCH_ARM && defined(__ARM_FEATURE_DOTPROD)

// The instruction takes its 4 activations from any lane of a vector of 16: one load serves 4 steps.
template <bool kUnsigned, size_t kSteps>
struct DotSum {
  using Weights = int8x16_t;
  using Acts = int8x16_t;
  int32x4_t sum;

  static HWY_INLINE Weights Prepare(VU8 codes) { return vreinterpretq_s8_u8(codes.raw); }
  template <size_t kJ>
  static HWY_INLINE void LoadActs(const uint8_t* codes, Acts& acts) {
    if constexpr (kJ % 4 == 0) acts = vld1q_s8(reinterpret_cast<const int8_t*>(codes) + 4 * kJ);
  }
  HWY_INLINE void Begin(VI32 start) { sum = start.raw; }
  HWY_INLINE void Clear() { sum = vdupq_n_s32(0); }
  template <size_t kStep>
  HWY_INLINE void Add(const Weights& weights, const Acts& acts) {
    sum = vdotq_laneq_s32(sum, weights, acts, kStep % 4);
  }
  HWY_INLINE VI32 Total(VI32) const { return VI32(sum); }
};

#elif HWY_ARCH_ARM

// 16-bit products of the rows 0 and 1, and of 2 and 3: four of each row side by side, whose sums are folded at the end.
template <bool kUnsigned, size_t kSteps>
struct DotSum {
  using Weights = int8x16_t;
  using Acts = int8x8_t;
  int16x8_t low, high;
  int32x4_t sum_low, sum_high;

  static HWY_INLINE Weights Prepare(VU8 codes) { return vreinterpretq_s8_u8(codes.raw); }
  template <size_t kJ>
  static HWY_INLINE void LoadActs(const uint8_t* codes, Acts& acts) {
    acts = vreinterpret_s8_u32(vdup_n_u32(Load32(codes + 4 * kJ)));
  }
  HWY_INLINE void Begin(VI32) {}
  HWY_INLINE void Clear() { sum_low = sum_high = vdupq_n_s32(0); }
  template <size_t kStep>
  HWY_INLINE void Add(const Weights& weights, const Acts& acts) {
    if constexpr (kStep % kSteps == 0) {
      low = vmull_s8(vget_low_s8(weights), acts);
      high = vmull_s8(vget_high_s8(weights), acts);
    } else {
      low = vmlal_s8(low, vget_low_s8(weights), acts);
      high = vmlal_s8(high, vget_high_s8(weights), acts);
    }
    if constexpr (kStep % kSteps == kSteps - 1) {
      sum_low = kStep < kSteps ? vpaddlq_s16(low) : vpadalq_s16(sum_low, low);
      sum_high = kStep < kSteps ? vpaddlq_s16(high) : vpadalq_s16(sum_high, high);
    }
  }
  HWY_INLINE VI32 Total(VI32 start) const { return hn::Add(VI32(vpaddq_s32(sum_low, sum_high)), start); }
};

#elif HWY_ARCH_WASM

// Codes and activations in 16 bits, the even and the odd values of k apart. Small codes are multiplied and added in 16
// bits, which an Arm engine does in one instruction; the dot product of 16-bit values takes it three.
template <bool kUnsigned, size_t kSteps>
struct DotSum16 {
  struct Halves {
    v128_t even, odd;
  };
  using Weights = Halves;
  using Acts = Halves;
  v128_t pairs, sum;

  static HWY_INLINE Weights Prepare(VU8 codes) {
    if constexpr (!kUnsigned) return Widen(codes.raw);
    return {wasm_v128_and(codes.raw, wasm_i16x8_const_splat(255)), wasm_u16x8_shr(codes.raw, 8)};
  }
  template <size_t kJ>
  static HWY_INLINE void LoadActs(const uint8_t* codes, Acts& acts) {
    acts = Widen(wasm_v128_load32_splat(codes + 4 * kJ));
  }
  HWY_INLINE void Begin(VI32) {}
  HWY_INLINE void Clear() { sum = wasm_i32x4_const_splat(0); }
  template <size_t kStep>
  HWY_INLINE void Add(const Weights& weights, const Acts& acts) {
    if constexpr (kSteps == 1) {
      const v128_t even = wasm_i32x4_dot_i16x8(weights.even, acts.even);
      sum = kStep == 0 ? even : wasm_i32x4_add(sum, even);
      sum = wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(weights.odd, acts.odd));
      return;
    }
    const v128_t even = wasm_i16x8_mul(weights.even, acts.even);
    pairs = kStep % kSteps == 0 ? even : wasm_i16x8_add(pairs, even);
    pairs = wasm_i16x8_add(pairs, wasm_i16x8_mul(weights.odd, acts.odd));
    if constexpr (kStep % kSteps == kSteps - 1) {
      const v128_t four = wasm_i32x4_extadd_pairwise_i16x8(pairs);
      sum = kStep < kSteps ? four : wasm_i32x4_add(sum, four);
    }
  }
  HWY_INLINE VI32 Total(VI32 start) const { return hn::Add(VI32{sum}, start); }

 private:
  static HWY_INLINE Halves Widen(v128_t bytes) {
    return {wasm_i16x8_shr(wasm_i16x8_shl(bytes, 8), 8), wasm_i16x8_shr(bytes, 8)};
  }
};

#if defined(__wasm_relaxed_simd__)

// What an engine's relaxed dot product makes of the eighth bit of its second operand is its own matter, but always the
// same: V8 takes 0..255 with AVX-VNNI and saturates sums of pairs on older x86 processors; on Arm all 8 are signed.
enum class RelaxedDot { kSevenBits, kUnsigned, kSigned };

// Four times first * second in every lane; the compiler does not know the result.
HWY_INLINE bool RelaxedDotGives(int first, int second, int32_t sum) {
  asm volatile("" : "+r"(first), "+r"(second));
  const v128_t a = wasm_i8x16_splat(static_cast<int8_t>(first)), b = wasm_i8x16_splat(static_cast<int8_t>(second));
  const v128_t dot = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(a, b, wasm_i32x4_const_splat(0));
  return wasm_i32x4_all_true(wasm_i32x4_eq(dot, wasm_i32x4_splat(sum)));
}
// To be asked once per product. The largest sums of both signs tell whether sums of pairs saturate.
HWY_INLINE RelaxedDot AskRelaxedDot() {
  if (RelaxedDotGives(127, 255, 4 * 127 * 255) && RelaxedDotGives(-128, 255, 4 * -128 * 255)) {
    return RelaxedDot::kUnsigned;
  }
  if (RelaxedDotGives(127, -128, 4 * 127 * -128) && RelaxedDotGives(-127, -128, 4 * 127 * 128)) {
    return RelaxedDot::kSigned;
  }
  return RelaxedDot::kSevenBits;
}

// The relaxed dot product: every engine gives the same result while its second operand is in 0..127 and no pair of
// products leaves 16 bits. Signed codes are their low 7 bits minus 128 times their sign bit: two dot products.
template <bool kUnsigned, size_t kSteps>
struct DotSum {
  struct Weights {
    v128_t low7;
    v128_t negative;  // where signed
  };
  using Acts = v128_t;
  v128_t sum, of_negative;

  static HWY_INLINE Weights Prepare(VU8 codes) {
    if constexpr (kUnsigned) return {codes.raw, codes.raw};
    return {wasm_v128_and(codes.raw, wasm_i8x16_splat(127)), wasm_u8x16_shr(codes.raw, 7)};
  }
  template <size_t kJ>
  static HWY_INLINE void LoadActs(const uint8_t* codes, Acts& acts) {
    acts = wasm_v128_load32_splat(codes + 4 * kJ);
  }
  HWY_INLINE void Begin(VI32 start) {
    sum = start.raw;
    of_negative = wasm_i32x4_const_splat(0);
  }
  HWY_INLINE void Clear() { Begin(hn::Zero(DI32())); }
  template <size_t kStep>
  HWY_INLINE void Add(const Weights& weights, const Acts& acts) {
    sum = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(acts, weights.low7, sum);
    if constexpr (!kUnsigned) {
      of_negative = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(acts, weights.negative, of_negative);
    }
  }
  HWY_INLINE VI32 Total(VI32) const {
    if constexpr (kUnsigned) return VI32{sum};
    return VI32{wasm_i32x4_sub(sum, wasm_i32x4_shl(of_negative, 7))};
  }
};

#else

template <bool kUnsigned, size_t kSteps>
using DotSum = DotSum16<kUnsigned, kSteps>;

#endif

#else
#error "No 8-bit dot product for this architecture: add one above, and a row to dispatch.cc"
#endif

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // MOTE_VECTORS

#endif  // MOTE_SIMD_DOT_INL_H_
