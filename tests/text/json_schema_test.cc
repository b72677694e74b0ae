// What schemas take, and what is refused, by path. Whether all that is made is valid is for walk_test.py to judge.
#include "engine/text/json_schema.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "engine/text/grammar.h"
#include "engine/text/grammar_matcher.h"
#include "tests/support/effort.h"
#include "tests/text/walk.h"

namespace mote {
namespace {

bool Matches(const std::shared_ptr<const Grammar>& grammar, std::string_view text) {
  GrammarMatcher matcher(grammar);
  return matcher.Accept(text) && matcher.MayEnd();
}

struct Case {
  const char* schema;
  std::vector<std::string_view> yes;
  std::vector<std::string_view> no;
};

void Check(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    SCOPED_TRACE(c.schema);
    const auto grammar = Grammar::FromJsonSchema(c.schema);
    ASSERT_TRUE(grammar.ok()) << grammar.status().message();
    for (const std::string_view text : c.yes) EXPECT_TRUE(Matches(*grammar, text)) << text;
    for (const std::string_view text : c.no) EXPECT_FALSE(Matches(*grammar, text)) << text;
  }
}

TEST(JsonSchema, Objects) {
  Check({
      {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"}},"required":["a","b"],
           "additionalProperties":false})",
       {R"({"a":1,"b":""})", R"({ "a": -20, "b": "x" })", "{\n  \"a\": 0,\n  \"b\": \"\\n\"\n}",
        "\n {\"a\":1,\"b\":\"\"}"},
       {"{}", R"({"a":1})", R"({"b":"","a":1})", R"({"a":1,"b":"","c":1})", R"({"a":1,"b":""} )", R"({"a":1.0,"b":""})",
        R"({"a":1,"b":"",})", R"({"a" :1,"b":""})", R"({"a":  1,"b":""})", R"({"a":1,"a":1,"b":""})"}},
      {R"({"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"},"c":{"type":"null"}},"required":["b"]})",
       {R"({"b":null})", R"({"a":null,"b":null})", R"({"b":null,"c":null})", R"({"a":null,"b":null,"c":null})"},
       {"{}", R"({"a":null})", R"({"c":null,"b":null})", R"({,"b":null})", R"({"b":null,"d":null})"}},
      {R"({"type":"object","properties":{"ab":{"type":"null"}},"additionalProperties":{"type":"integer"}})",
       {"{}", R"({"ab":null})", R"({"ab":null,"a":1,"abc":2,"":3,"é":4})", R"({"b":1})"},
       {R"({"ab":1})", R"({"a":1,"ab":1})", R"({"\u0061b":1})", R"({"a":null})"}},
      {R"({"type":"object"})",
       {"{}", R"({"x":[1,{"y":null}],"z":"\\ud7ff"})"},
       {"[]", "", R"({"x":[1,})", R"({x:1})", R"({"x":"\ud800"})"}},
      {R"({"properties":{"a":{"enum":["x","xy"]}}})", {"{}", R"({"a":"x"})", R"({"a":"xy"})"}, {R"({"a":"y"})", "1"}},
  });
}

