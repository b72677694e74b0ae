// The block-sparse product, row by row: each row made dense, a stretch at a time, and multiplied as ref/matmul.cc does.
#include <string.h>

#include "quant/codec.h"
#include "simd/ref/reference.h"
#include "simd/ref/sparse_reference.h"

namespace mote::simd::ref {
namespace {

// Where the blocks of a group begin, stretch by stretch.
struct Walk {
  const SparseMatMulArgs& args;
  uint64_t group;
  uint64_t block;      // in the values
  uint64_t entry = 0;  // in the index, where it is that of every group

  Walk(const SparseMatMulArgs& a, uint64_t g)
      : args(a),
        group(g),
        block(a.starts != nullptr ? a.starts[g] : g * (a.shape.cols / SparseBlockCols(a.shape.type))) {}

  // Calls use(place, the block's values) for all blocks of stretch s, and goes on to the next.
  template <class Use>
  void Stretch(uint64_t s, Use use) {
    if (args.same_places) {
      for (uint64_t b = 0; b < args.counts[s]; ++b, ++entry) {
        use(args.index[entry], args.values + (block + args.index[entry]) * kSparseBlockBytes);
      }
      block += args.shape.places(s);
      return;
    }
    const uint64_t count =
        args.index != nullptr ? args.counts[group * args.shape.stretches() + s] : args.shape.places(s);
    for (uint64_t b = 0; b < count; ++b, ++block) {
      use(args.index != nullptr ? args.index[block] : b, args.values + block * kSparseBlockBytes);
    }
  }
};

float ScaleAt(const SparseMatMulArgs& args, uint64_t group, size_t run, size_t r) {
  uint16_t bits;
  memcpy(&bits, args.scales + 2 * (group * args.shape.group_scales() + run * kSparseRows + r), sizeof(bits));
  return F16ToF32(bits);
}

const uint8_t* ActRow(const SparseMatMulArgs& args, size_t token) {
  return static_cast<const uint8_t*>(args.acts) + token * args.act_stride_bytes;
}

// The dense values of row r in stretch s.
void DenseStretch(Walk* walk, uint64_t s, size_t r, float* weights) {
  const DType type = walk->args.shape.type;
  memset(weights, 0, kSparseStretch * sizeof(float));
  walk->Stretch(s, [&](uint64_t place, const uint8_t* block) {
    if (type == DType::kQ4_0) {
      for (size_t c = 0; c < 8; ++c) {
        const int code = block[4 * r + c % 4] >> (c < 4 ? 0 : 4) & 15;
        weights[place * 8 + c] = static_cast<float>(code - 8) * ScaleAt(walk->args, walk->group, s * 8 + place / 4, r);
      }
      return;
    }
    for (size_t c = 0; c < 2; ++c) {
      uint16_t bits;
      memcpy(&bits, block + 2 * (kSparseRows * c + r), sizeof(bits));
      weights[place * 2 + c] = type == DType::kF16 ? F16ToF32(bits) : BF16ToF32(bits);
    }
  });
}

constexpr size_t kLanes = 8;  // partial sums, as in ref/matmul.cc

// The sum of one row with one token's floats or A8 blocks.
float RowSum(const SparseMatMulArgs& args, uint64_t group, size_t r, size_t token) {
  Walk walk(args, group);
  float lanes[kLanes] = {};
  for (uint64_t s = 0; s < args.shape.stretches(); ++s) {
    float weights[kSparseStretch];
    DenseStretch(&walk, s, r, weights);
    const uint64_t begin = s * kSparseStretch;
    const uint64_t left = args.shape.cols - begin;
    for (uint64_t i = 0; i < kSparseStretch && i < left; ++i) {
      float act;
      if (args.shape.type == DType::kQ4_0) {
        A8Block block;
        memcpy(&block, ActRow(args, token) + (begin + i) / 32 * sizeof(block), sizeof(block));
        act = block.scale * static_cast<float>(block.codes[i % 32]);
      } else {
        memcpy(&act, ActRow(args, token) + (begin + i) * sizeof(float), sizeof(act));
      }
      lanes[i % kLanes] += weights[i] * act;
    }
  }
  float sum = 0;
  for (const float lane : lanes) sum += lane;
  return sum;
}

// The same of int8: integers in a stretch, one float operation after it.
float RowSumI8(const SparseMatMulArgs& args, uint64_t group, size_t r, size_t token) {
  Walk walk(args, group);
  float sum = 0;
  for (uint64_t s = 0; s < args.shape.stretches(); ++s) {
    S8Stretch acts;
    memcpy(&acts, ActRow(args, token) + s * sizeof(acts), sizeof(acts));
    int32_t dot = 0;
    walk.Stretch(s, [&](uint64_t place, const uint8_t* block) {
      for (size_t c = 0; c < 4; ++c) {
        dot += static_cast<int8_t>(block[4 * r + c]) * static_cast<int8_t>(acts.codes[place * 4 + c]);
      }
    });
    sum += static_cast<float>(dot) * ScaleAt(args, group, s, r) * acts.scale;
  }
  return sum;
}

template <class Sum>
void ForOutputs(const SparseMatMulArgs& args, Sum sum) {
  for (size_t g = 0; g < args.groups; ++g) {
    const uint64_t group = args.first_group + g;
    for (size_t r = 0; r < kSparseRows && group * kSparseRows + r < args.shape.rows; ++r) {
      for (size_t token = 0; token < args.m; ++token) {
        args.out[token * args.out_stride + g * kSparseRows + r] = sum(args, group, r, token);
      }
    }
  }
}

void SparseMatMulI8(const SparseMatMulArgs& args) {
  ForOutputs(args, RowSumI8);
}
void SparseMatMul(const SparseMatMulArgs& args) {
  ForOutputs(args, RowSum);
}

void QuantizeS8(const float* x, size_t k, void* out) {
  uint8_t* at = static_cast<uint8_t*>(out);
  for (size_t begin = 0; begin < k; begin += kSparseStretch) {
    const size_t count = k - begin < kSparseStretch ? k - begin : kSparseStretch;
    A8Block blocks[kSparseStretch / 32] = {};
    QuantizeA8(x + begin, count, count, blocks);
    S8Stretch stretch = {};
    stretch.scale = blocks[0].scale;
    for (size_t i = 0; i < count; ++i) stretch.codes[i] = static_cast<uint8_t>(blocks[i / 32].codes[i % 32]);
    memcpy(at, &stretch, sizeof(stretch));
    at += sizeof(stretch);
  }
}

}  // namespace

constinit const SparseKernels kSparseRow = {SparseMatMulI8, SparseMatMul, SparseMatMul, SparseMatMul, QuantizeS8};

}  // namespace mote::simd::ref
