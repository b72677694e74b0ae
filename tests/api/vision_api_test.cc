// Images through mote.h as a C program gives them.
#include <gtest/gtest.h>
#include <stddef.h>
#include <string.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "engine/api/mote.h"
#include "tests/support/peer_vision_models.h"

namespace mote::testing {
namespace {

struct Freer {
  void operator()(mote_model* m) const { mote_model_free(m); }
  void operator()(mote_session* s) const { mote_session_free(s); }
  void operator()(mote_prompt* p) const { mote_prompt_free(p); }
};
using ModelPtr = std::unique_ptr<mote_model, Freer>;
using SessionPtr = std::unique_ptr<mote_session, Freer>;
using PromptPtr = std::unique_ptr<mote_prompt, Freer>;

constexpr uint32_t kRows = 16;  // of the tower's one view: 64 pixels a side, patches of 8, merged 2 by 2

PeerVisionModel Pair() {
  return PeerIdefics3("idefics3-single", 0, DType::kF32);
}

struct Picture {
  std::vector<uint8_t> rgb;
  mote_image image = {};
  Picture(uint32_t seed, uint32_t width, uint32_t height) : rgb(PeerPixels({seed, width, height})) {
    image.pixels = rgb.data();
    image.width = width;
    image.height = height;
    image.channels = 3;
  }
};

class VisionApiTest : public ::testing::Test {
 protected:
  void SetUp() override {
    text_ = MakeTinyModel(Pair().text);
    tower_ = MakeTinyVisionModel(Pair().vision);
    model_ = Load(1);
    Attach(model_);
  }

  ModelPtr Load(int32_t threads) const {
    mote_model_params params = mote_model_default_params();
    params.threads = threads;
    params.context = 256;
    mote_model* model = nullptr;
    mote_error error = {};
    EXPECT_EQ(mote_model_load_memory(text_.data(), text_.size(), &params, &model, &error), MOTE_OK) << error.message;
    return ModelPtr(model);
  }
  void Attach(const ModelPtr& model, uint64_t cache_bytes = 1 << 20) const {
    mote_vision_params params = mote_vision_default_params();
    params.cache_bytes = cache_bytes;
    mote_error error = {};
    ASSERT_EQ(mote_model_load_vision_memory(model.get(), tower_.data(), tower_.size(), &params, &error), MOTE_OK)
        << error.message;
  }
  static SessionPtr NewSession(const ModelPtr& model) {
    mote_session* session = nullptr;
    EXPECT_EQ(mote_session_create(model.get(), 0, &session, nullptr), MOTE_OK);
    return SessionPtr(session);
  }

  // Prompts, and what was said where there was none.
  PromptPtr Text(const ModelPtr& model, const std::string& text, const std::vector<mote_image>& images,
                 const mote_prompt_params* params = nullptr) {
    mote_prompt* prompt = nullptr;
    status_ = mote_prompt_create_text(model.get(), text.data(), text.size(), MOTE_ADD_SPECIAL, images.data(),
                                      images.size(), params, &prompt, &error_);
    return PromptPtr(prompt);
  }
  PromptPtr Chat(const std::vector<mote_chat_message>& messages, const std::vector<mote_image>& images) {
    mote_prompt* prompt = nullptr;
    status_ = mote_prompt_create_chat(model_.get(), messages.data(), messages.size(), nullptr, images.data(),
                                      images.size(), nullptr, &prompt, &error_);
    return PromptPtr(prompt);
  }
  void ExpectRefused(const PromptPtr& prompt, mote_status status, const std::vector<std::string>& says) {
    EXPECT_EQ(prompt, nullptr);
    EXPECT_EQ(status_, status) << error_.message;
    for (const std::string& word : says)
      EXPECT_NE(std::string(error_.message).find(word), std::string::npos) << error_.message;
  }

  static std::vector<int32_t> Tokens(const PromptPtr& prompt) {
    size_t count = 0;
    const int32_t* tokens = mote_prompt_tokens(prompt.get(), &count);
    return std::vector<int32_t>(tokens, tokens + count);
  }
  static mote_prompt_info Info(const PromptPtr& prompt) {
    mote_prompt_info info = {};
    info.struct_size = sizeof(info);
    EXPECT_EQ(mote_prompt_get_info(prompt.get(), &info, nullptr), MOTE_OK);
    return info;
  }

