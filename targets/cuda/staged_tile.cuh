// A tile of weights in shared memory times a warp's tokens: the arithmetic of tile_product.cuh, operation by operation,
// in an order that keeps fewer numbers in registers. Whole numbers may be added up in any way.
#ifndef MOTE_TARGETS_CUDA_STAGED_TILE_CUH_
#define MOTE_TARGETS_CUDA_STAGED_TILE_CUH_

#include "targets/cuda/stage.cuh"

namespace mote::cuda {

// sum[r][n]: D of the warp's row tile r and its tokens 8n .. 8n + 7.
template <DType kType>
using StagedSums = float[Staged<kType>::kRowTiles][Staged<kType>::kTokens8][4];

MOTE_DEVICE float SumOfTwo(uint32_t word) {
  return static_cast<float>(static_cast<int16_t>(word & 0xffffu) + static_cast<int16_t>(word >> 16));
}

// Two steps of formats with a floating scale for every 32 (SimpleHalf).
template <DType kType>
MOTE_DEVICE void SimplePair(const HalfTile<kType>& tile, int half, int pair, const StageActs<kType>& acts,
                            const MmaStart& magic, float sum[Staged<kType>::kTokens8][4]) {
  using Acts = StageActs<kType>;
  constexpr bool kMins = FormatOf(kType).mins();
  constexpr bool kMagical = FormatOf(kType).scales != Scales::kPower32;
  uint32_t a[2][4];
  float scale[2][2], start[2][2], min[2][2];
#pragma unroll
  for (int s = 0; s < 2; ++s) {
    StepCodes<kType>(tile, 2 * pair + s, a[s]);
    HalfScales<kType>(tile.scale[2 * pair + s], scale[s]);
    if constexpr (kMins) HalfScales<kType>(tile.min[2 * pair + s], min[s]);
#pragma unroll
    for (int row = 0; row < 2; ++row) start[s][row] = kMagical ? -kMagic * scale[s][row] : 0.0f;
  }
#pragma unroll
  for (int n = 0; n < Staged<kType>::kTokens8; ++n) {
    const uint4 b = Acts::Values(acts, n, half * 2 + pair);
    const uint4 scales = Acts::ColumnScales(acts, n, half * 2 + pair);
    const float token[2][2] = {{BitsToFloat(scales.x), BitsToFloat(scales.y)},
                               {BitsToFloat(scales.z), BitsToFloat(scales.w)}};
    float sums[2][2] = {};
    if constexpr (kMins) {
      const uint4 four = Acts::ColumnSums(acts, n, half * 2 + pair);
      sums[0][0] = SumOfTwo(four.x);
      sums[0][1] = SumOfTwo(four.y);
      sums[1][0] = SumOfTwo(four.z);
      sums[1][1] = SumOfTwo(four.w);
    }
#pragma unroll
    for (int s = 0; s < 2; ++s) {
      const int32_t zero[4] = {0, 0, 0, 0};
      int32_t d[4];
      MmaBytes32(d, kMagical ? magic.bits : zero, a[s], s == 0 ? b.x : b.z, s == 0 ? b.y : b.w);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float scaled = kMagical ? fmaf(BitsToFloat(static_cast<uint32_t>(d[i])), scale[s][i / 2], start[s][i / 2])
                                      : static_cast<float>(d[i]) * scale[s][i / 2];
        sum[n][i] = fmaf(scaled, token[i % 2][s], sum[n][i]);
        if constexpr (kMins) sum[n][i] = fmaf(sums[i % 2][s], min[s][i / 2] * token[i % 2][s], sum[n][i]);
      }
    }
  }
}
template <DType kType>
MOTE_DEVICE void SimpleTile(const uint8_t* weights, const StageActs<kType>& acts, const MmaStart& start,
                            StagedSums<kType>& sum) {
  static_assert(Staged<kType>::kRowTiles == 1, "a warp has one row tile");
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    HalfTile<kType> tile;
    LoadHalf<kType, false>(weights, half, start.lane, &tile);
#pragma unroll
    for (int pair = 0; pair < 2; ++pair) SimplePair<kType>(tile, half, pair, acts, start, sum[0]);
  }
}

// Sums over a tile of super-blocks (SuperSums): `whole`, and where codes times scales take two bytes, 256 `upper` more.
template <DType kType>
struct TileSums {
  int32_t whole[Staged<kType>::kRowTiles][Staged<kType>::kTokens8][4];
  int32_t upper[Staged<kType>::kRowTiles][Staged<kType>::kTokens8][4];
};

