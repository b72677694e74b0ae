// What Highway 1.0.3 lacks, per instruction set: 8-bit dot products, exact float16 conversions, partial loads.
//
// Included once per instruction set (see foreach_target.h in Highway); so are all *-inl.h files here.
#if defined(MOTE_SIMD_PRIMITIVES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MOTE_SIMD_PRIMITIVES_INL_H_
#undef MOTE_SIMD_PRIMITIVES_INL_H_
#else
#define MOTE_SIMD_PRIMITIVES_INL_H_
#endif

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "hwy/highway.h"
#include "simd/targets.h"

// Highway's fallback target exists in every build of it; our fallback is simd/ref.
#undef MOTE_VECTORS
#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128
#define MOTE_VECTORS 0
#else
#define MOTE_VECTORS 1
#endif

// Highway 1.0.3 names AVX-VNNI, not AVX512-VNNI, to the compiler for HWY_AVX3_DL, and has no target for AVX2 with
// AVX-VNNI: that is a variant of HWY_AVX2 (targets.h).
#undef MOTE_BEFORE_NAMESPACE
#undef MOTE_VNNI
#if HWY_TARGET == HWY_AVX3_DL
#define MOTE_VNNI 1
#define MOTE_BEFORE_NAMESPACE() \
  HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512vnni") static_assert(true, "For requiring trailing semicolon")
#elif HWY_TARGET == HWY_AVX2 && defined(MOTE_AVX_VNNI)
#define MOTE_VNNI 1
#define MOTE_BEFORE_NAMESPACE() \
  HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avxvnni") static_assert(true, "For requiring trailing semicolon")
#else
#define MOTE_VNNI 0
#define MOTE_BEFORE_NAMESPACE() HWY_BEFORE_NAMESPACE()
#endif

// Loops over the rows and tokens of a tile must disappear: only then do its accumulators stay in registers.
#ifndef MOTE_UNROLL
#if defined(__clang__)
#define MOTE_UNROLL _Pragma("clang loop unroll(full)")
#else
#define MOTE_UNROLL _Pragma("GCC unroll 16")
#endif
#endif

#if MOTE_VECTORS
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using DI32 = hn::ScalableTag<int32_t>;
using DU32 = hn::ScalableTag<uint32_t>;
using DI8 = hn::ScalableTag<int8_t>;
using DU8 = hn::ScalableTag<uint8_t>;
using VF = hn::Vec<DF>;
using VI32 = hn::Vec<DI32>;
using VU32 = hn::Vec<DU32>;
using VI8 = hn::Vec<DI8>;
using VU8 = hn::Vec<DU8>;
inline constexpr size_t kLanes = HWY_MAX_BYTES / sizeof(float);
inline constexpr size_t kBytes = HWY_MAX_BYTES;

// Has the vector in a register here, which costs no instruction: gcc 12 puts off sums, copies them or stores them in
// each turn of a loop where a tile has many. Other compilers need no telling.
template <class V>
HWY_INLINE void HoldInRegister([[maybe_unused]] V& v) {
#if HWY_ARCH_X86 && HWY_COMPILER_GCC_ACTUAL
  asm("" : "+v"(v.raw));
#endif
}

HWY_INLINE uint16_t Load16(const void* p) {
  uint16_t bits;
  memcpy(&bits, p, sizeof(bits));
  return bits;
}
HWY_INLINE uint32_t Load32(const void* p) {
  uint32_t bits;
  memcpy(&bits, p, sizeof(bits));
  return bits;
}
HWY_INLINE float LoadScalar(const void* p) {
  float value;
  memcpy(&value, p, sizeof(value));
  return value;
}

// ---- Partial vectors: the first n lanes, n < kLanes; the others are zero and their memory is not touched.

template <class T>
HWY_INLINE hn::Vec<hn::ScalableTag<T>> LoadPartial(hn::ScalableTag<T> d, const T* p, size_t n) {
  HWY_ALIGN T lanes[HWY_MAX_BYTES / sizeof(T)] = {};
  memcpy(lanes, p, n * sizeof(T));
  return hn::Load(d, lanes);
}
template <class T>
HWY_INLINE void StorePartial(hn::Vec<hn::ScalableTag<T>> v, hn::ScalableTag<T> d, T* p, size_t n) {
  HWY_ALIGN T lanes[HWY_MAX_BYTES / sizeof(T)];
  hn::Store(v, d, lanes);
  memcpy(p, lanes, n * sizeof(T));
}
// memcpy calls would dominate short rows where masks are at hand.
#if HWY_TARGET <= HWY_AVX2 && HWY_ARCH_X86 && !HWY_MEM_OPS_MIGHT_FAULT
HWY_INLINE VF LoadPartial(DF d, const float* p, size_t n) {
  return hn::MaskedLoad(hn::FirstN(d, n), d, p);
}
HWY_INLINE void StorePartial(VF v, DF d, float* p, size_t n) {
  hn::BlendedStore(v, hn::FirstN(d, n), d, p);
}
#endif

