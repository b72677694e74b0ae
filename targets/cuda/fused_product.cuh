// The row operations around a product of few tokens, done by the product's own blocks.
//
// With one token a launch costs more than what it does: of 4 us between two products, the work is one. What reads the
// weights can do it:
//   - before it, the norm and the rounding. A row is a few KiB in the second-level cache, and the block's first weights
//     are under way meanwhile. Each block does it again, each warp for the columns that it multiplies with; the sum of
//     squares is all that warps tell each other.
//   - after it, the gate: a block has the same 32 rows of both matrices, which is a group of the next product's
//     activations, so nobody else need be asked; or 16 rows, and of the 16 blocks that make a group of 256 the last one
//     rounds it;
//   - after it, the sum with what is carried from layer to layer;
//   - after it, the turning of queries and keys, whose pairs stand side by side, and the writing of the cache, where it
//     has halves.
// All add, scale and round in the order of the row operations (held_ops.cuh): the same bits.
#ifndef MOTE_TARGETS_CUDA_FUSED_PRODUCT_CUH_
#define MOTE_TARGETS_CUDA_FUSED_PRODUCT_CUH_

#include "targets/cuda/activation.cuh"
#include "targets/cuda/cache_side.cuh"
#include "targets/cuda/kernel_args.h"
#include "targets/cuda/round_acts.cuh"
#include "targets/cuda/tile_product.cuh"

namespace mote::cuda {

inline constexpr int kNotFused = 0, kFusedNorm = 1, kFusedGate = 2, kFusedHeads = 4;
constexpr bool HasNorm(int fused) {
  return (fused & kFusedNorm) != 0;
}
constexpr bool HasGate(int fused) {
  return (fused & kFusedGate) != 0;
}
constexpr bool HasHeads(int fused) {
  return (fused & kFusedHeads) != 0;
}

// Tiles of 256 columns of a row that is normed: as many as the row operations sum without a second column of a thread.
// A warp has one or two of them.
inline constexpr uint32_t kNormTiles = kMaxNormCols / kTileCols;
inline constexpr int kNormTilesOfWarp = kNormTiles / kStretches;
static_assert(kMaxNormCols == kWholeCols, "beyond it, sums are taken in another order");

// In shared memory: what is made, and a sum for each tile.
constexpr uint32_t NormSumsAt(uint32_t tiles) {
  return tiles * kActBlockBytes;
}
constexpr uint32_t NormShared(uint32_t tiles) {
  return NormSumsAt(tiles) + kNormTiles * static_cast<uint32_t>(sizeof(float));
}

// A lane's first column of its warp's tile i.
MOTE_DEVICE uint32_t NormColumn(uint32_t first_tile, int i) {
  return (first_tile + static_cast<uint32_t>(i)) * kTileCols + threadIdx.x % kWarp * 8;
}
MOTE_DEVICE void LoadNormColumns(const float* from, float v[8]) {
  const float4 low = reinterpret_cast<const float4*>(from)[0], high = reinterpret_cast<const float4*>(from)[1];
  v[0] = low.x, v[1] = low.y, v[2] = low.z, v[3] = low.w;
  v[4] = high.x, v[5] = high.y, v[6] = high.z, v[7] = high.w;
}
// The norm's weights of a lane's columns, asked for before the kernel's turn has come.
struct NormWeights {
  float w[kNormTilesOfWarp][8];
};
MOTE_DEVICE NormWeights FetchNormWeights(const MatMulArgs& args, uint32_t begin, uint8_t* acts) {
  // Sums of tiles that there are not.
  float* sums = reinterpret_cast<float*>(acts + NormSumsAt(args.row_tiles));
  if (threadIdx.x >= args.row_tiles && threadIdx.x < kNormTiles) sums[threadIdx.x] = 0;
  NormWeights weights;
#pragma unroll
  for (int i = 0; i < kNormTilesOfWarp; ++i) {
    const uint32_t c = NormColumn(begin, i);
    LoadNormColumns(args.norm.weight + (c < args.cols ? c : args.cols - 8), weights.w[i]);
  }
  return weights;
}

// The one row's norm, rounded: the own warp's tiles [begin, end) to `acts`, for itself. By all threads of the block.
MOTE_DEVICE void NormActs(const MatMulArgs& args, uint32_t begin, uint32_t end, bool one_scale,
                          const NormWeights& weights, uint8_t* acts) {
  const uint32_t lane = threadIdx.x % kWarp;
  float* sums = reinterpret_cast<float*>(acts + NormSumsAt(args.row_tiles));
  const float* row = args.norm.values;
  float x[kNormTilesOfWarp][8];
#pragma unroll
  for (int i = 0; i < kNormTilesOfWarp; ++i) {
    const uint32_t c = NormColumn(begin, i);
    LoadNormColumns(row + (c < args.cols ? c : args.cols - 8), x[i]);  // beyond the row: its last columns again
  }
#pragma unroll
  for (int i = 0; i < kNormTilesOfWarp; ++i) {
    const uint32_t tile = begin + static_cast<uint32_t>(i);
    const bool in_row = NormColumn(begin, i) < args.cols;
    float squares = 0;
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      const float value = in_row ? x[i][j] : 0.0f;
      squares = fmaf(value, value, squares);
    }
    squares = WarpSum(squares);
    if (lane == 0 && tile < end) sums[tile] = squares;
  }
  SyncBlock();
  float squares = 0;
#pragma unroll
  for (uint32_t i = 0; i < kNormTiles / 4; ++i) {  // of no tile: zeros, which change no bit
    const float4 four = reinterpret_cast<const float4*>(sums)[i];
    squares += four.x;
    squares += four.y;
    squares += four.z;
    squares += four.w;
  }
  const float factor = 1.0f / sqrtf(squares / static_cast<float>(args.cols) + args.norm.epsilon);
#pragma unroll
  for (int i = 0; i < kNormTilesOfWarp; ++i) {
    const uint32_t tile = begin + static_cast<uint32_t>(i);
    if (tile >= end) break;  // the whole warp
    const uint32_t c = NormColumn(begin, i);
#pragma unroll
    for (int j = 0; j < 8; ++j) x[i][j] = x[i][j] * factor * weights.w[i][j];
    QuantizeColumns(x[i], c < args.cols, lane * 8, one_scale, true, acts + tile * kActBlockBytes);
  }
  SyncWarp();
}

