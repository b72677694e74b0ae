// A decoder in double precision, written straight from the papers and model cards, one token at a time, no cache
// tricks: the oracle for graphs, plans, kernels and batching together. It shares with the engine the GGUF reader and
// the scalar block decoders, which have oracles of their own.
#ifndef MOTE_TESTS_RUN_REFERENCE_MODEL_H_
#define MOTE_TESTS_RUN_REFERENCE_MODEL_H_

#include <math.h>

#include <algorithm>
#include <string>
#include <vector>

#include "engine/format/gguf.h"
#include "quant/codec.h"
#include "tests/support/tiny_model.h"

namespace mote::testing {

using Row = std::vector<double>;

class ReferenceModel {
 public:
  ReferenceModel(const GgufFile& file, const TinyModelOptions& options) : file_(file), o_(options) {
    if (o_.architecture == "qwen3moe") experts_ = o_.experts == 0 ? 8 : o_.experts;
    keys_.resize(o_.layers);
    values_.resize(o_.layers);
  }

  // Logits after `token`, which stands at the next position.
  Row Step(int32_t token) {
    return Multiply(file_.FindTensor("output.weight") != nullptr ? "output.weight" : "token_embd.weight",
                    Hidden(token));
  }
  // What the head reads for them: the state after the last norm.
  Row Hidden(int32_t token) {
    const bool gemma = o_.architecture == "gemma3";
    Row x = MatrixRow("token_embd.weight", static_cast<uint64_t>(token));
    if (gemma) Scale(&x, sqrt(static_cast<double>(o_.width)));
    for (uint32_t layer = 0; layer < o_.layers; ++layer) {
      layer_ = layer;
      Row attended = Attention(Norm(x, Name("attn_norm.weight")));
      if (gemma) attended = Norm(attended, Name("post_attention_norm.weight"));
      Add(&x, attended);
      Row hidden = FeedForward(Norm(x, Name("ffn_norm.weight")));
      if (gemma) hidden = Norm(hidden, Name("post_ffw_norm.weight"));
      Add(&x, hidden);
    }
    ++position_;
    return Norm(x, "output_norm.weight");
  }

 private:
  std::string Name(const char* suffix) const { return "blk." + std::to_string(layer_) + "." + suffix; }
  static void Scale(Row* x, double factor) {
    for (double& v : *x) v *= factor;
  }
  static void Add(Row* x, const Row& y) {
    for (size_t i = 0; i < x->size(); ++i) (*x)[i] += y[i];
  }

  Row MatrixRow(const std::string& name, uint64_t row) const {
    const TensorInfo& tensor = *file_.FindTensor(name);
    const size_t row_bytes = RowBytes(tensor.type, tensor.cols());
    std::vector<float> decoded(tensor.cols());
    DecodeRow(tensor.type, file_.TensorBytes(tensor)->data() + row * row_bytes, decoded.data(), tensor.cols());
    return Row(decoded.begin(), decoded.end());
  }
  Row Multiply(const std::string& name, const Row& x, uint64_t begin = 0, uint64_t rows = 0) const {
    if (rows == 0) rows = file_.FindTensor(name)->rows();
    Row y(rows);
    for (uint64_t r = 0; r < rows; ++r) {
      const Row w = MatrixRow(name, begin + r);
      for (size_t i = 0; i < x.size(); ++i) y[r] += w[i] * x[i];
    }
    return y;
  }
  Row Norm(const Row& x, const std::string& weight) const {
    const Row w = MatrixRow(weight, 0);
    double sum = 0;
    for (const double v : x) sum += v * v;
    Row y(x.size());
    for (size_t i = 0; i < x.size(); ++i) y[i] = x[i] / sqrt(sum / static_cast<double>(x.size()) + 1e-5) * w[i];
    return y;
  }

  // The frequency of pair i, and what rotated values are multiplied with.
  double Frequency(uint32_t i, double base, double* magnitude) const {
    const double dims = o_.head_dim;
    double frequency = pow(base, -2.0 * i / dims);
    *magnitude = 1;
    if (o_.rope_scaling == "linear") return frequency / 4.0;
    if (o_.rope_scaling == "llama3") return frequency / MatrixRow("rope_freqs.weight", 0)[i];
    if (o_.rope_scaling == "longrope") {
      *magnitude = static_cast<double>(1.19f);
      return frequency / MatrixRow(long_context ? "rope_factors_long.weight" : "rope_factors_short.weight", 0)[i];
    }
    if (o_.rope_scaling == "yarn") {
      const double context = o_.context / 4;
      const auto turns_at = [&](double turns) { return dims * log(context / (turns * 2 * M_PI)) / (2 * log(base)); };
      const double low = std::max(0.0, floor(turns_at(32)));
      const double high = std::min(dims - 1, ceil(turns_at(1)));
      const double ramp = std::clamp((i - low) / std::max(0.001, high - low), 0.0, 1.0);
      *magnitude = 1 + 0.1 * log(4.0);
      return frequency / 4.0 * ramp + frequency * (1 - ramp);
    }
    return frequency;
  }
  void Rotate(double* head, double base) const {
    const uint32_t pairs = o_.head_dim / 2;
    for (uint32_t i = 0; i < pairs; ++i) {
      double magnitude = 1;
      // Frequencies are float32 numbers in every engine; the angle is what large positions make sensitive.
      const double angle = position_ * static_cast<double>(static_cast<float>(Frequency(i, base, &magnitude)));
      double& a = o_.architecture == "llama" ? head[2 * i] : head[i];
      double& b = o_.architecture == "llama" ? head[2 * i + 1] : head[i + pairs];
      const double x = a, y = b;
      a = (x * cos(angle) - y * sin(angle)) * magnitude;
      b = (x * sin(angle) + y * cos(angle)) * magnitude;
    }
  }

