// Matrix product of quantised weights in panels (simd/pack.h) with A8 activations.
//
// A lane is a row: a vector of 16 rows x 4 values of k times 4 activations in every lane adds to 16 sums at once. Per
// (row, token), in the order of blocks of 32 values:
//   t = scale * dot
//   t = t + min * -(sum of the activations' codes)
//   sum = sum + t * (scale of the activations)
// Super-blocks, whose activations share a scale: t gains that of all 8 blocks (or of 16 halves) before its last step.
// Dots are integers, exact in any order; the float operations are these in every kernel. So results do not depend on
// how a product is cut into tiles, nor on which of the two regimes computes it:
//   - few tokens: straight from the panels, one or several at a time, bound by memory. This file.
//   - many: two panels at a time are unpacked, once for all tokens, into vectors of codes and of scales in `scratch`,
//     which simd/gemm.cc multiplies: bound by arithmetic. One kernel there serves all formats.
#if defined(MOTE_SIMD_MATMUL_PANEL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MOTE_SIMD_MATMUL_PANEL_INL_H_
#undef MOTE_SIMD_MATMUL_PANEL_INL_H_
#else
#define MOTE_SIMD_MATMUL_PANEL_INL_H_
#endif

#include "simd/gemm-inl.h"
#include "simd/kernels.h"
#include "simd/panel_formats-inl.h"
#include "simd/word_dots-inl.h"

