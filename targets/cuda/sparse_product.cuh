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
  const uint8_t* values;   // its 16 bytes of the matrix's pair 0
  const uint8_t* index;    // of the matrix
  const uint8_t* scales;   // rows g and g + 8, of the rows' first unit
  const uint32_t* starts;  // of the rows' first unit
  uint32_t t;              // of each step's pairs its own
};
template <DType kType>
MOTE_DEVICE SparseRows RowsOfLane(const SparseMatrixArgs& matrix, uint32_t row_tile, uint32_t units, uint32_t lane) {
  const uint64_t first = static_cast<uint64_t>(row_tile) * units;
  SparseRows rows;
  rows.values = matrix.values + lane / 4 * 16;
  rows.index = matrix.index;
  rows.scales = matrix.scales + first * UnitScaleBytes(kType) + lane / 4 * 4;
  rows.starts = matrix.starts + first;
  rows.t = lane % 4;
  return rows;
}

// Eight blocks of a unit, as a lane has them.
struct SparseStep {
  uint4 values;
  uint32_t index;
};
// The pairs from `at` on that are before `stop`; the first of them is. Lanes whose pair is not there have zeros, for
// the place of the last that is.
MOTE_DEVICE void LoadStep(const SparseRows& rows, uint32_t at, uint32_t stop, SparseStep* step) {
  const uint32_t own = at + rows.t;
  const bool there = own < stop;
  const uint32_t pair = there ? own : stop - 1;
  uint4 values = {0, 0, 0, 0};
  if (there) values = LoadStreaming(reinterpret_cast<const uint4*>(rows.values + uint64_t{pair} * kPairBytes));
  step->values = values;
  step->index = reinterpret_cast<const uint16_t*>(rows.index)[pair];
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

// What a step's blocks are multiplied with. UnitActs: Word(acts, n, byte) is what the lane's token 8n + g has at `byte`
// of the unit, Scale(acts, n, i) the scale of token 8n + 2t + i.
template <int kTokens8>
struct StepActs {
  uint32_t b[kTokens8][2];
};
template <int kTokens8, class UnitActs>
MOTE_DEVICE void Gather(uint32_t index, const UnitActs& acts, StepActs<kTokens8>* words) {
  const uint32_t first = index & 255u, second = index >> 8;
#pragma unroll
  for (int n = 0; n < kTokens8; ++n) {
    words->b[n][0] = UnitActs::Word(acts, n, first);
    words->b[n][1] = UnitActs::Word(acts, n, second);
  }
}

template <DType kType, int kTokens8>
MOTE_DEVICE void MultiplyStep(const uint4& values, const StepActs<kTokens8>& words, SparseSums<kTokens8>* sums) {
  const uint32_t a[4] = {values.x, values.y, values.z, values.w};
#pragma unroll
  for (int n = 0; n < kTokens8; ++n) {
    if constexpr (kType == DType::kI8) {
      MmaBytes32(sums->whole[n], sums->whole[n], a, words.b[n][0], words.b[n][1]);
    } else if constexpr (kType == DType::kF16) {
      MmaHalves(sums->sum[n], a, words.b[n][0], words.b[n][1]);
    } else {
      MmaBf16(sums->sum[n], a, words.b[n][0], words.b[n][1]);
    }
  }
}

// I8: after the last step of a unit. `scale`: of rows g and g + 8; `tokens`: of the lane's columns of D.
template <int kTokens8>
MOTE_DEVICE void EndUnit(uint32_t scale, const float tokens[kTokens8][2], SparseSums<kTokens8>* sums) {
  const float rows[2] = {HalfToFloat(scale & 0xffffu), HalfToFloat(scale >> 16)};
#pragma unroll
  for (int n = 0; n < kTokens8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      sums->sum[n][i] += static_cast<float>(sums->whole[n][i]) * rows[i / 2] * tokens[n][i % 2];
      sums->whole[n][i] = 0;
    }
  }
}
template <int kTokens8, class UnitActs>
MOTE_DEVICE void TokenScales(const UnitActs& acts, float tokens[kTokens8][2]) {
#pragma unroll
  for (int n = 0; n < kTokens8; ++n) {
#pragma unroll
    for (int i = 0; i < 2; ++i) tokens[n][i] = UnitActs::Scale(acts, n, i);
  }
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_SPARSE_PRODUCT_CUH_
