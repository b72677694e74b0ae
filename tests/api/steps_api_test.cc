// mote_steps.h as a server uses it: many generations from one thread.
#include <gtest/gtest.h>
#include <string.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#ifndef __wasm__
#include <atomic>
#include <thread>
#endif

#include "engine/api/mote.h"
#include "tests/support/tiny_model.h"

namespace mote::testing {
namespace {

struct ModelDeleter {
  void operator()(mote_model* m) const { mote_model_free(m); }
};
struct SessionDeleter {
  void operator()(mote_session* s) const { mote_session_free(s); }
};
struct PromptDeleter {
  void operator()(mote_prompt* p) const { mote_prompt_free(p); }
};
using ModelPtr = std::unique_ptr<mote_model, ModelDeleter>;
using SessionPtr = std::unique_ptr<mote_session, SessionDeleter>;
using PromptPtr = std::unique_ptr<mote_prompt, PromptDeleter>;

// Everything that can be told of a generation, to be compared bit for bit.
struct Told {
  std::string streamed;
  std::vector<int32_t> tokens;  // by on_token
  std::vector<float> logprobs;  // of each token, and of its alternatives
  mote_status status = MOTE_INTERNAL;
  std::string message;
  std::string text;
  std::vector<int32_t> result_tokens;
  int32_t finish = -1;
  uint32_t prompt_tokens = 0;
  int dones = 0;
  size_t progress = 0;

  bool operator==(const Told&) const = default;
};

// One request: what is asked, and what came.
struct Stream {
  std::vector<int32_t> prompt;
  uint64_t seed = 0;
  float temperature = 0.9f;
  int32_t max_tokens = 20;
  int32_t top_logprobs = -1;
  const char* stop = nullptr;
  SessionPtr session;
  Told told;
  std::function<void()> on_text;  // what to do then
  std::function<void()> on_done;

  mote_generate_params Params(mote_sampling_params* sampling) {
    *sampling = mote_sampling_default_params();
    sampling->temperature = temperature;
    sampling->seed = seed;
    sampling->repeat_penalty = 1.1f;
    mote_generate_params params = mote_generate_default_params();
    params.sampling = sampling;
    params.max_tokens = max_tokens;
    params.ignore_eos = 1;
    if (stop != nullptr) {
      params.stop = &stop;
      params.stop_count = 1;
    }
    params.top_logprobs = top_logprobs;
    params.user = this;
    params.on_text = [](void* self, const char* text, size_t size, int32_t) {
      Stream& s = *static_cast<Stream*>(self);
      s.told.streamed.append(text, size);
      if (s.on_text) s.on_text();
      return 0;
    };
    params.on_token = [](void* self, const mote_token_info* info) {
      Stream& s = *static_cast<Stream*>(self);
      s.told.tokens.push_back(info->token);
      s.told.logprobs.push_back(info->logprob);
      for (size_t i = 0; i < info->top_count; ++i) s.told.logprobs.push_back(info->top[i].logprob);
      return 0;
    };
    params.on_progress = [](void* self, size_t done, size_t) { static_cast<Stream*>(self)->told.progress = done; };
    return params;
  }

  static void Done(void* self, mote_status status, const mote_generate_result* result, const char* message) {
    Stream& s = *static_cast<Stream*>(self);
    s.Take(status, result, message);
    if (s.on_done) s.on_done();
  }
  void Take(mote_status status, const mote_generate_result* result, const char* message) {
    ++told.dones;
    told.status = status;
    EXPECT_EQ(result == nullptr, status != MOTE_OK);
    EXPECT_EQ(message == nullptr, status == MOTE_OK);
    if (message != nullptr) told.message = message;
    if (result == nullptr) return;
    told.text.assign(result->text, result->text_size);
    told.result_tokens.assign(result->tokens, result->tokens + result->token_count);
    told.finish = result->finish_reason;
    told.prompt_tokens = result->prompt_tokens;
  }
};

std::vector<int32_t> Tokens(size_t count, uint32_t seed) {
  std::vector<int32_t> tokens(count);
  for (int32_t& token : tokens) {
    seed = seed * 1664525u + 1013904223u;
    token = static_cast<int32_t>(260 + (seed >> 8) % 200);
  }
  return tokens;
}

class StepsTest : public ::testing::Test {
 protected:
  void SetUp() override { Load(64); }
  void Load(uint32_t max_batch) {
    TinyModelOptions options;
    options.width = 64;
    options.heads = 4;
    options.kv_heads = 2;
    options.head_dim = 16;
    options.ff = 96;
    bytes_ = MakeTinyModel(options);
    mote_model_params params = mote_model_default_params();
    params.threads = 2;
    params.context = 128;
    params.max_batch = max_batch;
    mote_model* model = nullptr;
    mote_error error = {};
    ASSERT_EQ(mote_model_load_memory(bytes_.data(), bytes_.size(), &params, &model, &error), MOTE_OK) << error.message;
    model_.reset(model);
  }
  SessionPtr NewSession() {
    mote_session* session = nullptr;
    EXPECT_EQ(mote_session_create(model_.get(), 0, &session, nullptr), MOTE_OK);
    return SessionPtr(session);
  }
  PromptPtr NewPrompt(const std::vector<int32_t>& tokens) {
    mote_prompt* prompt = nullptr;
    mote_error error = {};
    EXPECT_EQ(mote_prompt_create_tokens(model_.get(), tokens.data(), tokens.size(), &prompt, &error), MOTE_OK)
        << error.message;
    return PromptPtr(prompt);
  }
  std::unique_ptr<Stream> NewStream(uint32_t i) {
    auto stream = std::make_unique<Stream>();
    stream->prompt = Tokens(1 + i * 7 % 61, i + 1);
    stream->seed = i;
    stream->temperature = i % 3 == 0 ? 0.0f : 0.9f;
    stream->max_tokens = static_cast<int32_t>(1 + i % 5 * 8);
    stream->top_logprobs = static_cast<int32_t>(i % 4) - 1;
    stream->stop = i % 2 == 0 ? "e" : nullptr;
    stream->session = NewSession();
    return stream;
  }
  std::vector<std::unique_ptr<Stream>> NewStreams(uint32_t count) {
    std::vector<std::unique_ptr<Stream>> streams;
    for (uint32_t i = 0; i < count; ++i) streams.push_back(NewStream(i));
    return streams;
  }