// ---- float16 and bfloat16

// Instruction sets without a conversion of their own.
#undef MOTE_SLOW_F16
#if HWY_TARGET == HWY_SSE4 || HWY_ARCH_WASM
#define MOTE_SLOW_F16 1
#else
#define MOTE_SLOW_F16 0
#endif

// As many floats as D has lanes, exact, subnormals and infinities included.
template <class D>
HWY_INLINE hn::Vec<D> PromoteF16(D d, hn::Vec<hn::Rebind<uint16_t, D>> bits) {
#if MOTE_SLOW_F16
  // The exponent and mantissa moved to their place in a float32 are too small by 2^112: one exact product repairs
  // normal and subnormal values alike. Infinity and NaN get the largest exponent.
  const hn::Rebind<uint32_t, D> du32;
  const auto wide = hn::PromoteTo(du32, bits);
  const auto magnitude = hn::And(wide, hn::Set(du32, 0x7fffu));
  const auto sign = hn::ShiftLeft<16>(hn::Xor(wide, magnitude));
  const auto scaled = hn::Mul(hn::BitCast(d, hn::ShiftLeft<13>(magnitude)), hn::Set(d, 0x1p112f));
  const hn::Rebind<int32_t, D> di32;
  const auto special = hn::RebindMask(du32, hn::Gt(hn::BitCast(di32, magnitude), hn::Set(di32, 0x7bff)));
  const auto exponent = hn::IfThenElseZero(special, hn::Set(du32, 0x7f800000u));
  return hn::BitCast(d, hn::Or(hn::Or(hn::BitCast(du32, scaled), exponent), sign));
#else
  return hn::PromoteTo(d, hn::BitCast(hn::Rebind<hwy::float16_t, D>(), bits));
#endif
}
template <class D>
HWY_INLINE hn::Vec<D> LoadF16(D d, const uint16_t* p) {
  return PromoteF16(d, hn::LoadU(hn::Rebind<uint16_t, D>(), p));
}
#if MOTE_SLOW_F16
// A vector of one value, for a loop. V8 makes constants anew wherever they are used, two or three instructions each;
// what comes from memory stays in its register.
template <uint32_t kBits, class D>
HWY_INLINE hn::Vec<D> SetForLoop(D d) {
#if HWY_ARCH_WASM
  alignas(16) static constexpr uint32_t kValue[] = {kBits, kBits, kBits, kBits};
  const void* p = kValue;
  asm("" : "+r"(p));
  return hn::BitCast(d, hn::Load(DU32(), static_cast<const uint32_t*>(p)));
#else
  return hn::BitCast(d, hn::Set(DU32(), kBits));
#endif
}
// 2 * kLanes values in half the instructions that LoadF16 takes, but a signalling NaN becomes quiet. The upper and
// lower halves of the float32 are made side by side in 16 bits; infinity and NaN have their exponent before the
// product.
HWY_INLINE void LoadTwoF16(const uint16_t* p, VF& first, VF& second) {
  const hn::ScalableTag<uint16_t> du16;
  const hn::ScalableTag<int16_t> di16;
  const auto bits = hn::LoadU(du16, p);
  const auto moved = hn::BitCast(du16, hn::ShiftRight<3>(hn::BitCast(di16, bits)));
  const auto exponent = SetForLoop<0x7c007c00>(du16);
  const auto special = hn::VecFromMask(du16, hn::Eq(hn::And(bits, exponent), exponent));
  const auto upper =
      hn::Or(hn::And(moved, SetForLoop<0x8fff8fff>(du16)), hn::And(special, SetForLoop<0x70007000>(du16)));
  const auto lower = hn::ShiftLeft<13>(bits);
  const VF scale = SetForLoop<0x77800000>(DF());  // 2^112
  first = hn::Mul(hn::BitCast(DF(), hn::InterleaveLower(du16, lower, upper)), scale);
  second = hn::Mul(hn::BitCast(DF(), hn::InterleaveUpper(du16, lower, upper)), scale);
}
#endif
template <class D>
HWY_INLINE hn::Vec<D> LoadBF16(D d, const uint16_t* p) {
  const hn::Rebind<uint32_t, D> du32;
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(du32, hn::LoadU(hn::Rebind<uint16_t, D>(), p))));
}
// One float16 at p, in all lanes.
template <class D>
HWY_INLINE hn::Vec<D> SetF16(D d, const void* p) {
  return PromoteF16(d, hn::Set(hn::Rebind<uint16_t, D>(), Load16(p)));
}

