// Products of int8 weights with one scale a row: whole numbers, so every row of the table gives the same bits as a
// loop.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>

#include "simd/kernels.h"
#include "simd/unit.h"
#include "tests/simd/rows.h"
#include "tests/support/effort.h"
#include "tests/support/guarded.h"

namespace mote::testing {
namespace {

struct alignas(64) Scratch {
  uint8_t bytes[simd::kUnitScratchBytes];
};

class Problem {
 public:
  Problem(size_t k, size_t rows, size_t m, Random& random) : k_(k), rows_(rows), m_(m) {
    weights_.resize(rows * RowBytes(DType::kI8Row, k));
    for (uint8_t& byte : weights_) byte = static_cast<uint8_t>(random.Bits() >> 40);
    for (size_t r = 0; r < rows; ++r) SetScale(r, random.Uniform() * 0.01f);
    acts_.resize(m * simd::R8RowBytes(k));
    for (size_t t = 0; t < m; ++t) SetActs(t, random.Floats(k, 3.0f));
  }

  void SetScale(size_t row, float scale) {
    memcpy(&weights_[row * RowBytes(DType::kI8Row, k_) + k_], &scale, sizeof(scale));
  }
  void SetCodes(size_t row, int8_t code) { memset(&weights_[row * RowBytes(DType::kI8Row, k_)], code, k_); }
  void SetActs(size_t token, const std::vector<float>& x) {
    simd::Tables().back()->quantize_r8(x.data(), k_, &acts_[token * simd::R8RowBytes(k_)]);
  }

  std::vector<float> Want() const {
    std::vector<float> want(m_ * rows_);
    for (size_t t = 0; t < m_; ++t) {
      const uint8_t* acts = &acts_[t * simd::R8RowBytes(k_)];
      simd::R8Tail tail;
      memcpy(&tail, acts + simd::R8CodeBytes(k_), sizeof(tail));
      for (size_t r = 0; r < rows_; ++r) {
        const uint8_t* row = &weights_[r * RowBytes(DType::kI8Row, k_)];
        float scale;
        memcpy(&scale, row + k_, sizeof(scale));
        int64_t dot = 0;
        for (size_t i = 0; i < k_; ++i) dot += static_cast<int8_t>(row[i]) * static_cast<int8_t>(acts[i]);
        want[t * rows_ + r] = static_cast<float>(dot) * scale * tail.scale;
      }
    }
    return want;
  }

  // Rows from `first` on, of the panels of all of them; out of place and misaligned as far as may be.
  void Check(const simd::KernelTable& table, const std::vector<float>& want) const {
    const size_t misalign = k_ % 3;
    const Guarded<uint8_t> acts(acts_, misalign);
    const Guarded<uint8_t> weights(weights_, misalign);
    std::vector<uint8_t> panels(simd::PackedBytes(table, DType::kI8Row, rows_, k_));
    table.pack({DType::kI8Row, weights.data(), rows_, k_, panels.data()});
    const Guarded<uint8_t> exact(panels, rows_ % 4);  // whatever is read past them shows
    const auto scratch = std::make_unique<Scratch>();
    Guarded<float> out(m_ * rows_);
    simd::MatMulArgs args;
    args.panels = exact.data();
    args.rows = rows_;
    args.k = k_;
    args.acts = acts.data();
    args.act_stride_bytes = simd::R8RowBytes(k_);
    args.m = m_;
    args.out = out.data();
    args.out_stride = rows_;
    args.scratch = scratch->bytes;
    for (const uint32_t streams : {1u, 2u, 4u}) {
      if (streams > 1 && m_ > 5) break;
      memset(out.data(), 0, m_ * rows_ * sizeof(float));
      args.ahead.streams = streams;
      simd::MatMulOf(table, DType::kI8Row)(args);
      ASSERT_TRUE(out.GuardsIntact());
      for (size_t i = 0; i < want.size(); ++i) {
        ASSERT_EQ(memcmp(&out.data()[i], &want[i], sizeof(float)), 0)
            << table.name << " k=" << k_ << " rows=" << rows_ << " m=" << m_ << " streams=" << streams << ": token "
            << i / rows_ << " row " << i % rows_ << " is " << out.data()[i] << ", not " << want[i];
      }
    }
  }

