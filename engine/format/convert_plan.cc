// Which tensor gets which type. The rules and their numbers are those of llama.cpp's src/llama-quant.cpp (2026-08) for
// the types that mote knows, without importance matrices.
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/checked.h"
#include "engine/format/convert.h"
#include "engine/format/convert_internal.h"

namespace mote {
namespace {

// general.file_type: llama.cpp, include/llama.h (enum llama_ftype).
constexpr QuantizeRecipe kRecipes[] = {
    {"F32", 0, DType::kF32, Mix::kPure},         {"F16", 1, DType::kF16, Mix::kPure},
    {"BF16", 32, DType::kBF16, Mix::kPure},      {"Q4_0", 2, DType::kQ4_0, Mix::kOutputOnly},
    {"Q4_1", 3, DType::kQ4_1, Mix::kOutputOnly}, {"Q5_0", 8, DType::kQ5_0, Mix::kOutputOnly},
    {"Q5_1", 9, DType::kQ5_1, Mix::kOutputOnly}, {"Q8_0", 7, DType::kQ8_0, Mix::kPure},
    {"Q2_K", 10, DType::kQ2_K, Mix::kQ2_K},      {"Q3_K", 11, DType::kQ3_K, Mix::kPure},
    {"Q3_K_S", 11, DType::kQ3_K, Mix::kK},       {"Q3_K_M", 12, DType::kQ3_K, Mix::kQ3_K_M},
    {"Q3_K_L", 13, DType::kQ3_K, Mix::kQ3_K_L},  {"Q4_K", 14, DType::kQ4_K, Mix::kPure},
    {"Q4_K_S", 14, DType::kQ4_K, Mix::kQ4_K_S},  {"Q4_K_M", 15, DType::kQ4_K, Mix::kQ45_K_M},
    {"Q5_K", 16, DType::kQ5_K, Mix::kPure},      {"Q5_K_S", 16, DType::kQ5_K, Mix::kK},
    {"Q5_K_M", 17, DType::kQ5_K, Mix::kQ45_K_M}, {"Q6_K", 18, DType::kQ6_K, Mix::kPure},
    {"IQ4_NL", 25, DType::kIQ4_NL, Mix::kIQ4},   {"IQ4_XS", 30, DType::kIQ4_XS, Mix::kIQ4},
    {"MXFP4", 38, DType::kMXFP4, Mix::kMXFP4},   {"MXFP4_MOE", 38, DType::kMXFP4, Mix::kMXFP4_MOE},
};

enum class Role { kOther, kOutput, kTokenEmbedding, kAttentionV, kAttentionK, kAttentionOutput, kFfnDown };

// What the rules ask about the model.
struct ModelFacts {
  bool tied = false;        // token_embd.weight is also the output matrix
  uint64_t num_layers = 0;  // highest block number + 1
  uint64_t num_experts = 0;
  uint64_t heads_per_kv = 1;  // query heads that share one key/value head
};

char Upper(char c) {
  return c >= 'a' && c <= 'z' ? static_cast<char>(c - ('a' - 'A')) : c;
}

bool SameIgnoringCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return Upper(x) == Upper(y); });
}

bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// The number in "blk.12.attn_v.weight"; false without one.
bool LayerOf(std::string_view name, uint64_t* layer) {
  constexpr std::string_view kPrefix = "blk.";
  if (!name.starts_with(kPrefix)) return false;
  uint64_t value = 0;
  size_t at = kPrefix.size();
  for (; at < name.size() && name[at] >= '0' && name[at] <= '9' && value < 100000; ++at) {
    value = value * 10 + static_cast<uint64_t>(name[at] - '0');
  }
  if (at == kPrefix.size() || at == name.size() || name[at] != '.') return false;
  *layer = value;
  return true;
}

Role RoleOf(std::string_view name) {
  if (name == "output.weight") return Role::kOutput;
  if (name == "token_embd.weight") return Role::kTokenEmbedding;
  for (std::string_view v : {"attn_v.weight", "attn_qkv.weight", "attn_kv_b.weight"}) {
    if (name.ends_with(v)) return Role::kAttentionV;
  }
  if (name.ends_with("attn_k.weight")) return Role::kAttentionK;
  if (name.ends_with("attn_output.weight")) return Role::kAttentionOutput;
  if (Contains(name, "ffn_down")) return Role::kFfnDown;
  return Role::kOther;
}

