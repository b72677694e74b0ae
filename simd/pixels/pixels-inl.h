// resize_rows and blend_rows for one of xsimd's instruction sets. Included once by each pixels_*.cc.
//
// Both passes multiply bytes, widened, by 24-bit weights and add in 32 bits: exact, so that every instruction set gives
// the bytes of simd/ref/pixels.cc.
//
// Time of simd/ref over that of xsimd's AVX2, 1920 x 1080 to 512 x 512 on one thread, median of 21 rounds in turn (AMD
// EPYC, Zen 3, two virtual cores, busy with other work; g++ 12.2 -O3; 2026-11-25):
//   simd/ref as it is built (SSE2): bicubic 5.1 (14.9 ms to 2.9), Lanczos 5.5 (23.3 ms to 4.2)
//   simd/ref vectorised by g++ for AVX2: bicubic 4.2, Lanczos 3.8
// xsimd's SSE4.1 is 2.9 times as fast as simd/ref. AVX-512 machines run the AVX2 code: not measured there.
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <xsimd/xsimd.hpp>

#include "simd/kernels.h"

namespace mote::simd {
namespace {

// xsimd 8.1 converts between 8 and 32 bits through memory, number by number: these do it in one or two instructions.
#if defined(__AVX2__)
using Isa = xsimd::avx2;
using Sums = xsimd::batch<int32_t, Isa>;
Sums LoadBytes(const uint8_t* p) {
  return Sums(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
// Four batches in a row to bytes, saturated.
void StoreBytes(const Sums (&v)[4], uint8_t* p) {
  const __m256i low = _mm256_packs_epi32(v[0], v[1]), high = _mm256_packs_epi32(v[2], v[3]);
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);  // packs work in halves
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm256_permutevar8x32_epi32(_mm256_packus_epi16(low, high), order));
}
#elif defined(__SSE4_1__)
using Isa = xsimd::sse4_1;
using Sums = xsimd::batch<int32_t, Isa>;
Sums LoadBytes(const uint8_t* p) {
  int32_t bytes;
  memcpy(&bytes, p, sizeof(bytes));
  return Sums(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(bytes)));
}
void StoreBytes(const Sums (&v)[4], uint8_t* p) {
  const __m128i low = _mm_packs_epi32(v[0], v[1]), high = _mm_packs_epi32(v[2], v[3]);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(low, high));
}
#else
using Isa = xsimd::neon64;
using Sums = xsimd::batch<int32_t, Isa>;
Sums LoadBytes(const uint8_t* p) {
  uint32_t bytes;
  memcpy(&bytes, p, sizeof(bytes));
  const uint8x8_t narrow = vreinterpret_u8_u32(vdup_n_u32(bytes));
  return Sums(vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(narrow)))));
}
void StoreBytes(const Sums (&v)[4], uint8_t* p) {
  const int16x8_t low = vcombine_s16(vqmovn_s32(v[0]), vqmovn_s32(v[1]));
  const int16x8_t high = vcombine_s16(vqmovn_s32(v[2]), vqmovn_s32(v[3]));
  vst1q_u8(p, vcombine_u8(vqmovun_s16(low), vqmovun_s16(high)));
}
#endif

constexpr size_t kLanes = Sums::size;
constexpr int32_t kHalf = 1 << (kPixelWeightBits - 1);
constexpr size_t kGroupBytes = 4 * kPixelRowGroup;  // of scratch per source pixel
constexpr size_t kBatches = kGroupBytes / kLanes;   // that hold a pixel of each row of a group

// Four rows side by side: (pixel, row, r g b and a byte that does not matter). The last row again where there are
// fewer.
void Gather(const uint8_t* source, size_t stride, size_t width, size_t rows, uint8_t* scratch) {
  for (size_t row = 0; row < kPixelRowGroup; ++row) {
    const uint8_t* from = source + (row < rows ? row : rows - 1) * stride;
    uint8_t* to = scratch + 4 * row;
    for (size_t x = 0; x + 1 < width; ++x, from += 3, to += kGroupBytes) memcpy(to, from, 4);
    memcpy(to, from, 3);
    to[3] = 0;
  }
}

// One output pixel of each of the four rows.
void SumTaps(const uint8_t* pixels, const int32_t* weights, size_t count, Sums (&sums)[kBatches]) {
  for (size_t b = 0; b < kBatches; ++b) sums[b] = Sums(kHalf);
  for (size_t j = 0; j < count; ++j, pixels += kGroupBytes) {
    const Sums weight(weights[j]);
    for (size_t b = 0; b < kBatches; ++b) sums[b] += weight * LoadBytes(pixels + b * kLanes);
  }
}

void ResizeRowsOf(const uint8_t* source, size_t source_stride, size_t source_width, size_t rows, const int32_t* taps,
                  size_t tap_stride, size_t out_width, uint8_t* out, size_t out_stride, uint8_t* scratch) {
  for (size_t done = 0; done < rows; done += kPixelRowGroup) {
    const size_t group = rows - done < kPixelRowGroup ? rows - done : kPixelRowGroup;
    Gather(source + done * source_stride, source_stride, source_width, group, scratch);
    for (size_t x = 0; x < out_width; ++x) {
      const int32_t* tap = taps + x * tap_stride;
      Sums sums[4] = {};  // kBatches of them
      Sums(&used)[kBatches] = reinterpret_cast<Sums(&)[kBatches]>(sums);
      SumTaps(scratch + kGroupBytes * static_cast<size_t>(tap[0]), tap + 2, static_cast<size_t>(tap[1]), used);
      for (Sums& sum : used) sum = sum >> kPixelWeightBits;
      uint8_t bytes[4 * kLanes];
      StoreBytes(sums, bytes);
      // Four bytes where a next pixel follows to overwrite the fourth.
      for (size_t row = 0; row < group; ++row) {
        uint8_t* to = out + (done + row) * out_stride + 3 * x;
        if (x + 1 < out_width) {
          memcpy(to, bytes + 4 * row, 4);
        } else {
          memcpy(to, bytes + 4 * row, 3);
        }
      }
    }
  }
}

void BlendRowsOf(const uint8_t* const* rows, const int32_t* weights, size_t count, size_t bytes, uint8_t* out) {
  size_t i = 0;
  for (; i + 4 * kLanes <= bytes; i += 4 * kLanes) {
    Sums sums[4] = {Sums(kHalf), Sums(kHalf), Sums(kHalf), Sums(kHalf)};
    for (size_t j = 0; j < count; ++j) {
      const Sums weight(weights[j]);
      const uint8_t* row = rows[j] + i;
      for (size_t b = 0; b < 4; ++b) sums[b] += weight * LoadBytes(row + b * kLanes);
    }
    for (Sums& sum : sums) sum = sum >> kPixelWeightBits;
    StoreBytes(sums, out + i);
  }
  for (; i < bytes; ++i) {
    int32_t sum = kHalf;
    for (size_t j = 0; j < count; ++j) sum += weights[j] * rows[j][i];
    const int32_t value = sum >> kPixelWeightBits;
    out[i] = static_cast<uint8_t>(value < 0 ? 0 : value > 255 ? 255 : value);
  }
}

}  // namespace
}  // namespace mote::simd
