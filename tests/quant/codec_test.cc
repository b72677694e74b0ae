#include "quant/codec.h"

#include <gtest/gtest.h>
#include <string.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "tests/quant/golden.h"
#include "tests/support/closeness.h"
#include "tests/support/guarded.h"

namespace mote {
namespace {

constexpr DType kWeights[] = {
    DType::kF32,  DType::kF16,  DType::kBF16, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0,   DType::kQ5_1,   DType::kQ8_0,
    DType::kQ2_K, DType::kQ3_K, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS, DType::kMXFP4,
};
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

struct Random {
  uint64_t state;
  uint32_t Next() {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>(state >> 32);
  }
  double Uniform() { return Next() / 4294967296.0 * 2 - 1; }
};

// The values that golden.h speaks of: many small ones, few large ones, as in weights.
std::vector<float> GoldenInput() {
  Random random = {99};
  std::vector<float> x(8192);
  for (float& value : x) {
    const double a = random.Uniform();
    const double b = random.Uniform();
    const double c = random.Uniform();
    value = static_cast<float>(a * 0.0625 + a * b * c);
  }
  return x;
}

std::vector<uint8_t> FromHex(const char* hex) {
  std::vector<uint8_t> bytes(strlen(hex) / 2);
  for (size_t i = 0; i < bytes.size(); ++i) {
    const char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};
    bytes[i] = static_cast<uint8_t>(strtol(pair, nullptr, 16));
  }
  return bytes;
}

size_t BlockValues(DType type) {
  return DTypeInfoOf(type)->block_values;
}

std::vector<float> Decode(DType type, const std::vector<uint8_t>& bytes, size_t values) {
  std::vector<float> out(values);
  DecodeRow(type, bytes.data(), out.data(), values);
  return out;
}

// x after encoding and decoding; empty if it cannot be encoded.
std::vector<float> RoundTrip(DType type, const std::vector<float>& x) {
  std::vector<uint8_t> bytes(RowBytes(type, x.size()));
  if (!EncodeRow(type, x.data(), bytes.data(), x.size())) return {};
  return Decode(type, bytes, x.size());
}

TEST(Decode, BitExactToGgml) {
  for (const GoldenDecode& golden : kGoldenDecode) {
    const std::vector<uint8_t> block = FromHex(golden.block);
    const std::vector<uint8_t> want = FromHex(golden.values);
    const size_t values = BlockValues(golden.type);
    ASSERT_EQ(block.size(), RowBytes(golden.type, values));
    ASSERT_EQ(want.size(), values * 4);
    const std::vector<float> got = Decode(golden.type, block, values);
    for (size_t v = 0; v < values; ++v) {
      float expected;
      memcpy(&expected, &want[4 * v], 4);
      ASSERT_EQ(memcmp(&got[v], &want[4 * v], 4), 0)
          << DTypeName(golden.type) << " value " << v << ": got " << got[v] << ", want " << expected;
    }
  }
}

TEST(Decode, NonFiniteScalesShow) {
  for (const GoldenDecode& golden : kGoldenDecode) {
    if (golden.type == DType::kMXFP4) continue;  // its scale is a power of two
    std::vector<uint8_t> block = FromHex(golden.block);
    const bool at_start = golden.type != DType::kQ2_K && golden.type != DType::kQ3_K && golden.type != DType::kQ6_K;
    const size_t at = at_start ? 0 : golden.type == DType::kQ2_K ? 80 : block.size() - 2;
    for (uint16_t scale : {uint16_t{0x7c00}, uint16_t{0xfc00}, uint16_t{0x7e01}, uint16_t{0x7c01}}) {
      memcpy(&block[at], &scale, 2);
      size_t finite = 0;
      for (float value : Decode(golden.type, block, BlockValues(golden.type))) finite += std::isfinite(value);
      EXPECT_EQ(finite, 0u) << DTypeName(golden.type);  // infinity times code 0 is NaN
    }
  }
}

TEST(Decode, TouchesOnlyItsRow) {
  Random random = {5};
  for (DType type : kWeights) {
    for (size_t blocks : {1, 3}) {
      for (size_t misalign : {0, 1, 3}) {
        const size_t values = blocks * BlockValues(type);
        std::vector<uint8_t> bytes(RowBytes(type, values));
        for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.Next());
        const testing::Guarded<uint8_t> src(bytes, misalign);
        EXPECT_TRUE(testing::WritesAllAndOnly<float>(values, misalign, [&](float* out) {
          DecodeRow(type, src.data(), out, values);
        })) << DTypeName(type);
        EXPECT_TRUE(src.GuardsIntact());
      }
    }
    DecodeRow(type, nullptr, nullptr, 0);
  }
}

