// Encoding by small vocabularies whose answers are plain, and against slow and simple implementations of the rules.
#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/tokenizer.h"
#include "gtest/gtest.h"
#include "tests/support/effort.h"
#include "tests/text/tokenizer_samples.h"

namespace mote {
namespace {

using Ids = std::vector<int32_t>;
constexpr EncodeOptions kPlain = {.add_special = false, .parse_special = false};
constexpr EncodeOptions kParsed = {.add_special = false, .parse_special = true};

std::unique_ptr<Tokenizer> Make(const samples::Vocab& vocab) {
  auto tokenizer = samples::CreateFrom(vocab);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  return tokenizer.ok() ? std::move(*tokenizer) : nullptr;
}

Ids Encode(const Tokenizer& tokenizer, std::string_view text, EncodeOptions options = kPlain) {
  const auto ids = tokenizer.Encode(text, options);
  EXPECT_TRUE(ids.ok());
  return ids.ok() ? *ids : Ids{};
}

// The written forms of the ids, for messages and expectations that can be read.
std::vector<std::string> Written(const Tokenizer& tokenizer, const Ids& ids) {
  std::vector<std::string> result;
  for (const int32_t id : ids) result.push_back(tokenizer.Piece(id, true));
  return result;
}

uint32_t Random(uint32_t* state) {
  *state = *state * 1664525 + 1013904223;
  return *state >> 16;
}

// Lowest rank first, then leftmost: one pass over all pairs for each merge.
std::vector<std::string> NaiveMerge(std::vector<std::string> symbols, const std::map<std::string, float>& rank_of) {
  for (;;) {
    size_t best = symbols.size();
    float best_rank = 0;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto found = rank_of.find(symbols[i] + symbols[i + 1]);
      if (found != rank_of.end() && (best == symbols.size() || found->second < best_rank)) {
        best = i;
        best_rank = found->second;
      }
    }
    if (best == symbols.size()) return symbols;
    symbols[best] += symbols[best + 1];
    symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(best) + 1);
  }
}

TEST(TokenizerEncode, BpeMergesAsTheRulesSay) {
  // Every result here comes from one pair of parts only, so that text alone decides the rank.
  samples::Vocab vocab{"gpt2", "llama-bpe", {}, {}, false};
  for (int b = 0; b < 256; ++b) vocab.Add(samples::ByteChar(b));
  std::map<std::string, float> rank_of;
  const char* merges[][2] = {{"b", "c"}, {"a", "a"}, {"aa", "bc"}, {"c", "a"}, {"aa", "aa"}, {"b", "b"}, {"ca", "bb"}};
  for (const auto& merge : merges) {
    rank_of[std::string(merge[0]) + merge[1]] = static_cast<float>(vocab.merges.size());
    vocab.Merge(merge[0], merge[1]);
  }
  const auto tokenizer = Make(vocab);
  ASSERT_NE(tokenizer, nullptr);
  uint32_t state = 1;
  // 32 symbols is where the short way ends.
  for (size_t length = 1; length < 300; length += length < 70 ? 1 : 13) {
    for (int round = 0; round < Effort(20, 4); ++round) {
      std::string text;
      std::vector<std::string> symbols;
      for (size_t i = 0; i < length; ++i) {
        text += "aaabbc"[Random(&state) % 6];
        symbols.emplace_back(1, text.back());
      }
      if (tokenizer->Find(text) != kNoToken) continue;  // a whole word goes before merges
      ASSERT_EQ(Written(*tokenizer, Encode(*tokenizer, text)), NaiveMerge(symbols, rank_of)) << text;
    }
  }
}

