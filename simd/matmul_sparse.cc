// Matrix products with block-sparse weights (quant/block_sparse.h).
//
// A lane is a row, as in panels: a block is 16 rows, one vector of AVX-512, two of AVX2, four of 128 bits. For each
// block that is kept a tile of tokens loads one place, the block, and of each token the activations that stand there.
//
// What limits it, on AVX2 with int8 (T tokens, 64 bytes of codes):
//   T = 1    memory: 64 bytes of codes, 1 of index; 19 instructions
//   T = 4    arithmetic: 8 vectors x (sign, maddubs, madd, add), 4 broadcasts, 2 loads and 2 magnitudes of codes, the
//            place and the loop: 45 instructions, 34 of them on the vector units. The dense kernel has the same without
//            the place: 44. So blocks left out are saved all but for 1 / 45.
// On VNNI a token takes one dot product where it takes four instructions here, and the broadcast weighs as much as it:
// many tokens go by simd/sparse_lanes.cc there. Fetching places, counts and scales ahead as well, which are one byte in
// 25 of the values, costs one token a twenty-fifth in int8 and gives F16 nothing (Granite Rapids, 2026-11).
//
// int8 adds up a stretch of 256 values of k in integers and scales once; 4 bits do so every 32, in the order of
// simd/matmul_panel-inl.h; floats add value by value, in the order of simd/matmul_float-inl.h. So results are those of
// the dense kernels, to the bit.
#include "simd/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/matmul_sparse.cc"
#include "hwy/foreach_target.h"
//
#include "simd/gemm-inl.h"
#include "simd/kernel_list-inl.h"
#include "simd/matmul_float-inl.h"
#include "simd/sparse.h"
#include "simd/sparse_dot-inl.h"
#include "simd/sparse_groups-inl.h"

#if MOTE_VECTORS
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {

#if HWY_TARGET == HWY_AVX3_DL && HWY_ARCH_X86_64
void SparseMatMulI8Lanes(const SparseMatMulArgs& args);
void QuantizeS8Lanes(const float* x, size_t stride, size_t k, size_t rows, void* group);
void UnitSparseMatMulI8(const SparseMatMulArgs& args);
void QuantizeS8Tiles(const float* x, size_t stride, size_t k, size_t rows, void* group);
#endif

namespace {

// Vectors of rows that a pass over a group takes, and tokens of its tile: their sums, the codes (two registers a vector
// on x86) and one broadcast fill 16 registers; Arm and AVX-512 have 32.
constexpr bool kManyRegisters = HWY_ARCH_ARM_A64 || HWY_MAX_BYTES == 64;
constexpr size_t kPassVectors = kManyRegisters || kGroupVectors < 2 ? kGroupVectors : 2;
constexpr size_t kIntTokens = HWY_MAX_BYTES == 64 ? 8 : 4;
// Floats: AVX2 has 12 sums, two weights and a broadcast.
constexpr size_t kSparseFloatTokens = HWY_MAX_BYTES == 64 ? 8 : HWY_MAX_BYTES == 32 ? 6 : HWY_ARCH_ARM_A64 ? 4 : 2;

// Stretches that all tokens pass over before the next ones: 2048 values of k. Half of the int8 blocks of a group are 16
// KiB then, and a tile's activations 8 KiB: both stay in the L1 cache.
constexpr size_t kPartStretches = 8;
// Tokens that all groups of a call pass over before the next ones: their part is 128 KiB of int8 and stays in the L2
// cache.
constexpr size_t kChunkTokens = 64;

// Which of a group's blocks are there, and which are multiplied with.
enum class Places {
  kAll,   // there and multiplied with
  kKept,  // there are those of the index
  kLive,  // all are there; multiplied with are those of an index that all groups share
};

// The sums of V vectors of rows from vector `first` on and T tokens. In memory, which leaves the registers to the dots:
// each is touched once in a stretch.
template <size_t V, size_t T>
HWY_INLINE void LoadTile(const SparseMatMulArgs& args, const GroupPart& part, size_t first, const float* out,
                         float (&sums)[V][T][kLanes]) {
  for (size_t v = 0; v < V; ++v) {
    for (size_t t = 0; t < T; ++t) {
      const VF sum = part.begin == 0 ? hn::Zero(DF()) : LoadSums(out + t * args.out_stride, first + v, part.rows);
      hn::Store(sum, DF(), sums[v][t]);
    }
  }
}
template <size_t V, size_t T>
HWY_INLINE void StoreTile(const SparseMatMulArgs& args, const GroupPart& part, size_t first,
                          const float (&sums)[V][T][kLanes], float* out) {
  for (size_t v = 0; v < V; ++v) {
    for (size_t t = 0; t < T; ++t) {
      StoreSums(hn::Load(DF(), sums[v][t]), out + t * args.out_stride, first + v, part.rows);
    }
  }
}

// ---- int8

// One stretch: `count` blocks for T tokens, the vectors [first, first + V) of rows. `fetch`: null where they are here.
template <class Dot, size_t V, size_t T, Places kPlaces>
HWY_INLINE void StretchI8(const uint8_t* values, const uint8_t* index, size_t count, const uint8_t* const (&acts)[T],
                          const FetchAhead* fetch, [[maybe_unused]] size_t group_bytes, VI32 (&totals)[V][T]) {
  Dot dots[V][T];
  typename Dot::Correction corrections[V];
  MOTE_UNROLL for (size_t v = 0; v < V; ++v) {
    corrections[v].Begin();
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) dots[v][t].Begin();
  }
  for (size_t b = 0; b < count; ++b) {
    const size_t place = kPlaces == Places::kAll ? b : size_t{index[b]};
    const size_t at = 4 * place;
    const uint8_t* block = values + (kPlaces == Places::kLive ? place : b) * kSparseBlockBytes;
    // The next group's list is the same one.
    if (fetch != nullptr && kPlaces == Places::kLive) hwy::Prefetch(block + group_bytes);
    if (fetch != nullptr && kPlaces != Places::kLive) PrefetchWeights(block, kSparseBlockBytes, *fetch);
    typename Dot::Weights weights[V];
    MOTE_UNROLL for (size_t v = 0; v < V; ++v) {
      const VU8 codes = hn::LoadU(DU8(), block + v * kBytes);
      weights[v] = Dot::Prepare(codes);
      corrections[v].Add(codes);
    }
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
      const typename Dot::Acts a = Dot::LoadS8(acts[t] + at);
      MOTE_UNROLL for (size_t v = 0; v < V; ++v) dots[v][t].Add(weights[v], a);
    }
  }
  MOTE_UNROLL for (size_t v = 0; v < V; ++v) {
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) totals[v][t] = dots[v][t].Total(corrections[v]);
  }
}

