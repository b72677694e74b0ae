// Weights of any type as halves, in the registers that a matrix instruction of halves wants of A: for products that
// need no whole numbers (read_product.cuh).
//
// A lane has four neighbouring columns of two rows in each register of a step of 32 (packed.h). As halves they are two
// registers of an instruction of 16 columns: the lane's columns 4 t and 4 t + 1 where the instruction has 2 t and the
// next, 4 t + 2 and 4 t + 3 where it has 8 + 2 t. Activations lie in that order too (ReadColumn).
#ifndef MOTE_TARGETS_CUDA_HALF_WEIGHTS_CUH_
#define MOTE_TARGETS_CUDA_HALF_WEIGHTS_CUH_

#include "targets/cuda/tile_product.cuh"
#include "targets/cuda/wgmma.h"

namespace mote::cuda {

inline constexpr float kLargestHalf = 65504;

// The half in the lower or upper 16 bits, twice.
MOTE_DEVICE uint32_t TwiceLow(uint32_t pair) {
  return PickBytes(pair, 0, 0x1010);
}
MOTE_DEVICE uint32_t TwiceHigh(uint32_t pair) {
  return PickBytes(pair, 0, 0x3232);
}

// Two of a word's bytes as halves, exactly: the half 0x6400 + n is 1024 + n. 0: bytes 0 and 1; 1: 2 and 3.
template <bool kSigned>
MOTE_DEVICE uint32_t HalvesOfBytes(uint32_t word, int which) {
  const uint32_t codes = kSigned ? word ^ 0x80808080u : word;  // 128 more, without a sign
  return AddHalves(PickBytes(codes, 0x64646464u, which == 0 ? 0x4140 : 0x4342), kSigned ? 0xe480e480u : 0xe400e400u);
}

// What the codes (code_shift() bits up) of 64 columns are multiplied with, for every 16 of them, and what is added
// then; of rows g and g + 8. Every value twice.
struct StageScales {
  uint32_t scale[4][2];
  uint32_t min[4][2];
};

// pair: of the half tile's four steps of 32, the first two or the last. Scales of scales are rounded to halves once.
template <DType kType>
MOTE_DEVICE StageScales ScalesOf(const HalfTile<kType>& tile, int half, int pair) {
  constexpr PackedFormat f = FormatOf(kType);
  StageScales s = {};
#pragma unroll
  for (int row = 0; row < 2; ++row) {
    if constexpr (f.scales == Scales::kHalf32 || f.scales == Scales::kHalfMin32 || f.scales == Scales::kPower32) {
#pragma unroll
      for (int step = 0; step < 2; ++step) {
        uint32_t both = tile.scale[2 * pair + step];
        if constexpr (f.scales == Scales::kPower32) {
          float scale[2];
          HalfScales<kType>(both, scale);
          both = FloatToHalf(fminf(scale[0], kLargestHalf)) |
                 static_cast<uint32_t>(FloatToHalf(fminf(scale[1], kLargestHalf))) << 16;
        }
        s.scale[2 * step][row] = row == 0 ? TwiceLow(both) : TwiceHigh(both);
        if constexpr (f.mins()) {
          const uint32_t mins = tile.min[2 * pair + step];
          s.min[2 * step][row] = row == 0 ? TwiceLow(mins) : TwiceHigh(mins);
        }
      }
    } else if constexpr (f.scales == Scales::kSixBit32) {
      uint32_t scales, mins;
      UnpackSixBit(tile.scale + row * 4, half, &scales, &mins);
      const uint32_t super = tile.scale[row * 4];
      scales = MultiplyHalves(HalvesOfBytes<false>(scales, pair), TwiceLow(super));
      mins = MultiplyHalves(HalvesOfBytes<false>(mins, pair), TwiceHigh(super) ^ 0x80008000u);
      s.scale[0][row] = TwiceLow(scales), s.scale[2][row] = TwiceHigh(scales);
      s.min[0][row] = TwiceLow(mins), s.min[2][row] = TwiceHigh(mins);
    } else if constexpr (f.scales == Scales::kByte32) {
      const uint32_t scales = MultiplyHalves(HalvesOfBytes<true>(tile.scale[row], pair), TwiceLow(tile.super[row]));
      s.scale[0][row] = TwiceLow(scales), s.scale[2][row] = TwiceHigh(scales);
    } else if constexpr (f.scales == Scales::kByte16 || f.scales == Scales::kNibble16) {
      constexpr bool kSigned = f.scales == Scales::kByte16;
      const uint32_t word = tile.scale[row * 2 + pair];
#pragma unroll
      for (int two = 0; two < 2; ++two) {
        const uint32_t bytes = kSigned ? word : word & 0x0f0f0f0fu;
        const uint32_t scales = MultiplyHalves(HalvesOfBytes<kSigned>(bytes, two), TwiceLow(tile.super[row]));
        s.scale[2 * two][row] = TwiceLow(scales), s.scale[2 * two + 1][row] = TwiceHigh(scales);
        if constexpr (f.mins()) {
          const uint32_t mins = MultiplyHalves(HalvesOfBytes<false>(word >> 4 & 0x0f0f0f0fu, two),
                                               TwiceHigh(tile.super[row]) ^ 0x80008000u);
          s.min[2 * two][row] = TwiceLow(mins), s.min[2 * two + 1][row] = TwiceHigh(mins);
        }
      }
    }
  }
  return s;
}

// 64 columns of the half tile: the registers of four instructions of 16. Weights are 2^code_shift() too large, as codes
// are; of I8 they are the codes.
template <DType kType>
MOTE_DEVICE void HalvesOfStage(const HalfTile<kType>& tile, int half, int pair, uint32_t a[4][4]) {
  constexpr PackedFormat f = FormatOf(kType);
  constexpr bool kEach16 = f.scales == Scales::kByte16 || f.scales == Scales::kNibble16;
  const StageScales s = ScalesOf<kType>(tile, half, pair);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    uint32_t codes[4];
    StepCodes<kType>(tile, 2 * pair + i / 2, codes);
    const int own = kEach16 ? i : i / 2 * 2;
#pragma unroll
    for (int row = 0; row < 2; ++row) {
#pragma unroll
      for (int which = 0; which < 2; ++which) {
        uint32_t& two = a[i][2 * which + row];
        two = HalvesOfBytes<true>(codes[i % 2 * 2 + row], which);
        if constexpr (f.mins()) {
          two = MultiplyAddHalves(two, s.scale[own][row], s.min[own][row]);
        } else if constexpr (f.scales != Scales::kFloat) {
          two = MultiplyHalves(two, s.scale[own][row]);
        }
      }
    }
  }
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_HALF_WEIGHTS_CUH_
