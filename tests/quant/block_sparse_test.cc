// The block-sparse codec: there and back without loss, bytes laid out as docs/block_sparse.md says, false ones refused.
#include "quant/block_sparse.h"

#include <gtest/gtest.h>
#include <string.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "quant/blocks.h"
#include "quant/codec.h"

namespace mote {
namespace {

const DType kTypes[] = {DType::kI8, DType::kF16, DType::kBF16, DType::kQ4_0};

// The same numbers on every platform.
uint32_t Next(uint32_t* state) {
  *state = *state * 1664525u + 1013904223u;
  return *state >> 8;
}

// Rows of random values with about half the blocks zero.
std::vector<float> HalfOfTheBlocks(const SparseShape& shape, uint32_t* state) {
  std::vector<float> values(shape.rows * shape.cols);
  const size_t block_cols = SparseBlockCols(shape.type);
  for (uint64_t g = 0; g < shape.groups(); ++g) {
    for (size_t c = 0; c < shape.cols; c += block_cols) {
      if (Next(state) % 2 == 0) continue;
      for (uint64_t r = g * kSparseRows; r < std::min((g + 1) * kSparseRows, shape.rows); ++r) {
        for (size_t i = 0; i < block_cols; ++i) {
          values[r * shape.cols + c + i] = static_cast<float>(static_cast<int>(Next(state) % 2001) - 1000) * 0.001f;
        }
      }
    }
  }
  return values;
}

SparseMatrix Encode(const SparseShape& shape, const std::vector<float>& values) {
  SparseMatrix matrix;
  matrix.shape = shape;
  for (uint64_t g = 0; g < shape.groups(); ++g) {
    const size_t rows = std::min<uint64_t>(kSparseRows, shape.rows - g * kSparseRows);
    EXPECT_TRUE(AppendSparseGroupOfFloats(&values[g * kSparseRows * shape.cols], rows, &matrix));
  }
  FinishSparse(&matrix);
  return matrix;
}

std::vector<uint8_t> ToDense(const SparseMatrix& matrix) {
  const std::vector<uint64_t> starts = SparseStarts(matrix.view());
  const size_t row_bytes = matrix.shape.DenseRowBytes();
  std::vector<uint8_t> dense(matrix.shape.rows * row_bytes);
  for (uint64_t r = 0; r < matrix.shape.rows; ++r) {
    DecodeSparseRow(matrix.view(), r, starts[r / kSparseRows], &dense[r * row_bytes]);
  }
  return dense;
}

TEST(BlockSparse, ThereAndBackIsTheSame) {
  uint32_t state = 1;
  for (const DType type : kTypes) {
    for (const uint64_t cols : {32, 64, 256, 288, 800}) {
      for (const uint64_t rows : {1, 15, 16, 17, 50}) {
        const SparseShape shape = {type, rows, cols};
        const std::vector<float> values = HalfOfTheBlocks(shape, &state);
        // What rounding makes of each row, without any block left out.
        const size_t row_bytes = shape.DenseRowBytes();
        std::vector<uint8_t> dense(rows * row_bytes);
        for (uint64_t r = 0; r < rows; ++r) {
          ASSERT_TRUE(EncodeSparseRow(type, &values[r * cols], cols, &dense[r * row_bytes]));
        }
        const SparseMatrix matrix = Encode(shape, values);
        ASSERT_EQ(CheckSparse(matrix.view()).what, nullptr);
        EXPECT_EQ(ToDense(matrix), dense) << DTypeName(type) << " " << rows << " x " << cols;
        EXPECT_LE(matrix.index.size(), shape.all_blocks());
        // From the dense form, group by group and joined.
        SparseMatrix again;
        again.shape = shape;
        for (uint64_t g = 0; g < shape.groups(); ++g) {
          SparseMatrix part;
          part.shape = shape;
          const size_t count = std::min<uint64_t>(kSparseRows, rows - g * kSparseRows);
          ASSERT_TRUE(AppendSparseGroup(&dense[g * kSparseRows * row_bytes], row_bytes, count, &part));
          AppendSparse(part, &again);
        }
        FinishSparse(&again);
        EXPECT_EQ(again.values, matrix.values);
        EXPECT_EQ(again.index, matrix.index);
        EXPECT_EQ(again.counts, matrix.counts);
        EXPECT_EQ(again.scales, matrix.scales);
      }
    }
  }
}

TEST(BlockSparse, Int8KeepsAScaleForAStretch) {
  uint32_t state = 2;
  const SparseShape shape = {DType::kI8, 16, 320};
  const std::vector<float> values = HalfOfTheBlocks(shape, &state);
  const std::vector<uint8_t> dense = ToDense(Encode(shape, values));
  std::vector<float> row(320);
  for (size_t r = 0; r < 16; ++r) {
    DecodeRow(DType::kQ8_0, &dense[r * shape.DenseRowBytes()], row.data(), 320);
    for (const auto& [begin, end] : {std::pair(0, 256), std::pair(256, 320)}) {
      float largest = 0;
      for (int i = begin; i < end; ++i) largest = std::max(largest, std::abs(values[r * 320 + static_cast<size_t>(i)]));
      for (int i = begin; i < end; ++i) {
        const float value = values[r * 320 + static_cast<size_t>(i)];
        // Half a step, and the rounding of the scale to 11 bits.
        EXPECT_NEAR(row[static_cast<size_t>(i)], value, largest / 127 * 0.5f + largest / 2048);
        if (value == 0) EXPECT_EQ(row[static_cast<size_t>(i)], 0.0f);
      }
    }
  }
}

TEST(BlockSparse, BytesAreWhereTheDocumentSays) {
  // Two groups of 32 columns; one value at row 18, column 13.
  for (const DType type : kTypes) {
    const SparseShape shape = {type, 32, 32};
    std::vector<float> values(32 * 32);
    values[18 * 32 + 13] = -8.0f;
    const SparseMatrix matrix = Encode(shape, values);
    EXPECT_EQ(matrix.counts, (std::vector<uint8_t>{0, 1}));
    const size_t block_cols = SparseBlockCols(type);
    ASSERT_EQ(matrix.index, std::vector<uint8_t>{static_cast<uint8_t>(13 / block_cols)});
    ASSERT_EQ(matrix.values.size(), 64u);
    const size_t c = 13 % block_cols;
    std::vector<uint8_t> expected(64, type == DType::kQ4_0 ? 0x88 : 0);
    if (type == DType::kI8) {
      expected[4 * 2 + c] = static_cast<uint8_t>(-127);
    } else if (type == DType::kQ4_0) {
      // Column 13 of a block that begins at 8: the high half. Its scale is 1, its code 0.
      expected[4 * 2 + c - 4] = 0x08;
      EXPECT_EQ(matrix.scales.size(), 2u * 2 * 16);
      EXPECT_EQ(matrix.scales[2 * (16 + 2)], 0x00);
      EXPECT_EQ(matrix.scales[2 * (16 + 2) + 1], 0x3c);
    } else {
      const uint16_t bits = type == DType::kF16 ? F32ToF16(-8.0f) : F32ToBF16(-8.0f);
      memcpy(&expected[2 * (16 * c + 2)], &bits, 2);
      EXPECT_TRUE(matrix.scales.empty());
    }
    EXPECT_EQ(matrix.values, expected) << DTypeName(type);
  }
}

TEST(BlockSparse, AMatrixOfZerosKeepsABlock) {
  for (const DType type : kTypes) {
    const SparseMatrix matrix = Encode({type, 20, 64}, std::vector<float>(20 * 64, -0.0f));
    EXPECT_EQ(matrix.index, std::vector<uint8_t>{0});
    EXPECT_EQ(CheckSparse(matrix.view()).what, nullptr);
    std::vector<float> row(64);
    const std::vector<uint8_t> dense = ToDense(matrix);
    DecodeRow(SparseDenseType(type), dense.data(), row.data(), 64);
    for (const float value : row) EXPECT_EQ(value, 0.0f);
  }
}

TEST(BlockSparse, Q8_0OfManyScalesIsRefused) {
  const SparseShape shape = {DType::kI8, 1, 64};
  std::vector<uint8_t> dense(shape.DenseRowBytes());
  SparseMatrix matrix;
  matrix.shape = shape;
  EXPECT_TRUE(AppendSparseGroup(dense.data(), dense.size(), 1, &matrix));
  dense[sizeof(BlockQ8_0)] = 1;
  EXPECT_FALSE(AppendSparseGroup(dense.data(), dense.size(), 1, &matrix));
}

TEST(BlockSparse, ValuesThatDoNotFitAreRefused) {
  for (const DType type : kTypes) {
    for (const float bad : {INFINITY, -INFINITY, NAN}) {
      std::vector<float> row(32);
      row[7] = bad;
      SparseMatrix matrix;
      matrix.shape = {type, 1, 32};
      EXPECT_FALSE(AppendSparseGroupOfFloats(row.data(), 1, &matrix)) << DTypeName(type);
    }
  }
  std::vector<float> row(32, 1e30f);
  SparseMatrix matrix;
  matrix.shape = {DType::kI8, 1, 32};
  EXPECT_FALSE(AppendSparseGroupOfFloats(row.data(), 1, &matrix));
}

TEST(BlockSparse, FalseOnesAreFound) {
  uint32_t state = 3;
  const SparseShape shape = {DType::kF16, 40, 520};
  const SparseMatrix good = Encode(shape, HalfOfTheBlocks(shape, &state));
  ASSERT_EQ(CheckSparse(good.view()).what, nullptr);
  const auto fault = [&](auto change) {
    SparseMatrix bad = good;
    change(bad);
    const char* what = CheckSparse(bad.view()).what;
    return std::string(what == nullptr ? "" : what);
  };
  EXPECT_EQ(fault([](SparseMatrix& m) { m.shape.rows = 0; }), "a shape or type that is not possible");
  EXPECT_EQ(fault([](SparseMatrix& m) { m.shape.cols = 521; }), "a shape or type that is not possible");
  EXPECT_EQ(fault([](SparseMatrix& m) { m.shape.rows = UINT64_MAX; }), "a shape or type that is not possible");
  EXPECT_EQ(fault([](SparseMatrix& m) { m.shape.type = DType::kQ4_K; }), "a shape or type that is not possible");
  EXPECT_EQ(fault([](SparseMatrix& m) { m.counts.pop_back(); }), "the number of counts");
  EXPECT_EQ(fault([](SparseMatrix& m) { m.scales.push_back(0); }), "the bytes of scales");
  EXPECT_EQ(fault([](SparseMatrix& m) { m.values.pop_back(); }), "the bytes of values");
  EXPECT_EQ(fault([](SparseMatrix& m) { m.counts[0] = 129; }), "a count");
  EXPECT_EQ(fault([](SparseMatrix& m) { m.counts[2] = 5; }), "a count");  // a stretch of 8 columns has 4 places
  EXPECT_EQ(fault([](SparseMatrix& m) { m.index[1] = m.index[0]; }), "a place, not above the one before it");
  EXPECT_EQ(fault([](SparseMatrix& m) { m.index[m.counts[0] - 1u] = 255; }), "a place, beyond its stretch");
  EXPECT_EQ(fault([](SparseMatrix& m) {
              m.index.push_back(0);
              m.values.resize(m.values.size() + 64);
            }),
            "the sum of the counts");
  EXPECT_EQ(fault([](SparseMatrix& m) {
              m.index.pop_back();
              m.values.resize(m.values.size() - 64);
            }),
            "a count, beyond the blocks that are left");
}

}  // namespace
}  // namespace mote
