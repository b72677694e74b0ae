#include "engine/run/stop_filter.h"

#include <gtest/gtest.h>
#include <stdint.h>

#include <string>
#include <string_view>
#include <vector>

namespace mote {
namespace {

constexpr const char* kBad = "\xEF\xBF\xBD";

std::string Repair(std::string_view bytes, size_t step) {
  Utf8Repair repair;
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += step) repair.Push(bytes.substr(i, step), &out);
  repair.Finish(&out);
  return out;
}

TEST(Utf8Repair, KeepsWhatIsValid) {
  const std::string text = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\xED\x9F\xBF\xEE\x80\x80\xF4\x8F\xBF\xBF";
  for (size_t step = 1; step < 8; ++step) EXPECT_EQ(Repair(text, step), text) << step;
  EXPECT_TRUE(IsValidUtf8(text));
  EXPECT_TRUE(IsValidUtf8(std::string_view("\0", 1)));
}

// The rows of The Unicode Standard's tables 3-8 to 3-11 (examples of maximal subparts).
TEST(Utf8Repair, ReplacesMaximalSubparts) {
  const struct {
    std::string bytes;
    std::string expected;
  } cases[] = {
      {"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41",
       std::string() + kBad + kBad + kBad + kBad + kBad + kBad + kBad + kBad + "A"},
      {"\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41",
       std::string() + kBad + kBad + kBad + kBad + kBad + kBad + kBad + kBad + "A"},
      {"\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42",
       std::string() + kBad + kBad + kBad + kBad + kBad + "A" + kBad + kBad + "B"},
      {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", std::string() + kBad + kBad + kBad + kBad + "A"},
  };
  for (const auto& c : cases) {
    for (size_t step = 1; step < 10; ++step) EXPECT_EQ(Repair(c.bytes, step), c.expected) << step;
    EXPECT_FALSE(IsValidUtf8(c.bytes));
  }
  EXPECT_EQ(Repair("x\xF0\x9F\x98", 2), std::string("x") + kBad);  // cut off at the end
}

TEST(Utf8Repair, HoldsBackAnIncompleteSequence) {
  Utf8Repair repair;
  std::string out;
  repair.Push("\xF0\x9F", &out);
  EXPECT_EQ(out, "");
  repair.Push("\x98", &out);
  EXPECT_EQ(out, "");
  repair.Push("\x80!", &out);
  EXPECT_EQ(out, "\xF0\x9F\x98\x80!");
}

struct Filtered {
  std::string text;
  bool stopped = false;
};

// Pushes `input` in pieces; after each, what came out must be valid UTF-8 and free of every stop string.
Filtered Filter(const std::vector<std::string>& stops, std::string_view input, size_t step) {
  Result<StopFilter> filter = StopFilter::Create(stops);
  EXPECT_TRUE(filter.ok()) << filter.status().message();
  Filtered run;
  for (size_t i = 0; i < input.size() && !run.stopped; i += step) {
    run.stopped = filter->Push(input.substr(i, step), &run.text);
    EXPECT_TRUE(IsValidUtf8(run.text));
  }
  filter->Finish(&run.text);
  run.stopped = filter->stopped();  // a U+FFFD may have completed a stop
  return run;
}

// The definition: the first place where a stop string ends; of several that end there, the longest.
Filtered Expected(const std::vector<std::string>& stops, const std::string& input) {
  for (size_t end = 1; end <= input.size(); ++end) {
    size_t longest = 0;
    for (const std::string& stop : stops) {
      if (stop.size() <= end && input.compare(end - stop.size(), stop.size(), stop) == 0) {
        longest = std::max(longest, stop.size());
      }
    }
    if (longest > 0) return {input.substr(0, end - longest), true};
  }
  return {input, false};
}

TEST(StopFilter, FindsStopsAcrossPieces) {
  const std::vector<std::string> stops = {"\n\n", "User:", "###"};
  for (size_t step = 1; step < 12; ++step) {
    EXPECT_EQ(Filter(stops, "Hello there\nUser: hi", step).text, "Hello there\n");
    EXPECT_EQ(Filter(stops, "one\ntwo\n\nthree", step).text, "one\ntwo");
    EXPECT_EQ(Filter(stops, "##not##quite#", step).text, "##not##quite#");
    EXPECT_FALSE(Filter(stops, "Use", step).stopped);
    EXPECT_EQ(Filter(stops, "Use", step).text, "Use");
  }
}

TEST(StopFilter, AgreesWithTheDefinitionOnEveryShortText) {
  const std::vector<std::vector<std::string>> sets = {
      {"a"}, {"ab"}, {"aab", "ba"}, {"abab", "bb"}, {"aaa", "aba", "bbab"}, {"abc", "c"}, {"bab", "ab"}, {}};
  for (const auto& stops : sets) {
    for (size_t length = 0; length <= 7; ++length) {
      size_t count = 1;
      for (size_t i = 0; i < length; ++i) count *= 3;
      for (size_t code = 0; code < count; ++code) {
        std::string input;
        for (size_t i = 0, rest = code; i < length; ++i, rest /= 3) input += static_cast<char>('a' + rest % 3);
        const Filtered expected = Expected(stops, input);
        for (size_t step : {1u, 2u, 7u}) {
          const Filtered run = Filter(stops, input, step);
          ASSERT_EQ(run.text, expected.text) << input << " step " << step;
          ASSERT_EQ(run.stopped, expected.stopped) << input << " step " << step;
        }
      }
    }
  }
}

TEST(StopFilter, HoldsBackNoMoreThanItMust) {
  Result<StopFilter> filter = StopFilter::Create({"END"});
  ASSERT_TRUE(filter.ok());
  std::string out;
  filter->Push("the E", &out);
  EXPECT_EQ(out, "the ");
  filter->Push("N", &out);
  EXPECT_EQ(out, "the ");
  filter->Push("E", &out);  // "ENE": only the last E may begin a stop
  EXPECT_EQ(out, "the EN");
  EXPECT_TRUE(filter->Push("ND and more", &out));
  EXPECT_EQ(out, "the EN");
  EXPECT_TRUE(filter->Push("still more", &out));
  filter->Finish(&out);
  EXPECT_EQ(out, "the EN");
}

TEST(StopFilter, StopStringsOfManyBytesPerCharacter) {
  const std::string input = "caf\xC3\xA9 \xE2\x82\xAC\xE2\x82\xAC end";
  for (size_t step = 1; step < 6; ++step) {
    EXPECT_EQ(Filter({"\xE2\x82\xAC"}, input, step).text, "caf\xC3\xA9 ");
    EXPECT_EQ(Filter({"\xC3\xA9 \xE2\x82\xAC\xE2\x82\xAC"}, input, step).text, "caf");
    // A stop string is looked for in the repaired text.
    EXPECT_EQ(Filter({"\xEF\xBF\xBD"}, "ab\xFFzz", step).text, "ab");
    EXPECT_EQ(Filter({"\xEF\xBF\xBD"}, "ab\xE2\x82", step).text, "ab");
  }
}

TEST(StopFilter, RefusesBadStops) {
  EXPECT_FALSE(StopFilter::Create({""}).ok());
  EXPECT_FALSE(StopFilter::Create({std::string(kMaxStopBytes + 1, 'x')}).ok());
  EXPECT_TRUE(StopFilter::Create({std::string(kMaxStopBytes, 'x')}).ok());
  EXPECT_FALSE(StopFilter::Create({"\x80"}).ok());
  EXPECT_FALSE(StopFilter::Create(std::vector<std::string>(kMaxStopStrings + 1, "x")).ok());
  EXPECT_TRUE(StopFilter::Create(std::vector<std::string>(kMaxStopStrings, "x")).ok());
}

}  // namespace
}  // namespace mote
