// Matrix product of quantised weights with A8 activations, straight from the file's layout.
//
// A tile is R rows times T tokens; a row's codes are unpacked once for its T tokens, a token's vectors loaded once for
// the R rows. Each (row, token) has one vector of float sums. Per 256 values it gains, in this order: the mins, then
// for each vector of codes scale * (integer dot product). Integers are exact, so the order of the float additions is
// all that counts, and it is the same in every tile: results do not depend on how a product is cut into tiles.
#if defined(MOTE_SIMD_MATMUL_A8_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MOTE_SIMD_MATMUL_A8_INL_H_
#undef MOTE_SIMD_MATMUL_A8_INL_H_
#else
#define MOTE_SIMD_MATMUL_A8_INL_H_
#endif

#include "simd/formats-inl.h"
#include "simd/kernels.h"

#if MOTE_VECTORS
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {

// One token's activations: the three parts of an A8 row, at the current place in it. Bytes: rows may be unaligned.
struct Acts {
  const uint8_t* codes;
  const uint8_t* scales;
  const uint8_t* sums;
};

HWY_INLINE const float* Floats(const uint8_t* p) {
  return reinterpret_cast<const float*>(p);  // for LoadU only
}
HWY_INLINE const int8_t* Signed(const uint8_t* p) {
  return reinterpret_cast<const int8_t*>(p);
}

// How the scales of a chunk spread over vectors.
template <class Format>
struct Layout {
  static constexpr size_t kScales = kChunkValues / Format::kSub;
  // Vectors that hold them; the last one may be partly used.
  static constexpr size_t kScaleVectors = (kScales + kLanes - 1) / kLanes;
  // Code vectors whose dot products are added before scaling: two where a scale covers 32 values and a vector 16.
  static constexpr size_t kVectorsPerStep = Format::kSub > kBytes ? Format::kSub / kBytes : 1;
  static constexpr size_t kStepValues = kVectorsPerStep * kBytes;
  static constexpr size_t kSteps = kChunkValues / kStepValues;
  // On instruction sets whose dot product wants unsigned codes: what is added to codes, and corrected afterwards.
  static constexpr bool kRaise = Format::kSigned && kDotTakesU8;
  static constexpr int kCorrection = kRaise ? 128 : (!Format::kSigned && kPreferUnsigned) ? Format::kOffset : 0;
  static constexpr bool kUnsigned = !Format::kSigned ? (kPreferUnsigned || Format::kOffset == 0) : kRaise;
};

// ---- Scales

// Lanes of a vector of scales that belong to step kStep: lane j of a step covers values j * kStepValues / kLanes ...
template <size_t kSub, size_t kStepValues, size_t kStep>
struct ExpandTable {
  alignas(64) int32_t lanes[kLanes];
  constexpr ExpandTable() : lanes() {
    for (size_t j = 0; j < kLanes; ++j) {
      lanes[j] = static_cast<int32_t>((kStep * kStepValues + j * (kStepValues / kLanes)) / kSub % kLanes);
    }
  }
};

// `scales`: the vectors of Layout. Result: for each lane of the step's dot product its scale.
template <class Format, size_t kStep>
HWY_INLINE VF Expand(const VF* scales) {
  using L = Layout<Format>;
  const VF v = scales[kStep * L::kStepValues / Format::kSub / kLanes];
#if HWY_MAX_BYTES == 16
  return hn::Broadcast<kStep % 4>(v);
#else
  static constexpr ExpandTable<Format::kSub, L::kStepValues, kStep> kTable;
  return hn::TableLookupLanes(v, hn::SetTableIndices(DF(), kTable.lanes));
#endif
}

// The activations' 8 scales of a chunk in the weights' scale layout: as they are, or each twice where the format
// has 16.
template <class Format>
HWY_INLINE void LoadActScales(const uint8_t* scales, VF* out) {
  const DF df;
#if HWY_MAX_BYTES == 64
  const hn::Half<DF> dh;
  const VF v = hn::ZeroExtendVector(df, hn::LoadU(dh, Floats(scales)));
  if constexpr (Format::kSub == 32) {
    out[0] = v;
  } else {
    alignas(64) static constexpr int32_t kTwice[16] = {0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7};
    out[0] = hn::TableLookupLanes(v, hn::SetTableIndices(df, kTwice));
  }
#elif HWY_MAX_BYTES == 32
  const VF v = hn::LoadU(df, Floats(scales));
  if constexpr (Format::kSub == 32) {
    out[0] = v;
  } else {
    alignas(32) static constexpr int32_t kLow[8] = {0, 0, 1, 1, 2, 2, 3, 3};
    alignas(32) static constexpr int32_t kHigh[8] = {4, 4, 5, 5, 6, 6, 7, 7};
    out[0] = hn::TableLookupLanes(v, hn::SetTableIndices(df, kLow));
    out[1] = hn::TableLookupLanes(v, hn::SetTableIndices(df, kHigh));
  }
#else
  const VF low = hn::LoadU(df, Floats(scales));
  const VF high = hn::LoadU(df, Floats(scales + 16));
  if constexpr (Format::kSub == 32) {
    out[0] = low;
    out[1] = high;
  } else {
    out[0] = hn::InterleaveLower(df, low, low);
    out[1] = hn::InterleaveUpper(df, low, low);
    out[2] = hn::InterleaveLower(df, high, high);
    out[3] = hn::InterleaveUpper(df, high, high);
  }
#endif
}

// ---- Dot products

template <class Format, size_t kVector>
HWY_INLINE VU8 LoadCodes(const uint8_t* chunk) {
#if HWY_MAX_BYTES == 64
  const hn::Half<DU8> dh;
  return hn::Combine(DU8(), Format::template Codes<kVector * 2 + 1>(dh, chunk),
                     Format::template Codes<kVector * 2>(dh, chunk));
#else
  return Format::template Codes<kVector>(DU8(), chunk);
#endif
}

// Codes as signed numbers, their offset taken off.
template <class Format>
HWY_INLINE VI8 SignedCodes(VU8 codes) {
  if constexpr (Format::kOffset != 0) codes = hn::Sub(codes, hn::Set(DU8(), Format::kOffset));
  return hn::BitCast(DI8(), codes);
}

// Raw codes to what Dot wants.
template <class Format>
HWY_INLINE VU8 Prepare(VU8 codes) {
  using L = Layout<Format>;
  if constexpr (L::kRaise) return hn::Xor(codes, hn::Set(DU8(), 0x80));
  if constexpr (!Format::kSigned && !L::kUnsigned) return hn::BitCast(DU8(), SignedCodes<Format>(codes));
  return codes;
}

// Where codes carry an offset: minus the offset times the acts.
template <class Format>
HWY_INLINE VI32 Correct(VI32 sum, VI8 acts) {
  using L = Layout<Format>;
  if constexpr (L::kCorrection == 0) return sum;
  const VU8 offset = hn::Set(DU8(), static_cast<uint8_t>(L::kCorrection));
  return hn::Sub(sum, DotU8(hn::Zero(DI32()), offset, acts));
}

template <class Format>
HWY_INLINE VI32 Dot(VI32 sum, VU8 codes, VI8 acts) {
  if constexpr (Layout<Format>::kUnsigned) return DotU8(sum, codes, acts);
  return DotI8(sum, hn::BitCast(DI8(), codes), acts);
}

// Where the dot product is unsigned times signed over the whole range (VNNI) and codes carry an offset, either operand
// may be the unsigned one: codes, corrected once per token, or activations raised by 128, corrected once per row. The
// integers are the same; the cheaper one is that with fewer corrections.
template <class Format, size_t R, size_t T>
inline constexpr bool kRaiseActs = kDotTakesU8&& T > R&& Layout<Format>::kCorrection != 0;

// A step of one vector of codes, by raised activations.
template <class Format, size_t R, size_t T, size_t kStep>
HWY_INLINE void RaisedStep(const uint8_t* const (&chunks)[R], const Acts (&acts)[T],
                           const VF (&products)[R][T][Layout<Format>::kScaleVectors], VF (&sums)[R][T]) {
  static_assert(Layout<Format>::kVectorsPerStep == 1);
  const VU8 raise = hn::Set(DU8(), 0x80);
  VU8 raised[T];
  MOTE_UNROLL for (size_t t = 0; t < T; ++t) raised[t] =
      hn::Xor(hn::LoadU(DU8(), acts[t].codes + kStep * kBytes), raise);
  MOTE_UNROLL for (size_t r = 0; r < R; ++r) {
    const VI8 codes = SignedCodes<Format>(LoadCodes<Format, kStep>(chunks[r]));
    const VI32 start = hn::Sub(hn::Zero(DI32()), DotU8(hn::Zero(DI32()), raise, codes));
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
      const VF dot = hn::ConvertTo(DF(), DotU8(start, raised[t], codes));
      sums[r][t] = hn::MulAdd(dot, Expand<Format, kStep>(products[r][t]), sums[r][t]);
    }
  }
}

