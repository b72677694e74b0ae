// Rates against a count by hand: every admitted request is remembered here, and every window looked at.
#include "edge/server/auth/rate_limit.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "tests/support/effort.h"

namespace mote::server {
namespace {

constexpr Rate kPerMinute{60, 60};

// The most that any window of the rate holds.
size_t Fullest(const std::vector<double>& times, double seconds) {
  size_t most = 0, first = 0;
  for (size_t last = 0; last < times.size(); ++last) {
    while (times[last] - times[first] >= seconds) ++first;
    most = std::max(most, last - first + 1);
  }
  return most;
}

TEST(SlidingWindow, TheWholeCountAtOnceAndThenNoneForAWindow) {
  for (const double start : {0.0, 0.3, 1.874, 1000.77, 1e6 + 0.1}) {
    SlidingWindow window;
    for (int i = 0; i < 60; ++i) ASSERT_TRUE(window.Take(kPerMinute, 1, start)) << i;
    EXPECT_EQ(window.Left(kPerMinute, start), 0);
    for (double t = start; t < start + 60; t += 0.25) ASSERT_FALSE(window.Take(kPerMinute, 1, t)) << t - start;
    for (int i = 0; i < 60; ++i) ASSERT_TRUE(window.Take(kPerMinute, 1, start + 60 * 33 / 32.0)) << i;
  }
}

TEST(SlidingWindow, WhoAsksWithoutAPauseGetsTheRateToFivePercent) {
  for (const Rate& rate : {Rate{60, 60}, Rate{10, 1}, Rate{1000, 3600}, Rate{7, 60}, Rate{10000, 86400}}) {
    SlidingWindow window;
    std::vector<double> times;
    const double end = rate.seconds * 50;
    for (double t = 0.123; t < end; t += rate.seconds / rate.count / 9.7) {
      if (window.Take(rate, 1, t)) times.push_back(t);
    }
    const double expected = rate.per_second() * end;
    EXPECT_GE(static_cast<double>(times.size()), 0.95 * expected) << rate.count << "/" << rate.seconds;
    EXPECT_LE(static_cast<double>(times.size()), 1.05 * expected) << rate.count << "/" << rate.seconds;
    EXPECT_LE(static_cast<double>(Fullest(times, rate.seconds)), rate.count);
  }
}

TEST(SlidingWindow, NoWindowHoldsMoreWhateverTheRhythm) {
  std::mt19937 random(1);
  for (int round = 0; round < 50; ++round) {
    SlidingWindow window;
    std::vector<double> times;
    double t = std::uniform_real_distribution<double>(0, 1000)(random);
    const double pause = std::exponential_distribution<double>(0.05)(random);
    for (int i = 0; i < 2000; ++i) {
      // Bursts, and pauses of all lengths between them.
      if (random() % 37 == 0) t += std::exponential_distribution<double>(1 / (pause + 1e-3))(random);
      t += std::exponential_distribution<double>(20)(random);
      if (window.Take(kPerMinute, 1, t)) times.push_back(t);
    }
    ASSERT_LE(Fullest(times, 60), 60u);
  }
}

TEST(SlidingWindow, TheWaitItTellsIsEnoughAndNotMuchTooLong) {
  std::mt19937 random(2);
  SlidingWindow window;
  double t = 5;
  int waited = 0;
  for (int i = 0; i < 5000; ++i) {
    t += std::exponential_distribution<double>(2)(random);
    const double wait = window.Wait(kPerMinute, 1, t);
    const bool taken = window.Take(kPerMinute, 1, t);
    ASSERT_EQ(taken, wait == 0);
    if (taken) continue;
    ++waited;
    ASSERT_LE(wait, 60 * 33 / 32.0);
    SlidingWindow early = window, late = window;
    ASSERT_TRUE(late.Take(kPerMinute, 1, t + wait + 1e-6));
    if (wait > 1e-3) {
      ASSERT_FALSE(early.Take(kPerMinute, 1, t + wait * 0.99));
    }
  }
  EXPECT_GT(waited, 100);
}

TEST(SlidingWindow, ADebtIsPaidAtTheRate) {
  constexpr Rate kTokens{1000, 60};
  SlidingWindow window;
  double charged = 0, t = 3.3;
  // Whenever something is left, an answer of 3 to 7000 tokens is made.
  std::mt19937 random(3);
  const double end = 3600 * 20;
  for (; t < end; t += 0.5) {
    if (window.Left(kTokens, t) < 1) {
      ASSERT_GT(window.Wait(kTokens, 1, t), 0);
      continue;
    }
    const double tokens = 3 + random() % 7000;
    window.Charge(kTokens, tokens, t);
    charged += tokens;
  }
  EXPECT_NEAR(charged / (kTokens.per_second() * end), 1, 0.05);
}

TEST(SlidingWindow, TheWaitOfADebtIsItsLength) {
  constexpr Rate kTokens{1000, 60};
  SlidingWindow window;
  window.Charge(kTokens, 11000, 100);  // ten minutes beyond the first
  const double wait = window.Wait(kTokens, 1, 100);
  EXPECT_NEAR(wait, 600, 0.05 * 660);
  SlidingWindow early = window;
  EXPECT_LT(early.Left(kTokens, 100 + wait * 0.95), 1);
  EXPECT_GE(window.Left(kTokens, 100 + wait + 1e-3), 1);
}

TEST(SlidingWindow, AClockThatStandsStillOrJumpsAhead) {
  SlidingWindow window;
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(window.Take(kPerMinute, 1, 50));
  ASSERT_FALSE(window.Take(kPerMinute, 1, 50));
  ASSERT_FALSE(window.Take(kPerMinute, 1, 49));  // of another thread, which asked a moment ago
  ASSERT_TRUE(window.Take(kPerMinute, 60, 1e9));
  ASSERT_FALSE(window.Take(kPerMinute, 1, 1e9));
}

TEST(SlidingWindow, AnotherRateHoldsAtOnce) {
  SlidingWindow window;
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(window.Take(kPerMinute, 1, 1000));
  // A larger count of the same window: what was taken stays taken.
  int more = 0;
  while (window.Take({70, 60}, 1, 1001)) ++more;
  EXPECT_EQ(more, 10);
  // Other windows, longer and shorter, hold what they say.
  for (const Rate& rate : {Rate{5, 3600}, Rate{3, 1}, Rate{4, 86400}}) {
    int taken = 0;
    while (window.Take(rate, 1, 1002)) ++taken;
    EXPECT_EQ(taken, rate.count);
    EXPECT_TRUE(window.Take(rate, 1, 1002 + rate.seconds * 33 / 32));
  }
}

TEST(RateTable, ClientsDoNotShare) {
  RateTable table(100);
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(table.Admit("a", kPerMinute, {}, 1).admitted);
  const RateTable::Answer refused = table.Admit("a", kPerMinute, {}, 1);
  EXPECT_FALSE(refused.admitted);
  EXPECT_NEAR(refused.retry_after, 60, 2);
  EXPECT_EQ(refused.requests_left, 0);
  const RateTable::Answer other = table.Admit("b", kPerMinute, {}, 1);
  EXPECT_TRUE(other.admitted);
  EXPECT_EQ(other.requests_left, 59);
}

TEST(RateTable, TokensRefuseWithoutTakingARequest) {
  constexpr Rate kTokens{100, 60};
  RateTable table(100);
  EXPECT_TRUE(table.Admit("a", kPerMinute, kTokens, 1).admitted);
  table.Charge("a", kTokens, 150, 1);
  for (int i = 0; i < 500; ++i) {
    const RateTable::Answer answer = table.Admit("a", kPerMinute, kTokens, 2);
    ASSERT_FALSE(answer.admitted);
    ASSERT_EQ(answer.requests_left, 59);
    ASSERT_GT(answer.retry_after, 28);
  }
}

TEST(RateTable, NothingIsRememberedWithoutALimit) {
  RateTable table(100);
  EXPECT_TRUE(table.Admit("a", {}, {}, 1).admitted);
  table.Charge("a", {}, 5, 1);
  EXPECT_EQ(table.size(), 0u);
}

TEST(RateTable, AMillionClientsTakeTheMemoryOfItsCapacity) {
  RateTable table(1000);
  for (int i = 0; i < Effort(1000000, 50000); ++i) {
    // One that comes back all the time, more often than it may, stays remembered among strangers.
    if (i % 700 == 0) table.Admit("regular", kPerMinute, {}, 1 + i * 1e-6);
    table.Admit(std::to_string(i), kPerMinute, {}, 1 + i * 1e-6);
  }
  EXPECT_EQ(table.size(), 1000u);
  EXPECT_FALSE(table.Admit("regular", kPerMinute, {}, 3).admitted);
  EXPECT_TRUE(table.Admit("0", kPerMinute, {}, 3).admitted);
}

TEST(RateTable, AHundredThousandKeysKeepTheirLimits) {
  RateTable table(131072);
  constexpr Rate kTwo{2, 60};
  constexpr int kClients = Effort(100000, 20000);
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < kClients; ++i) {
      ASSERT_EQ(table.Admit("key-" + std::to_string(i), kTwo, {}, 1 + round).admitted, round < 2);
    }
  }
  EXPECT_EQ(table.size(), size_t{kClients});
}

}  // namespace
}  // namespace mote::server
