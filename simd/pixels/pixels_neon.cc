#include "simd/pixels/pixels.h"

#if defined(__aarch64__)
#include "simd/pixels/pixels-inl.h"

namespace mote::simd::pixels_neon {

void ResizeRows(const uint8_t* source, size_t source_stride, size_t source_width, size_t rows, const int32_t* taps,
                size_t tap_stride, size_t out_width, uint8_t* out, size_t out_stride, uint8_t* scratch) {
  ResizeRowsOf(source, source_stride, source_width, rows, taps, tap_stride, out_width, out, out_stride, scratch);
}
void BlendRows(const uint8_t* const* rows, const int32_t* weights, size_t count, size_t bytes, uint8_t* out) {
  BlendRowsOf(rows, weights, count, bytes, out);
}

}  // namespace mote::simd::pixels_neon
#endif
