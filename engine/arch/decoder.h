// Parts that decoder families are made of. A family's file puts them together; nothing here knows a family.
#ifndef MOTE_ENGINE_ARCH_DECODER_H_
#define MOTE_ENGINE_ARCH_DECODER_H_

#include <stdint.h>

#include <string>
#include <utility>
#include <vector>

#include "engine/arch/arch.h"

namespace mote {

// Appends to a Graph with the names that GGUF gives to tensors ("blk.7.attn_q.weight"). A missing tensor makes status()
// kNotFound with its name; the first failure sticks and the rest is harmless.
class Decoder {
 public:
  Decoder(const BuildInput& input, Graph* graph) : input_(input), hyper_(input.hyper), graph_(*graph) {}

  Status status() const { return status_.ok() ? graph_.status() : status_; }
  const HyperParams& hyper() const { return hyper_; }
  Graph& graph() { return graph_; }
  bool HasTensor(const std::string& name) const { return input_.file.FindTensor(name) != nullptr; }
  void Fail(Status status) {
    if (status_.ok()) status_ = std::move(status);
  }

  // "blk.<layer>.<suffix>"
  static std::string Name(uint32_t layer, const char* suffix);
  // A matrix (rows, cols), or a vector as one row.
  WeightId Matrix(const std::string& name, uint64_t rows, uint64_t cols);
  WeightId Vector(const std::string& name, uint64_t size) { return Matrix(name, 1, size); }
  WeightId OptionalVector(const std::string& name, uint64_t size) {
    return HasTensor(name) ? Vector(name, size) : kNone;
  }

  // token_embd.weight rows times `scale`.
  ValueId Embed(float scale);
  // output_norm, then output.weight or, where the file has none, the embedding; logits capped if softcap is not 0.
  void Finish(ValueId x, float softcap = 0);
  // After the attention of the last layer only the rows whose logits are wanted go on.
  void SelectAfterLastAttention(uint32_t layer, ValueId* residual, ValueId* attended);
  // The RMSNorm `blk.<layer>.<suffix>` of x.
  ValueId Norm(ValueId x, uint32_t layer, const char* suffix);

  struct Qkv {
    ValueId q, k, v;
  };
  // attn_q, attn_k, attn_v with their biases where present; or the three from one attn_qkv.
  Qkv ProjectQkv(ValueId x, uint32_t layer);
  // RMSNorm of each head (attn_q_norm, attn_k_norm).
  Qkv NormHeads(Qkv qkv, uint32_t layer);
  Qkv Rotate(Qkv qkv, RopeId rope);
  // Attention over the cache and attn_output. scale 0: 1 / sqrt(key_dim).
  ValueId Attend(Qkv qkv, uint32_t layer, float scale, uint32_t window);
  // ffn_down(activation(ffn_gate) * ffn_up); or both from one ffn_up of twice the rows, gate first.
  ValueId GatedFfn(ValueId x, uint32_t layer, Activation activation);
  // ffn_gate_inp, ffn_gate_exps, ffn_up_exps, ffn_down_exps; counts from the expert_* keys.
  ValueId MoeFfn(ValueId x, uint32_t layer, bool normalize);

  // From rope.freq_base, rope.scaling.* and the tensors rope_freqs, rope_factors_long, rope_factors_short.
  // `axis`: of each pair, or empty.
  RopeId ReadRope(RopeTable::Layout layout, std::vector<uint8_t> axis = {});
  // Which axis each pair turns by, from rope.dimension_sections: pairs in runs of time, row, column; or, interleaved,
  // in turns as long as there are pairs of row and column left, and time for the rest.
  std::vector<uint8_t> ReadAxes(bool interleaved);
  // Plain frequencies base^(-2i/dims).
  static std::vector<float> Frequencies(uint32_t dims, double base);

  Result<double> FloatKey(const char* key, double fallback) const;
  Result<uint64_t> UintKey(const char* key, uint64_t fallback) const;

 private:
  // F32 values of a tensor of exactly `count`; false (and status) otherwise.
  bool ReadFloats(const char* name, size_t count, std::vector<float>* out);
  void ScaleYarn(RopeTable* table, double factor, double original_context);

  const BuildInput& input_;
  const HyperParams& hyper_;
  Graph& graph_;
  Status status_;
};

}  // namespace mote

#endif  // MOTE_ENGINE_ARCH_DECODER_H_
