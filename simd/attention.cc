// Attention by online softmax (Milakov and Gimelshein, arXiv 1805.02867): one pass over the positions, in blocks.
//
// Up to 8 query heads go together, so that a key or value is loaded and converted from float16 once for all of them.
// Scores sit at their position's place in the block, whatever part of the block is visible: what is added to what
// depends on positions alone.
#include "simd/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/attention.cc"
#include "hwy/foreach_target.h"
//
#include <math.h>

#include "simd/kernel_list-inl.h"
#include "simd/math-inl.h"

#if MOTE_VECTORS
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {
namespace {

inline constexpr size_t kMaxHeads = 8;
static_assert(kAttentionBlock % kLanes == 0);

// Visible positions [begin, end) of the block that starts at `start`.
struct Block {
  size_t start;
  size_t begin;
  size_t end;
};

// kLanes values of a float16 row from d on, the missing ones of `dim` zero.
HWY_INLINE VF LoadRow(const uint16_t* row, size_t d, size_t dim) {
  if (d + kLanes <= dim) return LoadF16(DF(), row + d);
  uint16_t padded[kLanes] = {};
  memcpy(padded, row + d, (dim - d) * sizeof(uint16_t));
  return LoadF16(DF(), padded);
}
HWY_INLINE VF LoadRow(const float* row, size_t d, size_t dim) {
  return d + kLanes <= dim ? hn::LoadU(DF(), row + d) : LoadPartial(DF(), row + d, dim - d);
}
HWY_INLINE void StoreRow(VF v, float* row, size_t d, size_t dim) {
  if (d + kLanes <= dim) {
    hn::StoreU(v, DF(), row + d);
  } else {
    StorePartial(v, DF(), row + d, dim - d);
  }
}

template <size_t H>
struct Scores {
  HWY_ALIGN float at[H][kAttentionBlock];
};

// scores[h][p] = q[h] . k[p] for P positions from p on.
template <size_t H, size_t P>
HWY_INLINE void Dots(const AttentionArgs& args, const float* q, const Block& block, size_t p, Scores<H>& scores) {
  const DF df;
  VF sums[H][P];
  MOTE_UNROLL for (size_t h = 0; h < H; ++h) {
    MOTE_UNROLL for (size_t i = 0; i < P; ++i) sums[h][i] = hn::Zero(df);
  }
  const uint16_t* keys = args.k + p * args.key_dim;
  for (size_t d = 0; d < args.key_dim; d += kLanes) {
    VF key[P];
    MOTE_UNROLL for (size_t i = 0; i < P; ++i) key[i] = LoadRow(keys + i * args.key_dim, d, args.key_dim);
    MOTE_UNROLL for (size_t h = 0; h < H; ++h) {
      const VF query = LoadRow(q + h * args.q_stride, d, args.key_dim);
      MOTE_UNROLL for (size_t i = 0; i < P; ++i) sums[h][i] = hn::MulAdd(query, key[i], sums[h][i]);
    }
  }
  MOTE_UNROLL for (size_t h = 0; h < H; ++h) {
    MOTE_UNROLL for (size_t i = 0; i < P; ++i) scores.at[h][p - block.start + i] = SumLanes(sums[h][i]);
  }
}

// One head's scores to softmax weights relative to the new maximum. Returns the factor for what was summed before.
HWY_INLINE float Weigh(const AttentionArgs& args, const Block& block, float* scores, float* largest, float* sum) {
  const DF df;
  const VF lowest = hn::Set(df, -INFINITY);
  const VF first = hn::Set(df, static_cast<float>(block.begin - block.start));
  const VF last = hn::Set(df, static_cast<float>(block.end - block.start));
  VF block_largest = lowest;
  for (size_t i = 0; i < kAttentionBlock; i += kLanes) {
    VF score = hn::Mul(hn::Load(df, scores + i), hn::Set(df, args.scale));
    if (args.softcap > 0) {
      const VF cap = hn::Set(df, args.softcap);
      score = hn::Mul(cap, Tanh(df, hn::Div(score, cap)));
    }
    const VF place = hn::Iota(df, static_cast<float>(i));
    score = hn::IfThenElse(hn::And(hn::Ge(place, first), hn::Lt(place, last)), score, lowest);
    block_largest = hn::Max(block_largest, score);
    hn::Store(score, df, scores + i);
  }
  const float before = *largest;
  const float found = hn::GetLane(hn::MaxOfLanes(df, block_largest));
  *largest = found > before ? found : before;
  const VF subtrahend = hn::Set(df, *largest);
  VF weights = hn::Zero(df);
  for (size_t i = 0; i < kAttentionBlock; i += kLanes) {
    const VF weight = Exp(df, hn::Sub(hn::Load(df, scores + i), subtrahend));
    weights = hn::Add(weights, weight);
    hn::Store(weight, df, scores + i);
  }
  const float correction = hn::GetLane(Exp(df, hn::Set(df, before - *largest)));
  *sum = *sum * correction + SumLanes(weights);
  return correction;
}

// out[h] = out[h] * corrections[h] + sum over the block of weight * v, for W vectors from value d on.
template <size_t H, size_t W>
HWY_INLINE void AddValues(const AttentionArgs& args, const Block& block, bool fresh, const Scores<H>& weights,
                          const float* corrections, float* out, size_t d) {
  const DF df;
  VF sums[H][W];
  MOTE_UNROLL for (size_t h = 0; h < H; ++h) {
    MOTE_UNROLL for (size_t w = 0; w < W; ++w) {
      const VF before = fresh ? hn::Zero(df) : LoadRow(out + h * args.out_stride, d + w * kLanes, args.value_dim);
      sums[h][w] = hn::Mul(before, hn::Set(df, corrections[h]));
    }
  }
  for (size_t p = block.begin; p < block.end; ++p) {
    const uint16_t* row = args.v + p * args.value_dim;
    VF value[W];
    MOTE_UNROLL for (size_t w = 0; w < W; ++w) value[w] = LoadRow(row, d + w * kLanes, args.value_dim);
    MOTE_UNROLL for (size_t h = 0; h < H; ++h) {
      const VF weight = hn::Set(df, weights.at[h][p - block.start]);
      MOTE_UNROLL for (size_t w = 0; w < W; ++w) sums[h][w] = hn::MulAdd(weight, value[w], sums[h][w]);
    }
  }
  MOTE_UNROLL for (size_t h = 0; h < H; ++h) {
    MOTE_UNROLL for (size_t w = 0; w < W; ++w) {
      StoreRow(sums[h][w], out + h * args.out_stride, d + w * kLanes, args.value_dim);
    }
  }
}

// Heads [head, head + H).
template <size_t H>
HWY_NOINLINE void AttendHeads(const AttentionArgs& args, size_t head) {
  // At least 4 independent sums hide the latency of multiply-add; at most 8, which with the inputs fit 16 registers.
  constexpr size_t kWide = H == 1 ? 4 : H <= 4 ? 2 : 1;
  const DF df;
  const float* q = args.q + head * args.q_stride;
  float* out = args.out + head * args.out_stride;
  float largest[H];
  float sum[H];
  float corrections[H];
  for (size_t h = 0; h < H; ++h) {
    largest[h] = -INFINITY;
    sum[h] = 0;
  }
  Scores<H> scores = {};
  for (size_t begin = args.begin; begin < args.end;) {
    const size_t start = begin / kAttentionBlock * kAttentionBlock;
    const size_t end = args.end - start < kAttentionBlock ? args.end : start + kAttentionBlock;
    const Block block = {start, begin, end};
    size_t p = begin;
    for (; p + kWide <= end; p += kWide) Dots<H, kWide>(args, q, block, p, scores);
    for (; p < end; ++p) Dots<H, 1>(args, q, block, p, scores);
    for (size_t h = 0; h < H; ++h) corrections[h] = Weigh(args, block, scores.at[h], &largest[h], &sum[h]);
    const bool fresh = begin == args.begin;
    size_t d = 0;
    for (; d + kWide * kLanes <= args.value_dim; d += kWide * kLanes) {
      AddValues<H, kWide>(args, block, fresh, scores, corrections, out, d);
    }
    for (; d < args.value_dim; d += kLanes) AddValues<H, 1>(args, block, fresh, scores, corrections, out, d);
    begin = end;
  }
  for (size_t h = 0; h < H; ++h) {
    const VF factor = hn::Set(df, 1.0f / sum[h]);
    float* row = out + h * args.out_stride;
    for (size_t d = 0; d < args.value_dim; d += kLanes) {
      StoreRow(hn::Mul(LoadRow(row, d, args.value_dim), factor), row, d, args.value_dim);
    }
  }
}

}  // namespace

void Attention(const AttentionArgs& args) {
  size_t head = 0;
  for (; head + kMaxHeads <= args.heads; head += kMaxHeads) AttendHeads<kMaxHeads>(args, head);
  switch (args.heads - head) {
    case 1:
      return AttendHeads<1>(args, head);
    case 2:
      return AttendHeads<2>(args, head);
    case 3:
      return AttendHeads<3>(args, head);
    case 4:
      return AttendHeads<4>(args, head);
    case 5:
      return AttendHeads<5>(args, head);
    case 6:
      return AttendHeads<6>(args, head);
    case 7:
      return AttendHeads<7>(args, head);
    default:
      return;
  }
}

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