TEST(JsonSchema, ArraysStringsAndChoices) {
  Check({
      {R"({"type":"array","items":{"type":"boolean"},"minItems":1,"maxItems":3})",
       {"[true]", "[ true, false ]", "[true,true,true]"},
       {"[]", "[true,true,true,true]", "[1]", "[true,]", "[true true]"}},
      {R"({"type":"array","prefixItems":[{"type":"integer"},{"type":"null"}],"items":{"type":"boolean"}})",
       {"[1,null]", "[1,null,true]", "[1,null,true,false]"},
       {"[null,1]", "[1,null,1]"}},
      {R"({"type":"array","items":[{"type":"integer"}],"additionalItems":false})", {"[7]"}, {"[7,8]"}},
      {R"({"type":"string","minLength":1,"maxLength":3})",
       {R"("a")", R"("abc")", "\"\xF0\x9F\x98\x80\xC3\xA9!\"", R"("\u00e9\n\"")"},
       {R"("")", R"("abcd")", R"("a)", "\"\n\"", R"("\x")"}},
      {R"({"type":["integer","null"]})", {"1", "null", "-5"}, {"1.5", "true", "01", "-0"}},
      {R"({"const":{"a":[1,"\u00e9\n"]}})", {"{\"a\":[1,\"\xC3\xA9\\n\"]}"}, {"{\"a\":[1]}"}},
      {R"({"enum":[1,"1",null]})", {"1", "\"1\"", "null"}, {"2", "true"}},
      {R"({"anyOf":[{"type":"integer"},{"type":"array","items":{"$ref":"#"}}]})",
       {"1", "[]", "[1,[2,[]]]"},
       {"[true]"}},
      {R"({"allOf":[{"type":"integer","minimum":3},{"maximum":5}]})", {"3", "4", "5"}, {"2", "6"}},
      {R"j({"type":"string","pattern":"^a+b?$"})j", {R"("a")", R"("aab")"}, {R"("b")", R"("abb")", R"("")"}},
      {R"j({"type":"string","pattern":"b"})j", {R"("b")", R"("abc")", R"("\nb\"")"}, {R"("ac")"}},
      {R"j({"type":"string","pattern":"^(?<name>x|y){2}(?:\\.\\d)?$"})j",
       {R"("xy")", R"("yy.5")"},
       {R"("x")", R"("xy5")"}},
      {R"j({"type":"string","pattern":"^[\\ud83d\\ude00\\x41\\u{42}\\t\"]$"})j",
       {"\"\xF0\x9F\x98\x80\"", R"("A")", R"("B")", R"("\t")", R"("\"")"},
       {R"("C")", "\"\t\""}},
      {R"({"type":"string","format":"date"})",
       {R"("2024-02-29")", R"("2000-02-29")", R"("1999-12-31")"},
       {R"("2023-02-29")", R"("1900-02-29")", R"("2024-04-31")", R"("2024-13-01")", R"("2024-1-1")"}},
      {R"({"type":"string","format":"date-time"})",
       {R"("2024-05-06T07:08:09.5+02:00")"},
       {R"("2024-05-06 07:08:09Z")"}},
  });
}

// Against arithmetic: all integers near the bounds, and decimals.
TEST(JsonSchema, Numbers) {
  const int64_t bounds[] = {-1000, -101, -100, -99, -10, -9, -1, 0, 1, 9, 10, 99, 100, 1234};
  for (const int64_t low : bounds) {
    for (const int64_t high : bounds) {
      const auto grammar = Grammar::FromJsonSchema("{\"type\":\"integer\",\"minimum\":" + std::to_string(low) +
                                                   ",\"maximum\":" + std::to_string(high) + "}");
      ASSERT_EQ(grammar.ok(), low <= high) << grammar.status().message();
      if (!grammar.ok()) continue;
      for (int64_t value = -1300; value <= 1300; value += value > -130 && value < 130 ? Effort(1, 7) : Effort(7, 77)) {
        ASSERT_EQ(Matches(*grammar, std::to_string(value)), low <= value && value <= high)
            << value << " in " << low << ".." << high;
      }
    }
  }
  const double decimals[] = {-12.5, -1, -0.25, 0, 0.25, 0.5, 1, 1.05, 12.5, 13};
  for (const double low : decimals) {
    for (const double high : decimals) {
      for (const bool exclusive : {false, true}) {
        char source[200];
        snprintf(source, sizeof(source), "{\"type\":\"number\",\"%s\":%.4f,\"%s\":%.4f}",
                 exclusive ? "exclusiveMinimum" : "minimum", low, exclusive ? "exclusiveMaximum" : "maximum", high);
        const auto grammar = Grammar::FromJsonSchema(source);
        ASSERT_EQ(grammar.ok(), exclusive ? low < high : low <= high) << source << grammar.status().message();
        if (!grammar.ok()) continue;
        for (int hundredths = -1310; hundredths <= 1310; hundredths += Effort(1, 5)) {
          if (hundredths == 0) continue;
          char text[40];
          snprintf(text, sizeof(text), "%s%d.%02d", hundredths < 0 ? "-" : "", abs(hundredths) / 100,
                   abs(hundredths) % 100);
          const double value = hundredths / 100.0;
          const bool in = exclusive ? low < value && value < high : low <= value && value <= high;
          ASSERT_EQ(Matches(*grammar, text), in) << text << " for " << source;
        }
      }
    }
  }
}

struct Refusal {
  const char* schema;
  Code code;
  const char* message;
};

void ExpectRefusals(const std::vector<Refusal>& refusals) {
  for (const Refusal& r : refusals) {
    const auto grammar = Grammar::FromJsonSchema(r.schema);
    ASSERT_FALSE(grammar.ok()) << r.schema;
    EXPECT_EQ(grammar.status().code(), r.code) << r.schema << ": " << grammar.status().message();
    EXPECT_NE(grammar.status().message().find(r.message), std::string::npos)
        << r.schema << ": " << grammar.status().message();
  }
}