 private:
  size_t k_, rows_, m_;
  std::vector<uint8_t> weights_, acts_;
};

void CheckAll(const Problem& problem) {
  const std::vector<float> want = problem.Want();
  for (const simd::KernelTable* table : RunnableRows()) problem.Check(*table, want);
}

TEST(I8MatMul, EveryRowGivesTheBitsOfALoop) {
  Random random(1);
  for (const size_t k : {4, 8, 28, 32, 36, 60, 64, 68, 124, 128, 260, 1020, 1024, 1028, 1100, 2112}) {
    for (const size_t m : {1, 2, 3, 5, 8, 9, 15, 16, 17, 31, 32, 33, 48, 49, 65}) {
      if (kSlowTests && (k + m) % 3 != 0) continue;
      CheckAll(Problem(k, 1 + random.Below(k > 500 ? 40 : 150), m, random));
    }
  }
}

// Several streams of panels (Check): as many bytes as they are worth while for.
TEST(I8MatMul, FewTokensByManyRows) {
  Random random(5);
  for (const size_t m : {1, 2, 3, 4, 5}) {
    for (const size_t rows : {180, 266, 350}) {
      if (kSlowTests && (rows != 266 || m == 3)) continue;
      CheckAll(Problem(1100, rows, m, random));
    }
  }
}

// More tokens than wait for their sums together, and several parts of k.
TEST(I8MatMul, ManyTokens) {
  Random random(2);
  for (const size_t m : {511, 512, 513, 545}) {
    if (kSlowTests && m % 2 == 1) continue;
    CheckAll(Problem(96, 45, m, random));
  }
  CheckAll(Problem(3420, 37, 77, random));
  CheckAll(Problem(2100, 300, 40, random));
  CheckAll(Problem(64, 560, 480, random));  // results of over a MiB
}

// The longest rows, with codes and activations at their ends: sums that just fit into 32 bits.
TEST(I8MatMul, LongestRows) {
  Random random(3);
  for (const size_t m : {1, 3, 18}) {
    Problem problem(kI8RowMostValues, 5, m, random);
    const int8_t codes[] = {-128, 127, -127, 1, 0};
    for (size_t r = 0; r < 5; ++r) problem.SetCodes(r, codes[r]);
    for (size_t t = 0; t < m; ++t) {
      problem.SetActs(t, std::vector<float>(kI8RowMostValues, t % 2 == 0 ? 1.0f : -1.0f));
    }
    CheckAll(problem);
  }
}

// Sums of neighbours that are large with either sign, where 16 bits would overflow.
TEST(I8MatMul, ExtremeCodes) {
  Random random(4);
  constexpr size_t kK = 544;
  for (const size_t m : {1, 2, 4, 9, 20}) {
    Problem problem(kK, 6, m, random);
    const int8_t codes[] = {-128, 127, -127, -1, 0, 64};
    for (size_t r = 0; r < 6; ++r) problem.SetCodes(r, codes[r]);
    for (size_t t = 0; t < m; ++t) {
      std::vector<float> x(kK);
      for (size_t i = 0; i < kK; ++i) x[i] = t % 3 == 0 || (t % 3 == 1 && i % 2 == 0) ? 1.0f : -1.0f;
      problem.SetActs(t, x);
    }
    CheckAll(problem);
  }
}

TEST(QuantizeR8, IsTheSameOnEveryRow) {
  Random random(5);
  const simd::KernelTable& scalar = *simd::Tables().back();
  for (const size_t k : {1, 4, 15, 16, 17, 63, 64, 65, 100, 1000, 3420}) {
    for (int round = 0; round < 12; ++round) {
      std::vector<float> x = random.Floats(k, std::ldexp(1.0f, static_cast<int>(random.Below(240)) - 120));
      if (round == 1) x[random.Below(k)] = NAN;
      if (round == 2) x[random.Below(k)] = -INFINITY;
      if (round == 3) x.assign(k, 0.0f);
      if (round == 4) x.assign(k, -0x1p-120f);
      std::vector<uint8_t> want(simd::R8RowBytes(k));
      scalar.quantize_r8(x.data(), k, want.data());
      for (const simd::KernelTable* table : RunnableRows()) {
        const Guarded<float> from(x, k % 4);
        Guarded<uint8_t> got(simd::R8RowBytes(k), k % 5);
        table->quantize_r8(from.data(), k, got.data());
        ASSERT_TRUE(got.GuardsIntact());
        ASSERT_EQ(memcmp(got.data(), want.data(), want.size()), 0) << table->name << " k=" << k << " round " << round;
      }
    }
  }
}

TEST(QuantizeR8, IsWithinHalfAStep) {
  Random random(6);
  for (const size_t k : {4, 100, 1000}) {
    const std::vector<float> x = random.Floats(k, 5.0f);
    std::vector<uint8_t> row(simd::R8RowBytes(k));
    simd::Tables().back()->quantize_r8(x.data(), k, row.data());
    simd::R8Tail tail;
    memcpy(&tail, &row[simd::R8CodeBytes(k)], sizeof(tail));
    int32_t sum = 0, largest = 0;
    for (size_t i = 0; i < k; ++i) {
      const int32_t code = static_cast<int8_t>(row[i]);
      sum += code;
      largest = std::max(largest, std::abs(code));
      ASSERT_LE(std::abs(static_cast<double>(tail.scale) * code - x[i]), tail.scale * 0.5001);
    }
    EXPECT_EQ(largest, 127);
    EXPECT_EQ(tail.minus_sum, -sum);
    for (size_t i = k; i < simd::R8CodeBytes(k); ++i) ASSERT_EQ(row[i], 0);
  }
}

}  // namespace
}  // namespace mote::testing
