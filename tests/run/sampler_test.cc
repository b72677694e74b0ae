#include "engine/run/sampler.h"

#include <gtest/gtest.h>
#include <math.h>
#include <stdint.h>

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>
#include <vector>

#include "tests/support/effort.h"

namespace mote {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

SamplerParams Plain() {
  SamplerParams params;
  params.temperature = 1;
  params.top_k = 0;
  params.top_p = 1;
  params.min_p = 0;
  return params;
}

Sampler Make(const SamplerParams& params, size_t vocab) {
  Result<Sampler> sampler = Sampler::Create(params, static_cast<int32_t>(vocab));
  EXPECT_TRUE(sampler.ok()) << sampler.status().message();
  return std::move(sampler).value();
}

int32_t Sample(Sampler& sampler, const std::vector<float>& logits) {
  const Result<int32_t> token = sampler.Sample(logits);
  EXPECT_TRUE(token.ok()) << token.status().message();
  return token.ok() ? *token : -1;
}

// A small generator of its own, so that inputs do not depend on what is tested.
struct Inputs {
  uint64_t state = 12345;
  double Uniform() {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<double>(state >> 11) * 0x1p-53;
  }
  std::vector<float> Logits(size_t n, double spread) {
    std::vector<float> logits(n);
    for (float& l : logits) l = static_cast<float>((Uniform() + Uniform() + Uniform() - 1.5) * spread);
    return logits;
  }
};

// The exact distribution, written the slow way: sort everything, filter, normalise.
std::vector<double> Exact(const SamplerParams& params, const std::vector<float>& logits) {
  const size_t n = logits.size();
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  size_t keep = n;
  if (params.top_k > 0) keep = std::min<size_t>(keep, static_cast<size_t>(params.top_k));
  const auto weight = [&](size_t rank, double temperature) {
    return exp((static_cast<double>(logits[order[rank]]) - static_cast<double>(logits[order[0]])) / temperature);
  };
  size_t by_min_p = 0;
  while (by_min_p < keep && weight(by_min_p, 1) >= static_cast<double>(params.min_p)) ++by_min_p;
  keep = by_min_p;
  double total = 0;
  for (size_t i = 0; i < keep; ++i) total += weight(i, 1);
  double sum = 0;
  size_t by_top_p = 0;
  while (by_top_p < keep) {
    sum += weight(by_top_p++, 1);
    if (params.top_p < 1 && sum >= static_cast<double>(params.top_p) * total) break;
  }
  keep = by_top_p;
  std::vector<double> probability(n, 0.0);
  total = 0;
  for (size_t i = 0; i < keep; ++i) total += weight(i, static_cast<double>(params.temperature));
  for (size_t i = 0; i < keep; ++i) {
    probability[order[i]] = weight(i, static_cast<double>(params.temperature)) / total;
  }
  return probability;
}

// Pearson's statistic against its mean and deviation: a correct sampler passes with a margin of 6 sigma, and the seed
// is fixed, so this never flickers. Tokens of probability 0 must never come.
void ExpectDistribution(const SamplerParams& params, const std::vector<float>& logits, int draws) {
  const std::vector<double> probability = Exact(params, logits);
  Sampler sampler = Make(params, logits.size());
  std::vector<int> seen(logits.size(), 0);
  for (int i = 0; i < draws; ++i) ++seen[static_cast<size_t>(Sample(sampler, logits))];
  double chi_square = 0;
  int cells = 0;
  double rest_expected = 0;  // rare tokens together, as the approximation needs counts above about 5
  int rest_seen = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double expected = probability[i] * draws;
    if (expected == 0) {
      EXPECT_EQ(seen[i], 0) << "token " << i << " must not be chosen";
    } else if (expected < 8) {
      rest_expected += expected;
      rest_seen += seen[i];
    } else {
      chi_square += (seen[i] - expected) * (seen[i] - expected) / expected;
      ++cells;
    }
  }
  if (rest_expected >= 8) {
    chi_square += (rest_seen - rest_expected) * (rest_seen - rest_expected) / rest_expected;
    ++cells;
  }
  const double freedom = std::max(1, cells - 1);
  EXPECT_LT(chi_square, freedom + 6 * sqrt(2 * freedom) + 6) << cells << " cells";
}

