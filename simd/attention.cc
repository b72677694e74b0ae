// Attention by online softmax (Milakov and Gimelshein, arXiv 1805.02867): one pass over the positions, in blocks.
//
// The rows of a call (tokens times heads) go through each block in groups of up to kGroupRows while its keys and values
// are in the first cache. A call of one group (decode) converts keys and values on the way; with more groups they are
// converted once into the scratch: even where that is one instruction, it is one of the unit that the multiply-adds
// want, for every six of them (1.05 to 1.06 times the speed of a vision tower by AVX2 and AVX-512, Granite Rapids,
// 2026-11; a group of 6 rows 25 cycles for 31, Cortex-A78 by llvm-mca).
#include "simd/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/attention.cc"
#include "hwy/foreach_target.h"
//
#include "simd/attention-inl.h"
#include "simd/kernel_list-inl.h"

#if MOTE_VECTORS
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {
namespace {

// One split's result of `rows` rows: out (rows, dim), largest (rows), sum (rows).
struct SplitResult {
  float* out;
  float* largest;
  float* sum;
};

class Tile {
 public:
  explicit Tile(const AttentionArgs& args)
      : args_(args),
        rows_(args.tokens * args.heads),
        groups_((rows_ + kGroupRows - 1) / kGroupRows),
        key_dim_(CachedDim(args.key_type, args.key_dim)),
        value_dim_(CachedDim(args.value_type, args.value_dim)),
        key_bytes_(CachePanelBytes(args.key_type, args.key_dim)),
        value_bytes_(CachePanelBytes(args.value_type, args.value_dim)) {
    uint8_t* at = static_cast<uint8_t*>(args.scratch);
    const auto take = [&at](size_t floats) {
      uint8_t* begin = at;
      at += (floats * sizeof(float) + 63) / 64 * 64;
      return reinterpret_cast<float*>(begin);
    };
    queries_ = take(rows_ * CachedDim(CacheType::kQ8_0, args.key_dim));
    keys_ = take(kAttentionBlock * key_dim_);
    values_ = take(kAttentionBlock * value_dim_);
    value_scales_ = take(kAttentionBlock * (value_dim_ / 32));
    weights_ = take(kGroupRows * kAttentionBlock);
    sums_ = take(rows_ * kLanes);
    results_[0] = take(AttentionSplitFloats(rows_, args.value_dim));
    results_[1] = take(AttentionSplitFloats(rows_, args.value_dim));
    for (size_t group = 0; group < groups_; ++group) PackGroup(FirstRow(group), FirstRow(group + 1));
  }

  SplitResult ResultAt(float* floats) const {
    return {floats, floats + rows_ * value_dim_, floats + rows_ * (value_dim_ + 1)};
  }
  float* own_result(size_t i) const { return results_[i]; }

  void RunSplit(size_t split, const SplitResult& result) const;
  void Join(size_t split, const SplitResult& part, const SplitResult& total) const;
  void Finish(const SplitResult& total) const;

 private:
  // Groups of nearly the same size: 4 and 4 rather than 6 and 2.
  size_t FirstRow(size_t group) const { return rows_ * group / groups_; }
  size_t VisibleEnd(size_t row) const { return AttentionEnd(args_, row / args_.heads); }
  size_t VisibleBegin(size_t row) const { return AttentionBegin(args_, row / args_.heads); }
  // What the row sees of the block from `start` on.
  Part PartOf(size_t row, size_t start) const {
    const Part part = Within(start, VisibleBegin(row), VisibleEnd(row));
    return part.begin < part.end ? part : Part{0, 0};
  }
  static Part Within(size_t start, size_t begin, size_t end) {
    if (end < start) return {0, 0};
    return {begin > start ? begin - start : 0, end - start < kAttentionBlock ? end - start : kAttentionBlock};
  }

  const float* QueryAt(size_t row) const {
    return args_.q + row / args_.heads * args_.q_token_stride + row % args_.heads * args_.q_head_stride;
  }
  void PackGroup(size_t begin, size_t end) const;
  void PackCodes(size_t row, size_t begin, size_t rows) const;
  Int8Queries CodesOf(size_t begin, size_t rows) const;
  void ConvertBlock(size_t start, const Part& part) const;
  template <size_t R>
  void RunGroup(size_t begin, size_t start, const SplitResult& result) const;
  template <size_t R>
  void Score(size_t begin, size_t start, const Part& part) const;
  template <size_t R>
  void AddBlockValues(size_t begin, size_t start, const Part* parts, const float* corrections, float* out) const;
  template <size_t R, class Values>
  void AddParts(const Values& values, const Part* parts, const float* corrections, float* out) const;

  const AttentionArgs& args_;
  const size_t rows_;
  const size_t groups_;
  const size_t key_dim_;  // as cached
  const size_t value_dim_;
  const size_t key_bytes_;  // of a panel
  const size_t value_bytes_;
  float* queries_;       // by group: (key_dim, rows of the group), or Int8Queries
  float* keys_;          // converted panels of a block, if they are
  float* values_;        // converted values of a block (kAttentionBlock, value_dim), if they are
  float* value_scales_;  // (value_dim / 32, kAttentionBlock)
  float* weights_;       // (rows of a group, kAttentionBlock)
  float* sums_;          // (rows, kLanes)
  float* results_[2];
};

// The parts of a group's queries in A8, at the group's place in queries_: 4 bytes for each value are enough for all.
Int8Queries Tile::CodesOf(size_t begin, size_t rows) const {
  const int32_t* words = reinterpret_cast<const int32_t*>(queries_ + begin * key_dim_);
  const size_t blocks = rows * (key_dim_ / 32);
  const float* scales = reinterpret_cast<const float*>(words + rows * (key_dim_ / 4) * kQueryWords);
  return {words, scales, reinterpret_cast<const int32_t*>(scales + blocks)};
}

void Tile::PackCodes(size_t row, size_t begin, size_t rows) const {
  const Int8Queries to = CodesOf(begin, rows);
  int32_t* words = const_cast<int32_t*>(to.words);
  float* scales = const_cast<float*>(to.scales);
  int32_t* first = const_cast<int32_t*>(to.first);
  const float* q = QueryAt(row);
  const size_t r = row - begin;
  const float query_scale = QueryScale(args_);
  for (size_t block = 0; block < key_dim_ / 32; ++block) {
    float values[32] = {};
    const size_t given = args_.key_dim - block * 32;
    memcpy(values, q + block * 32, (given < 32 ? given : 32) * sizeof(float));
    A8Block a8;
    QuantizeA8(values, 32, 32, &a8);
    scales[block * rows + r] = a8.scale * query_scale;
    first[block * rows + r] = 128 * a8.minus_sum;
    for (size_t i = 0; i < 8; ++i) PackQuery(a8.codes + i * 4, words + ((block * 8 + i) * rows + r) * kQueryWords);
  }
}

void Tile::PackGroup(size_t begin, size_t end) const {
  // Another core has just written the queries, with a gap after each token's: all misses at once.
  for (size_t row = begin; row < end; ++row) {
    for (size_t d = 0; d < args_.key_dim; d += 16) hwy::Prefetch(QueryAt(row) + d);
  }
  for (size_t row = begin; row < end; ++row) {
    if (args_.key_type == CacheType::kQ8_0) {
      PackCodes(row, begin, end - begin);
      continue;
    }
    const float* q = QueryAt(row);
    float* to = queries_ + begin * key_dim_ + (row - begin);
    const float scale = QueryScale(args_);
    for (size_t d = 0; d < args_.key_dim; ++d) to[d * (end - begin)] = q[d] * scale;
  }
}

// Keys and values of the panels that hold the part, as far as they are converted ahead.
void Tile::ConvertBlock(size_t start, const Part& part) const {
  const DF df;
  const bool several = groups_ > 1;
  for (size_t panel = part.begin / kCachePanel; panel * kCachePanel < part.end; ++panel) {
    const size_t place = panel * kCachePanel;
    const uint8_t* k = args_.k + (start / kCachePanel + panel) * key_bytes_;
    if (several && args_.key_type == CacheType::kF16) {
      F16ToF32Row(reinterpret_cast<const uint16_t*>(k), kCachePanel * key_dim_, keys_ + place * key_dim_);
    }
    const uint8_t* v = args_.v + (start / kCachePanel + panel) * value_bytes_;
    float* to = values_ + place * value_dim_;
    if (args_.value_type == CacheType::kF16) {
      if (several) F16ToF32Row(reinterpret_cast<const uint16_t*>(v), kCachePanel * value_dim_, to);
      continue;
    }
    const uint16_t* scales = reinterpret_cast<const uint16_t*>(v + kCachePanel * value_dim_);
    for (size_t block = 0; block < value_dim_ / 32; ++block) {
      F16ToF32Row(scales + block * kCachePanel, kCachePanel, value_scales_ + block * kAttentionBlock + place);
    }
    if (!several) continue;
    const ValuesQ8 values = {v, value_dim_, value_scales_ + place};
    for (size_t p = 0; p < kCachePanel; ++p) {
      for (size_t d = 0; d < value_dim_; d += kLanes) hn::StoreU(values.Load(p, d), df, to + p * value_dim_ + d);
    }
  }
}

template <size_t R>
void Tile::Score(size_t begin, size_t start, const Part& part) const {
  const CachedKeys keys = {args_.k + start / kCachePanel * key_bytes_, key_bytes_};
  const float* queries = queries_ + begin * key_dim_;
  const bool several = R > 2 && groups_ > 1;  // smaller groups are alone
  if (args_.key_type == CacheType::kQ8_0) {
    const Int8Queries codes = CodesOf(begin, R);
    if (several) {
      Int8Scores<R, false>(keys, codes, key_dim_, part.begin, part.end, weights_);
    } else {
      Int8Scores<R, true>(keys, codes, key_dim_, part.begin, part.end, weights_);
    }
  } else if (!several) {
    FloatScores<R>(KeysF16{keys}, queries, args_.key_dim, part.begin, part.end, weights_);
  } else {
    const KeysF32 converted = {keys_, kCachePanel * key_dim_};
    FloatScores<R>(converted, queries, args_.key_dim, part.begin, part.end, weights_);
  }
}

// Rows that see different parts: together what all see, and each by itself, in order, what comes before and after. No
// row touches a value that it does not see: what stands there may be infinite.
template <size_t R, class Values>
HWY_NOINLINE void Tile::AddParts(const Values& values, const Part* parts, const float* corrections, float* out) const {
  Part common = parts[0];
  bool same = true;
  for (size_t r = 1; r < R; ++r) {
    same = same && parts[r].begin == common.begin && parts[r].end == common.end;
    if (parts[r].begin > common.begin) common.begin = parts[r].begin;
    if (parts[r].end < common.end) common.end = parts[r].end;
  }
  if (same) return AddValues<R>(values, common, weights_, corrections, out, value_dim_);
  if (common.begin >= common.end) {
    for (size_t r = 0; r < R; ++r) {
      AddValues<1>(values, parts[r], weights_ + r * kAttentionBlock, corrections + r, out + r * value_dim_, value_dim_);
    }
    return;
  }
  const float ones[kGroupRows] = {1, 1, 1, 1, 1, 1};
  for (size_t r = 0; r < R; ++r) {
    const Part before = {parts[r].begin, common.begin};
    AddValues<1>(values, before, weights_ + r * kAttentionBlock, corrections + r, out + r * value_dim_, value_dim_);
  }
  AddValues<R>(values, common, weights_, ones, out, value_dim_);
  for (size_t r = 0; r < R; ++r) {
    const Part after = {common.end, parts[r].end};
    if (after.begin == after.end) continue;
    AddValues<1>(values, after, weights_ + r * kAttentionBlock, ones, out + r * value_dim_, value_dim_);
  }
}

template <size_t R>
void Tile::AddBlockValues(size_t begin, size_t start, const Part* parts, const float* corrections, float* out) const {
  const uint8_t* panels = args_.v + start / kCachePanel * value_bytes_;
  const uint16_t* halves = reinterpret_cast<const uint16_t*>(panels);
  const bool several = R > 2 && groups_ > 1;
  out += begin * value_dim_;
  if (several) {
    AddParts<R>(ValuesF32{values_, value_dim_}, parts, corrections, out);
  } else if (args_.value_type == CacheType::kQ8_0) {
    AddParts<R>(ValuesQ8{panels, value_dim_, value_scales_}, parts, corrections, out);
  } else {
    AddParts<R>(ValuesF16{halves, value_dim_}, parts, corrections, out);
  }
}

// Rows [begin, begin + R) through the block from `start` on.
template <size_t R>
HWY_NOINLINE void Tile::RunGroup(size_t begin, size_t start, const SplitResult& result) const {
  Part parts[R];
  Part any = {kAttentionBlock, 0};
  for (size_t r = 0; r < R; ++r) {
    parts[r] = PartOf(begin + r, start);
    if (parts[r].end == 0) continue;
    if (parts[r].begin < any.begin) any.begin = parts[r].begin;
    if (parts[r].end > any.end) any.end = parts[r].end;
  }
  if (any.begin >= any.end) return;
  Score<R>(begin, start, any);
  float corrections[R];
  for (size_t r = 0; r < R; ++r) {
    corrections[r] = 1;
    if (parts[r].end == 0) continue;
    corrections[r] = Weigh(args_, parts[r], weights_ + r * kAttentionBlock, result.largest + begin + r,
                           sums_ + (begin + r) * kLanes);
  }
  AddBlockValues<R>(begin, start, parts, corrections, result.out);
}

// Rows that see nothing of the split get a result that nobody reads.
void Tile::RunSplit(size_t split, const SplitResult& result) const {
  for (size_t i = 0; i < rows_ * value_dim_; ++i) result.out[i] = 0;
  for (size_t i = 0; i < rows_ * kLanes; ++i) sums_[i] = 0;
  for (size_t i = 0; i < rows_; ++i) result.largest[i] = -INFINITY;
  size_t begin = split * kAttentionSplit;
  size_t end = begin + kAttentionSplit;
  if (VisibleBegin(0) > begin) begin = VisibleBegin(0);
  if (VisibleEnd(rows_ - 1) < end) end = VisibleEnd(rows_ - 1);
  for (size_t start = begin / kAttentionBlock * kAttentionBlock; start < end; start += kAttentionBlock) {
    ConvertBlock(start, Within(start, begin, end));
    for (size_t group = 0; group < groups_; ++group) {
      const size_t row = FirstRow(group);
      switch (FirstRow(group + 1) - row) {
        case 1:
          RunGroup<1>(row, start, result);
          break;
        case 2:
          RunGroup<2>(row, start, result);
          break;
        case 3:
          RunGroup<3>(row, start, result);
          break;
        case 4:
          RunGroup<4>(row, start, result);
          break;
        case 5:
          RunGroup<5>(row, start, result);
          break;
        default:
          RunGroup<6>(row, start, result);
          break;
      }
    }
  }
  const DF df;
  for (size_t row = 0; row < rows_; ++row) result.sum[row] = SumLanes(hn::LoadU(df, sums_ + row * kLanes));
}

// total += part, which is of `split`, for the rows that see any of it.
void Tile::Join(size_t split, const SplitResult& part, const SplitResult& total) const {
  const DF df;
  for (size_t row = 0; row < rows_; ++row) {
    const size_t first = VisibleBegin(row) / kAttentionSplit;
    if (split < first || split * kAttentionSplit >= VisibleEnd(row)) continue;
    float* out = total.out + row * value_dim_;
    const float* more = part.out + row * value_dim_;
    if (split == first) {
      memcpy(out, more, value_dim_ * sizeof(float));
      total.largest[row] = part.largest[row];
      total.sum[row] = part.sum[row];
      continue;
    }
    const float largest = part.largest[row] > total.largest[row] ? part.largest[row] : total.largest[row];
    const VF total_factor = Exp2(df, hn::Set(df, total.largest[row] - largest));
    const VF part_factor = Exp2(df, hn::Set(df, part.largest[row] - largest));
    for (size_t d = 0; d < value_dim_; d += kLanes) {
      const VF scaled = hn::Mul(hn::LoadU(df, out + d), total_factor);
      hn::StoreU(hn::MulAdd(hn::LoadU(df, more + d), part_factor, scaled), df, out + d);
    }
    total.sum[row] = total.sum[row] * hn::GetLane(total_factor) + part.sum[row] * hn::GetLane(part_factor);
    total.largest[row] = largest;
  }
}

void Tile::Finish(const SplitResult& total) const {
  const DF df;
  for (size_t row = 0; row < rows_; ++row) {
    const VF factor = hn::Set(df, 1.0f / total.sum[row]);
    float* out = args_.out + row / args_.heads * args_.out_token_stride + row % args_.heads * args_.out_head_stride;
    const float* from = total.out + row * value_dim_;
    size_t d = 0;
    for (; d + kLanes <= args_.value_dim; d += kLanes)
      hn::StoreU(hn::Mul(hn::LoadU(df, from + d), factor), df, out + d);
    if (d < args_.value_dim) {
      StorePartial(hn::Mul(hn::LoadU(df, from + d), factor), df, out + d, args_.value_dim - d);
    }
  }
}

}  // namespace

void AttentionSplit(const AttentionArgs& args, size_t split, float* result) {
  const Tile tile(args);
  tile.RunSplit(split, tile.ResultAt(result));
}

void AttentionJoin(const AttentionArgs& args, const float* results) {
  const Tile tile(args);
  const SplitResult total = tile.ResultAt(tile.own_result(0));
  const size_t stride = AttentionSplitFloats(args.tokens * args.heads, args.value_dim);
  for (size_t split = AttentionFirstSplit(args); split < AttentionEndSplit(args); ++split, results += stride) {
    tile.Join(split, tile.ResultAt(const_cast<float*>(results)), total);
  }
  tile.Finish(total);
}

void Attention(const AttentionArgs& args) {
  const Tile tile(args);
  const SplitResult part = tile.ResultAt(tile.own_result(0));
  const SplitResult total = tile.ResultAt(tile.own_result(1));
  const size_t first = AttentionFirstSplit(args);
  const size_t end = AttentionEndSplit(args);
  if (end - first == 1) {
    tile.RunSplit(first, part);
    return tile.Finish(part);
  }
  for (size_t split = first; split < end; ++split) {
    tile.RunSplit(split, part);
    tile.Join(split, part, total);
  }
  tile.Finish(total);
}

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
