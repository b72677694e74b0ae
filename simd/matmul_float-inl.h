// Matrix product of F32, F16 and BF16 weights in panels (simd/pack.h) with float activations.
//
// A lane is a row. Each (row, token) has one sum, which gains weight * activation for one value of k after the other in
// every tile shape: results do not depend on how a product is cut into tiles.
#if defined(MOTE_SIMD_MATMUL_FLOAT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MOTE_SIMD_MATMUL_FLOAT_INL_H_
#undef MOTE_SIMD_MATMUL_FLOAT_INL_H_
#else
#define MOTE_SIMD_MATMUL_FLOAT_INL_H_
#endif

#include <type_traits>

#include "simd/gemm-inl.h"
#include "simd/kernels.h"

#if MOTE_VECTORS
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {

// Vector v of the sums that stand at `out`, of which there are `rows`.
HWY_INLINE VF LoadSums(const float* out, size_t v, size_t rows) {
  if (rows <= v * kLanes) return hn::Zero(DF());
  const size_t left = rows - v * kLanes;
  return left >= kLanes ? hn::LoadU(DF(), out + v * kLanes) : LoadPartial(DF(), out + v * kLanes, left);
}
HWY_INLINE void StoreSums(VF sums, float* out, size_t v, size_t rows) {
  if (rows > v * kLanes) StoreRows(sums, out + v * kLanes, rows - v * kLanes);
}

// The weights of one value of k, of V vectors of rows: all rows of a panel, or of a group of a block-sparse matrix.
struct FormatF32 {
  static constexpr size_t kValueBytes = 4;
  static constexpr bool kFromMemory = true;
  template <size_t V>
  static HWY_INLINE void Load(const uint8_t* p, VF (&w)[V]) {
    MOTE_UNROLL for (size_t v = 0; v < V; ++v) w[v] = hn::LoadU(DF(), reinterpret_cast<const float*>(p) + v * kLanes);
  }
};
// What an earlier pass over F16 has left in scratch.
struct FormatUnpacked : FormatF32 {
  static constexpr bool kFromMemory = false;
};
struct FormatF16 {
  static constexpr size_t kValueBytes = 2;
  static constexpr bool kFromMemory = true;
  template <size_t V>
  static HWY_INLINE void Load(const uint8_t* p, VF (&w)[V]) {
    const uint16_t* halves = reinterpret_cast<const uint16_t*>(p);
#if MOTE_SLOW_F16
    static_assert(V % 2 == 0);
    MOTE_UNROLL for (size_t v = 0; v < V; v += 2) LoadTwoF16(halves + v * kLanes, w[v], w[v + 1]);
#else
    MOTE_UNROLL for (size_t v = 0; v < V; ++v) w[v] = LoadF16(DF(), halves + v * kLanes);
#endif
  }
};
struct FormatBF16 {
  static constexpr size_t kValueBytes = 2;
  static constexpr bool kFromMemory = true;
  template <size_t V>
  static HWY_INLINE void Load(const uint8_t* p, VF (&w)[V]) {
    MOTE_UNROLL for (size_t v = 0; v < V; ++v) {
      w[v] = LoadBF16(DF(), reinterpret_cast<const uint16_t*>(p) + v * kLanes);
    }
  }
};

inline constexpr size_t kFloatPanelRows = kFloatPanelVectors * kLanes;
// Tokens of a full tile: with 4 vectors of rows, 24 sums of AVX-512's 32 registers, 16 of Arm's 32, 8 of the
// others' 16.
inline constexpr size_t kFloatTokens = HWY_MAX_BYTES == 64 ? 6 : HWY_ARCH_ARM_A64 ? 4 : 2;
// Values of k that all tokens pass over before the next ones: 256 KiB of F16, 64 rows, stay in the L2 cache.
inline constexpr size_t kFloatK = 2048;

// Values of k of a panel that are a page of memory, where pages are touched ahead.
template <class Format>
inline constexpr size_t kTouchedK = HWY_ARCH_WASM ? kPageBytes / (kFloatPanelRows * Format::kValueBytes) : SIZE_MAX;
// Those of all panels.
constexpr size_t PackedRows(size_t rows) {
  return (rows + kFloatPanelRows - 1) / kFloatPanelRows * kFloatPanelRows;
}

// P panels, whose rows are from `row` on, `apart` rows from one to the next, times T tokens: values [begin, end) of k,
// on top of what is in `out` unless begin is 0. `weights`: the first panel's from begin on. Panels that do not exist
// are the first one once more.
template <class Format, size_t P, size_t T>
HWY_NOINLINE void FloatTile(const MatMulArgs& args, const uint8_t* weights, size_t row, size_t apart, size_t token,
                            size_t begin, size_t end) {
  constexpr size_t V = kFloatPanelVectors;
  const DF df;
  const float* acts[T];
  const uint8_t* panels[P];
  size_t rows[P];
  VF sums[P][V][T];
  float* out = args.out + token * args.out_stride;
  MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
    const uint8_t* act_row = static_cast<const uint8_t*>(args.acts) + (token + t) * args.act_stride_bytes;
    acts[t] = reinterpret_cast<const float*>(act_row);
  }
  MOTE_UNROLL for (size_t p = 0; p < P; ++p) {
    rows[p] = row + p * apart < args.rows ? row + p * apart : row;
    panels[p] = weights + (rows[p] - row) * args.k * Format::kValueBytes;
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
      const float* sum = out + t * args.out_stride + rows[p];
      MOTE_UNROLL for (size_t v = 0; v < V; ++v) {
        sums[p][v][t] = begin == 0 ? hn::Zero(df) : LoadSums(sum, v, args.rows - rows[p]);
      }
    }
  }
  const uint8_t* last = args.panels + PackedRows(args.rows) * args.k * Format::kValueBytes;
  for (size_t k = begin; k < end;) {
    const size_t stop = end - k < kTouchedK<Format> ? end : k + kTouchedK<Format>;
    if (Format::kFromMemory && token == 0) {
      MOTE_UNROLL for (size_t p = 0; p < P; ++p) TouchPage<2>(panels[p], last);
    }
    for (; k < stop; ++k) {
      MOTE_UNROLL for (size_t p = 0; p < P; ++p) {
        VF w[V];
        if (Format::kFromMemory && token == 0) {
          PrefetchWeights(panels[p], kFloatPanelRows * Format::kValueBytes, args.ahead);
        }
        Format::Load(panels[p], w);
        MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
          const VF a = hn::Set(df, acts[t][k]);
          MOTE_UNROLL for (size_t v = 0; v < V; ++v) sums[p][v][t] = hn::MulAdd(w[v], a, sums[p][v][t]);
        }
        panels[p] += kFloatPanelRows * Format::kValueBytes;
      }
    }
  }
  MOTE_UNROLL for (size_t p = 0; p < P; ++p) {
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
      float* sum = out + t * args.out_stride + rows[p];
      MOTE_UNROLL for (size_t v = 0; v < V; ++v) StoreSums(sums[p][v][t], sum, v, args.rows - rows[p]);
    }
  }
}

