// From the file's blocks to tiles: packed.h. Runs on the host, while weights are loaded.
#include <string.h>

#include <algorithm>

#include "quant/blocks.h"
#include "quant/codec.h"
#include "targets/cuda/packed.h"

namespace mote::cuda {
namespace {

// One row's 256 values on their way.
struct RowPart {
  uint8_t codes[kTileCols];
  uint16_t scale[kSteps];  // kHalf32, kHalfMin32, kPower32
  uint16_t min[kSteps];
  uint8_t bytes[16];  // the others: their bytes of a row; kFloat: the float's
  uint16_t super[2];  // float16 scale and min
};

template <class Block>
Block BlockAt(const uint8_t* row, uint32_t index) {
  Block block;
  memcpy(&block, row + index * sizeof(Block), sizeof(Block));
  return block;
}

template <class Block>
void Nibbles32(const Block& block, uint8_t* codes) {
  for (int v = 0; v < kBlock; ++v) codes[v] = static_cast<uint8_t>(GetBits(block.codes, NibbleOf32(v), 15));
}
template <class Block>
void Codes32(const Block& block, uint8_t* codes) {
  Nibbles32(block, codes);
  for (int v = 0; v < kBlock; ++v) {
    codes[v] = static_cast<uint8_t>(codes[v] | GetBits(block.high, {v / 8, v % 8}, 1) << 4);
  }
}

// Blocks of 32: `blocks` of them.
void ReadSimple(DType type, const uint8_t* row, uint32_t first, uint32_t blocks, RowPart* part) {
  for (uint32_t b = 0; b < blocks; ++b) {
    uint8_t* codes = part->codes + b * kBlock;
    const auto take = [&](const auto& block) {
      part->scale[b] = block.scale;
      return block;
    };
    switch (type) {
      case DType::kQ4_0:
        Nibbles32(take(BlockAt<BlockQ4_0>(row, first + b)), codes);
        break;
      case DType::kIQ4_NL:
        Nibbles32(take(BlockAt<BlockIQ4_NL>(row, first + b)), codes);
        break;
      case DType::kQ4_1: {
        const auto block = take(BlockAt<BlockQ4_1>(row, first + b));
        part->min[b] = block.min;
        Nibbles32(block, codes);
        break;
      }
      case DType::kQ5_0:
        Codes32(take(BlockAt<BlockQ5_0>(row, first + b)), codes);
        break;
      case DType::kQ5_1: {
        const auto block = take(BlockAt<BlockQ5_1>(row, first + b));
        part->min[b] = block.min;
        Codes32(block, codes);
        break;
      }
      case DType::kQ8_0:
        memcpy(codes, take(BlockAt<BlockQ8_0>(row, first + b)).codes, kBlock);
        break;
      default: {  // MXFP4
        const auto block = BlockAt<BlockMXFP4>(row, first + b);
        part->scale[b] = F32ToBF16(E8M0ToF32Half(block.exponent));
        Nibbles32(block, codes);
        break;
      }
    }
  }
}

void ReadSuper(DType type, const uint8_t* row, uint32_t index, RowPart* part) {
  uint8_t* codes = part->codes;
  switch (type) {
    case DType::kQ2_K: {
      const auto block = BlockAt<BlockQ2_K>(row, index);
      for (int v = 0; v < kSuperBlock; ++v) codes[v] = static_cast<uint8_t>(GetBits(block.codes, PairOf128(v), 3));
      memcpy(part->bytes, block.scales, 16);
      part->super[0] = block.scale;
      part->super[1] = block.min;
      break;
    }
    case DType::kQ3_K: {
      const auto block = BlockAt<BlockQ3_K>(row, index);
      for (int v = 0; v < kSuperBlock; ++v) {
        codes[v] =
            static_cast<uint8_t>(GetBits(block.codes, PairOf128(v), 3) | GetBits(block.high, BitOf256(v), 1) << 2);
      }
      for (int g = 0; g < 16; ++g) part->bytes[g] = static_cast<uint8_t>(Q3Scale(block.scales, g) - 32);
      part->super[0] = block.scale;
      break;
    }
    case DType::kQ4_K: {
      const auto block = BlockAt<BlockQ4_K>(row, index);
      for (int v = 0; v < kSuperBlock; ++v) codes[v] = static_cast<uint8_t>(GetBits(block.codes, NibbleOf64(v), 15));
      memcpy(part->bytes, &block, 16);
      break;
    }
    case DType::kQ5_K: {
      const auto block = BlockAt<BlockQ5_K>(row, index);
      for (int v = 0; v < kSuperBlock; ++v) {
        codes[v] =
            static_cast<uint8_t>(GetBits(block.codes, NibbleOf64(v), 15) | GetBits(block.high, BitOf256(v), 1) << 4);
      }
      memcpy(part->bytes, &block, 16);
      break;
    }
    case DType::kQ6_K: {
      const auto block = BlockAt<BlockQ6_K>(row, index);
      for (int v = 0; v < kSuperBlock; ++v) {
        codes[v] =
            static_cast<uint8_t>(GetBits(block.low, NibbleOf128(v), 15) | GetBits(block.high, PairOf128(v), 3) << 4);
      }
      memcpy(part->bytes, block.scales, 16);
      part->super[0] = block.scale;
      break;
    }
    default: {  // IQ4_XS
      const auto block = BlockAt<BlockIQ4_XS>(row, index);
      for (int v = 0; v < kSuperBlock; ++v) {
        codes[v] = static_cast<uint8_t>(GetBits(block.codes, NibbleOfGroup32(v), 15));
      }
      for (int g = 0; g < 8; ++g) part->bytes[g] = static_cast<uint8_t>(IQ4Scale(block, g) - 32);
      part->super[0] = block.scale;
      break;
    }
  }
}

// Columns [first, first + count) of an I8 row: all codes of a row, then its scale.
void ReadI8(const uint8_t* row, uint64_t cols, uint64_t first, uint32_t count, RowPart* part) {
  memcpy(part->codes, row + first, count);
  memcpy(part->bytes, row + cols, sizeof(float));
}

void Or32(uint8_t* at, uint32_t bits) {
  uint32_t word;
  memcpy(&word, at, sizeof(word));
  word |= bits;
  memcpy(at, &word, sizeof(word));
}

// Four neighbouring codes, which are one register of one lane, into their planes. The tile was zero.
void PutCodes(const PackedFormat& f, const uint8_t* codes, uint32_t row, uint32_t k, uint8_t* tile) {
  const uint32_t lane = row % 8 * 4 + k % 16 / 4;
  const uint32_t step = k / kStepCols;
  const uint32_t reg = k % kStepCols / 16 * 2 + row / 8;
  const auto word_at = [&](uint32_t plane, uint32_t word) {
    return tile + plane + word / 4 * kChunkBytes + lane * 16 + word % 4 * 4;
  };
  uint32_t nibbles = 0, pairs = 0, bits = 0, bytes = 0;
  // What the nibbles leave of a code goes to the pairs or bits; a format without nibbles begins with its pairs.
  const int high = f.nibbles ? 4 : 2;
  for (int i = 0; i < 4; ++i) {
    const uint32_t code = codes[i] ^ static_cast<uint32_t>(f.offset);
    bytes |= code << 8 * i;
    nibbles |= (code & 15) << (f.table ? reg % 2 * 16 + 4u * static_cast<uint32_t>(i)
                                       : 8u * static_cast<uint32_t>(i) + reg % 2 * 4);
    pairs |= ((f.nibbles ? code >> 4 : code) & 3) << (8u * static_cast<uint32_t>(i) + 2 * reg);
    bits |= (code >> high & 1) << (8u * static_cast<uint32_t>(i) + reg + step % 2 * 4);
  }
  if (f.nibbles) Or32(word_at(0, step * 2 + reg / 2), nibbles);
  if (f.bytes) Or32(word_at(0, step * 4 + reg), bytes);
  if (f.pairs) Or32(word_at(f.pairs_at(), step), pairs);
  if (f.bits) Or32(word_at(f.bits_at(), step / 2), bits);
}

void PutScales(const PackedFormat& f, const RowPart& part, uint32_t row, uint8_t* tile) {
  uint8_t* scales = tile + f.scales_at();
  switch (f.scales) {
    case Scales::kHalf32:
    case Scales::kHalfMin32:
    case Scales::kPower32:
      for (uint32_t s = 0; s < kSteps; ++s) {
        const size_t at = (row % 8 * kSteps + s) * 4 + row / 8 * 2;
        memcpy(scales + at, &part.scale[s], 2);
        if (f.scales == Scales::kHalfMin32) memcpy(scales + 256 + at, &part.min[s], 2);
      }
      break;
    case Scales::kSixBit32:
      memcpy(scales + row * 16, part.bytes, 16);
      break;
    case Scales::kByte32:
      memcpy(scales + row * 8, part.bytes, 8);
      memcpy(scales + 128 + row * 2, part.super, 2);
      break;
    case Scales::kByte16:
      memcpy(scales + row * 16, part.bytes, 16);
      memcpy(scales + 256 + row * 2, part.super, 2);
      break;
    case Scales::kNibble16:
      memcpy(scales + row * 16, part.bytes, 16);
      memcpy(scales + 256 + row * 4, part.super, 4);
      break;
    case Scales::kFloat:
      memcpy(scales + row % 8 * 8 + row / 8 * 4, part.bytes, sizeof(float));
      break;
    case Scales::kNone:
      break;
  }
}

void PackHalves(const uint8_t* rows, size_t row_bytes, uint32_t num_rows, uint64_t cols, uint8_t* tiles) {
  for (uint32_t row = 0; row < num_rows; ++row) {
    for (uint64_t k = 0; k < cols; ++k) {
      uint8_t* tile = tiles + k / kTileCols * FormatOf(DType::kF16).tile_bytes();
      memcpy(tile + HalfTilePlace(row, static_cast<uint32_t>(k % kTileCols)) * 2, rows + row * row_bytes + k * 2, 2);
    }
  }
}

}  // namespace

void PackTiles(DType type, const uint8_t* rows, size_t row_bytes, uint32_t num_rows, uint64_t cols, uint8_t* tiles) {
  const PackedFormat f = FormatOf(type);
  memset(tiles, 0, uint64_t{RowTiles(cols)} * f.tile_bytes());
  if (f.halves) return PackHalves(rows, row_bytes, num_rows, cols, tiles);
  for (uint32_t tile = 0; tile < RowTiles(cols); ++tile) {
    uint8_t* at = tiles + uint64_t{tile} * f.tile_bytes();
    const uint64_t first = uint64_t{tile} * kTileCols;
    const uint32_t given = static_cast<uint32_t>(std::min<uint64_t>(kTileCols, cols - first));
    for (uint32_t row = 0; row < num_rows; ++row) {
      RowPart part = {};
      if (type == DType::kI8Row) {
        ReadI8(rows + row * row_bytes, cols, first, given, &part);
      } else if (f.act_group == 32) {
        ReadSimple(type, rows + row * row_bytes, tile * kSteps, given / kBlock, &part);
      } else {
        ReadSuper(type, rows + row * row_bytes, tile, &part);
      }
      for (uint32_t k = 0; k < given; k += 4) PutCodes(f, part.codes + k, row, k, at);
      PutScales(f, part, row, at);
    }
  }
}

}  // namespace mote::cuda
