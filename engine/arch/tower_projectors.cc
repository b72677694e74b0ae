// From the last block of a tower to rows of the decoder: one function for each projector.
#include "engine/arch/tower_builder.h"

namespace mote {
namespace {

using Layout = RopeTable::Layout;

std::string Deepstack(uint32_t layer, const char* suffix) {
  return "v.deepstack." + std::to_string(layer) + "." + suffix;
}

// SmolVLM, Idefics3 (arXiv 2408.12637): the features of merge x merge patches side by side, and one matrix.
ValueId Idefics3(TowerBuilder& t) {
  const TowerParams& p = t.params();
  const ValueId x = t.OptionalNorm(t.Blocks(t.Patches(), p.layers, {.swaps = true}), "v.post_ln", false);
  if (!t.status().ok()) return kNone;
  Graph& g = t.graph();
  return t.Linear(g.Merge(g.SelectOutputs(x), p.merged()), "mm.model.fc", p.out_width);
}

// Gemma 3 (arXiv 2503.19786): the mean of merge x merge patches, normalised, and one matrix.
ValueId Gemma3(TowerBuilder& t) {
  const TowerParams& p = t.params();
  const ValueId x = t.OptionalNorm(t.Blocks(t.Patches(), p.layers, {.swaps = true}), "v.post_ln", false);
  if (!t.status().ok()) return kNone;
  Graph& g = t.graph();
  const ValueId pooled = g.MergeMean(g.SelectOutputs(x), p.merged());
  return t.LinearTransposed(t.Norm(pooled, "mm.soft_emb_norm", /*rms=*/true), "mm.input_projection", p.out_width);
}

// Qwen2-VL (arXiv 2409.12191), Qwen2.5-VL (2502.13923) and Qwen3-VL: rotations by row and column, patches merged after
// a norm, and two matrices. Qwen3-VL gives the decoder the output of some earlier blocks as well, merged before a norm.
ValueId Qwen(TowerBuilder& t, bool rms_norm, bool swaps) {
  const TowerParams& p = t.params();
  Graph& g = t.graph();
  const TowerBuilder::Style style = {rms_norm, swaps, t.RowColumnRope(Layout::kSplit, false)};
  const uint64_t wide = uint64_t{p.width} * p.merged();
  std::vector<ValueId> parts = {kNone};
  ValueId x = t.Patches();
  for (uint32_t layer = 0; layer < p.layers && t.status().ok(); ++layer) {
    x = t.Block(x, layer, style);
    if (parts.size() > p.deepstack.size() || p.deepstack[parts.size() - 1] != layer || !t.status().ok()) continue;
    const ValueId merged = t.Norm(g.Merge(g.SelectOutputs(x), p.merged()), Deepstack(layer, "norm"), false);
    parts.push_back(t.Mlp(merged, Deepstack(layer, "fc1"), Deepstack(layer, "fc2"), wide, p.out_width));
  }
  x = t.OptionalNorm(x, "v.post_ln", rms_norm);
  if (!t.status().ok()) return kNone;
  parts[0] = t.Mlp(g.Merge(g.SelectOutputs(x), p.merged()), "mm.0", "mm.2", wide, p.out_width);
  return parts.size() == 1 || !t.status().ok() ? parts[0] : g.Concat(parts);
}

// InternVL (arXiv 2412.05271).
ValueId InternVl(TowerBuilder& t) {
  const TowerParams& p = t.params();
  constexpr float kProjectorEpsilon = 1e-5f;  // torch's default, which the model uses here; no key carries it
  const bool is_6b = p.width == 3200 && p.layers == 45;  // the one tower with RMSNorm, told by its shape
  const ValueId x = t.Blocks(t.Patches(), p.layers, {.rms_norm = is_6b});
  if (!t.status().ok()) return kNone;
  Graph& g = t.graph();
  const ValueId merged = g.Merge(g.SelectOutputs(x), p.merged());
  const ValueId normed = t.Norm(merged, "mm.model.mlp.0", false, kProjectorEpsilon);
  return t.Mlp(normed, "mm.model.mlp.1", "mm.model.mlp.3", p.out_width, p.out_width);
}

// Pixtral (arXiv 2410.07073) and Mistral Small 3.1, which merges patches.
ValueId Pixtral(TowerBuilder& t) {
  const TowerParams& p = t.params();
  Graph& g = t.graph();
  ValueId x = t.OptionalNorm(t.Patches(), "v.pre_ln", /*rms=*/true);
  x = t.Blocks(x, p.layers, {.rms_norm = true, .rope = t.RowColumnRope(Layout::kAdjacent, true)});
  if (!t.status().ok()) return kNone;
  x = g.SelectOutputs(x);
  if (p.merge > 1) {
    x = t.Linear(g.Merge(t.Norm(x, "mm.input_norm", /*rms=*/true), p.merged(), /*interleaved=*/true), "mm.patch_merger",
                 p.width);
  }
  return t.Mlp(x, "mm.1", "mm.2", p.out_width, p.out_width);
}

// LLaVA (arXiv 2310.03744): features of CLIP's patches, two matrices; older ones with one, Yi's with norms.
ValueId Mlp(TowerBuilder& t) {
  const TowerParams& p = t.params();
  Graph& g = t.graph();
  ValueId x = t.OptionalNorm(t.Patches(), "v.pre_ln", false);
  std::vector<ValueId> features;
  for (uint32_t layer = 0; layer <= p.features.back() && t.status().ok(); ++layer) {
    if (p.features[features.size()] == layer) {
      const ValueId last = layer == p.layers ? t.OptionalNorm(x, "v.post_ln", false) : x;
      features.push_back(t.status().ok() ? g.SelectOutputs(last) : kNone);
    }
    if (layer < p.features.back()) x = t.Block(x, layer, {.swaps = true});
  }
  if (!t.status().ok()) return kNone;
  x = features.size() == 1 ? features[0] : g.Concat(features);
  if (t.Has("mm.3.weight")) {
    x = g.Activate(t.Norm(t.Linear(x, "mm.0", p.out_width), "mm.1", false), Activation::kGelu);
    return t.Norm(t.Linear(x, "mm.3", p.out_width), "mm.4", false);
  }
  return t.Has("mm.2.weight") ? t.Mlp(x, "mm.0", "mm.2", p.out_width, p.out_width) : t.Linear(x, "mm.0", p.out_width);
}

ValueId Project(TowerBuilder& t) {
  switch (t.params().projector) {
    case Projector::kMlp:
      return Mlp(t);
    case Projector::kIdefics3:
      return Idefics3(t);
    case Projector::kGemma3:
      return Gemma3(t);
    case Projector::kQwen2Vl:
      return Qwen(t, /*rms_norm=*/false, /*swaps=*/true);
    case Projector::kQwen25Vl:
      return Qwen(t, /*rms_norm=*/true, /*swaps=*/true);
    case Projector::kQwen3Vl:
      return Qwen(t, /*rms_norm=*/false, /*swaps=*/false);
    case Projector::kInternVl:
      return InternVl(t);
    case Projector::kPixtral:
      return Pixtral(t);
  }
  return kNone;
}

}  // namespace

Status BuildTower(const GgufFile& file, const TowerParams& params, Graph* graph) {
  TowerBuilder builder(file, params, graph);
  const ValueId rows = Project(builder);
  MOTE_RETURN_IF_ERROR(builder.status());
  graph->SetResult(rows);
  graph->ExpectManyRows();
  return graph->status();
}

}  // namespace mote
