// Products with block-sparse weights against sums in double over the same rounded activations; and the same bits for a
// token in every batch, by every kernel, in every order of threads.
#include "quant/codec.h"
#include "simd/ref/reference.h"
#include "tests/cuda/kernels.h"
#include "tests/support/closeness.h"
#include "tests/support/sparse_file.h"
// The emulator (kernels.h) first: it defines the words that kernels are written in.
#include "targets/cuda/pack_sparse.h"
#include "targets/cuda/tile.cuh"

namespace mote::testing {
namespace {

using cuda::Acts;
using cuda::StepCounts;

constexpr DType kTypes[] = {DType::kI8, DType::kF16, DType::kBF16};

// What the loader does (upload.cc), into memory of the emulated GPU.
class OnDevice {
 public:
  explicit OnDevice(const SparseView& view)
      : layout_(view.shape, view.blocks()), memory_(layout_.bytes), args_(layout_.At(memory_.data())) {
    const std::vector<uint32_t> pairs = cuda::PairStarts(view);
    const std::vector<uint64_t> blocks = SparseStarts(view);
    const uint64_t units = cuda::RowUnits(view.shape.type, view.shape.cols);
    EXPECT_EQ(pairs.size(), view.shape.groups() * units + 1);
    EXPECT_LE(pairs.back(), layout_.pairs);
    memcpy(memory_.data() + layout_.starts_at, pairs.data(), pairs.size() * 4);
    for (uint64_t g = 0; g < view.shape.groups(); ++g) {
      const uint32_t* own = pairs.data() + g * units;
      cuda::PackSparseGroup(view, g, blocks[g], own,
                            memory_.data() + layout_.scales_at + g * units * cuda::UnitScaleBytes(view.shape.type),
                            memory_.data() + layout_.index_at + uint64_t{own[0]} * 2,
                            memory_.data() + layout_.values_at + uint64_t{own[0]} * cuda::kPairBytes);
    }
    used_ = layout_.bytes - (layout_.pairs - pairs.back()) * (cuda::kPairBytes + 2);
  }
  const cuda::SparseMatrixArgs& args() const { return args_; }
  uint64_t bytes() const { return layout_.bytes; }
  uint64_t used() const { return used_; }  // without what the header cannot know

