// Sums of products of few tokens on WebAssembly where no instruction multiplies 8-bit codes: in 16 bits, with
// activations made ready once per product and token, so that widening weights, which every token and panel pays, is
// next to nothing. Integers: the same sums as DotSum's, to the bit.
//
// Q4_0 and Q4_1: in 16 bits of weights w are four nibbles n0, n1, n2, n3 from the lowest on, of values 4 j, 16 + 4 j,
// 4 j + 1 and 17 + 4 j (or two further). With a, b, c, d the activations of these,
//   n0 a + n1 b + n2 c + n3 d = w a + (w >> 4)(b - 16 a) + (w >> 8)(c - 16 b) + (w >> 12)(d - 16 c)
// in any arithmetic modulo 2^16, and the sum of 16 products of nibbles fits: three shifts, no mask. A third more than
// masks give; from memory 18.5 multiply-adds per ns, where widening byte by byte has 12.7 (V8, 2026-11).
//
// Q8_0: the lower code e of 16 bits as w << 8 = 256 e times a, the upper one as (w >> 8) times 256 b: 256 times the
// sum, in 32 bits. 11.0 instead of 9.9, two tokens 15.9 instead of 13.2. With relaxed SIMD for engines whose 8-bit
// product is right for codes of 7 bits alone (simd/matmul_q8_0.cc): V8 before AVX-VNNI takes three instructions for
// each of two.
#if defined(MOTE_SIMD_WORD_DOTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MOTE_SIMD_WORD_DOTS_INL_H_
#undef MOTE_SIMD_WORD_DOTS_INL_H_
#else
#define MOTE_SIMD_WORD_DOTS_INL_H_
#endif

#include <type_traits>

#include "simd/gemm-inl.h"

#if MOTE_VECTORS
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {

// Whether a tile of P panels goes by words.
#if HWY_ARCH_WASM && defined(__wasm_relaxed_simd__)
template <class F, size_t P>
inline constexpr bool kByWords = P > 1 && F::kPlainWords == 8;
#else
template <class F, size_t P>
inline constexpr bool kByWords = HWY_ARCH_WASM&& P > 1 && F::kPlainWords != 0;
#endif

// Activations made ready: beside a block, its bytes in scratch.
inline constexpr size_t kReadyBytes = 64;
struct WordActs : Acts {
  const uint8_t* ready;

  HWY_INLINE void Next() {
    Acts::Next();
    ready += kReadyBytes;
  }
};
template <class F, size_t P>
using FewActs = std::conditional_t<kByWords<F, P>, WordActs, Acts>;

// In the place of a DotSum.
struct WordSum {
  VI32 sum;

  HWY_INLINE void Begin(VI32) {}
  HWY_INLINE VI32 Total(VI32 start) const { return hn::Add(sum, start); }
};
template <class F, size_t P>
using FewSum = std::conditional_t<kByWords<F, P>, WordSum, typename Operand<F>::Sum>;

// Those of a token; tiles of four tokens need none.
HWY_INLINE uint8_t* ReadyActs(const MatMulArgs& args, size_t token) {
  return args.scratch + token % 4 * (args.k / 32 * kReadyBytes);
}

#if HWY_ARCH_WASM

// One block. A word of weights finds what it is multiplied with in one 32-bit lane of each vector: four vectors for
// nibbles, two for each half of a block of bytes.
template <class F>
HWY_INLINE void MakeBlockReady(const uint8_t* codes, uint8_t* to) {
  const v128_t low = wasm_v128_load(codes), high = wasm_v128_load(codes + 16);
  const v128_t low_odd = wasm_i16x8_shr(low, 8), high_odd = wasm_i16x8_shr(high, 8);
  const v128_t low_up = wasm_i16x8_shl(low, 8), high_up = wasm_i16x8_shl(high, 8);  // 256 times the even ones
  wasm_v128_store(to, wasm_i16x8_shr(low_up, 8));
  if constexpr (F::kPlainWords == 4) {
    wasm_v128_store(to + 16, wasm_i16x8_sub(wasm_i16x8_shr(high_up, 8), wasm_i16x8_shr(low_up, 4)));
    wasm_v128_store(to + 32, wasm_i16x8_sub(low_odd, wasm_i16x8_shr(high_up, 4)));
    wasm_v128_store(to + 48, wasm_i16x8_sub(high_odd, wasm_i16x8_shl(low_odd, 4)));
  } else {
    wasm_v128_store(to + 16, wasm_i16x8_shl(low_odd, 8));
    wasm_v128_store(to + 32, wasm_i16x8_shr(high_up, 8));
    wasm_v128_store(to + 48, wasm_i16x8_shl(high_odd, 8));
  }
}

template <class F>
HWY_INLINE void MakeReady(const MatMulArgs& args, size_t token) {
  Acts acts = ActsOf(args, token);
  uint8_t* to = ReadyActs(args, token);
  for (size_t block = 0; block < args.k / 32; ++block, acts.Next(), to += kReadyBytes) {
    MakeBlockReady<F>(acts.Codes(), to);
  }
}

// dots[panel][0][t] of one block, word by word.
template <class F, size_t kWord, size_t P, size_t T>
HWY_INLINE void WordDots(const uint8_t* const (&chunks)[P], size_t n, size_t block, const WordActs (&acts)[T],
                         WordSum (&dots)[P][1][T]) {
  constexpr bool kNibbles = F::kPlainWords == 4;
  constexpr size_t kParts = kNibbles ? 4 : 2;
  v128_t by[T][kParts];
  MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
    MOTE_UNROLL for (size_t i = 0; i < kParts; ++i) {
      by[t][i] = wasm_v128_load32_splat(acts[t].ready + (kWord / 4 * kParts + i) * 16 + kWord % 4 * 4);
    }
  }
  MOTE_UNROLL for (size_t p = 0; p < P; ++p) {
    const v128_t word = LoadWords(F::Words(chunks[p], n), block * F::kPlainWords + kWord).raw;
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
      v128_t& sum = dots[p][0][t].sum.raw;
      if constexpr (kNibbles) {
        const v128_t first = wasm_i16x8_mul(word, by[t][0]);
        sum = kWord == 0 ? first : wasm_i16x8_add(sum, first);
        sum = wasm_i16x8_add(sum, wasm_i16x8_mul(wasm_u16x8_shr(word, 4), by[t][1]));
        sum = wasm_i16x8_add(sum, wasm_i16x8_mul(wasm_u16x8_shr(word, 8), by[t][2]));
        sum = wasm_i16x8_add(sum, wasm_i16x8_mul(wasm_u16x8_shr(word, 12), by[t][3]));
        if constexpr (kWord + 1 == F::kPlainWords) sum = wasm_i32x4_extadd_pairwise_i16x8(sum);
      } else {
        const v128_t even = wasm_i32x4_dot_i16x8(wasm_i16x8_shl(word, 8), by[t][0]);
        sum = kWord == 0 ? even : wasm_i32x4_add(sum, even);
        sum = wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(wasm_i16x8_shr(word, 8), by[t][1]));
        if constexpr (kWord + 1 == F::kPlainWords) sum = wasm_i32x4_shr(sum, 8);
      }
    }
  }
  if constexpr (kWord + 1 < F::kPlainWords) WordDots<F, kWord + 1, P, T>(chunks, n, block, acts, dots);
}

#endif  // HWY_ARCH_WASM

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // MOTE_VECTORS

#endif  // MOTE_SIMD_WORD_DOTS_INL_H_