TEST(Encode, BitExactToGgmlWhereNothingIsSearched) {
  const std::vector<float> x = GoldenInput();
  for (const GoldenEncode& golden : kGoldenEncode) {
    const std::vector<uint8_t> want = FromHex(golden.block);
    std::vector<uint8_t> got(want.size());
    ASSERT_TRUE(EncodeRow(golden.type, x.data(), got.data(), 32));
    EXPECT_EQ(got, want) << DTypeName(golden.type);
  }
}

// A row of int8: its scale makes the largest 127, halves go to even, and everything comes back within half a step.
TEST(Encode, I8RowIsScaledByItsLargest) {
  std::vector<float> x = {-254, 1, 3, -5, 253, 0.5f, 0, 127};
  std::vector<uint8_t> row(RowBytes(DType::kI8Row, x.size()));
  ASSERT_EQ(row.size(), x.size() + 4);
  ASSERT_TRUE(EncodeRow(DType::kI8Row, x.data(), row.data(), x.size()));
  const int8_t want[] = {-127, 0, 2, -2, 126, 0, 0, 64};
  EXPECT_EQ(memcmp(row.data(), want, sizeof(want)), 0);
  EXPECT_EQ(Decode(DType::kI8Row, row, x.size()), (std::vector<float>{-254, 0, 4, -4, 252, 0, 0, 128}));
  for (const float none : {0.0f, 1e-38f}) {
    x.assign(8, none);
    EXPECT_EQ(RoundTrip(DType::kI8Row, x), std::vector<float>(8, 0.0f)) << "smaller than any scale";
  }
  Random random = {8};
  for (const float size : {1e-20f, 1.0f, 1e38f}) {
    std::vector<float> values(260);
    float largest = 0;
    for (float& v : values) {
      v = static_cast<float>(random.Uniform() * 2 - 1) * size;
      largest = std::max(largest, std::abs(v));
    }
    const std::vector<float> back = RoundTrip(DType::kI8Row, values);
    ASSERT_EQ(back.size(), values.size());
    for (size_t i = 0; i < values.size(); ++i) ASSERT_LE(std::abs(back[i] - values[i]), largest / 127 * 0.50001f) << i;
  }
}

// Q8_0's halves go away from zero, as C's roundf has it. The extreme 127 makes the scale 1.
TEST(Encode, Q8_0RoundsHalvesAwayFromZero) {
  std::vector<float> x(32);
  for (int i = 0; i < 31; ++i) x[i] = static_cast<float>(i / 2 - 7) + (i % 2 != 0 ? 0.5f : 0.25f);
  x[31] = -127;
  const std::vector<float> y = RoundTrip(DType::kQ8_0, x);
  for (int i = 0; i < 32; ++i) EXPECT_EQ(y[i], std::round(x[i])) << x[i];
}

TEST(Encode, ErrorIsAtMostTheReferences) {
  const std::vector<float> x = GoldenInput();
  for (const GoldenError& golden : kGoldenError) {
    const std::vector<float> y = RoundTrip(golden.type, x);
    ASSERT_EQ(y.size(), x.size());
    double squared = 0;
    double weighted = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double error = static_cast<double>(y[i]) - x[i];
      squared += error * error;
      weighted += std::abs(static_cast<double>(x[i])) * error * error;
    }
    // The golden figures have nine digits.
    EXPECT_LE(weighted, golden.weighted * (1 + 1e-8)) << DTypeName(golden.type);
    EXPECT_LE(squared, golden.squared * (1 + 1e-8)) << DTypeName(golden.type);
    EXPECT_GE(squared, golden.squared * 0.5) << DTypeName(golden.type) << ": too good to be true";
  }
}

