#include "engine/format/activation_rules.h"

#include <math.h>

#include <algorithm>

#include "engine/format/gguf_parser.h"

namespace mote {
namespace {

constexpr char kVersionKey[] = "mote.dynamic.version";
constexpr char kWidthKey[] = "mote.dynamic.width";
constexpr char kNamesKey[] = "mote.dynamic.names";
constexpr char kThresholdsKey[] = "mote.dynamic.thresholds";
constexpr char kSharesKey[] = "mote.dynamic.shares";

Result<const GgufValue*> FindList(const GgufFile& file, const char* key, GgufType type) {
  const GgufValue* value = file.Find(key);
  if (value == nullptr) return Error(Code::kMalformed, "metadata key %s is missing beside %s", key, kVersionKey);
  if (value->type() != GgufType::kArray || value->element_type() != type) {
    return Error(Code::kMalformed, "metadata key %s is %s; an array of %s is right", key, DescribeValue(*value).c_str(),
                 GgufTypeName(type));
  }
  return value;
}

Status CheckLength(const GgufValue& value, const char* key, uint64_t names) {
  if (value.count() == names) return Status();
  return Error(Code::kMalformed, "metadata key %s has %llu elements, %s has %llu", key,
               static_cast<unsigned long long>(value.count()), kNamesKey, static_cast<unsigned long long>(names));
}

// Element `i` of `values`, 0 to `most`.
Result<float> NumberAt(const GgufValue& values, const char* key, uint64_t i, double most) {
  double number = -1;
  values.FloatAt(i, &number);
  if (number >= 0 && number <= most) return static_cast<float>(number);  // not so of NaN
  return Error(Code::kMalformed, "metadata key %s: element %llu is %g; 0 to %g is right", key,
               static_cast<unsigned long long>(i), number, most);
}

Status CheckTwice(std::vector<const TensorInfo*> tensors) {
  std::sort(tensors.begin(), tensors.end());
  const auto twice = std::adjacent_find(tensors.begin(), tensors.end());
  if (twice == tensors.end()) return Status();
  return Error(Code::kMalformed, "metadata key %s lists %s twice", kNamesKey, Quote((*twice)->name).c_str());
}

}  // namespace

const ActivationRule* ActivationRules::Find(const TensorInfo* tensor) const {
  for (const ActivationRule& rule : rules) {
    if (rule.tensor == tensor) return &rule;
  }
  return nullptr;
}

Result<ActivationRules> ReadActivationRules(const GgufFile& file) {
  ActivationRules result;
  const GgufValue* version = file.Find(kVersionKey);
  if (version == nullptr) return result;
  uint64_t number = 0;
  if (!version->GetUint(&number) || number != kActivationRulesVersion) {
    return Error(Code::kUnsupported, "metadata key %s is %s; this mote reads version %u", kVersionKey,
                 DescribeValue(*version).c_str(), kActivationRulesVersion);
  }
  MOTE_ASSIGN_OR_RETURN(const uint64_t width, file.RequireUint(kWidthKey));
  if (!IsActivationWidth(width)) {
    return Error(Code::kMalformed, "metadata key %s is %llu; 1, 2, 4, 8, 16 and 32 are right", kWidthKey,
                 static_cast<unsigned long long>(width));
  }
  result.width = static_cast<uint32_t>(width);
  MOTE_ASSIGN_OR_RETURN(const GgufValue* names, FindList(file, kNamesKey, GgufType::kString));
  MOTE_ASSIGN_OR_RETURN(const GgufValue* thresholds, FindList(file, kThresholdsKey, GgufType::kFloat32));
  MOTE_ASSIGN_OR_RETURN(const GgufValue* shares, FindList(file, kSharesKey, GgufType::kFloat32));
  MOTE_RETURN_IF_ERROR(CheckLength(*thresholds, kThresholdsKey, names->count()));
  MOTE_RETURN_IF_ERROR(CheckLength(*shares, kSharesKey, names->count()));
  // Each is a matrix of the file: nothing is allocated on the word of the list.
  if (names->count() > file.tensors().size() + file.sparse_tensors().size()) {
    return Error(Code::kMalformed, "metadata key %s has %llu elements; there are %zu tensors", kNamesKey,
                 static_cast<unsigned long long>(names->count()), file.tensors().size());
  }
  std::vector<const TensorInfo*> tensors;
  for (uint64_t i = 0; i < names->count(); ++i) {
    std::string_view name;
    names->StringAt(i, &name);
    ActivationRule rule;
    rule.tensor = file.FindTensor(name);
    if (rule.tensor == nullptr || rule.tensor->num_dims != 2) {
      return Error(Code::kMalformed, "metadata key %s: element %llu, %s, is no matrix of this file", kNamesKey,
                   static_cast<unsigned long long>(i), Quote(name).c_str());
    }
    MOTE_ASSIGN_OR_RETURN(rule.threshold, NumberAt(*thresholds, kThresholdsKey, i, 3e38));
    MOTE_ASSIGN_OR_RETURN(rule.share, NumberAt(*shares, kSharesKey, i, 1));
    result.rules.push_back(rule);
    tensors.push_back(rule.tensor);
  }
  MOTE_RETURN_IF_ERROR(CheckTwice(std::move(tensors)));
  return result;
}

void SetActivationRules(uint32_t width, std::span<const ActivationEntry> entries, GgufWriter* writer) {
  std::vector<std::string> names;
  std::vector<float> thresholds, shares;
  for (const ActivationEntry& entry : entries) {
    names.push_back(entry.name);
    thresholds.push_back(entry.threshold);
    shares.push_back(entry.share);
  }
  writer->SetUint32(kVersionKey, kActivationRulesVersion);
  writer->SetUint32(kWidthKey, width);
  writer->SetStrings(kNamesKey, names);
  writer->SetFloats(kThresholdsKey, thresholds);
  writer->SetFloats(kSharesKey, shares);
}

}  // namespace mote
