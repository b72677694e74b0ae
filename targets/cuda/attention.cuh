// Attention over the cache on tensor cores, for one token and for many: the same blocks of 64 positions, the same
// splits of 256, the same order of adding everywhere, so that a token's result does not show how it was computed.
//
// A tile is 16 rows: the query heads that share a key/value head, of as many neighbouring tokens as fit. Four warps
// share it: of a block of 64 positions each scores 16, and of the values each has every fourth 8 columns. Rows of a
// tile never mix. Keys and values reach shared memory as halves (Q8_0 is scaled on the way) and are read there by all
// warps.
//
// Decode: a split of positions is a block of threads of its own, 256 positions x (keys + values) of one head: 128 KiB
// with heads of 128. A second kernel joins the splits, in order. Prefill: a block takes the splits one after the other
// and joins as it goes; keys come from the second-level cache, 16 rows at a time (64 would halve that traffic: not
// done).
#ifndef MOTE_TARGETS_CUDA_ATTENTION_CUH_
#define MOTE_TARGETS_CUDA_ATTENTION_CUH_

#include "targets/cuda/activation.cuh"
#include "targets/cuda/kernel_args.h"
#include "targets/cuda/mma.h"
#include "targets/cuda/round_acts.cuh"

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

// Whether activations that share a scale are never two tiles'.
constexpr bool CanRound(Acts acts, uint32_t group, uint32_t value_dim) {
  if (acts == Acts::kBytes32) return value_dim % 32 == 0;
  return acts == Acts::kBytes256 && group <= kAttentionRows && group * value_dim % kTileCols == 0;
}

struct Seen {
  uint32_t begin;
  uint32_t end;
};
MOTE_DEVICE Seen SeenBy(const AttentionArgs& args, uint32_t row) {
  const StepArgs& step = *args.step;
  const uint32_t own_end = static_cast<uint32_t>(step.positions[row]) + 1;
  Seen seen;
  seen.begin = args.window != 0 && own_end > args.window ? own_end - args.window : 0;
  if (step.begins[args.sight] != nullptr) seen.begin = step.begins[args.sight][row];
  seen.end = step.ends[args.sight] != nullptr ? step.ends[args.sight][row] : own_end;
  return seen;
}

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

MOTE_DEVICE void LoadQueries(const AttentionArgs& args, const AttentionTile& tile, const AttentionMemory& m) {
  const uint32_t cols = KeyCols(args.key_dim);
  for (uint32_t i = threadIdx.x; i < kAttentionRows * cols; i += kAttentionThreads) {
    const uint32_t r = i / cols, d = i % cols;
    uint32_t row, head;
    float value = 0;
    if (RowOfTile(tile, r, &row, &head) && d < args.key_dim) {
      value = args.q[(static_cast<uint64_t>(row) * args.heads + head) * args.key_dim + d];
    }
    m.q[r * SharedRow(cols) + d] = FloatToHalf(fminf(fmaxf(value, -65504.0f), 65504.0f));
  }
}

// 64 positions of one head, from `first` on, as halves. Positions from `end` on are zeros: what lies there is another
// session's past.
MOTE_DEVICE void LoadPositions(const uint8_t* head, uint32_t position_bytes, uint32_t positions, bool q8, uint32_t cols,
                               uint32_t first, uint32_t end, uint16_t* out) {
  const uint32_t stride = SharedRow(cols);
  if (!q8) {
    const uint32_t pieces = cols / 8;  // of 16 bytes
    for (uint32_t i = threadIdx.x; i < kAttentionPositions * pieces; i += kAttentionThreads) {
      const uint32_t p = i / pieces, piece = i % pieces;
      uint16_t* to = out + p * stride + piece * 8;
      if (first + p < end) {
        CopyAsync16(to, head + static_cast<uint64_t>(first + p) * position_bytes + piece * 16);
      } else {
        *reinterpret_cast<uint4*>(to) = uint4{0, 0, 0, 0};
      }
    }
    return;
  }
  const uint32_t blocks = position_bytes / 32;
  const uint16_t* scales = reinterpret_cast<const uint16_t*>(head + static_cast<uint64_t>(positions) * position_bytes);
  const uint32_t pieces = cols / 8;  // of 8 bytes
  for (uint32_t i = threadIdx.x; i < kAttentionPositions * pieces; i += kAttentionThreads) {
    const uint32_t p = i / pieces, piece = i % pieces;
    const uint32_t position = first + p;
    uint16_t* to = out + p * stride + piece * 8;
    uint2 codes = {0, 0};
    float scale = 0;
    if (position < end) {
      codes = *reinterpret_cast<const uint2*>(head + static_cast<uint64_t>(position) * position_bytes + piece * 8);
      scale = HalfToFloat(scales[static_cast<uint64_t>(position) * blocks + piece / 4]);
    }
#pragma unroll
    for (int c = 0; c < 8; ++c) {
      const uint32_t word = c < 4 ? codes.x : codes.y;
      to[c] = FloatToHalf(scale * static_cast<float>(static_cast<int8_t>(word >> 8 * (c % 4) & 255u)));
    }
  }
}

