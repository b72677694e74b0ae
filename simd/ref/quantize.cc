// Float rows to A8 rows, and to and from float16.
#include <math.h>
#include <string.h>

#include "quant/codec.h"
#include "simd/ref/reference.h"
#include "simd/row_layout.h"

namespace mote::simd::ref {

namespace {

// What a bad value must not do to its group.
float Clamped(float value) {
  return isnan(value) ? 0.0f : fminf(fmaxf(value, -kA8Largest), kA8Largest);
}

}  // namespace

void QuantizeR8(const float* x, size_t k, void* out) {
  float largest = 0;
  for (size_t i = 0; i < k; ++i) largest = fmaxf(largest, fabsf(Clamped(x[i])));
  const bool zero = largest < kA8Smallest;
  const float factor = zero ? 0.0f : 127.0f / largest;
  uint8_t* to = static_cast<uint8_t*>(out);
  memset(to, 0, R8RowBytes(k));
  R8Tail tail = {zero ? 0.0f : largest / 127.0f, 0};
  for (size_t i = 0; i < k; ++i) {
    const int code = static_cast<int>(nearbyintf(Clamped(x[i]) * factor));
    to[i] = static_cast<uint8_t>(static_cast<int8_t>(code));
    tail.minus_sum -= code;
  }
  memcpy(to + R8CodeBytes(k), &tail, sizeof(tail));
}

void QuantizeA8(const float* x, size_t k, size_t group, void* out) {
  uint8_t* at = static_cast<uint8_t*>(out);
  for (size_t begin = 0; begin < k; begin += group) {
    float values[256];
    float largest = 0;
    for (size_t i = 0; i < group; ++i) {
      const float value = x[begin + i];
      values[i] = Clamped(value);
      largest = fmaxf(largest, fabsf(values[i]));
    }
    // Below kA8Smallest the factor would overflow; such a group is zero.
    const bool zero = largest < kA8Smallest;
    const float factor = zero ? 0.0f : 127.0f / largest;
    const float scale = zero ? 0.0f : largest / 127.0f;
    for (size_t first = 0; first < group; first += 32) {
      A8Block block = {};
      block.scale = scale;
      for (size_t i = 0; i < 32; ++i) {
        const int code = static_cast<int>(nearbyintf(values[first + i] * factor));
        block.codes[i] = static_cast<int8_t>(code);
        block.minus_sum -= code;
        block.minus_half[i / 16] -= code;
      }
      block.start = A8Start(block.minus_sum);
      memcpy(at, &block, sizeof(block));
      at += sizeof(block);
    }
  }
}

void F32ToF16Row(const float* x, size_t n, uint16_t* out) {
  for (size_t i = 0; i < n; ++i) out[i] = F32ToF16(x[i]);
}

void F16ToF32Row(const uint16_t* x, size_t n, float* out) {
  for (size_t i = 0; i < n; ++i) out[i] = F16ToF32(x[i]);
}

}  // namespace mote::simd::ref
