// Small models of every family with random weights, as GGUF files in memory: for tests of the engine and, written to
// disk by tests/peers, for comparison with other engines. The numbers mean nothing; shapes, names and metadata are
// those that converters write.
#ifndef MOTE_TESTS_SUPPORT_TINY_MODEL_H_
#define MOTE_TESTS_SUPPORT_TINY_MODEL_H_

#include <stdint.h>

#include <string>
#include <utility>
#include <vector>

#include "quant/dtype.h"
#include "tests/support/tiny_file.h"

namespace mote::testing {

struct TinyModelOptions {
  std::string architecture = "llama";
  DType type = DType::kF32;                                // of the matrices
  std::vector<std::pair<std::string, DType>> other_types;  // of those whose names end so
  uint32_t layers = 2;
  uint32_t width = 256;
  uint32_t heads = 8;
  uint32_t kv_heads = 4;
  uint32_t head_dim = 32;
  uint32_t ff = 512;
  std::vector<int32_t> layer_ff;  // of each layer, where they differ (not of experts)
  uint32_t experts = 0;           // set by qwen3moe
  uint32_t context = 2048;
  uint32_t window = 0;
  std::string rope_scaling;            // "", "linear", "yarn", "llama3" (rope_freqs tensor), "longrope"
  std::vector<int32_t> rope_sections;  // of qwen2vl and qwen3vl: pairs for time, height, width, and a spare 0
  uint32_t deepstack = 0;              // qwen3vl: layers to which the picture's features are added
  // Markers, the vocabulary's last tokens: text and kind (3: control, 4: matched in any text). None: spaces before
  // words.
  std::vector<std::pair<std::string, int32_t>> markers;
  uint64_t seed = 1;
};

class TinyModel : private TinyFile {
 public:
  explicit TinyModel(const TinyModelOptions& options)
      : TinyFile(options.type, options.seed, options.other_types), o_(options) {}

  // Empty if the options do not make a file (a type whose block does not divide the columns).
  std::vector<uint8_t> Make() {
    AddVocabulary();
    AddHyperParams();
    AddTensors();
    return Bytes();
  }

 private:
  std::string Key(const char* key) const { return o_.architecture + "." + key; }
  bool Is(const char* architecture) const { return o_.architecture == architecture; }

  // SPM with bytes, letters, and a few pieces: enough for any text to have tokens.
  void AddVocabulary() {
    std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
    std::vector<int32_t> types = {2, 3, 3};
    const char* hex = "0123456789ABCDEF";
    for (int i = 0; i < 256; ++i) {
      tokens.push_back(std::string("<0x") + hex[i / 16] + hex[i % 16] + ">");
      types.push_back(6);
    }
    const size_t normal = tokens.size();
    const std::string space = "\xE2\x96\x81";
    tokens.push_back(space);
    for (char c = 'a'; c <= 'z'; ++c) tokens.push_back(std::string(1, c));
    for (char c = 'a'; c <= 'z'; ++c) tokens.push_back(space + c);
    for (const char* pair : {"th", "he", "in", "er", "an", "re", "on", "at"}) tokens.push_back(pair);
    while (tokens.size() < kVocab - o_.markers.size()) tokens.push_back("w" + std::to_string(tokens.size()));
    types.resize(tokens.size(), 1);
    for (const auto& [text, type] : o_.markers) {
      tokens.push_back(text);
      types.push_back(type);
    }
    std::vector<float> scores(tokens.size(), 0.0f);
    for (size_t i = normal; i < tokens.size(); ++i) scores[i] = -static_cast<float>(i);
    writer_.SetString("tokenizer.ggml.model", "llama");
    writer_.SetStrings("tokenizer.ggml.tokens", tokens);
    writer_.SetFloats("tokenizer.ggml.scores", scores);
    writer_.SetInt32s("tokenizer.ggml.token_type", types);
    writer_.SetUint32("tokenizer.ggml.bos_token_id", 1);
    writer_.SetUint32("tokenizer.ggml.eos_token_id", 2);
    writer_.SetUint32("tokenizer.ggml.unknown_token_id", 0);
    if (!o_.markers.empty()) writer_.SetBool("tokenizer.ggml.add_space_prefix", false);
  }

