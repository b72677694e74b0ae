#include "edge/cli/tools/model_file.h"

#include <algorithm>
#include <map>
#include <utility>

#include "edge/cli/builtin.h"
#include "edge/cli/console.h"
#include "quant/dtype.h"

namespace mote::cli {
namespace {

template <class T>
T TakeEngine(Result<T> result) {
  if (!result.ok()) Fail(result.status().message());
  return std::move(result).value();
}

std::unique_ptr<GgufFile> OpenBuiltin(const BuiltinFile& file) {
  std::vector<std::unique_ptr<ByteSource>> parts;
  parts.push_back(CreateMemorySource({file.bytes, static_cast<size_t>(file.size)}, file.name));
  return TakeEngine(GgufFile::FromSourcesHeaderOnly(std::move(parts)));
}

bool IsFloat(DType type) {
  return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16;
}

bool BeginsWith(const std::string& text, const char* beginning) {
  return text.rfind(beginning, 0) == 0;
}

}  // namespace

std::unique_ptr<GgufFile> OpenVisionFile(Platform& platform, const std::string& path) {
  if (path.empty()) return OpenBuiltin(BuiltinModel()->vision);
  return OpenModelFile(platform, path);
}

TowerWork WorkPerImage(const GgufFile& file, const TowerParams& tower, uint32_t rows, uint32_t views, uint32_t lines) {
  const double breaks = tower.projector == Projector::kPixtral ? lines - 1.0 : 0.0;  // rows that end lines
  const double merged = rows - breaks * views;
  const double patches = merged * tower.merged() + (tower.class_token ? views : 0);
  double multiplies = 0;
  double int8_multiplies = 0;
  for (const TensorInfo& tensor : file.tensors()) {
    if (tensor.num_dims < 2 || BeginsWith(tensor.name, "v.position_embd")) continue;
    const bool before_merging = BeginsWith(tensor.name, "v.blk.") || BeginsWith(tensor.name, "v.patch_embd");
    const bool after_merging = BeginsWith(tensor.name, "mm.") || BeginsWith(tensor.name, "v.deepstack.");
    if (!before_merging && !after_merging) continue;
    const double work = static_cast<double>(tensor.values()) * (before_merging ? patches : merged);
    multiplies += work;
    if (!IsFloat(tensor.type)) int8_multiplies += work;
  }
  TowerWork work;
  work.mostly_int8 = int8_multiplies * 2 > multiplies;
  const double per_view = patches / views;
  const double window_side = static_cast<double>(tower.window_size) / tower.patch_size;
  for (uint32_t layer = 0; layer < tower.layers; ++layer) {
    const bool windowed = tower.window_pattern != 0 && (layer + 1) % tower.window_pattern != 0;
    const double seen = windowed ? std::min(window_side * window_side, per_view) : per_view;
    multiplies += 2 * patches * seen * tower.width;  // scores, and sums of values
  }
  work.operations = 2 * multiplies;
  return work;
}

std::unique_ptr<GgufFile> OpenModelFile(Platform& platform, const std::string& path) {
  if (path.empty()) return OpenBuiltin(BuiltinModel()->model);
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
    if (!IsFloat(tensor.type)) int8_multiplies += multiplies;
  }
  work.mostly_int8 = int8_multiplies * 2 > work.multiplies;
  return work;
}

}  // namespace mote::cli
