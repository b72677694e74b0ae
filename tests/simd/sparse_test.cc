// Block-sparse products of every type on every row: against a sum in double, and to the bit against the dense product
// of the same values.
#include "simd/sparse.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "quant/block_sparse.h"
#include "quant/codec.h"
#include "simd/kernels.h"
#include "tests/simd/rows.h"
#include "tests/support/closeness.h"
#include "tests/support/effort.h"
#include "tests/support/guarded.h"

namespace mote::testing {
namespace {

struct alignas(64) SparseScratch {
  uint8_t bytes[simd::kMatMulScratchBytes];
};

// Random values in the blocks that `keeps(group, first column)` says, zeros in the others.
template <class Keeps>
SparseMatrix RandomSparse(SparseShape shape, Random& random, Keeps keeps) {
  SparseMatrix matrix;
  matrix.shape = shape;
  const size_t block_cols = SparseBlockCols(shape.type);
  for (uint64_t g = 0; g < shape.groups(); ++g) {
    const size_t rows = std::min<uint64_t>(kSparseRows, shape.rows - g * kSparseRows);
    std::vector<float> values = random.Floats(rows * shape.cols, 0.05f);
    for (size_t c = 0; c < shape.cols; c += block_cols) {
      if (keeps(g, c)) continue;
      for (size_t r = 0; r < rows; ++r) std::fill_n(&values[r * shape.cols + c], block_cols, 0.0f);
    }
    EXPECT_TRUE(AppendSparseGroupOfFloats(values.data(), rows, &matrix));
  }
  FinishSparse(&matrix);
  EXPECT_EQ(CheckSparse(matrix.view()).what, nullptr);
  return matrix;
}

// A sparse matrix with M tokens.
struct SparseProblem {
  SparseMatrix matrix;
  std::vector<uint64_t> starts;
  size_t m;
  std::vector<float> x;        // (m, cols)
  std::vector<uint8_t> dense;  // (rows, dense row bytes)
  std::vector<float> decoded;  // (rows, cols)

  SparseProblem(SparseMatrix matrix_arg, size_t m_arg, Random& random)
      : matrix(std::move(matrix_arg)),
        starts(SparseStarts(matrix.view())),
        m(m_arg),
        x(random.Floats(m * matrix.shape.cols, 2.0f)),
        dense(matrix.shape.rows * matrix.shape.DenseRowBytes()),
        decoded(matrix.shape.rows * matrix.shape.cols) {
    for (uint64_t r = 0; r < shape().rows; ++r) {
      uint8_t* row = &dense[r * shape().DenseRowBytes()];
      DecodeSparseRow(matrix.view(), r, starts[r / kSparseRows], row);
      DecodeRow(SparseDenseType(shape().type), row, &decoded[r * shape().cols], shape().cols);
    }
  }
  const SparseShape& shape() const { return matrix.shape; }
  simd::SparseMatMulArgs Args() const { return simd::SparseArgs(matrix.view(), starts.data()); }

