// Activations rounded to 8 bits (packed.h), by whoever has them: row operations, attention, products.
#ifndef MOTE_TARGETS_CUDA_ROUND_ACTS_CUH_
#define MOTE_TARGETS_CUDA_ROUND_ACTS_CUH_

#include "targets/cuda/packed.h"
#include "targets/cuda/vocabulary.h"
#include "targets/cuda/wgmma.h"

namespace mote::cuda {

// simd/row_layout.h: what the CPU rounds alike.
inline constexpr float kActSmallest = 7.8886091e-31f;  // 2^-100
inline constexpr float kActLargest = 1.3292280e+36f;   // 2^120

MOTE_DEVICE float CleanAct(float x) {
  return x != x ? 0.0f : fminf(fmaxf(x, -kActLargest), kActLargest);
}

// A group's codes are its values times `factor`; its scale is `back`.
struct ActScale {
  float factor;
  float back;
};
MOTE_DEVICE ActScale ActScaleOf(float largest) {
  if (largest < kActSmallest) return {0.0f, 0.0f};
  return {127.0f / largest, largest / 127.0f};
}

// Where a row's activations for products of tokens that are read go (ReadActs of packed.h).
struct ReadRow {
  float* scale;
  uint8_t* values;  // of its first 64 columns
  uint32_t stride;  // to the next 64
  uint32_t slab_row;
};
MOTE_DEVICE ReadRow ReadRowOf(uint8_t* acts, uint32_t rows, uint32_t row) {
  const uint32_t padded = static_cast<uint32_t>(PaddedReadRows(rows));
  ReadRow to;
  to.scale = reinterpret_cast<float*>(acts) + row;
  to.values = acts + uint64_t{padded} * sizeof(float) + row / kGroupSlab * kGroupSlabBytes;
  to.stride = padded * (kGroupCols * 2);
  to.slab_row = row % kGroupSlab;
  return to;
}
// `column`: ReadColumn, of codes.
MOTE_DEVICE uint8_t* ReadPlace(const ReadRow& to, uint32_t column) {
  return to.values + uint64_t{column / kGroupCols} * to.stride + GroupPlace(to.slab_row, column % kGroupCols);
}

// Eight columns of it from a multiple of 8 on.
MOTE_DEVICE void StoreReadColumns(const ReadRow& to, ReadActs kind, uint32_t column, const float values[8]) {
  uint32_t words[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float low = values[2 * i], high = values[2 * i + 1];
    const uint32_t first = kind == ReadActs::kBf16 ? FloatToBf16(low) : FloatToHalf(low);
    const uint32_t second = kind == ReadActs::kBf16 ? FloatToBf16(high) : FloatToHalf(high);
    words[i] = first | second << 16;
  }
  if (kind == ReadActs::kHalfOfCodes) {  // two and two of each four columns
    static_assert(ReadColumn(4) == 2 && ReadColumn(2) == 8 && ReadColumn(6) == 10 && ReadColumn(8) == 4);
    uint2 pairs;
    pairs.x = words[0], pairs.y = words[2];
    *reinterpret_cast<uint2*>(ReadPlace(to, ReadColumn(column))) = pairs;
    pairs.x = words[1], pairs.y = words[3];
    *reinterpret_cast<uint2*>(ReadPlace(to, ReadColumn(column) + 8)) = pairs;
    return;
  }
  uint4 four;
  four.x = words[0], four.y = words[1], four.z = words[2], four.w = words[3];
  *reinterpret_cast<uint4*>(ReadPlace(to, column)) = four;
}

// 8 values of a tile of 256, which is one warp's; `k` of the tile.
MOTE_DEVICE void QuantizeColumns(const float v[8], bool in_row, uint32_t k, bool one_scale, bool stored,
                                 uint8_t* block) {
  static_assert(ActPlace(3) == ActPlace(0) + 3 && ActPlace(4) % 4 == 0 && ActPlace(252) % 4 == 0);
  float values[8];
  float largest = 0;
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    values[i] = in_row ? CleanAct(v[i]) : 0.0f;
    largest = fmaxf(largest, fabsf(values[i]));
  }
  largest = fmaxf(largest, ShuffleXor(largest, 1));
  largest = fmaxf(largest, ShuffleXor(largest, 2));
  if (one_scale) {
#pragma unroll
    for (int mask = 4; mask < kWarp; mask *= 2) largest = fmaxf(largest, ShuffleXor(largest, mask));
  }
  const ActScale scale = ActScaleOf(largest);
  int sum = 0;
  uint32_t words[2] = {0, 0};
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const int code = RoundToInt(values[i] * scale.factor);
    sum += code;
    words[i / 4] |= (static_cast<uint32_t>(code) & 255) << (i % 4 * 8);
  }
  const int sum_of_16 = sum + RoundToInt(ShuffleXor(static_cast<float>(sum), 1));
  if (!stored) return;
  *reinterpret_cast<uint32_t*>(block + ActPlace(k)) = words[0];
  *reinterpret_cast<uint32_t*>(block + ActPlace(k + 4)) = words[1];
  if (k % 16 == 0) *reinterpret_cast<int16_t*>(block + kActSums + k / 16 * 2) = static_cast<int16_t>(sum_of_16);
  if (k % 32 == 0) *reinterpret_cast<float*>(block + kActScales + k / 32 * 4) = scale.back;
}

// A group of 32 by one warp, a value each: what QuantizeColumns makes of it. `k` is the lane's place in the tile.
MOTE_DEVICE void QuantizeGroup(float value, uint32_t k, uint8_t* block) {
  const float clean = CleanAct(value);
  float largest = fabsf(clean);
#pragma unroll
  for (int mask = 1; mask < kWarp; mask *= 2) largest = fmaxf(largest, ShuffleXor(largest, mask));
  const ActScale scale = ActScaleOf(largest);
  const int code = RoundToInt(clean * scale.factor);
  float sum = static_cast<float>(code);
#pragma unroll
  for (int mask = 1; mask < 16; mask *= 2) sum += ShuffleXor(sum, mask);
  block[ActPlace(k)] = static_cast<uint8_t>(code);
  if (k % 16 == 0) *reinterpret_cast<int16_t*>(block + kActSums + k / 16 * 2) = static_cast<int16_t>(RoundToInt(sum));
  if (k % 32 == 0) *reinterpret_cast<float*>(block + kActScales + k / 32 * 4) = scale.back;
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_ROUND_ACTS_CUH_
