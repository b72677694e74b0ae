// The many-token matrix product: codes and scales of two panels, unpacked, times the A8 rows of all tokens.
#include "simd/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/gemm.cc"
#include "hwy/foreach_target.h"
//
#include "simd/gemm-inl.h"

#if MOTE_VECTORS
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {

// Tokens of a tile. Two panels need 2 T integer and 2 T float sums, two vectors of weights and one of activations: 6
// tokens take 27 of AVX-512's 32 registers. With 16 registers the float sums wait in memory, which costs little: each
// is touched once in 32 values of k.
inline constexpr size_t kTileTokens = HWY_MAX_BYTES == 64 ? 6 : 4;

template <class Kind, size_t T>
struct Tile {
  using Sum = typename Kind::Sum;
  using ActCodes = typename Sum::Acts;
  VF sums[T][kGemmPanels];

  // gcc gives a constructor of its own making no target attributes.
  HWY_INLINE Tile() {}

  HWY_INLINE void Load(const float* out, size_t stride, size_t rows) {
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
      MOTE_UNROLL for (size_t p = 0; p < kGemmPanels; ++p) {
        const float* from = out + t * stride + p * kLanes;
        const size_t left = rows > p * kLanes ? rows - p * kLanes : 0;
        sums[t][p] = left >= kLanes ? hn::LoadU(DF(), from)
                     : left == 0    ? hn::Zero(DF())
                                    : LoadPartial(DF(), from, left);
      }
    }
  }
  HWY_INLINE void Store(float* out, size_t stride, size_t rows) const {
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
      MOTE_UNROLL for (size_t p = 0; p < kGemmPanels; ++p) {
        if (rows > p * kLanes) StoreRows(sums[t][p], out + t * stride + p * kLanes, rows - p * kLanes);
      }
    }
  }

  // Values 4 kJ .. of a block, and the rest of its half.
  template <size_t kJ>
  static HWY_INLINE void Dots(const uint8_t* codes, const Acts (&acts)[T], ActCodes (&act_codes)[T],
                              Sum (&dots)[T][kGemmPanels]) {
    constexpr size_t kSteps = 8 / Kind::kHalves;
    typename Sum::Weights weights[kGemmPanels];
    MOTE_UNROLL for (size_t p = 0; p < kGemmPanels; ++p) {
      weights[p] = Sum::Prepare(hn::Load(DU8(), codes + (kJ * kGemmPanels + p) * kBytes));
    }
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
      Sum::template LoadActs<kJ>(acts[t].Codes(), act_codes[t]);
      MOTE_UNROLL for (size_t p = 0; p < kGemmPanels; ++p) {
        dots[t][p].template Add<kJ % kSteps>(weights[p], act_codes[t]);
      }
    }
    if constexpr ((kJ + 1) % kSteps != 0) Dots<kJ + 1>(codes, acts, act_codes, dots);
  }

  // A block of 32 values of k, from kHalf of it on, added to `to`.
  template <size_t kHalf>
  static HWY_INLINE void Block(const GemmWeights& weights, const Acts (&acts)[T], int shift, VF (&to)[T][kGemmPanels]) {
    Sum dots[T][kGemmPanels];
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
      const VI32 start = Kind::ManyStart(acts[t], kHalf, shift);
      MOTE_UNROLL for (size_t p = 0; p < kGemmPanels; ++p) dots[t][p].Begin(start);
    }
    ActCodes act_codes[T];
    Dots<kHalf * 4>(weights.codes, acts, act_codes, dots);
    // By tokens, so that one broadcast of a scale serves both panels; by panels where more has to be kept in registers.
    constexpr bool kByTokens = !Kind::kWide && !Kind::kHasMin;
    MOTE_UNROLL for (size_t i = 0; i < T * kGemmPanels; ++i) {
      const size_t t = kByTokens ? i / kGemmPanels : i % T;
      const size_t p = kByTokens ? i % kGemmPanels : i / T;
      const VF scale = hn::Load(DF(), weights.scales + (kHalf * kGemmPanels + p) * kLanes);
      VF min = scale;
      if constexpr (Kind::kHasMin) min = hn::Load(DF(), weights.mins + (kHalf * kGemmPanels + p) * kLanes);
      const VI32 dot = dots[t][p].Total(Kind::ManyStart(acts[t], kHalf, shift));
      to[t][p] = Kind::template AddMany<kHalf>(to[t][p], dot, scale, Kind::Bias(scale), min, acts[t]);
    }
    if constexpr (kHalf + 1 < Kind::kHalves) Block<kHalf + 1>(weights, acts, shift, to);
  }

  // The weights and activations of one block, then on to the next.
  static HWY_INLINE void Next(GemmWeights& weights, Acts (&acts)[T]) {
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) acts[t].block += sizeof(A8Block);
    weights.codes += 8 * kGemmPanels * kBytes;
    weights.scales += Kind::kHalves * kGemmPanels * kLanes;
    weights.mins += Kind::kHalves * kGemmPanels * kLanes;
  }

  HWY_INLINE void Blocks(GemmWeights weights, Acts (&acts)[T], size_t count, int shift) {
    if constexpr (!Kind::kWide) {
      for (size_t block = 0; block < count; ++block) {
        Block<0>(weights, acts, shift, sums);
        Next(weights, acts);
      }
    } else {
      // Sums of a super-block and its dot products take the registers: those of the row wait in memory.
      for (size_t super = 0; super < count; super += kChunkBlocks) {
        VF parts[T][kGemmPanels];
        MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
          MOTE_UNROLL for (size_t p = 0; p < kGemmPanels; ++p) parts[t][p] = hn::Zero(DF());
        }
        for (size_t block = 0; block < kChunkBlocks; ++block) {
          Block<0>(weights, acts, shift, parts);
          Next(weights, acts);
        }
        MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
          MOTE_UNROLL for (size_t p = 0; p < kGemmPanels; ++p) {
            sums[t][p] = acts[t].Last().AddScaled(parts[t][p], sums[t][p]);
          }
        }
      }
    }
  }
};