  void AddHyperParams() {
    writer_.SetString("general.architecture", o_.architecture);
    writer_.SetString("general.name", "tiny random model");  // some engines look for families' names in here
    writer_.SetUint32(Key("context_length"), o_.context);
    writer_.SetUint32(Key("embedding_length"), o_.width);
    writer_.SetUint32(Key("block_count"), o_.layers);
    if (o_.layer_ff.empty()) {
      writer_.SetUint32(Key("feed_forward_length"), o_.ff);
    } else {
      writer_.SetInt32s(Key("feed_forward_length"), o_.layer_ff);
    }
    writer_.SetUint32(Key("attention.head_count"), o_.heads);
    writer_.SetUint32(Key("attention.head_count_kv"), o_.kv_heads);
    writer_.SetFloat32(Key("attention.layer_norm_rms_epsilon"), 1e-5f);
    writer_.SetUint32(Key("attention.key_length"), o_.head_dim);
    writer_.SetUint32(Key("attention.value_length"), o_.head_dim);
    writer_.SetUint32(Key("rope.dimension_count"), o_.head_dim);
    writer_.SetFloat32(Key("rope.freq_base"), 10000.0f);
    writer_.SetUint32(Key("vocab_size"), kVocab);
    if (o_.window != 0 || Is("gemma3"))
      writer_.SetUint32(Key("attention.sliding_window"), o_.window == 0 ? 64 : o_.window);
    if (o_.rope_scaling == "linear" || o_.rope_scaling == "yarn") {
      writer_.SetString(Key("rope.scaling.type"), o_.rope_scaling);
      writer_.SetFloat32(Key("rope.scaling.factor"), 4.0f);
      writer_.SetUint32(Key("rope.scaling.original_context_length"), o_.context / 4);
    } else if (o_.rope_scaling == "longrope") {
      writer_.SetString(Key("rope.scaling.type"), "longrope");
      writer_.SetUint32(Key("rope.scaling.original_context_length"), o_.context / 4);
      writer_.SetFloat32(Key("rope.scaling.attn_factor"), 1.19f);
    }
    if (!o_.rope_sections.empty()) writer_.SetInt32s(Key("rope.dimension_sections"), o_.rope_sections);
    if (o_.deepstack != 0) writer_.SetUint32(Key("n_deepstack_layers"), o_.deepstack);
    if (Is("qwen3moe")) {
      if (o_.experts == 0) o_.experts = 8;
      writer_.SetUint32(Key("expert_count"), o_.experts);
      writer_.SetUint32(Key("expert_used_count"), 2);
      writer_.SetUint32(Key("expert_feed_forward_length"), o_.ff);
    }
  }

  void AddTensors() {
    Matrix("token_embd.weight", kVocab, o_.width);
    if (o_.rope_scaling == "llama3") Vector("rope_freqs.weight", o_.head_dim / 2, 4.0f, 3.0f);
    if (o_.rope_scaling == "longrope") {
      Vector("rope_factors_long.weight", o_.head_dim / 2, 4.0f, 3.0f);
      Vector("rope_factors_short.weight", o_.head_dim / 2, 1.5f, 0.5f);
    }
    for (uint32_t i = 0; i < o_.layers; ++i) AddLayer("blk." + std::to_string(i) + ".", FfOf(i));
    Norm("output_norm.weight", o_.width);
    if (Is("llama") || Is("phi3") || Is("qwen3moe")) Matrix("output.weight", kVocab, o_.width);
  }

  uint32_t FfOf(uint32_t layer) const {
    return layer < o_.layer_ff.size() ? static_cast<uint32_t>(o_.layer_ff[layer]) : o_.ff;
  }

  void AddLayer(const std::string& b, uint32_t ff) {
    const uint64_t q = uint64_t{o_.heads} * o_.head_dim;
    const uint64_t kv = uint64_t{o_.kv_heads} * o_.head_dim;
    Norm(b + "attn_norm.weight", o_.width);
    if (Is("phi3")) {
      Matrix(b + "attn_qkv.weight", q + 2 * kv, o_.width);
    } else {
      Matrix(b + "attn_q.weight", q, o_.width);
      Matrix(b + "attn_k.weight", kv, o_.width);
      Matrix(b + "attn_v.weight", kv, o_.width);
    }
    if (Is("qwen2") || Is("qwen2vl")) {
      Vector(b + "attn_q.bias", q, 0.0f, 0.5f);
      Vector(b + "attn_k.bias", kv, 0.0f, 0.5f);
      Vector(b + "attn_v.bias", kv, 0.0f, 0.5f);
    }
    if (Is("qwen3") || Is("qwen3vl") || Is("qwen3moe") || Is("gemma3")) {
      Norm(b + "attn_q_norm.weight", o_.head_dim);
      Norm(b + "attn_k_norm.weight", o_.head_dim);
    }
    Matrix(b + "attn_output.weight", o_.width, q);
    if (Is("gemma3")) {
      Norm(b + "post_attention_norm.weight", o_.width);
      Norm(b + "post_ffw_norm.weight", o_.width);
    }
    Norm(b + "ffn_norm.weight", o_.width);
    if (Is("qwen3moe")) {
      Matrix(b + "ffn_gate_inp.weight", o_.experts, o_.width, 1, DType::kF32);  // routers are never quantised
      Matrix(b + "ffn_gate_exps.weight", o_.ff, o_.width, o_.experts);
      Matrix(b + "ffn_up_exps.weight", o_.ff, o_.width, o_.experts);
      Matrix(b + "ffn_down_exps.weight", o_.width, o_.ff, o_.experts);
    } else if (Is("phi3")) {
      Matrix(b + "ffn_up.weight", 2 * uint64_t{ff}, o_.width);
      Matrix(b + "ffn_down.weight", o_.width, ff);
    } else {
      Matrix(b + "ffn_gate.weight", ff, o_.width);
      Matrix(b + "ffn_up.weight", ff, o_.width);
      Matrix(b + "ffn_down.weight", o_.width, ff);
    }
  }

  static constexpr uint32_t kVocab = 512;
  TinyModelOptions o_;
};

inline std::vector<uint8_t> MakeTinyModel(const TinyModelOptions& options) {
  return TinyModel(options).Make();
}

}  // namespace mote::testing

#endif  // MOTE_TESTS_SUPPORT_TINY_MODEL_H_
