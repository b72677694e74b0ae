// Masks over vocabularies, against the plain way: every token tried on a copy.
#include "engine/text/token_grammar.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/grammar.h"
#include "engine/text/grammar_matcher.h"
#include "engine/text/token_trie.h"
#include "tests/text/tokenizer_samples.h"

namespace mote {
namespace {

constexpr std::string_view kJson = R"gbnf(
root   ::= object
value  ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" ws (pair ("," ws pair)*)? "}" ws
pair   ::= string ":" ws value
array  ::= "[" ws (value ("," ws value)*)? "]" ws
string ::= "\"" ([^"\\\x00-\x1f] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4}))* "\"" ws
number ::= "-"? ("0" | [1-9] [0-9]{0,15}) ("." [0-9]+)? ([eE] [-+]? [0-9]{1,3})? ws
ws     ::= ([ \t\n] ws)?
)gbnf";

// A tokenizer over any texts, of which an empty one is a control token and "</s>" the end.
class Texts final : public Tokenizer {
 public:
  explicit Texts(std::vector<std::string> texts) : texts_(std::move(texts)) {
    vocab_size_ = static_cast<int32_t>(texts_.size());
    for (const std::string& text : texts_) {
      const bool end = text == "</s>";
      if (end) end_of_generation_.push_back(static_cast<int32_t>(types_.size()));
      types_.push_back(end || text.empty() ? TokenType::kControl : TokenType::kNormal);
    }
  }
  Result<std::vector<int32_t>> Encode(std::string_view, EncodeOptions) const override { return std::vector<int32_t>(); }
  std::string Piece(int32_t token, bool) const override {
    return token < 0 || token >= vocab_size_ || IsControl(token) ? std::string() : texts_[static_cast<size_t>(token)];
  }
  std::string Decode(const std::vector<int32_t>&, bool) const override { return std::string(); }
  int32_t Find(std::string_view) const override { return kNoToken; }

 private:
  std::vector<std::string> texts_;
};

std::vector<std::string> Pieces() {
  std::vector<std::string> texts = {
      "</s>",  "",          "\"",    "{",    "}",        "[",        "]",      ":",    ",",        "{\"",
      "\":",   "\": ",      "\",",   "\"}",  "\"},",     "}}",       "]]",     "true", "tr",       "ue",
      "false", "null",      "nu",    "ll",   "12",       "-",        ".5",     "e",    "e+",       "\\",
      "\\\"",  "\\u",       "\\u00", "e9",   " ",        "  ",       "\n",     "name", "\"name\"", "\"name\":",
      " \"",   "a\":1,\"b", "\xC3",  "\xA9", "\xC3\xA9", "\xE2\x82", "\xAC\"", "\x80", "ab",       "abc",
      "abcd",  "0",         "1",     "9",    "[[[[",     "]]]]",     "{}",     "[]",   "[],",      "{},"};
  for (char c = 'a'; c <= 'z'; ++c) texts.emplace_back(1, c);
  return texts;
}

struct Fixture {
  explicit Fixture(std::string_view source, std::vector<std::string> texts = Pieces()) : tokenizer(std::move(texts)) {
    auto made = Grammar::FromGbnf(source);
    EXPECT_TRUE(made.ok()) << made.status().message();
    trie = std::make_shared<TokenTrie>(tokenizer, tokenizer.vocab_size() + 3);
    grammar = std::make_unique<TokenGrammar>(*made, trie);
  }
  Texts tokenizer;
  std::shared_ptr<TokenTrie> trie;
  std::unique_ptr<TokenGrammar> grammar;
};

// The same set, found by trying.
std::vector<int32_t> Plainly(const Fixture& f, const GrammarMatcher& matcher) {
  std::vector<int32_t> allowed;
  for (int32_t token = 0; token < f.tokenizer.vocab_size(); ++token) {
    const std::string piece = f.tokenizer.Piece(token, false);
    GrammarMatcher copy(matcher);
    if (!piece.empty() && copy.Accept(piece)) allowed.push_back(token);
  }
  return allowed;
}

// Follows the grammar at random and compares each mask. Returns the text.
std::string CompareAlong(const Fixture& f, uint32_t seed, int steps) {
  GrammarMatcher matcher(f.grammar->grammar());
  std::string text;
  for (int i = 0; i < steps; ++i) {
    TokenMask mask(f.trie->vocab_size());
    EXPECT_TRUE(f.grammar->Mask(&matcher, &mask).ok());
    const std::vector<int32_t> expected = Plainly(f, matcher);
    for (int32_t token = 0; token < f.trie->vocab_size(); ++token) {
      const bool in = std::find(expected.begin(), expected.end(), token) != expected.end();
      EXPECT_EQ(mask.Has(token), in) << "after \"" << text << "\": \"" << f.tokenizer.Piece(token, false) << '"';
    }
    EXPECT_EQ(mask.Any(), !expected.empty());
    EXPECT_TRUE(!matcher.MustEnd() || expected.empty());
    if (expected.empty()) break;
    seed = seed * 1664525u + 1013904223u;
    const std::string piece = f.tokenizer.Piece(expected[(seed >> 8) % expected.size()], false);
    EXPECT_TRUE(matcher.Accept(piece));
    text += piece;
  }
  return text;
}

TEST(TokenTrie, HoldsEveryTextOnce) {
  const std::vector<std::string> texts = Pieces();
  const Texts tokenizer(texts);
  const TokenTrie trie(tokenizer, tokenizer.vocab_size());
  std::string path;
  std::vector<bool> met(texts.size());
  for (uint32_t i = 0; i < trie.num_nodes(); ++i) {
    const TokenTrie::Node& node = trie.nodes()[i];
    ASSERT_GE(node.depth, 1u);
    ASSERT_LE(node.depth, path.size() + 1);
    ASSERT_GT(node.next, i);
    path.resize(node.depth - 1);
    path.push_back(static_cast<char>(node.byte));
    for (uint32_t t = node.tokens; t < trie.nodes()[i + 1].tokens; ++t) {
      const size_t token = static_cast<size_t>(trie.tokens()[t]);
      EXPECT_EQ(texts[token], path);
      EXPECT_FALSE(met[token]);
      met[token] = true;
      EXPECT_EQ(trie.Piece(static_cast<int32_t>(token)), path);
    }
  }
  for (size_t token = 0; token < texts.size(); ++token) EXPECT_EQ(met[token], token > 1) << texts[token];
  EXPECT_TRUE(trie.IsEnd(0));
  EXPECT_FALSE(trie.IsEnd(1));
  EXPECT_EQ(trie.Piece(0), "");
}

TEST(TokenGrammar, MasksAreWhatTryingFinds) {
  const std::string_view grammars[] = {
      kJson,
      "root ::= [a-z]+ (\" \" [a-z]+)*",
      "root ::= \"a\" root \"b\" | \"c\"",
      "root ::= (\"ab\" | \"abc\" | \"a\" \"bcd\"? | [a-c]{2,3}){1,20}",
      "root ::= s \"!\"\ns ::= \"a\" s \"a\" | \"b\" s \"b\" | [c-f]*",
      "root ::= item{3,7}\nitem ::= \"[\" (item | .)? \"]\"",
      "root ::= .*",
      "root ::= \"name\" | \"nam\" \"e\" \"1\"{0,3}",
      "root ::= \"\"",
  };
  for (const std::string_view source : grammars) {
    SCOPED_TRACE(source);
    const Fixture f(source);
    for (uint32_t seed = 1; seed <= 12; ++seed) CompareAlong(f, seed, 40);
  }
}

// Enough tokens for the walks of strings to be kept: the masks must be the same before and after.
TEST(TokenGrammar, KeptMasksAreWhatTryingFinds) {
  std::vector<std::string> texts = Pieces();
  for (char a = 'a'; a <= 'z'; ++a) {
    for (char b = 'a'; b <= 'z'; ++b) {
      texts.push_back({a, b});
      texts.push_back({a, b, '"'});
      texts.push_back({a, '"', ',', b});
      texts.push_back({a, '"', '}', ']', b});
    }
  }
  const Fixture f(kJson, std::move(texts));
  for (uint32_t seed = 1; seed <= 6; ++seed) CompareAlong(f, seed, 25);
  // A state that was met before costs next to nothing.
  GrammarMatcher matcher(f.grammar->grammar());
  ASSERT_TRUE(matcher.Accept("{\"a"));
  TokenMask mask(f.trie->vocab_size());
  ASSERT_TRUE(f.grammar->Mask(&matcher, &mask).ok());
  const uint64_t before = f.grammar->nodes_visited();
  GrammarMatcher elsewhere(f.grammar->grammar());
  ASSERT_TRUE(elsewhere.Accept("{\"a\":[{\"b"));
  ASSERT_TRUE(f.grammar->Mask(&elsewhere, &mask).ok());
  EXPECT_LT(f.grammar->nodes_visited() - before, f.trie->num_nodes() / 8);
}

// Texts that can be read in ever more ways: a mask takes bounded work, and then says that it is none.
TEST(TokenGrammar, RiddlesAreGivenUp) {
  std::vector<std::string> texts = Pieces();
  uint32_t seed = 5;
  for (int i = 0; i < 6000; ++i) {
    std::string text;
    for (int k = 0; k < 24; ++k) {
      seed = seed * 1664525u + 1013904223u;
      text += static_cast<char>('a' + (seed >> 16) % 3);
    }
    texts.push_back(text);
  }
  const Fixture f("root ::= s s s\ns ::= [ab] s [bc] | [bc] s [ab] | [a-c] s s | [a-c] | [ab] [bc]", std::move(texts));
  GrammarMatcher matcher(f.grammar->grammar());
  bool gave_up = false;
  for (int i = 0; i < 40 && !gave_up; ++i) {
    TokenMask mask(f.trie->vocab_size());
    const uint64_t before = matcher.sets().work();
    const Status status = f.grammar->Mask(&matcher, &mask);
    EXPECT_LE(matcher.sets().work(), before + (uint64_t{1} << 21) + 64 * GrammarSets::kMaxReadings);
    EXPECT_LE(matcher.sets().size(), size_t{1} << 16);
    gave_up = !status.ok();
    EXPECT_EQ(status.code(), gave_up ? Code::kInvalidArgument : Code::kOk);
    if (!matcher.Accept("abc")) break;
  }
  EXPECT_TRUE(gave_up);
}

TEST(TokenGrammar, AppliesToLogits) {
  const Fixture f("root ::= [a-e]");
  GrammarMatcher matcher(f.grammar->grammar());
  TokenMask mask(f.trie->vocab_size());
  ASSERT_TRUE(f.grammar->Mask(&matcher, &mask).ok());
  std::vector<float> logits(static_cast<size_t>(f.trie->vocab_size()), 1.5f);
  mask.Apply(logits);
  for (int32_t token = 0; token < f.trie->vocab_size(); ++token) {
    const std::string piece = f.tokenizer.Piece(token, false);
    const bool in = piece.size() == 1 && piece[0] >= 'a' && piece[0] <= 'e';
    EXPECT_EQ(logits[static_cast<size_t>(token)], in ? 1.5f : -std::numeric_limits<float>::infinity()) << piece;
  }
}

}  // namespace
}  // namespace mote
