// qwen2 (biases on queries, keys, values), qwen3 (RMSNorm of each query and key head), qwen3moe (the same with
// experts); qwen2vl and qwen3vl, which turn by time, row and column, and qwen3vl's images, which bring more than one
// row of features: one for each of the first layers. The biases and the fused tensors are found by their presence in
// the file; what differs is written out here.
#include "engine/arch/families.h"

namespace mote {
namespace {

struct Variant {
  bool head_norms = false;
  bool experts = false;
  enum class Axes { kNone, kRuns, kInterleaved } axes = Axes::kNone;
};

Status BuildQwen(const BuildInput& input, Graph* graph, const Variant& variant) {
  Decoder d(input, graph);
  const HyperParams& h = input.hyper;
  std::vector<uint8_t> axis;
  uint64_t deepstack = 0;
  if (variant.axes != Variant::Axes::kNone) {
    axis = d.ReadAxes(variant.axes == Variant::Axes::kInterleaved);
    const Result<uint64_t> layers = d.UintKey("n_deepstack_layers", 0);
    if (!layers.ok()) return layers.status();
    if (*layers >= h.layers) {
      return Error(Code::kMalformed, "%s.n_deepstack_layers is %llu, expected less than the %u layers",
                   h.architecture.c_str(), static_cast<unsigned long long>(*layers), h.layers);
    }
    deepstack = *layers;
  }
  const RopeId rope = d.ReadRope(RopeTable::Layout::kSplit, std::move(axis));
  ValueId x = d.Embed(1.0f);
  for (uint32_t i = 0; i < h.layers && d.status().ok(); ++i) {
    Decoder::Qkv qkv = d.ProjectQkv(d.Norm(x, i, "attn_norm.weight"), i);
    if (variant.head_norms) qkv = d.NormHeads(qkv, i);
    ValueId attended = d.Attend(d.Rotate(qkv, rope), i, 0, h.window);
    d.SelectAfterLastAttention(i, &x, &attended);
    x = graph->Add(x, attended);
    const ValueId normed = d.Norm(x, i, "ffn_norm.weight");
    x = graph->Add(
        x, variant.experts ? d.MoeFfn(normed, i, /*normalize=*/true) : d.GatedFfn(normed, i, Activation::kSilu));
    if (i < deepstack) x = graph->AddInput(x, (i + 1) * h.width);
  }
  d.Finish(x);
  return d.status();
}

}  // namespace

Status BuildQwen2(const BuildInput& input, Graph* graph) {
  return BuildQwen(input, graph, {});
}
Status BuildQwen3(const BuildInput& input, Graph* graph) {
  return BuildQwen(input, graph, {.head_norms = true});
}
Status BuildQwen3Moe(const BuildInput& input, Graph* graph) {
  return BuildQwen(input, graph, {.head_norms = true, .experts = true});
}
Status BuildQwen2Vl(const BuildInput& input, Graph* graph) {
  return BuildQwen(input, graph, {.axes = Variant::Axes::kRuns});
}
Status BuildQwen3Vl(const BuildInput& input, Graph* graph) {
  return BuildQwen(input, graph, {.head_norms = true, .axes = Variant::Axes::kInterleaved});
}

}  // namespace mote
