// Half a tile of weights in a warp's registers: what a lane reads of it, and the registers that mma.sync multiplies.
#ifndef MOTE_TARGETS_CUDA_TILE_CUH_
#define MOTE_TARGETS_CUDA_TILE_CUH_

#include "quant/blocks.h"
#include "targets/cuda/mma.h"
#include "targets/cuda/packed.h"
#include "targets/cuda/packed_sparse.h"
#include "targets/cuda/vocabulary.h"

namespace mote::cuda {

// The tables of kIQ4Values and kMXFP4Values (quant/blocks.h) as bytes of four words; a test compares.
MOTE_DEVICE void TableWords(DType type, uint32_t table[4]) {
  if (type == DType::kMXFP4) {
    table[0] = 0x03020100u;
    table[1] = 0x0c080604u;
    table[2] = 0xfdfeff00u;
    table[3] = 0xf4f8fafcu;
  } else {
    table[0] = 0xbfad9881u;
    table[1] = 0xf6eaddcfu;
    table[2] = 0x26190d01u;
    table[3] = 0x71594535u;
  }
}

// 128 columns of rows g and g + 8, and their scales: up to 96 bytes of a lane, all asked for at once. A half of a tile
// stands for itself: what both halves need is read with each.
template <DType kType>
struct HalfTile {
  static constexpr PackedFormat kFormat = FormatOf(kType);
  static constexpr Scales kScales = kFormat.scales;
  static constexpr bool kHalfScales =
      kScales == Scales::kHalf32 || kScales == Scales::kHalfMin32 || kScales == Scales::kPower32;
  uint32_t nibbles[kFormat.nibbles ? 8 : 1];
  uint32_t pairs[kFormat.pairs ? 4 : 1];
  uint32_t bits[kFormat.bits ? 2 : 1];
  uint32_t bytes[kFormat.bytes ? 16 : 1];
  uint4 halves[kFormat.halves ? 8 : 1];
  // Half scales: of the steps, both rows in a word; bytes: of row g, then of row g + 8; kSixBit32: all of a row's.
  uint32_t scale[kHalfScales || kScales == Scales::kByte16 || kScales == Scales::kNibble16 ? 4
                 : kScales == Scales::kSixBit32                                            ? 8
                                                                                           : 2];
  uint32_t min[kScales == Scales::kHalfMin32 ? 4 : 1];
  uint32_t super[2];  // kByte32, kByte16: float16 scale; kNibble16: scale and min; kFloat: the scale; of the two rows

