// Graphics processors, as the folder that the library is linked with knows them: targets/cuda, or targets/no_cuda,
// which knows of none and says so.
#ifndef MOTE_ENGINE_GRAPH_GPU_H_
#define MOTE_ENGINE_GRAPH_GPU_H_

#include <stdint.h>

#include <memory>
#include <string>

#include "engine/core/status.h"
#include "engine/graph/backend.h"

namespace mote {

struct GpuInfo {
  int index = 0;
  std::string name;
  int major = 0;  // compute capability
  int minor = 0;
  uint64_t total_bytes = 0;
  uint64_t free_bytes = 0;  // when it was asked
  uint32_t multiprocessors = 0;
  bool shared_memory = false;   // its memory is the machine's (Tegra)
  bool has_groups = false;      // warps multiply in groups (Hopper): Backend::has_fast_prompts
  uint32_t block_bytes = 0;     // of the memory that a kernel's block has to itself
  double bytes_per_second = 0;  // of its memory, at best; 0: not told
  int driver = 0;               // CUDA version, 12040 for 12.4
  std::string unusable;         // why mote does not run on it; empty where it does
};

// At least 1, in CUDA's order, and none of them touched. kUnsupported tells why there is none: this build has no
// kernels, or there is no driver, or no GPU.
Result<int> CountGpus();
// One of them, without touching the others: that takes some of its memory for as long as the process lives.
// kInvalidArgument where there is no such GPU.
Result<GpuInfo> ReadGpu(int index);
// `pixels` must outlive the backend: pictures stay with the CPU. `path`: of block-sparse matrices that a GPU can
// multiply with in both ways, those of halves; sums of the two differ in their last bits.
Result<std::unique_ptr<Backend>> CreateGpuBackend(const GpuInfo& gpu, const PixelKernels& pixels, SparsePath path);

}  // namespace mote

#endif  // MOTE_ENGINE_GRAPH_GPU_H_