TEST(PortableExp, AgreesWithTheLibrary) {
  for (double x = 0; x > -699; x -= 0.0371) {
    const double expected = exp(x);
    EXPECT_NEAR(PortableExp(x), expected, expected * 4.5e-16) << x;
  }
  EXPECT_EQ(PortableExp(0), 1.0);
  EXPECT_EQ(PortableExp(-701), 0.0);
  EXPECT_EQ(PortableExp(-static_cast<double>(kInf)), 0.0);
  EXPECT_EQ(PortableExp(static_cast<double>(kNaN)), 0.0);
  // Bits, not only values: computed once with 200-bit arithmetic and rounded.
  EXPECT_EQ(PortableExp(-1.0), 0x1.78b56362cef38p-2);
}

TEST(Sampler, GreedyTakesTheHighestAndTheLowestIdOfEquals) {
  SamplerParams params;
  params.temperature = 0;
  Sampler sampler = Make(params, 5);
  EXPECT_EQ(Sample(sampler, {1, 3, 2, 3, -1}), 1);
  EXPECT_EQ(Sample(sampler, {kNaN, -5, kNaN, -4, -kInf}), 3);
  EXPECT_EQ(Sample(sampler, {0, 1, kInf, kInf, 2}), 2);
}

TEST(Sampler, DrawsFromTheSoftmax) {
  Inputs inputs;
  ExpectDistribution(Plain(), inputs.Logits(20, 3), 30000);
  ExpectDistribution(Plain(), inputs.Logits(300, 6), 8000);
}

TEST(Sampler, Temperature) {
  Inputs inputs;
  SamplerParams params = Plain();
  for (const float temperature : {0.3f, 0.8f, 2.5f, 100.0f}) {
    params.temperature = temperature;
    ExpectDistribution(params, inputs.Logits(50, 4), 8000);
  }
}

TEST(Sampler, EachFilterAndAllTogether) {
  Inputs inputs;
  for (const int32_t top_k : {0, 1, 2, 7, 40, 59, 60, 5000}) {
    for (const float top_p : {1.0f, 0.9f, 0.5f, 1e-6f}) {
      for (const float min_p : {0.0f, 0.05f, 0.5f, 1.0f}) {
        SamplerParams params = Plain();
        params.top_k = top_k;
        params.top_p = top_p;
        params.min_p = min_p;
        params.temperature = 0.9f;
        params.seed = static_cast<uint64_t>(top_k);
        SCOPED_TRACE(testing::Message() << "k " << top_k << " p " << top_p << " min_p " << min_p);
        ExpectDistribution(params, inputs.Logits(60, 5), 400);
      }
    }
  }
}

// The selection must not depend on where in the vocabulary the best tokens stand, nor lose equals beyond its buffer.
TEST(Sampler, TopKOfALargeVocabulary) {
  constexpr size_t kVocab = 128256;
  Inputs inputs;
  std::vector<float> logits = inputs.Logits(kVocab, 10);
  std::sort(logits.begin(), logits.end());  // ascending: every token passes the floor
  SamplerParams params = Plain();
  params.top_k = 5;
  params.temperature = 100;
  Sampler sampler = Make(params, kVocab);
  const int draws = Effort(200, 50);
  std::map<int32_t, int> seen;
  for (int i = 0; i < draws; ++i) ++seen[Sample(sampler, logits)];
  EXPECT_EQ(seen.size(), 5u);
  EXPECT_GE(seen.begin()->first, static_cast<int32_t>(kVocab) - 5);

  std::fill(logits.begin(), logits.end(), 1.0f);  // all equal: the five lowest ids
  seen.clear();
  for (int i = 0; i < draws; ++i) ++seen[Sample(sampler, logits)];
  EXPECT_EQ(seen.size(), 5u);
  EXPECT_EQ(seen.rbegin()->first, 4);
}

TEST(Sampler, TopPOfALargeFlatVocabulary) {
  constexpr size_t kVocab = 5000;
  SamplerParams params = Plain();
  params.top_p = 0.5f;
  Sampler sampler = Make(params, kVocab);
  const std::vector<float> logits(kVocab, -3.0f);
  int32_t highest = 0;
  for (int i = 0; i < 300; ++i) highest = std::max(highest, Sample(sampler, logits));
  EXPECT_LT(highest, 2500);
  EXPECT_GT(highest, 2400);
}

TEST(Sampler, NonFiniteLogits) {
  SamplerParams params;  // the defaults, with every filter on
  Sampler sampler = Make(params, 4);
  EXPECT_EQ(Sample(sampler, {kNaN, -kInf, 2, kNaN}), 2);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(Sample(sampler, {kNaN, 1, kInf, 3e38f}), 2);
  for (const float temperature : {0.0f, 1.0f}) {
    for (const int32_t top_k : {0, 2}) {
      params.temperature = temperature;
      params.top_k = top_k;
      Sampler none = Make(params, 4);
      for (const float bad : {kNaN, -kInf}) {
        const Result<int32_t> token = none.Sample(std::vector<float>(4, bad));
        ASSERT_FALSE(token.ok());
        EXPECT_EQ(token.status().code(), Code::kInternal);
      }
    }
  }
}

