// Products of many rows with block-sparse int8 weights by AMX (Intel SDM volume 2: TDPBSSD), with the bits that
// simd/matmul_sparse.cc gives: a stretch's sums are whole numbers, exact in any order, and what follows are the same
// operations on floats in the same order.
//
// A block is a row of the unit's second operand as it lies in the file: 16 rows of weights x 4 values of k. So 16
// places side by side are a tile, and the blocks of a stretch, each at its place and zeros between them, are four. Two
// tiles of tokens meet two groups of rows, so that each operand that is read serves two products; the sums of the
// stretch before are scaled meanwhile.
//
// Multiplications with zero blocks are not left out. Leaving them out takes lines of activations picked for each group
// of 16 rows, with nothing to share the picking: a line is stored for each 16 x 16 x 4 multiplications, which the unit
// does in a cycle. By hand, one core of Granite Rapids (2026-11, kept multiply-adds per ns at half the blocks): 198
// without the unit, 490 at best picked, 550 to 590 spread out, 1.3 times the speed of a full matrix, since zeros switch
// less and half the blocks are half the bytes.
#include "simd/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/unit_sparse.cc"
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

void UnitSparseMatMulI8(const SparseMatMulArgs& args);
void QuantizeS8Tiles(const float* x, size_t stride, size_t k, size_t rows, void* group);

namespace {

static_assert(kSparseRows == kSide && kS8TileRows == kSide && kSparseBlockBytes == kBytes);
inline constexpr size_t kTilePlaces = kTileBytes / kSparseBlockBytes;
// Groups and tokens whose sums wait in scratch from one stretch to the next.
inline constexpr size_t kPassGroups = 4;
inline constexpr size_t kPassTokens = 512;
inline constexpr size_t kBlockFloats = kSide * kSide;
// Scratch: the spread out blocks of a stretch, whole numbers of the tiles at work and of those before, sums.
inline constexpr size_t kSpreadBytes = kSparseStretch / 4 * kSparseBlockBytes;  // of a group
inline constexpr size_t kTotalsAt = kPassGroups * kSpreadBytes;
inline constexpr size_t kTotalsBytes = 4 * kTileBytes;
inline constexpr size_t kUnitSumsAt = kTotalsAt + 2 * kTotalsBytes;
static_assert(kUnitSumsAt + kPassGroups * kPassTokens * kSide * sizeof(float) <= kSparseTilesScratchBytes);
static_assert(kSparseTilesScratchBytes <= kUnitScratchBytes);  // which a row with a unit gives every product

// One stretch of some groups, for all tokens of a pass.
struct Stretch {
  const uint8_t* acts;      // S8Tiles of the first tile of tokens
  size_t act_step;          // bytes from a tile of tokens to the next
  const uint8_t* weights;   // (groups, kSpreadBytes)
  const VF* weight_scales;  // (groups)
  size_t groups;
  size_t steps;  // of kTilePlaces places
  int32_t* totals;
  float* sums;  // (tiles of tokens, groups, 16 tokens, 16 rows)

