// Keys and values into the cache.
#include "simd/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/attention_cache.cc"
#include "hwy/foreach_target.h"
//
#include "simd/cache_write.h"
#include "simd/kernel_list-inl.h"

#if MOTE_VECTORS
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {

void CacheKey(CacheType type, const float* x, size_t dim, size_t position, uint8_t* panels) {
  WriteCachePosition(CacheSide::kKey, type, x, dim, position, panels, QuantizeA8, F32ToF16Row);
}

void CacheValue(CacheType type, const float* x, size_t dim, size_t position, uint8_t* panels) {
  WriteCachePosition(CacheSide::kValue, type, x, dim, position, panels, QuantizeA8, F32ToF16Row);
}

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
#endif
