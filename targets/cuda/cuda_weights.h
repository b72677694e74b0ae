// The weights of a program in device memory, packed as the kernels read them (packed.h).
#ifndef MOTE_TARGETS_CUDA_CUDA_WEIGHTS_H_
#define MOTE_TARGETS_CUDA_CUDA_WEIGHTS_H_

#include <stdint.h>

#include <vector>

#include "engine/core/context.h"
#include "engine/format/gguf.h"
#include "engine/graph/backend.h"
#include "engine/graph/graph.h"
#include "targets/cuda/device_memory.h"
#include "targets/cuda/packed_sparse.h"

namespace mote::cuda {

// What a program works with; none of it changes while it lives.
struct CudaDevice {
  int index = 0;
  bool shared = false;  // host and device have one memory
  SparsePath sparse = SparsePath::kAuto;
  bool has_groups = false;  // products of four warps: tokens that are read may have theirs (Plan::fast_prompts)
};

// A block-sparse one that runs as it is (pack_sparse.h) is a part of its tensor, which lies in device memory as a
// whole.
struct CudaWeight {
  const uint8_t* data = nullptr;  // in device memory
  uint64_t rows = 0;              // of an expert, or all
  uint64_t cols = 0;
  uint64_t part_bytes = 0;  // from expert to expert
  DType type = DType::kF32;
  bool is_sparse = false;        // `data` are the SparseMatrixArgs of its tensor
  SparseMatrixArgs sparse = {};  // its own
  const float* floats() const { return reinterpret_cast<const float*>(data); }
};

class CudaWeights {
 public:
  // Packs with all workers and copies while the next piece is packed; where host and device share their memory, packs
  // into place. Gives the file's pages back as it goes.
  static Result<CudaWeights> Load(const Graph& graph, const GgufFile& file, const Context& context,
                                  const LoadProgress& progress, const CudaDevice& device, void* stream);
  // kUnsupported: what a block-sparse weight is too large for.
  static Status CheckSparse(const Weight& weight, SparsePath path);
  // Bytes of device memory; UINT64_MAX where they do not fit 63 bits.
  static uint64_t Bytes(const Graph& graph, SparsePath path);

  const CudaWeight& operator[](WeightId id) const { return weights_[id]; }

 private:
  std::vector<CudaWeight> weights_;
  DeviceMemory memory_;
};

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_CUDA_WEIGHTS_H_
