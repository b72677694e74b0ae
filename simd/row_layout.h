// How a table row is put together, and the constants that all rows share.
#ifndef MOTE_SIMD_ROW_LAYOUT_H_
#define MOTE_SIMD_ROW_LAYOUT_H_

#include <stddef.h>
#include <stdint.h>

#include "simd/kernels.h"

namespace mote::simd {

// A group of 32 activations whose largest magnitude is below 2^-100 becomes zero: 127 / largest would come near to
// overflow, and the scale near to the subnormals.
inline constexpr float kA8Smallest = 0x1p-100f;
// Larger magnitudes, infinity included, are clamped to this: sums of 16 values must stay finite. NaN becomes zero.
inline constexpr float kA8Largest = 0x1p120f;

template <class Function>
struct KernelOf {
  DType type;
  Function function;
};
using WeightKernel = KernelOf<MatMulFn>;

// `row` with its products filled in. Constant-evaluated: a table is data, not code that runs before main().
template <class Row = KernelTable, class Kernel, size_t kCount>
consteval Row WithMatMul(Row row, const Kernel (&kernels)[kCount]) {
  for (const Kernel& kernel : kernels) row.matmul[MatMulIndex(kernel.type)] = kernel.function;
  return row;
}

}  // namespace mote::simd

#endif  // MOTE_SIMD_ROW_LAYOUT_H_