TEST(TokenizerEncode, SpmMergesAsTheRulesSay) {
  const samples::Vocab vocab = samples::Spm();
  std::map<std::string, float> rank_of;
  for (const samples::Token& token : vocab.tokens) {
    if (token.type == TokenType::kNormal) rank_of[token.text] = -token.score;
  }
  const auto tokenizer = Make(vocab);
  ASSERT_NE(tokenizer, nullptr);
  uint32_t state = 7;
  for (size_t length = 1; length < 200; ++length) {
    for (int round = 0; round < Effort(10, 2); ++round) {
      std::string text;
      std::vector<std::string> symbols = {"\xE2\x96\x81"};
      for (size_t i = 0; i < length; ++i) {
        text += "aabbc ccc"[Random(&state) % 9];
        symbols.push_back(text.back() == ' ' ? "\xE2\x96\x81" : std::string(1, text.back()));
      }
      Ids expected;
      for (const std::string& symbol : NaiveMerge(symbols, rank_of)) expected.push_back(tokenizer->Find(symbol));
      ASSERT_EQ(Encode(*tokenizer, text), expected) << text;
      ASSERT_EQ(tokenizer->Decode(expected, false), text);
    }
  }
}

TEST(TokenizerEncode, WholeWordsGoBeforeMergesWhereTheFamilySaysSo) {
  for (const auto& [pre, whole] : {std::pair{"llama-bpe", true}, {"qwen2", false}}) {
    samples::Vocab vocab = samples::ByteLevel(pre);
    const int32_t word = vocab.Add("zzz");
    const auto tokenizer = Make(vocab);
    ASSERT_NE(tokenizer, nullptr);
    EXPECT_EQ(Encode(*tokenizer, "zzz") == Ids{word}, whole) << pre;
  }
}

TEST(TokenizerEncode, UsersCannotWriteSpecialTokens) {
  for (const char* pre : {"gpt-2", "llama-bpe"}) {
    samples::Vocab vocab = samples::ByteLevel(pre);
    // Merges that would spell a control token, and one whose word is a control token.
    vocab.Merge("<", "s");
    vocab.Merge("<s", ">");
    vocab.tokens.back().type = TokenType::kControl;
    vocab.Add("boom", TokenType::kControl);
    const auto tokenizer = Make(vocab);
    ASSERT_NE(tokenizer, nullptr);
    for (const char* text : {"<|bos|>", "<|im_end|>", "<unk>", "<s>", "boom", "x<|bos|><s> <s>"}) {
      for (const int32_t id : Encode(*tokenizer, text)) {
        EXPECT_FALSE(tokenizer->IsControl(id)) << text;
        EXPECT_FALSE(tokenizer->IsEndOfGeneration(id)) << text;
      }
      EXPECT_EQ(tokenizer->Decode(Encode(*tokenizer, text), false), text);
    }
    EXPECT_EQ(Encode(*tokenizer, "<s><|im_end|>", kParsed),
              (Ids{tokenizer->Find("<s>"), tokenizer->Find("<|im_end|>")}));
  }
  const auto spm = Make(samples::Spm());  // has "<s" and ">" as normal tokens
  ASSERT_NE(spm, nullptr);
  EXPECT_EQ(Written(*spm, Encode(*spm, "<s></s>", kParsed)), (std::vector<std::string>{"<s>", "</s>"}));
  EXPECT_EQ(Written(*spm, Encode(*spm, "<s>")), (std::vector<std::string>{" ", "<s", ">"}));
  EXPECT_EQ(spm->Decode(Encode(*spm, "<0x41>"), false), "<0x41>");
}

TEST(TokenizerEncode, UserDefinedTokensAreAlwaysFound) {
  const auto bpe = Make(samples::ByteLevel("gpt-2"));
  ASSERT_NE(bpe, nullptr);
  EXPECT_EQ(Written(*bpe, Encode(*bpe, "ab<tool>ab")), (std::vector<std::string>{"ab", "<tool>", "ab"}));
  const auto spm = Make(samples::Spm());
  ASSERT_NE(spm, nullptr);
  // A space is put before every word that starts the text or follows a special token.
  EXPECT_EQ(Written(*spm, Encode(*spm, "ab<tool>a")), (std::vector<std::string>{" ab", "<tool>", " a"}));
}

