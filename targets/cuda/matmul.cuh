// Matrix products: few tokens (decode, speculation, small batches) and many (prefill).
//
// Both read the same tiles and add in the same order (packed.h, kStretches): a token's outputs are the same bits in any
// batch.
//
// Few tokens. A block has 16 to 64 rows of a matrix; each of its warps takes one stretch of their columns, and the
// stretches meet in shared memory. What bounds it is reading the weights, and what is under way of them: half a tile is
// asked for as soon as the half before it in the same registers is used up, and of formats with small tiles two tiles
// are. On an H200 F16 reaches 99 % of the copy bandwidth with one token, Q8_0 88 %, Q4_0 71 %, whose warps issue in 37
// % of their cycles.
//
// With 9 to 32 tokens getting the activations to the matrix unit takes longer than the weights: on an H200 the
// first-level cache is busy for two thirds of the time, the schedulers for a fifth. Not kept: blocks of 32 rows with
// four stretches at a time, whose warps share activations in shared memory (32 tokens of Q4_0 0.89 times as long, of
// Q4_K and F16 1.05 and 1.16, of matrices with 4096 rows 1.5 to 1.8: steps of a microsecond, one after the other). What
// comes next would have to keep several steps under way.
//
// Many tokens. A block has 128 rows and 64 tokens: 16 warps of 16 rows and 32 tokens, whose activations come through
// shared memory, the next tile's by asynchronous copies, while the weights go from memory to registers as before. Per
// matrix instruction of 4096 multiply-adds Q4_0 issues 17 others, 8 of them the scales; on an H200 that is 222 T
// operations a second, with 54 % of the slots filled and shared memory half busy.
#ifndef MOTE_TARGETS_CUDA_MATMUL_CUH_
#define MOTE_TARGETS_CUDA_MATMUL_CUH_

#include "targets/cuda/fused_product.cuh"
#include "targets/cuda/kernel_args.h"
#include "targets/cuda/tile_product.cuh"

