// The picture kernels of one instruction set each: resize_rows and blend_rows of simd/kernels.h.
//
// Written with xsimd, which has no instruction set for wasm: that row has the scalar twins. xsimd chooses instructions
// by the compiler's flags, so each instruction set is a file of its own with flags of its own (cmake/MoteRooms.cmake).
#ifndef MOTE_SIMD_PIXELS_PIXELS_H_
#define MOTE_SIMD_PIXELS_PIXELS_H_

#include <stddef.h>
#include <stdint.h>

#define MOTE_DECLARE_PIXELS(name)                                                                                     \
  namespace mote::simd::name {                                                                                        \
  void ResizeRows(const uint8_t* source, size_t source_stride, size_t source_width, size_t rows, const int32_t* taps, \
                  size_t tap_stride, size_t out_width, uint8_t* out, size_t out_stride, uint8_t* scratch);            \
  void BlendRows(const uint8_t* const* rows, const int32_t* weights, size_t count, size_t bytes, uint8_t* out);       \
  }                                                                                                                   \
  static_assert(true, "For requiring trailing semicolon")

MOTE_DECLARE_PIXELS(pixels_sse4);
MOTE_DECLARE_PIXELS(pixels_avx2);
MOTE_DECLARE_PIXELS(pixels_neon);

#endif  // MOTE_SIMD_PIXELS_PIXELS_H_