  size_t ActStride() const {
    return shape().type == DType::kI8     ? simd::S8RowBytes(shape().cols)
           : shape().type == DType::kQ4_0 ? simd::A8RowBytes(shape().cols)
                                          : shape().cols * sizeof(float);
  }
  // The activations as `table` wants them.
  std::vector<uint8_t> Acts(const simd::KernelTable& table) const {
    std::vector<uint8_t> acts(m * ActStride());
    for (size_t t = 0; t < m; ++t) {
      const float* row = &x[t * shape().cols];
      uint8_t* to = &acts[t * ActStride()];
      if (shape().type == DType::kI8) {
        simd::SparseKernelsOf(table).quantize_s8(row, shape().cols, to);
      } else if (shape().type == DType::kQ4_0) {
        table.quantize_a8(row, shape().cols, 32, to);
      } else {
        memcpy(to, row, ActStride());
      }
    }
    return acts;
  }
  // What they mean: (m, cols).
  std::vector<double> ActValues() const {
    const simd::KernelTable& scalar = *simd::Tables().back();
    const std::vector<uint8_t> acts = Acts(scalar);
    std::vector<double> values(m * shape().cols);
    for (size_t t = 0; t < m; ++t) {
      for (size_t i = 0; i < shape().cols; ++i) {
        const uint8_t* row = &acts[t * ActStride()];
        double value = x[t * shape().cols + i];
        if (shape().type == DType::kI8) {
          simd::S8Stretch stretch;
          memcpy(&stretch, row + i / kSparseStretch * sizeof(stretch), sizeof(stretch));
          value = static_cast<double>(stretch.scale) * static_cast<int8_t>(stretch.codes[i % kSparseStretch]);
        } else if (shape().type == DType::kQ4_0) {
          simd::A8Block block;
          memcpy(&block, row + i / 32 * sizeof(block), sizeof(block));
          value = static_cast<double>(block.scale) * block.codes[i % 32];
        }
        values[t * shape().cols + i] = value;
      }
    }
    return values;
  }

  // `out`: (m, stride), the rows of groups [first_group, first_group + groups) from its first column on.
  void Multiply(const simd::KernelTable& table, const std::vector<uint8_t>& acts, float* out, size_t stride,
                size_t first_token, size_t tokens, uint64_t first_group, uint64_t groups) const {
    // Exactly as long as promised.
    const std::unique_ptr<SparseScratch> scratch(new SparseScratch);
    simd::SparseMatMulArgs args = Args();
    args.first_group = first_group;
    args.groups = groups;
    args.acts = acts.data() + first_token * ActStride();
    args.act_stride_bytes = ActStride();
    args.m = tokens;
    args.out = out;
    args.out_stride = stride;
    args.scratch = scratch->bytes;
    simd::SparseKernelsOf(table).MatMulOf(shape().type)(args);
  }

  // The dense product of the same values: (m, rows).
  std::vector<float> Dense(const simd::KernelTable& table, const std::vector<uint8_t>& acts) const {
    std::vector<float> out(m * shape().rows, NAN);
    const std::unique_ptr<SparseScratch> scratch(new SparseScratch);
    if (shape().type == DType::kI8) {
      // Every place kept.
      const SparseMatrix full = Full();
      simd::SparseMatMulArgs args = simd::SparseArgs(full.view(), nullptr);
      args.acts = acts.data();
      args.act_stride_bytes = ActStride();
      args.m = m;
      args.out = out.data();
      args.out_stride = shape().rows;
      args.scratch = scratch->bytes;
      simd::SparseKernelsOf(table).matmul_i8(args);
      return out;
    }
    std::vector<uint8_t> panels(simd::PackedBytes(table, shape().type, shape().rows, shape().cols));
    table.pack({shape().type, dense.data(), static_cast<size_t>(shape().rows), static_cast<size_t>(shape().cols),
                panels.data()});
    simd::MatMulArgs args;
    args.panels = panels.data();
    args.rows = shape().rows;
    args.k = shape().cols;
    args.acts = acts.data();
    args.act_stride_bytes = ActStride();
    args.m = m;
    args.out = out.data();
    args.out_stride = shape().rows;
    args.scratch = scratch->bytes;
    simd::MatMulOf(table, shape().type)(args);
    return out;
  }

  // The same matrix with its zero blocks.
  SparseMatrix Full() const {
    SparseMatrix full = matrix;
    full.values.assign(shape().all_blocks() * kSparseBlockBytes, 0);
    uint64_t at = 0;
    for (uint64_t g = 0; g < shape().groups(); ++g) {
      for (uint64_t s = 0; s < shape().stretches(); ++s) {
        for (size_t b = 0; b < matrix.counts[g * shape().stretches() + s]; ++b, ++at) {
          const uint64_t to =
              (g * shape().cols + s * kSparseStretch) / SparseBlockCols(shape().type) + matrix.index[at];
          memcpy(&full.values[to * kSparseBlockBytes], &matrix.values[at * kSparseBlockBytes], kSparseBlockBytes);
        }
      }
    }
    return full;
  }

