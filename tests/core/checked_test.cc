#include "engine/core/checked.h"

#include <gtest/gtest.h>

#include <random>

namespace mote {
namespace {

TEST(Checked64, KnowsItsEdges) {
  constexpr uint64_t kMax = UINT64_MAX;
  EXPECT_TRUE((Checked64(kMax) + 0).ok());
  EXPECT_FALSE((Checked64(kMax) + 1).ok());
  EXPECT_TRUE((Checked64(kMax - 1) + 1).ok());
  EXPECT_TRUE((Checked64(kMax) * 1).ok());
  EXPECT_FALSE((Checked64(kMax) * 2).ok());
  EXPECT_TRUE((Checked64(uint64_t{1} << 32) * 0xFFFFFFFF).ok());
  EXPECT_FALSE((Checked64(uint64_t{1} << 32) * (uint64_t{1} << 32)).ok());
  EXPECT_TRUE((Checked64(0) * kMax).ok());
}

// A wrapped step is remembered through steps that would hide it.
TEST(Checked64, StaysBad) {
  const Checked64 bad = Checked64(UINT64_MAX) + 1;
  EXPECT_FALSE((bad * 0).ok());
  EXPECT_FALSE((bad + 5).ok());
  EXPECT_FALSE((Checked64(5) + bad).ok());
  EXPECT_FALSE((Checked64(0) * bad).ok());
  EXPECT_FALSE(bad.AlignUp(32).ok());
  EXPECT_FALSE(bad.FitsIn(UINT64_MAX));
}

TEST(Checked64, AlignUp) {
  EXPECT_EQ(Checked64(0).AlignUp(32).value(), 0u);
  EXPECT_EQ(Checked64(1).AlignUp(32).value(), 32u);
  EXPECT_EQ(Checked64(32).AlignUp(32).value(), 32u);
  EXPECT_EQ(Checked64(33).AlignUp(1).value(), 33u);
  EXPECT_EQ(Checked64(UINT64_MAX - 31).AlignUp(32).value(), UINT64_MAX - 31);
  EXPECT_FALSE(Checked64(UINT64_MAX - 30).AlignUp(32).ok());
  EXPECT_FALSE(Checked64(UINT64_MAX).AlignUp(uint64_t{1} << 63).ok());
}

TEST(Checked64, FitsIn) {
  EXPECT_TRUE(Checked64(10).FitsIn(10));
  EXPECT_FALSE(Checked64(11).FitsIn(10));
  EXPECT_TRUE(Checked64(UINT64_MAX).FitsIn(UINT64_MAX));
}

TEST(Checked64, AgreesWithWideArithmetic) {
  using Wide = unsigned __int128;
  std::mt19937_64 random(1);
  for (int i = 0; i < 100000; ++i) {
    const uint64_t a = random() >> (random() % 64);
    const uint64_t b = random() >> (random() % 64);
    const Wide sum = Wide{a} + b;
    const Wide product = Wide{a} * b;
    const Checked64 checked_sum = Checked64(a) + b;
    const Checked64 checked_product = Checked64(a) * b;
    ASSERT_EQ(checked_sum.ok(), sum <= UINT64_MAX);
    ASSERT_EQ(checked_product.ok(), product <= UINT64_MAX);
    if (checked_sum.ok()) {
      ASSERT_EQ(checked_sum.value(), static_cast<uint64_t>(sum));
    }
    if (checked_product.ok()) {
      ASSERT_EQ(checked_product.value(), static_cast<uint64_t>(product));
    }
  }
}

TEST(Checked64, WorksAtCompileTime) {
  static_assert((Checked64(3) * 4 + 5).value() == 17);
  static_assert(!(Checked64(UINT64_MAX) + 1).ok());
}

TEST(FitsSizeT, IsHalfTheAddressSpace) {
  EXPECT_TRUE(FitsSizeT(0));
  EXPECT_TRUE(FitsSizeT(SIZE_MAX / 2));
  EXPECT_FALSE(FitsSizeT(uint64_t{SIZE_MAX / 2} + 1));
  EXPECT_FALSE(FitsSizeT(UINT64_MAX));
}

}  // namespace
}  // namespace mote
