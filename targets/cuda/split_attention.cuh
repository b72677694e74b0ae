// Attention of steps of few rows: a split of 256 positions at once, by all warps of a block.
//
// AttentionKernel (attention.cuh) takes 64 positions after the other, and every one of its steps waits for the one
// before: with one token of llama3-8b on an H200, 100 positions, 13 us of a layer's 54, of which 2.7 for each 64 and 4
// to divide and round. Here all keys and values of the split lie in shared memory. Warps have 32 positions each for the
// scores; once the largest of all are known, which is what the order of blocks of 64 makes of them is known to all, and
// so are the weights; then warps have columns of the values each, and add positions in order. The same operations on
// the same numbers in the same order: the same bits.
#ifndef MOTE_TARGETS_CUDA_SPLIT_ATTENTION_CUH_
#define MOTE_TARGETS_CUDA_SPLIT_ATTENTION_CUH_

#include "targets/cuda/attention.cuh"
#include "targets/cuda/prompt_attention.cuh"

namespace mote::cuda {

inline constexpr int kSplitThreads = 256;
inline constexpr uint32_t kSplitWarps = kSplitThreads / kWarp;
inline constexpr uint32_t kSplitBlocks = kSplitPositions / kAttentionPositions;
inline constexpr uint32_t kWarpPositions = kSplitPositions / kSplitWarps;
inline constexpr uint32_t kSplitGrains = kSplitPositions / 16;  // sums of weights are those of 16 positions each
inline constexpr int kWarpEights = static_cast<int>(kWarpPositions / 8);
static_assert(kAttentionPositions % kWarpPositions == 0, "a warp's positions are of one block");

// Shared memory: queries, keys, values, weights; of each 16 positions and row the largest score and the weights' sum.
template <int kCols>
struct SplitMemory {
  static constexpr uint32_t kRow = SharedRow(kCols);
  static constexpr uint32_t kWeightRow = SharedRow(kSplitPositions);
  static constexpr uint32_t kKeysAt = kAttentionRows * kRow;
  static constexpr uint32_t kValuesAt = kKeysAt + kSplitPositions * kRow;
  static constexpr uint32_t kWeightsAt = kValuesAt + kSplitPositions * kRow;
  static constexpr uint32_t kHalves = kWeightsAt + kAttentionRows * kWeightRow;
  static constexpr uint32_t kBytes = kHalves * 2 + 2 * kSplitGrains * kAttentionRows * sizeof(float);
  // Results before they are rounded lie where the keys were.
  static constexpr uint32_t kResultRow = kCols + 8;
  static_assert(kAttentionRows * kResultRow * sizeof(float) <= kSplitPositions * kRow * 2, "room for them");
  MOTE_DEVICE uint16_t* Queries() { return reinterpret_cast<uint16_t*>(SharedMemory()); }
  MOTE_DEVICE uint16_t* Keys() { return Queries() + kKeysAt; }
  MOTE_DEVICE uint16_t* Values() { return Queries() + kValuesAt; }
  MOTE_DEVICE uint16_t* Weights() { return Queries() + kWeightsAt; }
  MOTE_DEVICE float* Most() { return reinterpret_cast<float*>(Queries() + kHalves); }
  MOTE_DEVICE float* Sums() { return Most() + kSplitGrains * kAttentionRows; }
  MOTE_DEVICE float* Results() { return reinterpret_cast<float*>(Keys()); }
};

// Positions [begin, end) to their places behind `first`'s: those of 16 bits are under way, those of 8 are there. Fresh:
// what is read before the kernel's turn lies beside the position that is yet to be written, a scale in the same sector.
template <int kCols>
MOTE_DEVICE void LoadOfSplit(const HeadSide& side, uint32_t first, uint32_t begin, uint32_t end, uint16_t* to) {
  constexpr uint32_t kPieces = kCols / 8;  // of 8 values
  const uint32_t blocks = side.position_bytes / 32;
  const uint16_t* scales =
      reinterpret_cast<const uint16_t*>(side.head + static_cast<uint64_t>(side.positions) * side.position_bytes);
  for (uint32_t i = threadIdx.x; i < (end - begin) * kPieces; i += kSplitThreads) {
    const uint32_t position = begin + i / kPieces, piece = i % kPieces;
    const uint8_t* from = side.head + static_cast<uint64_t>(position) * side.position_bytes;
    uint16_t* place = to + (position - first) * SharedRow(kCols) + piece * 8;
    if (piece * 8 >= side.cols) {
      *reinterpret_cast<uint4*>(place) = uint4{0, 0, 0, 0};
    } else if (!side.q8) {
      CopyAsync16(place, from + piece * 16);
    } else {
      const float scale = HalfToFloat(LoadFresh(scales + static_cast<uint64_t>(position) * blocks + piece / 4));
      *reinterpret_cast<uint4*>(place) =
          ScaledHalves(LoadFresh(reinterpret_cast<const uint2*>(from + piece * 8)), scale);
    }
  }
}
// Positions from `begin` on to the end of a block of 64.
template <int kCols>
MOTE_DEVICE void ClearOfSplit(uint32_t first, uint32_t begin, uint32_t end, uint16_t* to) {
  constexpr uint32_t kPieces = kCols / 8;
  for (uint32_t i = threadIdx.x; i < (end - begin) * kPieces; i += kSplitThreads) {
    *reinterpret_cast<uint4*>(to + (begin - first + i / kPieces) * SharedRow(kCols) + i % kPieces * 8) =
        uint4{0, 0, 0, 0};
  }
}

// Scores of the tile and the warp's positions, in eights, and the largest of each 16; what a row does not see is minus
// infinity.
template <int kCols>
MOTE_DEVICE void ScoreOfWarp(const AttentionArgs& args, const Seen seen[2], uint32_t first,
                             float scores[kWarpEights][4]) {
  using Memory = SplitMemory<kCols>;
  const uint32_t lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
#pragma unroll
  for (int n = 0; n < kWarpEights; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) scores[n][i] = 0;
  }
  const uint16_t* queries = Memory::Queries() + lane % 16 * SharedRow(kCols) + lane / 16 * 8;
  const uint16_t* keys =
      Memory::Keys() + (warp * kWarpPositions + lane / 16 * 8 + lane % 8) * SharedRow(kCols) + lane / 8 % 2 * 8;
#pragma unroll
  for (uint32_t d = 0; d < kCols / 16; ++d) {
    uint32_t q[4];
    LoadMatrices(queries + d * 16, q);
#pragma unroll
    for (int n = 0; n < kWarpEights; n += 2) {
      uint32_t k[4];
      LoadMatrices(keys + n * 8 * static_cast<int>(SharedRow(kCols)) + d * 16, k);
      MmaHalves(scores[n], q, k[0], k[1]);
      MmaHalves(scores[n + 1], q, k[2], k[3]);
    }
  }
#pragma unroll
  for (int n = 0; n < kWarpEights; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const uint32_t position =
          first + warp * kWarpPositions + static_cast<uint32_t>(n * 8) + 2 * (lane % 4) + static_cast<uint32_t>(i % 2);
      float score = scores[n][i] * args.scale;
      if (args.softcap != 0) score = args.softcap * tanhf(score / args.softcap);
      const bool sees = position >= seen[i / 2].begin && position < seen[i / 2].end;
      scores[n][i] = sees ? score : -INFINITY;
    }
  }
