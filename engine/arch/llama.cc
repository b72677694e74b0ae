// llama: Llama 2 and 3.x, Mistral, Mixtral, SmolLM, SmolLM2 and everybody who exports to the same names.
#include "engine/arch/families.h"

namespace mote {

Status BuildLlama(const BuildInput& input, Graph* graph) {
  Decoder d(input, graph);
  const HyperParams& h = input.hyper;
  const RopeId rope = d.ReadRope(RopeTable::Layout::kAdjacent);
  ValueId x = d.Embed(1.0f);
  for (uint32_t i = 0; i < h.layers && d.status().ok(); ++i) {
    const Decoder::Qkv qkv = d.Rotate(d.ProjectQkv(d.Norm(x, i, "attn_norm.weight"), i), rope);
    ValueId attended = d.Attend(qkv, i, 0, h.window);
    d.SelectAfterLastAttention(i, &x, &attended);
    x = graph->Add(x, attended);
    const ValueId normed = d.Norm(x, i, "ffn_norm.weight");
    const bool experts = d.HasTensor(Decoder::Name(i, "ffn_gate_inp.weight"));
    x = graph->Add(x, experts ? d.MoeFfn(normed, i, /*normalize=*/true) : d.GatedFfn(normed, i, Activation::kSilu));
  }
  d.Finish(x);
  return d.status();
}

}  // namespace mote
