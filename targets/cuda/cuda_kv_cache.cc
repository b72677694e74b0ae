#include "targets/cuda/cuda_kv_cache.h"

#include <algorithm>

#include "targets/cuda/runtime.h"

namespace mote::cuda {
namespace {

// Attention reads whole blocks of positions.
constexpr uint32_t kBlockPositions = 64;

uint32_t Positions(uint32_t context) {
  return (context + kBlockPositions - 1) / kBlockPositions * kBlockPositions;
}
uint32_t PositionBytes(bool q8, uint32_t dim) {
  return q8 ? (dim + 31) / 32 * 32 : (dim + 15) / 16 * 16 * 2;
}
// Codes, and behind all of them the scales.
Checked64 HeadBytes(bool q8, uint32_t dim, uint32_t positions) {
  Checked64 bytes = Checked64(positions) * PositionBytes(q8, dim);
  if (q8) bytes = bytes + Checked64(positions) * (PositionBytes(q8, dim) / 32) * sizeof(uint16_t);
  return bytes.AlignUp(256);
}

}  // namespace

Status CudaKvCache::CheckTypes(const CacheTypes& types) {
  for (const DType type : {types.keys, types.values}) {
    if (type == DType::kF16 || type == DType::kQ8_0) continue;
    return Error(Code::kUnsupported, "keys and values are kept as F16 or Q8_0, not as %s", DTypeName(type));
  }
  return Status();
}

Checked64 CudaKvCache::Bytes(const Graph& graph, const CacheTypes& types, uint32_t context) {
  Checked64 bytes = 0;
  const uint32_t positions = context > UINT32_MAX - kBlockPositions ? context : Positions(context);
  for (const CacheLayer& layer : graph.cache_layers()) {
    bytes = bytes + HeadBytes(types.keys == DType::kQ8_0, layer.key_dim, positions) * layer.kv_heads;
    bytes = bytes + HeadBytes(types.values == DType::kQ8_0, layer.value_dim, positions) * layer.kv_heads;
  }
  return bytes + Checked64(graph.cache_layers().size()) * sizeof(CacheLayerArgs);
}

Result<std::unique_ptr<CudaKvCache>> CudaKvCache::Create(const Graph& graph, const CacheTypes& types, uint32_t context,
                                                         int device) {
  MOTE_RETURN_IF_ERROR(CheckTypes(types));
  const Checked64 bytes = Bytes(graph, types, context);
  if (!bytes.FitsIn(INT64_MAX)) return Error(Code::kOutOfMemory, "a cache of %u positions is too large", context);
  std::unique_ptr<CudaKvCache> cache(new CudaKvCache());
  cache->context_ = context;
  cache->bytes_ = bytes.value();
  cache->device_ = device;
  cache->key_q8_ = types.keys == DType::kQ8_0;
  cache->value_q8_ = types.values == DType::kQ8_0;
  MOTE_RETURN_IF_ERROR(CudaStatus(UseDevice(device), "creating a cache"));
  MOTE_ASSIGN_OR_RETURN(cache->memory_,
                        DeviceMemory::Create(MemoryKind::kDevice, bytes.value(), "a session's cache", device));
  MOTE_RETURN_IF_ERROR(CudaStatus(CreateStream(&cache->stream_), "creating a cache"));
  uint64_t at = 0;
  for (const CacheLayer& layer : graph.cache_layers()) {
    CacheLayerArgs l = {};
    l.positions = Positions(context);
    l.heads = layer.kv_heads;
    l.key_dim = layer.key_dim;
    l.value_dim = layer.value_dim;
    l.key_bytes = PositionBytes(cache->key_q8_, layer.key_dim);
    l.value_bytes = PositionBytes(cache->value_q8_, layer.value_dim);
    l.key_head_bytes = HeadBytes(cache->key_q8_, layer.key_dim, l.positions).value();
    l.value_head_bytes = HeadBytes(cache->value_q8_, layer.value_dim, l.positions).value();
    l.keys = at;
    at += l.heads * l.key_head_bytes;
    l.values = at;
    at += l.heads * l.value_head_bytes;
    cache->layers_.push_back(l);
  }
  cache->layers_at_ = at;
  MOTE_RETURN_IF_ERROR(CudaStatus(Zero(cache->memory_.data(), at, cache->stream_), "clearing a cache"));
  MOTE_RETURN_IF_ERROR(CudaStatus(CopyIn(cache->memory_.data() + at, cache->layers_.data(),
                                         cache->layers_.size() * sizeof(CacheLayerArgs), cache->stream_),
                                  "creating a cache"));
  MOTE_RETURN_IF_ERROR(CudaStatus(Wait(cache->stream_), "creating a cache"));
  return cache;
}

CudaKvCache::~CudaKvCache() {
  UseDevice(device_);
  if (stream_ != nullptr) DestroyStream(stream_);
  memory_ = DeviceMemory();
}

void CudaKvCache::CopyPrefix(const KvCache& source, uint32_t length) {
  const CudaKvCache& from = static_cast<const CudaKvCache&>(source);
  failure_ = UseDevice(device_);
  const auto copy = [&](uint64_t to, uint64_t at, uint64_t bytes) {
    if (failure_ != nullptr || bytes == 0) return;
    failure_ = CopyWithin(memory_.data() + to, from.memory_.data() + at, bytes, stream_);
  };
  const auto copy_head = [&](uint64_t to, uint64_t at, uint32_t position_bytes, bool q8, uint32_t to_positions,
                             uint32_t from_positions) {
    copy(to, at, uint64_t{length} * position_bytes);
    if (!q8) return;
    copy(to + uint64_t{to_positions} * position_bytes, at + uint64_t{from_positions} * position_bytes,
         uint64_t{length} * (position_bytes / 32) * sizeof(uint16_t));
  };
  for (size_t i = 0; i < layers_.size(); ++i) {
    const CacheLayerArgs& to = layers_[i];
    const CacheLayerArgs& at = from.layers_[i];
    for (uint32_t head = 0; head < to.heads; ++head) {
      copy_head(to.keys + head * to.key_head_bytes, at.keys + head * at.key_head_bytes, to.key_bytes, key_q8_,
                to.positions, at.positions);
      copy_head(to.values + head * to.value_head_bytes, at.values + head * at.value_head_bytes, to.value_bytes,
                value_q8_, to.positions, at.positions);
    }
  }
  if (failure_ == nullptr) failure_ = Wait(stream_);
}

}  // namespace mote::cuda
