// A step of block-sparse weights times the tokens of a warp: the arithmetic that decode and prefill share, so that both
// give the same bits.
#ifndef MOTE_TARGETS_CUDA_SPARSE_PRODUCT_CUH_
#define MOTE_TARGETS_CUDA_SPARSE_PRODUCT_CUH_

#include "targets/cuda/mma.h"
#include "targets/cuda/packed_sparse.h"
#include "targets/cuda/vocabulary.h"

namespace mote::cuda {

// Where a lane finds what it needs of 16 rows of a matrix.
struct SparseRows {
  const uint8_t* values;   // its 16 bytes of pair 0
  const uint8_t* index;    // its two places of pair 0
  const uint8_t* scales;   // rows g and g + 8, of the rows' first unit
  const uint32_t* starts;  // of the rows' first unit
};
template <DType kType>
MOTE_DEVICE SparseRows RowsOfLane(const SparseMatrixArgs& matrix, uint32_t row_tile, uint32_t units, uint32_t lane) {
  const uint64_t first = static_cast<uint64_t>(row_tile) * units;
  SparseRows rows;
  rows.values = matrix.values + lane % 4 * kPairBytes + lane / 4 * 16;
  rows.index = matrix.index + lane % 4 * 2;
  rows.scales = matrix.scales + first * UnitScaleBytes(kType) + lane / 4 * 4;
  rows.starts = matrix.starts + first;
  return rows;
}

// Eight blocks of a unit, as a lane has them.
struct SparseStep {
  uint4 values;
  uint32_t index;
};
// The pairs from `at` on that are before `stop`; the first of them is. Lanes whose pair is not there have zeros, for a
// place that is.
MOTE_DEVICE void LoadStep(const SparseRows& rows, uint32_t at, uint32_t stop, uint32_t lane, SparseStep* step) {
  const bool there = at + lane % 4 < stop;
  uint4 values = {0, 0, 0, 0};
  if (there) values = LoadStreaming(reinterpret_cast<const uint4*>(rows.values + uint64_t{at} * kPairBytes));
  step->values = values;
  const uint8_t* index = rows.index + uint64_t{at} * 2 - (there ? 0 : lane % 4 * 2);
  step->index = *reinterpret_cast<const uint16_t*>(index);
}
MOTE_DEVICE uint32_t LoadUnitScale(const SparseRows& rows, uint32_t unit) {
  return *reinterpret_cast<const uint32_t*>(rows.scales + uint64_t{unit} * UnitScaleBytes(DType::kI8));
}

// Sums of a warp's rows and tokens: whole numbers of a unit of I8, floats of all units; D of mma.sync, tokens 8n ...
template <int kTokens8>
struct SparseSums {
  int32_t whole[kTokens8][4];
  float sum[kTokens8][4];
};

// UnitActs: Word(acts, n, byte) is what the lane's token 8n + g has at `byte` of the unit, Scale(acts, n, i) the scale of
// token 8n + 2t + i.
template <DType kType, int kTokens8, class UnitActs>
MOTE_DEVICE void MultiplyStep(const SparseStep& step, const UnitActs& acts, SparseSums<kTokens8>* sums) {
  const uint32_t a[4] = {step.values.x, step.values.y, step.values.z, step.values.w};
  const uint32_t first = step.index & 255u, second = step.index >> 8;
  uint32_t b[kTokens8][2];
#pragma unroll
  for (int n = 0; n < kTokens8; ++n) {
    b[n][0] = UnitActs::Word(acts, n, first);
    b[n][1] = UnitActs::Word(acts, n, second);
  }
#pragma unroll
  for (int n = 0; n < kTokens8; ++n) {
    if constexpr (kType == DType::kI8) {
      MmaBytes32(sums->whole[n], sums->whole[n], a, b[n][0], b[n][1]);
    } else if constexpr (kType == DType::kF16) {
      MmaHalves(sums->sum[n], a, b[n][0], b[n][1]);
    } else {
      MmaBf16(sums->sum[n], a, b[n][0], b[n][1]);
    }
  }
}

// I8: after the last step of a unit. `scale`: of rows g and g + 8.
template <int kTokens8, class UnitActs>
MOTE_DEVICE void EndUnit(uint32_t scale, const UnitActs& acts, SparseSums<kTokens8>* sums) {
  const float rows[2] = {HalfToFloat(scale & 0xffffu), HalfToFloat(scale >> 16)};
#pragma unroll
  for (int n = 0; n < kTokens8; ++n) {
    const float tokens[2] = {UnitActs::Scale(acts, n, 0), UnitActs::Scale(acts, n, 1)};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      sums->sum[n][i] += static_cast<float>(sums->whole[n][i]) * rows[i / 2] * tokens[i % 2];
      sums->whole[n][i] = 0;
    }
  }
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_SPARSE_PRODUCT_CUH_
