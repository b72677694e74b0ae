// Generations held to a grammar, by models that know nothing of it.
#include "engine/run/grammar_filter.h"

#include <gtest/gtest.h>
#include <stdio.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/run/generate.h"
#include "engine/text/json_reader.h"
#include "tests/run/run_support.h"
#include "tests/support/effort.h"
#include "tests/support/tiny_model.h"

namespace mote::testing {
namespace {

class GrammarFilterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    bytes_ = MakeTinyModel({});
    model_ = LoadModel(bytes_, {.context = 512});
    ASSERT_NE(model_, nullptr);
    trie_ = std::make_shared<TokenTrie>(model_->tokenizer(), static_cast<int32_t>(model_->vocab_size()));
    params_.sampler.temperature = 2;
    params_.sampler.top_k = 0;
    params_.sampler.top_p = 1;
    params_.sampler.min_p = 0;
  }
  std::shared_ptr<const TokenGrammar> Compile(Result<std::shared_ptr<const Grammar>> grammar) {
    EXPECT_TRUE(grammar.ok()) << grammar.status().message();
    return std::make_shared<const TokenGrammar>(*grammar, trie_);
  }
  std::shared_ptr<GrammarFilter> Filter(std::shared_ptr<const TokenGrammar> grammar, std::string trigger = "") {
    Result<std::shared_ptr<GrammarFilter>> filter = GrammarFilter::Create(std::move(grammar), std::move(trigger));
    EXPECT_TRUE(filter.ok()) << filter.status().message();
    return *filter;
  }
  GenerateResult Run(std::shared_ptr<TokenFilter> filter, uint64_t seed) {
    Result<std::unique_ptr<Session>> session = Session::Create(*model_, 0);
    EXPECT_TRUE(session.ok());
    params_.filter = std::move(filter);
    params_.sampler.seed = seed;
    Result<GenerateResult> result = Generate(**session, std::span<const int32_t>(prompt_), params_);
    EXPECT_TRUE(result.ok()) << result.status().message();
    return result.ok() ? std::move(result).value() : GenerateResult();
  }

  std::vector<uint8_t> bytes_;
  std::unique_ptr<Model> model_;
  std::shared_ptr<TokenTrie> trie_;
  GenerateParams params_;
  const std::vector<int32_t> prompt_ = {1, 300, 301, 302, 280, 281};
};

TEST_F(GrammarFilterTest, TextsAreOfTheGrammar) {
  const char* sources[] = {
      "root ::= [a-f]{3} \"-\" [0-9]{2,4}",
      "root ::= \"yes\" | \"no\" | \"maybe \" root",
      "root ::= \"(\" root \")\" | \"x\"",
      "root ::= (\"\xC3\xA9\" | [\xE4\xB8\x80-\xE9\xBF\xBF]){1,5} \"!\"?",
      "root ::= \"\"",
  };
  for (const char* source : sources) {
    SCOPED_TRACE(source);
    const auto grammar = Compile(Grammar::FromGbnf(source));
    std::set<std::string> texts;
    const size_t wanted = std::string_view(source) == "root ::= \"\"" ? 1 : 2;
    // A choice of few texts may fall the same way for many seeds in a row.
    for (uint64_t seed = 0; seed < Effort(20u, 4u) || (texts.size() < wanted && seed < 100); ++seed) {
      params_.max_tokens = 300;
      const GenerateResult result = Run(Filter(grammar), seed);
      GrammarMatcher matcher(grammar->grammar());
      EXPECT_TRUE(matcher.Accept(result.text)) << result.text;
      EXPECT_EQ(result.finish, FinishReason::kStop);
      EXPECT_TRUE(matcher.MayEnd()) << result.text;
      texts.insert(result.text);
      for (const int32_t token : result.tokens) EXPECT_FALSE(model_->tokenizer().IsControl(token));
    }
    EXPECT_GE(texts.size(), wanted);
    if (wanted == 1) EXPECT_EQ(texts.size(), 1u);
  }
}

