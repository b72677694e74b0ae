// The small vision models and pictures are those for which tests/golden/llama_cpp_vision.txt was made.
#include "tests/support/peer_vision_models.h"

#include <gtest/gtest.h>

#include <memory>
#include <utility>

#include "engine/format/gguf.h"
#include "tests/support/vision_golden.h"

namespace mote::testing {
namespace {

const PeerVisionModel* Find(const std::vector<PeerVisionModel>& models, const std::string& name) {
  for (const PeerVisionModel& model : models) {
    if (model.name == name) return &model;
  }
  return nullptr;
}

TEST(PeerVisionModels, FilesAreGguf) {
  for (const PeerVisionModel& model : PeerVisionModels()) {
    for (const std::vector<uint8_t>& bytes : {MakeTinyModel(model.text), MakeTinyVisionModel(model.vision)}) {
      ASSERT_FALSE(bytes.empty()) << model.name;
      std::vector<std::unique_ptr<ByteSource>> parts;
      parts.push_back(CreateMemorySource(bytes, model.name));
      const auto file = GgufFile::FromSources(std::move(parts));
      ASSERT_TRUE(file.ok()) << model.name << ": " << file.status().message();
      EXPECT_GT((*file)->tensors().size(), 10u) << model.name;
    }
  }
}

TEST(PeerVisionModels, GoldenFileHasEveryCase) {
  const std::vector<PeerVisionModel> models = PeerVisionModels();
  const std::vector<GoldenVisionCase> golden = ReadVisionGolden();
  size_t at = 0;
  for (const PeerVisionModel& model : models) {
    for (const PeerVisionCase& one : model.cases) {
      ASSERT_LT(at, golden.size()) << model.name << ": run tests/peers/vision.py --golden again";
      EXPECT_EQ(golden[at].model, model.name);
      EXPECT_EQ(golden[at].name, one.name);
      EXPECT_EQ(golden[at].prompt, one.prompt);
      ASSERT_EQ(golden[at].pictures.size(), one.pictures.size());
      EXPECT_GE(golden[at].views.size(), one.pictures.size());
      EXPECT_GE(golden[at].logits.size(), 15u);
      ++at;
    }
  }
  EXPECT_EQ(at, golden.size());
}

// Where a picture is its own view, the recorded pixels are those of the formula here.
TEST(PeerVisionModels, PicturesAreTheGoldenOnes) {
  const std::vector<PeerVisionModel> models = PeerVisionModels();
  const float mean[] = {0.48f, 0.46f, 0.41f};
  const float std[] = {0.27f, 0.26f, 0.28f};
  size_t compared = 0;
  for (const GoldenVisionCase& one : ReadVisionGolden()) {
    ASSERT_NE(Find(models, one.model), nullptr) << one.model;
    if (one.views.size() != one.pictures.size()) continue;
    for (size_t i = 0; i < one.views.size(); ++i) {
      if (one.views[i].width != one.pictures[i].width || one.views[i].height != one.pictures[i].height) continue;
      const std::vector<uint8_t> pixels = PeerPixels(one.pictures[i]);
      for (const auto& [index, want] : one.views[i].samples) {
        ASSERT_LT(index, pixels.size());
        const size_t c = index % 3;
        const double got = static_cast<double>((static_cast<float>(pixels[index]) / 255.0f - mean[c]) / std[c]);
        EXPECT_NEAR(got, want, 1e-5) << one.model << " " << one.name << " at " << index;
        ++compared;
      }
    }
  }
  EXPECT_GT(compared, 100u);
}

}  // namespace
}  // namespace mote::testing
