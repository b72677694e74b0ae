// mote_tuning.h, from the outside. What is found out, and that no result depends on it: tests/run/autotune_test.cc.
#include <gtest/gtest.h>
#include <stddef.h>

#include <string>
#include <utility>
#include <vector>

#include "engine/api/mote.hpp"

// In api_test.cc, which sees the engine.
std::vector<uint8_t> TinyModelForApiTests();

namespace {

TEST(TuningApi, ASmallModelHasNothingToTry) {
  const std::vector<uint8_t> bytes = TinyModelForApiTests();
  mote::ModelOptions options;
  options.threads = 1;
  options.autotune = true;
  options.tuning = "mote-fetch-2\tnobody's\n\xff\x01\n";
  auto model = mote::Model::LoadMemory(bytes.data(), bytes.size(), options);
  ASSERT_TRUE(model.ok()) << model.error().message;
  const auto lines = model.value().Tuning();
  ASSERT_TRUE(lines.ok()) << lines.error().message;
  EXPECT_EQ(lines.value(), "");
}

TEST(TuningApi, ArgumentsAreChecked) {
  const std::vector<uint8_t> bytes = TinyModelForApiTests();
  mote_model_params params = mote_model_default_params();
  EXPECT_EQ(params.autotune, 0);
  EXPECT_EQ(params.tuning, nullptr);
  mote_error error = {};
  mote_model* model = nullptr;
  params.autotune = 2;
  EXPECT_EQ(mote_model_load_memory(bytes.data(), bytes.size(), &params, &model, &error), MOTE_INVALID_ARGUMENT);
  EXPECT_STREQ(error.message, "autotune is 2; it must be 0 (off) or 1 (on)");
  params.autotune = 1;
  params.vocab_only = 1;
  ASSERT_EQ(mote_model_load_memory(bytes.data(), bytes.size(), &params, &model, &error), MOTE_OK) << error.message;
  size_t size = 1;
  EXPECT_EQ(mote_model_tuning(model, nullptr, 0, &size, &error), MOTE_OK);
  EXPECT_EQ(size, 0u);
  char text[4] = "x";
  EXPECT_EQ(mote_model_tuning(model, text, sizeof(text), nullptr, &error), MOTE_OK);
  EXPECT_EQ(text[0], 'x');
  EXPECT_EQ(mote_model_tuning(model, nullptr, 0, nullptr, &error), MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(mote_model_tuning(nullptr, text, sizeof(text), &size, &error), MOTE_INVALID_ARGUMENT);
  mote_model_free(model);
}

// A caller that was compiled before there was autotune.
TEST(TuningApi, OlderCallersDoWithout) {
  const std::vector<uint8_t> bytes = TinyModelForApiTests();
  mote_model_params params = mote_model_default_params();
  params.struct_size = offsetof(mote_model_params, tuning);
  params.tuning = reinterpret_cast<const char*>(1);
  params.autotune = 77;
  mote_error error = {};
  mote_model* model = nullptr;
  ASSERT_EQ(mote_model_load_memory(bytes.data(), bytes.size(), &params, &model, &error), MOTE_OK) << error.message;
  mote_model_free(model);
}

}  // namespace
