// Activations and sums over a block, shared by several kernels.
#ifndef MOTE_TARGETS_CUDA_ACTIVATION_CUH_
#define MOTE_TARGETS_CUDA_ACTIVATION_CUH_

#include "targets/cuda/kernel_args.h"
#include "targets/cuda/vocabulary.h"

namespace mote::cuda {

// Formulas and their sources: simd/ref/elementwise.cc.
MOTE_DEVICE float Activate(uint8_t activation, float x) {
  switch (activation) {
    case kSilu:
      return x / (1.0f + expf(-x));
    case kGelu:
      return x * (0.5f * erfcf(x * -0.70710678f));
    case kGeluTanh:
      return 0.5f * x * (1.0f + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
    case kRelu:
      return x > 0 ? x : 0.0f;
    case kGeluQuick:
      return x / (1.0f + expf(-1.702f * x));
    default:
      return x;
  }
}

MOTE_DEVICE float WarpSum(float x) {
#pragma unroll
  for (int mask = 16; mask > 0; mask /= 2) x += ShuffleXor(x, mask);
  return x;
}
MOTE_DEVICE float WarpMax(float x) {
#pragma unroll
  for (int mask = 16; mask > 0; mask /= 2) x = fmaxf(x, ShuffleXor(x, mask));
  return x;
}

// Over all kThreads of a block, for all of them; `places` holds kThreads / 32 floats. Warps are added in their order.
template <int kThreads>
MOTE_DEVICE float BlockSum(float x, float* places) {
  x = WarpSum(x);
  if (threadIdx.x % kWarp == 0) places[threadIdx.x / kWarp] = x;
  SyncBlock();
  float sum = places[0];
  for (int warp = 1; warp < kThreads / kWarp; ++warp) sum += places[warp];
  SyncBlock();
  return sum;
}
template <int kThreads>
MOTE_DEVICE float BlockMax(float x, float* places) {
  x = WarpMax(x);
  if (threadIdx.x % kWarp == 0) places[threadIdx.x / kWarp] = x;
  SyncBlock();
  float most = places[0];
  for (int warp = 1; warp < kThreads / kWarp; ++warp) most = fmaxf(most, places[warp]);
  SyncBlock();
  return most;
}

// Whole numbers: the sum over the block, for all threads. `places`: kWarp words. The caller sees to it that nobody
// still reads them from a call before.
template <int kThreads>
MOTE_DEVICE uint32_t BlockAdd(uint32_t x, uint32_t* places) {
  x = WarpAdd(x);
  const uint32_t lane = threadIdx.x % kWarp;
  if (lane == 0) places[threadIdx.x / kWarp] = x;
  SyncBlock();
  return WarpAdd(lane < kThreads / kWarp ? places[lane] : 0);
}
// The same over the threads before the own one.
template <int kThreads>
MOTE_DEVICE uint32_t BlockAddBefore(uint32_t x, uint32_t* places) {
  const uint32_t lane = threadIdx.x % kWarp;
  const uint32_t warp = threadIdx.x / kWarp;
  uint32_t sum = x;  // of the warp up to the lane
#pragma unroll
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const uint32_t before = ShuffleFrom(sum, static_cast<int>(lane) - distance);
    if (lane >= static_cast<uint32_t>(distance)) sum += before;
  }
  if (lane == kWarp - 1) places[warp] = sum;
  SyncBlock();
  return WarpAdd(lane < warp ? places[lane] : 0) + sum - x;
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_ACTIVATION_CUH_