  std::vector<Expected> Want() const {
    const std::vector<double> acts = ActValues();
    std::vector<Expected> want;
    for (size_t t = 0; t < m; ++t) {
      for (uint64_t r = 0; r < shape().rows; ++r) {
        DotReference sum;
        double magnitudes = 0;
        for (size_t i = 0; i < shape().cols; ++i) {
          const double w = decoded[r * shape().cols + i];
          sum.Add(acts[t * shape().cols + i], w);
          magnitudes += std::abs(acts[t * shape().cols + i] * w);
        }
        const Expected plain = sum.Expect(kEpsilonF32);
        want.push_back({plain.value, plain.bound + 4 * kEpsilonF32 * magnitudes});
      }
    }
    return want;
  }
};

const DType kSparseTypes[] = {DType::kI8, DType::kF16, DType::kBF16, DType::kQ4_0};

std::string SparseLabel(const simd::KernelTable& table, const SparseProblem& p) {
  char text[160];
  snprintf(text, sizeof(text), "%s %s k=%zu rows=%zu m=%zu blocks=%zu", DTypeName(p.shape().type), table.name,
           static_cast<size_t>(p.shape().cols), static_cast<size_t>(p.shape().rows), p.m, p.matrix.index.size());
  return text;
}

// From tiles of rows, where the instruction set has such products: with an index and without, `dense`'s bits.
void ExpectTilesRight(const SparseProblem& p, const simd::KernelTable& table, const std::vector<float>& dense) {
  const simd::SparseKernels& kernels = simd::SparseKernelsOf(table);
  if (kernels.matmul_i8_tiles == nullptr) return;
  const size_t cols = p.shape().cols;
  const size_t groups = (p.m + simd::kS8TileRows - 1) / simd::kS8TileRows;
  // Rows that fill up the last group are whatever was there.
  struct alignas(64) Line {
    uint8_t bytes[64];
  };
  std::vector<Line> acts(groups * simd::kS8TileRows * p.ActStride() / sizeof(Line));
  memset(acts.data(), 0xee, acts.size() * sizeof(Line));
  for (size_t t = 0; t < p.m; t += simd::kS8TileRows) {
    kernels.quantize_s8_tiles(&p.x[t * cols], cols, cols, std::min(simd::kS8TileRows, p.m - t),
                              acts[0].bytes + t * p.ActStride());
  }
  struct alignas(64) Scratch {
    uint8_t bytes[simd::kSparseTilesScratchBytes];
  };
  const std::unique_ptr<Scratch> scratch(new Scratch);
  const SparseMatrix full = p.Full();
  for (const bool all : {false, true}) {
    simd::SparseMatMulArgs args = all ? simd::SparseArgs(full.view(), nullptr) : p.Args();
    Guarded<float> out(p.shape().rows * p.m, p.shape().rows % 4);
    args.acts = acts.data();
    args.act_stride_bytes = p.ActStride();
    args.m = p.m;
    args.out = out.data();
    args.out_stride = p.shape().rows;
    args.scratch = scratch->bytes;
    kernels.matmul_i8_tiles(args);
    EXPECT_TRUE(out.GuardsIntact()) << SparseLabel(table, p);
    EXPECT_EQ(memcmp(dense.data(), out.data(), dense.size() * sizeof(float)), 0) << SparseLabel(table, p);
  }
}

// All of a problem on every row: near the true sum, and the dense product's bits.
void ExpectRight(const SparseProblem& p, bool compare_with_sum) {
  const uint64_t rows = p.shape().rows;
  const std::vector<Expected> want = compare_with_sum ? p.Want() : std::vector<Expected>();
  for (const simd::KernelTable* table : RunnableRows()) {
    const std::vector<uint8_t> acts = p.Acts(*table);
    Guarded<float> out(rows * p.m, rows % 4);
    p.Multiply(*table, acts, out.data(), rows, 0, p.m, 0, p.shape().groups());
    if (compare_with_sum) EXPECT_TRUE(AllClose(out.span(), want, SparseLabel(*table, p)));
    EXPECT_TRUE(out.GuardsIntact()) << SparseLabel(*table, p);
    const std::vector<float> dense = p.Dense(*table, acts);
    EXPECT_EQ(memcmp(dense.data(), out.data(), dense.size() * sizeof(float)), 0) << SparseLabel(*table, p);
    if (p.shape().type == DType::kI8) ExpectTilesRight(p, *table, dense);
  }
}

class SparseMatMul : public ::testing::TestWithParam<DType> {};

TEST_P(SparseMatMul, GivesTheDenseProductsBits) {
  const DType type = GetParam();
  Random random(static_cast<uint64_t>(type) + 7);
  const size_t unit = SparseScaleCols(type) == 0 ? 2 : 32;
  for (const size_t cols : {unit, 3 * unit, size_t{256}, 256 + unit, size_t{544}, size_t{2080}}) {
    for (const double density : {0.0, 0.1, 0.5, 0.9, 1.0}) {
      const uint64_t rows = 1 + random.Below(40);
      const size_t m = 1 + random.Below(cols > 1000 ? 8 : 20);
      const SparseProblem p(RandomSparse({type, rows, cols}, random,
                                         [&](uint64_t, size_t) { return random.Uniform() < 2 * density - 1; }),
                            m, random);
      ExpectRight(p, true);
    }
  }
}

TEST_P(SparseMatMul, EveryNumberOfTokensAndRows) {
  const DType type = GetParam();
  Random random(static_cast<uint64_t>(type) + 8);
  for (size_t m = 1; m <= 20; ++m) {
    const SparseProblem p(
        RandomSparse({type, 15 + m, 320}, random, [&](uint64_t, size_t) { return random.Below(2) == 0; }), m, random);
    ExpectRight(p, true);
  }
  // More than the kernels keep in a cache at once, and more than one part of K.
  const SparseProblem p(
      RandomSparse({type, 33, 2048 + 96}, random, [&](uint64_t, size_t) { return random.Below(2) == 0; }), 70, random);
  ExpectRight(p, false);
}

// Groups of any number, some of which keep more than others, and some none of a stretch.
TEST_P(SparseMatMul, OneTokenByManyGroups) {
  const DType type = GetParam();
  Random random(static_cast<uint64_t>(type) + 11);
  for (const uint64_t rows : {17, 32, 48, 50, 77, 96, 130}) {
    const SparseProblem p(
        RandomSparse({type, rows, 256 + 288}, random, [&](uint64_t g, size_t) { return random.Below(1 + g % 5) != 0; }),
        1, random);
    ExpectRight(p, true);
  }
}

TEST(SparseKernels, MoreTokensThanAPassTakes) {
  Random random(12);
  const SparseProblem p(
      RandomSparse({DType::kI8, 7 * 16 + 3, 288}, random, [&](uint64_t, size_t) { return random.Below(2) == 0; }), 1061,
      random);
  ExpectRight(p, false);
  // Results of a megabyte in whole cache lines, which some kernels store past the caches.
  const SparseProblem far(
      RandomSparse({DType::kI8, 256, 96}, random, [&](uint64_t, size_t) { return random.Below(2) == 0; }), 1061,
      random);
  ExpectRight(far, false);
}

TEST_P(SparseMatMul, EveryPatternOfEightBlocks) {
  const DType type = GetParam();
  Random random(static_cast<uint64_t>(type) + 9);
  const size_t block_cols = SparseBlockCols(type);
  // Each group has a pattern of its own: 256 groups have all.
  const SparseProblem p(RandomSparse({type, 256 * kSparseRows, 8 * block_cols}, random,
                                     [&](uint64_t g, size_t c) { return (g >> c / block_cols & 1) != 0; }),
                        3, random);
  ExpectRight(p, true);
}

TEST_P(SparseMatMul, DoesNotDependOnHowItIsCut) {
  const DType type = GetParam();
  Random random(static_cast<uint64_t>(type) + 10);
  const size_t m = 13;
  const SparseProblem p(
      RandomSparse({type, 77, 2048 + 64}, random, [&](uint64_t, size_t) { return random.Below(2) == 0; }), m, random);
  const uint64_t rows = p.shape().rows;
  for (const simd::KernelTable* table : RunnableRows()) {
    const std::vector<uint8_t> acts = p.Acts(*table);
    std::vector<float> whole(m * rows), parts(m * rows, NAN);
    p.Multiply(*table, acts, whole.data(), rows, 0, m, 0, p.shape().groups());
    for (uint64_t group = 0; group < p.shape().groups(); group += 2) {
      const uint64_t groups = std::min<uint64_t>(2, p.shape().groups() - group);
      for (size_t token = 0; token < m; token += 5) {
        p.Multiply(*table, acts, &parts[token * rows + group * kSparseRows], rows, token,
                   std::min<size_t>(5, m - token), group, groups);
      }
    }
    EXPECT_EQ(memcmp(whole.data(), parts.data(), whole.size() * sizeof(float)), 0) << SparseLabel(*table, p);
  }
}

INSTANTIATE_TEST_SUITE_P(Types, SparseMatMul, ::testing::ValuesIn(kSparseTypes),
                         [](const auto& info) { return std::string(DTypeName(info.param)); });

TEST(SparseKernels, ExtremeCodesDoNotOverflow) {
  const SparseShape shape = {DType::kI8, 16, 512};
  SparseMatrix matrix;
  matrix.shape = shape;
  std::vector<uint8_t> dense(shape.DenseRowBytes() * 16);
  for (size_t at = 0; at < dense.size(); at += sizeof(BlockQ8_0)) {
    Put16(&dense[at], F32ToF16(1.0f));
    memset(&dense[at + 2], 0x80, 32);  // -128
  }
  ASSERT_TRUE(AppendSparseGroup(dense.data(), shape.DenseRowBytes(), 16, &matrix));
  Random random(3);
  SparseProblem p(std::move(matrix), 5, random);
  std::fill(p.x.begin(), p.x.end(), -3.0f);
  ExpectRight(p, true);
}

TEST(SparseKernels, S8RowsAreA8RowsOf256) {
  Random random(4);
  for (const size_t k : {32, 224, 256, 288, 544}) {
    const std::vector<float> x = random.Floats(k, 3.0f);
    for (const simd::KernelTable* table : RunnableRows()) {
      std::vector<uint8_t> s8(simd::S8RowBytes(k)), a8(simd::A8RowBytes(k) + 1024);
      simd::SparseKernelsOf(*table).quantize_s8(x.data(), k, s8.data());
      int raise = -1;
      for (size_t begin = 0; begin < k; begin += 256) {
        const size_t count = std::min<size_t>(256, k - begin);
        simd::Tables().back()->quantize_a8(x.data() + begin, count, count, a8.data());
        simd::S8Stretch stretch;
        memcpy(&stretch, s8.data() + begin / 256 * sizeof(stretch), sizeof(stretch));
        for (size_t i = 0; i < count; ++i) {
          simd::A8Block block;
          memcpy(&block, a8.data() + i / 32 * sizeof(block), sizeof(block));
          EXPECT_EQ(stretch.scale, block.scale);
          // Raised or not, but the same all over a row of the table.
          const int difference = (stretch.codes[i] - block.codes[i % 32]) & 255;
          if (raise < 0) raise = difference;
          EXPECT_TRUE(difference == raise && (raise == 0 || raise == 128)) << table->name;
        }
      }
    }
  }
}

}  // namespace
}  // namespace mote::testing
