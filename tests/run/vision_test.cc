// Sessions that see: the same bits however a prompt is cut and by however many threads, images remembered and reused,
// and what is refused.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "engine/run/generate.h"
#include "tests/run/vision_support.h"

namespace mote::testing {
namespace {

constexpr const char* kModels[] = {"idefics3", "qwen2.5vl", "qwen3vl",       "gemma3",
                                   "internvl", "pixtral",   "idefics3-Q8_0", "qwen2.5vl-Q8_0"};

std::vector<float> LogitsAfter(Model& model, const Prompt& prompt, uint32_t cut) {
  Result<std::unique_ptr<Session>> session = Session::Create(model, 0);
  EXPECT_TRUE(session.ok()) << session.status().message();
  if (cut > 0) {
    Prompt first;
    first.tokens.assign(prompt.tokens.begin(), prompt.tokens.begin() + cut);
    for (const ImagePlace& place : prompt.images) {
      if (place.end() <= cut) first.images.push_back(place);
    }
    const Status status = (*session)->Eval(first, 0, {});
    EXPECT_TRUE(status.ok()) << status.message();
  }
  const Status status = (*session)->Eval(prompt, cut, {});
  EXPECT_TRUE(status.ok()) << status.message();
  return std::vector<float>((*session)->logits().begin(), (*session)->logits().end());
}

TEST(Seeing, SameBitsHoweverThePromptIsCutAndByAllThreads) {
  for (const char* name : kModels) {
    SCOPED_TRACE(name);
    std::vector<float> want;
    for (const LoadOptions& options : {LoadOptions{.threads = 1}, LoadOptions{.threads = 3},
                                       LoadOptions{.threads = 2, .max_batch = 70}, LoadOptions{.max_batch = 24}}) {
      SeeingModel seeing(name, options);
      ASSERT_NE(seeing.model, nullptr);
      std::vector<Image> images;
      images.push_back(Picture(1, 70, 50));
      images.push_back(Picture(2, 64, 64));
      const Prompt prompt = PromptOf(*seeing.model, "one <__media__> and two <__media__> so", images);
      ASSERT_GE(prompt.images.size(), 2u);
      if (seeing.model->max_batch() < prompt.images[0].image->rows && prompt.images[0].image->sees_itself) continue;
      const std::vector<float> whole = LogitsAfter(*seeing.model, prompt, 0);
      if (want.empty()) want = whole;
      EXPECT_EQ(whole, want);
      const ImagePlace& last = prompt.images.back();
      for (const uint32_t cut : {1u, prompt.images[0].begin, last.begin, last.end()}) {
        if (cut > 0) EXPECT_EQ(LogitsAfter(*seeing.model, prompt, cut), want) << "cut at " << cut;
      }
    }
  }
}

TEST(Seeing, AnImageAloneAndAmongOthersIsTheSame) {
  for (const char* name : kModels) {
    SCOPED_TRACE(name);
    SeeingModel alone(name, {.threads = 2});
    SeeingModel together(name, {.threads = 1});
    const std::vector<EncodedImage> one = EncodeAll(*alone.model, [] {
      std::vector<Image> images;
      images.push_back(Picture(3, 90, 33));
      return images;
    }());
    std::vector<Image> images;
    for (uint32_t seed = 1; seed <= 4; ++seed) images.push_back(Picture(seed, 20 + 23 * seed, 25 + 3 * seed));
    images.push_back(Picture(3, 90, 33));
    const std::vector<EncodedImage> all = EncodeAll(*together.model, images);
    ASSERT_EQ(all.back().parts.size(), one[0].parts.size());
    for (size_t part = 0; part < one[0].parts.size(); ++part) {
      const ImageRows& a = *one[0].parts[part].rows;
      const ImageRows& b = *all.back().parts[part].rows;
      ASSERT_EQ(a.values.size(), b.values.size());
      EXPECT_EQ(memcmp(a.values.data(), b.values.data(), a.values.size()), 0) << part;
    }
  }
}

TEST(Seeing, RemembersImagesByTheirContent) {
  SeeingModel seeing("idefics3-single", {});
  std::vector<Image> images;
  images.push_back(Picture(1, 64, 64));
  images.push_back(Picture(2, 64, 64));
  images.push_back(Picture(1, 64, 64));
  ReadStats stats;
  const std::vector<EncodedImage> first = EncodeAll(*seeing.model, images, &stats);
  EXPECT_EQ(stats.images, 3u);
  EXPECT_EQ(stats.cached, 1u) << "the third is the first";
  EXPECT_EQ(stats.views, 2u);
  EXPECT_EQ(stats.rows, 3 * first[0].parts[0].rows->rows);
  const std::vector<EncodedImage> again = EncodeAll(*seeing.model, images, &stats);
  EXPECT_EQ(stats.cached, 3u);
  EXPECT_EQ(stats.views, 0u);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(first[i].parts[0].rows, again[i].parts[0].rows);
  // One pixel of one byte.
  images[0].rgb.data()[5000] ^= 1;
  EncodeAll(*seeing.model, images, &stats);
  EXPECT_EQ(stats.cached, 2u);
}

TEST(Seeing, ForgetsWhatWasSeenLongestAgo) {
  VisionParams params;
  params.cache_bytes = 2 * 16 * 64 * sizeof(float);  // two images of 16 rows
  SeeingModel seeing("idefics3-single", {}, params);
  ReadStats stats;
  const auto read = [&](uint32_t seed) {
    std::vector<Image> images;
    images.push_back(Picture(seed, 64, 64));
    EncodeAll(*seeing.model, images, &stats);
    return stats.cached == 1;
  };
  EXPECT_FALSE(read(1));
  EXPECT_FALSE(read(2));
  EXPECT_TRUE(read(1));
  EXPECT_FALSE(read(3));  // in the place of 2
  EXPECT_TRUE(read(1));
  EXPECT_FALSE(read(2));
}

TEST(Seeing, KeepsThePrefixUpToAnotherImage) {
  SeeingModel seeing("qwen2.5vl", {});
  std::vector<Image> images;
  images.push_back(Picture(1, 112, 112));
  const Prompt a = PromptOf(*seeing.model, "see <__media__> what", images);
  const Prompt longer = PromptOf(*seeing.model, "see <__media__> what is it", images);
  images[0] = Picture(2, 112, 112);
  const Prompt b = PromptOf(*seeing.model, "see <__media__> what", images);
  ASSERT_EQ(a.tokens, b.tokens) << "only the image tells them apart";
  Result<std::unique_ptr<Session>> session = Session::Create(*seeing.model, 0);
  ASSERT_TRUE(session.ok());
  ASSERT_TRUE((*session)->Eval(a, 0, {}).ok());
  const uint32_t kept = (*session)->KeepPrefix(longer);
  EXPECT_GT(kept, a.images[0].end());
  ASSERT_TRUE((*session)->Eval(longer, kept, {}).ok());
  EXPECT_EQ(std::vector<float>((*session)->logits().begin(), (*session)->logits().end()),
            LogitsAfter(*seeing.model, longer, 0))
      << "text after a kept image stands where it would have";
  EXPECT_EQ((*session)->KeepPrefix(b), b.images[0].begin);
  EXPECT_EQ((*session)->length(), b.images[0].begin);
  ASSERT_TRUE((*session)->Eval(b, b.images[0].begin, {}).ok());
  // Within an image there is no stopping.
  (*session)->Truncate(b.images[0].begin + 3);
  EXPECT_EQ((*session)->length(), b.images[0].begin);
}

TEST(Seeing, GeneratesAndReuses) {
  SeeingModel seeing("idefics3", {.threads = 2});
  std::vector<Image> images;
  images.push_back(Picture(1, 64, 64));
  const Prompt prompt = PromptOf(*seeing.model, "what is <__media__> here", images);
  Result<std::unique_ptr<Session>> session = Session::Create(*seeing.model, 0);
  ASSERT_TRUE(session.ok());
  GenerateParams params;
  params.sampler.temperature = 0;
  params.max_tokens = 12;
  params.ignore_eos = true;
  const Result<GenerateResult> first = Generate(**session, prompt, params);
  ASSERT_TRUE(first.ok()) << first.status().message();
  EXPECT_EQ(first->prompt_tokens, prompt.tokens.size());
  EXPECT_EQ(first->cached_tokens, 0u);
  EXPECT_EQ(first->tokens.size(), 12u);
  const Result<GenerateResult> again = Generate(**session, prompt, params);
  ASSERT_TRUE(again.ok()) << again.status().message();
  EXPECT_EQ(again->cached_tokens, prompt.tokens.size() - 1);
  EXPECT_EQ(again->tokens, first->tokens);
}

TEST(Seeing, LogitsOfImageRowsAreNobodysBusiness) {
  SeeingModel seeing("gemma3", {});
  std::vector<Image> images;
  images.push_back(Picture(1, 64, 64));
  const Prompt prompt = PromptOf(*seeing.model, "see <__media__> now", images);
  Result<std::unique_ptr<Session>> session = Session::Create(*seeing.model, 0);
  ASSERT_TRUE(session.ok());
  std::vector<uint32_t> indices;
  EvalOptions options;
  options.sink.user = &indices;
  options.sink.row = [](void* user, uint32_t index, std::span<const float>) {
    static_cast<std::vector<uint32_t>*>(user)->push_back(index);
    return true;
  };
  ASSERT_TRUE((*session)->Eval(prompt, 0, options).ok());
  std::vector<uint32_t> want;
  for (uint32_t i = 0; i < prompt.tokens.size(); ++i) {
    if (prompt.tokens[i] != kImageToken) want.push_back(i);
  }
  EXPECT_EQ(indices, want);
}

TEST(Seeing, RefusesWhatCannotBe) {
  SeeingModel seeing("gemma3", {.max_batch = 8});
  std::vector<Image> images;
  images.push_back(Picture(1, 64, 64));
  const Prompt prompt = PromptOf(*seeing.model, "see <__media__> now", images);
  Result<std::unique_ptr<Session>> session = Session::Create(*seeing.model, 0);
  ASSERT_TRUE(session.ok());
  const Status narrow = (*session)->Eval(prompt, 0, {});
  EXPECT_EQ(narrow.code(), Code::kInvalidArgument) << "16 rows that see each other, 8 in a batch";
  EXPECT_NE(narrow.message().find("16"), std::string::npos) << narrow.message();
  EXPECT_EQ((*session)->length(), 0u);

  Prompt broken = prompt;
  broken.images[0].begin += 1;
  EXPECT_EQ((*session)->Eval(broken, 0, {}).code(), Code::kInvalidArgument);
  broken.images.clear();
  EXPECT_EQ((*session)->Eval(broken, 0, {}).code(), Code::kInvalidArgument) << "rows of no image";

  // The tower of one model, the decoder of another: their widths are the same, their rows are not.
  const PeerVisionModel other = FindPeer("qwen3vl");
  const std::vector<uint8_t> tower = MakeTinyVisionModel(other.vision);
  SeeingModel blind("idefics3", {});
  const Status second = blind.model->AttachVision(OpenBytes(tower, "other"), {});
  EXPECT_EQ(second.code(), Code::kInvalidArgument) << "it has one already";
  const std::unique_ptr<Model> model = LoadModel(blind.text_bytes);
  const Status wrong = model->AttachVision(OpenBytes(tower, "other"), {});
  EXPECT_EQ(wrong.code(), Code::kInvalidArgument);
  EXPECT_NE(wrong.message().find("192"), std::string::npos) << wrong.message();
  EXPECT_EQ(model->vision(), nullptr);
  const Status text = model->AttachVision(OpenBytes(blind.text_bytes, "text"), {});
  EXPECT_EQ(text.code(), Code::kUnsupported) << text.message();
}

TEST(Seeing, ImageMarksAreCounted) {
  SeeingModel seeing("idefics3", {});
  std::vector<Image> images;
  images.push_back(Picture(1, 64, 64));
  const std::vector<EncodedImage> encoded = EncodeAll(*seeing.model, images);
  EXPECT_EQ(seeing.model->EncodeText("none", {}, encoded).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(seeing.model->EncodeText("<__media__> <__media__>", {}, encoded).status().code(), Code::kInvalidArgument);
  EXPECT_TRUE(seeing.model->EncodeText("<__media__> without images is text", {}, {}).ok());

  ChatInput input;
  input.messages.push_back({"user", "first <__media__> second", ""});
  Result<Prompt> prompt = seeing.model->EncodeChat(input, encoded);
  ASSERT_TRUE(prompt.ok()) << prompt.status().message();
  EXPECT_EQ(prompt->images.size(), encoded[0].parts.size());
  const uint32_t marked = prompt->images[0].begin;
  input.messages[0].content = "first second";
  prompt = seeing.model->EncodeChat(input, encoded);
  ASSERT_TRUE(prompt.ok()) << prompt.status().message();
  EXPECT_LT(prompt->images[0].begin, marked) << "without a mark it comes first";
  // U+FDD1 stands for images on the way; who writes it makes none.
  input.messages[0].content = "a \xEF\xB7\x91 b";
  prompt = seeing.model->EncodeChat(input, {});
  ASSERT_TRUE(prompt.ok()) << prompt.status().message();
  EXPECT_TRUE(prompt->images.empty());
  input.messages[0].content = "a \xEF\xB7\x91 b <__media__>";
  prompt = seeing.model->EncodeChat(input, encoded);
  ASSERT_TRUE(prompt.ok()) << prompt.status().message();
  EXPECT_EQ(prompt->images.size(), encoded[0].parts.size());
  input.messages[0].content = "<__media__><__media__>";
  EXPECT_EQ(seeing.model->EncodeChat(input, encoded).status().code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace mote::testing