  HWY_INLINE const S8Tiles& ActsOf(size_t tile) const {
    return *reinterpret_cast<const S8Tiles*>(acts + tile * act_step);
  }
};

// G groups and T tiles of tokens from these on; what StoreTiles makes of them is (T tiles, 16 tokens, 2 groups, 16).
struct Place {
  size_t group, tile;
  const int32_t* totals;
};

// Adds block `b` of a place to its sums, or begins them.
template <bool kFirst, size_t G>
HWY_INLINE void AddScaled(const Stretch& stretch, const Place& place, size_t b) {
  const size_t g = b % G, t = b / G;
  const VF scale = stretch.weight_scales[place.group + g];
  const S8Tiles& acts = stretch.ActsOf(place.tile + t);
  const int32_t* totals = place.totals + t * 2 * kBlockFloats + g * kSide;
  float* sums = stretch.sums + ((place.tile + t) * stretch.groups + place.group + g) * kBlockFloats;
  MOTE_UNROLL for (size_t i = 0; i < kSide; ++i) {
    const VF x = hn::Mul(hn::ConvertTo(DF(), hn::Load(DI32(), totals + i * 2 * kSide)), scale);
    const VF sum = kFirst ? hn::Zero(DF()) : hn::Load(DF(), sums + i * kSide);
    hn::Store(hn::MulAdd(x, hn::Set(DF(), acts.scales[i]), sum), DF(), sums + i * kSide);
  }
}

#define MOTE_LOAD_SPREAD(reg, at) \
  asm volatile("tileloadd (%0,%1,1), %%tmm" reg : : "r"(at), "r"(size_t{kBytes}) : "memory")
#define MOTE_WHOLE_PRODUCT(acts, weights, sums) \
  asm volatile("tdpbssd %%tmm" weights ", %%tmm" acts ", %%tmm" sums : : :)

// Tiles [tile, end) of tokens, T at once, by groups [group, end_group), G at once; both divide what they are for.
template <bool kFirst, size_t G, size_t T>
HWY_NOINLINE void Pass(const Stretch& stretch, size_t tile, size_t end, size_t group, size_t end_group) {
  Place before = {0, 0, nullptr};
  size_t which = 0;
  for (; tile < end; tile += T) {
    for (size_t g = group; g < end_group; g += G) {
      const uint8_t* weights = stretch.weights + g * kSpreadBytes;
      const S8Tiles& acts = stretch.ActsOf(tile);
      [[maybe_unused]] const S8Tiles& more = stretch.ActsOf(tile + T - 1);
      ZeroTiles();
      for (size_t i = 0; i < kSparseStretch / 4 / kTilePlaces; ++i) {
        if (i < stretch.steps) {
          MOTE_LOAD_SPREAD("4", acts.codes[i]);
          MOTE_LOAD_SPREAD("6", weights + i * kTileBytes);
          MOTE_WHOLE_PRODUCT("4", "6", "0");
          if constexpr (G == 2) MOTE_LOAD_SPREAD("7", weights + kSpreadBytes + i * kTileBytes);
          if constexpr (G == 2) MOTE_WHOLE_PRODUCT("4", "7", "1");
          if constexpr (T == 2) MOTE_LOAD_SPREAD("5", more.codes[i]);
          if constexpr (T == 2) MOTE_WHOLE_PRODUCT("5", "6", "2");
          if constexpr (T == 2 && G == 2) MOTE_WHOLE_PRODUCT("5", "7", "3");
        }
        if (before.totals != nullptr && i < G * T) AddScaled<kFirst, G>(stretch, before, i);
      }
      int32_t* totals = stretch.totals + which * kTotalsBytes / sizeof(int32_t);
      StoreTiles<false>(reinterpret_cast<float*>(totals), kRowBytes);
      if constexpr (T == 2) StoreTiles<true>(reinterpret_cast<float*>(totals), kRowBytes);
      before = {g, tile, totals};
      which ^= 1;
    }
  }
  if (before.totals == nullptr) return;
  for (size_t b = 0; b < G * T; ++b) AddScaled<kFirst, G>(stretch, before, b);
}

template <bool kFirst>
HWY_NOINLINE void AllTiles(const Stretch& stretch, size_t tiles) {
  const size_t groups = stretch.groups / 2 * 2, pairs = tiles / 2 * 2;
  Pass<kFirst, 2, 2>(stretch, 0, pairs, 0, groups);
  if (groups < stretch.groups) Pass<kFirst, 1, 2>(stretch, 0, pairs, groups, stretch.groups);
  if (pairs == tiles) return;
  Pass<kFirst, 2, 1>(stretch, pairs, tiles, 0, groups);
  if (groups < stretch.groups) Pass<kFirst, 1, 1>(stretch, pairs, tiles, groups, stretch.groups);
}

// `count` blocks, each to its place of `places`; index null: all are there.
HWY_NOINLINE void Spread(const uint8_t* values, const uint8_t* index, size_t count, size_t places, uint8_t* to) {
  if (count < places) {
    for (size_t p = 0; p < places; ++p) hn::Store(hn::Zero(DU8()), DU8(), to + p * kSparseBlockBytes);
  }
  for (size_t b = 0; b < count; ++b) {
    PrefetchWeights(values, kSparseBlockBytes, FetchAhead());
    const size_t place = index == nullptr ? b : size_t{index[b]};
    hn::Store(hn::LoadU(DU8(), values), DU8(), to + place * kSparseBlockBytes);
    values += kSparseBlockBytes;
  }
}

// Sums to where they go.
HWY_NOINLINE void HandOver(const SparseMatMulArgs& args, const Stretch& stretch, size_t group, size_t token,
                           size_t end) {
  float* out = args.out + token * args.out_stride + group * kSparseRows;
  const size_t left = args.shape.rows - (args.first_group + group) * kSparseRows;
  const bool far = left >= stretch.groups * kSide && GoFar(out, args.out_stride, args.m);
  for (size_t t = 0; t < end - token; ++t, out += args.out_stride) {
    const float* sums = stretch.sums + t / kSide * stretch.groups * kBlockFloats + t % kSide * kSide;
    for (size_t g = 0; g < stretch.groups; ++g) {
      const VF sum = hn::Load(DF(), sums + g * kBlockFloats);
      if (far) hn::Stream(sum, DF(), out + g * kSide);
      if (!far) StoreSums(sum, out, g, left);
    }
  }
}

// Groups [group, group + groups) of the call, tokens [token, end).
HWY_NOINLINE void PassTokens(const SparseMatMulArgs& args, size_t group, size_t groups, size_t token, size_t end) {
  const size_t stretches = args.shape.stretches();
  VF scales[kPassGroups];
  uint64_t block[kPassGroups];
  for (size_t g = 0; g < groups; ++g) {
    const size_t at = args.first_group + group + g;
    block[g] = args.index != nullptr ? args.starts[at] : at * (args.shape.cols / SparseBlockCols(DType::kI8));
  }
  Stretch stretch;
  stretch.act_step = kS8TileRows * args.act_stride_bytes;
  stretch.weights = args.scratch;
  stretch.weight_scales = scales;
  stretch.groups = groups;
  stretch.totals = reinterpret_cast<int32_t*>(args.scratch + kTotalsAt);
  stretch.sums = reinterpret_cast<float*>(args.scratch + kUnitSumsAt);
  const uint8_t* acts = static_cast<const uint8_t*>(args.acts) + token * args.act_stride_bytes;
  for (size_t s = 0; s < stretches; ++s) {
    stretch.steps = (args.shape.places(s) + kTilePlaces - 1) / kTilePlaces;
    for (size_t g = 0; g < groups; ++g) {
      const size_t at = args.first_group + group + g;
      const bool all = args.index == nullptr;
      const size_t count = all ? args.shape.places(s) : size_t{args.counts[at * stretches + s]};
      Spread(args.values + block[g] * kSparseBlockBytes, all ? nullptr : args.index + block[g], count,
             stretch.steps * kTilePlaces, args.scratch + g * kSpreadBytes);
      block[g] += count;
      const uint8_t* from = args.scales + (at * args.shape.group_scales() + s * kSparseRows) * sizeof(uint16_t);
      scales[g] = LoadF16(DF(), reinterpret_cast<const uint16_t*>(from));
    }
    stretch.acts = acts + s * sizeof(S8Tiles);
    const size_t tiles = (end - token + kS8TileRows - 1) / kS8TileRows;
    if (s == 0) AllTiles<true>(stretch, tiles);
    if (s != 0) AllTiles<false>(stretch, tiles);
  }
  HandOver(args, stretch, group, token, end);
}

}  // namespace