// A scale for every 16 columns: two matrix instructions of half the size and eight multiplications for every 32, which
// are what a kernel that does it is limited by. But a code times its scale fits 16 bits, or where neither has a sign,
// 8: multiplied with before, as bytes of which the low ones have no sign, they need nothing more up to the tile's end.
template <DType kType>
MOTE_DEVICE void ScaledCodes(const HalfTile<kType>& tile, int step, const int32_t scales[2][8], uint32_t low[4],
                             uint32_t high[4]) {
  StepCodes<kType>(tile, step, low);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int32_t scale = scales[i % 2][2 * step + i / 2];
    if constexpr (FormatOf(kType).scales == Scales::kNibble16) {
      low[i] *= static_cast<uint32_t>(scale);  // 3 * 15 at most
    } else {
      // Two products in a word: 128 more than the codes, and 2^15 more than the products, no number has a sign.
      const uint32_t codes = low[i] ^ 0x80808080u;
      const uint32_t start = static_cast<uint32_t>(scale * -0x00800080) + 0x80008000u;
      const uint32_t even = PickBytes(codes, 0, 0x4240) * static_cast<uint32_t>(scale) + start;
      const uint32_t odd = PickBytes(codes, 0, 0x4341) * static_cast<uint32_t>(scale) + start;
      low[i] = PickBytes(even, odd, 0x6240);
      high[i] = PickBytes(even, odd, 0x7351) ^ 0x80808080u;
    }
  }
}
// Two steps.
template <DType kType>
MOTE_DEVICE void ScaledPair(const HalfTile<kType>& tile, int half, int pair, const int32_t scales[2][8],
                            const StageActs<kType>& acts, TileSums<kType>* sums) {
  uint32_t low[2][4], high[2][4];
#pragma unroll
  for (int s = 0; s < 2; ++s) ScaledCodes<kType>(tile, 2 * pair + s, scales, low[s], high[s]);
#pragma unroll
  for (int n = 0; n < Staged<kType>::kTokens8; ++n) {
    const uint4 b = StageActs<kType>::Values(acts, n, half * 2 + pair);
#pragma unroll
    for (int s = 0; s < 2; ++s) {
      const uint32_t b0 = s == 0 ? b.x : b.z, b1 = s == 0 ? b.y : b.w;
      MmaUnsigned32<false>(sums->whole[0][n], low[s], b0, b1);
      if constexpr (FormatOf(kType).scales == Scales::kByte16) {
        MmaBytes32(sums->upper[0][n], sums->upper[0][n], high[s], b0, b1);
      }
    }
  }
}
// A scale for every 32: a multiplication each, as in SuperHalf; or none.
template <DType kType>
MOTE_DEVICE void SuperPair(const HalfTile<kType> tile[], int half, int pair, const int32_t scales[][2][4],
                           const StageActs<kType>& acts, TileSums<kType>* sums) {
  constexpr int kRowTiles = Staged<kType>::kRowTiles;
  uint32_t a[kRowTiles][2][4];
#pragma unroll
  for (int r = 0; r < kRowTiles; ++r) {
#pragma unroll
    for (int s = 0; s < 2; ++s) StepCodes<kType>(tile[r], 2 * pair + s, a[r][s]);
  }
#pragma unroll
  for (int n = 0; n < Staged<kType>::kTokens8; ++n) {
    const uint4 b = StageActs<kType>::Values(acts, n, half * 2 + pair);
#pragma unroll
    for (int s = 0; s < 2; ++s) {
#pragma unroll
      for (int r = 0; r < kRowTiles; ++r) {
        SuperStep<kType, 2, 4>(a[r][s], s == 0 ? b.x : b.z, s == 0 ? b.y : b.w, scales[r], 2 * pair + s,
                               sums->whole[r][n]);
      }
    }
  }
}

