// Attention's blocks of 64 positions: queries, keys and values on their way to shared memory, and what is made of them.
// What they are blocks of: attention.cuh.
#ifndef MOTE_TARGETS_CUDA_ATTENTION_BLOCK_CUH_
#define MOTE_TARGETS_CUDA_ATTENTION_BLOCK_CUH_

#include "targets/cuda/kernel_args.h"
#include "targets/cuda/mma.h"
#include "targets/cuda/vocabulary.h"

namespace mote::cuda {

inline constexpr int kAttentionThreads = 128;
inline constexpr uint32_t kAttentionWarps = kAttentionThreads / kWarp;
inline constexpr uint32_t kAttentionRows = 16;
inline constexpr uint32_t kAttentionPositions = 64;  // of a block
inline constexpr uint32_t kSplitPositions = 256;
// Columns of values that a warp's registers hold, in eights: heads of up to 256.
inline constexpr int kMaxValueTiles = 8;
inline constexpr uint32_t kMaxHeadDim = 256;

constexpr uint32_t KeyCols(uint32_t dim) {
  return (dim + 15) / 16 * 16;
}
constexpr uint32_t ValueCols(uint32_t dim) {
  return (dim + 7) / 8 * 8;
}
// Rows of shared memory: 8 halves more than the columns, so that rows begin 4 banks apart and 8 of them meet no other.
constexpr uint32_t SharedRow(uint32_t cols) {
  return cols + 8;
}
constexpr uint32_t AttentionShared(uint32_t key_dim, uint32_t value_dim) {
  const uint32_t halves = (kAttentionRows + kAttentionPositions) * SharedRow(KeyCols(key_dim)) +
                          kAttentionPositions * SharedRow(ValueCols(value_dim)) +
                          kAttentionRows * SharedRow(kAttentionPositions);
  return halves * 2 + 2 * kAttentionWarps * kAttentionRows * static_cast<uint32_t>(sizeof(float));
}
// Query heads of a tile, and tokens.
constexpr uint32_t TileHeads(uint32_t group) {
  return group < kAttentionRows ? group : kAttentionRows;
}
constexpr uint32_t HeadTiles(uint32_t group) {
  return (group + kAttentionRows - 1) / kAttentionRows;
}

struct Seen {
  uint32_t begin;
  uint32_t end;
};
// Parts of the shared memory.
struct AttentionMemory {
  uint16_t* q;
  uint16_t* k;
  uint16_t* v;
  uint16_t* p;
  float* most;  // (warps, rows)
  float* sums;  // (warps, rows)
};
MOTE_DEVICE AttentionMemory LayOut(const AttentionArgs& args) {
  AttentionMemory m;
  m.q = reinterpret_cast<uint16_t*>(SharedMemory());
  m.k = m.q + kAttentionRows * SharedRow(KeyCols(args.key_dim));
  m.v = m.k + kAttentionPositions * SharedRow(KeyCols(args.key_dim));
  m.p = m.v + kAttentionPositions * SharedRow(ValueCols(args.value_dim));
  m.most = reinterpret_cast<float*>(m.p + kAttentionRows * SharedRow(kAttentionPositions));
  m.sums = m.most + kAttentionWarps * kAttentionRows;
  return m;
}

// What a tile is: rows of the step and heads.
struct AttentionTile {
  uint32_t row;  // first token
  uint32_t tokens;
  uint32_t heads;  // of a token in this tile
  uint32_t head;   // the first
};
MOTE_DEVICE bool RowOfTile(const AttentionTile& tile, uint32_t r, uint32_t* row, uint32_t* head) {
  *row = tile.row + r / tile.heads;
  *head = tile.head + r % tile.heads;
  return r / tile.heads < tile.tokens;
}

// Rows that are no query, and columns that no head has, are zeros.
MOTE_DEVICE void ClearQueries(const AttentionArgs& args, const AttentionMemory& m) {
  const uint32_t words = kAttentionRows * SharedRow(KeyCols(args.key_dim)) / 8;
  for (uint32_t i = threadIdx.x; i < words; i += kAttentionThreads)
    reinterpret_cast<uint4*>(m.q)[i] = uint4{0, 0, 0, 0};
}
// The others, four columns at a time, four of those under way.
MOTE_DEVICE void LoadQueries(const AttentionArgs& args, const AttentionTile& tile, const AttentionMemory& m) {
  const uint32_t stride = SharedRow(KeyCols(args.key_dim));
  const uint32_t pieces = (args.key_dim + 3) / 4;
  const uint32_t count = tile.tokens * tile.heads * pieces;
  constexpr int kUnderWay = 4;
  for (uint32_t first = threadIdx.x; first < count; first += kUnderWay * kAttentionThreads) {
    float values[kUnderWay][4];
#pragma unroll
    for (int j = 0; j < kUnderWay; ++j) {
      const uint32_t i = first + static_cast<uint32_t>(j * kAttentionThreads);
      const uint32_t r = i / pieces, d = i % pieces * 4;
      uint32_t row, head;
      if (i >= count || !RowOfTile(tile, r, &row, &head)) continue;
      const float* from = args.q + (static_cast<uint64_t>(row) * args.heads + head) * args.key_dim + d;
      if (args.key_dim % 4 == 0) {
        const float4 four = *reinterpret_cast<const float4*>(from);
        values[j][0] = four.x, values[j][1] = four.y, values[j][2] = four.z, values[j][3] = four.w;
        continue;
      }
#pragma unroll
      for (uint32_t c = 0; c < 4; ++c) values[j][c] = d + c < args.key_dim ? from[c] : 0.0f;
    }
#pragma unroll
    for (int j = 0; j < kUnderWay; ++j) {
      const uint32_t i = first + static_cast<uint32_t>(j * kAttentionThreads);
      if (i >= count) continue;
      uint16_t* to = m.q + i / pieces * stride + i % pieces * 4;
#pragma unroll
      for (int c = 0; c < 4; ++c) to[c] = FloatToHalf(fminf(fmaxf(values[j][c], -65504.0f), 65504.0f));
    }
  }
}

// Keys or values of one head, and where a block of 64 positions of them lies in shared memory.
struct HeadSide {
  const uint8_t* head;
  uint32_t position_bytes;
  uint32_t positions;  // that there is room for
  bool q8;
  uint32_t cols;
  uint16_t* out;
};
// Positions [begin, end) of the block that begins at `first`, as halves: those of 16 bits are under way, those of 8 are
// there. Fresh: what is read before the kernel's turn lies beside the position that is yet to be written, a scale in
// the same sector.
MOTE_DEVICE void LoadPositions(const HeadSide& side, uint32_t first, uint32_t begin, uint32_t end) {
  const uint32_t stride = SharedRow(side.cols);
  const uint32_t pieces = side.cols / 8;  // of 8 values
  const uint32_t blocks = side.position_bytes / 32;
  const uint16_t* scales =
      reinterpret_cast<const uint16_t*>(side.head + static_cast<uint64_t>(side.positions) * side.position_bytes);
  uint32_t position = begin + threadIdx.x / pieces, piece = threadIdx.x % pieces;
  while (position < end) {
    const uint8_t* from = side.head + static_cast<uint64_t>(position) * side.position_bytes;
    uint16_t* to = side.out + (position - first) * stride + piece * 8;
    if (!side.q8) {
      CopyAsync16(to, from + piece * 16);
    } else {
      const uint2 codes = LoadFresh(reinterpret_cast<const uint2*>(from + piece * 8));
      const float scale = HalfToFloat(LoadFresh(scales + static_cast<uint64_t>(position) * blocks + piece / 4));
#pragma unroll
      for (int c = 0; c < 8; ++c) {
        const uint32_t word = c < 4 ? codes.x : codes.y;
        to[c] = FloatToHalf(scale * static_cast<float>(static_cast<int8_t>(word >> 8 * (c % 4) & 255u)));
      }
    }
    position += kAttentionThreads / pieces;
    piece += kAttentionThreads % pieces;
    if (piece >= pieces) {
      piece -= pieces;
      ++position;
    }
  }
}
// What lies behind `end` is another session's past, and zeros here.
MOTE_DEVICE void ClearPositions(const HeadSide& side, uint32_t first, uint32_t end) {
  const uint32_t row = SharedRow(side.cols) / 8;  // of 16 bytes
  const uint32_t begin = end > first ? end - first : 0;
  for (uint32_t i = begin * row + threadIdx.x; i < kAttentionPositions * row; i += kAttentionThreads) {
    reinterpret_cast<uint4*>(side.out)[i] = uint4{0, 0, 0, 0};
  }
}
MOTE_DEVICE uint32_t Least(uint32_t a, uint32_t b) {
  return a < b ? a : b;
}
// The whole block, up to `end`.
MOTE_DEVICE void LoadBlock(const HeadSide& side, uint32_t first, uint32_t end) {
  LoadPositions(side, first, first, Least(end, first + kAttentionPositions));
  ClearPositions(side, first, end);
}

// Rows g and g + 8 of a tile, in a lane: of everything since the last join.
template <int kEights>
struct StateOf {
  float out[kEights][4];  // of eights of columns
  float most[2];          // largest score
  float sum[2];           // of the weights
};
using AttentionState = StateOf<kMaxValueTiles>;  // of this warp's eights
template <int kEights>
MOTE_DEVICE void Clear(StateOf<kEights>* s) {
#pragma unroll
  for (int n = 0; n < kEights; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) s->out[n][i] = 0;
  }
  s->most[0] = s->most[1] = -INFINITY;
  s->sum[0] = s->sum[1] = 0;
}
// exp(a - b) where both may be minus infinity: nothing seen yet weighs nothing.
MOTE_DEVICE float Relative(float a, float b) {
  return a == -INFINITY ? 0.0f : expf(a - b);
}
// `part` joins `all`, whose positions come before.
template <int kEights>
MOTE_DEVICE void Join(const StateOf<kEights>& part, StateOf<kEights>* all) {
  float old_factor[2], new_factor[2];
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const float most = fmaxf(all->most[r], part.most[r]);
    old_factor[r] = Relative(all->most[r], most);
    new_factor[r] = Relative(part.most[r], most);
    all->most[r] = most;
    all->sum[r] = all->sum[r] * old_factor[r] + part.sum[r] * new_factor[r];
  }
