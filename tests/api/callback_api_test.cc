// What mote.h lets callbacks do: all but computing, and nothing to the session that computes. And what a child of
// fork() may do: nothing with its parent's models.
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#ifndef __wasm__
#include <sys/wait.h>
#include <unistd.h>
#endif

#include "engine/api/mote.h"
#include "tests/support/api_handles.h"
#include "tests/support/tiny_model.h"

namespace mote::testing {
namespace {

constexpr uint32_t kContext = 64;

std::vector<int32_t> Tokens(size_t count, int32_t first) {
  std::vector<int32_t> tokens(count);
  for (size_t i = 0; i < count; ++i) tokens[i] = first + static_cast<int32_t>(i % 100);
  return tokens;
}

class CallbackApiTest : public ::testing::Test {
 protected:
  void SetUp() override { Load(1); }
  void Load(int threads) {
    bytes_ = MakeTinyModel({});
    mote_model_params params = mote_model_default_params();
    params.threads = threads;
    params.context = kContext;
    params.max_batch = 16;  // so that a prompt takes several steps
    mote_model* model = nullptr;
    mote_error error = {};
    ASSERT_EQ(mote_model_load_memory(bytes_.data(), bytes_.size(), &params, &model, &error), MOTE_OK) << error.message;
    model_.reset(model);
    session_ = NewSession();
    full_ = NewSession();
    const std::vector<int32_t> tokens = Tokens(kContext - 2, 300);
    ASSERT_EQ(mote_session_eval(full_.get(), tokens.data(), tokens.size(), nullptr, &error), MOTE_OK) << error.message;
    mote_prompt* prompt = nullptr;
    ASSERT_EQ(mote_prompt_create_tokens(model, prompt_.data(), prompt_.size(), &prompt, &error), MOTE_OK);
    made_.reset(prompt);
  }
  SessionPtr NewSession() {
    mote_session* session = nullptr;
    EXPECT_EQ(mote_session_create(model_.get(), 0, &session, nullptr), MOTE_OK);
    return SessionPtr(session);
  }
  static std::vector<int32_t> Held(const SessionPtr& session) {
    size_t count = 0;
    const int32_t* tokens = mote_session_tokens(session.get(), &count);
    return {tokens, tokens + count};
  }
  std::vector<float> Logits() {
    mote_model_info info = {};
    info.struct_size = sizeof(info);
    EXPECT_EQ(mote_model_get_info(model_.get(), &info, nullptr), MOTE_OK);
    const float* logits = mote_session_logits(session_.get());
    return logits == nullptr ? std::vector<float>() : std::vector<float>(logits, logits + info.vocab_size);
  }

  // From a callback of a call that computes with `session_`: everything that would change it.
  void Meddle() {
    ++meddled_;
    const std::vector<int32_t> before = Held(session_);
    mote_error error = {};
    EXPECT_EQ(mote_session_copy_prefix(session_.get(), full_.get(), kContext, &error), 0u);
    EXPECT_EQ(error.code, MOTE_INVALID_ARGUMENT);
    EXPECT_NE(std::string(error.message).find("computes with the session"), std::string::npos) << error.message;
    EXPECT_EQ(mote_session_keep_prefix(session_.get(), prompt_.data(), 2), 0u);
    EXPECT_EQ(mote_session_keep_prompt(session_.get(), made_.get()), 0u);
    mote_session_truncate(session_.get(), 0);
    EXPECT_EQ(mote_session_start(session_.get(), made_.get(), nullptr, Done, this, nullptr), MOTE_INVALID_ARGUMENT);
    EXPECT_EQ(Held(session_), before);
    // Others may be used for all that does not compute.
    const SessionPtr other = NewSession();
    EXPECT_EQ(mote_session_copy_prefix(other.get(), full_.get(), 5, nullptr), 5u);
    mote_session_truncate(other.get(), 3);
    EXPECT_EQ(Held(other).size(), 3u);
  }
  static void Done(void* self, mote_status, const mote_generate_result*, const char*) {
    ++static_cast<CallbackApiTest*>(self)->dones_;
  }
  static void Progress(void* self, size_t, size_t) {
    auto& test = *static_cast<CallbackApiTest*>(self);
    if (test.meddle_) test.Meddle();
  }
  static int Text(void* self, const char*, size_t, int32_t) {
    Progress(self, 0, 0);
    return 0;
  }
  static int Token(void* self, const mote_token_info*) { return Text(self, nullptr, 0, 0); }
  static int OnLogits(void* self, size_t, const float*) { return Text(self, nullptr, 0, 0); }