// Tensors that many rows read at once, or whose small errors decide much: never encoded.
bool StaysAsItIs(const TensorInfo& tensor) {
  static constexpr std::string_view kKept[] = {
      "_norm.weight",         "ffn_gate_inp", "position_embd", "pos_embd",   "token_types", "patch_embd",
      "patch_merger",         "rel_pos",      "attn_rel_b",    "ssm_conv1d", "shortconv",   "altup",
      "per_layer_model_proj", "laurel",       "time_mix_",     "class_embd",
  };
  if (!tensor.name.ends_with("weight") || tensor.rows() <= 1) return true;
  return std::any_of(std::begin(kKept), std::end(kKept),
                     [&](std::string_view kept) { return Contains(tensor.name, kept); });
}

// The first and the last eighth of the layers, and every third between.
bool MoreBits(uint64_t layer, uint64_t layers) {
  return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

DType AttentionVType(const QuantizeRecipe& recipe, const ModelFacts& facts, uint64_t layer) {
  if (facts.num_experts == 8) return DType::kQ8_0;
  switch (recipe.mix) {
    case Mix::kQ2_K:
      return facts.heads_per_kv >= 4 ? DType::kQ4_K : DType::kQ3_K;
    case Mix::kQ3_K_M:
      return layer < 2 ? DType::kQ5_K : DType::kQ4_K;
    case Mix::kQ3_K_L:
      return DType::kQ5_K;
    case Mix::kIQ4:
      return facts.heads_per_kv >= 4 ? DType::kQ5_K : recipe.base;
    case Mix::kQ45_K_M:
      return MoreBits(layer, facts.num_layers) ? DType::kQ6_K : recipe.base;
    case Mix::kQ4_K_S:
      return layer < 4 ? DType::kQ5_K : recipe.base;
    default:
      return recipe.base;
  }
}

DType FfnDownType(const QuantizeRecipe& recipe, const ModelFacts& facts, uint64_t layer) {
  switch (recipe.mix) {
    case Mix::kQ2_K:
      return DType::kQ3_K;
    case Mix::kQ3_K_M:
      return layer < facts.num_layers / 16 ? DType::kQ5_K : DType::kQ4_K;
    case Mix::kQ3_K_L:
      return DType::kQ5_K;
    case Mix::kQ45_K_M:
      return MoreBits(layer, facts.num_layers) ? DType::kQ6_K : recipe.base;
    case Mix::kQ4_K_S:
    case Mix::kIQ4:
      return layer < facts.num_layers / 8 ? DType::kQ5_K : recipe.base;
    default:
      return recipe.base;
  }
}

DType AttentionOutputType(const QuantizeRecipe& recipe, const ModelFacts& facts) {
  const bool five_bits_or_more = recipe.base == DType::kQ5_K || recipe.mix == Mix::kQ3_K_L;
  if (facts.num_experts == 8 && recipe.mix != Mix::kOutputOnly && !five_bits_or_more) return DType::kQ5_K;
  switch (recipe.mix) {
    case Mix::kQ2_K:
      return DType::kQ3_K;
    case Mix::kQ3_K_M:
      return DType::kQ4_K;
    case Mix::kQ3_K_L:
      return DType::kQ5_K;
    default:
      return recipe.base;
  }
}

bool IsKMix(Mix mix) {
  return mix == Mix::kK || mix == Mix::kQ2_K || mix == Mix::kQ3_K_M || mix == Mix::kQ3_K_L || mix == Mix::kQ4_K_S ||
         mix == Mix::kQ45_K_M;
}

DType WantedType(const QuantizeRecipe& recipe, const ModelFacts& facts, const TensorInfo& tensor) {
  if (recipe.mix == Mix::kPure) return recipe.base;
  const Role role = RoleOf(tensor.name);
  const bool mxfp4 = recipe.mix == Mix::kMXFP4 || recipe.mix == Mix::kMXFP4_MOE;
  if (role == Role::kOutput || (role == Role::kTokenEmbedding && (facts.tied || IsKMix(recipe.mix)))) {
    return mxfp4 ? DType::kQ8_0 : DType::kQ6_K;
  }
  if (recipe.mix == Mix::kMXFP4_MOE) return tensor.shape[2] > 1 ? DType::kMXFP4 : DType::kQ8_0;
  if (mxfp4 || recipe.mix == Mix::kOutputOnly) return recipe.base;
  uint64_t layer = 0;
  LayerOf(tensor.name, &layer);
  switch (role) {
    case Role::kAttentionV:
      return AttentionVType(recipe, facts, layer);
    case Role::kAttentionK:
      return facts.num_experts == 8 ? DType::kQ8_0 : recipe.base;
    case Role::kAttentionOutput:
      return AttentionOutputType(recipe, facts);
    case Role::kFfnDown:
      return FfnDownType(recipe, facts, layer);
    default:
      return recipe.base;
  }
}

// A type of 32-value blocks with at least the bits of a K type; F16 where not even 32 divides the columns.
DType FittingType(DType wanted, uint64_t cols) {
  if (cols % DTypeInfoOf(wanted)->block_values == 0) return wanted;
  DType smaller = DType::kF16;
  switch (wanted) {
    case DType::kIQ4_XS:
      smaller = DType::kIQ4_NL;
      break;
    case DType::kQ2_K:
    case DType::kQ3_K:
      smaller = DType::kQ4_0;
      break;
    case DType::kQ4_K:
      smaller = DType::kQ5_0;
      break;
    case DType::kQ5_K:
      smaller = DType::kQ5_1;
      break;
    case DType::kQ6_K:
      smaller = DType::kQ8_0;
      break;
    default:
      break;
  }
  return cols % DTypeInfoOf(smaller)->block_values == 0 ? smaller : DType::kF16;
}

// A number, or the first element of an array of numbers (head counts may differ from layer to layer).
uint64_t FirstUint(const GgufFile& in, const std::string& key, uint64_t fallback) {
  const GgufValue* value = in.Find(key);
  uint64_t number = 0;
  if (value == nullptr || !(value->GetUint(&number) || value->UintAt(0, &number))) return fallback;
  return number;
}

ModelFacts FactsOf(const GgufFile& in) {
  ModelFacts facts;
  facts.tied = in.FindTensor("output.weight") == nullptr;
  for (const TensorInfo& tensor : in.tensors()) {
    uint64_t layer = 0;
    if (LayerOf(tensor.name, &layer)) facts.num_layers = std::max(facts.num_layers, layer + 1);
  }
  const Result<std::string> architecture = in.StringOr("general.architecture", "");
  const std::string prefix = architecture.ok() ? *architecture + "." : std::string(".");
  facts.num_experts = FirstUint(in, prefix + "expert_count", 0);
  const uint64_t heads = FirstUint(in, prefix + "attention.head_count", 1);
  const uint64_t kv_heads = FirstUint(in, prefix + "attention.head_count_kv", heads);
  facts.heads_per_kv = kv_heads != 0 ? heads / kv_heads : 1;
  return facts;
}

}  // namespace

