// Attention by AMX, for rows that are read (simd/unit.h): online softmax over blocks of kAttentionBlock positions, as
// simd/attention.cc does it, with queries, keys, weights and values each as two bfloat16: all four products in scores,
// three in what weights make of values. Or, for files whose matrices are in blocks, each rounded to one bfloat16, as
// the products around them round: one product.
//
// Keys and values of a block are unpacked once for all rows of a call: with 256 rows of 64 values that is a twelfth of
// what the products take. Scores and weights are those of 32 rows at a time, which never leave the first cache.
#include "simd/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/unit_attention.cc"
#include "hwy/foreach_target.h"
//
#include "simd/attention-inl.h"
#include "simd/unit-inl.h"

#if MOTE_VECTORS && HWY_TARGET == HWY_AVX3_DL && HWY_ARCH_X86_64
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {

void UnitAttention(const AttentionArgs& args);
void RoundedUnitAttention(const AttentionArgs& args);

namespace {

inline constexpr size_t kPairs = kAttentionBlock / kUnitRows;  // of panels: two tiles of positions
static_assert(kAttentionBlock % kUnitRows == 0 && kCachePanel == kSide);

// Finite: what a row does not see has a weight of zero, and has to stay out of its sums.
HWY_INLINE VF LoadValue(const uint16_t* halves) {
  const VF most = hn::Set(DF(), 65504.0f);
  return hn::Min(hn::Max(LoadF16(DF(), halves), hn::Neg(most)), most);
}

// kLow: of numbers in two parts.
template <bool kLow>
class UnitTile {
 public:
  explicit UnitTile(const AttentionArgs& args)
      : args_(args),
        rows_(args.tokens * args.heads),
        key_dim_(CachedDim(CacheType::kF16, args.key_dim)),
        value_dim_(CachedDim(CacheType::kF16, args.value_dim)),
        key_steps_(UnitPadded(args.key_dim) / kUnitValues),
        out_dim_(UnitPadded(args.value_dim)) {
    uint8_t* at = static_cast<uint8_t*>(args.scratch);
    const auto take = [&at](size_t bytes) {
      uint8_t* begin = at;
      at += (bytes + 63) / 64 * 64;
      return begin;
    };
    const size_t groups = UnitPadded(rows_) / kUnitGroup;  // whole blocks of 32 rows
    queries_ = take(groups * key_steps_ * kParts * kUnitStepBytes);
    keys_ = take(kPairs * key_steps_ * kStepBytes<kLow>);
    values_ = take(kPairs * out_dim_ / kUnitRows * kStepBytes<kLow>);
    weights_ = take(kUnitTokens / kUnitGroup * kPairs * kParts * kUnitStepBytes);
    scores_ = reinterpret_cast<float*>(take(kUnitTokens * kAttentionBlock * sizeof(float)));
    out_ = reinterpret_cast<float*>(take(groups * kUnitGroup * out_dim_ * sizeof(float)));
    sums_ = reinterpret_cast<float*>(take(rows_ * kLanes * sizeof(float)));
    largest_ = reinterpret_cast<float*>(take(rows_ * sizeof(float)));
  }

  void Run() {
    PackQueries();
    memset(out_, 0, UnitPadded(rows_) * out_dim_ * sizeof(float));
    memset(sums_, 0, rows_ * kLanes * sizeof(float));
    for (size_t row = 0; row < rows_; ++row) largest_[row] = -INFINITY;
    const size_t end = AttentionEnd(args_, args_.tokens - 1);
    for (size_t start = AttentionBegin(args_, 0) / kAttentionBlock * kAttentionBlock; start < end;
         start += kAttentionBlock) {
      UnpackKeys(start);
      UnpackValues(start, end);
      ForBlocks([&](size_t row, size_t count) HWY_ATTR {
        if (!AnySees(row, count, start)) return;  // windows
        Score(row, count);
        for (size_t r = row; r < row + count; ++r) WeighRow(r, start);
        AddValues(row, count);
      });
    }
    ReleaseTiles();
    Finish();
  }

 private:
  static constexpr size_t kParts = kLow ? 2 : 1;  // of a number

  // The tiles of group row / 16: all its high parts, then the low ones.
  uint8_t* TileRow(uint8_t* tiles, size_t steps, size_t row) const {
    return tiles + UnitRowAt(row, kParts * steps * kUnitValues * sizeof(uint16_t));
  }

  void PackQueries() const {
    const VF scale = hn::Set(DF(), QueryScale(args_));
    for (size_t row = 0; row < rows_; ++row) {
      const float* q = args_.q + row / args_.heads * args_.q_token_stride + row % args_.heads * args_.q_head_stride;
      uint8_t* to = TileRow(queries_, key_steps_, row);
      const auto load = [&](size_t d) HWY_ATTR {
        if (d + kLanes <= args_.key_dim) return hn::Mul(hn::LoadU(DF(), q + d), scale);
        return d < args_.key_dim ? hn::Mul(LoadPartial(DF(), q + d, args_.key_dim - d), scale) : hn::Zero(DF());
      };
      for (size_t d = 0; d < key_steps_ * kUnitValues; d += kUnitValues, to += kUnitStepBytes) {
        SplitStep(load(d), load(d + kLanes), to, key_steps_);
      }
    }
  }
  // 32 floats to a row of a tile, and what they lose to that of the low parts. A pair is then a value of each half, so
  // that no instruction moves one past the other; without low parts the one instruction that rounds leaves them in
  // their order. Keys and values are unpacked alike.
  static HWY_INLINE void SplitStep(VF first, VF second, uint8_t* to, size_t steps) {
    if constexpr (kLow) {
      StoreNumbers<true>(first, second, to, steps * kUnitStepBytes);
    } else {
      StoreRounded(first, second, to);
    }
  }
  // The first value of word `i` of a step, and how far behind it the second is.
  static constexpr size_t FirstOfPair(size_t i) { return kLow ? i : 2 * i; }
  static constexpr size_t kPairDistance = kLow ? kSide : 1;

  // By pairs of panels, by 32 dimensions.
  HWY_NOINLINE void UnpackKeys(size_t start) const {
    const size_t panel_bytes = CachePanelBytes(CacheType::kF16, args_.key_dim);
    for (size_t panel = 0; panel < 2 * kPairs; ++panel) {
      const uint16_t* from = reinterpret_cast<const uint16_t*>(args_.k + (start / kCachePanel + panel) * panel_bytes);
      uint8_t* to = keys_ + panel / 2 * key_steps_ * kStepBytes<kLow> + panel % 2 * kTileBytes;
      const auto load = [&](size_t d)
                            HWY_ATTR { return d < key_dim_ ? LoadF16(DF(), from + d * kCachePanel) : hn::Zero(DF()); };
      for (size_t step = 0; step < key_steps_; ++step) {
        for (size_t i = 0; i < kSide; ++i) {
          const size_t d = step * kUnitValues + FirstOfPair(i);
          StoreNumbers<kLow>(load(d), load(d + kPairDistance), to + step * kStepBytes<kLow> + i * kBytes);
        }
      }
    }
  }
  // By 32 dimensions, by 32 positions; those from `end` on are zero.
  HWY_NOINLINE void UnpackValues(size_t start, size_t end) const {
    const size_t panel_bytes = CachePanelBytes(CacheType::kF16, args_.value_dim);
    for (size_t word = 0; word < kAttentionBlock / 2; ++word) {
      const size_t p = word / kSide * kUnitValues + FirstOfPair(word % kSide);
      const size_t position = start + p;
      const auto row_of = [&](size_t at) {
        return reinterpret_cast<const uint16_t*>(args_.v + at / kCachePanel * panel_bytes) +
               at % kCachePanel * value_dim_;
      };
      const uint16_t* from = row_of(position);
      const uint16_t* more = row_of(position + kPairDistance);
      uint8_t* to = values_ + p / kUnitValues * kStepBytes<kLow> + word % kSide * kBytes;
      for (size_t d = 0; d < out_dim_; d += kSide) {
        const bool there = d < value_dim_;
        const VF first = there && position < end ? LoadValue(from + d) : hn::Zero(DF());
        const VF second = there && position + kPairDistance < end ? LoadValue(more + d) : hn::Zero(DF());
        StoreNumbers<kLow>(first, second, to + d / kUnitRows * kPairs * kStepBytes<kLow> + d / kSide % 2 * kTileBytes);
      }
    }
  }

  // Begin and end of what a row sees grow from row to row.
  bool AnySees(size_t row, size_t count, size_t start) const {
    return AttentionBegin(args_, row / args_.heads) < start + kAttentionBlock &&
           AttentionEnd(args_, (row + count - 1) / args_.heads) > start;
  }

  // Rows by 32, with the tiles made for as many as there are.
  template <class Body>
  HWY_INLINE void ForBlocks(const Body& body) const {
    if (rows_ >= kUnitTokens) Configure(kUnitTokens);
    size_t row = 0;
    for (; row + kUnitTokens <= rows_; row += kUnitTokens) body(row, kUnitTokens);
    if (row == rows_) return;
    Configure(rows_ - row);
    body(row, rows_ - row);
  }

  // sums (count, 32), `stride` bytes from row to row, of rows whose tiles begin at `acts`; on top of them if kAdd.
  template <bool kAdd>
  static HWY_INLINE void Multiply(const uint8_t* acts, size_t steps, const uint8_t* operand, size_t count, float* sums,
                                  size_t stride) {
    constexpr int kProducts = !kLow ? 1 : kAdd ? 3 : 4;
    const size_t low = steps * kUnitStepBytes, group = kParts * low;
    if (count > kSide) {
      if constexpr (kAdd) {
        LoadTiles<false>(sums, stride);
        LoadTiles<true>(sums, stride);
      } else {
        ZeroTiles();
      }
      Steps<kProducts, true>(acts, group, low, operand, steps);
      StoreTiles<false>(sums, stride);
      StoreTiles<true>(sums, stride);
    } else {
      if constexpr (kAdd) {
        LoadTiles<false>(sums, stride);
      } else {
        ZeroTiles();
      }
      Steps<kProducts, false>(acts, group, low, operand, steps);
      StoreTiles<false>(sums, stride);
    }
  }

  HWY_NOINLINE void Score(size_t row, size_t count) const {
    for (size_t pair = 0; pair < kPairs; ++pair) {
      Multiply<false>(TileRow(queries_, key_steps_, row), key_steps_, keys_ + pair * key_steps_ * kStepBytes<kLow>,
                      count, scores_ + row % kUnitTokens * kAttentionBlock + pair * kUnitRows,
                      kAttentionBlock * sizeof(float));
    }
  }
  HWY_NOINLINE void AddValues(size_t row, size_t count) const {
    for (size_t d = 0; d < out_dim_; d += kUnitRows) {
      Multiply<true>(TileRow(weights_, kPairs, row % kUnitTokens), kPairs,
                     values_ + d / kUnitRows * kPairs * kStepBytes<kLow>, count, out_ + row * out_dim_ + d,
                     out_dim_ * sizeof(float));
    }
  }

  void ScaleOut(size_t row, float correction) const {
    const VF factor = hn::Set(DF(), correction);
    float* out = out_ + row * out_dim_;
    for (size_t d = 0; d < out_dim_; d += kLanes) hn::Store(hn::Mul(hn::Load(DF(), out + d), factor), DF(), out + d);
  }

  // A row's scores to weights; its sums to the new largest score.
  HWY_INLINE void WeighRow(size_t row, size_t start) const {
    float* scores = scores_ + row % kUnitTokens * kAttentionBlock;
    const size_t begin = AttentionBegin(args_, row / args_.heads), end = AttentionEnd(args_, row / args_.heads);
    if (begin <= start && end >= start + kAttentionBlock && args_.softcap <= 0) return WeighWhole(row);
    Part part = {begin > start ? begin - start : 0, 0};
    if (end > start) part.end = end - start < kAttentionBlock ? end - start : kAttentionBlock;
    if (part.begin < part.end) {
      const float correction = Weigh(args_, part, scores, largest_ + row, sums_ + row * kLanes);
      if (correction != 1) ScaleOut(row, correction);
    } else {
      memset(scores, 0, kAttentionBlock * sizeof(float));
    }
    uint8_t* to = TileRow(weights_, kPairs, row % kUnitTokens);
    for (size_t step = 0; step < kPairs; ++step) {
      const float* from = scores + step * kUnitValues;
      SplitStep(hn::Load(DF(), from), hn::Load(DF(), from + kLanes), to + step * kUnitStepBytes, kPairs);
    }
  }
  // The same where a row sees all of the block. Weights need no largest score that is exact, but one that keeps them in
  // range: it is replaced only by one that is kMost above it, so that few blocks look for it and scale sums (0: 1.05 of
  // an image's time). The largest weight is then not 1, which 16 bits hold exactly, but is rounded as all are: 1.02 to
  // 1.06 of the error, and sums of weights as rounded do not help. The scores' fourth product does, for nothing that
  // can be measured: 0.68 to 0.96 of the error with both.
  HWY_INLINE void WeighWhole(size_t row) const {
    constexpr float kMost = 8;  // a power of 2
    constexpr size_t kVectors = kAttentionBlock / kLanes;
    const DF d;
    const float* scores = scores_ + row % kUnitTokens * kAttentionBlock;
    VF v[kVectors];
    MOTE_UNROLL for (size_t i = 0; i < kVectors; ++i) v[i] = hn::Load(d, scores + i * kLanes);
    VF most = v[0];
    MOTE_UNROLL for (size_t i = 1; i < kVectors; ++i) most = hn::Max(most, v[i]);
    VF sum = hn::Load(d, sums_ + row * kLanes);
    if (HWY_UNLIKELY(!hn::AllFalse(d, hn::Gt(most, hn::Set(d, largest_[row] + kMost))))) {
      const float found = hn::GetLane(hn::MaxOfLanes(d, most));
      const float correction = hn::GetLane(Exp2(d, hn::Set(d, largest_[row] - found)));
      largest_[row] = found;
      sum = hn::Mul(sum, hn::Set(d, correction));
      ScaleOut(row, correction);
    }
    const VF subtrahend = hn::Set(d, largest_[row]);
    uint8_t* to = TileRow(weights_, kPairs, row % kUnitTokens);
    if constexpr (kLow) {
      MOTE_UNROLL for (size_t i = 0; i < kVectors; ++i) {
        v[i] = Exp2(d, hn::Sub(v[i], subtrahend));
        sum = hn::Add(sum, v[i]);
      }
      MOTE_UNROLL for (size_t step = 0; step < kPairs; ++step) {
        SplitStep(v[2 * step], v[2 * step + 1], to + step * kUnitStepBytes, kPairs);
      }
    } else {
      // What is summed is what is multiplied: the rounding of a weight beside which others are nothing cancels.
      MOTE_UNROLL for (size_t step = 0; step < kPairs; ++step) {
        const VU32 both =
            RoundBoth(RoughExp2(hn::Sub(v[2 * step], subtrahend)), RoughExp2(hn::Sub(v[2 * step + 1], subtrahend)));
        hn::Store(both, DU32(), reinterpret_cast<uint32_t*>(to + step * kUnitStepBytes));
        sum = AddPairs(sum, both);
      }
    }
    hn::Store(sum, d, sums_ + row * kLanes);
  }

  void Finish() const {
    for (size_t row = 0; row < rows_; ++row) {
      const VF factor = hn::Set(DF(), 1.0f / SumLanes(hn::LoadU(DF(), sums_ + row * kLanes)));
      float* to = args_.out + row / args_.heads * args_.out_token_stride + row % args_.heads * args_.out_head_stride;
      const float* from = out_ + row * out_dim_;
      for (size_t d = 0; d < args_.value_dim; d += kLanes) {
        const VF v = hn::Mul(hn::LoadU(DF(), from + d), factor);
        if (d + kLanes <= args_.value_dim) {
          hn::StoreU(v, DF(), to + d);
        } else {
          StorePartial(v, DF(), to + d, args_.value_dim - d);
        }
      }
    }
  }

  const AttentionArgs& args_;
  const size_t rows_;
  const size_t key_dim_;  // as cached
  const size_t value_dim_;
  const size_t key_steps_;  // of 32 dimensions
  const size_t out_dim_;    // of out_
  uint8_t* queries_;        // by groups of 16 rows, as simd/unit.h has activations
  uint8_t* keys_;           // by pairs of panels, by steps
  uint8_t* values_;         // by 32 dimensions, by 32 positions
  uint8_t* weights_;        // as the queries, of 64 positions and 32 rows
  float* scores_;           // (32 rows, kAttentionBlock); then weights
  float* out_;              // (rows, out_dim_), relative to the largest score
  float* sums_;             // (rows, kLanes)
  float* largest_;          // (rows)
};

}  // namespace

void UnitAttention(const AttentionArgs& args) {
  UnitTile<true>(args).Run();
}
void RoundedUnitAttention(const AttentionArgs& args) {
  UnitTile<false>(args).Run();
}

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