// The end of a row tile: minima, which are multiplied for both halves at once, and the super-block's own scales
// (AddSuper).
template <DType kType>
MOTE_DEVICE void EndSuperTile(const uint8_t* weights, int r, const StageActs<kType>& acts, int lane,
                              const TileSums<kType>& tile_sums, float sum[Staged<kType>::kTokens8][4]) {
  using Acts = StageActs<kType>;
  constexpr PackedFormat f = FormatOf(kType);
  uint32_t low[4], up[4];
  float scale[2], min[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    HalfTile<kType> tile;
    LoadHalfScales<kType, false>(weights, half, lane, &tile);
    if constexpr (f.mins()) MinOperands<kType>(tile, half, lane, low + 2 * half);
    OwnScales<kType>(tile, scale, min);
  }
  if constexpr (f.mins()) {
#pragma unroll
    for (int i = 0; i < 4; ++i) up[i] = low[i] << 8;
  }
#pragma unroll
  for (int n = 0; n < Staged<kType>::kTokens8; ++n) {
    const float token[2] = {Acts::OnlyScale(acts, n, 0), Acts::OnlyScale(acts, n, 1)};
    int32_t mins[4] = {0, 0, 0, 0};
    if constexpr (f.mins()) {
      const uint32_t sums[2] = {Acts::OperandSums(acts, n, 0), Acts::OperandSums(acts, n, 1)};
      MmaUnsigned32<false>(mins, up, sums[0], sums[1]);
#pragma unroll
      for (int i = 0; i < 4; ++i) mins[i] *= 256;
      MmaUnsigned32<true>(mins, low, sums[0], sums[1]);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      int32_t whole = tile_sums.whole[r][n][i];
      if constexpr (f.scales == Scales::kByte16) whole += tile_sums.upper[r][n][i] * 256;
      sum[n][i] = fmaf(static_cast<float>(whole), scale[i / 2] * token[i % 2], sum[n][i]);
      if constexpr (f.mins()) {
        sum[n][i] = fmaf(-static_cast<float>(mins[i]), min[i / 2] * token[i % 2], sum[n][i]);
      }
    }
  }
}
template <DType kType>
MOTE_DEVICE void SuperTile(const uint8_t* weights, const StageActs<kType>& acts, const MmaStart& start,
                           StagedSums<kType>& sum) {
  using S = Staged<kType>;
  constexpr int kRowTileBytes = static_cast<int>(S::kRowTileBytes);
  TileSums<kType> sums = {};
#pragma unroll 1  // unrolled, what both halves have in registers does not fit
  for (int half = 0; half < 2; ++half) {
    constexpr int kGroups = ScalesCodes<kType>() ? 8 : 4;
    HalfTile<kType> tile[S::kRowTiles];
    int32_t scales[S::kRowTiles][2][kGroups] = {};
#pragma unroll
    for (int r = 0; r < S::kRowTiles; ++r) {
      LoadHalf<kType, false>(weights + r * kRowTileBytes, half, start.lane, &tile[r]);
      if constexpr (S::kFormat.scales != Scales::kFloat) GroupScales<kType, kGroups>(tile[r], half, scales[r]);
    }
#pragma unroll
    for (int pair = 0; pair < 2; ++pair) {
      if constexpr (ScalesCodes<kType>()) {
        static_assert(S::kRowTiles == 1, "a warp has one row tile");
        ScaledPair<kType>(tile[0], half, pair, scales[0], acts, &sums);
      } else {
        SuperPair<kType>(tile, half, pair, scales, acts, &sums);
      }
    }
  }
#pragma unroll
  for (int r = 0; r < S::kRowTiles; ++r) {
    EndSuperTile<kType>(weights + r * kRowTileBytes, r, acts, start.lane, sums, sum[r]);
  }
}

// Halves: 64 columns.
template <DType kType>
MOTE_DEVICE void HalvesQuarter(const uint8_t* weights, const StageActs<kType>& acts, int lane, StagedSums<kType>& sum) {
  using S = Staged<kType>;
#pragma unroll
  for (int pair = 0; pair < 2; ++pair) {
    uint4 b[S::kTokens8];
#pragma unroll
    for (int n = 0; n < S::kTokens8; ++n) b[n] = StageActs<kType>::Values(acts, n, pair);
#pragma unroll
    for (int odd = 0; odd < 2; ++odd) {
#pragma unroll
      for (int r = 0; r < S::kRowTiles; ++r) {
        const uint4 four =
            *reinterpret_cast<const uint4*>(weights + r * static_cast<int>(S::kRowTileBytes) +
                                            (pair * 2 + odd) * static_cast<int>(kChunkBytes) + lane * 16);
        const uint32_t a[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
        for (int n = 0; n < S::kTokens8; ++n) {
          if constexpr (kType == DType::kF16) {
            MmaHalves(sum[r][n], a, odd == 0 ? b[n].x : b[n].z, odd == 0 ? b[n].y : b[n].w);
          } else {
            MmaBf16(sum[r][n], a, odd == 0 ? b[n].x : b[n].z, odd == 0 ? b[n].y : b[n].w);
          }
        }
      }
    }
  }
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_STAGED_TILE_CUH_
