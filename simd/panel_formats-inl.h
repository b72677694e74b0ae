// The quantised formats as the integer matrix product sees them: panels (simd/pack.h) whose chunks hold up to 8 blocks
// of 32 values, each with vectors of 8-bit codes (rows x 4 values of k) and, per row, float scales (and mins) for 32 or
// for 16 values.
//
// A format has
//   kFileValues, kFileBytes    of its blocks, as in quant/dtype.h
//   kBlocks    blocks of 32 in a unit, the part of a chunk that Codes unrolls: 1, 2 or 4
//   kSuper     a chunk is a super-block: always 8 blocks, and its scales are unpacked together
//   kSub       values that share a scale: 32 or 16
//   kOffset    value = scale * (code - kOffset) [- min]
//   kSigned    codes are -128..127 before kDotTakesU8 raises them; else 0..kLargest
//   kLargest   of the codes' magnitudes
//   kHasMin
//   kSmallScale  scales are below 2^100
//   kPlainWords  4 where a block's codes are the nibbles of four words and nothing else, 8 where the bytes of eight
//   kHalfScales  not kSuper, and scales (and mins) are vectors of float16, block by block, at the chunk's begin
//   Codes<kBlock, kJ>(chunk, n, unit)  codes of values 4 kJ .. 4 kJ + 3 of block unit * kBlocks + kBlock of n
//   Scale(chunk, n, block), Min(chunk, n, block)    where not kSuper
//   Scales(chunk, scales, mins)                     where kSuper: vectors of floats by 256 / kSub groups
// A min is what is subtracted: value = scale * code - min.
#if defined(MOTE_SIMD_PANEL_FORMATS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MOTE_SIMD_PANEL_FORMATS_INL_H_
#undef MOTE_SIMD_PANEL_FORMATS_INL_H_
#else
#define MOTE_SIMD_PANEL_FORMATS_INL_H_
#endif

#include "quant/blocks.h"
#include "simd/dot-inl.h"

