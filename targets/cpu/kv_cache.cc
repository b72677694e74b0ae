#include "targets/cpu/kv_cache.h"

#include <string.h>

#include <algorithm>

namespace mote {
namespace {

// Of one head, a whole number of cache lines.
uint64_t PanelBytes(simd::CacheType type, uint32_t dim, uint32_t context) {
  const uint64_t bytes = simd::CachePanels(context) * uint64_t{simd::CachePanelBytes(type, dim)};
  return (bytes + kCacheLineBytes - 1) / kCacheLineBytes * kCacheLineBytes;
}

uint64_t NumSplits(uint32_t context) {
  return (context + simd::kAttentionSplit - 1) / simd::kAttentionSplit;
}

// Results of all splits of a layer, where there is more than one.
uint64_t SplitBytes(const Graph& graph, uint32_t context) {
  uint64_t floats = 0;
  for (const Node& node : graph.nodes()) {
    if (node.op != OpKind::kAttention) continue;
    const uint64_t rows = uint64_t{node.attention.heads} * kSplitTokens;
    floats = std::max(floats, simd::AttentionSplitFloats(rows, node.attention.value_dim));
  }
  return NumSplits(context) > 1 ? NumSplits(context) * floats * sizeof(float) : 0;
}

}  // namespace

Result<simd::CacheType> CpuKvCache::KernelType(DType type) {
  if (type == DType::kF16) return simd::CacheType::kF16;
  if (type == DType::kQ8_0) return simd::CacheType::kQ8_0;
  return Error(Code::kUnsupported, "keys and values are kept as F16 or Q8_0, not as %s", DTypeName(type));
}

Checked64 CpuKvCache::Bytes(const Graph& graph, const CacheTypes& types, uint32_t context) {
  const Result<simd::CacheType> keys = KernelType(types.keys);
  const Result<simd::CacheType> values = KernelType(types.values);
  if (!keys.ok() || !values.ok()) return 0;
  Checked64 bytes = 0;
  for (const CacheLayer& layer : graph.cache_layers()) {
    bytes = bytes + Checked64(PanelBytes(*keys, layer.key_dim, context)) * layer.kv_heads;
    bytes = bytes + Checked64(PanelBytes(*values, layer.value_dim, context)) * layer.kv_heads;
  }
  return bytes + SplitBytes(graph, context);
}

Result<std::unique_ptr<CpuKvCache>> CpuKvCache::Create(const Graph& graph, const CacheTypes& types, uint32_t context) {
  std::unique_ptr<CpuKvCache> cache(new CpuKvCache());
  cache->context_ = context;
  MOTE_ASSIGN_OR_RETURN(cache->key_type_, KernelType(types.keys));
  MOTE_ASSIGN_OR_RETURN(cache->value_type_, KernelType(types.values));
  const Checked64 bytes = Bytes(graph, types, context);
  if (!bytes.ok()) return Error(Code::kOutOfMemory, "a cache of %u positions is too large", context);
  cache->bytes_ = bytes.value();
  MOTE_ASSIGN_OR_RETURN(cache->memory_, Buffer::CreateZeroed(bytes.value(), "key/value cache"));
  uint64_t at = 0;
  uint32_t most_heads = 0;
  for (const CacheLayer& layer : graph.cache_layers()) {
    Layer l;
    l.key_bytes = PanelBytes(cache->key_type_, layer.key_dim, context);
    l.value_bytes = PanelBytes(cache->value_type_, layer.value_dim, context);
    l.key_panel_bytes = simd::CachePanelBytes(cache->key_type_, layer.key_dim);
    l.value_panel_bytes = simd::CachePanelBytes(cache->value_type_, layer.value_dim);
    l.kv_heads = layer.kv_heads;
    l.keys = at;
    at += layer.kv_heads * l.key_bytes;
    l.values = at;
    at += layer.kv_heads * l.value_bytes;
    cache->layers_.push_back(l);
    most_heads = std::max(most_heads, layer.kv_heads);
  }
  cache->splits_ = at;
  cache->num_splits_ = NumSplits(context);
  cache->splits_done_ = std::make_unique<std::atomic<uint32_t>[]>(most_heads);
  return cache;
}

// By whole panels: what the last one holds beyond `length` is overwritten before a query sees it.
void CpuKvCache::CopyPrefix(const KvCache& source, uint32_t length) {
  const CpuKvCache& from = static_cast<const CpuKvCache&>(source);
  const uint64_t panels = (uint64_t{length} + simd::kCachePanel - 1) / simd::kCachePanel;
  const auto copy = [&](uint64_t to, uint64_t at, uint64_t bytes) {
    memcpy(memory_.data() + to, from.memory_.data() + at, bytes);
  };
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& to = layers_[i];
    const Layer& at = from.layers_[i];
    for (uint32_t head = 0; head < to.kv_heads; ++head) {
      copy(to.keys + head * to.key_bytes, at.keys + head * at.key_bytes, panels * to.key_panel_bytes);
      copy(to.values + head * to.value_bytes, at.values + head * at.value_bytes, panels * to.value_panel_bytes);
    }
  }
}

}  // namespace mote
