// The blocks that quantised rows are made of, byte for byte as in GGUF files (ggml-org/ggml, src/ggml-common.h), and
// where each value's code lies in them.
//
// Files promise no alignment: copy a block out with memcpy before touching its fields. All integers are little-endian.
// `v` counts the values of a block; a *code* is the unsigned integer stored for a value.
#ifndef MOTE_QUANT_BLOCKS_H_
#define MOTE_QUANT_BLOCKS_H_

#include <stddef.h>
#include <stdint.h>

namespace mote {

inline constexpr int kBlock = 32;        // values per block of the simple formats
inline constexpr int kSuperBlock = 256;  // values per super-block of the K formats and IQ4_XS

// value = scale * (code - 8)
struct BlockQ4_0 {
  uint16_t scale;  // float16, here and below
  uint8_t codes[kBlock / 2];
};
static_assert(sizeof(BlockQ4_0) == 18);

// value = scale * code + min
struct BlockQ4_1 {
  uint16_t scale;
  uint16_t min;
  uint8_t codes[kBlock / 2];
};
static_assert(sizeof(BlockQ4_1) == 20);

// value = scale * (code - 16)
struct BlockQ5_0 {
  uint16_t scale;
  uint8_t high[kBlock / 8];  // bit v: bit 4 of code v
  uint8_t codes[kBlock / 2];
};
static_assert(sizeof(BlockQ5_0) == 22);

// value = scale * code + min
struct BlockQ5_1 {
  uint16_t scale;
  uint16_t min;
  uint8_t high[kBlock / 8];
  uint8_t codes[kBlock / 2];
};
static_assert(sizeof(BlockQ5_1) == 24);

// value = scale * codes[v]
struct BlockQ8_0 {
  uint16_t scale;
  int8_t codes[kBlock];
};
static_assert(sizeof(BlockQ8_0) == 34);

// value = scale * kIQ4Values[code]
struct BlockIQ4_NL {
  uint16_t scale;
  uint8_t codes[kBlock / 2];
};
static_assert(sizeof(BlockIQ4_NL) == 18);

// value = 2^(exponent - 128) * kMXFP4Values[code] (OCP Microscaling Formats 1.0: E8M0 scale, E2M1 elements)
struct BlockMXFP4 {
  uint8_t exponent;
  uint8_t codes[kBlock / 2];
};
static_assert(sizeof(BlockMXFP4) == 17);

// 16 groups of 16. value = (scale * s) * code - (min * m), s and m the low and the high nibble of scales[group]
struct BlockQ2_K {
  uint8_t scales[kSuperBlock / 16];
  uint8_t codes[kSuperBlock / 4];
  uint16_t scale;
  uint16_t min;
};
static_assert(sizeof(BlockQ2_K) == 84);

// 16 groups of 16. value = (scale * (s - 32)) * (code - 4), s of 6 bits: see Q3Scale
struct BlockQ3_K {
  uint8_t high[kSuperBlock / 8];  // bit 2 of the codes
  uint8_t codes[kSuperBlock / 4];
  uint8_t scales[12];
  uint16_t scale;
};
static_assert(sizeof(BlockQ3_K) == 110);

// 8 groups of 32. value = (scale * s) * code - (min * m), s and m of 6 bits: see UnpackScaleMin
struct BlockQ4_K {
  uint16_t scale;
  uint16_t min;
  uint8_t scales[12];
  uint8_t codes[kSuperBlock / 2];
};
static_assert(sizeof(BlockQ4_K) == 144);

struct BlockQ5_K {
  uint16_t scale;
  uint16_t min;
  uint8_t scales[12];
  uint8_t high[kSuperBlock / 8];  // bit 4 of the codes
  uint8_t codes[kSuperBlock / 2];
};
static_assert(sizeof(BlockQ5_K) == 176);

// 16 groups of 16. value = (scale * scales[group]) * (code - 32)
struct BlockQ6_K {
  uint8_t low[kSuperBlock / 2];   // bits 0..3 of the codes
  uint8_t high[kSuperBlock / 4];  // bits 4 and 5
  int8_t scales[kSuperBlock / 16];
  uint16_t scale;
};
static_assert(sizeof(BlockQ6_K) == 210);

// 8 groups of 32. value = (scale * (s - 32)) * kIQ4Values[code], s of 6 bits: see IQ4Scale
struct BlockIQ4_XS {
  uint16_t scale;
  uint16_t scales_high;       // bits 2g and 2g+1: bits 4 and 5 of group g
  uint8_t scales_low[8 / 2];  // nibbles: bits 0..3
  uint8_t codes[kSuperBlock / 2];
};
static_assert(sizeof(BlockIQ4_XS) == 136);

// Levels placed densely near zero, where weights are (ggml's kvalues_iq4nl).
inline constexpr int8_t kIQ4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
// Twice the E2M1 values 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives; "minus zero" decodes to zero.
inline constexpr int8_t kMXFP4Values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// A few bits of a byte array.
struct BitField {
  int byte;
  int shift;
};

// Blocks of 32, 4-bit codes: values 0..15 in the low nibbles, 16..31 in the high ones.
constexpr BitField NibbleOf32(int v) {
  return {v % 16, v / 16 * 4};
}
// Super-blocks, 4-bit codes (Q4_K, Q5_K): each 64 values share 32 bytes, the first half in the low nibbles.
constexpr BitField NibbleOf64(int v) {
  return {v / 64 * 32 + v % 32, v % 64 / 32 * 4};
}
// Q6_K's low bits: each 128 values share 64 bytes, the first half in the low nibbles.
constexpr BitField NibbleOf128(int v) {
  return {v / 128 * 64 + v % 64, v % 128 / 64 * 4};
}
// 2-bit fields (Q2_K, Q3_K, the high bits of Q6_K): each 128 values share 32 bytes.
constexpr BitField PairOf128(int v) {
  return {v / 128 * 32 + v % 32, v % 128 / 32 * 2};
}
// Single bits (Q3_K, Q5_K): byte v % 32, bit v / 32.
constexpr BitField BitOf256(int v) {
  return {v % 32, v / 32};
}
// IQ4_XS: each group of 32 is laid out as a block of 32.
constexpr BitField NibbleOfGroup32(int v) {
  return {v / 32 * 16 + v % 16, v % 32 / 16 * 4};
}

constexpr int GetBits(const uint8_t* bytes, BitField field, int mask) {
  return (bytes[field.byte] >> field.shift) & mask;
}
// The field must be zero before.
constexpr void OrBits(uint8_t* bytes, BitField field, int bits) {
  bytes[field.byte] = static_cast<uint8_t>(bytes[field.byte] | bits << field.shift);
}

// Q4_K and Q5_K pack 8 scales and 8 mins of 6 bits into 12 bytes: bytes 0..3 hold scales 0..3, bytes 4..7 mins 0..3,
// bytes 8..11 the low nibbles of scales 4..7 and, above them, of mins 4..7; the upper two bits of bytes 0..7 hold what
// is then missing of scales and mins 4..7.
struct ScaleMin {
  int scale;
  int min;
};
constexpr ScaleMin UnpackScaleMin(const uint8_t scales[12], int group) {
  if (group < 4) return {scales[group] & 63, scales[group + 4] & 63};
  return {(scales[group + 4] & 15) | (scales[group - 4] >> 6) << 4, scales[group + 4] >> 4 | (scales[group] >> 6) << 4};
}
// `scales` must start as zeros.
constexpr void PackScaleMin(uint8_t scales[12], int group, ScaleMin packed) {
  if (group < 4) {
    OrBits(scales, {group, 0}, packed.scale);
    OrBits(scales, {group + 4, 0}, packed.min);
  } else {
    OrBits(scales, {group + 4, 0}, packed.scale & 15);
    OrBits(scales, {group + 4, 4}, packed.min & 15);
    OrBits(scales, {group - 4, 6}, packed.scale >> 4);
    OrBits(scales, {group, 6}, packed.min >> 4);
  }
}

// Q3_K's 16 scales of 6 bits: bytes 0..7 hold the low nibbles (group g and g + 8), bytes 8..11 the upper two bits.
constexpr int Q3Scale(const uint8_t scales[12], int group) {
  return GetBits(scales, {group % 8, group / 8 * 4}, 15) | GetBits(scales, {8 + group % 4, group / 4 * 2}, 3) << 4;
}
constexpr void SetQ3Scale(uint8_t scales[12], int group, int scale) {  // `scales` must start as zeros
  OrBits(scales, {group % 8, group / 8 * 4}, scale & 15);
  OrBits(scales, {8 + group % 4, group / 4 * 2}, scale >> 4);
}

constexpr int IQ4Scale(const BlockIQ4_XS& block, int group) {
  return GetBits(block.scales_low, {group / 2, group % 2 * 4}, 15) | ((block.scales_high >> 2 * group) & 3) << 4;
}

}  // namespace mote

#endif  // MOTE_QUANT_BLOCKS_H_
