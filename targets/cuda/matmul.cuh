// Matrix products: few tokens (decode, speculation, small batches) and many (prefill).
//
// Both read the same tiles and add in the same order (packed.h, kStretches): a token's outputs are the same bits in any
// batch.
//
// Few tokens. A block has 16 or 32 rows of a matrix; each of its warps takes one stretch of their columns, and the
// stretches meet in shared memory. What bounds it is reading the weights: per tile of Q4_K a warp reads 2304 bytes and
// issues about 30 instructions for each 512 weights, so that an H100's multiprocessor (25 GB/s per GHz) is 40 % busy at
// full bandwidth with up to 8 tokens, an Orin's the same. These shares are counted from the source, not measured.
//
// Many tokens. A block has 128 rows, 16 for each warp, and 64 tokens, whose activations come through shared memory
// while the weights go from memory to registers as before. Per 4096 multiply-adds of a warp, formats with a float scale
// for every 32 issue about 17 other instructions and super-blocks about 9, against the 8 cycles that the tensor cores
// of sm_80 take: at most 45 % and 85 % of their peak.
#ifndef MOTE_TARGETS_CUDA_MATMUL_CUH_
#define MOTE_TARGETS_CUDA_MATMUL_CUH_

#include "targets/cuda/activation.cuh"
#include "targets/cuda/kernel_args.h"
#include "targets/cuda/tile_product.cuh"

namespace mote::cuda {

MOTE_DEVICE const MatrixArgs& MatrixOfTile(const MatMulArgs& args, uint32_t tile) {
  uint32_t which = 0;
  while (which + 1 < args.matrices && tile >= args.matrix[which + 1].first_tile) ++which;
  return args.matrix[which];
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

MOTE_DEVICE void StoreOutput(const MatMulArgs& args, const MatrixArgs& matrix, uint32_t row, uint32_t token, float sum,
                             float act_scale) {
  float y = sum * act_scale;
  if (matrix.bias != nullptr) y += matrix.bias[row];
  matrix.out[static_cast<uint64_t>(token) * matrix.rows + row] = Activate(args.activation, y);
}

template <DType kType, int kTokens8, class TokenActs>
MOTE_DEVICE void AddTile(const uint8_t* tile, const TokenActs& acts, int lane, float sum[kTokens8][4]) {
  if constexpr (FormatOf(kType).halves) {
    HalfRegs<kType> low, high;
    LoadHalfTile<kType>(tile, lane, 0, &low);
    LoadHalfTile<kType>(tile, lane, 1, &high);
    HalfTileProduct<kType, kTokens8, TokenActs>(low, 0, acts, lane, sum);
    HalfTileProduct<kType, kTokens8, TokenActs>(high, 1, acts, lane, sum);
  } else {
    TileRegs<kType> regs;
    LoadTile<kType>(tile, lane, &regs);
    TileProduct<kType, kTokens8, TokenActs>(regs, acts, lane, sum);
  }
}

template <DType kType>
constexpr uint32_t TileActBytes() {
  return FormatOf(kType).halves ? kTileCols * 2 : kActBlockBytes;
}
template <DType kType>
constexpr uint32_t ActHeader() {
  return FormatOf(kType).halves ? kHalfActHeader : 0;
}

inline constexpr int kFewThreads = kStretches * kWarp;

// One stretch of 16 * kRowTiles rows into `sums`, (rows, 8 * kTokens8), of this warp.
template <DType kType, int kTokens8, int kRowTiles>
MOTE_DEVICE void StretchOfRows(const MatMulArgs& args, const uint8_t* weights, uint32_t row_tile,
                               uint32_t row_tiles_end, TokenRange tokens, uint32_t stretch, float* sums) {
  constexpr PackedFormat f = FormatOf(kType);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int g = lane / 4, t = lane % 4;
  const uint32_t tiles = args.row_tiles;
  const uint32_t begin = stretch * StretchTiles(tiles);
  const uint32_t end = begin + StretchTiles(tiles) < tiles ? begin + StretchTiles(tiles) : tiles;
  // Tokens that are not there: the last one again, and nobody looks.
  const auto token = [&](uint32_t i) { return tokens.first + i < tokens.end ? tokens.first + i : tokens.end - 1; };
  const auto act_row = [&](int i) {
    return static_cast<uint32_t>(ActRow(args, token(static_cast<uint32_t>(i))) - args.acts);
  };
  GlobalActs<kTokens8> acts;
  acts.base = args.acts + ActHeader<kType>() + begin * TileActBytes<kType>();
#pragma unroll
  for (int n = 0; n < kTokens8; ++n) {
    acts.b[n] = act_row(8 * n + g);
    acts.c[n][0] = act_row(8 * n + 2 * t);
    acts.c[n][1] = act_row(8 * n + 2 * t + 1);
  }
  float sum[kRowTiles][kTokens8][4] = {};
  for (uint32_t tile = begin; tile < end; ++tile) {
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r) {
      const uint32_t own = row_tile + r < row_tiles_end ? row_tile + r : row_tiles_end - 1;
      AddTile<kType, kTokens8, GlobalActs<kTokens8>>(
          weights + (static_cast<uint64_t>(own) * tiles + tile) * f.tile_bytes(), acts, lane, sum[r]);
    }
    acts.base += TileActBytes<kType>();
  }
#pragma unroll
  for (int r = 0; r < kRowTiles; ++r) {
#pragma unroll
    for (int n = 0; n < kTokens8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        sums[(r * 16 + g + i / 2 * 8) * (8 * kTokens8) + 8 * n + 2 * t + i % 2] = sum[r][n][i];
      }
    }
  }
}

