// Weights packed into panels: the order in memory that the vector kernels read them in.
//
// A panel holds `panel_rows` rows of a matrix, as many as a vector has 32-bit lanes, over all their K values. It is
// made of the blocks of the file, 32-bit word by 32-bit word, the same word of all its rows side by side: one vector of
// codes is panel_rows x 4 values of k (or x 8 of 4 bits), a product with one token needs no sum across lanes, and
// nothing is decoded or rounded on the way. A panel is exactly as large as the rows it holds. Rows that a last panel
// lacks are zero.
//
// Blocks of 32 values go by chunks of 8 (the last chunk of a row may have fewer), super-blocks by themselves. In a
// chunk lie, one after the other, the fields that ChunkFields lists; each field block by block, element by element, row
// by row. Floats (F32, F16, BF16) lie value by value, row by row, and their panels have four vectors of rows. int8 with
// a scale a row: 32-bit word by word of codes, row by row, and then the scales.
#ifndef MOTE_SIMD_PACK_H_
#define MOTE_SIMD_PACK_H_

#include <stddef.h>
#include <stdint.h>

#include <span>

#include "quant/dtype.h"

namespace mote::simd {

// Vectors of rows in a panel of floats: as many independent chains of multiply-adds hide their latency when there is
// one token.
inline constexpr size_t kFloatPanelVectors = 4;

// Blocks of 32 in a full chunk.
inline constexpr size_t kChunkBlocks = 8;

// A field of a block: `count` elements of `bytes` bytes (1, 2 or 4).
struct ChunkField {
  uint8_t offset;
  uint8_t bytes;
  uint8_t count;
};
// In the order in which they lie in a chunk. Empty for floats.
std::span<const ChunkField> ChunkFields(DType type);

struct PackArgs {
  DType type = DType::kF32;
  const uint8_t* rows = nullptr;  // of the file, row_bytes apart, unaligned
  size_t num_rows = 0;            // starting at a panel's first
  size_t k = 0;                   // values per row, whole blocks
  uint8_t* panels = nullptr;      // ceil(num_rows / panel_rows) * panel_rows * RowBytes(type, k) bytes
};

// `raise_q8`: codes of Q8_0 and of kI8Row get 128 added, for instruction sets whose dot product takes unsigned codes.
void PackPanels(const PackArgs& args, size_t panel_rows, bool raise_q8);

// The permutation of Q5_0's and Q5_1's 32 high bits: bit v goes to bit v / 4 of byte v % 4, so that a vector of words
// has at bit j what belongs to the codes 4 j .. 4 j + 3 of each row.
uint32_t SpreadHighBits(uint32_t bits);

}  // namespace mote::simd

#endif  // MOTE_SIMD_PACK_H_
