// Writes a vision tower with the shape of a real one and random weights.
//
//   make_vision_model SHAPE TYPE OUT.gguf      TYPE (F16, Q8_0, ...) of the matrices; F16 kernels of patches, F32 the
//   rest
//
// The models that read their tokens: make_model smolvlm-256m, qwen2.5-vl-3b, qwen2.5-vl-3b-thin.
#include <stdio.h>
#include <string.h>

#include <string>
#include <vector>

#include "bench/peers/random_file.h"

namespace {

using mote::DType;
using mote::GgufWriter;
using mote::bench::RandomFile;

// The published config.json of each model.
struct Shape {
  const char* name;
  const char* projector;
  uint64_t layers, width, heads, ff, patch, image, side, out;  // `side`: patches to a token, in each direction
  uint32_t window_pattern;
  bool gated;  // SiLU, RMSNorm without a bias; otherwise GELU and LayerNorm
};
constexpr Shape kShapes[] = {
    {"smolvlm-256m", "idefics3", 12, 768, 12, 3072, 16, 512, 4, 576, 0, false},
    {"qwen2.5-vl-3b", "qwen2.5vl_merger", 32, 1280, 16, 3420, 14, 448, 2, 2048, 8, true},
};

void AddHyperParams(const Shape& shape, GgufWriter* writer) {
  const std::string v = "clip.vision.";
  writer->SetString("general.architecture", "clip");
  writer->SetString("general.type", "mmproj");
  writer->SetString("general.name", std::string("random weights, shape of ") + shape.name);
  writer->SetBool("clip.has_vision_encoder", true);
  writer->SetString("clip.projector_type", shape.projector);
  writer->SetBool(shape.gated ? "clip.use_silu" : "clip.use_gelu", true);
  writer->SetUint32(v + "image_size", static_cast<uint32_t>(shape.image));
  writer->SetUint32(v + "patch_size", static_cast<uint32_t>(shape.patch));
  writer->SetUint32(v + "embedding_length", static_cast<uint32_t>(shape.width));
  writer->SetUint32(v + "feed_forward_length", static_cast<uint32_t>(shape.ff));
  writer->SetUint32(v + "block_count", static_cast<uint32_t>(shape.layers));
  writer->SetUint32(v + "attention.head_count", static_cast<uint32_t>(shape.heads));
  writer->SetUint32(v + "projection_dim", static_cast<uint32_t>(shape.out));
  writer->SetFloat32(v + "attention.layer_norm_epsilon", 1e-6f);
  writer->SetFloats(v + "image_mean", std::vector<float>{0.5f, 0.5f, 0.5f});
  writer->SetFloats(v + "image_std", std::vector<float>{0.5f, 0.5f, 0.5f});
  if (shape.window_pattern != 0) writer->SetUint32(v + "n_wa_pattern", shape.window_pattern);
  if (shape.window_pattern == 0) writer->SetUint32(v + "projector.scale_factor", static_cast<uint32_t>(shape.side));
}

void AddLinear(RandomFile* file, const std::string& name, DType type, uint64_t cols, uint64_t rows, bool bias = true) {
  file->Add(name + ".weight", type, {cols, rows});
  if (bias) file->Add(name + ".bias", DType::kF32, {rows});
}
void AddNorm(RandomFile* file, const std::string& name, const Shape& shape) {
  file->Add(name + ".weight", DType::kF32, {shape.width});
  if (!shape.gated) file->Add(name + ".bias", DType::kF32, {shape.width});
}

void AddTensors(const Shape& shape, DType type, RandomFile* file) {
  const uint64_t w = shape.width;
  const uint64_t grid = shape.image / shape.patch;
  file->Add("v.patch_embd.weight", DType::kF16, {shape.patch, shape.patch, 3, w});
  if (shape.gated) {
    file->Add("v.patch_embd.weight.1", DType::kF16, {shape.patch, shape.patch, 3, w});
  } else {
    file->Add("v.patch_embd.bias", DType::kF32, {w});
    file->Add("v.position_embd.weight", DType::kF32, {w, grid * grid});
  }
  for (uint64_t layer = 0; layer < shape.layers; ++layer) {
    const std::string b = "v.blk." + std::to_string(layer) + ".";
    AddNorm(file, b + "ln1", shape);
    for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_out"}) AddLinear(file, b + name, type, w, w);
    AddNorm(file, b + "ln2", shape);
    if (shape.gated) AddLinear(file, b + "ffn_gate", type, w, shape.ff);
    AddLinear(file, b + "ffn_up", type, w, shape.ff);
    AddLinear(file, b + "ffn_down", type, shape.ff, w);
  }
  AddNorm(file, "v.post_ln", shape);
  const uint64_t merged = w * shape.side * shape.side;
  if (shape.gated) {
    AddLinear(file, "mm.0", type, merged, merged);
    AddLinear(file, "mm.2", type, merged, shape.out);
  } else {
    AddLinear(file, "mm.model.fc", type, merged, shape.out, false);
  }
}

}  // namespace

int main(int argc, char** argv) {
  DType type = DType::kF32;
  for (const Shape& shape : kShapes) {
    if (argc != 4 || strcmp(argv[1], shape.name) != 0 || !mote::DTypeFromName(argv[2], &type)) continue;
    RandomFile file;
    AddHyperParams(shape, &file.writer());
    AddTensors(shape, type, &file);
    return file.Write(argv[3]) ? 0 : 1;
  }
  fprintf(stderr, "usage: make_vision_model SHAPE TYPE OUT.gguf, where SHAPE is one of");
  for (const Shape& shape : kShapes) fprintf(stderr, " %s", shape.name);
  fprintf(stderr, "\n");
  return 2;
}
