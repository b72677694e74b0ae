// How weights lie in device memory: tiles of 16 rows x 256 columns, in the order in which a warp's lanes want them.
//
// A tile is a few planes of code bits and then the scales. A plane is chunks of 512 bytes, 16 for each lane, so that a
// warp reads whole lines with 128-bit loads and a lane finds in its registers what mma.sync wants of it (mma.h): no
// shared memory, no shuffling. Nothing is padded but the last tile of a row and of a matrix: a type takes the bytes
// that it has in the file, give or take what kByte32, kByte16 and kFloat say.
//
// Value (row, k) of a tile belongs to lane 4 * (row % 8) + k % 16 / 4, to step k / 32, there to register
// k % 32 / 16 * 2 + row / 8, and in it to byte k % 4.
#ifndef MOTE_TARGETS_CUDA_PACKED_H_
#define MOTE_TARGETS_CUDA_PACKED_H_

#include <stddef.h>
#include <stdint.h>

#include "quant/dtype.h"

namespace mote::cuda {

inline constexpr uint32_t kTileRows = 16;
inline constexpr uint32_t kTileCols = 256;
inline constexpr uint32_t kStepCols = 32;                  // of the widest matrix instruction
inline constexpr uint32_t kSteps = kTileCols / kStepCols;  // per tile
inline constexpr uint32_t kChunkBytes = 32 * 16;           // one 128-bit load of a warp

// A row of a matrix is summed in at most so many stretches of whole tiles, each from left to right; then the stretches
// from left to right. It depends on the number of columns alone, and so does the result. Eight warps of a block take
// one each where few tokens leave nothing else to share out.
inline constexpr uint32_t kStretches = 8;
constexpr uint32_t RowTiles(uint64_t cols) {
  return static_cast<uint32_t>((cols + kTileCols - 1) / kTileCols);
}
constexpr uint32_t StretchTiles(uint32_t tiles) {
  return (tiles + kStretches - 1) / kStretches;
}
constexpr uint32_t NumStretches(uint32_t tiles) {
  return (tiles + StretchTiles(tiles) - 1) / StretchTiles(tiles);
}

enum class Scales : uint8_t {
  kNone,
  kHalf32,     // float16 for every 32: [row % 8][step][row / 8]
  kHalfMin32,  // the same, and then as many minima
  kPower32,    // bfloat16 for every 32 (MXFP4's powers of two, exactly)
  kSixBit32,   // 16 bytes of a row as in the file: float16 scale and min, 8 scales and 8 minima of 6 bits
  kByte32,     // 8 signed bytes of a row; after all rows float16 scales (IQ4_XS: 4.31 bits a value, 4.25 in the file)
  kByte16,     // 16 signed bytes of a row; after all rows float16 scales (Q3_K: 3.56 bits a value, 3.44 in the file)
  kNibble16,   // 16 bytes of a row, scale low and min high; after all rows float16 scale and min
  kFloat,      // a row's float32, in each of its tiles: [row % 8][row / 8] (I8: 8.125 bits a value, 8 in the file)
};

struct PackedFormat {
  bool nibbles = false;  // 4-bit plane
  bool pairs = false;    // 2-bit plane
  bool bits = false;     // 1-bit plane
  bool bytes = false;    // 8-bit plane
  bool table = false;    // the nibble chooses a value of a table; 4 neighbouring nibbles are those of a register
  bool halves = false;   // 16-bit values, no scales
  int offset = 0;        // taken off the code: half of its range, so that its highest bit, turned round, is a sign
  Scales scales = Scales::kNone;
  uint32_t act_group = 0;  // activations that share a scale: 32 or 256; 0: not integers

