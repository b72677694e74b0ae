// How block-sparse weights (docs/block_sparse.md) lie in device memory: I8, F16 and BF16, in the order of a warp's
// lanes.
//
// The rows of 16 of a matrix are cut into units of 64 places: 256 columns of I8, 128 of halves, 256 bytes of a token's
// activations either way. A block kept is 16 rows x 4 bytes, just what four lanes of every matrix instruction multiply
// with: eight blocks from anywhere in a unit make one operand of mma.sync (mma.h), and what they are multiplied with
// is gathered, a 32-bit word for each block and token. So blocks stand in pairs, and four pairs are a step:
//
//   values  128 bytes of a pair: 16 for each g: rows g and g + 8 of its first block, then of its second. Lane (g, t) of
//   a
//           warp reads those of pair t of a step with one load, and has its four registers of A.
//   index   2 bytes of a pair: for each block, where the word of activations begins in the unit's 256 bytes
//   scales  I8: 32 bytes of a unit and 16 rows, float16, row g and row g + 8 side by side
//   starts  a 32-bit number of a unit and 16 rows: its first pair; and one more at the end
//
// Only units with an odd number of blocks are filled up, with a block of zeros at the place of the one before it. At
// half the blocks that is 1.6 % of them; with 2 % for index, starts and scales a block kept takes 64 + 1 + 1 + 1.1
// bytes of I8 and 64 + 1 + 1 + 0.1 of halves, where the file has 64 + 1 + 1 and 64 + 1.
#ifndef MOTE_TARGETS_CUDA_PACKED_SPARSE_H_
#define MOTE_TARGETS_CUDA_PACKED_SPARSE_H_

#include "targets/cuda/packed.h"

namespace mote::cuda {

inline constexpr uint32_t kUnitPlaces = 64;
inline constexpr uint32_t kPairBytes = 128;
inline constexpr uint32_t kStepPairs = 4;
inline constexpr uint32_t kUnitSteps = kUnitPlaces / 2 / kStepPairs;  // at most
inline constexpr uint32_t kUnitActBytes = 256;

// Types that run as they are. Block-sparse Q4_0 becomes dense while it is loaded: the four blocks that share a scale
// would be an instruction of their own, however few of them are kept.
constexpr bool IsPackedSparse(DType type) {
  return type == DType::kI8 || type == DType::kF16 || type == DType::kBF16;
}
constexpr uint32_t UnitCols(DType type) {
  return type == DType::kI8 ? 256 : 128;
}
// Units of a row, those of the whole last tile.
constexpr uint32_t RowUnits(DType type, uint64_t cols) {
  return RowTiles(cols) * (kTileCols / UnitCols(type));
}
constexpr uint32_t UnitScaleBytes(DType type) {
  return type == DType::kI8 ? 2 * kTileRows : 0;
}
// From unit to unit of a token's activations; the first comes after the header of halves.
constexpr uint32_t UnitActDistance(DType type) {
  return type == DType::kI8 ? kActBlockBytes : kUnitActBytes;
}
// Where a block's activations begin in the unit's bytes: of four bytes or of two halves, aligned to 4. `k`: a multiple
// of the block's columns.
constexpr uint32_t WordByte(DType type, uint32_t k) {
  return type == DType::kI8 ? ActPlace(k % 256) : HalfActPlace(k % 128) * 2;
}

// A matrix in device memory.
struct SparseMatrixArgs {
  const uint32_t* starts;  // (rows of 16, units) and one
  const uint8_t* scales;   // (rows of 16, units, 32), or null
  const uint8_t* index;    // (pairs, 2)
  const uint8_t* values;   // (pairs, 128), aligned to 16
};

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_PACKED_SPARSE_H_
