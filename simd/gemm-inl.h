// What the two regimes of the quantised matrix product share: A8 rows, the arithmetic of a block, and the many-token
// kernel's arguments. See matmul_panel-inl.h.
#if defined(MOTE_SIMD_GEMM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MOTE_SIMD_GEMM_INL_H_
#undef MOTE_SIMD_GEMM_INL_H_
#else
#define MOTE_SIMD_GEMM_INL_H_
#endif

#include <type_traits>

#include "hwy/cache_control.h"
#include "simd/fetch.h"
#include "simd/kernels.h"
#include "simd/pack.h"
#include "simd/panel_formats-inl.h"

#if MOTE_VECTORS
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {

// ---- Weights

// Fetches `bytes` of weights as far ahead of the multiplication as `of_cpu` says. Left to the hardware, whose
// prefetchers wait for a pattern after each panel and leave the scales, read before the codes, as misses, Q4_K had 82 %
// and Q6_K 68 % of the read bandwidth of Zen 5 (2026-11). simd/cpu_features.cc chooses the distances, and says why.
HWY_INLINE void PrefetchWeights(const uint8_t* weights, size_t bytes, [[maybe_unused]] FetchAhead of_cpu) {
  if constexpr (HWY_ARCH_WASM) return;  // there is no such instruction, and compilers leave the loop
  const FetchAhead ahead = HWY_ARCH_X86 ? of_cpu : FetchAhead();
  for (size_t line = 0; line < bytes; line += 64) hwy::Prefetch(weights + ahead.near + line);
  if (ahead.far == 0) return;
  for (size_t line = 0; line < bytes; line += 64) __builtin_prefetch(weights + ahead.far + line, 0, 2);
}

// In the place of that on WebAssembly: reads the begin of the page of memory after the next one, about once for each
// page. Processors follow a stream by themselves, but no further than its page, and a kernel that computes reaches the
// next one too late for its first lines to come meanwhile: one stream of F16 waited for three quarters of its time,
// four of Q8_0 for a quarter (V8 on Granite Rapids, pages of 4 KiB, 2026-11). Every line that is touched holds the
// processor up once; more of a page than its first two costs more than it gives. Nothing from `end` on, that of the
// weights, is read.
inline constexpr size_t kPageBytes = 4096;
template <size_t kLines>
HWY_INLINE void TouchPage([[maybe_unused]] const uint8_t* weights, [[maybe_unused]] const uint8_t* end) {
#if HWY_ARCH_WASM
  const uintptr_t nearest = (reinterpret_cast<uintptr_t>(weights) + kPageBytes / 2) / kPageBytes * kPageBytes;
  const uintptr_t page = nearest + 2 * kPageBytes;
  if (page + kLines * 64 > reinterpret_cast<uintptr_t>(end)) return;
  const uint8_t* lines = reinterpret_cast<const uint8_t*>(page);
  uint32_t bits = Load32(lines);
  if constexpr (kLines == 2) bits |= Load32(lines + 64);
  static_assert(kLines <= 2);
  asm volatile("" : : "r"(bits));
#endif
}

// Panels that one token, or two, pass side by side, a quarter of the matrix apart, on WebAssembly: four streams, of
// which the processor follows each in its own page (neighbouring panels are slower than one, eight no faster than
// four), and which share the broadcasts of activations, as dear as four rows' products. A model's Q4_0, multiply-adds
// per ns: one panel 10.9, two 13.7, four 15.6, four with touched pages 21; its F16 1.1, 4.3 from two with touched
// pages, 5 from four.
inline constexpr size_t kFarPanels = HWY_ARCH_WASM ? 4 : 1;

// On x86 FetchAhead::streams says how many, up to kMostStreams of a type. One core of Zen 5 reads 20 to 26 GB/s from
// one stream, whatever is fetched ahead, and 25 to 30 from lines of several in turn: each has prefetchers of its own,
// and they go no further ahead than they like. A token of the 1B shape takes 0.72 to 0.83 of the time in Q8_0, 0.77 in
// I8, 0.85 to 0.9 in Q4_0, 0.75 to 0.85 in Q5_0, Q4_1 and IQ4_NL, 0.9 to 0.95 in F16, two tokens and four 0.75 to 0.95
// (two at a time; docs/performance.md, 2026-11). The streams have to be long, 64 KiB and more (kMaxFewTileRows of
// targets/cpu/run_matmul.cc): halves of 32 KiB give nothing. Of 8 bits four are better than two by a twentieth to a
// tenth, of fewer bits they are not; of super-blocks, whose panels would share the registers, and 8 tokens, two take
// 1.1 and 1.2 times as long, and by units in turn no less.
template <class F>
inline constexpr size_t kMostStreams = F::kSuper                         ? 1
                                       : F::kFileBytes >= F::kFileValues ? 4
                                                                         : 2;
// Of a call, whose weights have so many bytes. Shorter streams than this cost more than they give: SmolLM2-135M, whose
// tiles have 30 KiB, takes 1.03 of one stream's time in Q8_0 and 1.13 in Q4_0 from halves and quarters.
inline constexpr size_t kLeastStreamBytes = 48 << 10;
HWY_INLINE size_t StreamsOf(const MatMulArgs& args, size_t most, size_t bytes) {
  constexpr size_t kMostTokens = 5;
  size_t streams = HWY_ARCH_X86 && args.m <= kMostTokens ? args.ahead.streams : 1;
  if (streams > most) streams = most;
  while (streams > 1 && bytes / streams < kLeastStreamBytes) streams /= 2;
  return streams;
}

// ---- Activations

// A block of one token, anywhere in memory.
struct Acts {
  const uint8_t* block;

  HWY_INLINE const uint8_t* Codes() const { return block + offsetof(A8Block, codes); }
  // Minus the sum of the codes of the block, or of one half.
  template <bool kHalf>
  HWY_INLINE VI32 MinusSum(size_t half) const {
    const size_t at = kHalf ? offsetof(A8Block, minus_half) + 4 * half : offsetof(A8Block, minus_sum);
    return hn::BitCast(DI32(), Broadcast(at));
  }
  HWY_INLINE VI32 Start() const { return hn::BitCast(DI32(), Broadcast(offsetof(A8Block, start))); }
  // sum + x * (scale of the activations), and t + min * (minus the sum of a block or of a half).
#if HWY_ARCH_ARM_A64
  // What follows the codes is one vector, and a multiply-add takes any lane of it.
  static_assert(offsetof(A8Block, scale) == 32 && offsetof(A8Block, minus_half) == 40);
  HWY_INLINE VF AddScaled(VF x, VF sum) const {
    return VF(vfmaq_laneq_f32(sum.raw, x.raw, vreinterpretq_f32_u8(vld1q_u8(block + 32)), 0));
  }
  template <bool kIsHalf, size_t kHalf>
  HWY_INLINE VF AddMin(VF min, VF t) const {
    const float32x4_t sums = vcvtq_f32_s32(vreinterpretq_s32_u8(vld1q_u8(block + 32)));
    return VF(vfmaq_laneq_f32(t.raw, min.raw, sums, kIsHalf ? 2 + kHalf : 1));
  }
#else
  HWY_INLINE VF AddScaled(VF x, VF sum) const {
    return hn::MulAdd(x, hn::BitCast(DF(), Broadcast(offsetof(A8Block, scale))), sum);
  }
  template <bool kIsHalf, size_t kHalf>
  HWY_INLINE VF AddMin(VF min, VF t) const {
    return hn::MulAdd(min, hn::ConvertTo(DF(), MinusSum<kIsHalf>(kHalf)), t);
  }
#endif
  HWY_INLINE void Next() {
    block += sizeof(A8Block);
  }
  // The block before this one.
  HWY_INLINE Acts Last() const {
    return {block - sizeof(A8Block)};
  }

 private:
  HWY_INLINE VU32 Broadcast(size_t at) const {
    return hn::Set(DU32(), Load32(block + at));
  }
};

HWY_INLINE Acts ActsOf(const MatMulArgs& args, size_t token) {
  return {static_cast<const uint8_t*>(args.acts) + token * args.act_stride_bytes};
}

// Tokens from which on a tile of T passes them, some of them more than once, rather than tiles of fewer, each of which
// reads the weights: three tokens cost 1.0 times one as a tile of four and 1.5 as two and one, six 1.3 to 1.6 as one of
// eight and 1.8 to 2.1 as four and two; five as four and one are no dearer than eight (Q4_0 and Q4_K, 2 cores of Zen 5,
// 2026-11). Not on WebAssembly, where tiles pass four panels side by side.
constexpr size_t LeastOfTile(size_t T) {
  return kFarPanels > 1 ? T : T == 8 ? 6 : T == 4 ? 3 : T;
}
// Tokens of the next narrower tile, for those that tiles of T leave.
constexpr size_t FewerTokens(size_t T) {
  return T == 6 ? 4 : T / 2;
}
// The one that a tile passes as `token`: the last one, where there are no more.
HWY_INLINE size_t TokenOfTile(const MatMulArgs& args, size_t token) {
  return kFarPanels > 1 || token < args.m ? token : args.m - 1;
}

// ---- The arithmetic of a block

// kIsWide: activations share their scale over 256 values, so that it is multiplied once per super-block. kSmallScale:
// scales are below 2^100.
template <class DotSumType, size_t kSub, bool kMin, bool kOffset, bool kIsWide, bool kSmallScale>
struct GemmKind {
  static_assert(kSub == 32 || kIsWide);
  using Sum = DotSumType;
  static constexpr bool kHasMin = kMin;
  static constexpr bool kWide = kIsWide;
  static constexpr size_t kHalves = 32 / kSub;

  // What a dot product starts from: codes carry an offset of 2^shift.
  static HWY_INLINE VI32 Start(const Acts& acts, [[maybe_unused]] size_t half, [[maybe_unused]] int shift) {
    if constexpr (!kOffset) return hn::Zero(DI32());
    return hn::ShiftLeftSame(acts.MinusSum<kHalves == 2>(half), shift);
  }

  // Adds a block, or half of it, to the sum; where kWide, to that of the super-block. `min` only where kHasMin.
  template <size_t kHalf>
  static HWY_INLINE VF Add(VF sum, VI32 dot, VF scale, VF min, const Acts& acts) {
    const DF df;
    const VF x = hn::ConvertTo(df, dot);
    return AddTo<kHalf>(sum, kWide ? hn::MulAdd(x, scale, sum) : hn::Mul(x, scale), min, acts);
  }

  // The same for many tokens. Where one instruction takes codes of 0..255, whatever carries an offset is given one of
  // 128 while it is unpacked: one start for all. It ends as the bits of a float (kFloatStart), which need not be
  // converted: their product with the scale, less kFloatStart times the scale (`bias`, exact: scales have at most 22
  // bits), is rounded once, like the product of the sum itself.
  static constexpr bool kRaised = kDotTakesU8 && kOffset;
  static constexpr bool kFloatBits = kDotTakesU8 && kHalves == 1 && (kIsWide ? kOffset : kSmallScale);
  static HWY_INLINE VI32 ManyStart(const Acts& acts, size_t half, int shift) {
    if constexpr (kFloatBits) return kOffset ? acts.Start() : hn::Set(DI32(), kFloatStart);
    if constexpr (kRaised) return hn::ShiftLeft<7>(acts.MinusSum<kHalves == 2>(half));
    return Start(acts, half, shift);
  }
  static HWY_INLINE VF Bias([[maybe_unused]] VF scale) {
    return kFloatBits && !kWide ? hn::Mul(scale, hn::Set(DF(), -0x1.8p23f)) : hn::Zero(DF());
  }
  template <size_t kHalf>
  static HWY_INLINE VF AddMany(VF sum, VI32 dot, VF scale, VF bias, VF min, const Acts& acts) {
    if constexpr (!kFloatBits) return Add<kHalf>(sum, dot, scale, min, acts);
    const VF x = hn::BitCast(DF(), dot);
    const VF t = kWide ? hn::MulAdd(hn::Sub(x, hn::Set(DF(), 0x1.8p23f)), scale, sum) : hn::MulAdd(x, scale, bias);
    return AddTo<kHalf>(sum, t, min, acts);
  }

 private:
  template <size_t kHalf>
  static HWY_INLINE VF AddTo(VF sum, VF t, [[maybe_unused]] VF min, const Acts& acts) {
    if constexpr (kMin) t = acts.AddMin<kHalves == 2, kHalf>(min, t);
    return kWide ? t : acts.AddScaled(t, sum);
  }
};

// What a format's codes become for this instruction set's dot product, for few tokens or for many.
constexpr int Log2(int power) {
  return power == 1 ? 0 : 1 + Log2(power / 2);
}
template <class F, bool kMany = false>
struct Operand {
  static constexpr bool kPrefer = kMany ? kPreferUnsigned : kPreferUnsignedFew;
  static constexpr bool kUnsigned = F::kSigned ? kDotTakesU8 : (kPrefer || F::kOffset == 0);
  static constexpr int kOffset = !kUnsigned ? 0 : F::kSigned ? 128 : F::kOffset;
  static constexpr int kShift = kOffset == 0 ? 0 : Log2(kOffset);
  // The lowest code is -kOffset where the offset has been taken off.
  static constexpr int kLargest = kUnsigned || F::kSigned || F::kOffset == 0 ? F::kLargest : F::kOffset;
#if HWY_ARCH_WASM && defined(__wasm_relaxed_simd__)
  // Q8_0 as it is falls to engines that take three instructions for the relaxed dot product (matmul_q8_0.cc): without
  // it prompts are 1.6 times as fast.
  using Sum = std::conditional_t<F::kPlainWords == 8, DotSum16<kUnsigned, 1>, DotSum<kUnsigned, F::kSub / 4>>;
#else
  using Sum = DotSum<kUnsigned, StepsIn16Bits(kLargest, F::kSub / 4)>;
#endif
  // No more kinds than there are kernels.
  static constexpr bool kSmallScale = !kDotTakesU8 || F::kSmallScale;
  using Kind = GemmKind<Sum, F::kSub, F::kHasMin, kOffset != 0, F::kSuper, kSmallScale>;
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

// All tokens of `args` times the weights of `gemm`, to the outputs of `row`.. . Defined in gemm.cc for all formats.
template <class F>
void Gemm(const MatMulArgs& args, const GemmArgs& gemm, size_t row);

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // MOTE_VECTORS

#endif  // MOTE_SIMD_GEMM_INL_H_
