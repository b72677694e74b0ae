// Which tensor gets which type. The rules and their numbers are facts about llama.cpp's src/llama-quant.cpp (release
// v0.5.0) for the types that mote knows: tests/golden/llama_cpp_types.txt holds what it answered.
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "engine/format/convert_internal.h"

namespace mote {
namespace {

bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// The number in "blk.12.attn_v.weight"; -1 without one.
int64_t LayerOf(std::string_view name) {
  constexpr std::string_view kPrefix = "blk.";
  if (!name.starts_with(kPrefix)) return -1;
  int64_t value = 0;
  size_t at = kPrefix.size();
  for (; at < name.size() && name[at] >= '0' && name[at] <= '9' && value < 100000; ++at) {
    value = value * 10 + (name[at] - '0');
  }
  return at == kPrefix.size() ? -1 : value;
}

bool IsAttentionV(std::string_view name) {
  return Contains(name, "attn_v.weight") || Contains(name, "attn_qkv.weight") || Contains(name, "attn_kv_b.weight");
}

bool IsFeedForward(std::string_view name) {
  return Contains(name, "ffn_up") || Contains(name, "ffn_gate") || Contains(name, "ffn_down");
}

// A number, or the first element of an array of numbers (head counts may differ from layer to layer).
uint64_t FirstUint(const GgufFile& in, const std::string& key, uint64_t fallback) {
  const GgufValue* value = in.Find(key);
  uint64_t number = 0;
  if (value == nullptr || !(value->GetUint(&number) || value->UintAt(0, &number))) return fallback;
  return number;
}

// What llama.cpp calls a 70B by its layers.
bool Is70B(std::string_view architecture, uint64_t layers, uint64_t heads, uint64_t kv_heads, uint64_t experts) {
  if (architecture == "llama") return layers == 80 && heads != kv_heads && experts != 8;
  if (architecture == "jais2") return layers == 68;
  return layers == 80 && (architecture == "qwen2" || architecture == "deci" || architecture == "olmo");
}

}  // namespace

bool IsOutput(std::string_view name) {
  return name == "output.weight";
}

bool IsTokenEmbedding(std::string_view name) {
  return name == "token_embd.weight" || name == "per_layer_token_embd.weight";
}

bool IsEncoded(const TensorInfo& tensor) {
  // Small ones, ones that many rows read at once, and ones whose errors decide much (routers).
  static constexpr std::string_view kKept[] = {
      "_norm.weight",
      "ffn_gate_inp.weight",
      "ffn_gate_tid2eid.weight",
      "altup",
      "laurel",
      "per_layer_model_proj",
      "ssm_conv1d",
      "shortconv.conv.weight",
      "time_mix_w0.weight",
      "time_mix_w1.weight",
      "time_mix_w2.weight",
      "time_mix_v0.weight",
      "time_mix_v1.weight",
      "time_mix_v2.weight",
      "time_mix_a0.weight",
      "time_mix_a1.weight",
      "time_mix_a2.weight",
      "time_mix_g1.weight",
      "time_mix_g2.weight",
      "time_mix_first.weight",
      "attn_rel_b.weight",
      ".position_embd",
      "time_mix_lerp_fused.weight",
      "time_mix_decay_w1.weight",
      "sam.pos_embd",
      "sam.neck.",
      "sam.net_",
      "time_mix_decay_w2.weight",
      ".rel_pos",
      ".patch_embd",
      ".patch_merger",
      "indexer.k_proj.weight",
      "a.rvq.codebook",
      "mm.a.code_embd",
      "indexer.q_proj.weight",
  };
  const std::string_view name = tensor.name;
  if (!name.ends_with("weight") || tensor.rows() <= 1) return false;
  if (name == "position_embd.weight" || name == "token_types.weight") return false;
  return std::none_of(std::begin(kKept), std::end(kKept), [&](std::string_view kept) { return Contains(name, kept); });
}

std::vector<size_t> SortedByLayer(std::span<const TensorInfo> tensors) {
  std::vector<size_t> order(tensors.size());
  std::vector<int64_t> layer(tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    order[i] = i;
    layer[i] = LayerOf(tensors[i].name);
  }
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return layer[a] != layer[b] ? layer[a] < layer[b] : tensors[a].name < tensors[b].name;
  });
  return order;
}

