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

// Largest finite half.
inline constexpr float kLargestHalf = 65504;

// The same half twice.
MOTE_DEVICE uint32_t TwiceHalf(float x) {
  return FloatToHalf(fminf(fmaxf(x, -kLargestHalf), kLargestHalf)) * 0x00010001u;
}

// What codes (code_shift() bits up) of 16 columns are multiplied with, then what is added, of rows g and g + 8.
struct HalfScale16 {
  uint32_t scale[2];
  uint32_t min[2];
};

// sixteenth: of the half tile, 0 to 7.
template <DType kType>
MOTE_DEVICE HalfScale16 ScaleOf16(const HalfTile<kType>& tile, int half, int sixteenth) {
  constexpr PackedFormat f = FormatOf(kType);
  constexpr float kShifted = static_cast<float>(1 << f.code_shift());
  const int step = sixteenth / 2;
  HalfScale16 s = {};
#pragma unroll
  for (int row = 0; row < 2; ++row) {
    if constexpr (f.scales == Scales::kHalf32 || f.scales == Scales::kHalfMin32) {
      s.scale[row] = PickBytes(tile.scale[step], 0, row == 0 ? 0x1010 : 0x3232);
      if constexpr (f.mins()) {
        static_assert(f.code_shift() == 0);
        s.min[row] = PickBytes(tile.min[step], 0, row == 0 ? 0x1010 : 0x3232);
      }
    } else if constexpr (f.scales == Scales::kPower32) {
      float scale[2];
      HalfScales<kType>(tile.scale[step], scale);
      s.scale[row] = TwiceHalf(scale[row]);
    } else {
      float super[2], super_min[2];
      OwnScales<kType>(tile, super, super_min);
      if constexpr (f.scales == Scales::kSixBit32) {
        uint32_t scales, mins;
        UnpackSixBit(tile.scale + row * 4, half, &scales, &mins);
        s.scale[row] = TwiceHalf(super[row] * static_cast<float>(UnsignedByte(scales, step)));
        s.min[row] = TwiceHalf(-super_min[row] * static_cast<float>(UnsignedByte(mins, step)));
      } else if constexpr (f.scales == Scales::kNibble16) {
        const int both = UnsignedByte(tile.scale[row * 2 + sixteenth / 4], sixteenth % 4);
        s.scale[row] = TwiceHalf(super[row] * static_cast<float>(both & 15));
        s.min[row] = TwiceHalf(-super_min[row] * static_cast<float>(both >> 4));
      } else if constexpr (f.scales == Scales::kByte16) {
        s.scale[row] =
            TwiceHalf(super[row] * static_cast<float>(SignedByte(tile.scale[row * 2 + sixteenth / 4], sixteenth % 4)));
      } else if constexpr (f.scales == Scales::kByte32) {
        s.scale[row] = TwiceHalf(super[row] * static_cast<float>(SignedByte(tile.scale[row], step)));
      }
    }
  }
  static_assert(kShifted >= 1);
  return s;
}

// Four signed bytes as halves: exact.
MOTE_DEVICE void BytesToHalves(uint32_t word, uint32_t* low, uint32_t* high) {
  const uint32_t codes = word ^ 0x80808080u;  // 128 more, without a sign
  // 1024 + n is the half 0x6400 + n.
  *low = AddHalves(PickBytes(codes, 0x64646464u, 0x4140), 0xe480e480u);  // less 1152
  *high = AddHalves(PickBytes(codes, 0x64646464u, 0x4342), 0xe480e480u);
}

// Step `step` of the half tile: the registers of two instructions of 16 columns. Weights are 2^code_shift() too large,
// as codes are; of I8 they are the codes.
template <DType kType>
MOTE_DEVICE void HalvesOfStep(const HalfTile<kType>& tile, int half, int step, uint32_t a[2][4]) {
  constexpr PackedFormat f = FormatOf(kType);
  uint32_t codes[4];
  StepCodes<kType>(tile, step, codes);
  HalfScale16 s = {};
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    constexpr bool kEach = f.scales == Scales::kByte16 || f.scales == Scales::kNibble16;
    if constexpr (f.scales != Scales::kFloat) {
      if (i == 0 || kEach) s = ScaleOf16<kType>(tile, half, 2 * step + i);
    }
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      BytesToHalves(codes[2 * i + row], &a[i][row], &a[i][2 + row]);
      if constexpr (f.mins()) {
        a[i][row] = MultiplyAddHalves(a[i][row], s.scale[row], s.min[row]);
        a[i][2 + row] = MultiplyAddHalves(a[i][2 + row], s.scale[row], s.min[row]);
      } else if constexpr (f.scales != Scales::kFloat) {
        a[i][row] = MultiplyHalves(a[i][row], s.scale[row]);
        a[i][2 + row] = MultiplyHalves(a[i][2 + row], s.scale[row]);
      }
    }
  }
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_HALF_WEIGHTS_CUH_
