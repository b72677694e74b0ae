// Weights on their way into device memory.
#ifndef MOTE_TARGETS_CUDA_UPLOAD_H_
#define MOTE_TARGETS_CUDA_UPLOAD_H_

#include <stdint.h>

#include "engine/core/context.h"
#include "engine/format/gguf.h"
#include "engine/graph/graph.h"
#include "targets/cuda/device_memory.h"

namespace mote::cuda {

// Bytes packed at once: long copies, and two of them are nothing beside the weights.
inline constexpr uint64_t kStagingBytes = 16 << 20;

// Two staging buffers, one on its way while the other is filled; or the destination itself.
class Uploader {
 public:
  Uploader(const Context& context, bool shared, void* stream) : context_(context), shared_(shared), stream_(stream) {}
  Status Init(int device);

  // Where to write `bytes` (at most kStagingBytes, but for shared memory) that are to go to `to`.
  uint8_t* Begin(uint8_t* to);
  Status End(uint8_t* to, uint64_t bytes);
  // Nothing more goes to `memory`, which all was part of.
  Status Finish(const DeviceMemory& memory);

  // Any number of bytes as they are.
  Status Copy(const void* from, uint64_t bytes, uint8_t* to);
  // Rows of the file, `row_bytes` apart, into tiles (packed.h), by all workers.
  Status Pack(const uint8_t* rows, size_t row_bytes, uint64_t num_rows, uint64_t cols, DType type, uint8_t* to);
  // A block-sparse tensor as it is (pack_sparse.h), by all workers.
  Status PackSparse(const TensorInfo& tensor, const GgufFile& file, uint8_t* to);
  // The same made dense, some rows of it.
  Status PackDenseForm(const Weight& weight, const GgufFile& file, uint8_t* to);

 private:
  uint64_t workers() const { return static_cast<uint64_t>(context_.pool->num_workers()); }

  const Context& context_;
  const bool shared_;
  void* const stream_;
  DeviceMemory staging_[2];
  int turn_ = 0;
  uint8_t* at_ = nullptr;
};

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_UPLOAD_H_