TEST(TokenizerEncode, TheLeftmostLongestSpecialTokenIsTaken) {
  samples::Vocab vocab = samples::ByteLevel("gpt-2");
  std::vector<std::string> specials;
  for (const char* text : {"#", "#x", "x#", "#x#", "xx#x", "##", "x", "#xx", "xxxx"}) {
    specials.emplace_back(text);
    // The single byte exists already.
    const int32_t known = text[1] == 0 ? static_cast<uint8_t>(text[0]) : -1;
    if (known >= 0) {
      vocab.tokens[static_cast<size_t>(known)].type = TokenType::kUserDefined;
    } else {
      vocab.Add(text, specials.size() % 2 == 0 ? TokenType::kControl : TokenType::kUserDefined);
    }
  }
  const auto tokenizer = Make(vocab);
  ASSERT_NE(tokenizer, nullptr);
  uint32_t state = 3;
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (uint32_t i = Random(&state) % 24; i > 0; --i) text += "x#x#a"[Random(&state) % 5];
    for (const bool parsed : {false, true}) {
      Ids expected;
      for (size_t at = 0; at < text.size();) {
        int32_t best = kNoToken;
        size_t best_bytes = 1;
        for (const std::string& special : specials) {
          const int32_t id = tokenizer->Find(special);
          if (text.compare(at, special.size(), special) != 0 || (!parsed && tokenizer->IsControl(id))) continue;
          if (best == kNoToken || special.size() > best_bytes) best = id, best_bytes = special.size();
        }
        if (best != kNoToken) {
          expected.push_back(best);
          at += best_bytes;
          continue;
        }
        size_t run = 1;  // of a's, which merge into "aa"
        while (at + run < text.size() && text[at + run] == 'a') ++run;
        for (const int32_t id : Encode(*tokenizer, std::string(run, 'a'))) expected.push_back(id);
        at += run;
      }
      ASSERT_EQ(Encode(*tokenizer, text, parsed ? kParsed : kPlain), expected) << text;
    }
  }
}

TEST(TokenizerEncode, TokensAreAddedAsTheFileAsks) {
  samples::Vocab vocab = samples::ByteLevel("gpt-2");
  const int32_t bos = vocab.Add("<B>", TokenType::kControl);
  const int32_t eos = vocab.Add("<E>", TokenType::kControl);
  for (const bool add_bos : {false, true}) {
    for (const bool add_eos : {false, true}) {
      GgufWriter writer;
      vocab.Fill(&writer);
      writer.SetUint32("tokenizer.ggml.bos_token_id", static_cast<uint32_t>(bos));
      writer.SetUint32("tokenizer.ggml.eos_token_id", static_cast<uint32_t>(eos));
      writer.SetBool("tokenizer.ggml.add_bos_token", add_bos);
      writer.SetBool("tokenizer.ggml.add_eos_token", add_eos);
      const auto tokenizer = samples::CreateFrom(samples::FileOf(writer));
      ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
      Ids expected;
      if (add_bos) expected.push_back(bos);
      expected.push_back('b');
      if (add_eos) expected.push_back(eos);
      EXPECT_EQ(Encode(**tokenizer, "b", {.add_special = true}), expected);
      EXPECT_EQ(Encode(**tokenizer, "b"), Ids{'b'});
      EXPECT_EQ((*tokenizer)->add_bos(), add_bos);
      EXPECT_EQ((*tokenizer)->bos(), bos);
      EXPECT_TRUE((*tokenizer)->IsEndOfGeneration(eos));
      EXPECT_FALSE((*tokenizer)->IsEndOfGeneration(bos));
      EXPECT_TRUE((*tokenizer)->IsEndOfGeneration((*tokenizer)->Find("<|im_end|>")));
    }
  }
  const auto spm = Make(samples::Spm());
  EXPECT_EQ(Encode(*spm, "", {.add_special = true}), Ids{1});
  EXPECT_EQ(Encode(*spm, ""), Ids{});
  EXPECT_TRUE(spm->IsEndOfGeneration(2));
}