 private:
  cuda::SparseLayout layout_;
  DeviceBytes memory_;
  cuda::SparseMatrixArgs args_;
  uint64_t used_ = 0;
};

struct Problem {
  Problem(DType type, uint64_t rows, uint64_t cols, double density)
      : matrix(MatrixOf(type, rows, cols, density)), device(matrix.view()) {
    acts = RandomFloats(uint64_t{kMaxTokens} * cols, 12);
    // Rows of very different size, and one of zeros.
    for (uint64_t k = 0; k < cols; ++k) {
      acts[cols + k] *= 1e-6f;
      acts[2 * cols + k] *= 3e4f;
      acts[3 * cols + k] = 0;
    }
  }
  static SparseMatrix MatrixOf(DType type, uint64_t rows, uint64_t cols, double density) {
    TinyRandom random(31);
    return Prune(RandomFloats(rows * cols, 11), {type, rows, cols}, density, &random);
  }
  std::vector<float> Row(uint64_t row) const {
    const SparseView view = matrix.view();
    std::vector<uint8_t> dense(view.shape.DenseRowBytes());
    DecodeSparseRow(view, row, SparseStarts(view)[row / kSparseRows], dense.data());
    std::vector<float> values(cols());
    DecodeRow(SparseDenseType(type()), dense.data(), values.data(), cols());
    return values;
  }
  DType type() const { return matrix.shape.type; }
  uint32_t rows() const { return static_cast<uint32_t>(matrix.shape.rows); }
  uint32_t cols() const { return static_cast<uint32_t>(matrix.shape.cols); }
  static constexpr uint32_t kMaxTokens = 70;
  const SparseMatrix matrix;
  const OnDevice device;
  std::vector<float> acts;
};

// Outputs (tokens, rows) of tokens [first, first + count), computed in one launch. From `first_row` on, a multiple
// of 16.
std::vector<float> Multiply(const Problem& p, uint32_t first, uint32_t count, uint32_t first_row = 0) {
  const uint32_t rows = p.rows() - first_row;
  DeviceStream stream;
  DeviceBytes counts(sizeof(StepCounts)), floats(uint64_t{count} * p.cols() * 4), out(uint64_t{count} * rows * 4);
  counts.As<StepCounts>()->rows[0] = count;
  memcpy(floats.data(), p.acts.data() + uint64_t{first} * p.cols(), floats.size());
  memset(out.data(), 0xff, out.size());
  const Acts kind = cuda::ActsOf(p.type());
  const uint64_t act_bytes = cuda::ActRowBytes(kind, p.cols());
  DeviceBytes acts(act_bytes * count);
  RunRows({QuantizeOp(floats.As<float>(), p.cols(), kind, acts.data())}, count);
  cuda::SparseMatMulArgs args = {};
  args.matrix[0] = p.device.args();
  const uint64_t units = first_row / 16 * cuda::RowUnits(p.type(), p.cols());
  args.matrix[0].starts += units;
  args.matrix[0].scales += units * cuda::UnitScaleBytes(p.type());
  args.product.matrices = 1;
  args.product.matrix[0].out = out.As<float>();
  args.product.matrix[0].rows = rows;
  args.product.row_tiles = cuda::RowTiles(p.cols());
  args.product.cols = p.cols();
  args.product.acts = acts.data();
  args.product.act_bytes = act_bytes;
  args.product.counts = counts.As<StepCounts>();
  args.product.activation = cuda::kNoActivation;
  EXPECT_TRUE(cuda::LaunchSparseMatMul(p.type(), args, count, stream.get()));
  return std::vector<float>(out.As<float>(), out.As<float>() + out.size() / 4);
}

// Of all tokens: the sum in double over what the kernel sees.
std::vector<std::vector<Expected>> References(const Problem& p, uint32_t tokens) {
  const uint32_t cols = p.cols();
  std::vector<std::vector<float>> acts, weights;
  std::vector<std::vector<double>> steps(tokens, std::vector<double>(cols, 0.0));
  for (uint32_t token = 0; token < tokens; ++token) {
    acts.emplace_back(p.acts.begin() + token * cols, p.acts.begin() + (token + 1) * cols);
    std::vector<float>& own = acts.back();
    if (p.type() == DType::kI8) {
      own.resize(uint64_t{cuda::RowTiles(cols)} * 256);  // its groups are whole
      std::vector<uint8_t> a8(simd::A8RowBytes(own.size()));
      simd::ref::QuantizeA8(own.data(), own.size(), 256, a8.data());
      for (uint32_t k = 0; k < cols; ++k) {
        simd::A8Block block;
        memcpy(&block, a8.data() + k / 32 * sizeof(block), sizeof(block));
        own[k] = block.scale * static_cast<float>(block.codes[k % 32]);
      }
      continue;
    }
    const double epsilon = p.type() == DType::kF16 ? kEpsilonF16 : kEpsilonBF16;
    float most = 0;
    for (const float x : own) most = std::max(most, std::abs(x));
    for (uint32_t k = 0; k < cols; ++k) {
      steps[token][k] = std::max(epsilon * std::abs(own[k]), p.type() == DType::kF16 ? most * std::ldexp(1.0, -38) : 0);
    }
  }
  for (uint32_t row = 0; row < p.rows(); ++row) weights.push_back(p.Row(row));
  std::vector<std::vector<Expected>> expected(tokens);
  for (uint32_t token = 0; token < tokens; ++token) {
    for (uint32_t row = 0; row < p.rows(); ++row) {
      DotReference dot;
      for (uint32_t k = 0; k < cols; ++k) dot.Add(acts[token][k], weights[row][k], steps[token][k]);
      expected[token].push_back(dot.Expect(kEpsilonF32));
    }
  }
  return expected;
}

void ExpectClose(const Problem& p, uint32_t tokens, const std::string& what) {
  const std::vector<float> got = Multiply(p, 0, tokens);
  const auto expected = References(p, tokens);
  for (uint32_t token = 0; token < tokens; ++token) {
    const std::vector<float> row(got.begin() + token * p.rows(), got.begin() + (token + 1) * p.rows());
    EXPECT_TRUE(AllClose(row, expected[token], what)) << what << ", token " << token << " of " << tokens;
  }
}

TEST(CudaSparse, AgreesWithTheSumInDouble) {
  for (const DType type : kTypes) {
    for (const double density : {0.0, 0.05, 0.5, 1.0}) {
      // More than one stretch of tiles and a part of one; less than a unit. Rows that fill no group.
      for (const uint64_t cols : {uint64_t{2336}, uint64_t{96}}) {
        const Problem p(type, 37, cols, density);
        const std::string what =
            std::string(DTypeName(type)) + ", " + std::to_string(density) + " of " + std::to_string(cols) + " columns";
        for (const uint32_t tokens : {1u, 6u, 40u}) {
          if (tokens == 40 && density != 0.5 && cols != 96) continue;
          ExpectClose(p, tokens, what);
        }
      }
    }
  }
}

// Warps whose units are more than their lanes hold the starts of.
TEST(CudaSparse, VeryLongRows) {
  ExpectClose(Problem(DType::kI8, 16, 66048, 0.3), 2, "I8, 66048 columns");
  ExpectClose(Problem(DType::kF16, 16, 33280, 0.02), 2, "F16, 33280 columns");
}

TEST(CudaSparse, ATokensBitsAreTheSameInEveryBatch) {
  for (const DType type : kTypes) {
    for (const double density : {0.05, 0.5, 1.0}) {
      // Blocks of two groups of rows, and of four.
      const Problem p(type, density == 0.05 ? 250 : 140, density == 0.5 ? 2336 : 608, density);
      const uint32_t seen[] = {0, 3, 16, 39};
      std::vector<std::vector<float>> alone;
      for (const uint32_t token : seen) alone.push_back(Multiply(p, token, 1));
      for (const uint32_t count : {6u, 10u, 17u, 40u, 67u}) {
        const std::vector<float> batch = Multiply(p, 0, count);
        for (size_t i = 0; i < alone.size() && seen[i] < count; ++i) {
          EXPECT_EQ(memcmp(batch.data() + seen[i] * p.rows(), alone[i].data(), p.rows() * 4), 0)
              << DTypeName(type) << ", " << density << ": token " << seen[i] << " of " << count;
        }
      }
    }
  }
}

TEST(CudaSparse, TheOrderOfThreadsDoesNotShow) {
  for (const DType type : {DType::kI8, DType::kF16}) {
    const Problem p(type, 100, 2336, 0.5);
    for (const uint32_t count : {1u, 12u, 20u, 40u}) {
      ExpectTheSameInEveryOrder([&] { return Multiply(p, 0, count); },
                                DTypeName(type) + (", " + std::to_string(count)));
    }
  }
}

// A part of a fused matrix.
TEST(CudaSparse, RowsFromAMultipleOf16On) {
  for (const DType type : kTypes) {
    const Problem p(type, 75, 544, 0.5);
    for (const uint32_t count : {3u, 35u}) {
      const std::vector<float> all = Multiply(p, 0, count), part = Multiply(p, 0, count, 48);
      for (uint32_t token = 0; token < count; ++token) {
        EXPECT_EQ(memcmp(part.data() + token * 27, all.data() + token * 75 + 48, 27 * 4), 0) << DTypeName(type);
      }
    }
  }
}

TEST(CudaSparse, EveryValueIsFound) {
  for (const DType type : kTypes) {
    for (const double density : {0.0, 0.4, 1.0}) {
      const Problem p(type, 37, 608, density);
      for (uint32_t row = 0; row < p.rows(); ++row) {
        const std::vector<float> want = p.Row(row);
        for (uint32_t k = 0; k < p.cols(); ++k) {
          const float got = cuda::SparseValue(type, p.device.args(), cuda::RowTiles(p.cols()), row, k);
          ASSERT_EQ(got, want[k]) << DTypeName(type) << ", row " << row << ", column " << k;
        }
      }
    }
  }
}

// Little more than the file has, where half of the blocks are kept; and no more than the header foretells.
TEST(CudaSparse, TakesTheBytesOfTheFile) {
  for (const DType type : kTypes) {
    const Problem p(type, 256, 2048, 0.5);
    const SparseMatrix& m = p.matrix;
    const double file = static_cast<double>(m.values.size() + m.index.size() + m.scales.size() + m.counts.size());
    printf("%s: %.4f of the file's bytes, %.4f set aside\n", DTypeName(type),
           static_cast<double>(p.device.used()) / file, static_cast<double>(p.device.bytes()) / file);
    EXPECT_LT(static_cast<double>(p.device.used()), 1.03 * file) << DTypeName(type);
    EXPECT_LT(static_cast<double>(p.device.bytes()), 1.05 * file) << DTypeName(type);
  }
}

}  // namespace
}  // namespace mote::testing