// `Dot`: SparseDot<false>, or one of its like.
template <class Dot>
struct KindI8 {
  static constexpr size_t kTokens = kIntTokens;
  static constexpr size_t kVectors = kPassVectors;
  static constexpr bool kHasLive = true;  // Places::kLive

  template <size_t T, Places kPlaces>
  static HWY_NOINLINE void Tile(const SparseMatMulArgs& args, const GroupPart& part, size_t first, size_t token,
                                float* out, bool fetch) {
    constexpr size_t V = kVectors;
    const uint8_t* acts[T];
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
      acts[t] = ActRowAt(args, token + t) + part.begin * sizeof(S8Stretch) + offsetof(S8Stretch, codes);
    }
    HWY_ALIGN float sums[V][T][kLanes];
    LoadTile(args, part, first, out, sums);
    const uint8_t* values = part.values + first * kBytes;
    const uint8_t* index = part.index;
    for (size_t s = part.begin; s < part.end; ++s) {
      const size_t count = kPlaces == Places::kAll ? args.shape.places(s) : size_t{part.counts[s]};
      VI32 totals[V][T];
      StretchI8<Dot, V, T, kPlaces>(values, index, count, acts, fetch ? &args.ahead : nullptr,
                                    args.shape.cols * kSparseRows, totals);
      values += (kPlaces == Places::kLive ? args.shape.places(s) : count) * kSparseBlockBytes;
      if (kPlaces != Places::kAll) index += count;
      MOTE_UNROLL for (size_t v = 0; v < V; ++v) {
        const VF scale = LoadScales(part.scales + s * 2 * kSparseRows, first + v);
        MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
          const VF x = hn::Mul(hn::ConvertTo(DF(), totals[v][t]), scale);
          const VF act_scale = hn::Set(DF(), LoadScalar(acts[t] - sizeof(float)));
          hn::Store(hn::MulAdd(x, act_scale, hn::Load(DF(), sums[v][t])), DF(), sums[v][t]);
        }
      }
      MOTE_UNROLL for (size_t t = 0; t < T; ++t) acts[t] += sizeof(S8Stretch);
    }
    StoreTile(args, part, first, sums, out);
  }
};

// ---- 4 bits

