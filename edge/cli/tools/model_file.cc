#include "edge/cli/tools/model_file.h"

#include <algorithm>
#include <map>
#include <utility>

#include "edge/cli/console.h"
#include "quant/dtype.h"

namespace mote::cli {
namespace {

template <class T>
T TakeEngine(Result<T> result) {
  if (!result.ok()) Fail(result.status().message());
  return std::move(result).value();
}

}  // namespace

std::unique_ptr<GgufFile> OpenModelFile(Platform& platform, const std::string& path) {
  return TakeEngine(GgufFile::Open(platform.files(), path, /*header_only=*/true));
}

std::vector<TypeBytes> BytesByType(const GgufFile& file) {
  std::map<std::string, TypeBytes> by_name;
  for (const TensorInfo& tensor : file.tensors()) {
    TypeBytes& row = by_name[DTypeName(tensor.type)];
    row.type = DTypeName(tensor.type);
    row.tensors += 1;
    row.values += tensor.values();
    row.bytes += tensor.bytes;
    row.supported = DTypeInfoOf(tensor.type)->block_values != 0;
  }
  std::vector<TypeBytes> rows;
  for (auto& [name, row] : by_name) rows.push_back(std::move(row));
  std::stable_sort(rows.begin(), rows.end(), [](const TypeBytes& a, const TypeBytes& b) { return a.bytes > b.bytes; });
  return rows;
}

TokenWork WorkPerToken(const GgufFile& file) {
  const std::string architecture =
      file.StringOr("general.architecture", "").ok() ? *file.StringOr("general.architecture", "") : std::string();
  const auto count = [&](const char* key) {
    const Result<uint64_t> value = file.UintOr(architecture + key, 0);
    return value.ok() ? *value : 0;
  };
  const uint64_t experts = count(".expert_count");
  const uint64_t used = count(".expert_used_count");
  const bool tied = file.FindTensor("output.weight") == nullptr;
  TokenWork work;
  uint64_t int8_multiplies = 0;
  for (const TensorInfo& tensor : file.tensors()) {
    work.values += tensor.values();
    const bool embedding = tensor.name == "token_embd.weight";
    if (embedding && !tied) {
      work.bytes_read += tensor.bytes / tensor.rows();
      continue;
    }
    uint64_t bytes = tensor.bytes;
    uint64_t multiplies = tensor.num_dims >= 2 ? tensor.values() : 0;
    if (tensor.name.find("_exps.") != std::string::npos && experts > 0) {
      bytes = bytes / experts * used;
      multiplies = multiplies / experts * used;
    }
    work.bytes_read += bytes;
    work.multiplies += multiplies;
    if (embedding || tensor.name == "output.weight") work.output_multiplies += multiplies;
    const bool is_float = tensor.type == DType::kF32 || tensor.type == DType::kF16 || tensor.type == DType::kBF16;
    if (!is_float) int8_multiplies += multiplies;
  }
  work.mostly_int8 = int8_multiplies * 2 > work.multiplies;
  return work;
}

}  // namespace mote::cli
