// Small models with eyes, from memory, for the tests of run/ and api/.
#ifndef MOTE_TESTS_RUN_VISION_SUPPORT_H_
#define MOTE_TESTS_RUN_VISION_SUPPORT_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/run/run_support.h"
#include "tests/support/peer_vision_models.h"

namespace mote::testing {

inline std::unique_ptr<GgufFile> OpenBytes(std::span<const uint8_t> bytes, const char* name) {
  std::vector<std::unique_ptr<ByteSource>> parts;
  parts.push_back(CreateMemorySource(bytes, name));
  Result<std::unique_ptr<GgufFile>> file = GgufFile::FromSources(std::move(parts));
  EXPECT_TRUE(file.ok()) << file.status().message();
  return file.ok() ? std::move(file).value() : nullptr;
}

inline PeerVisionModel FindPeer(const std::string& name) {
  for (PeerVisionModel& peer : PeerVisionModels()) {
    if (peer.name == name) return std::move(peer);
  }
  ADD_FAILURE() << "no model " << name;
  return {};
}

// A model and its tower, with the bytes that they read.
struct SeeingModel {
  std::vector<uint8_t> text_bytes, vision_bytes;
  std::unique_ptr<Model> model;

  SeeingModel(const std::string& peer, const LoadOptions& options, const VisionParams& vision = {}) {
    const PeerVisionModel found = FindPeer(peer);
    text_bytes = MakeTinyModel(found.text);
    vision_bytes = MakeTinyVisionModel(found.vision);
    model = LoadModel(text_bytes, options);
    if (model == nullptr) return;
    const Status status = model->AttachVision(OpenBytes(vision_bytes, "mmproj in memory"), vision);
    EXPECT_TRUE(status.ok()) << status.message();
  }
};

inline Image Picture(uint32_t seed, uint32_t width, uint32_t height) {
  Result<Image> image = ImageFromRgb(PeerPixels({seed, width, height}), width, height, {});
  EXPECT_TRUE(image.ok()) << image.status().message();
  return std::move(image).value();
}

inline std::vector<EncodedImage> EncodeAll(Model& model, const std::vector<Image>& images, ReadStats* stats = nullptr) {
  std::vector<ImageView> views;
  for (const Image& image : images) views.push_back(image.view());
  Result<std::vector<EncodedImage>> encoded = model.vision()->Encode(views, {}, stats);
  EXPECT_TRUE(encoded.ok()) << encoded.status().message();
  return encoded.ok() ? std::move(encoded).value() : std::vector<EncodedImage>(images.size());
}

inline Prompt PromptOf(Model& model, const std::string& text, const std::vector<Image>& images) {
  EncodeOptions options;
  options.parse_special = true;
  Result<Prompt> prompt = model.EncodeText(text, options, EncodeAll(model, images));
  EXPECT_TRUE(prompt.ok()) << prompt.status().message();
  return prompt.ok() ? std::move(prompt).value() : Prompt();
}

}  // namespace mote::testing

#endif  // MOTE_TESTS_RUN_VISION_SUPPORT_H_