namespace mote::cuda {

MOTE_DEVICE uint32_t IndexOfTile(const MatMulArgs& args, uint32_t tile) {
  uint32_t which = 0;
  while (which + 1 < args.matrices && tile >= args.matrix[which + 1].first_tile) ++which;
  return which;
}
MOTE_DEVICE const MatrixArgs& MatrixOfTile(const MatMulArgs& args, uint32_t tile) {
  return args.matrix[IndexOfTile(args, tile)];
}

// Rows of activations of a stretch of tokens (or of an expert's slots), `first` to `end`.
struct TokenRange {
  uint32_t first;
  uint32_t end;
};
MOTE_DEVICE const uint8_t* ActRow(const MatMulArgs& args, uint32_t token) {
  const uint32_t row = args.experts.row_of_slot == nullptr ? token : args.experts.row_of_slot[token];
  return args.acts + row * args.act_bytes;
}

// Where a block's tokens are: its chunk of them, or its expert's slots.
MOTE_DEVICE TokenRange TokensOfBlock(const MatMulArgs& args, uint32_t chunk, uint32_t tokens_per_chunk) {
  if (args.experts.first != nullptr) return {args.experts.first[chunk], args.experts.first[chunk + 1]};
  const uint32_t count = args.counts->rows[args.rows_kind];
  const uint32_t first = chunk * tokens_per_chunk;
  return {first < count ? first : count, first + tokens_per_chunk < count ? first + tokens_per_chunk : count};
}

// `added`: the row's own of matrix.add, if there is one.
MOTE_DEVICE void StoreOutput(const MatMulArgs& args, const MatrixArgs& matrix, uint32_t row, uint32_t token, float sum,
                             float act_scale, float added = 0) {
  float y = sum * act_scale;
  if (matrix.bias != nullptr) y += matrix.bias[row];
  y = Activate(args.activation, y);
  matrix.out[static_cast<uint64_t>(token) * matrix.rows + row] = matrix.add == nullptr ? y : added + y;
}

template <DType kType>
constexpr uint32_t TileActBytes() {
  return FormatOf(kType).halves ? kTileCols * 2 : kActBlockBytes;
}
template <DType kType>
constexpr uint32_t ActHeader() {
  return FormatOf(kType).halves ? kHalfActHeader : 0;
}
// In the values of a tile: of the half's first pair of steps.
template <DType kType>
constexpr int FirstPair(int half) {
  return FormatOf(kType).halves ? half * 4 : half * 2;
}

inline constexpr int kFewThreads = kStretches * kWarp;

// A warp's part of a product with few tokens: one stretch of the columns of 16 * kRowTiles rows.
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
  // Tokens that are not there: the last one again, and nobody looks.
  const auto act_row = [&](int i) {
    if constexpr (HasNorm(kFused)) return 0u;
    const uint32_t token = tokens.first + static_cast<uint32_t>(i);
    return static_cast<uint32_t>(ActRow(args, token < tokens.end ? token : tokens.end - 1) - args.acts);
  };
  GlobalActs<kTokens8> acts;
  acts.base = (HasNorm(kFused) ? own_acts : args.acts) + ActHeader<kType>() + s.begin * TileActBytes<kType>();
  acts.lane = lane;
#pragma unroll
  for (int n = 0; n < kTokens8; ++n) {
    acts.b[n] = act_row(8 * n + g);
#pragma unroll
    for (int i = 0; i < kColumns; ++i) acts.c[n][i] = act_row(8 * n + 2 * t + i);
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
    if constexpr (HasNorm(kFused)) NormActs(args, first, s.begin, s.end, FormatOf(kType).act_group == 256, own_acts);
    if (warp < stretches) {
      MultiplyStretch<kType, kTokens8, kRowTiles, kColumns, kFused>(args, s, tokens, &ring, own_acts,
                                                                    sums + warp * kRows * kPlaces);
    }
    SyncBlock();
    if constexpr (HasGate(kFused)) {
      for (uint32_t token = warp; token < tokens.end - tokens.first; token += kFewThreads / kWarp) {
        StoreGated<kRows, kPlaces>(args, sums + token, stretches, blockIdx.x * (kRows / 2), first + token);
      }
    } else if constexpr (HasHeads(kFused)) {
      static_assert(kTokens * kPairs <= kFewThreads, "a thread has one pair");
      if (has_pair) {
        const float* own = sums + threadIdx.x % kPairs * 2 * kPlaces + threadIdx.x / kPairs;
        const float a = SumOfStretches<kRows, kPlaces>(own, stretches);
        const float b = SumOfStretches<kRows, kPlaces>(own + kPlaces, stretches);
        float scale = 1;
        if (FormatOf(kType).halves) scale = *reinterpret_cast<const float*>(ActRow(args, pair_token));
        StorePair(args.heads, matrix, pair_row, pair_token, pair, a * scale, b * scale);
      }
    } else {
      for (uint32_t i = threadIdx.x; i < kRows * (tokens.end - tokens.first); i += kFewThreads) {
        const uint32_t row = i % kRows, token = i / kRows;
        if (s.row_tile * kTileRows + row >= matrix.rows) continue;
        const float sum = SumOfStretches<kRows, kPlaces>(sums + row * kPlaces + token, stretches);
        float scale = 1;
        if (FormatOf(kType).halves) scale = *reinterpret_cast<const float*>(ActRow(args, tokens.first + token));
        StoreOutput(args, matrix, s.row_tile * kTileRows + row, tokens.first + token, sum, scale, added);
      }
    }
    SyncBlock();
  }
}

// Many tokens. Of a block's 16 warps, eight have 16 rows each and 32 of the tokens, and eight the other tokens. (Warps
// of 32 rows, which read the activations half as often but leave room for half as many, were no faster.)
inline constexpr uint32_t kManyTokens = 64;
inline constexpr int kWarpTokens8 = 4;
inline constexpr uint32_t kManyRows = 128;
inline constexpr uint32_t kManyRowWarps = kManyRows / kTileRows;
inline constexpr int kManyThreads = static_cast<int>(2 * kManyRowWarps) * kWarp;

