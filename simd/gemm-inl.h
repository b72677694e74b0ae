// What the two regimes of the quantised matrix product share: A8 rows, the arithmetic of a block, and the many-token
// kernel's arguments. See matmul_panel-inl.h.
#if defined(MOTE_SIMD_GEMM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MOTE_SIMD_GEMM_INL_H_
#undef MOTE_SIMD_GEMM_INL_H_
#else
#define MOTE_SIMD_GEMM_INL_H_
#endif

#include "simd/kernels.h"
#include "simd/pack.h"
#include "simd/primitives-inl.h"

#if MOTE_VECTORS
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {

// ---- Activations

// One block of 32 values of one token.
struct A8Block {
  const uint8_t* codes;
  const uint8_t* scale;
  const uint8_t* sum;    // minus the sum of its codes
  const uint8_t* sum16;  // of its halves

  // Values 4 j .. 4 j + 3 in every lane.
  HWY_INLINE VI8 Codes(size_t j) const { return hn::BitCast(DI8(), hn::Set(DU32(), Load32(codes + 4 * j))); }
};

struct A8Row {
  const uint8_t* codes;
  const uint8_t* scales;
  const uint8_t* sums;
  const uint8_t* sums16;

  A8Row() = default;
  HWY_INLINE A8Row(const MatMulArgs& args, size_t token) {
    codes = static_cast<const uint8_t*>(args.acts) + token * args.act_stride_bytes;
    scales = codes + args.k;
    sums = scales + args.k / 8;
    sums16 = sums + args.k / 8;
  }
  HWY_INLINE A8Block Block(size_t block) const {
    return {codes + block * 32, scales + block * 4, sums + block * 4, sums16 + block * 8};
  }
};

template <bool kUnsigned>
HWY_INLINE VI32 DotCodes(VI32 sum, VU8 codes, VI8 acts) {
  if constexpr (kUnsigned) return DotU8(sum, codes, acts);
  if constexpr (!kUnsigned) return DotI8(sum, hn::BitCast(DI8(), codes), acts);
}

// ---- The arithmetic of a block

template <size_t kSub, bool kMin, bool kUnsignedCodes, bool kOffset>
struct GemmKind {
  static constexpr bool kHasMin = kMin;
  static constexpr bool kUnsigned = kUnsignedCodes;
  static constexpr size_t kHalves = 32 / kSub;

  struct Scales {
    VF scale[kHalves];
    VF min[kMin ? kHalves : 1];
  };

  // What a dot product starts from: codes carry an offset of 2^shift.
  static HWY_INLINE VI32 Start(const A8Block& acts, [[maybe_unused]] size_t half, [[maybe_unused]] int shift) {
    if constexpr (!kOffset) return hn::Zero(DI32());
    const uint8_t* sum = kHalves == 1 ? acts.sum : acts.sum16 + half * 4;
    return hn::ShiftLeftSame(hn::BitCast(DI32(), hn::Set(DU32(), Load32(sum))), shift);
  }

  static HWY_INLINE VF Add(VF sum, const VI32 (&dots)[kHalves], const Scales& s, const A8Block& acts) {
    const DF df;
    VF t = hn::Mul(hn::ConvertTo(df, dots[0]), s.scale[0]);
    if constexpr (kHalves == 2) t = hn::MulAdd(hn::ConvertTo(df, dots[1]), s.scale[1], t);
    if constexpr (kMin) {
      for (size_t h = 0; h < kHalves; ++h) {
        const uint8_t* minus_sum = kHalves == 1 ? acts.sum : acts.sum16 + h * 4;
        const VI32 codes = hn::BitCast(DI32(), hn::Set(DU32(), Load32(minus_sum)));
        t = hn::MulAdd(s.min[h], hn::ConvertTo(df, codes), t);
      }
    }
    return hn::MulAdd(t, hn::Set(df, LoadScalar(acts.scale)), sum);
  }
};

// `count` rows of the panel, or all of it where there are more.
HWY_INLINE void StoreRows(VF sums, float* out, size_t count) {
  if (count >= kLanes) {
    hn::StoreU(sums, DF(), out);
  } else {
    StorePartial(sums, DF(), out, count);
  }
}

// ---- Many tokens

inline constexpr size_t kGemmPanels = 2;  // side by side: each broadcast of activations serves two multiplications
// Blocks of 32 unpacked at a time: 2048 values of 32 rows are 64 KiB of codes and 8 to 32 KiB of scales and mins, and
// stay in an L2 cache of 256 KiB beside the activations that pass over them. A multiple of a chunk.
inline constexpr size_t kGemmBlocks = 64;
static_assert(kGemmBlocks % kChunkBlocks == 0);

// Of two panels: codes by block, by 4 values of k, by panel; scales and mins by block, by half of it, by panel.
struct GemmWeights {
  uint8_t* codes;
  float* scales;
  float* mins;
};
inline constexpr size_t kGemmCodeBytes = kGemmBlocks * 32 * kGemmPanels * kLanes;
inline constexpr size_t kGemmScaleBytes = kGemmBlocks * 2 * kGemmPanels * kLanes * sizeof(float);
static_assert(kGemmCodeBytes + 2 * kGemmScaleBytes <= kMatMulScratchBytes);

HWY_INLINE GemmWeights GemmScratch(uint8_t* scratch) {
  return {scratch, reinterpret_cast<float*>(scratch + kGemmCodeBytes),
          reinterpret_cast<float*>(scratch + kGemmCodeBytes + kGemmScaleBytes)};
}

struct GemmArgs {
  GemmWeights weights;
  size_t first_block;  // of K; the sums go on where those of the blocks before it ended
  size_t blocks;
  size_t rows;  // of the two panels
  int shift;    // codes carry an offset of 2^shift
};

// All tokens of `args` times the weights of `gemm`, to the outputs of `row`.. . Defined in gemm.cc for the kinds that
// Operand makes.
template <class Kind>
void Gemm(const MatMulArgs& args, const GemmArgs& gemm, size_t row);

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // MOTE_VECTORS

#endif  // MOTE_SIMD_GEMM_INL_H_
