#include <gtest/gtest.h>
#include <string.h>

#include <cmath>
#include <limits>

#include "quant/codec.h"

namespace mote {
namespace {

uint32_t BitsOf(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}

float FloatOf(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

constexpr float kInf = std::numeric_limits<float>::infinity();

// IEEE 754 binary16 from its definition, in double.
double Half(uint32_t h) {
  const int exponent = (h >> 10) & 31;
  const double mantissa = h & 1023;
  const double magnitude = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  return h & 0x8000 ? -magnitude : magnitude;
}

TEST(F16, EveryValueDecodes) {
  for (uint32_t h = 0; h < 65536; ++h) {
    const float value = F16ToF32(static_cast<uint16_t>(h));
    if ((h & 0x7c00) == 0x7c00) {
      const uint32_t payload = h & 0x3ff;
      const uint32_t quiet = payload == 0 ? 0 : 0x00400000u;
      ASSERT_EQ(BitsOf(value), (h & 0x8000) << 16 | 0x7f800000u | payload << 13 | quiet) << h;
      continue;
    }
    ASSERT_EQ(static_cast<double>(value), Half(h)) << h;
    ASSERT_EQ(std::signbit(value), (h & 0x8000) != 0) << h;
    ASSERT_EQ(F32ToF16(value), h) << h;
  }
}

TEST(F16, RoundsToNearestEven) {
  for (uint32_t h = 0; h < 0x7bff; ++h) {  // between h and h + 1
    const double low = Half(h);
    const double high = Half(h + 1);
    const float middle = static_cast<float>((low + high) / 2);
    ASSERT_EQ(static_cast<double>(middle), (low + high) / 2) << "float32 holds every midpoint";
    const uint16_t even = static_cast<uint16_t>(h % 2 == 0 ? h : h + 1);
    ASSERT_EQ(F32ToF16(middle), even) << h;
    ASSERT_EQ(F32ToF16(-middle), even | 0x8000) << h;
    ASSERT_EQ(F32ToF16(std::nextafter(middle, 0.0f)), h) << h;
    ASSERT_EQ(F32ToF16(std::nextafter(middle, kInf)), h + 1) << h;
  }
}

TEST(F16, OverflowUnderflowAndNaN) {
  EXPECT_EQ(F32ToF16(65504.0f), 0x7bff);
  EXPECT_EQ(F32ToF16(std::nextafter(65520.0f, 0.0f)), 0x7bff);
  EXPECT_EQ(F32ToF16(65520.0f), 0x7c00);
  EXPECT_EQ(F32ToF16(-1e30f), 0xfc00);
  EXPECT_EQ(F32ToF16(kInf), 0x7c00);
  EXPECT_EQ(F32ToF16(0x1p-25f), 0x0000);
  EXPECT_EQ(F32ToF16(std::nextafter(0x1p-25f, 1.0f)), 0x0001);
  EXPECT_EQ(F32ToF16(-std::numeric_limits<float>::denorm_min()), 0x8000);
  EXPECT_EQ(F32ToF16(-0.0f), 0x8000);
  for (uint32_t bits : {0x7fc00000u, 0x7f800001u, 0xffffffffu, 0xff800001u, 0x7fbfe000u}) {
    const uint16_t h = F32ToF16(FloatOf(bits));
    EXPECT_EQ(h & 0x7e00, 0x7e00) << bits;
    EXPECT_EQ(h >> 15, bits >> 31) << bits;
  }
}

TEST(BF16, EveryValueDecodesAndComesBack) {
  for (uint32_t b = 0; b < 65536; ++b) {
    const float value = BF16ToF32(static_cast<uint16_t>(b));
    ASSERT_EQ(BitsOf(value), b << 16);
    if (!std::isnan(value)) {
      ASSERT_EQ(F32ToBF16(value), b);
    } else {
      ASSERT_EQ(F32ToBF16(value), b | 0x40);
    }
  }
}

TEST(BF16, RoundsToNearestEven) {
  for (uint32_t b = 0; b < 0x7f80; ++b) {
    const uint32_t middle = b << 16 | 0x8000;
    const uint32_t even = b % 2 == 0 ? b : b + 1;
    ASSERT_EQ(F32ToBF16(FloatOf(middle)), even);
    ASSERT_EQ(F32ToBF16(FloatOf(middle | 0x80000000u)), even | 0x8000);
    ASSERT_EQ(F32ToBF16(FloatOf(middle - 1)), b);
    ASSERT_EQ(F32ToBF16(FloatOf(middle + 1)), b + 1);
  }
  EXPECT_EQ(F32ToBF16(std::numeric_limits<float>::max()), 0x7f80);
}

TEST(E8M0, EveryExponent) {
  for (int e = 0; e < 256; ++e) {
    EXPECT_EQ(static_cast<double>(E8M0ToF32Half(static_cast<uint8_t>(e))), std::ldexp(1.0, e - 128)) << e;
  }
}

}  // namespace
}  // namespace mote
