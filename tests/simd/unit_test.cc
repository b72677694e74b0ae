// Products by a matrix unit, of every weight type, against sums in double of what the unit is given, and to the bit
// against themselves.
#include "simd/unit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "tests/simd/rows.h"
#include "tests/support/closeness.h"
#include "tests/support/effort.h"
#include "tests/support/guarded.h"

namespace mote::testing {
namespace {

// The row of this machine that has one.
const simd::KernelTable* UnitRow() {
  for (const simd::KernelTable* table : RunnableRows()) {
    if (simd::UnitKernelsOf(*table) != nullptr) return table;
  }
  return nullptr;
}
#define MOTE_NEEDS_UNIT() \
  if (UnitRow() == nullptr) GTEST_SKIP() << "this processor has no matrix unit that the kernels know"

// `even`: where two are as near, to the one whose last bit is 0.
float High(float x, bool even = false) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof(bits));
  bits = (bits + (even ? 0x7fff + (bits >> 16 & 1) : 0x8000)) & 0xffff0000;
  memcpy(&x, &bits, sizeof(bits));
  return x;
}

float BFloat(const uint8_t* at) {
  uint16_t half;
  memcpy(&half, at, sizeof(half));
  const uint32_t bits = uint32_t{half} << 16;
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

struct alignas(64) Scratch {
  uint8_t bytes[simd::kUnitScratchBytes];
};

struct Problem {
  const simd::KernelTable& table = *UnitRow();
  const simd::UnitKernels& unit = *simd::UnitKernelsOf(table);
  DType type;
  size_t k, rows, m;
  bool rounded;
  bool low;
  size_t stride;
  const float* bias = nullptr;
  decltype(simd::KernelTable::gate) gate = nullptr;
  std::vector<float> weights;  // decoded
  std::vector<float> values;   // of the activations
  std::vector<uint8_t> panels, acts;
  std::unique_ptr<Scratch> scratch{new Scratch};

  // `rounded_arg`: by rounded_matmul.
  Problem(DType type_arg, size_t k_arg, size_t rows_arg, size_t m_arg, Random& random, bool rounded_arg = false)
      : type(type_arg),
        k(k_arg),
        rows(rows_arg),
        m(m_arg),
        rounded(rounded_arg),
        low(simd::UnitTakesLow(type) && !rounded),
        stride(simd::UnitRowBytes(k, low)),
        weights(rows * k),
        values(random.Floats(m * k, 2.0f)),
        panels(simd::PackedBytes(table, type, rows, k), 0xa5),
        acts((m + 15) / 16 * 16 * stride, 0xff) {
    std::vector<uint8_t> file;
    for (size_t r = 0; r < rows; ++r) {
      const std::vector<uint8_t> row = RandomWeights(type, k, random, 0.05f);
      DecodeRow(type, row.data(), &weights[r * k], k);
      file.insert(file.end(), row.begin(), row.end());
    }
    table.pack({type, file.data(), rows, k, panels.data()});
    for (size_t t = 0; t < m; ++t) unit.split(&values[t * k], k, low, acts.data() + simd::UnitRowAt(t, stride));
  }

  simd::UnitMatMulFn Function() const { return (rounded ? unit.rounded_matmul : unit.matmul)[simd::MatMulIndex(type)]; }

  // Rows from `first` on, a multiple of a panel's, and tokens [token, token + count).
  void Multiply(size_t first, size_t token, size_t count, float* out, size_t out_stride) {
    simd::UnitMatMulArgs args = Args(first, token, count);
    args.out = out;
    args.out_stride = out_stride;
    Function()(args);
  }
  simd::UnitMatMulArgs Args(size_t first, size_t token, size_t count) {
    simd::UnitMatMulArgs args;
    args.panels = panels.data() + first * RowBytes(type, k);
    args.rows = rows - first;
    args.k = k;
    args.acts = acts.data() + simd::UnitRowAt(token, stride);
    args.act_stride_bytes = stride;
    args.m = count;
    args.scratch = scratch->bytes;
    args.bias = bias == nullptr ? nullptr : bias + first;
    args.gate = gate;
    args.activation = simd::Activation::kGeluTanh;
    return args;
  }

  // The products that the unit is given. Decoding may round once more than DecodeRow, which moves a weight to the next
  // bfloat16 where it lies between two.
  Expected Want(size_t r, size_t t) const {
    DotReference sum;
    double rounding = 0;
    for (size_t i = 0; i < k; ++i) {
      const float a = values[t * k + i], w = weights[r * k + i];
      const float a_high = High(a), w_high = High(w);
      sum.Add(a_high, w_high);
      if (low) {
        sum.Add(High(a - a_high), w_high);
        sum.Add(a_high, High(w - w_high));
      } else {
        rounding = std::max(rounding, std::abs(static_cast<double>(a_high) * w_high));
      }
    }
    const Expected want = sum.Expect(kEpsilonF32);
    return {want.value, want.bound + 2 * 0x1p-8 * rounding + 1e-30};
  }
};

void CheckEveryType(bool rounded) {
  Random random(1);
  for (const DType type : WeightTypes()) {
    const size_t block = DTypeInfoOf(type)->block_values;
    for (const size_t blocks : {1, 2, 3, 9, 17}) {
      if (kSlowTests && blocks % 3 == 1) continue;
      // Whole blocks; floats also of 1, of odd numbers, and across the parts that are unpacked together.
      const size_t k = block == 1 ? blocks * blocks * 3 - 2 : blocks * block;
      const size_t rows = 1 + random.Below(100), m = 1 + random.Below(70);
      Problem problem(type, k, rows, m, random, rounded);
      std::vector<float> out(m * rows);
      problem.Multiply(0, 0, m, out.data(), rows);
      for (size_t t = 0; t < m; ++t) {
        for (size_t r = 0; r < rows; ++r) {
          const Expected want = problem.Want(r, t);
          ASSERT_NEAR(out[t * rows + r], want.value, want.bound) << DTypeName(type) << " k " << k << " rows " << rows
                                                                 << " tokens " << m << ": row " << r << " token " << t;
        }
      }
    }
  }
}

TEST(MatrixUnit, EveryTypeIsNearTheSumInDouble) {
  MOTE_NEEDS_UNIT();
  CheckEveryType(/*rounded=*/false);
}

TEST(MatrixUnit, EveryTypeRoundedIsNearTheSumInDouble) {
  MOTE_NEEDS_UNIT();
  CheckEveryType(/*rounded=*/true);
}

// What the parts of a float lose is 2^-17 of it: against the floats themselves.
TEST(MatrixUnit, FloatsKeepSixteenBits) {
  MOTE_NEEDS_UNIT();
  Random random(2);
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
    constexpr size_t kK = 700, kRows = 33, kTokens = 5;
    Problem problem(type, kK, kRows, kTokens, random);
    std::vector<float> out(kTokens * kRows);
    problem.Multiply(0, 0, kTokens, out.data(), kRows);
    double error = 0, size = 0;
    for (size_t t = 0; t < kTokens; ++t) {
      for (size_t r = 0; r < kRows; ++r) {
        double want = 0;
        for (size_t i = 0; i < kK; ++i) {
          want += static_cast<double>(problem.values[t * kK + i]) * problem.weights[r * kK + i];
        }
        error += (out[t * kRows + r] - want) * (out[t * kRows + r] - want);
        size += want * want;
      }
    }
    EXPECT_LT(std::sqrt(error / size), 0x1p-16) << DTypeName(type);
  }
}

