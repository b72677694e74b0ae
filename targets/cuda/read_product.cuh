// Products of tokens that are read, where those may have sums of their own (Plan::fast_prompts) and the GPU is a
// Hopper: weights of every type become halves in registers, and meet activations in halves, in shared memory, 64 rows
// and 128 tokens at a time (wgmma.h). Sums are floats over all columns from left to right: a token's do not depend on
// its neighbours, nor on the shape of blocks, but they are not the bits of the other kernels.
//
// The kernels of whole numbers have a scale for every 32 columns to multiply each sum with, eight instructions for each
// matrix instruction; here a weight is scaled once for 128 tokens.
#ifndef MOTE_TARGETS_CUDA_READ_PRODUCT_CUH_
#define MOTE_TARGETS_CUDA_READ_PRODUCT_CUH_

#include "targets/cuda/half_weights.cuh"
#include "targets/cuda/held_row.cuh"
#include "targets/cuda/round_acts.cuh"
#include "targets/cuda/stage.cuh"

namespace mote::cuda {

// A row tile's sums on their way out: a token's 16 rows side by side, in the warp's part of the block's shared memory,
// and room behind them, so that lanes meet no bank twice.
inline constexpr uint32_t kOutStride = kTileRows + 4;
inline constexpr uint32_t kOutBytes = kGroupTokens * kOutStride * static_cast<uint32_t>(sizeof(float));

// A block has two groups of four warps; a warp has 16 of its group's 64 rows. (With four groups, and so one block on a
// multiprocessor, it is as fast or slower: the last blocks leave more of the GPU idle.)
template <DType kType>
struct Reads {
  static constexpr PackedFormat kFormat = FormatOf(kType);
  static constexpr bool kHalves = kFormat.halves;
  static constexpr uint32_t kGroups = 2;
  static constexpr uint32_t kWarps = kGroups * kGroupWarps;
  static constexpr int kThreads = static_cast<int>(kWarps) * kWarp;
  static constexpr uint32_t kRows = kWarps * kTileRows;
  // Stages of 64 columns. Activations come kAhead stages before their time, weights a tile, of halves kAhead + 1
  // stages, since they are in registers a stage early.
  static constexpr uint32_t kActBytes = kGroupTokens * kGroupCols * 2;
  static constexpr uint32_t kStagesOfTile = kTileCols / kGroupCols;
  static constexpr uint32_t kPieces = kHalves ? kStagesOfTile : 1;  // of a tile of weights
  static constexpr uint32_t kPieceBytes = kFormat.tile_bytes() / kPieces;
  static constexpr uint32_t kWeightBytes = kWarps * kPieceBytes;
  // One, where two blocks of a multiprocessor have room only so.
  static constexpr uint32_t kOfTwoAhead = 3 * kActBytes + (kHalves ? 3 : 2) * kWeightBytes + kGroupSlabBytes;
  static constexpr uint32_t kAhead = kOfTwoAhead > kStagedShared ? 1 : 2;
  static constexpr uint32_t kActBuffers = kAhead + 1;
  static constexpr uint32_t kWeightBuffers = kHalves ? kAhead + 1 : 2;
  static constexpr uint32_t kWeightsAt = kActBuffers * kActBytes;
  static constexpr uint32_t kMainBytes = kWeightsAt + kWeightBuffers * kWeightBytes;
  static constexpr uint32_t kOutAllBytes = kWarps * kOutBytes;
  // And what it takes to begin where the activations may.
  static constexpr uint32_t kShared = (kMainBytes > kOutAllBytes ? kMainBytes : kOutAllBytes) + kGroupSlabBytes;
  static_assert(kStagesOfTile > kAhead, "a tile's weights are there when those before it are done");
};

// What a thread copies: of its warp's weights, and 16 bytes here and there of the activations, which lie as they will.
template <DType kType>
struct ReadCopy {
  using R = Reads<kType>;
  const uint8_t* weights;  // the lane's first 16 bytes of the next piece
  const uint8_t* acts;     // the thread's of the next stage
  uint64_t act_stride;     // from stage to stage
  uint32_t lane_byte;

