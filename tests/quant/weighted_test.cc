// Encoding under importances.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cmath>
#include <limits>
#include <vector>

#include "quant/codec.h"

namespace mote {
namespace {

// As in codec_test.cc: many small values, few large ones.
std::vector<float> Input() {
  uint64_t state = 99;
  const auto next = [&] {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<double>(state >> 32) / 4294967296.0 * 2 - 1;
  };
  std::vector<float> x(8192);
  for (float& value : x) {
    const double a = next();
    const double b = next();
    const double c = next();
    value = static_cast<float>(a * 0.0625 + a * b * c);
  }
  return x;
}

// From 1/16 to 2, and one column of a hundred 64 times that.
std::vector<float> Importance() {
  std::vector<float> importance(8192);
  for (size_t i = 0; i < importance.size(); ++i) {
    importance[i] = (0.0625f + static_cast<float>(i * 37 % 64) / 32) * (i % 100 == 7 ? 64.0f : 1.0f);
  }
  return importance;
}

struct Golden {
  DType type;
  double error;   // weighted, that ggml_quantize_chunk (llama.cpp v0.5.0) leaves with these importances
  uint64_t hash;  // of our bytes
};
constexpr Golden kGolden[] = {
    {DType::kQ4_0, 4.81585261, 0x5c873bd8e1e2dd93u},   {DType::kQ4_1, 2.26792743, 0x3caa460158fb99e7u},
    {DType::kQ5_0, 1.13598856, 0x8d488d25a094c7f9u},   {DType::kQ5_1, 0.531839596, 0x450f1448d5985048u},
    {DType::kQ2_K, 28.4705391, 0x89043188d7a6e258u},   {DType::kQ3_K, 11.5635666, 0x41594a10322bca0fu},
    {DType::kQ4_K, 2.38431607, 0x50bbb532a06608ecu},   {DType::kQ5_K, 0.608884044, 0x86d1bf33c4034d02u},
    {DType::kQ6_K, 0.204102294, 0xf7417be8e63659f7u},  {DType::kIQ4_NL, 2.78279824, 0xc76dca0df6996268u},
    {DType::kIQ4_XS, 2.88381066, 0x68a28c727005454du},
};

std::vector<uint8_t> Encode(DType type, const std::vector<float>& x, const std::vector<float>& importance) {
  std::vector<uint8_t> bytes(RowBytes(type, x.size()));
  const float* weights = importance.empty() ? nullptr : importance.data();
  EXPECT_TRUE(EncodeRowWeighted(type, x.data(), weights, bytes.data(), x.size())) << DTypeName(type);
  return bytes;
}

double WeightedError(DType type, const std::vector<float>& x, const std::vector<uint8_t>& bytes,
                     const std::vector<float>& importance) {
  std::vector<float> y(x.size());
  DecodeRow(type, bytes.data(), y.data(), y.size());
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double error = static_cast<double>(y[i]) - static_cast<double>(x[i]);
    sum += static_cast<double>(importance[i]) * error * error;
  }
  return sum;
}

// FNV-1a.
uint64_t HashOf(const std::vector<uint8_t>& bytes) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (uint8_t byte : bytes) hash = (hash ^ byte) * 0x100000001b3u;
  return hash;
}

TEST(Weighted, ErrorIsAtMostTheReferences) {
  const std::vector<float> x = Input();
  const std::vector<float> importance = Importance();
  for (const Golden& golden : kGolden) {
    const double error = WeightedError(golden.type, x, Encode(golden.type, x, importance), importance);
    EXPECT_LE(error, golden.error) << DTypeName(golden.type);
    EXPECT_GE(error, golden.error * 0.5) << DTypeName(golden.type) << ": too good to be true";
    EXPECT_LT(error, WeightedError(golden.type, x, Encode(golden.type, x, {}), importance)) << DTypeName(golden.type);
  }
}

TEST(Weighted, SameBitsOnEveryPlatform) {
  for (const Golden& golden : kGolden) {
    const uint64_t hash = HashOf(Encode(golden.type, Input(), Importance()));
    EXPECT_EQ(hash, golden.hash) << DTypeName(golden.type) << std::hex << " 0x" << hash;
  }
}

TEST(Weighted, FormatsThatDoNotSearchHeedNothing) {
  const std::vector<float> x = Input();
  for (DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kMXFP4}) {
    EXPECT_EQ(Encode(type, x, Importance()), Encode(type, x, {})) << DTypeName(type);
  }
}

// Between the least and the greatest importance that the contract allows, and with all columns alike.
TEST(Weighted, ExtremeImportances) {
  const std::vector<float> x = Input();
  for (const Golden& golden : kGolden) {
    for (const float flat : {1e-3f, 1.0f, 1e6f}) {
      const std::vector<float> same(x.size(), flat);
      const double error = WeightedError(golden.type, x, Encode(golden.type, x, same), same);
      const double plain = WeightedError(golden.type, x, Encode(golden.type, x, {}), same);
      EXPECT_LE(error, plain * 1.001) << DTypeName(golden.type) << " " << flat;
    }
    // One column in 256 is all that matters: it gains by that, and the rest is not given up.
    std::vector<float> one(x.size(), 1e-3f);
    std::vector<float> others(x.size(), 1.0f);
    for (size_t i = 5; i < one.size(); i += 256) {
      one[i] = 1e5f;
      others[i] = 0.0f;
    }
    const std::vector<uint8_t> bytes = Encode(golden.type, x, one);
    EXPECT_LE(WeightedError(golden.type, x, bytes, one),
              WeightedError(golden.type, x, Encode(golden.type, x, {}), one) * 0.9)
        << DTypeName(golden.type);
    const double rest = WeightedError(golden.type, x, bytes, others);
    EXPECT_LT(rest, WeightedError(golden.type, x, Encode(golden.type, x, {}), others) * 32) << DTypeName(golden.type);
  }
}

TEST(Weighted, ZerosConstantsAndWhatNoFormatHolds) {
  const std::vector<float> importance(256, 1.0f);
  for (const Golden& golden : kGolden) {
    for (const float value : {0.0f, 1e-30f, 0.25f, -0.25f}) {
      const std::vector<float> x(256, value);
      std::vector<float> y(256);
      DecodeRow(golden.type, Encode(golden.type, x, importance).data(), y.data(), y.size());
      for (size_t i = 0; i < y.size(); ++i) EXPECT_NEAR(y[i], value, std::abs(value) * 0.02f + 1e-7f);
    }
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 1e30f}) {
      std::vector<float> x(256, 0.5f);
      x[77] = bad;
      std::vector<uint8_t> bytes(RowBytes(golden.type, x.size()));
      EXPECT_FALSE(EncodeRowWeighted(golden.type, x.data(), importance.data(), bytes.data(), x.size())) << bad;
    }
  }
}

}  // namespace
}  // namespace mote