#pragma unroll
  for (int r = 0; r < 2; ++r) {
#pragma unroll
    for (int n = 0; n < kWarpEights; n += 2) {
      float most =
          fmaxf(fmaxf(scores[n][2 * r], scores[n][2 * r + 1]), fmaxf(scores[n + 1][2 * r], scores[n + 1][2 * r + 1]));
      most = fmaxf(most, ShuffleXor(most, 1));
      most = fmaxf(most, ShuffleXor(most, 2));
      const uint32_t grain = warp * (kWarpPositions / 16) + static_cast<uint32_t>(n / 2);
      if (lane % 4 == 0) Memory::Most()[grain * kAttentionRows + lane / 4 + 8 * static_cast<uint32_t>(r)] = most;
    }
  }
}

// The largest score of a row up to the end of each block of 64.
template <int kCols>
MOTE_DEVICE void LargestUpTo(uint32_t row, float most[kSplitBlocks]) {
  constexpr uint32_t kGrains = kAttentionPositions / 16;
  float so_far = -INFINITY;
#pragma unroll
  for (uint32_t b = 0; b < kSplitBlocks; ++b) {
#pragma unroll
    for (uint32_t i = 0; i < kGrains; ++i) {
      so_far = fmaxf(so_far, SplitMemory<kCols>::Most()[(b * kGrains + i) * kAttentionRows + row]);
    }
    most[b] = so_far;
  }
}

