#include "quant/block_sparse.h"

#include <math.h>
#include <string.h>

#include "quant/blocks.h"
#include "quant/codec.h"

namespace mote {
namespace {

constexpr uint8_t kZeroCodes4 = 0x88;  // two codes of Q4_0 whose values are 0

// What every byte of a block of zeros is.
uint8_t ZeroByte(DType type) {
  return type == DType::kQ4_0 ? kZeroCodes4 : 0;
}

// Bytes between float16 scales of a row in the dense form, which is made of blocks of 32 values.
size_t DenseBlockBytes(DType type) {
  return type == DType::kI8 ? sizeof(BlockQ8_0) : sizeof(BlockQ4_0);
}

// Code of value v of a block of 32.
uint8_t Nibble(const uint8_t* codes, size_t v) {
  return static_cast<uint8_t>(codes[v % 16] >> (v < 16 ? 0 : 4) & 15);
}
void SetNibble(uint8_t* codes, size_t v, uint8_t code) {
  uint8_t& byte = codes[v % 16];
  byte = static_cast<uint8_t>(v < 16 ? (byte & 0xf0) | code : (byte & 0x0f) | code << 4);
}

// The part of row `r` of a block that begins at column `col`, from the row's dense form to the block's bytes.
void GatherRow(DType type, const uint8_t* dense, size_t col, size_t r, uint8_t* block) {
  if (type == DType::kI8) {
    memcpy(block + 4 * r, dense + col / 32 * sizeof(BlockQ8_0) + offsetof(BlockQ8_0, codes) + col % 32, 4);
  } else if (type == DType::kQ4_0) {
    const uint8_t* codes = dense + col / 32 * sizeof(BlockQ4_0) + offsetof(BlockQ4_0, codes);
    for (size_t c = 0; c < 4; ++c) {
      block[4 * r + c] = static_cast<uint8_t>(Nibble(codes, col % 32 + c) | Nibble(codes, col % 32 + c + 4) << 4);
    }
  } else {
    for (size_t c = 0; c < 2; ++c) memcpy(block + 2 * (kSparseRows * c + r), dense + 2 * (col + c), 2);
  }
}

// The inverse.
void ScatterRow(DType type, const uint8_t* block, size_t col, size_t r, uint8_t* dense) {
  if (type == DType::kI8) {
    memcpy(dense + col / 32 * sizeof(BlockQ8_0) + offsetof(BlockQ8_0, codes) + col % 32, block + 4 * r, 4);
  } else if (type == DType::kQ4_0) {
    uint8_t* codes = dense + col / 32 * sizeof(BlockQ4_0) + offsetof(BlockQ4_0, codes);
    for (size_t c = 0; c < 4; ++c) {
      SetNibble(codes, col % 32 + c, block[4 * r + c] & 15);
      SetNibble(codes, col % 32 + c + 4, block[4 * r + c] >> 4);
    }
  } else {
    for (size_t c = 0; c < 2; ++c) memcpy(dense + 2 * (col + c), block + 2 * (kSparseRows * c + r), 2);
  }
}

// Appends the scales of a group. False: I8, and they differ within a stretch.
bool AppendScales(const uint8_t* dense_rows, size_t row_bytes, size_t num_rows, SparseMatrix* out) {
  const SparseShape& shape = out->shape;
  const size_t scale_cols = SparseScaleCols(shape.type);
  if (scale_cols == 0) return true;
  const size_t step = DenseBlockBytes(shape.type);
  const size_t per_run = scale_cols / 32;
  const size_t blocks = shape.cols / 32;
  for (size_t first = 0; first < blocks; first += per_run) {
    const size_t at = out->scales.size();
    out->scales.resize(at + kSparseRows * 2);
    for (size_t r = 0; r < num_rows; ++r) {
      const uint8_t* scale = dense_rows + r * row_bytes + first * step;
      for (size_t b = 1; b < per_run && first + b < blocks; ++b) {
        if (memcmp(scale, scale + b * step, 2) != 0) return false;
      }
      memcpy(out->scales.data() + at + 2 * r, scale, 2);
    }
  }
  return true;
}

// One stretch of I8: the scale, rounded to float16, and codes of at most 127.
bool EncodeI8Stretch(const float* x, size_t count, uint8_t* dense) {
  float largest = 0;
  for (size_t i = 0; i < count; ++i) {
    if (!isfinite(x[i])) return false;
    largest = fmaxf(largest, fabsf(x[i]));
  }
  const uint16_t bits = F32ToF16(largest / 127.0f);
  const float scale = F16ToF32(bits);
  if (isinf(scale)) return false;
  for (size_t first = 0; first < count; first += 32) {
    BlockQ8_0 block = {};
    block.scale = bits;
    for (size_t i = 0; i < 32; ++i) {
      // A scale that became 0 or smaller than it was: the codes stay in range.
      const float code = scale == 0 ? 0.0f : nearbyintf(x[first + i] / scale);
      block.codes[i] = static_cast<int8_t>(fminf(fmaxf(code, -127.0f), 127.0f));
    }
    memcpy(dense + first / 32 * sizeof(block), &block, sizeof(block));
  }
  return true;
}

}  // namespace

SparseFault CheckSparse(const SparseView& view) {
  const SparseShape& shape = view.shape;
  if (!shape.valid()) return {"a shape or type that is not possible", 0, shape.cols, kSparseMaxSide};
  // Sides of at most 2^26 keep every product below in 64 bits.
  if (view.counts.size() != shape.num_counts()) {
    return {"the number of counts", 0, view.counts.size(), shape.num_counts()};
  }
  if (view.scales.size() != 2 * shape.num_scales()) {
    return {"the bytes of scales", 0, view.scales.size(), 2 * shape.num_scales()};
  }
  if (view.values.size() != kSparseBlockBytes * view.blocks()) {
    return {"the bytes of values", 0, view.values.size(), kSparseBlockBytes * view.blocks()};
  }
  uint64_t at = 0;
  const uint64_t stretches = shape.stretches();
  for (uint64_t i = 0; i < view.counts.size(); ++i) {
    const uint64_t places = shape.places(i % stretches);
    const uint64_t count = view.counts[i];
    if (count > places) return {"a count", i, count, places};
    if (count > view.blocks() - at) return {"a count, beyond the blocks that are left", i, count, view.blocks() - at};
    uint64_t next = 0;
    for (uint64_t b = 0; b < count; ++b, ++at) {
      const uint64_t place = view.index[at];
      if (place >= places) return {"a place, beyond its stretch", at, place, places - 1};
      if (place < next) return {"a place, not above the one before it", at, place, places - 1};
      next = place + 1;
    }
  }
  if (at != view.blocks()) return {"the sum of the counts", 0, at, view.blocks()};
  return {};
}

bool AppendSparseGroup(const uint8_t* dense_rows, size_t row_bytes, size_t num_rows, SparseMatrix* out) {
  const SparseShape& shape = out->shape;
  const uint8_t zero = ZeroByte(shape.type);
  if (!AppendScales(dense_rows, row_bytes, num_rows, out)) return false;
  const size_t block_cols = SparseBlockCols(shape.type);
  uint8_t zeros[kSparseBlockBytes];
  memset(zeros, zero, sizeof(zeros));
  for (uint64_t s = 0; s < shape.stretches(); ++s) {
    uint8_t count = 0;
    for (uint64_t p = 0; p < shape.places(s); ++p) {
      uint8_t block[kSparseBlockBytes];
      memset(block, zero, sizeof(block));
      for (size_t r = 0; r < num_rows; ++r) {
        GatherRow(shape.type, dense_rows + r * row_bytes, s * kSparseStretch + p * block_cols, r, block);
      }
      if (memcmp(block, zeros, sizeof(block)) == 0) continue;
      ++count;
      out->index.push_back(static_cast<uint8_t>(p));
      out->values.insert(out->values.end(), block, block + sizeof(block));
    }
    out->counts.push_back(count);
  }
  return true;
}

bool EncodeSparseRow(DType type, const float* row, size_t cols, uint8_t* dense) {
  if (type != DType::kI8) return EncodeRow(type, row, dense, cols);
  for (size_t first = 0; first < cols; first += kSparseStretch) {
    const size_t count = cols - first < kSparseStretch ? cols - first : kSparseStretch;
    if (!EncodeI8Stretch(row + first, count, dense + first / 32 * sizeof(BlockQ8_0))) return false;
  }
  return true;
}

bool AppendSparseGroupOfFloats(const float* rows, size_t num_rows, SparseMatrix* out) {
  const size_t row_bytes = out->shape.DenseRowBytes();
  const size_t cols = out->shape.cols;
  std::vector<uint8_t> dense(row_bytes * num_rows);
  std::vector<float> row(cols);
  for (size_t r = 0; r < num_rows; ++r) {
    // A pruned value may be -0, whose bits are not 0.
    for (size_t c = 0; c < cols; ++c) row[c] = rows[r * cols + c] + 0.0f;
    if (!EncodeSparseRow(out->shape.type, row.data(), cols, dense.data() + r * row_bytes)) return false;
  }
  return AppendSparseGroup(dense.data(), row_bytes, num_rows, out);
}

void AppendSparse(const SparseMatrix& part, SparseMatrix* out) {
  out->counts.insert(out->counts.end(), part.counts.begin(), part.counts.end());
  out->index.insert(out->index.end(), part.index.begin(), part.index.end());
  out->scales.insert(out->scales.end(), part.scales.begin(), part.scales.end());
  out->values.insert(out->values.end(), part.values.begin(), part.values.end());
}

void FinishSparse(SparseMatrix* out) {
  if (!out->index.empty()) return;
  out->counts[0] = 1;
  out->index.push_back(0);
  out->values.assign(kSparseBlockBytes, ZeroByte(out->shape.type));
}

std::vector<uint64_t> SparseStarts(const SparseView& view) {
  const uint64_t groups = view.shape.groups();
  const uint64_t stretches = view.shape.stretches();
  std::vector<uint64_t> starts(groups + 1);
  uint64_t at = 0;
  for (uint64_t g = 0; g < groups; ++g) {
    starts[g] = at;
    for (uint64_t s = 0; s < stretches; ++s) at += view.counts[g * stretches + s];
  }
  starts[groups] = at;
  return starts;
}

void DecodeSparseRow(const SparseView& view, uint64_t row, uint64_t start, uint8_t* dense) {
  const SparseShape& shape = view.shape;
  const DType type = shape.type;
  const uint64_t group = row / kSparseRows;
  const size_t r = row % kSparseRows;
  const size_t scale_cols = SparseScaleCols(type);
  memset(dense, ZeroByte(type), shape.DenseRowBytes());
  for (size_t b = 0; scale_cols != 0 && b < shape.cols / 32; ++b) {
    const uint64_t scale = group * shape.group_scales() + b * 32 / scale_cols * kSparseRows + r;
    memcpy(dense + b * DenseBlockBytes(type), view.scales.data() + 2 * scale, 2);
  }
  uint64_t at = start;
  for (uint64_t s = 0; s < shape.stretches(); ++s) {
    for (uint64_t left = view.counts[group * shape.stretches() + s]; left > 0; --left, ++at) {
      const size_t col = s * kSparseStretch + view.index[at] * SparseBlockCols(type);
      ScatterRow(type, view.values.data() + at * kSparseBlockBytes, col, r, dense);
    }
  }
}

}  // namespace mote