  mote_status Eval(bool prompt, mote_error* error) {
    mote_eval_params params = mote_eval_default_params();
    params.on_progress = Progress;
    params.on_logits = OnLogits;
    params.user = this;
    if (prompt) return mote_session_eval_prompt(session_.get(), made_.get(), 0, &params, error);
    return mote_session_eval(session_.get(), prompt_.data(), prompt_.size(), &params, error);
  }
  mote_status Generate(bool prompt, mote_error* error) {
    mote_sampling_params sampling = mote_sampling_default_params();
    sampling.temperature = 0;
    mote_generate_params params = mote_generate_default_params();
    params.sampling = &sampling;
    params.max_tokens = 8;
    params.ignore_eos = 1;
    params.on_progress = Progress;
    params.on_text = Text;
    params.on_token = Token;
    params.user = this;
    if (prompt) return mote_session_generate_prompt(session_.get(), made_.get(), &params, nullptr, error);
    return mote_session_generate(session_.get(), prompt_.data(), prompt_.size(), &params, nullptr, error);
  }
  // The same with and without callbacks that meddle; afterwards the session is nobody's.
  void ExpectUnchanged(const std::function<mote_status(mote_error*)>& call) {
    mote_error error = {};
    meddle_ = false;
    mote_session_truncate(session_.get(), 0);
    ASSERT_EQ(call(&error), MOTE_OK) << error.message;
    const std::vector<int32_t> tokens = Held(session_);
    const std::vector<float> logits = Logits();
    mote_session_truncate(session_.get(), 0);
    meddle_ = true;
    meddled_ = 0;
    ASSERT_EQ(call(&error), MOTE_OK) << error.message;
    EXPECT_GT(meddled_, 2);
    EXPECT_EQ(Held(session_), tokens);
    EXPECT_EQ(Logits(), logits);
    EXPECT_EQ(dones_, 0);
    mote_session_truncate(session_.get(), 3);
    EXPECT_EQ(Held(session_).size(), 3u);
    EXPECT_EQ(mote_session_copy_prefix(session_.get(), full_.get(), 20, &error), 20u) << error.message;
  }

  const std::vector<int32_t> prompt_ = Tokens(40, 270);
  std::vector<uint8_t> bytes_;
  ModelPtr model_;
  SessionPtr session_;
  SessionPtr full_;
  PromptPtr made_;
  bool meddle_ = false;
  int meddled_ = 0;
  int dones_ = 0;
};

TEST_F(CallbackApiTest, LeaveTheSessionThatEvaluatesAlone) {
  ExpectUnchanged([&](mote_error* error) { return Eval(false, error); });
  ExpectUnchanged([&](mote_error* error) { return Eval(true, error); });
}

TEST_F(CallbackApiTest, LeaveTheSessionThatGeneratesAlone) {
  ExpectUnchanged([&](mote_error* error) { return Generate(false, error); });
  ExpectUnchanged([&](mote_error* error) { return Generate(true, error); });
}

TEST_F(CallbackApiTest, ASessionIsFreeAfterACallThatFails) {
  const std::vector<int32_t> many = Tokens(kContext + 1, 270);
  mote_error error = {};
  EXPECT_EQ(mote_session_eval(session_.get(), many.data(), many.size(), nullptr, &error), MOTE_CONTEXT_FULL);
  EXPECT_EQ(mote_session_generate(session_.get(), many.data(), many.size(), nullptr, nullptr, &error),
            MOTE_CONTEXT_FULL);
  EXPECT_EQ(mote_session_copy_prefix(session_.get(), full_.get(), 20, &error), 20u) << error.message;
  mote_session_cancel(session_.get());
  EXPECT_EQ(mote_session_eval(session_.get(), many.data(), 20, nullptr, &error), MOTE_CANCELLED);
  EXPECT_EQ(mote_session_copy_prefix(session_.get(), full_.get(), 10, &error), 10u) << error.message;
}

#ifndef __wasm__

TEST_F(CallbackApiTest, AChildOfForkIsToldThatItHasNoThreads) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer promises nothing of a child of fork() that had threads";
#endif
  Load(2);
  const auto call = [&] {  // 0: as it should be
    mote_error error = {};
    if (mote_session_eval(session_.get(), prompt_.data(), 20, nullptr, &error) != MOTE_UNSUPPORTED) return 1;
    if (std::string(error.message).find("fork") == std::string::npos) return 2;
    if (mote_session_generate(session_.get(), prompt_.data(), 20, nullptr, nullptr, &error) != MOTE_UNSUPPORTED) {
      return 3;
    }
    std::vector<float> vector(1024);
    if (mote_session_embed(session_.get(), made_.get(), nullptr, vector.data(), vector.size(), nullptr, &error) !=
        MOTE_UNSUPPORTED) {
      return 4;
    }
    if (mote_session_start(session_.get(), made_.get(), nullptr, Done, this, &error) != MOTE_OK) return 5;
    if (mote_model_step(model_.get(), nullptr, nullptr, &error) != MOTE_OK || dones_ != 1) return 6;
    session_.reset();
    full_.reset();
    made_.reset();
    model_.reset();
    return 0;
  };
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(60);  // instead of waiting for ever
    _exit(call());
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  // The parent has lost nothing.
  mote_error error = {};
  EXPECT_EQ(mote_session_eval(session_.get(), prompt_.data(), 20, nullptr, &error), MOTE_OK) << error.message;
}

#endif

}  // namespace
}  // namespace mote::testing
