#include "tests/support/closeness.h"

#include <stdint.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace mote::testing {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

bool Close(float got, double want, double bound) {
  return Compare(std::vector<float>{got}, std::vector<Expected>{{want, bound}}, "one").ok;
}

struct Random {
  uint64_t state = 1;
  double Next() {  // uniform in [-1, 1)
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<double>(static_cast<int64_t>(state)) / 9223372036854775808.0;
  }
};

TEST(Closeness, AcceptsWhatIsWithinTheBoundAndNothingElse) {
  EXPECT_TRUE(Close(1.0f, 1.0, 0));
  EXPECT_TRUE(Close(1.5f, 1.0, 0.5));
  EXPECT_TRUE(Close(0.5f, 1.0, 0.5));
  EXPECT_FALSE(Close(std::nextafter(1.5f, 2.0f), 1.0, 0.5));
  EXPECT_FALSE(Close(std::nextafter(0.5f, 0.0f), 1.0, 0.5));
  EXPECT_FALSE(Close(std::nextafter(1.0f, 2.0f), 1.0, 0));
}

TEST(Closeness, NaNAndInfinityFailWhateverTheBound) {
  for (double bound : {0.0, 1.0, 1e300}) {
    EXPECT_FALSE(Close(kNaN, 0, bound));
    EXPECT_FALSE(Close(-kNaN, 1, bound));
    EXPECT_FALSE(Close(kInf, 1e38, bound));
    EXPECT_FALSE(Close(-kInf, -1e38, bound));
  }
}

TEST(Closeness, ReferencesAndBoundsThatCannotFailAreRefused) {
  EXPECT_FALSE(Close(1, kNaN, 1));
  EXPECT_FALSE(Close(kInf, kInf, 0));
  EXPECT_FALSE(Close(1, 1, kInf));
  EXPECT_FALSE(Close(1, 1, kNaN));
  EXPECT_FALSE(Close(1, 1, -1));
  EXPECT_FALSE(Compare({}, {}, "nothing").ok);
  EXPECT_FALSE(Compare(std::vector<float>{1}, {}, "sizes differ").ok);
}

TEST(Closeness, ZeroReference) {
  EXPECT_TRUE(Close(0.0f, 0.0, 0));
  EXPECT_FALSE(Close(-0.0f, 0.0, 0));
  EXPECT_FALSE(Close(0.0f, -0.0, 0));
  for (float tiny : {std::numeric_limits<float>::denorm_min(), 1e-30f, 1e-3f, 5.0f}) {
    EXPECT_FALSE(Close(tiny, 0.0, 0));
    EXPECT_FALSE(Close(-tiny, 0.0, 0));
  }
  EXPECT_FALSE(Close(-5.0f, 0.0, 1e-3));
  EXPECT_FALSE(Close(5.0f, 0.0, 1e-3));
}

TEST(Closeness, WrongSign) {
  EXPECT_FALSE(Close(-1.0f, 1.0, 0.5));
  EXPECT_FALSE(Close(1.0f, -1.0, 0.5));
}

TEST(Closeness, UnwrittenFailsAndIsNamed) {
  for (Poison poison : {Poison::kFirst, Poison::kSecond}) {
    Guarded<float> out(3, 0, poison);
    out[0] = 1;
    out[2] = 3;
    const Closeness result = Compare(out.span(), std::vector<Expected>{{1, 1e9}, {2, 1e9}, {3, 1e9}}, "partly written");
    EXPECT_FALSE(result.ok);
    EXPECT_EQ(result.worst, 1u);
    EXPECT_NE(result.message.find("unwritten"), std::string::npos) << result.message;
    const float touched = out[1] + 1;  // accumulating into the unwritten element must not hide it
    EXPECT_FALSE(Close(touched, 2, 1e9));
  }
}

TEST(Closeness, ReportsTheWorstElement) {
  const std::vector<float> got = {1, 2.5f, 3, 40, 5};
  const std::vector<double> want = {1, 2, 3, 4, 5};
  const ::testing::AssertionResult result = AllClose(got, want, 0.1, "five values");
  EXPECT_FALSE(result);
  const std::string message = result.message();
  for (const char* part : {"five values", "2 of 5", "index 3", "got 40", "want 4", "bound 0.1"}) {
    EXPECT_NE(message.find(part), std::string::npos) << part << " in: " << message;
  }
}

TEST(Closeness, Relative) {
  const std::vector<double> want = {1e6, -1e-6, 0};
  EXPECT_TRUE(AllCloseRelative(std::vector<float>{1e6f, -1e-6f, 0}, want, kEpsilonF32, 0, "exact"));
  EXPECT_FALSE(AllCloseRelative(std::vector<float>{1e6f, 1e-6f, 0}, want, kEpsilonF32, 0, "sign"));
  EXPECT_FALSE(AllCloseRelative(std::vector<float>{1e6f, -1e-6f, 1e-9f}, want, kEpsilonF32, 0, "zero"));
  EXPECT_FALSE(AllCloseRelative(std::vector<float>{1e7f, -1e-6f, 0}, want, kEpsilonF32, 0, "off by ten"));
}

// The bound must let honest float32 sums pass, in several orders, and must catch small mistakes.
TEST(DotReference, HonestSumsPass) {
  Random random;
  for (size_t k : {1, 2, 3, 31, 32, 256, 1000, 4096, 65536}) {
    for (int repeat = 0; repeat < 8; ++repeat) {
      DotReference reference;
      float forward = 0;
      float lanes[16] = {};
      for (size_t i = 0; i < k; ++i) {
        const float a = static_cast<float>(random.Next());
        const float w = static_cast<float>(random.Next());
        reference.Add(a, w);
        forward += a * w;
        lanes[i % 16] = std::fma(a, w, lanes[i % 16]);
      }
      float lane_sum = 0;
      for (float lane : lanes) lane_sum += lane;
      const Expected want = reference.Expect(kEpsilonF32);
      const std::string label = "K=" + std::to_string(k);
      EXPECT_TRUE(AllClose(std::vector<float>{forward, lane_sum}, std::vector<Expected>{want, want}, label));
    }
  }
}

