#include "edge/server/ops/backoff.h"

#include <gtest/gtest.h>

namespace mote::server {
namespace {

TEST(Backoff, GivesUpAQuarterAtOnceAndMoreWhileTheBrakesStay) {
  Backoff backoff;
  EXPECT_FALSE(backoff.Look(false, 0));
  EXPECT_EQ(backoff.share(), 1);
  EXPECT_TRUE(backoff.Look(true, 2));
  EXPECT_EQ(backoff.share(), 0.75);
  EXPECT_FALSE(backoff.Look(true, 11.9));
  EXPECT_TRUE(backoff.Look(true, 12));
  EXPECT_TRUE(backoff.Look(true, 22));
  EXPECT_EQ(backoff.share(), 0.25);
  EXPECT_FALSE(backoff.Look(true, 1000)) << "a quarter stays";
}

TEST(Backoff, TakesItBackSlowly) {
  Backoff backoff;
  EXPECT_TRUE(backoff.Look(true, 0));
  EXPECT_TRUE(backoff.Look(true, 10));
  EXPECT_FALSE(backoff.Look(false, 12));
  EXPECT_FALSE(backoff.Look(false, 41.9));
  EXPECT_TRUE(backoff.Look(false, 42)) << "30 s after the last brake";
  EXPECT_EQ(backoff.share(), 0.75);
  EXPECT_FALSE(backoff.Look(false, 71.9));
  EXPECT_TRUE(backoff.Look(false, 72));
  EXPECT_EQ(backoff.share(), 1);
  EXPECT_FALSE(backoff.Look(false, 1000));
}

TEST(Backoff, ABrakeThatFluttersKeepsWhatWasGivenUp) {
  Backoff backoff;
  EXPECT_TRUE(backoff.Look(true, 0));
  for (double now = 4; now < 300; now += 20) {
    EXPECT_FALSE(backoff.Look(false, now));
    const int before = static_cast<int>(backoff.share() * 4);
    backoff.Look(true, now + 2);
    EXPECT_LE(backoff.share() * 4, before);
  }
  EXPECT_EQ(backoff.share(), 0.25);
}

TEST(Backoff, ShareOfACount) {
  Backoff backoff;
  EXPECT_EQ(backoff.Of(7), 7u);
  backoff.Look(true, 0);
  EXPECT_EQ(backoff.Of(8), 6u);
  EXPECT_EQ(backoff.Of(2), 2u);
  EXPECT_EQ(backoff.Of(UINT32_MAX), UINT32_MAX / 4 * 3 + 2);
  backoff.Look(true, 10);
  EXPECT_EQ(backoff.Of(2), 1u);
  backoff.Look(true, 20);
  EXPECT_EQ(backoff.Of(1), 1u);
  EXPECT_EQ(backoff.Of(128), 32u);
}

}  // namespace
}  // namespace mote::server
