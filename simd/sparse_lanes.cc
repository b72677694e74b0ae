// Products of many rows with block-sparse int8 weights by the 8-bit dot product of AVX-512 (VNNI), with the bits that
// simd/matmul_sparse.cc gives: a stretch's sums are whole numbers, exact in any order, and what follows are the same
// operations on floats in the same order.
//
// A lane is a token here, not a row. Where lanes are rows, each dot product loads the four activations that it
// broadcasts, from a row of its own: 8 tokens of a block take 9 dot products, 10 loads and 8 pointers, more than there
// are registers, and each sum waits for the one before it, 5 cycles for 4.5 cycles' work. Here the activations of 16
// tokens at a place are one line, which the list of places points to; a row's four weights are broadcast once for 32
// tokens: 16 dot products take 10 loads and 3 pointers. What raising the activations adds, 128 times the sum of a row's
// codes, is where the sums begin. Half of the blocks, 512 tokens, two cores of Granite Rapids (2026-11): 1.39 times as
// fast as with rows as lanes, a prompt of a 1B model 1.22 times. Results leave in whole rows of 64, past the caches
// where they are large: stored group by group they took a fifth of the time.
#include "simd/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/sparse_lanes.cc"
#include "hwy/foreach_target.h"
//
#include "simd/gemm-inl.h"
#include "simd/kernel_list-inl.h"
#include "simd/matmul_float-inl.h"
#include "simd/sparse.h"
#include "simd/unit-inl.h"

