// One tile of weights times the tokens of a warp, for every type: the arithmetic that decode and prefill share,
// operation by operation, so that both give the same bits. (The build forbids the compiler to fuse; what is fused says
// fmaf.)
#ifndef MOTE_TARGETS_CUDA_TILE_PRODUCT_CUH_
#define MOTE_TARGETS_CUDA_TILE_PRODUCT_CUH_

#include "targets/cuda/tile.cuh"

namespace mote::cuda {

// Activations of a lane's tokens: B(n) those of its column of B (token 8n + lane / 4), C(n, i) those of its columns of
// D (token 8n + 2 (lane % 4) + i); each from the tile's first byte on. In global memory a token may be anywhere: 32-bit
// offsets, since pointers would take twice the registers.
template <int kTokens8>
struct GlobalActs {
  const uint8_t* base;
  uint32_t b[kTokens8];
  uint32_t c[kTokens8][2];
  MOTE_DEVICE const uint8_t* B(const GlobalActs& acts, int n) { return acts.base + acts.b[n]; }
  MOTE_DEVICE const uint8_t* C(const GlobalActs& acts, int n, int i) { return acts.base + acts.c[n][i]; }
};
// In shared memory they are kStride apart: distances that the compiler writes into the loads.
template <int kStride>
struct SharedActs {
  const uint8_t* b;
  const uint8_t* c;
  MOTE_DEVICE const uint8_t* B(const SharedActs& acts, int n) { return acts.b + 8 * kStride * n; }
  MOTE_DEVICE const uint8_t* C(const SharedActs& acts, int n, int i) { return acts.c + kStride * (8 * n + i); }
};

MOTE_DEVICE float ActScale(const uint8_t* block, int step) {
  return *reinterpret_cast<const float*>(block + kActScales + step * 4);
}
MOTE_DEVICE int ActSum16(const uint8_t* block, int sixteen) {
  return *reinterpret_cast<const int16_t*>(block + kActSums + sixteen * 2);
}
MOTE_DEVICE int ActSum32(const uint8_t* block, int step) {
  const uint32_t both = *reinterpret_cast<const uint32_t*>(block + kActSums + step * 4);
  return static_cast<int16_t>(both & 0xffffu) + static_cast<int16_t>(both >> 16);
}

// Both rows' scales of a step.
template <DType kType>
MOTE_DEVICE void HalfScales(const uint32_t packed, float scale[2]) {
  if constexpr (FormatOf(kType).scales == Scales::kPower32) {
    scale[0] = BitsToFloat(packed << 16);
    scale[1] = BitsToFloat(packed & 0xffff0000u);
  } else {
    scale[0] = HalfToFloat(packed & 0xffffu);
    scale[1] = HalfToFloat(packed >> 16);
  }
}

// Formats with a floating scale for every 32: a product of 32, made a float, scaled and added.
// sum[n]: D of tokens 8n .. 8n + 7.
template <DType kType, int kTokens8, class TokenActs>
MOTE_DEVICE void SimpleTile(const TileRegs<kType>& r, const TokenActs& acts, int lane, float sum[kTokens8][4]) {
  constexpr PackedFormat f = FormatOf(kType);
  const int t = lane % 4;
#pragma unroll
  for (int pair = 0; pair < static_cast<int>(kSteps) / 2; ++pair) {
    uint32_t a[2][4];
    float scale[2][2];
#pragma unroll
    for (int odd = 0; odd < 2; ++odd) {
      StepCodes<kType>(r, pair * 2 + odd, a[odd]);
      HalfScales<kType>(r.scale[pair * 2 + odd], scale[odd]);
    }
#pragma unroll
    for (int n = 0; n < kTokens8; ++n) {
      const uint4 b = *reinterpret_cast<const uint4*>(TokenActs::B(acts, n) + pair * 64 + t * 16);
#pragma unroll
      for (int odd = 0; odd < 2; ++odd) {
        const int step = pair * 2 + odd;
        int32_t d[4] = {0, 0, 0, 0};
        int tokens_sum[2] = {0, 0};
        if constexpr (f.offset != 0 || f.scales == Scales::kHalfMin32) {
          tokens_sum[0] = ActSum32(TokenActs::C(acts, n, 0), step);
          tokens_sum[1] = ActSum32(TokenActs::C(acts, n, 1), step);
          d[0] = d[2] = -f.offset * tokens_sum[0];
          d[1] = d[3] = -f.offset * tokens_sum[1];
        }
        MmaBytes32(d, a[odd], odd == 0 ? b.x : b.z, odd == 0 ? b.y : b.w);
        const float token_scale[2] = {ActScale(TokenActs::C(acts, n, 0), step),
                                      ActScale(TokenActs::C(acts, n, 1), step)};
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          sum[n][i] = fmaf(static_cast<float>(d[i]), scale[odd][i / 2] * token_scale[i % 2], sum[n][i]);
        }
        if constexpr (f.scales == Scales::kHalfMin32) {
          float min[2];
          HalfScales<kType>(r.min[step], min);
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            sum[n][i] = fmaf(static_cast<float>(tokens_sum[i % 2]), min[i / 2] * token_scale[i % 2], sum[n][i]);
          }
        }
      }
    }
  }
}