#pragma unroll
  for (int n = 0; n < kEights; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      all->out[n][i] = all->out[n][i] * old_factor[i / 2] + part.out[n][i] * new_factor[i / 2];
    }
  }
}

// Scores of this warp's 16 of the 64 positions, in eights; what a row does not see is minus infinity.
MOTE_DEVICE void Score(const AttentionArgs& args, const AttentionMemory& m, const Seen seen[2], uint32_t first,
                       float scores[2][4]) {
  const uint32_t lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const uint32_t g = lane / 4, t = lane % 4;
  const uint32_t cols = KeyCols(args.key_dim);
  const uint32_t stride = SharedRow(cols);
#pragma unroll
  for (int n = 0; n < 2; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) scores[n][i] = 0;
  }
  const auto pair = [](const uint16_t* at) { return *reinterpret_cast<const uint32_t*>(at); };
#pragma unroll 4
  for (uint32_t d = 0; d < cols; d += 16) {
    const uint16_t* q = m.q + g * stride + d + 2 * t;
    const uint32_t a[4] = {pair(q), pair(q + 8 * stride), pair(q + 8), pair(q + 8 * stride + 8)};
#pragma unroll
    for (int n = 0; n < 2; ++n) {
      const uint16_t* k = m.k + (warp * 16 + static_cast<uint32_t>(n) * 8 + g) * stride + d + 2 * t;
      MmaHalves(scores[n], a, pair(k), pair(k + 8));
    }
  }
