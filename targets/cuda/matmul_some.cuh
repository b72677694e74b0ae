// Matrix products of 9 to 32 tokens: a server's streams that generate side by side.
//
// With so many tokens reading the weights is no longer what bounds a product, but getting their activations to the
// matrix unit: with a warp that reads its own from global memory (matmul.cuh), 32 tokens pass the first-level cache
// four times as long as the weights take from memory. So a block has 32 rows, whose warps share what comes of the
// activations through shared memory: four groups of two warps, each with a stretch of the columns and the activations
// of one tile of it, the next ones under way by asynchronous copies. The weights go from memory to registers.
#ifndef MOTE_TARGETS_CUDA_MATMUL_SOME_CUH_
#define MOTE_TARGETS_CUDA_MATMUL_SOME_CUH_

#include "targets/cuda/matmul.cuh"

namespace mote::cuda {

inline constexpr uint32_t kSomeRowTiles = 2;
inline constexpr uint32_t kSomeRows = kSomeRowTiles * kTileRows;
inline constexpr uint32_t kSomeGroups = 4;
inline constexpr uint32_t kGroupThreads = kSomeRowTiles * kWarp;
inline constexpr int kSomeThreads = static_cast<int>(kSomeGroups * kGroupThreads);
inline constexpr uint32_t kMostTurns = kStretches / kSomeGroups;  // stretches that a group takes one after the other

template <DType kType, int kTokens8>
constexpr uint32_t SomeStageBytes() {
  return 8 * kTokens8 * (kSharedValues + (FormatOf(kType).halves ? 0 : kSharedScales));
}
// Two stages for each group, which then give their place to the sums, (stretches, rows, tokens).
template <DType kType, int kTokens8>
constexpr uint32_t SomeTokensShared() {
  constexpr uint32_t kStages = 2 * kSomeGroups * SomeStageBytes<kType, kTokens8>();
  constexpr uint32_t kSums = kStretches * kSomeRows * 8 * kTokens8 * static_cast<uint32_t>(sizeof(float));
  return kStages > kSums ? kStages : kSums;
}

// A group's way through its stretches, stage by stage, the same number of steps for every group.
template <DType kType>
struct SomeWalk {
  static constexpr uint32_t kStages = StagesOfTile<kType>();
  uint32_t group;
  uint32_t tiles;  // of a row
  uint32_t stretch_tiles;
  uint32_t steps;

  MOTE_DEVICE SomeWalk Of(uint32_t group, uint32_t tiles) {
    const uint32_t turns = (NumStretches(tiles) + kSomeGroups - 1) / kSomeGroups;
    return {group, tiles, StretchTiles(tiles), turns * StretchTiles(tiles) * kStages};
  }
  MOTE_DEVICE uint32_t Turn(const SomeWalk& w, uint32_t step) { return step / kStages / w.stretch_tiles; }
  // The tile of a step; behind the row's last one where the stretch, or the turn, has none.
  MOTE_DEVICE uint32_t Tile(const SomeWalk& w, uint32_t step) {
    return (w.group + Turn(w, step) * kSomeGroups) * w.stretch_tiles + step / kStages % w.stretch_tiles;
  }
  MOTE_DEVICE bool Has(const SomeWalk& w, uint32_t step) { return step < w.steps && Tile(w, step) < w.tiles; }
};

// The group's threads ask for the activations of a stage, 16 threads for a token's values.
template <DType kType, int kTokens8>
MOTE_DEVICE void FetchSome(const MatMulArgs& args, TokenRange tokens, const SomeWalk<kType>& walk, uint32_t step,
                           uint8_t* stage) {
  using Walk = SomeWalk<kType>;
  constexpr uint32_t kTokens = 8 * kTokens8;
  constexpr uint32_t kScalePieces = FormatOf(kType).halves ? 0 : (kActBlockBytes - kSharedValues) / 16;
  if (Walk::Has(walk, step)) {
    const uint32_t thread = threadIdx.x % kGroupThreads;
    const uint32_t from =
        ActHeader<kType>() + Walk::Tile(walk, step) * TileActBytes<kType>() + step % Walk::kStages * kSharedValues;
    const auto row = [&](uint32_t token) {
      return ActRow(args, tokens.first + token < tokens.end ? tokens.first + token : tokens.end - 1) + from;
    };
#pragma unroll
    for (uint32_t piece = 0; piece < kTokens * 16; piece += kGroupThreads) {
      const uint32_t token = (piece + thread) / 16, byte = thread % 16 * 16;
      CopyAsync16(stage + SharedPlace(token, byte), row(token) + byte);
    }
#pragma unroll
    for (uint32_t piece = 0; piece < kTokens * kScalePieces; piece += kGroupThreads) {
      const uint32_t token = (piece + thread) / 4, byte = thread % 4 * 16;
      static_assert(kScalePieces == 0 || kScalePieces == 4);
      CopyAsync16(stage + kTokens * kSharedValues + token * kSharedScales + byte, row(token) + kSharedValues + byte);
    }
  }
  CommitCopies();
}

// The sums of the warp's rows, a turn's after the other's.
template <DType kType, int kTokens8>
MOTE_DEVICE void MultiplySome(const MatMulArgs& args, TokenRange tokens, const SomeWalk<kType>& walk,
                              const uint8_t* weights, const MmaStart& start, float sums[kMostTurns][kTokens8][4]) {
  using Walk = SomeWalk<kType>;
  constexpr uint32_t kTokens = 8 * kTokens8;
  constexpr uint32_t kBytes = SomeStageBytes<kType, kTokens8>();
  const auto buffer = [&](uint32_t step) { return SharedMemory() + (walk.group * 2 + step % 2) * kBytes; };
  const auto tile_at = [&](uint32_t step) {
    return weights + static_cast<uint64_t>(Walk::Tile(walk, step)) * FormatOf(kType).tile_bytes();
  };
  HalfTile<kType> regs[2];
  FetchSome<kType, kTokens8>(args, tokens, walk, 0, buffer(0));
  if (Walk::Has(walk, 0)) LoadHalf<kType>(tile_at(0), 0, start.lane, &regs[0]);
#pragma unroll
  for (uint32_t turn = 0; turn < kMostTurns; ++turn) {
    if (turn * walk.stretch_tiles * Walk::kStages >= walk.steps) break;  // the whole block
    for (uint32_t tile = 0; tile < walk.stretch_tiles; ++tile) {
      const uint32_t first_step = (turn * walk.stretch_tiles + tile) * Walk::kStages;
      const bool has = Walk::Has(walk, first_step);
      SharedActs acts = {};
      SuperSums<kTokens8> super;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const uint32_t step = first_step + (Walk::kStages == 2 ? static_cast<uint32_t>(half) : 0);
        if (half == 0 || Walk::kStages == 2) {
          WaitCopies<0>();
          SyncBlock();
          if (step + 1 < walk.steps) FetchSome<kType, kTokens8>(args, tokens, walk, step + 1, buffer(step + 1));
          acts = ActsOfStage(buffer(step), kTokens * kSharedValues, 0, static_cast<uint32_t>(start.lane));
        }
        if (!has) continue;
        const uint32_t next = half == 0 ? first_step : first_step + Walk::kStages;
        if (Walk::Has(walk, next)) LoadHalf<kType>(tile_at(next), 1 - half, start.lane, &regs[1 - half]);
        HalfProduct<kType, kTokens8, 2>(regs[half], half, Walk::kStages == 2 ? 0 : 2 * half, acts, start, &super,
                                        sums[turn]);
      }
    }
  }
}

