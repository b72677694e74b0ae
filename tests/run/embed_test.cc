// Texts as vectors, against the double-precision reference, and the same bits in any company.
#include <gtest/gtest.h>
#include <math.h>

#include <atomic>
#include <string>
#include <vector>

#ifndef __wasm__
#include <thread>
#endif

#include "engine/run/embed.h"
#include "engine/run/generate.h"
#include "tests/run/reference_model.h"
#include "tests/run/rewrite.h"
#include "tests/run/run_support.h"
#include "tests/run/vision_support.h"
#include "tests/support/effort.h"
#include "tests/support/tiny_model.h"

namespace mote::testing {
namespace {

std::unique_ptr<Session> NewSession(Model& model) {
  return std::move(Session::Create(model, 0)).value();
}

std::vector<float> EmbedAll(Model& model, const PromptView& prompt, Pooling pooling, bool normalize = false) {
  const Result<std::vector<float>> result = Embed(*NewSession(model), prompt, {pooling, normalize});
  EXPECT_TRUE(result.ok()) << result.status().message();
  return result.ok() ? *result : std::vector<float>();
}

double Difference(const std::vector<float>& got, const Row& want) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    error += pow(static_cast<double>(got[i]) - want[i], 2);
    norm += want[i] * want[i];
  }
  return got.size() == want.size() ? sqrt(error / norm) : INFINITY;
}

TEST(Embed, IsTheReferencesPooledState) {
  for (const char* architecture : {"llama", "qwen2", "qwen3", "qwen3moe", "gemma3", "phi3"}) {
    if (kSlowTests && architecture[0] == 'q') continue;
    SCOPED_TRACE(architecture);
    TinyModelOptions options;
    options.architecture = architecture;
    options.ff = 256;
    const std::vector<uint8_t> bytes = MakeTinyModel(options);
    const std::unique_ptr<Model> model = LoadModel(bytes, {.threads = 2, .max_batch = 16});
    ASSERT_NE(model, nullptr);
    const std::vector<int32_t> tokens = SomeTokens(40, model->vocab_size());
    ReferenceModel reference(model->file(), options);
    std::vector<Row> states;
    for (const int32_t token : tokens) states.push_back(reference.Hidden(token));
    Row mean(states[0].size());
    for (const Row& state : states) {
      for (size_t i = 0; i < mean.size(); ++i) mean[i] += state[i] / static_cast<double>(states.size());
    }
    // The bound of family_test.cc, and its reason. Another row, or the state before the norm, would be off by about 1.
    constexpr double kBound = 4e-4;
    EXPECT_LT(Difference(EmbedAll(*model, tokens, Pooling::kMean), mean), kBound);
    EXPECT_LT(Difference(EmbedAll(*model, tokens, Pooling::kFirst), states.front()), kBound);
    EXPECT_LT(Difference(EmbedAll(*model, tokens, Pooling::kLast), states.back()), kBound);
    double length = 0;
    for (const double v : mean) length += v * v;
    for (double& v : mean) v /= sqrt(length);
    EXPECT_LT(Difference(EmbedAll(*model, tokens, Pooling::kMean, true), mean), kBound);
  }
}

TEST(Embed, TheFileSaysWhatItsModelWasMadeFor) {
  const std::vector<uint8_t> bytes = MakeTinyModel({});
  const std::unique_ptr<Model> plain = LoadModel(bytes, {});
  const std::vector<int32_t> tokens = SomeTokens(20, plain->vocab_size());
  EXPECT_EQ(EmbedAll(*plain, tokens, Pooling::kModel), EmbedAll(*plain, tokens, Pooling::kMean));
  for (const auto& [type, pooling] : {std::pair(0u, Pooling::kMean), std::pair(1u, Pooling::kMean),
                                      std::pair(2u, Pooling::kFirst), std::pair(3u, Pooling::kLast)}) {
    const std::vector<uint8_t> own =
        Rewrite(bytes, [t = type](GgufWriter& writer) { writer.SetUint32("llama.pooling_type", t); });
    const std::unique_ptr<Model> model = LoadModel(own, {});
    ASSERT_NE(model, nullptr);
    EXPECT_EQ(EmbedAll(*model, tokens, Pooling::kModel), EmbedAll(*plain, tokens, pooling)) << type;
  }
  const std::vector<uint8_t> ranks =
      Rewrite(bytes, [](GgufWriter& writer) { writer.SetUint32("llama.pooling_type", 4); });
  const std::unique_ptr<Model> model = LoadModel(ranks, {});
  EXPECT_EQ(Embed(*NewSession(*model), tokens, {}).status().code(), Code::kUnsupported);
  EXPECT_EQ(EmbedAll(*model, tokens, Pooling::kMean), EmbedAll(*plain, tokens, Pooling::kMean));
}

