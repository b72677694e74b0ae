// What is chosen from times, by a clock that tells whatever a test wants.
#include "targets/cpu/fetch_choice.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <map>
#include <set>
#include <vector>

namespace mote::testing {
namespace {

// A machine that takes the time that a function says.
class FakeTrials : public FetchTrials {
 public:
  using Time = std::function<double(size_t sweep, size_t piece, uint8_t candidate)>;
  explicit FakeTrials(Time time) : time_(std::move(time)) {}

  void Sweep(std::span<const uint8_t> which, std::span<double> seconds) override {
    ASSERT_EQ(which.size(), seconds.size());
    for (size_t i = 0; i < which.size(); ++i) seconds[i] = time_(sweeps.size(), i, which[i]);
    sweeps.emplace_back(which.begin(), which.end());
  }

  std::vector<std::vector<uint8_t>> sweeps;

 private:
  const Time time_;
};

constexpr size_t kCandidates = 5;
constexpr double kAMinute = 60;

std::vector<uint32_t> Pieces(uint32_t groups, uint32_t of_each) {
  std::vector<uint32_t> group_of;
  for (uint32_t i = 0; i < groups * of_each; ++i) group_of.push_back(i % groups);
  return group_of;
}

// Pieces of one group whose times are in proportion to these.
std::vector<FetchVerdict> ChooseOf(std::vector<double> times, uint32_t pieces = 20) {
  FakeTrials trials([&](size_t, size_t, uint8_t c) { return 1e-4 * times[c]; });
  return ChooseFetch(Pieces(1, pieces), times.size(), kAMinute, trials);
}

// Uniform in [0, 1), the same in each run.
struct Noise {
  uint64_t state;
  double operator()() {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<double>(state >> 40) / static_cast<double>(1 << 24);
  }
};

TEST(FetchChoice, TheFastestIsTaken) {
  const std::vector<FetchVerdict> verdicts = ChooseOf({1, 0.95, 0.9, 1.1, 0.92});
  ASSERT_EQ(verdicts.size(), 1u);
  EXPECT_EQ(verdicts[0].choice, 2);
  EXPECT_NEAR(verdicts[0].ratio, 0.9, 1e-9);
}

TEST(FetchChoice, TheDefaultStaysWithinThreePercent) {
  EXPECT_EQ(ChooseOf({1, 0.98, 0.975, 0.99, 1.2})[0].choice, 0);
  EXPECT_EQ(ChooseOf({1, 0.98, 0.965, 0.99, 1.2})[0].choice, 2);
  EXPECT_EQ(ChooseOf({1, 1, 1, 1, 1})[0].choice, 0);
  EXPECT_EQ(ChooseOf({1})[0].choice, 0);
}

TEST(FetchChoice, FewPairsAreNoProof) {
  EXPECT_EQ(ChooseOf({1, 0.8, 0.8, 0.8, 0.8}, 1)[0].choice, 0);
  EXPECT_EQ(ChooseOf({1, 0.9, 0.8, 0.9, 0.9}, 6)[0].choice, 2);
}

TEST(FetchChoice, GroupsAreChosenForByThemselves) {
  const double times[3][kCandidates] = {{1, 1, 1, 0.8, 1}, {1, 1, 1, 1, 1}, {1, 0.9, 1, 1, 1}};
  FakeTrials trials([&](size_t, size_t piece, uint8_t c) { return 1e-4 * times[piece % 3][c]; });
  const std::vector<FetchVerdict> verdicts = ChooseFetch(Pieces(3, 16), kCandidates, kAMinute, trials);
  ASSERT_EQ(verdicts.size(), 3u);
  EXPECT_EQ(verdicts[0].choice, 3);
  EXPECT_EQ(verdicts[1].choice, 0);
  EXPECT_EQ(verdicts[2].choice, 1);
}

// Other work on the machine: each piece takes up to half as long again, and one in ten five times as long.
double Disturbed(Noise& noise) {
  return (1 + 0.5 * noise()) * (noise() < 0.1 ? 5 : 1);
}

TEST(FetchChoice, NoiseIsOutvoted) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    Noise noise{seed};
    FakeTrials equal([&](size_t, size_t, uint8_t) { return 1e-4 * Disturbed(noise); });
    EXPECT_EQ(ChooseFetch(Pieces(1, 24), kCandidates, kAMinute, equal)[0].choice, 0) << seed;
    FakeTrials better([&](size_t, size_t, uint8_t c) { return 1e-4 * (c == 3 ? 0.6 : 1) * Disturbed(noise); });
    EXPECT_EQ(ChooseFetch(Pieces(1, 24), kCandidates, kAMinute, better)[0].choice, 3) << seed;
  }
}

TEST(FetchChoice, ALuckyMedianIsNotEnough) {
  // Faster by a tenth in a little more than half of the pieces, and a hair slower in the others.
  FakeTrials trials([](size_t, size_t piece, uint8_t c) { return c != 2 ? 1e-4 : piece % 20 < 12 ? 0.9e-4 : 1.01e-4; });
  EXPECT_EQ(ChooseFetch(Pieces(1, 20), kCandidates, kAMinute, trials)[0].choice, 0);
}

