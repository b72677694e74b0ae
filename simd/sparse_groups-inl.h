// The groups of a block-sparse matrix for its kernels (simd/matmul_sparse.cc): where their parts lie, and one token by
// several of them at once.
#if defined(MOTE_SIMD_SPARSE_GROUPS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MOTE_SIMD_SPARSE_GROUPS_INL_H_
#undef MOTE_SIMD_SPARSE_GROUPS_INL_H_
#else
#define MOTE_SIMD_SPARSE_GROUPS_INL_H_
#endif

#include "simd/gemm-inl.h"
#include "simd/matmul_float-inl.h"
#include "simd/sparse.h"

#if MOTE_VECTORS
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {

inline constexpr size_t kGroupVectors = kSparseRows / kLanes;

// Stretches [begin, end) of a group.
struct GroupPart {
  const uint8_t* values;  // of the first block
  const uint8_t* index;   // of the first block; null: every place
  const uint8_t* counts;  // of stretch 0
  const uint8_t* scales;  // of stretch 0 of the group
  size_t begin, end;
  size_t rows;  // that exist
};

HWY_INLINE size_t CountAt(const SparseMatMulArgs& args, const GroupPart& part, size_t s) {
  return part.index != nullptr ? part.counts[s] : args.shape.places(s);
}

HWY_INLINE const uint8_t* ActRowAt(const SparseMatMulArgs& args, size_t token) {
  return static_cast<const uint8_t*>(args.acts) + token * args.act_stride_bytes;
}

HWY_INLINE VF LoadScales(const uint8_t* scales, size_t v) {
  return LoadF16(DF(), reinterpret_cast<const uint16_t*>(scales) + v * kLanes);
}

// First block of stretch `s`.
HWY_INLINE uint64_t BlockAt(const SparseMatMulArgs& args, size_t group, size_t s) {
  if (args.index == nullptr || args.same_places) {
    return (group * args.shape.cols + s * kSparseStretch) / SparseBlockCols(args.shape.type);
  }
  uint64_t at = args.starts[group];
  for (size_t i = 0; i < s; ++i) at += args.counts[group * args.shape.stretches() + i];
  return at;
}

HWY_INLINE GroupPart PartOf(const SparseMatMulArgs& args, size_t group, size_t begin, size_t end) {
  const size_t stretches = args.shape.stretches();
  const uint64_t block = BlockAt(args, group, begin);
  const size_t left = args.shape.rows - group * kSparseRows;
  GroupPart part;
  part.values = args.values + block * kSparseBlockBytes;
  part.index = args.index == nullptr || args.same_places ? args.index : args.index + block;
  part.counts = args.same_places ? args.counts : args.counts + group * stretches;
  part.scales = args.scales + group * args.shape.group_scales() * 2;
  part.begin = begin;
  part.end = end;
  part.rows = left < kSparseRows ? left : kSparseRows;
  return part;
}

// One token by all places of N groups far apart, or by those that each keeps, where a group is one vector: its sums
// wait for one another, of floats 8 cycles for each block, which memory would bring in 13. A 1B model with half of the
// blocks generates 1.07 times as fast in F16 by two as group by group, 1.05 in int8 (2 cores of Granite Rapids,
// 2026-11). The groups want to be as far apart as dense panels (simd/gemm-inl.h): on Zen 5 two streams of 128 KiB take
// 0.8 of the time of two of 32. Four take 1.07 to 1.16 times two's: with index, counts and scales each is four. Nor are
// lists that lie before their group's values, as one stream, better (1.1 times two's time), or fetched ahead (1.00).
template <size_t N>
struct ManyGroups {
  const uint8_t* values[N];
  const uint8_t* index[N];

  HWY_INLINE explicit ManyGroups(const GroupPart (&parts)[N]) {
    MOTE_UNROLL for (size_t g = 0; g < N; ++g) {
      values[g] = parts[g].values;
      index[g] = parts[g].index;
    }
  }

  // add(group, place, block) for all blocks of stretch `s`.
  template <bool kAll, class Add>
  HWY_INLINE void Pass(const SparseMatMulArgs& args, const GroupPart (&parts)[N], size_t s, const Add& add) {
    size_t count[N];
    size_t all = SIZE_MAX;
    MOTE_UNROLL for (size_t g = 0; g < N; ++g) {
      count[g] = CountAt(args, parts[g], s);
      all = count[g] < all ? count[g] : all;
    }
    const auto next = [&](size_t g, size_t b) HWY_ATTR {
      PrefetchWeights(values[g], kSparseBlockBytes, args.ahead);
      add(g, kAll ? b : size_t{index[g][b]}, values[g]);
      values[g] += kSparseBlockBytes;
    };
    for (size_t b = 0; b < all; ++b) {
      MOTE_UNROLL for (size_t g = 0; g < N; ++g) next(g, b);
    }
    MOTE_UNROLL for (size_t g = 0; g < N; ++g) {
      for (size_t b = all; b < count[g]; ++b) next(g, b);
      if (!kAll) index[g] += count[g];
    }
  }
};

template <class Format>
struct ManyFloats {
  template <size_t N, bool kAll>
  static HWY_NOINLINE void Run(const SparseMatMulArgs& args, const GroupPart (&parts)[N], float* const (&out)[N]) {
    const float* acts = reinterpret_cast<const float*>(ActRowAt(args, 0));
    ManyGroups<N> groups(parts);
    VF sums[N];
    MOTE_UNROLL for (size_t g = 0; g < N; ++g) sums[g] = hn::Zero(DF());
    for (size_t s = 0; s < parts[0].end; ++s, acts += kSparseStretch) {
      groups.template Pass<kAll>(args, parts, s, [&](size_t g, size_t place, const uint8_t* block) HWY_ATTR {
        MOTE_UNROLL for (size_t c = 0; c < 2; ++c) {
          VF w[1];
          Format::Load(block + c * kSparseRows * Format::kValueBytes, w);
          sums[g] = hn::MulAdd(w[0], hn::Set(DF(), acts[2 * place + c]), sums[g]);
        }
      });
    }
    MOTE_UNROLL for (size_t g = 0; g < N; ++g) StoreSums(sums[g], out[g], 0, parts[g].rows);
  }
};

template <class Dot>
struct ManyI8 {
  template <size_t N, bool kAll>
  static HWY_NOINLINE void Run(const SparseMatMulArgs& args, const GroupPart (&parts)[N], float* const (&out)[N]) {
    const uint8_t* acts = ActRowAt(args, 0) + offsetof(S8Stretch, codes);
    ManyGroups<N> groups(parts);
    VF sums[N];
    MOTE_UNROLL for (size_t g = 0; g < N; ++g) sums[g] = hn::Zero(DF());
    for (size_t s = 0; s < parts[0].end; ++s, acts += sizeof(S8Stretch)) {
      Dot dots[N];
      typename Dot::Correction corrections[N];
      MOTE_UNROLL for (size_t g = 0; g < N; ++g) {
        dots[g].Begin();
        corrections[g].Begin();
      }
      groups.template Pass<kAll>(args, parts, s, [&](size_t g, size_t place, const uint8_t* block) HWY_ATTR {
        const VU8 codes = hn::LoadU(DU8(), block);
        corrections[g].Add(codes);
        dots[g].Add(Dot::Prepare(codes), Dot::LoadS8(acts + 4 * place));
      });
      MOTE_UNROLL for (size_t g = 0; g < N; ++g) {
        const VF scale = LoadScales(parts[g].scales + s * 2 * kSparseRows, 0);
        const VF x = hn::Mul(hn::ConvertTo(DF(), dots[g].Total(corrections[g])), scale);
        sums[g] = hn::MulAdd(x, hn::Set(DF(), LoadScalar(acts - sizeof(float))), sums[g]);
      }
    }
    MOTE_UNROLL for (size_t g = 0; g < N; ++g) StoreSums(sums[g], out[g], 0, parts[g].rows);
  }
};

// Of the call's groups from `group` on those that N streams reach, one far from the other; returns the first group
// behind them.
template <class Many, size_t N>
HWY_INLINE size_t OneToken(const SparseMatMulArgs& args, size_t group) {
  const size_t steps = (args.groups - group) / N, stretches = args.shape.stretches();
  for (size_t step = 0; step < steps; ++step) {
    GroupPart parts[N];
    float* out[N];
    MOTE_UNROLL for (size_t g = 0; g < N; ++g) {
      const size_t at = group + step + g * steps;
      parts[g] = PartOf(args, args.first_group + at, 0, stretches);
      out[g] = args.out + at * kSparseRows;
    }
    if (args.index == nullptr) Many::template Run<N, true>(args, parts, out);
    if (args.index != nullptr) Many::template Run<N, false>(args, parts, out);
  }
  return group + N * steps;
}

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // MOTE_VECTORS

#endif  // MOTE_SIMD_SPARSE_GROUPS_INL_H_
