// phi3: Phi-3, Phi-3.5 and Phi-4-mini: one tensor for queries, keys and values, one for gate and up, LongRoPE factors,
// rotary embedding of a part of the head where rope.dimension_count says so.
#include "engine/arch/families.h"

namespace mote {

Status BuildPhi3(const BuildInput& input, Graph* graph) {
  Decoder d(input, graph);
  const HyperParams& h = input.hyper;
  const RopeId rope = d.ReadRope(RopeTable::Layout::kSplit);
  ValueId x = d.Embed(1.0f);
  for (uint32_t i = 0; i < h.layers && d.status().ok(); ++i) {
    const Decoder::Qkv qkv = d.Rotate(d.ProjectQkv(d.Norm(x, i, "attn_norm.weight"), i), rope);
    ValueId attended = d.Attend(qkv, i, 0, h.window);
    d.SelectAfterLastAttention(i, &x, &attended);
    x = graph->Add(x, attended);
    x = graph->Add(x, d.GatedFfn(d.Norm(x, i, "ffn_norm.weight"), i, Activation::kSilu));
  }
  d.Finish(x);
  return d.status();
}

}  // namespace mote
