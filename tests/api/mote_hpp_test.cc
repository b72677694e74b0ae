// mote.hpp over the same library.
#include <gtest/gtest.h>
#include <string.h>

#include "engine/api/mote.hpp"

// In api_test.cc, which sees the engine: here only the public names shall be known.
std::vector<uint8_t> TinyModelForApiTests();
// In vision_api_test.cc.
std::vector<uint8_t> TinyVisionTextForApiTests();
std::vector<uint8_t> TinyVisionTowerForApiTests();

namespace {

namespace api = mote;

class MoteHppTest : public ::testing::Test {
 protected:
  void SetUp() override {
    bytes_ = TinyModelForApiTests();
    options_.threads = 1;
    options_.context = 64;
  }
  std::vector<uint8_t> bytes_;
  api::ModelOptions options_;
};

TEST_F(MoteHppTest, HandsThePathOfSparseMatricesOn) {
  for (const mote_sparse_path path : {MOTE_SPARSE_AUTO, MOTE_SPARSE_SPARSE, MOTE_SPARSE_DENSE}) {
    options_.sparse_path = path;
    EXPECT_TRUE(api::Model::LoadMemory(bytes_.data(), bytes_.size(), options_).ok()) << path;
  }
  options_.sparse_path = static_cast<mote_sparse_path>(3);
  const auto refused = api::Model::LoadMemory(bytes_.data(), bytes_.size(), options_);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("sparse_path"), std::string::npos) << refused.error().message;
}

TEST_F(MoteHppTest, LoadsGeneratesAndStreams) {
  int lines = 0;
  uint64_t total = 0;
  options_.log = [&](mote_log_level, std::string_view) { ++lines; };
  options_.progress = [&](uint64_t, uint64_t all) { total = all; };
  auto model = api::Model::LoadMemory(bytes_.data(), bytes_.size(), options_);
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_GT(lines, 0);
  EXPECT_GT(total, 0u);
  EXPECT_STREQ(model->info().architecture, "llama");
  auto session = api::Session::Create(*model);
  ASSERT_TRUE(session.ok());
  auto prompt = model->Tokenize("the rain");
  ASSERT_TRUE(prompt.ok());
  EXPECT_EQ(*model->Detokenize(*prompt), "the rain");

  std::string streamed;
  api::GenerateOptions generate;
  generate.sampling.temperature = 0;
  generate.max_tokens = 10;
  generate.ignore_eos = true;
  generate.on_text = [&](std::string_view text, api::Token) {
    streamed += text;
    return true;
  };
  auto answer = session->Generate(*prompt, generate);
  ASSERT_TRUE(answer.ok()) << answer.error().message;
  EXPECT_EQ(answer->text, streamed);
  EXPECT_EQ(answer->tokens.size(), 10u);
  EXPECT_EQ(answer->finish_reason, MOTE_FINISH_LENGTH);

  generate.on_text = [](std::string_view, api::Token) { return false; };
  answer = session->Generate(*prompt, generate);
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->finish_reason, MOTE_FINISH_CANCELLED);
}

TEST_F(MoteHppTest, EvalAndSample) {
  auto model = api::Model::LoadMemory(bytes_.data(), bytes_.size(), options_);
  ASSERT_TRUE(model.ok());
  auto session = api::Session::Create(*model, 32);
  ASSERT_TRUE(session.ok());
  EXPECT_EQ(session->context(), 32u);
  size_t rows = 0;
  ASSERT_TRUE(session->Eval({1, 300, 301}, [&](size_t, const float*) { return ++rows != 0; }).ok());
  EXPECT_EQ(rows, 3u);
  EXPECT_EQ(session->tokens(), (std::vector<api::Token>{1, 300, 301}));
  auto sampler = api::Sampler::Create(*model);
  ASSERT_TRUE(sampler.ok());
  auto token = sampler->Sample(session->logits());
  ASSERT_TRUE(token.ok());
  EXPECT_GE(*token, 0);
  session->Truncate(1);
  EXPECT_EQ(session->logits(), nullptr);
}

