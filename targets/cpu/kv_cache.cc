#include "targets/cpu/kv_cache.h"

#include "engine/core/checked.h"

namespace mote {

uint64_t CpuKvCache::BytesPerToken(const Graph& graph) {
  uint64_t values = 0;
  for (const CacheLayer& layer : graph.cache_layers()) {
    values += uint64_t{layer.kv_heads} * (layer.key_dim + layer.value_dim);
  }
  return values * sizeof(uint16_t);
}

Result<std::unique_ptr<CpuKvCache>> CpuKvCache::Create(const Graph& graph, uint32_t context) {
  std::unique_ptr<CpuKvCache> cache(new CpuKvCache());
  cache->context_ = context;
  const Checked64 bytes = Checked64(BytesPerToken(graph)) * context;
  if (!bytes.ok()) {
    return Error(Code::kOutOfMemory, "a cache of %u positions of %llu bytes is too large", context,
                 static_cast<unsigned long long>(BytesPerToken(graph)));
  }
  cache->bytes_ = bytes.value();
  MOTE_ASSIGN_OR_RETURN(cache->memory_, Buffer::CreateZeroed(bytes.value(), "key/value cache"));
  uint64_t at = 0;
  for (const CacheLayer& layer : graph.cache_layers()) {
    Layer l;
    l.key_dim = layer.key_dim;
    l.value_dim = layer.value_dim;
    l.keys = at;
    at += uint64_t{layer.kv_heads} * context * layer.key_dim;
    l.values = at;
    at += uint64_t{layer.kv_heads} * context * layer.value_dim;
    cache->layers_.push_back(l);
  }
  return cache;
}

}  // namespace mote