TEST(MatrixUnit, SameBitsHoweverItIsCut) {
  MOTE_NEEDS_UNIT();
  Random random(3);
  for (const DType type : WeightTypes()) {
    const size_t k = DTypeInfoOf(type)->block_values == 1 ? 611 : 768;
    constexpr size_t kRows = 165, kTokens = 67;
    Problem problem(type, k, kRows, kTokens, random);
    std::vector<float> all(kTokens * kRows);
    problem.Multiply(0, 0, kTokens, all.data(), kRows);
    const size_t panel = simd::PanelRows(problem.table, type);
    for (int round = 0; round < 12; ++round) {
      const size_t token = random.Below(kTokens / 16) * 16, count = 1 + random.Below(kTokens - token);
      const size_t first = random.Below(kRows / panel + 1) * panel;
      const size_t rows = kRows - first;
      if (rows == 0) continue;
      std::vector<float> part(count * rows);
      problem.Multiply(first, token, count, part.data(), rows);
      for (size_t t = 0; t < count; ++t) {
        ASSERT_EQ(0, memcmp(&part[t * rows], &all[(token + t) * kRows + first], rows * sizeof(float)))
            << DTypeName(type) << " from row " << first << " token " << token << " + " << t << " of " << count;
      }
    }
  }
}

TEST(MatrixUnit, WritesItsOwnOutputsAlone) {
  MOTE_NEEDS_UNIT();
  Random random(4);
  for (const DType type : {DType::kF16, DType::kQ8_0}) {
    for (const size_t rows : {1, 15, 16, 17, 31, 32, 33, 63, 65}) {
      const size_t m = 1 + random.Below(66);
      Problem problem(type, 544, rows, m, random);
      EXPECT_TRUE(
          WritesAllAndOnly<float>(m * rows, rows % 3, [&](float* out) { problem.Multiply(0, 0, m, out, rows); }))
          << DTypeName(type) << " rows " << rows << " tokens " << m;
      // Rows of the output that lie apart: what is between them stays.
      constexpr size_t kGap = 5;
      Guarded<float> wide(m * (rows + kGap));
      problem.Multiply(0, 0, m, wide.data(), rows + kGap);
      EXPECT_TRUE(wide.GuardsIntact());
      for (size_t t = 0; t < m; ++t) {
        for (size_t i = rows; i < rows + kGap; ++i) EXPECT_TRUE(wide.IsPoison(t * (rows + kGap) + i));
      }
    }
  }
}