TEST_F(MoteHppTest, CallbacksChatAndErrors) {
  const auto read = [&](uint64_t offset, void* buffer, uint64_t bytes) {
    memcpy(buffer, bytes_.data() + offset, bytes);
    return static_cast<int64_t>(bytes);
  };
  auto model = api::Model::LoadCallback(read, bytes_.size(), options_);
  ASSERT_TRUE(model.ok()) << model.error().message;
  auto text = model->RenderChat({{"user", "hi", ""}});
  ASSERT_TRUE(text.ok());
  EXPECT_NE(text->find("hi"), std::string::npos);
  auto tokens = model->TokenizeChat({{"user", "hi", ""}});
  ASSERT_TRUE(tokens.ok());
  EXPECT_GT(tokens->size(), 2u);
  auto missing = api::Model::Load("no/such/file.gguf");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, MOTE_NOT_FOUND);
  EXPECT_NE(missing.error().message.find("no/such/file.gguf"), std::string::npos);
  EXPECT_FALSE(api::Model::Measure("no/such/file.gguf").ok());
  EXPECT_TRUE(model->IsEnd(2));
  EXPECT_EQ(model->Find("</s>"), 2);
}

TEST_F(MoteHppTest, AReaderThatIsEmptyIsRefused) {
  const auto refused = api::Model::LoadCallback(nullptr, bytes_.size(), options_);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, MOTE_INVALID_ARGUMENT);
  auto model = api::Model::LoadMemory(bytes_.data(), bytes_.size(), options_);
  ASSERT_TRUE(model.ok());
  EXPECT_EQ(model->LoadVisionCallback(api::Model::Read(), 1000).error().code, MOTE_INVALID_ARGUMENT);
}

// C would read them as far as the NUL, and do what nobody asked for.
TEST_F(MoteHppTest, StringsWithNulAreRefused) {
  const std::string nul("a\0b", 3);
  const auto expect_refused = [](const auto& result, const char* name) {
    ASSERT_FALSE(result.ok()) << name;
    EXPECT_EQ(result.error().code, MOTE_INVALID_ARGUMENT) << name;
    EXPECT_EQ(result.error().message.find(name), 0u) << result.error().message;
  };
  expect_refused(api::Model::Load(nul), "path");
  expect_refused(api::Model::Measure(nul), "path");
  expect_refused(api::Model::MeasureVision(nul), "path");
  auto model = api::Model::LoadMemory(bytes_.data(), bytes_.size(), options_);
  ASSERT_TRUE(model.ok());
  expect_refused(model->LoadVision(nul), "path");
  const std::pair<const char*, std::string api::ModelOptions::*> fields[] = {{"isa", &api::ModelOptions::isa},
                                                                             {"device", &api::ModelOptions::device},
                                                                             {"tuning", &api::ModelOptions::tuning},
                                                                             {"split", &api::ModelOptions::split}};
  for (const auto& [name, field] : fields) {
    api::ModelOptions options = options_;
    options.*field = nul;
    expect_refused(api::Model::LoadMemory(bytes_.data(), bytes_.size(), options), name);
    expect_refused(api::Model::Measure("file", options), name);
    expect_refused(api::Model::MeasureVision("file", options), name);
  }
  expect_refused(model->TokenizeChat({{nul, "hi", ""}}), "role");
  expect_refused(model->TokenizeChat({{"user", nul, ""}}), "content");
  expect_refused(model->RenderChat({{"user", "hi", nul}}), "extra_json");
  expect_refused(api::Prompt::FromChat(*model, {{"user", nul, ""}}, {}), "content");
  api::ChatOptions chat;
  chat.tools_json = nul;
  expect_refused(model->TokenizeChat({{"user", "hi", ""}}, chat), "tools_json");

  auto session = api::Session::Create(*model);
  auto prompt = api::Prompt::FromTokens(*model, {1, 300});
  ASSERT_TRUE(session.ok() && prompt.ok());
  api::GenerateOptions generate;
  generate.grammar_trigger = nul;
  expect_refused(session->Generate(std::vector<api::Token>{1, 300}, generate), "grammar_trigger");
  generate.grammar_trigger.clear();
  generate.stop = {"a", nul};
  expect_refused(session->Generate(*prompt, generate), "stop");
  expect_refused(session->Start(*prompt, generate, nullptr), "stop");
}

