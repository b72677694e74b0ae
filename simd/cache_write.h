// One position into cached panels, for every row of the kernel table: they differ in who rounds.
#ifndef MOTE_SIMD_CACHE_WRITE_H_
#define MOTE_SIMD_CACHE_WRITE_H_

#include <string.h>

#include "simd/kernels.h"

namespace mote::simd {

enum class CacheSide { kKey, kValue };

// Where value d of a position lies in its panel: in halves, or bytes of Q8_0.
constexpr size_t CacheIndex(CacheSide side, CacheType type, size_t cached, size_t place, size_t d) {
  if (side == CacheSide::kValue) return place * cached + d;
  return type == CacheType::kF16 ? d * kCachePanel + place : d / 4 * 64 + place * 4 + d % 4;
}

// quantize_a8 and f32_to_f16: the members of KernelTable. Both give the same bits in every row.
inline void WriteCachePosition(CacheSide side, CacheType type, const float* x, size_t dim, size_t position,
                               uint8_t* panels, void (*quantize_a8)(const float*, size_t, size_t, void*),
                               void (*f32_to_f16)(const float*, size_t, uint16_t*)) {
  uint8_t* panel = panels + position / kCachePanel * CachePanelBytes(type, dim);
  const size_t place = position % kCachePanel;
  const size_t cached = CachedDim(type, dim);
  if (side == CacheSide::kValue && type == CacheType::kF16) {
    uint8_t* to = panel + place * cached * sizeof(uint16_t);
    f32_to_f16(x, dim, reinterpret_cast<uint16_t*>(to));
    memset(to + dim * sizeof(uint16_t), 0, (cached - dim) * sizeof(uint16_t));
    return;
  }
  for (size_t begin = 0; begin < cached; begin += 32) {
    const size_t given = dim - begin < 32 ? dim - begin : 32;
    const size_t kept = cached - begin < 32 ? cached - begin : 32;
    float values[32] = {};
    memcpy(values, x + begin, given * sizeof(float));
    if (type == CacheType::kF16) {
      uint16_t halves[32];
      f32_to_f16(values, 32, halves);
      for (size_t i = 0; i < kept; ++i) {
        memcpy(panel + CacheIndex(side, type, cached, place, begin + i) * sizeof(uint16_t), &halves[i],
               sizeof(uint16_t));
      }
      continue;
    }
    A8Block block;
    quantize_a8(values, 32, 32, &block);
    for (size_t i = 0; i < 32; ++i) {
      panel[CacheIndex(side, type, cached, place, begin + i)] = static_cast<uint8_t>(block.codes[i]);
    }
    uint16_t half;
    f32_to_f16(&block.scale, 1, &half);
    memcpy(panel + cached * kCachePanel + (begin / 32 * kCachePanel + place) * sizeof(half), &half, sizeof(half));
  }
}

}  // namespace mote::simd

#endif  // MOTE_SIMD_CACHE_WRITE_H_
