// A GPU as a backend: which there is, what it takes, what it refuses.
#include <stdio.h>

#include <string>

#include "engine/graph/backend.h"
#include "engine/graph/gpu.h"
#include "targets/cuda/cuda_program.h"
#include "targets/cuda/launch.h"
#include "targets/cuda/packed.h"
#include "targets/cuda/runtime.h"

namespace mote {
namespace {

using cuda::CudaKvCache;
using cuda::CudaProgram;
using cuda::CudaScratch;
using cuda::CudaWeights;
using cuda::DeviceFacts;

// mma.sync with bytes begins with Turing.
constexpr int kLeastMajor = 7;
constexpr int kLeastMinor = 5;

GpuInfo InfoOf(int index, const DeviceFacts& facts) {
  GpuInfo info;
  info.index = index;
  info.name = facts.name;
  info.major = facts.major;
  info.minor = facts.minor;
  info.total_bytes = facts.total_bytes;
  info.free_bytes = facts.free_bytes;
  info.multiprocessors = facts.multiprocessors;
  info.shared_memory = facts.integrated;
  info.block_bytes = facts.shared_bytes;
  info.has_groups = facts.has_groups;
  // Both edges of the clock.
  info.bytes_per_second = 2.0 * facts.memory_khz * 1e3 * facts.bus_bits / 8;
  info.driver = facts.driver;
  if (facts.major < kLeastMajor || (facts.major == kLeastMajor && facts.minor < kLeastMinor)) {
    info.unusable = "compute capability " + std::to_string(facts.major) + "." + std::to_string(facts.minor) +
                    "; mote needs 7.5 (Turing) or newer";
  } else if (!facts.has_kernels) {
    info.unusable = "this mote has kernels for sm_" + std::string(facts.kernels_for) + " and none that an sm_" +
                    std::to_string(facts.major) + std::to_string(facts.minor) +
                    " runs; build it with MOTE_CUDA_ARCHS=all";
  }
  return info;
}

class CudaBackend : public Backend {
 public:
  CudaBackend(GpuInfo info, const PixelKernels& pixels, SparsePath path)
      : info_(std::move(info)), pixels_(pixels), path_(path) {}

  const char* name() const override { return "cuda"; }
  std::string description() const override {
    char text[256];
    snprintf(text, sizeof(text), "cuda (GPU %d: %s, sm_%d%d)", info_.index, info_.name.c_str(), info_.major,
             info_.minor);
    return text;
  }

  Result<MemoryNeed> Measure(const Plan& plan, uint32_t context) const override {
    MOTE_RETURN_IF_ERROR(CheckSupported(plan));
    MemoryNeed need;
    need.weight_bytes = CudaWeights::Bytes(*plan.graph, path_);
    if (need.weight_bytes > INT64_MAX) return Error(Code::kMalformed, "the tensors have 2^63 bytes or more together");
    const Checked64 cache_bytes = CudaKvCache::Bytes(*plan.graph, plan.cache, context);
    if (!cache_bytes.FitsIn(INT64_MAX)) {
      return Error(Code::kOutOfMemory, "a cache of %u positions has 2^63 bytes or more", context);
    }
    need.scratch_bytes = CudaScratch(plan, context, cuda::ReadsApart(plan, info_.has_groups)).total_bytes();
    need.cache_bytes = cache_bytes.value();
    return need;
  }

  Result<std::unique_ptr<Program>> Compile(const Plan& plan, const GgufFile& file, const Context& context,
                                           const LoadProgress& progress) override {
    MOTE_RETURN_IF_ERROR(CheckSupported(plan));
    MOTE_ASSIGN_OR_RETURN(std::unique_ptr<CudaProgram> program,
                          CudaProgram::Create(plan, file, {info_.index, info_.shared_memory, path_, info_.has_groups},
                                              context, progress));
    return std::unique_ptr<Program>(std::move(program));
  }