  constexpr bool integer() const { return act_group != 0; }
  // Codes with an offset are kept as signed numbers of so few bits, and multiplied with as the highest bits of a byte:
  // 2^code_shift times too large, which costs no instruction and no rounding.
  constexpr int code_shift() const {
    return offset == 8 ? 4 : offset == 16 ? 3 : offset == 4 ? 5 : offset == 32 ? 2 : 0;
  }
  constexpr uint32_t nibble_bytes() const { return nibbles ? 4 * kChunkBytes : 0; }
  constexpr uint32_t pair_bytes() const { return pairs ? 2 * kChunkBytes : 0; }
  constexpr uint32_t bit_bytes() const { return bits ? kChunkBytes : 0; }
  constexpr uint32_t byte_bytes() const { return bytes ? 8 * kChunkBytes : 0; }
  constexpr bool mins() const {
    return scales == Scales::kHalfMin32 || scales == Scales::kSixBit32 || scales == Scales::kNibble16;
  }
  // From the start of a tile; the nibbles or bytes come first.
  constexpr uint32_t pairs_at() const { return nibble_bytes(); }
  constexpr uint32_t bits_at() const { return pairs_at() + pair_bytes(); }
  constexpr uint32_t scales_at() const { return bits_at() + bit_bytes() + byte_bytes(); }
  constexpr uint32_t scale_bytes() const {
    switch (scales) {
      case Scales::kHalf32:
      case Scales::kPower32:
      case Scales::kSixBit32:
        return 256;
      case Scales::kHalfMin32:
        return 512;
      case Scales::kByte32:
        return 128 + 32;
      case Scales::kByte16:
        return 256 + 32;
      case Scales::kNibble16:
        return 256 + 64;
      case Scales::kFloat:
        return kTileRows * sizeof(float);
      case Scales::kNone:
        break;
    }
    return 0;
  }
  constexpr uint32_t tile_bytes() const { return halves ? 16 * kChunkBytes : scales_at() + scale_bytes(); }
};

constexpr PackedFormat FormatOf(DType type) {
  PackedFormat f;
  switch (type) {
    case DType::kQ4_0:
    case DType::kQ4_1:
    case DType::kQ5_0:
    case DType::kQ5_1:
    case DType::kIQ4_NL:
    case DType::kMXFP4:
      f.nibbles = true;
      f.bits = type == DType::kQ5_0 || type == DType::kQ5_1;
      f.table = type == DType::kIQ4_NL || type == DType::kMXFP4;
      f.offset = type == DType::kQ4_0 ? 8 : type == DType::kQ5_0 ? 16 : 0;
      f.scales = type == DType::kQ4_1 || type == DType::kQ5_1 ? Scales::kHalfMin32
                 : type == DType::kMXFP4                      ? Scales::kPower32
                                                              : Scales::kHalf32;
      f.act_group = 32;
      break;
    case DType::kQ8_0:
      f.bytes = true;
      f.scales = Scales::kHalf32;
      f.act_group = 32;
      break;
    // A tile is a super-block without scales inside: whole numbers up to its end. Activations share a scale for every
    // 256, not all of a row as on the CPU: so that whoever has 256 of them can round them.
    case DType::kI8Row:
      f.bytes = true;
      f.scales = Scales::kFloat;
      f.act_group = 256;
      break;
    case DType::kQ2_K:
      f.pairs = true;
      f.scales = Scales::kNibble16;
      f.act_group = 256;
      break;
    case DType::kQ3_K:
      f.pairs = true;
      f.bits = true;
      f.offset = 4;
      f.scales = Scales::kByte16;
      f.act_group = 256;
      break;
    case DType::kQ4_K:
    case DType::kQ5_K:
      f.nibbles = true;
      f.bits = type == DType::kQ5_K;
      f.scales = Scales::kSixBit32;
      f.act_group = 256;
      break;
    case DType::kQ6_K:
      f.nibbles = true;
      f.pairs = true;
      f.offset = 32;
      f.scales = Scales::kByte16;
      f.act_group = 256;
      break;
    case DType::kIQ4_XS:
      f.nibbles = true;
      f.table = true;
      f.scales = Scales::kByte32;
      f.act_group = 256;
      break;
    case DType::kF16:
    case DType::kBF16:
      f.halves = true;
      break;
    default:  // F32: rows as in the file
      break;
  }
  return f;
}

// Of products of one token: tiles that a warp has under way, and their bytes in shared memory, of which a
// multiprocessor of Hopper's has enough for three blocks of most types and for two of 8-bit ones.
constexpr uint32_t OneTokenDepth(DType type) {
  return FormatOf(type).tile_bytes() > 2560 ? 2 : 3;
}
constexpr uint32_t RingBytes(DType type) {
  return OneTokenDepth(type) * FormatOf(type).tile_bytes();
}
// Shared memory of a block of them that norms its input, at most.
constexpr uint32_t NormingBytes(DType type) {
  return kStretches * RingBytes(type) + (10 << 10);
}

// Place of value k in a row of activations, within its 64: 16 bytes hold what a lane needs for two steps.
constexpr uint32_t ActPlace(uint32_t k) {
  return k / 64 * 64 + k % 16 / 4 * 16 + k % 64 / 32 * 8 + k % 32 / 16 * 4 + k % 4;
}
// 256 activations: codes (ActPlace), a float scale for every 32 (all the same where 256 share one), the sums of every
// 16 codes as 16-bit integers.
inline constexpr uint32_t kActScales = 256;
inline constexpr uint32_t kActSums = 288;
inline constexpr uint32_t kActBlockBytes = 320;

// Rows of activations as halves: a header of 16 bytes (a float: what sums are multiplied with, a power of two), then
// the values; 16 bytes hold what a lane needs for two steps of 16.
inline constexpr uint32_t kHalfActHeader = 16;
constexpr uint32_t HalfActPlace(uint32_t k) {
  return k / 32 * 32 + k % 8 / 2 * 8 + k % 32 / 16 * 4 + k % 16 / 8 * 2 + k % 2;
}
// Place of value (row, k) of a tile of halves: 16 k to a chunk.
constexpr uint32_t HalfTilePlace(uint32_t row, uint32_t k) {
  const uint32_t lane = row % 8 * 4 + k % 8 / 2;
  const uint32_t reg = k % 16 / 8 * 2 + row / 8;
  return (k / 16 * 32 + lane) * 8 + reg * 2 + k % 2;
}

// What a matrix product wants its input as.
enum class Acts : uint8_t { kFloat, kBytes32, kBytes256, kHalf, kBf16 };
inline constexpr int kActKinds = 5;
constexpr Acts ActsOf(DType type) {
  const PackedFormat f = FormatOf(type);
  if (f.act_group == 32) return Acts::kBytes32;
  if (f.act_group == 256 || type == DType::kI8) return Acts::kBytes256;  // I8: packed_sparse.h
  if (type == DType::kF16) return Acts::kHalf;
  if (type == DType::kBF16) return Acts::kBf16;
  return Acts::kFloat;
}
// Bytes of a row of activations; 0 where the row of floats itself is read.
constexpr uint64_t ActRowBytes(Acts acts, uint64_t cols) {
  const uint64_t tiles = RowTiles(cols);
  if (acts == Acts::kFloat) return 0;
  if (acts == Acts::kBytes32 || acts == Acts::kBytes256) return tiles * kActBlockBytes;
  return kHalfActHeader + tiles * kTileCols * sizeof(uint16_t);
}

// Activations of tokens that are read (read_product.cuh): halves or bfloat16, a scale for each row before all of them
// (a power of two, of halves), rows filled up to whole blocks of kReadRows. Of 64 columns 8 rows are 1024 bytes
// (GroupPlace of wgmma.h); of the next 8 rows follow, and behind all rows the next 64 columns.
enum class ReadActs : uint8_t { kNone, kHalf, kHalfOfCodes, kBf16 };
inline constexpr int kReadActKinds = 4;
constexpr ReadActs ReadActsOf(DType type) {
  const PackedFormat f = FormatOf(type);
  if (f.integer()) return ReadActs::kHalfOfCodes;
  return type == DType::kF16 ? ReadActs::kHalf : type == DType::kBF16 ? ReadActs::kBf16 : ReadActs::kNone;
}
inline constexpr uint32_t kReadRows = 128;
constexpr uint64_t PaddedReadRows(uint64_t rows) {
  return (rows + kReadRows - 1) / kReadRows * kReadRows;
}
constexpr uint64_t ReadActBytes(uint64_t rows, uint64_t cols) {
  return PaddedReadRows(rows) * (sizeof(float) + uint64_t{RowTiles(cols)} * kTileCols * sizeof(uint16_t));
}
// Of codes (kHalfOfCodes): where column k of 16 is, so that a lane's four columns (above) are the two and two of a
// matrix instruction of halves (half_weights.cuh).
constexpr uint32_t ReadColumn(uint32_t k) {
  return k / 16 * 16 + k % 4 / 2 * 8 + k % 16 / 4 * 2 + k % 2;
}

// Bytes of `rows` packed rows, those that fill up the last tile included. F32 stays as it is.
constexpr uint64_t PackedBytes(DType type, uint64_t rows, uint64_t cols) {
  if (type == DType::kF32) return rows * cols * sizeof(float);
  return (rows + kTileRows - 1) / kTileRows * RowTiles(cols) * FormatOf(type).tile_bytes();
}

// Packs rows of the file (`row_bytes` apart, up to 16) into one row of tiles. Implemented in pack.cc, for the host.
void PackTiles(DType type, const uint8_t* rows, size_t row_bytes, uint32_t num_rows, uint64_t cols, uint8_t* tiles);

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_PACKED_H_
