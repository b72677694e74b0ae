// Matrix product with int8 weights of one scale a row (kI8Row), and R8 activations of one scale a token.
//
// Dot products of whole numbers, exact in any order, and behind the last of a row
//   out = (dot * the row's scale) * the token's
// so that every instruction set gives the same bits. There is nothing to unpack and nothing to scale on the way: one
// kernel takes P panels by T tokens straight from the panels, for one token (bound by memory) and for many (bound by
// the dot products). Where a matrix unit is, it takes the many (simd/unit_i8.cc).
#include "simd/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/matmul_i8.cc"
#include "hwy/foreach_target.h"
//
#include "simd/kernel_list-inl.h"
#include "simd/matmul_panel-inl.h"

#if MOTE_VECTORS
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {
namespace {

// How codes are multiplied. kRaised: the dot product sees them raised by 128, which 128 times the sum of the
// activations' codes takes back.
struct I8Dot {
  using Sum = DotSum<kDotTakesU8, StepsIn16Bits(128, 8)>;
  static constexpr bool kRaised = kDotTakesU8;
  static HWY_INLINE VU8 Codes(VU8 codes) { return codes; }
};
#if HWY_ARCH_WASM && defined(__wasm_relaxed_simd__)
// What AskRelaxedDot says. Where the relaxed dot product does not take all 8 bits it is three instructions.
struct I8Dot16 {
  using Sum = DotSum16<false, 1>;
  static constexpr bool kRaised = false;
  static HWY_INLINE VU8 Codes(VU8 codes) { return codes; }
};
struct I8DotWhole {
  using Sum = DotSum<true, 8>;
  static constexpr bool kRaised = false;
  static HWY_INLINE VU8 Codes(VU8 codes) { return codes; }
};
struct I8DotRaised {
  using Sum = DotSum<true, 8>;
  static constexpr bool kRaised = true;
  static HWY_INLINE VU8 Codes(VU8 codes) { return hn::Xor(codes, SetForLoop<0x80808080>(DU8())); }
};
#endif

// Panels and tokens of a tile of the many: sums, codes of every panel and, where no instruction reads them from memory,
// activations fill the registers. AVX-512: 24 sums share 10 loads.
inline constexpr bool kArmDot = HWY_ARCH_ARM && kProductsIn16Bits == 0;
inline constexpr size_t kI8Panels = HWY_MAX_BYTES == 64 || kArmDot ? 4 : 2;
inline constexpr size_t kI8Tokens = HWY_MAX_BYTES == 64 ? 6 : HWY_ARCH_ARM && !kArmDot ? 2 : 4;
// Of the few.
inline constexpr size_t kI8FewTokens = HWY_MAX_BYTES == 64 ? 8 : 4;

// Steps that one sum must see in a row: those that it adds up in 16 bits.
inline constexpr size_t kI8Together = kProductsIn16Bits == 0 ? 1 : StepsIn16Bits(128, 8);
// Sums of one panel and token that are added up side by side: one chain of dot products waits for each.
template <size_t P, size_t T>
inline constexpr size_t kI8Chains = P* T == 1   ? 4
                                    : P* T == 2 ? 2
                                                : 1;

constexpr size_t I8PanelBytes(size_t k) {
  return kLanes * (k + sizeof(float));
}

template <class Dot, size_t P, size_t T>
struct I8Tile {
  using Sum = typename Dot::Sum;
  static constexpr size_t kChains = kI8Chains<P, T>;
  Sum sums[P][T][kChains];

  HWY_INLINE I8Tile() {
    MOTE_UNROLL for (size_t p = 0; p < P; ++p) {
      MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
        MOTE_UNROLL for (size_t c = 0; c < kChains; ++c) sums[p][t][c].Clear();
      }
    }
  }

  // Words kJ .. 7 of a block of 32 values.
  template <size_t kJ>
  HWY_INLINE void Block(const uint8_t* const (&codes)[P], const uint8_t* const (&acts)[T],
                        typename Sum::Acts (&ready)[T]) {
    typename Sum::Weights weights[P];
    MOTE_UNROLL for (size_t p = 0; p < P; ++p) {
      weights[p] = Sum::Prepare(Dot::Codes(hn::LoadU(DU8(), codes[p] + kJ * kBytes)));
    }
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
      Sum::template LoadActs<kJ>(acts[t], ready[t]);
      MOTE_UNROLL for (size_t p = 0; p < P; ++p) {
        sums[p][t][kJ / kI8Together % kChains].template Add<8 + kJ>(weights[p], ready[t]);
      }
    }
    if constexpr (kJ + 1 < 8) Block<kJ + 1>(codes, acts, ready);
  }

  HWY_INLINE VI32 Total(size_t p, size_t t) const {
    VI32 total = sums[p][t][0].Total(hn::Zero(DI32()));
    MOTE_UNROLL for (size_t c = 1; c < kChains; ++c) {
      total = hn::Add(total, sums[p][t][c].Total(hn::Zero(DI32())));
    }
    return total;
  }
};