// One step of a chunk for the whole tile, then the steps after it.
template <class Format, size_t R, size_t T, size_t kStep>
HWY_INLINE void Steps(const uint8_t* const (&chunks)[R], const Acts (&acts)[T],
                      const VF (&products)[R][T][Layout<Format>::kScaleVectors], VF (&sums)[R][T]) {
  using L = Layout<Format>;
  if constexpr (kRaiseActs<Format, R, T>) {
    RaisedStep<Format, R, T, kStep>(chunks, acts, products, sums);
    if constexpr (kStep + 1 < L::kSteps) Steps<Format, R, T, kStep + 1>(chunks, acts, products, sums);
    return;
  }
  constexpr size_t V = L::kVectorsPerStep;
  VI8 loaded[T][V];
  VI32 starts[T];
  MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
    starts[t] = hn::Zero(DI32());
    MOTE_UNROLL for (size_t v = 0; v < V; ++v) {
      loaded[t][v] = hn::LoadU(DI8(), Signed(acts[t].codes + (kStep * V + v) * kBytes));
      starts[t] = Correct<Format>(starts[t], loaded[t][v]);
    }
  }
  MOTE_UNROLL for (size_t r = 0; r < R; ++r) {
    VU8 codes[V];
    codes[0] = Prepare<Format>(LoadCodes<Format, kStep * V>(chunks[r]));
    if constexpr (V == 2) codes[1] = Prepare<Format>(LoadCodes<Format, kStep * V + 1>(chunks[r]));
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
      VI32 dot = starts[t];
      MOTE_UNROLL for (size_t v = 0; v < V; ++v) dot = Dot<Format>(dot, codes[v], loaded[t][v]);
      sums[r][t] = hn::MulAdd(hn::ConvertTo(DF(), dot), Expand<Format, kStep>(products[r][t]), sums[r][t]);
    }
  }
  if constexpr (kStep + 1 < L::kSteps) Steps<Format, R, T, kStep + 1>(chunks, acts, products, sums);
}