  Row Attention(const Row& x) {
    const uint32_t d = o_.head_dim;
    const uint64_t q_rows = uint64_t{o_.heads} * d, kv_rows = uint64_t{o_.kv_heads} * d;
    Row q, k, v;
    if (o_.architecture == "phi3") {
      q = Multiply(Name("attn_qkv.weight"), x, 0, q_rows);
      k = Multiply(Name("attn_qkv.weight"), x, q_rows, kv_rows);
      v = Multiply(Name("attn_qkv.weight"), x, q_rows + kv_rows, kv_rows);
    } else {
      q = Multiply(Name("attn_q.weight"), x);
      k = Multiply(Name("attn_k.weight"), x);
      v = Multiply(Name("attn_v.weight"), x);
    }
    if (o_.architecture == "qwen2") {
      Add(&q, MatrixRow(Name("attn_q.bias"), 0));
      Add(&k, MatrixRow(Name("attn_k.bias"), 0));
      Add(&v, MatrixRow(Name("attn_v.bias"), 0));
    }
    const bool gemma = o_.architecture == "gemma3";
    const bool local = gemma && layer_ % 6 != 5;
    const bool head_norms = gemma || o_.architecture == "qwen3" || o_.architecture == "qwen3moe";
    for (Row* heads : {&q, &k}) {
      for (size_t h = 0; h < heads->size(); h += d) {
        if (head_norms) {
          const Row normed =
              Norm(Row(heads->begin() + static_cast<ptrdiff_t>(h), heads->begin() + static_cast<ptrdiff_t>(h + d)),
                   Name(heads == &q ? "attn_q_norm.weight" : "attn_k_norm.weight"));
          std::copy(normed.begin(), normed.end(), heads->begin() + static_cast<ptrdiff_t>(h));
        }
        Rotate(heads->data() + h, 10000.0);
      }
    }
    // The cache holds float16: part of the definition, not an error to be bounded.
    for (double& value : k) value = static_cast<double>(F16ToF32(F32ToF16(static_cast<float>(value))));
    for (double& value : v) value = static_cast<double>(F16ToF32(F32ToF16(static_cast<float>(value))));
    keys_[layer_].push_back(k);
    values_[layer_].push_back(v);
    const uint32_t window = gemma ? (local ? (o_.window == 0 ? 64 : o_.window) : 0) : o_.window;
    const size_t first = window != 0 && keys_[layer_].size() > window ? keys_[layer_].size() - window : 0;
    Row out(q_rows);
    for (uint32_t h = 0; h < o_.heads; ++h) {
      const size_t kv = h / (o_.heads / o_.kv_heads) * d;
      Row weights;
      double max = -INFINITY, sum = 0;
      for (size_t p = first; p < keys_[layer_].size(); ++p) {
        double dot = 0;
        for (uint32_t i = 0; i < d; ++i) dot += q[h * d + i] * keys_[layer_][p][kv + i];
        weights.push_back(dot / sqrt(static_cast<double>(d)));
        max = std::max(max, weights.back());
      }
      for (double& w : weights) sum += w = exp(w - max);
      for (size_t p = 0; p < weights.size(); ++p) {
        for (uint32_t i = 0; i < d; ++i) out[h * d + i] += weights[p] / sum * values_[layer_][first + p][kv + i];
      }
    }
    return Multiply(Name("attn_output.weight"), out);
  }

  Row Gated(const Row& gate, const Row& up) const {
    Row y(gate.size());
    for (size_t i = 0; i < y.size(); ++i) {
      const double g = gate[i];
      const double activated = o_.architecture == "gemma3"
                                   ? 0.5 * g * (1 + tanh(sqrt(2 / M_PI) * (g + 0.044715 * g * g * g)))
                                   : g / (1 + exp(-g));
      y[i] = activated * up[i];
    }
    return y;
  }

  Row FeedForward(const Row& x) const {
    const uint64_t ff = o_.ff;
    if (o_.architecture == "phi3") {
      return Multiply(Name("ffn_down.weight"),
                      Gated(Multiply(Name("ffn_up.weight"), x, 0, ff), Multiply(Name("ffn_up.weight"), x, ff, ff)));
    }
    if (experts_ == 0) {
      return Multiply(Name("ffn_down.weight"),
                      Gated(Multiply(Name("ffn_gate.weight"), x), Multiply(Name("ffn_up.weight"), x)));
    }
    Row router = Multiply(Name("ffn_gate_inp.weight"), x);
    double sum = 0;
    for (double& r : router) sum += r = exp(r);
    std::vector<uint32_t> order(experts_);
    for (uint32_t e = 0; e < experts_; ++e) order[e] = e;
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return router[a] > router[b]; });
    const double chosen = router[order[0]] + router[order[1]];
    Row y(o_.width);
    for (uint32_t i = 0; i < 2; ++i) {
      const uint32_t e = order[i];
      Row out = Multiply(Name("ffn_down_exps.weight"),
                         Gated(Multiply(Name("ffn_gate_exps.weight"), x, e * ff, ff),
                               Multiply(Name("ffn_up_exps.weight"), x, e * ff, ff)),
                         e * uint64_t{o_.width}, o_.width);
      Scale(&out, router[e] / chosen);
      Add(&y, out);
    }
    return y;
  }

 public:
  bool long_context = false;  // LongRoPE: which factors

 private:
  const GgufFile& file_;
  TinyModelOptions o_;
  uint32_t experts_ = 0;
  uint32_t layer_ = 0;
  double position_ = 0;
  std::vector<std::vector<Row>> keys_, values_;  // per layer, per position
};

}  // namespace mote::testing

#endif  // MOTE_TESTS_RUN_REFERENCE_MODEL_H_