// Scale of a group for row g (top) or g + 8, as an integer; `mins` its minimum.
template <DType kType>
struct GroupScales {
  uint32_t scales[2][4];  // of the two rows
  uint32_t mins[2][2];

  MOTE_DEVICE void Unpack(const TileRegs<kType>& r, GroupScales* s) {
    constexpr PackedFormat f = FormatOf(kType);
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      if constexpr (f.scales == Scales::kSixBit32) {
        UnpackSixBit(r.scale + row * 4, s->scales[row], s->mins[row]);
      } else {
#pragma unroll
        for (int i = 0; i < 4; ++i) s->scales[row][i] = r.scale[row * 4 + i];
      }
    }
  }
  MOTE_DEVICE int Scale(const GroupScales& s, int row, int group) {
    constexpr PackedFormat f = FormatOf(kType);
    if constexpr (f.scales == Scales::kSixBit32) return UnsignedByte(s.scales[row][group / 4], group % 4);
    if constexpr (f.scales == Scales::kNibble16) return UnsignedByte(s.scales[row][group / 4], group % 4) & 15;
    return SignedByte(s.scales[row][group / 4], group % 4);
  }
  MOTE_DEVICE int Min(const GroupScales& s, int row, int group) {
    constexpr PackedFormat f = FormatOf(kType);
    if constexpr (f.scales == Scales::kSixBit32) return UnsignedByte(s.mins[row][group / 4], group % 4);
    return UnsignedByte(s.scales[row][group / 4], group % 4) >> 4;
  }
};