struct KindQ4_0 {
  static constexpr size_t kTokens = kIntTokens;
  static constexpr size_t kVectors = kPassVectors;
  static constexpr bool kHasLive = false;
  using Dot = SparseDot<true>;

  // Adds the 4 values of k in the low halves of the codes, or in the high ones.
  template <bool kHigh, size_t V, size_t T>
  static HWY_INLINE void Half(const VU8 (&packed)[V], const uint8_t* const (&acts)[T], size_t at,
                              typename Dot::Correction (&corrections)[V], Dot (&dots)[V][T]) {
    typename Dot::Weights weights[V];
    MOTE_UNROLL for (size_t v = 0; v < V; ++v) {
      const VU8 codes = hn::Sub(Bits < kHigh ? 4 : 0, 0 > (packed[v], 15), hn::Set(DU8(), 8));
      weights[v] = Dot::Prepare(codes);
      corrections[v].Add(codes);
    }
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
      const typename Dot::Acts a = Dot::LoadA8(acts[t] + at + (kHigh ? 4 : 0));
      MOTE_UNROLL for (size_t v = 0; v < V; ++v) dots[v][t].Add(weights[v], a);
    }
  }

  template <size_t T, Places kPlaces>
  static HWY_NOINLINE void Tile(const SparseMatMulArgs& args, const GroupPart& part, size_t first, size_t token,
                                float* out, bool fetch) {
    constexpr size_t V = kVectors;
    constexpr bool kAll = kPlaces == Places::kAll;
    const uint8_t* acts[T];
    HWY_ALIGN float sums[V][T][kLanes];
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
      acts[t] = ActRowAt(args, token + t) + part.begin * (kSparseStretch / 32) * sizeof(A8Block);
    }
    LoadTile(args, part, first, out, sums);
    const uint8_t* values = part.values + first * kBytes;
    const uint8_t* index = part.index;
    const uint8_t* scales = part.scales + part.begin * (kSparseStretch / 32) * 2 * kSparseRows;
    for (size_t s = part.begin; s < part.end; ++s) {
      const size_t places = args.shape.places(s);
      size_t left = kAll ? places : size_t{part.counts[s]};
      for (size_t run = 0; run < places / 4; ++run) {  // 32 values of k, 4 places
        Dot dots[V][T];
        typename Dot::Correction corrections[V];
        MOTE_UNROLL for (size_t v = 0; v < V; ++v) {
          corrections[v].Begin();
          MOTE_UNROLL for (size_t t = 0; t < T; ++t) dots[v][t].Begin();
        }
        for (size_t b = 0; kAll ? b < 4 : left != 0 && *index / 4u == run; ++b) {
          if (fetch) PrefetchWeights(values, kSparseBlockBytes, args.ahead);
          const size_t at = 8 * (kAll ? b : *index % size_t{4});
          VU8 packed[V];
          MOTE_UNROLL for (size_t v = 0; v < V; ++v) packed[v] = hn::LoadU(DU8(), values + v * kBytes);
          Half<false>(packed, acts, at, corrections, dots);
          Half<true>(packed, acts, at, corrections, dots);
          values += kSparseBlockBytes;
          if (!kAll) {
            ++index;
            --left;
          }
        }
        MOTE_UNROLL for (size_t v = 0; v < V; ++v) {
          const VF scale = LoadScales(scales, first + v);
          MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
            const VF x = hn::Mul(hn::ConvertTo(DF(), dots[v][t].Total(corrections[v])), scale);
            hn::Store(Acts{acts[t]}.AddScaled(x, hn::Load(DF(), sums[v][t])), DF(), sums[v][t]);
          }
        }
        scales += 2 * kSparseRows;
        MOTE_UNROLL for (size_t t = 0; t < T; ++t) acts[t] += sizeof(A8Block);
      }
    }
    StoreTile(args, part, first, sums, out);
  }
};

// ---- Floats

template <class Format>
struct KindFloat {
  static constexpr size_t kTokens = kSparseFloatTokens;
  static constexpr size_t kVectors = kGroupVectors;
  static constexpr bool kHasLive = false;

