// Matrix product of F32, F16 and BF16 weights with float activations.
//
// Each (row, token) has one vector of sums; lane j adds the products of the values k with k % kLanes == j, in order of
// k, in every tile shape: results do not depend on how a product is cut into tiles.
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
    return LoadPartial(DF(), reinterpret_cast<const float*>(row + k * 4), n);
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

template <size_t R, size_t T>
HWY_INLINE void AddProducts(const VF (&weights)[R], const VF (&acts)[T], VF (&sums)[R][T]) {
  MOTE_UNROLL for (size_t r = 0; r < R; ++r) {
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) sums[r][t] = hn::MulAdd(weights[r], acts[t], sums[r][t]);
  }
}

// out (R, T): rows [row, row + R) times tokens [token, token + T).
template <class Format, size_t R, size_t T>
HWY_NOINLINE void FloatTile(const MatMulArgs& args, size_t row, size_t token) {
  const DF df;
  const uint8_t* weights[R];
  const float* acts[T];
  VF sums[R][T];
  MOTE_UNROLL for (size_t r = 0; r < R; ++r) weights[r] = args.weights + (row + r) * args.row_bytes;
  MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
    acts[t] =
        reinterpret_cast<const float*>(static_cast<const uint8_t*>(args.acts) + (token + t) * args.act_stride_bytes);
    MOTE_UNROLL for (size_t r = 0; r < R; ++r) sums[r][t] = hn::Zero(df);
  }
  VF w[R];
  VF a[T];
  size_t k = 0;
  for (; k + kLanes <= args.k; k += kLanes) {
    MOTE_UNROLL for (size_t r = 0; r < R; ++r) w[r] = Format::Load(weights[r], k);
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) a[t] = hn::LoadU(df, acts[t] + k);
    AddProducts<R, T>(w, a, sums);
  }
  if (k < args.k) {
    const size_t n = args.k - k;
    MOTE_UNROLL for (size_t r = 0; r < R; ++r) w[r] = Format::LoadLast(weights[r], k, n);
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) a[t] = LoadPartial(df, acts[t] + k, n);
    AddProducts<R, T>(w, a, sums);
  }
  MOTE_UNROLL for (size_t r = 0; r < R; ++r) {
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
      args.out[(token + t) * args.out_stride + row + r] = SumLanes(sums[r][t]);
    }
  }
}

// As in matmul_a8-inl.h: rows that stay in the L2 cache while all tokens pass over them.
inline constexpr size_t kFloatRowBlockBytes = 128 * 1024;

template <class Format, size_t T>
HWY_INLINE void FloatRowsOfTokens(const MatMulArgs& args, size_t row, size_t end, size_t token) {
  for (; row + 4 <= end; row += 4) FloatTile<Format, 4, T>(args, row, token);
  for (; row < end; ++row) FloatTile<Format, 1, T>(args, row, token);
}

template <class Format>
HWY_INLINE void MatMulFloat(const MatMulArgs& args) {
  // 4 rows by 4 tokens: 16 sums. AVX-512 and Arm have 32 registers; with 16, two tokens leave room for the inputs.
  constexpr size_t kTokens = (HWY_MAX_BYTES == 64 || HWY_ARCH_ARM_A64) ? 4 : 2;
  size_t row_block = args.rows;
  if (args.m > kTokens) row_block = kFloatRowBlockBytes / args.row_bytes / 4 * 4 + 4;
  for (size_t row = 0; row < args.rows; row += row_block) {
    const size_t end = args.rows - row < row_block ? args.rows : row + row_block;
    size_t token = 0;
    for (; token + kTokens <= args.m; token += kTokens) FloatRowsOfTokens<Format, kTokens>(args, row, end, token);
    for (; token < args.m; ++token) FloatRowsOfTokens<Format, 1>(args, row, end, token);
  }
}

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // MOTE_VECTORS

#endif  // MOTE_SIMD_MATMUL_FLOAT_INL_H_
