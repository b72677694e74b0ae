// Products of up to 32 tokens, and of few tokens with experts' weights; of one token those of formats that are not
// whole numbers. (Of one token the others: one_token.cuh.)
//
// A block has 16 to 64 rows of a matrix; each of its warps takes one stretch of their columns, and the stretches meet
// in shared memory. What bounds it is reading the weights, and what is under way of them: half a tile is asked for as
// soon as the half before it in the same registers is used up, and of formats with small tiles two tiles are. On an
// H200 F16 reaches 97 to 99 % of the copy bandwidth with one token.
//
// With 9 to 32 tokens getting the activations to the matrix unit takes longer than the weights: on an H200 the
// first-level cache is busy for two thirds of the time, the schedulers for a fifth. Not kept: blocks of 32 rows with
// four stretches at a time, whose warps share activations in shared memory (32 tokens of Q4_0 0.89 times as long, of
// Q4_K and F16 1.05 and 1.16, of matrices with 4096 rows 1.5 to 1.8: steps of a microsecond, one after the other). What
// comes next would have to keep several steps under way.
#ifndef MOTE_TARGETS_CUDA_FEW_TOKENS_CUH_
#define MOTE_TARGETS_CUDA_FEW_TOKENS_CUH_

#include "targets/cuda/fused_product.cuh"
#include "targets/cuda/matmul.cuh"