// 256 values.
template <class Format, size_t R, size_t T>
HWY_INLINE void Chunk(const uint8_t* const (&chunks)[R], const Acts (&acts)[T], VF (&sums)[R][T]) {
  using L = Layout<Format>;
  const DF df;
  VF act_scales[T][L::kScaleVectors];
  VF products[R][T][L::kScaleVectors];
  MOTE_UNROLL for (size_t t = 0; t < T; ++t) LoadActScales<Format>(acts[t].scales, act_scales[t]);
  MOTE_UNROLL for (size_t r = 0; r < R; ++r) {
    HWY_ALIGN float scales[kScaleFloats];
    HWY_ALIGN float mins[kScaleFloats];
    Format::Scales(chunks[r], scales, mins);
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
      MOTE_UNROLL for (size_t v = 0; v < L::kScaleVectors; ++v) {
        products[r][t][v] = hn::Mul(hn::Load(df, scales + v * kLanes), act_scales[t][v]);
      }
      if constexpr (Format::kHasMin) {
        MOTE_UNROLL for (size_t v = 0; v < kScaleFloats / kLanes; ++v) {
          const VF act_sums = hn::LoadU(df, Floats(acts[t].sums + v * kBytes));
          sums[r][t] = hn::MulAdd(hn::Load(df, mins + v * kLanes), act_sums, sums[r][t]);
        }
      }
    }
  }
  Steps<Format, R, T, 0>(chunks, acts, products, sums);
}

