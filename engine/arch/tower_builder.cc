#include "engine/arch/tower_builder.h"

#include <math.h>

namespace mote {

const TensorInfo* TowerBuilder::Find(const std::string& name) {
  const TensorInfo* tensor = file_.FindTensor(name);
  if (tensor == nullptr) {
    Fail(
        Error(Code::kNotFound, "no tensor %s, which projector %s needs", name.c_str(), params_.projector_name.c_str()));
  }
  return tensor;
}

WeightId TowerBuilder::Matrix(const std::string& name, uint64_t rows, uint64_t cols) {
  const TensorInfo* tensor = Find(name);
  return tensor == nullptr ? kNone : graph_.AddWeight(tensor, rows, cols);
}

ValueId TowerBuilder::Patches() {
  const uint32_t floats = params_.patch_floats();
  const TensorInfo* filters = Find("v.patch_embd.weight");
  if (filters == nullptr) return kNone;
  const ValueId pixels = graph_.Input(0, floats);
  const WeightId bias = OptionalVector("v.patch_embd.bias", params_.width);
  ValueId x = graph_.MatMul(pixels, graph_.AddWeightReshaped(filters, params_.width, floats), bias);
  // Towers for film take two frames at a time; a still image is both of them.
  if (const TensorInfo* second = file_.FindTensor("v.patch_embd.weight.1"); second != nullptr) {
    x = graph_.Add(x, graph_.MatMul(pixels, graph_.AddWeightReshaped(second, params_.width, floats)));
  }
  return params_.learned_positions ? graph_.AddInput(x, floats) : x;
}

ValueId TowerBuilder::Norm(ValueId x, const std::string& name, bool rms, float epsilon) {
  if (!status().ok()) return kNone;
  const uint32_t cols = graph_.value(x).cols;
  const WeightId weight = Vector(name + ".weight", cols);
  if (epsilon == 0) epsilon = params_.epsilon;
  if (rms) return graph_.RmsNorm(x, weight, epsilon);
  return graph_.LayerNorm(x, weight, OptionalVector(name + ".bias", cols), epsilon);
}

ValueId TowerBuilder::Linear(ValueId x, const std::string& name, uint64_t rows) {
  if (!status().ok()) return kNone;
  return graph_.MatMul(x, Matrix(name + ".weight", rows, graph_.value(x).cols), OptionalVector(name + ".bias", rows));
}

ValueId TowerBuilder::LinearTransposed(ValueId x, const std::string& name, uint64_t rows) {
  if (!status().ok()) return kNone;
  const TensorInfo* tensor = Find(name + ".weight");
  return tensor == nullptr ? kNone : graph_.MatMul(x, graph_.AddWeightTransposed(tensor, rows, graph_.value(x).cols));
}

ValueId TowerBuilder::Mlp(ValueId x, const std::string& up, const std::string& down, uint64_t hidden, uint64_t out) {
  const ValueId h = Linear(x, up, hidden);
  return status().ok() ? Linear(graph_.Activate(h, Activation::kGelu), down, out) : kNone;
}

ValueId TowerBuilder::Attention(ValueId x, uint32_t layer, const Style& style) {
  const std::string block = "v.blk." + std::to_string(layer) + ".";
  const uint64_t width = params_.width;
  const uint32_t head_dim = params_.width / params_.heads;
  ValueId parts[3];
  if (const TensorInfo* fused = file_.FindTensor(block + "attn_qkv.weight"); fused != nullptr) {
    const TensorInfo* bias = file_.FindTensor(block + "attn_qkv.bias");
    for (uint64_t i = 0; i < 3; ++i) {
      const WeightId weight = graph_.AddWeightSlice(fused, i * width, width, width);
      parts[i] = graph_.MatMul(x, weight, bias == nullptr ? kNone : graph_.AddVectorSlice(bias, i * width, width));
    }
  } else {
    const char* names[3] = {"attn_q", "attn_k", "attn_v"};
    for (size_t i = 0; i < 3; ++i) parts[i] = Linear(x, block + names[i], width);
  }
  if (Has(block + "attn_q_norm.weight")) {
    for (size_t i = 0; i < 2; ++i) {
      parts[i] = Norm(parts[i], block + (i == 0 ? "attn_q_norm" : "attn_k_norm"), /*rms=*/true);
    }
  }
  if (!status().ok()) return kNone;
  if (style.rope != kNone) {
    for (size_t i = 0; i < 2; ++i) parts[i] = graph_.Rope(parts[i], style.rope, head_dim);
  }
  AttentionParams attention;
  attention.heads = params_.heads;
  attention.kv_heads = params_.heads;
  attention.key_dim = head_dim;
  attention.value_dim = head_dim;
  attention.scale = static_cast<float>(1.0 / sqrt(static_cast<double>(head_dim)));
  attention.transient = true;
  const bool windowed = params_.window_pattern != 0 && (layer + 1) % params_.window_pattern != 0;
  attention.sight = windowed ? kSightWindow : kSightView;
  return Linear(graph_.Attention(parts[0], parts[1], parts[2], attention), block + "attn_out", width);
}

ValueId TowerBuilder::FeedForward(ValueId x, const std::string& block, const Style& style) {
  std::string up = block + "ffn_up";
  std::string down = block + "ffn_down";
  const TensorInfo* last = Find(down + ".weight");
  if (last == nullptr) return kNone;
  if (style.swaps && last->cols() == params_.width && params_.ff != params_.width) std::swap(up, down);
  ValueId hidden;
  if (Has(block + "ffn_gate.weight")) {
    const ValueId gate = Linear(x, block + "ffn_gate", params_.ff);
    hidden = graph_.Gate(gate, Linear(x, up, params_.ff), params_.activation);
  } else {
    hidden = graph_.Activate(Linear(x, up, params_.ff), params_.activation);
  }
  return status().ok() ? Linear(hidden, down, params_.width) : kNone;
}

ValueId TowerBuilder::Block(ValueId x, uint32_t layer, const Style& style) {
  const std::string block = "v.blk." + std::to_string(layer) + ".";
  ValueId h = Attention(Norm(x, block + "ln1", style.rms_norm), layer, style);
  if (Has(block + "ls1.weight")) h = graph_.MulVector(h, Vector(block + "ls1.weight", params_.width));
  if (!status().ok()) return kNone;
  x = graph_.Add(x, h);
  h = FeedForward(Norm(x, block + "ln2", style.rms_norm), block, style);
  if (Has(block + "ls2.weight")) h = graph_.MulVector(h, Vector(block + "ls2.weight", params_.width));
  return status().ok() ? graph_.Add(x, h) : kNone;
}

ValueId TowerBuilder::Blocks(ValueId x, uint32_t layers, const Style& style) {
  for (uint32_t layer = 0; layer < layers && status().ok(); ++layer) x = Block(x, layer, style);
  return x;
}

RopeId TowerBuilder::RowColumnRope(RopeTable::Layout layout, bool frequencies_interleaved) {
  // Of the d / 2 pairs of a head the first half turns by row, the second by column.
  RopeTable table;
  table.layout = layout;
  const uint32_t dims = params_.width / params_.heads;
  const uint32_t half = dims / 4;
  for (uint32_t i = 0; i < 2 * half; ++i) {
    const bool column = i >= half;
    // Both halves with the frequencies of d / 2 dimensions; or the even ones of d dimensions for rows, the odd ones for
    // columns.
    const double step = frequencies_interleaved ? 2.0 * (i % half) + (column ? 1 : 0) : 2.0 * (i % half);
    table.inverse_frequency.push_back(static_cast<float>(pow(10000.0, -2.0 * step / dims)));
    table.axis.push_back(column ? 1 : 0);
  }
  return graph_.AddRope(std::move(table));
}

}  // namespace mote
