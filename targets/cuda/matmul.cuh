// Matrix products: what the kernels for few tokens (few_tokens.cuh) and for many have in common, and of the latter the
// one that every GPU can run. The other one, staged_product.cuh, is taken where it can be and its blocks fill the GPU
// (matmul_launch.cuh, TakesStages).
//
// All read the same tiles and add in the same order (packed.h, kStretches): a token's outputs are the same bits in any
// batch.
//
// Many tokens. A block has 128 rows and 64 tokens: 16 warps of 16 rows and 32 tokens, whose activations come through
// shared memory, the next tile's by asynchronous copies, while the weights go from memory to registers as before. Per
// matrix instruction of 4096 multiply-adds Q4_0 issues 17 others, 8 of them the scales; on an H200 that is 222 T
// operations a second, with 54 % of the slots filled and shared memory half busy.
#ifndef MOTE_TARGETS_CUDA_MATMUL_CUH_
#define MOTE_TARGETS_CUDA_MATMUL_CUH_

#include "targets/cuda/activation.cuh"
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

// Threads of a block for few tokens: a warp for each stretch.
inline constexpr int kFewThreads = kStretches * kWarp;

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
MOTE_DEVICE void EndStretch(bool first, ManySums* s) {
#pragma unroll
  for (int n = 0; n < kWarpTokens8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      s->total[n][i] = first ? s->sum[n][i] : s->total[n][i] + s->sum[n][i];
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
    if ((tile + 1) % stretch_tiles == 0 || tile + 1 == tiles) EndStretch(tile < stretch_tiles, sums);
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
        StoreOutput(args, matrix, row, token, sums.total[n][i] * Unshift<kType>(), scale);
      }
    }
  }
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_MATMUL_CUH_