TEST(JsonSchema, RefusalsNameTheKeyword) {
  ExpectRefusals({
      {"", Code::kMalformed, "JSON schema"},
      {"{", Code::kMalformed, "JSON schema"},
      {"1", Code::kMalformed, "$: a schema must be an object"},
      {"false", Code::kUnsupported, "$: nothing satisfies"},
      {R"({"type":"objekt"})", Code::kMalformed, "$.type: must be"},
      {R"({"type":[]})", Code::kMalformed, "$.type"},
      {R"({"not":{}})", Code::kUnsupported, "$.not: this keyword is not supported"},
      {R"({"if":{},"then":{}})", Code::kUnsupported, "$.if"},
      {R"({"type":"object","patternProperties":{"a":{}}})", Code::kUnsupported, "$.patternProperties"},
      {R"({"type":"object","propertyNames":{}})", Code::kUnsupported, "$.propertyNames"},
      {R"({"type":"object","dependentRequired":{}})", Code::kUnsupported, "$.dependentRequired"},
      {R"({"type":"object","minProperties":1})", Code::kUnsupported, "$.minProperties"},
      {R"({"type":"object","maxProperties":1})", Code::kUnsupported, "$.maxProperties"},
      {R"({"type":"object","unevaluatedProperties":false,"additionalProperties":true})", Code::kUnsupported,
       "$.unevaluatedProperties"},
      {R"({"type":"object","properties":{"x":{"type":"array","items":{"contains":1}}}})", Code::kUnsupported,
       "$.properties.x.items.contains"},
      {R"({"type":"object","properties":[]})", Code::kMalformed, "$.properties: must be"},
      {R"({"type":"object","required":"a"})", Code::kMalformed, "$.required: must be"},
      {R"({"type":"object","required":["a"],"additionalProperties":false})", Code::kUnsupported,
       "$.required: \"a\" is"},
      {R"({"type":"object","properties":{"a":false},"required":["a"]})", Code::kUnsupported, "$.properties.a: nothing"},
  });
}

TEST(JsonSchema, RefusalsOfCountsAndFormats) {
  ExpectRefusals({
      {R"({"type":"array","uniqueItems":true})", Code::kUnsupported, "$.uniqueItems"},
      {R"({"type":"array","minItems":3,"maxItems":2})", Code::kUnsupported, "$.minItems"},
      {R"({"type":"array","minItems":-1})", Code::kMalformed, "$.minItems: must be"},
      {R"({"type":"array","minItems":1.5})", Code::kMalformed, "$.minItems: must be"},
      {R"({"type":"array","prefixItems":[{}],"items":false,"minItems":2})", Code::kUnsupported, "$.minItems"},
      {R"({"type":"string","maxLength":65537})", Code::kUnsupported, "$.maxLength: counts up to 65536"},
      {R"({"type":"string","maxLength":1e300})", Code::kMalformed, "$.maxLength"},
      {R"({"type":"string","minLength":3,"maxLength":2})", Code::kUnsupported, "$.minLength"},
      {R"({"type":"string","format":"iri"})", Code::kUnsupported, "$.format: \"iri\" is not supported; date, time"},
      {R"j({"type":"string","pattern":"^a*$","maxLength":3})j", Code::kUnsupported, "$.maxLength: the pattern also"},
      {R"j({"type":"string","pattern":"^a$","minLength":3})j", Code::kUnsupported, "$.minLength: the pattern also"},
      {R"j({"type":"string","pattern":"a","format":"date"})j", Code::kUnsupported, "$.format"},
  });
}

