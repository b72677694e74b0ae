// Scalar encode and decode of every number format: the readable definition, and the oracle for the kernels in simd/.
//
// Decoding is bit-exact to the published formats (ggml-org/ggml, the *_reference functions): the same operations in
// the same order in float32, no fused multiply-add.
#ifndef MOTE_QUANT_CODEC_H_
#define MOTE_QUANT_CODEC_H_

#include <stddef.h>
#include <stdint.h>

#include "quant/dtype.h"

namespace mote {

float F16ToF32(uint16_t bits);      // exact, subnormals too; NaN keeps its payload and becomes quiet
uint16_t F32ToF16(float value);     // round to nearest even; overflow gives infinity; NaN stays NaN
float BF16ToF32(uint16_t bits);     // exact
uint16_t F32ToBF16(float value);    // round to nearest even; NaN stays NaN
float E8M0ToF32Half(uint8_t bits);  // MXFP4's block scale, halved: 2^(bits-128)

// `values` must be a multiple of the type's block_values; src holds RowBytes(type, values) bytes, no alignment needed.
// The type must have is_weight. A kI8Row is decoded and encoded whole: its one scale follows all of its codes.
void DecodeRow(DType type, const void* src, float* dst, size_t values);
// The inverse, by the published reference method (round to nearest for the simple types, error-minimising search of
// scales for K and IQ4 types). False, dst unspecified: NaN or infinity in src, or a magnitude that the format cannot
// hold (a scale beyond float16, a value beyond float16 or bfloat16).
bool EncodeRow(DType type, const float* src, void* dst, size_t values);
// The same where errors do not count alike: `importance` (values) says how much the square of each column's error
// matters. Positive and finite, about 1 on average, from 1e-3 to 1e6. Formats that search their scales (K, IQ4), and
// Q4_0, Q4_1, Q5_0 and Q5_1, choose scales and codes for the least weighted error; the others give what EncodeRow
// gives.
// kI8Row's: scale = largest magnitude / 127, codes rounded to nearest even.
bool EncodeRowWeighted(DType type, const float* src, const float* importance, void* dst, size_t values);

}  // namespace mote

#endif  // MOTE_QUANT_CODEC_H_