  template <bool kStreaming>
  MOTE_DEVICE void Load4(const uint8_t* from, uint32_t* to) {
    const uint4* four = reinterpret_cast<const uint4*>(from);
    const uint4 v = kStreaming ? LoadStreaming(four) : *four;
    to[0] = v.x;
    to[1] = v.y;
    to[2] = v.z;
    to[3] = v.w;
  }
  MOTE_DEVICE void Load2(const uint8_t* from, uint32_t* to) {
    const uint2 v = *reinterpret_cast<const uint2*>(from);
    to[0] = v.x;
    to[1] = v.y;
  }
};

template <DType kType, bool kStreaming>
MOTE_DEVICE void LoadHalfScales(const uint8_t* tile, int half, int lane, HalfTile<kType>* r) {
  using Half = HalfTile<kType>;
  constexpr PackedFormat f = FormatOf(kType);
  const int g = lane / 4;
  const uint8_t* scales = tile + f.scales_at();
  if constexpr (Half::kHalfScales) {
    Half::template Load4<kStreaming>(scales + g * 32 + half * 16, r->scale);
    if constexpr (f.scales == Scales::kHalfMin32) {
      Half::template Load4<kStreaming>(scales + 256 + g * 32 + half * 16, r->min);
    }
  } else if constexpr (f.scales == Scales::kByte32) {
    r->scale[0] = *reinterpret_cast<const uint32_t*>(scales + g * 8 + half * 4);
    r->scale[1] = *reinterpret_cast<const uint32_t*>(scales + (g + 8) * 8 + half * 4);
  } else if constexpr (f.scales == Scales::kSixBit32) {
    Half::template Load4<kStreaming>(scales + g * 16, r->scale);
    Half::template Load4<kStreaming>(scales + (g + 8) * 16, r->scale + 4);
  } else if constexpr (f.scales == Scales::kFloat) {
    Half::Load2(scales + g * 8, r->super);
  } else {
    Half::Load2(scales + g * 16 + half * 8, r->scale);
    Half::Load2(scales + (g + 8) * 16 + half * 8, r->scale + 2);
  }
  constexpr uint32_t super_at = f.scales == Scales::kByte32 ? 128 : 256;
  if constexpr (f.scales == Scales::kByte32 || f.scales == Scales::kByte16) {
    r->super[0] = *reinterpret_cast<const uint16_t*>(scales + super_at + g * 2);
    r->super[1] = *reinterpret_cast<const uint16_t*>(scales + super_at + (g + 8) * 2);
  } else if constexpr (f.scales == Scales::kNibble16) {
    r->super[0] = *reinterpret_cast<const uint32_t*>(scales + super_at + g * 4);
    r->super[1] = *reinterpret_cast<const uint32_t*>(scales + super_at + (g + 8) * 4);
  }
}

// kStreaming: from global memory, past the first-level cache, as halves always are; else from shared memory.
template <DType kType, bool kStreaming = true>
MOTE_DEVICE void LoadHalf(const uint8_t* tile, int half, int lane, HalfTile<kType>* r) {
  using Half = HalfTile<kType>;
  constexpr PackedFormat f = FormatOf(kType);
  const uint8_t* own = tile + lane * 16;
  if constexpr (f.halves) {
    static_assert(kStreaming, "halves come from global memory");
#pragma unroll
    for (int c = 0; c < 8; ++c) {
      r->halves[c] = LoadStreaming(reinterpret_cast<const uint4*>(own + (half * 8 + c) * kChunkBytes));
    }
    return;
  }
  if constexpr (f.nibbles) {
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      Half::template Load4<kStreaming>(own + (half * 2 + c) * kChunkBytes, r->nibbles + 4 * c);
    }
  }
  if constexpr (f.bytes) {
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      Half::template Load4<kStreaming>(own + (half * 4 + c) * kChunkBytes, r->bytes + 4 * c);
    }
  }
  if constexpr (f.pairs) Half::template Load4<kStreaming>(own + f.pairs_at() + half * kChunkBytes, r->pairs);
  if constexpr (f.bits) Half::Load2(own + f.bits_at() + half * 8, r->bits);
  LoadHalfScales<kType, kStreaming>(tile, half, lane, r);
}

// Four values of a table by the four nibbles in the low half of `nibbles`.
MOTE_DEVICE uint32_t LookUp(const uint32_t table[4], uint32_t nibbles) {
  const uint32_t place = nibbles & 0x7777u;
  const uint32_t low = PickBytes(table[0], table[1], place);
  const uint32_t high = PickBytes(table[2], table[3], place);
  return PickBytes(low, high, 0x3210u | (nibbles & 0x8888u) >> 1);
}

MOTE_DEVICE uint32_t Moved(uint32_t word, int up) {
  return up >= 0 ? word << up : word >> -up;
}

