#include "engine/arch/decoder.h"

#include <math.h>

namespace mote {

std::string Decoder::Name(uint32_t layer, const char* suffix) {
  return "blk." + std::to_string(layer) + "." + suffix;
}

WeightId Decoder::Matrix(const std::string& name, uint64_t rows, uint64_t cols) {
  const TensorInfo* tensor = input_.file.FindTensor(name);
  if (tensor == nullptr) {
    Fail(
        Error(Code::kNotFound, "no tensor %s, which architecture %s needs", name.c_str(), hyper_.architecture.c_str()));
    return kNone;
  }
  return graph_.AddWeight(tensor, rows, cols);
}

ValueId Decoder::Embed(float scale) {
  const WeightId table = Matrix("token_embd.weight", hyper_.vocab_size, hyper_.width);
  return status().ok() ? graph_.Embed(table, scale) : kNone;
}

void Decoder::SelectAfterLastAttention(uint32_t layer, ValueId* residual, ValueId* attended) {
  if (layer + 1 != hyper_.layers) return;
  *residual = graph_.SelectOutputs(*residual);
  *attended = graph_.SelectOutputs(*attended);
}

void Decoder::Finish(ValueId x, float softcap) {
  if (!status().ok()) return;
  x = graph_.RmsNorm(x, Vector("output_norm.weight", hyper_.width), hyper_.norm_epsilon);
  x = graph_.TakeHidden(x);
  const char* head = HasTensor("output.weight") ? "output.weight" : "token_embd.weight";
  const WeightId bias = OptionalVector("output.bias", hyper_.vocab_size);
  ValueId logits = graph_.MatMul(x, Matrix(head, hyper_.vocab_size, hyper_.width), bias);
  if (softcap > 0) logits = graph_.Softcap(logits, softcap);
  graph_.SetResult(logits);
}

ValueId Decoder::Norm(ValueId x, uint32_t layer, const char* suffix) {
  return graph_.RmsNorm(x, Vector(Name(layer, suffix), hyper_.width), hyper_.norm_epsilon);
}

Decoder::Qkv Decoder::ProjectQkv(ValueId x, uint32_t layer) {
  const uint64_t q_rows = uint64_t{hyper_.heads[layer]} * hyper_.key_dim;
  const uint64_t k_rows = uint64_t{hyper_.kv_heads[layer]} * hyper_.key_dim;
  const uint64_t v_rows = uint64_t{hyper_.kv_heads[layer]} * hyper_.value_dim;
  const std::string fused = Name(layer, "attn_qkv.weight");
  if (const TensorInfo* tensor = input_.file.FindTensor(fused); tensor != nullptr) {
    if (tensor->rows() != q_rows + k_rows + v_rows) {
      Fail(Error(Code::kMalformed, "tensor %s has %llu rows, expected %llu", fused.c_str(),
                 static_cast<unsigned long long>(tensor->rows()),
                 static_cast<unsigned long long>(q_rows + k_rows + v_rows)));
      return {kNone, kNone, kNone};
    }
    if (HasTensor(Name(layer, "attn_qkv.bias"))) {
      Fail(Error(Code::kUnsupported, "tensor %s: a bias of fused queries, keys and values is not supported",
                 Name(layer, "attn_qkv.bias").c_str()));
    }
    const WeightId q = graph_.AddWeightSlice(tensor, 0, q_rows, hyper_.width);
    const WeightId k = graph_.AddWeightSlice(tensor, q_rows, k_rows, hyper_.width);
    const WeightId v = graph_.AddWeightSlice(tensor, q_rows + k_rows, v_rows, hyper_.width);
    return {graph_.MatMul(x, q), graph_.MatMul(x, k), graph_.MatMul(x, v)};
  }
  if (!HasTensor(Name(layer, "attn_q.weight"))) {
    Fail(Error(Code::kNotFound, "no tensor %s, nor %s with queries, keys and values in one",
               Name(layer, "attn_q.weight").c_str(), fused.c_str()));
    return {kNone, kNone, kNone};
  }
  const WeightId q = Matrix(Name(layer, "attn_q.weight"), q_rows, hyper_.width);
  const WeightId k = Matrix(Name(layer, "attn_k.weight"), k_rows, hyper_.width);
  const WeightId v = Matrix(Name(layer, "attn_v.weight"), v_rows, hyper_.width);
  const WeightId q_bias = OptionalVector(Name(layer, "attn_q.bias"), q_rows);
  const WeightId k_bias = OptionalVector(Name(layer, "attn_k.bias"), k_rows);
  const WeightId v_bias = OptionalVector(Name(layer, "attn_v.bias"), v_rows);
  return {graph_.MatMul(x, q, q_bias), graph_.MatMul(x, k, k_bias), graph_.MatMul(x, v, v_bias)};
}

Decoder::Qkv Decoder::NormHeads(Qkv qkv, uint32_t layer) {
  const WeightId q = Vector(Name(layer, "attn_q_norm.weight"), hyper_.key_dim);
  const WeightId k = Vector(Name(layer, "attn_k_norm.weight"), hyper_.key_dim);
  return {graph_.RmsNormHeads(qkv.q, q, hyper_.key_dim, hyper_.norm_epsilon),
          graph_.RmsNormHeads(qkv.k, k, hyper_.key_dim, hyper_.norm_epsilon), qkv.v};
}

Decoder::Qkv Decoder::Rotate(Qkv qkv, RopeId rope) {
  return {graph_.Rope(qkv.q, rope, hyper_.key_dim), graph_.Rope(qkv.k, rope, hyper_.key_dim), qkv.v};
}

ValueId Decoder::Attend(Qkv qkv, uint32_t layer, float scale, uint32_t window) {
  AttentionParams params;
  params.layer = layer;
  params.heads = hyper_.heads[layer];
  params.kv_heads = hyper_.kv_heads[layer];
  params.key_dim = hyper_.key_dim;
  params.value_dim = hyper_.value_dim;
  params.scale = scale != 0 ? scale : static_cast<float>(1.0 / sqrt(static_cast<double>(hyper_.key_dim)));
  params.window = window;
  const ValueId attended = graph_.Attention(qkv.q, qkv.k, qkv.v, params);
  const WeightId out =
      Matrix(Name(layer, "attn_output.weight"), hyper_.width, uint64_t{params.heads} * params.value_dim);
  return graph_.MatMul(attended, out, OptionalVector(Name(layer, "attn_output.bias"), hyper_.width));
}

ValueId Decoder::GatedFfn(ValueId x, uint32_t layer, Activation activation) {
  const uint64_t ff = hyper_.ff[layer];
  const std::string up_name = Name(layer, "ffn_up.weight");
  ValueId gate = kNone;
  ValueId up = kNone;
  if (HasTensor(Name(layer, "ffn_gate.weight"))) {
    gate = graph_.MatMul(x, Matrix(Name(layer, "ffn_gate.weight"), ff, hyper_.width),
                         OptionalVector(Name(layer, "ffn_gate.bias"), ff));
    up = graph_.MatMul(x, Matrix(up_name, ff, hyper_.width), OptionalVector(Name(layer, "ffn_up.bias"), ff));
  } else if (const TensorInfo* both = input_.file.FindTensor(up_name); both != nullptr && both->rows() == 2 * ff) {
    gate = graph_.MatMul(x, graph_.AddWeightSlice(both, 0, ff, hyper_.width));
    up = graph_.MatMul(x, graph_.AddWeightSlice(both, ff, ff, hyper_.width));
  } else {
    Fail(Error(Code::kNotFound, "no tensor %s, and %s does not hold both gate and up (%llu rows)",
               Name(layer, "ffn_gate.weight").c_str(), up_name.c_str(), static_cast<unsigned long long>(2 * ff)));
    return kNone;
  }
  const ValueId hidden = graph_.Gate(gate, up, activation);
  return graph_.MatMul(hidden, Matrix(Name(layer, "ffn_down.weight"), hyper_.width, ff),
                       OptionalVector(Name(layer, "ffn_down.bias"), hyper_.width));
}

ValueId Decoder::MoeFfn(ValueId x, uint32_t layer, bool normalize) {
  const Result<uint64_t> experts = UintKey("expert_count", 0);
  const Result<uint64_t> used = UintKey("expert_used_count", 0);
  const Result<uint64_t> ff = UintKey("expert_feed_forward_length", hyper_.ff[layer]);
  const Result<double> weight_scale = FloatKey("expert_weights_scale", 0);
  for (const Status& s : {experts.status(), used.status(), ff.status(), weight_scale.status()}) {
    if (!s.ok()) return Fail(s), kNone;
  }
  // 1024 experts and 2^22 columns keep every product below in 64 bits.
  if (*experts == 0 || *experts > 1024 || *used == 0 || *used > *experts || *ff == 0 || *ff > (1u << 22)) {
    Fail(Error(Code::kMalformed,
               "%s: %llu experts of %llu columns, %llu used per token: expected 1 <= used <= experts <= 1024",
               hyper_.architecture.c_str(), static_cast<unsigned long long>(*experts),
               static_cast<unsigned long long>(*ff), static_cast<unsigned long long>(*used)));
    return kNone;
  }
  if (!(*weight_scale >= 0 && *weight_scale <= 1e6)) {
    Fail(Error(Code::kMalformed, "%s.expert_weights_scale is %g, expected 0 (none) to 1e6", hyper_.architecture.c_str(),
               *weight_scale));
    return kNone;
  }
  MoeParams params;
  params.experts = static_cast<uint32_t>(*experts);
  params.used = static_cast<uint32_t>(*used);
  params.normalize = normalize;
  params.weight_scale = *weight_scale == 0 ? 1.0f : static_cast<float>(*weight_scale);
  const WeightId router = Matrix(Name(layer, "ffn_gate_inp.weight"), *experts, hyper_.width);
  const WeightId gate = Matrix(Name(layer, "ffn_gate_exps.weight"), *experts * *ff, hyper_.width);
  const WeightId up = Matrix(Name(layer, "ffn_up_exps.weight"), *experts * *ff, hyper_.width);
  const WeightId down = Matrix(Name(layer, "ffn_down_exps.weight"), *experts * hyper_.width, *ff);
  return graph_.Moe(x, router, gate, up, down, params);
}

Result<double> Decoder::FloatKey(const char* key, double fallback) const {
  return input_.file.FloatOr(hyper_.architecture + "." + key, fallback);
}

Result<uint64_t> Decoder::UintKey(const char* key, uint64_t fallback) const {
  return input_.file.UintOr(hyper_.architecture + "." + key, fallback);
}

}  // namespace mote