template <class Kind, size_t T>
HWY_NOINLINE void RunTile(const MatMulArgs& args, const GemmArgs& gemm, size_t row, size_t token) {
  Acts acts[T];
  MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
    acts[t] = ActsOf(args, token + t);
    acts[t].block += gemm.first_block * sizeof(A8Block);
  }
  float* out = args.out + token * args.out_stride + row;
  Tile<Kind, T> tile;
  if (gemm.first_block == 0) {
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
      MOTE_UNROLL for (size_t p = 0; p < kGemmPanels; ++p) tile.sums[t][p] = hn::Zero(DF());
    }
  } else {
    tile.Load(out, args.out_stride, gemm.rows);
  }
  tile.Blocks(gemm.weights, acts, gemm.blocks, gemm.shift);
  tile.Store(out, args.out_stride, gemm.rows);
}

// Tiles of T tokens, the last ones of fewer.
template <class Kind, size_t T>
HWY_INLINE void Tiles(const MatMulArgs& args, const GemmArgs& gemm, size_t row, size_t token) {
  for (; token + T <= args.m; token += T) RunTile<Kind, T>(args, gemm, row, token);
  if constexpr (T > 1) {
    if (token < args.m) Tiles<Kind, T - 1>(args, gemm, row, token);
  }
}

template <class F>
void Gemm(const MatMulArgs& args, const GemmArgs& gemm, size_t row) {
  Tiles<typename Operand<F, true>::Kind, kTileTokens>(args, gemm, row, 0);
}

#define MOTE_GEMM(format) template void Gemm<format>(const MatMulArgs&, const GemmArgs&, size_t);
MOTE_GEMM(FormatQ4_0)
MOTE_GEMM(FormatQ4_1)
MOTE_GEMM(FormatQ5_0)
MOTE_GEMM(FormatQ5_1)
MOTE_GEMM(FormatQ8_0)
MOTE_GEMM(FormatQ2_K)
MOTE_GEMM(FormatQ3_K)
MOTE_GEMM(FormatQ4_K)
MOTE_GEMM(FormatQ5_K)
MOTE_GEMM(FormatQ6_K)
MOTE_GEMM(FormatIQ4_NL)
MOTE_GEMM(FormatIQ4_XS)
MOTE_GEMM(FormatMXFP4)
#if HWY_ARCH_WASM && defined(__wasm_relaxed_simd__)
MOTE_GEMM(FormatQ8_0Raised)
MOTE_GEMM(FormatQ8_0Whole)
#endif
#undef MOTE_GEMM

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
