#include "engine/run/generate.h"

#include <gtest/gtest.h>
#include <stdio.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "engine/run/stop_filter.h"
#include "tests/run/run_support.h"
#include "tests/support/effort.h"
#include "tests/support/tiny_model.h"

namespace mote::testing {
namespace {

// What on_text saw: every piece must be whole UTF-8.
struct Stream {
  std::string text;
  int pieces = 0;
  int stop_after = -1;  // pieces; then on_text says no
  static bool Add(void* self, std::string_view piece, int32_t) {
    Stream& s = *static_cast<Stream*>(self);
    EXPECT_FALSE(piece.empty());
    EXPECT_TRUE(IsValidUtf8(piece));
    s.text += piece;
    return ++s.pieces != s.stop_after;
  }
};

class GenerateTest : public ::testing::Test {
 protected:
  void SetUp() override {
    bytes_ = MakeTinyModel({});
    model_ = LoadModel(bytes_, {.context = 128});
    ASSERT_NE(model_, nullptr);
    session_ = NewSession();
    params_.sampler.temperature = 0;
    params_.ignore_eos = true;
    params_.max_tokens = 40;
  }
  std::unique_ptr<Session> NewSession() {
    Result<std::unique_ptr<Session>> session = Session::Create(*model_, 0);
    EXPECT_TRUE(session.ok()) << session.status().message();
    return std::move(session).value();
  }
  GenerateResult Run(std::span<const int32_t> prompt) {
    Result<GenerateResult> result = Generate(*session_, prompt, params_);
    EXPECT_TRUE(result.ok()) << result.status().message();
    return result.ok() ? std::move(result).value() : GenerateResult();
  }
  void Force(int32_t token) { params_.sampler.logit_bias = {{token, 1e6f}}; }

