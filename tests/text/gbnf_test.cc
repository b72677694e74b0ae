// GBNF: what is accepted, what texts the grammar then takes, and what is refused, with the place.
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "engine/text/grammar.h"
#include "engine/text/grammar_ast.h"
#include "engine/text/grammar_matcher.h"
#include "tests/support/effort.h"

namespace mote {
namespace {

std::shared_ptr<const Grammar> Make(std::string_view source) {
  auto grammar = Grammar::FromGbnf(source);
  EXPECT_TRUE(grammar.ok()) << source << ": " << grammar.status().message();
  return grammar.ok() ? *grammar : nullptr;
}

bool Matches(const std::shared_ptr<const Grammar>& grammar, std::string_view text) {
  GrammarMatcher matcher(grammar);
  return matcher.Accept(text) && matcher.MayEnd();
}

struct Case {
  const char* grammar;
  std::vector<std::string_view> yes;
  std::vector<std::string_view> no;
};

TEST(Gbnf, TextsOfTheDialect) {
  using namespace std::string_view_literals;
  const Case cases[] = {
      {"root ::= \"abc\"", {"abc"}, {"", "ab", "abcd", "abd"}},
      {"root ::= \"\"", {""}, {"a"}},
      {"root ::= \"<\" %json {\"type\":\"integer\"} \">\"", {"<7>", "<-12>"}, {"<>", "<a>", "7", "<7"}},
      {"root ::= (call \";\")+\ncall ::= %json {\"enum\":[\"}\",\"\\\"{\"]} | %json\n {\"const\":1}",
       {"\"}\";", "\"\\\"{\";1;", "1;1;1;"},
       {"1", "2;", "\"}\"", ";"}},
      {"root ::= ", {""}, {"a"}},
      {"root ::= \"a\" | \"b\" |", {"a", "b", ""}, {"ab"}},
      {"root ::= (\"a\" | \"ab\") \"c\"", {"ac", "abc"}, {"abcc", "c"}},
      {"root ::= [a-c0-9_]", {"a", "b", "c", "5", "_"}, {"d", "", "-", "ab"}},
      {"root ::= [^a-c]", {"d", "\n", "\xC3\xA9", "\xF0\x9F\x98\x80"}, {"a", "b", "\xC3", "\x80", "\xED\xA0\x80"}},
      {"root ::= [a-]", {"a", "-"}, {"b"}},
      {"root ::= [-a]", {"a", "-"}, {"b"}},
      {"root ::= [\\]\\[\\\\\\\"]+", {"]", "[", "\\", "\"", "[]"}, {"a"}},
      {"root ::= \"\\x41\\u00e9\\U0001F600\\t\\r\\n\\\\\\\"\"", {"A\xC3\xA9\xF0\x9F\x98\x80\t\r\n\\\""}, {"A"}},
      {"root ::= [\\x00-\\x1f]", {"\0"sv, "\x1f"}, {" "}},
      {"root ::= .", {"a", "\n", "\xE2\x82\xAC"}, {"", "\xE2\x82", "\xFF", "ab"}},
      {"root ::= \"a\"*", {"", "a", "aaaaaaaa"}, {"b", "aab"}},
      {"root ::= \"a\"+", {"a", "aaaaaaaa"}, {"", "b"}},
      {"root ::= \"a\"?", {"", "a"}, {"aa"}},
      {"root ::= \"a\"{3}", {"aaa"}, {"", "aa", "aaaa"}},
      {"root ::= \"a\"{2,}", {"aa", "aaa", "aaaaaaa"}, {"", "a"}},
      {"root ::= \"a\"{1,}", {"a", "aaa"}, {""}},
      {"root ::= \"a\"{0,}", {"", "aaa"}, {"b"}},
      {"root ::= \"ab\"{2,3}", {"abab", "ababab"}, {"ab", "abababab", "aba"}},
      {"root ::= [ab]{ 2 , 3 }", {"ab", "aba"}, {"a", "abab"}},
      {"root ::= \"a\"{0}\"b\"", {"b"}, {"ab"}},
      {"root ::= \"a\"{0,2}\"b\"", {"b", "ab", "aab"}, {"aaab"}},
      {"root ::= (\"a\"? \"b\"?){2,3}", {"", "ab", "abab", "ababab", "ba"}, {"abababab", "c"}},
      {"root ::= (\"a\"*)*", {"", "aaa"}, {"b"}},
      {"root ::= (\"\" | \"a\")+ \"b\"", {"b", "aab"}, {"a"}},
      {"root ::= (\"a\"?)+", {"", "a", "aaa"}, {"b"}},
      {"root ::= ((\"a\"{2}){2}){2}", {"aaaaaaaa"}, {"aaaaaaa", "aaaaaaaaa"}},
      {"# first\nroot ::= a b # second\n\n  # third\na ::= \"x\"\nb ::= \"y\"\n", {"xy"}, {"x"}},
      {"root ::= a |\n  b\na ::= \"x\"\nb ::= \"y\"", {"x", "y"}, {"xy"}},
      {"root ::= a\n  | b\na ::= \"x\"\nb ::= \"y\"", {"x", "y"}, {"xy"}},
      {"root ::=\n  \"x\"\r\n", {"x"}, {""}},
      {"root ::= (\n  \"x\"\n  | \"y\" # why\n  \"z\"\n)\n", {"x", "yz"}, {"y"}},
      {"root ::= expr\nexpr ::= term (\"+\" term)*\nterm ::= [0-9]+ | \"(\" expr \")\"",
       {"1", "1+2", "(1+(2))+34", "((((5))))"},
       {"", "+", "(1", "1)", "1++2"}},
      {"root ::= \"a\" root \"b\" | \"\"", {"", "ab", "aaabbb"}, {"a", "abb", "aab", "ba"}},
      {"root ::= \"a\" root | \"b\"", {"b", "aaab"}, {"a", "ab "}},
      {"root ::= a a\na ::= \"x\" | \"\"", {"", "x", "xx"}, {"xxx"}},
      {"root ::= s \"!\"\ns ::= \"a\" s \"a\" | \"b\" s \"b\" | \"\"", {"!", "abba!", "aabbaa!"}, {"ab!", "aba!"}},
      {"root ::= \"name\" | \"named\" | \"nam\" x | \"n\"\nx ::= \"xy\"",
       {"name", "named", "namxy", "n"},
       {"na", "nam"}},
      {"root_2 ::= \"a\"\nroot ::= root_2", {"a"}, {"b"}},
      {"root ::= \"\\/\" [\\^\\-]", {"/^", "/-"}, {"/\\"}},
      {"root ::= [\xC3\xA0-\xC3\xBF\xE2\x82\xAC]", {"\xC3\xA9", "\xE2\x82\xAC"}, {"\xC3\x80", "a"}},
      {"root ::= [\\u0080-\\U0010FFFF]",
       {"\xC2\x80", "\xED\x9F\xBF", "\xEE\x80\x80", "\xF4\x8F\xBF\xBF"},
       {"a", "\xED\xA0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80"}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.grammar);
    const auto grammar = Make(c.grammar);
    if (grammar == nullptr) continue;
    for (const std::string_view text : c.yes) EXPECT_TRUE(Matches(grammar, text)) << '"' << text << '"';
    for (const std::string_view text : c.no) EXPECT_FALSE(Matches(grammar, text)) << '"' << text << '"';
  }
}

TEST(Gbnf, ClassesAgreeWithTheirCodePoints) {
  const struct {
    const char* text;
    uint32_t first;
    uint32_t last;
  } ranges[] = {{"\\x00-\\x7f", 0, 0x7F},
                {"\\x41-\\u0100", 0x41, 0x100},
                {"\\u07f0-\\u0810", 0x7F0, 0x810},
                {"\\u0fff-\\u2001", 0xFFF, 0x2001},
                {"\\ud7f0-\\ue010", 0xD7F0, 0xE010},
                {"\\uffF0-\\U00010010", 0xFFF0, 0x10010},
                {"\\U0003ffff-\\U00100001", 0x3FFFF, 0x100001}};
  for (const auto& range : ranges) {
    const bool surrogate_ends = range.first >= 0xD800 && range.first < 0xE000;
    ASSERT_FALSE(surrogate_ends);
    const auto inside = Make(std::string("root ::= [") + range.text + "]");
    const auto outside = Make(std::string("root ::= [^") + range.text + "]");
    ASSERT_NE(inside, nullptr);
    ASSERT_NE(outside, nullptr);
    for (uint32_t code = 0; code <= 0x10FFFF;
         code += code < 0x3000 || (code > 0xD700 && code < 0xE100) ? 1 : Effort(61, 1021)) {
      std::string text;
      if (code < 0x80) {
        text = {static_cast<char>(code)};
      } else if (code < 0x800) {
        text = {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 63))};
      } else if (code < 0x10000) {
        text = {static_cast<char>(0xE0 | code >> 12), static_cast<char>(0x80 | (code >> 6 & 63)),
                static_cast<char>(0x80 | (code & 63))};
      } else {
        text = {static_cast<char>(0xF0 | code >> 18), static_cast<char>(0x80 | (code >> 12 & 63)),
                static_cast<char>(0x80 | (code >> 6 & 63)), static_cast<char>(0x80 | (code & 63))};
      }
      const bool surrogate = code >= 0xD800 && code < 0xE000;
      const bool in = code >= range.first && code <= range.last;
      ASSERT_EQ(Matches(inside, text), in && !surrogate) << code;
      ASSERT_EQ(Matches(outside, text), !in && !surrogate) << code;
    }
  }
}

