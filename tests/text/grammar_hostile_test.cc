// Grammars made to take all memory, all stack or all time: each is refused, or costs what its text costs.
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "engine/text/grammar.h"
#include "engine/text/grammar_ast.h"
#include "engine/text/grammar_matcher.h"

namespace mote {
namespace {

std::string Times(size_t count, std::string_view text) {
  std::string all;
  for (size_t i = 0; i < count; ++i) all += text;
  return all;
}

void ExpectRefused(const std::string& source, const char* message) {
  const auto grammar = Grammar::FromGbnf(source);
  ASSERT_FALSE(grammar.ok()) << source.substr(0, 80);
  EXPECT_NE(grammar.status().message().find(message), std::string::npos) << grammar.status().message();
}

std::shared_ptr<const Grammar> Make(const std::string& source) {
  auto grammar = Grammar::FromGbnf(source);
  EXPECT_TRUE(grammar.ok()) << source.substr(0, 80) << ": " << grammar.status().message();
  return grammar.ok() ? *grammar : nullptr;
}

TEST(GrammarHostile, NestingHasALimit) {
  ExpectRefused("root ::= " + Times(60000, "("), "nested over 64 deep");
  ExpectRefused("root ::= " + Times(60000, "(") + "\"a\"" + Times(60000, ")"), "nested over 64 deep");
  EXPECT_NE(Make("root ::= " + Times(64, "(") + "\"a\"" + Times(64, ")")), nullptr);
  ExpectRefused("root ::= " + Times(65, "(") + "\"a\"" + Times(65, ")"), "nested over 64 deep");
  ExpectRefused("root ::= \"a\"" + Times(60000, "*"), "nested too deep");
  ExpectRefused("root ::= \"a\"" + Times(60000, "?"), "nested too deep");
  // Counted repeats nest through rules, which have their own limit.
  ExpectRefused("root ::= [a]" + Times(60000, "{2}"), "too large");
}

TEST(GrammarHostile, SizesHaveLimits) {
  ExpectRefused("root ::= " + Times(kMaxGrammarEdges, "\"a\""), "up to 262144 are accepted");
  std::string rules = "root ::= \"a\"\n";
  for (int i = 0; i < 17000; ++i) rules += "r" + std::to_string(i) + "::=\"\"\n";
  ExpectRefused(rules, "more than 16384 rules");
  // 130 lists of 2000 states each.
  ExpectRefused("root ::= " + Times(140, "[a]{2000}"), "too large");
  EXPECT_NE(Make("root ::= " + Times(100, "[a]{2000}")), nullptr);
  // Each state would have an edge for each later part: a billion.
  ExpectRefused("root ::= " + Times(40000, "[a]?"), "too large");
  EXPECT_NE(Make("root ::= " + Times(60000, "\"\"?")), nullptr);
}

TEST(GrammarHostile, NestedRepeatsDoNotMultiply) {
  std::string source = "root ::= [a]{0,2000}";
  for (int i = 0; i < 20; ++i) source = "root ::= (" + source.substr(9) + "){0,2000}";
  const auto grammar = Make(source);
  ASSERT_NE(grammar, nullptr);
  EXPECT_LE(grammar->num_states(), 21u * 2002);
  GrammarMatcher matcher(grammar);
  EXPECT_TRUE(matcher.MayEnd());
  (void)matcher.Accept(Times(100, "a"));
  EXPECT_TRUE(matcher.MayEnd());
}

// What a byte costs does not grow with the bytes before it.
TEST(GrammarHostile, WorkIsLinearInTheText) {
  const struct {
    const char* grammar;
    std::string unit;
  } cases[] = {
      {"root ::= [a-z]*", "a"},
      {"root ::= \"a\" root | \"\"", "a"},
      {"root ::= (\"a\" | \"b\" | \"ab\")*", "ab"},
      {"root ::= ((\"a\"*)*)* \"b\"", "a"},
      {"root ::= (\"a\"* \"b\"? \"a\"*)* \"c\"", "a"},
      {"root ::= x*\nx ::= \"[\" x \"]\" | \"a\" | \"\" y\ny ::= \"b\" y | \"c\"", "[[a]]bbc"},
      {"root ::= \"\" list\nlist ::= item | item \",\" list\nitem ::= [a-z]+ | [a-z]+ \"!\"", "abc,"},
      {"root ::= (\"a\" | \"a\" | \"a\" | \"a\")*", "a"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.grammar);
    const auto grammar = Make(c.grammar);
    ASSERT_NE(grammar, nullptr);
    GrammarMatcher matcher(grammar);
    uint64_t first = 0;
    for (int round = 0; round < 8; ++round) {
      ASSERT_TRUE(matcher.Accept(Times(500, c.unit)));
      if (round == 0) first = matcher.sets().work();
    }
    EXPECT_LE(matcher.sets().work(), 10 * first + 1000);
    EXPECT_LT(matcher.sets().size(), 9000u);
  }
}

// Where a grammar has ever more readings of one text, it says no at some point instead of taking ever longer.
TEST(GrammarHostile, ReadingsHaveALimit) {
  for (const char* source :
       {"root ::= \"a\" root \"a\" | \"\"", "root ::= s\ns ::= \"a\" s \"a\" s | \"a\"",
        "root ::= (([a]{0,2000}){0,2000}){0,2000}", "root ::= s s s s s s\ns ::= \"a\" s s | \"a\""}) {
    SCOPED_TRACE(source);
    const auto grammar = Make(source);
    ASSERT_NE(grammar, nullptr);
    GrammarMatcher matcher(grammar);
    uint64_t worst = 0;
    for (int i = 0; i < 4000; ++i) {
      const uint64_t before = matcher.sets().work();
      const bool taken = matcher.Accept("a");
      worst = std::max(worst, matcher.sets().work() - before);
      if (taken) continue;
      EXPECT_TRUE(matcher.sets().gave_up());
      break;
    }
    EXPECT_LE(worst, 64 * GrammarSets::kMaxReadings);
  }
}

// Memory follows the nesting of the text, not its length.
TEST(GrammarHostile, LongTextsAreForgotten) {
  const auto grammar = Make("root ::= (x \",\")*\nx ::= \"(\" x \")\" | [a-z]{1,9}");
  GrammarMatcher matcher(grammar);
  size_t most = 0;
  uint32_t seed = 3;
  for (int i = 0; i < 3000; ++i) {
    seed = seed * 1664525u + 1013904223u;
    const size_t deep = (seed >> 10) % 200;
    ASSERT_TRUE(matcher.Accept(Times(deep, "(") + Times(1 + deep % 9, "q") + Times(deep, ")") + ","));
    most = std::max(most, matcher.sets().size());
  }
  EXPECT_LT(most, 20000u);
  EXPECT_TRUE(matcher.MayEnd());
}

}  // namespace
}  // namespace mote