const QuantizeRecipe* FindRecipe(std::string_view name) {
  for (const QuantizeRecipe& recipe : kRecipes) {
    if (SameIgnoringCase(recipe.name, name)) return &recipe;
  }
  return nullptr;
}

std::string QuantizeTypeNames() {
  std::string names;
  for (const QuantizeRecipe& recipe : kRecipes) {
    if (!names.empty()) names += ", ";
    names += recipe.name;
  }
  return names;
}

Result<std::vector<TensorInfo>> PlanQuantization(const GgufFile& in, std::string_view type_name) {
  const QuantizeRecipe* recipe = FindRecipe(type_name);
  if (recipe == nullptr) {
    return Error(Code::kInvalidArgument, "\"%.*s\" is no type to quantize to; there are %s",
                 static_cast<int>(std::min<size_t>(type_name.size(), 40)), type_name.data(),
                 QuantizeTypeNames().c_str());
  }
  const ModelFacts facts = FactsOf(in);
  std::vector<TensorInfo> plan(in.tensors().begin(), in.tensors().end());
  for (TensorInfo& tensor : plan) {
    const DTypeInfo* info = DTypeInfoOf(tensor.type);
    if (info == nullptr || info->block_values == 0) {
      return Error(Code::kUnsupported, "tensor %s has type %s, which mote cannot read", tensor.name.c_str(),
                   DTypeName(tensor.type));
    }
    if (!info->is_weight || StaysAsItIs(tensor)) continue;
    tensor.type = FittingType(WantedType(*recipe, facts, tensor), tensor.cols());
    const DTypeInfo* to = DTypeInfoOf(tensor.type);
    const Checked64 bytes = Checked64(tensor.values() / to->block_values) * to->block_bytes;
    if (!bytes.FitsIn(INT64_MAX)) {
      return Error(Code::kUnsupported, "tensor %s would have more than 2^63 bytes", tensor.name.c_str());
    }
    tensor.bytes = bytes.value();
  }
  return plan;
}

}  // namespace mote
