// Attention by a matrix unit against a softmax in double, and to the bit against itself.
#include <gtest/gtest.h>
#include <string.h>

#include <algorithm>
#include <cmath>

#include "simd/unit.h"
#include "tests/simd/attention_problem.h"
#include "tests/support/effort.h"

namespace mote::testing {
namespace {

const simd::UnitKernels* Unit() {
  for (const simd::KernelTable* table : RunnableRows()) {
    if (simd::UnitKernelsOf(*table) != nullptr) return simd::UnitKernelsOf(*table);
  }
  return nullptr;
}
#define MOTE_NEEDS_UNIT() \
  if (Unit() == nullptr) GTEST_SKIP() << "this processor has no matrix unit that the kernels know"

class UnitAttention : public ::testing::TestWithParam<bool> {};

// `rounded`: of numbers of one bfloat16.
Problem::Run Attend(const Problem& problem, size_t position, size_t tokens, size_t head, size_t count, bool rounded) {
  Problem::Run run = problem.Prepare(position, tokens, head, count);
  run.scratch =
      std::make_unique<Guarded<uint8_t>>(simd::UnitAttentionBytes(tokens * count, problem.key_dim, problem.value_dim));
  run.args.scratch = run.scratch->data();
  (rounded ? Unit()->rounded_attention : Unit()->attention)(run.args);
  EXPECT_TRUE(run.GuardsIntact()) << problem.Label("unit");
  return run;
}

// What two bfloat16 lose of a number is 2^-17 of it, and a weight's and a value's low parts do not meet; one loses 2^-8
// of each of two.
constexpr double kPartsError = 0x1p-15, kRoundedError = 0x1p-7;

void Check(const Problem& problem, size_t position, size_t tokens, bool rounded) {
  const Problem::Run run = Attend(problem, position, tokens, 0, problem.heads, rounded);
  for (size_t i = 0; i < tokens * problem.heads; ++i) {
    const size_t token = i / problem.heads, at = position + token, head = i % problem.heads;
    const std::vector<double> query = problem.Query(at, head);
    double magnitude = 0, largest = 0;
    for (size_t p = problem.FirstSeen(at); p < problem.EndSeen(at); ++p) {
      double sum = 0;
      for (size_t d = 0; d < problem.key_dim; ++d) sum += std::abs(query[d] * problem.Key(p, d));
      magnitude = std::max(magnitude, sum * problem.scale());
      for (size_t d = 0; d < problem.value_dim; ++d) largest = std::max(largest, std::abs(double{problem.Value(p, d)}));
    }
    std::vector<Expected> want = problem.Want(at, head);
    for (Expected& one : want) one.bound += (rounded ? kRoundedError : kPartsError) * (2 * magnitude + 2) * largest;
    const std::span<const float> row(run.Row(token, head), problem.value_dim);
    EXPECT_TRUE(AllClose(row, want, problem.Label("unit") + " position=" + std::to_string(at)));
  }
}

TEST_P(UnitAttention, HeadsAndDims) {
  MOTE_NEEDS_UNIT();
  Random random(1);
  const size_t dims[][2] = {{64, 64}, {128, 128}, {72, 72},  {80, 80},   {96, 96},
                            {1, 1},   {7, 5},     {33, 100}, {192, 128}, {256, 256}};
  for (const auto& dim : dims) {
    for (const size_t heads : {1, 3, 4, 8}) {
      if (kSlowTests && heads != 3) continue;
      const Problem problem({CacheType::kF16, CacheType::kF16, heads, dim[0], dim[1], 130}, random);
      Check(problem, 129, 1, GetParam());
      Check(problem, 97, 33, GetParam());
      Check(problem, 0, 20, GetParam());
    }
  }
}

TEST_P(UnitAttention, WindowsCapsAndLargeScores) {
  MOTE_NEEDS_UNIT();
  Random random(2);
  for (const auto& [cap, amplitude] :
       {std::pair{0.0f, 1.0f}, std::pair{3.0f, 3.0f}, std::pair{50.0f, 20.0f}, std::pair{0.0f, 8.0f}}) {
    Problem problem({CacheType::kF16, CacheType::kF16, 2, 64, 64, 700}, random, amplitude);
    problem.softcap = cap;
    for (const size_t window : {0, 1, 65, 200}) {
      if (kSlowTests && window != 65) continue;
      problem.window = window;
      Check(problem, 0, 40, GetParam());
      Check(problem, 630, 70, GetParam());
    }
  }
}

TEST_P(UnitAttention, SightsByList) {
  MOTE_NEEDS_UNIT();
  Random random(3);
  constexpr size_t kPositions = 300;
  Problem problem({CacheType::kF16, CacheType::kF16, 1, 64, 64, kPositions}, random);
  problem.begins.resize(kPositions);
  problem.ends.resize(kPositions);
  for (uint32_t p = 0; p < kPositions; ++p) {  // windows of 100 that see all of themselves
    problem.begins[p] = p / 100 * 100;
    problem.ends[p] = p / 100 * 100 + 100;
  }
  Check(problem, 0, kPositions, GetParam());
  Check(problem, 150, 100, GetParam());
}

TEST_P(UnitAttention, SameBitsHoweverItIsCut) {
  MOTE_NEEDS_UNIT();
  Random random(4);
  for (const size_t window : {0, 77}) {
    Problem problem({CacheType::kF16, CacheType::kF16, 3, 72, 72, 260}, random);
    problem.window = window;
    const Problem::Run all = Attend(problem, 0, 260, 0, 3, GetParam());
    for (int round = 0; round < 30; ++round) {
      const size_t position = random.Below(260), tokens = 1 + random.Below(260 - position);
      const size_t head = random.Below(3), count = 1 + random.Below(3 - head);
      const Problem::Run part = Attend(problem, position, tokens, head, count, GetParam());
      for (size_t t = 0; t < tokens; ++t) {
        for (size_t h = 0; h < count; ++h) {
          ASSERT_EQ(0, memcmp(part.Row(t, h), all.Row(position + t, head + h), problem.value_dim * sizeof(float)))
              << "window " << window << ": position " << position + t << " head " << head + h;
        }
      }
    }
  }
}

// Whatever stands at positions that a row does not see, before its window or behind it.
TEST_P(UnitAttention, WhatIsNotSeenDoesNotShow) {
  MOTE_NEEDS_UNIT();
  Random random(5);
  Problem problem({CacheType::kF16, CacheType::kF16, 2, 64, 64, 100}, random);
  problem.window = 30;
  const Problem::Run before = Attend(problem, 50, 10, 0, 2, GetParam());
  const std::vector<float> infinite(64, INFINITY), none(64, NAN);
  for (size_t p = 0; p < 100; ++p) {
    if (p >= 21 && p < 60) continue;
    problem.SetKey(p, p % 2 == 0 ? infinite : none);
    problem.SetValue(p, p % 2 == 0 ? none : infinite);
  }
  const Problem::Run after = Attend(problem, 50, 10, 0, 2, GetParam());
  for (size_t t = 0; t < 10; ++t) {
    for (size_t h = 0; h < 2; ++h) {
      EXPECT_EQ(0, memcmp(before.Row(t, h), after.Row(t, h), 64 * sizeof(float))) << "token " << t << " head " << h;
    }
  }
}

// The bounds above hold for the worst of roundings; all together they are off by a fraction.
TEST_P(UnitAttention, OffByLittleAltogether) {
  MOTE_NEEDS_UNIT();
  Random random(6);
  for (const size_t dim : {64, 80, 33}) {
    const Problem problem({CacheType::kF16, CacheType::kF16, 2, dim, dim, 300}, random);
    const Problem::Run run = Attend(problem, 200, 100, 0, 2, GetParam());
    double error = 0, size = 0;
    for (size_t i = 0; i < 200; ++i) {
      const std::vector<Expected> want = problem.Want(200 + i / 2, i % 2);
      for (size_t d = 0; d < dim; ++d) {
        const double off = run.Row(i / 2, i % 2)[d] - want[d].value;
        error += off * off;
        size += want[d].value * want[d].value;
      }
    }
    EXPECT_LT(std::sqrt(error / size), GetParam() ? 0x1p-8 : 0x1p-16) << "heads of " << dim;
  }
}

TEST(UnitCache, PanelsOfKeysAreThoseOfTheTable) {
  MOTE_NEEDS_UNIT();
  Random random(7);
  for (const size_t dim : {1, 16, 31, 64, 72, 80, 129}) {
    const size_t stride = dim + 3, bytes = simd::CachePanelBytes(CacheType::kF16, dim);
    const Guarded<float> keys(random.Floats(15 * stride + dim, 1e5f), dim % 3);  // some become infinite
    Guarded<uint8_t> want(bytes), got(bytes);
    for (const simd::KernelTable* table : RunnableRows()) {
      if (simd::UnitKernelsOf(*table) == nullptr) continue;
      for (size_t p = 0; p < 16; ++p) table->cache_key(CacheType::kF16, keys.data() + p * stride, dim, p, want.data());
    }
    Unit()->cache_key_panel(keys.data(), stride, dim, got.data());
    EXPECT_TRUE(got.GuardsIntact());
    EXPECT_EQ(0, memcmp(want.data(), got.data(), bytes)) << "keys of " << dim;
  }
}

INSTANTIATE_TEST_SUITE_P(Numbers, UnitAttention, ::testing::Bool(), [](const ::testing::TestParamInfo<bool>& one) {
  return one.param ? "Rounded" : "InTwoParts";
});

}  // namespace
}  // namespace mote::testing
