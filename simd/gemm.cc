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

// Tokens of a tile. Two panels need 2 T integer and 2 T float sums (and 2 T more where scales cover half a block), two
// vectors of weights and one of activations: 6 tokens take 27 of AVX-512's 32 registers, 4 tokens and halves 27.
template <class Kind>
constexpr size_t TileTokens() {
  if (HWY_MAX_BYTES == 64) return Kind::kHalves == 1 ? 6 : 4;
  return HWY_ARCH_ARM_A64 ? 4 : 2;
}

template <class Kind, size_t T>
struct Tile {
  VF sums[T][kGemmPanels];

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

  // 16 values of k, or 32.
  static HWY_INLINE void Dots(const uint8_t* codes, const Acts (&acts)[T], size_t first, size_t count,
                              VI32 (&dots)[T][kGemmPanels]) {
    MOTE_UNROLL for (size_t j = 0; j < count; ++j) {
      VU8 weights[kGemmPanels];
      MOTE_UNROLL for (size_t p = 0; p < kGemmPanels; ++p) {
        weights[p] = hn::Load(DU8(), codes + ((first + j) * kGemmPanels + p) * kBytes);
      }
      MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
        const VI8 a = acts[t].Codes(first + j);
        MOTE_UNROLL for (size_t p = 0; p < kGemmPanels; ++p) {
          dots[t][p] = DotCodes<Kind::kUnsigned>(dots[t][p], weights[p], a);
        }
      }
    }
  }

  HWY_INLINE void Block(const uint8_t* codes, const float* scales, const float* mins, const Acts (&acts)[T],
                        int shift) {
    VI32 dots[Kind::kHalves][T][kGemmPanels];
    MOTE_UNROLL for (size_t h = 0; h < Kind::kHalves; ++h) {
      MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
        const VI32 start = Kind::Start(acts[t], h, shift);
        MOTE_UNROLL for (size_t p = 0; p < kGemmPanels; ++p) dots[h][t][p] = start;
      }
      Dots(codes, acts, h * 4, 8 / Kind::kHalves, dots[h]);
    }
    MOTE_UNROLL for (size_t p = 0; p < kGemmPanels; ++p) {
      typename Kind::Scales s;
      MOTE_UNROLL for (size_t h = 0; h < Kind::kHalves; ++h) {
        s.scale[h] = hn::Load(DF(), scales + (h * kGemmPanels + p) * kLanes);
        if constexpr (Kind::kHasMin) s.min[h] = hn::Load(DF(), mins + (h * kGemmPanels + p) * kLanes);
      }
      MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
        VI32 of_token[Kind::kHalves];
        MOTE_UNROLL for (size_t h = 0; h < Kind::kHalves; ++h) of_token[h] = dots[h][t][p];
        sums[t][p] = Kind::Add(sums[t][p], of_token, s, acts[t]);
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
  const uint8_t* codes = gemm.weights.codes;
  const float* scales = gemm.weights.scales;
  const float* mins = gemm.weights.mins;
  for (size_t block = 0; block < gemm.blocks; ++block) {
    tile.Block(codes, scales, mins, acts, gemm.shift);
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) acts[t].block += sizeof(A8Block);
    codes += 8 * kGemmPanels * kBytes;
    scales += Kind::kHalves * kGemmPanels * kLanes;
    mins += Kind::kHalves * kGemmPanels * kLanes;
  }
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

template <class Kind>
void Gemm(const MatMulArgs& args, const GemmArgs& gemm, size_t row) {
  Tiles<Kind, TileTokens<Kind>()>(args, gemm, row, 0);
}

#define MOTE_GEMM(sub, min, is_unsigned, offset) \
  template void Gemm<GemmKind<sub, min, is_unsigned, offset>>(const MatMulArgs&, const GemmArgs&, size_t);

// Offset types; where codes stay signed; types with a min.
#if HWY_TARGET == HWY_AVX3_DL || HWY_ARCH_X86 || defined(__wasm_relaxed_simd__)
MOTE_GEMM(32, false, true, true)
MOTE_GEMM(16, false, true, true)
#else
MOTE_GEMM(16, false, false, false)
#endif
#if HWY_TARGET != HWY_AVX3_DL
MOTE_GEMM(32, false, false, false)
#endif
MOTE_GEMM(32, true, true, false)
MOTE_GEMM(16, true, true, false)
#undef MOTE_GEMM

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
