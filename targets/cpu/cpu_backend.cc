// The CPU as a backend: which kernels, what memory, what is refused.
#include <stdio.h>

#include <string>

#include "engine/graph/backend.h"
#include "engine/graph/pixel_kernels.h"
#include "simd/kernels.h"
#include "targets/cpu/cpu_program.h"

namespace mote {
namespace {

// The engine and the kernels do not see each other's headers.
static_assert(kPixelWeightBits == simd::kPixelWeightBits && PixelScratchBytes(7) == simd::PixelScratchBytes(7));

class CpuBackend : public Backend {
 public:
  CpuBackend(const simd::KernelTable& kernels, int workers, const Clock& clock, SparsePath path, const Tuning& tuning)
      : kernels_(kernels),
        pixels_{kernels.resize_rows, kernels.blend_rows},
        workers_(workers),
        choice_(kernels, clock, path),
        tuning_(tuning) {}

  const char* name() const override { return "cpu"; }

  std::string description() const override {
    return std::string("cpu (") + kernels_.name + ", " + std::to_string(workers_) +
           (workers_ == 1 ? " thread)" : " threads)");
  }

  Result<MemoryNeed> Measure(const Plan& plan, uint32_t context) const override {
    MOTE_RETURN_IF_ERROR(CheckSupported(plan));
    MemoryNeed need;
    need.weight_bytes = CpuWeights::ResidentBytes(*plan.graph, kernels_, &choice_);
    // A header without its data can claim any sizes.
    if (need.weight_bytes > INT64_MAX) return Error(Code::kMalformed, "the tensors have 2^63 bytes or more together");
    need.scratch_bytes = CpuScratch(plan, kernels_, workers_).total_bytes();
    for (const DType type : {plan.cache.keys, plan.cache.values}) {
      MOTE_RETURN_IF_ERROR(CpuKvCache::KernelType(type).status());
    }
    const Checked64 cache_bytes = CpuKvCache::Bytes(*plan.graph, plan.cache, context);
    if (!cache_bytes.FitsIn(INT64_MAX)) {
      return Error(Code::kOutOfMemory, "a cache of %u positions has 2^63 bytes or more", context);
    }
    need.cache_bytes = cache_bytes.value();
    return need;
  }

  Result<std::unique_ptr<Program>> Compile(const Plan& plan, const GgufFile& file, const Context& context,
                                           const LoadProgress& progress) override {
    MOTE_RETURN_IF_ERROR(CheckSupported(plan));
    MOTE_ASSIGN_OR_RETURN(std::unique_ptr<CpuProgram> program,
                          CpuProgram::Create(plan, file, kernels_, &choice_, tuning_, context, progress));
    return std::unique_ptr<Program>(std::move(program));
  }

  bool has_fast_prompts(const Plan& plan) const override {
    return plan.fast_prompts && UnitOf(plan, kernels_) != nullptr;
  }

  const PixelKernels& pixel_kernels() const override { return pixels_; }

 private:
  Status CheckSupported(const Plan& plan) const {
    for (const Weight& weight : plan.graph->weights()) {
      const DType type = weight.tensor->type;
      if (weight.tensor->sparse != nullptr) continue;  // of whole blocks, of a type that all rows of the table run
      if (simd::MatMulOf(kernels_, type) == nullptr) {
        return Error(Code::kUnsupported, "tensor %s has type %s, which the %s kernels do not multiply with",
                     weight.tensor->name.c_str(), DTypeName(type), kernels_.name);
      }
      const uint32_t block = DTypeInfoOf(type)->block_values;
      if (weight.cols % block != 0) {
        return Error(Code::kMalformed, "tensor %s of type %s has %llu columns, not a multiple of %u",
                     weight.tensor->name.c_str(), DTypeName(type), static_cast<unsigned long long>(weight.cols), block);
      }
    }
    return Status();
  }

  const simd::KernelTable& kernels_;
  const PixelKernels pixels_;
  const int workers_;
  mutable SparseChoice choice_;  // remembers what it has measured
  const Tuning tuning_;
};

}  // namespace

Result<std::unique_ptr<Backend>> CreateCpuBackend(const Context& context, const std::string& isa, SparsePath path,
                                                  const Tuning& tuning) {
  // The best one is not looked for where another is named: with AMX that asks the system for something
  // (simd/cpu_features.h).
  const simd::KernelTable* kernels = isa.empty() ? &simd::BestTable() : nullptr;
  if (!isa.empty()) {
    kernels = simd::FindTable(isa.c_str());
    if (kernels == nullptr || !simd::CanRun(*kernels)) {
      std::string possible;
      for (const simd::KernelTable* table : simd::Tables()) {
        if (!simd::CanRun(*table)) continue;
        possible += possible.empty() ? "" : ", ";
        possible += table->name;
      }
      return Error(Code::kInvalidArgument, "instruction set \"%s\" is not possible here; this CPU and build can run %s",
                   isa.c_str(), possible.c_str());
    }
  }
  return std::unique_ptr<Backend>(
      new CpuBackend(*kernels, context.pool->num_workers(), context.platform->clock(), path, tuning));
}

}  // namespace mote