// Grid: (tiles of 16 * kRowTiles rows, chunks of tokens or experts).
template <DType kType, int kTokens8, int kRowTiles>
MOTE_KERNEL(kFewThreads, (kTokens8 * kRowTiles == 1 ? 2 : 1))
FewTokensKernel(const MatMulArgs args) {
  constexpr uint32_t kRows = 16 * kRowTiles;
  constexpr uint32_t kTokens = 8 * kTokens8;
  float* sums = reinterpret_cast<float*>(SharedMemory());
  LetNextBegin();
  WaitForPrevious();
  const TokenRange all = TokensOfBlock(args, blockIdx.y, kTokens);
  if (all.first >= all.end) return;
  const MatrixArgs& matrix = MatrixOfTile(args, blockIdx.x);
  const uint32_t row_tile = (blockIdx.x - matrix.first_tile) * kRowTiles;
  const uint32_t row_tiles_end = (matrix.rows + kTileRows - 1) / kTileRows;
  const uint8_t* weights =
      matrix.weights + (args.experts.first == nullptr ? 0 : blockIdx.y * args.experts.weight_bytes);
  const uint32_t stretches = NumStretches(args.row_tiles);
  const uint32_t warp = threadIdx.x / kWarp;
  for (uint32_t first = all.first; first < all.end; first += kTokens) {
    const TokenRange tokens = {first, first + kTokens < all.end ? first + kTokens : all.end};
    if (warp < stretches) {
      StretchOfRows<kType, kTokens8, kRowTiles>(args, weights, row_tile, row_tiles_end, tokens, warp,
                                                sums + warp * kRows * kTokens);
    }
    SyncBlock();
    for (uint32_t i = threadIdx.x; i < kRows * (tokens.end - tokens.first); i += kFewThreads) {
      const uint32_t row = i % kRows, token = i / kRows;
      if (row_tile * kTileRows + row >= matrix.rows) continue;
      const float* own = sums + row * kTokens + token;
      float sum = own[0];
      for (uint32_t s = 1; s < stretches; ++s) sum += own[s * kRows * kTokens];
      float scale = 1;
      if (FormatOf(kType).halves) scale = *reinterpret_cast<const float*>(ActRow(args, tokens.first + token));
      StoreOutput(args, matrix, row_tile * kTileRows + row, tokens.first + token, sum, scale);
    }
    SyncBlock();
  }
}
template <int kTokens8, int kRowTiles>
constexpr uint32_t FewTokensShared(uint32_t row_tiles) {
  return NumStretches(row_tiles) * 16 * kRowTiles * 8 * kTokens8 * static_cast<uint32_t>(sizeof(float));
}

inline constexpr uint32_t kManyTokens = 64;
inline constexpr uint32_t kManyWarps = 8;
inline constexpr uint32_t kManyRows = kManyWarps * kTileRows;
inline constexpr uint32_t kManyThreads = kManyWarps * kWarp;

// Activations of a tile of columns for the block's tokens, in shared memory one after the other. 16 halves more than
// the 256 keep the rows of halves apart: lanes of a quad read 8 bytes each, quads follow each other in different banks.
template <DType kType>
constexpr uint32_t SharedActBytes() {
  return FormatOf(kType).halves ? kTileCols * 2 + 32 : kActBlockBytes;
}
// Two of them, one on its way while the other is used; of halves one, since two would not fit sm_75's 64 KiB.
template <DType kType>
constexpr uint32_t ActBuffers() {
  return FormatOf(kType).halves ? 1 : 2;
}
template <DType kType>
constexpr uint32_t ManyTokensShared() {
  return ActBuffers<kType>() * kManyTokens * SharedActBytes<kType>();
}