  std::vector<uint8_t> bytes_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<Session> session_;
  GenerateParams params_;
  const std::vector<int32_t> prompt_ = {1, 300, 301, 302, 280, 281};
};

TEST_F(GenerateTest, IsTheLoopThatOneWouldWrite) {
  const std::unique_ptr<Session> other = NewSession();
  std::vector<int32_t> expected;
  std::vector<int32_t> next = prompt_;
  while (expected.size() < 40) {
    ASSERT_TRUE(other->Eval(next, {}).ok());
    std::vector<float> logits(other->logits().begin(), other->logits().end());
    logits[2] = -std::numeric_limits<float>::infinity();  // the only end of generation in this vocabulary
    const auto best = std::max_element(logits.begin(), logits.end());
    next = {static_cast<int32_t>(best - logits.begin())};
    expected.push_back(next[0]);
  }
  Stream stream;
  params_.on_text = Stream::Add;
  params_.user = &stream;
  const GenerateResult result = Run(prompt_);
  EXPECT_EQ(result.tokens, expected);
  EXPECT_EQ(result.finish, FinishReason::kLength);
  EXPECT_EQ(result.prompt_tokens, prompt_.size());
  EXPECT_EQ(result.cached_tokens, 0u);
  EXPECT_EQ(result.text, stream.text);
  std::string pieces;
  for (const int32_t token : expected) pieces += model_->tokenizer().Piece(token, false);
  Utf8Repair repair;
  std::string repaired;
  repair.Push(pieces, &repaired);
  repair.Finish(&repaired);
  EXPECT_EQ(result.text, repaired);
}

TEST_F(GenerateTest, ReusesThePrefixAndSaysSo) {
  const GenerateResult first = Run(prompt_);
  std::vector<int32_t> longer = prompt_;
  longer.insert(longer.end(), first.tokens.begin(), first.tokens.begin() + 10);
  longer.push_back(299);
  const GenerateResult again = Run(longer);
  EXPECT_EQ(again.cached_tokens, prompt_.size() + 10);
  session_ = NewSession();
  const GenerateResult fresh = Run(longer);
  EXPECT_EQ(fresh.cached_tokens, 0u);
  EXPECT_EQ(again.tokens, fresh.tokens) << "a reused prefix must not change the answer";
  // The very same prompt again: all but its last token are known.
  EXPECT_EQ(Run(longer).cached_tokens, longer.size() - 1);
}

TEST_F(GenerateTest, StopsAtEndOfGeneration) {
  params_.ignore_eos = false;
  Force(2);
  const GenerateResult result = Run(prompt_);
  EXPECT_EQ(result.finish, FinishReason::kStop);
  EXPECT_TRUE(result.tokens.empty());
  EXPECT_EQ(result.text, "");
  params_.ignore_eos = true;
  const GenerateResult onwards = Run(prompt_);
  EXPECT_EQ(onwards.finish, FinishReason::kLength);
  EXPECT_EQ(onwards.tokens.size(), 40u);
  EXPECT_EQ(std::count(onwards.tokens.begin(), onwards.tokens.end(), 2), 0);
}

TEST_F(GenerateTest, StopStringsCutTheText) {
  const std::string whole = Run(prompt_).text;
  ASSERT_GT(whole.size(), 20u);
  // Every substring of three characters of the text, wherever tokens end; tokens have one to four characters.
  for (size_t at = 0; at + 3 <= whole.size(); at += Effort(1, 5)) {
    const std::string stop = whole.substr(at, 3);
    if (!IsValidUtf8(stop)) continue;
    session_ = NewSession();
    params_.stop = {"never to be seen", stop};
    Stream stream;
    params_.on_text = Stream::Add;
    params_.user = &stream;
    const GenerateResult result = Run(prompt_);
    EXPECT_EQ(result.text, whole.substr(0, whole.find(stop)));
    EXPECT_EQ(result.finish, FinishReason::kStop);
    EXPECT_EQ(stream.text, result.text);
  }
}

TEST_F(GenerateTest, IncompleteUtf8IsHeldBackAndThenReplaced) {
  const int32_t lead = model_->tokenizer().Find("<0xE2>");
  ASSERT_NE(lead, kNoToken);
  Force(lead);
  params_.max_tokens = 3;
  Stream stream;
  params_.on_text = Stream::Add;
  params_.user = &stream;
  const GenerateResult result = Run(prompt_);
  EXPECT_EQ(result.tokens, std::vector<int32_t>(3, lead));
  EXPECT_EQ(result.text, "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(stream.text, result.text);
}

TEST_F(GenerateTest, MaxTokensAndAFullContext) {
  params_.max_tokens = 0;
  GenerateResult result = Run(prompt_);
  EXPECT_TRUE(result.tokens.empty());
  EXPECT_EQ(result.finish, FinishReason::kLength);
  EXPECT_EQ(session_->length(), prompt_.size());

  params_.max_tokens = -1;
  result = Run(prompt_);
  EXPECT_EQ(result.finish, FinishReason::kLength);
  // The last token needs no place in the cache.
  EXPECT_EQ(result.tokens.size(), session_->context() - prompt_.size() + 1);
  EXPECT_EQ(session_->length(), session_->context());

  const std::vector<int32_t> exactly(session_->context(), 300);
  result = Run(exactly);
  EXPECT_EQ(result.tokens.size(), 1u);
}

TEST_F(GenerateTest, Cancelling) {
  Stream stream;
  stream.stop_after = 3;
  params_.on_text = Stream::Add;
  params_.user = &stream;
  GenerateResult result = Run(prompt_);
  EXPECT_EQ(result.finish, FinishReason::kCancelled);
  EXPECT_EQ(stream.pieces, 3) << "on_text must not be called after it said no";
  EXPECT_EQ(result.text, stream.text);

  std::atomic<bool> cancel = true;
  params_.cancel = &cancel;
  result = Run(prompt_);
  EXPECT_EQ(result.finish, FinishReason::kCancelled);
  EXPECT_TRUE(result.tokens.empty());
  cancel = false;
  stream.stop_after = -1;
  EXPECT_EQ(Run(prompt_).finish, FinishReason::kLength) << "a cancelled session stays usable";
}

TEST_F(GenerateTest, RefusalsLeaveTheSessionAsItWas) {
  Run(prompt_);
  const std::vector<int32_t> before(session_->tokens().begin(), session_->tokens().end());
  const auto refused = [&](std::span<const int32_t> prompt, const GenerateParams& params, Code code) {
    const Result<GenerateResult> result = Generate(*session_, prompt, params);
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.status().code(), code) << result.status().message();
    EXPECT_TRUE(std::equal(before.begin(), before.end(), session_->tokens().begin(), session_->tokens().end()));
  };
  refused({}, params_, Code::kInvalidArgument);
  refused(std::vector<int32_t>{5, 512}, params_, Code::kInvalidArgument);
  refused(std::vector<int32_t>{5, -1}, params_, Code::kInvalidArgument);
  refused(std::vector<int32_t>(129, 5), params_, Code::kContextFull);
  GenerateParams bad = params_;
  bad.max_tokens = -2;
  refused(prompt_, bad, Code::kInvalidArgument);
  bad = params_;
  bad.stop = {""};
  refused(prompt_, bad, Code::kInvalidArgument);
  bad = params_;
  bad.sampler.top_p = 0;
  refused(prompt_, bad, Code::kInvalidArgument);
}

TEST_F(GenerateTest, TheSeedDecides) {
  params_.sampler.temperature = 2;
  params_.sampler.seed = 7;
  const std::vector<int32_t> first = Run(prompt_).tokens;
  EXPECT_EQ(Run(prompt_).tokens, first);
  params_.sampler.seed = 8;
  EXPECT_NE(Run(prompt_).tokens, first);
}

// One JSON string after `key`, as the file of expected texts has them; `at` moves behind it.
bool NextString(const std::string& json, const std::string& key, size_t* at, std::string* out) {
  *at = json.find("\"" + key + "\": \"", *at);
  if (*at == std::string::npos) return false;
  *at += key.size() + 5;
  out->clear();
  for (; json[*at] != '"'; ++*at) {
    if (json[*at] != '\\') {
      *out += json[*at];
      continue;
    }
    ++*at;
    *out += json[*at] == 'n' ? '\n' : json[*at];
  }
  return true;
}

std::string ReadFile(const char* path) {
  std::string bytes;
  FILE* file = fopen(path, "rb");
  if (file == nullptr) return bytes;
  char buffer[4096];
  while (const size_t got = fread(buffer, 1, sizeof(buffer), file)) bytes.append(buffer, got);
  fclose(file);
  return bytes;
}

TEST(GenerateStories, ContinuesAsAnIndependentImplementationDoes) {
  const std::string file = ReadFile("../shared/data/stories260K.gguf");
  const std::string json = ReadFile("../shared/data/stories260K.expected.json");
  if (file.empty() || json.empty()) GTEST_SKIP() << "../shared/data/stories260K.* is absent";
  const std::unique_ptr<Model> model =
      LoadModel({reinterpret_cast<const uint8_t*>(file.data()), file.size()}, {.threads = 1});
  ASSERT_NE(model, nullptr);
  Result<std::unique_ptr<Session>> session = Session::Create(*model, 0);
  ASSERT_TRUE(session.ok());
  GenerateParams params;
  params.sampler.temperature = 0;
  int cases = 0;
  std::string prompt;
  std::string greedy;
  for (size_t at = 0; NextString(json, "prompt", &at, &prompt) && NextString(json, "greedy", &at, &greedy); ++cases) {
    const Result<std::vector<int32_t>> tokens = model->tokenizer().Encode(prompt, {});
    ASSERT_TRUE(tokens.ok());
    params.max_tokens = 129 - static_cast<int32_t>(tokens->size());  // 128 positions are evaluated
    const Result<GenerateResult> result = Generate(**session, *tokens, params);
    ASSERT_TRUE(result.ok()) << result.status().message();
    EXPECT_EQ(result->text, greedy) << prompt;
  }
  EXPECT_EQ(cases, 3);
}

}  // namespace
}  // namespace mote::testing
