// gemma3, text: five layers with a sliding window and local rotary base to each global one, RMSNorm before and after
// attention and feed-forward, RMSNorm of query and key heads, tanh-GELU gate, embeddings times sqrt(width).
// (The converter has added 1 to the norms' weights, as the reference model does when it runs.)
#include <math.h>

#include "engine/arch/families.h"

namespace mote {
namespace {

constexpr double kLocalRopeBase = 10000.0;  // rope_local_base_freq of all published sizes; no GGUF key carries it
constexpr uint64_t kDefaultPattern = 6;     // every sixth layer is global
// The 27B model alone scales queries by width / heads instead of the head's size (query_pre_attn_scalar = 168); its
// number of layers is the only thing in the file that tells.
constexpr uint32_t kLayersOf27B = 62;

}  // namespace

Status BuildGemma3(const BuildInput& input, Graph* graph) {
  Decoder d(input, graph);
  const HyperParams& h = input.hyper;
  const Result<uint64_t> pattern = d.UintKey("attention.sliding_window_pattern", kDefaultPattern);
  if (!pattern.ok()) return pattern.status();
  if (*pattern == 0) return Error(Code::kMalformed, "gemma3.attention.sliding_window_pattern is 0, expected 1 or more");
  const Result<double> cap = d.FloatKey("final_logit_softcapping", 0);
  if (!cap.ok()) return cap.status();
  const Result<double> local_base = d.FloatKey("rope.freq_base_swa", kLocalRopeBase);
  if (!local_base.ok()) return local_base.status();
  if (!(*local_base >= 1e-3 && *local_base <= 1e15)) {
    return Error(Code::kMalformed, "gemma3.rope.freq_base_swa is %g, expected 0.001 to 1e15", *local_base);
  }
  // An infinite cap times tanh(0) is NaN.
  if (!(*cap >= 0 && *cap <= 1e6)) {
    return Error(Code::kMalformed, "gemma3.final_logit_softcapping is %g, expected 0 (none) to 1e6", *cap);
  }

  const RopeId global = d.ReadRope(RopeTable::Layout::kSplit);
  RopeTable local_table;
  local_table.layout = RopeTable::Layout::kSplit;
  local_table.inverse_frequency = Decoder::Frequencies(h.rope_dims, *local_base);
  const RopeId local = graph->AddRope(std::move(local_table));
  const double scalar = h.layers == kLayersOf27B ? static_cast<double>(h.width) / h.heads[0] : h.key_dim;
  const float scale = static_cast<float>(1.0 / sqrt(scalar));

  ValueId x = d.Embed(sqrtf(static_cast<float>(h.width)));
  for (uint32_t i = 0; i < h.layers && d.status().ok(); ++i) {
    const bool is_local = h.window != 0 && i % *pattern < *pattern - 1;
    Decoder::Qkv qkv = d.NormHeads(d.ProjectQkv(d.Norm(x, i, "attn_norm.weight"), i), i);
    qkv = d.Rotate(qkv, is_local ? local : global);
    ValueId attended = d.Attend(qkv, i, scale, is_local ? h.window : 0);
    d.SelectAfterLastAttention(i, &x, &attended);
    x = graph->Add(x, d.Norm(attended, i, "post_attention_norm.weight"));
    const ValueId hidden = d.GatedFfn(d.Norm(x, i, "ffn_norm.weight"), i, Activation::kGeluTanh);
    x = graph->Add(x, d.Norm(hidden, i, "post_ffw_norm.weight"));
  }
  d.Finish(x, static_cast<float>(*cap));
  return d.status();
}

}  // namespace mote