#if MOTE_VECTORS
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {

// Tokens of the few-token kernel's widest tile: 8 integer and 8 float sums, codes and temporaries fill AVX-512's 32
// registers: Q4_0 runs at 335 multiply-adds per ns with 4, 373 with 8, and 387 in the many-token kernel (one core of
// Zen 5, 2026-11). With 16 registers the float sums go to memory and it still pays where unpacking costs much: AVX2 has
// 95 with 4 for Q6_K and 106 with 8. Not under V8, which halves the speed of super-blocks (Q6_K 21 with 4, 13 with 8).
inline constexpr size_t kFewTile = HWY_ARCH_WASM ? 4 : 8;
// Panels that a tile of T tokens passes side by side, of P that are walked together: with more tokens the sums fill the
// registers, and arithmetic is what takes the time. On WebAssembly two tokens of super-blocks are left at one for the
// module's size (60 KB).
template <class F, size_t T, size_t P = kFarPanels>
inline constexpr size_t kPanels = T == 1                                   ? P
                                  : HWY_ARCH_WASM                          ? (T == 2 && !F::kSuper ? P : 1)
                                  : HWY_MAX_BYTES == 64 && T <= 4 && P > 1 ? 2
                                                                           : 1;
// Up to here the few-token kernel: unpacking twice costs less than storing what was unpacked.
inline constexpr size_t kFewTokens = HWY_MAX_BYTES == 64 ? 16 : 8;

template <class F, bool kMany, size_t kBlock, size_t kJ>
HWY_INLINE VU8 LoadCodes(const uint8_t* chunk, size_t n, size_t unit) {
  const VU8 codes = F::template Codes<kBlock, kJ>(chunk, n, unit);
  if constexpr (!Operand<F, kMany>::kUnsigned && F::kOffset != 0) return hn::Sub(codes, hn::Set(DU8(), F::kOffset));
  return codes;
}

// Bytes of a chunk of n blocks of 32.
template <class F>
constexpr size_t ChunkBytes(size_t n) {
  return n * 32 / F::kFileValues * F::kFileBytes * kPanelRows;
}

// ---- Few tokens

// Chunks from one touched page to the next one, and lines of it: a second one pays where codes are long.
template <class F>
inline constexpr size_t kTouchedChunks = 3584 / ChunkBytes<F>(kChunkBlocks);
template <class F>
inline constexpr size_t kTouchedLines = F::kFileBytes >= F::kFileValues ? 2 : 1;

// A chunk's scales and mins, where they are unpacked all at once.
template <class F>
struct ChunkScales {
  // Under V8, which makes a constant anew wherever a loop uses it, a block's four float16 cost 28 instructions; in
  // pairs, and the constants once a chunk, 9.
  static constexpr bool kFloat16 = HWY_ARCH_WASM && F::kHalfScales;
  static constexpr bool kAtOnce = F::kSuper || kFloat16;
  static constexpr size_t kGroups = kAtOnce ? 256 / F::kSub : 1;
  HWY_ALIGN float scales[kGroups * kPanelRows];
  HWY_ALIGN float mins[(F::kHasMin ? kGroups : 1) * kPanelRows];

  HWY_INLINE void Load(const uint8_t* chunk, [[maybe_unused]] size_t n) {
    if constexpr (F::kSuper) F::Scales(chunk, scales, mins);
    if constexpr (kFloat16) {
      // A chunk of fewer blocks has other fields in the place of the rest: one block's alone are as many bytes.
      static_assert(kChunkBlocks * kHalfBytes <= ChunkBytes<F>(1) - (F::kHasMin ? kHalfBytes : 0));
      Widen(chunk, scales);
      if constexpr (F::kHasMin) Widen(chunk + n * kHalfBytes, mins);
    }
  }
  // Of 16-value half kHalf of a block (0 where scales cover all of it).
  template <size_t kHalf>
  HWY_INLINE VF Scale(const uint8_t* chunk, size_t n, size_t block) const {
    if constexpr (kAtOnce) return hn::Load(DF(), scales + (block * (32 / F::kSub) + kHalf) * kPanelRows);
    if constexpr (!kAtOnce) return F::Scale(chunk, n, block);
  }
  template <size_t kHalf>
  HWY_INLINE VF Min(const uint8_t* chunk, size_t n, size_t block) const {
    if constexpr (kFloat16) return hn::Neg(hn::Load(DF(), mins + block * kPanelRows));  // the file's min is added
    if constexpr (F::kSuper) return hn::Load(DF(), mins + (block * (32 / F::kSub) + kHalf) * kPanelRows);
    if constexpr (!kAtOnce) return F::Min(chunk, n, block);
  }

 private:
  static HWY_INLINE void Widen([[maybe_unused]] const uint8_t* from, [[maybe_unused]] float* to) {
#if MOTE_SLOW_F16
    MOTE_UNROLL for (size_t block = 0; block < kChunkBlocks; block += 2) {
      VF first, second;
      LoadTwoF16(reinterpret_cast<const uint16_t*>(from + block * kHalfBytes), first, second);
      hn::Store(first, DF(), to + block * kPanelRows);
      hn::Store(second, DF(), to + (block + 1) * kPanelRows);
    }
#endif
  }
};

// dots[panel][half][t] of one block.
template <class F, size_t kBlock, size_t kJ, size_t P, size_t T>
HWY_INLINE void FewDots(const uint8_t* const (&chunks)[P], size_t n, size_t unit, const Acts (&acts)[T],
                        typename Operand<F>::Sum::Acts (&codes)[T],
                        typename Operand<F>::Sum (&dots)[P][32 / F::kSub][T]) {
  using Sum = typename Operand<F>::Sum;
  constexpr size_t kSteps = F::kSub / 4;
  typename Sum::Weights weights[P];
  MOTE_UNROLL for (size_t p = 0; p < P; ++p) {
    weights[p] = Sum::Prepare(LoadCodes<F, false, kBlock, kJ>(chunks[p], n, unit));
  }
  MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
    Sum::template LoadActs<kJ>(acts[t].Codes(), codes[t]);
    MOTE_UNROLL for (size_t p = 0; p < P; ++p) {
      dots[p][kJ / kSteps][t].template Add<kJ % kSteps>(weights[p], codes[t]);
    }
  }
  if constexpr (kJ + 1 < 8) FewDots<F, kBlock, kJ + 1, P, T>(chunks, n, unit, acts, codes, dots);
}

// One half of a block (half 0 where scales cover all of it) for one token. The compiler loads scales once for all.
template <class F, size_t kHalf, class Sum>
HWY_INLINE VF AddFew(VF sum, const Sum& dots, const ChunkScales<F>& scales, const uint8_t* chunk, size_t n,
                     size_t block, const Acts& acts) {
  const VF scale = scales.template Scale<kHalf>(chunk, n, block);
  VF min = scale;
  if constexpr (F::kHasMin) min = scales.template Min<kHalf>(chunk, n, block);
  const VI32 dot = dots.Total(Operand<F>::Kind::Start(acts, kHalf, Operand<F>::kShift));
  return Operand<F>::Kind::template Add<kHalf>(sum, dot, scale, min, acts);
}