// ---- The blocks of 32 that fill no chunk

// 32 bytes as the low part of a vector, or one half of them where vectors have 16.
template <size_t kHalf>
HWY_INLINE VI8 LoadTailActs(const uint8_t* codes) {
#if HWY_MAX_BYTES == 64
  const hn::Half<DI8> dh;
  return hn::ZeroExtendVector(DI8(), hn::LoadU(dh, Signed(codes)));
#else
  return hn::LoadU(DI8(), Signed(codes + kHalf * kBytes));
#endif
}
// Two floats, the other lanes zero.
HWY_INLINE VF LoadPair(const uint8_t* p) {
  const hn::RepartitionToWide<DU32> du64;
  uint64_t bits;
  memcpy(&bits, p, sizeof(bits));
  return hn::BitCast(DF(), hn::IfThenElseZero(hn::FirstN(du64, 1), hn::Set(du64, bits)));
}
template <class Format, size_t kHalf>
HWY_INLINE VU8 LoadTailCodes(const uint8_t* block) {
#if HWY_MAX_BYTES == 64
  const hn::Half<DU8> dh;
  return hn::ZeroExtendVector(DU8(), Format::template Codes<0>(dh, block));
#else
  return Format::template Codes<kHalf>(DU8(), block);
#endif
}

template <class Format, size_t R, size_t T>
HWY_INLINE void Block(const uint8_t* const (&blocks)[R], const Acts (&acts)[T], VF (&sums)[R][T]) {
  constexpr size_t V = Layout<Format>::kVectorsPerStep;
  const DF df;
  MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
    VI8 loaded[V];
    loaded[0] = LoadTailActs<0>(acts[t].codes);
    if constexpr (V == 2) loaded[1] = LoadTailActs<1>(acts[t].codes);
    VI32 start = hn::Zero(DI32());
    MOTE_UNROLL for (size_t v = 0; v < V; ++v) start = Correct<Format>(start, loaded[v]);
    const VF act_scale = hn::Set(df, LoadScalar(acts[t].scales));
    const VF act_sums = LoadPair(acts[t].sums);
    MOTE_UNROLL for (size_t r = 0; r < R; ++r) {
      VI32 dot = Dot<Format>(start, Prepare<Format>(LoadTailCodes<Format, 0>(blocks[r])), loaded[0]);
      if constexpr (V == 2) dot = Dot<Format>(dot, Prepare<Format>(LoadTailCodes<Format, 1>(blocks[r])), loaded[1]);
      if constexpr (Format::kHasMin) sums[r][t] = hn::MulAdd(Format::BlockMin(blocks[r]), act_sums, sums[r][t]);
      const VF product = hn::Mul(Format::BlockScale(blocks[r]), act_scale);
      sums[r][t] = hn::MulAdd(hn::ConvertTo(df, dot), product, sums[r][t]);
    }
  }
}

// ---- Tiles and the walk over them

