// Products of one token to 32, and of few tokens with experts' weights.
//
// A block has 16 to 64 rows of a matrix; each of its warps takes one stretch of their columns, and the stretches meet
// in shared memory. What bounds it is reading the weights, and what is under way of them: half a tile is asked for as
// soon as the half before it in the same registers is used up, and of formats with small tiles two tiles are. On an
// H200 F16 reaches 99 % of the copy bandwidth with one token, Q8_0 88 %, Q4_0 71 %, whose warps issue in 37 % of their
// cycles.
//
// With 9 to 32 tokens getting the activations to the matrix unit takes longer than the weights: on an H200 the
// first-level cache is busy for two thirds of the time, the schedulers for a fifth. Not kept: blocks of 32 rows with
// four stretches at a time, whose warps share activations in shared memory (32 tokens of Q4_0 0.89 times as long, of
// Q4_K and F16 1.05 and 1.16, of matrices with 4096 rows 1.5 to 1.8: steps of a microsecond, one after the other). What
// comes next would have to keep several steps under way.
//
// Not kept either, for one token: one block on each multiprocessor that takes units of rows one after the other, whose
// weights come through rings of shared memory (80 KiB) by asynchronous copies, so that the next product's block stands
// beside it with its first weights. Alone it is faster (14336 x 4096 on an H200: Q4_0 10.3 us for 10.8, Q4_K 10.6 for
// 14.4, Q6_K 15.0 for 16.5, with the activations in shared memory; where they are loads behind those of the weights,
// 13), but llama3-8b as a whole slower (Q4_0 372 tokens/s for 456, 411 where the next block begins when the last
// weights have been asked for): what stands between products, attention and norms, is loads that wait for each other,
// and each waits behind the weights that come ahead of their time; attention took 22 us where it takes 13. Lines of the
// next weights fetched to the second-level cache at a product's end, 4 MiB of them, give 1.02 to 1.04 (8B) and nothing
// (1B); 12 and 20 MiB less.
#ifndef MOTE_TARGETS_CUDA_FEW_TOKENS_CUH_
#define MOTE_TARGETS_CUDA_FEW_TOKENS_CUH_

#include "targets/cuda/fused_product.cuh"
#include "targets/cuda/matmul.cuh"

namespace mote::cuda {

// A warp's part of a product: one stretch of the columns of 16 * kRowTiles rows.
struct Stretch {
  const uint8_t* weights;
  const uint8_t* gated;  // of a gate: the other matrix
  uint32_t row_tile;
  uint32_t last_row_tile;
  uint32_t tiles;  // of a row
  uint32_t begin, end;
};
// Of a block's warp; blockIdx.y: the expert, if there are experts.
template <int kRowTiles, bool kGate>
MOTE_DEVICE Stretch StretchOf(const MatMulArgs& args, const MatrixArgs& matrix, uint32_t warp) {
  Stretch s;
  s.weights = matrix.weights + (args.experts.first != nullptr ? blockIdx.y * args.experts.weight_bytes : 0);
  s.gated = kGate ? args.matrix[1].weights : nullptr;
  s.row_tile = (blockIdx.x - matrix.first_tile) * (kGate ? kRowTiles / 2 : kRowTiles);
  s.last_row_tile = (matrix.rows + kTileRows - 1) / kTileRows - 1;
  s.tiles = args.row_tiles;
  s.begin = warp * StretchTiles(s.tiles);
  s.end = s.begin + StretchTiles(s.tiles) < s.tiles ? s.begin + StretchTiles(s.tiles) : s.tiles;
  return s;
}

// Of a gate, the second half of a block's rows are the other matrix's, the same ones.
template <DType kType, int kRowTiles, bool kGate>
MOTE_DEVICE const uint8_t* TileAt(const Stretch& s, uint32_t row, uint32_t tile) {
  constexpr uint32_t kOwn = kGate ? kRowTiles / 2 : kRowTiles;
  const uint32_t place = s.row_tile + row % kOwn;
  const uint32_t own = place < s.last_row_tile ? place : s.last_row_tile;
  return (row < kOwn ? s.weights : s.gated) +
         (static_cast<uint64_t>(own) * s.tiles + tile) * FormatOf(kType).tile_bytes();
}

// The activations of a lane's tokens at tile `begin`. Tokens that are not there: the last one again, and nobody looks.
template <DType kType, int kTokens8, int kColumns>
MOTE_DEVICE GlobalActs<kTokens8> ActsOfStretch(const MatMulArgs& args, TokenRange tokens, uint32_t begin, int lane) {
  const auto act_row = [&](int i) {
    const uint32_t token = tokens.first + static_cast<uint32_t>(i);
    return static_cast<uint32_t>(ActRow(args, token < tokens.end ? token : tokens.end - 1) - args.acts);
  };
  GlobalActs<kTokens8> acts;
  acts.base = args.acts + ActHeader<kType>() + begin * TileActBytes<kType>();
  acts.lane = lane;
#pragma unroll
  for (int n = 0; n < kTokens8; ++n) {
    acts.b[n] = act_row(8 * n + lane / 4);
#pragma unroll
    for (int i = 0; i < kColumns; ++i) acts.c[n][i] = act_row(8 * n + 2 * (lane % 4) + i);
  }
  return acts;
}

// Tiles that a warp has asked for at once: what memory has under way is that times the warps, and small tiles would be
// too little of it. For formats with tiles of more than 2.5 KiB registers are worth more.
template <DType kType>
constexpr int TilesAhead(int tokens8) {
  const PackedFormat f = FormatOf(kType);
  return tokens8 == 1 && f.tile_bytes() < 2560 ? 2 : 1;
}

// The tiles of a stretch in the order in which a warp takes them: of one tile of columns, all rows; and those that are
// under way. (All rows at once, sharing each load of the activations, was no faster with 16 and 32 tokens, and a sixth
// slower for Q6_K: what it saves in loads it takes in registers.)
template <DType kType, int kTokens8, int kRowTiles, bool kGate>
struct TileRing {
  static constexpr uint32_t kAhead = TilesAhead<kType>(kTokens8);
  HalfTile<kType> halves[kAhead][2];

