// Products of many tokens on GPUs whose multiprocessors have much shared memory: weights and activations both come
// through it, in stages of a tile's columns, by asynchronous copies into a ring of buffers with a barrier for each.
//
// What a warp reads of the activations serves all of its rows, what it unpacks of the weights all of its 64 tokens; the
// weights that are under way take no registers, and a block reads them once, where ManyTokensKernel, which takes 32
// tokens a warp, reads them twice. On an H200, 14336 x 4096 x 512 tokens: Q4_0 274 T operations a second instead of
// 223, Q4_K 289 instead of 208. The shapes are in stage.cuh.
#ifndef MOTE_TARGETS_CUDA_STAGED_PRODUCT_CUH_
#define MOTE_TARGETS_CUDA_STAGED_PRODUCT_CUH_

#include "targets/cuda/staged_tile.cuh"

namespace mote::cuda {

// Sums over all columns, from stretch to stretch: in shared memory, 16 bytes of a lane at a time, or in registers.
template <DType kType>
struct Totals {
  using S = Staged<kType>;
  float own[S::kSharedTotals ? 1 : S::kRowTiles][S::kSharedTotals ? 1 : S::kTokens8][4];
  MOTE_DEVICE float4* Place(int r, int n) {
    return reinterpret_cast<float4*>(SharedMemory() + S::kTotalsAt) + (r * S::kTokens8 + n) * S::kThreads + threadIdx.x;
  }
  // At zero with a sign, to which any number may be added and stays what it is.
  MOTE_DEVICE void Begin(Totals* totals) {
    if constexpr (S::kSharedTotals) {
#pragma unroll 1
      for (int i = 0; i < S::kRowTiles * S::kTokens8; ++i) {
        *Place(i / S::kTokens8, i % S::kTokens8) = float4{-0.0f, -0.0f, -0.0f, -0.0f};
      }
    } else {
#pragma unroll
      for (int i = 0; i < S::kRowTiles * S::kTokens8 * 4; ++i) {
        totals->own[i / 4 / S::kTokens8][i / 4 % S::kTokens8][i % 4] = -0.0f;
      }
    }
  }
  MOTE_DEVICE void EndStretch(Totals* totals, StagedSums<kType>& sum) {
#pragma unroll
    for (int r = 0; r < S::kRowTiles; ++r) {
#pragma unroll
      for (int n = 0; n < S::kTokens8; ++n) {
        float before[4];
        float* const total = S::kSharedTotals ? before : totals->own[r][n];
        if constexpr (S::kSharedTotals) {
          const float4 four = *Place(r, n);
          before[0] = four.x;
          before[1] = four.y;
          before[2] = four.z;
          before[3] = four.w;
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          total[i] += sum[r][n][i];
          sum[r][n][i] = 0;
        }
        if constexpr (S::kSharedTotals) *Place(r, n) = float4{total[0], total[1], total[2], total[3]};
      }
    }
  }
  MOTE_DEVICE float4 Get(const Totals& totals, int r, int n) {
    if constexpr (S::kSharedTotals) {
      return *Place(r, n);
    } else {
      const float* own = totals.own[r][n];
      return float4{own[0], own[1], own[2], own[3]};
    }
  }
};

// Sums of the warp's rows and tokens, all columns.
template <DType kType>
MOTE_DEVICE void MultiplyStages(uint32_t tiles, StageCopy<kType>* copy, uint32_t own_row_tile, uint32_t own_token,
                                const MmaStart& start, Totals<kType>* totals) {
  using S = Staged<kType>;
  const uint32_t stages = tiles * S::kOfTile, stretch_stages = StretchTiles(tiles) * S::kOfTile;
  StagedSums<kType> sum = {};
  Totals<kType>::Begin(totals);
  SyncBlock();
#pragma unroll
  for (uint32_t i = 0; i + 1 < S::kStages; ++i) {  // a tile of halves has more stages than the ring
    if (i < stages) StageCopy<kType>::Fetch(copy, SharedMemory() + i * S::kStageBytes);
    CommitCopies();
  }
  uint32_t here = 0, left = stretch_stages;
  for (uint32_t stage = 0; stage < stages; ++stage) {
    WaitCopies<S::kStages - 2>();
    SyncBlock();
    // To the buffer that was multiplied with last: all have passed the barrier since.
    const uint32_t to = here == 0 ? (S::kStages - 1) * S::kStageBytes : here - S::kStageBytes;
    if (stage + S::kStages - 1 < stages) StageCopy<kType>::Fetch(copy, SharedMemory() + to);
    CommitCopies();
    const uint8_t* at = SharedMemory() + here;
    const uint8_t* weights = at + own_row_tile * S::kRowTileBytes;
    const StageActs<kType> acts = StageActs<kType>::Of(at, own_token, static_cast<uint32_t>(start.lane));
    if constexpr (S::kHalves) {
      HalvesQuarter<kType>(weights, acts, start.lane, sum);
    } else if constexpr (S::kSuper) {
      SuperTile<kType>(weights, acts, start, sum);
    } else {
      SimpleTile<kType>(weights, acts, start, sum);
    }
    here = here == (S::kStages - 1) * S::kStageBytes ? 0 : here + S::kStageBytes;
    if (--left == 0 || stage + 1 == stages) {
      Totals<kType>::EndStretch(totals, sum);
      left = stretch_stages;
    }
  }
}

template <DType kType>
MOTE_DEVICE void StoreStaged(const MatMulArgs& args, const MatrixArgs& matrix, uint32_t row, uint32_t token,
                             uint32_t end_token, float4 total) {
  const float sums[4] = {total.x, total.y, total.z, total.w};
#pragma unroll
  for (uint32_t i = 0; i < 4; ++i) {
    if (row + i / 2 * 8 >= matrix.rows || token + i % 2 >= end_token) continue;
    float scale = 1;
    if (FormatOf(kType).halves) scale = *reinterpret_cast<const float*>(ActRow(args, token + i % 2));
    StoreOutput(args, matrix, row + i / 2 * 8, token + i % 2, sums[i] * Unshift<kType>(), scale);
  }
}

// Grid: (chunks of 64 tokens or experts, tiles of Staged::kRows rows): neighbouring blocks share weights, which the
// second-level cache then reads once.
template <DType kType>
MOTE_KERNEL(Staged<kType>::kThreads, kStagedBlocks)
StagedTokensKernel(const MatMulArgs args) {
  // No GPU below sm_90 has the memory, and the host asks for the kernel only where this code was compiled for sm_90 and
  // later (TakesStages).
#if __CUDA_ARCH__ >= 900 || defined(MOTE_CUDA_EMULATED)
  using S = Staged<kType>;
  LetNextBegin();
  WaitForPrevious();
  const TokenRange all = TokensOfBlock(args, blockIdx.x, S::kTokens);
  if (all.first >= all.end) return;
  const MatrixArgs& matrix = MatrixOfTile(args, blockIdx.y);
  const uint32_t lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const uint32_t own_token = warp / S::kRowWarps * (8 * S::kTokens8);
  const uint32_t own_row_tile = warp % S::kRowWarps * S::kRowTiles;
  const uint32_t row_tile = (blockIdx.y - matrix.first_tile) * S::kBlockRowTiles;
  const uint32_t last_row_tile = (matrix.rows + kTileRows - 1) / kTileRows - 1;
  const uint8_t* weights =
      matrix.weights + (args.experts.first == nullptr ? 0 : blockIdx.x * args.experts.weight_bytes);
  const MmaStart start = StartOf(static_cast<int>(lane));
  for (uint32_t first = all.first; first < all.end; first += S::kTokens) {
    const TokenRange tokens = {first, first + S::kTokens < all.end ? first + S::kTokens : all.end};
    auto copy = StageCopy<kType>::Of(args, tokens, weights, row_tile, last_row_tile);
    Totals<kType> totals;
    MultiplyStages<kType>(args.row_tiles, &copy, own_row_tile, own_token, start, &totals);
    const auto store = [&](int r, int n) {
      const uint32_t row = (row_tile + own_row_tile + static_cast<uint32_t>(r)) * kTileRows + lane / 4;
      const uint32_t token = tokens.first + own_token + static_cast<uint32_t>(8 * n) + 2 * (lane % 4);
      StoreStaged<kType>(args, matrix, row, token, tokens.end, Totals<kType>::Get(totals, r, n));
    };
    if constexpr (S::kSharedTotals) {  // not unrolled: what an output goes through is many instructions
#pragma unroll 1
      for (int i = 0; i < S::kRowTiles * S::kTokens8; ++i) store(i / S::kTokens8, i % S::kTokens8);
    } else {
#pragma unroll
      for (int i = 0; i < S::kRowTiles * S::kTokens8; ++i) store(i / S::kTokens8, i % S::kTokens8);
    }
  }
#endif
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_STAGED_PRODUCT_CUH_
