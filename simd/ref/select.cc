// The largest values of a row.
#include <math.h>

#include "simd/ref/reference.h"

namespace mote::simd::ref {
namespace {

void Swap(int32_t* indices, float* values, size_t a, size_t b) {
  const int32_t index = indices[a];
  const float value = values[a];
  indices[a] = indices[b];
  values[a] = values[b];
  indices[b] = index;
  values[b] = value;
}

bool Before(const int32_t* indices, const float* values, size_t a, size_t b) {
  return ComesBefore(values[a], indices[a], values[b], indices[b]);
}

// Restores the heap below `parent`; its root is the pair that comes last.
void SiftDown(int32_t* indices, float* values, size_t parent, size_t count) {
  for (;;) {
    size_t child = 2 * parent + 1;
    if (child >= count) return;
    if (child + 1 < count && Before(indices, values, child, child + 1)) ++child;
    if (!Before(indices, values, parent, child)) return;
    Swap(indices, values, parent, child);
    parent = child;
  }
}

}  // namespace

void SortDescending(int32_t* indices, float* values, size_t count) {
  for (size_t i = count / 2; i-- > 0;) SiftDown(indices, values, i, count);
  for (size_t last = count; last-- > 1;) {
    Swap(indices, values, 0, last);
    SiftDown(indices, values, 0, last);
  }
}

void TopK(const float* x, size_t n, size_t k, int32_t* indices, float* values) {
  if (k == 0) return;
  const size_t capacity = 2 * k + 64;  // of the caller's arrays
  size_t count = 0;
  bool full = false;  // once true, the first k are the best so far and the k-th is the bar to pass
  for (size_t i = 0; i < n; ++i) {
    if (full && !ComesBefore(x[i], static_cast<int32_t>(i), values[k - 1], indices[k - 1])) continue;
    indices[count] = static_cast<int32_t>(i);
    values[count] = x[i];
    if (++count == capacity) {
      SortDescending(indices, values, count);
      count = k;
      full = true;
    }
  }
  SortDescending(indices, values, count);
}

float Max(const float* x, size_t n) {
  float largest = -INFINITY;
  for (size_t i = 0; i < n; ++i) largest = fmaxf(largest, x[i]);
  return largest;
}

}  // namespace mote::simd::ref
