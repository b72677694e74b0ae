// The quantised formats as the integer matrix product sees them: chunks of 256 values, each with 8-bit codes and with
// float scales (and mins) per 32 or 16 values. Where a field lies is said in quant/blocks.h.
//
// A format has
//   kBlockBytes, kBlockValues   as in quant/dtype.h
//   kSub       values that share a scale: 32 or 16
//   kOffset    value = scale * (code - kOffset) [- min]
//   kSigned    codes are -128..127 and kOffset is 0; else 0..127
//   kHasMin
//   Codes<kPart>(d, chunk)      codes [kPart * N, kPart * N + N) for a tag of N = 16 or 32 bytes
//   Scales(chunk, scales, mins) 256 / kSub scales; 16 addends, one per 16 values, if kHasMin
// and for blocks of 32 values, of which a row may hold any number,
//   BlockScale(block), BlockMin(block)   broadcast, for the blocks that fill no chunk.
#if defined(MOTE_SIMD_FORMATS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MOTE_SIMD_FORMATS_INL_H_
#undef MOTE_SIMD_FORMATS_INL_H_
#else
#define MOTE_SIMD_FORMATS_INL_H_
#endif

#include "quant/blocks.h"
#include "simd/primitives-inl.h"

#if MOTE_VECTORS
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {

inline constexpr size_t kChunkValues = 256;

// 8 floats, in as many lanes as there are up to 8.
using D8F = hn::CappedTag<float, 8>;

// Scales may be wider than 8 floats where vectors are: Expand in matmul_a8-inl.h reads whole vectors.
inline constexpr size_t kScaleFloats = 16;

// ---- Bits

// Moves bit kFrom of each byte to bit kTo. Other bits are rubbish, some from the neighbouring byte: mask afterwards.
template <int kFrom, int kTo, class V>
HWY_INLINE V MoveBits(V v) {
  const hn::DFromV<V> d8;
  const hn::RepartitionToWide<hn::DFromV<V>> d16;
  if constexpr (kFrom > kTo) {
    return hn::BitCast(d8, hn::ShiftRight<kFrom - kTo>(hn::BitCast(d16, v)));
  } else if constexpr (kFrom < kTo) {
    return hn::BitCast(d8, hn::ShiftLeft<kTo - kFrom>(hn::BitCast(d16, v)));
  } else {
    return v;
  }
}
// Bits kFrom.. of each byte, moved to kTo, under a mask.
template <int kFrom, int kTo, class D>
HWY_INLINE hn::Vec<D> LoadBits(D d, const uint8_t* p, uint8_t mask) {
  return hn::And(MoveBits<kFrom, kTo>(hn::LoadU(d, p)), hn::Set(d, mask));
}

// The 32 nibbles of a block of 32 (NibbleOf32), or half kHalf of them where vectors have 16 bytes.
template <size_t kHalf, class D>
HWY_INLINE hn::Vec<D> BlockNibbles(D d, const uint8_t* codes) {
  const hn::Vec<D> mask = hn::Set(d, uint8_t{15});
  if constexpr (hn::MaxLanes(D()) == 16) {
    return hn::And(MoveBits<kHalf * 4, 0>(hn::LoadU(d, codes)), mask);
  } else {
    const hn::Half<D> dh;
    const auto low = hn::LoadU(dh, codes);
    return hn::And(hn::Combine(d, MoveBits<4, 0>(low), low), mask);
  }
}
// 16 where the value's bit in `high` is set. LoadMaskBits may read 8 bytes, which the block has.
template <size_t kHalf, class D>
HWY_INLINE hn::Vec<D> BlockHighBits(D d, const uint8_t* high) {
  return hn::IfThenElseZero(hn::LoadMaskBits(d, high + kHalf * 2), hn::Set(d, uint8_t{16}));
}
// 16-entry table lookup, the table in every 16-byte block.
template <class V>
HWY_INLINE V LookUp(const int8_t (&table)[16], V nibbles) {
  const hn::DFromV<V> d;
  return hn::TableLookupBytes(hn::LoadDup128(d, reinterpret_cast<const uint8_t*>(table)), nibbles);
}

// ---- Scales

// The float16 at the same place of 8 consecutive blocks, stride bytes apart. Built with the compilers' vector type: an
// array filled by 8 narrow stores could not be loaded at once before the stores have left the store buffer.
HWY_INLINE hn::Vec<hn::Full128<uint16_t>> GatherU16(const uint8_t* p, size_t stride) {
  typedef uint16_t U16x8 __attribute__((vector_size(16)));
  const U16x8 v = {Load16(p),
                   Load16(p + stride),
                   Load16(p + 2 * stride),
                   Load16(p + 3 * stride),
                   Load16(p + 4 * stride),
                   Load16(p + 5 * stride),
                   Load16(p + 6 * stride),
                   Load16(p + 7 * stride)};
  hn::Vec<hn::Full128<uint16_t>> result;
  static_assert(sizeof(result.raw) == sizeof(v));
  memcpy(&result.raw, &v, sizeof(v));
  return result;
}
// 8 floats as the chunk's scales. Whole vectors, as they will be loaded: the compiler can then keep them in registers.
HWY_INLINE void StoreScales(hn::Vec<D8F> v, float* out) {
#if HWY_MAX_BYTES == 64
  hn::Store(hn::ZeroExtendVector(DF(), v), DF(), out);
#else
  hn::Store(v, D8F(), out);
#endif
}
HWY_INLINE void StoreScales(hn::Vec<hn::Full128<uint16_t>> f16, float* out) {
#if HWY_MAX_BYTES >= 32
  StoreScales(PromoteF16(D8F(), f16), out);
#else
  const hn::Rebind<uint16_t, D8F> du16;
  StoreScales(PromoteF16(D8F(), hn::LowerHalf(f16)), out);
  StoreScales(PromoteF16(D8F(), hn::UpperHalf(du16, f16)), out + 4);
#endif
}
// Each of 8 mins twice, one per 16 values.
HWY_INLINE void StoreMins(hn::Vec<hn::Full128<uint16_t>> f16, float* out) {
  const hn::Full128<uint16_t> du16;
  const auto low = hn::InterleaveLower(du16, f16, f16);
  const auto high = hn::InterleaveUpper(du16, f16, f16);
#if HWY_MAX_BYTES == 64
  hn::Store(PromoteF16(DF(), hn::Combine(hn::Rebind<uint16_t, DF>(), high, low)), DF(), out);
#else
  StoreScales(low, out);
  StoreScales(high, out + 8);
#endif
}
// 16 small integers, each times its lane of `factor`, as floats.
template <class T>
HWY_INLINE void StoreScaled16(hn::Vec<hn::Full128<T>> v, VF factor, float* out) {
  const DF df;
#if HWY_MAX_BYTES == 64
  hn::Store(hn::Mul(hn::ConvertTo(df, hn::PromoteTo(DI32(), v)), factor), df, out);
#elif HWY_MAX_BYTES == 32
  const hn::Half<hn::Full128<T>> dh;
  hn::Store(hn::Mul(hn::ConvertTo(df, hn::PromoteTo(DI32(), hn::LowerHalf(dh, v))), factor), df, out);
  hn::Store(hn::Mul(hn::ConvertTo(df, hn::PromoteTo(DI32(), hn::UpperHalf(dh, v))), factor), df, out + 8);
#else
  const hn::Half<hn::Full128<T>> dh;
  const hn::Half<decltype(dh)> dq;
  const auto low = hn::LowerHalf(dh, v);
  const auto high = hn::UpperHalf(dh, v);
  const hn::Full128<T> d;
  hn::Store(hn::Mul(hn::ConvertTo(df, hn::PromoteTo(DI32(), hn::LowerHalf(dq, low))), factor), df, out);
  hn::Store(hn::Mul(hn::ConvertTo(
                        df, hn::PromoteTo(DI32(), hn::LowerHalf(dq, hn::LowerHalf(dh, hn::ShiftRightBytes<4>(d, v))))),
                    factor),
            df, out + 4);
  hn::Store(hn::Mul(hn::ConvertTo(df, hn::PromoteTo(DI32(), hn::LowerHalf(dq, high))), factor), df, out + 8);
  hn::Store(hn::Mul(hn::ConvertTo(
                        df, hn::PromoteTo(DI32(), hn::LowerHalf(dq, hn::LowerHalf(dh, hn::ShiftRightBytes<12>(d, v))))),
                    factor),
            df, out + 12);
#endif
}
template <class T>
HWY_INLINE hn::Vec<hn::Full128<T>> From32(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  typedef uint32_t U32x4 __attribute__((vector_size(16)));
  const U32x4 v = {a, b, c, d};
  hn::Vec<hn::Full128<T>> result;
  memcpy(&result.raw, &v, sizeof(v));
  return result;
}
// {v0 v0 v1 v1 ...} of 8 bytes: per 32 values to per 16 values.
HWY_INLINE hn::Vec<hn::Full128<uint8_t>> TwiceEach(hn::Vec<hn::Full128<uint8_t>> v) {
  return hn::InterleaveLower(hn::Full128<uint8_t>(), v, v);
}

// ---- Blocks of 32 values

template <class Block, int kOffsetValue>
struct BlockFormat {
  static constexpr size_t kBlockBytes = sizeof(Block);
  static constexpr size_t kBlockValues = kBlock;
  static constexpr size_t kSub = 32;
  static constexpr int kOffset = kOffsetValue;
  static constexpr bool kSigned = false;
  static constexpr bool kHasMin = false;

  static HWY_INLINE void Scales(const uint8_t* chunk, float* scales, float*) {
    StoreScales(GatherU16(chunk + offsetof(Block, scale), sizeof(Block)), scales);
  }
  static HWY_INLINE VF BlockScale(const uint8_t* block) { return SetF16(DF(), block + offsetof(Block, scale)); }
  static HWY_INLINE VF BlockMin(const uint8_t*) { return hn::Zero(DF()); }
};

// Which block of the chunk a part of N codes lies in, and which half of the block.
template <size_t kPart, class D>
struct PartOf32 {
  static constexpr size_t kBlockIndex = kPart * hn::MaxLanes(D()) / 32;
  static constexpr size_t kHalf = kPart * hn::MaxLanes(D()) % 32 / 16;
};

struct FormatQ4_0 : BlockFormat<BlockQ4_0, 8> {
  template <size_t kPart, class D>
  static HWY_INLINE hn::Vec<D> Codes(D d, const uint8_t* chunk) {
    using Part = PartOf32<kPart, D>;
    const uint8_t* block = chunk + Part::kBlockIndex * kBlockBytes;
    return BlockNibbles<Part::kHalf>(d, block + offsetof(BlockQ4_0, codes));
  }
};

struct FormatQ5_0 : BlockFormat<BlockQ5_0, 16> {
  template <size_t kPart, class D>
  static HWY_INLINE hn::Vec<D> Codes(D d, const uint8_t* chunk) {
    using Part = PartOf32<kPart, D>;
    const uint8_t* block = chunk + Part::kBlockIndex * kBlockBytes;
    return hn::Or(BlockNibbles<Part::kHalf>(d, block + offsetof(BlockQ5_0, codes)),
                  BlockHighBits<Part::kHalf>(d, block + offsetof(BlockQ5_0, high)));
  }
};

// value = scale * code + min
template <class Block>
struct BlockMinFormat : BlockFormat<Block, 0> {
  static constexpr bool kHasMin = true;
  static HWY_INLINE void Scales(const uint8_t* chunk, float* scales, float* mins) {
    StoreScales(GatherU16(chunk + offsetof(Block, scale), sizeof(Block)), scales);
    StoreMins(GatherU16(chunk + offsetof(Block, min), sizeof(Block)), mins);
  }
  static HWY_INLINE VF BlockMin(const uint8_t* block) { return SetF16(DF(), block + offsetof(Block, min)); }
};

struct FormatQ4_1 : BlockMinFormat<BlockQ4_1> {
  template <size_t kPart, class D>
  static HWY_INLINE hn::Vec<D> Codes(D d, const uint8_t* chunk) {
    using Part = PartOf32<kPart, D>;
    const uint8_t* block = chunk + Part::kBlockIndex * kBlockBytes;
    return BlockNibbles<Part::kHalf>(d, block + offsetof(BlockQ4_1, codes));
  }
};

struct FormatQ5_1 : BlockMinFormat<BlockQ5_1> {
  template <size_t kPart, class D>
  static HWY_INLINE hn::Vec<D> Codes(D d, const uint8_t* chunk) {
    using Part = PartOf32<kPart, D>;
    const uint8_t* block = chunk + Part::kBlockIndex * kBlockBytes;
    return hn::Or(BlockNibbles<Part::kHalf>(d, block + offsetof(BlockQ5_1, codes)),
                  BlockHighBits<Part::kHalf>(d, block + offsetof(BlockQ5_1, high)));
  }
};

struct FormatQ8_0 : BlockFormat<BlockQ8_0, 0> {
  static constexpr bool kSigned = true;
  template <size_t kPart, class D>
  static HWY_INLINE hn::Vec<D> Codes(D d, const uint8_t* chunk) {
    using Part = PartOf32<kPart, D>;
    return hn::LoadU(d, chunk + Part::kBlockIndex * kBlockBytes + offsetof(BlockQ8_0, codes) + Part::kHalf * 16);
  }
};

struct FormatIQ4_NL : BlockFormat<BlockIQ4_NL, 0> {
  static constexpr bool kSigned = true;
  template <size_t kPart, class D>
  static HWY_INLINE hn::Vec<D> Codes(D d, const uint8_t* chunk) {
    using Part = PartOf32<kPart, D>;
    const uint8_t* block = chunk + Part::kBlockIndex * kBlockBytes;
    return LookUp(kIQ4Values, BlockNibbles<Part::kHalf>(d, block + offsetof(BlockIQ4_NL, codes)));
  }
};

// kMXFP4Values + 12, so that codes are unsigned.
inline constexpr int8_t kMXFP4Codes[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};

struct FormatMXFP4 : BlockFormat<BlockMXFP4, 12> {
  template <size_t kPart, class D>
  static HWY_INLINE hn::Vec<D> Codes(D d, const uint8_t* chunk) {
    using Part = PartOf32<kPart, D>;
    const uint8_t* block = chunk + Part::kBlockIndex * kBlockBytes;
    return LookUp(kMXFP4Codes, BlockNibbles<Part::kHalf>(d, block + offsetof(BlockMXFP4, codes)));
  }
  // 2^(e - 128): exponents 0 and 1 give the subnormals 2^-128 and 2^-127.
  template <class D>
  static HWY_INLINE hn::Vec<D> PowerOfTwo(D d, hn::Vec<hn::Rebind<int32_t, D>> exponents) {
    const hn::Rebind<int32_t, D> di32;
    const auto normal = hn::ShiftLeft<23>(hn::Sub(exponents, hn::Set(di32, 1)));
    const auto subnormal = hn::Shl(hn::Set(di32, 0x00200000), hn::Min(exponents, hn::Set(di32, 1)));
    return hn::BitCast(d, hn::IfThenElse(hn::Gt(exponents, hn::Set(di32, 1)), normal, subnormal));
  }
  static HWY_INLINE void Scales(const uint8_t* chunk, float* scales, float*) {
    typedef uint32_t U32x8 __attribute__((vector_size(32)));
    const U32x8 v = {chunk[0],
                     chunk[kBlockBytes],
                     chunk[kBlockBytes * 2],
                     chunk[kBlockBytes * 3],
                     chunk[kBlockBytes * 4],
                     chunk[kBlockBytes * 5],
                     chunk[kBlockBytes * 6],
                     chunk[kBlockBytes * 7]};
    const D8F d;
    constexpr size_t kPartLanes = hn::MaxLanes(D8F());
    for (size_t i = 0; i < 8; i += kPartLanes) {
      hn::Vec<hn::Rebind<int32_t, D8F>> exponents;
      static_assert(sizeof(exponents.raw) == kPartLanes * sizeof(int32_t));
      memcpy(&exponents.raw, reinterpret_cast<const uint8_t*>(&v) + i * sizeof(int32_t), sizeof(exponents.raw));
      StoreScales(PowerOfTwo(d, exponents), scales + i);
    }
  }
  static HWY_INLINE VF BlockScale(const uint8_t* block) { return PowerOfTwo(DF(), hn::Set(DI32(), block[0])); }
};

// ---- Super-blocks of 256 values

template <class Block, size_t kSubValue, int kOffsetValue>
struct SuperFormat {
  static constexpr size_t kBlockBytes = sizeof(Block);
  static constexpr size_t kBlockValues = kSuperBlock;
  static constexpr size_t kSub = kSubValue;
  static constexpr int kOffset = kOffsetValue;
  static constexpr bool kSigned = false;
  static constexpr bool kHasMin = false;
};

// A part of N codes of a super-block: its group of 32 and the first of its bytes within the group's 32.
template <size_t kPart, class D>
struct PartOf256 {
  static constexpr size_t kGroup = kPart * hn::MaxLanes(D()) / 32;
  static constexpr size_t kByte = kPart * hn::MaxLanes(D()) % 32;
};

// 8 scales and 8 mins of 6 bits (UnpackScaleMin), by whole words: 4 of each at a time.
template <class Block>
HWY_INLINE void ScalesAndMins6(const uint8_t* chunk, float* scales, float* mins) {
  const uint8_t* packed = chunk + offsetof(Block, scales);
  const uint32_t a = Load32(packed);
  const uint32_t b = Load32(packed + 4);
  const uint32_t c = Load32(packed + 8);
  const uint32_t scales_high = (c & 0x0f0f0f0fu) | ((a >> 2) & 0x30303030u);
  const uint32_t mins_high = ((c >> 4) & 0x0f0f0f0fu) | ((b >> 2) & 0x30303030u);
  const DF df;
  const VF scale = SetF16(df, chunk + offsetof(Block, scale));
  const VF minus_min = hn::Neg(SetF16(df, chunk + offsetof(Block, min)));
  const auto unpacked_scales = From32<uint8_t>(a & 0x3f3f3f3fu, scales_high, 0, 0);
  const auto unpacked_mins = From32<uint8_t>(b & 0x3f3f3f3fu, mins_high, 0, 0);
  StoreScaled16<uint8_t>(unpacked_scales, scale, scales);
  StoreScaled16<uint8_t>(TwiceEach(unpacked_mins), minus_min, mins);
}

struct FormatQ4_K : SuperFormat<BlockQ4_K, 32, 0> {
  static constexpr bool kHasMin = true;
  template <size_t kPart, class D>
  static HWY_INLINE hn::Vec<D> Codes(D d, const uint8_t* chunk) {
    using Part = PartOf256<kPart, D>;
    const uint8_t* codes = chunk + offsetof(BlockQ4_K, codes) + Part::kGroup / 2 * 32 + Part::kByte;
    return LoadBits<Part::kGroup % 2 * 4, 0>(d, codes, 15);
  }
  static HWY_INLINE void Scales(const uint8_t* chunk, float* scales, float* mins) {
    ScalesAndMins6<BlockQ4_K>(chunk, scales, mins);
  }
};

struct FormatQ5_K : SuperFormat<BlockQ5_K, 32, 0> {
  static constexpr bool kHasMin = true;
  template <size_t kPart, class D>
  static HWY_INLINE hn::Vec<D> Codes(D d, const uint8_t* chunk) {
    using Part = PartOf256<kPart, D>;
    const uint8_t* codes = chunk + offsetof(BlockQ5_K, codes) + Part::kGroup / 2 * 32 + Part::kByte;
    const uint8_t* high = chunk + offsetof(BlockQ5_K, high) + Part::kByte;
    return hn::Or(LoadBits<Part::kGroup % 2 * 4, 0>(d, codes, 15), LoadBits<Part::kGroup, 4>(d, high, 16));
  }
  static HWY_INLINE void Scales(const uint8_t* chunk, float* scales, float* mins) {
    ScalesAndMins6<BlockQ5_K>(chunk, scales, mins);
  }
};

struct FormatQ6_K : SuperFormat<BlockQ6_K, 16, 32> {
  template <size_t kPart, class D>
  static HWY_INLINE hn::Vec<D> Codes(D d, const uint8_t* chunk) {
    using Part = PartOf256<kPart, D>;
    constexpr size_t g = Part::kGroup;
    const uint8_t* low = chunk + offsetof(BlockQ6_K, low) + g / 4 * 64 + g % 2 * 32 + Part::kByte;
    const uint8_t* high = chunk + offsetof(BlockQ6_K, high) + g / 4 * 32 + Part::kByte;
    return hn::Or(LoadBits<g % 4 / 2 * 4, 0>(d, low, 15), LoadBits<g % 4 * 2, 4>(d, high, 0x30));
  }
  static HWY_INLINE void Scales(const uint8_t* chunk, float* scales, float*) {
    const hn::Full128<int8_t> di8;
    const VF scale = SetF16(DF(), chunk + offsetof(BlockQ6_K, scale));
    StoreScaled16<int8_t>(hn::LoadU(di8, reinterpret_cast<const int8_t*>(chunk + offsetof(BlockQ6_K, scales))), scale,
                          scales);
  }
};

struct FormatQ2_K : SuperFormat<BlockQ2_K, 16, 0> {
  static constexpr bool kHasMin = true;
  template <size_t kPart, class D>
  static HWY_INLINE hn::Vec<D> Codes(D d, const uint8_t* chunk) {
    using Part = PartOf256<kPart, D>;
    const uint8_t* codes = chunk + offsetof(BlockQ2_K, codes) + Part::kGroup / 4 * 32 + Part::kByte;
    return LoadBits<Part::kGroup % 4 * 2, 0>(d, codes, 3);
  }
  static HWY_INLINE void Scales(const uint8_t* chunk, float* scales, float* mins) {
    const hn::Full128<uint8_t> du8;
    const uint8_t* packed = chunk + offsetof(BlockQ2_K, scales);
    const DF df;
    StoreScaled16<uint8_t>(LoadBits<0, 0>(du8, packed, 15), SetF16(df, chunk + offsetof(BlockQ2_K, scale)), scales);
    StoreScaled16<uint8_t>(LoadBits<4, 0>(du8, packed, 15), hn::Neg(SetF16(df, chunk + offsetof(BlockQ2_K, min))),
                           mins);
  }
};

struct FormatQ3_K : SuperFormat<BlockQ3_K, 16, 4> {
  template <size_t kPart, class D>
  static HWY_INLINE hn::Vec<D> Codes(D d, const uint8_t* chunk) {
    using Part = PartOf256<kPart, D>;
    const uint8_t* codes = chunk + offsetof(BlockQ3_K, codes) + Part::kGroup / 4 * 32 + Part::kByte;
    const uint8_t* high = chunk + offsetof(BlockQ3_K, high) + Part::kByte;
    return hn::Or(LoadBits<Part::kGroup % 4 * 2, 0>(d, codes, 3), LoadBits<Part::kGroup, 2>(d, high, 4));
  }
  // Q3Scale, 4 groups at a time.
  static HWY_INLINE void Scales(const uint8_t* chunk, float* scales, float*) {
    const uint8_t* packed = chunk + offsetof(BlockQ3_K, scales);
    const uint32_t a = Load32(packed);
    const uint32_t b = Load32(packed + 4);
    const uint32_t high = Load32(packed + 8);
    const auto biased = From32<int8_t>(
        (a & 0x0f0f0f0fu) | ((high << 4) & 0x30303030u), (b & 0x0f0f0f0fu) | ((high << 2) & 0x30303030u),
        ((a >> 4) & 0x0f0f0f0fu) | (high & 0x30303030u), ((b >> 4) & 0x0f0f0f0fu) | ((high >> 2) & 0x30303030u));
    const VF scale = SetF16(DF(), chunk + offsetof(BlockQ3_K, scale));
    StoreScaled16<int8_t>(hn::Sub(biased, hn::Set(hn::Full128<int8_t>(), 32)), scale, scales);
  }
};

struct FormatIQ4_XS : SuperFormat<BlockIQ4_XS, 32, 0> {
  static constexpr bool kSigned = true;
  template <size_t kPart, class D>
  static HWY_INLINE hn::Vec<D> Codes(D d, const uint8_t* chunk) {
    using Part = PartOf32<kPart, D>;
    const uint8_t* codes = chunk + offsetof(BlockIQ4_XS, codes) + Part::kBlockIndex * 16;
    return LookUp(kIQ4Values, BlockNibbles<Part::kHalf>(d, codes));
  }
  // IQ4Scale: nibble g of scales_low, bits 2g of scales_high above it. Each byte of a word gets one group's bits.
  static HWY_INLINE void Scales(const uint8_t* chunk, float* scales, float*) {
    const uint32_t low = Load32(chunk + offsetof(BlockIQ4_XS, scales_low));
    const uint32_t high = Load16(chunk + offsetof(BlockIQ4_XS, scales_high));
    const hn::Full128<uint8_t> du8;
    const auto low_bytes = From32<uint8_t>(low, 0, 0, 0);
    const auto nibbles = hn::And(hn::InterleaveLower(du8, low_bytes, MoveBits<4, 0>(low_bytes)), hn::Set(du8, 15));
    const auto pairs = From32<uint8_t>(Spread2To8(high & 0xffu), Spread2To8(high >> 8), 0, 0);
    const hn::Full128<int8_t> di8;
    const auto biased = hn::BitCast(di8, hn::Or(nibbles, MoveBits<0, 4>(pairs)));
    const VF scale = SetF16(DF(), chunk + offsetof(BlockIQ4_XS, scale));
    StoreScaled16<int8_t>(hn::Sub(biased, hn::Set(di8, 32)), scale, scales);
  }
  // Four fields of 2 bits to the low bits of four bytes.
  static HWY_INLINE uint32_t Spread2To8(uint32_t bits) {
    const uint32_t nibbles = (bits | bits << 12) & 0x000f000fu;
    return (nibbles | nibbles << 6) & 0x03030303u;
  }
};

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // MOTE_VECTORS

#endif  // MOTE_SIMD_FORMATS_INL_H_
