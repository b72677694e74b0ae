// Sessions that take over what another has computed: nothing may tell that from computing it.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "engine/run/generation.h"
#include "engine/run/session.h"
#include "engine/run/stepper.h"
#include "tests/run/run_support.h"
#include "tests/run/vision_support.h"
#include "tests/support/effort.h"
#include "tests/support/tiny_model.h"

namespace mote::testing {
namespace {

std::unique_ptr<Session> NewSession(Model& model, uint32_t context = 0) {
  Result<std::unique_ptr<Session>> session = Session::Create(model, context);
  EXPECT_TRUE(session.ok()) << session.status().message();
  return std::move(session).value();
}

std::vector<float> LogitsOf(const Session& session) {
  return {session.logits().begin(), session.logits().end()};
}

// Lengths on both sides of a panel of 16 positions, of a block of 64 and of a split of 512.
TEST(CopyPrefix, IsComputingInEveryKindOfCache) {
  const std::vector<uint8_t> bytes = MakeTinyModel({.width = 64, .heads = 4, .kv_heads = 2, .head_dim = 24, .ff = 64});
  for (const CacheTypes cache : {CacheTypes{DType::kF16, DType::kF16}, CacheTypes{DType::kQ8_0, DType::kQ8_0},
                                 CacheTypes{DType::kF16, DType::kQ8_0}}) {
    const std::unique_ptr<Model> model = LoadModel(bytes, {.threads = 2, .context = 700, .cache = cache});
    ASSERT_NE(model, nullptr);
    const std::vector<int32_t> tokens = SomeTokens(600, model->vocab_size());
    const std::vector<int32_t> others = SomeTokens(650, model->vocab_size(), 3);
    const std::unique_ptr<Session> source = NewSession(*model);
    ASSERT_TRUE(source->Eval(tokens, {}).ok());
    const std::vector<float> want = LogitsOf(*source);
    for (const uint32_t length : {1u, 15u, 16u, 17u, 63u, 65u, 511u, 513u, 599u}) {
      if (kSlowTests && length != 17 && length != 513) continue;
      const std::unique_ptr<Session> session = NewSession(*model);
      ASSERT_TRUE(session->Eval(others, {}).ok());  // what it held must not show through
      EXPECT_EQ(session->CopyPrefix(*source, length), length);
      EXPECT_TRUE(session->logits().empty());
      ASSERT_EQ(session->length(), length);
      EXPECT_TRUE(std::equal(session->tokens().begin(), session->tokens().end(), tokens.begin()));
      ASSERT_TRUE(session->Eval(std::span(tokens).subspan(length), {}).ok());
      EXPECT_EQ(LogitsOf(*session), want) << length;
    }
  }
}

TEST(CopyPrefix, HoldsWhatBothHaveRoomFor) {
  const std::vector<uint8_t> bytes = MakeTinyModel({});
  const std::unique_ptr<Model> model = LoadModel(bytes, {.threads = 2, .context = 300});
  const std::vector<int32_t> tokens = SomeTokens(200, model->vocab_size());
  const std::unique_ptr<Session> source = NewSession(*model);
  ASSERT_TRUE(source->Eval(tokens, {}).ok());
  const std::unique_ptr<Session> small = NewSession(*model, 50);
  EXPECT_EQ(small->CopyPrefix(*source, 1000), 50u);
  small->Truncate(49);
  ASSERT_TRUE(small->Eval(std::span(tokens).subspan(49, 1), {}).ok());
  EXPECT_EQ(LogitsOf(*small), AllLogits(*model, std::span(tokens).first(50)).back());
  const std::unique_ptr<Session> large = NewSession(*model);
  EXPECT_EQ(large->CopyPrefix(*source, 1000), 200u);
  EXPECT_EQ(large->CopyPrefix(*source, 0), 0u);
  EXPECT_EQ(large->length(), 0u);
  EXPECT_EQ(source->CopyPrefix(*source, 20), 20u);
}

TEST(CopyPrefix, TakesImagesWholeOrNotAtAll) {
  for (const char* name : {"idefics3", "qwen2.5vl", "gemma3"}) {
    SCOPED_TRACE(name);
    SeeingModel seeing(name, {.threads = 2});
    ASSERT_NE(seeing.model, nullptr);
    std::vector<Image> images;
    images.push_back(Picture(1, 70, 50));
    images.push_back(Picture(2, 64, 64));
    const Prompt prompt = PromptOf(*seeing.model, "one <__media__> and two <__media__> so", images);
    const std::unique_ptr<Session> source = NewSession(*seeing.model);
    ASSERT_TRUE(source->Eval(prompt, 0, {}).ok());
    const ImagePlace& last = prompt.images.back();
    const uint32_t count = static_cast<uint32_t>(prompt.tokens.size());
    for (const uint32_t length : {prompt.images[0].begin, last.begin + 1, last.end(), count - 1}) {
      const std::unique_ptr<Session> session = NewSession(*seeing.model);
      const uint32_t held = session->CopyPrefix(*source, length);
      EXPECT_EQ(held, length == last.begin + 1 ? last.begin : length);
      // The images are known for what they are: a prompt that goes on keeps them.
      EXPECT_EQ(session->KeepPrefix(prompt), held);
      ASSERT_TRUE(session->Eval(prompt, held, {}).ok());
      EXPECT_EQ(LogitsOf(*session), LogitsOf(*source)) << length;
    }
  }
}

struct Ended {
  int count = 0;
  Result<GenerateResult> result = GenerateResult();
  static void Take(void* self, Result<GenerateResult> result) {
    Ended& e = *static_cast<Ended*>(self);
    ++e.count;
    e.result = std::move(result);
  }
};

std::unique_ptr<Generation> Start(Session& session, const PromptView& prompt) {
  GenerateParams params;
  params.max_tokens = 12;
  params.ignore_eos = true;
  Result<std::unique_ptr<Generation>> generation = Generation::Begin(session, prompt, params);
  EXPECT_TRUE(generation.ok()) << generation.status().message();
  return std::move(generation).value();
}

// A source in the midst of its prompt, of an image in part, and of its answer.
TEST(CopyPrefix, FromASessionThatIsBeingStepped) {
  for (const char* name : {"idefics3", "qwen2.5vl"}) {
    SCOPED_TRACE(name);
    SeeingModel seeing(name, {.threads = 2, .context = 400});
    Model& model = *seeing.model;
    std::vector<Image> images;
    images.push_back(Picture(2, 64, 64));
    const Prompt prompt = PromptOf(model, "what is in here? <__media__> so", images);
    const std::unique_ptr<Session> source = NewSession(model);
    const std::unique_ptr<Session> alone = NewSession(model);
    GenerateParams params;
    params.max_tokens = 12;
    params.ignore_eos = true;
    const Result<GenerateResult> want = Generate(*alone, prompt, params);
    ASSERT_TRUE(want.ok());
    Ended ended, copied;
    model.stepper().Add(Start(*source, prompt), Ended::Take, &ended);
    std::vector<std::unique_ptr<Session>> sessions;
    uint32_t before = 0;
    while (ended.count == 0) {
      const Result<StepReport> report = model.stepper().Step(5);
      ASSERT_TRUE(report.ok());
      sessions.push_back(NewSession(model));
      const uint32_t held = sessions.back()->CopyPrefix(*source, UINT32_MAX);
      EXPECT_EQ(held, source->length());
      EXPECT_GE(held, before);
      before = held;
      for (const ImagePlace& place : prompt.images) EXPECT_TRUE(held <= place.begin || held >= place.end()) << held;
    }
    EXPECT_GT(sessions.size(), 12u);
    EXPECT_EQ(ended.result->text, want->text);
    for (const std::unique_ptr<Session>& session : sessions) {
      const uint32_t held = std::min(session->length(), static_cast<uint32_t>(prompt.tokens.size()) - 1);
      const Result<GenerateResult> result = Generate(*session, prompt, params);
      ASSERT_TRUE(result.ok()) << result.status().message();
      EXPECT_EQ(result->cached_tokens, held);
      EXPECT_EQ(result->tokens, want->tokens);
    }
  }
}

}  // namespace
}  // namespace mote::testing