TEST(FetchChoice, AMachineThatSlowsDownFavoursNobody) {
  for (const double drift : {1.05, 1 / 1.05, 1.2, 1 / 1.2}) {
    const auto speed = [&](size_t sweep) { return 1e-4 * std::pow(drift, static_cast<double>(sweep)); };
    FakeTrials equal([&](size_t sweep, size_t, uint8_t) { return speed(sweep); });
    EXPECT_EQ(ChooseFetch(Pieces(1, 20), kCandidates, 1e9, equal)[0].choice, 0) << drift;
  }
  // Slow from sweep to sweep in turns.
  FakeTrials waves([&](size_t sweep, size_t, uint8_t) { return sweep % 3 == 0 ? 2e-4 : 1e-4; });
  EXPECT_EQ(ChooseFetch(Pieces(1, 20), kCandidates, kAMinute, waves)[0].choice, 0);
}

TEST(FetchChoice, EachPieceMeetsAllAsOftenAndTheOrderChanges) {
  FakeTrials trials([](size_t, size_t, uint8_t) { return 1e-4; });
  const std::vector<uint32_t> group_of = Pieces(2, 10);
  ChooseFetch(group_of, kCandidates, kAMinute, trials);
  ASSERT_EQ(trials.sweeps.size(), 1 + 2 * kCandidates);  // nobody is ahead: no deciders
  for (size_t piece = 0; piece < group_of.size(); ++piece) {
    std::map<uint8_t, int> met;
    std::vector<uint8_t> first, second;
    for (size_t s = 1; s < trials.sweeps.size(); ++s) {
      ++met[trials.sweeps[s][piece]];
      (s <= kCandidates ? first : second).push_back(trials.sweeps[s][piece]);
    }
    EXPECT_EQ(met.size(), kCandidates);
    for (const auto& [candidate, times] : met) EXPECT_EQ(times, 2) << int{candidate};
    EXPECT_NE(first, second) << piece;
  }
  for (size_t s = 1; s < trials.sweeps.size(); ++s) {  // a slow moment hits all alike
    for (const size_t group : {0u, 1u}) {
      std::set<uint8_t> seen;
      for (size_t i = group; i < group_of.size(); i += 2) seen.insert(trials.sweeps[s][i]);
      EXPECT_EQ(seen.size(), kCandidates);
    }
  }
}

TEST(FetchChoice, ItEndsInTime) {
  for (const double of_sweep : {0.001, 0.03, 0.06, 0.1, 0.12, 0.2, 1.0, 30.0}) {
    double spent = 0;
    FakeTrials trials([&](size_t, size_t, uint8_t c) {
      const double seconds = of_sweep / 20 * (c == 1 ? 0.8 : 1);
      spent += seconds;
      return seconds;
    });
    const std::vector<FetchVerdict> verdicts = ChooseFetch(Pieces(1, 20), kCandidates, 1, trials);
    EXPECT_LE(spent, std::max(1.0, 2 * of_sweep) + 1e-9) << of_sweep;
    ASSERT_EQ(verdicts.empty(), of_sweep > 0.12) << of_sweep;
    if (!verdicts.empty()) {
      EXPECT_EQ(verdicts[0].choice, 1) << of_sweep;
    }
  }
}

TEST(FetchChoice, ASlowBeginningIsForgiven) {
  FakeTrials trials(
      [](size_t sweep, size_t, uint8_t c) { return (sweep == 0 ? 0.3 : 0.02) / 20 * (c == 1 ? 0.8 : 1); });
  const std::vector<FetchVerdict> verdicts = ChooseFetch(Pieces(1, 20), kCandidates, 1, trials);
  ASSERT_EQ(verdicts.size(), 1u);
  EXPECT_EQ(verdicts[0].choice, 1);
}

TEST(FetchChoice, TheSameTimesGiveTheSameChoice) {
  const auto choose = [] {
    Noise noise{17};
    FakeTrials trials(
        [&](size_t, size_t piece, uint8_t c) { return 1e-4 * (1 + 0.3 * noise()) * (c == piece % 3 ? 0.85 : 1); });
    std::vector<int> choices;
    for (const FetchVerdict& verdict : ChooseFetch(Pieces(3, 12), kCandidates, 1, trials)) {
      choices.push_back(verdict.choice);
    }
    return choices;
  };
  const std::vector<int> once = choose();
  EXPECT_EQ(once.size(), 3u);
  EXPECT_EQ(once, choose());
}

TEST(FetchChoice, ClocksThatStandStillChooseNothing) {
  FakeTrials still([](size_t, size_t, uint8_t) { return 0.0; });
  EXPECT_EQ(ChooseFetch(Pieces(1, 20), kCandidates, 1, still)[0].choice, 0);
  FakeTrials backwards([](size_t, size_t, uint8_t c) { return c == 0 ? -1e-4 : 1e-4; });
  EXPECT_EQ(ChooseFetch(Pieces(1, 20), kCandidates, 1, backwards)[0].choice, 0);
  FakeTrials none([](size_t, size_t, uint8_t) { return 1.0; });
  EXPECT_TRUE(ChooseFetch({}, kCandidates, 1, none).empty());
}

TEST(FetchChoice, CandidatesAreDifferentAndBeginWithTheCpus) {
  const std::vector<simd::FetchAhead> candidates = FetchCandidates();
  ASSERT_FALSE(candidates.empty());
  EXPECT_EQ(candidates.size() > 1, kFetchVaries);
  EXPECT_TRUE(candidates[0] == simd::FetchAheadOfCpu());
  std::set<std::array<uint32_t, 3>> seen;
  for (const simd::FetchAhead& c : candidates) EXPECT_TRUE(seen.insert({c.near, c.far, c.streams}).second);
}

}  // namespace
}  // namespace mote::testing
