// Block-sparse matrices: the blocks of a matrix that are not all zero, and where they stand. docs/block_sparse.md has
// the format byte by byte.
//
// A matrix (rows, cols) is cut into groups of 16 rows and stretches of 256 columns. Inside, a block is 16 rows x 4
// columns of int8, x 2 of F16 or BF16, x 8 of 4 bits: 64 bytes whatever the type. Only blocks with a value that is not
// zero are kept, group by group, stretch by stretch, by ascending position in the stretch.
//
// Types, each with a dense form that it converts to and from without loss:
//   kI8          int8 codes, one float16 scale for a row's stretch; dense: Q8_0 rows, whose scales are the same all
//   over
//                a stretch
//   kF16, kBF16  dense: the same; a zero is a value whose bits are all 0
//   kQ4_0        dense: the same
#ifndef MOTE_QUANT_BLOCK_SPARSE_H_
#define MOTE_QUANT_BLOCK_SPARSE_H_

#include <stddef.h>
#include <stdint.h>

#include <span>
#include <vector>

#include "quant/dtype.h"

namespace mote {

inline constexpr size_t kSparseRows = 16;                      // of a group
inline constexpr size_t kSparseStretch = 256;                  // columns
inline constexpr size_t kSparseBlockBytes = 64;                // of a block's values
inline constexpr uint64_t kSparseMaxSide = uint64_t{1} << 26;  // rows, columns

// Whether there are block-sparse matrices of this type.
constexpr bool IsSparseType(DType type) {
  return type == DType::kI8 || type == DType::kF16 || type == DType::kBF16 || type == DType::kQ4_0;
}
// Columns of a block: 4, 2 or 8.
constexpr size_t SparseBlockCols(DType type) {
  return type == DType::kI8 ? 4 : type == DType::kQ4_0 ? 8 : 2;
}
// Columns that share a scale: 256 or 32; 0 where there are no scales.
constexpr size_t SparseScaleCols(DType type) {
  return type == DType::kI8 ? kSparseStretch : type == DType::kQ4_0 ? 32 : 0;
}
// The type of the dense form.
constexpr DType SparseDenseType(DType type) {
  return type == DType::kI8 ? DType::kQ8_0 : type;
}

// Sizes of a matrix of a sparse type.
struct SparseShape {
  DType type = DType::kI8;
  uint64_t rows = 0;
  uint64_t cols = 0;

  // A sparse type, 1 to kSparseMaxSide rows and columns, and whole units of columns: 32 for kI8 and kQ4_0, 2 for the
  // others.
  constexpr bool valid() const {
    const uint64_t unit = SparseScaleCols(type) == 0 ? 2 : 32;
    return IsSparseType(type) && rows >= 1 && rows <= kSparseMaxSide && cols >= 1 && cols <= kSparseMaxSide &&
           cols % unit == 0;
  }
  constexpr uint64_t groups() const { return (rows + kSparseRows - 1) / kSparseRows; }
  constexpr uint64_t stretches() const { return (cols + kSparseStretch - 1) / kSparseStretch; }
  // Blocks that a group has room for in stretch `s`.
  constexpr uint64_t places(uint64_t s) const {
    const uint64_t left = cols - s * kSparseStretch;
    return (left < kSparseStretch ? left : kSparseStretch) / SparseBlockCols(type);
  }
  constexpr uint64_t all_blocks() const { return groups() * (cols / SparseBlockCols(type)); }
  constexpr uint64_t num_counts() const { return groups() * stretches(); }
  // Scales of a group: kSparseRows for each run of SparseScaleCols columns.
  constexpr uint64_t group_scales() const {
    const uint64_t scale_cols = SparseScaleCols(type);
    return scale_cols == 0 ? 0 : (cols + scale_cols - 1) / scale_cols * kSparseRows;
  }
  constexpr uint64_t num_scales() const { return groups() * group_scales(); }
  // Bytes of a row in the dense form.
  size_t DenseRowBytes() const { return RowBytes(SparseDenseType(type), cols); }
};

// A matrix that somebody else owns. No alignment needed.
struct SparseView {
  SparseShape shape;
  std::span<const uint8_t> counts;  // (groups, stretches): blocks kept
  std::span<const uint8_t> index;   // (blocks): position in the stretch
  std::span<const uint8_t> scales;  // float16 (groups, runs of SparseScaleCols, 16 rows)
  std::span<const uint8_t> values;  // (blocks, 64)
  uint64_t blocks() const { return index.size(); }
};

// A matrix of its own.
struct SparseMatrix {
  SparseShape shape;
  std::vector<uint8_t> counts;
  std::vector<uint8_t> index;
  std::vector<uint8_t> scales;
  std::vector<uint8_t> values;
  SparseView view() const { return {shape, counts, index, scales, values}; }
};

// What is wrong with a matrix: `what` happened at element `at` of an array, which is `got`, where less than or equal to
// `limit` (or, for sizes, exactly `limit`) would be right.
struct SparseFault {
  const char* what = nullptr;  // null: nothing is wrong
  uint64_t at = 0;
  uint64_t got = 0;
  uint64_t limit = 0;
};
// Everything that the other functions and the kernels rely on: sizes, counts, and that positions rise and stay inside.
// Values and scales may be anything.
SparseFault CheckSparse(const SparseView& view);

// ---- Dense to sparse. Rows are added a group at a time, so that groups can be made by different threads and joined.

// Appends a group to `out`, whose shape is set: its `num_rows` rows (16, or fewer in the last group) in the dense form,
// `row_bytes` apart. False, `out` unspecified: kI8, and a row whose scales differ within a stretch.
bool AppendSparseGroup(const uint8_t* dense_rows, size_t row_bytes, size_t num_rows, SparseMatrix* out);
// The same from floats (num_rows, cols), rounded to the type. A block of zeros is not kept. False: a value is not
// finite, or too large for the type.
bool AppendSparseGroupOfFloats(const float* rows, size_t num_rows, SparseMatrix* out);
// Appends the groups of `part`, of the same columns, after those of `out`.
void AppendSparse(const SparseMatrix& part, SparseMatrix* out);
// A matrix without any block is given its first one, of zeros: files have no empty tensors. To be called after the last
// group.
void FinishSparse(SparseMatrix* out);

// One row of floats (cols) as the dense form of `type` (DenseRowBytes): what AppendSparseGroupOfFloats rounds to.
bool EncodeSparseRow(DType type, const float* row, size_t cols, uint8_t* dense);

// ---- Sparse to dense. The view must have passed CheckSparse.

// First block of each group, and their number at the end: (groups + 1).
std::vector<uint64_t> SparseStarts(const SparseView& view);
// Row `row` in the dense form. `start`: of its group.
void DecodeSparseRow(const SparseView& view, uint64_t row, uint64_t start, uint8_t* dense);

}  // namespace mote

#endif  // MOTE_QUANT_BLOCK_SPARSE_H_