TypeMixer::TypeMixer(const GgufFile& in, const QuantizeRecipe& recipe, bool has_imatrix)
    : recipe_(recipe), has_imatrix_(has_imatrix) {
  const Result<std::string> architecture = in.StringOr("general.architecture", "");
  if (architecture.ok()) architecture_ = *architecture;
  tied_ = true;
  for (const TensorInfo& tensor : in.tensors()) {
    if (IsOutput(tensor.name)) tied_ = false;
    if (IsAttentionV(tensor.name)) ++num_attention_v_;
    num_layers_ = std::max(num_layers_, static_cast<uint64_t>(LayerOf(tensor.name) + 1));
  }
  num_layers_ = FirstUint(in, architecture_ + ".block_count", num_layers_);
  num_experts_ = FirstUint(in, architecture_ + ".expert_count", 0);
  const uint64_t heads = FirstUint(in, architecture_ + ".attention.head_count", 1);
  const uint64_t kv_heads = FirstUint(in, architecture_ + ".attention.head_count_kv", heads);
  heads_per_kv_ = kv_heads != 0 ? heads / kv_heads : 0;
  is_70b_ = Is70B(architecture_, num_layers_, heads, kv_heads, num_experts_);
}

// The first and the last eighth of the layers, and every third between.
bool TypeMixer::MoreBits(uint64_t index, uint64_t count) const {
  return index < count / 8 || index >= 7 * count / 8 || (index - count / 8) % 3 == 2;
}

DType TypeMixer::OutputType(const TensorInfo& tensor) const {
  if (recipe_.mix == Mix::kMXFP4 || recipe_.mix == Mix::kMXFP4_MOE || recipe_.base == DType::kQ8_0) {
    return DType::kQ8_0;
  }
  const bool whole_blocks = tensor.cols() % DTypeInfoOf(recipe_.base)->block_values == 0;
  return architecture_ == "falcon" || !whole_blocks ? DType::kQ8_0 : DType::kQ6_K;
}

DType TypeMixer::AttentionV() {
  const uint64_t index = next_attention_v_++;
  if (num_experts_ == 8) return DType::kQ8_0;
  DType type = recipe_.base;
  switch (recipe_.mix) {
    case Mix::kQ2_K:
      type = heads_per_kv_ >= 4 ? DType::kQ4_K : DType::kQ3_K;
      break;
    case Mix::kQ2_K_S:
      if (heads_per_kv_ >= 4) type = DType::kQ4_K;
      break;
    case Mix::kQ3_K_M:
      type = index < 2 ? DType::kQ5_K : DType::kQ4_K;
      break;
    case Mix::kQ3_K_L:
      type = DType::kQ5_K;
      break;
    case Mix::kIQ4:
      if (heads_per_kv_ >= 4) type = DType::kQ5_K;
      break;
    case Mix::kQ4_K_M:
    case Mix::kQ5_K_M:
      if (MoreBits(index, num_attention_v_)) type = DType::kQ6_K;
      break;
    case Mix::kQ4_K_S:
      if (index < 4) type = DType::kQ5_K;
      break;
    default:
      break;
  }
  return is_70b_ && (type == DType::kQ3_K || type == DType::kQ4_K) ? DType::kQ5_K : type;
}