// Grid: (tiles of 32 rows, chunks of tokens or experts).
template <DType kType, int kTokens8>
MOTE_KERNEL(kSomeThreads, 2)
SomeTokensKernel(const MatMulArgs args) {
  constexpr uint32_t kTokens = 8 * kTokens8;
  LetNextBegin();
  WaitForPrevious();
  const MatrixArgs& matrix = MatrixOfTile(args, blockIdx.x);
  const uint32_t warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const uint32_t row_tile = (blockIdx.x - matrix.first_tile) * kSomeRowTiles;
  const uint32_t last_row_tile = (matrix.rows + kTileRows - 1) / kTileRows - 1;
  const uint32_t own = row_tile + warp % kSomeRowTiles;
  const uint8_t* weights =
      matrix.weights + (args.experts.first == nullptr ? 0 : blockIdx.y * args.experts.weight_bytes) +
      static_cast<uint64_t>(own < last_row_tile ? own : last_row_tile) * args.row_tiles * FormatOf(kType).tile_bytes();
  const SomeWalk<kType> walk = SomeWalk<kType>::Of(warp / kSomeRowTiles, args.row_tiles);
  const uint32_t stretches = NumStretches(args.row_tiles);
  const MmaStart start = StartOf(static_cast<int>(lane));
  const TokenRange all = TokensOfBlock(args, blockIdx.y, kTokens);
  for (uint32_t first = all.first; first < all.end; first += kTokens) {
    const TokenRange tokens = {first, first + kTokens < all.end ? first + kTokens : all.end};
    float sums[kMostTurns][kTokens8][4] = {};
    MultiplySome<kType, kTokens8>(args, tokens, walk, weights, start, sums);
    SyncBlock();
    float* out = reinterpret_cast<float*>(SharedMemory());
#pragma unroll
    for (uint32_t turn = 0; turn < kMostTurns; ++turn) {
      const uint32_t stretch = walk.group + turn * kSomeGroups;
      if (stretch >= stretches) break;
#pragma unroll
      for (int n = 0; n < kTokens8; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const uint32_t row = warp % kSomeRowTiles * kTileRows + lane / 4 + static_cast<uint32_t>(i) / 2 * 8;
          const uint32_t token = static_cast<uint32_t>(8 * n) + 2 * (lane % 4) + static_cast<uint32_t>(i) % 2;
          out[(stretch * kSomeRows + row) * kTokens + token] = sums[turn][n][i] * Unshift<kType>();
        }
      }
    }
    SyncBlock();
    AddStretches<kType, kSomeThreads>(args, matrix, tokens, row_tile * kTileRows, kSomeRows, kTokens, stretches);
    SyncBlock();
  }
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_MATMUL_SOME_CUH_