#pragma unroll
  for (int n = 0; n < 2; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const uint32_t position = first + warp * 16 + static_cast<uint32_t>(n * 8) + 2 * t + static_cast<uint32_t>(i % 2);
      float score = scores[n][i] * args.scale;
      if (args.softcap != 0) score = args.softcap * tanhf(score / args.softcap);
      const bool sees = position >= seen[i / 2].begin && position < seen[i / 2].end;
      scores[n][i] = sees ? score : -INFINITY;
    }
  }
}

// One block of 64 positions, which lie in shared memory, into the state, in three steps between which all threads meet.
// First the scores, and each warp's largest of a row.
MOTE_DEVICE void ScoreBlock(const AttentionArgs& args, const AttentionMemory& m, const Seen seen[2], uint32_t first,
                            float scores[2][4]) {
  const uint32_t lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  Score(args, m, seen, first, scores);
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float most = fmaxf(fmaxf(scores[0][2 * r], scores[0][2 * r + 1]), fmaxf(scores[1][2 * r], scores[1][2 * r + 1]));
    most = fmaxf(most, ShuffleXor(most, 1));
    most = fmaxf(most, ShuffleXor(most, 2));
    if (lane % 4 == 0) m.most[warp * kAttentionRows + lane / 4 + 8 * static_cast<uint32_t>(r)] = most;
  }
}
// Then weights, and each warp's sum of them. `factor`: what was there before is worth so much now.
MOTE_DEVICE void WeighBlock(const AttentionMemory& m, const float scores[2][4], AttentionState* s, float factor[2]) {
  const uint32_t lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const uint32_t g = lane / 4, t = lane % 4;
  constexpr uint32_t kStride = SharedRow(kAttentionPositions);
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const uint32_t row = g + 8 * static_cast<uint32_t>(r);
    float most = s->most[r];
    for (uint32_t w = 0; w < kAttentionWarps; ++w) most = fmaxf(most, m.most[w * kAttentionRows + row]);
    factor[r] = Relative(s->most[r], most);
    s->most[r] = most;
    float weights[2][2];
#pragma unroll
    for (int n = 0; n < 2; ++n) {
#pragma unroll
      for (int i = 0; i < 2; ++i) weights[n][i] = Relative(scores[n][2 * r + i], most);
      uint16_t* p = m.p + row * kStride + warp * 16 + static_cast<uint32_t>(n * 8) + 2 * t;
      *reinterpret_cast<uint32_t*>(p) =
          static_cast<uint32_t>(FloatToHalf(weights[n][0])) | static_cast<uint32_t>(FloatToHalf(weights[n][1])) << 16;
    }
    float sum = (weights[0][0] + weights[0][1]) + (weights[1][0] + weights[1][1]);
    sum += ShuffleXor(sum, 1);
    sum += ShuffleXor(sum, 2);
    if (t == 0) m.sums[warp * kAttentionRows + row] = sum;
  }
}
// Then values.
MOTE_DEVICE void AddValues(const AttentionArgs& args, const AttentionMemory& m, const float factor[2],
                           AttentionState* s) {
  const uint32_t lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const uint32_t g = lane / 4, t = lane % 4;
  constexpr uint32_t kStride = SharedRow(kAttentionPositions);
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const uint32_t row = g + 8 * static_cast<uint32_t>(r);
    float sum = m.sums[row];
    for (uint32_t w = 1; w < kAttentionWarps; ++w) sum += m.sums[w * kAttentionRows + row];
    s->sum[r] = s->sum[r] * factor[r] + sum;
  }
  const uint32_t value_tiles = ValueCols(args.value_dim) / 8;
  const uint32_t value_stride = SharedRow(ValueCols(args.value_dim));
  const auto pair = [](const uint16_t* at) { return *reinterpret_cast<const uint32_t*>(at); };
#pragma unroll
  for (int n = 0; n < kMaxValueTiles; ++n) {
    const uint32_t tile = static_cast<uint32_t>(n) * kAttentionWarps + warp;
    if (tile >= value_tiles) break;  // the whole warp
#pragma unroll
    for (int i = 0; i < 4; ++i) s->out[n][i] *= factor[i / 2];
#pragma unroll
    for (uint32_t k = 0; k < kAttentionPositions; k += 16) {
      const uint16_t* p = m.p + g * kStride + k + 2 * t;
      const uint32_t a[4] = {pair(p), pair(p + 8 * kStride), pair(p + 8), pair(p + 8 * kStride + 8)};
      uint32_t b0, b1;
      LoadTransposed(m.v + (k + lane % 16) * value_stride + tile * 8, &b0, &b1);
      MmaHalves(s->out[n], a, b0, b1);
    }
  }
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_ATTENTION_BLOCK_CUH_
