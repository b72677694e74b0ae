// Products of int8 weights of one scale a row with many tokens, by AMX (Intel SDM volume 2: TDPBSUD). Whole numbers:
// the sums, and so the results, are those of simd/matmul_i8.cc to the bit.
//
// Both operands lie in memory as the unit reads them: 16 rows of weights by 64 values of k are 16 words of a panel, one
// KiB in a row; 16 tokens by 64 values are a cache line of each R8 row. So nothing is unpacked or moved. 32 rows by 32
// tokens are four sums, each operand that is read serves two products: 4 KiB for 64 cycles of them. Weights of a part
// of k stay in the first-level cache while all tokens pass over them, and activations come from the second: 32 bytes a
// cycle. One core of Granite Rapids (2026-11): 1650 multiply-adds per ns in the caches (1800 with zeros), where VNNI
// has 350, and 960 to 990 within a model.
#include "simd/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/unit_i8.cc"
#include "hwy/foreach_target.h"
//
#include "simd/gemm-inl.h"
#include "simd/kernel_list-inl.h"
#include "simd/unit-inl.h"

#if MOTE_VECTORS && HWY_TARGET == HWY_AVX3_DL && HWY_ARCH_X86_64
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {
namespace {

// Fewer tokens than this leave the unit's rows empty: VNNI reads weights once for as many.
inline constexpr size_t kI8LeastTokens = 17;
// Values of k whose weights, of 32 rows, stay in the first-level cache.
inline constexpr size_t kI8PartValues = 1024;
inline constexpr size_t kI8StepValues = 64;
// Rows and tokens whose sums wait in scratch memory from one part of k to the next: the part of their activations
// (512 KiB) is in the second-level cache for all the rows.
inline constexpr size_t kI8SumRows = kI8TileRows;
inline constexpr size_t kI8SumTokens = 512;
inline constexpr size_t kI8BlockInts = kUnitTokens * kUnitRows;
inline constexpr size_t kI8PairInts = kI8SumTokens / kUnitTokens * kI8BlockInts;
inline constexpr size_t kI8LastAt = kI8SumRows / kUnitRows * kI8PairInts * sizeof(int32_t);
static_assert(kI8LastAt + 2 * kTileBytes <= kUnitScratchBytes);

// Two panels, or one twice, and where their results go.
struct I8Pair {
  const uint8_t* first;
  const uint8_t* second;
  size_t row;
  size_t rows;
  int32_t* sums;  // block of tokens by block
};

HWY_INLINE I8Pair PairAt(const MatMulArgs& args, size_t row, int32_t* sums) {
  const size_t panel_bytes = kSide * (args.k + sizeof(float));
  I8Pair pair;
  pair.row = row;
  pair.rows = args.rows - row < kUnitRows ? args.rows - row : kUnitRows;
  pair.first = args.panels + row / kSide * panel_bytes;
  pair.second = pair.rows > kSide ? pair.first + panel_bytes : pair.first;
  pair.sums = sums;
  return pair;
}

// kTwo: tokens 16 and on as well.
template <bool kTwo>
HWY_INLINE void I8Steps(const uint8_t* acts, size_t act_stride, const uint8_t* first, const uint8_t* second,
                        size_t steps) {
  const uint8_t* more = acts + kSide * act_stride;
  for (size_t step = 0; step < steps; ++step) {
    asm volatile(
        "tileloadd (%0,%2,1), %%tmm6\n\ttileloadd (%3,%4,1), %%tmm4\n\ttdpbsud %%tmm6, %%tmm4, %%tmm0\n\t"
        "tileloadd (%1,%2,1), %%tmm7\n\ttdpbsud %%tmm7, %%tmm4, %%tmm1"
        :
        : "r"(first), "r"(second), "r"(size_t{kBytes}), "r"(acts), "r"(act_stride)
        : "memory");
    if constexpr (kTwo) {
      asm volatile("tileloadd (%0,%1,1), %%tmm5\n\ttdpbsud %%tmm6, %%tmm5, %%tmm2\n\ttdpbsud %%tmm7, %%tmm5, %%tmm3"
                   :
                   : "r"(more), "r"(act_stride)
                   : "memory");
    }
    acts += kI8StepValues;
    more += kI8StepValues;
    first += kTileBytes;
    second += kTileBytes;
  }
}

// Past the caches: with 512 tokens and 2048 rows of 2048 values 1290 multiply-adds per ns instead of 1030 (1330
// where rows of results are 128 bytes longer, 1630 where nothing is stored; one core of Granite Rapids, 2026-11), and a
// prompt of a 1B model, which reads them again, takes 0.9 of the time.
// The results of a block of tokens.
HWY_NOINLINE void FinishI8(const MatMulArgs& args, const I8Pair& pair, const int32_t* sums, size_t token,
                           size_t tokens) {
  const size_t scales_at = kSide * args.k;
  const VF scales[2] = {hn::LoadU(DF(), reinterpret_cast<const float*>(pair.first + scales_at)),
                        hn::LoadU(DF(), reinterpret_cast<const float*>(pair.second + scales_at))};
  const uint8_t* acts = static_cast<const uint8_t*>(args.acts) + token * args.act_stride_bytes + R8CodeBytes(args.k);
  float* out = args.out + token * args.out_stride + pair.row;
  const bool far = GoFar(args.out, args.out_stride, args.m);
  for (size_t t = 0; t < tokens; ++t, acts += args.act_stride_bytes, out += args.out_stride) {
    R8Tail tail;
    memcpy(&tail, acts, sizeof(tail));
    const VI32 offset = hn::Set(DI32(), 128 * tail.minus_sum);
    const VF act_scale = hn::Set(DF(), tail.scale);
    MOTE_UNROLL for (size_t p = 0; p < 2; ++p) {
      if (pair.rows <= p * kLanes) break;
      const VI32 dot = hn::Add(hn::Load(DI32(), sums + t * kUnitRows + p * kSide), offset);
      const VF result = hn::Mul(hn::Mul(hn::ConvertTo(DF(), dot), scales[p]), act_scale);
      if (far && pair.rows >= (p + 1) * kLanes) {
        hn::Stream(result, DF(), out + p * kLanes);
      } else {
        StoreRows(result, out + p * kLanes, pair.rows - p * kLanes);
      }
    }
  }
}

// Values [begin, end) of k, for tokens [token, token + tokens): a block, whose sums are at `sums`. `last`: what is no
// whole step of them.
HWY_INLINE void I8Block(const MatMulArgs& args, const I8Pair& pair, const uint8_t* last, size_t begin, size_t end,
                        size_t token, size_t tokens, int32_t* sums) {
  const bool two = tokens > kSide;
  float* tiles = reinterpret_cast<float*>(sums);
  if (begin == 0) {
    ZeroTiles();
  } else {
    LoadTiles<false>(tiles, kRowBytes);
    if (two) LoadTiles<true>(tiles, kRowBytes);
  }
  const uint8_t* acts = static_cast<const uint8_t*>(args.acts) + token * args.act_stride_bytes + begin;
  const size_t steps = (end - begin) / kI8StepValues;
  const auto run = [&](const uint8_t* from, const uint8_t* first, const uint8_t* second, size_t count) HWY_ATTR {
    if (two) {
      I8Steps<true>(from, args.act_stride_bytes, first, second, count);
    } else {
      I8Steps<false>(from, args.act_stride_bytes, first, second, count);
    }
  };
  run(acts, pair.first + begin * kSide, pair.second + begin * kSide, steps);
  if ((end - begin) % kI8StepValues != 0) run(acts + steps * kI8StepValues, last, last + kTileBytes, 1);
  StoreTiles<false>(tiles, kRowBytes);
  if (two) StoreTiles<true>(tiles, kRowBytes);
}

// Weights that the next products read, on their way to the second-level cache: nothing else foresees them.
struct I8Next {
  const uint8_t* panels[2] = {};
  size_t lines = 0;  // of each
  HWY_INLINE void Fetch(size_t part, size_t parts) const {
    const size_t end = lines * (part + 1) / parts;
    for (size_t line = lines * part / parts; line < end; ++line) {
      _mm_prefetch(reinterpret_cast<const char*>(panels[0] + line * 64), _MM_HINT_T1);
      _mm_prefetch(reinterpret_cast<const char*>(panels[1] + line * 64), _MM_HINT_T1);
    }
  }
};

// Values [begin, end) of k of two panels, for up to kI8SumTokens tokens.
HWY_INLINE void I8Part(const MatMulArgs& args, const I8Pair& pair, uint8_t* last, size_t begin, size_t end,
                       size_t token0, size_t tokens, const I8Next& next) {
  if (const size_t rest = (end - begin) % kI8StepValues; rest != 0) {
    // Words of the panel, filled up with zeros.
    memset(last, 0, 2 * kTileBytes);
    memcpy(last, pair.first + (end - rest) * kSide, rest * kSide);
    memcpy(last + kTileBytes, pair.second + (end - rest) * kSide, rest * kSide);
  }
  const size_t blocks = (tokens + kUnitTokens - 1) / kUnitTokens;
  const bool done = end == args.k;
  size_t configured = 0;
  for (size_t block = 0; block < blocks; ++block) {
    const size_t token = block * kUnitTokens;
    const size_t count = tokens - token < kUnitTokens ? tokens - token : kUnitTokens;
    if (count != configured) Configure(count);
    configured = count;
    next.Fetch(block, blocks);
    I8Block(args, pair, last, begin, end, token0 + token, count, pair.sums + block * kI8BlockInts);
    // A block behind: the unit's results are not waited for.
    if (done && block != 0) {
      FinishI8(args, pair, pair.sums + (block - 1) * kI8BlockInts, token0 + token - kUnitTokens, kUnitTokens);
    }
  }
  if (!done) return;
  const size_t token = (blocks - 1) * kUnitTokens;
  FinishI8(args, pair, pair.sums + (blocks - 1) * kI8BlockInts, token0 + token, tokens - token);
}

}  // namespace

void MatMulI8Unit(const MatMulArgs& args) {
  if (args.m < kI8LeastTokens) return MatMulI8(args);
  int32_t* sums = reinterpret_cast<int32_t*>(args.scratch);
  uint8_t* last = args.scratch + kI8LastAt;
  for (size_t token = 0; token < args.m; token += kI8SumTokens) {
    const size_t tokens = args.m - token < kI8SumTokens ? args.m - token : kI8SumTokens;
    for (size_t row0 = 0; row0 < args.rows; row0 += kI8SumRows) {
      const size_t rows = args.rows - row0 < kI8SumRows ? args.rows - row0 : kI8SumRows;
      for (size_t begin = 0; begin < args.k; begin += kI8PartValues) {
        const size_t end = args.k - begin < kI8PartValues ? args.k : begin + kI8PartValues;
        for (size_t row = 0; row < rows; row += kUnitRows) {
          const I8Pair pair = PairAt(args, row0 + row, sums + row / kUnitRows * kI8PairInts);
          I8Next next;
          if (row + kUnitRows < rows) {
            const I8Pair other = PairAt(args, row0 + row + kUnitRows, nullptr);
            next = {{other.first + begin * kSide, other.second + begin * kSide}, (end - begin) * kSide / 64};
          } else if (end < args.k) {
            const I8Pair other = PairAt(args, row0, nullptr);
            const size_t values = args.k - end < kI8PartValues ? args.k - end : kI8PartValues;
            next = {{other.first + end * kSide, other.second + end * kSide}, values * kSide / 64};
          }
          I8Part(args, pair, last, begin, end, token, tokens, next);
        }
      }
    }
  }
  ReleaseTiles();
  hwy::FlushStream();  // before other threads are told
}

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