#if MOTE_VECTORS
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {

inline constexpr size_t kPanelRows = kLanes;
// One element of a field for all rows of a panel.
inline constexpr size_t kWordBytes = kPanelRows * sizeof(uint32_t);
inline constexpr size_t kHalfBytes = kPanelRows * sizeof(uint16_t);

// ---- Bits

// Moves bit kFrom of each byte to bit kTo. Other bits are rubbish, some from the neighbouring byte: mask afterwards.
template <int kFrom, int kTo>
HWY_INLINE VU8 MoveBits(VU8 v) {
  const hn::ScalableTag<uint16_t> d16;
  if constexpr (kFrom > kTo) {
    return hn::BitCast(DU8(), hn::ShiftRight<kFrom - kTo>(hn::BitCast(d16, v)));
  } else if constexpr (kFrom < kTo) {
    return hn::BitCast(DU8(), hn::ShiftLeft<kTo - kFrom>(hn::BitCast(d16, v)));
  } else {
    return v;
  }
}
// Bits kFrom.. of each byte, moved to kTo, under a mask.
template <int kFrom, int kTo>
HWY_INLINE VU8 Bits(VU8 v, uint8_t mask) {
  return hn::And(MoveBits<kFrom, kTo>(v), hn::Set(DU8(), mask));
}
HWY_INLINE VU8 LoadWords(const uint8_t* field, size_t word) {
  return hn::LoadU(DU8(), field + word * kWordBytes);
}
// Each byte's bits moved down by a count that is known only now.
HWY_INLINE VU8 ShiftDown(VU8 v, size_t bits) {
  return hn::BitCast(DU8(), hn::ShiftRightSame(hn::BitCast(hn::ScalableTag<uint16_t>(), v), static_cast<int>(bits)));
}
// 16-entry table lookup, the table in every 16-byte block.
HWY_INLINE VU8 LookUp(const uint8_t (&table)[16], VU8 nibbles) {
#if HWY_ARCH_WASM
  // Highway 1.0.3 goes by way of memory, byte by byte.
#if defined(__wasm_relaxed_simd__)
  return VU8{wasm_i8x16_relaxed_swizzle(wasm_v128_load(table), nibbles.raw)};  // the same for indices below 16
#else
  return VU8{wasm_i8x16_swizzle(wasm_v128_load(table), nibbles.raw)};
#endif
#else
  return hn::TableLookupBytes(hn::LoadDup128(DU8(), table), nibbles);
#endif
}
struct Table16 {
  uint8_t bytes[16];
};
// A table of signed values, as unsigned bytes with `add` on top.
constexpr Table16 Raised(const int8_t (&values)[16], int add) {
  Table16 table = {};
  for (int i = 0; i < 16; ++i) table.bytes[i] = static_cast<uint8_t>(values[i] + add);
  return table;
}

// ---- Scales: one element of a field, all rows

HWY_INLINE VF LoadHalves(const uint8_t* p) {
  return LoadF16(DF(), reinterpret_cast<const uint16_t*>(p));
}
HWY_INLINE VU32 LoadU32(const uint8_t* p) {
  return hn::LoadU(DU32(), reinterpret_cast<const uint32_t*>(p));
}
template <int kShift>
HWY_INLINE VU32 Field(VU32 words, uint32_t mask) {
  return hn::And(hn::ShiftRight<kShift>(words), hn::Set(DU32(), mask));
}
HWY_INLINE VF ToFloat(VU32 small) {
  return hn::ConvertTo(DF(), hn::BitCast(DI32(), small));
}

// ---- Blocks of 32 values

template <class Block, int kOffsetValue, int kLargestValue, size_t kScaleFields, size_t kCodeWords>
struct BlockPanel {
  static constexpr size_t kFileValues = kBlock;
  static constexpr size_t kFileBytes = sizeof(Block);
  static constexpr size_t kBlocks = 1;
  static constexpr bool kSuper = false;
  static constexpr size_t kSub = 32;
  static constexpr int kOffset = kOffsetValue;
  static constexpr int kLargest = kLargestValue;
  static constexpr bool kSigned = false;
  static constexpr bool kHasMin = kScaleFields == 2;
  static constexpr bool kSmallScale = true;
  static constexpr bool kHalfScales = true;
  static constexpr size_t kPlainWords = 0;

  static HWY_INLINE VF Scale(const uint8_t* chunk, size_t, size_t block) {
    return LoadHalves(chunk + block * kHalfBytes);
  }
  // The file's min is added.
  static HWY_INLINE VF Min(const uint8_t* chunk, size_t n, size_t block) {
    return hn::Neg(LoadHalves(chunk + (n + block) * kHalfBytes));
  }
  // The words after the scales and mins.
  static HWY_INLINE const uint8_t* Words(const uint8_t* chunk, size_t n) {
    return chunk + kScaleFields * n * kHalfBytes;
  }
  template <size_t kJ>
  static HWY_INLINE VU8 Nibbles(const uint8_t* codes, size_t block) {
    return Bits<kJ / 4 * 4, 0>(LoadWords(codes, block * kCodeWords + kJ % 4), 15);
  }
};

struct FormatQ4_0 : BlockPanel<BlockQ4_0, 8, 15, 1, 4> {
  static constexpr size_t kPlainWords = 4;
  template <size_t kBlock, size_t kJ>
  static HWY_INLINE VU8 Codes(const uint8_t* chunk, size_t n, size_t block) {
    return Nibbles<kJ>(Words(chunk, n), block);
  }
};

struct FormatQ4_1 : BlockPanel<BlockQ4_1, 0, 15, 2, 4> {
  static constexpr size_t kPlainWords = 4;
  template <size_t kBlock, size_t kJ>
  static HWY_INLINE VU8 Codes(const uint8_t* chunk, size_t n, size_t block) {
    return Nibbles<kJ>(Words(chunk, n), block);
  }
};

// Bit kJ of each byte (SpreadHighBits) to bit 4.
template <size_t kJ>
HWY_INLINE VU8 FifthBit(VU8 high) {
  return Bits<kJ, 4>(high, 16);
}

struct FormatQ5_0 : BlockPanel<BlockQ5_0, 16, 31, 1, 4> {
  template <size_t kBlock, size_t kJ>
  static HWY_INLINE VU8 Codes(const uint8_t* chunk, size_t n, size_t block) {
    const uint8_t* words = Words(chunk, n);
    return hn::Or(Nibbles<kJ>(words + n * kWordBytes, block), FifthBit<kJ>(LoadWords(words, block)));
  }
};

struct FormatQ5_1 : BlockPanel<BlockQ5_1, 0, 31, 2, 4> {
  template <size_t kBlock, size_t kJ>
  static HWY_INLINE VU8 Codes(const uint8_t* chunk, size_t n, size_t block) {
    const uint8_t* words = Words(chunk, n);
    return hn::Or(Nibbles<kJ>(words + n * kWordBytes, block), FifthBit<kJ>(LoadWords(words, block)));
  }
};

struct FormatQ8_0 : BlockPanel<BlockQ8_0, 0, 128, 1, 8> {
  static constexpr bool kSigned = true;
  static constexpr size_t kPlainWords = 8;
  template <size_t kBlock, size_t kJ>
  static HWY_INLINE VU8 Codes(const uint8_t* chunk, size_t n, size_t block) {
    return LoadWords(Words(chunk, n), block * 8 + kJ);
  }
};

#if HWY_ARCH_WASM && defined(__wasm_relaxed_simd__)
// Where the relaxed dot product takes all 8 bits of its second operand, one of them does: as unsigned, raised, or as
// signed, which DotSum then sees as codes without a sign of their own.
struct FormatQ8_0Raised : FormatQ8_0 {
  static constexpr int kOffset = 128;
  static constexpr int kLargest = 255;
  static constexpr bool kSigned = false;
  static constexpr size_t kPlainWords = 0;
  template <size_t kBlock, size_t kJ>
  static HWY_INLINE VU8 Codes(const uint8_t* chunk, size_t n, size_t block) {
    return hn::Xor(FormatQ8_0::Codes<kBlock, kJ>(chunk, n, block), SetForLoop<0x80808080>(DU8()));
  }
};
struct FormatQ8_0Whole : FormatQ8_0 {
  static constexpr bool kSigned = false;
  static constexpr size_t kPlainWords = 0;
};
#endif

inline constexpr Table16 kIQ4Codes = Raised(kIQ4Values, kDotTakesU8 ? 128 : 0);

struct FormatIQ4_NL : BlockPanel<BlockIQ4_NL, 0, 127, 1, 4> {
  static constexpr bool kSigned = true;
  template <size_t kBlock, size_t kJ>
  static HWY_INLINE VU8 Codes(const uint8_t* chunk, size_t n, size_t block) {
    return LookUp(kIQ4Codes.bytes, Nibbles<kJ>(Words(chunk, n), block));
  }
};

// Raised by 16, a power of two, so that codes are unsigned.
inline constexpr Table16 kMXFP4Codes = Raised(kMXFP4Values, 16);

struct FormatMXFP4 : BlockPanel<BlockMXFP4, 16, 28, 1, 4> {
  static constexpr bool kSmallScale = false;
  static constexpr bool kHalfScales = false;
  template <size_t kBlock, size_t kJ>
  static HWY_INLINE VU8 Codes(const uint8_t* chunk, size_t n, size_t block) {
    return LookUp(kMXFP4Codes.bytes, Nibbles<kJ>(chunk + n * kPanelRows, block));
  }
  // 2^(e - 128): exponents 0 and 1 give the subnormals 2^-128 and 2^-127.
  static HWY_INLINE VF Scale(const uint8_t* chunk, size_t, size_t block) {
    const hn::Rebind<uint8_t, DI32> du8;
    const VI32 exponents = hn::PromoteTo(DI32(), hn::LoadU(du8, chunk + block * kPanelRows));
    const VI32 one = hn::Set(DI32(), 1);
    const VI32 normal = hn::ShiftLeft<23>(hn::Sub(exponents, one));
    const VI32 subnormal =
        hn::Add(hn::Set(DI32(), 0x00200000), hn::IfThenElseZero(hn::Eq(exponents, one), hn::Set(DI32(), 0x00200000)));
    return hn::BitCast(DF(), hn::IfThenElse(hn::Gt(exponents, one), normal, subnormal));
  }
};

// ---- Super-blocks of 256 values

template <class Block, size_t kSubValue, int kOffsetValue, int kLargestValue, bool kHasMinValue>
struct SuperPanel {
  static constexpr size_t kFileValues = kSuperBlock;
  static constexpr size_t kFileBytes = sizeof(Block);
  static constexpr bool kSuper = true;
  static constexpr size_t kSub = kSubValue;
  static constexpr int kOffset = kOffsetValue;
  static constexpr int kLargest = kLargestValue;
  static constexpr bool kSigned = false;
  static constexpr bool kHasMin = kHasMinValue;
  static constexpr bool kSmallScale = true;
  static constexpr bool kHalfScales = false;
  static constexpr size_t kPlainWords = 0;
};

// Stores a group's scale, and what comes after it.
HWY_INLINE void StoreGroup(VF v, float* groups, size_t group) {
  hn::Store(v, DF(), groups + group * kPanelRows);
}

// UnpackScaleMin for all rows: `words` are the three words of 8 scales and 8 mins of 6 bits.
template <size_t kGroup>
HWY_INLINE void ScaleMin6(const VU32 (&words)[3], VF scale, VF min, float* scales, float* mins) {
  VU32 s, m;
  if constexpr (kGroup < 4) {
    s = Field<8 * kGroup>(words[0], 63);
    m = Field<8 * kGroup>(words[1], 63);
  } else {
    constexpr size_t kByte = 8 * (kGroup - 4);
    s = hn::Or(Field<kByte>(words[2], 15), Field<kByte + 2>(words[0], 0x30));
    m = hn::Or(Field<kByte + 4>(words[2], 15), Field<kByte + 2>(words[1], 0x30));
  }
  StoreGroup(hn::Mul(ToFloat(s), scale), scales, kGroup);
  StoreGroup(hn::Mul(ToFloat(m), min), mins, kGroup);
  if constexpr (kGroup + 1 < 8) ScaleMin6<kGroup + 1>(words, scale, min, scales, mins);
}
HWY_INLINE void ScalesAndMins6(const uint8_t* chunk, float* scales, float* mins) {
  const uint8_t* packed = chunk + 2 * kHalfBytes;
  const VU32 words[3] = {LoadU32(packed), LoadU32(packed + kWordBytes), LoadU32(packed + 2 * kWordBytes)};
  ScaleMin6<0>(words, LoadHalves(chunk), LoadHalves(chunk + kHalfBytes), scales, mins);
}

// Units of 64 values: 8 words of codes, the first block in their low nibbles.
struct FormatQ4_K : SuperPanel<BlockQ4_K, 32, 0, 15, true> {
  static constexpr size_t kBlocks = 2;
  template <size_t kBlock, size_t kJ>
  static HWY_INLINE VU8 Codes(const uint8_t* chunk, size_t, size_t unit) {
    const uint8_t* codes = chunk + 2 * kHalfBytes + 3 * kWordBytes;
    return Bits<kBlock * 4, 0>(LoadWords(codes, unit * 8 + kJ), 15);
  }
  static HWY_INLINE void Scales(const uint8_t* chunk, float* scales, float* mins) {
    ScalesAndMins6(chunk, scales, mins);
  }
};

struct FormatQ5_K : SuperPanel<BlockQ5_K, 32, 0, 31, true> {
  static constexpr size_t kBlocks = 2;
  template <size_t kBlock, size_t kJ>
  static HWY_INLINE VU8 Codes(const uint8_t* chunk, size_t, size_t unit) {
    const uint8_t* high = chunk + 2 * kHalfBytes + 3 * kWordBytes;
    const uint8_t* codes = high + 8 * kWordBytes;
    const VU8 fifth = Bits<kBlock, 4>(ShiftDown(LoadWords(high, kJ), unit * 2), 16);
    return hn::Or(Bits<kBlock * 4, 0>(LoadWords(codes, unit * 8 + kJ), 15), fifth);
  }
  static HWY_INLINE void Scales(const uint8_t* chunk, float* scales, float* mins) {
    ScalesAndMins6(chunk, scales, mins);
  }
};

// Four signed bytes of a word as scales.
template <size_t kGroup>
HWY_INLINE void SignedScales(const uint8_t* words, VF scale, float* scales) {
  const VI32 word = hn::BitCast(DI32(), LoadU32(words + kGroup / 4 * kWordBytes));
  const VI32 byte = hn::ShiftRight<24>(hn::ShiftLeft<24 - kGroup % 4 * 8>(word));
  StoreGroup(hn::Mul(hn::ConvertTo(DF(), byte), scale), scales, kGroup);
  if constexpr (kGroup + 1 < 16) SignedScales<kGroup + 1>(words, scale, scales);
}

// Units of 128 values: 16 words of low nibbles, 8 words of pairs of high bits.
struct FormatQ6_K : SuperPanel<BlockQ6_K, 16, 32, 63, false> {
  static constexpr size_t kBlocks = 4;
  template <size_t kBlock, size_t kJ>
  static HWY_INLINE VU8 Codes(const uint8_t* chunk, size_t, size_t unit) {
    const uint8_t* high = chunk + kHalfBytes + 4 * kWordBytes;
    const uint8_t* low = high + 16 * kWordBytes;
    return hn::Or(Bits<kBlock / 2 * 4, 0>(LoadWords(low, unit * 16 + kBlock % 2 * 8 + kJ), 15),
                  Bits<kBlock * 2, 4>(LoadWords(high, unit * 8 + kJ), 0x30));
  }
  static HWY_INLINE void Scales(const uint8_t* chunk, float* scales, float*) {
    SignedScales<0>(chunk + kHalfBytes, LoadHalves(chunk), scales);
  }
};

// Nibbles of four words: a group's scale and, above it, its min.
template <size_t kGroup>
HWY_INLINE void ScaleMin4(const uint8_t* words, VF scale, VF min, float* scales, float* mins) {
  const VU32 word = LoadU32(words + kGroup / 4 * kWordBytes);
  StoreGroup(hn::Mul(ToFloat(Field<kGroup % 4 * 8>(word, 15)), scale), scales, kGroup);
  StoreGroup(hn::Mul(ToFloat(Field<kGroup % 4 * 8 + 4>(word, 15)), min), mins, kGroup);
  if constexpr (kGroup + 1 < 16) ScaleMin4<kGroup + 1>(words, scale, min, scales, mins);
}

// Units of 128 values: 8 words of pairs of bits.
struct FormatQ2_K : SuperPanel<BlockQ2_K, 16, 0, 3, true> {
  static constexpr size_t kBlocks = 4;
  template <size_t kBlock, size_t kJ>
  static HWY_INLINE VU8 Codes(const uint8_t* chunk, size_t, size_t unit) {
    const uint8_t* codes = chunk + 2 * kHalfBytes + 4 * kWordBytes;
    return Bits<kBlock * 2, 0>(LoadWords(codes, unit * 8 + kJ), 3);
  }
  static HWY_INLINE void Scales(const uint8_t* chunk, float* scales, float* mins) {
    ScaleMin4<0>(chunk + 2 * kHalfBytes, LoadHalves(chunk), LoadHalves(chunk + kHalfBytes), scales, mins);
  }
};

// Q3Scale for all rows.
template <size_t kGroup>
HWY_INLINE void Scales3(const VU32 (&words)[3], VF scale, float* scales) {
  const VU32 low = Field<kGroup % 4 * 8 + kGroup / 8 * 4>(words[kGroup % 8 / 4], 15);
  const VU32 high = hn::ShiftLeft<4>(Field<kGroup % 4 * 8 + kGroup / 4 * 2>(words[2], 3));
  const VI32 biased = hn::Sub(hn::BitCast(DI32(), hn::Or(low, high)), hn::Set(DI32(), 32));
  StoreGroup(hn::Mul(hn::ConvertTo(DF(), biased), scale), scales, kGroup);
  if constexpr (kGroup + 1 < 16) Scales3<kGroup + 1>(words, scale, scales);
}

struct FormatQ3_K : SuperPanel<BlockQ3_K, 16, 4, 7, false> {
  static constexpr size_t kBlocks = 4;
  template <size_t kBlock, size_t kJ>
  static HWY_INLINE VU8 Codes(const uint8_t* chunk, size_t, size_t unit) {
    const uint8_t* high = chunk + kHalfBytes + 3 * kWordBytes;
    const uint8_t* codes = high + 8 * kWordBytes;
    const VU8 third = Bits<kBlock, 2>(ShiftDown(LoadWords(high, kJ), unit * 4), 4);
    return hn::Or(Bits<kBlock * 2, 0>(LoadWords(codes, unit * 8 + kJ), 3), third);
  }
  static HWY_INLINE void Scales(const uint8_t* chunk, float* scales, float*) {
    const uint8_t* packed = chunk + kHalfBytes;
    const VU32 words[3] = {LoadU32(packed), LoadU32(packed + kWordBytes), LoadU32(packed + 2 * kWordBytes)};
    Scales3<0>(words, LoadHalves(chunk), scales);
  }
};

// IQ4Scale for all rows: nibble g of `low`, bits 2g of `high` above it.
template <size_t kGroup>
HWY_INLINE void ScalesIQ4(VU32 low, VU32 high, VF scale, float* scales) {
  const VU32 biased = hn::Or(Field<kGroup * 4>(low, 15), hn::ShiftLeft<4>(Field<kGroup * 2>(high, 3)));
  const VI32 s = hn::Sub(hn::BitCast(DI32(), biased), hn::Set(DI32(), 32));
  StoreGroup(hn::Mul(hn::ConvertTo(DF(), s), scale), scales, kGroup);
  if constexpr (kGroup + 1 < 8) ScalesIQ4<kGroup + 1>(low, high, scale, scales);
}

struct FormatIQ4_XS : SuperPanel<BlockIQ4_XS, 32, 0, 127, false> {
  static constexpr size_t kBlocks = 1;
  static constexpr bool kSigned = true;
  template <size_t kBlock, size_t kJ>
  static HWY_INLINE VU8 Codes(const uint8_t* chunk, size_t, size_t block) {
    const uint8_t* codes = chunk + 2 * kHalfBytes + kWordBytes;
    return LookUp(kIQ4Codes.bytes, Bits<kJ / 4 * 4, 0>(LoadWords(codes, block * 4 + kJ % 4), 15));
  }
  static HWY_INLINE void Scales(const uint8_t* chunk, float* scales, float*) {
    const hn::Rebind<uint16_t, DU32> du16;
    const VU32 high = hn::PromoteTo(DU32(), hn::LoadU(du16, reinterpret_cast<const uint16_t*>(chunk + kHalfBytes)));
    ScalesIQ4<0>(LoadU32(chunk + 2 * kHalfBytes), high, LoadHalves(chunk), scales);
  }
};

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // MOTE_VECTORS

#endif  // MOTE_SIMD_PANEL_FORMATS_INL_H_