  MOTE_DEVICE uint32_t Count(const Stretch& s) { return (s.end - s.begin) * kRowTiles; }
  MOTE_DEVICE const uint8_t* At(const Stretch& s, uint32_t index) {
    return TileAt<kType, kRowTiles, kGate>(s, index % kRowTiles, s.begin + index / kRowTiles);
  }
  MOTE_DEVICE void LoadFirst(const Stretch& s, int lane, TileRing* ring) {
#pragma unroll
    for (uint32_t i = 0; i < kAhead; ++i) {
      if (i >= Count(s)) return;
#pragma unroll
      for (int half = 0; half < 2; ++half) LoadHalf<kType>(At(s, i), half, lane, &ring->halves[i][half]);
    }
  }
};

// A stretch's sums to `out`, (rows, 8 * kTokens8). `ring` holds the first tiles and, as they are used, takes in the
// next. `own_acts`: the one token's activations in shared memory; null: they are where `args` say.
template <DType kType, int kTokens8, int kRowTiles, int kColumns, int kFused>
MOTE_DEVICE void MultiplyStretch(const MatMulArgs& args, const Stretch& s, TokenRange tokens,
                                 TileRing<kType, kTokens8, kRowTiles, HasGate(kFused)>* ring, const uint8_t* own_acts,
                                 float* out) {
  using Ring = TileRing<kType, kTokens8, kRowTiles, HasGate(kFused)>;
  constexpr uint32_t kRows = kRowTiles;
  constexpr uint32_t kTurn = Ring::kAhead > kRows ? Ring::kAhead : kRows;  // one is a multiple of the other
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int g = lane / 4, t = lane % 4;
  GlobalActs<kTokens8> acts = {};
  if constexpr (HasNorm(kFused)) {
    acts.base = own_acts + ActHeader<kType>() + s.begin * TileActBytes<kType>();
    acts.lane = lane;
  } else {
    acts = ActsOfStretch<kType, kTokens8, kColumns>(args, tokens, s.begin, lane);
  }
  const MmaStart start = StartOf(lane);
  float sum[kRowTiles][kTokens8][4] = {};
  const uint32_t count = Ring::Count(s);
  for (uint32_t turn = 0; turn < count; turn += kTurn) {
#pragma unroll
    for (uint32_t i = 0; i < kTurn; ++i) {
      if (turn + i >= count) break;  // the whole warp
      const uint32_t next = turn + i + Ring::kAhead;
      SuperSums<kTokens8> super;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        HalfTile<kType>* own = &ring->halves[i % Ring::kAhead][half];
        HalfProduct<kType, kTokens8, kColumns>(*own, half, FirstPair<kType>(half), acts, start, &super, sum[i % kRows]);
        if (next < count) LoadHalf<kType>(Ring::At(s, next), half, lane, own);
      }
      if (i % kRows == kRows - 1) acts.base += TileActBytes<kType>();
    }
  }
#pragma unroll
  for (int r = 0; r < kRowTiles; ++r) {
#pragma unroll
    for (int n = 0; n < kTokens8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (!Looked<kColumns>(i)) continue;
        out[(r * 16 + g + i / 2 * 8) * (8 * kTokens8) + 8 * n + 2 * t + i % 2] = sum[r][n][i];
      }
    }
  }
}

// Blocks that a multiprocessor holds at once: what their registers allow without spilling.
template <int kTokens8>
constexpr int FewBlocks() {
  return kTokens8 > 2 ? 1 : 2;
}

// Shared memory of its sums; with a norm, what it makes lies behind them.
template <int kTokens8, int kRowTiles>
constexpr uint32_t FewTokensShared(uint32_t row_tiles) {
  return NumStretches(row_tiles) * 16 * kRowTiles * 8 * kTokens8 * static_cast<uint32_t>(sizeof(float));
}