// The four registers of a step of the half: codes as signed bytes, code_shift() bits up.
template <DType kType>
MOTE_DEVICE void StepCodes(const HalfTile<kType>& r, int step, uint32_t a[4]) {
  constexpr PackedFormat f = FormatOf(kType);
  if constexpr (f.bytes) {
#pragma unroll
    for (int i = 0; i < 4; ++i) a[i] = r.bytes[step * 4 + i];
    return;
  } else if constexpr (f.table) {
    uint32_t table[4];
    TableWords(kType, table);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const uint32_t word = r.nibbles[step * 2 + i / 2];
      a[i] = LookUp(table, i % 2 == 0 ? word & 0xffffu : word >> 16);
    }
    return;
  } else if constexpr (f.code_shift() == 4) {  // nibbles alone
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const uint32_t word = r.nibbles[step * 2 + i / 2];
      a[i] = (i % 2 == 0 ? word << 4 : word) & 0xf0f0f0f0u;
    }
  } else {
    // Each part goes at once to where it belongs: a shift and a mask.
    constexpr int kShift = f.code_shift(), kUpper = kShift + (f.nibbles ? 4 : 0), kBit = kShift + (f.nibbles ? 4 : 2);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      a[i] = 0;
      if constexpr (f.nibbles) a[i] = Moved(r.nibbles[step * 2 + i / 2], kShift - i % 2 * 4) & 0x0f0f0f0fu << kShift;
      if constexpr (f.pairs) a[i] |= Moved(r.pairs[step], kUpper - 2 * i) & 0x03030303u << kUpper;
      if constexpr (f.bits) a[i] |= Moved(r.bits[step / 2], kBit - i - step % 2 * 4) & 0x01010101u << kBit;
    }
  }
}

MOTE_DEVICE int SignedByte(uint32_t word, int index) {
  return static_cast<int8_t>(word >> 8 * index & 255u);
}
MOTE_DEVICE int UnsignedByte(uint32_t word, int index) {
  return static_cast<int>(word >> 8 * index & 255u);
}

// kSixBit32: of the 16 bytes of a row, the scales and minima of a half, a byte each (UnpackScaleMin of quant/blocks.h,
// four at once).
MOTE_DEVICE void UnpackSixBit(const uint32_t row[4], int half, uint32_t* scales, uint32_t* mins) {
  if (half == 0) {
    *scales = row[1] & 0x3f3f3f3fu;
    *mins = row[2] & 0x3f3f3f3fu;
  } else {
    *scales = (row[3] & 0x0f0f0f0fu) | (row[1] >> 2 & 0x30303030u);
    *mins = (row[3] >> 4 & 0x0f0f0f0fu) | (row[2] >> 2 & 0x30303030u);
  }
}

