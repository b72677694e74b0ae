// Packed panels back to blocks of the file, a few at a time: embeddings are looked up where the file's own rows are
// gone.
#ifndef MOTE_SIMD_UNPACK_H_
#define MOTE_SIMD_UNPACK_H_

#include <stddef.h>
#include <stdint.h>

#include "quant/dtype.h"
#include "simd/kernels.h"

namespace mote::simd {

// One row within a packed panel.
struct PackedRow {
  DType type = DType::kF32;
  const uint8_t* panel = nullptr;
  size_t panel_rows = 1;
  size_t row = 0;  // below panel_rows
  size_t k = 0;    // values of the row
  bool raised_q8 = false;
};

// Whether this row of the table packs codes of Q8_0 and kI8Row with 128 added; only its `pack` knows.
bool RaisesQ8(const KernelTable& table);

// Blocks [first, first + count) of the row, as in the file: count * block bytes. Single values (F32, ...) are blocks of
// one.
void UnpackBlocks(const PackedRow& row, size_t first, size_t count, uint8_t* blocks);

// Of a kI8Row.
float ScaleOf(const PackedRow& row);

}  // namespace mote::simd

#endif  // MOTE_SIMD_UNPACK_H_