// FNV-1a.
uint64_t HashOf(const std::vector<uint8_t>& bytes) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (uint8_t byte : bytes) hash = (hash ^ byte) * 0x100000001b3u;
  return hash;
}

// A file quantized on one machine is the file quantized on any other. The figures change only when an encoder does;
// that they are right is for the other tests.
TEST(Encode, SameBitsOnEveryPlatform) {
  struct Case {
    DType type;
    uint64_t hash;
  };
  constexpr Case kCases[] = {
      {DType::kF32, 0x3078ea30873c1cb0u},    {DType::kF16, 0xc078b9f76478710du},
      {DType::kBF16, 0x7b969545d389e011u},   {DType::kQ4_0, 0xc7262b383a191951u},
      {DType::kQ4_1, 0xd75a2fb12bcff1fdu},   {DType::kQ5_0, 0x632a9567c5faa28eu},
      {DType::kQ5_1, 0x75f6c9bcd2ec5b10u},   {DType::kQ8_0, 0x217ab995ed629582u},
      {DType::kQ2_K, 0x56a18d2b9ed47cebu},   {DType::kQ3_K, 0x8ab600fd3680d764u},
      {DType::kQ4_K, 0x41f66803eed3fd77u},   {DType::kQ5_K, 0x71ba8ea730126babu},
      {DType::kQ6_K, 0x64b6c235d371f1a7u},   {DType::kIQ4_NL, 0xe043c073382c9d00u},
      {DType::kIQ4_XS, 0x813e287bc12bb69bu}, {DType::kMXFP4, 0x8deb663786d8e0ffu},
  };
  const std::vector<float> x = GoldenInput();
  for (const Case& c : kCases) {
    std::vector<uint8_t> bytes(RowBytes(c.type, x.size()));
    ASSERT_TRUE(EncodeRow(c.type, x.data(), bytes.data(), x.size()));
    EXPECT_EQ(HashOf(bytes), c.hash) << DTypeName(c.type) << std::hex << " 0x" << HashOf(bytes);
  }
}

TEST(Encode, TouchesOnlyItsRow) {
  const std::vector<float> input = GoldenInput();
  for (DType type : kWeights) {
    for (size_t misalign : {0, 1, 3}) {
      const size_t values = 3 * BlockValues(type);
      const testing::Guarded<float> src(std::span<const float>(input.data(), values), misalign);
      EXPECT_TRUE(testing::WritesAllAndOnly<uint8_t>(RowBytes(type, values), misalign, [&](uint8_t* out) {
        EXPECT_TRUE(EncodeRow(type, src.data(), out, values));
      })) << DTypeName(type);
      EXPECT_TRUE(src.GuardsIntact());
    }
    EXPECT_TRUE(EncodeRow(type, nullptr, nullptr, 0));
  }
}

TEST(Encode, RefusesWhatNoFormatHolds) {
  for (DType type : kWeights) {
    const size_t values = 2 * BlockValues(type);
    std::vector<uint8_t> bytes(RowBytes(type, values));
    for (float bad : {kNaN, -kNaN, kInf, -kInf}) {
      for (size_t at : {size_t{0}, values / 2, values - 1}) {
        std::vector<float> x(values, 0.5f);
        x[at] = bad;
        EXPECT_FALSE(EncodeRow(type, x.data(), bytes.data(), values)) << DTypeName(type) << " " << bad;
      }
    }
    const bool wide = type == DType::kF32 || type == DType::kMXFP4;
    for (float huge : {1e30f, std::numeric_limits<float>::max()}) {
      if (type == DType::kBF16 && huge == 1e30f) continue;
      std::vector<float> x(values, 0.5f);
      x[1] = -huge;
      EXPECT_EQ(EncodeRow(type, x.data(), bytes.data(), values), wide) << DTypeName(type) << " " << huge;
    }
  }
}