// The warp's scores become weights, and each 16 of them a sum.
template <int kCols>
MOTE_DEVICE void WeighOfWarp(const float scores[kWarpEights][4]) {
  using Memory = SplitMemory<kCols>;
  const uint32_t lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const uint32_t block = warp * kWarpPositions / kAttentionPositions;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const uint32_t row = lane / 4 + 8 * static_cast<uint32_t>(r);
    float up_to[kSplitBlocks];
    LargestUpTo<kCols>(row, up_to);
    float most = up_to[0];
#pragma unroll
    for (uint32_t b = 1; b < kSplitBlocks; ++b) most = b <= block ? up_to[b] : most;
    uint16_t* to = Memory::Weights() + row * Memory::kWeightRow + warp * kWarpPositions + 2 * (lane % 4);
#pragma unroll
    for (int n = 0; n < kWarpEights; n += 2) {
      float weights[2][2];
#pragma unroll
      for (int m = 0; m < 2; ++m) {
#pragma unroll
        for (int i = 0; i < 2; ++i) weights[m][i] = Relative(scores[n + m][2 * r + i], most);
        *reinterpret_cast<uint32_t*>(to + (n + m) * 8) = FloatsToHalves(weights[m][0], weights[m][1]);
      }
      float sum = (weights[0][0] + weights[0][1]) + (weights[1][0] + weights[1][1]);
      sum += ShuffleXor(sum, 1);
      sum += ShuffleXor(sum, 2);
      const uint32_t grain = warp * (kWarpPositions / 16) + static_cast<uint32_t>(n / 2);
      if (lane % 4 == 0) Memory::Sums()[grain * kAttentionRows + row] = sum;
    }
  }
}

