// Where a row's keys and values go in its session's cache.
#ifndef MOTE_TARGETS_CUDA_CACHE_SIDE_CUH_
#define MOTE_TARGETS_CUDA_CACHE_SIDE_CUH_

#include "targets/cuda/kernel_args.h"
#include "targets/cuda/vocabulary.h"

namespace mote::cuda {

// Where a layer's keys, or its values, of a row's session lie.
struct CacheSideArgs {
  uint8_t* memory;
  uint64_t head_bytes;
  uint32_t position_bytes;
  uint32_t position;   // of the row
  uint32_t positions;  // that there is room for
};
MOTE_DEVICE CacheSideArgs CacheSideOf(const StepArgs& step, uint32_t layer_index, bool keys, uint32_t row) {
  const CacheLayerArgs& layer = reinterpret_cast<const CacheLayerArgs*>(step.cache_layers[row])[layer_index];
  CacheSideArgs side;
  side.memory = step.cache[row] + (keys ? layer.keys : layer.values);
  side.head_bytes = keys ? layer.key_head_bytes : layer.value_head_bytes;
  side.position_bytes = keys ? layer.key_bytes : layer.value_bytes;
  side.position = static_cast<uint32_t>(step.positions[row]);
  side.positions = layer.positions;
  return side;
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_CACHE_SIDE_CUH_
