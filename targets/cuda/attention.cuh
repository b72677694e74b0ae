// Attention over the cache on tensor cores, for one token and for many: the same blocks of 64 positions, the same
// splits of 256, the same order of adding everywhere, so that a token's result does not show how it was computed.
//
// A tile is 16 rows: the query heads that share a key/value head, of as many neighbouring tokens as fit. Four warps
// share it: of a block of 64 positions each scores 16, and of the values each has every fourth 8 columns. Rows of a
// tile never mix. Keys and values reach shared memory as halves (Q8_0 is scaled on the way) and are read there by all
// warps.
//
// Decode: a split of positions is a block of threads of its own, 256 positions x (keys + values) of one head: 128 KiB
// with heads of 128. A second kernel joins the splits, in order. With more rows a block takes the splits one after the
// other and joins as it goes; sessions with many of them are prompt_attention.cuh's, where it can.
//
// With one token it is a chain of loads that wait for each other: a timeline of llama3-8b (Q4_0, H200, 100 positions)
// showed 12.7 us a layer, 18 % of a token, for 50 KiB. So what was in the cache before the step is asked for before the
// kernel's turn has come, and the next 64 positions while these are computed with.
#ifndef MOTE_TARGETS_CUDA_ATTENTION_CUH_
#define MOTE_TARGETS_CUDA_ATTENTION_CUH_

#include "targets/cuda/activation.cuh"
#include "targets/cuda/attention_block.cuh"
#include "targets/cuda/kernel_args.h"
#include "targets/cuda/round_acts.cuh"

