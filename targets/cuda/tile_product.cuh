// Half a tile of weights times the tokens of a warp, for every type: the arithmetic that decode and prefill share,
// operation by operation, so that both give the same bits. (The build forbids the compiler to fuse; what is fused says
// fmaf.)
#ifndef MOTE_TARGETS_CUDA_TILE_PRODUCT_CUH_
#define MOTE_TARGETS_CUDA_TILE_PRODUCT_CUH_

#include "targets/cuda/tile.cuh"

namespace mote::cuda {

// Activations of a lane's tokens. A lane multiplies with token 8n + lane / 4 (its column of B) and adds up for tokens
// 8n + 2 (lane % 4) + i (its columns of D). Values: 16 bytes for two steps; Operand and Column: the scales and sums of
// the tile for the one and the others.
//
// In global memory a token may be anywhere: 32-bit offsets, since pointers would take twice the registers.
template <int kTokens8>
struct GlobalActs {
  const uint8_t* base;  // the tile's first byte of row 0
  uint32_t b[kTokens8];
  uint32_t c[kTokens8][2];
  int lane;
  MOTE_DEVICE uint4 Values(const GlobalActs& acts, int n, int pair) {
    return *reinterpret_cast<const uint4*>(acts.base + acts.b[n] + pair * 64 + acts.lane % 4 * 16);
  }
  MOTE_DEVICE const uint8_t* Operand(const GlobalActs& acts, int n) { return acts.base + acts.b[n] + kActScales; }
  MOTE_DEVICE const uint8_t* Column(const GlobalActs& acts, int n, int i) {
    return acts.base + acts.c[n][i] + kActScales;
  }
  static constexpr bool kPassesAbout = kTokens8 > 1;
  // The four words from `at` on of both columns. Eight lanes want the same ones: with 16 and 32 tokens each fetches one
  // of them and they change about, since sixteen bytes each would pass the first-level cache eight times (Q4_0 and Q8_0
  // take 0.93 and 0.90 of the time; with 8 tokens it would be 1.03 to 1.08 times).
  MOTE_DEVICE void PassWords(const GlobalActs& acts, int n, uint32_t at, uint32_t words[2][4]) {
    const int which = acts.lane / 4;
    const uint8_t* from = acts.base + (which < 4 ? acts.c[n][0] : acts.c[n][1]) + kActScales + at;
    const uint32_t own = reinterpret_cast<const uint32_t*>(from)[which % 4];
#pragma unroll
    for (int i = 0; i < 8; ++i) words[i / 4][i % 4] = ShuffleFrom(own, i * 4 + acts.lane % 4);
  }
};

// In shared memory: 256 bytes of values for each token, of odd tokens the 64s of a 128 changed over, so that the eight
// lanes that read at once meet no bank twice; scales and sums elsewhere, 80 bytes apart, for the same reason.
inline constexpr uint32_t kSharedValues = 256;
inline constexpr uint32_t kSharedScales = 80;
constexpr uint32_t SharedPlace(uint32_t token, uint32_t byte) {
  return token * kSharedValues + (byte ^ token % 2 * 64);
}
struct SharedActs {
  const uint8_t* even;     // values of the lane's first token of B: pairs 0 and 2
  const uint8_t* odd;      // pairs 1 and 3, less 64
  const uint8_t* operand;  // its scales and sums
  const uint8_t* column;   // those of its first token of D
  MOTE_DEVICE uint4 Values(const SharedActs& acts, int n, int pair) {
    const uint8_t* at = pair % 2 == 0 ? acts.even : acts.odd;
    return *reinterpret_cast<const uint4*>(at + 8 * n * static_cast<int>(kSharedValues) + pair * 64);
  }
  MOTE_DEVICE const uint8_t* Operand(const SharedActs& acts, int n) {
    return acts.operand + 8 * n * static_cast<int>(kSharedScales);
  }
  MOTE_DEVICE const uint8_t* Column(const SharedActs& acts, int n, int i) {
    return acts.column + (8 * n + i) * static_cast<int>(kSharedScales);
  }
  static constexpr bool kPassesAbout = false;
};

// From where scales begin.
inline constexpr uint32_t kSumsAfterScales = kActSums - kActScales;

// The four words from `at` on, counted from the scales, of a lane's columns of D.
template <int kColumns, class TokenActs>
MOTE_DEVICE void ColumnWords(const TokenActs& acts, int n, uint32_t at, uint32_t words[2][4]) {
  if constexpr (kColumns == 2 && TokenActs::kPassesAbout) {
    TokenActs::PassWords(acts, n, at, words);
  } else {
#pragma unroll
    for (int i = 0; i < kColumns; ++i) {
      const uint4 v = *reinterpret_cast<const uint4*>(TokenActs::Column(acts, n, i) + at);
      words[i][0] = v.x;
      words[i][1] = v.y;
      words[i][2] = v.z;
      words[i][3] = v.w;
    }
  }
}

// Of the half's four steps: the scales of a lane's columns of D, and the sums of their 32 codes.
template <int kColumns, class TokenActs>
MOTE_DEVICE void ColumnScales(const TokenActs& acts, int n, int half, float scales[2][4]) {
  uint32_t words[2][4];
  ColumnWords<kColumns>(acts, n, static_cast<uint32_t>(half) * 16, words);
#pragma unroll
  for (int i = 0; i < kColumns; ++i) {
#pragma unroll
    for (int s = 0; s < 4; ++s) scales[i][s] = BitsToFloat(words[i][s]);
  }
}
template <int kColumns, class TokenActs>
MOTE_DEVICE void ColumnSums(const TokenActs& acts, int n, int half, float sums[2][4]) {
  uint32_t words[2][4];
  ColumnWords<kColumns>(acts, n, kSumsAfterScales + static_cast<uint32_t>(half) * 16, words);
#pragma unroll
  for (int i = 0; i < kColumns; ++i) {
#pragma unroll
    for (int s = 0; s < 4; ++s) {
      sums[i][s] =
          static_cast<float>(static_cast<int16_t>(words[i][s] & 0xffffu) + static_cast<int16_t>(words[i][s] >> 16));
    }
  }
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

// 1.5 * 2^23: a whole number added to its bits is a float that much larger (below 2^22), without a conversion; times a
// scale it is the scaled number and what the constant's share is, which one fmaf takes off again, rounding once.
inline constexpr int32_t kMagicBits = 0x4b400000;
inline constexpr float kMagic = 12582912.0f;

// The number that products of bytes begin with, in four registers: as a constant the assembler would write it into them
// for every instruction, so it comes from where the assembler cannot look.
struct MmaStart {
  int32_t bits[4];
  int lane;
};
MOTE_DEVICE MmaStart StartOf(int lane) {
  MmaStart start;
  start.lane = lane;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    start.bits[i] = static_cast<int32_t>(ShuffleFrom(static_cast<uint32_t>(kMagicBits), lane ^ i));
  }
  return start;
}

// What is added up: sum[n][i] of the columns of D that somebody looks at: both, or the first alone.
template <int kColumns>
constexpr bool Looked(int i) {
  return i % 2 < kColumns;
}

// Formats with a floating scale for every 32: a product of 32 as a float, times the weights' scale, times the tokens',
// added. sum[n]: D of tokens 8n .. 8n + 7.
template <DType kType, int kTokens8, int kColumns, class TokenActs>
MOTE_DEVICE void SimpleHalf(const HalfTile<kType>& tile, int half, const TokenActs& acts, const MmaStart& magic,
                            float sum[kTokens8][4]) {
  constexpr bool kMins = FormatOf(kType).mins();
  // The same bits either way; with up to 8 tokens, but for one, the registers are worth more than the conversions.
  // Powers up to 2^127 would overflow.
  constexpr bool kMagical = (kTokens8 > 1 || kColumns == 1) && FormatOf(kType).scales != Scales::kPower32;
  uint32_t a[4][4];
  float scale[4][2], start[4][2], min[4][2];
#pragma unroll
  for (int s = 0; s < 4; ++s) {
    StepCodes<kType>(tile, s, a[s]);
    HalfScales<kType>(tile.scale[s], scale[s]);
    if constexpr (kMins) HalfScales<kType>(tile.min[s], min[s]);
#pragma unroll
    for (int row = 0; row < 2; ++row) start[s][row] = kMagical ? -kMagic * scale[s][row] : 0.0f;  // 13 bits: exact
  }
#pragma unroll
  for (int n = 0; n < kTokens8; ++n) {
    float token[2][4], sums[2][4];
    ColumnScales<kColumns>(acts, n, half, token);
    if constexpr (kMins) ColumnSums<kColumns>(acts, n, half, sums);
#pragma unroll
    for (int s = 0; s < 4; ++s) {
      const uint4 b = TokenActs::Values(acts, n, half * 2 + s / 2);
      const int32_t zero[4] = {0, 0, 0, 0};
      int32_t d[4];
      MmaBytes32(d, kMagical ? magic.bits : zero, a[s], s % 2 == 0 ? b.x : b.z, s % 2 == 0 ? b.y : b.w);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (!Looked<kColumns>(i)) continue;
        const float scaled = kMagical ? fmaf(BitsToFloat(static_cast<uint32_t>(d[i])), scale[s][i / 2], start[s][i / 2])
                                      : static_cast<float>(d[i]) * scale[s][i / 2];
        sum[n][i] = fmaf(scaled, token[i % 2][s], sum[n][i]);
        if constexpr (kMins) sum[n][i] = fmaf(sums[i % 2][s], min[s][i / 2] * token[i % 2][s], sum[n][i]);
      }
    }
  }
}

