// Attention of prompts: of sessions with many rows in a step. The bits are those of attention.cuh, row by row.
//
// There four warps share a tile of 16 rows, and meet five times for each 64 positions; keys and values are read from
// the second-level cache again for each tile. Here each warp has a tile of its own, and the block's warps share keys
// and values: they meet once for each 64 positions, while copies of the next 64 are under way. A warp does in its
// registers what the four did, in the same order: sums of weights are those of 16 positions, added from left to right,
// and weights go from the matrix unit's result to its operand without a stop in shared memory.
//
// A warp leaves out the blocks of positions that none of its rows sees, as its tile would alone.
#ifndef MOTE_TARGETS_CUDA_PROMPT_ATTENTION_CUH_
#define MOTE_TARGETS_CUDA_PROMPT_ATTENTION_CUH_

#include "targets/cuda/attention.cuh"

namespace mote::cuda {

inline constexpr uint32_t kPromptWarps = 4;
inline constexpr int kPromptThreads = static_cast<int>(kPromptWarps) * kWarp;

// Neighbouring tokens of a block.
constexpr uint32_t PromptTokens(uint32_t group) {
  return kPromptWarps * (kAttentionRows / TileHeads(group));
}
// Queries, and keys and values twice. Heads are filled up to `cols` with zeros.
constexpr uint32_t PromptShared(uint32_t cols) {
  return (kPromptWarps * kAttentionRows + 4 * kAttentionPositions) * SharedRow(cols) * 2;
}
// Blocks of a multiprocessor: what its registers and its memory are shared out by.
constexpr int PromptBlocks(int cols) {
#if defined(__CUDA_ARCH__) && (__CUDA_ARCH__ < 800 || __CUDA_ARCH__ >= 1000)
  constexpr int kMost = 2;  // a third one's registers would not do
#else
  constexpr int kMost = 3;
#endif
  return cols <= 64 ? kMost : 2;
}

// Of all columns.
template <int kCols>
using PromptState = StateOf<kCols / 8>;

// Rows of the step that blocks of tiles begin at for this block of threads: the last ones, which see more, come first.
MOTE_DEVICE uint32_t FirstRow(uint32_t tokens) {
  return (gridDim.y - 1 - blockIdx.y) * tokens;
}
// The block of tiles that begins at `row`, or at the next where one does: false where there is none.
MOTE_DEVICE bool FindBlock(const AttentionArgs& args, uint32_t* row) {
  const uint32_t tokens = PromptTokens(args.heads / args.kv_heads);
  const uint32_t end = Least(FirstRow(tokens) + tokens, args.step->counts->rows[kRowsTokens]);
  while (*row < end) {
    const Segment segment = args.step->segments[*row];
    if (segment.end - segment.begin >= kPromptRows) {
      const uint32_t first = segment.begin + (*row - segment.begin + tokens - 1) / tokens * tokens;
      if (first < segment.end) {
        *row = first;
        return first < end;
      }
    }
    *row = segment.end;
  }
  return false;
}

// What a tile sees: whole blocks of positions from `at` on, up to `end`.
MOTE_DEVICE Walk WalkOf(const AttentionArgs& args, const AttentionTile& tile) {
  Walk walk = {SeenBy(args, tile.row).begin, SeenBy(args, tile.row + tile.tokens - 1).end, 0, 0};
  walk.at = walk.begin / kAttentionPositions * kAttentionPositions;
  walk.last_end = walk.end;
  return walk;
}
// What any tile of the block that begins at a row sees.
MOTE_DEVICE Walk WalkOfBlock(const AttentionArgs& args, const Segment& segment, uint32_t first_row, uint32_t tokens) {
  Walk all = WalkOf(args, TileAt(args, segment, first_row, blockIdx.x));
#pragma unroll
  for (uint32_t w = 1; w < kPromptWarps; ++w) {
    const uint32_t row = first_row + w * tokens;
    if (row >= segment.end) continue;
    const Walk own = WalkOf(args, TileAt(args, segment, row, blockIdx.x));
    all.at = Least(all.at, own.at);
    all.end = all.end > own.end ? all.end : own.end;
  }
  return all;
}

// 8 values of 8 bits, as halves.
MOTE_DEVICE uint4 ScaledHalves(uint2 codes, float scale) {
  const auto pair = [&](uint32_t word) {
    return FloatsToHalves(scale * static_cast<float>(static_cast<int8_t>(word & 255u)),
                          scale * static_cast<float>(static_cast<int8_t>(word >> 8 & 255u)));
  };
  return uint4{pair(codes.x), pair(codes.x >> 16), pair(codes.y), pair(codes.y >> 16)};
}
// 64 positions of keys or values from `first` on; zeros where there are none. Those of 16 bits are under way, those of
// 8 are there.
template <int kCols>
MOTE_DEVICE void LoadPromptBlock(const HeadSide& side, uint32_t first, uint32_t end, uint16_t* to) {
  constexpr uint32_t kPieces = kCols / 8;  // of 8 values
  constexpr uint32_t kCount = kAttentionPositions * kPieces;
  static_assert(kCount % kPromptThreads == 0, "whole passes");
  const auto is_there = [&](uint32_t i) { return first + i / kPieces < end && i % kPieces * 8 < side.cols; };
  const auto place = [&](uint32_t i) { return to + i / kPieces * SharedRow(kCols) + i % kPieces * 8; };
  const uint8_t* from = side.head + static_cast<uint64_t>(first) * side.position_bytes;
  const auto position = [&](uint32_t i) { return from + i / kPieces * side.position_bytes; };
  if (!side.q8) {
#pragma unroll
    for (uint32_t i = threadIdx.x; i < kCount; i += kPromptThreads) {
      if (is_there(i)) {
        CopyAsync16(place(i), position(i) + i % kPieces * 16);
      } else {
        *reinterpret_cast<uint4*>(place(i)) = uint4{0, 0, 0, 0};
      }
    }
    return;
  }
  const uint16_t* scales =
      reinterpret_cast<const uint16_t*>(side.head + static_cast<uint64_t>(side.positions) * side.position_bytes);
  const uint32_t blocks = side.position_bytes / 32;
  constexpr int kUnderWay = kCols <= 64 ? 1 : 2;  // what registers are left for
#pragma unroll kUnderWay
  for (uint32_t i = threadIdx.x; i < kCount; i += kPromptThreads) {
    uint4 halves = {0, 0, 0, 0};
    if (is_there(i)) {
      const uint32_t piece = i % kPieces;
      const float scale = HalfToFloat(scales[static_cast<uint64_t>(first + i / kPieces) * blocks + piece / 4]);
      halves = ScaledHalves(*reinterpret_cast<const uint2*>(position(i) + piece * 8), scale);
    }
    *reinterpret_cast<uint4*>(place(i)) = halves;
  }
}

// A tile of queries, as halves, by kThreads threads of which this is number `thread`; rows and columns that are none
// are zeros.
template <int kCols, int kThreads>
MOTE_DEVICE void LoadTileQueries(const AttentionArgs& args, const AttentionTile& tile, uint32_t thread,
                                 uint16_t* queries) {
  constexpr uint32_t kPieces = kCols / 4;  // of 4 values
  static_assert(kAttentionRows * kPieces % kThreads == 0, "whole passes");
#pragma unroll 8
  for (uint32_t i = thread; i < kAttentionRows * kPieces; i += kThreads) {
    const uint32_t r = i / kPieces, d = i % kPieces * 4;
    float v[4] = {0, 0, 0, 0};
    uint32_t row, head;
    if (RowOfTile(tile, r, &row, &head) && d < args.key_dim) {
      const float* from = args.q + (static_cast<uint64_t>(row) * args.heads + head) * args.key_dim + d;
      if (args.key_dim % 4 == 0) {
        const float4 four = *reinterpret_cast<const float4*>(from);
        v[0] = four.x, v[1] = four.y, v[2] = four.z, v[3] = four.w;
      } else {
#pragma unroll
        for (uint32_t c = 0; c < 4; ++c) v[c] = d + c < args.key_dim ? from[c] : 0.0f;
      }
    }
#pragma unroll
    for (int c = 0; c < 4; ++c) v[c] = fminf(fmaxf(v[c], -65504.0f), 65504.0f);
    *reinterpret_cast<uint2*>(queries + r * SharedRow(kCols) + d) =
        uint2{FloatsToHalves(v[0], v[1]), FloatsToHalves(v[2], v[3])};
  }
}

// Scores of a tile and 64 positions, in eights; what a row does not see is minus infinity. (Queries stay in shared
// memory: of registers there are just as many as the rest needs.)
template <int kCols>
MOTE_DEVICE void ScorePrompt(const AttentionArgs& args, const uint16_t* queries, const uint16_t* keys,
                             const Seen seen[2], uint32_t first, float scores[8][4]) {
  const uint32_t lane = threadIdx.x % kWarp;
#pragma unroll
  for (int n = 0; n < 8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) scores[n][i] = 0;
  }
  const uint16_t* own_queries = queries + lane % 16 * SharedRow(kCols) + lane / 16 * 8;
  const uint16_t* own = keys + (lane / 16 * 8 + lane % 8) * SharedRow(kCols) + lane / 8 % 2 * 8;
#pragma unroll
  for (uint32_t d = 0; d < kCols / 16; ++d) {
    uint32_t q[4];
    LoadMatrices(own_queries + d * 16, q);
#pragma unroll
    for (uint32_t n = 0; n < 8; n += 2) {
      uint32_t k[4];
      LoadMatrices(own + n * 8 * SharedRow(kCols) + d * 16, k);
      MmaHalves(scores[n], q, k[0], k[1]);
      MmaHalves(scores[n + 1], q, k[2], k[3]);
    }
  }
#pragma unroll
  for (int n = 0; n < 8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) scores[n][i] *= args.scale;
  }
  if (args.softcap != 0) {
#pragma unroll
    for (int n = 0; n < 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) scores[n][i] = args.softcap * tanhf(scores[n][i] / args.softcap);
    }
  }
  const uint32_t last = first + kAttentionPositions;
  if (first >= seen[0].begin && last <= seen[0].end && first >= seen[1].begin && last <= seen[1].end) return;