// Values of the warp's columns, every kSplitWarps-th eight of them, weighed and added, block by block.
template <int kCols>
struct SplitState {
  static constexpr int kEights = kCols / 8 / static_cast<int>(kSplitWarps);
  StateOf<kEights> of;
  MOTE_DEVICE uint32_t Column(int n) {
    return (static_cast<uint32_t>(n) * kSplitWarps + threadIdx.x / kWarp) * 8 + 2 * (threadIdx.x % kWarp % 4);
  }
};
template <int kCols>
MOTE_DEVICE void AddValuesOfSplit(uint32_t blocks, StateOf<SplitState<kCols>::kEights>* s) {
  using Memory = SplitMemory<kCols>;
  using State = SplitState<kCols>;
  constexpr uint32_t kGrains = kAttentionPositions / 16;
  const uint32_t lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  float up_to[2][kSplitBlocks];
#pragma unroll
  for (int r = 0; r < 2; ++r) LargestUpTo<kCols>(lane / 4 + 8 * static_cast<uint32_t>(r), up_to[r]);
  const uint16_t* weights = Memory::Weights() + lane % 16 * Memory::kWeightRow + lane / 16 * 8;
  const uint16_t* values = Memory::Values() + lane * SharedRow(kCols) + warp * 8;  // two steps of 16 positions
#pragma unroll
  for (uint32_t b = 0; b < kSplitBlocks; ++b) {
    if (b >= blocks) break;
    float factor[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      factor[r] = Relative(s->most[r], up_to[r][b]);
      s->most[r] = up_to[r][b];
      const float* sums = Memory::Sums() + b * kGrains * kAttentionRows + lane / 4 + 8 * static_cast<uint32_t>(r);
      float sum = sums[0];
#pragma unroll
      for (uint32_t i = 1; i < kGrains; ++i) sum += sums[i * kAttentionRows];
      s->sum[r] = s->sum[r] * factor[r] + sum;
    }
    uint32_t a[kGrains][4];
#pragma unroll
    for (uint32_t i = 0; i < kGrains; ++i) LoadMatrices(weights + (b * kGrains + i) * 16, a[i]);
#pragma unroll
    for (int n = 0; n < State::kEights; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) s->out[n][i] *= factor[i / 2];
#pragma unroll
      for (uint32_t i = 0; i < kGrains; i += 2) {
        uint32_t v[4];
        LoadTransposedMatrices(
            values + (b * kAttentionPositions + i * 16) * SharedRow(kCols) + n * static_cast<int>(kSplitWarps) * 8, v);
        MmaHalves(s->out[n], a[i], v[0], v[1]);
        MmaHalves(s->out[n], a[i + 1], v[2], v[3]);
      }
    }
  }
}

// A split's result, or all there is, to memory.
template <int kCols>
MOTE_DEVICE void StoreOfSplit(const AttentionArgs& args, const AttentionTile& tile,
                              const StateOf<SplitState<kCols>::kEights>& s, uint32_t split, bool partial) {
  using State = SplitState<kCols>;
  const uint32_t lane = threadIdx.x % kWarp;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    uint32_t row, head;
    if (!RowOfTile(tile, lane / 4 + 8 * static_cast<uint32_t>(r), &row, &head)) continue;
    const uint64_t at = static_cast<uint64_t>(row) * args.heads + head;
    float* out =
        partial ? args.partial + (at * args.splits + split) * (args.value_dim + 2) : args.out + at * args.value_dim;
    const float share = 1.0f / s.sum[r];
#pragma unroll
    for (int n = 0; n < State::kEights; ++n) {
#pragma unroll
      for (uint32_t i = 0; i < 2; ++i) {
        const uint32_t d = State::Column(n) + i;
        const float own = s.out[n][2 * r + static_cast<int>(i)];
        if (d < args.value_dim) out[d] = partial ? own : own * share;
      }
    }
    if (partial && threadIdx.x < static_cast<uint32_t>(kWarp) && lane % 4 == 0) {
      out[args.value_dim] = s.most[r];
      out[args.value_dim + 1] = s.sum[r];
    }
  }
}
// The same of all there is, rounded for the product that reads it, as StoreRounded does; heads of whole eights.
template <int kCols>
MOTE_DEVICE void StoreRoundedOfSplit(const AttentionArgs& args, const AttentionTile& tile,
                                     const StateOf<SplitState<kCols>::kEights>& s) {
  using Memory = SplitMemory<kCols>;
  using State = SplitState<kCols>;
  const uint32_t lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  float* const results = Memory::Results();  // nobody reads keys any more
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const float share = 1.0f / s.sum[r];
#pragma unroll
    for (int n = 0; n < State::kEights; ++n) {
      float* to = results + (lane / 4 + 8 * static_cast<uint32_t>(r)) * Memory::kResultRow + State::Column(n);
      to[0] = s.out[n][2 * r] * share;
      to[1] = s.out[n][2 * r + 1] * share;
    }
  }
  SyncBlock();
  const uint32_t all = args.heads * args.value_dim;
  const uint32_t begin = tile.head * args.value_dim, end = begin + tile.heads * args.value_dim;
  const uint32_t first_block = begin / kTileCols, blocks = (end - 1) / kTileCols - first_block + 1;
  for (uint32_t i = warp; i < tile.tokens * blocks; i += kSplitWarps) {
    const uint32_t token = i / blocks, block = first_block + i % blocks;
    const uint32_t c = block * kTileCols + lane * 8;
    const bool is_own = c >= begin && c < end;
    const uint32_t head = is_own ? (c - begin) / args.value_dim : 0;
    const uint32_t d = is_own ? (c - begin) % args.value_dim : 0;
    const float* from = results + (token * tile.heads + head) * Memory::kResultRow + d;
    float v[8];
#pragma unroll
    for (uint32_t j = 0; j < 8; ++j) v[j] = is_own ? from[j] : 0.0f;
    QuantizeColumns(v, is_own, lane * 8, args.acts == Acts::kBytes256, is_own || (c >= all && end == all),
                    args.rounded + (tile.row + token) * ActRowBytes(args.acts, all) + block * kActBlockBytes);
  }
}