TEST(Sampler, BiasThatForbidsAllIsTheCallers) {
  SamplerParams params;
  for (int32_t token = 0; token < 4; ++token) params.logit_bias.emplace_back(token, -kInf);
  for (const float temperature : {0.0f, 1.0f}) {
    for (const int32_t top_k : {0, 2}) {
      params.temperature = temperature;
      params.top_k = top_k;
      Sampler none = Make(params, 4);
      EXPECT_EQ(none.Sample(std::vector<float>{kNaN, 1, 2, 3}).status().code(), Code::kInvalidArgument);
      EXPECT_EQ(none.Sample(std::vector<float>(4, kNaN)).status().code(), Code::kInternal);
      const std::vector<TokenLogit> best = {{0, 3.0f}, {1, 2.0f}, {2, 1.0f}, {3, 0.0f}};
      if (none.Enough() == 0) continue;
      EXPECT_EQ(none.SampleBest(best).status().code(), Code::kInvalidArgument);
    }
  }
}

TEST(Sampler, ExtremeTemperaturesAndLogits) {
  SamplerParams params = Plain();
  params.temperature = std::numeric_limits<float>::denorm_min();
  Sampler cold = Make(params, 3);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(Sample(cold, {1.0f, 1.0000001f, -3e38f}), 1);
  params.temperature = 100;
  Sampler hot = Make(params, 2);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(Sample(hot, {3e38f, -3e38f}), 0);
}

TEST(Sampler, PenaltiesFollowTheirFormulas) {
  SamplerParams params;
  params.temperature = 0;
  params.repeat_penalty = 2;
  {
    Sampler sampler = Make(params, 3);
    sampler.Accept(0);
    EXPECT_EQ(Sample(sampler, {3, 1.6f, 0}), 1);  // 1.5 1.6
    EXPECT_EQ(Sample(sampler, {3.4f, 1.6f, 0}), 0);
    EXPECT_EQ(Sample(sampler, {-1, -1.9f, -5}), 1);  // -2 -1.9: a negative logit is multiplied
  }
  params.repeat_penalty = 1;
  params.presence_penalty = 0.5f;
  params.frequency_penalty = 0.25f;
  Sampler sampler = Make(params, 3);
  for (const int32_t token : {0, 0, 0, 1}) sampler.Accept(token);
  EXPECT_EQ(Sample(sampler, {2, 1.4f, 0}), 0);  // 2 - 0.5 - 0.75 = 0.75; 1.4 - 0.5 - 0.25 = 0.65
  EXPECT_EQ(Sample(sampler, {2, 1.6f, 0}), 1);  // 0.75 against 0.85
  EXPECT_EQ(Sample(sampler, {2, 1.6f, 0.9f}), 2);
}

TEST(Sampler, PenaltyWindowForgets) {
  SamplerParams params;
  params.temperature = 0;
  params.presence_penalty = 5;
  for (const int32_t window : {1, 3, -1, 0}) {
    params.penalty_window = window;
    Sampler sampler = Make(params, 8);
    sampler.Accept(7);
    sampler.Accept(-1);  // ignored
    sampler.Accept(8);
    sampler.Accept(1);
    sampler.Accept(2);
    const std::vector<float> logits = {0, 0, 0, 0, 0, 0, 0, 1};
    EXPECT_EQ(Sample(sampler, logits), window == 3 || window == -1 ? 0 : 7) << window;
    for (int i = 0; i < 5; ++i) sampler.Accept(3);
    EXPECT_EQ(Sample(sampler, logits), window == -1 ? 0 : 7) << window;
  }
}

TEST(Sampler, LogitBias) {
  SamplerParams params;
  params.temperature = 0;
  params.logit_bias = {{2, 5.0f}, {0, -kInf}};
  Sampler sampler = Make(params, 3);
  EXPECT_EQ(Sample(sampler, {9, 3, 1}), 2);
  EXPECT_EQ(Sample(sampler, {9, 7, 1}), 1);
  params = Plain();
  params.logit_bias = {{0, -kInf}, {1, -kInf}, {2, -kInf}};
  Sampler nothing = Make(params, 3);
  EXPECT_FALSE(nothing.Sample(std::vector<float>{1, 2, 3}).ok());
}