// Of a block's sums: (stretches, kRows, kPlaces), those of one row and token.
template <DType kType, uint32_t kRows, uint32_t kPlaces>
MOTE_DEVICE float SumOfStretches(const float* own, uint32_t stretches) {
  float sum = own[0];
  if (stretches == kStretches) {  // asked for at once
#pragma unroll
    for (uint32_t stretch = 1; stretch < kStretches; ++stretch) sum += own[stretch * kRows * kPlaces];
  } else {
    for (uint32_t stretch = 1; stretch < stretches; ++stretch) sum += own[stretch * kRows * kPlaces];
  }
  return sum * Unshift<kType>();
}

// Of a block's sums whose second half of rows is the gated matrix's: output `row` of one token, gated.
template <DType kType, uint32_t kRows, uint32_t kPlaces>
MOTE_DEVICE float Gated(const MatMulArgs& args, const float* own, uint32_t stretches, uint32_t row) {
  float gate = SumOfStretches<kType, kRows, kPlaces>(own, stretches);
  float other = SumOfStretches<kType, kRows, kPlaces>(own + kRows / 2 * kPlaces, stretches);
  if (args.matrix[0].bias != nullptr) gate += args.matrix[0].bias[row];
  if (args.matrix[1].bias != nullptr) other += args.matrix[1].bias[row];
  return Activate(args.gate.activation, gate) * other;
}

