// Keys and values of one session in device memory: CacheLayerArgs (kernel_args.h) tells the layout.
#ifndef MOTE_TARGETS_CUDA_CUDA_KV_CACHE_H_
#define MOTE_TARGETS_CUDA_CUDA_KV_CACHE_H_

#include <stdint.h>

#include <memory>
#include <vector>

#include "engine/core/checked.h"
#include "engine/graph/backend.h"
#include "targets/cuda/device_memory.h"
#include "targets/cuda/kernel_args.h"

namespace mote::cuda {

class CudaKvCache : public KvCache {
 public:
  static Result<std::unique_ptr<CudaKvCache>> Create(const Graph& graph, const CacheTypes& types, uint32_t context,
                                                     int device);
  static Checked64 Bytes(const Graph& graph, const CacheTypes& types, uint32_t context);
  // kUnsupported for types that are not kept.
  static Status CheckTypes(const CacheTypes& types);
  ~CudaKvCache() override;

  void CopyPrefix(const KvCache& source, uint32_t length) override;

  uint8_t* memory() const { return memory_.data(); }
  // In device memory: an array of CacheLayerArgs.
  uint64_t layers_address() const { return reinterpret_cast<uint64_t>(memory_.data() + layers_at_); }
  // What went wrong in CopyPrefix, which cannot tell; cleared.
  const char* TakeFailure() const {
    const char* text = failure_;
    failure_ = nullptr;
    return text;
  }

 private:
  CudaKvCache() = default;
  int device_ = 0;
  void* stream_ = nullptr;
  std::vector<CacheLayerArgs> layers_;
  uint64_t layers_at_ = 0;
  bool key_q8_ = false;
  bool value_q8_ = false;
  mutable const char* failure_ = nullptr;
  DeviceMemory memory_;
};

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_CUDA_KV_CACHE_H_
