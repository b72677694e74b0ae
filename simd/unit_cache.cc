// Keys of 16 positions at once into their panel, dimension by dimension: for rows that are read (simd/unit.h).
#include "simd/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/unit_cache.cc"
#include "hwy/foreach_target.h"
//
#include "simd/unit-inl.h"

#if MOTE_VECTORS && HWY_TARGET == HWY_AVX3_DL && HWY_ARCH_X86_64
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {

void CachePanelOfKeys(const float* x, size_t stride, size_t dim, uint8_t* panel);

// 16 dimensions of all positions as halves, row by row; then two dimensions of each position are a word.
void CachePanelOfKeys(const float* x, size_t stride, size_t dim, uint8_t* panel) {
  static_assert(kCachePanel == kLanes);
  const DF d;
  const DU32 d32;
  const size_t cached = CachedDim(CacheType::kF16, dim);  // whole vectors
  HWY_ALIGN uint16_t halves[kCachePanel][kLanes];
  const VI32 rows = hn::Mul(hn::Iota(DI32(), 0), hn::Set(DI32(), kLanes / 2));
  for (size_t begin = 0; begin < cached; begin += kLanes) {
    for (size_t p = 0; p < kCachePanel; ++p) {
      const float* from = x + p * stride + begin;
      StoreF16(begin + kLanes <= dim ? hn::LoadU(d, from) : LoadPartial(d, from, dim - begin), d, halves[p]);
    }
    uint8_t* to = panel + begin * kCachePanel * sizeof(uint16_t);
    for (size_t i = 0; i < kLanes; i += 2) {
      const VU32 both = hn::GatherIndex(d32, reinterpret_cast<const uint32_t*>(&halves[0][i]), rows);
      StoreLowHalves(both, to + i * kCachePanel * sizeof(uint16_t));
      StoreHalves(both, to + (i + 1) * kCachePanel * sizeof(uint16_t));
    }
  }
}

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
