// Stages of the products of many tokens (staged_product.cuh): how large blocks are, what is where in their shared
// memory, how it gets there and where a lane finds it.
#ifndef MOTE_TARGETS_CUDA_STAGE_CUH_
#define MOTE_TARGETS_CUDA_STAGE_CUH_

#include "targets/cuda/matmul.cuh"

namespace mote::cuda {

// Shared memory that a block of Hopper and later data-centre GPUs may have. A multiprocessor has 1 KiB more, and keeps
// 1 KiB of it for each block.
inline constexpr uint32_t kStagedBlockShared = 227 << 10;
inline constexpr int kStagedBlocks = 2;  // of a multiprocessor
inline constexpr uint32_t kStagedShared = (kStagedBlockShared - (1 << 10)) / kStagedBlocks;

// Super-blocks with a scale for every 16 columns: codes are multiplied with them before the matrix instruction
// (staged_tile.cuh).
template <DType kType>
constexpr bool ScalesCodes() {
  return FormatOf(kType).scales == Scales::kByte16 || FormatOf(kType).scales == Scales::kNibble16;
}

// A block has 64 tokens. Which shape is the fastest was measured on an H200, for Q4_0, Q8_0, Q4_K, Q6_K and F16; other
// types are like one of them. (I8 like Q4_K, not timed: it needs little but what it reads of shared memory, and with 32
// rows a warp that is 192 bytes for each matrix instruction instead of 320.)
template <DType kType>
struct Staged {
  static constexpr PackedFormat kFormat = FormatOf(kType);
  static constexpr bool kHalves = kFormat.halves;
  static constexpr bool kSuper = kFormat.act_group == 256;
  // Tiles of 16 rows of a warp, and the block's warps: for its rows, and for its tokens.
  static constexpr int kRowTiles = kHalves ? 4 : kSuper && !ScalesCodes<kType>() ? 2 : 1;
  static constexpr uint32_t kRowWarps = kHalves ? 2 : kSuper ? 4 : 8;
  static constexpr uint32_t kTokenWarps = kHalves ? 2 : 1;
  static constexpr int kTokens8 = 8 / static_cast<int>(kTokenWarps);
  static constexpr uint32_t kTokens = kManyTokens;
  static constexpr uint32_t kBlockRowTiles = kRowWarps * kRowTiles;
  static constexpr uint32_t kRows = kBlockRowTiles * kTileRows;
  static constexpr uint32_t kWarps = kRowWarps * kTokenWarps;
  static constexpr int kThreads = static_cast<int>(kWarps) * kWarp;

  // A stage: a tile's columns, of halves a quarter of them. First the weights as they lie in memory, then the
  // activations' values (Place), then scales and sums of two tokens side by side, so that a lane reads those of its two
  // columns and of two steps at once: [token / 2][scales, sums][step / 2][token % 2][step % 2], with 16 bytes between
  // pairs, so that four lanes meet no bank twice. Of super-blocks, all scales are the same one, and the first two are
  // there.
  static constexpr int kStages = kHalves ? 3 : 2;  // buffers of the ring
  static constexpr uint32_t kOfTile = kHalves ? 4 : 1;
  static constexpr uint32_t kValues = kHalves ? 128 : 256;  // bytes of a token
  static constexpr uint32_t kRowTileBytes = kFormat.tile_bytes() / kOfTile;
  static constexpr uint32_t kWeightBytes = kBlockRowTiles * kRowTileBytes;
  static constexpr uint32_t kScaleBytes = kSuper ? 16 : 64;  // of two tokens
  static constexpr uint32_t kPairBytes = kHalves ? 0 : kSuper ? kScaleBytes + 64 : kScaleBytes + 64 + 16;
  static constexpr uint32_t kScalesAt = kWeightBytes + kTokens * kValues;
  static constexpr uint32_t kStageBytes = kScalesAt + kTokens / 2 * kPairBytes;
  // Sums from stretch to stretch stand behind the ring where there is room for them, else in registers.
  static constexpr uint32_t kTotalsAt = kStages * kStageBytes;
  static constexpr uint32_t kTotalBytes = kRows * kTokens * static_cast<uint32_t>(sizeof(float));
  static constexpr bool kSharedTotals = kTotalsAt + kTotalBytes <= kStagedShared;
  static constexpr uint32_t kShared = kTotalsAt + (kSharedTotals ? kTotalBytes : 0);
  static_assert(kShared <= kStagedShared, "two blocks of a multiprocessor");
  // Of odd tokens the 64s of a 128 are changed over: the eight lanes that read at once meet no bank twice.
  MOTE_DEVICE uint32_t Place(uint32_t token, uint32_t byte) { return token * kValues + (byte ^ token % 2 * 64); }
};

// What a thread copies of each stage: 16 bytes of some row tiles' chunks, and a sixteenth or an eighth of some tokens.
template <DType kType>
struct StageCopy {
  using S = Staged<kType>;
  static constexpr uint32_t kRowTilesOfWarp = S::kBlockRowTiles / S::kWarps;
  static constexpr uint32_t kThreadsPerToken = 8;
  static constexpr uint32_t kAtOnce = S::kThreads / kThreadsPerToken;  // tokens
  static constexpr uint32_t kPasses = S::kTokens / kAtOnce;
  static_assert(S::kBlockRowTiles % S::kWarps == 0 && S::kTokens % kAtOnce == 0, "whole passes");
  const uint8_t* weights[kRowTilesOfWarp];
  const uint8_t* acts;
  uint32_t of_token[kPasses];
  uint32_t token, piece, warp, lane;