// The largest error that a correct encoder may leave: half a step, one step for the value that meets the short end of
// an asymmetric range, and what rounding the scale (and min) to float16 adds at the largest code.
struct StepCase {
  DType type;
  double levels;  // steps from 0 (symmetric) or from min (affine) to the extreme
  bool affine;
  bool short_end;
};

TEST(RoundTrip, SimpleFormatsStayWithinTheirStep) {
  Random random = {7};
  for (const StepCase& c : {StepCase{DType::kQ4_0, 8, false, true}, StepCase{DType::kQ4_1, 15, true, false},
                            StepCase{DType::kQ5_0, 16, false, true}, StepCase{DType::kQ5_1, 31, true, false},
                            StepCase{DType::kQ8_0, 127, false, false}}) {
    for (double magnitude : {1.0, 1e-3, 3e4}) {
      for (int repeat = 0; repeat < 200; ++repeat) {
        std::vector<float> x(32);
        for (float& value : x) value = static_cast<float>(random.Uniform() * magnitude);
        const auto [low, high] = std::minmax_element(x.begin(), x.end());
        const double extreme = std::max(std::abs(static_cast<double>(*low)), std::abs(static_cast<double>(*high)));
        const double range = c.affine ? static_cast<double>(*high) - *low : extreme;
        const double step = range / c.levels;
        const double f16 = std::ldexp(1, -11);  // relative; a subnormal scale adds 2^-25
        const double rounding =
            range * f16 + c.levels * std::ldexp(1, -25) + (c.affine ? std::abs(*low) * f16 + std::ldexp(1, -25) : 0);
        const double bound = step * (c.short_end ? 1.0 : 0.5) + rounding + extreme * testing::kEpsilonF32 * 4;
        const std::vector<double> want(x.begin(), x.end());
        ASSERT_TRUE(testing::AllClose(RoundTrip(c.type, x), want, bound, DTypeName(c.type)));
      }
    }
  }
}

TEST(RoundTrip, FloatsAreRoundedOnce) {
  const std::vector<float> x = GoldenInput();
  EXPECT_EQ(RoundTrip(DType::kF32, x), x);
  const std::vector<double> want(x.begin(), x.end());
  EXPECT_TRUE(testing::AllCloseRelative(RoundTrip(DType::kF16, x), want, testing::kEpsilonF16 / 2, 0x1p-25, "F16"));
  EXPECT_TRUE(testing::AllCloseRelative(RoundTrip(DType::kBF16, x), want, testing::kEpsilonBF16 / 2, 0, "BF16"));
}

// The searched formats minimise a weighted sum, so single values may be off by more than half a step. What holds for
// the weighted mean: the plain assignment (step / 2 at most), plus half a unit of the integer scale and min at the
// largest code, plus float16 rounding. `levels`: codes between the ends; `integers`: the largest integer scale.
struct SearchCase {
  DType type;
  int group;
  double levels;
  double integers;
};

TEST(RoundTrip, SearchedFormatsStayWithinTheirStepOnAverage) {
  Random random = {11};
  for (const SearchCase& c :
       {SearchCase{DType::kQ2_K, 16, 3, 15}, SearchCase{DType::kQ3_K, 16, 7, 31}, SearchCase{DType::kQ4_K, 32, 15, 63},
        SearchCase{DType::kQ5_K, 32, 31, 63}, SearchCase{DType::kQ6_K, 16, 63, 127},
        // The widest gap between IQ4's 16 levels is 24 of the 240 that they span.
        SearchCase{DType::kIQ4_NL, 32, 10, 1e9}, SearchCase{DType::kIQ4_XS, 32, 10, 31}}) {
    for (double magnitude : {1.0, 1e-2, 1e3}) {
      for (int repeat = 0; repeat < 50; ++repeat) {
        std::vector<float> x(256);
        for (float& value : x) value = static_cast<float>(random.Uniform() * magnitude);
        const std::vector<float> y = RoundTrip(c.type, x);
        ASSERT_EQ(y.size(), x.size());
        double extreme = 0;
        for (float value : x) extreme = std::max(extreme, std::abs(static_cast<double>(value)));
        const double range = 2 * extreme;  // of every group, or less
        const double bound = range / c.levels / 2 + (range + extreme) / c.integers / 2 + 3 * extreme * 0x1p-11;
        double error = 0;
        double weight = 0;
        for (size_t i = 0; i < x.size(); ++i) {
          const double w = std::abs(static_cast<double>(x[i]));
          error += w * (static_cast<double>(y[i]) - x[i]) * (static_cast<double>(y[i]) - x[i]);
          weight += w;
        }
        ASSERT_LE(std::sqrt(error / weight), bound) << DTypeName(c.type) << " magnitude " << magnitude;
      }
    }
  }
}

