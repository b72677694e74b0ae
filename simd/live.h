// Products of one token that pass over the values of k whose activations are zero: dynamic sparsity. What
// simd/kernels.h says of arguments, memory and determinism holds here too.
//
// In a panel the rows of one value of k (floats) or of four (Q8_0) lie side by side, so that what is passed over is
// contiguous: 64 bytes of F16 on AVX2, 32 of Q8_0. In a block-sparse int8 matrix whose places are all kept it is a
// block of 64 bytes on every instruction set; SparseMatMulArgs::same_places is for that.
#ifndef MOTE_SIMD_LIVE_H_
#define MOTE_SIMD_LIVE_H_

#include <stddef.h>
#include <stdint.h>

#include "quant/dtype.h"
#include "simd/kernels.h"

namespace mote::simd {

// Values of k that are passed over together; 0 where there is no such product with this type.
constexpr size_t LiveStep(DType type) {
  return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16 ? 1 : type == DType::kQ8_0 ? 4 : 0;
}

// out[n] = sum over the live k of acts[k] * weights[n][k], for n in [0, rows).
struct LiveMatMulArgs {
  const uint8_t* panels = nullptr;  // as for MatMulArgs; what lies after them, for a panel, may be prefetched
  size_t rows = 0;
  size_t k = 0;
  const void* acts = nullptr;  // one row: float (K), or A8 where UsesA8(type); zero wherever it is not live
  // Steps of LiveStep(type) values, ascending: step s is the values s * LiveStep and on.
  const uint32_t* live = nullptr;
  size_t num_live = 0;
  float* out = nullptr;
};
// The same bits as KernelTable::matmul of the type, as long as no weight is infinite or NaN.
using LiveMatMulFn = void (*)(const LiveMatMulArgs& args);

struct LiveKernels {
  LiveMatMulFn f32;
  LiveMatMulFn f16;
  LiveMatMulFn bf16;
  LiveMatMulFn q8_0;

  // Null where LiveStep is 0.
  LiveMatMulFn Of(DType type) const {
    return type == DType::kF32    ? f32
           : type == DType::kF16  ? f16
           : type == DType::kBF16 ? bf16
           : type == DType::kQ8_0 ? q8_0
                                  : nullptr;
  }
};

// Those of the same instruction set.
const LiveKernels& LiveKernelsOf(const KernelTable& table);

}  // namespace mote::simd

#endif  // MOTE_SIMD_LIVE_H_
