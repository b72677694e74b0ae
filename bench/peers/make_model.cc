// Writes a model with the shape of a real one and random weights: speed depends on shapes and types, not on values.
//
//   make_model SHAPE OUT.gguf         F16 weights, F32 norms; a vocabulary of the real size whose words mean nothing
//   make_model SHAPE OUT.gguf TYPE    weights of a type (Q4_0, Q8_0, ..., or Q4_K_M's mix), made in seconds, for speed
//                                     alone: 64 rows of each tensor again and again
#include <stdio.h>
#include <string.h>

#include <string>
#include <utility>
#include <vector>

#include "bench/peers/random_file.h"

namespace {

using mote::DType;
using mote::GgufWriter;
using mote::bench::RandomFile;

// The published config.json of each model. All tie the output to the embedding (the 8B does
// not in the original: as many bytes are read for a token, fewer lie in the file).
struct Shape {
  const char* name;
  const char* architecture;
  uint32_t layers, width, heads, kv_heads, ff, vocab;
  float rope_base, epsilon;
  bool bias;
  std::vector<std::string> markers;  // the vocabulary's last tokens
  std::vector<int32_t> rope_sections = {};
};
std::vector<Shape> Shapes() {
  const std::vector<std::string> idefics3 = {"\n\n", "<fake_token_around_image>", "<global-img>"};
  const std::vector<std::string> qwen = {"<|vision_start|>", "<|vision_end|>"};
  return {
      {"smollm2-135m", "llama", 30, 576, 9, 3, 1536, 49152, 100000.0f, 1e-5f, false, {}},
      {"llama3.2-1b", "llama", 16, 2048, 32, 8, 8192, 128256, 500000.0f, 1e-5f, false, {}},
      {"llama3-8b", "llama", 32, 4096, 32, 8, 14336, 128256, 500000.0f, 1e-5f, false, {}},
      {"qwen2.5-0.5b", "qwen2", 24, 896, 14, 2, 4864, 151936, 1000000.0f, 1e-6f, true, {}},
      {"smolvlm-256m", "llama", 30, 576, 9, 3, 1536, 49280, 100000.0f, 1e-5f, false, idefics3},
      {"qwen2.5-vl-3b", "qwen2vl", 36, 2048, 16, 2, 11008, 151936, 1000000.0f, 1e-6f, true, qwen, {16, 24, 24, 0}},
      // A partner for the tower alone: engines refuse a tower without the model that reads its tokens.
      {"qwen2.5-vl-3b-thin", "qwen2vl", 1, 2048, 16, 2, 11008, 1024, 1000000.0f, 1e-6f, true, qwen, {16, 24, 24, 0}},
  };
}

// SPM: the three special tokens, bytes, then words. The first 256 of these ("w259" to "w514") are user-defined tokens,
// which tokenizers find in a text without merging: so an engine that takes no ids can be given a prompt of any length.
void AddVocabulary(const Shape& shape, GgufWriter* writer) {
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  std::vector<int32_t> types = {2, 3, 3};
  for (int byte = 0; byte < 256; ++byte) {
    char text[8];
    snprintf(text, sizeof(text), "<0x%02X>", byte);
    tokens.push_back(text);
    types.push_back(6);
  }
  while (tokens.size() < shape.vocab - shape.markers.size()) tokens.push_back("w" + std::to_string(tokens.size()));
  types.resize(types.size() + 256, 4);
  types.resize(tokens.size(), 1);
  tokens.insert(tokens.end(), shape.markers.begin(), shape.markers.end());
  types.resize(tokens.size(), 3);
  std::vector<float> scores(tokens.size());
  for (size_t i = 0; i < scores.size(); ++i) scores[i] = -static_cast<float>(i);
  writer->SetString("tokenizer.ggml.model", "llama");
  writer->SetStrings("tokenizer.ggml.tokens", tokens);
  writer->SetFloats("tokenizer.ggml.scores", scores);
  writer->SetInt32s("tokenizer.ggml.token_type", types);
  writer->SetUint32("tokenizer.ggml.bos_token_id", 1);
  writer->SetUint32("tokenizer.ggml.eos_token_id", 2);
}

void AddHyperParams(const Shape& shape, GgufWriter* writer) {
  const std::string prefix = std::string(shape.architecture) + ".";
  writer->SetString("general.architecture", shape.architecture);
  writer->SetString("general.name", std::string("random weights, shape of ") + shape.name);
  writer->SetUint32(prefix + "context_length", 32768);
  writer->SetUint32(prefix + "embedding_length", shape.width);
  writer->SetUint32(prefix + "block_count", shape.layers);
  writer->SetUint32(prefix + "feed_forward_length", shape.ff);
  writer->SetUint32(prefix + "attention.head_count", shape.heads);
  writer->SetUint32(prefix + "attention.head_count_kv", shape.kv_heads);
  writer->SetFloat32(prefix + "attention.layer_norm_rms_epsilon", shape.epsilon);
  writer->SetFloat32(prefix + "rope.freq_base", shape.rope_base);
  writer->SetUint32(prefix + "rope.dimension_count", shape.width / shape.heads);
  writer->SetUint32(prefix + "vocab_size", shape.vocab);
  if (!shape.rope_sections.empty()) writer->SetInt32s(prefix + "rope.dimension_sections", shape.rope_sections);
}

// Weights of all tensors, or those of Q4_K_M: Q6_K for the output and, in half of the layers, for values and ffn_down.
struct Types {
  DType most = DType::kF16;
  bool mixed = false;
  DType Output() const { return mixed ? DType::kQ6_K : most; }
  DType Careful(uint32_t layer, uint32_t layers) const {
    const bool more = layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
    return mixed && more ? DType::kQ6_K : most;
  }
};

void AddTensors(const Shape& shape, const Types& types, RandomFile* file) {
  const uint64_t kv = uint64_t{shape.width} / shape.heads * shape.kv_heads;
  file->Add("token_embd.weight", types.Output(), {shape.width, shape.vocab});
  for (uint32_t layer = 0; layer < shape.layers; ++layer) {
    const std::string b = "blk." + std::to_string(layer) + ".";
    const DType careful = types.Careful(layer, shape.layers);
    file->Add(b + "attn_norm.weight", DType::kF32, {shape.width});
    struct Projection {
      const char* name;
      DType type;
      uint64_t rows;
    };
    for (const Projection& p : {Projection{"attn_q", types.most, shape.width}, Projection{"attn_k", types.most, kv},
                                Projection{"attn_v", careful, kv}}) {
      file->Add(b + p.name + ".weight", p.type, {shape.width, p.rows});
      if (shape.bias) file->Add(b + p.name + ".bias", DType::kF32, {p.rows});
    }
    file->Add(b + "attn_output.weight", types.most, {shape.width, shape.width});
    file->Add(b + "ffn_norm.weight", DType::kF32, {shape.width});
    file->Add(b + "ffn_gate.weight", types.most, {shape.width, shape.ff});
    file->Add(b + "ffn_up.weight", types.most, {shape.width, shape.ff});
    file->Add(b + "ffn_down.weight", careful, {shape.ff, shape.width});
  }
  file->Add("output_norm.weight", DType::kF32, {shape.width});
}

constexpr uint64_t kRepeatedRows = 64;

int Write(const Shape& shape, const char* path, const char* type) {
  Types types;
  types.mixed = type != nullptr && strcmp(type, "Q4_K_M") == 0;
  if (types.mixed) {
    types.most = DType::kQ4_K;
  } else if (type != nullptr) {
    if (!mote::DTypeFromName(type, &types.most)) {
      fprintf(stderr, "make_model: there is no type %s\n", type);
      return 2;
    }
  }
  RandomFile file(type == nullptr ? 0 : kRepeatedRows);
  AddHyperParams(shape, &file.writer());
  AddVocabulary(shape, &file.writer());
  AddTensors(shape, types, &file);
  return file.Write(path) ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<Shape> shapes = Shapes();
  for (const Shape& shape : shapes) {
    if ((argc == 3 || argc == 4) && strcmp(argv[1], shape.name) == 0) {
      return Write(shape, argv[2], argc == 4 ? argv[3] : nullptr);
    }
  }
  fprintf(stderr, "usage: make_model SHAPE OUT.gguf [TYPE], where SHAPE is one of");
  for (const Shape& shape : shapes) fprintf(stderr, " %s", shape.name);
  fprintf(stderr, "\n");
  return 2;
}