TEST(Embed, SameBitsForAnyBatchAndNumberOfThreads) {
  for (const DType type : {DType::kF32, DType::kQ4_K}) {
    TinyModelOptions options;
    options.type = type;
    const std::vector<uint8_t> bytes = MakeTinyModel(options);
    std::vector<float> want;
    for (const LoadOptions& load : {LoadOptions{.threads = 1}, LoadOptions{.threads = 3, .max_batch = 7},
                                    LoadOptions{.threads = 2, .max_batch = 1}, LoadOptions{.max_batch = 64}}) {
      const std::unique_ptr<Model> model = LoadModel(bytes, load);
      const std::vector<float> got = EmbedAll(*model, SomeTokens(50, model->vocab_size()), Pooling::kMean);
      if (want.empty()) want = got;
      EXPECT_EQ(got, want);
    }
  }
}

TEST(Embed, WithImages) {
  for (const char* name : {"idefics3", "qwen2.5vl", "gemma3"}) {
    SCOPED_TRACE(name);
    SeeingModel seeing(name, {.threads = 2});
    ASSERT_NE(seeing.model, nullptr);
    std::vector<Image> images;
    images.push_back(Picture(1, 64, 64));
    const Prompt prompt = PromptOf(*seeing.model, "see <__media__>", images);
    images[0] = Picture(2, 64, 64);
    const Prompt other = PromptOf(*seeing.model, "see <__media__>", images);
    const std::vector<float> mean = EmbedAll(*seeing.model, prompt, Pooling::kMean);
    EXPECT_EQ(EmbedAll(*seeing.model, prompt, Pooling::kMean), mean);
    EXPECT_NE(EmbedAll(*seeing.model, other, Pooling::kMean), mean);
  }
}

TEST(Embed, RefusesAndLeavesTheSessionUsable) {
  const std::vector<uint8_t> bytes = MakeTinyModel({});
  const std::unique_ptr<Model> model = LoadModel(bytes, {.context = 64, .max_batch = 16});
  const std::unique_ptr<Session> session = NewSession(*model);
  const std::vector<int32_t> tokens = SomeTokens(65, model->vocab_size());
  ASSERT_TRUE(session->Eval(std::span(tokens).first(10), {}).ok());
  EXPECT_EQ(Embed(*session, {}, {}).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(Embed(*session, tokens, {}).status().code(), Code::kContextFull);
  const int32_t bad[] = {1, -1};
  EXPECT_EQ(Embed(*session, std::span<const int32_t>(bad), {}).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(session->length(), 10u);
  std::atomic<bool> cancel = true;
  EXPECT_EQ(Embed(*session, std::span(tokens).first(40), {Pooling::kMean, true, &cancel}).status().code(),
            Code::kCancelled);
  cancel = false;
  ASSERT_TRUE(Embed(*session, std::span(tokens).first(40), {Pooling::kMean, true, &cancel}).ok());
  EXPECT_EQ(session->length(), 40u);
  EXPECT_TRUE(session->logits().empty());
  // What it holds is as good as computed for logits.
  ASSERT_TRUE(session->Eval(std::span(tokens).subspan(40, 5), {}).ok());
  EXPECT_TRUE(std::equal(session->logits().begin(), session->logits().end(),
                         AllLogits(*model, std::span(tokens).first(45)).back().begin()));
}

#ifndef __wasm__
// In one step with generations and evaluations that want every logit; nobody's bits change.
TEST(Embed, SameBitsBesideOthers) {
  const std::vector<uint8_t> bytes = MakeTinyModel({});
  const std::unique_ptr<Model> model = LoadModel(bytes, {.threads = 2, .max_batch = 48});
  const std::vector<int32_t> tokens = SomeTokens(100, model->vocab_size());
  const std::vector<float> want = EmbedAll(*model, tokens, Pooling::kMean);
  const std::vector<std::vector<float>> logits = AllLogits(*model, tokens);
  GenerateParams params;
  params.max_tokens = 30;
  params.ignore_eos = true;
  const auto generate = [&] {
    const Result<GenerateResult> result = Generate(*NewSession(*model), std::span(tokens).first(20), params);
    EXPECT_TRUE(result.ok());
    return result.ok() ? result->tokens : std::vector<int32_t>();
  };
  const std::vector<int32_t> answer = generate();
  std::atomic<bool> enough = false;
  std::vector<std::thread> threads;
  threads.emplace_back([&] {
    while (!enough) EXPECT_EQ(generate(), answer);
  });
  threads.emplace_back([&] {
    while (!enough) EXPECT_TRUE(AllLogits(*model, tokens) == logits);
  });
  threads.emplace_back([&] {
    while (!enough) EXPECT_EQ(EmbedAll(*model, tokens, Pooling::kMean), want);
  });
  for (int i = 0; i < Effort(10, 3); ++i) EXPECT_EQ(EmbedAll(*model, tokens, Pooling::kMean), want);
  enough = true;
  for (std::thread& thread : threads) thread.join();
}
#endif

}  // namespace
}  // namespace mote::testing