namespace mote::cuda {

// Whether activations that share a scale are never two tiles'.
constexpr bool CanRound(Acts acts, uint32_t group, uint32_t value_dim) {
  if (acts == Acts::kBytes32) return value_dim % 32 == 0;
  return acts == Acts::kBytes256 && group <= kAttentionRows && group * value_dim % kTileCols == 0;
}

// What the row at `position` sees.
MOTE_DEVICE Seen SeenFrom(const AttentionArgs& args, uint32_t row, uint32_t position) {
  const StepArgs& step = *args.step;
  const uint32_t own_end = position + 1;
  Seen seen;
  seen.begin = args.window != 0 && own_end > args.window ? own_end - args.window : 0;
  if (step.begins[args.sight] != nullptr) seen.begin = step.begins[args.sight][row];
  seen.end = step.ends[args.sight] != nullptr ? step.ends[args.sight][row] : own_end;
  return seen;
}

MOTE_DEVICE Seen SeenBy(const AttentionArgs& args, uint32_t row) {
  return SeenFrom(args, row, static_cast<uint32_t>(args.step->positions[row]));
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
    const float share = 1.0f / s.sum[r];
#pragma unroll
    for (int n = 0; n < kMaxValueTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const uint32_t d = (static_cast<uint32_t>(n) * kAttentionWarps + warp) * 8 + 2 * t + static_cast<uint32_t>(i);
        if (d >= args.value_dim) continue;
        out[d] = partial ? s.out[n][2 * r + i] : s.out[n][2 * r + i] * share;
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
    const float share = 1.0f / s.sum[r];
#pragma unroll
    for (int n = 0; n < kMaxValueTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const uint32_t d = (static_cast<uint32_t>(n) * kAttentionWarps + warp) * 8 + 2 * t + static_cast<uint32_t>(i);
        if (d < args.value_dim)
          results[(g + 8 * static_cast<uint32_t>(r)) * args.value_dim + d] = s.out[n][2 * r + i] * share;
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

// The tile that begins at a row of a session, y: key/value head and tile of its heads.
MOTE_DEVICE AttentionTile TileAt(const AttentionArgs& args, const Segment& segment, uint32_t row, uint32_t y) {
  const uint32_t group = args.heads / args.kv_heads;
  const uint32_t head_tiles = HeadTiles(group);
  const uint32_t tokens = kAttentionRows / TileHeads(group);
  const uint32_t first_head = y % head_tiles * kAttentionRows;
  AttentionTile tile;
  tile.row = row;
  tile.tokens = segment.end - row < tokens ? segment.end - row : tokens;
  tile.heads = group - first_head < TileHeads(group) ? group - first_head : TileHeads(group);
  tile.head = y / head_tiles * group + first_head;
  return tile;
}
// The tile that begins at a row of the step, if one does.
MOTE_DEVICE bool FindTile(const AttentionArgs& args, uint32_t row, uint32_t y, AttentionTile* tile) {
  const StepArgs& step = *args.step;
  if (row >= step.counts->rows[kRowsTokens]) return false;
  const Segment segment = step.segments[row];
  if (args.prompts != Prompts::kNone && segment.end - segment.begin >= kPromptRows) return false;
  if ((row - segment.begin) % (kAttentionRows / TileHeads(args.heads / args.kv_heads)) != 0) return false;
  *tile = TileAt(args, segment, row, y);
  return true;
}

// Blocks of 64 positions that a block of threads takes: of one split, or of all, one after the other.
struct Walk {
  uint32_t begin;  // of what is seen
  uint32_t end;
  uint32_t at;        // the block's first position
  uint32_t last_end;  // of the last split
};
MOTE_DEVICE uint32_t NextBlock(const Walk& walk) {
  return walk.at + kAttentionPositions;  // splits are whole blocks
}
MOTE_DEVICE bool EndsSplit(const Walk& walk) {
  return NextBlock(walk) % kSplitPositions == 0 || NextBlock(walk) >= walk.end;
}

// All of a walk's blocks into `total`, or of one split into it. The first block is there; `q8` aside, copies of the
// next ones are under way while one is computed with.
MOTE_DEVICE void AttendAll(const AttentionArgs& args, const AttentionMemory& m, const HeadSide& keys,
                           const HeadSide& values, const Seen seen[2], Walk walk, bool joins, AttentionState* total) {
  AttentionState state;
  Clear(&state);
  Clear(total);
  while (true) {
    const uint32_t next = NextBlock(walk);
    const bool more = next < walk.last_end;
    float scores[2][4], factor[2];
    ScoreBlock(args, m, seen, walk.at, scores);
    SyncBlock();  // nobody reads these keys any more
    if (more) LoadBlock(keys, next, walk.end);
    CommitCopies();
    WeighBlock(m, scores, &state, factor);
    WaitCopies<1>();  // these values; the next keys are under way
    SyncBlock();
    AddValues(args, m, factor, &state);
    if (EndsSplit(walk)) {
      if (joins) {
        Join(state, total);
        Clear(&state);
      } else {
        *total = state;
      }
    }
    if (!more) break;
    SyncBlock();  // nor these values
    LoadBlock(values, next, walk.end);
    CommitCopies();
    WaitCopies<1>();  // the next keys; their values are under way
    SyncBlock();
    walk.at = next;
  }
}

// Grid: (rows of the step, key/value heads x tiles of their heads, splits or 1).
MOTE_KERNEL(kAttentionThreads, 2) AttentionKernel(const AttentionArgs args) {
  LetNextBegin();
  // Before the wait comes what is copied in before a step's first kernel begins, and what a cache was made with: rows,
  // places, addresses, one load behind the other; and what earlier steps left in the cache.
  const StepArgs& step = *args.step;
  AttentionTile tile = {};
  bool begins = FindTile(args, blockIdx.x, blockIdx.y, &tile);
  const uint32_t own_row = begins ? tile.row : 0;
  const uint32_t last_row = begins ? tile.row + tile.tokens - 1 : 0;
  const CacheLayerArgs layer = reinterpret_cast<const CacheLayerArgs*>(step.cache_layers[own_row])[args.layer];
  const uint32_t kv_head = blockIdx.y / HeadTiles(args.heads / args.kv_heads);
  Seen seen[2] = {};
  for (uint32_t r = 0; r < 2 && begins; ++r) {
    uint32_t row, head;
    if (RowOfTile(tile, threadIdx.x % kWarp / 4 + 8 * r, &row, &head)) seen[r] = SeenBy(args, row);
  }
  const bool partial = args.splits > 1;
  Walk walk = {SeenBy(args, own_row).begin, SeenBy(args, last_row).end, 0, 0};
  const uint32_t first_split = walk.begin / kSplitPositions;
  uint32_t split = first_split;
  if (partial) split += blockIdx.z;
  if (split > (walk.end - 1) / kSplitPositions) begins = false;
  walk.last_end = partial ? Least((split + 1) * kSplitPositions, walk.end) : walk.end;
  walk.at = split * kSplitPositions > walk.begin ? split * kSplitPositions
                                                 : walk.begin / kAttentionPositions * kAttentionPositions;
  const AttentionMemory m = LayOut(args);
  const HeadSide keys = {step.cache[own_row] + layer.keys + kv_head * layer.key_head_bytes,
                         layer.key_bytes,
                         layer.positions,
                         args.key_q8 != 0,
                         KeyCols(args.key_dim),
                         m.k};
  const HeadSide values = {step.cache[own_row] + layer.values + kv_head * layer.value_head_bytes,
                           layer.value_bytes,
                           layer.positions,
                           args.value_q8 != 0,
                           ValueCols(args.value_dim),
                           m.v};
  const uint32_t block_end = Least(walk.at + kAttentionPositions, walk.end);
  // A session's one row adds one position; of several, which comes first is not asked.
  const Segment segment = step.segments[own_row];
  uint32_t old_end = segment.end - segment.begin == 1 ? static_cast<uint32_t>(step.positions[own_row]) : 0;
  old_end = old_end < walk.at ? walk.at : Least(old_end, block_end);
  if (begins) {
    LoadPositions(keys, walk.at, walk.at, old_end);
    LoadPositions(values, walk.at, walk.at, old_end);
    ClearPositions(keys, walk.at, walk.end);
    ClearPositions(values, walk.at, walk.end);
    ClearQueries(args, m);
    SyncBlock();
  }
  WaitForPrevious();
  if (!begins) return;
  LoadPositions(keys, walk.at, old_end, block_end);
  LoadPositions(values, walk.at, old_end, block_end);
  CommitCopies();
  LoadQueries(args, tile, m);
  WaitCopies<0>();
  SyncBlock();
  AttentionState total;
  AttendAll(args, m, keys, values, seen, walk, !partial, &total);
  if (partial) {
    StoreState(args, tile, total, split - first_split, true);
  } else if (args.acts == Acts::kFloat) {
    StoreState(args, tile, total, 0, false);
  } else {
    StoreRounded(args, tile, total, reinterpret_cast<float*>(m.v));
  }
}

// Splits in order. Grid: (rows, blocks of 256 columns of all heads); a thread has a column.
inline constexpr int kJoinThreads = static_cast<int>(kTileCols);
inline constexpr uint32_t kJoinShared = kTileCols * sizeof(float);
// By as many threads; `memory`: kJoinShared bytes; `wait` returns once the splits are there.
template <class Wait>
MOTE_DEVICE void JoinSplits(const AttentionArgs& args, uint32_t row, uint32_t tile, uint8_t* memory, Wait wait) {
  const uint32_t all = args.heads * args.value_dim;
  const uint32_t column = tile * kTileCols + threadIdx.x;
  const uint32_t head = column / args.value_dim, d = column % args.value_dim;
  const bool there = row < args.step->counts->rows[kRowsTokens];
  // The tile's splits begin at that of its first token.
  const uint32_t group = args.heads / args.kv_heads;
  const uint32_t tokens = kAttentionRows / TileHeads(group);
  const Segment segment = there ? args.step->segments[row] : Segment{0, 0};
  const uint32_t first_row = there ? row - (row - segment.begin) % tokens : 0;
  const uint32_t first = SeenBy(args, first_row).begin / kSplitPositions;
  const Seen seen = SeenBy(args, there ? row : 0);
  wait();
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
    out = out * (1.0f / sum);
  }
  if (args.acts == Acts::kFloat) {
    if (column < all) args.out[static_cast<uint64_t>(row) * all + column] = out;
    return;
  }
  float* results = reinterpret_cast<float*>(memory);
  results[threadIdx.x] = out;
  SyncBlock();
  if (threadIdx.x >= static_cast<uint32_t>(kWarp)) return;
  float v[8];
#pragma unroll
  for (uint32_t j = 0; j < 8; ++j) v[j] = results[threadIdx.x * 8 + j];
  QuantizeColumns(v, true, threadIdx.x * 8, args.acts == Acts::kBytes256, true,
                  args.rounded + row * ActRowBytes(args.acts, all) + tile * kActBlockBytes);
}
MOTE_KERNEL(kJoinThreads, 1) JoinKernel(const AttentionArgs args) {
  LetNextBegin();
  JoinSplits(args, blockIdx.x, blockIdx.y, SharedMemory(), [] { WaitForPrevious(); });
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_ATTENTION_CUH_