  bool has_fast_prompts(const Plan& plan) const override { return plan.fast_prompts && info_.has_groups; }

  const PixelKernels& pixel_kernels() const override { return pixels_; }

 private:
  Status CheckSupported(const Plan& plan) const {
    MOTE_RETURN_IF_ERROR(CudaKvCache::CheckTypes(plan.cache));
    for (const Weight& weight : plan.graph->weights()) {
      const DType type = weight.tensor->type;
      if (weight.tensor->sparse != nullptr) {  // of whole blocks, of a type that runs as it is or dense
        MOTE_RETURN_IF_ERROR(CudaWeights::CheckSparse(weight, path_));
        continue;
      }
      const cuda::PackedFormat format = cuda::FormatOf(type);
      const bool known = type == DType::kF32 || format.halves || format.integer();
      const DTypeInfo* info = DTypeInfoOf(type);
      if (!known || info == nullptr) {
        return Error(Code::kUnsupported, "tensor %s has type %s, which the GPU's kernels do not multiply with",
                     weight.tensor->name.c_str(), DTypeName(type));
      }
      if (weight.cols % info->block_values != 0) {
        return Error(Code::kMalformed, "tensor %s of type %s has %llu columns, not a multiple of %u",
                     weight.tensor->name.c_str(), DTypeName(type), static_cast<unsigned long long>(weight.cols),
                     info->block_values);
      }
    }
    for (const Node& node : plan.graph->nodes()) {
      if (node.op == OpKind::kEmbed) {
        const Weight& table = plan.graph->weight(node.weights[0]);
        if (table.tensor->sparse == nullptr || table.row_begin == 0) continue;
        return Error(Code::kUnsupported, "tensor %s is block-sparse: rows of a part of it are not looked up on a GPU",
                     table.tensor->name.c_str());
      }
      if (node.op != OpKind::kAttention) continue;
      const AttentionParams& a = node.attention;
      const uint32_t most = cuda::LargestHeadDim();
      const uint32_t bytes = cuda::AttentionSharedBytes(a.key_dim, a.value_dim);
      if (a.key_dim <= most && a.value_dim <= most && bytes <= info_.block_bytes) continue;
      return Error(Code::kUnsupported,
                   "attention with heads of %u and %u columns needs %u bytes of shared memory; this GPU has %u for a "
                   "block, and %u columns are possible",
                   a.key_dim, a.value_dim, bytes, info_.block_bytes, most);
    }
    return Status();
  }

  const GpuInfo info_;
  const PixelKernels& pixels_;
  const SparsePath path_;
};

}  // namespace

Result<int> CountGpus() {
  int count = 0;
  if (const char* text = cuda::CountDevices(&count); text != nullptr) return Error(Code::kUnsupported, "%s", text);
  if (count == 0) return Error(Code::kUnsupported, "there is a driver, but no NVIDIA GPU");
  return count;
}

Result<GpuInfo> ReadGpu(int index) {
  MOTE_ASSIGN_OR_RETURN(const int count, CountGpus());
  if (index < 0 || index >= count) {
    return Error(Code::kInvalidArgument, "there is no GPU %d; this machine has %d, from 0 on", index, count);
  }
  DeviceFacts facts;
  if (const char* text = cuda::ReadDevice(index, &facts); text != nullptr) {
    GpuInfo broken;
    broken.index = index;
    broken.unusable = text;
    return broken;
  }
  return InfoOf(index, facts);
}

Result<std::unique_ptr<Backend>> CreateGpuBackend(const GpuInfo& gpu, const PixelKernels& pixels, SparsePath path) {
  if (!gpu.unusable.empty()) {
    return Error(Code::kUnsupported, "GPU %d (%s): %s", gpu.index, gpu.name.c_str(), gpu.unusable.c_str());
  }
  return std::unique_ptr<Backend>(new CudaBackend(gpu, pixels, path));
}

}  // namespace mote