void UnitSparseMatMulI8(const SparseMatMulArgs& args) {
  Configure(kUnitTokens);
  // As many tokens in each pass, in whole pairs of tiles: the blocks are spread out for each.
  const size_t passes = (args.m + kPassTokens - 1) / kPassTokens;
  const size_t step = passes == 0 ? 0 : ((args.m + passes - 1) / passes + kUnitTokens - 1) / kUnitTokens * kUnitTokens;
  for (size_t group = 0; group < args.groups; group += kPassGroups) {
    const size_t groups = args.groups - group < kPassGroups ? args.groups - group : kPassGroups;
    for (size_t token = 0; token < args.m; token += step) {
      PassTokens(args, group, groups, token, args.m - token < step ? args.m : token + step);
    }
  }
  hwy::FlushStream();  // whoever waits for this call sees its results
  ReleaseTiles();
}

// QuantizeS8's scales and codes.
void QuantizeS8Tiles(const float* x, size_t stride, size_t k, size_t rows, void* group) {
  for (size_t row = 0; row < rows; ++row, x += stride) {
    S8Tiles* to = static_cast<S8Tiles*>(group);
    for (size_t begin = 0; begin < k; begin += kSparseStretch, ++to) {
      const size_t count = k - begin < kSparseStretch ? k - begin : kSparseStretch;
      A8Block blocks[kSparseStretch / 32];
      QuantizeA8(x + begin, count, count, blocks);
      to->scales[row] = blocks[0].scale;
      for (size_t i = 0; i < kSparseStretch; i += 32) {
        int8_t* codes = &to->codes[i / kBytes][row][i % kBytes];
        if (i < count) {
          memcpy(codes, blocks[i / 32].codes, 32);
        } else {
          memset(codes, 0, 32);
        }
      }
    }
  }
}

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