TEST(Gbnf, RefusalsNameThePlace) {
  const struct {
    std::string grammar;
    const char* message;
  } cases[] = {
      {"", "no rule 'root'"},
      {"# nothing\n", "no rule 'root'"},
      {"rot ::= \"a\"", "no rule 'root'"},
      {"root ::= a", "rule 'a' is used and not defined"},
      {"root ::= \"a\"\n\n\nb ::= c\n", "line 4: rule 'c' is used and not defined"},
      {"root = \"a\"", "line 1, column 6: expected '::='"},
      {"root ::= \"a", "line 1, column 10: a literal without"},
      {"root ::= [a", "line 1, column 10: a character class without"},
      {"root ::= [b-a]", "column 11: the range ends before it begins"},
      {"root ::= []", "column 10: the character class matches nothing"},
      {"root ::= [^\\x00-\\U0010FFFF]", "the character class matches nothing"},
      {"root ::= (\"a\"", "expected ')'"},
      {"root ::= \"a\")", "column 13: ')' without '('"},
      {"root ::= *", "nothing stands before '*'"},
      {"root ::= %yaml {}", "line 1, column 10: after '%' only 'json' is known"},
      {"root ::= %json [1]", "column 16: expected a JSON schema"},
      {"root ::= %json {\"a\": \"}\"", "column 16: a JSON schema without its closing '}'"},
      {"root ::= %json {\"type\": \"strin\"}", "line 1, column 10: JSON schema"},
      {"root ::= \"a\" | +", "nothing stands before '+'"},
      {"root ::= \"a\"{2", "expected '}'"},
      {"root ::= \"a\"{}", "expected a number"},
      {"root ::= \"a\"{3,2}", "ends below its begin"},
      {"root ::= \"a\"{2001}", "up to 2000"},
      {"root ::= \"a\"{99999999999999999999}", "up to 2000"},
      {"root ::= \"a\"{0,4294967296}", "up to 2000"},
      {"root ::= \"\\q\"", "unknown escape"},
      {"root ::= \"\\x4\"", "expected 2 hexadecimal digits"},
      {"root ::= \"\\ud800\"", "no character has this code"},
      {"root ::= \"\\UFFFFFFFF\"", "no character has this code"},
      {"root ::= \"\xFF\"", "not UTF-8"},
      {"root ::= \"a\" ;", "expected an element"},
      {"root ::= <think>", "tokens by name or id"},
      {"root ::= !<think>", "tokens by name or id"},
      {"root ::= \"a\"\nroot ::= \"b\"",
       "line 2, column 1: rule 'root' is defined a second time; the first is in line 1"},
      {"root ::= root \"a\" | \"b\"", "rule 'root' (line 1) may begin with itself"},
      {"root ::= a\na ::= b \"x\"\nb ::= \"y\"? a | \"z\"", "may begin with itself"},
      {"root ::= e*\ne ::= \"\" root", "may begin with itself"},
      {"root ::= \"a\" root", "rule 'root' (line 1) can never end"},
      {"root ::= \"a\" | b\nb ::= \"(\" b \")\"", "rule 'b' (line 2) can never end"},
  };
  for (const auto& c : cases) {
    const auto grammar = Grammar::FromGbnf(c.grammar);
    ASSERT_FALSE(grammar.ok()) << c.grammar;
    EXPECT_NE(grammar.status().message().find(c.message), std::string::npos)
        << c.grammar << ": " << grammar.status().message();
  }
}