  struct Answer {
    std::vector<int32_t> tokens;
    mote_generate_result result = {};
  };
  static Answer Generate(const SessionPtr& session, const PromptPtr& prompt, int32_t max_tokens = 12) {
    mote_sampling_params sampling = mote_sampling_default_params();
    sampling.temperature = 0;
    mote_generate_params params = mote_generate_default_params();
    params.sampling = &sampling;
    params.max_tokens = max_tokens;
    params.ignore_eos = 1;
    Answer answer;
    answer.result.struct_size = sizeof(answer.result);
    mote_error error = {};
    EXPECT_EQ(mote_session_generate_prompt(session.get(), prompt.get(), &params, &answer.result, &error), MOTE_OK)
        << error.message;
    answer.tokens.assign(answer.result.tokens, answer.result.tokens + answer.result.token_count);
    return answer;
  }
  std::vector<float> Logits(const SessionPtr& session) const {
    const float* logits = mote_session_logits(session.get());
    return logits == nullptr ? std::vector<float>() : std::vector<float>(logits, logits + 512);
  }

  std::vector<uint8_t> text_;
  std::vector<uint8_t> tower_;
  ModelPtr model_;
  mote_status status_ = MOTE_OK;
  mote_error error_ = {};
};

TEST_F(VisionApiTest, TellsTheTowerAndItsMemory) {
  const ModelPtr blind = Load(1);
  mote_vision_info info = {};
  info.struct_size = sizeof(info);
  EXPECT_EQ(mote_model_get_vision_info(blind.get(), &info, &error_), MOTE_NOT_FOUND);
  EXPECT_EQ(mote_model_get_vision_info(nullptr, &info, &error_), MOTE_INVALID_ARGUMENT);
  ASSERT_EQ(mote_model_get_vision_info(model_.get(), &info, &error_), MOTE_OK) << error_.message;
  EXPECT_STREQ(info.projector, "idefics3");
  EXPECT_STREQ(info.name, "tiny random tower");
  EXPECT_EQ(info.image_size, 64u);
  EXPECT_EQ(info.patch_size, 8u);
  EXPECT_EQ(info.width, 64u);
  EXPECT_EQ(info.layers, 3u);
  EXPECT_EQ(info.heads, 4u);
  EXPECT_EQ(info.rows_per_view, kRows);
  EXPECT_EQ(info.max_rows, kRows);
  EXPECT_EQ(info.any_size, 0);
  EXPECT_GT(info.scratch_bytes, 0u);

  const auto memory = [](const ModelPtr& model) {
    mote_model_info model_info = {};
    model_info.struct_size = sizeof(model_info);
    EXPECT_EQ(mote_model_get_info(model.get(), &model_info, nullptr), MOTE_OK);
    return model_info;
  };
  EXPECT_GT(info.weight_bytes, tower_.size() / 2);
  EXPECT_EQ(memory(model_).weight_bytes, memory(blind).weight_bytes + info.weight_bytes);
  EXPECT_EQ(memory(model_).scratch_bytes, memory(blind).scratch_bytes + info.scratch_bytes);
  EXPECT_EQ(memory(model_).cache_bytes, memory(blind).cache_bytes);

  // The limit that the model was loaded with holds for both.
  mote_model_params params = mote_model_default_params();
  params.threads = 1;
  params.context = 256;
  const mote_model_info alone = memory(blind);
  params.memory_limit = alone.weight_bytes + alone.scratch_bytes + alone.cache_bytes + 1000;
  mote_model* tight = nullptr;
  ASSERT_EQ(mote_model_load_memory(text_.data(), text_.size(), &params, &tight, &error_), MOTE_OK) << error_.message;
  const ModelPtr owner(tight);
  EXPECT_EQ(mote_model_load_vision_memory(tight, tower_.data(), tower_.size(), nullptr, &error_), MOTE_OUT_OF_MEMORY);
}

TEST_F(VisionApiTest, AnyNumberOfRowsWhereTheTowerTakesAnySize) {
  const PeerVisionModel pair = PeerQwen("qwen2vl", "qwen2vl_merger", DType::kF32);
  text_ = MakeTinyModel(pair.text);
  tower_ = MakeTinyVisionModel(pair.vision);
  const ModelPtr model = Load(1);
  mote_vision_params params = mote_vision_default_params();
  params.max_tokens = 64;
  ASSERT_EQ(mote_model_load_vision_memory(model.get(), tower_.data(), tower_.size(), &params, &error_), MOTE_OK)
      << error_.message;
  mote_vision_info info = {};
  info.struct_size = sizeof(info);
  ASSERT_EQ(mote_model_get_vision_info(model.get(), &info, nullptr), MOTE_OK);
  EXPECT_EQ(info.any_size, 1);
  EXPECT_EQ(info.rows_per_view, kRows);
  const PromptPtr small = Text(model, "<__media__> a", {Picture(1, 112, 112).image});
  ASSERT_NE(small, nullptr) << error_.message;
  EXPECT_EQ(Info(small).image_rows, kRows);
  const Picture large(2, 500, 400);
  const PromptPtr prompt = Text(model, "<__media__> a", {large.image});
  ASSERT_NE(prompt, nullptr) << error_.message;
  EXPECT_GT(Info(prompt).image_rows, kRows);
  EXPECT_LE(Info(prompt).image_rows, 64u);
  EXPECT_LE(Info(prompt).image_rows, info.max_rows);
  params.max_tokens = (1u << 20) + 1;
  EXPECT_EQ(mote_model_load_vision_memory(Load(1).get(), tower_.data(), tower_.size(), &params, &error_),
            MOTE_INVALID_ARGUMENT);
}

TEST_F(VisionApiTest, FilesThatDoNotBelong) {
  const auto load = [&](const ModelPtr& model, const std::vector<uint8_t>& bytes) {
    return mote_model_load_vision_memory(model.get(), bytes.data(), bytes.size(), nullptr, &error_);
  };
  EXPECT_EQ(load(model_, tower_), MOTE_INVALID_ARGUMENT) << "it has one";
  const ModelPtr blind = Load(1);
  TinyVisionOptions wide = Pair().vision;
  wide.text_width = 96;
  EXPECT_EQ(load(blind, MakeTinyVisionModel(wide)), MOTE_INVALID_ARGUMENT);
  EXPECT_NE(std::string(error_.message).find("96"), std::string::npos) << error_.message;
  EXPECT_NE(std::string(error_.message).find("64"), std::string::npos) << error_.message;
  EXPECT_EQ(load(blind, text_), MOTE_UNSUPPORTED) << error_.message;
  EXPECT_EQ(load(blind, {1, 2, 3}), MOTE_MALFORMED);
  EXPECT_EQ(mote_model_load_vision(blind.get(), "no/such/mmproj.gguf", nullptr, &error_), MOTE_NOT_FOUND);
  EXPECT_EQ(mote_model_load_vision(blind.get(), nullptr, nullptr, &error_), MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(mote_model_load_vision(nullptr, "x", nullptr, &error_), MOTE_INVALID_ARGUMENT);
  mote_memory memory = {};
  memory.struct_size = sizeof(memory);
  EXPECT_EQ(mote_vision_measure("no/such/mmproj.gguf", nullptr, nullptr, &memory, &error_), MOTE_NOT_FOUND);
  // After all these failures the right one still fits.
  Attach(blind);
}

TEST_F(VisionApiTest, BlindModelsSaySo) {
  const Picture picture(1, 64, 64);
  const ModelPtr blind = Load(1);
  ExpectRefused(Text(blind, "<__media__>", {picture.image}), MOTE_UNSUPPORTED, {"vision file", "mmproj"});
  EXPECT_NE(Text(blind, "a text", {}), nullptr) << error_.message;

  mote_model_params params = mote_model_default_params();
  params.vocab_only = 1;
  mote_model* model = nullptr;
  ASSERT_EQ(mote_model_load_memory(text_.data(), text_.size(), &params, &model, nullptr), MOTE_OK);
  const ModelPtr words(model);
  ExpectRefused(Text(words, "<__media__>", {picture.image}), MOTE_UNSUPPORTED, {"vocab_only"});
  EXPECT_EQ(mote_model_load_vision_memory(model, tower_.data(), tower_.size(), nullptr, &error_), MOTE_UNSUPPORTED);
  EXPECT_NE(std::string(error_.message).find("vocab_only"), std::string::npos);
}

TEST_F(VisionApiTest, TokensRowsAndStages) {
  const Picture a(1, 64, 64);
  const Picture b(2, 100, 30);
  const PromptPtr prompt = Text(model_, "one <__media__> and two <__media__> which", {a.image, b.image});
  ASSERT_NE(prompt, nullptr) << error_.message;
  const std::vector<int32_t> tokens = Tokens(prompt);
  EXPECT_EQ(std::count(tokens.begin(), tokens.end(), -1), 2 * kRows);
  EXPECT_EQ(tokens[0], 1);
  mote_prompt_info info = Info(prompt);
  EXPECT_EQ(info.tokens, tokens.size());
  EXPECT_EQ(info.images, 2u);
  EXPECT_EQ(info.images_known, 0u);
  EXPECT_EQ(info.image_rows, 2 * kRows);
  EXPECT_EQ(info.views, 2u);
  EXPECT_GT(info.encode_seconds, 0);
  EXPECT_GT(info.preprocess_seconds, 0);
  int known = 2;
  EXPECT_EQ(mote_prompt_image_rows(prompt.get(), 0, &known), kRows);
  EXPECT_EQ(known, 0);
  EXPECT_EQ(mote_prompt_image_rows(prompt.get(), 2, &known), 0u);

  // The next question about one of them, and a new one: the tower sees the new one alone.
  const PromptPtr next = Text(model_, "<__media__><__media__>?", {Picture(3, 64, 64).image, b.image});
  ASSERT_NE(next, nullptr) << error_.message;
  info = Info(next);
  EXPECT_EQ(info.images_known, 1u);
  EXPECT_EQ(info.views, 1u);
  EXPECT_EQ(mote_prompt_image_rows(next.get(), 0, &known), kRows);
  EXPECT_EQ(known, 0);
  EXPECT_EQ(mote_prompt_image_rows(next.get(), 1, &known), kRows);
  EXPECT_EQ(known, 1);

  // A text alone is what mote_tokenize makes of it; without images the mark is text.
  const std::string text = "the rain <__media__>";
  size_t count = 0;
  ASSERT_EQ(mote_tokenize(model_.get(), text.data(), text.size(), MOTE_ADD_SPECIAL, nullptr, 0, &count, nullptr),
            MOTE_OK);
  std::vector<int32_t> expected(count);
  mote_tokenize(model_.get(), text.data(), text.size(), MOTE_ADD_SPECIAL, expected.data(), count, &count, nullptr);
  EXPECT_EQ(Tokens(Text(model_, text, {})), expected);
}

TEST_F(VisionApiTest, PixelsInEveryLayout) {
  const Picture plain(1, 37, 21);
  ASSERT_NE(Text(model_, "<__media__>.", {plain.image}), nullptr) << error_.message;
  const auto is_known = [&](const mote_image& image) {
    const PromptPtr prompt = Text(model_, "<__media__>.", {image});
    EXPECT_NE(prompt, nullptr) << error_.message;
    return prompt != nullptr && Info(prompt).images_known == 1;
  };
  // Rows with something behind them.
  const size_t stride = 37 * 3 + 5;
  std::vector<uint8_t> padded(stride * 21, 0xAA);
  for (size_t y = 0; y < 21; ++y) memcpy(padded.data() + y * stride, plain.rgb.data() + y * 37 * 3, 37 * 3);
  mote_image image = plain.image;
  image.pixels = padded.data();
  image.stride = stride;
  EXPECT_TRUE(is_known(image));
  // With an alpha channel that is full; then one that lets white through.
  std::vector<uint8_t> rgba;
  for (size_t i = 0; i < plain.rgb.size(); i += 3) {
    rgba.insert(rgba.end(), {plain.rgb[i], plain.rgb[i + 1], plain.rgb[i + 2], 255});
  }
  image.pixels = rgba.data();
  image.stride = 0;
  image.channels = 4;
  EXPECT_TRUE(is_known(image));
  for (size_t i = 3; i < rgba.size(); i += 4) rgba[i] = 0;
  EXPECT_FALSE(is_known(image));
  const std::vector<uint8_t> white(plain.rgb.size(), 255);
  image.pixels = white.data();
  image.channels = 3;
  EXPECT_TRUE(is_known(image)) << "what is transparent is white";
}

TEST_F(VisionApiTest, WrongImagesAndMarks) {
  const Picture good(1, 64, 64);
  const auto refused = [&](auto change, const std::vector<std::string>& says) {
    mote_image image = good.image;
    change(image);
    ExpectRefused(Text(model_, "<__media__><__media__>", {good.image, image}), MOTE_INVALID_ARGUMENT, says);
  };
  refused([](mote_image& i) { i.pixels = nullptr; }, {"image 1", "no pixels"});
  refused([](mote_image& i) { i.width = 0; }, {"image 1", "0 x 64"});
  refused([](mote_image& i) { i.height = 65536; }, {"image 1", "65535"});
  refused([](mote_image& i) { i.channels = 1; }, {"image 1", "3 (RGB)"});
  refused([](mote_image& i) { i.stride = 64 * 3 - 1; }, {"image 1", "192", "191"});
  ExpectRefused(Text(model_, "no mark", {good.image}), MOTE_INVALID_ARGUMENT, {"0 marks", "1 image"});
  ExpectRefused(Text(model_, "<__media__><__media__>", {good.image}), MOTE_INVALID_ARGUMENT, {"2 marks", "1 image"});
  ExpectRefused(Chat({{"user", "<__media__><__media__> a", nullptr}}, {good.image}), MOTE_INVALID_ARGUMENT,
                {"2 marks"});
  ExpectRefused(Chat({{"system", "a", nullptr}}, {good.image}), MOTE_INVALID_ARGUMENT, {"user"});
  mote_prompt* prompt = nullptr;
  EXPECT_EQ(mote_prompt_create_text(model_.get(), "x", 1, 0, nullptr, 1, nullptr, &prompt, nullptr),
            MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(mote_prompt_create_text(model_.get(), "x", 1, 64, nullptr, 0, nullptr, &prompt, nullptr),
            MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(mote_prompt_create_text(model_.get(), "x", 1, 0, nullptr, 0, nullptr, nullptr, nullptr),
            MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(prompt, nullptr);
}

TEST_F(VisionApiTest, ImagesStandBeforeTheLastQuestionOrAtTheirMarks) {
  const Picture a(1, 64, 64);
  const Picture b(2, 64, 64);
  const mote_chat_message marked[] = {
      {"user", "hi", nullptr}, {"assistant", "hello", nullptr}, {"user", "<__media__><__media__>which", nullptr}};
  const mote_chat_message bare[] = {marked[0], marked[1], {"user", "which", nullptr}};
  const PromptPtr at_marks = Chat({std::begin(marked), std::end(marked)}, {a.image, b.image});
  const PromptPtr before = Chat({std::begin(bare), std::end(bare)}, {a.image, b.image});
  ASSERT_NE(at_marks, nullptr) << error_.message;
  ASSERT_NE(before, nullptr) << error_.message;
  EXPECT_EQ(Tokens(at_marks), Tokens(before));
  EXPECT_EQ(Info(before).images_known, 2u);
  const PromptPtr elsewhere = Chat({{"user", "see <__media__> and <__media__> now", nullptr}}, {a.image, b.image});
  ASSERT_NE(elsewhere, nullptr) << error_.message;
  const std::vector<int32_t> tokens = Tokens(elsewhere);
  EXPECT_EQ(std::count(tokens.begin(), tokens.end(), -1), 2 * kRows);
}

TEST_F(VisionApiTest, AnswersAreTheSameHoweverTheyAreComputed) {
  const Picture a(1, 90, 64);
  const Picture b(2, 64, 64);
  const std::string question = "look at <__media__> now";
  const PromptPtr prompt = Text(model_, question, {a.image});
  ASSERT_NE(prompt, nullptr) << error_.message;
  const SessionPtr session = NewSession(model_);
  const Answer first = Generate(session, prompt);
  EXPECT_EQ(first.tokens.size(), 12u);
  EXPECT_EQ(first.result.prompt_tokens, Tokens(prompt).size());
  EXPECT_EQ(first.result.cached_tokens, 0u);
  // The session knows the whole of it now.
  const Answer again = Generate(session, prompt);
  EXPECT_EQ(again.tokens, first.tokens);
  EXPECT_EQ(again.result.cached_tokens, Tokens(prompt).size() - 1);
  // Another image, and the answer's logits are others: it does look.
  const PromptPtr other = Text(model_, question, {b.image});
  ASSERT_NE(other, nullptr);
  ASSERT_EQ(Tokens(other), Tokens(prompt));
  EXPECT_LT(mote_session_keep_prompt(session.get(), other.get()), Tokens(prompt).size() - kRows);
  mote_session_truncate(session.get(), 0);
  ASSERT_EQ(mote_session_eval_prompt(session.get(), prompt.get(), 0, nullptr, &error_), MOTE_OK) << error_.message;
  const std::vector<float> logits = Logits(session);
  mote_session_truncate(session.get(), 0);
  ASSERT_EQ(mote_session_eval_prompt(session.get(), other.get(), 0, nullptr, &error_), MOTE_OK) << error_.message;
  EXPECT_NE(Logits(session), logits);
  // Two threads, nothing remembered; the image read together with another one.
  const ModelPtr threads = Load(2);
  Attach(threads, /*cache_bytes=*/0);
  ASSERT_NE(Text(threads, "<__media__><__media__>", {b.image, a.image}), nullptr);
  const PromptPtr there = Text(threads, question, {a.image});
  ASSERT_NE(there, nullptr) << error_.message;
  EXPECT_EQ(Info(there).images_known, 0u);
  const SessionPtr on_two = NewSession(threads);
  ASSERT_EQ(mote_session_eval_prompt(on_two.get(), there.get(), 0, nullptr, &error_), MOTE_OK);
  EXPECT_EQ(Logits(on_two), logits);
  EXPECT_EQ(Generate(on_two, there).tokens, first.tokens);
  const ModelPtr together = Load(1);
  Attach(together);
  ASSERT_NE(Text(together, "<__media__><__media__>", {b.image, a.image}), nullptr);
  const PromptPtr known = Text(together, question, {a.image});
  EXPECT_EQ(Info(known).images_known, 1u);
  const SessionPtr beside = NewSession(together);
  ASSERT_EQ(mote_session_eval_prompt(beside.get(), known.get(), 0, nullptr, &error_), MOTE_OK);
  EXPECT_EQ(Logits(beside), logits);
}

TEST_F(VisionApiTest, EvaluatesFromAToken) {
  const Picture a(1, 64, 64);
  const PromptPtr prompt = Text(model_, "look at <__media__> now", {a.image});
  ASSERT_NE(prompt, nullptr);
  const std::vector<int32_t> tokens = Tokens(prompt);
  const SessionPtr session = NewSession(model_);
  size_t rows = 0;
  mote_eval_params params = mote_eval_default_params();
  params.on_logits = [](void* user, size_t, const float*) {
    ++*static_cast<size_t*>(user);
    return 0;
  };
  params.user = &rows;
  ASSERT_EQ(mote_session_eval_prompt(session.get(), prompt.get(), 0, &params, &error_), MOTE_OK) << error_.message;
  EXPECT_EQ(rows, tokens.size() - kRows) << "rows of images have no logits";
  const std::vector<float> logits = Logits(session);
  size_t held = 0;
  const int32_t* there = mote_session_tokens(session.get(), &held);
  EXPECT_EQ(std::vector<int32_t>(there, there + held), tokens);

  const uint32_t kept = mote_session_keep_prompt(session.get(), prompt.get());
  EXPECT_EQ(kept, tokens.size() - 1);
  ASSERT_EQ(mote_session_eval_prompt(session.get(), prompt.get(), kept, nullptr, &error_), MOTE_OK) << error_.message;
  EXPECT_EQ(Logits(session), logits);
  const auto first_row = static_cast<uint32_t>(std::find(tokens.begin(), tokens.end(), -1) - tokens.begin());
  // An image is cut nowhere.
  mote_session_truncate(session.get(), first_row + 3);
  mote_session_tokens(session.get(), &held);
  EXPECT_EQ(held, first_row);
  EXPECT_EQ(mote_session_eval_prompt(session.get(), prompt.get(), first_row + 3, nullptr, &error_),
            MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(mote_session_eval_prompt(session.get(), prompt.get(), 1000, nullptr, &error_), MOTE_INVALID_ARGUMENT);
  // An image at the end has nothing that could be answered.
  EXPECT_EQ(mote_session_eval(session.get(), tokens.data() + first_row, 2, nullptr, &error_), MOTE_INVALID_ARGUMENT)
      << "rows of images are no tokens";
}

TEST_F(VisionApiTest, PromptsBelongToTheirModel) {
  const Picture a(1, 64, 64);
  const PromptPtr prompt = Text(model_, "<__media__> b", {a.image});
  ASSERT_NE(prompt, nullptr);
  const ModelPtr other = Load(1);
  const SessionPtr session = NewSession(other);
  EXPECT_EQ(mote_session_eval_prompt(session.get(), prompt.get(), 0, nullptr, &error_), MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(mote_session_generate_prompt(session.get(), prompt.get(), nullptr, nullptr, &error_),
            MOTE_INVALID_ARGUMENT);
  EXPECT_NE(std::string(error_.message).find("another model"), std::string::npos);
  EXPECT_EQ(mote_session_keep_prompt(session.get(), prompt.get()), 0u);
  EXPECT_EQ(mote_session_eval_prompt(session.get(), nullptr, 0, nullptr, &error_), MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(mote_session_eval_prompt(nullptr, prompt.get(), 0, nullptr, &error_), MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(mote_prompt_tokens(nullptr, nullptr), nullptr);
  EXPECT_EQ(mote_prompt_image_rows(nullptr, 0, nullptr), 0u);
  mote_prompt_free(nullptr);
  // It outlives the model's handle, as sessions do.
  const SessionPtr mine = NewSession(model_);
  model_.reset();
  EXPECT_EQ(Generate(mine, prompt).tokens.size(), 12u);
}

TEST_F(VisionApiTest, ReadingCanBeStopped) {
  const Picture a(1, 64, 64);
  mote_prompt_params params = mote_prompt_default_params();
  int calls = 0;
  params.user = &calls;
  params.on_progress = [](void* user, uint32_t done, uint32_t total) {
    EXPECT_LE(done, total);
    return ++*static_cast<int*>(user);
  };
  ExpectRefused(Text(model_, "<__media__> b", {a.image}, &params), MOTE_CANCELLED, {"0 of 1"});
  EXPECT_EQ(calls, 1);
  const SessionPtr session = NewSession(model_);
  params = mote_prompt_default_params();
  params.session = session.get();
  mote_session_cancel(session.get());
  ExpectRefused(Text(model_, "<__media__> b", {a.image}, &params), MOTE_CANCELLED, {});
  // The request is met, and nothing was read.
  const PromptPtr prompt = Text(model_, "<__media__> b", {a.image}, &params);
  ASSERT_NE(prompt, nullptr) << error_.message;
  EXPECT_EQ(Info(prompt).images_known, 0u);
  // An image that is known needs no reading, so nothing is stopped.
  params.on_progress = [](void*, uint32_t, uint32_t) { return 1; };
  EXPECT_NE(Text(model_, "<__media__> c", {a.image}, &params), nullptr);
}

TEST_F(VisionApiTest, ThroughACallbackAndWithAnOldersStruct) {
  const ModelPtr model = Load(1);
  struct OlderParams {
    size_t struct_size;
    uint64_t cache_bytes;
    uint64_t guard;
  } older = {offsetof(OlderParams, guard), 0, 0xABABABABABABABABu};
  const auto read = [](void* user, uint64_t offset, void* buffer, uint64_t bytes) {
    const auto& file = *static_cast<const std::vector<uint8_t>*>(user);
    memcpy(buffer, file.data() + offset, bytes);
    return static_cast<int64_t>(bytes);
  };
  ASSERT_EQ(mote_model_load_vision_callback(model.get(), read, &tower_, tower_.size(),
                                            reinterpret_cast<const mote_vision_params*>(&older), &error_),
            MOTE_OK)
      << error_.message;
  const Picture a(1, 64, 64);
  for (int i = 0; i < 2; ++i) {
    const PromptPtr prompt = Text(model, "<__media__> b", {a.image});
    ASSERT_NE(prompt, nullptr) << error_.message;
    EXPECT_EQ(Info(prompt).images_known, 0u) << "cache_bytes is 0";
  }
  struct OlderInfo {
    size_t struct_size;
    uint32_t tokens;
    uint32_t guard;
  } info = {offsetof(OlderInfo, guard), 0, 0xCDCDCDCDu};
  const PromptPtr prompt = Text(model, "<__media__> b", {a.image});
  ASSERT_EQ(mote_prompt_get_info(prompt.get(), reinterpret_cast<mote_prompt_info*>(&info), nullptr), MOTE_OK);
  EXPECT_EQ(info.tokens, Tokens(prompt).size());
  EXPECT_EQ(info.guard, 0xCDCDCDCDu);
}

}  // namespace
}  // namespace mote::testing

// For mote_hpp_test.cc, where only the public names shall be known.
std::vector<uint8_t> TinyVisionTextForApiTests() {
  return mote::testing::MakeTinyModel(mote::testing::Pair().text);
}
std::vector<uint8_t> TinyVisionTowerForApiTests() {
  return mote::testing::MakeTinyVisionModel(mote::testing::Pair().vision);
}