// out (R, T): rows [row, row + R) times tokens [token, token + T).
template <class Format, size_t R, size_t T>
HWY_NOINLINE void Tile(const MatMulArgs& args, size_t row, size_t token) {
  const uint8_t* weights[R];
  Acts acts[T];
  VF sums[R][T];
  MOTE_UNROLL for (size_t r = 0; r < R; ++r) weights[r] = args.weights + (row + r) * args.row_bytes;
  MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
    const uint8_t* a8 = static_cast<const uint8_t*>(args.acts) + (token + t) * args.act_stride_bytes;
    acts[t] = {a8, a8 + args.k, a8 + args.k + args.k / 32 * sizeof(float)};
    MOTE_UNROLL for (size_t r = 0; r < R; ++r) sums[r][t] = hn::Zero(DF());
  }
  for (size_t c = 0; c < args.k / kChunkValues; ++c) {
    Chunk<Format, R, T>(weights, acts, sums);
    MOTE_UNROLL for (size_t r = 0; r < R; ++r) weights[r] += kChunkValues / Format::kBlockValues * Format::kBlockBytes;
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
      acts[t] = {acts[t].codes + kChunkValues, acts[t].scales + kChunkValues / 32 * sizeof(float),
                 acts[t].sums + kChunkValues / 16 * sizeof(float)};
    }
  }
  if constexpr (Format::kBlockValues == 32) {
    for (size_t b = 0; b < args.k % kChunkValues / 32; ++b) {
      Block<Format, R, T>(weights, acts, sums);
      MOTE_UNROLL for (size_t r = 0; r < R; ++r) weights[r] += Format::kBlockBytes;
      MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
        acts[t] = {acts[t].codes + 32, acts[t].scales + sizeof(float), acts[t].sums + 2 * sizeof(float)};
      }
    }
  }
  MOTE_UNROLL for (size_t r = 0; r < R; ++r) {
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
      args.out[(token + t) * args.out_stride + row + r] = SumLanes(sums[r][t]);
    }
  }
}

// Rows whose weights stay in the L2 cache while all tokens pass over them: half of the smallest L2 that we know of on
// machines with many cores (256 KiB), so that the activations fit beside them.
inline constexpr size_t kRowBlockBytes = 128 * 1024;

// One row after the other, never several side by side: a single token is bound by memory, and one sequential stream is
// what prefetchers follow. 4 rows at once read at 19 GB/s on one Zen 5 core, one row at 29 (Q8_0; Q4_K 14 and 24, Q6_K
// 10 and 27; k = 2048, 2026-11); more so where rows are a multiple of 4 KiB apart. Software prefetch changed nothing.
template <class Format, size_t T>
HWY_INLINE void RowsOfTokens(const MatMulArgs& args, size_t row, size_t end, size_t token) {
  for (; row < end; ++row) Tile<Format, 1, T>(args, row, token);
}

template <class Format>
HWY_INLINE void MatMulA8(const MatMulArgs& args) {
  size_t row_block = args.rows;
  if (args.m > 8) row_block = kRowBlockBytes / args.row_bytes + 1;
  for (size_t row = 0; row < args.rows; row += row_block) {
    const size_t end = args.rows - row < row_block ? args.rows : row + row_block;
    size_t token = 0;
#if HWY_MAX_BYTES == 64
    // 8 sums and 8 products of scales fill half of AVX-512's 32 registers; the others have 16 (or 32 of 128 bits, which
    // need more products).
    for (; token + 8 <= args.m; token += 8) RowsOfTokens<Format, 8>(args, row, end, token);
#endif
    for (; token + 4 <= args.m; token += 4) RowsOfTokens<Format, 4>(args, row, end, token);
    for (; token + 2 <= args.m; token += 2) RowsOfTokens<Format, 2>(args, row, end, token);
    for (; token < args.m; ++token) RowsOfTokens<Format, 1>(args, row, end, token);
  }
}

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // MOTE_VECTORS

#endif  // MOTE_SIMD_MATMUL_A8_INL_H_
