// Products that pass over zero activations: on every row, to the bit what the dense kernel gives with the same zeros.
#include "simd/live.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "quant/block_sparse.h"
#include "quant/codec.h"
#include "simd/kernels.h"
#include "simd/sparse.h"
#include "tests/simd/rows.h"
#include "tests/support/guarded.h"

namespace mote::testing {
namespace {

struct alignas(64) LiveScratch {
  uint8_t bytes[simd::kMatMulScratchBytes];
};

// A row of activations in which runs of `width` are zero with this probability.
std::vector<float> WithZeros(size_t k, size_t width, double zero, Random& random) {
  std::vector<float> x = random.Floats(k, 2.0f);
  for (size_t begin = 0; begin < k; begin += width) {
    if (random.Uniform() >= 2 * zero - 1) continue;
    for (size_t i = begin; i < std::min(k, begin + width); ++i) x[i] = 0;
  }
  return x;
}

class LiveMatMul : public ::testing::TestWithParam<DType> {};

TEST_P(LiveMatMul, GivesTheDenseProductsBits) {
  const DType type = GetParam();
  const size_t step = simd::LiveStep(type);
  Random random(static_cast<uint64_t>(type) + 17);
  for (const size_t k : {32, 288, 544, 2080}) {
    for (const double zero : {0.0, 0.5, 0.9, 1.0}) {
      const size_t rows = 1 + random.Below(150);
      const std::vector<float> values = random.Floats(rows * k, 0.1f);
      std::vector<uint8_t> weights(rows * RowBytes(type, k));
      ASSERT_TRUE(EncodeRow(type, values.data(), weights.data(), values.size()));
      const std::vector<float> x = WithZeros(k, step, zero, random);
      for (const simd::KernelTable* table : RunnableRows()) {
        std::vector<uint8_t> panels(simd::PackedBytes(*table, type, rows, k));
        table->pack({type, weights.data(), rows, k, panels.data()});
        std::vector<uint8_t> acts(simd::A8RowBytes(k));
        if (simd::UsesA8(type)) table->quantize_a8(x.data(), k, 32, acts.data());
        const void* row = simd::UsesA8(type) ? static_cast<const void*>(acts.data()) : x.data();
        std::vector<float> dense(rows, NAN);
        const std::unique_ptr<LiveScratch> scratch(new LiveScratch);
        simd::MatMulArgs all;
        all.panels = panels.data();
        all.rows = rows;
        all.k = k;
        all.acts = row;
        all.act_stride_bytes = acts.size();
        all.m = 1;
        all.out = dense.data();
        all.out_stride = rows;
        all.scratch = scratch->bytes;
        simd::MatMulOf(*table, type)(all);

        std::vector<uint32_t> live;
        for (size_t s = 0; s < k / step; ++s) {
          bool any = false;
          for (size_t i = s * step; i < (s + 1) * step; ++i) any |= x[i] != 0;
          if (any) live.push_back(static_cast<uint32_t>(s));
        }
        Guarded<float> out(rows, rows % 4);
        simd::LiveMatMulArgs args;
        args.panels = panels.data();
        args.rows = rows;
        args.k = k;
        args.acts = row;
        args.live = live.data();
        args.num_live = live.size();
        args.out = out.data();
        simd::LiveKernelsOf(*table).Of(type)(args);
        const std::string label = std::string(table->name) + " k=" + std::to_string(k) +
                                  " rows=" + std::to_string(rows) + " live=" + std::to_string(live.size());
        EXPECT_EQ(memcmp(dense.data(), out.data(), rows * sizeof(float)), 0) << label;
        EXPECT_TRUE(out.GuardsIntact()) << label;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, LiveMatMul, ::testing::Values(DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0),
                         [](const auto& info) { return std::string(DTypeName(info.param)); });

TEST(LiveMatMulSparseForm, GivesTheDenseProductsBits) {
  Random random(18);
  for (const size_t cols : {32, 256, 288, 2080}) {
    for (const double zero : {0.0, 0.6, 1.0}) {
      SparseMatrix matrix;
      matrix.shape = {DType::kI8, 1 + random.Below(60), cols};
      for (uint64_t g = 0; g < matrix.shape.groups(); ++g) {
        const size_t rows = std::min<uint64_t>(kSparseRows, matrix.shape.rows - g * kSparseRows);
        std::vector<float> values = random.Floats(rows * cols, 0.05f);
        for (float& value : values) value += value >= 0 ? 0.01f : -0.01f;  // no block of zeros
        ASSERT_TRUE(AppendSparseGroupOfFloats(values.data(), rows, &matrix));
      }
      ASSERT_EQ(matrix.view().blocks(), matrix.shape.all_blocks());
      const std::vector<float> x = WithZeros(cols, 4, zero, random);
      std::vector<uint8_t> index, counts;
      for (size_t begin = 0; begin < cols; begin += kSparseStretch) {
        counts.push_back(0);
        for (size_t at = begin; at < std::min(cols, begin + kSparseStretch); at += 4) {
          if (x[at] == 0 && x[at + 1] == 0 && x[at + 2] == 0 && x[at + 3] == 0) continue;
          index.push_back(static_cast<uint8_t>((at - begin) / 4));
          ++counts.back();
        }
      }
      for (const simd::KernelTable* table : RunnableRows()) {
        const simd::SparseKernels& kernels = simd::SparseKernelsOf(*table);
        std::vector<uint8_t> acts(simd::S8RowBytes(cols));
        kernels.quantize_s8(x.data(), cols, acts.data());
        std::vector<float> dense(matrix.shape.rows, NAN);
        const std::unique_ptr<LiveScratch> scratch(new LiveScratch);
        simd::SparseMatMulArgs args = simd::SparseArgs(matrix.view(), nullptr);
        args.acts = acts.data();
        args.act_stride_bytes = acts.size();
        args.m = 1;
        args.out = dense.data();
        args.out_stride = dense.size();
        args.scratch = scratch->bytes;
        kernels.matmul_i8(args);
        Guarded<float> out(dense.size(), 1);
        args.same_places = true;
        args.index = index.data();
        args.counts = counts.data();
        args.out = out.data();
        kernels.matmul_i8(args);
        EXPECT_EQ(memcmp(dense.data(), out.data(), dense.size() * sizeof(float)), 0)
            << table->name << " cols=" << cols << " live=" << index.size();
        EXPECT_TRUE(out.GuardsIntact());
      }
    }
  }
}

}  // namespace
}  // namespace mote::testing