#pragma unroll
  for (int n = 0; n < 8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const uint32_t position = first + static_cast<uint32_t>(n * 8) + 2 * (lane % 4) + static_cast<uint32_t>(i % 2);
      const bool sees = position >= seen[i / 2].begin && position < seen[i / 2].end;
      if (!sees) scores[n][i] = -INFINITY;
    }
  }
}
// Scores become weights, and the state's sums theirs. `factor`: what was there before is worth so much now.
template <int kCols>
MOTE_DEVICE void WeighPrompt(float scores[8][4], PromptState<kCols>* s, float factor[2]) {
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float most = scores[0][2 * r];
#pragma unroll
    for (int n = 0; n < 8; ++n) most = fmaxf(most, fmaxf(scores[n][2 * r], scores[n][2 * r + 1]));
    most = fmaxf(most, ShuffleXor(most, 1));
    most = fmaxf(most, ShuffleXor(most, 2));
    most = fmaxf(s->most[r], most);
    factor[r] = Relative(s->most[r], most);
    s->most[r] = most;
#pragma unroll
    for (int n = 0; n < 8; ++n) {
#pragma unroll
      for (int i = 0; i < 2; ++i) scores[n][2 * r + i] = Relative(scores[n][2 * r + i], most);
    }
    float sum = 0;
#pragma unroll
    for (int n = 0; n < 8; n += 2) {  // 16 positions
      float own = (scores[n][2 * r] + scores[n][2 * r + 1]) + (scores[n + 1][2 * r] + scores[n + 1][2 * r + 1]);
      own += ShuffleXor(own, 1);
      own += ShuffleXor(own, 2);
      sum = n == 0 ? own : sum + own;
    }
    s->sum[r] = s->sum[r] * factor[r] + sum;
  }
}
template <int kCols>
MOTE_DEVICE void AddPromptValues(const float weights[8][4], const float factor[2], const uint16_t* values,
                                 PromptState<kCols>* s) {
  const uint32_t lane = threadIdx.x % kWarp;
#pragma unroll
  for (int n = 0; n < kCols / 8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) s->out[n][i] *= factor[i / 2];
  }
  const uint16_t* own = values + lane % 16 * SharedRow(kCols) + lane / 16 * 8;