TEST(Gbnf, CopiesGoTheirOwnWays) {
  const auto grammar = Make("root ::= \"[\" (root | [a-z]+) \"]\"");
  GrammarMatcher one(grammar);
  ASSERT_TRUE(one.Accept("[[[ab"));
  GrammarMatcher two(one);
  EXPECT_TRUE(one.Accept("]]]"));
  EXPECT_TRUE(one.MustEnd());
  EXPECT_FALSE(two.MayEnd());
  EXPECT_FALSE(two.Accept("]]]]"));
  EXPECT_TRUE(two.Accept("c]]"));
  EXPECT_FALSE(two.MayEnd());
  one = two;
  EXPECT_TRUE(one.Accept("]"));
  EXPECT_TRUE(one.MustEnd());
}

TEST(Gbnf, AcceptIsAllOrNothing) {
  GrammarMatcher matcher(Make("root ::= \"abc\" [0-9]"));
  EXPECT_FALSE(matcher.Accept("abd"));
  EXPECT_TRUE(matcher.Accept("ab"));
  EXPECT_FALSE(matcher.Accept("cx"));
  EXPECT_TRUE(matcher.Accept("c7"));
  EXPECT_TRUE(matcher.MustEnd());
  EXPECT_FALSE(matcher.Accept("7"));
  EXPECT_TRUE(matcher.Accept(""));
}

}  // namespace
}  // namespace mote