#if MOTE_VECTORS && HWY_TARGET == HWY_AVX3_DL && HWY_ARCH_X86_64
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {

void SparseMatMulI8Lanes(const SparseMatMulArgs& args);
void QuantizeS8Lanes(const float* x, size_t stride, size_t k, size_t rows, void* group);

namespace {

// S8Tiles for this: the codes of 4 values of k of all 16 tokens side by side, raised by 128.
struct LaneTiles {
  float scales[kS8TileRows];
  uint8_t codes[kSparseStretch / 4][kS8TileRows][4];
};
static_assert(sizeof(LaneTiles) == sizeof(S8Tiles));
static_assert(kS8TileRows == kLanes && kSparseRows == kLanes && kSparseBlockBytes == kBytes);

// Rows whose sums are at work at once: with two tiles of tokens 16 sums.
constexpr size_t kRowsAtOnce = 8;
// Groups and tokens whose sums wait in scratch from one stretch to the next, 32 KiB. A pair of tiles meets all groups
// before the next pair: its activations, a stretch's blocks and the sums at work are 24 KiB. Groups one after the other
// take 1.01 of the time, twice the tokens as long; three tiles at once 0.98 to 1.03 (passes of 6, 9 or 12); fetching
// the next pair's activations meanwhile, a line for each block, 1.09 (a prompt of a 1B model, Granite Rapids, 2026-11).
constexpr size_t kPassGroups = 4;
constexpr size_t kPassTiles = 8;
constexpr size_t kTileFloats = kSparseRows * kS8TileRows;
constexpr size_t kSumBytes = kPassGroups * kPassTiles * kTileFloats * sizeof(float);
// Where the sums begin is added up once, in the first pass, and kept behind them for the others: (stretches,
// kPassGroups, 16). Of more stretches, 122,880 values, it is added up in every pass.
constexpr size_t kKeptStretches =
    (kSparseTilesScratchBytes - kSumBytes) / (kPassGroups * kSparseRows * sizeof(int32_t));

// One stretch of a group of rows.
struct Stretch {
  const uint8_t* values;  // its blocks
  const uint8_t* index;   // their places; null: every place
  size_t count;
  HWY_ALIGN int32_t starts[kSparseRows];  // of the sums: less what raising the activations adds
  HWY_ALIGN float scales[kSparseRows];
};

// Minus 128 times the sums of the codes.
HWY_INLINE VI32 StartsOf(const Stretch& stretch, FetchAhead ahead) {
  VI32 raised = hn::Zero(DI32());
  for (size_t b = 0; b < stretch.count; ++b) {
    const uint8_t* block = stretch.values + b * kSparseBlockBytes;
    PrefetchWeights(block, kSparseBlockBytes, ahead);
    raised = DotU8(raised, hn::Set(DU8(), 128), hn::BitCast(DI8(), hn::LoadU(DU8(), block)));
  }
  return hn::Neg(raised);
}

// T tiles of tokens, `step` bytes apart; sums (T, 16 rows, 16 tokens).
template <bool kAll, size_t T>
HWY_NOINLINE void Tiles(const Stretch& stretch, bool is_first, const uint8_t* acts, size_t step, float* sums) {
  for (size_t row = 0; row < kSparseRows; row += kRowsAtOnce) {
    VI32 dots[kRowsAtOnce][T];
    MOTE_UNROLL for (size_t r = 0; r < kRowsAtOnce; ++r) {
      MOTE_UNROLL for (size_t t = 0; t < T; ++t) dots[r][t] = hn::Set(DI32(), stretch.starts[row + r]);
    }
    const uint8_t* block = stretch.values + 4 * row;
    for (size_t b = 0; b < stretch.count; ++b) {
      const uint8_t* line = acts + offsetof(LaneTiles, codes) + (kAll ? b : size_t{stretch.index[b]}) * kBytes;
      VU8 codes[T];
      MOTE_UNROLL for (size_t t = 0; t < T; ++t) codes[t] = hn::Load(DU8(), line + t * step);
      MOTE_UNROLL for (size_t r = 0; r < kRowsAtOnce; ++r) {
        const VI8 weights = hn::BitCast(DI8(), hn::Set(DU32(), Load32(block + 4 * r)));
        MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
          dots[r][t] = DotU8(dots[r][t], codes[t], weights);
          HoldInRegister(dots[r][t]);  // else every sum is copied twice for each block
        }
      }
      block += kSparseBlockBytes;
    }
    MOTE_UNROLL for (size_t t = 0; t < T; ++t) {
      const VF act_scales = hn::Load(DF(), reinterpret_cast<const float*>(acts + t * step));
      float* to = sums + t * kTileFloats + row * kS8TileRows;
      MOTE_UNROLL for (size_t r = 0; r < kRowsAtOnce; ++r, to += kS8TileRows) {
        const VF x = hn::Mul(hn::ConvertTo(DF(), dots[r][t]), hn::Set(DF(), stretch.scales[row + r]));
        hn::Store(hn::MulAdd(x, act_scales, is_first ? hn::Zero(DF()) : hn::Load(DF(), to)), DF(), to);
      }
    }
  }
}

// All tiles of tokens by all groups; sums (groups, tiles, 16 rows, 16 tokens).
template <bool kAll>
HWY_INLINE void AllTiles(const Stretch* stretches, size_t groups, bool is_first, const uint8_t* acts, size_t step,
                         size_t tiles, float* sums) {
  for (size_t tile = 0; tile < tiles; tile += 2) {
    for (size_t g = 0; g < groups; ++g) {
      float* to = sums + (g * tiles + tile) * kTileFloats;
      if (tile + 2 <= tiles) Tiles<kAll, 2>(stretches[g], is_first, acts + tile * step, step, to);
      if (tile + 2 > tiles) Tiles<kAll, 1>(stretches[g], is_first, acts + tile * step, step, to);
    }
  }
}

// 16 rows of 16 words, kStride words from one to the next, to 16 columns.
template <size_t kStride>
HWY_INLINE void Transpose(const float* from, VF (&to)[kS8TileRows]) {
  __m512 part[4][4];  // of four rows, a column of every four
  MOTE_UNROLL for (size_t q = 0; q < 4; ++q) {
    const float* rows = from + q * 4 * kStride;
    const __m512 r0 = _mm512_load_ps(rows), r1 = _mm512_load_ps(rows + kStride);
    const __m512 r2 = _mm512_load_ps(rows + 2 * kStride), r3 = _mm512_load_ps(rows + 3 * kStride);
    const __m512d low01 = _mm512_castps_pd(_mm512_unpacklo_ps(r0, r1));
    const __m512d high01 = _mm512_castps_pd(_mm512_unpackhi_ps(r0, r1));
    const __m512d low23 = _mm512_castps_pd(_mm512_unpacklo_ps(r2, r3));
    const __m512d high23 = _mm512_castps_pd(_mm512_unpackhi_ps(r2, r3));
    part[q][0] = _mm512_castpd_ps(_mm512_unpacklo_pd(low01, low23));
    part[q][1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low01, low23));
    part[q][2] = _mm512_castpd_ps(_mm512_unpacklo_pd(high01, high23));
    part[q][3] = _mm512_castpd_ps(_mm512_unpackhi_pd(high01, high23));
  }
  MOTE_UNROLL for (size_t c = 0; c < 4; ++c) {
    const __m512 low01 = _mm512_shuffle_f32x4(part[0][c], part[1][c], 0x44);
    const __m512 low23 = _mm512_shuffle_f32x4(part[2][c], part[3][c], 0x44);
    const __m512 high01 = _mm512_shuffle_f32x4(part[0][c], part[1][c], 0xee);
    const __m512 high23 = _mm512_shuffle_f32x4(part[2][c], part[3][c], 0xee);
    to[c] = VF{_mm512_shuffle_f32x4(low01, low23, 0x88)};
    to[4 + c] = VF{_mm512_shuffle_f32x4(low01, low23, 0xdd)};
    to[8 + c] = VF{_mm512_shuffle_f32x4(high01, high23, 0x88)};
    to[12 + c] = VF{_mm512_shuffle_f32x4(high01, high23, 0xdd)};
  }
}

