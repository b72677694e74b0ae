// Resizing pictures: weighted sums of bytes in whole numbers, so that every row of the table gives the same bytes.
#include "simd/ref/reference.h"

namespace mote::simd::ref {
namespace {

constexpr int32_t kHalf = 1 << (kPixelWeightBits - 1);

uint8_t ToByte(int32_t sum) {
  const int32_t value = sum >> kPixelWeightBits;  // rounds down, also below 0
  return static_cast<uint8_t>(value < 0 ? 0 : value > 255 ? 255 : value);
}

}  // namespace

void ResizeRows(const uint8_t* source, size_t source_stride, size_t source_width, size_t rows, const int32_t* taps,
                size_t tap_stride, size_t out_width, uint8_t* out, size_t out_stride, uint8_t* scratch) {
  (void)source_width;
  (void)scratch;
  for (size_t row = 0; row < rows; ++row, source += source_stride, out += out_stride) {
    for (size_t x = 0; x < out_width; ++x) {
      const int32_t* tap = taps + x * tap_stride;
      const uint8_t* pixel = source + size_t{3} * static_cast<size_t>(tap[0]);
      int32_t r = kHalf, g = kHalf, b = kHalf;
      for (int32_t j = 0; j < tap[1]; ++j, pixel += 3) {
        r += tap[2 + j] * pixel[0];
        g += tap[2 + j] * pixel[1];
        b += tap[2 + j] * pixel[2];
      }
      out[3 * x] = ToByte(r);
      out[3 * x + 1] = ToByte(g);
      out[3 * x + 2] = ToByte(b);
    }
  }
}

void BlendRows(const uint8_t* const* rows, const int32_t* weights, size_t count, size_t bytes, uint8_t* out) {
  // So many sums at a time that they stay in the first cache, and the loop over bytes is the inner one.
  constexpr size_t kStrip = 256;
  int32_t sums[kStrip];
  for (size_t begin = 0; begin < bytes; begin += kStrip) {
    const size_t n = bytes - begin < kStrip ? bytes - begin : kStrip;
    for (size_t i = 0; i < n; ++i) sums[i] = kHalf;
    for (size_t j = 0; j < count; ++j) {
      const uint8_t* row = rows[j] + begin;
      const int32_t weight = weights[j];
      for (size_t i = 0; i < n; ++i) sums[i] += weight * row[i];
    }
    for (size_t i = 0; i < n; ++i) out[begin + i] = ToByte(sums[i]);
  }
}

}  // namespace mote::simd::ref