// Super-blocks: everything up to the sum over 256 is whole numbers (below 2^31: 256 * 128 * 127 * 128 at most; of I8,
// which have no scales inside, 2^22), and the sum is scaled once.
template <int kTokens8>
struct SuperSums {
  int32_t whole[kTokens8][4];
  int32_t mins[kTokens8][4];
};

// Scales of the half's groups of 32 or 16 for row g (top) and g + 8, as numbers.
template <DType kType, int kGroups>
MOTE_DEVICE void GroupScales(const HalfTile<kType>& r, int half, int32_t scales[2][kGroups]) {
  constexpr PackedFormat f = FormatOf(kType);
#pragma unroll
  for (int row = 0; row < 2; ++row) {
    uint32_t six = 0, mins = 0;
    if constexpr (f.scales == Scales::kSixBit32) UnpackSixBit(r.scale + row * 4, half, &six, &mins);
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      if constexpr (f.scales == Scales::kSixBit32) {
        scales[row][g] = UnsignedByte(six, g);
      } else if constexpr (f.scales == Scales::kNibble16) {
        scales[row][g] = UnsignedByte(r.scale[row * 2 + g / 4], g % 4) & 15;
      } else {
        scales[row][g] = SignedByte(r.scale[row * (kGroups / 4) + g / 4], g % 4);
      }
    }
  }
}