template <DType kType>
MOTE_DEVICE void FetchActs(const MatMulArgs& args, TokenRange tokens, uint32_t tile, uint8_t* shared) {
  constexpr uint32_t kPieces = TileActBytes<kType>() / 16;
  for (uint32_t i = threadIdx.x; i < kManyTokens * kPieces; i += kManyThreads) {
    const uint32_t token = i / kPieces, piece = i % kPieces;
    const uint32_t from = tokens.first + token < tokens.end ? tokens.first + token : tokens.end - 1;
    CopyAsync16(shared + token * SharedActBytes<kType>() + piece * 16,
                ActRow(args, from) + ActHeader<kType>() + tile * TileActBytes<kType>() + piece * 16);
  }
  CommitCopies();
}

// Grid: (chunks of 64 tokens or experts, tiles of 128 rows): neighbouring blocks share weights, which the second-level
// cache then reads once.
template <DType kType>
MOTE_KERNEL(kManyThreads, 1)
ManyTokensKernel(const MatMulArgs args) {
  constexpr PackedFormat f = FormatOf(kType);
  constexpr int kTokens8 = kManyTokens / 8;
  LetNextBegin();
  WaitForPrevious();
  const TokenRange all = TokensOfBlock(args, blockIdx.x, kManyTokens);
  if (all.first >= all.end) return;
  const MatrixArgs& matrix = MatrixOfTile(args, blockIdx.y);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int g = lane / 4, t = lane % 4;
  const uint32_t tiles = args.row_tiles;
  const uint32_t stretch_tiles = StretchTiles(tiles);
  const uint32_t row_tiles_end = (matrix.rows + kTileRows - 1) / kTileRows;
  const uint32_t row_tile = (blockIdx.y - matrix.first_tile) * kManyWarps + threadIdx.x / kWarp;
  const uint8_t* weights =
      matrix.weights + (args.experts.first == nullptr ? 0 : blockIdx.x * args.experts.weight_bytes);
  const uint8_t* own_weights =
      weights + static_cast<uint64_t>(row_tile < row_tiles_end ? row_tile : row_tiles_end - 1) * tiles * f.tile_bytes();
  for (uint32_t first = all.first; first < all.end; first += kManyTokens) {
    const TokenRange tokens = {first, first + kManyTokens < all.end ? first + kManyTokens : all.end};
    float total[kTokens8][4] = {};
    float sum[kTokens8][4] = {};
    constexpr uint32_t kBuffers = ActBuffers<kType>();
    const auto buffer = [](uint32_t tile) {
      return SharedMemory() + tile % kBuffers * kManyTokens * SharedActBytes<kType>();
    };
    if (kBuffers == 2) FetchActs<kType>(args, tokens, 0, buffer(0));
    for (uint32_t tile = 0; tile < tiles; ++tile) {
      const uint8_t* shared = buffer(tile);
      const uint32_t ahead = tile + kBuffers - 1;
      if (ahead < tiles) FetchActs<kType>(args, tokens, ahead, buffer(ahead));
      if (kBuffers == 2 && ahead < tiles) {
        WaitCopies<1>();
      } else {
        WaitCopies<0>();
      }
      SyncBlock();
      constexpr int kStride = static_cast<int>(SharedActBytes<kType>());
      const SharedActs<kStride> acts = {shared + g * kStride, shared + 2 * t * kStride};
      AddTile<kType, kTokens8, SharedActs<kStride>>(own_weights + static_cast<uint64_t>(tile) * f.tile_bytes(), acts,
                                                    lane, sum);
      if ((tile + 1) % stretch_tiles == 0 || tile + 1 == tiles) {
        const bool begins = tile < stretch_tiles;
#pragma unroll
        for (int n = 0; n < kTokens8; ++n) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            total[n][i] = begins ? sum[n][i] : total[n][i] + sum[n][i];
            sum[n][i] = 0;
          }
        }
      }
      SyncBlock();
    }
#pragma unroll
    for (int n = 0; n < kTokens8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const uint32_t row = row_tile * kTileRows + static_cast<uint32_t>(g + i / 2 * 8);
        const uint32_t token = tokens.first + static_cast<uint32_t>(8 * n + 2 * t + i % 2);
        if (row >= matrix.rows || token >= tokens.end) continue;
        float scale = 1;
        if (f.halves) scale = *reinterpret_cast<const float*>(ActRow(args, token));
        StoreOutput(args, matrix, row, token, total[n][i], scale);
      }
    }
  }
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_MATMUL_CUH_
