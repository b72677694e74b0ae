// Keys and values into the cache, and attention over it.
#include <algorithm>

#include "targets/cpu/cpu_program.h"

namespace mote {
namespace {

// Rows (tokens times the heads of one key/value head) of a tile: enough that reading keys and values is nothing beside
// the arithmetic; queries, sums and a block of keys and values stay within half of a 256 KiB cache for heads of 128.
constexpr uint32_t kTileRows = 64;

uint32_t TileTokens(uint32_t group) {
  return std::max(1u, kTileRows / group);
}

}  // namespace

uint64_t CpuProgram::AttentionScratch(const Graph& graph) {
  uint64_t bytes = 0;
  for (const Node& node : graph.nodes()) {
    if (node.op != OpKind::kAttention) continue;
    const AttentionParams& a = node.attention;
    const uint32_t group = a.heads / a.kv_heads;
    const uint64_t rows = uint64_t{TileTokens(group)} * group;
    bytes = std::max<uint64_t>(bytes, simd::AttentionScratchBytes(rows, a.key_dim, a.value_dim));
  }
  return bytes;
}

void CpuProgram::FindSegments() {
  segments_.clear();
  const Step& step = *step_;
  for (uint32_t row = 0; row < step.tokens.size(); ++row) {
    if (row > 0 && step.sequences[row] == step.sequences[row - 1]) {
      ++segments_.back().rows;
    } else {
      segments_.push_back({row, 1});
    }
  }
}

void CpuProgram::WriteCache(const Node& node, uint32_t begin, uint32_t end) {
  const AttentionParams& a = node.attention;
  const float* keys = Values(node.in[1]);
  const float* values = Values(node.in[2]);
  for (uint32_t row = begin; row < end; ++row) {
    CpuKvCache& cache = static_cast<CpuKvCache&>(*step_->caches[step_->sequences[row]]);
    const size_t position = static_cast<size_t>(step_->positions[row]);
    for (uint32_t head = 0; head < a.kv_heads; ++head) {
      const uint64_t at = uint64_t{row} * a.kv_heads + head;
      kernels_.cache_key(cache.key_type(), keys + at * a.key_dim, a.key_dim, position, cache.Keys(a.layer, head));
      kernels_.cache_value(cache.value_type(), values + at * a.value_dim, a.value_dim, position,
                           cache.Values(a.layer, head));
    }
  }
}

simd::AttentionArgs CpuProgram::ArgsOf(const Node& node, uint32_t row, uint32_t tokens, uint32_t kv_head, int worker) {
  const AttentionParams& a = node.attention;
  const uint32_t group = a.heads / a.kv_heads;
  const uint64_t first = uint64_t{row} * a.heads + uint64_t{kv_head} * group;
  CpuKvCache& cache = static_cast<CpuKvCache&>(*step_->caches[step_->sequences[row]]);
  simd::AttentionArgs args;
  args.key_type = cache.key_type();
  args.value_type = cache.value_type();
  args.k = cache.Keys(a.layer, kv_head);
  args.v = cache.Values(a.layer, kv_head);
  args.key_dim = a.key_dim;
  args.value_dim = a.value_dim;
  args.q = Values(node.in[0]) + first * a.key_dim;
  args.q_token_stride = uint64_t{a.heads} * a.key_dim;
  args.q_head_stride = a.key_dim;
  args.tokens = tokens;
  args.heads = group;
  args.position = static_cast<size_t>(step_->positions[row]);
  args.window = a.window;
  args.scale = a.scale;
  args.softcap = a.softcap;
  args.out = Values(node.out) + first * a.value_dim;
  args.out_token_stride = uint64_t{a.heads} * a.value_dim;
  args.out_head_stride = a.value_dim;
  args.scratch = attention_scratch_[worker].data();
  return args;
}

// A tile is some tokens of a segment with the heads of one key/value head; where the segment is short (decode), a split
// of their positions. How a step is cut does not show in its results.
void CpuProgram::RunAttention(const Node& node, uint32_t index, int worker) {
  const AttentionParams& a = node.attention;
  const uint32_t tile_tokens = TileTokens(a.heads / a.kv_heads);
  // From the last row to the first: the longest tiles start first, so that no worker is left with one at the end.
  size_t segment = segments_.size();
  uint32_t base = 0;  // tiles of the segments behind
  uint32_t count = 0;
  uint32_t splits = 1;
  for (uint32_t tile = NextTile(index, 0);; tile = NextTile(index, 0)) {
    while (tile >= base + count) {
      if (segment == 0) return;
      base += count;
      const Segment& s = segments_[--segment];
      const simd::AttentionArgs args = ArgsOf(node, s.row, s.rows, 0, worker);
      const uint32_t tiles = (s.rows + tile_tokens - 1) / tile_tokens;
      const size_t seen = simd::AttentionEndSplit(args) - simd::AttentionFirstSplit(args);
      splits = tiles == 1 && s.rows <= kSplitTokens ? static_cast<uint32_t>(seen) : 1;
      count = tiles * splits * a.kv_heads;
    }
    const Segment& s = segments_[segment];
    const uint32_t i = tile - base;
    const uint32_t kv_head = i / splits % a.kv_heads;
    if (splits > 1) {
      RunSplit(ArgsOf(node, s.row, s.rows, kv_head, worker), s.row, kv_head, i % splits, splits);
      continue;
    }
    const uint32_t tiles = count / a.kv_heads;
    const uint32_t begin = (tiles - 1 - i / a.kv_heads) * tile_tokens;
    kernels_.attention(ArgsOf(node, s.row + begin, std::min(tile_tokens, s.rows - begin), kv_head, worker));
  }
}

void CpuProgram::RunSplit(const simd::AttentionArgs& args, uint32_t row, uint32_t kv_head, uint32_t split,
                          uint32_t splits) {
  CpuKvCache& cache = static_cast<CpuKvCache&>(*step_->caches[step_->sequences[row]]);
  const size_t floats = simd::AttentionSplitFloats(args.tokens * args.heads, args.value_dim);
  float* results = cache.SplitResults(kv_head, floats);
  kernels_.attention_split(args, simd::AttentionFirstSplit(args) + split, results + split * floats);
  if (cache.IsLastSplit(kv_head, splits)) kernels_.attention_join(args, results);
}

}  // namespace mote
