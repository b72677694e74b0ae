// The inner loops of resizing, as a backend offers them (Backend::pixel_kernels, engine/graph/backend.h).
//
// Integer arithmetic: the same bytes on every machine. Plain arguments, no failure, nothing allocated; callable from
// any thread. Pointers may be unaligned.
#ifndef MOTE_ENGINE_GRAPH_PIXEL_KERNELS_H_
#define MOTE_ENGINE_GRAPH_PIXEL_KERNELS_H_

#include <stddef.h>
#include <stdint.h>

namespace mote {

// Weights are whole numbers of 2^-kPixelWeightBits; those of one output add up to about 1, and the sum of their
// magnitudes is below 2: a sum of weight * byte stays inside 32 bits.
inline constexpr int kPixelWeightBits = 22;

// Groups of rows of the horizontal pass: what a vector takes at once. Other numbers of rows also work.
inline constexpr size_t kPixelRowGroup = 4;

constexpr size_t PixelScratchBytes(size_t source_width) {
  return 4 * kPixelRowGroup * source_width + 64;
}

struct PixelKernels {
  // Horizontal: `rows` rows of RGB at source + i * source_stride, source_width pixels each, to out + i * out_stride,
  // out_width pixels each. For output pixel x, t = taps + x * tap_stride:
  //   out[x] = clamp((2^21 + sum over j < t[1] of t[2 + j] * source[t[0] + j]) >> 22) to 0..255, per channel
  // 1 <= t[1] and t[0] + t[1] <= source_width. `scratch`: PixelScratchBytes(source_width).
  void (*resize_rows)(const uint8_t* source, size_t source_stride, size_t source_width, size_t rows,
                      const int32_t* taps, size_t tap_stride, size_t out_width, uint8_t* out, size_t out_stride,
                      uint8_t* scratch);
  // Vertical: out[i] = clamp((2^21 + sum over j < count of weights[j] * rows[j][i]) >> 22) to 0..255, i < bytes.
  void (*blend_rows)(const uint8_t* const* rows, const int32_t* weights, size_t count, size_t bytes, uint8_t* out);
};

}  // namespace mote

#endif  // MOTE_ENGINE_GRAPH_PIXEL_KERNELS_H_