// The half's minima times the sums of the activations' codes are a matrix product of 8 columns (sums of 16 codes): a
// minimum in each, and the sums as two bytes, the upper one with a sign. These are a lane's two registers of minima,
// one for the lower bytes; 8 bits up, they meet the upper ones.
template <DType kType>
MOTE_DEVICE void MinOperands(const HalfTile<kType>& r, int half, int lane, uint32_t a[2]) {
  const int t = lane % 4;
#pragma unroll
  for (int row = 0; row < 2; ++row) {
    if constexpr (FormatOf(kType).scales == Scales::kSixBit32) {
      uint32_t six, mins;
      UnpackSixBit(r.scale + row * 4, half, &six, &mins);
      a[row] = (mins >> 8 * t & 255u) * 0x00010001u;
    } else {
      const uint32_t word = t < 2 ? r.scale[row * 2] : r.scale[row * 2 + 1];
      const uint32_t two = word >> (t % 2 * 16 + 4);
      a[row] = (two & 15u) | (two & 0x0f00u) << 8;
    }
  }
}

// whole += the products of a step's groups, each times its scale; without scales, as the matrix instruction adds.
template <DType kType, int kColumns, int kGroups>
MOTE_DEVICE void SuperStep(const uint32_t a[4], uint32_t b0, uint32_t b1, const int32_t scales[2][kGroups], int step,
                           int32_t whole[4]) {
  if constexpr (FormatOf(kType).scales == Scales::kFloat) {
    MmaBytes32(whole, whole, a, b0, b1);
    return;
  }
  const int32_t zero[4] = {0, 0, 0, 0};
  int32_t d[2][4] = {};
  if constexpr (kGroups == 8) {
    MmaBytes16(d[0], a[0], a[1], b0);
    MmaBytes16(d[1], a[2], a[3], b1);
  } else {
    MmaBytes32(d[0], zero, a, b0, b1);
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (!Looked<kColumns>(i)) continue;
    if constexpr (kGroups == 8) {
      whole[i] += scales[i / 2][2 * step] * d[0][i];
      whole[i] += scales[i / 2][2 * step + 1] * d[1][i];
    } else {
      whole[i] += scales[i / 2][step] * d[0][i];
    }
  }
}
template <int kColumns>
MOTE_DEVICE void AddMins(const uint32_t operands[2], uint32_t sums, int32_t mins[4]) {
  int32_t upper[4] = {0, 0, 0, 0};
  MmaUnsigned16<true>(mins, operands[0], operands[1], sums);
  MmaUnsigned16<false>(upper, operands[0] << 8, operands[1] << 8, sums);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (Looked<kColumns>(i)) mins[i] += upper[i] * 256;
  }
}