// What comes at once of the activations, 256 bytes of values for each token: a tile, or half a tile of halves.
template <DType kType>
constexpr uint32_t StagesOfTile() {
  return FormatOf(kType).halves ? 2 : 1;
}
template <DType kType>
constexpr uint32_t StageBytes() {
  return kManyTokens * (kSharedValues + (FormatOf(kType).halves ? 0 : kSharedScales));
}
template <DType kType>
constexpr uint32_t ManyTokensShared() {
  return 2 * StageBytes<kType>();
}

// What a thread copies of each stage: some pieces of 16 bytes of a token's values, and perhaps one of its scales and
// sums.
struct ActCopy {
  const uint8_t* from;
  uint32_t token;
  uint32_t byte;
  bool has_scales;
};
inline constexpr uint32_t kThreadsOfToken = kManyThreads / kManyTokens;
template <DType kType>
MOTE_DEVICE ActCopy CopyOf(const MatMulArgs& args, TokenRange tokens) {
  constexpr uint32_t kScalePieces = (kActBlockBytes - kSharedValues) / 16;
  static_assert(kThreadsOfToken >= kScalePieces, "one piece of scales at most");
  ActCopy copy;
  copy.token = threadIdx.x / kThreadsOfToken;
  copy.byte = threadIdx.x % kThreadsOfToken * 16;
  copy.from = ActRow(args, tokens.first + copy.token < tokens.end ? tokens.first + copy.token : tokens.end - 1) +
              ActHeader<kType>() + copy.byte;
  copy.has_scales = !FormatOf(kType).halves && copy.byte < kScalePieces * 16;
  return copy;
}
template <DType kType>
MOTE_DEVICE void FetchActs(ActCopy* copy, uint8_t* stage) {
#pragma unroll
  for (uint32_t byte = 0; byte < kSharedValues; byte += kThreadsOfToken * 16) {
    CopyAsync16(stage + SharedPlace(copy->token, byte + copy->byte), copy->from + byte);
  }
  if (copy->has_scales) {
    CopyAsync16(stage + kManyTokens * kSharedValues + copy->token * kSharedScales + copy->byte,
                copy->from + kSharedValues);
  }
  copy->from += TileActBytes<kType>() / StagesOfTile<kType>();
  CommitCopies();
}

// Sums of a warp's rows and tokens over all columns, from stretch to stretch.
struct ManySums {
  float total[kWarpTokens8][4];
  float sum[kWarpTokens8][4];
};
template <DType kType>
MOTE_DEVICE void EndStretch(bool first, ManySums* s) {
#pragma unroll
  for (int n = 0; n < kWarpTokens8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float sum = s->sum[n][i] * Unshift<kType>();
      s->total[n][i] = first ? sum : s->total[n][i] + sum;
      s->sum[n][i] = 0;
    }
  }
}

// Where a lane finds what it needs of a stage.
MOTE_DEVICE SharedActs ActsOfStage(const uint8_t* stage, uint32_t own_token, uint32_t lane) {
  const uint32_t token = own_token + lane / 4, t = lane % 4;
  SharedActs acts;
  acts.even = stage + SharedPlace(token, t * 16);
  acts.odd = stage + SharedPlace(token, 64 + t * 16) - 64;
  acts.operand = stage + kManyTokens * kSharedValues + token * kSharedScales;
  acts.column = stage + kManyTokens * kSharedValues + (own_token + 2 * t) * kSharedScales;
  return acts;
}