  template <size_t T, Places kPlaces>
  static HWY_NOINLINE void Tile(const SparseMatMulArgs& args, const GroupPart& part, size_t, size_t token, float* out,
                                bool fetch) {
    constexpr size_t V = kVectors;
    constexpr bool kAll = kPlaces == Places::kAll;
    const float* acts[T];
    VF sums[V][T];
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
      acts[t] = reinterpret_cast<const float*>(ActRowAt(args, token + t)) + part.begin * kSparseStretch;
      MOTE_UNROLL for (size_t v = 0; v < V; ++v) {
        sums[v][t] = part.begin == 0 ? hn::Zero(DF()) : LoadSums(out + t * args.out_stride, v, part.rows);
      }
    }
    const uint8_t* values = part.values;
    const uint8_t* index = part.index;
    for (size_t s = part.begin; s < part.end; ++s) {
      const size_t count = CountAt(args, part, s);
      for (size_t b = 0; b < count; ++b) {
        if (fetch) PrefetchWeights(values, kSparseBlockBytes, args.ahead);
        const size_t at = 2 * (kAll ? b : size_t{index[b]});
        MOTE_UNROLL for (size_t c = 0; c < 2; ++c) {
          VF w[V];
          Format::Load(values + c * kSparseRows * Format::kValueBytes, w);
          MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
            const VF a = hn::Set(DF(), acts[t][at + c]);
            MOTE_UNROLL for (size_t v = 0; v < V; ++v) sums[v][t] = hn::MulAdd(w[v], a, sums[v][t]);
          }
        }
        values += 2 * kSparseRows * Format::kValueBytes;
      }
      if (!kAll) index += count;
      MOTE_UNROLL for (size_t t = 0; t < T; ++t) acts[t] += kSparseStretch;
    }
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
      MOTE_UNROLL for (size_t v = 0; v < V; ++v) StoreSums(sums[v][t], out + t * args.out_stride, v, part.rows);
    }
  }
};

// ---- The walk

// Tokens [token, end) in tiles of T, the last ones of fewer.
template <class Kind, size_t T, Places kPlaces>
HWY_INLINE void SparseTiles(const SparseMatMulArgs& args, const GroupPart& part, size_t token, size_t end, float* out,
                            bool fetch) {
  for (; token + T <= end; token += T) {
    for (size_t first = 0; first < kGroupVectors; first += Kind::kVectors) {
      Kind::template Tile<T, kPlaces>(args, part, first, token, out + token * args.out_stride, fetch && first == 0);
    }
    fetch = false;
  }
  if constexpr (T > 1) {
    if (token < end) SparseTiles<Kind, FewerTokens(T), kPlaces>(args, part, token, end, out, fetch);
  }
}

template <class Kind>
HWY_INLINE void PartTokens(const SparseMatMulArgs& args, const GroupPart& part, size_t token, size_t end, float* out) {
  const bool fetch = token == 0;
  if constexpr (Kind::kHasLive) {
    if (args.same_places) return SparseTiles<Kind, 1, Places::kLive>(args, part, token, end, out, fetch);
  }
  if (part.index == nullptr) {
    SparseTiles<Kind, Kind::kTokens, Places::kAll>(args, part, token, end, out, fetch);
  } else {
    SparseTiles<Kind, Kind::kTokens, Places::kKept>(args, part, token, end, out, fetch);
  }
}

#if MOTE_SLOW_F16
static_assert(kPartStretches * kSparseStretch * kSparseRows * sizeof(float) <= kMatMulScratchBytes);
HWY_INLINE GroupPart UnpackPart(const SparseMatMulArgs& args, GroupPart part) {
  float* out = reinterpret_cast<float*>(args.scratch);
  const uint8_t* values = part.values;
  for (size_t s = part.begin; s < part.end; ++s) {
    for (size_t i = 2 * CountAt(args, part, s); i > 0; --i) {
      VF w[kGroupVectors];
      PrefetchWeights(values, kSparseBlockBytes, args.ahead);
      FormatF16::Load(values, w);
      MOTE_UNROLL for (size_t v = 0; v < kGroupVectors; ++v) hn::Store(w[v], DF(), out + v * kLanes);
      values += 2 * kSparseRows;
      out += kSparseRows;
    }
  }
  part.values = args.scratch;
  return part;
}
#endif