// Rows g and g + 8 of a tile, in a lane: of everything since the last join.
struct AttentionState {
  float out[kMaxValueTiles][4];  // of this warp's eights of columns
  float most[2];                 // largest score
  float sum[2];                  // of the weights
};
MOTE_DEVICE void Clear(AttentionState* s) {
#pragma unroll
  for (int n = 0; n < kMaxValueTiles; ++n) {
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
MOTE_DEVICE void Join(const AttentionState& part, AttentionState* all) {
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
  for (int n = 0; n < kMaxValueTiles; ++n) {
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

// One block of 64 positions, which lie in shared memory, into the state.
MOTE_DEVICE void AttendBlock(const AttentionArgs& args, const AttentionMemory& m, const Seen seen[2], uint32_t first,
                             AttentionState* s) {
  const uint32_t lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const uint32_t g = lane / 4, t = lane % 4;
  float scores[2][4];
  Score(args, m, seen, first, scores);
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float most = fmaxf(fmaxf(scores[0][2 * r], scores[0][2 * r + 1]), fmaxf(scores[1][2 * r], scores[1][2 * r + 1]));
    most = fmaxf(most, ShuffleXor(most, 1));
    most = fmaxf(most, ShuffleXor(most, 2));
    if (t == 0) m.most[warp * kAttentionRows + g + 8 * static_cast<uint32_t>(r)] = most;
  }
  SyncBlock();
  constexpr uint32_t kStride = SharedRow(kAttentionPositions);
  float factor[2];
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
  SyncBlock();
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

// A split's result, or the sum of all, to memory.
MOTE_DEVICE void StoreState(const AttentionArgs& args, const AttentionTile& tile, const AttentionState& s,
                            uint32_t split, bool partial) {
  const uint32_t lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const uint32_t g = lane / 4, t = lane % 4;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    uint32_t row, head;
    if (!RowOfTile(tile, g + 8 * static_cast<uint32_t>(r), &row, &head)) continue;
    const uint64_t at = static_cast<uint64_t>(row) * args.heads + head;
    float* out =
        partial ? args.partial + (at * args.splits + split) * (args.value_dim + 2) : args.out + at * args.value_dim;
#pragma unroll
    for (int n = 0; n < kMaxValueTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const uint32_t d = (static_cast<uint32_t>(n) * kAttentionWarps + warp) * 8 + 2 * t + static_cast<uint32_t>(i);
        if (d >= args.value_dim) continue;
        out[d] = partial ? s.out[n][2 * r + i] : s.out[n][2 * r + i] / s.sum[r];
      }
    }
    if (partial && warp == 0 && t == 0) {
      out[args.value_dim] = s.most[r];
      out[args.value_dim + 1] = s.sum[r];
    }
  }
}

// The same of all splits, rounded for the product that reads it: by way of shared memory, where the values were, so
// that a warp has the columns of 256 in its order. What a tile's heads have together is whole groups (CanRound).
MOTE_DEVICE void StoreRounded(const AttentionArgs& args, const AttentionTile& tile, const AttentionState& s,
                              float* results) {
  const uint32_t lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const uint32_t g = lane / 4, t = lane % 4;
  SyncBlock();
#pragma unroll
  for (int r = 0; r < 2; ++r) {
#pragma unroll
    for (int n = 0; n < kMaxValueTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const uint32_t d = (static_cast<uint32_t>(n) * kAttentionWarps + warp) * 8 + 2 * t + static_cast<uint32_t>(i);
        if (d < args.value_dim)
          results[(g + 8 * static_cast<uint32_t>(r)) * args.value_dim + d] = s.out[n][2 * r + i] / s.sum[r];
      }
    }
  }
  SyncBlock();
  const uint32_t all = args.heads * args.value_dim;
  const uint32_t own = tile.heads * args.value_dim;
  const uint32_t begin = tile.head * args.value_dim, end = begin + own;
  const uint32_t first_block = begin / kTileCols, blocks = (end - 1) / kTileCols - first_block + 1;
  for (uint32_t i = warp; i < tile.tokens * blocks; i += kAttentionWarps) {
    const uint32_t token = i / blocks, block = first_block + i % blocks;
    const uint32_t c = block * kTileCols + lane * 8;
    const bool is_own = c >= begin && c < end;
    float v[8];
#pragma unroll
    for (uint32_t j = 0; j < 8; ++j) v[j] = is_own ? results[token * own + c - begin + j] : 0.0f;
    QuantizeColumns(v, is_own, lane * 8, args.acts == Acts::kBytes256, is_own || (c >= all && end == all),
                    args.rounded + (tile.row + token) * ActRowBytes(args.acts, all) + block * kActBlockBytes);
  }
}

// The tile that begins at a row of the step, if one does.
MOTE_DEVICE bool FindTile(const AttentionArgs& args, uint32_t row, uint32_t y, AttentionTile* tile) {
  const StepArgs& step = *args.step;
  if (row >= step.counts->rows[kRowsTokens]) return false;
  const uint32_t group = args.heads / args.kv_heads;
  const uint32_t head_tiles = HeadTiles(group);
  const uint32_t tokens = kAttentionRows / TileHeads(group);
  const Segment segment = step.segments[row];
  if ((row - segment.begin) % tokens != 0) return false;
  const uint32_t first_head = y % head_tiles * kAttentionRows;
  tile->row = row;
  tile->tokens = segment.end - row < tokens ? segment.end - row : tokens;
  tile->heads = group - first_head < TileHeads(group) ? group - first_head : TileHeads(group);
  tile->head = y / head_tiles * group + first_head;
  return true;
}

// Grid: (rows of the step, key/value heads x tiles of their heads, splits or 1).
MOTE_KERNEL(kAttentionThreads, 2) AttentionKernel(const AttentionArgs args) {
  LetNextBegin();
  // Before the wait comes what is copied in before a step's first kernel begins, and what a cache was made with: rows,
  // places, addresses, one load behind the other.
  const StepArgs& step = *args.step;
  AttentionTile tile = {};
  const bool begins = FindTile(args, blockIdx.x, blockIdx.y, &tile);
  const uint32_t own_row = begins ? tile.row : 0;
  const uint32_t last_row = begins ? tile.row + tile.tokens - 1 : 0;
  const uint32_t all_begin = SeenBy(args, own_row).begin, all_end = SeenBy(args, last_row).end;
  const CacheLayerArgs layer = reinterpret_cast<const CacheLayerArgs*>(step.cache_layers[own_row])[args.layer];
  const uint32_t kv_head = blockIdx.y / HeadTiles(args.heads / args.kv_heads);
  const uint8_t* keys = step.cache[own_row] + layer.keys + kv_head * layer.key_head_bytes;
  const uint8_t* values = step.cache[own_row] + layer.values + kv_head * layer.value_head_bytes;
  Seen seen[2] = {};
  for (uint32_t r = 0; r < 2 && begins; ++r) {
    uint32_t row, head;
    if (RowOfTile(tile, threadIdx.x % kWarp / 4 + 8 * r, &row, &head)) seen[r] = SeenBy(args, row);
  }
  WaitForPrevious();
  if (!begins) return;
  const bool partial = args.splits > 1;
  uint32_t split = all_begin / kSplitPositions;
  uint32_t end_split = (all_end - 1) / kSplitPositions + 1;
  if (partial) {
    split += blockIdx.z;
    if (split >= end_split) return;
    end_split = split + 1;
  }
  const AttentionMemory m = LayOut(args);
  LoadQueries(args, tile, m);
  AttentionState total, state;
  Clear(&total);
  const uint32_t first_split = all_begin / kSplitPositions;
  for (; split < end_split; ++split) {
    Clear(&state);
    uint32_t at = split * kSplitPositions;
    const uint32_t end = at + kSplitPositions < all_end ? at + kSplitPositions : all_end;
    if (at < all_begin) at = all_begin / kAttentionPositions * kAttentionPositions;
    for (; at < end; at += kAttentionPositions) {
      SyncBlock();
      LoadPositions(keys, layer.key_bytes, layer.positions, args.key_q8 != 0, KeyCols(args.key_dim), at, end, m.k);
      LoadPositions(values, layer.value_bytes, layer.positions, args.value_q8 != 0, ValueCols(args.value_dim), at, end,
                    m.v);
      CommitCopies();
      WaitCopies<0>();
      SyncBlock();
      AttendBlock(args, m, seen, at, &state);
    }
    if (partial) {
      StoreState(args, tile, state, split - first_split, true);
    } else {
      Join(state, &total);
    }
  }
  if (partial) return;
  if (args.acts == Acts::kFloat) {
    StoreState(args, tile, total, 0, false);
  } else {
    StoreRounded(args, tile, total, reinterpret_cast<float*>(m.v));
  }
}

// Splits in order. Grid: (rows, blocks of 256 columns of all heads); a thread has a column.
inline constexpr int kJoinThreads = static_cast<int>(kTileCols);
inline constexpr uint32_t kJoinShared = kTileCols * sizeof(float);
MOTE_KERNEL(kJoinThreads, 1) JoinKernel(const AttentionArgs args) {
  LetNextBegin();
  const uint32_t row = blockIdx.x;
  const uint32_t all = args.heads * args.value_dim;
  const uint32_t column = blockIdx.y * kTileCols + threadIdx.x;
  const uint32_t head = column / args.value_dim, d = column % args.value_dim;
  const bool there = row < args.step->counts->rows[kRowsTokens];
  // The tile's splits begin at that of its first token.
  const uint32_t group = args.heads / args.kv_heads;
  const uint32_t tokens = kAttentionRows / TileHeads(group);
  const Segment segment = there ? args.step->segments[row] : Segment{0, 0};
  const uint32_t first_row = there ? row - (row - segment.begin) % tokens : 0;
  const uint32_t first = SeenBy(args, first_row).begin / kSplitPositions;
  const Seen seen = SeenBy(args, there ? row : 0);
  WaitForPrevious();
  if (!there) return;
  float out = 0, most = -INFINITY, sum = 0;
  if (column < all) {
    const uint64_t at = static_cast<uint64_t>(row) * args.heads + head;
    for (uint32_t split = seen.begin / kSplitPositions; split <= (seen.end - 1) / kSplitPositions; ++split) {
      const float* part = args.partial + (at * args.splits + split - first) * (args.value_dim + 2);
      const float part_most = part[args.value_dim];
      const float new_most = fmaxf(most, part_most);
      const float old_factor = Relative(most, new_most), new_factor = Relative(part_most, new_most);
      out = out * old_factor + part[d] * new_factor;
      sum = sum * old_factor + part[args.value_dim + 1] * new_factor;
      most = new_most;
    }
    out = out / sum;
  }
  if (args.acts == Acts::kFloat) {
    if (column < all) args.out[static_cast<uint64_t>(row) * all + column] = out;
    return;
  }
  float* results = reinterpret_cast<float*>(SharedMemory());
  results[threadIdx.x] = out;
  SyncBlock();
  if (threadIdx.x >= static_cast<uint32_t>(kWarp)) return;
  float v[8];
#pragma unroll
  for (uint32_t j = 0; j < 8; ++j) v[j] = results[threadIdx.x * 8 + j];
  QuantizeColumns(v, true, threadIdx.x * 8, args.acts == Acts::kBytes256, true,
                  args.rounded + row * ActRowBytes(args.acts, all) + blockIdx.y * kActBlockBytes);
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_ATTENTION_CUH_