// Sums of the warp's rows, whose tiles begin at `weights`, and of the block's tokens, all columns.
template <DType kType>
MOTE_DEVICE void MultiplyMany(const MatMulArgs& args, TokenRange tokens, const uint8_t* weights, uint32_t own_token,
                              const MmaStart& start, ManySums* sums) {
  constexpr uint32_t kStages = StagesOfTile<kType>();
  const uint32_t tiles = args.row_tiles, stretch_tiles = StretchTiles(tiles);
  const auto buffer = [](uint32_t stage) { return SharedMemory() + stage % 2 * StageBytes<kType>(); };
  ActCopy copy = CopyOf<kType>(args, tokens);
  HalfTile<kType> regs[2];
  SyncBlock();
  FetchActs<kType>(&copy, buffer(0));
  LoadHalf<kType>(weights, 0, start.lane, &regs[0]);
  SharedActs acts = {};
  for (uint32_t tile = 0; tile < tiles; ++tile) {
    SuperSums<kWarpTokens8> super;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      if (half == 0 || kStages == 2) {
        const uint32_t stage = tile * kStages + static_cast<uint32_t>(half);
        WaitCopies<0>();
        SyncBlock();
        if (stage + 1 < tiles * kStages) FetchActs<kType>(&copy, buffer(stage + 1));
        acts = ActsOfStage(buffer(stage), own_token, static_cast<uint32_t>(start.lane));
      }
      if (half == 1) weights += FormatOf(kType).tile_bytes();
      if (half == 0 || tile + 1 < tiles) LoadHalf<kType>(weights, 1 - half, start.lane, &regs[1 - half]);
      HalfProduct<kType, kWarpTokens8, 2>(regs[half], half, kStages == 2 ? 0 : 2 * half, acts, start, &super,
                                          sums->sum);
    }
    if ((tile + 1) % stretch_tiles == 0 || tile + 1 == tiles) EndStretch<kType>(tile < stretch_tiles, sums);
  }
}

// Grid: (chunks of 64 tokens or experts, tiles of 128 rows): neighbouring blocks share weights, which the second-level
// cache then reads once.
template <DType kType>
MOTE_KERNEL(kManyThreads, 1)
ManyTokensKernel(const MatMulArgs args) {
  constexpr PackedFormat f = FormatOf(kType);
  LetNextBegin();
  WaitForPrevious();
  const TokenRange all = TokensOfBlock(args, blockIdx.x, kManyTokens);
  if (all.first >= all.end) return;
  const MatrixArgs& matrix = MatrixOfTile(args, blockIdx.y);
  const uint32_t lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const uint32_t own_token = warp / kManyRowWarps * (8 * kWarpTokens8);
  const uint32_t row_tile = (blockIdx.y - matrix.first_tile) * kManyRowWarps + warp % kManyRowWarps;
  // Rows that are not there: the last ones again, and nobody looks.
  const uint32_t last_row_tile = (matrix.rows + kTileRows - 1) / kTileRows - 1;
  const uint8_t* weights =
      matrix.weights + (args.experts.first == nullptr ? 0 : blockIdx.x * args.experts.weight_bytes) +
      static_cast<uint64_t>(row_tile < last_row_tile ? row_tile : last_row_tile) * args.row_tiles * f.tile_bytes();
  const MmaStart start = StartOf(static_cast<int>(lane));
  for (uint32_t first = all.first; first < all.end; first += kManyTokens) {
    const TokenRange tokens = {first, first + kManyTokens < all.end ? first + kManyTokens : all.end};
    ManySums sums = {};
    MultiplyMany<kType>(args, tokens, weights, own_token, start, &sums);
#pragma unroll
    for (int n = 0; n < kWarpTokens8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const uint32_t row = row_tile * kTileRows + lane / 4 + static_cast<uint32_t>(i) / 2 * 8;
        const uint32_t token =
            tokens.first + own_token + static_cast<uint32_t>(8 * n) + 2 * (lane % 4) + static_cast<uint32_t>(i) % 2;
        if (row >= matrix.rows || token >= tokens.end) continue;
        float scale = 1;
        if (f.halves) scale = *reinterpret_cast<const float*>(ActRow(args, token));
        StoreOutput(args, matrix, row, token, sums.total[n][i], scale);
      }
    }
  }
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_MATMUL_CUH_