TEST(RoundTrip, MXFP4KeepsItsOwnValues) {
  for (int exponent : {-120, -20, 0, 5, 120}) {
    std::vector<float> x(32);
    for (int i = 0; i < 32; ++i) {
      const double elements[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
      x[i] = static_cast<float>(std::ldexp(i < 16 ? elements[i % 8] : -elements[i % 8], exponent));
    }
    const std::vector<float> y = RoundTrip(DType::kMXFP4, x);
    for (int i = 0; i < 32; ++i) EXPECT_EQ(y[i], x[i]) << exponent << " " << i;
  }
}

// Rows that a careless encoder divides by zero on: zeros of both signs, constants, one value among zeros, subnormals,
// float16's ends. What comes back must be finite and no larger than what went in allows.
TEST(RoundTrip, DegenerateRows) {
  std::vector<std::vector<float>> rows;
  for (float constant : {0.0f, -0.0f, 1.0f, -1.0f, 1e-7f, -3e-5f, 1e-20f, 1e-38f, -1e-45f, 6e4f, -6e4f}) {
    rows.emplace_back(256, constant);
  }
  for (float single : {1.0f, -1.0f, 1e-6f, 1e-30f, 6e4f}) {
    for (size_t at : {0, 17, 255}) {
      std::vector<float> row(256, 0.0f);
      row[at] = single;
      rows.push_back(row);
    }
  }
  std::vector<float> mixed(256);
  for (size_t i = 0; i < mixed.size(); ++i) mixed[i] = std::ldexp(i % 2 ? 1.0f : -1.0f, -static_cast<int>(i % 140));
  rows.push_back(mixed);
  for (const std::vector<float>& row : rows) {
    float extreme = 0;
    for (float value : row) extreme = std::max(extreme, std::abs(value));
    for (DType type : kWeights) {
      const std::vector<float> y = RoundTrip(type, row);
      ASSERT_EQ(y.size(), row.size()) << DTypeName(type) << " " << row[0];
      for (size_t i = 0; i < row.size(); ++i) {
        ASSERT_TRUE(std::isfinite(y[i])) << DTypeName(type) << " " << row[i];
        // Nothing may be off by more than the extreme, and below 2^-24, float16's least scale, all may become 0 or the
        // least scale times the largest code.
        ASSERT_LE(std::abs(static_cast<double>(y[i]) - row[i]), 0.51 * extreme + 0x1p-24 * 128)
            << DTypeName(type) << " value " << i << ": " << row[i] << " came back as " << y[i];
      }
    }
  }
}

TEST(Encode, ZerosStayZero) {
  const std::vector<float> zeros(256, 0.0f);
  for (DType type : kWeights) {
    for (float value : RoundTrip(type, zeros)) ASSERT_EQ(value, 0.0f) << DTypeName(type);
  }
}

// What a decoded row encodes to decodes to nearly the same: quantising twice must not drift.
TEST(RoundTrip, SecondPassChangesLittle) {
  const std::vector<float> x = GoldenInput();
  for (DType type : kWeights) {
    const std::vector<float> once = RoundTrip(type, x);
    const std::vector<float> twice = RoundTrip(type, once);
    double first = 0;
    double second = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      first += std::pow(static_cast<double>(once[i]) - x[i], 2);
      second += std::pow(static_cast<double>(twice[i]) - once[i], 2);
    }
    EXPECT_LE(second, first * 0.5) << DTypeName(type);
  }
}

}  // namespace
}  // namespace mote