template <DType kType, int kTokens8, int kColumns, class TokenActs>
MOTE_DEVICE void SuperHalf(const HalfTile<kType>& tile, int half, const TokenActs& acts, int lane,
                           SuperSums<kTokens8>* sums) {
  constexpr PackedFormat f = FormatOf(kType);
  constexpr int kGroups = f.scales == Scales::kByte16 || f.scales == Scales::kNibble16 ? 8 : 4;
  uint32_t a[4][4], min_operands[2];
  int32_t scales[2][kGroups] = {};
#pragma unroll
  for (int s = 0; s < 4; ++s) StepCodes<kType>(tile, s, a[s]);
  if constexpr (f.scales != Scales::kFloat) GroupScales<kType, kGroups>(tile, half, scales);
  if constexpr (f.mins()) MinOperands<kType>(tile, half, lane, min_operands);
#pragma unroll
  for (int n = 0; n < kTokens8; ++n) {
#pragma unroll
    for (int s = 0; s < 4; ++s) {
      const uint4 b = TokenActs::Values(acts, n, half * 2 + s / 2);
      SuperStep<kType, kColumns, kGroups>(a[s], s % 2 == 0 ? b.x : b.z, s % 2 == 0 ? b.y : b.w, scales, s,
                                          sums->whole[n]);
    }
    if constexpr (f.mins()) {
      const uint8_t* sums_of_token = TokenActs::Operand(acts, n) + kSumsAfterScales;
      AddMins<kColumns>(min_operands, *reinterpret_cast<const uint32_t*>(sums_of_token + half * 16 + lane % 4 * 4),
                        sums->mins[n]);
    }
  }
}

