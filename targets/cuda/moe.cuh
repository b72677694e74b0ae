// A mixture of experts between its products: who goes where, and back.
#ifndef MOTE_TARGETS_CUDA_MOE_CUH_
#define MOTE_TARGETS_CUDA_MOE_CUH_

#include "targets/cuda/row_ops.cuh"

namespace mote::cuda {

// Softmax of the router, the best `used` experts of a row and their weights. Grid: rows; one warp.
MOTE_KERNEL(kWarp, 1) RouteKernel(const RouteArgs args) {
  LetNextBegin();
  WaitForPrevious();
  const uint32_t row = blockIdx.x;
  if (row >= args.counts->rows[args.rows_kind]) return;
  const uint32_t lane = threadIdx.x;
  float* p = args.probabilities + static_cast<uint64_t>(row) * args.experts;
  float most = -INFINITY;
  for (uint32_t e = lane; e < args.experts; e += kWarp) most = fmaxf(most, p[e]);
  most = WarpMax(most);
  float sum = 0;
  for (uint32_t e = lane; e < args.experts; e += kWarp) {
    p[e] = expf(p[e] - most);
    sum += p[e];
  }
  const float factor = 1.0f / WarpSum(sum);
  for (uint32_t e = lane; e < args.experts; e += kWarp) p[e] *= factor;
  SyncWarp();
  float chosen_sum = 0;
  uint32_t* expert = args.expert + static_cast<uint64_t>(row) * args.used;
  float* weight = args.weight + static_cast<uint64_t>(row) * args.used;
  for (uint32_t i = 0; i < args.used; ++i) {
    // The largest, of equals the first; those chosen before are below zero, and so is NaN's turn: last.
    float best = -2;
    uint32_t which = args.experts;
    for (uint32_t e = lane; e < args.experts; e += kWarp) {
      if (p[e] > best) {
        best = p[e];
        which = e;
      }
    }
    const float best_of_all = WarpMax(best);
    float first = best == best_of_all ? -static_cast<float>(which) : -INFINITY;
    first = WarpMax(first);
    const uint32_t taken =
        first == -INFINITY || -first >= static_cast<float>(args.experts) ? 0 : static_cast<uint32_t>(-first);
    const float value = fmaxf(best_of_all, 0.0f);
    chosen_sum += value;
    if (lane == 0) {
      expert[i] = taken;
      weight[i] = value;
      p[taken] = -1;
    }
    SyncWarp();
  }
  const float scale = (args.normalize != 0 && chosen_sum > 0 ? 1.0f / chosen_sum : 1.0f) * args.weight_scale;
  if (lane == 0) {
    for (uint32_t i = 0; i < args.used; ++i) weight[i] *= scale;
  }
}

inline constexpr int kSortThreads = 256;

// Counting sort of all (row, chosen expert) pairs by expert, rows in order. Grid: 1; a thread has experts.
MOTE_KERNEL(kSortThreads, 1) SortKernel(const RouteArgs args) {
  LetNextBegin();
  WaitForPrevious();
  const uint32_t pairs = args.counts->rows[args.rows_kind] * args.used;
  for (uint32_t e = threadIdx.x; e < args.experts; e += kSortThreads) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < pairs; ++i) count += args.expert[i] == e ? 1 : 0;
    args.first[e + 1] = count;
  }
  SyncBlock();
  if (threadIdx.x == 0) {
    args.first[0] = 0;
    for (uint32_t e = 0; e < args.experts; ++e) args.first[e + 1] += args.first[e];
  }
  SyncBlock();
  for (uint32_t e = threadIdx.x; e < args.experts; e += kSortThreads) {
    uint32_t slot = args.first[e];
    for (uint32_t i = 0; i < pairs; ++i) {
      if (args.expert[i] != e) continue;
      args.slot[i] = slot;
      args.row_of_slot[slot++] = i / args.used;
    }
  }
}

// Grid: rows. Best expert first: an order that depends on the row alone.
MOTE_KERNEL(kRowThreads, 1) CombineKernel(const CombineArgs args) {
  LetNextBegin();
  WaitForPrevious();
  const uint32_t row = blockIdx.x;
  if (row >= args.counts->rows[args.rows_kind]) return;
  for (uint32_t c = threadIdx.x; c < args.cols; c += kRowThreads) {
    float sum = 0;
    for (uint32_t i = 0; i < args.used; ++i) {
      const uint64_t pair = static_cast<uint64_t>(row) * args.used + i;
      sum = fmaf(args.weight[pair], args.down[static_cast<uint64_t>(args.slot[pair]) * args.cols + c], sum);
    }
    args.out[static_cast<uint64_t>(row) * args.cols + c] = sum;
  }
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_MOE_CUH_
