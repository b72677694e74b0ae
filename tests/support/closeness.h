// The one way in which tests compare computed floats with a reference.
//
// The reference is in double. The bound comes from the arithmetic, not from taste: build references with DotReference,
// which grows the bound of each sum term by term, or derive a bound from the epsilons below and say how. What can never
// pass: NaN, infinity, an unwritten output (guarded.h), a nonzero against an exact zero or a zero of the wrong sign
// where the bound is 0, a bound or a reference that is itself not finite, and a comparison of nothing.
#ifndef MOTE_TESTS_SUPPORT_CLOSENESS_H_
#define MOTE_TESTS_SUPPORT_CLOSENESS_H_

#include <gtest/gtest.h>
#include <stddef.h>
#include <stdio.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "tests/support/guarded.h"

namespace mote::testing {

// Spacing of the values just above 1: the epsilon of an accumulator. Rounding to nearest is wrong by half of it.
inline constexpr double kEpsilonF32 = 1.0 / (1 << 23);
inline constexpr double kEpsilonF16 = 1.0 / (1 << 10);
inline constexpr double kEpsilonBF16 = 1.0 / (1 << 7);

// A value in double and the most that a correct computation may miss it by.
struct Expected {
  double value = 0;
  double bound = 0;
};

// Sum of a[k] * w[k] in double, with the bound for a computation that
//   - adds K products in any order in an accumulator of the given epsilon, and
//   - sees a and w rounded to multiples of step_a and step_w (0: they are exact as given).
//
// n rounding errors of random sign, each at most c_i, exceed kLambda * sqrt(sum c_i^2) with a probability below
// 2 exp(-kLambda^2 / 2) (Hoeffding), and never exceed sum c_i: the bound is the smaller of the two. For the accumulator
// each of the K additions is off by at most u * (sum of |a w|), so K of them by min(K, kLambda sqrt(K)) * u * sum|a w|
// (Higham and Mary, "A New Approach to Probabilistic Rounding Error Analysis", 2019), u = epsilon / 2.
class DotReference {
 public:
  static constexpr double kLambda = 6;  // 3e-8 per value

  void Add(double a, double w, double step_a = 0, double step_w = 0) {
    const double product = a * w;
    sum_ += product;
    abs_sum_ += std::abs(product);
    const double input = (step_a * std::abs(w) + step_w * std::abs(a)) / 2 + step_a * step_w / 4;
    input_l1_ += input;
    input_l2_squared_ += input * input;
    ++count_;
  }

  // `epsilon` of the accumulator.
  Expected Expect(double epsilon) const {
    const double n = static_cast<double>(count_) + 1;  // K - 1 additions, the product's rounding, the final one
    const double u = epsilon / 2;
    const double accumulated = std::min(n, kLambda * std::sqrt(n)) * u * (abs_sum_ + input_l1_);
    const double input = std::min(input_l1_, kLambda * std::sqrt(input_l2_squared_));
    // Products may underflow: each is then off by half of the least subnormal, or by the least normal float32 where an
    // instruction set flushes (none of ours should, but 32-bit NEON and some wasm engines do).
    const double underflow = n * static_cast<double>(std::numeric_limits<float>::min()) * epsilon;
    return {sum_, accumulated + input + underflow};
  }

 private:
  double sum_ = 0;
  double abs_sum_ = 0;
  double input_l1_ = 0;
  double input_l2_squared_ = 0;
  size_t count_ = 0;
};

// The outcome of a comparison, with the worst element: the one that misses its bound by the largest factor.
struct Closeness {
  bool ok = false;
  size_t failures = 0;
  size_t worst = 0;
  double worst_ratio = 0;  // |got - want| / bound; infinity where nothing can make it right
  std::string message;
};

namespace internal {

inline const char* Defect(float got, const Expected& want) {
  if (!std::isfinite(want.value)) return "the reference is not finite";
  if (!std::isfinite(want.bound) || want.bound < 0) return "the bound is not a finite, non-negative number";
  if (LooksPoisoned(got)) return "unwritten";
  if (std::isnan(got)) return "NaN";
  if (std::isinf(got)) return "infinity";
  if (want.bound == 0 && want.value == 0 && got == 0 && std::signbit(got) != std::signbit(want.value)) {
    return "zero of the wrong sign";
  }
  return nullptr;
}

inline double Ratio(float got, const Expected& want) {
  const double error = std::abs(static_cast<double>(got) - want.value);
  if (error == 0) return 0;
  return want.bound == 0 ? std::numeric_limits<double>::infinity() : error / want.bound;
}

}  // namespace internal

// `label` says what was computed: "Q4_K avx2 K=256 row 3".
inline Closeness Compare(std::span<const float> got, std::span<const Expected> want, const std::string& label) {
  Closeness result;
  if (got.size() != want.size() || got.empty()) {
    char line[128];
    snprintf(line, sizeof(line), ": %zu values computed, %zu expected, at least one needed", got.size(), want.size());
    result.message = label + line;
    return result;
  }
  const char* worst_defect = nullptr;
  for (size_t i = 0; i < got.size(); ++i) {
    const char* defect = internal::Defect(got[i], want[i]);
    const double ratio = defect ? std::numeric_limits<double>::infinity() : internal::Ratio(got[i], want[i]);
    if (ratio > 1) ++result.failures;
    if (ratio > result.worst_ratio) {
      result.worst_ratio = ratio;
      result.worst = i;
      worst_defect = defect;
    }
  }
  result.ok = result.failures == 0;
  char line[320];
  snprintf(line, sizeof(line),
           ": %zu of %zu values are off; worst at index %zu: got %.9g, want %.17g, bound %.3g, error/bound %.3g%s%s",
           result.failures, got.size(), result.worst, static_cast<double>(got[result.worst]), want[result.worst].value,
           want[result.worst].bound, result.worst_ratio, worst_defect ? ", " : "", worst_defect ? worst_defect : "");
  result.message = label + line;
  return result;
}

// EXPECT_TRUE(AllClose(got, want, "label")).
inline ::testing::AssertionResult AllClose(std::span<const float> got, std::span<const Expected> want,
                                           const std::string& label) {
  const Closeness result = Compare(got, want, label);
  if (result.ok) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << result.message;
}

// The same with one bound for all; 0: the same value to the bit (NaN excepted, which never passes).
inline ::testing::AssertionResult AllClose(std::span<const float> got, std::span<const double> want, double bound,
                                           const std::string& label) {
  std::vector<Expected> expected;
  expected.reserve(want.size());
  for (double value : want) expected.push_back({value, bound});
  return AllClose(got, expected, label);
}

// |got - want| <= epsilon * |want| + floor, element by element: for functions of one value (exp, SiLU, a division),
// where `epsilon` is the claimed relative accuracy and `floor` an absolute one.
inline ::testing::AssertionResult AllCloseRelative(std::span<const float> got, std::span<const double> want,
                                                   double epsilon, double floor, const std::string& label) {
  std::vector<Expected> expected;
  expected.reserve(want.size());
  for (double value : want) expected.push_back({value, epsilon * std::abs(value) + floor});
  return AllClose(got, expected, label);
}

}  // namespace mote::testing

#endif  // MOTE_TESTS_SUPPORT_CLOSENESS_H_
