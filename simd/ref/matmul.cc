// Matrix product of every weight type, its "panels" being single rows as in the file: decode 256 weights with the
// published formula, multiply, add.
#include <string.h>

#include "quant/codec.h"
#include "simd/ref/reference.h"

namespace mote::simd::ref {
namespace {

constexpr size_t kChunk = 256;  // values decoded at a time: a multiple of every format's block
constexpr size_t kTokens = 16;  // tokens that share one decoding
constexpr size_t kLanes = 8;    // partial sums: lane i adds the values k with k % 8 == i, which compilers can vectorise

// values[0, count) of the activations of one token from value `begin` on, as floats.
void LoadActs(const MatMulArgs& args, bool a8, size_t token, size_t begin, size_t count, float* values) {
  const uint8_t* row = static_cast<const uint8_t*>(args.acts) + token * args.act_stride_bytes;
  if (!a8) {
    memcpy(values, row + begin * sizeof(float), count * sizeof(float));
    return;
  }
  for (size_t i = 0; i < count; ++i) {
    A8Block block;
    memcpy(&block, row + (begin + i) / 32 * sizeof(block), sizeof(block));
    values[i] = block.scale * static_cast<float>(block.codes[i % 32]);
  }
}

}  // namespace

void Pack(const PackArgs& args) {
  memcpy(args.panels, args.rows, args.num_rows * RowBytes(args.type, args.k));
}

template <DType kType>
void MatMul(const MatMulArgs& args) {
  const DTypeInfo& info = *DTypeInfoOf(kType);
  const bool a8 = UsesA8(kType);
  const size_t row_bytes = RowBytes(kType, args.k);
  for (size_t n = 0; n < args.rows; ++n) {
    const uint8_t* weight_row = args.panels + n * row_bytes;
    for (size_t token0 = 0; token0 < args.m; token0 += kTokens) {
      const size_t tokens = args.m - token0 < kTokens ? args.m - token0 : kTokens;
      float lanes[kTokens][kLanes] = {};
      for (size_t begin = 0; begin < args.k; begin += kChunk) {
        const size_t count = args.k - begin < kChunk ? args.k - begin : kChunk;
        float weights[kChunk] = {};
        float acts[kChunk] = {};
        DecodeRow(kType, weight_row + begin / info.block_values * info.block_bytes, weights, count);
        for (size_t t = 0; t < tokens; ++t) {
          LoadActs(args, a8, token0 + t, begin, count, acts);
          // Whole lanes: what the last row chunk lacks is a zero weight.
          for (size_t i = 0; i < count; i += kLanes) {
            for (size_t lane = 0; lane < kLanes; ++lane) {
              lanes[t][lane] += i + lane < count ? weights[i + lane] * acts[i + lane] : 0.0f;
            }
          }
        }
      }
      for (size_t t = 0; t < tokens; ++t) {
        float sum = 0;
        for (const float lane : lanes[t]) sum += lane;
        args.out[(token0 + t) * args.out_stride + n] = sum;
      }
    }
  }
}

void MatMulI8(const MatMulArgs& args) {
  for (size_t n = 0; n < args.rows; ++n) {
    const uint8_t* weights = args.panels + n * RowBytes(DType::kI8Row, args.k);
    float scale;
    memcpy(&scale, weights + args.k, sizeof(scale));
    for (size_t t = 0; t < args.m; ++t) {
      const uint8_t* acts = static_cast<const uint8_t*>(args.acts) + t * args.act_stride_bytes;
      R8Tail tail;
      memcpy(&tail, acts + R8CodeBytes(args.k), sizeof(tail));
      int32_t dot = 0;
      for (size_t k = 0; k < args.k; ++k) dot += static_cast<int8_t>(weights[k]) * static_cast<int8_t>(acts[k]);
      args.out[t * args.out_stride + n] = static_cast<float>(dot) * scale * tail.scale;
    }
  }
}

template void MatMul<DType::kF32>(const MatMulArgs&);
template void MatMul<DType::kF16>(const MatMulArgs&);
template void MatMul<DType::kBF16>(const MatMulArgs&);
template void MatMul<DType::kQ4_0>(const MatMulArgs&);
template void MatMul<DType::kQ4_1>(const MatMulArgs&);
template void MatMul<DType::kQ5_0>(const MatMulArgs&);
template void MatMul<DType::kQ5_1>(const MatMulArgs&);
template void MatMul<DType::kQ8_0>(const MatMulArgs&);
template void MatMul<DType::kQ2_K>(const MatMulArgs&);
template void MatMul<DType::kQ3_K>(const MatMulArgs&);
template void MatMul<DType::kQ4_K>(const MatMulArgs&);
template void MatMul<DType::kQ5_K>(const MatMulArgs&);
template void MatMul<DType::kQ6_K>(const MatMulArgs&);
template void MatMul<DType::kIQ4_NL>(const MatMulArgs&);
template void MatMul<DType::kIQ4_XS>(const MatMulArgs&);
template void MatMul<DType::kMXFP4>(const MatMulArgs&);

}  // namespace mote::simd::ref
