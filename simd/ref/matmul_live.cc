// The product that passes over zero activations, row by row.
#include <string.h>

#include "quant/codec.h"
#include "simd/ref/live_reference.h"

namespace mote::simd::ref {
namespace {

constexpr size_t kChunk = 256;
constexpr size_t kLanes = 8;  // partial sums, as in ref/matmul.cc

float ActAt(const LiveMatMulArgs& args, bool a8, size_t k) {
  const uint8_t* row = static_cast<const uint8_t*>(args.acts);
  if (!a8) {
    float value;
    memcpy(&value, row + k * sizeof(value), sizeof(value));
    return value;
  }
  A8Block block;
  memcpy(&block, row + k / 32 * sizeof(block), sizeof(block));
  return block.scale * static_cast<float>(block.codes[k % 32]);
}

template <DType kType>
void LiveMatMul(const LiveMatMulArgs& args) {
  constexpr size_t kStep = LiveStep(kType);
  const DTypeInfo& info = *DTypeInfoOf(kType);
  for (size_t n = 0; n < args.rows; ++n) {
    const uint8_t* weight_row = args.panels + n * RowBytes(kType, args.k);
    float lanes[kLanes] = {};
    size_t i = 0;
    for (size_t begin = 0; begin < args.k; begin += kChunk) {
      const size_t count = args.k - begin < kChunk ? args.k - begin : kChunk;
      float weights[kChunk];
      DecodeRow(kType, weight_row + begin / info.block_values * info.block_bytes, weights, count);
      for (; i < args.num_live && args.live[i] * kStep < begin + count; ++i) {
        for (size_t k = args.live[i] * kStep; k < (args.live[i] + 1) * kStep; ++k) {
          lanes[k % kLanes] += weights[k - begin] * ActAt(args, UsesA8(kType), k);
        }
      }
    }
    float sum = 0;
    for (const float lane : lanes) sum += lane;
    args.out[n] = sum;
  }
}

}  // namespace

constinit const LiveKernels kLiveRow = {LiveMatMul<DType::kF32>, LiveMatMul<DType::kF16>, LiveMatMul<DType::kBF16>,
                                        LiveMatMul<DType::kQ8_0>};

}  // namespace mote::simd::ref