// Rounds to nearest even; overflow gives infinity.
HWY_INLINE void StoreF16(VF v, [[maybe_unused]] DF df, uint16_t* p) {
  const hn::Rebind<uint16_t, DF> du16;
#if MOTE_SLOW_F16
  const DU32 du32;
  const DI32 di32;
  const VU32 bits = hn::BitCast(du32, v);
  const VU32 magnitude = hn::And(bits, hn::Set(du32, 0x7fffffffu));
  const VU32 sign = hn::ShiftRight<16>(hn::Xor(bits, magnitude));
  const VI32 signed_magnitude = hn::BitCast(di32, magnitude);
  // Normal: rebase the exponent, round on the 13 bits that go; a carry into the exponent is right, up to infinity.
  const VU32 rebased = hn::Sub(magnitude, hn::Set(du32, (127u - 15u) << 23));
  const VU32 odd = hn::And(hn::ShiftRight<13>(rebased), hn::Set(du32, 1u));
  const VU32 normal = hn::ShiftRight<13>(hn::Add(hn::Add(rebased, hn::Set(du32, 0x0fffu)), odd));
  // Below 2^-14: adding 0.5 puts the value's 2^-24 at the last bit of the float32 mantissa, and rounds there.
  const VF half = hn::Set(df, 0.5f);
  const VU32 small = hn::Sub(hn::BitCast(du32, hn::Add(hn::BitCast(df, magnitude), half)), hn::BitCast(du32, half));
  // 65520 and more round to infinity; NaN keeps the top of its payload and becomes quiet.
  const VU32 payload = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(du32, 0x3ffu));
  const VU32 nan = hn::Or(payload, hn::Set(du32, 0x7e00u));
  const auto is_small = hn::RebindMask(du32, hn::Lt(signed_magnitude, hn::Set(di32, 0x38800000)));
  const auto is_large = hn::RebindMask(du32, hn::Gt(signed_magnitude, hn::Set(di32, 0x477fefff)));
  const auto is_nan = hn::RebindMask(du32, hn::Gt(signed_magnitude, hn::Set(di32, 0x7f800000)));
  VU32 result = hn::IfThenElse(is_small, small, normal);
  result = hn::IfThenElse(is_large, hn::Set(du32, 0x7c00u), result);
  result = hn::IfThenElse(is_nan, nan, result);
  // DemoteTo saturates signed values: all 16 bits fit only after sign extension.
  const VU32 whole = hn::Or(result, sign);
  const VI32 extended = hn::ShiftRight<16>(hn::BitCast(di32, hn::ShiftLeft<16>(whole)));
  const hn::Rebind<int16_t, DF> di16;
  hn::StoreU(hn::BitCast(du16, hn::DemoteTo(di16, extended)), du16, p);
#else
  hn::StoreU(hn::BitCast(du16, hn::DemoteTo(hn::Rebind<hwy::float16_t, DF>(), v)), du16, p);
#endif
}

// ---- The 8-bit dot product where one instruction does it: each int32 lane gains the products of its 4 pairs of bytes.
// simd/dot-inl.h has the sums of them for all instruction sets.

#if MOTE_VNNI
// codes in 0..255, acts in -128..127.
HWY_INLINE VI32 DotU8(VI32 sum, VU8 codes, VI8 acts) {
#if HWY_TARGET == HWY_AVX2
  return VI32{_mm256_dpbusd_avx_epi32(sum.raw, codes.raw, acts.raw)};
#else
  return VI32{_mm512_dpbusd_epi32(sum.raw, codes.raw, acts.raw)};
#endif
}
#elif HWY_ARCH_ARM && defined(__ARM_FEATURE_DOTPROD)
HWY_INLINE VI32 DotI8(VI32 sum, VI8 codes, VI8 acts) {
  return VI32(vdotq_s32(sum.raw, codes.raw, acts.raw));
}
#endif

// The sum of all lanes, always in the same order.
HWY_INLINE float SumLanes(VF v) {
  return hn::GetLane(hn::SumOfLanes(DF(), v));
}

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // MOTE_VECTORS

#endif  // MOTE_SIMD_PRIMITIVES_INL_H_
