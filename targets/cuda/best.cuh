// The highest logits of a row, so that not all have to leave the GPU. Logits become keys that are all different and
// stand in the order that is wanted; a block holds a list of them in registers and looks for the key that just so many
// are not below. Lists of the vocabulary first, then what was picked of all lists: one list again.
//
// What is picked does not depend on how threads take turns: there is one such key.
#ifndef MOTE_TARGETS_CUDA_BEST_CUH_
#define MOTE_TARGETS_CUDA_BEST_CUH_

#include "targets/cuda/row_ops.cuh"

namespace mote::cuda {

inline constexpr int kBestThreads = 512;
inline constexpr int kBestKeys = 16;  // of a thread
inline constexpr uint32_t kBestList = kBestThreads * kBestKeys;
static_assert(kMaxBestLists * kMaxBest <= kBestList);
// Two rows of the warps' counts, and what was picked.
inline constexpr uint32_t kBestShared = 2 * kWarp * sizeof(uint32_t) + kMaxBest * sizeof(uint64_t);

// Higher logits have higher keys, of equals the lower token; never 0. Zeros are equal, NaN is -infinity.
MOTE_DEVICE uint64_t BestKey(float logit, uint32_t token) {
  const uint32_t bits = FloatToBits(logit != logit ? -INFINITY : logit + 0.0f);
  const uint32_t high = bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
  return static_cast<uint64_t>(high) << 32 | ~token;
}
MOTE_DEVICE BestLogit LogitOfKey(uint64_t key) {
  const uint32_t high = static_cast<uint32_t>(key >> 32);
  const float logit = BitsToFloat(high >> 31 != 0 ? high & 0x7fffffffu : ~high);
  return {static_cast<int32_t>(~static_cast<uint32_t>(key)), logit};
}

// The key that just `want` of the block's are not below; at least so many are not 0. A step looks at one bit, or at
// none where all bits above have decided: some 20 steps for logits. `places`: two rows of a warp's words, in turns, so
// that one barrier a step is enough.
MOTE_DEVICE uint64_t LeastOfBest(const uint64_t (&keys)[kBestKeys], uint32_t want, uint32_t* places) {
  uint64_t low = 1, high = UINT64_MAX;  // so many are not below the first, fewer not below the second
  for (uint32_t step = 0; high - low > 1; ++step) {
    const uint64_t middle = low + (high - low) / 2;
    uint32_t count = 0;
#pragma unroll
    for (int i = 0; i < kBestKeys; ++i) count += keys[i] >= middle ? 1 : 0;
    count = BlockAdd<kBestThreads>(count, places + step % 2 * kWarp);
    if (count == want) return middle;
    (count > want ? low : high) = middle;
  }
  return low;
}

// The `want` best of the block's keys, to out[0], out[1], ...: in the order of the threads.
MOTE_DEVICE void PickBest(const uint64_t (&keys)[kBestKeys], uint32_t want, uint32_t* places, uint64_t* out) {
  const uint64_t least = LeastOfBest(keys, want, places);
  uint32_t count = 0;
#pragma unroll
  for (int i = 0; i < kBestKeys; ++i) count += keys[i] >= least ? 1 : 0;
  SyncBlock();  // the last step's places are read
  uint32_t at = BlockAddBefore<kBestThreads>(count, places);
#pragma unroll
  for (int i = 0; i < kBestKeys; ++i) {
    if (keys[i] >= least) out[at++] = keys[i];
  }
}

// Grid: lists, rows.
MOTE_KERNEL(kBestThreads, 1) PickBestKernel(const BestArgs args) {
  LetNextBegin();
  const uint32_t row = blockIdx.y;
  const bool exists = row < CountOf(*args.counts, kRowsLogits);
  WaitForPrevious();
  if (!exists) return;
  uint32_t* places = reinterpret_cast<uint32_t*>(SharedMemory());
  const float* logits = args.logits + static_cast<uint64_t>(row) * args.cols;
  const uint32_t first = blockIdx.x * kBestList;
  uint64_t keys[kBestKeys];
#pragma unroll
  for (int i = 0; i < kBestKeys; ++i) {
    const uint32_t c = first + static_cast<uint32_t>(i * kBestThreads) + threadIdx.x;
    keys[i] = c < args.cols ? BestKey(logits[c], c) : 0;
  }
  const uint32_t there = args.cols - first < kMaxBest ? args.cols - first : kMaxBest;
  uint64_t* out = args.keys + (static_cast<uint64_t>(row) * args.lists + blockIdx.x) * kMaxBest;
  PickBest(keys, there, places, out);
  if (threadIdx.x >= there && threadIdx.x < kMaxBest) out[threadIdx.x] = 0;
}

// Grid: rows. What was picked is few: each counts those above it, which is its place.
MOTE_KERNEL(kBestThreads, 1) JoinBestKernel(const BestArgs args) {
  LetNextBegin();
  const uint32_t row = blockIdx.x;
  const bool exists = row < CountOf(*args.counts, kRowsLogits);
  WaitForPrevious();
  if (!exists) return;
  uint32_t* places = reinterpret_cast<uint32_t*>(SharedMemory());
  uint64_t* picked = reinterpret_cast<uint64_t*>(SharedMemory() + 2 * kWarp * sizeof(uint32_t));
  const uint64_t* lists = args.keys + static_cast<uint64_t>(row) * args.lists * kMaxBest;
  uint64_t keys[kBestKeys];
#pragma unroll
  for (int i = 0; i < kBestKeys; ++i) {
    const uint32_t at = static_cast<uint32_t>(i * kBestThreads) + threadIdx.x;
    keys[i] = at < args.lists * kMaxBest ? lists[at] : 0;
  }
  const uint32_t there = args.cols < kMaxBest ? args.cols : kMaxBest;
  PickBest(keys, there, places, picked);
  SyncBlock();
  if (threadIdx.x >= kMaxBest) return;
  BestLogit* out = args.best + static_cast<uint64_t>(row) * kMaxBest;
  if (threadIdx.x >= there) {
    out[threadIdx.x] = {-1, -INFINITY};
    return;
  }
  const uint64_t own = picked[threadIdx.x];
  uint32_t above = 0;
  for (uint32_t i = 0; i < there; ++i) above += picked[i] > own ? 1 : 0;
  out[above] = LogitOfKey(own);
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_BEST_CUH_