// Grid: (tiles of 16 * kRowTiles rows, of a gate half as many; chunks of tokens or experts). kColumns: 1 where a chunk
// is one token, which then is the only one that is added up; else 2. kFused: fused_product.cuh.
template <DType kType, int kTokens8, int kRowTiles, int kColumns, int kFused>
MOTE_KERNEL(kFewThreads, FewBlocks<kTokens8>())
FewTokensKernel(const MatMulArgs args) {
  constexpr uint32_t kRows = 16 * kRowTiles;
  constexpr uint32_t kTokens = kColumns == 1 ? 1 : 8 * kTokens8;
  constexpr uint32_t kPlaces = 8 * kTokens8;
  LetNextBegin();
  float* sums = reinterpret_cast<float*>(SharedMemory());
  const MatrixArgs& matrix = HasGate(kFused) ? args.matrix[0] : MatrixOfTile(args, blockIdx.x);
  const uint32_t stretches = NumStretches(args.row_tiles);
  const uint32_t warp = threadIdx.x / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const bool experts = args.experts.first != nullptr;
  const Stretch s = StretchOf<kRowTiles, HasGate(kFused)>(args, matrix, warp);
  using Ring = TileRing<kType, kTokens8, kRowTiles, HasGate(kFused)>;
  Ring ring;
  const auto load_first = [&] {
    if (warp < stretches) Ring::LoadFirst(s, lane, &ring);
  };
  // Weights do not wait for what comes before; which experts are asked for does.
  if (!experts) load_first();
  // Of heads: the thread's first two rows of the first chunk's tokens.
  constexpr uint32_t kPairs = kRows / 2;
  const uint32_t pair_row = s.row_tile * kTileRows + threadIdx.x % kPairs * 2;
  const uint32_t pair_token = blockIdx.y * kTokens + threadIdx.x / kPairs;
  HeadPair pair = {};
  const bool has_pair = HasHeads(kFused) && pair_row < matrix.rows && pair_token < args.counts->rows[args.rows_kind];
  if (has_pair) pair.cache = CacheOfPair(args.heads, matrix, pair_row, pair_token);
  uint8_t* own_acts = SharedMemory() + FewTokensShared<kTokens8, kRowTiles>(args.row_tiles);
  if constexpr (HasNorm(kFused)) FetchNormWeights(args, s.begin, s.end, own_acts);
  WaitForPrevious();
  if (has_pair) LoadTurn(args.heads, matrix, pair_row, pair_token, &pair);
  float added = 0;
  if (kTokens8 == 1 && matrix.add != nullptr && threadIdx.x < kRows) {
    const uint32_t row = s.row_tile * kTileRows + threadIdx.x;
    if (row < matrix.rows) added = matrix.add[row];
  }
  const TokenRange all = TokensOfBlock(args, blockIdx.y, kTokens);
  for (uint32_t first = all.first; first < all.end; first += kTokens) {
    const TokenRange tokens = {first, first + kTokens < all.end ? first + kTokens : all.end};
    if (experts || first != all.first) load_first();
    if constexpr (HasNorm(kFused)) NormActs<0>(args, first, s.begin, s.end, FormatOf(kType).act_group == 256, own_acts);
    if (warp < stretches) {
      MultiplyStretch<kType, kTokens8, kRowTiles, kColumns, kFused>(args, s, tokens, &ring, own_acts,
                                                                    sums + warp * kRows * kPlaces);
    }
    SyncBlock();
    if constexpr (HasGate(kFused)) {
      for (uint32_t token = warp; token < tokens.end - tokens.first; token += kFewThreads / kWarp) {
        StoreGated<kType, kRows, kPlaces>(args, sums + token, stretches, blockIdx.x * (kRows / 2), first + token);
      }
    } else if constexpr (HasHeads(kFused)) {
      static_assert(kTokens * kPairs <= kFewThreads, "a thread has one pair");
      if (has_pair) {
        const float* own = sums + threadIdx.x % kPairs * 2 * kPlaces + threadIdx.x / kPairs;
        const float a = SumOfStretches<kType, kRows, kPlaces>(own, stretches);
        const float b = SumOfStretches<kType, kRows, kPlaces>(own + kPlaces, stretches);
        float scale = 1;
        if (FormatOf(kType).halves) scale = *reinterpret_cast<const float*>(ActRow(args, pair_token));
        StorePair(args.heads, matrix, pair_row, pair_token, pair, a * scale, b * scale);
      }
    } else {
      for (uint32_t i = threadIdx.x; i < kRows * (tokens.end - tokens.first); i += kFewThreads) {
        const uint32_t row = i % kRows, token = i / kRows;
        if (s.row_tile * kTileRows + row >= matrix.rows) continue;
        const float sum = SumOfStretches<kType, kRows, kPlaces>(sums + row * kPlaces + token, stretches);
        float scale = 1;
        if (FormatOf(kType).halves) scale = *reinterpret_cast<const float*>(ActRow(args, tokens.first + token));
        StoreOutput(args, matrix, s.row_tile * kTileRows + row, tokens.first + token, sum, scale, added);
      }
    }
    SyncBlock();
  }
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_FEW_TOKENS_CUH_