// Super-blocks: everything up to the sum over 256 is whole numbers (below 2^31: 256 * 127 * 127 * 32 at most), and the
// sum is scaled once.
template <DType kType, int kTokens8, class TokenActs>
MOTE_DEVICE void SuperTile(const TileRegs<kType>& r, const TokenActs& acts, int lane, float sum[kTokens8][4]) {
  constexpr PackedFormat f = FormatOf(kType);
  constexpr bool kSixteens = f.scales == Scales::kByte16 || f.scales == Scales::kNibble16;
  constexpr bool kMins = f.scales == Scales::kSixBit32 || f.scales == Scales::kNibble16;
  const int t = lane % 4;
  GroupScales<kType> scales;
  GroupScales<kType>::Unpack(r, &scales);
  int32_t whole[kTokens8][4] = {};
  int32_t mins[kTokens8][4] = {};
#pragma unroll
  for (int pair = 0; pair < static_cast<int>(kSteps) / 2; ++pair) {
    uint32_t a[2][4];
    StepCodes<kType>(r, pair * 2, a[0]);
    StepCodes<kType>(r, pair * 2 + 1, a[1]);
#pragma unroll
    for (int n = 0; n < kTokens8; ++n) {
      const uint4 b = *reinterpret_cast<const uint4*>(TokenActs::B(acts, n) + pair * 64 + t * 16);
      // The pair's groups: two of 32 columns, or four of 16.
#pragma unroll
      for (int part = 0; part < (kSixteens ? 4 : 2); ++part) {
        const int odd = kSixteens ? part / 2 : part;
        const int group = pair * (kSixteens ? 4 : 2) + part;
        const uint32_t b0 = odd == 0 ? b.x : b.z;
        const uint32_t b1 = odd == 0 ? b.y : b.w;
        int32_t d[4] = {0, 0, 0, 0};
        int tokens_sum[2] = {0, 0};
        if constexpr (f.offset != 0 || kMins) {
#pragma unroll
          for (int i = 0; i < 2; ++i) {
            tokens_sum[i] =
                kSixteens ? ActSum16(TokenActs::C(acts, n, i), group) : ActSum32(TokenActs::C(acts, n, i), group);
            d[i] = d[2 + i] = -f.offset * tokens_sum[i];
          }
        }
        if constexpr (kSixteens) {
          MmaBytes16(d, a[odd][part % 2 * 2], a[odd][part % 2 * 2 + 1], part % 2 == 0 ? b0 : b1);
        } else {
          MmaBytes32(d, a[odd], b0, b1);
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          whole[n][i] += GroupScales<kType>::Scale(scales, i / 2, group) * d[i];
          if constexpr (kMins) mins[n][i] += GroupScales<kType>::Min(scales, i / 2, group) * tokens_sum[i % 2];
        }
      }
    }
  }
  float scale[2], min[2] = {0, 0};
#pragma unroll
  for (int row = 0; row < 2; ++row) {
    const uint32_t super = f.scales == Scales::kSixBit32 ? r.scale[row * 4] : r.super[row];
    scale[row] = HalfToFloat(super & 0xffffu);
    if constexpr (kMins) min[row] = HalfToFloat(super >> 16);
  }
#pragma unroll
  for (int n = 0; n < kTokens8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float token_scale = ActScale(TokenActs::C(acts, n, i % 2), 0);
      sum[n][i] = fmaf(static_cast<float>(whole[n][i]), scale[i / 2] * token_scale, sum[n][i]);
      if constexpr (kMins) sum[n][i] = fmaf(static_cast<float>(-mins[n][i]), min[i / 2] * token_scale, sum[n][i]);
    }
  }
}

template <DType kType, int kTokens8, class TokenActs>
MOTE_DEVICE void TileProduct(const TileRegs<kType>& r, const TokenActs& acts, int lane, float sum[kTokens8][4]) {
  if constexpr (FormatOf(kType).act_group == 32) {
    SimpleTile<kType, kTokens8, TokenActs>(r, acts, lane, sum);
  } else {
    SuperTile<kType, kTokens8, TokenActs>(r, acts, lane, sum);
  }
}

// Halves: 16 steps of 16 columns, straight into the sums.
template <DType kType>
struct HalfRegs {
  uint4 a[8];
};
// Half a tile at a time: 32 registers.
template <DType kType>
MOTE_DEVICE void LoadHalfTile(const uint8_t* tile, int lane, int which, HalfRegs<kType>* r) {
#pragma unroll
  for (int c = 0; c < 8; ++c) {
    r->a[c] = LoadStreaming(reinterpret_cast<const uint4*>(tile + (which * 8 + c) * kChunkBytes + lane * 16));
  }
}
template <DType kType, int kTokens8, class TokenActs>
MOTE_DEVICE void HalfTileProduct(const HalfRegs<kType>& r, int which, const TokenActs& acts, int lane,
                                 float sum[kTokens8][4]) {
  const int t = lane % 4;
#pragma unroll
  for (int c = 0; c < 8; ++c) {
    const uint32_t a[4] = {r.a[c].x, r.a[c].y, r.a[c].z, r.a[c].w};
#pragma unroll
    for (int n = 0; n < kTokens8; ++n) {
      const uint2 b = *reinterpret_cast<const uint2*>(TokenActs::B(acts, n) + (which * 8 + c) * 32 + t * 8);
      if constexpr (kType == DType::kF16) {
        MmaHalves(sum[n], a, b.x, b.y);
      } else {
        MmaBf16(sum[n], a, b.x, b.y);
      }
    }
  }
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_TILE_PRODUCT_CUH_