// Sums (groups, tiles, 16 rows, 16 tokens) to where they go: of each token what all groups have, which lies side by
// side.
HWY_NOINLINE void HandOver(const SparseMatMulArgs& args, const float* sums, size_t group, size_t groups, size_t token,
                           size_t end) {
  const size_t tiles = (end - token + kS8TileRows - 1) / kS8TileRows;
  const size_t left = args.shape.rows - (args.first_group + group) * kSparseRows;
  float* out = args.out + token * args.out_stride + group * kSparseRows;
  const bool far = left >= groups * kSparseRows && GoFar(out, args.out_stride, args.m);
  for (size_t tile = 0; tile < tiles; ++tile) {
    VF rows[kPassGroups][kS8TileRows];
    for (size_t g = 0; g < groups; ++g) Transpose<kS8TileRows>(sums + (g * tiles + tile) * kTileFloats, rows[g]);
    for (size_t t = tile * kS8TileRows; t < (tile + 1) * kS8TileRows && token + t < end; ++t) {
      for (size_t g = 0; g < groups; ++g) {
        const VF sum = rows[g][t % kS8TileRows];
        if (far) hn::Stream(sum, DF(), out + t * args.out_stride + g * kSparseRows);
        if (!far) StoreSums(sum, out + t * args.out_stride, g, left);
      }
    }
  }
}

