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
// tokens take 27 of AVX-512's 32 registers.
inline constexpr size_t kTileTokens = HWY_MAX_BYTES == 64 ? 6 : HWY_ARCH_ARM_A64 ? 4 : 2;

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

  // A block of 32 values of k, added to `to`.
  static HWY_INLINE void Block(const GemmWeights& weights, const Acts (&acts)[T], int shift, VF (&to)[T][kGemmPanels]) {
    MOTE_UNROLL for (size_t h = 0; h < Kind::kHalves; ++h) {
      VI32 dots[T][kGemmPanels];
      MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
        const VI32 start = Kind::Start(acts[t], h, shift);
        MOTE_UNROLL for (size_t p = 0; p < kGemmPanels; ++p) dots[t][p] = start;
      }
      Dots(weights.codes, acts, h * 4, 8 / Kind::kHalves, dots);
      MOTE_UNROLL for (size_t p = 0; p < kGemmPanels; ++p) {
        const VF scale = hn::Load(DF(), weights.scales + (h * kGemmPanels + p) * kLanes);
        VF min = scale;
        if constexpr (Kind::kHasMin) min = hn::Load(DF(), weights.mins + (h * kGemmPanels + p) * kLanes);
        MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
          to[t][p] = Kind::Add(to[t][p], dots[t][p], scale, min, acts[t], h);
        }
      }
    }
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
        Block(weights, acts, shift, sums);
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
          Block(weights, acts, shift, parts);
          Next(weights, acts);
        }
        MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
          const VF scale = acts[t].LastScale();
          MOTE_UNROLL for (size_t p = 0; p < kGemmPanels; ++p) {
            sums[t][p] = hn::MulAdd(parts[t][p], scale, sums[t][p]);
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

template <class Kind>
void Gemm(const MatMulArgs& args, const GemmArgs& gemm, size_t row) {
  Tiles<Kind, kTileTokens>(args, gemm, row, 0);
}

#define MOTE_GEMM(sub, min, is_unsigned, offset, wide) \
  template void Gemm<GemmKind<sub, min, is_unsigned, offset, wide>>(const MatMulArgs&, const GemmArgs&, size_t);

// Types with an offset, as unsigned codes with it or as signed ones.
#if HWY_ARCH_X86 || defined(__wasm_relaxed_simd__)
MOTE_GEMM(32, false, true, true, false)
MOTE_GEMM(16, false, true, true, true)
#else
MOTE_GEMM(16, false, false, false, true)
#endif
// Types of 8-bit codes, of a table.
#if HWY_TARGET == HWY_AVX3_DL
MOTE_GEMM(32, false, true, true, true)
#else
MOTE_GEMM(32, false, false, false, false)
MOTE_GEMM(32, false, false, false, true)
#endif
// Types with a min.
MOTE_GEMM(32, true, true, false, false)
MOTE_GEMM(32, true, true, false, true)
MOTE_GEMM(16, true, true, false, true)
#undef MOTE_GEMM

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