#pragma unroll
  for (uint32_t k = 0; k < 4; ++k) {  // 16 positions
    const float *left = weights[2 * k], *right = weights[2 * k + 1];
    const uint32_t a[4] = {FloatsToHalves(left[0], left[1]), FloatsToHalves(left[2], left[3]),
                           FloatsToHalves(right[0], right[1]), FloatsToHalves(right[2], right[3])};
#pragma unroll
    for (uint32_t n = 0; n < kCols / 8; n += 2) {
      uint32_t v[4];
      LoadTransposedMatrices(own + k * 16 * SharedRow(kCols) + n * 8, v);
      MmaHalves(s->out[n], a, v[0], v[1]);
      MmaHalves(s->out[n + 1], a, v[2], v[3]);
    }
  }
}

template <int kCols>
MOTE_DEVICE void StorePrompt(const AttentionArgs& args, const AttentionTile& tile, const PromptState<kCols>& s) {
  const uint32_t lane = threadIdx.x % kWarp;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    uint32_t row, head;
    if (!RowOfTile(tile, lane / 4 + 8 * static_cast<uint32_t>(r), &row, &head)) continue;
    float* out = args.out + (static_cast<uint64_t>(row) * args.heads + head) * args.value_dim;
    const float share = 1.0f / s.sum[r];
#pragma unroll
    for (int n = 0; n < kCols / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const uint32_t d = static_cast<uint32_t>(n * 8) + 2 * (lane % 4) + static_cast<uint32_t>(i);
        if (d < args.value_dim) out[d] = s.out[n][2 * r + i] * share;
      }
    }
  }
}