TEST(JsonSchema, RefusalsOfPatternsAndNumbers) {
  ExpectRefusals({
      {R"j({"type":"string","pattern":"(?=a)"})j", Code::kUnsupported, "$.pattern: the pattern, byte 2: looking ahead"},
      {R"j({"type":"string","pattern":"(?<!a)b"})j", Code::kUnsupported, "looking ahead or behind"},
      {R"j({"type":"string","pattern":"(a)\\1"})j", Code::kUnsupported, "\\1 is not supported"},
      {R"j({"type":"string","pattern":"\\bx"})j", Code::kUnsupported, "\\b is not supported"},
      {R"j({"type":"string","pattern":"\\p{L}"})j", Code::kUnsupported, "\\p is not supported"},
      {R"j({"type":"string","pattern":"a^b"})j", Code::kUnsupported, "'^' and '$' elsewhere"},
      {R"j({"type":"string","pattern":"(^a$)"})j", Code::kUnsupported, "'^' and '$' elsewhere"},
      {R"j({"type":"string","pattern":"a)"})j", Code::kMalformed, "')' without"},
      {R"j({"type":"string","pattern":"(a"})j", Code::kMalformed, "expected ')'"},
      {R"j({"type":"string","pattern":"[a"})j", Code::kMalformed, "without ']'"},
      {R"j({"type":"string","pattern":"[z-a]"})j", Code::kMalformed, "ends before it begins"},
      {R"j({"type":"string","pattern":"[]"})j", Code::kMalformed, "matches nothing"},
      {R"j({"type":"string","pattern":"*a"})j", Code::kMalformed, "nothing stands before"},
      {R"j({"type":"string","pattern":"a**"})j", Code::kMalformed, "nothing stands before"},
      {R"j({"type":"string","pattern":"a{2,1}"})j", Code::kMalformed, "ends below"},
      {R"j({"type":"string","pattern":"a{9999999999}"})j", Code::kInvalidArgument, "up to 2000"},
      {R"j({"type":"string","pattern":"a\\"})j", Code::kMalformed, "at the end"},
      {R"({"type":"number","multipleOf":0.5})", Code::kUnsupported, "$.multipleOf"},
      {R"({"type":"integer","multipleOf":5})", Code::kUnsupported, "$.multipleOf"},
      {R"({"type":"integer","minimum":5,"maximum":4})", Code::kUnsupported, "no number is within"},
      {R"({"type":"integer","exclusiveMinimum":4,"exclusiveMaximum":5})", Code::kUnsupported, "no number is within"},
      {R"({"type":"number","minimum":1e30})", Code::kUnsupported, "$.minimum"},
      {R"({"type":"number","exclusiveMinimum":true})", Code::kMalformed, "$.exclusiveMinimum: must be a number"},
  });
}

TEST(JsonSchema, RefusalsOfChoicesAndReferences) {
  ExpectRefusals({
      {R"({"enum":[]})", Code::kMalformed, "$.enum"},
      {R"({"type":"string","enum":[1]})", Code::kUnsupported, "$.enum: no value is of the type"},
      {R"({"enum":["a"],"maxLength":3})", Code::kUnsupported, "$.maxLength: is not supported beside enum"},
      {R"({"anyOf":[]})", Code::kMalformed, "$.anyOf"},
      {R"({"anyOf":[{"type":"string"},{"contains":1}]})", Code::kUnsupported, "$.anyOf[1].contains"},
      {R"({"oneOf":[{"type":"integer"},{"type":"number"}]})", Code::kUnsupported,
       "alternatives 0 and 1 may hold at once"},
      {R"({"oneOf":[{"type":"object","properties":{"a":{}}},{"type":"object","properties":{"b":{}}}]})",
       Code::kUnsupported, "may hold at once"},
      {R"({"allOf":[{"type":"string"},{"type":"integer"}]})", Code::kUnsupported, "exclude each other"},
      {R"({"allOf":[{"type":"string","pattern":"a"},{"pattern":"b"}]})", Code::kUnsupported, "pattern: two of it"},
      {R"({"allOf":[{"enum":[1]},{"enum":[2]}]})", Code::kUnsupported, "enum"},
      {R"({"$ref":"#/$defs/a"})", Code::kMalformed, "$.$ref: \"#/$defs/a\" points to nothing"},
      {R"({"$ref":"http://x/y"})", Code::kUnsupported, "$.$ref: only references within"},
      {R"({"$ref":1})", Code::kMalformed, "$.$ref: must be a string"},
      {R"({"$ref":"#"})", Code::kMalformed, "can never end"},
      {R"({"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}})", Code::kMalformed,
       "can never end"},
      {R"({"$ref":"#/$defs/a","minimum":1,"$defs":{"a":{"$ref":"#/$defs/a","maximum":3}}})", Code::kUnsupported,
       "nested over 32 deep"},
      {R"({"anyOf":[{"$ref":"#"},{"type":"null"}]})", Code::kMalformed, "may begin with itself"},
      {R"({"type":"object","anyOf":[{"$ref":"#"}]})", Code::kUnsupported, "nested too deep"},
      {R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})", Code::kMalformed, "can never end"},
  });
}

std::string Times(size_t count, std::string_view text) {
  std::string all;
  for (size_t i = 0; i < count; ++i) all += text;
  return all;
}

void ExpectRefused(const std::string& schema, const char* message) {
  const auto grammar = Grammar::FromJsonSchema(schema);
  ASSERT_FALSE(grammar.ok()) << schema.substr(0, 100);
  EXPECT_NE(grammar.status().message().find(message), std::string::npos) << grammar.status().message();
}

TEST(JsonSchema, HostileSchemasAreRefused) {
  ExpectRefused(Times(100000, "["), "nested too deep");
  ExpectRefused(Times(70, R"({"items":)") + "{}" + Times(70, "}"), "nested too deep");
  ExpectRefused("{\"enum\":[" + Times(300000, "1,") + "1]}", "up to 262144");
  ExpectRefused("{\"type\":\"string\",\"pattern\":\"" + Times(60000, "(") + "\"}", "nested over 64 deep");
  ExpectRefused("{\"type\":\"string\",\"pattern\":\"" + Times(100, "[ab]{2000}") + Times(100, "[cd]{2000}") + "\"}",
                "too large");
  ExpectRefused("{\"type\":\"array\",\"items\":[" +
                    Times(20000, "{\"type\":\"string\",\"maxLength\":1},").substr(0, 250000) + "{}]}",
                "");
  // References that double at each step.
  std::string doubling = R"({"$ref":"#/$defs/d0","$defs":{)";
  for (int i = 0; i < 30; ++i) {
    const std::string next = "#/$defs/d" + std::to_string(i + 1);
    doubling += "\"d" + std::to_string(i) + R"(":{"type":"object","anyOf":[{"$ref":")" + next +
                R"(","minProperties":0},{"$ref":")" + next + R"(","title":"x"}]},)";
  }
  ExpectRefused(doubling + R"("d30":{"type":"object","additionalProperties":false}}})", "");
}

TEST(JsonSchema, LargeSchemasAreFine) {
  // 300 optional properties, and an enumeration of 4000 names that begin alike.
  std::string many = R"({"type":"object","additionalProperties":false,"properties":{)";
  for (int i = 0; i < 300; ++i)
    many += (i > 0 ? "," : "") + ("\"property_" + std::to_string(i)) + R"(":{"type":"integer"})";
  auto grammar = Grammar::FromJsonSchema(many + "}}");
  ASSERT_TRUE(grammar.ok()) << grammar.status().message();
  EXPECT_TRUE(Matches(*grammar, R"({"property_7":1,"property_13":2,"property_299":3})"));
  EXPECT_FALSE(Matches(*grammar, R"({"property_7":1,"property_300":2})"));
  EXPECT_FALSE(Matches(*grammar, R"({"property_13":1,"property_7":2})"));
  std::string names = R"({"enum":[)";
  for (int i = 0; i < 4000; ++i) names += (i > 0 ? "," : "") + ("\"the name of number " + std::to_string(i)) + "\"";
  grammar = Grammar::FromJsonSchema(names + "]}");
  ASSERT_TRUE(grammar.ok()) << grammar.status().message();
  EXPECT_TRUE(Matches(*grammar, "\"the name of number 3999\""));
  EXPECT_FALSE(Matches(*grammar, "\"the name of number 4000\""));
  grammar = Grammar::FromJsonSchema(R"({"type":"string","maxLength":65536})");
  ASSERT_TRUE(grammar.ok()) << grammar.status().message();
  EXPECT_TRUE(Matches(*grammar, "\"" + Times(65536, "a") + "\""));
  EXPECT_FALSE(Matches(*grammar, "\"" + Times(65537, "a") + "\""));
}

TEST(JsonSchema, AnyObjectNestsSoDeep) {
  const auto grammar = Grammar::AnyJsonObject();
  ASSERT_TRUE(grammar.ok()) << grammar.status().message();
  const int deep = grammar::kMaxJsonLevels;
  EXPECT_TRUE(Matches(*grammar, "{\"a\":" + Times(deep - 1, "[") + Times(deep - 1, "]") + "}"));
  EXPECT_FALSE(Matches(*grammar, "{\"a\":" + Times(deep, "[") + Times(deep, "]") + "}"));
  EXPECT_FALSE(Matches(*grammar, "[]"));
}

}  // namespace
}  // namespace mote