  MOTE_DEVICE void FetchActs(ReadCopy* c, uint8_t* buffer) {
#pragma unroll
    for (uint32_t byte = 0; byte < R::kActBytes; byte += R::kThreads * 16) {
      CopyAsync16(buffer + threadIdx.x * 16 + byte, c->acts + byte);
    }
    c->acts += c->act_stride;
  }
  MOTE_DEVICE void FetchWeights(ReadCopy* c, uint8_t* buffer) {
    uint8_t* to = buffer + c->lane_byte;
#pragma unroll
    for (uint32_t byte = 0; byte < R::kPieceBytes; byte += kChunkBytes) {
      if (byte + kChunkBytes <= R::kPieceBytes || c->lane_byte < R::kPieceBytes - byte) {
        CopyAsync16(to + byte, c->weights + byte);
      }
    }
    c->weights += R::kPieceBytes;
  }
};

// A warp's weights of a stage: four instructions' A.
using StageWeights = uint32_t[4][4];

// quarter: of the tile that `weights` lie in, or of halves the piece is.
template <DType kType>
MOTE_DEVICE void TakeWeights(const uint8_t* weights, int lane, int quarter, StageWeights& a) {
  if constexpr (FormatOf(kType).halves) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const uint4 four = *reinterpret_cast<const uint4*>(weights + i * static_cast<int>(kChunkBytes) + lane * 16);
      a[i][0] = four.x;
      a[i][1] = four.y;
      a[i][2] = four.z;
      a[i][3] = four.w;
    }
  } else {
    HalfTile<kType> tile;
    LoadHalf<kType, false>(weights, quarter / 2, lane, &tile);
    HalvesOfStage<kType>(tile, quarter / 2, quarter % 2, a);
  }
}

using ReadSums = float[kGroupTokens / 2];

// The stages of all columns, one after the other.
template <DType kType>
struct ReadLoop {
  using R = Reads<kType>;
  using Copy = ReadCopy<kType>;
  uint8_t* acts;     // buffers
  uint8_t* weights;  // the warp's own in the first buffer
  uint32_t stages;
  uint32_t stage;          // the one at hand
  uint32_t act_buffer;     // its
  uint32_t weight_buffer;  // of the weights that are taken next
  int lane;

  MOTE_DEVICE uint8_t* Weights(const ReadLoop& l, uint32_t after) {
    const uint32_t buffer = l.weight_buffer + after;
    return l.weights + (buffer < R::kWeightBuffers ? buffer : buffer - R::kWeightBuffers) * R::kWeightBytes;
  }

  // `a` is multiplied with, and the next stage's weights taken to `next`. quarter: of the tile, the next stage's.
  MOTE_DEVICE void RunStage(ReadLoop* l, Copy* copy, int quarter, const StageWeights& a, StageWeights& next,
                            ReadSums& sum) {
    WaitCopies<R::kAhead - 1>();
    GroupSees();
    SyncBlock();
    // All have passed: nobody multiplies any more with stages before this one, nor takes weights of it.
    if (l->stage + R::kAhead < l->stages) {
      const uint32_t to = l->act_buffer + R::kAhead;
      Copy::FetchActs(copy, l->acts + (to < R::kActBuffers ? to : to - R::kActBuffers) * R::kActBytes);
    }
    if (R::kHalves ? l->stage + R::kAhead + 1 < l->stages : quarter == 1 && l->stage + R::kStagesOfTile < l->stages) {
      Copy::FetchWeights(copy, Weights(*l, R::kWeightBuffers - 1));
    }
    CommitCopies();
    uint64_t b = GroupOperand(l->acts + l->act_buffer * R::kActBytes);
    BeginGroup();
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if constexpr (kType == DType::kBF16) {
        GroupBf16(sum, a[i], b);
      } else {
        GroupHalves(sum, a[i], b);
      }
      b = NextOperand(b);
    }
    EndGroup();
    if (l->stage + 1 < l->stages) TakeWeights<kType>(Weights(*l, 0), l->lane, quarter, next);
    // (Left under way into the next stage, the assembler would do one product after the other.)
    WaitGroups<0>();
    ++l->stage;
    l->act_buffer = l->act_buffer + 1 < R::kActBuffers ? l->act_buffer + 1 : 0;
    if (R::kHalves || quarter == 3) {
      l->weight_buffer = l->weight_buffer + 1 < R::kWeightBuffers ? l->weight_buffer + 1 : 0;
    }
  }
};

