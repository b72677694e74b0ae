// Keys and values of one session on the CPU: float16, per layer and key/value head, positions contiguous, so that one
// head's attention reads one stream.
#ifndef MOTE_TARGETS_CPU_KV_CACHE_H_
#define MOTE_TARGETS_CPU_KV_CACHE_H_

#include <stdint.h>

#include <memory>
#include <vector>

#include "engine/core/buffer.h"
#include "engine/graph/backend.h"

namespace mote {

class CpuKvCache : public KvCache {
 public:
  static Result<std::unique_ptr<CpuKvCache>> Create(const Graph& graph, uint32_t context);
  static uint64_t BytesPerToken(const Graph& graph);

  // (context, key_dim) and (context, value_dim) of one key/value head.
  uint16_t* Keys(uint32_t layer, uint32_t kv_head) {
    const Layer& l = layers_[layer];
    return memory_.As<uint16_t>() + l.keys + uint64_t{kv_head} * context_ * l.key_dim;
  }
  uint16_t* Values(uint32_t layer, uint32_t kv_head) {
    const Layer& l = layers_[layer];
    return memory_.As<uint16_t>() + l.values + uint64_t{kv_head} * context_ * l.value_dim;
  }

 private:
  struct Layer {
    uint64_t keys = 0;  // offset of the first key, in float16 values
    uint64_t values = 0;
    uint32_t key_dim = 0;
    uint32_t value_dim = 0;
  };
  std::vector<Layer> layers_;
  Buffer memory_;
};

}  // namespace mote

#endif  // MOTE_TARGETS_CPU_KV_CACHE_H_
