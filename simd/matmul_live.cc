// Matrix products of one token that pass over what its zero activations are multiplied with (simd/live.h).
//
// The steps that are left add up in the order of the dense kernels (matmul_float-inl.h, matmul_panel-inl.h), which
// would add zeros between them: the same bits.
//
// The hardware's prefetchers do not follow a list, and fetch what is passed over where they do find a stream. So floats
// are prefetched by the list, some way ahead, and Q8_0, whose list is the same for each panel, from the next panel.
#include "simd/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/matmul_live.cc"
#include "hwy/foreach_target.h"
//
#include "simd/kernel_list-inl.h"
#include "simd/live.h"
#include "simd/matmul_float-inl.h"
#include "simd/matmul_panel-inl.h"
#include "simd/sparse_dot-inl.h"

#if MOTE_VECTORS
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {
namespace {

// How far ahead values are fetched, in those that are multiplied with: the list tells where they lie, the processor
// does not foresee it.
constexpr size_t kLiveAheadBytes = 2560;

template <class Format>
void LiveFloat(const LiveMatMulArgs& args) {
  constexpr size_t V = kFloatPanelVectors;
  constexpr size_t kBytes = kFloatPanelRows * Format::kValueBytes;
  constexpr size_t kAhead = kLiveAheadBytes / kBytes;
  const float* acts = static_cast<const float*>(args.acts);
  for (size_t row = 0; row < args.rows; row += kFloatPanelRows) {
    const uint8_t* panel = args.panels + row * args.k * Format::kValueBytes;
    VF sums[V];
    MOTE_UNROLL for (size_t v = 0; v < V; ++v) sums[v] = hn::Zero(DF());
    for (size_t i = 0; i < args.num_live; ++i) {
      const size_t k = args.live[i];
      const uint8_t* ahead = i + kAhead < args.num_live ? panel + args.live[i + kAhead] * kBytes
                                                        : panel + (args.k + i + kAhead - args.num_live) * kBytes;
      for (size_t line = 0; line < kBytes; line += 64) hwy::Prefetch(ahead + line);
      VF w[V];
      Format::Load(panel + k * kBytes, w);
      const VF a = hn::Set(DF(), acts[k]);
      MOTE_UNROLL for (size_t v = 0; v < V; ++v) sums[v] = hn::MulAdd(w[v], a, sums[v]);
    }
    MOTE_UNROLL for (size_t v = 0; v < V; ++v) StoreSums(sums[v], args.out + row, v, args.rows - row);
  }
}

void LiveF32(const LiveMatMulArgs& args) {
  LiveFloat<FormatF32>(args);
}
void LiveF16(const LiveMatMulArgs& args) {
  LiveFloat<FormatF16>(args);
}
void LiveBF16(const LiveMatMulArgs& args) {
  LiveFloat<FormatBF16>(args);
}

// The sum of one block. Where the dot product takes unsigned codes, panels hold them raised.
struct LiveDot {
#if HWY_ARCH_X86 && MOTE_VNNI
  VI32 sum;
  HWY_INLINE void Begin(VI32 start) {
    sum = start;
  }
  HWY_INLINE void Add(VU8 codes, const uint8_t* acts) {
    sum = DotU8(sum, codes, hn::BitCast(DI8(), hn::Set(DU32(), Load32(acts))));
  }
  HWY_INLINE VI32 Total() const {
    return sum;
  }
#else
  using Dot = SparseDot<false>;
  Dot dot;
  HWY_INLINE void Begin(VI32) {
    dot.Begin();
  }
  HWY_INLINE void Add(VU8 codes, const uint8_t* acts) {
    dot.Add(Dot::Prepare(codes), Dot::LoadA8(acts));
  }
  HWY_INLINE VI32 Total() const {
    return dot.Total({});
  }
#endif
};

void LiveQ8_0(const LiveMatMulArgs& args) {
  using F = FormatQ8_0;
  using Kind = Operand<F>::Kind;
  constexpr size_t kSteps = 8;  // of a block
  const size_t blocks = args.k / 32;
  const size_t panel_bytes = ChunkBytes<F>(blocks);
  for (size_t row = 0; row < args.rows; row += kPanelRows) {
    const uint8_t* panel = args.panels + row / kPanelRows * panel_bytes;
    VF sum = hn::Zero(DF());
    for (size_t i = 0; i < args.num_live;) {
      const size_t block = args.live[i] / kSteps;
      const size_t first = block / kChunkBlocks * kChunkBlocks;
      const size_t n = blocks - first < kChunkBlocks ? blocks - first : kChunkBlocks;
      const uint8_t* chunk = panel + ChunkBytes<F>(first);
      const uint8_t* words = F::Words(chunk, n) + (block - first) * kSteps * kWordBytes;
      const Acts acts = {static_cast<const uint8_t*>(args.acts) + block * sizeof(A8Block)};
      LiveDot dot;
      dot.Begin(Kind::Start(acts, 0, Operand<F>::kShift));
      hwy::Prefetch(chunk + (block - first) * kHalfBytes + panel_bytes);
      do {
        const size_t step = args.live[i] % kSteps;
        hwy::Prefetch(words + step * kWordBytes + panel_bytes);
        dot.Add(LoadWords(words, step), acts.Codes() + 4 * step);
        ++i;
      } while (i < args.num_live && args.live[i] / kSteps == block);
      const VF scale = F::Scale(chunk, n, block - first);
      sum = Kind::Add<0>(sum, dot.Total(), scale, scale, acts);
    }
    StoreRows(sum, args.out + row, args.rows - row);
  }
}

}  // namespace

extern const LiveKernels kLiveRow;
constinit const LiveKernels kLiveRow = {LiveF32, LiveF16, LiveBF16, LiveQ8_0};

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