template <class Format, size_t T>
HWY_INLINE void FloatTiles(const MatMulArgs& args, const uint8_t* weights, size_t row, size_t token, size_t begin,
                           size_t end) {
  for (; token + T <= args.m; token += T) FloatTile<Format, 1, T>(args, weights, row, 0, token, begin, end);
  if constexpr (T > 1) {
    if (token < args.m) FloatTiles<Format, T - 1>(args, weights, row, token, begin, end);
  }
}

// Values of k that are unpacked together, and of how many tokens on: a conversion is an instruction of the unit that
// multiplies, 4 beside 24 products in AVX-512, beside 8 in AVX2, and where it is a dozen it pays with a second tile. 16
// KiB stay in the first cache: a tower in F16 takes 0.97 (AVX-512) and 0.89 (AVX2) of the time, and with 128 KiB, which
// every tile reads from the second, 1.0 and 1.17 (Granite Rapids, 2026-11).
inline constexpr size_t kUnpackedBytes = MOTE_SLOW_F16 ? kMatMulScratchBytes : 16 << 10;
inline constexpr size_t kUnpackedK = kUnpackedBytes / (kFloatPanelRows * sizeof(float));
inline constexpr size_t kUnpackTokens = (MOTE_SLOW_F16 ? 1 : 4) * kFloatTokens;
static_assert(kUnpackedK <= kFloatK);
// `count` values of k to float32.
HWY_INLINE void UnpackF16(const uint8_t* weights, size_t count, FetchAhead ahead, uint8_t* scratch) {
  float* out = reinterpret_cast<float*>(scratch);
  for (size_t k = 0; k < count; ++k) {
    VF w[kFloatPanelVectors];
    PrefetchWeights(weights, kFloatPanelRows * FormatF16::kValueBytes, ahead);
    FormatF16::Load(weights, w);
    MOTE_UNROLL for (size_t v = 0; v < kFloatPanelVectors; ++v) hn::Store(w[v], DF(), out + v * kLanes);
    weights += kFloatPanelRows * FormatF16::kValueBytes;
    out += kFloatPanelRows;
  }
}

// One token by P panels at a time, far apart.
template <class Format, size_t P>
HWY_INLINE void FarFloatPanels(const MatMulArgs& args) {
  const size_t panels = PackedRows(args.rows) / kFloatPanelRows;
  const size_t steps = (panels + P - 1) / P;
  for (size_t panel = 0; panel < steps; ++panel) {
    const size_t row = panel * kFloatPanelRows;
    FloatTile<Format, P, 1>(args, args.panels + row * args.k * Format::kValueBytes, row, steps * kFloatPanelRows, 0, 0,
                            args.k);
  }
}

template <class Format>
HWY_INLINE void MatMulFloat(const MatMulArgs& args) {
  if (kFarPanels > 1 && args.m == 1) return FarFloatPanels<Format, kFarPanels>(args);
#if HWY_ARCH_X86
  if (args.m == 1 && args.rows > kFloatPanelRows && StreamsOf(args, 2, args.rows * args.k * Format::kValueBytes) == 2) {
    return FarFloatPanels<Format, 2>(args);
  }
#endif
  const bool unpacks = std::is_same<Format, FormatF16>::value && args.m > kUnpackTokens;
  const size_t part = unpacks ? kUnpackedK : args.m <= kFloatTokens ? args.k : kFloatK;
  for (size_t row = 0; row < args.rows; row += kFloatPanelRows) {
    const uint8_t* panel = args.panels + row * args.k * Format::kValueBytes;
    for (size_t begin = 0; begin < args.k; begin += part) {
      const size_t end = args.k - begin < part ? args.k : begin + part;
      const uint8_t* weights = panel + begin * kFloatPanelRows * Format::kValueBytes;
      if (unpacks) {
        UnpackF16(weights, end - begin, args.ahead, args.scratch);
        FloatTiles<FormatUnpacked, kFloatTokens>(args, args.scratch, row, 0, begin, end);
      } else {
        FloatTiles<Format, kFloatTokens>(args, weights, row, 0, begin, end);
      }
    }
  }
}

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // MOTE_VECTORS

#endif  // MOTE_SIMD_MATMUL_FLOAT_INL_H_