TEST(Sampler, SeedDecidesAndNothingElse) {
  Inputs inputs;
  const std::vector<float> logits = inputs.Logits(500, 3);
  SamplerParams params;
  params.seed = 42;
  Sampler a = Make(params, logits.size());
  Sampler b = Make(params, logits.size());
  params.seed = 43;
  Sampler c = Make(params, logits.size());
  int different = 0;
  for (int i = 0; i < 100; ++i) {
    const int32_t token = Sample(a, logits);
    EXPECT_EQ(token, Sample(b, logits));
    different += token != Sample(c, logits) ? 1 : 0;
  }
  EXPECT_GT(different, 10);
}

// From an independent implementation in Python; every platform must give the same tokens for ever.
TEST(Sampler, GoldenSequence) {
  std::vector<float> logits(64);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>((i * 37) % 64) / 16.0f;
  SamplerParams params;
  params.seed = 1234;
  params.repeat_penalty = 1.1f;
  Sampler sampler = Make(params, logits.size());
  std::vector<int32_t> tokens;
  for (int i = 0; i < 16; ++i) {
    tokens.push_back(Sample(sampler, logits));
    sampler.Accept(tokens.back());
  }
  const std::vector<int32_t> expected = {19, 60, 10, 53, 57, 27, 57, 31, 17, 29, 62, 19, 12, 17, 57, 15};
  EXPECT_EQ(tokens, expected);
}

TEST(Sampler, RefusesWhatIsOutOfRange) {
  const auto refused = [](auto change, const char* field) {
    SamplerParams params;
    change(params);
    const Result<Sampler> sampler = Sampler::Create(params, 10);
    ASSERT_FALSE(sampler.ok()) << field;
    EXPECT_EQ(sampler.status().code(), Code::kInvalidArgument);
    EXPECT_NE(sampler.status().message().find(field), std::string::npos) << sampler.status().message();
  };
  for (const float bad : {-0.1f, 100.5f, kNaN, kInf}) {
    refused([&](SamplerParams& p) { p.temperature = bad; }, "temperature");
  }
  refused([](SamplerParams& p) { p.top_k = -1; }, "top_k");
  for (const float bad : {0.0f, 1.01f, -1.0f, kNaN}) refused([&](SamplerParams& p) { p.top_p = bad; }, "top_p");
  for (const float bad : {-0.01f, 1.01f, kNaN}) refused([&](SamplerParams& p) { p.min_p = bad; }, "min_p");
  for (const float bad : {0.0f, 10.5f, kNaN}) refused([&](SamplerParams& p) { p.repeat_penalty = bad; }, "repeat");
  for (const float bad : {-11.0f, 11.0f, kNaN}) {
    refused([&](SamplerParams& p) { p.presence_penalty = bad; }, "presence");
    refused([&](SamplerParams& p) { p.frequency_penalty = bad; }, "frequency");
  }
  refused([](SamplerParams& p) { p.penalty_window = -2; }, "penalty_window");
  refused([](SamplerParams& p) { p.logit_bias = {{10, 1.0f}}; }, "token 10");
  refused([](SamplerParams& p) { p.logit_bias = {{-1, 1.0f}}; }, "token -1");
  refused([](SamplerParams& p) { p.logit_bias = {{1, kNaN}}; }, "logit_bias");
  refused([](SamplerParams& p) { p.logit_bias = {{1, kInf}}; }, "logit_bias");
  EXPECT_FALSE(Sampler::Create(SamplerParams(), 0).ok());

  Sampler sampler = Make(SamplerParams(), 10);
  EXPECT_FALSE(sampler.Sample(std::vector<float>(9)).ok());
}

std::vector<TokenLogit> BestOf(const std::vector<float>& logits, size_t count) {
  std::vector<TokenLogit> all;
  for (size_t i = 0; i < logits.size(); ++i) {
    all.push_back({static_cast<int32_t>(i), logits[i] != logits[i] ? -kInf : logits[i]});
  }
  std::stable_sort(all.begin(), all.end(), [](const TokenLogit& a, const TokenLogit& b) { return a.logit > b.logit; });
  all.resize(count);
  return all;
}