TEST_F(GrammarFilterTest, RandomWeightsWriteJson) {
  const auto grammar = Compile(Grammar::FromJsonSchema(R"({
      "type": "object",
      "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "minimum": 0, "maximum": 130},
                     "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3}},
      "required": ["name", "age"], "additionalProperties": false})"));
  for (uint64_t seed = 0; seed < Effort(30u, 4u); ++seed) {
    params_.max_tokens = -1;
    const GenerateResult result = Run(Filter(grammar), seed);
    ASSERT_EQ(result.finish, FinishReason::kStop) << result.text;
    jinja::Heap heap;
    const Result<jinja::Value> value = jinja::ReadJson(result.text, &heap);
    ASSERT_TRUE(value.ok()) << result.text << ": " << value.status().message();
    ASSERT_EQ(value->kind, jinja::Kind::kDict);
    ASSERT_NE(value->dict->Get("name"), nullptr);
    EXPECT_EQ(value->dict->Get("name")->kind, jinja::Kind::kString);
    ASSERT_NE(value->dict->Get("age"), nullptr);
    ASSERT_EQ(value->dict->Get("age")->kind, jinja::Kind::kInt);
    EXPECT_LE(value->dict->Get("age")->integer, 130);
  }
}

TEST_F(GrammarFilterTest, CutOffTextsAreBeginnings) {
  const auto grammar = Compile(Grammar::AnyJsonObject());
  for (uint64_t seed = 0; seed < 10; ++seed) {
    params_.max_tokens = 20;
    const GenerateResult result = Run(Filter(grammar), seed);
    GrammarMatcher matcher(grammar->grammar());
    std::string bytes;
    for (const int32_t token : result.tokens) bytes += model_->tokenizer().Piece(token, false);
    EXPECT_TRUE(matcher.Accept(bytes)) << bytes;
    EXPECT_EQ(result.finish == FinishReason::kStop, matcher.MayEnd());
  }
}

// Nothing else can follow, so no token is asked for, whatever forbids end tokens; a stop is a stop at the last token.
TEST_F(GrammarFilterTest, EndsWhereNothingElseMayFollow) {
  const auto grammar = Compile(Grammar::FromGbnf("root ::= \"abc\""));
  params_.ignore_eos = true;
  const GenerateResult free = Run(Filter(grammar), 1);
  EXPECT_EQ(free.text, "abc");
  EXPECT_EQ(free.finish, FinishReason::kStop);
  params_.max_tokens = static_cast<int32_t>(free.tokens.size());
  EXPECT_EQ(Run(Filter(grammar), 1).finish, FinishReason::kStop);
  params_.max_tokens = -1;
  const GenerateResult empty = Run(Filter(Compile(Grammar::FromGbnf("root ::= \"\""))), 1);
  EXPECT_EQ(empty.text, "");
  EXPECT_EQ(empty.finish, FinishReason::kStop);
}

// The same as masking first: among the tokens that are allowed, chances are as without the grammar.
TEST_F(GrammarFilterTest, MasksAndNothingElse) {
  const auto grammar = Compile(Grammar::FromGbnf("root ::= [a-p]+"));
  const std::shared_ptr<GrammarFilter> filter = Filter(grammar);
  std::vector<float> logits(model_->vocab_size());
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i % 97) * 0.25f - 3;
  std::vector<float> masked = logits;
  ASSERT_TRUE(filter->Apply(masked).ok());
  size_t allowed = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const std::string piece = model_->tokenizer().Piece(static_cast<int32_t>(i), false);
    const bool fits = !piece.empty() && piece.find_first_not_of("abcdefghijklmnop") == std::string::npos;
    EXPECT_EQ(masked[i], fits ? logits[i] : -std::numeric_limits<float>::infinity()) << piece;
    allowed += fits ? 1 : 0;
  }
  EXPECT_GT(allowed, 15u);
}

