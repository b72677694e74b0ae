// Matrix product of F32, F16 and BF16 weights with float activations.
//
// Each (row, token) has kChains vectors of sums. Vector i of a row's values goes to chain i % kChains, in order, in
// every tile shape, and chains are joined in order: results do not depend on how a product is cut into tiles.
#if defined(MOTE_SIMD_MATMUL_FLOAT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MOTE_SIMD_MATMUL_FLOAT_INL_H_
#undef MOTE_SIMD_MATMUL_FLOAT_INL_H_
#else
#define MOTE_SIMD_MATMUL_FLOAT_INL_H_
#endif

#include "simd/kernels.h"
#include "simd/primitives-inl.h"

#if MOTE_VECTORS
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {

// kLanes weights from value k of a row on; or the last n < kLanes of a row.
struct FormatF32 {
  static constexpr size_t kValueBytes = 4;
  static HWY_INLINE VF Load(const uint8_t* row, size_t k) {
    return hn::LoadU(DF(), reinterpret_cast<const float*>(row + k * 4));
  }
  static HWY_INLINE VF LoadLast(const uint8_t* row, size_t k, size_t n) {
    HWY_ALIGN float values[kLanes] = {};
    memcpy(values, row + k * 4, n * 4);
    return hn::Load(DF(), values);
  }
};
struct FormatF16 {
  static constexpr size_t kValueBytes = 2;
  static HWY_INLINE VF Load(const uint8_t* row, size_t k) {
    return LoadF16(DF(), reinterpret_cast<const uint16_t*>(row + k * 2));
  }
  static HWY_INLINE VF LoadLast(const uint8_t* row, size_t k, size_t n) {
    uint16_t bits[kLanes] = {};
    memcpy(bits, row + k * 2, n * 2);
    return LoadF16(DF(), bits);
  }
};
struct FormatBF16 {
  static constexpr size_t kValueBytes = 2;
  static HWY_INLINE VF Load(const uint8_t* row, size_t k) {
    return LoadBF16(DF(), reinterpret_cast<const uint16_t*>(row + k * 2));
  }
  static HWY_INLINE VF LoadLast(const uint8_t* row, size_t k, size_t n) {
    uint16_t bits[kLanes] = {};
    memcpy(bits, row + k * 2, n * 2);
    return LoadBF16(DF(), bits);
  }
};

// A single row is one chain of multiply-adds of 4 cycles each: 8 bytes of F16 per cycle with 512 bits, enough for
// memory. Narrower vectors need two chains for that, and have then half as many registers for tiles.
inline constexpr size_t kChains = HWY_MAX_BYTES == 64 ? 1 : 2;
// Rows and tokens of a full tile: 16 sums of 32 registers (AVX-512, Arm), 8 of 16 (the others).
inline constexpr size_t kTileRows = (HWY_MAX_BYTES == 64 || HWY_ARCH_ARM_A64) ? 4 : 2;
inline constexpr size_t kTileTokens = HWY_MAX_BYTES == 64 ? 4 : 2;

template <size_t R, size_t T>
HWY_INLINE void AddProducts(const VF (&weights)[R], const VF (&acts)[T], VF (&sums)[R][T][kChains], size_t chain) {
  MOTE_UNROLL for (size_t r = 0; r < R; ++r) {
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) sums[r][t][chain] = hn::MulAdd(weights[r], acts[t], sums[r][t][chain]);
  }
}

// out (R, T): rows [row, row + R) times tokens [token, token + T).
template <class Format, size_t R, size_t T>
HWY_NOINLINE void FloatTile(const MatMulArgs& args, size_t row, size_t token) {
  const DF df;
  const uint8_t* weights[R];
  const float* acts[T];
  VF sums[R][T][kChains];
  MOTE_UNROLL for (size_t r = 0; r < R; ++r) weights[r] = args.weights + (row + r) * args.row_bytes;
  MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
    const uint8_t* act_row = static_cast<const uint8_t*>(args.acts) + (token + t) * args.act_stride_bytes;
    acts[t] = reinterpret_cast<const float*>(act_row);
    MOTE_UNROLL for (size_t r = 0; r < R; ++r) {
      MOTE_UNROLL for (size_t c = 0; c < kChains; ++c) sums[r][t][c] = hn::Zero(df);
    }
  }
  VF w[R];
  VF a[T];
  size_t k = 0;
  for (; k + kChains * kLanes <= args.k; k += kChains * kLanes) {
    MOTE_UNROLL for (size_t c = 0; c < kChains; ++c) {
      const size_t at = k + c * kLanes;
      MOTE_UNROLL for (size_t r = 0; r < R; ++r) w[r] = Format::Load(weights[r], at);
      MOTE_UNROLL for (size_t t = 0; t < T; ++t) a[t] = hn::LoadU(df, acts[t] + at);
      AddProducts<R, T>(w, a, sums, c);
    }
  }
  size_t chain = 0;
  if (k + kLanes <= args.k) {
    MOTE_UNROLL for (size_t r = 0; r < R; ++r) w[r] = Format::Load(weights[r], k);
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) a[t] = hn::LoadU(df, acts[t] + k);
    AddProducts<R, T>(w, a, sums, 0);
    k += kLanes;
    chain = kChains - 1;
  }
  if (k < args.k) {
    const size_t n = args.k - k;
    MOTE_UNROLL for (size_t r = 0; r < R; ++r) w[r] = Format::LoadLast(weights[r], k, n);
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) a[t] = LoadPartial(df, acts[t] + k, n);
    if (chain == 0) {
      AddProducts<R, T>(w, a, sums, 0);
    } else {
      AddProducts<R, T>(w, a, sums, kChains - 1);
    }
  }
  MOTE_UNROLL for (size_t r = 0; r < R; ++r) {
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
      VF sum = sums[r][t][0];
      if constexpr (kChains == 2) sum = hn::Add(sum, sums[r][t][1]);
      args.out[(token + t) * args.out_stride + row + r] = SumLanes(sum);
    }
  }
}

// As in matmul_a8-inl.h: rows that stay in the L2 cache while all tokens pass over them, and a single token walks one
// row after the other.
inline constexpr size_t kFloatRowBlockBytes = 128 * 1024;

template <class Format, size_t T>
HWY_INLINE void FloatRowsOfTokens(const MatMulArgs& args, size_t row, size_t end, size_t token) {
  if constexpr (T > 1) {
    for (; row + kTileRows <= end; row += kTileRows) FloatTile<Format, kTileRows, T>(args, row, token);
  }
  for (; row < end; ++row) FloatTile<Format, 1, T>(args, row, token);
}

template <class Format>
HWY_INLINE void MatMulFloat(const MatMulArgs& args) {
  size_t row_block = args.rows;
  if (args.m > kTileTokens) row_block = kFloatRowBlockBytes / args.row_bytes / kTileRows * kTileRows + kTileRows;
  for (size_t row = 0; row < args.rows; row += row_block) {
    const size_t end = args.rows - row < row_block ? args.rows : row + row_block;
    size_t token = 0;
    for (; token + kTileTokens <= args.m; token += kTileTokens) {
      FloatRowsOfTokens<Format, kTileTokens>(args, row, end, token);
    }
    for (; token < args.m; ++token) FloatRowsOfTokens<Format, 1>(args, row, end, token);
  }
}

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // MOTE_VECTORS

#endif  // MOTE_SIMD_MATMUL_FLOAT_INL_H_