namespace mote::cuda {

// A warp's part of a product: one stretch of the columns of a unit of 16 * kRowTiles rows, of a gate of half as many of
// each of two matrices.
struct Stretch {
  const uint8_t* weights;
  const uint8_t* gated;  // of a gate: the other matrix
  uint32_t row_tile;
  uint32_t last_row_tile;
  uint32_t tiles;  // of a row
  uint32_t begin, end;
};
// blockIdx.y: the expert, if there are experts.
template <int kRowTiles, bool kGate>
MOTE_DEVICE Stretch StretchOf(const MatMulArgs& args, const MatrixArgs& matrix, uint32_t unit, uint32_t warp) {
  Stretch s;
  s.weights = matrix.weights + (args.experts.first != nullptr ? blockIdx.y * args.experts.weight_bytes : 0);
  s.gated = kGate ? args.matrix[1].weights : nullptr;
  s.row_tile = (unit - matrix.first_tile) * (kGate ? kRowTiles / 2 : kRowTiles);
  s.last_row_tile = (matrix.rows + kTileRows - 1) / kTileRows - 1;
  s.tiles = args.row_tiles;
  s.begin = warp * StretchTiles(s.tiles);
  s.end = s.begin + StretchTiles(s.tiles) < s.tiles ? s.begin + StretchTiles(s.tiles) : s.tiles;
  return s;
}

// Of a gate, the second half of a unit's rows are the other matrix's, the same ones.
template <DType kType, int kRowTiles, bool kGate>
MOTE_DEVICE const uint8_t* TileAt(const Stretch& s, uint32_t row, uint32_t tile) {
  constexpr uint32_t kOwn = kGate ? kRowTiles / 2 : kRowTiles;
  const uint32_t place = s.row_tile + row % kOwn;
  const uint32_t own = place < s.last_row_tile ? place : s.last_row_tile;
  return (row < kOwn ? s.weights : s.gated) +
         (static_cast<uint64_t>(own) * s.tiles + tile) * FormatOf(kType).tile_bytes();
}

// The activations of a lane's tokens at tile `begin`. Tokens that are not there: the last one again, and nobody looks.
template <DType kType, int kTokens8>
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
    for (int i = 0; i < 2; ++i) acts.c[n][i] = act_row(8 * n + 2 * (lane % 4) + i);
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
// next.
template <DType kType, int kTokens8, int kRowTiles, int kFused>
MOTE_DEVICE void MultiplyStretch(const MatMulArgs& args, const Stretch& s, TokenRange tokens,
                                 TileRing<kType, kTokens8, kRowTiles, HasGate(kFused)>* ring, float* out) {
  using Ring = TileRing<kType, kTokens8, kRowTiles, HasGate(kFused)>;
  constexpr uint32_t kRows = kRowTiles;
  constexpr uint32_t kTurn = Ring::kAhead > kRows ? Ring::kAhead : kRows;  // one is a multiple of the other
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int g = lane / 4, t = lane % 4;
  GlobalActs<kTokens8> acts = ActsOfStretch<kType, kTokens8>(args, tokens, s.begin, lane);
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
        HalfProduct<kType, kTokens8, 2>(*own, half, FirstPair<kType>(half), acts, start, &super, sum[i % kRows]);
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

// Shared memory of its sums.
template <int kTokens8, int kRowTiles>
constexpr uint32_t FewTokensShared(uint32_t row_tiles) {
  return NumStretches(row_tiles) * 16 * kRowTiles * 8 * kTokens8 * static_cast<uint32_t>(sizeof(float));
}

// Of heads: a thread has two neighbouring rows of a chunk's tokens. Where they go and how they are turned waits in
// shared memory for their sums.
struct PairPlace {
  uint32_t row, token;
  bool there;
};
template <uint32_t kRows>
MOTE_DEVICE PairPlace PairOfThread(const MatrixArgs& matrix, uint32_t row_tile, TokenRange tokens) {
  PairPlace place;
  place.row = row_tile * kTileRows + threadIdx.x % (kRows / 2) * 2;
  place.token = tokens.first + threadIdx.x / (kRows / 2);
  place.there = place.row < matrix.rows && place.token < tokens.end;
  return place;
}

// The outputs of a unit of rows, from its sums (stretches, kRows, kPlaces), by all threads. `added`: the thread's row's
// of matrix.add; `pairs`: of each thread, of heads.
template <DType kType, uint32_t kRows, uint32_t kPlaces, int kFused>
MOTE_DEVICE void StoreUnit(const MatMulArgs& args, const MatrixArgs& matrix, uint32_t unit, uint32_t row_tile,
                           TokenRange tokens, uint32_t stretches, const float* sums, float added,
                           const HeadPair* pairs) {
  const auto scale_of = [&](uint32_t token) {
    return FormatOf(kType).halves ? *reinterpret_cast<const float*>(ActRow(args, token)) : 1.0f;
  };
  if constexpr (HasGate(kFused) && kRows == kWarp) {
    static_assert(kPlaces == 1, "of one token");
    StoreGatedPart<kType>(args, sums, stretches, unit * (kRows / 2));
  } else if constexpr (HasGate(kFused)) {
    for (uint32_t token = threadIdx.x / kWarp; token < tokens.end - tokens.first; token += kFewThreads / kWarp) {
      StoreGated<kType, kRows, kPlaces>(args, sums + token, stretches, unit * (kRows / 2), tokens.first + token);
    }
  } else if constexpr (HasHeads(kFused)) {
    static_assert(kPlaces * kRows / 2 <= kFewThreads, "a thread has one pair");
    const PairPlace place = PairOfThread<kRows>(matrix, row_tile, tokens);
    if (!place.there) return;
    const float* own = sums + threadIdx.x % (kRows / 2) * 2 * kPlaces + place.token - tokens.first;
    const float a = SumOfStretches<kType, kRows, kPlaces>(own, stretches);
    const float b = SumOfStretches<kType, kRows, kPlaces>(own + kPlaces, stretches);
    const float scale = scale_of(place.token);
    StorePair(args.heads, matrix, place.row, place.token, pairs[threadIdx.x], a * scale, b * scale);
  } else {
    for (uint32_t i = threadIdx.x; i < kRows * (tokens.end - tokens.first); i += kFewThreads) {
      const uint32_t row = i % kRows, token = i / kRows;
      if (row_tile * kTileRows + row >= matrix.rows) continue;
      const float sum = SumOfStretches<kType, kRows, kPlaces>(sums + row * kPlaces + token, stretches);
      StoreOutput(args, matrix, row_tile * kTileRows + row, tokens.first + token, sum, scale_of(tokens.first + token),
                  added);
    }
  }
}

// Grid: (units, i.e. tiles of 16 * kRowTiles rows, of a gate half as many; chunks of tokens or experts). kFused:
// fused_product.cuh.
template <DType kType, int kTokens8, int kRowTiles, int kFused>
MOTE_KERNEL(kFewThreads, FewBlocks<kTokens8>())
FewTokensKernel(const MatMulArgs args) {
  constexpr uint32_t kRows = 16 * kRowTiles;
  constexpr uint32_t kTokens = 8 * kTokens8;
  static_assert(!HasNorm(kFused), "of one token: one_token.cuh");
  LetNextBegin();
  float* sums = reinterpret_cast<float*>(SharedMemory());
  const MatrixArgs& matrix = HasGate(kFused) ? args.matrix[0] : MatrixOfTile(args, blockIdx.x);
  const uint32_t stretches = NumStretches(args.row_tiles);
  const uint32_t warp = threadIdx.x / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const bool experts = args.experts.first != nullptr;
  const Stretch s = StretchOf<kRowTiles, HasGate(kFused)>(args, matrix, blockIdx.x, warp);
  using Ring = TileRing<kType, kTokens8, kRowTiles, HasGate(kFused)>;
  Ring ring;
  const auto load_first = [&] {
    if (warp < stretches) Ring::LoadFirst(s, lane, &ring);
  };
  // Weights do not wait for what comes before, and counts were there before the step's first kernel began; which
  // experts are asked for does.
  if (!experts) load_first();
  TokenRange all = {0, 0};
  if (!experts) all = TokensOfBlock(args, blockIdx.y, kTokens);
  HeadPair* pairs = reinterpret_cast<HeadPair*>(sums + FewTokensShared<kTokens8, kRowTiles>(args.row_tiles) / 4);
  PairPlace pair = {};
  if constexpr (HasHeads(kFused)) {
    pair = PairOfThread<kRows>(matrix, s.row_tile, all);
    if (pair.there) pairs[threadIdx.x].cache = CacheOfPair(args.heads, matrix, pair.row, pair.token);
  }
  WaitForPrevious();
  if (experts) all = TokensOfBlock(args, blockIdx.y, kTokens);
  if (HasHeads(kFused) && pair.there) LoadTurn(args.heads, matrix, pair.row, pair.token, &pairs[threadIdx.x]);
  float added = 0;
  if (kTokens8 == 1 && matrix.add != nullptr && threadIdx.x < kRows) {
    const uint32_t row = s.row_tile * kTileRows + threadIdx.x;
    if (row < matrix.rows) added = matrix.add[row];
  }
  for (uint32_t first = all.first; first < all.end; first += kTokens) {
    const TokenRange tokens = {first, first + kTokens < all.end ? first + kTokens : all.end};
    if (experts || first != all.first) load_first();
    if (warp < stretches) {
      MultiplyStretch<kType, kTokens8, kRowTiles, kFused>(args, s, tokens, &ring, sums + warp * kRows * kTokens);
    }
    SyncBlock();
    StoreUnit<kType, kRows, kTokens, kFused>(args, matrix, blockIdx.x, s.row_tile, tokens, stretches, sums, added,
                                             pairs);
    SyncBlock();
  }
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_FEW_TOKENS_CUH_