// The tile's own scales and minima of rows g and g + 8.
template <DType kType>
MOTE_DEVICE void OwnScales(const HalfTile<kType>& r, float scale[2], float min[2]) {
  constexpr PackedFormat f = FormatOf(kType);
#pragma unroll
  for (int row = 0; row < 2; ++row) {
    const uint32_t super = f.scales == Scales::kSixBit32 ? r.scale[row * 4] : r.super[row];
    scale[row] = f.scales == Scales::kFloat ? BitsToFloat(super) : HalfToFloat(super & 0xffffu);
    min[row] = f.mins() ? HalfToFloat(super >> 16) : 0.0f;
  }
}

// After the second half, which has the tile's own scale as well.
template <DType kType, int kTokens8, int kColumns, class TokenActs>
MOTE_DEVICE void AddSuper(const HalfTile<kType>& r, const SuperSums<kTokens8>& sums, const TokenActs& acts,
                          float sum[kTokens8][4]) {
  constexpr bool kMins = FormatOf(kType).mins();
  float scale[2], min[2];
  OwnScales<kType>(r, scale, min);
#pragma unroll
  for (int n = 0; n < kTokens8; ++n) {
    float token[2];
#pragma unroll
    for (int i = 0; i < kColumns; ++i) token[i] = *reinterpret_cast<const float*>(TokenActs::Column(acts, n, i));
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (!Looked<kColumns>(i)) continue;
      sum[n][i] = fmaf(static_cast<float>(sums.whole[n][i]), scale[i / 2] * token[i % 2], sum[n][i]);
      if constexpr (kMins) {
        sum[n][i] = fmaf(-static_cast<float>(sums.mins[n][i]), min[i / 2] * token[i % 2], sum[n][i]);
      }
    }
  }
}

// Halves: 8 steps of 16 columns, straight into the sums.
template <DType kType, int kTokens8, class TokenActs>
MOTE_DEVICE void HalvesHalf(const HalfTile<kType>& tile, int first_pair, const TokenActs& acts,
                            float sum[kTokens8][4]) {
#pragma unroll
  for (int pair = 0; pair < 4; ++pair) {
    uint4 b[kTokens8];
#pragma unroll
    for (int n = 0; n < kTokens8; ++n) b[n] = TokenActs::Values(acts, n, first_pair + pair);
#pragma unroll
    for (int odd = 0; odd < 2; ++odd) {
      const uint4 four = tile.halves[pair * 2 + odd];
      const uint32_t a[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
      for (int n = 0; n < kTokens8; ++n) {  // inside: sums of different tokens do not wait for each other
        if constexpr (kType == DType::kF16) {
          MmaHalves(sum[n], a, odd == 0 ? b[n].x : b[n].z, odd == 0 ? b[n].y : b[n].w);
        } else {
          MmaBf16(sum[n], a, odd == 0 ? b[n].x : b[n].z, odd == 0 ? b[n].y : b[n].w);
        }
      }
    }
  }
}

// Half a tile into `sum`; of super-blocks, the second half does that, and the first begins `super`.
template <DType kType, int kTokens8, int kColumns, class TokenActs>
MOTE_DEVICE void HalfProduct(const HalfTile<kType>& tile, int half, int first_pair, const TokenActs& acts,
                             const MmaStart& start, SuperSums<kTokens8>* super, float sum[kTokens8][4]) {
  if constexpr (FormatOf(kType).halves) {
    HalvesHalf<kType, kTokens8, TokenActs>(tile, first_pair, acts, sum);
  } else if constexpr (FormatOf(kType).act_group == 32) {
    SimpleHalf<kType, kTokens8, kColumns, TokenActs>(tile, half, acts, start, sum);
  } else {
    if (half == 0) *super = {};
    SuperHalf<kType, kTokens8, kColumns, TokenActs>(tile, half, acts, start.lane, super);
    if (half == 1) AddSuper<kType, kTokens8, kColumns, TokenActs>(tile, *super, acts, sum);
  }
}

// What sums over all columns are multiplied with: they are 2^code_shift too large.
template <DType kType>
constexpr float Unshift() {
  return 1.0f / static_cast<float>(1 << FormatOf(kType).code_shift());
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_TILE_PRODUCT_CUH_