// Bias and activation on the way out are those of the table's kernels afterwards, to the bit.
TEST(MatrixUnit, BiasAndActivationAreThoseOfTheTable) {
  MOTE_NEEDS_UNIT();
  Random random(6);
  for (const size_t rows : {1, 16, 33, 64, 131}) {
    constexpr size_t kTokens = 43;
    Problem problem(DType::kQ8_0, 544, rows, kTokens, random);
    const Guarded<float> bias(random.Floats(rows, 1.0f), rows % 3);
    std::vector<float> plain(kTokens * rows);
    problem.Multiply(0, 0, kTokens, plain.data(), rows);
    for (const bool biased : {false, true}) {
      for (const bool gated : {false, true}) {
        std::vector<float> want = plain, out(kTokens * rows);
        for (size_t t = 0; t < kTokens; ++t) {
          float* y = &want[t * rows];
          if (biased) problem.table.add(y, bias.data(), rows, y);
          if (gated) problem.table.gate(simd::Activation::kGeluTanh, y, nullptr, rows, y);
        }
        problem.bias = biased ? bias.data() : nullptr;
        problem.gate = gated ? problem.table.gate : nullptr;
        problem.Multiply(0, 0, kTokens, out.data(), rows);
        problem.bias = nullptr;
        problem.gate = nullptr;
        ASSERT_EQ(want, out) << rows << " rows, bias " << biased << ", activation " << gated;
      }
    }
  }
}