// The blocks of one unit, from kBlock on; leaves acts at the next unit's.
template <class F, size_t kBlock, size_t P, size_t T>
HWY_INLINE void FewUnit(const uint8_t* const (&chunks)[P], size_t n, size_t unit, const ChunkScales<F> (&scales)[P],
                        FewActs<F, P> (&acts)[T], VF (&sums)[P][T]) {
  using Kind = typename Operand<F>::Kind;
  const size_t block = unit * F::kBlocks + kBlock;
  FewSum<F, P> dots[P][Kind::kHalves][T];
  MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
    MOTE_UNROLL for (size_t h = 0; h < Kind::kHalves; ++h) {
      const VI32 start = Kind::Start(acts[t], h, Operand<F>::kShift);
      MOTE_UNROLL for (size_t p = 0; p < P; ++p) dots[p][h][t].Begin(start);
    }
  }
#if HWY_ARCH_WASM
  if constexpr (kByWords<F, P>) WordDots<F, 0, P, T>(chunks, n, unit, acts, dots);
#endif
  if constexpr (!kByWords<F, P>) {
    typename Kind::Sum::Acts codes[T];
    FewDots<F, kBlock, 0, P, T>(chunks, n, unit, acts, codes, dots);
  }
  MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
    MOTE_UNROLL for (size_t p = 0; p < P; ++p) {
      sums[p][t] = AddFew<F, 0>(sums[p][t], dots[p][0][t], scales[p], chunks[p], n, block, acts[t]);
      if constexpr (Kind::kHalves == 2) {
        sums[p][t] = AddFew<F, 1>(sums[p][t], dots[p][Kind::kHalves - 1][t], scales[p], chunks[p], n, block, acts[t]);
      }
    }
    acts[t].Next();
  }
  if constexpr (kBlock + 1 < F::kBlocks) {
    FewUnit<F, kBlock + 1, P, T>(chunks, n, unit, scales, acts, sums);
  }
}

// P panels, whose rows are from `row` on, `apart` rows from one to the next, times T tokens from `token` on. Panels
// that do not exist are the first one once more, tokens the last one.
template <class F, size_t P, size_t T>
HWY_NOINLINE void FewTile(const MatMulArgs& args, size_t row, size_t apart, size_t token) {
  FewActs<F, P> acts[T];
  VF sums[P][T];
  size_t rows[P];
  const uint8_t* chunks[P];
  MOTE_UNROLL for (size_t p = 0; p < P; ++p) {
    rows[p] = row + p * apart < args.rows ? row + p * apart : row;
    chunks[p] = args.panels + rows[p] / kPanelRows * ChunkBytes<F>(args.k / 32);
  }
  MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
    static_cast<Acts&>(acts[t]) = ActsOf(args, TokenOfTile(args, token + t));
    if constexpr (kByWords<F, P>) acts[t].ready = ReadyActs(args, token + t);
    MOTE_UNROLL for (size_t p = 0; p < P; ++p) sums[p][t] = hn::Zero(DF());
  }
  const FetchAhead ahead = args.ahead;
  const size_t blocks = args.k / 32;
  [[maybe_unused]] const uint8_t* end = args.panels + (args.rows + kPanelRows - 1) / kPanelRows * ChunkBytes<F>(blocks);
  for (size_t first = 0; first < blocks; first += kChunkBlocks) {
    const size_t n = blocks - first < kChunkBlocks ? blocks - first : kChunkBlocks;
    ChunkScales<F> scales[P];
    VF parts[P][T];
    if constexpr (HWY_ARCH_WASM && P > 1) {  // elsewhere a chunk may be longer than a page
      if (first % (kTouchedChunks<F> * kChunkBlocks) == 0 && token == 0) {
        MOTE_UNROLL for (size_t p = 0; p < P; ++p) TouchPage<kTouchedLines<F>>(chunks[p], end);
      }
    }
    MOTE_UNROLL for (size_t p = 0; p < P; ++p) {
      scales[p].Load(chunks[p], n);
      MOTE_UNROLL for (size_t t = 0; t < T; ++t) parts[p][t] = F::kSuper ? hn::Zero(DF()) : sums[p][t];
    }
    const size_t units = F::kSuper ? kChunkBlocks / F::kBlocks : n;
    constexpr size_t kUnitBytes =
        F::kSuper ? ChunkBytes<F>(kChunkBlocks) / (kChunkBlocks / F::kBlocks) : ChunkBytes<F>(1);
    for (size_t unit = 0; unit < units; ++unit) {
      if (token == 0) {
        MOTE_UNROLL for (size_t p = 0; p < P; ++p) PrefetchWeights(chunks[p] + unit * kUnitBytes, kUnitBytes, ahead);
      }
      FewUnit<F, 0, P, T>(chunks, n, unit, scales, acts, parts);
    }
    MOTE_UNROLL for (size_t p = 0; p < P; ++p) {
      MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
        sums[p][t] = F::kSuper ? acts[t].Last().AddScaled(parts[p][t], sums[p][t]) : parts[p][t];
      }
      chunks[p] += ChunkBytes<F>(n);
    }
  }
  MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
    float* out = args.out + TokenOfTile(args, token + t) * args.out_stride;
    MOTE_UNROLL for (size_t p = 0; p < P; ++p) {
      StoreRows(sums[p][t], out + rows[p], args.rows - rows[p]);
    }
  }
}

