// Small vision towers of every projector with random weights, as `mmproj` GGUF files in memory. The numbers mean
// nothing; names, shapes and metadata are those that converters write (llama.cpp's tools/mtmd reads the same files).
#ifndef MOTE_TESTS_SUPPORT_TINY_VISION_MODEL_H_
#define MOTE_TESTS_SUPPORT_TINY_VISION_MODEL_H_

#include <stdint.h>

#include <string>
#include <vector>

#include "quant/dtype.h"
#include "tests/support/tiny_file.h"

namespace mote::testing {

enum class TinyAct { kQuickGelu, kGelu, kSilu };

struct TinyVisionOptions {
  std::string projector = "idefics3";  // clip.projector_type
  DType type = DType::kF32;            // of the matrices
  uint32_t width = 64;
  uint32_t heads = 4;
  uint32_t layers = 3;
  uint32_t ff = 96;
  uint32_t patch = 8;        // pixels
  uint32_t image = 64;       // pixels, the native square
  uint32_t text_width = 64;  // of the language model that reads the tokens
  TinyAct act = TinyAct::kGelu;
  uint32_t scale_factor = 0;        // clip.vision.projector.scale_factor, 0: no key
  uint32_t merge = 0;               // clip.vision.spatial_merge_size, 0: no key
  uint32_t longest_edge = 0;        // clip.vision.preproc_image_size, 0: no key
  uint32_t max_tiles = 0;           // clip.vision.preproc_max_tiles, 0: no key
  uint32_t window_pattern = 0;      // qwen2.5vl: every so many layers one without windows
  std::vector<uint32_t> deepstack;  // qwen3vl: layers with a merger of their own
  std::vector<int32_t> features;    // mlp: clip.vision.feature_layer
  bool class_token = false;         // CLIP, InternVL
  bool layer_scale = false;         // InternVL
  bool old_names = false;           // ffn_up and ffn_down exchanged, as files of the first converter have them
  float epsilon = 1e-6f;
  uint64_t seed = 2;
};

class TinyVisionModel : private TinyFile {
 public:
  explicit TinyVisionModel(const TinyVisionOptions& options) : TinyFile(options.type, options.seed), o_(options) {}

  // Empty if the options do not make a file.
  std::vector<uint8_t> Make() {
    AddHyperParams();
    AddInput();
    for (uint32_t i = 0; i < o_.layers; ++i) AddLayer("v.blk." + std::to_string(i) + ".");
    AddOutput();
    return Bytes();
  }

 private:
  bool Is(const char* projector) const { return o_.projector == projector; }
  bool Qwen() const { return Is("qwen2vl_merger") || Is("qwen2.5vl_merger") || Is("qwen3vl_merger"); }
  bool RmsNorms() const { return Is("qwen2.5vl_merger") || Is("pixtral"); }
  bool GatedFfn() const { return RmsNorms(); }
  uint32_t Grid() const { return o_.image / o_.patch; }
  // Patches that become one token: 4 where the projector takes 2 by 2.
  uint64_t MergedWidth() const {
    const uint32_t side = Qwen() ? 2 : o_.scale_factor;
    return uint64_t{o_.width} * side * side;
  }

  void AddHyperParams() {
    const std::string v = "clip.vision.";
    writer_.SetString("general.architecture", "clip");
    writer_.SetString("general.type", "mmproj");
    writer_.SetString("general.name", "tiny random tower");
    writer_.SetBool("clip.has_vision_encoder", true);
    writer_.SetString("clip.projector_type", o_.projector);
    writer_.SetUint32(v + "image_size", o_.image);
    writer_.SetUint32(v + "patch_size", o_.patch);
    writer_.SetUint32(v + "embedding_length", o_.width);
    writer_.SetUint32(v + "feed_forward_length", o_.ff);
    writer_.SetUint32(v + "block_count", o_.layers);
    writer_.SetUint32(v + "attention.head_count", o_.heads);
    writer_.SetUint32(v + "projection_dim", o_.text_width);
    writer_.SetFloat32(v + "attention.layer_norm_epsilon", o_.epsilon);
    writer_.SetFloats(v + "image_mean", std::vector<float>{0.48f, 0.46f, 0.41f});
    writer_.SetFloats(v + "image_std", std::vector<float>{0.27f, 0.26f, 0.28f});
    if (o_.act == TinyAct::kGelu) writer_.SetBool("clip.use_gelu", true);
    if (o_.act == TinyAct::kSilu) writer_.SetBool("clip.use_silu", true);
    if (o_.scale_factor != 0) writer_.SetUint32(v + "projector.scale_factor", o_.scale_factor);
    if (o_.merge != 0) writer_.SetUint32(v + "spatial_merge_size", o_.merge);
    if (o_.longest_edge != 0) writer_.SetUint32(v + "preproc_image_size", o_.longest_edge);
    if (o_.max_tiles != 0) writer_.SetUint32(v + "preproc_max_tiles", o_.max_tiles);
    if (o_.window_pattern != 0) writer_.SetUint32(v + "n_wa_pattern", o_.window_pattern);
    if (!o_.features.empty()) writer_.SetInt32s(v + "feature_layer", o_.features);
  }

