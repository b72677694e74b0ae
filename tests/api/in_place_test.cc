// Models and vision files that are packed where they lie.
#include <gtest/gtest.h>
#include <string.h>

#include <memory>
#include <string>
#include <vector>

#include "engine/api/mote.h"
#include "engine/core/buffer.h"
#include "tests/support/effort.h"
#include "tests/support/tiny_model.h"

namespace mote::testing {
namespace {

struct FreeModel {
  void operator()(mote_model* model) const { mote_model_free(model); }
};
using ModelPtr = std::unique_ptr<mote_model, FreeModel>;

struct Loaded {
  Buffer memory;  // outlives the model
  ModelPtr model;
};

// At 32 bytes past a cache line: what the format promises, and no more.
Loaded Load(const std::vector<uint8_t>& bytes, const mote_model_params& params, bool in_place) {
  Loaded loaded;
  loaded.memory = std::move(Buffer::Create(bytes.size() + 32, "file")).value();
  uint8_t* file = loaded.memory.data() + 32;
  memcpy(file, bytes.data(), bytes.size());
  mote_model* model = nullptr;
  mote_error error = {};
  const mote_status status = in_place ? mote_model_load_in_place(file, bytes.size(), &params, &model, &error)
                                      : mote_model_load_memory(file, bytes.size(), &params, &model, &error);
  EXPECT_EQ(status, MOTE_OK) << error.message;
  loaded.model.reset(model);
  return loaded;
}

// Logits of all tokens of a prompt, then of one more.
std::vector<float> Logits(mote_model* model) {
  std::vector<float> all;
  mote_session* session = nullptr;
  mote_error error = {};
  EXPECT_EQ(mote_session_create(model, 0, &session, &error), MOTE_OK) << error.message;
  if (session == nullptr) return all;
  mote_model_info info = {};
  info.struct_size = sizeof(info);
  EXPECT_EQ(mote_model_get_info(model, &info, &error), MOTE_OK);
  struct Sink {
    std::vector<float>* all;
    size_t vocab;
  } sink = {&all, info.vocab_size};
  mote_eval_params params = mote_eval_default_params();
  params.user = &sink;
  params.on_logits = [](void* user, size_t, const float* logits) {
    const Sink& s = *static_cast<const Sink*>(user);
    s.all->insert(s.all->end(), logits, logits + s.vocab);
    return 0;
  };
  const int32_t prompt[] = {1, 300, 301, 302, 280, 290, 299, 5, 260};
  EXPECT_EQ(mote_session_eval(session, prompt, 9, &params, &error), MOTE_OK) << error.message;
  EXPECT_EQ(mote_session_eval(session, prompt + 3, 1, &params, &error), MOTE_OK) << error.message;
  mote_session_free(session);
  return all;
}

void ExpectSameLogits(const TinyModelOptions& options, int threads, const char* isa) {
  SCOPED_TRACE(options.architecture + " " + DTypeName(options.type) + " " + (isa == nullptr ? "best" : isa));
  const std::vector<uint8_t> bytes = MakeTinyModel(options);
  if (bytes.empty()) return;
  mote_model_params params = mote_model_default_params();
  params.threads = threads;
  params.context = 64;
  params.isa = isa;
  const Loaded usual = Load(bytes, params, false);
  const Loaded in_place = Load(bytes, params, true);
  ASSERT_NE(usual.model, nullptr);
  ASSERT_NE(in_place.model, nullptr);
  EXPECT_EQ(memcmp(usual.memory.data() + 32, bytes.data(), bytes.size()), 0) << "a loader that must not write wrote";
  EXPECT_NE(memcmp(in_place.memory.data() + 32, bytes.data(), bytes.size()), 0) << "nothing was packed in place";
  const std::vector<float> expected = Logits(usual.model.get()), found = Logits(in_place.model.get());
  ASSERT_EQ(expected.size(), found.size());
  ASSERT_FALSE(expected.empty());
  EXPECT_EQ(memcmp(expected.data(), found.data(), expected.size() * sizeof(float)), 0);
}

// The output is the embedding where the family's tiny model ties them, a tensor of its own where it does not; qkv in
// one tensor; experts.
TEST(InPlace, LogitsAreTheSameToTheBit) {
  for (const char* architecture : {"llama", "qwen2", "gemma3", "phi3", "qwen3moe"}) {
    for (const DType type : {DType::kF32, DType::kF16, DType::kQ8_0, DType::kQ4_0, DType::kQ5_0, DType::kQ4_K,
                             DType::kQ6_K, DType::kMXFP4, DType::kI8Row}) {
      if (kSlowTests && (architecture[0] != 'l' || type == DType::kF16 || type == DType::kQ5_0)) continue;
      TinyModelOptions options;
      options.architecture = architecture;
      options.type = type;
      ExpectSameLogits(options, 3, nullptr);
    }
  }
}

TEST(InPlace, WithEveryInstructionSet) {
  for (size_t i = 0; mote_isa_name(i) != nullptr; ++i) {
    if (mote_isa_can_run(i) == 0 || strcmp(mote_isa_name(i), "scalar") == 0) continue;
    for (const DType type : {DType::kF16, DType::kQ8_0, DType::kI8Row, DType::kQ5_1, DType::kQ4_K}) {
      if (kSlowTests && type != DType::kQ8_0) continue;
      TinyModelOptions options;
      options.architecture = "gemma3";
      options.type = type;
      ExpectSameLogits(options, 1, mote_isa_name(i));
    }
  }
}

TEST(InPlace, WhatFailsSaysSo) {
  mote_model* model = nullptr;
  mote_error error = {};
  uint8_t bytes[64] = "this is no model";
  EXPECT_EQ(mote_model_load_in_place(nullptr, 16, nullptr, &model, &error), MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(mote_model_load_in_place(bytes, 16, nullptr, &model, &error), MOTE_MALFORMED);
  EXPECT_EQ(mote_model_load_vision_in_place(nullptr, bytes, 16, nullptr, &error), MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(model, nullptr);
}

}  // namespace
}  // namespace mote::testing