// ---- Many tokens: unpacking for simd/gemm.cc

template <class F, size_t kBlock, size_t kJ>
HWY_INLINE void UnpackCodes(const uint8_t* chunk, size_t n, size_t unit, uint8_t* codes) {
  VU8 raised = LoadCodes<F, true, kBlock, kJ>(chunk, n, unit);
  constexpr int kRaise = Operand<F, true>::Kind::kRaised ? 128 - Operand<F, true>::kOffset : 0;
  if constexpr (kRaise != 0) raised = hn::Add(raised, hn::Set(DU8(), kRaise));
  hn::Store(raised, DU8(), codes + kJ * kGemmPanels * kWordBytes);
  if constexpr (kJ + 1 < 8) UnpackCodes<F, kBlock, kJ + 1>(chunk, n, unit, codes);
}

template <class F, size_t kBlock>
HWY_INLINE void UnpackUnit(const uint8_t* chunk, size_t n, size_t unit, const ChunkScales<F>& scales,
                           size_t first_block, const GemmWeights& to) {
  constexpr size_t kHalves = 32 / F::kSub;
  const size_t block = unit * F::kBlocks + kBlock;
  const size_t at = first_block + block;
  UnpackCodes<F, kBlock, 0>(chunk, n, unit, to.codes + at * 8 * kGemmPanels * kWordBytes);
  float* s = to.scales + at * kHalves * kGemmPanels * kPanelRows;
  float* m = to.mins + at * kHalves * kGemmPanels * kPanelRows;
  hn::Store(scales.template Scale<0>(chunk, n, block), DF(), s);
  if constexpr (kHalves == 2) hn::Store(scales.template Scale<1>(chunk, n, block), DF(), s + kGemmPanels * kPanelRows);
  if constexpr (F::kHasMin) {
    hn::Store(scales.template Min<0>(chunk, n, block), DF(), m);
    if constexpr (kHalves == 2) hn::Store(scales.template Min<1>(chunk, n, block), DF(), m + kGemmPanels * kPanelRows);
  }
  if constexpr (kBlock + 1 < F::kBlocks) UnpackUnit<F, kBlock + 1>(chunk, n, unit, scales, first_block, to);
}

// `blocks` blocks of a panel, whole chunks but for the end of a row.
template <class F>
HWY_NOINLINE void UnpackPanel(const uint8_t* panel, size_t blocks, FetchAhead ahead, const GemmWeights& to) {
  for (size_t first = 0; first < blocks; first += kChunkBlocks) {
    const size_t n = blocks - first < kChunkBlocks ? blocks - first : kChunkBlocks;
    ChunkScales<F> scales;
    scales.Load(panel, n);
    const size_t units = F::kSuper ? kChunkBlocks / F::kBlocks : n;
    const size_t unit_bytes = ChunkBytes<F>(n) / units;
    for (size_t unit = 0; unit < units; ++unit) {
      PrefetchWeights(panel + unit * unit_bytes, unit_bytes, ahead);
      UnpackUnit<F, 0>(panel, n, unit, scales, first, to);
    }
    panel += ChunkBytes<F>(n);
  }
}