DType TypeMixer::AttentionOutput() const {
  if (architecture_ == "falcon") return recipe_.mix == Mix::kQ3_K_L ? DType::kQ4_K : recipe_.base;
  if (num_experts_ == 8) {
    constexpr Mix kFiveBits[] = {Mix::kQ2_K, Mix::kQ3_K_S, Mix::kQ3_K_M, Mix::kQ4_K_S, Mix::kQ4_K_M, Mix::kIQ4};
    const bool five = std::find(std::begin(kFiveBits), std::end(kFiveBits), recipe_.mix) != std::end(kFiveBits);
    return five ? DType::kQ5_K : recipe_.base;
  }
  switch (recipe_.mix) {
    case Mix::kQ2_K:
      return DType::kQ3_K;
    case Mix::kQ3_K_M:
      return DType::kQ4_K;
    case Mix::kQ3_K_L:
      return DType::kQ5_K;
    default:
      return recipe_.base;
  }
}

DType TypeMixer::FfnDown(std::string_view name) {
  const uint64_t passed = next_ffn_down_++;
  // Layers hold several ffn_down where there are experts.
  const uint64_t layer = num_experts_ > 1 ? static_cast<uint64_t>(std::max<int64_t>(LayerOf(name), 0)) : passed;
  const bool falcon = architecture_ == "falcon";
  const bool first_eighth = layer < num_layers_ / 8;
  const bool first_sixteenth = layer < num_layers_ / 16;
  const bool more = MoreBits(layer, num_layers_);
  switch (recipe_.mix) {
    case Mix::kQ2_K:
      return DType::kQ3_K;
    case Mix::kQ2_K_S:
      return first_eighth ? DType::kQ4_K : recipe_.base;
    case Mix::kQ3_K_M:
      if (first_sixteenth) return DType::kQ5_K;
      return falcon && !more ? DType::kQ3_K : DType::kQ4_K;
    case Mix::kQ3_K_L:
      return falcon ? DType::kQ4_K : DType::kQ5_K;
    case Mix::kQ4_K_M:
      if (!falcon) return more ? DType::kQ6_K : recipe_.base;
      if (first_sixteenth) return DType::kQ6_K;
      return more ? DType::kQ5_K : recipe_.base;
    case Mix::kQ5_K_M:
      return more ? DType::kQ6_K : recipe_.base;
    case Mix::kQ4_K_S:
      return first_eighth && !falcon ? DType::kQ5_K : recipe_.base;
    case Mix::kIQ4:
      return first_eighth && !has_imatrix_ ? DType::kQ5_K : recipe_.base;
    case Mix::kSimple:
      // A format without a min loses the few columns of the first ffn_down that matter most.
      if (first_eighth && has_imatrix_ && recipe_.base == DType::kQ4_0) return DType::kQ4_1;
      if (first_eighth && has_imatrix_ && recipe_.base == DType::kQ5_0) return DType::kQ5_1;
      return recipe_.base;
    default:
      return recipe_.base;
  }
}

DType TypeMixer::Choose(const TensorInfo& tensor) {
  if (recipe_.mix == Mix::kPure) return recipe_.base;
  const std::string_view name = tensor.name;
  if (IsOutput(name) || (tied_ && IsTokenEmbedding(name))) return OutputType(tensor);
  if (recipe_.mix == Mix::kMXFP4_MOE) {
    const bool experts = tensor.shape[2] > 1 && (architecture_ != "bailingmoe3" || IsFeedForward(name));
    return experts ? DType::kMXFP4 : DType::kQ8_0;
  }
  if (recipe_.mix == Mix::kMXFP4 || IsTokenEmbedding(name)) return recipe_.base;
  if (IsAttentionV(name)) return AttentionV();
  if (Contains(name, "attn_k.weight")) return num_experts_ == 8 ? DType::kQ8_0 : recipe_.base;
  if (Contains(name, "attn_q.weight")) return recipe_.base;
  if (Contains(name, "attn_output.weight")) return AttentionOutput();
  if (Contains(name, "ffn_up") || Contains(name, "ffn_gate")) return recipe_.base;
  return Contains(name, "ffn_down") ? FfnDown(name) : recipe_.base;
}

}  // namespace mote
