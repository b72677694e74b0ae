// The readable scalar twin of every kernel: the fallback row "scalar", and the oracle of the vector rows' tests.
// Contracts are those of the KernelTable members of the same name in simd/kernels.h.
#ifndef MOTE_SIMD_REF_REFERENCE_H_
#define MOTE_SIMD_REF_REFERENCE_H_

#include <stddef.h>
#include <stdint.h>

#include "quant/dtype.h"
#include "simd/kernels.h"

namespace mote::simd::ref {

extern const KernelTable kRow;

// One function per weight type, all from one template: matmul.cc.
template <DType kType>
void MatMul(const MatMulArgs& args);

void Pack(const PackArgs& args);
void MatMulI8(const MatMulArgs& args);
void QuantizeA8(const float* x, size_t k, size_t group, void* out);
void QuantizeR8(const float* x, size_t k, void* out);
void RmsNorm(const float* x, const float* weight, size_t n, float epsilon, float* out);
void LayerNorm(const float* x, const float* weight, const float* bias, size_t n, float epsilon, float* out);
void RopeAdjacent(float* x, const float* cos, const float* sin, size_t pairs);
void RopeSplit(float* x, const float* cos, const float* sin, size_t pairs);
void Attention(const AttentionArgs& args);
void AttentionSplit(const AttentionArgs& args, size_t split, float* result);
void AttentionJoin(const AttentionArgs& args, const float* results);
void CacheKey(CacheType type, const float* x, size_t dim, size_t position, uint8_t* panels);
void CacheValue(CacheType type, const float* x, size_t dim, size_t position, uint8_t* panels);
void Gate(Activation activation, const float* gate, const float* up, size_t n, float* out);
void Add(const float* a, const float* b, size_t n, float* out);
void Mul(const float* a, const float* b, size_t n, float* out);
void Scale(const float* x, float factor, size_t n, float* out);
void AddScaled(const float* x, float factor, size_t n, float* inout);
void Softcap(const float* x, float cap, size_t n, float* out);
void Softmax(const float* x, size_t n, float* out);
void F32ToF16Row(const float* x, size_t n, uint16_t* out);
void F16ToF32Row(const uint16_t* x, size_t n, float* out);
void TopK(const float* x, size_t n, size_t k, int32_t* indices, float* values);
float Max(const float* x, size_t n);
void ResizeRows(const uint8_t* source, size_t source_stride, size_t source_width, size_t rows, const int32_t* taps,
                size_t tap_stride, size_t out_width, uint8_t* out, size_t out_stride, uint8_t* scratch);
void BlendRows(const uint8_t* const* rows, const int32_t* weights, size_t count, size_t bytes, uint8_t* out);

// True if (value a, index ia) comes before (b, ib) in the order of TopK: larger first, ties to the lower index, NaN
// last.
inline bool ComesBefore(float a, int32_t ia, float b, int32_t ib) {
  const bool a_is_nan = a != a;
  const bool b_is_nan = b != b;
  if (a_is_nan || b_is_nan) return a_is_nan == b_is_nan ? ia < ib : b_is_nan;
  return a > b || (a == b && ia < ib);
}
// Sorts `count` (value, index) pairs into the order of TopK, in place, in O(count log count) whatever the input. The
// vector rows filter with vectors and share this for the few candidates that are left.
void SortDescending(int32_t* indices, float* values, size_t count);

}  // namespace mote::simd::ref

#endif  // MOTE_SIMD_REF_REFERENCE_H_