// Sums of the warp's rows and the block's tokens over all columns.
template <DType kType>
MOTE_DEVICE void MultiplyRead(uint32_t tiles, uint8_t* shared, uint32_t warp, int lane, ReadCopy<kType>* copy,
                              ReadSums& sum) {
  using R = Reads<kType>;
  using Loop = ReadLoop<kType>;
  Loop loop;
  loop.acts = shared;
  loop.weights = shared + R::kWeightsAt + warp * R::kPieceBytes;
  loop.stages = tiles * R::kStagesOfTile;
  loop.stage = loop.act_buffer = loop.weight_buffer = 0;
  loop.lane = lane;
  if constexpr (R::kHalves) {
    copy->FetchWeights(copy, loop.weights);
    CommitCopies();
  }
#pragma unroll
  for (uint32_t i = 0; i < R::kAhead; ++i) {
    if (R::kHalves) copy->FetchWeights(copy, Loop::Weights(loop, i + 1));
    if (!R::kHalves && i == 0) copy->FetchWeights(copy, loop.weights);
    copy->FetchActs(copy, loop.acts + i * R::kActBytes);
    CommitCopies();
  }
#pragma unroll
  for (uint32_t i = 0; i < kGroupTokens / 2; ++i) sum[i] = 0;
  StageWeights a[2];
  WaitCopies<R::kHalves ? R::kAhead : R::kAhead - 1>();
  SyncWarp();
  TakeWeights<kType>(loop.weights, lane, 0, a[0]);
  if (R::kHalves) loop.weight_buffer = 1;
  for (uint32_t tile = 0; tile < tiles; ++tile) {
#pragma unroll
    for (int quarter = 0; quarter < 4; ++quarter) {
      Loop::RunStage(&loop, copy, (quarter + 1) % 4, a[quarter % 2], a[1 - quarter % 2], sum);
    }
  }
  TakeSums(sum);
}

// A lane's sums to the warp's place.
MOTE_DEVICE void LaySums(const ReadSums& sum, uint32_t lane, float* places) {
#pragma unroll
  for (uint32_t i = 0; i < kGroupTokens / 2; ++i) {
    places[(i / 4 * 8 + lane % 4 * 2 + i % 2) * kOutStride + lane / 4 + i % 4 / 2 * 8] = sum[i];
  }
}
// What a row's sums are multiplied with.
template <DType kType>
MOTE_DEVICE float ScaleOfRow(const ReadArgs& args, const MatrixArgs& matrix, uint32_t row) {
  constexpr PackedFormat f = FormatOf(kType);
  if constexpr (f.scales == Scales::kFloat) {
    const uint8_t* tile = matrix.weights + uint64_t{row / kTileRows} * args.product.row_tiles * f.tile_bytes();
    return reinterpret_cast<const float*>(tile + f.scales_at())[row % 8 * 2 + row % kTileRows / 8];
  }
  return Unshift<kType>();
}

// A warp's sums: a token's 16 rows side by side.
template <DType kType>
MOTE_DEVICE void StoreRead(const ReadArgs& args, const MatrixArgs& matrix, uint32_t row_tile, uint32_t first_token,
                           uint32_t tokens, uint32_t lane, const float* places) {
  SyncWarp();
  const uint32_t own = lane % kTileRows, row = row_tile * kTileRows + own;
  if (row >= matrix.rows) return;
  const float scale = ScaleOfRow<kType>(args, matrix, row);
  const uint32_t before = args.product.counts->read_from;
  for (uint32_t t = lane / kTileRows; t < kGroupTokens && first_token + t < tokens; t += kWarp / kTileRows) {
    StoreOutput(args.product, matrix, row, before + first_token + t, places[t * kOutStride + own] * scale,
                args.scales[first_token + t]);
  }
}

// The gate's part of a row's results is no larger than a million, and no finer than a millionth of ten: one scale for
// all of them, since nobody here sees a whole row.
inline constexpr float kGatedScale = 16;