  void Start(Stream& stream) {
    mote_sampling_params sampling;
    const mote_generate_params params = stream.Params(&sampling);
    mote_error error = {};
    ASSERT_EQ(mote_session_start(stream.session.get(), NewPrompt(stream.prompt).get(), &params, Stream::Done, &stream,
                                 &error),
              MOTE_OK)
        << error.message;
    memset(static_cast<void*>(&sampling), 0x5a, sizeof(sampling));  // read during the call only
  }
  mote_step_report Step(uint32_t max_prefill = 0) {
    mote_step_params params = mote_step_default_params();
    params.max_prefill = max_prefill;
    mote_step_report report = {};
    report.struct_size = sizeof(report);
    mote_error error = {};
    EXPECT_EQ(mote_model_step(model_.get(), &params, &report, &error), MOTE_OK) << error.message;
    return report;
  }
  void StepToTheEnd(uint32_t max_prefill = 0) {
    int steps = 0;
    while (Step(max_prefill).running > 0) ASSERT_LT(++steps, 10000);
  }
  // The same request by the call that blocks, in a session of its own.
  Told Blocking(const Stream& like) {
    Stream stream;
    stream.prompt = like.prompt;
    stream.seed = like.seed;
    stream.temperature = like.temperature;
    stream.max_tokens = like.max_tokens;
    stream.top_logprobs = like.top_logprobs;
    stream.stop = like.stop;
    stream.session = NewSession();
    mote_sampling_params sampling;
    const mote_generate_params params = stream.Params(&sampling);
    mote_generate_result result = {};
    result.struct_size = sizeof(result);
    mote_error error = {};
    const mote_status status = mote_session_generate(stream.session.get(), stream.prompt.data(), stream.prompt.size(),
                                                     &params, &result, &error);
    stream.Take(status, status == MOTE_OK ? &result : nullptr, status == MOTE_OK ? nullptr : error.message);
    return stream.told;
  }
  std::vector<Told> Blocking(const std::vector<std::unique_ptr<Stream>>& streams) {
    std::vector<Told> told;
    for (const auto& stream : streams) told.push_back(Blocking(*stream));
    return told;
  }

  std::vector<uint8_t> bytes_;
  ModelPtr model_;
};

// 64 streams pass the 32 rows with logits that a step has; batches of 8 rows pass even that.
TEST_F(StepsTest, AreTheBlockingCallBitForBit) {
  for (const uint32_t max_batch : {64u, 8u}) {
    Load(max_batch);
    const std::vector<Told> want = Blocking(NewStreams(64));
    for (const uint32_t count : {1u, 2u, 7u, 64u}) {
      for (const uint32_t max_prefill : {0u, 1u, 5u, 1000u}) {
        const std::vector<std::unique_ptr<Stream>> streams = NewStreams(count);
        for (const auto& stream : streams) Start(*stream);
        StepToTheEnd(max_prefill);
        for (uint32_t i = 0; i < count; ++i) {
          EXPECT_TRUE(streams[i]->told == want[i]) << i << " of " << count << ", " << max_prefill;
          EXPECT_EQ(streams[i]->told.dones, 1);
        }
      }
    }
  }
}

TEST_F(StepsTest, TakeNoMoreOfPromptsThanAsked) {
  const std::vector<std::unique_ptr<Stream>> streams = NewStreams(3);
  for (const auto& stream : streams) stream->prompt = Tokens(50, 3);
  for (const auto& stream : streams) Start(*stream);
  const mote_step_report first = Step(11);
  EXPECT_EQ(first.running, 3u);
  EXPECT_EQ(first.prefill_rows, 11u);
  EXPECT_EQ(first.decode_rows, 0u);
  EXPECT_EQ(streams[0]->told.progress, 11u);
  size_t held = 0;
  EXPECT_NE(mote_session_tokens(streams[0]->session.get(), &held), nullptr);
  EXPECT_EQ(held, 11u);
  StepToTheEnd(11);
  EXPECT_EQ(Step().running, 0u);
}

}  // namespace
}  // namespace mote::testing
