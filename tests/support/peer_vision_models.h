// The small vision-language models on which mote is compared with other engines, and the pictures and prompts that they
// get: by tests/peers/vision.py with the engine itself, by tests with what it answered once
// (tests/golden/llama_cpp_vision.txt).
#ifndef MOTE_TESTS_SUPPORT_PEER_VISION_MODELS_H_
#define MOTE_TESTS_SUPPORT_PEER_VISION_MODELS_H_

#include <stdint.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/support/tiny_model.h"
#include "tests/support/tiny_vision_model.h"

namespace mote::testing {

struct PeerPicture {
  uint32_t seed = 0;
  uint32_t width = 0;  // pixels
  uint32_t height = 0;
};

struct PeerVisionCase {
  std::string name;    // "native": no resampling in any engine
  std::string prompt;  // <__media__> stands for a picture
  std::vector<PeerPicture> pictures;
};

struct PeerVisionModel {
  std::string name;
  TinyModelOptions text;
  TinyVisionOptions vision;
  std::vector<PeerVisionCase> cases;
};

// RGB, row by row: slow and fast waves in every direction, by integers, so that it is the same everywhere.
inline std::vector<uint8_t> PeerPixels(const PeerPicture& picture) {
  std::vector<uint8_t> pixels;
  pixels.reserve(size_t{3} * picture.width * picture.height);
  for (uint32_t y = 0; y < picture.height; ++y) {
    for (uint32_t x = 0; x < picture.width; ++x) {
      for (uint32_t c = 0; c < 3; ++c) {
        const uint32_t t =
            3 * x * (c + 1) + 5 * y * (picture.seed + 1) + x * y * (c + 2) / 16 + 40 * c + 77 * picture.seed;
        const uint32_t wave = t % 510;
        pixels.push_back(static_cast<uint8_t>(wave <= 255 ? wave : 510 - wave));
      }
    }
  }
  return pixels;
}

// The four kinds of picture, then two in one prompt. `native`, `wide`: sizes at which nothing is resampled.
inline std::vector<PeerVisionCase> PeerVisionCases(uint32_t native, uint32_t wide_width, uint32_t wide_height) {
  return {
      {"native", "look at <__media__> now", {{1, native, native}}},
      {"wide", "<__media__> what is it", {{2, wide_width, wide_height}}},
      {"tall", "see <__media__>then", {{3, 45, 100}}},
      {"tiny", "a <__media__> b", {{4, 20, 14}}},
      {"two", "one <__media__> and two <__media__> which", {{5, native, native}, {6, native, native}}},
  };
}

inline TinyModelOptions PeerVisionText(const std::string& architecture,
                                       const std::vector<std::pair<std::string, int32_t>>& markers) {
  TinyModelOptions text;
  text.architecture = architecture;
  text.width = 64;
  text.heads = 4;
  text.kv_heads = 2;
  text.head_dim = 16;
  text.ff = 128;
  text.markers = markers;
  if (architecture == "gemma3") text.layers = 6;
  if (architecture == "gemma3") text.window = 20;  // more than a picture's 16 tokens, less than a prompt
  if (architecture == "qwen2vl") text.rope_sections = {2, 3, 3, 0};
  if (architecture == "qwen3vl") text.rope_sections = {4, 2, 2, 0};
  return text;
}

inline std::vector<std::pair<std::string, int32_t>> Idefics3Markers() {
  std::vector<std::pair<std::string, int32_t>> markers = {
      {"\n\n", 4}, {"<fake_token_around_image>", 3}, {"<global-img>", 3}, {"<image>", 3}};
  for (int row = 1; row <= 4; ++row) {
    for (int col = 1; col <= 4; ++col) {
      markers.push_back({"<row_" + std::to_string(row) + "_col_" + std::to_string(col) + ">", 3});
    }
  }
  return markers;
}

inline PeerVisionModel PeerIdefics3(const char* name, uint32_t longest_edge, DType type) {
  PeerVisionModel model = {name, PeerVisionText("llama", Idefics3Markers()), {}, {}};
  model.vision.type = type;
  model.vision.scale_factor = 2;
  model.vision.longest_edge = longest_edge;
  model.cases = longest_edge == 0 ? PeerVisionCases(64, 64, 64) : PeerVisionCases(128, 128, 64);
  return model;
}

inline PeerVisionModel PeerQwen(const char* name, const char* projector, DType type) {
  const std::vector<std::pair<std::string, int32_t>> markers = {
      {"<|vision_start|>", 3}, {"<|vision_end|>", 3}, {"<|image_pad|>", 3}};
  const bool third = projector == std::string("qwen3vl_merger");
  PeerVisionModel model = {name, PeerVisionText(third ? "qwen3vl" : "qwen2vl", markers), {}, {}};
  model.vision.projector = projector;
  model.vision.type = type;
  if (third) {
    model.vision.merge = 2;
    model.vision.deepstack = {0, 2};
    model.text.layers = 3;
    model.text.deepstack = 2;
    model.cases = PeerVisionCases(64, 128, 80);
    return model;
  }
  model.vision.patch = 14;
  model.vision.image = 112;
  model.vision.act = TinyAct::kQuickGelu;
  if (projector == std::string("qwen2.5vl_merger")) {
    model.vision.act = TinyAct::kSilu;
    model.vision.layers = 4;
    model.vision.window_pattern = 2;
  }
  model.cases = PeerVisionCases(112, 224, 140);  // 8 by 5 tokens: two whole windows and two of one row
  return model;
}

inline PeerVisionModel PeerPixtral(const char* name, uint32_t merge) {
  PeerVisionModel model = {name, PeerVisionText("llama", {{"[IMG]", 3}, {"[IMG_BREAK]", 3}, {"[IMG_END]", 3}}), {}, {}};
  model.vision.projector = "pixtral";
  model.vision.act = TinyAct::kSilu;
  model.vision.epsilon = 1e-5f;
  model.vision.image = 256;
  model.vision.merge = merge;
  model.cases = PeerVisionCases(64, 128, 80);
  return model;
}

inline PeerVisionModel PeerMlp(const char* name, bool class_token, const std::vector<int32_t>& features) {
  PeerVisionModel model = {name, PeerVisionText("llama", {{"<image>", 3}}), {}, {}};
  model.vision.projector = "mlp";
  model.vision.epsilon = 1e-5f;
  model.vision.class_token = class_token;
  model.vision.act = class_token ? TinyAct::kQuickGelu : TinyAct::kGelu;
  model.vision.old_names = class_token;
  model.vision.image = 56;
  model.vision.features = features;
  model.cases = PeerVisionCases(56, 56, 56);
  return model;
}

inline std::vector<PeerVisionModel> PeerVisionModels() {
  std::vector<PeerVisionModel> models;
  models.push_back(PeerIdefics3("idefics3", 128, DType::kF32));
  models.push_back(PeerIdefics3("idefics3-F16", 128, DType::kF16));
  models.push_back(PeerIdefics3("idefics3-Q8_0", 128, DType::kQ8_0));
  models.push_back(PeerIdefics3("idefics3-single", 0, DType::kF32));
  models.push_back(PeerQwen("qwen2vl", "qwen2vl_merger", DType::kF32));
  models.push_back(PeerQwen("qwen2.5vl", "qwen2.5vl_merger", DType::kF32));
  models.push_back(PeerQwen("qwen2.5vl-F16", "qwen2.5vl_merger", DType::kF16));
  models.push_back(PeerQwen("qwen2.5vl-Q8_0", "qwen2.5vl_merger", DType::kQ8_0));
  models.push_back(PeerQwen("qwen3vl", "qwen3vl_merger", DType::kF32));

  PeerVisionModel gemma = {"gemma3",
                           PeerVisionText("gemma3", {{"<start_of_image>", 3}, {"<end_of_image>", 3}}),
                           {},
                           PeerVisionCases(64, 64, 64)};
  gemma.vision.projector = "gemma3";
  gemma.vision.scale_factor = 2;
  models.push_back(gemma);

  PeerVisionModel internvl = {"internvl",
                              PeerVisionText("qwen2", {{"<img>", 3}, {"</img>", 3}, {"<IMG_CONTEXT>", 3}}),
                              {},
                              PeerVisionCases(64, 128, 64)};
  internvl.vision.projector = "internvl";
  internvl.vision.scale_factor = 2;
  internvl.vision.class_token = true;
  internvl.vision.layer_scale = true;
  internvl.vision.max_tiles = 4;
  models.push_back(internvl);

  models.push_back(PeerPixtral("pixtral", 0));
  models.push_back(PeerPixtral("pixtral-merge", 2));
  models.push_back(PeerMlp("mlp", true, {}));
  models.push_back(PeerMlp("mlp-features", false, {1, 3}));
  return models;
}

}  // namespace mote::testing

#endif  // MOTE_TESTS_SUPPORT_PEER_VISION_MODELS_H_
