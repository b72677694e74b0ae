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

// The weights of one value of k, all rows of a panel.
struct FormatF32 {
  static constexpr size_t kValueBytes = 4;
  static constexpr bool kFromMemory = true;
  static HWY_INLINE void Load(const uint8_t* p, VF (&w)[kFloatPanelVectors]) {
    MOTE_UNROLL for (size_t v = 0; v < kFloatPanelVectors; ++v) {
      w[v] = hn::LoadU(DF(), reinterpret_cast<const float*>(p) + v * kLanes);
    }
  }
};
// What UnpackF16 has left in scratch.
struct FormatUnpacked : FormatF32 {
  static constexpr bool kFromMemory = false;
};
struct FormatF16 {
  static constexpr size_t kValueBytes = 2;
  static constexpr bool kFromMemory = true;
  static HWY_INLINE void Load(const uint8_t* p, VF (&w)[kFloatPanelVectors]) {
    const uint16_t* halves = reinterpret_cast<const uint16_t*>(p);
#if MOTE_SLOW_F16
    static_assert(kFloatPanelVectors == 4);
    LoadTwoF16(halves, w[0], w[1]);
    LoadTwoF16(halves + 2 * kLanes, w[2], w[3]);
#else
    MOTE_UNROLL for (size_t v = 0; v < kFloatPanelVectors; ++v) w[v] = LoadF16(DF(), halves + v * kLanes);
#endif
  }
};
struct FormatBF16 {
  static constexpr size_t kValueBytes = 2;
  static constexpr bool kFromMemory = true;
  static HWY_INLINE void Load(const uint8_t* p, VF (&w)[kFloatPanelVectors]) {
    MOTE_UNROLL for (size_t v = 0; v < kFloatPanelVectors; ++v) {
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

// out (kFloatPanelRows, T): values [begin, end) of k, whose weights are given, on top of what is there unless begin is
// 0.
template <class Format, size_t T>
HWY_NOINLINE void FloatTile(const MatMulArgs& args, const uint8_t* weights, size_t row, size_t token, size_t begin,
                            size_t end) {
  constexpr size_t V = kFloatPanelVectors;
  const DF df;
  const float* acts[T];
  VF sums[V][T];
  float* out = args.out + token * args.out_stride + row;
  const size_t rows = args.rows - row;
  MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
    const uint8_t* act_row = static_cast<const uint8_t*>(args.acts) + (token + t) * args.act_stride_bytes;
    acts[t] = reinterpret_cast<const float*>(act_row);
    MOTE_UNROLL for (size_t v = 0; v < V; ++v) {
      sums[v][t] = hn::Zero(df);
      if (begin != 0 && rows > v * kLanes) {
        const float* from = out + t * args.out_stride + v * kLanes;
        const size_t left = rows - v * kLanes;
        sums[v][t] = left >= kLanes ? hn::LoadU(df, from) : LoadPartial(df, from, left);
      }
    }
  }
  for (size_t k = begin; k < end; ++k) {
    VF w[V];
    if (Format::kFromMemory && token == 0) PrefetchWeights(weights, kFloatPanelRows * Format::kValueBytes);
    Format::Load(weights, w);
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
      const VF a = hn::Set(df, acts[t][k]);
      MOTE_UNROLL for (size_t v = 0; v < V; ++v) sums[v][t] = hn::MulAdd(w[v], a, sums[v][t]);
    }
    weights += kFloatPanelRows * Format::kValueBytes;
  }
  MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
    MOTE_UNROLL for (size_t v = 0; v < V; ++v) {
      if (rows > v * kLanes) StoreRows(sums[v][t], out + t * args.out_stride + v * kLanes, rows - v * kLanes);
    }
  }
}

template <class Format, size_t T>
HWY_INLINE void FloatTiles(const MatMulArgs& args, const uint8_t* weights, size_t row, size_t token, size_t begin,
                           size_t end) {
  for (; token + T <= args.m; token += T) FloatTile<Format, T>(args, weights, row, token, begin, end);
  if constexpr (T > 1) {
    if (token < args.m) FloatTiles<Format, T - 1>(args, weights, row, token, begin, end);
  }
}

#if MOTE_SLOW_F16
static_assert(kFloatK * kFloatPanelRows * sizeof(float) <= kMatMulScratchBytes);
// `count` values of k to float32.
HWY_INLINE void UnpackF16(const uint8_t* weights, size_t count, uint8_t* scratch) {
  float* out = reinterpret_cast<float*>(scratch);
  for (size_t k = 0; k < count; ++k) {
    VF w[kFloatPanelVectors];
    PrefetchWeights(weights, kFloatPanelRows * FormatF16::kValueBytes);
    FormatF16::Load(weights, w);
    MOTE_UNROLL for (size_t v = 0; v < kFloatPanelVectors; ++v) hn::Store(w[v], DF(), out + v * kLanes);
    weights += kFloatPanelRows * FormatF16::kValueBytes;
    out += kFloatPanelRows;
  }
}
#endif

template <class Format>
HWY_INLINE void MatMulFloat(const MatMulArgs& args) {
  const size_t part = args.m <= kFloatTokens ? args.k : kFloatK;
  for (size_t row = 0; row < args.rows; row += kFloatPanelRows) {
    const uint8_t* panel = args.panels + row * args.k * Format::kValueBytes;
    for (size_t begin = 0; begin < args.k; begin += part) {
      const size_t end = args.k - begin < part ? args.k : begin + part;
      const uint8_t* weights = panel + begin * kFloatPanelRows * Format::kValueBytes;
#if MOTE_SLOW_F16
      // Once for all tokens: the conversion costs as much as the products with one.
      if (std::is_same<Format, FormatF16>::value && args.m > kFloatTokens) {
        UnpackF16(weights, end - begin, args.scratch);
        FloatTiles<FormatUnpacked, kFloatTokens>(args, args.scratch, row, 0, begin, end);
        continue;
      }
#endif
      FloatTiles<Format, kFloatTokens>(args, weights, row, 0, begin, end);
    }
  }
}

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // MOTE_VECTORS

#endif  // MOTE_SIMD_MATMUL_FLOAT_INL_H_