// A token's 32 outputs from `row` on, by one warp.
template <DType kType, uint32_t kRows, uint32_t kPlaces>
MOTE_DEVICE void StoreGated(const MatMulArgs& args, const float* sums, uint32_t stretches, uint32_t row,
                            uint32_t token) {
  static_assert(kRows == 2 * kWarp, "a group of activations");
  const uint32_t lane = threadIdx.x % kWarp;
  uint8_t* acts = args.gate.acts + token * args.gate.act_bytes;
  QuantizeGroup(Gated<kType, kRows, kPlaces>(args, sums + lane * kPlaces, stretches, row + lane),
                (row + lane) % kTileCols, acts + row / kTileCols * kActBlockBytes);
}

// Part of a group of 256: 16 outputs from `row` on, of the one token. The block that comes last rounds the group.
template <DType kType>
MOTE_DEVICE void StoreGatedPart(const MatMulArgs& args, const float* sums, uint32_t stretches, uint32_t row) {
  constexpr uint32_t kPart = 16;
  if (threadIdx.x >= kWarp) return;
  const uint32_t lane = threadIdx.x, tile = row / kTileCols;
  if (lane < kPart) {
    args.gate.parts[row + lane] = Gated<kType, 2 * kPart, 1>(args, sums + lane, stretches, row + lane);
  }
  SyncWarp();
  uint32_t before = 0;
  if (lane == 0) before = Arrive(args.gate.arrived + tile);
  if (ShuffleFrom(before, 0) != kTileCols / kPart - 1) return;
  SyncWarp();  // a shuffle orders no memory: what lane 0 has seen arrive is the other lanes' to read from here on
  if (lane == 0) args.gate.arrived[tile] = 0;
  float v[8];
#pragma unroll
  for (uint32_t i = 0; i < 8; ++i) v[i] = LoadFresh(args.gate.parts + tile * kTileCols + lane * 8 + i);
  QuantizeColumns(v, true, lane * 8, true, true, args.gate.acts + tile * kActBlockBytes);
}

// Two neighbouring outputs of a token on their way: where they go, and by how much they are turned.
struct HeadPair {
  uint32_t* cache;  // of two halves; null: to `out`
  float cos, sin;
};
MOTE_DEVICE uint32_t* CacheOfPair(const HeadArgs& args, const MatrixArgs& matrix, uint32_t row, uint32_t token) {
  if (matrix.heads == Heads::kQueries) return nullptr;
  const CacheSideArgs side = CacheSideOf(*args.step, args.layer, matrix.heads == Heads::kKeys, token);
  const uint32_t head = row / matrix.group;
  return reinterpret_cast<uint32_t*>(side.memory + head * side.head_bytes +
                                     static_cast<uint64_t>(side.position) * side.position_bytes +
                                     2 * (row - head * matrix.group));
}
MOTE_DEVICE void LoadTurn(const HeadArgs& args, const MatrixArgs& matrix, uint32_t row, uint32_t token,
                          HeadPair* pair) {
  const uint32_t d = row % matrix.group;
  pair->cos = 1;
  pair->sin = 0;
  if (matrix.heads == Heads::kValues || d >= 2 * args.pairs) return;
  const uint64_t at = static_cast<uint64_t>(token) * args.pairs + d / 2;
  pair->cos = args.cos[at];
  pair->sin = args.sin[at];
}
MOTE_DEVICE void StorePair(const HeadArgs& args, const MatrixArgs& matrix, uint32_t row, uint32_t token,
                           const HeadPair& pair, float a, float b) {
  if (matrix.bias != nullptr) {
    a += matrix.bias[row];
    b += matrix.bias[row + 1];
  }
  if (matrix.heads != Heads::kValues && row % matrix.group < 2 * args.pairs) {
    const float first = a * pair.cos - b * pair.sin;
    b = b * pair.cos + a * pair.sin;
    a = first;
  }
  if (pair.cache != nullptr) {
    *pair.cache = FloatToHalf(a) | static_cast<uint32_t>(FloatToHalf(b)) << 16;
    return;
  }
  float* out = matrix.out + static_cast<uint64_t>(token) * matrix.rows + row;
  out[0] = a;
  out[1] = b;
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_FUSED_PRODUCT_CUH_
