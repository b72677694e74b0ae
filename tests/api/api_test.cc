// mote.h as a C program uses it, from the outside.
#include <gtest/gtest.h>
#include <string.h>

#include <algorithm>
#include <cmath>
#include <string>
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

TinyModelOptions Tiny(uint64_t seed = 1) {
  TinyModelOptions options;
  options.width = 64;
  options.heads = 4;
  options.kv_heads = 2;
  options.head_dim = 16;
  options.ff = 96;
  options.seed = seed;
  return options;
}

mote_model_params OneThread() {
  mote_model_params params = mote_model_default_params();
  params.threads = 1;
  params.context = 128;
  return params;
}

ModelPtr Load(const std::vector<uint8_t>& bytes, const mote_model_params& params) {
  mote_model* model = nullptr;
  mote_error error = {};
  EXPECT_EQ(mote_model_load_memory(bytes.data(), bytes.size(), &params, &model, &error), MOTE_OK) << error.message;
  return ModelPtr(model);
}

SessionPtr NewSession(const ModelPtr& model) {
  mote_session* session = nullptr;
  mote_error error = {};
  EXPECT_EQ(mote_session_create(model.get(), 0, &session, &error), MOTE_OK) << error.message;
  return SessionPtr(session);
}

const int32_t kPrompt[] = {1, 300, 301, 302, 280};

struct Answer {
  std::string text;
  std::vector<int32_t> tokens;
  mote_generate_result result = {};
};

Answer Generate(const SessionPtr& session, int32_t max_tokens, mote_text_fn on_text = nullptr, void* user = nullptr) {
  mote_sampling_params sampling = mote_sampling_default_params();
  sampling.temperature = 0;
  mote_generate_params params = mote_generate_default_params();
  params.sampling = &sampling;
  params.max_tokens = max_tokens;
  params.ignore_eos = 1;
  params.on_text = on_text;
  params.user = user;
  Answer answer;
  answer.result.struct_size = sizeof(answer.result);
  mote_error error = {};
  EXPECT_EQ(mote_session_generate(session.get(), kPrompt, std::size(kPrompt), &params, &answer.result, &error), MOTE_OK)
      << error.message;
  if (answer.result.text != nullptr) answer.text.assign(answer.result.text, answer.result.text_size);
  answer.tokens.assign(answer.result.tokens, answer.result.tokens + answer.result.token_count);
  return answer;
}

class ApiTest : public ::testing::Test {
 protected:
  void SetUp() override {
    bytes_ = MakeTinyModel(Tiny());
    model_ = Load(bytes_, OneThread());
    ASSERT_NE(model_, nullptr);
  }
  std::vector<uint8_t> bytes_;
  ModelPtr model_;
};

TEST(ApiLibrary, VersionStatusAndInstructionSets) {
  const std::string version = std::to_string(MOTE_VERSION_MAJOR) + "." + std::to_string(MOTE_VERSION_MINOR) + "." +
                              std::to_string(MOTE_VERSION_PATCH);
  EXPECT_EQ(mote_version(), version);
  EXPECT_STREQ(mote_status_name(MOTE_MALFORMED), "malformed");
  EXPECT_STREQ(mote_finish_reason_name(MOTE_FINISH_LENGTH), "length");
  size_t count = 0;
  bool runs = false;
  for (; mote_isa_name(count) != nullptr; ++count) runs = runs || mote_isa_can_run(count) == 1;
  ASSERT_GT(count, 0u);
  EXPECT_TRUE(runs);
  EXPECT_STREQ(mote_isa_name(count - 1), "scalar");
  EXPECT_EQ(mote_isa_can_run(count), 0);
  static_assert(sizeof(mote_error) == 1024);
}

