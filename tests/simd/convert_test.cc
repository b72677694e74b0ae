// Quantised activations and float16.
#include <gtest/gtest.h>

#include <cmath>

#include "simd/kernels.h"
#include "tests/simd/rows.h"
#include "tests/support/guarded.h"

namespace mote::testing {
namespace {

struct A8 {
  std::vector<int8_t> codes;
  std::vector<float> scales;
  std::vector<int32_t> sums;    // minus the codes' sums, of 32
  std::vector<int32_t> sums16;  // and of 16
};

A8 Quantize(const simd::KernelTable& table, const std::vector<float>& x, size_t misalign, size_t group = 32) {
  const size_t k = x.size();
  const size_t bytes = simd::A8Bytes(k);
  Guarded<uint8_t> row(bytes, misalign);
  table.quantize_a8(x.data(), k, group, row.data());
  EXPECT_TRUE(row.GuardsIntact()) << table.name << " k=" << k;
  A8 a8{std::vector<int8_t>(k), std::vector<float>(k / 32), std::vector<int32_t>(k / 32), std::vector<int32_t>(k / 16)};
  for (size_t i = 0; i < k / 32; ++i) {
    simd::A8Block block;
    memcpy(&block, row.data() + i * sizeof(block), sizeof(block));
    memcpy(&a8.codes[i * 32], block.codes, 32);
    a8.scales[i] = block.scale;
    a8.sums[i] = block.minus_sum;
    memcpy(&a8.sums16[i * 2], block.minus_half, sizeof(block.minus_half));
  }
  return a8;
}

TEST(QuantizeA8, IsWithinHalfAStep) {
  Random random(1);
  for (size_t k : {32, 64, 96, 256, 512, 576, 1056}) {
    for (size_t group : {32, 256}) {
      if (k % group != 0) continue;
      for (float amplitude : {1e-20f, 1e-3f, 1.0f, 1e30f, 1e36f}) {
        const std::vector<float> x = random.Floats(k, amplitude);
        for (const simd::KernelTable* table : RunnableRows()) {
          const A8 a8 = Quantize(*table, x, k % 3, group);
          for (size_t i = 0; i < k; ++i) {
            const double step = a8.scales[i / 32];
            ASSERT_GT(step, 0);
            ASSERT_GE(a8.codes[i], -127);
            ASSERT_LE(std::abs(step * a8.codes[i] - x[i]), step * (0.5 + 1e-4))
                << table->name << " k=" << k << " i=" << i;
            ASSERT_EQ(a8.scales[i / 32], a8.scales[i / group * group / 32]) << "one scale for the group";
          }
          for (size_t begin = 0; begin < k; begin += group) {
            int largest = 0;
            for (size_t i = 0; i < group; ++i) largest = std::max(largest, std::abs(int{a8.codes[begin + i]}));
            ASSERT_EQ(largest, 127) << "the whole range of codes is used";
          }
          for (size_t i = 0; i < k / 16; ++i) {
            int sum = 0;
            for (size_t j = 0; j < 16; ++j) sum += a8.codes[i * 16 + j];
            ASSERT_EQ(a8.sums16[i], -sum) << table->name;
          }
          for (size_t i = 0; i < k / 32; ++i) {
            ASSERT_EQ(a8.sums[i], a8.sums16[2 * i] + a8.sums16[2 * i + 1]) << table->name;
          }
        }
      }
    }
  }
}

// All rows agree to the bit: the same prompt gives the same codes on every instruction set.
TEST(QuantizeA8, IsTheSameOnEveryRow) {
  Random random(2);
  const simd::KernelTable& scalar = *simd::Tables().back();
  for (int round = 0; round < 200; ++round) {
    std::vector<float> x = random.Floats(256, std::ldexp(1.0f, static_cast<int>(random.Below(200)) - 110));
    // Exact halves: where rounding to even shows.
    if (round % 4 == 0) {
      for (size_t i = 0; i < 256; ++i) x[i] = i % 32 == 0 ? 127.0f : static_cast<float>(random.Below(254)) / 2 - 63.5f;
    }
    const size_t group = round % 2 == 0 ? 32 : 256;
    const A8 want = Quantize(scalar, x, 0, group);
    for (const simd::KernelTable* table : RunnableRows()) {
      const A8 got = Quantize(*table, x, round % 4, group);
      ASSERT_EQ(got.codes, want.codes) << table->name << " round " << round;
      ASSERT_EQ(got.scales, want.scales) << table->name << " round " << round;
      ASSERT_EQ(got.sums, want.sums) << table->name << " round " << round;
      ASSERT_EQ(got.sums16, want.sums16) << table->name << " round " << round;
    }
  }
}

TEST(QuantizeA8, TiesGoToEven) {
  std::vector<float> x(32, 0.0f);
  x[0] = 127.0f;
  x[1] = 0.5f;
  x[2] = 1.5f;
  x[3] = 2.5f;
  x[4] = -0.5f;
  x[5] = -1.5f;
  for (const simd::KernelTable* table : RunnableRows()) {
    const A8 a8 = Quantize(*table, x, 0);
    EXPECT_EQ(a8.scales[0], 1.0f);
    const int8_t want[] = {127, 0, 2, 2, 0, -2};
    for (int i = 0; i < 6; ++i) EXPECT_EQ(a8.codes[i], want[i]) << table->name << " " << i;
  }
}

TEST(QuantizeA8, HostileInputStaysFinite) {
  for (float bad : {NAN, -NAN, INFINITY, -INFINITY, 1e-45f, 1e-38f, 3.4e38f}) {
    std::vector<float> x(96, bad);
    for (size_t i = 0; i < 32; ++i) x[32 + i] = i % 5 ? 1.0f : bad;
    for (size_t i = 0; i < 32; ++i) x[64 + i] = 0.25f;
    for (const simd::KernelTable* table : RunnableRows()) {
      const A8 a8 = Quantize(*table, x, 1);
      for (float scale : a8.scales) EXPECT_TRUE(std::isfinite(scale)) << table->name << " " << bad;
      for (int32_t sum : a8.sums) EXPECT_LE(std::abs(sum), 32 * 127) << table->name << " " << bad;
      for (int8_t code : a8.codes) EXPECT_GE(code, -127) << table->name << " " << bad;
      EXPECT_EQ(a8.codes[64], 127) << "the neighbouring group is not touched";
    }
  }
}

TEST(QuantizeA8, ZeroIsZero) {
  for (const simd::KernelTable* table : RunnableRows()) {
    const A8 a8 = Quantize(*table, std::vector<float>(64, 0.0f), 0);
    for (float scale : a8.scales) EXPECT_EQ(scale, 0.0f);
    for (int32_t sum : a8.sums) EXPECT_EQ(sum, 0);
    for (int8_t code : a8.codes) EXPECT_EQ(code, 0);
  }
}

TEST(F16, EveryValueToFloat) {
  std::vector<uint16_t> all(65536);
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>(i);
  for (const simd::KernelTable* table : RunnableRows()) {
    Guarded<float> out(all.size(), 1);
    table->f16_to_f32(all.data(), all.size(), out.data());
    EXPECT_TRUE(out.GuardsIntact());
    for (size_t i = 0; i < all.size(); ++i) {
      const float want = F16ToF32(all[i]);
      if (std::isnan(want)) {
        ASSERT_TRUE(std::isnan(out[i])) << table->name << " " << i;
      } else {
        ASSERT_EQ(memcmp(&out[i], &want, sizeof(want)), 0) << table->name << " bits " << i << " " << out[i];
      }
    }
  }
}

TEST(F16, FromFloat) {
  std::vector<float> values;
  // Every float16, its neighbours in float32, and the halfway points with theirs.
  for (uint32_t i = 0; i < 65536; ++i) {
    const float value = F16ToF32(static_cast<uint16_t>(i));
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    for (uint32_t offset : {0u, 1u, 0xffffffffu, 0x1000u, 0x0fffu, 0x1001u}) {
      const uint32_t moved = bits + offset;
      float f;
      memcpy(&f, &moved, sizeof(f));
      values.push_back(f);
    }
  }
  for (uint64_t i = 0; i < 0x100000000u; i += 104729) {
    const uint32_t bits = static_cast<uint32_t>(i);
    float f;
    memcpy(&f, &bits, sizeof(f));
    values.push_back(f);
  }
  for (const simd::KernelTable* table : RunnableRows()) {
    Guarded<uint16_t> out(values.size(), 1);
    table->f32_to_f16(values.data(), values.size(), out.data());
    EXPECT_TRUE(out.GuardsIntact());
    for (size_t i = 0; i < values.size(); ++i) {
      if (std::isnan(values[i])) {
        ASSERT_TRUE(std::isnan(F16ToF32(out[i]))) << table->name;
      } else {
        ASSERT_EQ(out[i], F32ToF16(values[i])) << table->name << " " << values[i];
      }
    }
  }
}

TEST(F16, OddLengths) {
  Random random(3);
  for (size_t n = 1; n < 40; ++n) {
    const std::vector<float> x = random.Floats(n);
    for (const simd::KernelTable* table : RunnableRows()) {
      EXPECT_TRUE(WritesAllAndOnly<uint16_t>(n, n % 5, [&](uint16_t* out) { table->f32_to_f16(x.data(), n, out); }));
      std::vector<uint16_t> half(n);
      table->f32_to_f16(x.data(), n, half.data());
      EXPECT_TRUE(WritesAllAndOnly<float>(n, n % 5, [&](float* out) { table->f16_to_f32(half.data(), n, out); }));
      std::vector<float> back(n);
      table->f16_to_f32(half.data(), n, back.data());
      for (size_t i = 0; i < n; ++i) EXPECT_EQ(back[i], F16ToF32(F32ToF16(x[i])));
    }
  }
}

}  // namespace
}  // namespace mote::testing
