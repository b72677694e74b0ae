// The names of `mote quantize`, and what becomes of each tensor.
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "engine/format/convert.h"
#include "engine/format/convert_internal.h"
#include "engine/format/gguf_parser.h"

namespace mote {
namespace {

// general.file_type: llama.cpp, include/llama.h (enum llama_ftype).
constexpr QuantizeRecipe kRecipes[] = {
    {"F32", 0, DType::kF32, Mix::kPure},
    {"F16", 1, DType::kF16, Mix::kPure},
    {"BF16", 32, DType::kBF16, Mix::kPure},
    {"Q4_0", 2, DType::kQ4_0, Mix::kSimple},
    {"Q4_1", 3, DType::kQ4_1, Mix::kSimple},
    {"Q5_0", 8, DType::kQ5_0, Mix::kSimple},
    {"Q5_1", 9, DType::kQ5_1, Mix::kSimple},
    {"Q8_0", 7, DType::kQ8_0, Mix::kSimple},
    {"I8", 7, DType::kI8Row, Mix::kPure},  // no number of its own; Q8_0's says that weights have 8 bits
    {"Q2_K", 10, DType::kQ2_K, Mix::kQ2_K},
    {"Q2_K_S", 21, DType::kQ2_K, Mix::kQ2_K_S},
    {"Q3_K", 12, DType::kQ3_K, Mix::kQ3_K_M},
    {"Q3_K_S", 11, DType::kQ3_K, Mix::kQ3_K_S},
    {"Q3_K_M", 12, DType::kQ3_K, Mix::kQ3_K_M},
    {"Q3_K_L", 13, DType::kQ3_K, Mix::kQ3_K_L},
    {"Q4_K", 15, DType::kQ4_K, Mix::kQ4_K_M},
    {"Q4_K_S", 14, DType::kQ4_K, Mix::kQ4_K_S},
    {"Q4_K_M", 15, DType::kQ4_K, Mix::kQ4_K_M},
    {"Q5_K", 17, DType::kQ5_K, Mix::kQ5_K_M},
    {"Q5_K_S", 16, DType::kQ5_K, Mix::kSimple},
    {"Q5_K_M", 17, DType::kQ5_K, Mix::kQ5_K_M},
    {"Q6_K", 18, DType::kQ6_K, Mix::kSimple},
    {"IQ4_NL", 25, DType::kIQ4_NL, Mix::kIQ4},
    {"IQ4_XS", 30, DType::kIQ4_XS, Mix::kIQ4},
    {"MXFP4", 38, DType::kMXFP4, Mix::kMXFP4},
    {"MXFP4_MOE", 38, DType::kMXFP4, Mix::kMXFP4_MOE},
};

char Upper(char c) {
  return c >= 'a' && c <= 'z' ? static_cast<char>(c - ('a' - 'A')) : c;
}

bool SameIgnoringCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return Upper(x) == Upper(y); });
}

bool IsQuantized(DType type) {
  const DTypeInfo* info = DTypeInfoOf(type);
  return info->is_weight && info->block_values > 1;
}

