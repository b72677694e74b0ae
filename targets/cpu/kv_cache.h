// Keys and values of one session on the CPU: per layer and key/value head, panels made for the attention kernels
// (simd/cache_layout.h), so that one head's attention reads one stream.
#ifndef MOTE_TARGETS_CPU_KV_CACHE_H_
#define MOTE_TARGETS_CPU_KV_CACHE_H_

#include <stdint.h>

#include <atomic>
#include <memory>
#include <vector>

#include "engine/core/buffer.h"
#include "engine/core/checked.h"
#include "engine/graph/backend.h"
#include "simd/kernels.h"

namespace mote {

// Up to so many tokens of one session in a step are computed split by split, by several workers. More of them are
// workers' food as they are.
inline constexpr uint32_t kSplitTokens = 8;

class CpuKvCache : public KvCache {
 public:
  // kUnsupported for types that are not kept.
  static Result<std::unique_ptr<CpuKvCache>> Create(const Graph& graph, const CacheTypes& types, uint32_t context);
  static Result<simd::CacheType> KernelType(DType type);
  static Checked64 Bytes(const Graph& graph, const CacheTypes& types, uint32_t context);

  void CopyPrefix(const KvCache& source, uint32_t length) override;

  simd::CacheType key_type() const { return key_type_; }
  simd::CacheType value_type() const { return value_type_; }
  // Panels of one key/value head.
  uint8_t* Keys(uint32_t layer, uint32_t kv_head) {
    const Layer& l = layers_[layer];
    return memory_.data() + l.keys + kv_head * l.key_bytes;
  }
  uint8_t* Values(uint32_t layer, uint32_t kv_head) {
    const Layer& l = layers_[layer];
    return memory_.data() + l.values + kv_head * l.value_bytes;
  }
  // For all splits of the layer's positions, up to kSplitTokens: where workers leave their results, `floats` each.
  float* SplitResults(uint32_t kv_head, size_t floats) {
    return reinterpret_cast<float*>(memory_.data() + splits_) + uint64_t{kv_head} * num_splits_ * floats;
  }
  // Counts a split of this head as done. True, once, for the last of `splits`, with everybody's results in sight.
  bool IsLastSplit(uint32_t kv_head, uint32_t splits) {
    if (splits_done_[kv_head].fetch_add(1, std::memory_order_acq_rel) + 1 != splits) return false;
    splits_done_[kv_head].store(0, std::memory_order_relaxed);
    return true;
  }

 private:
  struct Layer {
    uint64_t keys = 0;  // offset of the first head's panels
    uint64_t values = 0;
    uint64_t key_bytes = 0;  // of one head
    uint64_t value_bytes = 0;
    uint64_t key_panel_bytes = 0;
    uint64_t value_panel_bytes = 0;
    uint32_t kv_heads = 0;
  };
  simd::CacheType key_type_ = simd::CacheType::kF16;
  simd::CacheType value_type_ = simd::CacheType::kF16;
  std::vector<Layer> layers_;
  uint64_t splits_ = 0;  // offset
  uint64_t num_splits_ = 0;
  Buffer memory_;
  std::unique_ptr<std::atomic<uint32_t>[]> splits_done_;  // per key/value head, 0 between phases
};

}  // namespace mote

#endif  // MOTE_TARGETS_CPU_KV_CACHE_H_