TEST(TokenizerEncode, WordPiece) {
  const auto bert = Make(samples::WordPiece());
  ASSERT_NE(bert, nullptr);
  using Words = std::vector<std::string>;
  const auto words = [&](std::string_view text) { return Written(*bert, Encode(*bert, text)); };
  EXPECT_EQ(words("Hello, World"), (Words{" hello", " ,", " wor", "ld"}));
  EXPECT_EQ(words("h\xC3\xA9llo unable\tab"), (Words{" hello", " un", "able", " a", "b"}));
  EXPECT_EQ(words("a\xE4\xB8\xAD"
                  "a"),
            (Words{" a", " \xE4\xB8\xAD", " a"}));
  EXPECT_EQ(words("\xEA\xB0\x80"), (Words{" \xE1\x84\x80", "\xE1\x85\xA1"}));  // a Hangul syllable, decomposed
  EXPECT_EQ(words("xyz 1"), (Words{"[UNK]", " 1"}));
  EXPECT_EQ(words(std::string_view("he\0l\x01lo", 7)), (Words{" hello"}));  // control characters vanish
  EXPECT_EQ(words("a" + std::string(99, 'b')).size(), 100u);
  EXPECT_EQ(words("a" + std::string(100, 'b')), (Words{"[UNK]"}));  // too long
  EXPECT_EQ(Written(*bert, Encode(*bert, "a", {.add_special = true})), (Words{"[CLS]", " a", "[SEP]"}));
  EXPECT_EQ(bert->Decode(Encode(*bert, "hello world"), false), "hello world");
}

TEST(TokenizerEncode, PiecesOfEveryKind) {
  const auto bpe = Make(samples::ByteLevel("gpt-2"));
  EXPECT_EQ(bpe->Piece(0, false), std::string(1, '\0'));
  EXPECT_EQ(bpe->Piece(0xFF, false), "\xFF");
  EXPECT_EQ(bpe->Piece(bpe->Find("<|bos|>"), false), "");
  EXPECT_EQ(bpe->Piece(bpe->Find("<|bos|>"), true), "<|bos|>");
  EXPECT_EQ(bpe->Piece(-1, true), "");
  EXPECT_EQ(bpe->Piece(bpe->vocab_size(), true), "");
  EXPECT_EQ(bpe->Find("no such token"), kNoToken);
  EXPECT_EQ(bpe->Find(""), kNoToken);
  const auto spm = Make(samples::Spm());
  EXPECT_EQ(spm->Piece(3 + 0xE4, false), "\xE4");
  EXPECT_EQ(spm->Decode({1,
                         spm->Find("\xE2\x96\x81"
                                   "a"),
                         3 + 0xC3, 3 + 0xA9},
                        false),
            "a\xC3\xA9");
}

// The markers that open and close an answer differ by vocabulary; two are exceptions.
TEST(TokenizerEncode, EndsOfGeneration) {
  samples::Vocab vocab = samples::ByteLevel("gpt-4o");
  for (const char* text : {"<|return|>", "<|call|>", "<|end|>", "<|endoftext|>", "<|fim_pad|>", "<|file_sep|>"}) {
    vocab.Add(text);
  }
  const auto harmony = Make(vocab);
  for (const char* text : {"<|return|>", "<|call|>", "<|endoftext|>", "<|fim_pad|>", "<|file_sep|>"}) {
    EXPECT_TRUE(harmony->IsEndOfGeneration(harmony->Find(text))) << text;
    EXPECT_TRUE(harmony->IsControl(harmony->Find(text))) << text;
  }
  EXPECT_FALSE(harmony->IsEndOfGeneration(harmony->Find("<|end|>")));
  EXPECT_FALSE(harmony->IsEndOfGeneration(',')) << "llama.cpp's default end is token 11";
  EXPECT_FALSE(harmony->IsEndOfGeneration(11));
}

}  // namespace
}  // namespace mote
