// Products of 9 to 32 tokens, and of few tokens with experts' weights.
//
// A block has 16 or 32 rows of a matrix; each of its warps takes one stretch of their columns, and the stretches meet
// in shared memory. Weights go from memory to registers: half a tile is asked for as soon as the half before it in the
// same registers is used up.
//
// With 9 to 32 tokens getting the activations to the matrix unit takes longer than the weights: on an H200 the
// first-level cache is busy for two thirds of the time, the schedulers for a fifth. Not kept: blocks of 32 rows with
// four stretches at a time, whose warps share activations in shared memory (32 tokens of Q4_0 0.89 times as long, of
// Q4_K and F16 1.05 and 1.16, of matrices with 4096 rows 1.5 to 1.8: steps of a microsecond, one after the other). What
// comes next would have to keep several steps under way.
#ifndef MOTE_TARGETS_CUDA_FEW_TOKENS_CUH_
#define MOTE_TARGETS_CUDA_FEW_TOKENS_CUH_

#include "targets/cuda/stretch.cuh"

namespace mote::cuda {

// The tiles of a stretch in the order in which a warp takes them: of one tile of columns, all rows; and the one that is
// under way. (All rows at once, sharing each load of the activations, was no faster with 16 and 32 tokens, and a sixth
// slower for Q6_K: what it saves in loads it takes in registers.)
template <DType kType, int kRowTiles>
struct TileRing {
  HalfTile<kType> halves[2];

  MOTE_DEVICE uint32_t Count(const Stretch& s) { return (s.end - s.begin) * kRowTiles; }
  MOTE_DEVICE const uint8_t* At(const Stretch& s, uint32_t index) {
    return TileAt<kType, kRowTiles, false>(s, index % kRowTiles, s.begin + index / kRowTiles);
  }
  MOTE_DEVICE void LoadFirst(const Stretch& s, int lane, TileRing* ring) {
    if (Count(s) == 0) return;
#pragma unroll
    for (int half = 0; half < 2; ++half) LoadHalf<kType>(At(s, 0), half, lane, &ring->halves[half]);
  }
};

// A stretch's sums to `out`, (rows, 8 * kTokens8). `ring` holds the first tile and, as it is used, takes in the next.
template <DType kType, int kTokens8, int kRowTiles>
MOTE_DEVICE void MultiplyStretch(const MatMulArgs& args, const Stretch& s, TokenRange tokens,
                                 TileRing<kType, kRowTiles>* ring, float* out) {
  using Ring = TileRing<kType, kRowTiles>;
  constexpr uint32_t kRows = kRowTiles;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int g = lane / 4, t = lane % 4;
  GlobalActs<kTokens8> acts = ActsOfStretch<kType, kTokens8, 2>(args, tokens, s.begin, lane);
  const MmaStart start = StartOf(lane);
  float sum[kRowTiles][kTokens8][4] = {};
  const uint32_t count = Ring::Count(s);
  for (uint32_t turn = 0; turn < count; turn += kRows) {
#pragma unroll
    for (uint32_t i = 0; i < kRows; ++i) {
      const uint32_t next = turn + i + 1;
      SuperSums<kTokens8> super;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        HalfProduct<kType, kTokens8, 2>(ring->halves[half], half, FirstPair<kType>(half), acts, start, &super, sum[i]);
        if (next < count) LoadHalf<kType>(Ring::At(s, next), half, lane, &ring->halves[half]);
      }
    }
    acts.base += TileActBytes<kType>();
  }
#pragma unroll
  for (int r = 0; r < kRowTiles; ++r) {
#pragma unroll
    for (int n = 0; n < kTokens8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        out[(r * 16 + g + i / 2 * 8) * (8 * kTokens8) + 8 * n + 2 * t + i % 2] = sum[r][n][i] * Unshift<kType>();
      }
    }
  }
}

// Blocks that a multiprocessor holds at once: what their registers allow without spilling.
template <int kTokens8>
constexpr int FewBlocks() {
  return kTokens8 > 2 ? 1 : 2;
}

// Shared memory of its sums.
template <int kTokens8, int kRowTiles>
constexpr uint32_t FewTokensShared(uint32_t row_tiles) {
  return NumStretches(row_tiles) * 16 * kRowTiles * 8 * kTokens8 * static_cast<uint32_t>(sizeof(float));
}

// Grid: (units of 16 * kRowTiles rows; chunks of tokens or experts).
template <DType kType, int kTokens8, int kRowTiles>
MOTE_KERNEL(kFewThreads, FewBlocks<kTokens8>())
FewTokensKernel(const MatMulArgs args) {
  constexpr uint32_t kRows = 16 * kRowTiles;
  constexpr uint32_t kTokens = 8 * kTokens8;
  LetNextBegin();
  float* sums = reinterpret_cast<float*>(SharedMemory());
  const MatrixArgs& matrix = MatrixOfTile(args, blockIdx.x);
  const uint32_t stretches = NumStretches(args.row_tiles);
  const uint32_t warp = threadIdx.x / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const bool experts = args.experts.first != nullptr;
  const Stretch s = StretchOf<kRowTiles, false>(args, blockIdx.x, warp);
  using Ring = TileRing<kType, kRowTiles>;
  Ring ring;
  const auto load_first = [&] {
    if (warp < stretches) Ring::LoadFirst(s, lane, &ring);
  };
  // Weights do not wait for what comes before; which experts are asked for does.
  if (!experts) load_first();
  WaitForPrevious();
  const TokenRange all = TokensOfBlock(args, blockIdx.y, kTokens);
  for (uint32_t first = all.first; first < all.end; first += kTokens) {
    const TokenRange tokens = {first, first + kTokens < all.end ? first + kTokens : all.end};
    if (experts || first != all.first) load_first();
    if (warp < stretches) {
      MultiplyStretch<kType, kTokens8, kRowTiles>(args, s, tokens, &ring, sums + warp * kRows * kTokens);
    }
    SyncBlock();
    for (uint32_t i = threadIdx.x; i < kRows * (tokens.end - tokens.first); i += kFewThreads) {
      const uint32_t row = i % kRows, token = i / kRows;
      if (s.row_tile * kTileRows + row >= matrix.rows) continue;
      const float sum = SumOfStretches<kRows, kTokens>(sums + row * kTokens + token, stretches);
      float scale = 1;
      if (FormatOf(kType).halves) scale = *reinterpret_cast<const float*>(ActRow(args, tokens.first + token));
      StoreOutput(args, matrix, s.row_tile * kTileRows + row, tokens.first + token, sum, scale);
    }
    SyncBlock();
  }
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_FEW_TOKENS_CUH_