TEST_F(MoteHppTest, Images) {
  const std::vector<uint8_t> text = TinyVisionTextForApiTests();
  const std::vector<uint8_t> tower = TinyVisionTowerForApiTests();
  options_.context = 256;
  auto model = api::Model::LoadMemory(text.data(), text.size(), options_);
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_FALSE(model->vision_info().has_value());
  const std::vector<uint8_t> pixels(40 * 30 * 4, 90);
  mote_image image = {};
  image.pixels = pixels.data();
  image.width = 40;
  image.height = 30;
  image.channels = 4;
  EXPECT_EQ(api::Prompt::FromText(*model, "<__media__>", {image}).error().code, MOTE_UNSUPPORTED);
  uint64_t total = 0;
  api::VisionOptions vision;
  vision.progress = [&](uint64_t, uint64_t all) { total = all; };
  const auto read = [&](uint64_t offset, void* buffer, uint64_t bytes) {
    memcpy(buffer, tower.data() + offset, bytes);
    return static_cast<int64_t>(bytes);
  };
  ASSERT_TRUE(model->LoadVisionCallback(read, tower.size(), vision).ok());
  EXPECT_GT(total, 0u);
  EXPECT_EQ(model->LoadVisionMemory(tower.data(), tower.size()).error().code, MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(model->LoadVision("no/such/file.gguf").error().code, MOTE_NOT_FOUND);
  EXPECT_EQ(api::Model::MeasureVision("no/such/file.gguf").error().code, MOTE_NOT_FOUND);
  ASSERT_TRUE(model->vision_info().has_value());
  EXPECT_STREQ(model->vision_info()->projector, "idefics3");

  auto session = api::Session::Create(*model);
  ASSERT_TRUE(session.ok());
  api::PromptOptions reading;
  reading.session = session->handle();
  reading.on_progress = [](uint32_t, uint32_t) { return false; };
  EXPECT_EQ(api::Prompt::FromText(*model, "<__media__>?", {image}, 0, reading).error().code, MOTE_CANCELLED);
  uint32_t views = 0;
  reading.on_progress = [&](uint32_t, uint32_t all) {
    views = all;
    return true;
  };
  auto prompt = api::Prompt::FromText(*model, "<__media__>?", {image}, 0, reading);
  ASSERT_TRUE(prompt.ok()) << prompt.error().message;
  EXPECT_EQ(views, 1u);
  EXPECT_EQ(prompt->info().image_rows, 16u);
  EXPECT_EQ(prompt->image_rows(0), 16u);
  EXPECT_FALSE(prompt->image_known(0));
  EXPECT_EQ(prompt->tokens().size(), prompt->info().tokens);

  ASSERT_TRUE(session->Eval(*prompt).ok());
  EXPECT_EQ(session->tokens(), prompt->tokens());
  const uint32_t kept = session->KeepPrefix(*prompt);
  EXPECT_EQ(kept, prompt->tokens().size() - 1);
  ASSERT_TRUE(session->Eval(*prompt, kept).ok());
  api::GenerateOptions generate;
  generate.max_tokens = 5;
  generate.ignore_eos = true;
  generate.sampling.temperature = 0;
  const auto first = session->Generate(*prompt, generate);
  ASSERT_TRUE(first.ok()) << first.error().message;
  EXPECT_EQ(first->tokens.size(), 5u);
  auto chat = api::Prompt::FromChat(*model, {{"user", "what is it", ""}}, {image});
  ASSERT_TRUE(chat.ok()) << chat.error().message;
  EXPECT_TRUE(chat->image_known(0));
  // Both outlive the model's handle.
  { const api::Model gone = std::move(*model); }
  EXPECT_TRUE(session->Generate(*chat, generate).ok());
}

TEST_F(MoteHppTest, StartsAndStepsManySessions) {
  auto model = api::Model::LoadMemory(bytes_.data(), bytes_.size(), options_);
  ASSERT_TRUE(model.ok());
  const std::vector<api::Token> tokens = {1, 300, 301, 302};
  api::GenerateOptions generate;
  generate.max_tokens = 8;
  generate.ignore_eos = true;
  auto blocking = api::Session::Create(*model);
  const auto want = blocking->Generate(tokens, generate);
  ASSERT_TRUE(want.ok());

  auto prompt = api::Prompt::FromTokens(*model, tokens);
  ASSERT_TRUE(prompt.ok()) << prompt.error().message;
  EXPECT_FALSE(api::Prompt::FromTokens(*model, {1, -7}).ok());
  std::vector<std::unique_ptr<api::Session>> sessions;
  int told = 0, done = 0;
  generate.top_logprobs = 2;
  generate.on_token = [&](const mote_token_info& info) {
    EXPECT_EQ(info.top_count, 2u);
    EXPECT_GE(info.top[0].logprob, info.logprob);
    ++told;
    return true;
  };
  for (int i = 0; i < 3; ++i) {
    auto session = api::Session::Create(*model);
    ASSERT_TRUE(session.ok());
    sessions.push_back(std::make_unique<api::Session>(std::move(*session)));
    const auto started = sessions.back()->Start(*prompt, generate, [&, i](api::Result<api::Generation> result) {
      ASSERT_TRUE(result.ok());
      EXPECT_EQ(result->text, want->text);
      EXPECT_EQ(result->tokens, want->tokens);
      sessions[static_cast<size_t>(i)].reset();
      ++done;
    });
    ASSERT_TRUE(started.ok()) << started.error().message;
  }
  EXPECT_FALSE(sessions[0]->Start(*prompt, generate, nullptr).ok());
  EXPECT_EQ(model->Step()->running, 3u);
  auto follower = api::Session::Create(*model);
  EXPECT_EQ(*follower->CopyPrefix(*sessions[0], 3), 3u);
  EXPECT_EQ(follower->Generate(tokens, api::GenerateOptions())->cached_tokens, 3u);
  while (model->Step(2)->running > 0) continue;
  EXPECT_EQ(done, 3);
  EXPECT_EQ(told, 3 * 8);
}

TEST_F(MoteHppTest, Embeds) {
  auto model = api::Model::LoadMemory(bytes_.data(), bytes_.size(), options_);
  ASSERT_TRUE(model.ok());
  auto prompt = api::Prompt::FromTokens(*model, {1, 300, 301, 302});
  auto session = api::Session::Create(*model);
  const auto plain = session->Embed(*prompt, MOTE_POOLING_LAST, /*normalize=*/false);
  ASSERT_TRUE(plain.ok()) << plain.error().message;
  EXPECT_EQ(plain->size(), model->info().width);
  EXPECT_EQ(session->tokens(), prompt->tokens());
  const auto unit = session->Embed(*prompt, MOTE_POOLING_LAST);
  double length = 0, along = 0, squares = 0;
  for (size_t i = 0; i < unit->size(); ++i) {
    length += double{(*unit)[i]} * (*unit)[i];
    along += double{(*unit)[i]} * (*plain)[i];
    squares += double{(*plain)[i]} * (*plain)[i];
  }
  EXPECT_NEAR(length, 1, 1e-6);
  EXPECT_NEAR(along * along, squares, squares * 1e-6);  // the same direction
  EXPECT_NE(*session->Embed(*prompt), *unit);           // the mean
  EXPECT_EQ(session->Embed(*prompt, static_cast<mote_pooling>(4)).error().code, MOTE_INVALID_ARGUMENT);
  auto empty = api::Prompt::FromTokens(*model, {});
  EXPECT_EQ(session->Embed(*empty).error().code, MOTE_INVALID_ARGUMENT);
  float few[2];
  mote_error error = {};
  size_t count = 0;
  EXPECT_EQ(mote_session_embed(session->handle(), prompt->handle(), nullptr, few, 2, &count, &error),
            MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(count, plain->size());
  session->Cancel();
  EXPECT_EQ(session->Embed(*prompt).error().code, MOTE_CANCELLED);
  EXPECT_TRUE(session->Embed(*prompt).ok());
}

TEST_F(MoteHppTest, MovesKeepEverythingAlive) {
  auto loaded = api::Model::LoadMemory(bytes_.data(), bytes_.size(), options_);
  ASSERT_TRUE(loaded.ok());
  auto session = [&] {
    api::Model model = std::move(*loaded);
    return api::Session::Create(model);  // the model's handle goes, the model stays
  }();
  ASSERT_TRUE(session.ok());
  EXPECT_TRUE(session->Eval({1, 2, 3}).ok());
}

}  // namespace