// P panels, `apart` panels from one to the next, times T tokens from `token` on. Panels that do not exist are the first
// one once more.
template <class Dot, size_t P, size_t T>
HWY_NOINLINE void RunI8Tile(const MatMulArgs& args, size_t panel, size_t apart, size_t token) {
  const size_t panels = (args.rows + kLanes - 1) / kLanes;
  const size_t panel_bytes = I8PanelBytes(args.k);
  const uint8_t* codes[P];
  const uint8_t* acts[T];
  size_t of[P];
  MOTE_UNROLL for (size_t p = 0; p < P; ++p) {
    of[p] = panel + p * apart < panels ? panel + p * apart : panel;
    codes[p] = args.panels + of[p] * panel_bytes;
  }
  MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
    acts[t] = static_cast<const uint8_t*>(args.acts) + TokenOfTile(args, token + t) * args.act_stride_bytes;
  }
  [[maybe_unused]] const uint8_t* end = args.panels + panels * panel_bytes;
  constexpr size_t kBlockBytes = 8 * kBytes;
  I8Tile<Dot, P, T> tile;
  typename Dot::Sum::Acts ready[T];
  size_t k = 0;
  for (; k + 32 <= args.k; k += 32) {
    if (token == 0) {
      MOTE_UNROLL for (size_t p = 0; p < P; ++p) {
        PrefetchWeights(codes[p], kBlockBytes, args.ahead);
        if (k % 1024 == 0) TouchPage<2>(codes[p], end);
      }
    }
    tile.template Block<0>(codes, acts, ready);
    MOTE_UNROLL for (size_t p = 0; p < P; ++p) codes[p] += kBlockBytes;
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) acts[t] += 32;
  }
  if (k < args.k) {
    // Activations are filled up with zeros, weights are not.
    HWY_ALIGN uint8_t last[P][kBlockBytes] = {};
    const uint8_t* at[P];
    MOTE_UNROLL for (size_t p = 0; p < P; ++p) {
      memcpy(last[p], codes[p], (args.k - k) / 4 * kBytes);
      codes[p] += (args.k - k) / 4 * kBytes;
      at[p] = last[p];
    }
    tile.template Block<0>(at, acts, ready);
  }
  MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
    R8Tail tail;
    const size_t at_token = TokenOfTile(args, token + t);
    memcpy(&tail, static_cast<const uint8_t*>(args.acts) + at_token * args.act_stride_bytes + R8CodeBytes(args.k),
           sizeof(tail));
    const VI32 offset = hn::Set(DI32(), Dot::kRaised ? 128 * tail.minus_sum : 0);
    const VF act_scale = hn::Set(DF(), tail.scale);
    MOTE_UNROLL for (size_t p = 0; p < P; ++p) {
      const VF scale = hn::LoadU(DF(), reinterpret_cast<const float*>(codes[p]));
      const VF dot = hn::ConvertTo(DF(), hn::Add(tile.Total(p, t), offset));
      const size_t row = of[p] * kLanes;
      StoreRows(hn::Mul(hn::Mul(dot, scale), act_scale), args.out + at_token * args.out_stride + row, args.rows - row);
    }
  }
}

// All tokens from `token` on, T of them at a time and the last ones by fewer.
template <class Dot, size_t P, size_t T>
HWY_INLINE void I8Tiles(const MatMulArgs& args, size_t panel, size_t apart, size_t token) {
  for (; token + LeastOfTile(T) <= args.m; token += T) RunI8Tile<Dot, P, T>(args, panel, apart, token);
  if constexpr (T > 1) {
    if (token < args.m) I8Tiles<Dot, P, FewerTokens(T)>(args, panel, apart, token);
  }
}

template <class Dot>
HWY_INLINE void MatMulI8By(const MatMulArgs& args) {
  const size_t panels = (args.rows + kLanes - 1) / kLanes;
  size_t panel = 0;
  if (args.m > kFewTokens) {
    for (; panel + kI8Panels <= panels; panel += kI8Panels) I8Tiles<Dot, kI8Panels, kI8Tokens>(args, panel, 1, 0);
    for (; panel < panels; ++panel) I8Tiles<Dot, 1, kI8FewTokens>(args, panel, 1, 0);
    return;
  }
#if HWY_ARCH_X86
  const size_t streams = StreamsOf(args, 4, panels * I8PanelBytes(args.k));
  if (streams >= 4 && args.m == 1) {
    const size_t steps = panels / 4;
    for (; panel < steps; ++panel) RunI8Tile<Dot, 4, 1>(args, panel, steps, 0);
    panel = 4 * steps;
  }
  if (streams >= 2) {
    const size_t steps = (panels - panel) / 2;
    for (size_t step = 0; step < steps; ++step) I8Tiles<Dot, 2, 4>(args, panel + step, steps, 0);
    panel += 2 * steps;
  }
  for (; panel < panels; ++panel) I8Tiles<Dot, 1, kI8FewTokens>(args, panel, 1, 0);
#else
  // kFarPanels streams, where that is more than one (simd/gemm-inl.h).
  const size_t steps = (panels + kFarPanels - 1) / kFarPanels;
  for (; panel < steps; ++panel) {
    if (kFarPanels > 1 && args.m <= 2) {
      I8Tiles<Dot, kFarPanels, kFarPanels == 1 ? 1 : 2>(args, panel, steps, 0);
    } else {
      for (size_t p = panel; p < panels; p += steps) I8Tiles<Dot, 1, kI8FewTokens>(args, p, 1, 0);
    }
  }
#endif
}

}  // namespace

void MatMulI8(const MatMulArgs& args) {
#if HWY_ARCH_WASM && defined(__wasm_relaxed_simd__)
  switch (AskRelaxedDot()) {
    case RelaxedDot::kUnsigned:
      return MatMulI8By<I8DotRaised>(args);
    case RelaxedDot::kSigned:
      return MatMulI8By<I8DotWhole>(args);
    case RelaxedDot::kSevenBits:
      return MatMulI8By<I8Dot16>(args);
  }
#else
  MatMulI8By<I8Dot>(args);
#endif
}

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