TEST_F(GrammarFilterTest, WaitsForItsTrigger) {
  const auto grammar = Compile(Grammar::FromGbnf("root ::= \"(\" [0-9]{3} \")\""));
  const std::shared_ptr<GrammarFilter> filter = Filter(grammar, "aab");
  const Tokenizer& tokenizer = model_->tokenizer();
  const auto token_of = [&](std::string_view text) {
    for (int32_t token = 0; token < tokenizer.vocab_size(); ++token) {
      if (tokenizer.Piece(token, false) == text) return token;
    }
    return kNoToken;
  };
  const auto allowed = [&](int32_t token) {
    std::vector<float> logits(model_->vocab_size(), 0.0f);
    EXPECT_TRUE(filter->Apply(logits).ok());
    return logits[static_cast<size_t>(token)] == 0;
  };
  ASSERT_NE(token_of("a"), kNoToken);
  ASSERT_NE(token_of("b"), kNoToken);
  ASSERT_NE(token_of("("), kNoToken);
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(allowed(token_of("b")));
    EXPECT_TRUE(allowed(2));  // the end
    ASSERT_TRUE(filter->Accept(token_of("a")).ok());
    EXPECT_TRUE(filter->waiting());
  }
  ASSERT_TRUE(filter->Accept(token_of("b")).ok());
  EXPECT_FALSE(filter->waiting());
  EXPECT_FALSE(allowed(token_of("a")));
  EXPECT_FALSE(allowed(2));
  EXPECT_TRUE(allowed(token_of("(")));
  EXPECT_FALSE(filter->Accept(token_of("a")).ok());
  EXPECT_FALSE(filter->Accept(2).ok());

  // A copy goes its own way.
  GrammarFilter copy(*filter);
  ASSERT_TRUE(copy.Accept(token_of("(")).ok());
  EXPECT_TRUE(allowed(token_of("(")));
}

// Within one token too: what comes behind the trigger in it must be the grammar's.
TEST_F(GrammarFilterTest, TokensThatPassTheirTriggerAreHeldToTheGrammar) {
  const Tokenizer& tokenizer = model_->tokenizer();
  // Any token of two or more letters: its first letters as the trigger, and grammars that go on with its last or not.
  int tried = 0;
  for (int32_t token = 0; token < tokenizer.vocab_size() && tried < 5; ++token) {
    const std::string piece = tokenizer.Piece(token, false);
    if (piece.size() < 2 || !std::all_of(piece.begin(), piece.end(), [](char c) { return c >= 'a' && c <= 'z'; }))
      continue;
    ++tried;
    const std::string head = piece.substr(0, piece.size() - 1);
    for (const bool fits : {true, false}) {
      const std::string source = std::string("root ::= [") + (fits ? "" : "^") + piece.back() + "]+";
      const auto filter = Filter(Compile(Grammar::FromGbnf(source)), head);
      std::vector<float> logits(model_->vocab_size(), 0.0f);
      ASSERT_TRUE(filter->Apply(logits).ok());
      EXPECT_EQ(logits[static_cast<size_t>(token)] == 0, fits) << piece;
      if (fits) {
        ASSERT_TRUE(filter->Accept(token).ok());
        EXPECT_FALSE(filter->waiting());
        EXPECT_TRUE(filter->MayEnd());
      }
    }
  }
  EXPECT_GT(tried, 0);
}

TEST_F(GrammarFilterTest, Refusals) {
  const auto grammar = Compile(Grammar::FromGbnf("root ::= [a-z]+"));
  EXPECT_EQ(GrammarFilter::Create(grammar, std::string(1025, 'x')).status().code(), Code::kInvalidArgument);
  const auto filter = Filter(grammar);
  EXPECT_EQ(filter->Accept(-1).code(), Code::kInternal);
  EXPECT_EQ(filter->Accept(static_cast<int32_t>(model_->vocab_size())).code(), Code::kInternal);
}

// Each grammar reads the same text in ever more ways: the generation ends, with an error or within the grammar.
TEST_F(GrammarFilterTest, RiddlesFailClosed) {
  for (const char* source :
       {"root ::= s s s s\ns ::= [a-z] s s | [a-z]", "root ::= [a-z] root [a-z] | [a-z] root root | \"\" [a-z]"}) {
    const auto grammar = Compile(Grammar::FromGbnf(source));
    Result<std::unique_ptr<Session>> session = Session::Create(*model_, 0);
    params_.filter = Filter(grammar);
    params_.max_tokens = 60;
    const Result<GenerateResult> result = Generate(**session, std::span<const int32_t>(prompt_), params_);
    if (!result.ok()) {
      EXPECT_NE(result.status().code(), Code::kInternal) << result.status().message();
      continue;
    }
    for (const char c : result->text) EXPECT_TRUE(c >= 'a' && c <= 'z');
  }
}

}  // namespace
}  // namespace mote::testing