// Groups [group, group + groups) of the call, tokens [token, end).
HWY_NOINLINE void PassTokens(const SparseMatMulArgs& args, size_t group, size_t groups, size_t token, size_t end) {
  const size_t stretches = args.shape.stretches();
  const size_t step = kS8TileRows * args.act_stride_bytes;
  const size_t tiles = (end - token + kS8TileRows - 1) / kS8TileRows;
  const uint8_t* acts = static_cast<const uint8_t*>(args.acts) + token * args.act_stride_bytes;
  float* sums = reinterpret_cast<float*>(args.scratch);  // (groups, tiles, 16 rows, 16 tokens)
  int32_t* kept = reinterpret_cast<int32_t*>(args.scratch + kSumBytes);
  const bool all = args.index == nullptr;
  Stretch of_groups[kPassGroups];
  uint64_t block[kPassGroups];
  for (size_t g = 0; g < groups; ++g) {
    const size_t at = args.first_group + group + g;
    block[g] = all ? at * (args.shape.cols / SparseBlockCols(DType::kI8)) : args.starts[at];
  }
  for (size_t s = 0; s < stretches; ++s) {
    for (size_t g = 0; g < groups; ++g) {
      const size_t at = args.first_group + group + g;
      Stretch& stretch = of_groups[g];
      stretch.values = args.values + block[g] * kSparseBlockBytes;
      stretch.index = all ? nullptr : args.index + block[g];
      stretch.count = all ? args.shape.places(s) : size_t{args.counts[at * stretches + s]};
      block[g] += stretch.count;
      int32_t* starts = kept + (s * kPassGroups + g) * kSparseRows;
      const bool known = token != 0 && s < kKeptStretches;
      const VI32 start = known ? hn::Load(DI32(), starts) : StartsOf(stretch, args.ahead);
      if (!known && s < kKeptStretches) hn::Store(start, DI32(), starts);
      hn::Store(start, DI32(), stretch.starts);
      const uint8_t* scales = args.scales + (at * args.shape.group_scales() + s * kSparseRows) * sizeof(uint16_t);
      hn::Store(LoadF16(DF(), reinterpret_cast<const uint16_t*>(scales)), DF(), stretch.scales);
    }
    const uint8_t* of_stretch = acts + s * sizeof(LaneTiles);
    if (all) AllTiles<true>(of_groups, groups, s == 0, of_stretch, step, tiles, sums);
    if (!all) AllTiles<false>(of_groups, groups, s == 0, of_stretch, step, tiles, sums);
  }
  HandOver(args, sums, group, groups, token, end);
}

}  // namespace

void SparseMatMulI8Lanes(const SparseMatMulArgs& args) {
  constexpr size_t kPassTokens = kPassTiles * kS8TileRows;
  for (size_t group = 0; group < args.groups; group += kPassGroups) {
    const size_t groups = args.groups - group < kPassGroups ? args.groups - group : kPassGroups;
    for (size_t token = 0; token < args.m; token += kPassTokens) {
      PassTokens(args, group, groups, token, args.m - token < kPassTokens ? args.m : token + kPassTokens);
    }
  }
  hwy::FlushStream();  // whoever waits for this call sees its results
}

// QuantizeS8's scales and codes. A stretch of all rows at a time: row after row its words are 64 bytes apart, and were
// stored one by one, 4 % of a prompt's time.
void QuantizeS8Lanes(const float* x, size_t stride, size_t k, size_t rows, void* group) {
  LaneTiles* to = static_cast<LaneTiles*>(group);
  constexpr size_t kWords = kSparseStretch / 4;
  HWY_ALIGN float words[kS8TileRows][kWords] = {};  // four codes each
  for (size_t begin = 0; begin < k; begin += kSparseStretch, ++to) {
    const size_t count = k - begin < kSparseStretch ? k - begin : kSparseStretch;
    for (size_t row = 0; row < rows; ++row) {
      A8Block blocks[kSparseStretch / 32];
      QuantizeA8(x + row * stride + begin, count, count, blocks);
      to->scales[row] = blocks[0].scale;
      for (size_t i = 0; i < count; i += 32) memcpy(&words[row][i / 4], blocks[i / 32].codes, 32);
    }
    for (size_t word = 0; word < count / 4; word += kS8TileRows) {
      VF lines[kS8TileRows];
      Transpose<kWords>(&words[0][word], lines);
      MOTE_UNROLL for (size_t i = 0; i < kS8TileRows; ++i) {
        hn::Store(hn::Xor(hn::BitCast(DU8(), lines[i]), hn::Set(DU8(), 128)), DU8(), to->codes[word + i][0]);
      }
    }
  }
}

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
