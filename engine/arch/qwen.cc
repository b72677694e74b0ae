// qwen2 (biases on queries, keys, values), qwen3 (RMSNorm of each query and key head), qwen3moe (the same with
// experts). The biases and the fused tensors are found by their presence in the file; what differs is written out here.
#include "engine/arch/families.h"

namespace mote {
namespace {

Status BuildQwen(const BuildInput& input, Graph* graph, bool head_norms, bool experts) {
  Decoder d(input, graph);
  const HyperParams& h = input.hyper;
  const RopeId rope = d.ReadRope(RopeTable::Layout::kSplit);
  ValueId x = d.Embed(1.0f);
  for (uint32_t i = 0; i < h.layers && d.status().ok(); ++i) {
    Decoder::Qkv qkv = d.ProjectQkv(d.Norm(x, i, "attn_norm.weight"), i);
    if (head_norms) qkv = d.NormHeads(qkv, i);
    ValueId attended = d.Attend(d.Rotate(qkv, rope), i, 0, h.window);
    d.SelectAfterLastAttention(i, &x, &attended);
    x = graph->Add(x, attended);
    const ValueId normed = d.Norm(x, i, "ffn_norm.weight");
    x = graph->Add(x, experts ? d.MoeFfn(normed, i, /*normalize=*/true) : d.GatedFfn(normed, i, Activation::kSilu));
  }
  d.Finish(x);
  return d.status();
}

}  // namespace

Status BuildQwen2(const BuildInput& input, Graph* graph) {
  return BuildQwen(input, graph, false, false);
}
Status BuildQwen3(const BuildInput& input, Graph* graph) {
  return BuildQwen(input, graph, true, false);
}
Status BuildQwen3Moe(const BuildInput& input, Graph* graph) {
  return BuildQwen(input, graph, true, true);
}

}  // namespace mote