  // matrix: its row tile 0; last: its last one.
  MOTE_DEVICE StageCopy Of(const MatMulArgs& args, TokenRange tokens, const uint8_t* matrix, uint32_t row_tile,
                           uint32_t last) {
    StageCopy c;
    c.warp = threadIdx.x / kWarp;
    c.lane = threadIdx.x % kWarp;
#pragma unroll
    for (uint32_t i = 0; i < kRowTilesOfWarp; ++i) {
      // Rows that are not there: the last ones again, and nobody looks.
      const uint32_t own = row_tile + c.warp * kRowTilesOfWarp + i;
      c.weights[i] = matrix +
                     static_cast<uint64_t>(own < last ? own : last) * args.row_tiles * S::kFormat.tile_bytes() +
                     c.lane * 16;
    }
    c.acts = args.acts + ActHeader<kType>();
    c.token = threadIdx.x / kThreadsPerToken;
    c.piece = threadIdx.x % kThreadsPerToken;
#pragma unroll
    for (uint32_t i = 0; i < kPasses; ++i) {
      const uint32_t token = tokens.first + c.token + i * kAtOnce;
      c.of_token[i] = static_cast<uint32_t>(ActRow(args, token < tokens.end ? token : tokens.end - 1) - args.acts);
    }
    return c;
  }
  MOTE_DEVICE void Fetch(StageCopy* c, uint8_t* stage) {
#pragma unroll
    for (uint32_t i = 0; i < kRowTilesOfWarp; ++i) {
      uint8_t* to = stage + (c->warp * kRowTilesOfWarp + i) * S::kRowTileBytes + c->lane * 16;
#pragma unroll
      for (uint32_t byte = 0; byte < S::kRowTileBytes; byte += kChunkBytes) {
        if (byte + kChunkBytes <= S::kRowTileBytes || c->lane * 16 < S::kRowTileBytes - byte) {
          CopyAsync16(to + byte, c->weights[i] + byte);
        }
      }
      c->weights[i] += S::kRowTileBytes;
    }
    uint8_t* values = stage + S::kWeightBytes + S::Place(c->token, c->piece * 16);
#pragma unroll
    for (uint32_t i = 0; i < kPasses; ++i) {
      const uint8_t* from = c->acts + c->of_token[i] + c->piece * 16;
#pragma unroll
      for (uint32_t byte = 0; byte < S::kValues; byte += kThreadsPerToken * 16) {
        CopyAsync16(values + i * kAtOnce * S::kValues + byte, from + byte);
      }
    }
    if constexpr (!S::kHalves) FetchScales(*c, stage + S::kScalesAt);
    c->acts += TileActBytes<kType>() / S::kOfTile;
  }
  // Pieces of 8 bytes: two steps' scales or sums.
  MOTE_DEVICE void FetchScales(const StageCopy& c, uint8_t* to) {
    if (S::kSuper && c.piece > 0 && c.piece < 4) return;
    to += c.token / 2 * S::kPairBytes + c.piece / 4 * S::kScaleBytes + c.piece % 4 * 16 + c.token % 2 * 8;
#pragma unroll
    for (uint32_t i = 0; i < kPasses; ++i) {
      CopyAsync8(to + i * (kAtOnce / 2) * S::kPairBytes, c.acts + c.of_token[i] + kActScales + c.piece * 8);
    }
  }
};

// Where a lane finds what it needs of a stage: its first token of B, its first two tokens of D.
template <DType kType>
struct StageActs {
  using S = Staged<kType>;
  const uint8_t* even;    // values of B: pairs of steps 0 and 2
  const uint8_t* odd;     // pairs 1 and 3, less 64
  const uint8_t* sums;    // B's, of the lane's 16 columns
  const uint8_t* column;  // D's scales, then sums
  MOTE_DEVICE StageActs Of(const uint8_t* stage, uint32_t own_token, uint32_t lane) {
    const uint32_t token = own_token + lane / 4, t = lane % 4;
    const uint8_t* scales = stage + S::kScalesAt;
    StageActs a;
    a.even = stage + S::kWeightBytes + S::Place(token, t * 16);
    a.odd = stage + S::kWeightBytes + S::Place(token, 64 + t * 16) - 64;
    a.sums = scales + token / 2 * S::kPairBytes + token % 2 * 8 + S::kScaleBytes + t / 2 * 16 + t % 2 * 4;
    a.column = scales + (own_token / 2 + t) * S::kPairBytes;
    return a;
  }
  MOTE_DEVICE uint4 Values(const StageActs& a, int n, int pair) {
    const uint8_t* at = pair % 2 == 0 ? a.even : a.odd;
    return *reinterpret_cast<const uint4*>(at + 8 * n * static_cast<int>(S::kValues) + pair * 64);
  }
  // Of the two columns, of the pair's two steps: words 2 * column + step.
  MOTE_DEVICE uint4 ColumnScales(const StageActs& a, int n, int pair) {
    return *reinterpret_cast<const uint4*>(a.column + 4 * n * static_cast<int>(S::kPairBytes) + pair * 16);
  }
  MOTE_DEVICE uint4 ColumnSums(const StageActs& a, int n, int pair) {
    return ColumnScales(a, n, pair + static_cast<int>(S::kScaleBytes) / 16);
  }
  // Super-blocks: the scale of one of the two columns; the two sums of 16 that the lane multiplies minima with.
  MOTE_DEVICE float OnlyScale(const StageActs& a, int n, int i) {
    return *reinterpret_cast<const float*>(a.column + 4 * n * static_cast<int>(S::kPairBytes) + i * 8);
  }
  MOTE_DEVICE uint32_t OperandSums(const StageActs& a, int n, int half) {
    return *reinterpret_cast<const uint32_t*>(a.sums + 4 * n * static_cast<int>(S::kPairBytes) + half * 32);
  }
};

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_STAGE_CUH_
