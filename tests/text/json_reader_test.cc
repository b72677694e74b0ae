// The JSON reader behind chat templates: what it takes, what it refuses, and that Python reads the same.
#include "engine/text/json_reader.h"

#include <gtest/gtest.h>

#include <string>

#include "engine/text/chat_template.h"

namespace mote::jinja {
namespace {

// The value printed as Python's repr, or the status message.
std::string Repr(const std::string& json) {
  ChatInput input;
  input.extra_json = "{\"v\": " + json + "}";
  const auto parsed = ChatTemplate::Parse("{{ [v] }}");
  const Result<std::string> text = (*parsed)->Render(input);
  return text.ok() ? text->substr(1, text->size() - 2) : text.status().message();
}

TEST(JsonReader, Values) {
  EXPECT_EQ(Repr(" [1, -0, 1.0, 1e2, -1.5E-3, true, false, null, \"x\", {}, [] ] "),
            "[1, 0, 1.0, 100.0, -0.0015, True, False, None, 'x', {}, []]");
  EXPECT_EQ(Repr(R"({"b": 1, "a": {"c": [1]}, "b": 2})"), "{'b': 2, 'a': {'c': [1]}}");
  EXPECT_EQ(Repr(R"("\"\\\/\b\f\n\r\t\u0041\u00e9\ud83d\ude00")"), "'\"\\\\/\\x08\\x0c\\n\\r\\tAé😀'");
  EXPECT_EQ(Repr("9223372036854775807"), "9223372036854775807");
  EXPECT_EQ(Repr("-9223372036854775808"), "-9223372036854775808");
  EXPECT_EQ(Repr("1e400"), "inf");
  EXPECT_EQ(Repr("-1.5E+400"), "-inf");
  EXPECT_EQ(Repr("1.5e-400"), "0.0");
  EXPECT_EQ(Repr("-1.5e-400"), "-0.0");
  EXPECT_EQ(Repr("0.0e400"), "0.0");
  EXPECT_EQ(Repr("1.5e99999999999999999999999"), "inf");
  EXPECT_EQ(Repr("1.5e-99999999999999999999999"), "0.0");
  EXPECT_EQ(Repr(std::string(400, '1') + ".5"), "inf");
  EXPECT_EQ(Repr(std::string(400, '1') + "e-390"), "1111111111.1111112");
  EXPECT_EQ(Repr("0." + std::string(400, '0') + "1"), "0.0");
  EXPECT_EQ(Repr("0." + std::string(400, '0') + "1e402"), "10.0");
  EXPECT_EQ(Repr("5e-324"), "5e-324");
  EXPECT_EQ(Repr("0.1"), "0.1");
  EXPECT_EQ(Repr("123456789012345678.0"), "1.2345678901234568e+17");
}

TEST(JsonReader, FewestDigitsThatMeanTheNumber) {
  // Below a power of two (the last two of these: 2^-44, 2^-1022) doubles stand closer together: the nearest number of
  // 16 digits may mean another one, where one farther up does not.
  for (const char* text : {"1e+23", "4.35", "9.5e-05", "0.30000000000000004", "1.7976931348623157e+308", "1e-323",
                           "5.684341886080802e-14", "2.2250738585072014e-308"}) {
    EXPECT_EQ(Repr(text), text);
  }
}

TEST(JsonReader, Refuses) {
  for (const char* text : {"",
                           " ",
                           "{",
                           "[",
                           "[1",
                           "[1,",
                           "[1,]",
                           "[,1]",
                           "{\"a\"}",
                           "{\"a\":}",
                           "{\"a\":1,}",
                           "{1:2}",
                           "{a:1}",
                           "'x'",
                           "\"x",
                           "\"\\",
                           "\"\\x\"",
                           "\"\\u12\"",
                           "\"\\ud800\"",
                           "\"\\ud800\\u0041\"",
                           "\"\\udc00\"",
                           "\"a\nb\"",
                           "01",
                           "-",
                           "+1",
                           ".5",
                           "1.",
                           "1e",
                           "1e+",
                           "0x1",
                           "tru",
                           "True",
                           "nan",
                           "NaN",
                           "Infinity",
                           "1 2",
                           "[] []",
                           "nullx",
                           "9223372036854775808",
                           "-9223372036854775809"}) {
    Heap heap;
    const Result<Value> value = ReadJson(text, &heap);
    ASSERT_FALSE(value.ok()) << text;
    EXPECT_EQ(value.status().code(), Code::kInvalidArgument);
    EXPECT_NE(value.status().message().find("JSON, byte "), std::string::npos);
  }
}

TEST(JsonReader, DepthIsBounded) {
  Heap heap;
  EXPECT_TRUE(ReadJson(std::string(kMaxJsonDepth, '[') + std::string(kMaxJsonDepth, ']'), &heap).ok());
  EXPECT_FALSE(ReadJson(std::string(kMaxJsonDepth + 1, '[') + std::string(kMaxJsonDepth + 1, ']'), &heap).ok());
  EXPECT_FALSE(ReadJson(std::string(10000000, '['), &heap).ok());
}

TEST(JsonReader, TruncatedEverywhere) {
  const std::string text = R"({"a": [1, -2.5e3, true, null, "x\u00e9\n"], "b": {"c": {}}})";
  for (size_t cut = 0; cut < text.size(); ++cut) {
    Heap heap;
    EXPECT_FALSE(ReadJson(text.substr(0, cut), &heap).ok()) << cut;
  }
}

// Many keys stay fast: an attacker chooses them.
TEST(JsonReader, ManyKeys) {
  std::string text = "{";
  for (int i = 0; i < 100000; ++i) text += "\"k" + std::to_string(i) + "\":" + std::to_string(i) + ",";
  text += "\"k5\":-5}";
  Heap heap;
  const Result<Value> value = ReadJson(text, &heap);
  ASSERT_TRUE(value.ok());
  EXPECT_EQ(value->dict->entries.size(), 100000u);
  EXPECT_EQ(value->dict->Get("k99999")->integer, 99999);
  EXPECT_EQ(value->dict->entries[5].value.integer, -5);
  EXPECT_EQ(value->dict->Get("k100000"), nullptr);
}

}  // namespace
}  // namespace mote::jinja