TEST(DotReference, RoundedInputsPassAndLostTermsFail) {
  Random random;
  const double step = 1.0 / 16;
  for (size_t k : {32, 256, 4096}) {
    DotReference exact;
    DotReference rounded;
    float with_rounding = 0;
    float first_lost = 0;
    for (size_t i = 0; i < k; ++i) {
      const double a = i == 0 ? 0.9 : random.Next();
      const double w = i == 0 ? 0.9 : random.Next();
      const double a_rounded = std::nearbyint(a / step) * step;
      exact.Add(a, w);
      rounded.Add(a, w, step);
      with_rounding += static_cast<float>(a_rounded * w);
      if (i != 0) first_lost += static_cast<float>(a * w);
    }
    const Expected loose = rounded.Expect(kEpsilonF32);
    const Expected tight = exact.Expect(kEpsilonF32);
    EXPECT_TRUE(Close(with_rounding, loose.value, loose.bound));
    EXPECT_FALSE(Close(with_rounding, tight.value, tight.bound))
        << "rounding of inputs must not hide in the sum's bound";
    EXPECT_FALSE(Close(first_lost, tight.value, tight.bound)) << "one lost term of " << k;
    EXPECT_FALSE(Close(static_cast<float>(loose.value * 10), loose.value, loose.bound)) << "off by 10x, K=" << k;
    EXPECT_FALSE(Close(static_cast<float>(-loose.value), loose.value, loose.bound)) << "wrong sign, K=" << k;
    EXPECT_FALSE(Close(0, loose.value, loose.bound)) << "all zero, K=" << k;
  }
}

TEST(DotReference, AllZeroInputsDemandZero) {
  DotReference reference;
  for (int i = 0; i < 64; ++i) reference.Add(0, -1);
  const Expected want = reference.Expect(kEpsilonF32);
  EXPECT_TRUE(Close(0.0f, want.value, want.bound));
  EXPECT_FALSE(Close(1e-30f, want.value, want.bound));
  EXPECT_FALSE(Close(-1e-30f, want.value, want.bound));
}

TEST(Guarded, AlignmentIsAsAsked) {
  for (size_t misalign = 0; misalign < 16; ++misalign) {
    Guarded<float> floats(7, misalign);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(floats.data()) % 64, misalign * 4);
    Guarded<uint8_t> bytes(7, misalign);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(bytes.data()) % 64, misalign);
  }
}

template <class T>
void CatchesStrayWrites() {
  for (size_t count : {0, 1, 5, 64}) {
    for (size_t misalign : {0, 1, 3}) {
      Guarded<T> fine(count, misalign);
      for (size_t i = 0; i < count; ++i) fine[i] = static_cast<T>(i);
      EXPECT_TRUE(fine.GuardsIntact());
      EXPECT_TRUE(fine.AllWritten());
      for (size_t distance = 1; distance <= Guarded<T>::kGuardBytes; ++distance) {
        Guarded<T> before(count, misalign);
        reinterpret_cast<uint8_t*>(before.data())[-static_cast<ptrdiff_t>(distance)] ^= 1;
        EXPECT_FALSE(before.GuardsIntact());
        Guarded<T> after(count, misalign);
        reinterpret_cast<uint8_t*>(after.data() + count)[distance - 1] ^= 0x80;
        EXPECT_FALSE(after.GuardsIntact());
      }
    }
  }
}

TEST(Guarded, CatchesStrayWrites) {
  CatchesStrayWrites<float>();
  CatchesStrayWrites<double>();
  CatchesStrayWrites<uint16_t>();
  CatchesStrayWrites<int8_t>();
}

TEST(Guarded, CatchesUnwrittenElements) {
  for (size_t hole = 0; hole < 9; ++hole) {
    Guarded<float> out(9, 1);
    for (size_t i = 0; i < 9; ++i) {
      if (i != hole) out[i] = 0;
    }
    EXPECT_FALSE(out.AllWritten());
    EXPECT_TRUE(out.GuardsIntact());
  }
}

TEST(Guarded, HoldsContents) {
  const std::vector<float> contents = {1, 2, 3};
  Guarded<float> copy(contents, 3);
  EXPECT_EQ(std::vector<float>(copy.data(), copy.data() + 3), contents);
  EXPECT_TRUE(copy.GuardsIntact());
}

TEST(WritesAllAndOnly, EveryByteValueMayBeAResult) {
  const auto all_bytes = [](uint8_t* out) {
    for (int i = 0; i < 256; ++i) out[i] = static_cast<uint8_t>(i);
  };
  EXPECT_TRUE(WritesAllAndOnly<uint8_t>(256, 5, all_bytes));
  EXPECT_FALSE(WritesAllAndOnly<uint8_t>(257, 5, all_bytes)) << "the last byte is unwritten";
  EXPECT_FALSE(WritesAllAndOnly<uint8_t>(255, 5, all_bytes)) << "one byte past the end";
  EXPECT_FALSE(WritesAllAndOnly<uint8_t>(4, 0, [](uint8_t* out) { memset(out - 1, 0, 5); }));
  EXPECT_FALSE(WritesAllAndOnly<int16_t>(4, 0, [](int16_t* out) {
    for (int i = 0; i < 4; ++i) out[i] = static_cast<int16_t>(out[i] ^ 1);
  })) << "depends on what was there";
}

}  // namespace
}  // namespace mote::testing