// One value of a packed matrix, rounded as quant/decode.cc rounds it: for looking rows up.
MOTE_DEVICE float PackedValue(DType type, const uint8_t* tiles, uint32_t row_tiles, uint32_t row, uint32_t k) {
  const PackedFormat f = FormatOf(type);
  const uint8_t* tile = tiles + (static_cast<uint64_t>(row / kTileRows) * row_tiles + k / kTileCols) * f.tile_bytes();
  row %= kTileRows;
  k %= kTileCols;
  if (f.halves) {
    const uint32_t bits = reinterpret_cast<const uint16_t*>(tile)[HalfTilePlace(row, k)];
    return type == DType::kF16 ? HalfToFloat(bits) : BitsToFloat(bits << 16);
  }
  const uint32_t lane = row % 8 * 4 + k % 16 / 4;
  const uint32_t step = k / kStepCols;
  const uint32_t reg = k % kStepCols / 16 * 2 + row / 8;
  const uint32_t byte = k % 4;
  const auto word = [&](uint32_t plane, uint32_t index) {
    return *reinterpret_cast<const uint32_t*>(tile + plane + index / 4 * kChunkBytes + lane * 16 + index % 4 * 4);
  };
  int code = 0;
  if (f.bytes) code = SignedByte(word(0, step * 4 + reg), static_cast<int>(byte));
  if (f.table) {
    uint32_t table[4];
    TableWords(type, table);
    const uint32_t nibble = word(0, step * 2 + reg / 2) >> (reg % 2 * 16 + 4 * byte) & 15;
    code = SignedByte(table[nibble / 4], static_cast<int>(nibble % 4));
  } else if (f.nibbles) {
    code = static_cast<int>(word(0, step * 2 + reg / 2) >> (8 * byte + reg % 2 * 4) & 15);
  }
  if (f.pairs) code |= static_cast<int>(word(f.pairs_at(), step) >> (8 * byte + 2 * reg) & 3) << (f.nibbles ? 4 : 0);
  if (f.bits) {
    code |= static_cast<int>(word(f.bits_at(), step / 2) >> (8 * byte + reg + step % 2 * 4) & 1) << (f.nibbles ? 4 : 2);
  }
  const float value = static_cast<float>((code ^ f.offset) - f.offset);
  const uint8_t* scales = tile + f.scales_at();
  const auto half = [&](uint32_t at) { return HalfToFloat(*reinterpret_cast<const uint16_t*>(scales + at)); };
  const uint32_t pair_at = (row % 8 * kSteps + step) * 4 + row / 8 * 2;
  switch (f.scales) {
    case Scales::kHalf32:
      return half(pair_at) * value;
    case Scales::kHalfMin32:
      return half(pair_at) * value + half(256 + pair_at);
    case Scales::kPower32:
      return BitsToFloat(static_cast<uint32_t>(*reinterpret_cast<const uint16_t*>(scales + pair_at)) << 16) * value;
    case Scales::kSixBit32: {
      uint32_t packed[4], s, m;
      for (int i = 0; i < 4; ++i) packed[i] = *reinterpret_cast<const uint32_t*>(scales + row * 16 + 4 * i);
      UnpackSixBit(packed, static_cast<int>(step / 4), &s, &m);
      const float scale = half(row * 16) * static_cast<float>(UnsignedByte(s, static_cast<int>(step % 4)));
      const float min = half(row * 16 + 2) * static_cast<float>(UnsignedByte(m, static_cast<int>(step % 4)));
      return scale * value - min;
    }
    case Scales::kByte32:
      return half(128 + row * 2) * static_cast<float>(static_cast<int8_t>(scales[row * 8 + step])) * value;
    case Scales::kByte16:
      return half(256 + row * 2) * static_cast<float>(static_cast<int8_t>(scales[row * 16 + k / 16])) * value;
    case Scales::kNibble16: {
      const int packed = scales[row * 16 + k / 16];
      return half(256 + row * 4) * static_cast<float>(packed & 15) * value -
             half(256 + row * 4 + 2) * static_cast<float>(packed >> 4);
    }
    case Scales::kFloat:
      return *reinterpret_cast<const float*>(scales + row % 8 * 8 + row / 8 * 4) * value;
    case Scales::kNone:
      break;
  }
  return 0;
}

// The same of a block-sparse matrix. What a row has of a unit is searched for: a few loads of a line that the others of
// the unit read too.
MOTE_DEVICE float SparseValue(DType type, const SparseMatrixArgs& matrix, uint32_t row_tiles, uint32_t row,
                              uint32_t k) {
  const uint32_t units = row_tiles * (kTileCols / UnitCols(type));
  const uint64_t unit = static_cast<uint64_t>(row / kTileRows) * units + k / UnitCols(type);
  const uint32_t block_cols = type == DType::kI8 ? 4 : 2;
  const uint32_t byte = WordByte(type, k / block_cols * block_cols);
  const uint32_t end = matrix.starts[unit + 1];
  for (uint32_t pair = matrix.starts[unit]; pair < end; ++pair) {
    const uint32_t two = *reinterpret_cast<const uint16_t*>(matrix.index + uint64_t{pair} * 2);
    // The first of two alike: the other one fills up.
    const uint32_t second = (two & 255u) == byte ? 0 : 1;
    if (second == 1 && two >> 8 != byte) continue;
    const uint8_t* word =
        matrix.values + uint64_t{pair} * kPairBytes + row % 8 * 16 + second * 8 + row % kTileRows / 8 * 4;
    if (type != DType::kI8) {
      const uint32_t bits = reinterpret_cast<const uint16_t*>(word)[k % 2];
      return type == DType::kF16 ? HalfToFloat(bits) : BitsToFloat(bits << 16);
    }
    const uint8_t* scale = matrix.scales + unit * UnitScaleBytes(type) + row % 8 * 4 + row % kTileRows / 8 * 2;
    return HalfToFloat(*reinterpret_cast<const uint16_t*>(scale)) *
           static_cast<float>(static_cast<int8_t>(word[k % 4]));
  }
  return 0;
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_TILE_CUH_