template <class Kind>
HWY_INLINE void SparseProduct(const SparseMatMulArgs& args) {
  const size_t stretches = args.shape.stretches();
  // Few tokens: a group's stretches in one go.
  const bool few = args.m <= Kind::kTokens;
  const size_t step = few ? stretches : kPartStretches;
  const bool unpacks = MOTE_SLOW_F16 && !few && std::is_same<Kind, KindFloat<FormatF16>>::value;
  const size_t chunk = few || unpacks ? args.m : kChunkTokens;
  for (size_t begin = 0; begin < stretches; begin += step) {
    const size_t end = stretches - begin < step ? stretches : begin + step;
    for (size_t token = 0; token < args.m; token += chunk) {
      const size_t end_token = args.m - token < chunk ? args.m : token + chunk;
      for (size_t g = 0; g < args.groups; ++g) {
        const GroupPart part = PartOf(args, args.first_group + g, begin, end);
        float* out = args.out + g * kSparseRows;
#if MOTE_SLOW_F16
        // Once for all tokens: the conversion costs as much as the products with one.
        if (unpacks) {
          PartTokens<KindFloat<FormatUnpacked>>(args, UnpackPart(args, part), token, end_token, out);
          continue;
        }
#endif
        PartTokens<Kind>(args, part, token, end_token, out);
      }
    }
  }
}

// `Many`: the kind's way for several groups.
template <class Kind, class Many>
HWY_INLINE void ProductOrOneToken(const SparseMatMulArgs& args) {
  if constexpr (kGroupVectors == 1) {
    if (args.m == 1 && !args.same_places) {
      OneToken<Many, 1>(args, OneToken<Many, 2>(args, 0));
      return;
    }
  }
  SparseProduct<Kind>(args);
}

#if HWY_ARCH_WASM && defined(__wasm_relaxed_simd__)
void SparseMatMulI8(const SparseMatMulArgs& args) {
  switch (AskRelaxedDot()) {
    case RelaxedDot::kUnsigned:
      return SparseProduct<KindI8<UnsignedRelaxedDot>>(args);
    case RelaxedDot::kSigned:
      return SparseProduct<KindI8<SignedRelaxedDot>>(args);
    case RelaxedDot::kSevenBits:
      return SparseProduct<KindI8<SparseDot<false>>>(args);
  }
}
#else
void SparseMatMulI8(const SparseMatMulArgs& args) {
  ProductOrOneToken<KindI8<SparseDot<false>>, ManyI8<SparseDot<false>>>(args);
}
#endif
void SparseMatMulF16(const SparseMatMulArgs& args) {
  ProductOrOneToken<KindFloat<FormatF16>, ManyFloats<FormatF16>>(args);
}
void SparseMatMulBF16(const SparseMatMulArgs& args) {
  ProductOrOneToken<KindFloat<FormatBF16>, ManyFloats<FormatBF16>>(args);
}
void SparseMatMulQ4_0(const SparseMatMulArgs& args) {
  SparseProduct<KindQ4_0>(args);
}

// The codes of A8 rows, closed up.
void QuantizeS8(const float* x, size_t k, void* out) {
  constexpr uint8_t kRaise = kDotTakesU8 ? 128 : 0;
  uint8_t* to = static_cast<uint8_t*>(out);
  for (size_t begin = 0; begin < k; begin += kSparseStretch) {
    const size_t count = k - begin < kSparseStretch ? k - begin : kSparseStretch;
    A8Block blocks[kSparseStretch / 32];
    QuantizeA8(x + begin, count, count, blocks);
    S8Stretch stretch;
    stretch.scale = blocks[0].scale;
    memset(stretch.codes, kRaise, sizeof(stretch.codes));
    for (size_t i = 0; i < count; i += 32) {
      for (size_t j = 0; j < 32; ++j) stretch.codes[i + j] = static_cast<uint8_t>(blocks[i / 32].codes[j] ^ kRaise);
    }
    memcpy(to, &stretch, sizeof(stretch));
    to += sizeof(stretch);
  }
}

}  // namespace

extern const SparseKernels kSparseRow;
constinit const SparseKernels kSparseRow = [] {
  SparseKernels row = {SparseMatMulI8, SparseMatMulF16, SparseMatMulBF16, SparseMatMulQ4_0, QuantizeS8};
#if HWY_TARGET == HWY_AVX3_DL && HWY_ARCH_X86_64
  row.matmul_i8_tiles = SparseMatMulI8Lanes;
  row.quantize_s8_tiles = QuantizeS8Lanes;
#endif
  return row;
}();
#if HWY_TARGET == HWY_AVX3_DL && HWY_ARCH_X86_64
// The same kernels, and those of simd/unit_sparse.cc.
extern const SparseKernels kSparseAmxRow;
constinit const SparseKernels kSparseAmxRow = [] {
  SparseKernels row = {SparseMatMulI8, SparseMatMulF16, SparseMatMulBF16, SparseMatMulQ4_0, QuantizeS8};
  row.matmul_i8_tiles = UnitSparseMatMulI8;
  row.quantize_s8_tiles = QuantizeS8Tiles;
  return row;
}();
#endif

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