// Of the rows of a step, key/value heads x tiles of their heads, and splits.
struct SplitPlace {
  uint32_t row, head_tile, split;
};
// What a block attends to: a tile's queries, and positions [first, end) of its split, `blocks` of 64.
struct SplitPlan {
  AttentionTile tile;
  HeadSide keys, values;
  Seen seen;       // by the tile's first row
  uint32_t place;  // of the split among those that the tile sees
  uint32_t first, end, blocks;
  uint32_t old_end;  // before it, positions that earlier steps wrote
};
// False: no tile begins at the block's row, or it sees nothing of the split. Asks for all that it needs of the row at
// once, whether it turns out to be somebody's or not: one load behind the other, they took longer than the attention.
MOTE_DEVICE bool PlanSplit(const AttentionArgs& args, const SplitPlace& at, SplitPlan* plan) {
  const StepArgs& step = *args.step;
  const uint32_t row = at.row;
  const uint32_t rows = step.counts->rows[kRowsTokens];
  const Segment segment = step.segments[row];
  const uint64_t layers = step.cache_layers[row];
  const uint8_t* cache = step.cache[row];
  const uint32_t position = static_cast<uint32_t>(step.positions[row]);
  const uint32_t group = args.heads / args.kv_heads;
  if (row >= rows || (row - segment.begin) % (kAttentionRows / TileHeads(group)) != 0) return false;
  const CacheLayerArgs layer = reinterpret_cast<const CacheLayerArgs*>(layers)[args.layer];
  const uint32_t kv_head = at.head_tile / HeadTiles(group);
  plan->tile = TileAt(args, segment, row, at.head_tile);
  plan->keys = {cache + layer.keys + kv_head * layer.key_head_bytes,
                layer.key_bytes,
                layer.positions,
                args.key_q8 != 0,
                KeyCols(args.key_dim),
                nullptr};
  plan->values = {cache + layer.values + kv_head * layer.value_head_bytes,
                  layer.value_bytes,
                  layer.positions,
                  args.value_q8 != 0,
                  ValueCols(args.value_dim),
                  nullptr};
  plan->seen = SeenFrom(args, row, position);
  const uint32_t last_row = row + plan->tile.tokens - 1;
  const uint32_t seen_end = last_row == row ? plan->seen.end : SeenBy(args, last_row).end;
  const uint32_t split = plan->seen.begin / kSplitPositions + at.split;
  if (split > (seen_end - 1) / kSplitPositions) return false;
  plan->place = at.split;
  plan->first = at.split > 0 ? split * kSplitPositions : plan->seen.begin / kAttentionPositions * kAttentionPositions;
  plan->end = Least((split + 1) * kSplitPositions, seen_end);
  plan->blocks = (plan->end - plan->first + kAttentionPositions - 1) / kAttentionPositions;
  // A session's one row adds one position; of several, which comes first is not asked.
  const uint32_t old_end = segment.end - segment.begin == 1 ? position : 0;
  plan->old_end = old_end < plan->first ? plan->first : Least(old_end, plan->end);
  return true;
}

