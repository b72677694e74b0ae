// The largest values of a row. Vectors look for the few candidates; ref/ sorts them.
#include "simd/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/select.cc"
#include "hwy/foreach_target.h"
//
#include <math.h>

#include "simd/kernel_list-inl.h"
#include "simd/ref/reference.h"

#if MOTE_VECTORS
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {

// As ref::TopK, except that a vector without a candidate is passed over at once. After the first sort the bar is
// values[k - 1]; a later value that equals it loses by its index, so > decides. A bar of NaN is passed by every number.
void TopK(const float* x, size_t n, size_t k, int32_t* indices, float* values) {
  if (k == 0) return;
  const DF d;
  const size_t capacity = 2 * k + 64;  // of the caller's arrays
  size_t count = 0;
  bool full = false;
  for (size_t i = 0; i < n; i += kLanes) {
    const size_t lanes = n - i < kLanes ? n - i : kLanes;
    if (full && lanes == kLanes) {
      const VF v = hn::LoadU(d, x + i);
      const VF bar = hn::Set(d, values[k - 1]);
      if (hn::AllFalse(d, values[k - 1] == values[k - 1] ? hn::Gt(v, bar) : hn::Eq(v, v))) continue;
    }
    for (size_t j = i; j < i + lanes; ++j) {
      if (full && !ref::ComesBefore(x[j], static_cast<int32_t>(j), values[k - 1], indices[k - 1])) continue;
      indices[count] = static_cast<int32_t>(j);
      values[count] = x[j];
      if (++count == capacity) {
        ref::SortDescending(indices, values, count);
        count = k;
        full = true;
      }
    }
  }
  ref::SortDescending(indices, values, count);
}

float Max(const float* x, size_t n) {
  const DF d;
  const VF lowest = hn::Set(d, -INFINITY);
  VF largest = lowest;
  size_t i = 0;
  // NaN compares false: it never replaces what is there.
  for (; i + kLanes <= n; i += kLanes) {
    const VF v = hn::LoadU(d, x + i);
    largest = hn::IfThenElse(hn::Gt(v, largest), v, largest);
  }
  if (i < n) {
    const VF v = hn::IfThenElse(hn::FirstN(d, n - i), LoadPartial(d, x + i, n - i), lowest);
    largest = hn::IfThenElse(hn::Gt(v, largest), v, largest);
  }
  return hn::GetLane(hn::MaxOfLanes(d, largest));
}

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