  // The kernel of a patch: columns x, then y, then colour.
  void Patch(const std::string& name) {
    const uint64_t taps = uint64_t{3} * o_.patch * o_.patch;
    std::vector<float> values(taps * o_.width);
    const float scale = 1.7f / sqrtf(static_cast<float>(taps));
    for (float& value : values) value = random_.Next() * scale;
    Add(name, o_.type == DType::kF32 ? DType::kF32 : DType::kF16, {o_.patch, o_.patch, 3, o_.width}, values);
  }
  void Positions(uint64_t count) {
    std::vector<float> values(count * o_.width);
    for (float& value : values) value = random_.Next();
    Add("v.position_embd.weight", DType::kF32, {o_.width, count}, values);
  }
  void Linear(const std::string& name, uint64_t rows, uint64_t cols, bool bias = true) {
    Matrix(name + ".weight", rows, cols);
    if (bias) Vector(name + ".bias", rows, 0.0f, 0.3f);
  }
  void LayerNorm(const std::string& name, uint64_t size) {
    Norm(name + ".weight", size);
    if (!RmsNorms()) Vector(name + ".bias", size, 0.0f, 0.2f);
  }

  void AddInput() {
    Patch("v.patch_embd.weight");
    if (Qwen()) Patch("v.patch_embd.weight.1");
    const bool bias = Is("idefics3") || Is("gemma3") || Is("internvl") || Is("qwen3vl_merger") ||
                      (Is("mlp") && !o_.class_token);  // SigLIP has one, CLIP not
    if (bias) Vector("v.patch_embd.bias", o_.width, 0.0f, 0.3f);
    if (o_.class_token) Vector("v.class_embd", o_.width, 0.0f, 1.0f);
    if (!Is("pixtral") && (!Qwen() || Is("qwen3vl_merger"))) {
      Positions(uint64_t{Grid()} * Grid() + (o_.class_token ? 1 : 0));
    }
    if (Is("pixtral") || (Is("mlp") && o_.class_token)) LayerNorm("v.pre_ln", o_.width);
  }

  void AddLayer(const std::string& b) {
    const bool bias = !Is("pixtral");
    LayerNorm(b + "ln1", o_.width);
    if (Is("qwen3vl_merger")) {
      Linear(b + "attn_qkv", uint64_t{3} * o_.width, o_.width);
    } else {
      for (const char* name : {"attn_q", "attn_k", "attn_v"}) Linear(b + name, o_.width, o_.width, bias);
    }
    Linear(b + "attn_out", o_.width, o_.width, bias);
    if (o_.layer_scale) Vector(b + "ls1.weight", o_.width, 0.8f, 0.2f);
    LayerNorm(b + "ln2", o_.width);
    if (GatedFfn()) Linear(b + "ffn_gate", o_.ff, o_.width, bias);
    Linear(b + (o_.old_names ? "ffn_down" : "ffn_up"), o_.ff, o_.width, bias);
    Linear(b + (o_.old_names ? "ffn_up" : "ffn_down"), o_.width, o_.ff, bias);
    if (o_.layer_scale) Vector(b + "ls2.weight", o_.width, 0.8f, 0.2f);
  }

  void AddOutput() {
    const uint64_t merged = MergedWidth();
    const uint64_t out = o_.text_width;
    if (!Is("pixtral") && !Is("internvl") && !Is("mlp")) LayerNorm("v.post_ln", o_.width);
    if (Is("idefics3")) {
      Linear("mm.model.fc", out, merged, false);
    } else if (Is("gemma3")) {
      Norm("mm.soft_emb_norm.weight", o_.width);
      // Stored as the mathematics has it, not as a matrix of rows: columns are what comes out.
      Matrix("mm.input_projection.weight", o_.width, out, 1, o_.type == DType::kF32 ? DType::kF32 : DType::kF16);
    } else if (Is("internvl")) {
      Norm("mm.model.mlp.0.weight", merged);
      Vector("mm.model.mlp.0.bias", merged, 0.0f, 0.2f);
      Linear("mm.model.mlp.1", out, merged);
      Linear("mm.model.mlp.3", out, out);
    } else if (Is("pixtral")) {
      if (o_.merge > 1) {
        Norm("mm.input_norm.weight", o_.width);
        Linear("mm.patch_merger", o_.width, uint64_t{o_.width} * o_.merge * o_.merge, false);
      }
      Linear("mm.1", out, o_.width);
      Linear("mm.2", out, out);
      Vector("v.token_embd.img_break", out, 0.0f, 1.0f);
    } else if (Is("mlp")) {
      const uint64_t features = o_.features.empty() ? 1 : o_.features.size();
      Linear("mm.0", out, features * o_.width);
      Linear("mm.2", out, out);
    } else {
      Linear("mm.0", merged, merged);
      Linear("mm.2", out, merged);
      for (const uint32_t layer : o_.deepstack) AddDeepstack("v.deepstack." + std::to_string(layer) + ".");
    }
  }
  void AddDeepstack(const std::string& d) {
    LayerNorm(d + "norm", MergedWidth());
    Linear(d + "fc1", MergedWidth(), MergedWidth());
    Linear(d + "fc2", o_.text_width, MergedWidth());
  }

  TinyVisionOptions o_;
};

inline std::vector<uint8_t> MakeTinyVisionModel(const TinyVisionOptions& options) {
  return TinyVisionModel(options).Make();
}

}  // namespace mote::testing

#endif  // MOTE_TESTS_SUPPORT_TINY_VISION_MODEL_H_