// By all threads of a block, or of a team of one (persistent.cuh). `wait` returns once the queries, and the row's own
// keys and values, are there. Rows see no more positions than splits have.
template <int kCols, class Wait>
MOTE_DEVICE void AttendToSplit(const AttentionArgs& args, const SplitPlace& at, Wait wait) {
  using Memory = SplitMemory<kCols>;
  // Before the wait comes what is copied in before a step's first kernel begins, and what earlier steps left in the
  // cache.
  SplitPlan plan;
  if (!PlanSplit(args, at, &plan)) {
    wait();
    return;
  }
  const uint32_t padded = plan.first + plan.blocks * kAttentionPositions;
  LoadOfSplit<kCols>(plan.keys, plan.first, plan.first, plan.old_end, Memory::Keys());
  LoadOfSplit<kCols>(plan.values, plan.first, plan.first, plan.old_end, Memory::Values());
  ClearOfSplit<kCols>(plan.first, plan.end, padded, Memory::Keys());
  ClearOfSplit<kCols>(plan.first, plan.end, padded, Memory::Values());
  for (uint32_t i = threadIdx.x; i < kSplitGrains * kAttentionRows; i += kSplitThreads) {
    // Of positions that no warp has.
    if (i / kAttentionRows >= plan.blocks * (kAttentionPositions / 16)) Memory::Most()[i] = -INFINITY;
  }
  Seen seen[2] = {};
#pragma unroll
  for (uint32_t r = 0; r < 2; ++r) {
    uint32_t row, head;
    if (!RowOfTile(plan.tile, threadIdx.x % kWarp / 4 + 8 * r, &row, &head)) continue;
    seen[r] = row == plan.tile.row ? plan.seen : SeenBy(args, row);
  }
  wait();
  LoadOfSplit<kCols>(plan.keys, plan.first, plan.old_end, plan.end, Memory::Keys());
  LoadOfSplit<kCols>(plan.values, plan.first, plan.old_end, plan.end, Memory::Values());
  CommitCopies();
  LoadTileQueries<kCols, kSplitThreads>(args, plan.tile, threadIdx.x, Memory::Queries());
  WaitCopies<0>();
  SyncBlock();
  const bool has_positions = threadIdx.x / kWarp * kWarpPositions < plan.blocks * kAttentionPositions;
  float scores[kWarpEights][4];
  if (has_positions) ScoreOfWarp<kCols>(args, seen, plan.first, scores);
  SyncBlock();
  if (has_positions) WeighOfWarp<kCols>(scores);
  SyncBlock();
  StateOf<SplitState<kCols>::kEights> state, total;
  Clear(&state);
  AddValuesOfSplit<kCols>(plan.blocks, &state);
  if (args.splits > 1) return StoreOfSplit<kCols>(args, plan.tile, state, plan.place, true);
  Clear(&total);
  Join(state, &total);
  if (args.acts == Acts::kFloat) {
    StoreOfSplit<kCols>(args, plan.tile, total, 0, false);
  } else {
    StoreRoundedOfSplit<kCols>(args, plan.tile, total);
  }
}

// Grid: SplitPlace.
template <int kCols>
MOTE_KERNEL(kSplitThreads, 1)
SplitAttentionKernel(const AttentionArgs args) {
  LetNextBegin();
  AttendToSplit<kCols>(args, {blockIdx.x, blockIdx.y, blockIdx.z}, [] { WaitForPrevious(); });
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_SPLIT_ATTENTION_CUH_
