// mote_steps.h as a server uses it: many generations from one thread.
#include <gtest/gtest.h>
#include <string.h>

#include <algorithm>
#include <cmath>
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
#include "tests/support/api_handles.h"
#include "tests/support/tiny_model.h"

namespace mote::testing {
namespace {

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
  void SetUp() override { Load(64, 1); }
  void Load(uint32_t max_batch, int threads) {
    TinyModelOptions options;
    options.width = 64;
    options.heads = 4;
    options.kv_heads = 2;
    options.head_dim = 16;
    options.ff = 96;
    bytes_ = MakeTinyModel(options);
    mote_model_params params = mote_model_default_params();
    params.threads = threads;
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
    stream->max_tokens = static_cast<int32_t>(1 + i % 5 * 5);
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

// A prompt row by row, and one row more than the batch can hold.
TEST_F(StepsTest, AnyShareOfAStepGivesTheSameAnswer) {
  const std::vector<Told> want = Blocking(NewStreams(7));
  for (const uint32_t max_prefill : {1u, 65u, 1000u}) {
    const std::vector<std::unique_ptr<Stream>> streams = NewStreams(7);
    for (const auto& stream : streams) Start(*stream);
    StepToTheEnd(max_prefill);
    for (uint32_t i = 0; i < 7; ++i) EXPECT_TRUE(streams[i]->told == want[i]) << i << ", " << max_prefill;
  }
}

// 64 streams pass the 32 rows with logits that a step has; batches of 8 rows pass even that.
TEST_F(StepsTest, AreTheBlockingCallBitForBit) {
  for (const uint32_t max_batch : {64u, 8u}) {
    Load(max_batch, max_batch == 64 ? 2 : 1);
    const std::vector<Told> want = Blocking(NewStreams(64));
    for (const uint32_t count : {1u, 2u, 7u, 64u}) {
      if (max_batch == 8 && count < 64) continue;
      const std::vector<std::unique_ptr<Stream>> streams = NewStreams(count);
      for (const auto& stream : streams) Start(*stream);
      StepToTheEnd();
      for (uint32_t i = 0; i < count; ++i) {
        EXPECT_TRUE(streams[i]->told == want[i]) << i << " of " << count << ", batch " << max_batch;
        EXPECT_EQ(streams[i]->told.dones, 1);
      }
    }
  }
}

// Another number of threads for each step.
TEST_F(StepsTest, FewerThreadsGiveTheSameBits) {
  Load(64, 4);
  const std::vector<Told> want = Blocking(NewStreams(9));
  const std::vector<std::unique_ptr<Stream>> streams = NewStreams(9);
  for (const auto& stream : streams) Start(*stream);
  int32_t threads = 0;
  do {
    ASSERT_EQ(mote_model_limit_threads(model_.get(), threads, nullptr), MOTE_OK);
    threads = (threads + 1) % 7;  // more than there are, too
  } while (Step(5).running > 0);
  for (uint32_t i = 0; i < 9; ++i) EXPECT_TRUE(streams[i]->told == want[i]) << i;

  mote_error error = {};
  EXPECT_EQ(mote_model_limit_threads(model_.get(), -1, &error), MOTE_INVALID_ARGUMENT);
  EXPECT_STREQ(error.message, "threads is -1; 0 (all) or more");
  EXPECT_EQ(mote_model_limit_threads(nullptr, 1, &error), MOTE_INVALID_ARGUMENT);
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

TEST_F(StepsTest, CancellingEndsOneWithTheNextStep) {
  const std::vector<Told> want = Blocking(NewStreams(4));
  const std::vector<std::unique_ptr<Stream>> streams = NewStreams(4);
  Stream reading, writing;  // of a long prompt, and of an answer
  for (Stream* s : {&reading, &writing}) {
    s->session = NewSession();
    s->prompt = Tokens(s == &reading ? 100 : 3, 9);
    s->max_tokens = 20;
  }
  for (const auto& stream : streams) Start(*stream);
  Start(writing);
  for (int i = 0; i < 40; ++i) Step(7);
  Start(reading);
  Step(7);
  Step(7);
  ASSERT_EQ(reading.told.dones, 0);
  mote_session_cancel(reading.session.get());
  Step(7);
  EXPECT_EQ(reading.told.dones, 1);
  EXPECT_EQ(reading.told.status, MOTE_OK);
  EXPECT_EQ(reading.told.finish, MOTE_FINISH_CANCELLED);
  EXPECT_EQ(reading.told.text, "");
  size_t held = 0;
  mote_session_tokens(reading.session.get(), &held);
  EXPECT_EQ(held, 14u);
  StepToTheEnd();

  Start(writing);  // again, from what the session holds
  while (writing.told.result_tokens.size() == writing.told.tokens.size()) Step();
  ASSERT_EQ(writing.told.dones, 1);
  mote_session_cancel(writing.session.get());
  EXPECT_EQ(Step().running, 0u);
  EXPECT_EQ(writing.told.dones, 2);
  EXPECT_EQ(writing.told.finish, MOTE_FINISH_CANCELLED);
  // The request was met: the next generation is not cancelled.
  Start(writing);
  StepToTheEnd();
  EXPECT_EQ(writing.told.finish, MOTE_FINISH_LENGTH);
  for (uint32_t i = 0; i < 4; ++i) EXPECT_TRUE(streams[i]->told == want[i]) << i;
}

TEST_F(StepsTest, AReceiverThatHasEnoughStopsItsOwn) {
  const Told want = Blocking(*NewStream(1));
  const std::unique_ptr<Stream> neighbour = NewStream(1);
  const std::unique_ptr<Stream> stream = NewStream(2);
  mote_sampling_params sampling;
  mote_generate_params params = stream->Params(&sampling);
  params.on_token = [](void* self, const mote_token_info* info) {
    EXPECT_EQ(info->struct_size, sizeof(mote_token_info));
    std::vector<int32_t>& tokens = static_cast<Stream*>(self)->told.tokens;
    tokens.push_back(info->token);
    return tokens.size() == 3 ? 1 : 0;
  };
  const PromptPtr prompt = NewPrompt(stream->prompt);
  ASSERT_EQ(mote_session_start(stream->session.get(), prompt.get(), &params, Stream::Done, stream.get(), nullptr),
            MOTE_OK);
  Start(*neighbour);
  StepToTheEnd();
  EXPECT_EQ(stream->told.finish, MOTE_FINISH_CANCELLED);
  EXPECT_EQ(stream->told.result_tokens, stream->told.tokens);
  EXPECT_EQ(stream->told.tokens.size(), 3u);
  EXPECT_TRUE(neighbour->told == want);
}

TEST_F(StepsTest, AnErrorIsItsOwnGenerationsAlone) {
  const std::vector<Told> want = Blocking(NewStreams(3));
  const std::vector<std::unique_ptr<Stream>> streams = NewStreams(3);
  for (const auto& stream : streams) Start(*stream);
  Stream bad;
  bad.session = NewSession();
  bad.prompt = Tokens(5, 1);
  mote_sampling_params sampling;
  const mote_generate_params params = bad.Params(&sampling);
  mote_model_info info = {};
  info.struct_size = sizeof(info);
  ASSERT_EQ(mote_model_get_info(model_.get(), &info, nullptr), MOTE_OK);
  std::vector<mote_logit_bias> nothing;  // every token is forbidden
  for (uint32_t i = 0; i < info.vocab_size; ++i) nothing.push_back({static_cast<int32_t>(i), -INFINITY});
  sampling.logit_bias = nothing.data();
  sampling.logit_bias_count = nothing.size();
  ASSERT_EQ(mote_session_start(bad.session.get(), NewPrompt(bad.prompt).get(), &params, Stream::Done, &bad, nullptr),
            MOTE_OK);
  StepToTheEnd();
  EXPECT_EQ(bad.told.dones, 1);
  EXPECT_EQ(bad.told.status, MOTE_INVALID_ARGUMENT);
  EXPECT_NE(bad.told.message.find("no token can be chosen"), std::string::npos) << bad.told.message;
  for (uint32_t i = 0; i < 3; ++i) EXPECT_TRUE(streams[i]->told == want[i]) << i;
  // The session is as good as new.
  Start(bad);
  StepToTheEnd();
  EXPECT_EQ(bad.told.status, MOTE_OK);
}

TEST_F(StepsTest, WhatIsRefusedAtOnceIsNeverDone) {
  Stream stream;
  stream.session = NewSession();
  mote_sampling_params sampling;
  mote_generate_params params = stream.Params(&sampling);
  mote_session* session = stream.session.get();
  mote_error error = {};
  const PromptPtr prompt = NewPrompt(Tokens(5, 1));
  const auto start = [&](const mote_prompt* p, mote_done_fn done = Stream::Done) {
    return mote_session_start(session, p, &params, done, &stream, &error);
  };
  EXPECT_EQ(start(nullptr), MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(start(prompt.get(), nullptr), MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(start(NewPrompt(Tokens(129, 1)).get()), MOTE_CONTEXT_FULL);
  params.top_logprobs = 21;
  EXPECT_EQ(start(prompt.get()), MOTE_INVALID_ARGUMENT);
  EXPECT_NE(std::string(error.message).find("-1 (none) to 20"), std::string::npos) << error.message;
  params.top_logprobs = -1;
  sampling.top_p = 0;
  EXPECT_EQ(start(prompt.get()), MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(Step().running, 0u);
  EXPECT_EQ(stream.told.dones, 0);

  mote_prompt* made = nullptr;
  const int32_t outside[] = {1, 512};
  EXPECT_EQ(mote_prompt_create_tokens(model_.get(), outside, 2, &made, &error), MOTE_INVALID_ARGUMENT);
  EXPECT_NE(std::string(error.message).find("512"), std::string::npos) << error.message;
  EXPECT_EQ(made, nullptr);
}

TEST_F(StepsTest, ARunningSessionIsLeftAlone) {
  const Told want = Blocking(*NewStream(3));
  const std::unique_ptr<Stream> stream = NewStream(3);
  mote_session* session = stream->session.get();
  Start(*stream);
  Step(1);
  Step(1);
  const PromptPtr prompt = NewPrompt(stream->prompt);
  const int32_t token = 300;
  EXPECT_EQ(mote_session_start(session, prompt.get(), nullptr, Stream::Done, nullptr, nullptr), MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(mote_session_generate_prompt(session, prompt.get(), nullptr, nullptr, nullptr), MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(mote_session_eval(session, &token, 1, nullptr, nullptr), MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(mote_session_keep_prefix(session, &token, 1), 0u);
  EXPECT_EQ(mote_session_keep_prompt(session, prompt.get()), 0u);
  mote_session_truncate(session, 0);
  const SessionPtr other = NewSession();
  EXPECT_EQ(mote_session_copy_prefix(session, other.get(), 1, nullptr), 0u);
  StepToTheEnd();
  EXPECT_TRUE(stream->told == want);
}

TEST_F(StepsTest, CallbacksStartFreeAndStartAgain) {
  const std::vector<Told> want = Blocking(NewStreams(4));
  std::vector<std::unique_ptr<Stream>> streams = NewStreams(4);
  // The first text of one starts two others; one frees its session when it is done, one starts again, of which the
  // second answer must be the first, and steps are refused within steps.
  streams[0]->on_text = [&] {
    if (streams[1]->told.progress > 0 || streams[2]->told.progress > 0) return;
    Start(*streams[1]);
    Start(*streams[2]);
    streams[0]->on_text = nullptr;
    EXPECT_EQ(mote_model_step(model_.get(), nullptr, nullptr, nullptr), MOTE_INVALID_ARGUMENT);
  };
  streams[1]->on_done = [&] { streams[1]->session.reset(); };
  streams[2]->on_done = [&] {
    if (streams[2]->told.dones == 1) Start(*streams[2]);
  };
  streams[0]->on_done = [&] { Start(*streams[3]); };
  Start(*streams[0]);
  StepToTheEnd();
  for (const size_t i : {0u, 1u, 3u}) EXPECT_TRUE(streams[i]->told == want[i]) << i;
  EXPECT_EQ(streams[2]->told.dones, 2);
  EXPECT_EQ(streams[2]->told.text, want[2].text);
  EXPECT_EQ(streams[2]->told.streamed, want[2].text + want[2].text);
}

TEST_F(StepsTest, AFreedSessionIsNotSteppedAnyMore) {
  const Told want = Blocking(*NewStream(2));
  std::vector<std::unique_ptr<Stream>> streams = NewStreams(4);
  for (const auto& stream : streams) Start(*stream);
  Step(3);
  streams[1]->session.reset();
  // From a callback of a neighbour, in the midst of a step of both.
  streams[2]->on_text = [&] { streams[3]->session.reset(); };
  StepToTheEnd();
  EXPECT_EQ(streams[1]->told.dones, 0);
  EXPECT_EQ(streams[3]->told.dones, 0);
  EXPECT_TRUE(streams[2]->told == want);
  // A model goes in any order, too.
  const std::unique_ptr<Stream> last = NewStream(1);
  Start(*last);
  model_.reset();
}

#ifndef __wasm__
TEST_F(StepsTest, SharesTheModelWithThreadsThatBlock) {
  const std::vector<Told> want = Blocking(NewStreams(12));
  const std::vector<std::unique_ptr<Stream>> streams = NewStreams(12);
  std::atomic<int> wrong = 0;
  std::atomic<bool> enough = false;
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      while (!enough) {
        if (!(Blocking(*NewStream(t)) == want[t])) ++wrong;
      }
    });
  }
  for (const auto& stream : streams) Start(*stream);
  StepToTheEnd(9);
  enough = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  for (uint32_t i = 0; i < 12; ++i) EXPECT_TRUE(streams[i]->told == want[i]) << i;
}

// Started from other threads than the one that steps.
TEST_F(StepsTest, AnyThreadStarts) {
  const std::vector<Told> want = Blocking(NewStreams(8));
  const std::vector<std::unique_ptr<Stream>> streams = NewStreams(8);
  std::atomic<int> started = 0;
  std::vector<std::thread> threads;
  for (const auto& stream : streams) {
    threads.emplace_back([&] {
      Start(*stream);
      ++started;
    });
  }
  while (started < 8 || Step(16).running > 0) continue;
  for (std::thread& thread : threads) thread.join();
  for (uint32_t i = 0; i < 8; ++i) EXPECT_TRUE(streams[i]->told == want[i]) << i;
}
#endif

TEST_F(StepsTest, LogprobsAreTheSoftmaxOfTheModelsLogits) {
  const std::unique_ptr<Stream> stream = NewStream(3);
  stream->top_logprobs = 20;
  stream->stop = nullptr;
  stream->max_tokens = 12;
  Start(*stream);
  StepToTheEnd();
  // The same tokens by eval, whose logits are taken apart here in double.
  const SessionPtr session = NewSession();
  ASSERT_EQ(mote_session_eval(session.get(), stream->prompt.data(), stream->prompt.size(), nullptr, nullptr), MOTE_OK);
  const float* told = stream->told.logprobs.data();
  for (const int32_t token : stream->told.tokens) {
    const float* logits = mote_session_logits(session.get());
    std::vector<double> sorted(logits, logits + 512);
    double sum = 0;
    for (const double logit : sorted) sum += std::exp(logit);
    std::sort(sorted.begin(), sorted.end(), std::greater<double>());
    EXPECT_NEAR(*told++, logits[token] - std::log(sum), 1e-5);
    for (int i = 0; i < 20; ++i) EXPECT_NEAR(*told++, sorted[static_cast<size_t>(i)] - std::log(sum), 1e-5);
    ASSERT_EQ(mote_session_eval(session.get(), &token, 1, nullptr, nullptr), MOTE_OK);
  }
  EXPECT_EQ(told, stream->told.logprobs.data() + stream->told.logprobs.size());
  EXPECT_EQ(stream->told.tokens.size(), 12u);
}

}  // namespace
}  // namespace mote::testing