TEST(ApiModel, ErrorsAreValuesWithALine) {
  mote_model* model = nullptr;
  mote_error error = {};
  EXPECT_EQ(mote_model_load("no/such/file.gguf", nullptr, &model, &error), MOTE_NOT_FOUND);
  EXPECT_EQ(error.code, MOTE_NOT_FOUND);
  EXPECT_NE(strstr(error.message, "no/such/file.gguf"), nullptr);
  EXPECT_EQ(mote_model_load("no/such/file.gguf", nullptr, &model, nullptr), MOTE_NOT_FOUND);
  EXPECT_EQ(mote_model_load(nullptr, nullptr, &model, &error), MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(mote_model_load("x", nullptr, nullptr, &error), MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(mote_model_load_memory("this is no model", 16, nullptr, &model, &error), MOTE_MALFORMED);
  EXPECT_EQ(mote_model_load_memory(nullptr, 16, nullptr, &model, &error), MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(mote_model_load_callback(nullptr, nullptr, 16, nullptr, &model, &error), MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(model, nullptr);

  const std::vector<uint8_t> bytes = MakeTinyModel(Tiny());
  const auto refused = [&](auto change, mote_status status) {
    mote_model_params params = OneThread();
    change(params);
    EXPECT_EQ(mote_model_load_memory(bytes.data(), bytes.size(), &params, &model, &error), status) << error.message;
    EXPECT_EQ(model, nullptr);
  };
  refused([](mote_model_params& p) { p.threads = -1; }, MOTE_INVALID_ARGUMENT);
  refused([](mote_model_params& p) { p.max_batch = 0; }, MOTE_INVALID_ARGUMENT);
  refused([](mote_model_params& p) { p.isa = "z80"; }, MOTE_INVALID_ARGUMENT);
  refused([](mote_model_params& p) { p.memory_limit = 1000; }, MOTE_OUT_OF_MEMORY);
  refused([](mote_model_params& p) { p.struct_size = 0; }, MOTE_INVALID_ARGUMENT);
  refused([](mote_model_params& p) { p.cache_type_k = 2; }, MOTE_INVALID_ARGUMENT);
  refused([](mote_model_params& p) { p.cache_type_v = -1; }, MOTE_INVALID_ARGUMENT);
}

TEST(ApiModel, NullIsHarmless) {
  mote_model_free(nullptr);
  mote_session_free(nullptr);
  mote_sampler_free(nullptr);
  mote_session_cancel(nullptr);
  mote_session_truncate(nullptr, 0);
  mote_error error = {};
  mote_session* session = nullptr;
  EXPECT_EQ(mote_session_create(nullptr, 0, &session, &error), MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(mote_session_generate(nullptr, kPrompt, 1, nullptr, nullptr, &error), MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(mote_session_eval(nullptr, kPrompt, 1, nullptr, &error), MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(mote_session_logits(nullptr), nullptr);
  size_t count = 1;
  EXPECT_EQ(mote_session_tokens(nullptr, &count), nullptr);
  EXPECT_EQ(count, 0u);
  EXPECT_EQ(mote_tokenize(nullptr, "x", 1, 0, nullptr, 0, &count, &error), MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(mote_token_is_end(nullptr, 2), 0);
}

TEST_F(ApiTest, InfoAndMemory) {
  mote_model_info info = {};
  info.struct_size = sizeof(info);
  ASSERT_EQ(mote_model_get_info(model_.get(), &info, nullptr), MOTE_OK);
  EXPECT_STREQ(info.architecture, "llama");
  EXPECT_STREQ(info.name, "tiny random model");
  EXPECT_EQ(info.vocab_size, 512u);
  EXPECT_EQ(info.context, 128u);
  EXPECT_EQ(info.layers, 2u);
  EXPECT_EQ(info.width, 64u);
  EXPECT_EQ(info.threads, 1);
  EXPECT_EQ(info.bos_token, 1);
  EXPECT_EQ(info.eos_token, 2);
  EXPECT_EQ(info.chat_template, nullptr);
  EXPECT_GT(info.weight_bytes, 100000u);
  EXPECT_STREQ(info.weight_type, "F32");
  // float16 keys and values of 2 layers, 2 heads of 16, 128 positions
  EXPECT_GE(info.cache_bytes, 2u * 2 * 2 * 16 * 2 * 128);
  EXPECT_EQ(mote_token_is_end(model_.get(), 2), 1);
  EXPECT_EQ(mote_token_is_end(model_.get(), 300), 0);
  EXPECT_EQ(mote_token_is_control(model_.get(), 1), 1);
}

TEST_F(ApiTest, CacheTypes) {
  const SessionPtr plain_session = NewSession(model_);
  const uint64_t whole = mote_session_cache_size(plain_session.get());
  mote_model_params params = OneThread();
  params.cache_type_k = MOTE_CACHE_Q8_0;
  params.cache_type_v = MOTE_CACHE_Q8_0;
  const ModelPtr model = Load(bytes_, params);
  ASSERT_NE(model, nullptr);
  const SessionPtr session = NewSession(model);
  // Heads of 16 values are kept as whole blocks of 32: 34 bytes beside 32.
  EXPECT_EQ(mote_session_cache_size(session.get()), whole * 34 / 32);
  ASSERT_EQ(mote_session_eval(session.get(), kPrompt, 3, nullptr, nullptr), MOTE_OK);
  ASSERT_EQ(mote_session_eval(plain_session.get(), kPrompt, 3, nullptr, nullptr), MOTE_OK);
  const float* rounded = mote_session_logits(session.get());
  const float* plain = mote_session_logits(plain_session.get());
  double difference = 0;
  for (size_t i = 0; i < 512; ++i) difference = std::max<double>(difference, std::abs(rounded[i] - plain[i]));
  EXPECT_GT(difference, 0);
  EXPECT_LT(difference, 0.1);
}

// An older caller's struct is a prefix of ours; a newer one's is longer.
TEST_F(ApiTest, StructsOfOtherVersions) {
  struct Older {
    size_t struct_size;
    int32_t threads;
    uint32_t context;
  } older;
  mote_model_params_init(reinterpret_cast<mote_model_params*>(&older), sizeof(older));
  EXPECT_EQ(older.struct_size, sizeof(older));
  older.threads = 1;
  older.context = 64;
  mote_model* model = nullptr;
  mote_error error = {};
  ASSERT_EQ(mote_model_load_memory(bytes_.data(), bytes_.size(), reinterpret_cast<mote_model_params*>(&older), &model,
                                   &error),
            MOTE_OK)
      << error.message;
  ModelPtr owner(model);

  struct Newer {
    mote_generate_params known;
    uint64_t unknown[4];
  } newer;
  memset(&newer, 0xAB, sizeof(newer));
  mote_generate_params_init(&newer.known, sizeof(newer));
  EXPECT_EQ(newer.known.struct_size, sizeof(newer));
  newer.known.max_tokens = 3;
  newer.known.ignore_eos = 1;
  const SessionPtr session = NewSession(owner);
  struct OlderResult {
    size_t struct_size;
    const char* text;
    size_t text_size;
    uint64_t guard;
  } result = {offsetof(OlderResult, guard), nullptr, 0, 0x1234};
  EXPECT_EQ(mote_session_generate(session.get(), kPrompt, 2, &newer.known,
                                  reinterpret_cast<mote_generate_result*>(&result), &error),
            MOTE_OK)
      << error.message;
  EXPECT_NE(result.text, nullptr);
  EXPECT_EQ(result.guard, 0x1234u) << "written past what the caller has";
  EXPECT_EQ(result.struct_size, offsetof(OlderResult, guard));

  mote_model_info info = {};  // struct_size forgotten
  EXPECT_EQ(mote_model_get_info(model_.get(), &info, &error), MOTE_INVALID_ARGUMENT);
  EXPECT_NE(strstr(error.message, "mote_model_info"), nullptr);
}

TEST_F(ApiTest, BuffersTellWhatTheyNeed) {
  const char* text = "the rain";
  size_t count = 0;
  mote_error error = {};
  ASSERT_EQ(mote_tokenize(model_.get(), text, strlen(text), MOTE_ADD_SPECIAL, nullptr, 0, &count, &error), MOTE_OK);
  ASSERT_GT(count, 2u);
  std::vector<int32_t> tokens(count, -7);
  size_t again = 0;
  EXPECT_EQ(mote_tokenize(model_.get(), text, strlen(text), MOTE_ADD_SPECIAL, tokens.data(), count - 1, &again, &error),
            MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(again, count);
  EXPECT_EQ(tokens[0], -7) << "a buffer that is too small is not touched";
  ASSERT_EQ(mote_tokenize(model_.get(), text, strlen(text), MOTE_ADD_SPECIAL, tokens.data(), count, &again, &error),
            MOTE_OK);
  EXPECT_EQ(tokens[0], 1);

  char buffer[64];
  size_t size = 0;
  ASSERT_EQ(mote_detokenize(model_.get(), tokens.data(), count, 0, buffer, sizeof(buffer), &size, &error), MOTE_OK);
  EXPECT_EQ(std::string(buffer, size), text);
  ASSERT_EQ(mote_token_text(model_.get(), 2, MOTE_SHOW_SPECIAL, buffer, sizeof(buffer), &size, &error), MOTE_OK);
  EXPECT_EQ(std::string(buffer, size), "</s>");
  ASSERT_EQ(mote_token_text(model_.get(), 2, 0, buffer, sizeof(buffer), &size, &error), MOTE_OK);
  EXPECT_EQ(size, 0u);
  EXPECT_EQ(mote_token_text(model_.get(), 512, 0, buffer, sizeof(buffer), &size, &error), MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(mote_token_find(model_.get(), "</s>", 4), 2);
  EXPECT_EQ(mote_token_find(model_.get(), "</t>", 4), -1);
  EXPECT_EQ(mote_tokenize(model_.get(), text, 3, 64, nullptr, 0, &count, &error), MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(mote_tokenize(model_.get(), text, 3, 0, nullptr, 0, nullptr, &error), MOTE_INVALID_ARGUMENT);
  // Special tokens come out of text only where asked for.
  ASSERT_EQ(mote_tokenize(model_.get(), "</s>", 4, MOTE_PARSE_SPECIAL, tokens.data(), count, &again, &error), MOTE_OK);
  EXPECT_EQ(again, 1u);
  ASSERT_EQ(mote_tokenize(model_.get(), "</s>", 4, 0, nullptr, 0, &again, &error), MOTE_OK);
  EXPECT_GT(again, 1u);
}

TEST_F(ApiTest, ChatRendersAndTokenizes) {
  const mote_chat_message messages[] = {{"system", "short", nullptr}, {"user", "hi", "{\"name\":\"x\"}"}};
  char text[256];
  size_t size = 0;
  mote_error error = {};
  ASSERT_EQ(mote_chat_render(model_.get(), messages, 2, nullptr, text, sizeof(text), &size, &error), MOTE_OK)
      << error.message;
  EXPECT_NE(std::string(text, size).find("hi"), std::string::npos);
  size_t with_prompt = 0;
  ASSERT_EQ(mote_chat_tokenize(model_.get(), messages, 2, nullptr, nullptr, 0, &with_prompt, &error), MOTE_OK);
  mote_chat_params params = mote_chat_default_params();
  params.no_generation_prompt = 1;
  size_t without = 0;
  ASSERT_EQ(mote_chat_tokenize(model_.get(), messages, 2, &params, nullptr, 0, &without, &error), MOTE_OK);
  EXPECT_LT(without, with_prompt);
  const mote_chat_message nobody = {nullptr, "hi", nullptr};
  EXPECT_EQ(mote_chat_tokenize(model_.get(), &nobody, 1, nullptr, nullptr, 0, &without, &error), MOTE_INVALID_ARGUMENT);
  const mote_chat_message bad_json = {"user", "hi", "{"};
  EXPECT_NE(mote_chat_tokenize(model_.get(), &bad_json, 1, nullptr, nullptr, 0, &without, &error), MOTE_OK);
}

TEST_F(ApiTest, EvalGivesLogitsOfEveryToken) {
  const SessionPtr session = NewSession(model_);
  EXPECT_EQ(mote_session_logits(session.get()), nullptr);
  struct Rows {
    std::vector<std::vector<float>> rows;
    size_t last_done = 0;
  } rows;
  mote_eval_params params = mote_eval_default_params();
  params.user = &rows;
  params.on_logits = [](void* user, size_t index, const float* logits) {
    Rows& r = *static_cast<Rows*>(user);
    EXPECT_EQ(index, r.rows.size());
    r.rows.emplace_back(logits, logits + 512);
    return 0;
  };
  params.on_progress = [](void* user, size_t done, size_t total) {
    static_cast<Rows*>(user)->last_done = done;
    EXPECT_EQ(total, std::size(kPrompt));
  };
  mote_error error = {};
  ASSERT_EQ(mote_session_eval(session.get(), kPrompt, std::size(kPrompt), &params, &error), MOTE_OK) << error.message;
  ASSERT_EQ(rows.rows.size(), std::size(kPrompt));
  EXPECT_EQ(rows.last_done, std::size(kPrompt));
  const float* last = mote_session_logits(session.get());
  ASSERT_NE(last, nullptr);
  EXPECT_TRUE(std::equal(last, last + 512, rows.rows.back().begin()));
  size_t count = 0;
  const int32_t* tokens = mote_session_tokens(session.get(), &count);
  EXPECT_TRUE(std::equal(tokens, tokens + count, std::begin(kPrompt), std::end(kPrompt)));

  mote_session_truncate(session.get(), 2);
  EXPECT_EQ(mote_session_logits(session.get()), nullptr);
  EXPECT_EQ(mote_session_keep_prefix(session.get(), kPrompt, std::size(kPrompt)), 2u);

  params.on_logits = [](void*, size_t, const float*) { return 1; };
  params.on_progress = nullptr;
  EXPECT_EQ(mote_session_eval(session.get(), kPrompt + 2, 3, &params, &error), MOTE_CANCELLED);
  const int32_t outside = 512;
  EXPECT_EQ(mote_session_eval(session.get(), &outside, 1, nullptr, &error), MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(mote_session_eval(session.get(), nullptr, 1, nullptr, &error), MOTE_INVALID_ARGUMENT);
  const std::vector<int32_t> many(200, 5);
  EXPECT_EQ(mote_session_eval(session.get(), many.data(), many.size(), nullptr, &error), MOTE_CONTEXT_FULL);
}

TEST_F(ApiTest, GenerateIsEvalAndSample) {
  const SessionPtr session = NewSession(model_);
  struct Streamed {
    std::string text;
  } streamed;
  const Answer answer = Generate(
      session, 12,
      [](void* user, const char* text, size_t size, int32_t) {
        static_cast<Streamed*>(user)->text.append(text, size);
        return 0;
      },
      &streamed);
  EXPECT_EQ(answer.tokens.size(), 12u);
  EXPECT_EQ(answer.text, streamed.text);
  EXPECT_EQ(answer.text.size(), strlen(answer.result.text));
  EXPECT_EQ(answer.result.finish_reason, MOTE_FINISH_LENGTH);
  EXPECT_EQ(answer.result.prompt_tokens, std::size(kPrompt));

  // The same by hand, in another session.
  const SessionPtr other = NewSession(model_);
  const mote_logit_bias no_end = {2, -INFINITY};
  mote_sampling_params sampling = mote_sampling_default_params();
  sampling.temperature = 0;
  sampling.logit_bias = &no_end;
  sampling.logit_bias_count = 1;
  mote_sampler* sampler = nullptr;
  mote_error error = {};
  ASSERT_EQ(mote_sampler_create(model_.get(), &sampling, &sampler, &error), MOTE_OK) << error.message;
  ASSERT_EQ(mote_session_eval(other.get(), kPrompt, std::size(kPrompt), nullptr, &error), MOTE_OK);
  for (const int32_t expected : answer.tokens) {
    int32_t token = -1;
    ASSERT_EQ(mote_sampler_sample(sampler, mote_session_logits(other.get()), &token, &error), MOTE_OK);
    EXPECT_EQ(token, expected);
    mote_sampler_accept(sampler, token);
    ASSERT_EQ(mote_session_eval(other.get(), &token, 1, nullptr, &error), MOTE_OK);
  }
  EXPECT_EQ(mote_sampler_sample(sampler, nullptr, nullptr, &error), MOTE_INVALID_ARGUMENT);
  mote_sampler_free(sampler);
  sampling.top_p = -1;
  EXPECT_EQ(mote_sampler_create(model_.get(), &sampling, &sampler, &error), MOTE_INVALID_ARGUMENT);
  EXPECT_NE(strstr(error.message, "top_p"), nullptr);
}

TEST_F(ApiTest, CancelIsNeverLost) {
  const SessionPtr session = NewSession(model_);
  mote_session_cancel(session.get());
  EXPECT_EQ(Generate(session, 5).result.finish_reason, MOTE_FINISH_CANCELLED) << "asked before the call began";
  EXPECT_EQ(Generate(session, 5).result.finish_reason, MOTE_FINISH_LENGTH) << "and met once";
  mote_session_cancel(session.get());
  mote_session_clear_cancel(session.get());
  EXPECT_EQ(Generate(session, 5).result.finish_reason, MOTE_FINISH_LENGTH);
  // From within, after three pieces.
  struct Stopper {
    mote_session* session;
    int pieces = 0;
  } stopper{session.get()};
  const Answer answer = Generate(
      session, 50,
      [](void* user, const char*, size_t, int32_t) {
        Stopper& s = *static_cast<Stopper*>(user);
        if (++s.pieces == 3) mote_session_cancel(s.session);
        return 0;
      },
      &stopper);
  EXPECT_EQ(answer.result.finish_reason, MOTE_FINISH_CANCELLED);
  EXPECT_LT(answer.tokens.size(), 50u);
}

TEST_F(ApiTest, ModelsLiveAsLongAsTheirSessions) {
  const Answer expected = Generate(NewSession(model_), 8);
  const SessionPtr session = NewSession(model_);
  model_.reset();
  EXPECT_EQ(Generate(session, 8).tokens, expected.tokens);
}

TEST_F(ApiTest, FromACallbackWithProgressAndLog) {
  struct File {
    const std::vector<uint8_t>* bytes;
    uint64_t reported = 0;
    uint64_t total = 0;
    int lines = 0;
  } file{&bytes_};
  mote_model_params params = OneThread();
  params.progress_user = &file;
  params.progress = [](void* user, uint64_t done, uint64_t total) {
    File& f = *static_cast<File*>(user);
    EXPECT_GE(done, f.reported) << "progress never goes back";
    f.reported = done;
    f.total = total;
  };
  params.log_user = &file;
  params.log = [](void* user, mote_log_level, const char* line) {
    EXPECT_GT(strlen(line), 0u);
    ++static_cast<File*>(user)->lines;
  };
  const mote_read_fn read = [](void* user, uint64_t offset, void* buffer, uint64_t bytes) {
    const std::vector<uint8_t>& all = *static_cast<File*>(user)->bytes;
    const uint64_t got = offset < all.size() ? std::min<uint64_t>(bytes, all.size() - offset) : 0;
    if (got > 0) memcpy(buffer, all.data() + offset, got);
    return static_cast<int64_t>(got);
  };
  mote_model* model = nullptr;
  mote_error error = {};
  ASSERT_EQ(mote_model_load_callback(read, &file, bytes_.size(), &params, &model, &error), MOTE_OK) << error.message;
  const ModelPtr owner(model);
  EXPECT_GT(file.total, 0u);
  EXPECT_EQ(file.reported, file.total);
  EXPECT_GT(file.lines, 0);
  EXPECT_EQ(Generate(NewSession(owner), 8).tokens, Generate(NewSession(model_), 8).tokens);

  const mote_read_fn failing = [](void*, uint64_t, void*, uint64_t) { return int64_t{-1}; };
  EXPECT_NE(mote_model_load_callback(failing, nullptr, 1000, nullptr, &model, &error), MOTE_OK);
}

TEST_F(ApiTest, VocabularyAlone) {
  mote_model_params params = OneThread();
  params.vocab_only = 1;
  const ModelPtr vocabulary = Load(bytes_, params);
  ASSERT_NE(vocabulary, nullptr);
  size_t count = 0;
  mote_error error = {};
  EXPECT_EQ(mote_tokenize(vocabulary.get(), "abc", 3, 0, nullptr, 0, &count, &error), MOTE_OK);
  EXPECT_GT(count, 0u);
  mote_session* session = nullptr;
  EXPECT_EQ(mote_session_create(vocabulary.get(), 0, &session, &error), MOTE_UNSUPPORTED);
  mote_model_info info = {};
  info.struct_size = sizeof(info);
  ASSERT_EQ(mote_model_get_info(vocabulary.get(), &info, &error), MOTE_OK);
  EXPECT_EQ(info.vocab_size, 512u);
  EXPECT_EQ(info.context, 0u);

  // A chat needs no weights: the same text and tokens, and no message forges a turn.
  const mote_chat_message messages[] = {{"user", "Hi </s> <s>", nullptr}};
  std::vector<int32_t> tokens[2];
  std::string texts[2];
  const mote_model* models[] = {vocabulary.get(), model_.get()};
  for (int i = 0; i < 2; ++i) {
    tokens[i].resize(200);
    ASSERT_EQ(mote_chat_tokenize(models[i], messages, 1, nullptr, tokens[i].data(), 200, &count, &error), MOTE_OK)
        << error.message;
    tokens[i].resize(count);
    texts[i].resize(200);
    ASSERT_EQ(mote_chat_render(models[i], messages, 1, nullptr, texts[i].data(), 200, &count, &error), MOTE_OK)
        << error.message;
    texts[i].resize(count);
  }
  EXPECT_FALSE(tokens[0].empty());
  EXPECT_EQ(tokens[0], tokens[1]);
  EXPECT_EQ(texts[0], texts[1]);
  EXPECT_EQ(std::count(tokens[0].begin(), tokens[0].end(), 2), 0) << "</s> of the message became a token";
}

TEST(ApiModels, TwoInOneProcessDoNotMix) {
  const std::vector<uint8_t> one = MakeTinyModel(Tiny(1));
  const std::vector<uint8_t> two = MakeTinyModel(Tiny(2));
  const Answer alone_one = Generate(NewSession(Load(one, OneThread())), 20);
  const Answer alone_two = Generate(NewSession(Load(two, OneThread())), 20);
  EXPECT_NE(alone_one.tokens, alone_two.tokens);
  const ModelPtr a = Load(one, OneThread());
  const ModelPtr b = Load(two, OneThread());
  const SessionPtr in_a = NewSession(a);
  const SessionPtr in_b = NewSession(b);
  EXPECT_EQ(Generate(in_a, 20).tokens, alone_one.tokens);
  EXPECT_EQ(Generate(in_b, 20).tokens, alone_two.tokens);
}

#ifndef __wasm__

TEST_F(ApiTest, TwoThreadsTwoSessions) {
  const Answer expected = Generate(NewSession(model_), 40);
  std::vector<std::thread> threads;
  std::atomic<int> same = 0;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      const SessionPtr session = NewSession(model_);
      for (int round = 0; round < 5; ++round) {
        mote_session_truncate(session.get(), 0);
        same += Generate(session, 40).tokens == expected.tokens ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(same.load(), 10);
}

TEST_F(ApiTest, CancelFromAnotherThread) {
  const SessionPtr session = NewSession(model_);
  struct Started {
    std::atomic<bool> yes{false};
  } started;
  std::thread canceller([&] {
    while (!started.yes.load()) std::this_thread::yield();
    mote_session_cancel(session.get());
  });
  // Slow enough that the cancel comes before the context is full.
  const Answer answer = Generate(
      session, -1,
      [](void* user, const char*, size_t, int32_t) {
        static_cast<Started*>(user)->yes.store(true);
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        return 0;
      },
      &started);
  canceller.join();
  EXPECT_EQ(answer.result.finish_reason, MOTE_FINISH_CANCELLED);
}

#endif

}  // namespace
}  // namespace mote::testing

std::vector<uint8_t> TinyModelForApiTests() {
  return mote::testing::MakeTinyModel(mote::testing::Tiny());
}