// Panels [0, 2) from `panels` on, K in parts that stay in the L2 cache.
template <class F>
HWY_INLINE void ManyTokens(const MatMulArgs& args, const uint8_t* panels, size_t panel_bytes, size_t row) {
  const size_t rows = args.rows - row;
  const size_t blocks = args.k / 32;
  GemmArgs gemm;
  gemm.weights = GemmScratch(args.scratch);
  gemm.rows = rows < kGemmPanels * kPanelRows ? rows : kGemmPanels * kPanelRows;
  gemm.shift = Operand<F, true>::kShift;
  for (size_t first = 0; first < blocks; first += kGemmBlocks) {
    gemm.first_block = first;
    gemm.blocks = blocks - first < kGemmBlocks ? blocks - first : kGemmBlocks;
    for (size_t p = 0; p < kGemmPanels; ++p) {
      // A pair that lacks its second panel takes the first one twice; what comes of it is not stored.
      const size_t from = rows > p * kPanelRows ? p : 0;
      GemmWeights to = gemm.weights;
      to.codes += p * kWordBytes;
      to.scales += p * kPanelRows;
      to.mins += p * kPanelRows;
      const uint8_t* panel = panels + from * panel_bytes + first / kChunkBlocks * ChunkBytes<F>(kChunkBlocks);
      UnpackPanel<F>(panel, gemm.blocks, args.ahead, to);
    }
    Gemm<F>(args, gemm, row);
  }
}

// ---- The walk

// What tiles of one and of two tokens want made ready. False where there is no room for it.
template <class F>
HWY_INLINE bool PrepareFew([[maybe_unused]] const MatMulArgs& args) {
  static_assert(!kByWords<F, kPanels<F, kFewTile>>);
  if constexpr (!kByWords<F, kPanels<F, 1>>) return true;
#if HWY_ARCH_WASM
  if (args.m % kFewTile * (args.k / 32 * kReadyBytes) > kMatMulScratchBytes) return false;
  for (size_t token = args.m / kFewTile * kFewTile; token < args.m; ++token) MakeReady<F>(args, token);
#endif
  return true;
}

// P panels times T tokens at a time, and what is left where that is most of T. Returns the first token that is left.
template <class F, size_t P, size_t T>
HWY_INLINE size_t FewTiles(const MatMulArgs& args, size_t row, size_t apart, size_t token) {
  constexpr size_t kBeside = kPanels<F, T, P>;
  for (; token + LeastOfTile(T) <= args.m; token += T) {
    for (size_t p = 0; p < P && row + p * apart < args.rows; p += kBeside) {
      FewTile<F, kBeside, T>(args, row + p * apart, apart, token);
    }
  }
  return token;
}

// Of panels [panel, panels) as many as P streams pass; returns the first one behind them. All of them where kFarPanels
// is P: where a stream has ended, the first one's panel is passed once more.
template <class F, size_t P>
HWY_INLINE size_t FewPanels(const MatMulArgs& args, size_t panel, size_t panels) {
  const size_t steps = (panels - panel + (P == kFarPanels ? P - 1 : 0)) / P;
  for (size_t step = 0; step < steps; ++step) {
    const size_t row = (panel + step) * kPanelRows;
    const size_t apart = steps * kPanelRows;
    size_t token = FewTiles<F, P, kFewTile>(args, row, apart, 0);
    if constexpr (kFewTile > 4) token = FewTiles<F, P, 4>(args, row, apart, token);
    token = FewTiles<F, P, 2>(args, row, apart, token);
    FewTiles<F, P, 1>(args, row, apart, token);
  }
  return panel + steps * P;
}

template <class F>
HWY_INLINE void MatMulPanels(const MatMulArgs& args) {
  const size_t panel_bytes = ChunkBytes<F>(args.k / 32);
  if (args.m > kFewTokens || !PrepareFew<F>(args)) {
    for (size_t row = 0; row < args.rows; row += kGemmPanels * kPanelRows) {
      ManyTokens<F>(args, args.panels + row / kPanelRows * panel_bytes, panel_bytes, row);
    }
    return;
  }
  const size_t panels = (args.rows + kPanelRows - 1) / kPanelRows;
  [[maybe_unused]] const size_t streams = StreamsOf(args, kMostStreams<F>, panels * panel_bytes);
  size_t panel = 0;
#if HWY_ARCH_X86
  if constexpr (kMostStreams<F> >= 4) {
    if (streams >= 4) panel = FewPanels<F, 4>(args, panel, panels);
  }
  if constexpr (kMostStreams<F> >= 2) {
    if (streams >= 2) panel = FewPanels<F, 2>(args, panel, panels);
  }
#endif
  FewPanels<F, kFarPanels>(args, panel, panels);
}

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // MOTE_VECTORS

#endif  // MOTE_SIMD_MATMUL_PANEL_INL_H_
