#include "edge/cli/tools/sparsify_state.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "edge/cli/console.h"
#include "edge/cli/tools/new_file.h"
#include "engine/core/sha256.h"

namespace mote::cli {
namespace {

constexpr const char* kDigestKey = "sparsify.run";
constexpr uint64_t kSampleBytes = 4096;

std::string LossKey(const std::string& tensor) {
  return "sparsify.loss." + tensor;
}
std::string KeptKey(const std::string& tensor) {
  return "sparsify.kept." + tensor;
}

}  // namespace

std::string SparsifyState::PathOf(int64_t layer) const {
  return out_ + (layer < 0 ? ".layer-end" : Format(".layer-%lld", static_cast<long long>(layer)));
}

bool SparsifyState::Load(Platform& platform, int64_t layer, std::vector<SparsifyMatrix*> matrices,
                         SparsifyWeights* weights) const {
  const std::string path = PathOf(layer);
  struct stat there = {};
  if (stat(path.c_str(), &there) != 0) return false;
  const Result<std::unique_ptr<GgufFile>> opened = GgufFile::Open(platform.files(), path);
  if (!opened.ok()) return false;
  const GgufFile& file = **opened;
  const Result<std::string> digest = file.StringOr(kDigestKey, "");
  if (!digest.ok() || *digest != digest_) return false;
  for (SparsifyMatrix* matrix : matrices) {
    const std::string& name = matrix->tensor->name;
    const TensorInfo* tensor = file.FindTensor(name);
    const Result<double> loss = file.FloatOr(LossKey(name), -1);
    const Result<uint64_t> kept = file.UintOr(KeptKey(name), UINT64_MAX);
    if (tensor == nullptr || tensor->type != DType::kF32 || tensor->values() != matrix->tensor->values()) return false;
    const Result<std::span<const uint8_t>> bytes = file.TensorBytes(*tensor);
    if (!bytes.ok() || !loss.ok() || !kept.ok()) return false;
    std::vector<float>& values = (*weights)[name];
    values.resize(static_cast<size_t>(tensor->values()));
    memcpy(values.data(), bytes->data(), bytes->size());
    matrix->loss = *loss;
    matrix->kept = *kept;
  }
  return true;
}

void SparsifyState::Save(int64_t layer, const std::vector<SparsifyMatrix*>& matrices,
                         const SparsifyWeights& weights) const {
  GgufWriter writer;
  writer.SetString("general.architecture", "sparsify");
  writer.SetString(kDigestKey, digest_);
  for (const SparsifyMatrix* matrix : matrices) {
    const std::string& name = matrix->tensor->name;
    writer.SetFloat32(LossKey(name), static_cast<float>(matrix->loss));
    writer.SetUint64(KeptKey(name), matrix->kept);
    TensorInfo tensor = *matrix->tensor;
    tensor.type = DType::kF32;
    writer.AddTensor(tensor);
  }
  const GgufWriter::Layout layout = OrFailure(writer.Finish());
  NewFile file(PathOf(layer), layout.file_bytes);
  OrFailure(file.Write(layout.header.data(), layout.header.size()));
  uint64_t written = layout.header.size();
  static constexpr uint8_t kZeros[GgufWriter::alignment()] = {};
  for (const TensorInfo& tensor : layout.tensors) {
    const std::vector<float>& values = weights.at(tensor.name);
    OrFailure(file.Write(kZeros, static_cast<size_t>(tensor.offset - written)));
    OrFailure(file.Write(values.data(), values.size() * sizeof(float)));
    written = tensor.offset + tensor.bytes;
  }
  OrFailure(file.Write(kZeros, static_cast<size_t>(layout.file_bytes - written)));
  file.Finish();
}

void SparsifyState::Remove(int64_t layer) const {
  remove(PathOf(layer).c_str());
}

std::string DigestOfRun(const GgufFile& in, const SparsifyFlags& flags, const SparsifyPlan& plan,
                        const std::string& material) {
  Sha256 digest;
  struct stat there = {};
  if (stat(flags.in.c_str(), &there) == 0) {
    digest.UpdateUint(static_cast<uint64_t>(there.st_mtim.tv_sec));
    digest.UpdateUint(static_cast<uint64_t>(there.st_mtim.tv_nsec));
  }
  digest.UpdateUint(in.file_bytes());
  for (const TensorInfo& tensor : in.tensors()) {
    digest.Update(tensor.name);
    digest.UpdateUint(static_cast<uint64_t>(tensor.type));
    for (const uint64_t side : tensor.shape) digest.UpdateUint(side);
    const Result<std::span<const uint8_t>> bytes = in.TensorBytes(tensor);
    if (!bytes.ok()) Fail(bytes.status().message());
    const uint64_t sample = std::min<uint64_t>(kSampleBytes, bytes->size());
    digest.Update(bytes->first(sample));
    digest.Update(bytes->last(sample));
  }
  digest.Update(material);
  digest.Update(flags.method);
  for (const SparsifyMatrix& matrix : plan.matrices) {
    digest.Update(matrix.tensor->name);
    digest.Update(Format("%a %d %u", matrix.density, matrix.has_own_density, static_cast<uint32_t>(matrix.shape.type)));
  }
  digest.Update(Format("%a %a %u %d %u %u", flags.has_max_loss ? flags.max_loss : -1.0, flags.damping, flags.rounds,
                       flags.chunks, flags.model.context, flags.model.batch));
  // Which weights the other half of the model has matters as well; its name will do.
  digest.Update(flags.mmproj + "\n" + flags.decoder);
  std::string text;
  for (const uint8_t byte : digest.Finish()) text += Format("%02x", byte);
  return text;
}

}  // namespace mote::cli
