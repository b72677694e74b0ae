// Matrix products with float32 weights.
#ifndef MOTE_TARGETS_CUDA_MATMUL_FLOAT_CUH_
#define MOTE_TARGETS_CUDA_MATMUL_FLOAT_CUH_

#include "targets/cuda/matmul.cuh"

namespace mote::cuda {

// float32 weights (towers' first layers, small models, routers): a warp has a row, a lane every 32nd column of it.
inline constexpr uint32_t kFloatThreads = 256;
inline constexpr uint32_t kFloatRows = 16;  // of a block
inline constexpr uint32_t kFloatTokens = 8;

MOTE_KERNEL(kFloatThreads, 2) FloatWeightsKernel(const MatMulArgs args) {
  LetNextBegin();
  WaitForPrevious();
  const TokenRange all = TokensOfBlock(args, blockIdx.y, kFloatTokens);
  if (all.first >= all.end) return;
  const MatrixArgs& matrix = MatrixOfTile(args, blockIdx.x);
  const uint32_t lane = threadIdx.x % kWarp;
  const float* weights = reinterpret_cast<const float*>(
      matrix.weights + (args.experts.first == nullptr ? 0 : blockIdx.y * args.experts.weight_bytes));
  for (uint32_t i = threadIdx.x / kWarp; i < kFloatRows; i += kFloatThreads / kWarp) {
    const uint32_t row = (blockIdx.x - matrix.first_tile) * kFloatRows + i;
    if (row >= matrix.rows) continue;  // the whole warp
    const float* w = weights + static_cast<uint64_t>(row) * args.cols;
    for (uint32_t first = all.first; first < all.end; first += kFloatTokens) {
      const float* x[kFloatTokens];
      float sum[kFloatTokens] = {};
#pragma unroll
      for (uint32_t m = 0; m < kFloatTokens; ++m) {
        x[m] = reinterpret_cast<const float*>(ActRow(args, first + m < all.end ? first + m : all.end - 1));
      }
      for (uint32_t k = lane; k < args.cols; k += kWarp) {
        const float value = w[k];
#pragma unroll
        for (uint32_t m = 0; m < kFloatTokens; ++m) sum[m] = fmaf(value, x[m][k], sum[m]);
      }
#pragma unroll
      for (uint32_t m = 0; m < kFloatTokens; ++m) {
        const float whole = WarpSum(sum[m]);
        if (lane == 0 && first + m < all.end) StoreOutput(args, matrix, row, first + m, whole, 1);
      }
    }
  }
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_MATMUL_FLOAT_CUH_
