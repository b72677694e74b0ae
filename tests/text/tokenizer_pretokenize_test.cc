// Pre-tokenizers: how each family cuts, and that no input makes one slow.
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/pretokenize.h"
#include "gtest/gtest.h"
#include "tests/support/effort.h"

namespace mote {
namespace {

using Pieces = std::vector<std::string>;

Pieces Cut(std::string_view name, std::string_view text) {
  const PretokenizerSpec* spec = FindPretokenizer(name);
  if (spec == nullptr) return {"no such name"};
  const auto pretokenizer = Pretokenizer::Create(*spec);
  if (!pretokenizer.ok()) return {pretokenizer.status().message()};
  std::vector<uint32_t> lengths;
  pretokenizer->Split(text, &lengths);
  Pieces pieces;
  for (const uint32_t length : lengths) {
    pieces.emplace_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  EXPECT_TRUE(text.empty());
  return pieces;
}

TEST(Pretokenizer, NamesAreKnownOnce) {
  std::vector<std::string> names;
  std::string all = PretokenizerNames();
  for (size_t at = 0; at < all.size();) {
    const size_t end = std::min(all.find(", ", at), all.size());
    names.push_back(all.substr(at, end - at));
    at = end + 2;
  }
  EXPECT_GE(names.size(), 88u);
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
  for (const std::string& name : names) EXPECT_NE(FindPretokenizer(name), nullptr) << name;
  EXPECT_EQ(FindPretokenizer(""), nullptr);
  EXPECT_EQ(FindPretokenizer("gpt"), nullptr);
  EXPECT_EQ(FindPretokenizer("gpt-2 phi-2"), nullptr);
}

TEST(Pretokenizer, Gpt2) {
  EXPECT_EQ(Cut("gpt-2", "I'm 12345, y'ALL!  ok\n\n x"),
            (Pieces{"I", "'m", " 12345", ",", " y", "'", "ALL", "!", " ", " ok", "\n\n", " x"}));
  EXPECT_EQ(Cut("gpt-2", "a   "), (Pieces{"a", "   "}));
  EXPECT_EQ(Cut("gpt-2", "a\n b"), (Pieces{"a", "\n", " b"}));
}

TEST(Pretokenizer, Llama3) {
  EXPECT_EQ(Cut("llama-bpe", "I'M 1234567 (hey) don't...\n\n  x"),
            (Pieces{"I", "'M", " ", "123", "456", "7", " (", "hey", ")", " don", "'t", "...\n\n", " ", " x"}));
  EXPECT_EQ(Cut("llama3", "a \n \n b"), (Pieces{"a", " \n \n", " b"}));
  EXPECT_EQ(Cut("llama-v3", "\tfoo"), (Pieces{"\tfoo"}));
}

TEST(Pretokenizer, Qwen) {
  EXPECT_EQ(Cut("qwen2", "x123 it's"), (Pieces{"x", "1", "2", "3", " it", "'s"}));
  // e with a combining acute accent: qwen35 keeps marks in the word.
  EXPECT_EQ(Cut("qwen2", "e\xCC\x81t"), (Pieces{"e", "\xCC\x81t"}));
  EXPECT_EQ(Cut("qwen35", "e\xCC\x81t"), (Pieces{"e\xCC\x81t"}));
}

TEST(Pretokenizer, CasedWords) {
  EXPECT_EQ(Cut("gpt-4o", "HelloWorld ABCdef don't/\n"), (Pieces{"Hello", "World", " ABCdef", " don't", "/\n"}));
  // The same in Cyrillic.
  EXPECT_EQ(Cut("gpt-4o", "\xD0\x9F\xD1\x80\xD0\x9C\xD0\xB8"), (Pieces{"\xD0\x9F\xD1\x80", "\xD0\x9C\xD0\xB8"}));
  EXPECT_EQ(Cut("tekken", "don't 12"), (Pieces{"don", "'t", " ", "1", "2"}));
  // An ideograph is upper and lower at once: it ends a word of capitals.
  EXPECT_EQ(Cut("gpt-4o",
                "AB\xE4\xB8\xAD"
                "AB"),
            (Pieces{"AB\xE4\xB8\xAD", "AB"}));
  EXPECT_EQ(Cut("kimi-k2",
                "AB\xE4\xB8\xAD"
                "AB"),
            (Pieces{"AB", "\xE4\xB8\xAD", "AB"}));
}

TEST(Pretokenizer, DigitGroups) {
  EXPECT_EQ(Cut("superbpe", "ab1234567.12"), (Pieces{"ab", "1", "234", "567", ".", "12"}));
  EXPECT_EQ(Cut("afmoe", "x1234 123456"), (Pieces{"x", "1", "234", " ", "123", "456"}));
  EXPECT_EQ(Cut("tiny_aya", "1234 "), (Pieces{"1", "234", " "}));
  EXPECT_EQ(Cut("tiny_aya", "1234a"), (Pieces{"123", "4", "a"}));  // no word ends after the digits
  EXPECT_EQ(Cut("falcon", "a 12345"), (Pieces{"a", " ", "123", "45"}));
  EXPECT_EQ(Cut("starcoder", "a 12"), (Pieces{"a", " ", "1", "2"}));
}

TEST(Pretokenizer, Others) {
  EXPECT_EQ(Cut("deepseek-v3", "x.foo 12\xE4\xB8\xAD-3"), (Pieces{"x", ".foo", " ", "12", "\xE4\xB8\xAD", "-", "3"}));
  EXPECT_EQ(Cut("deepseek-llm", "Hi there\n\n, you  "), (Pieces{"Hi", " there", "\n", "\n", ",", " you", "  "}));
  EXPECT_EQ(Cut("poro-chat", "Hei, maa! (x)"), (Pieces{"Hei", ",", " maa", "! (", "x", ")"}));
  EXPECT_EQ(Cut("exaone-moe", "go to  the 1"), (Pieces{"go to", " ", " the", " ", "1"}));
  EXPECT_EQ(Cut("jais-2", "a" + std::string(13, ' ') + "b"),
            (Pieces{"a", std::string(8, ' '), std::string(4, ' '), " b"}));
  // Later stages cut what earlier ones isolated: the digits of a sentinel stand alone in the end.
  EXPECT_EQ(Cut("chameleon", "<sentinel:12>IMGIMGABZ  x"),
            (Pieces{"<", "sentinel", ":", "1", "2", ">", "IMGIMGABZ", "  ", "x"}));
  EXPECT_EQ(Cut("gemma4", "a b\n\nc"), (Pieces{"a b", "\n\n", "c"}));
}

TEST(Pretokenizer, EmptyAndInvalidText) {
  EXPECT_EQ(Cut("llama-bpe", ""), Pieces{});
  EXPECT_EQ(Cut("llama-bpe", "a\xFF\xFE b"), (Pieces{"a", "\xFF\xFE", " b"}));
}

// Each unit, repeated, keeps some rule busy: runs, runs that almost match, backtracking that gives all back.
TEST(Pretokenizer, StepsAreLinearForEveryFamilyAndEveryRun) {
  const std::string_view units[] = {"a",
                                    "A",
                                    " ",
                                    "\n",
                                    "\r",
                                    "\t",
                                    "1",
                                    "!",
                                    "'",
                                    "/",
                                    "<",
                                    "_",
                                    "\xC2\xA0",
                                    "\xE3\x80\x80",
                                    "\xCC\x81",
                                    "\xE4\xB8\xAD",
                                    "\xF0\x9F\x98\x80",
                                    "\x80",
                                    "\xFF",
                                    "\xE4",
                                    "\xED\xA0\x80",
                                    "\xC2\xBD",
                                    "\xE0\xA4\xBE",
                                    "aA",
                                    "Aa",
                                    "\xE4\xB8\xAD"
                                    "AAAAAAAA",
                                    "A\xCC\x81",
                                    "\xCC\x81"
                                    "A",
                                    "a ",
                                    " a",
                                    "  a",
                                    "\n a",
                                    " \n",
                                    "1a",
                                    "1 ",
                                    "111a",
                                    "'s",
                                    "'S",
                                    "!\n",
                                    "! ",
                                    "<sentinel:",
                                    "IMGIMGABC",
                                    " 1",
                                    "\xC2\xBD"
                                    "1",
                                    std::string_view("\0", 1)};
  constexpr size_t kSmall = Effort(1536, 384);
  for (const PretokenizerSpec& spec : Pretokenizers()) {
    const auto pretokenizer = Pretokenizer::Create(spec);
    ASSERT_TRUE(pretokenizer.ok()) << spec.names << ": " << pretokenizer.status().message();
    for (const std::string_view unit : units) {
      for (const char* ending : {"", "a", "\n"}) {
        std::string text;
        while (text.size() < kSmall) text += unit;
        const std::string start = text;
        text += ending;
        std::vector<uint32_t> pieces;
        // The worst is jais-2, which asks a run of spaces ten times how long it is.
        EXPECT_LE(pretokenizer->Split(text, &pieces), 64 * text.size()) << spec.names << " on " << unit;
        // A quadratic rule with a small constant would show here.
        const uint64_t once = pretokenizer->Split(text, &pieces);
        const uint64_t more = pretokenizer->Split(start + start + start + start + ending, &pieces);
        EXPECT_LE(more, 5 * once + 1000) << spec.names << " on " << unit;
      }
    }
  }
}

TEST(Pretokenizer, OneMebibyteOfEveryRun) {
  const std::string_view units[] = {"a",
                                    " ",
                                    "\n",
                                    "1",
                                    "!",
                                    "\xCC\x81",
                                    "\xE4\xB8\xAD",
                                    "\xFF",
                                    "\xE4\xB8\xAD"
                                    "AAAA"};
  for (const char* name : {"gpt-2", "gpt-4o", "jais-2"}) {
    const auto pretokenizer = Pretokenizer::Create(*FindPretokenizer(name));
    ASSERT_TRUE(pretokenizer.ok());
    for (const std::string_view unit : units) {
      std::string text;
      while (text.size() < Effort(1u << 20, 1u << 16)) text += unit;
      std::vector<uint32_t> pieces;
      EXPECT_LE(pretokenizer->Split(text, &pieces), 64 * text.size()) << name << " on " << unit;
      uint64_t total = 0;
      for (const uint32_t piece : pieces) total += piece;
      EXPECT_EQ(total, text.size());
    }
  }
}

}  // namespace
}  // namespace mote
