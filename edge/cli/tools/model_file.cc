#include "edge/cli/tools/model_file.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

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

// See TokenWork::mostly_plain.
bool IsPlain(const TensorInfo& tensor) {
  return tensor.type == DType::kI8Row || (tensor.sparse != nullptr && tensor.type == DType::kI8);
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
  double int8_multiplies = 0, plain_multiplies = 0;
  for (const TensorInfo& tensor : file.tensors()) {
    if (tensor.num_dims < 2 || BeginsWith(tensor.name, "v.position_embd")) continue;
    const bool before_merging = BeginsWith(tensor.name, "v.blk.") || BeginsWith(tensor.name, "v.patch_embd");
    const bool after_merging = BeginsWith(tensor.name, "mm.") || BeginsWith(tensor.name, "v.deepstack.");
    if (!before_merging && !after_merging) continue;
    const double work = static_cast<double>(tensor.values()) * (before_merging ? patches : merged);
    multiplies += work;
    if (!IsFloat(tensor.type)) int8_multiplies += work;
    if (IsPlain(tensor)) plain_multiplies += work;
  }
  TowerWork work;
  work.mostly_int8 = int8_multiplies * 2 > multiplies;
  work.mostly_plain = plain_multiplies * 2 > multiplies;
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

namespace {

// A tensor as the work counts it: bytes, and values that are multiplied with.
struct Load {
  const TensorInfo* tensor;
  uint64_t bytes, dense_bytes;
  uint64_t multiplies, dense_multiplies;
};

// Dense tensors, and block-sparse matrices instead of their parts.
std::vector<Load> LoadsOf(const GgufFile& file) {
  std::set<const TensorInfo*> parts;
  std::vector<Load> loads;
  for (const TensorInfo& tensor : file.sparse_tensors()) {
    const SparseParts& p = *tensor.sparse;
    parts.insert({p.counts, p.index, p.scales, p.values});
    const SparseShape shape = {tensor.type, tensor.rows(), tensor.cols()};
    const uint64_t kept = p.blocks * kSparseRows * SparseBlockCols(tensor.type);
    loads.push_back({&tensor, tensor.bytes, shape.DenseRowBytes() * tensor.rows(), kept, tensor.values()});
  }
  for (const TensorInfo& tensor : file.tensors()) {
    if (parts.count(&tensor) != 0) continue;
    const uint64_t multiplies = tensor.num_dims >= 2 ? tensor.values() : 0;
    loads.push_back({&tensor, tensor.bytes, tensor.bytes, multiplies, multiplies});
  }
  return loads;
}

}  // namespace

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
  uint64_t int8_multiplies = 0, plain_multiplies = 0;
  for (Load load : LoadsOf(file)) {
    const TensorInfo& tensor = *load.tensor;
    work.values += tensor.values();
    const bool embedding = tensor.name == "token_embd.weight";
    if (embedding && !tied) {
      work.bytes_read += load.bytes / tensor.rows();
      work.dense_bytes_read += load.dense_bytes / tensor.rows();
      continue;
    }
    if (tensor.name.find("_exps.") != std::string::npos && experts > 0) {
      for (uint64_t* count : {&load.bytes, &load.dense_bytes, &load.multiplies, &load.dense_multiplies}) {
        *count = *count / experts * used;
      }
    }
    work.bytes_read += load.bytes;
    work.dense_bytes_read += load.dense_bytes;
    work.multiplies += load.multiplies;
    work.dense_multiplies += load.dense_multiplies;
    if (embedding || tensor.name == "output.weight") {
      work.output_multiplies += load.multiplies;
      work.dense_output_multiplies += load.dense_multiplies;
    }
    if (!IsFloat(tensor.type)) int8_multiplies += load.multiplies;
    if (IsPlain(tensor)) plain_multiplies += load.multiplies;
  }
  work.mostly_int8 = int8_multiplies * 2 > work.multiplies;
  work.mostly_plain = plain_multiplies * 2 > work.multiplies;
  return work;
}

}  // namespace mote::cli
