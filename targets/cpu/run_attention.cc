// Keys and values into the cache, and attention over it.
#include <algorithm>

#include "targets/cpu/cpu_program.h"

namespace mote {
namespace {

// Rows (tokens times the heads of one key/value head) of a tile: enough that reading keys and values is nothing beside
// the arithmetic; queries, sums and a block of keys and values stay near half of a 256 KiB cache for heads of 128.
// Whole groups of the kernel's 6, for 1, 2, 3, 4, 6 and 8 heads to a key/value head.
constexpr uint32_t kTileRows = 72;

// Those of a matrix unit: enough that unpacking keys and values is little beside the products.
constexpr uint32_t kUnitTileRows = 256;

uint32_t TileTokens(uint32_t group, bool unit) {
  return std::max(1u, (unit ? kUnitTileRows : kTileRows) / group);
}

}  // namespace

uint64_t CpuProgram::AttentionScratch(const Graph& graph, bool unit) {
  uint64_t bytes = 0;
  for (const Node& node : graph.nodes()) {
    if (node.op != OpKind::kAttention) continue;
    const AttentionParams& a = node.attention;
    const uint32_t group = a.heads / a.kv_heads;
    const uint64_t rows = uint64_t{TileTokens(group, false)} * group;
    bytes = std::max<uint64_t>(bytes, simd::AttentionScratchBytes(rows, a.key_dim, a.value_dim));
    if (!unit) continue;
    const uint64_t unit_rows = uint64_t{TileTokens(group, true)} * group;
    bytes = std::max<uint64_t>(bytes, simd::UnitAttentionBytes(unit_rows, a.key_dim, a.value_dim));
  }
  return bytes;
}

void CpuProgram::FindSegments() {
  segments_.clear();
  const Step& step = *step_;
  for (uint32_t row = 0; row < step.positions.size(); ++row) {
    if (row > 0 && step.sequences[row] == step.sequences[row - 1]) {
      ++segments_.back().rows;
    } else {
      segments_.push_back({row, 1});
    }
  }
}

bool CpuProgram::IsKeyPanel(uint32_t row, uint32_t end) const {
  const Step& step = *step_;
  const int32_t first = step.positions[row];
  if (unit_ == nullptr || end - row < simd::kCachePanel || first % static_cast<int32_t>(simd::kCachePanel) != 0) {
    return false;
  }
  const CpuKvCache& cache = static_cast<const CpuKvCache&>(*step.caches[step.sequences[row]]);
  if (cache.key_type() != simd::CacheType::kF16) return false;
  for (uint32_t i = 1; i < simd::kCachePanel; ++i) {
    if (step.sequences[row + i] != step.sequences[row] || step.positions[row + i] != first + static_cast<int32_t>(i)) {
      return false;
    }
  }
  return true;
}

void CpuProgram::WriteCache(const Node& node, uint32_t begin, uint32_t end) {
  const AttentionParams& a = node.attention;
  const float* keys = Values(node.in[1]);
  const float* values = Values(node.in[2]);
  uint32_t keys_end = begin;  // rows before this one have their keys in the cache
  for (uint32_t row = begin; row < end; ++row) {
    CpuKvCache& cache = static_cast<CpuKvCache&>(*step_->caches[step_->sequences[row]]);
    const size_t position = static_cast<size_t>(step_->positions[row]);
    const bool panel = keys_end == row && IsKeyPanel(row, end);
    for (uint32_t head = 0; head < a.kv_heads; ++head) {
      const uint64_t at = uint64_t{row} * a.kv_heads + head;
      uint8_t* to = cache.Keys(a.layer, head);
      if (panel) {
        const size_t bytes = simd::CachePanelBytes(simd::CacheType::kF16, a.key_dim);
        unit_->cache_key_panel(keys + at * a.key_dim, uint64_t{a.kv_heads} * a.key_dim, a.key_dim,
                               to + position / simd::kCachePanel * bytes);
      } else if (keys_end <= row) {
        kernels_.cache_key(cache.key_type(), keys + at * a.key_dim, a.key_dim, position, to);
      }
      kernels_.cache_value(cache.value_type(), values + at * a.value_dim, a.value_dim, position,
                           cache.Values(a.layer, head));
    }
    if (panel) keys_end = row + static_cast<uint32_t>(simd::kCachePanel);
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
  const Sight& sight = step_->sights[a.sight];
  if (!sight.begins.empty()) args.begins = sight.begins.data() + row;
  if (!sight.ends.empty()) args.ends = sight.ends.data() + row;
  args.scale = a.scale;
  args.softcap = a.softcap;
  args.out = Values(node.out) + first * a.value_dim;
  args.out_token_stride = uint64_t{a.heads} * a.value_dim;
  args.out_head_stride = a.value_dim;
  args.scratch = attention_scratch_[worker].data();
  return args;
}

CpuProgram::SegmentCut CpuProgram::CutOf(const Node& node, const Segment& segment, int worker) {
  const simd::AttentionArgs args = ArgsOf(node, segment.row, segment.rows, 0, worker);
  SegmentCut cut;
  const uint32_t rows = NumRows(Rows::kTokens);
  cut.unit = segment.row >= FirstUnitRow(Rows::kTokens, rows) && args.key_type == simd::CacheType::kF16 &&
             args.value_type == simd::CacheType::kF16;
  cut.tile_tokens = TileTokens(static_cast<uint32_t>(args.heads), cut.unit);
  cut.tiles = (segment.rows + cut.tile_tokens - 1) / cut.tile_tokens;
  cut.streams = cut.tiles == 1 && segment.rows <= kSplitTokens && !cut.unit;
  const size_t seen = simd::AttentionEndSplit(args) - simd::AttentionFirstSplit(args);
  cut.splits = cut.streams ? static_cast<uint32_t>(seen) : 1;
  return cut;
}

// A tile is some tokens of a segment with the heads of one key/value head; where the segment is short (decode), a split
// of their positions. How a step is cut does not show in its results.
void CpuProgram::RunAttention(const Node& node, uint32_t index, int worker) {
  const uint32_t kv_heads = node.attention.kv_heads;
  uint32_t total = 0;
  bool streams = true;
  for (const Segment& s : segments_) {
    const SegmentCut cut = CutOf(node, s, worker);
    total += cut.tiles * cut.splits * kv_heads;
    streams = streams && cut.streams;
  }
  size_t segment = 0;
  SegmentCut cut = CutOf(node, segments_[0], worker);
  uint32_t begin = 0;  // of the segment's tiles
  const auto move_to = [&](size_t to) {
    segment = to;
    cut = CutOf(node, segments_[to], worker);
  };
  for (;;) {
    // Decoding reads the cache once: each worker a stream of its own. With prompts, from the last row to the first: the
    // longest tiles start first, so that no worker is left with one at the end.
    const uint32_t next = streams ? NextOwnTile(index, total, worker) : NextTile(index, 0);
    if (next >= total) return;
    const uint32_t tile = streams ? next : total - 1 - next;
    while (tile < begin) {
      move_to(segment - 1);
      begin -= cut.tiles * cut.splits * kv_heads;
    }
    while (tile >= begin + cut.tiles * cut.splits * kv_heads) {
      begin += cut.tiles * cut.splits * kv_heads;
      move_to(segment + 1);
    }
    const Segment& s = segments_[segment];
    const uint32_t i = tile - begin;
    if (cut.splits > 1) {
      const uint32_t kv_head = i / cut.splits;
      RunSplit(ArgsOf(node, s.row, s.rows, kv_head, worker), s.row, kv_head, i % cut.splits, cut.splits);
    } else {
      const uint32_t first = i / kv_heads * cut.tile_tokens;
      const uint32_t tokens = std::min(cut.tile_tokens, s.rows - first);
      const simd::AttentionArgs args = ArgsOf(node, s.row + first, tokens, i % kv_heads, worker);
      const auto run = !cut.unit ? kernels_.attention : unit_rounds_ ? unit_->rounded_attention : unit_->attention;
      run(args);
    }
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