// The block's 64 columns of the next product's input: the first group's sums are the gate's, the second one's what it
// is the gate of. A thread has 8 columns of a token, which lie as row_ops.cuh and held_ops.cuh lay them.
template <DType kType>
MOTE_DEVICE void StoreGated(const ReadArgs& args, uint32_t first_row, uint32_t first_token, uint32_t tokens,
                            const float* places) {
  SyncBlock();
  const float factor = args.gate.kind == ReadActs::kBf16 ? 1.0f : 1 / kGatedScale;
  const uint32_t piece = threadIdx.x % 8;
  const uint32_t column = first_row + piece * 8;
  float scale[2][8];
#pragma unroll
  for (uint32_t m = 0; m < 2; ++m) {
#pragma unroll
    for (uint32_t i = 0; i < 8; ++i) scale[m][i] = ScaleOfRow<kType>(args, args.product.matrix[m], column + i);
  }
  for (uint32_t t = threadIdx.x / 8; t < kGroupTokens && first_token + t < tokens; t += Reads<kType>::kThreads / 8) {
    float y[2][8];
#pragma unroll
    for (uint32_t m = 0; m < 2; ++m) {
      const float* from =
          places + (m * kGroupWarps + piece / 2) * (kOutBytes / sizeof(float)) + t * kOutStride + piece % 2 * 8;
      Load8(from, y[m]);
      const float* bias = args.product.matrix[m].bias;
#pragma unroll
      for (uint32_t i = 0; i < 8; ++i) {
        y[m][i] = y[m][i] * scale[m][i] * args.scales[first_token + t];
        if (bias != nullptr) y[m][i] += bias[column + i];
      }
    }
    float values[8];
#pragma unroll
    for (uint32_t i = 0; i < 8; ++i) values[i] = CleanAct(Activate(args.gate.activation, y[0][i]) * y[1][i]) * factor;
    const ReadRow to = ReadRowOf(args.gate.acts, static_cast<uint32_t>(args.padded_rows), first_token + t);
    StoreReadColumns(to, args.gate.kind, column, values);
    if (column == 0) *to.scale = 1 / factor;
  }
}

// Grid: (chunks of 128 tokens, tiles of Reads::kRows rows, or of half of them where there is a gate): neighbouring
// blocks share weights.
template <DType kType, bool kGated>
MOTE_KERNEL((Reads<kType>::kThreads), 2)
ReadTokensKernel(const ReadArgs args) {
#if MOTE_HAS_GROUPS
  using R = Reads<kType>;
  LetNextBegin();
  WaitForPrevious();
  const uint32_t tokens = args.product.counts->rows[args.product.rows_kind] - args.product.counts->read_from;
  const uint32_t first_token = blockIdx.x * kGroupTokens;
  if (first_token >= tokens) return;
  const uint32_t warp = threadIdx.x / kWarp;
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  const MatrixArgs& matrix = kGated ? args.product.matrix[warp / kGroupWarps] : MatrixOfTile(args.product, blockIdx.y);
  const uint32_t row_tile =
      kGated ? blockIdx.y * kGroupWarps + warp % kGroupWarps : (blockIdx.y - matrix.first_tile) * R::kWarps + warp;
  // Rows that are not there: the last ones again, and nobody looks.
  const uint32_t last = (matrix.rows + kTileRows - 1) / kTileRows - 1;
  const uint32_t own = row_tile < last ? row_tile : last;
  ReadCopy<kType> copy;
  copy.lane_byte = static_cast<uint32_t>(lane) * 16;
  copy.weights = matrix.weights + uint64_t{own} * args.product.row_tiles * R::kFormat.tile_bytes() + copy.lane_byte;
  copy.act_stride = args.padded_rows * (kGroupCols * 2);
  copy.acts = args.product.acts + first_token * (kGroupCols * 2) + threadIdx.x * 16;
  uint8_t* shared = AlignShared(SharedMemory(), kGroupSlabBytes);
  ReadSums sum;
  MultiplyRead<kType>(args.product.row_tiles, shared, warp, lane, &copy, sum);
  SyncBlock();  // others may still multiply with what lies where sums go
  float* places = reinterpret_cast<float*>(shared + warp * kOutBytes);
  LaySums(sum, static_cast<uint32_t>(lane), places);
  if constexpr (kGated) {
    StoreGated<kType>(args, blockIdx.y * kGroupRows, first_token, tokens, reinterpret_cast<float*>(shared));
  } else {
    StoreRead<kType>(args, matrix, row_tile, first_token, tokens, static_cast<uint32_t>(lane), places);
  }
#endif
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_READ_PRODUCT_CUH_