// The block that begins at a row: tiles of neighbouring tokens of a session, as many as there are warps.
template <int kCols>
MOTE_DEVICE void AttendPrompt(const AttentionArgs& args, uint32_t first_row) {
  const StepArgs& step = *args.step;
  const uint32_t group = args.heads / args.kv_heads;
  const uint32_t tokens = kAttentionRows / TileHeads(group);
  const uint32_t warp = threadIdx.x / kWarp;
  const Segment segment = step.segments[first_row];
  const uint32_t own_row = first_row + warp * tokens;
  AttentionTile tile = TileAt(args, segment, own_row < segment.end ? own_row : first_row, blockIdx.x);
  Walk own = WalkOf(args, tile);
  if (own_row >= segment.end) tile.tokens = own.end = 0;  // no rows, and nothing is seen
  Seen seen[2] = {};
#pragma unroll
  for (uint32_t r = 0; r < 2; ++r) {
    uint32_t row, head;
    if (RowOfTile(tile, threadIdx.x % kWarp / 4 + 8 * r, &row, &head)) seen[r] = SeenBy(args, row);
  }
  const CacheLayerArgs& layer = reinterpret_cast<const CacheLayerArgs*>(step.cache_layers[first_row])[args.layer];
  const uint32_t kv_head = blockIdx.x / HeadTiles(group);
  const uint8_t* cache = step.cache[first_row];
  const HeadSide keys = {cache + layer.keys + kv_head * layer.key_head_bytes,
                         layer.key_bytes,
                         layer.positions,
                         args.key_q8 != 0,
                         KeyCols(args.key_dim),
                         nullptr};
  const HeadSide values = {cache + layer.values + kv_head * layer.value_head_bytes,
                           layer.value_bytes,
                           layer.positions,
                           args.value_q8 != 0,
                           ValueCols(args.value_dim),
                           nullptr};
  constexpr uint32_t kSide = kAttentionPositions * SharedRow(kCols);
  uint16_t* const memory = reinterpret_cast<uint16_t*>(SharedMemory());
  uint16_t* const queries = memory + 4 * kSide + warp * kAttentionRows * SharedRow(kCols);

  // Keys of the positions from `at` on, and behind them values: of every other block in the same place.
  const auto block_of = [&](uint32_t at) { return memory + at / kAttentionPositions % 2 * (2 * kSide); };
  const Walk all = WalkOfBlock(args, segment, first_row, tokens);
  WaitForPrevious();  // what is above was there before the step began
  LoadPromptBlock<kCols>(keys, all.at, all.end, block_of(all.at));
  LoadPromptBlock<kCols>(values, all.at, all.end, block_of(all.at) + kSide);
  CommitCopies();
  LoadTileQueries<kCols, kWarp>(args, tile, threadIdx.x % kWarp, queries);
  PromptState<kCols> state, total;
  Clear(&state);
  Clear(&total);
  for (uint32_t at = all.at; at < all.end; at += kAttentionPositions) {
    WaitCopies<0>();
    SyncBlock();  // this block is there, and nobody reads the one before any more
    const uint32_t next = at + kAttentionPositions;
    if (next < all.end) {
      LoadPromptBlock<kCols>(keys, next, all.end, block_of(next));
      LoadPromptBlock<kCols>(values, next, all.end, block_of(next) + kSide);
    }
    CommitCopies();
    if (at < own.at || at >= own.end) continue;
    own.at = at;
    float scores[8][4], factor[2];
    ScorePrompt<kCols>(args, queries, block_of(at), seen, at, scores);
    WeighPrompt<kCols>(scores, &state, factor);
    AddPromptValues<kCols>(scores, factor, block_of(at) + kSide, &state);
    if (!EndsSplit(own)) continue;
    Join(state, &total);
    Clear(&state);
  }
  StorePrompt<kCols>(args, tile, total);
}

// Grid: (key/value heads x tiles of their heads, rows of the step / PromptTokens).
template <int kCols>
MOTE_KERNEL(kPromptThreads, PromptBlocks(kCols))
PromptAttentionKernel(const AttentionArgs args) {
  LetNextBegin();
  uint32_t row = FirstRow(PromptTokens(args.heads / args.kv_heads));
  bool found = FindBlock(args, &row);
  if (!found) WaitForPrevious();
  while (found) {
    AttendPrompt<kCols>(args, row);
    ++row;
    found = FindBlock(args, &row);
    SyncBlock();  // nobody reads what the next one writes over
  }
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_PROMPT_ATTENTION_CUH_