// The same seed and the same logits, once all of them and once no more than the sampler says that it needs. Logits of
// few different values, so that there are ties at every edge; tokens come again, so that penalties matter.
TEST(Sampler, TheBestAloneChooseTheSameTokens) {
  constexpr size_t kVocab = 400;
  std::vector<SamplerParams> all(6);
  all[0].temperature = 0;
  all[0].repeat_penalty = 1.3f;
  all[1].logit_bias = {{3, -kInf}, {7, -2.0f}, {399, -1.0f}, {7, -0.5f}};
  all[2].temperature = 1.7f;
  all[2].top_k = 7;
  all[2].top_p = 1;
  all[2].repeat_penalty = 1.5f;
  all[2].frequency_penalty = 0.4f;
  all[2].penalty_window = 20;
  all[3].top_k = 100;
  all[3].min_p = 0;
  all[3].top_p = 0.7f;
  all[3].presence_penalty = 1.5f;
  all[3].penalty_window = -1;
  all[4].top_k = 1;
  all[5].temperature = 0;
  all[5].logit_bias = {{0, -kInf}, {1, -kInf}};
  Inputs inputs;
  for (size_t p = 0; p < all.size(); ++p) {
    all[p].seed = p;
    Sampler whole = Make(all[p], kVocab), best = Make(all[p], kVocab);
    for (int step = 0; step < Effort(300, 60); ++step) {
      std::vector<float> logits = inputs.Logits(kVocab, 12);
      if (step % 2 == 0) {
        for (float& logit : logits) logit = floorf(logit * 4) / 4;
      }
      if (step % 5 == 0) {
        for (size_t i = 0; i < kVocab; i += 2) logits[i] = i % 4 == 0 ? kNaN : -kInf;
      }
      if (step % 7 == 0) std::fill(logits.begin() + 60, logits.end(), -kInf);
      const uint32_t enough = best.Enough();
      ASSERT_GT(enough, 0u);
      const Result<int32_t> want = whole.Sample(logits), got = best.SampleBest(BestOf(logits, enough));
      ASSERT_EQ(got.ok(), want.ok()) << "parameters " << p << ", step " << step;
      if (!want.ok()) continue;
      ASSERT_EQ(*got, *want) << "parameters " << p << ", step " << step;
      whole.Accept(*want);
      best.Accept(*want);
    }
  }
}

TEST(Sampler, SaysHowManyOfTheBestItNeeds) {
  const auto enough = [](const auto& change) {
    SamplerParams params;
    change(params);
    return Make(params, 1000).Enough();
  };
  EXPECT_EQ(enough([](SamplerParams&) {}), 40u);
  EXPECT_EQ(enough([](SamplerParams& p) { p.temperature = 0; }), 1u);
  EXPECT_EQ(enough([](SamplerParams& p) { p.logit_bias = {{1, -1.0f}, {2, -kInf}}; }), 42u);
  EXPECT_EQ(enough([](SamplerParams& p) {
              p.top_k = 999;
              p.logit_bias = {{1, -1.0f}, {2, -kInf}};
            }),
            1000u);
  // All: no bound on how many are chosen from, or something becomes likelier.
  EXPECT_EQ(enough([](SamplerParams& p) { p.top_k = 0; }), 0u);
  EXPECT_EQ(enough([](SamplerParams& p) { p.top_k = 1000; }), 0u);
  EXPECT_EQ(enough([](SamplerParams& p) { p.logit_bias = {{1, 1.0f}}; }), 0u);
  EXPECT_EQ(enough([](SamplerParams& p) { p.repeat_penalty = 0.9f; }), 0u);
  EXPECT_EQ(enough([](SamplerParams& p) { p.presence_penalty = -1; }), 0u);
  EXPECT_EQ(enough([](SamplerParams& p) { p.frequency_penalty = -1; }), 0u);
  EXPECT_EQ(enough([](SamplerParams& p) {
              p.frequency_penalty = -1;
              p.penalty_window = 0;
            }),
            40u);

  // One more for each token that is penalised, until the window has moved on.
  SamplerParams params;
  params.presence_penalty = 1;
  params.penalty_window = 3;
  Sampler sampler = Make(params, 1000);
  std::vector<uint32_t> needs;
  for (const int32_t token : {5, 6, 5, 5, 5, 7, 8, 9}) {
    sampler.Accept(token);
    needs.push_back(sampler.Enough() - 40);
  }
  EXPECT_EQ(needs, (std::vector<uint32_t>{1, 2, 2, 2, 1, 2, 3, 3}));
  EXPECT_FALSE(sampler.SampleBest(BestOf(std::vector<float>(1000), 42)).ok());
  EXPECT_TRUE(sampler.SampleBest(BestOf(std::vector<float>(1000), 43)).ok());
  EXPECT_FALSE(Make(Plain(), 10).SampleBest(BestOf(std::vector<float>(10), 10)).ok());
}

}  // namespace
}  // namespace mote
