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

#include "simd/gemm-inl.h"
#include "simd/kernels.h"

#if MOTE_VECTORS
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {

// kLanes weights of one value of k.
struct FormatF32 {
  static constexpr size_t kValueBytes = 4;
  static HWY_INLINE VF Load(const uint8_t* p) { return hn::LoadU(DF(), reinterpret_cast<const float*>(p)); }
};
struct FormatF16 {
  static constexpr size_t kValueBytes = 2;
  static HWY_INLINE VF Load(const uint8_t* p) { return LoadF16(DF(), reinterpret_cast<const uint16_t*>(p)); }
};
struct FormatBF16 {
  static constexpr size_t kValueBytes = 2;
  static HWY_INLINE VF Load(const uint8_t* p) { return LoadBF16(DF(), reinterpret_cast<const uint16_t*>(p)); }
};

inline constexpr size_t kFloatPanelRows = kFloatPanelVectors * kLanes;
// Tokens of a full tile: with 4 vectors of rows, 24 sums of AVX-512's 32 registers, 16 of Arm's 32, 8 of the
// others' 16.
inline constexpr size_t kFloatTokens = HWY_MAX_BYTES == 64 ? 6 : HWY_ARCH_ARM_A64 ? 4 : 2;
// Values of k that all tokens pass over before the next ones: 256 KiB of F16, 64 rows, stay in the L2 cache.
inline constexpr size_t kFloatK = 2048;

// out (kFloatPanelRows, T): values [begin, end) of k, on top of what is there unless begin is 0.
template <class Format, size_t T>
HWY_NOINLINE void FloatTile(const MatMulArgs& args, const uint8_t* panel, size_t row, size_t token, size_t begin,
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
  const uint8_t* weights = panel + begin * kFloatPanelRows * Format::kValueBytes;
  for (size_t k = begin; k < end; ++k) {
    VF w[V];
    if (token == 0) PrefetchWeights(weights, kFloatPanelRows * Format::kValueBytes);
    MOTE_UNROLL for (size_t v = 0; v < V; ++v) w[v] = Format::Load(weights + v * kLanes * Format::kValueBytes);
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
HWY_INLINE void FloatTiles(const MatMulArgs& args, const uint8_t* panel, size_t row, size_t token, size_t begin,
                           size_t end) {
  for (; token + T <= args.m; token += T) FloatTile<Format, T>(args, panel, row, token, begin, end);
  if constexpr (T > 1) {
    if (token < args.m) FloatTiles<Format, T - 1>(args, panel, row, token, begin, end);
  }
}

template <class Format>
HWY_INLINE void MatMulFloat(const MatMulArgs& args) {
  const size_t part = args.m <= kFloatTokens ? args.k : kFloatK;
  for (size_t row = 0; row < args.rows; row += kFloatPanelRows) {
    const uint8_t* panel = args.panels + row * args.k * Format::kValueBytes;
    for (size_t begin = 0; begin < args.k; begin += part) {
      const size_t end = args.k - begin < part ? args.k : begin + part;
      FloatTiles<Format, kFloatTokens>(args, panel, row, 0, begin, end);
    }
  }
}

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // MOTE_VECTORS

#endif  // MOTE_SIMD_MATMUL_FLOAT_INL_H_
