// Writes a model with the shape of a real one and random weights: speed depends on shapes and types, not on values.
//
//   make_model SHAPE OUT.gguf        F16 weights, F32 norms; a vocabulary of the real size whose words mean nothing
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <algorithm>
#include <string>
#include <vector>

#include "engine/format/gguf_writer.h"
#include "quant/codec.h"
#include "quant/dtype.h"

namespace {

using mote::DType;
using mote::GgufWriter;
using mote::TensorInfo;

// The published config.json of each model. Both tie the output to the embedding.
struct Shape {
  const char* name;
  const char* architecture;
  uint32_t layers, width, heads, kv_heads, ff, vocab;
  float rope_base, epsilon;
  bool bias;
};
constexpr Shape kShapes[] = {
    {"llama3.2-1b", "llama", 16, 2048, 32, 8, 8192, 128256, 500000.0f, 1e-5f, false},
    {"qwen2.5-0.5b", "qwen2", 24, 896, 14, 2, 4864, 151936, 1000000.0f, 1e-6f, true},
};

// SPM: the three special tokens, bytes, then words.
void AddVocabulary(const Shape& shape, GgufWriter* writer) {
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  std::vector<int32_t> types = {2, 3, 3};
  for (int byte = 0; byte < 256; ++byte) {
    char text[8];
    snprintf(text, sizeof(text), "<0x%02X>", byte);
    tokens.push_back(text);
    types.push_back(6);
  }
  while (tokens.size() < shape.vocab) tokens.push_back("w" + std::to_string(tokens.size()));
  types.resize(tokens.size(), 1);
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
}

void Add(GgufWriter* writer, const std::string& name, DType type, uint64_t cols, uint64_t rows = 0) {
  TensorInfo info;
  info.name = name;
  info.type = type;
  info.num_dims = rows == 0 ? 1 : 2;
  info.shape[0] = cols;
  if (rows != 0) info.shape[1] = rows;
  writer->AddTensor(info);
}

void AddTensors(const Shape& shape, GgufWriter* writer) {
  const uint64_t kv = uint64_t{shape.width} / shape.heads * shape.kv_heads;
  Add(writer, "token_embd.weight", DType::kF16, shape.width, shape.vocab);
  for (uint32_t layer = 0; layer < shape.layers; ++layer) {
    const std::string b = "blk." + std::to_string(layer) + ".";
    Add(writer, b + "attn_norm.weight", DType::kF32, shape.width);
    const std::pair<const char*, uint64_t> projections[] = {{"attn_q", shape.width}, {"attn_k", kv}, {"attn_v", kv}};
    for (const auto& [name, rows] : projections) {
      Add(writer, b + name + ".weight", DType::kF16, shape.width, rows);
      if (shape.bias) Add(writer, b + name + ".bias", DType::kF32, rows);
    }
    Add(writer, b + "attn_output.weight", DType::kF16, shape.width, shape.width);
    Add(writer, b + "ffn_norm.weight", DType::kF32, shape.width);
    Add(writer, b + "ffn_gate.weight", DType::kF16, shape.width, shape.ff);
    Add(writer, b + "ffn_up.weight", DType::kF16, shape.width, shape.ff);
    Add(writer, b + "ffn_down.weight", DType::kF16, shape.ff, shape.width);
  }
  Add(writer, "output_norm.weight", DType::kF32, shape.width);
}

// About normal (the sum of four uniform numbers), of variance 1; the same everywhere.
class Random {
 public:
  float Next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    const uint64_t bits = state_ * 0x2545F4914F6CDD1Du;
    int32_t sum = 0;
    for (int i = 0; i < 4; ++i) sum += static_cast<int16_t>(bits >> (16 * i));
    return static_cast<float>(sum) * 2.64e-5f;  // 1 / (2^15 * sqrt(4 / 3))
  }

 private:
  uint64_t state_ = 0x9E3779B97F4A7C15u;
};

bool WriteValues(const TensorInfo& tensor, Random* random, FILE* file) {
  const bool norm = tensor.type == DType::kF32 && tensor.name.find("norm") != std::string::npos;
  const float mean = norm ? 1.0f : 0.0f;
  const float scale = tensor.num_dims == 1 ? 0.02f : 1 / sqrtf(static_cast<float>(tensor.cols()));
  std::vector<uint8_t> chunk;
  for (uint64_t at = 0; at < tensor.values();) {
    const uint64_t count = std::min<uint64_t>(tensor.values() - at, 1 << 16);
    const size_t bytes = tensor.type == DType::kF32 ? 4 : 2;
    chunk.resize(count * bytes);
    for (uint64_t i = 0; i < count; ++i) {
      const float value = mean + scale * random->Next();
      if (bytes == 4) {
        memcpy(&chunk[i * 4], &value, 4);
      } else {
        const uint16_t half = mote::F32ToF16(value);
        memcpy(&chunk[i * 2], &half, 2);
      }
    }
    if (fwrite(chunk.data(), 1, chunk.size(), file) != chunk.size()) return false;
    at += count;
  }
  const uint8_t zeros[GgufWriter::alignment()] = {};
  const size_t padding = (GgufWriter::alignment() - tensor.bytes % GgufWriter::alignment()) % GgufWriter::alignment();
  return fwrite(zeros, 1, padding, file) == padding;
}

int Write(const Shape& shape, const char* path) {
  GgufWriter writer;
  AddHyperParams(shape, &writer);
  AddVocabulary(shape, &writer);
  AddTensors(shape, &writer);
  const auto layout = writer.Finish();
  if (!layout.ok()) {
    fprintf(stderr, "make_model: %s\n", layout.status().message().c_str());
    return 1;
  }
  FILE* file = fopen(path, "wb");
  bool ok = file != nullptr && fwrite(layout->header.data(), 1, layout->header.size(), file) == layout->header.size();
  Random random;
  for (const TensorInfo& tensor : layout->tensors) ok = ok && WriteValues(tensor, &random, file);
  if (file != nullptr) ok = fclose(file) == 0 && ok;
  if (!ok) {
    perror(path);
    return 1;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  for (const Shape& shape : kShapes) {
    if (argc == 3 && strcmp(argv[1], shape.name) == 0) return Write(shape, argv[2]);
  }
  fprintf(stderr, "usage: make_model SHAPE OUT.gguf, where SHAPE is one of");
  for (const Shape& shape : kShapes) fprintf(stderr, " %s", shape.name);
  fprintf(stderr, "\n");
  return 2;
}
