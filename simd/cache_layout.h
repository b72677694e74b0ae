// How attention finds cached keys and values: the layout that its kernels, their scalar twins and the cache's owner
// share. One array of panels per key/value head, kCachePanel positions each; position p lies in panel p / kCachePanel.
#ifndef MOTE_SIMD_CACHE_LAYOUT_H_
#define MOTE_SIMD_CACHE_LAYOUT_H_

#include <stddef.h>
#include <stdint.h>

namespace mote::simd {

// kF16: IEEE half precision. kQ8_0: int8 with a float16 scale for every 32 values of a position's row.
enum class CacheType : uint8_t { kF16, kQ8_0 };

// One vector of 512 bits, a whole number of any shorter one: scores of a panel need no horizontal sums.
inline constexpr size_t kCachePanel = 16;

// Values kept per position, those past `dim` zero. Q8_0: whole blocks. F16: whole vectors.
constexpr size_t CachedDim(CacheType type, size_t dim) {
  const size_t unit = type == CacheType::kQ8_0 ? 32 : 16;
  return (dim + unit - 1) / unit * unit;
}

// Bytes of a panel; with D = CachedDim, i = position % kCachePanel and everything little-endian:
//   keys, F16:    half at d * 16 + i
//   keys, Q8_0:   byte at d / 4 * 64 + i * 4 + d % 4; after D * 16 of them the scales, half at d / 32 * 16 + i
//   values, F16:  half at i * D + d
//   values, Q8_0: byte at i * D + d; after D * 16 of them the scales, half at d / 32 * 16 + i
constexpr size_t CachePanelBytes(CacheType type, size_t dim) {
  const size_t values = CachedDim(type, dim) * kCachePanel;
  return type == CacheType::kQ8_0 ? values + values / 32 * sizeof(uint16_t) : values * sizeof(uint16_t);
}

// Panels of a key/value head with room for this many positions: whole blocks of attention, which reads (and ignores)
// what no query sees.
inline constexpr size_t kAttentionBlock = 64;
constexpr size_t CachePanels(size_t positions) {
  return (positions + kAttentionBlock - 1) / kAttentionBlock * (kAttentionBlock / kCachePanel);
}

}  // namespace mote::simd

#endif  // MOTE_SIMD_CACHE_LAYOUT_H_
