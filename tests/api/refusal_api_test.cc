// What callers get wrong, and how they are told: the right status, and one line of whole UTF-8.
#include <gtest/gtest.h>
#include <string.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "engine/api/mote.h"
#include "tests/support/api_handles.h"
#include "tests/support/tiny_model.h"

namespace mote::testing {
namespace {

class RefusalApiTest : public ::testing::Test {
 protected:
  void SetUp() override {
    bytes_ = MakeTinyModel({});
    params_.threads = 1;
    params_.context = 64;
    ASSERT_EQ(Load(&model_), MOTE_OK) << error_.message;
    info_.struct_size = sizeof(info_);
    ASSERT_EQ(mote_model_get_info(model_.get(), &info_, nullptr), MOTE_OK);
  }
  mote_status Load(ModelPtr* model) {
    mote_model* loaded = nullptr;
    const mote_status status = mote_model_load_memory(bytes_.data(), bytes_.size(), &params_, &loaded, &error_);
    model->reset(loaded);
    return status;
  }
  bool Said(const char* word) const { return strstr(error_.message, word) != nullptr; }

  std::vector<uint8_t> bytes_;
  mote_model_params params_ = mote_model_default_params();
  mote_model_info info_ = {};
  mote_error error_ = {};
  ModelPtr model_;
};

TEST_F(RefusalApiTest, MessagesAreOneLine) {
  mote_model* model = nullptr;
  EXPECT_EQ(mote_model_load("no\nsuch\tfi\xc2\x85le\x7f.gguf", nullptr, &model, &error_), MOTE_NOT_FOUND);
  EXPECT_TRUE(Said("no such fi le .gguf")) << error_.message;
  EXPECT_EQ(mote_model_load("b\xff"
                            "d \xe2\x82.gguf",
                            nullptr, &model, &error_),
            MOTE_NOT_FOUND);
  EXPECT_TRUE(
      Said("b\xef\xbf\xbd"
           "d \xef\xbf\xbd"))
      << error_.message;
}

TEST_F(RefusalApiTest, MessagesAreCutBetweenCharacters) {
  mote_model* model = nullptr;
  for (size_t shift = 0; shift < 4; ++shift) {
    std::string path(shift, 'x');
    while (path.size() < 2000) path += "\xe2\x82\xac";  // the euro's sign, of three bytes
    EXPECT_NE(mote_model_load(path.c_str(), nullptr, &model, &error_), MOTE_OK);
    const std::string message = error_.message;
    ASSERT_GT(message.size(), 1000u);
    EXPECT_EQ(message.substr(message.size() - 3), "\xe2\x82\xac") << shift;
  }
}

TEST_F(RefusalApiTest, NamesWithNulDoNotEndAMessage) {
  mote_grammar* grammar = nullptr;
  // The line goes on after the name.
  const char schema[] =
      R"({"type": "object", "properties": {"a\u0000b": {"type": "nonsense"}}, "required": ["a\u0000b"]})";
  EXPECT_NE(mote_grammar_create_json_schema(model_.get(), schema, strlen(schema), &grammar, &error_), MOTE_OK);
  EXPECT_EQ(grammar, nullptr);
  EXPECT_TRUE(Said("a b")) << error_.message;
  EXPECT_TRUE(Said("must be object")) << error_.message;
}

TEST_F(RefusalApiTest, WhatLeavesNoTokenIsTheCallersArgument) {
  std::vector<mote_logit_bias> nothing;
  for (uint32_t i = 0; i < info_.vocab_size; ++i) nothing.push_back({static_cast<int32_t>(i), -INFINITY});
  const std::vector<float> good(info_.vocab_size, 1.0f);
  for (const float temperature : {0.0f, 1.0f}) {
    mote_sampling_params params = mote_sampling_default_params();
    params.temperature = temperature;
    mote_sampler* sampler = nullptr;
    int32_t token = -5;
    ASSERT_EQ(mote_sampler_create(model_.get(), &params, &sampler, &error_), MOTE_OK);
    for (const float bad : {static_cast<float>(NAN), static_cast<float>(-INFINITY)}) {
      const std::vector<float> logits(info_.vocab_size, bad);
      EXPECT_EQ(mote_sampler_sample(sampler, logits.data(), &token, &error_), MOTE_INVALID_ARGUMENT);
      EXPECT_EQ(error_.code, MOTE_INVALID_ARGUMENT);
    }
    mote_sampler_free(sampler);
    params.logit_bias = nothing.data();
    params.logit_bias_count = nothing.size();
    ASSERT_EQ(mote_sampler_create(model_.get(), &params, &sampler, &error_), MOTE_OK);
    EXPECT_EQ(mote_sampler_sample(sampler, good.data(), &token, &error_), MOTE_INVALID_ARGUMENT);
    EXPECT_TRUE(Said("logit_bias")) << error_.message;
    EXPECT_EQ(token, -5);
    mote_sampler_free(sampler);
  }
}

TEST_F(RefusalApiTest, AnIdBelowTheVocabularyIsNoImage) {
  mote_session* session = nullptr;
  ASSERT_EQ(mote_session_create(model_.get(), 0, &session, &error_), MOTE_OK);
  const int32_t tokens[] = {1, 300, -1};
  EXPECT_EQ(mote_session_generate(session, tokens, 3, nullptr, nullptr, &error_), MOTE_INVALID_ARGUMENT);
  EXPECT_TRUE(Said("token 2 of the prompt is -1")) << error_.message;
  mote_session_free(session);
}

TEST_F(RefusalApiTest, FlagsAndSwitchesHaveTheValuesThatAreNamed) {
  size_t size = 0;
  EXPECT_EQ(mote_token_text(model_.get(), 300, MOTE_SHOW_SPECIAL, nullptr, 0, &size, &error_), MOTE_OK);
  for (const uint32_t flags : {uint32_t{MOTE_ADD_SPECIAL}, uint32_t{MOTE_PARSE_SPECIAL}, 8u, UINT32_MAX}) {
    EXPECT_EQ(mote_token_text(model_.get(), 300, flags, nullptr, 0, &size, &error_), MOTE_INVALID_ARGUMENT) << flags;
    EXPECT_TRUE(Said("MOTE_SHOW_SPECIAL")) << error_.message;
  }
  for (const int32_t value : {2, -1}) {
    params_.vocab_only = value;
    ModelPtr model;
    EXPECT_EQ(Load(&model), MOTE_INVALID_ARGUMENT) << value;
    EXPECT_TRUE(Said("vocab_only")) << error_.message;
  }
}

TEST_F(RefusalApiTest, AVocabularyHasNoDeviceAndSaysSoWithoutNull) {
  params_.vocab_only = 1;
  ModelPtr vocabulary;
  ASSERT_EQ(Load(&vocabulary), MOTE_OK);
  ASSERT_EQ(mote_model_get_info(vocabulary.get(), &info_, &error_), MOTE_OK);
  EXPECT_STREQ(info_.device_reason, "");
  EXPECT_STREQ(info_.backend, "");
}

}  // namespace
}  // namespace mote::testing
