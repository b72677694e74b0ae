// The kernels of block-sparse products (quant/block_sparse.h), one table beside each KernelTable. What simd/kernels.h
// says of arguments, memory and determinism holds here too.
#ifndef MOTE_SIMD_SPARSE_H_
#define MOTE_SIMD_SPARSE_H_

#include <stddef.h>
#include <stdint.h>

#include "quant/block_sparse.h"
#include "simd/kernels.h"

namespace mote::simd {

// Activations as products with block-sparse int8 weights want them ("S8"): a row is one of these for each stretch of
// 256 values, the last one filled up with zeros. value = scale * code; for instruction sets whose dot product takes one
// unsigned operand, the codes are raised by 128. K is a multiple of 32.
struct S8Stretch {
  float scale;
  uint8_t codes[kSparseStretch];
};
static_assert(sizeof(S8Stretch) == 260);
// Distance of rows.
constexpr size_t S8RowBytes(size_t k) {
  return ((k + kSparseStretch - 1) / kSparseStretch * sizeof(S8Stretch) + 63) / 64 * 64;
}

// The same activations as products with many rows want them, 16 rows together in the room of 16 S8 rows: for each
// stretch, their scales and codes, in the order in which the instruction set's kernel reads them. This is a matrix
// unit's: codes of -127..127, 64 values of each row side by side; simd/sparse_lanes.cc has its own. Rows that fill up
// the last group need not be written; what comes of them is not stored.
inline constexpr size_t kS8TileRows = 16;
struct alignas(64) S8Tiles {
  float scales[kS8TileRows];
  int8_t codes[kSparseStretch / 64][kS8TileRows][64];
};
static_assert(sizeof(S8Tiles) == kS8TileRows * sizeof(S8Stretch));
// Products with fewer rows are as fast from S8 rows: at half the blocks 32 rows are 1.2 times as fast from tiles, at a
// quarter as fast.
inline constexpr size_t kS8TilesFrom = 32;
// Scratch memory of their products, for each thread that calls one.
inline constexpr size_t kSparseTilesScratchBytes = 152 * 1024;

// out[m * out_stride + n] = sum over k of acts[m][k] * weights[n][k], for the rows n of groups [first_group,
// first_group + groups) that exist.
struct SparseMatMulArgs {
  SparseShape shape;
  // Of the whole matrix, as in the file. What lies after the values may be prefetched. Index, counts and starts are
  // null where every place is kept.
  const uint8_t* values = nullptr;
  const uint8_t* index = nullptr;
  const uint8_t* counts = nullptr;
  const uint8_t* scales = nullptr;
  const uint64_t* starts = nullptr;  // first block of each group
  // Of kI8 with m == 1: every place is kept, and index and counts (of one group, starts null) are the places, the same
  // for all groups, whose activations are not all zero. Those that are left out are passed over.
  bool same_places = false;
  size_t first_group = 0;
  size_t groups = 0;
  const void* acts = nullptr;  // m rows: S8 for kI8, A8 with a scale for every 32 for kQ4_0, else float (K)
  size_t act_stride_bytes = 0;
  size_t m = 0;
  float* out = nullptr;        // of the first group's first row
  size_t out_stride = 0;       // floats
  uint8_t* scratch = nullptr;  // kMatMulScratchBytes, aligned to 64
  FetchAhead ahead;            // of the CPU, where it is known
};
// Its part that is the matrix. `starts` null: every place is kept, and the view's counts and index say nothing.
inline SparseMatMulArgs SparseArgs(const SparseView& view, const uint64_t* starts) {
  SparseMatMulArgs args;
  args.shape = view.shape;
  args.values = view.values.data();
  args.scales = view.scales.data();
  args.groups = view.shape.groups();
  if (starts == nullptr) return args;
  args.index = view.index.data();
  args.counts = view.counts.data();
  args.starts = starts;
  return args;
}
using SparseMatMulFn = void (*)(const SparseMatMulArgs& args);

struct SparseKernels {
  // The same bits as the dense product of the same values: kF16, kBF16 and kQ4_0 as KernelTable::matmul of that type,
  // kI8 as kI8 without an index.
  SparseMatMulFn matmul_i8;
  SparseMatMulFn matmul_f16;
  SparseMatMulFn matmul_bf16;
  SparseMatMulFn matmul_q4_0;
  // K floats to one S8 row. NaN or infinity in gives unspecified finite values.
  void (*quantize_s8)(const float* x, size_t k, void* out);

  // By a matrix unit, or with rows of activations as lanes, where that is faster; else null. matmul_i8's bits from
  // S8Tiles (of this instruction set's own order) of all rows, of which
  // `acts` is aligned to 64; act_stride_bytes is that of S8 rows. Not with same_places. Scratch:
  // kSparseTilesScratchBytes.
  SparseMatMulFn matmul_i8_tiles = nullptr;
  // `rows` rows of K floats, at most 16, `stride` floats from one to the next, to the 16 that begin at `group`.
  void (*quantize_s8_tiles)(const float* x, size_t stride, size_t k, size_t rows, void* group) = nullptr;

  // Null where there are no block-sparse matrices of this type.
  SparseMatMulFn MatMulOf(DType type) const {
    return type == DType::kI8     ? matmul_i8
           : type == DType::kF16  ? matmul_f16
           : type == DType::kBF16 ? matmul_bf16
           : type == DType::kQ4_0 ? matmul_q4_0
                                  : nullptr;
  }
};

// Those of the same instruction set.
const SparseKernels& SparseKernelsOf(const KernelTable& table);

}  // namespace mote::simd

#endif  // MOTE_SIMD_SPARSE_H_