// What a product hands over as activations is what `split` makes of its results, to the bit; activated, and times a
// second product, it is near.
TEST(MatrixUnit, ResultsAsActivations) {
  MOTE_NEEDS_UNIT();
  Random random(7);
  for (const DType type : {DType::kQ8_0, DType::kF16}) {
    for (const size_t rows : {1, 32, 33, 80, 131, 200}) {
      constexpr size_t kTokens = 43, kK = 544;
      Problem first(type, kK, rows, kTokens, random, /*rounded_arg=*/true);
      Problem second(type, kK, rows, kTokens, random, /*rounded_arg=*/true);
      second.acts = first.acts;
      const std::vector<float> bias = random.Floats(rows, 1.0f), up_bias = random.Floats(rows, 1.0f);
      std::vector<float> product(kTokens * rows), up(kTokens * rows);
      second.bias = up_bias.data();
      second.Multiply(0, 0, kTokens, up.data(), rows);
      first.bias = bias.data();
      first.Multiply(0, 0, kTokens, product.data(), rows);
      const size_t stride = simd::UnitRowBytes(rows, false), bytes = 48 * stride;
      using simd::Activation;
      const Activation all[] = {Activation::kGeluTanh, Activation::kSilu, Activation::kGeluQuick, Activation::kGelu};
      for (size_t way = 0; way < 9; ++way) {  // as it is; activated, each alone and times the second one
        std::vector<float> want = product;
        const bool with_up = way > 4;
        const Activation activation = all[way == 0 ? 0 : (way - 1) % 4];
        if (way > 0) {
          first.table.gate(activation, product.data(), with_up ? up.data() : nullptr, want.size(), want.data());
        }
        std::vector<uint8_t> split(bytes, 0x5a), got(bytes, 0x5a);
        for (size_t t = 0; t < kTokens; ++t) {
          first.unit.split(&want[t * rows], rows, false, split.data() + simd::UnitRowAt(t, stride));
        }
        first.gate = way > 0 ? first.table.gate : nullptr;
        simd::UnitMatMulArgs args = first.Args(0, 0, kTokens);
        args.activation = activation;
        args.out_acts = got.data();
        args.out_act_bytes = stride;
        if (with_up) {
          args.up_panels = second.panels.data();
          args.up_bias = up_bias.data();
        }
        first.Function()(args);
        first.gate = nullptr;
        if (way == 0) {
          ASSERT_EQ(split, got) << DTypeName(type) << " " << rows << " rows";
        }
        for (size_t t = 0; t < kTokens; ++t) {
          for (size_t r = 0; r < simd::UnitPadded(rows); ++r) {
            const size_t at = simd::UnitRowAt(t, stride) + r / 32 * simd::kUnitStepBytes + r % 32 * 2;
            const size_t i = t * rows + r;
            const double value = r < rows ? want[i] : 0;
            // What the table's activation is off by at most where it cancels.
            const double cancels =
                r < rows ? 4e-7 * std::abs(double{product[i]}) * (with_up ? std::abs(up[i]) : 1.0f) : 0;
            const double bound = std::abs(value) * (0x1p-8 + 0x1p-12) + cancels;
            ASSERT_NEAR(BFloat(got.data() + at), value, bound)
                << DTypeName(type) << " " << rows << " rows, way " << way;
          }
        }
      }
    }
  }
}

TEST(MatrixUnit, SplitsIntoHighAndLow) {
  MOTE_NEEDS_UNIT();
  const simd::UnitKernels& unit = *simd::UnitKernelsOf(*UnitRow());
  Random random(5);
  for (const size_t k : {1, 2, 31, 32, 33, 47, 200}) {
    for (const bool low : {false, true}) {
      const Guarded<float> x(random.Floats(k, 1000.0f), k % 3);
      const size_t padded = simd::UnitPadded(k), count = (padded * (low ? 2 : 1) - 32) * 16 + 32;
      Guarded<uint16_t> out(count);
      unit.split(x.data(), k, low, out.data());
      EXPECT_TRUE(out.GuardsIntact());
      const auto value = [&](size_t i) {
        const uint32_t bits = uint32_t{out[i / 32 * 512 + i % 32]} << 16;
        float f;
        memcpy(&f, &bits, sizeof(f));
        return f;
      };
      for (size_t i = 0; i < padded; ++i) {
        const float want = i < k ? x[i] : 0.0f;
        EXPECT_EQ(value(i), High(want, /*even=*/!low));
        if (low) {
          EXPECT_EQ(value(padded + i), High(want - High(want)));
        }
      }
    }
  }
}

}  // namespace
}  // namespace mote::testing