// A type of 32-value blocks with at least the bits of a K type; F16 where not even 32 divides the columns.
DType FittingType(DType wanted, uint64_t cols) {
  const bool too_long = wanted == DType::kI8Row && cols > kI8RowMostValues;
  if (cols % DTypeInfoOf(wanted)->block_values == 0 && !too_long) return wanted;
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

// Formats whose encoders weigh errors. In the others a value's code depends on nothing but the block's extremes.
bool HeedsImportance(DType type) {
  return IsQuantized(type) && type != DType::kQ8_0 && type != DType::kI8Row && type != DType::kMXFP4;
}

class Planner {
 public:
  Planner(const GgufFile& in, const QuantizeRecipe& recipe, const QuantizeOptions& options)
      : recipe_(recipe), options_(options), mixer_(in, recipe, options.imatrix != nullptr) {}

  Result<QuantizePlan> Run(const GgufFile& in);

 private:
  DType WantedType(const TensorInfo& tensor);
  Status CheckSource(const TensorInfo& tensor, DType to) const;
  Status CheckImportance(const TensorInfo& tensor);

  const QuantizeRecipe& recipe_;
  const QuantizeOptions& options_;
  TypeMixer mixer_;
  QuantizePlan plan_;
};

DType Planner::WantedType(const TensorInfo& tensor) {
  const std::string_view name = tensor.name;
  DType chosen = recipe_.base;
  const bool has_choice = options_.choose != nullptr && options_.choose(options_.choose_user, name, &chosen);
  // A table of its own, beside the embedding: named, it goes its own way.
  const bool named_table = has_choice && name == "per_layer_token_embd.weight";
  if (options_.token_embedding_type && IsTokenEmbedding(name) && !named_table) return *options_.token_embedding_type;
  if (options_.output_type && IsOutput(name)) return *options_.output_type;
  if (has_choice) return chosen;
  if (options_.output_type && mixer_.tied() && IsTokenEmbedding(name)) return *options_.output_type;
  return options_.pure ? recipe_.base : mixer_.Choose(tensor);
}

Status Planner::CheckSource(const TensorInfo& tensor, DType to) const {
  if (options_.allow_requantize || tensor.type == to || !IsQuantized(tensor.type)) return Status();
  return Error(Code::kUnsupported,
               "tensor %s is %s already: encoding it again as %s adds one rounding to another. Start from F32, F16 or "
               "BF16, or allow it (--allow-requantize)",
               tensor.name.c_str(), DTypeName(tensor.type), DTypeName(to));
}

Status Planner::CheckImportance(const TensorInfo& tensor) {
  const bool table = IsTokenEmbedding(tensor.name) || IsOutput(tensor.name);
  const Imatrix::Entry* entry = options_.imatrix != nullptr ? options_.imatrix->Find(tensor.name) : nullptr;
  if (entry != nullptr && entry->values != tensor.cols() * tensor.shape[2] && !table) {
    return Error(Code::kMalformed,
                 "%s: %s has %llu importances where the tensor has %llu columns of %llu matrices; was it made with "
                 "another model?",
                 options_.imatrix->source_name.c_str(), tensor.name.c_str(),
                 static_cast<unsigned long long>(entry->values), static_cast<unsigned long long>(tensor.cols()),
                 static_cast<unsigned long long>(tensor.shape[2]));
  }
  if (entry == nullptr && recipe_.mix == Mix::kQ2_K_S && tensor.type == DType::kQ2_K && !table) {
    return Error(Code::kUnsupported, "%.*s needs an importance matrix for %s (--imatrix FILE, made by mote imatrix)",
                 static_cast<int>(recipe_.name.size()), recipe_.name.data(), tensor.name.c_str());
  }
  if (entry == nullptr && options_.imatrix != nullptr && !table) plan_.without_importance.push_back(tensor.name);
  return Status();
}

Result<QuantizePlan> Planner::Run(const GgufFile& in) {
  plan_.file_type = recipe_.file_type;
  plan_.tensors.assign(in.tensors().begin(), in.tensors().end());
  for (const size_t i : SortedByLayer(in.tensors())) {
    TensorInfo& tensor = plan_.tensors[i];
    const DTypeInfo* info = DTypeInfoOf(tensor.type);
    if (info == nullptr || info->block_values == 0) {
      return Error(Code::kUnsupported, "tensor %s has type %s, which mote cannot read", tensor.name.c_str(),
                   DTypeName(tensor.type));
    }
    if (!info->is_weight || !IsEncoded(tensor) || (options_.leave_output && IsOutput(tensor.name))) continue;
    const DType wanted = WantedType(tensor);
    const DType type = FittingType(wanted, tensor.cols());
    if (type != wanted) ++plan_.fallbacks;
    MOTE_RETURN_IF_ERROR(CheckSource(tensor, type));
    const bool changes = tensor.type != type;
    tensor.type = type;
    if (changes && HeedsImportance(type)) {
      MOTE_RETURN_IF_ERROR(CheckImportance(tensor));
    }
    if (!CheckTensorShape(&tensor).ok()) {  // of a shape that was read, and a type that fits it: only bytes are left
      return Error(Code::kUnsupported, "tensor %s would have more than 2^63 bytes", tensor.name.c_str());
    }
  }
  return std::move(plan_);
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

Result<QuantizePlan> PlanQuantization(const GgufFile& in, const QuantizeOptions& options) {
  const QuantizeRecipe* recipe = FindRecipe(options.type);
  if (recipe == nullptr) {
    return Error(Code::kInvalidArgument, "\"%.*s\" is no type to quantize to; there are %s",
                 static_cast<int>(std::min<size_t>(options.type.size(), 40)), options.type.data(),
                 QuantizeTypeNames().c_str());
  }
  for (const std::optional<DType>& type : {options.output_type, options.token_embedding_type}) {
    if (type && !DTypeInfoOf(*type)->is_weight) {
      return Error(Code::kInvalidArgument, "weights cannot be %s", DTypeName(*type));
    }
  }
  return Planner(in, *recipe, options).Run(in);
}

}  // namespace mote
