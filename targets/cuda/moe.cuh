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
// Warps that sort: each has counts of all experts in shared memory, of which every GPU has so much.
constexpr uint32_t SortWarps(uint32_t experts) {
  const uint32_t warps = (32u << 10) / (experts * static_cast<uint32_t>(sizeof(uint32_t)));
  const uint32_t most = kSortThreads / kWarp;
  return warps == 0 ? 1 : warps < most ? warps : most;
}
constexpr uint32_t SortShared(uint32_t experts) {
  return (2 * kWarp + SortWarps(experts) * experts) * static_cast<uint32_t>(sizeof(uint32_t));
}

// f(pair, its expert, lanes of the warp with the same expert) for the pairs of one warp, a warp's worth at a time.
// Lanes without a pair come along with an expert that there is not.
template <class F>
MOTE_DEVICE void EachPair(const RouteArgs& args, uint32_t begin, uint32_t end, F f) {
  for (uint32_t first = begin; first < end; first += kWarp) {
    const uint32_t pair = first + threadIdx.x % kWarp;
    const uint32_t expert = pair < end ? args.expert[pair] : UINT32_MAX;
    f(pair, expert, LanesLike(expert));
    SyncWarp();
  }
}

// Counting sort of all (row, chosen expert) pairs by expert, rows in order. Grid: 1. A warp has a stretch of the pairs:
// it counts them, the counts before its own tell where its pairs of an expert go, and it takes them there.
MOTE_KERNEL(kSortThreads, 1) SortKernel(const RouteArgs args) {
  LetNextBegin();
  WaitForPrevious();
  const uint32_t pairs = args.counts->rows[args.rows_kind] * args.used;
  const uint32_t warps = SortWarps(args.experts);
  const uint32_t warp = threadIdx.x / kWarp;
  const uint32_t lane = threadIdx.x % kWarp;
  uint32_t* places = reinterpret_cast<uint32_t*>(SharedMemory());
  uint32_t* counts = places + 2 * kWarp;  // (warps, experts)
  for (uint32_t i = threadIdx.x; i < warps * args.experts; i += kSortThreads) counts[i] = 0;
  SyncBlock();
  const uint32_t stretch = (pairs + warps * kWarp - 1) / (warps * kWarp) * kWarp;
  const uint32_t begin = warp < warps && warp * stretch < pairs ? warp * stretch : pairs;
  const uint32_t end = pairs - begin < stretch ? pairs : begin + stretch;
  uint32_t* own = counts + warp * args.experts;
  EachPair(args, begin, end, [&](uint32_t, uint32_t expert, uint32_t like) {
    const bool is_first = (like & ((1u << lane) - 1)) == 0;
    if (expert < args.experts && is_first) own[expert] += CountBits(like);
  });
  SyncBlock();
  uint32_t before = 0;  // pairs of the experts before
  for (uint32_t first = 0; first < args.experts; first += kSortThreads) {
    const uint32_t expert = first + threadIdx.x;
    uint32_t count = 0;
    for (uint32_t w = 0; w < warps && expert < args.experts; ++w) count += counts[w * args.experts + expert];
    uint32_t slot = before + BlockAddBefore<kSortThreads>(count, places);
    before += BlockAdd<kSortThreads>(count, places + kWarp);
    if (expert >= args.experts) continue;
    args.first[expert] = slot;
    for (uint32_t w = 0; w < warps; ++w) {
      const uint32_t here = counts[w * args.experts + expert];
      counts[w * args.experts + expert] = slot;
      slot += here;
    }
  }
  if (threadIdx.x == 0) args.first[args.experts] = pairs;
  SyncBlock();
  EachPair(args, begin, end, [&](uint32_t pair, uint32_t expert, uint32_t like) {
    const uint32_t lanes_before = like & ((1u << lane) - 1);
    const uint32_t slot = expert < args.experts ? own[expert] + CountBits(lanes_before) : 0;
    SyncWarp();
    if (expert >= args.experts) return;
    if (lanes_before == 0) own[expert] += CountBits(like);
    args.slot[pair] = slot;
    args.row_of_slot[slot] = pair / args.used;
  });
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
