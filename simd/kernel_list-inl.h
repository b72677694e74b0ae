// The kernels of one instruction set, as row.cc collects them and as each <op>.cc defines its part of them.
#if defined(MOTE_SIMD_KERNEL_LIST_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MOTE_SIMD_KERNEL_LIST_INL_H_
#undef MOTE_SIMD_KERNEL_LIST_INL_H_
#else
#define MOTE_SIMD_KERNEL_LIST_INL_H_
#endif

#include "simd/kernels.h"
#include "simd/primitives-inl.h"

#if MOTE_VECTORS
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {

extern const KernelTable kRow;

void MatMulF32(const MatMulArgs& args);
void MatMulF16(const MatMulArgs& args);
void MatMulBF16(const MatMulArgs& args);
void MatMulQ4_0(const MatMulArgs& args);
void MatMulQ4_1(const MatMulArgs& args);
void MatMulQ5_0(const MatMulArgs& args);
void MatMulQ5_1(const MatMulArgs& args);
void MatMulQ8_0(const MatMulArgs& args);
void MatMulQ2_K(const MatMulArgs& args);
void MatMulQ3_K(const MatMulArgs& args);
void MatMulQ4_K(const MatMulArgs& args);
void MatMulQ5_K(const MatMulArgs& args);
void MatMulQ6_K(const MatMulArgs& args);
void MatMulIQ4_NL(const MatMulArgs& args);
void MatMulIQ4_XS(const MatMulArgs& args);
void MatMulMXFP4(const MatMulArgs& args);
void MatMulI8(const MatMulArgs& args);
void MatMulI8Unit(const MatMulArgs& args);  // where there is a matrix unit

void QuantizeA8(const float* x, size_t k, size_t group, void* out);
void QuantizeR8(const float* x, size_t k, void* out);
void F32ToF16Row(const float* x, size_t n, uint16_t* out);
void F16ToF32Row(const uint16_t* x, size_t n, float* out);

void RmsNorm(const float* x, const float* weight, size_t n, float epsilon, float* out);
void LayerNorm(const float* x, const float* weight, const float* bias, size_t n, float epsilon, float* out);
void RopeAdjacent(float* x, const float* cos, const float* sin, size_t pairs);
void RopeSplit(float* x, const float* cos, const float* sin, size_t pairs);
void Gate(Activation activation, const float* gate, const float* up, size_t n, float* out);
void Add(const float* a, const float* b, size_t n, float* out);
void Mul(const float* a, const float* b, size_t n, float* out);
void Scale(const float* x, float factor, size_t n, float* out);
void AddScaled(const float* x, float factor, size_t n, float* inout);
void Softcap(const float* x, float cap, size_t n, float* out);
void Softmax(const float* x, size_t n, float* out);

void Attention(const AttentionArgs& args);
void AttentionSplit(const AttentionArgs& args, size_t split, float* result);
void AttentionJoin(const AttentionArgs& args, const float* results);
void CacheKey(CacheType type, const float* x, size_t dim, size_t position, uint8_t* panels);
void CacheValue(CacheType type, const float* x, size_t dim, size_t position, uint8_t* panels);

void TopK(const float* x, size_t n, size_t k, int32_t* indices, float* values);
float Max(const float* x, size_t n);

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
#endif  // MOTE_VECTORS

#endif  // MOTE_SIMD_KERNEL_LIST_INL_H_
