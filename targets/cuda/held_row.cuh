// What a thread has and holds of a row that is computed in registers, and how it gets there: wide_rows.cuh.
#ifndef MOTE_TARGETS_CUDA_HELD_ROW_CUH_
#define MOTE_TARGETS_CUDA_HELD_ROW_CUH_

#include "targets/cuda/kernel_args.h"
#include "targets/cuda/vocabulary.h"

namespace mote::cuda {

MOTE_DEVICE void Load8(const float* p, float v[8]) {
  const float4 low = reinterpret_cast<const float4*>(p)[0];
  const float4 high = reinterpret_cast<const float4*>(p)[1];
  v[0] = low.x, v[1] = low.y, v[2] = low.z, v[3] = low.w;
  v[4] = high.x, v[5] = high.y, v[6] = high.z, v[7] = high.w;
}
MOTE_DEVICE void Store8(float* p, const float v[8]) {
  float4 low, high;
  low.x = v[0], low.y = v[1], low.z = v[2], low.w = v[3];
  high.x = v[4], high.y = v[5], high.z = v[6], high.w = v[7];
  reinterpret_cast<float4*>(p)[0] = low;
  reinterpret_cast<float4*>(p)[1] = high;
}

// Whether there are registers for the other operands of operations that come later; else they are loaded in their turn.
template <int R>
constexpr bool LoadsAhead() {
  return R < 4;
}

// What a thread has and holds. Of its R times 8 columns, kThreads * 8 apart, each 8 are in the row or beyond it: these
// hold copies of the row's last, so that loads are under no condition and all on their way at once.
template <int R, int kThreads>
struct Held {
  uint32_t row;
  uint32_t first;  // column
  uint32_t cols;
  float v[R][8];                        // the value
  float w[LoadsAhead<R>() ? R : 1][8];  // weights that the next operation with weights wants
  float s[LoadsAhead<R>() ? R : 1][8];  // the other operand of the next operation that has two
};

template <int R, int kThreads>
MOTE_DEVICE uint32_t ColumnOf(const Held<R, kThreads>& h, int r) {
  return h.first + static_cast<uint32_t>(r * kThreads * 8);
}
template <int R, int kThreads>
MOTE_DEVICE bool InRow(const Held<R, kThreads>& h, int r) {
  return ColumnOf(h, r) < h.cols;
}
template <int R, int kThreads>
MOTE_DEVICE uint32_t LoadedColumn(const Held<R, kThreads>& h, int r) {
  return InRow(h, r) ? ColumnOf(h, r) : h.cols - 8;
}
template <int R, class F>
MOTE_DEVICE void Each(F f) {
#pragma unroll
  for (int r = 0; r < R; ++r) {
#pragma unroll
    for (int i = 0; i < 8; ++i) f(r, i);
  }
}
// Columns of one row, or of weights.
template <int R, int kThreads>
MOTE_DEVICE void LoadColumns(const Held<R, kThreads>& h, const float* base, float (&v)[R][8]) {
#pragma unroll
  for (int r = 0; r < R; ++r) Load8(base + LoadedColumn(h, r), v[r]);
}
// Of the thread's own row of `values`.
template <int R, int kThreads>
MOTE_DEVICE void LoadOwn(const Held<R, kThreads>& h, const float* values, float (&v)[R][8]) {
  LoadColumns(h, values + static_cast<uint64_t>(h.row) * h.cols, v);
}
template <int R, int kThreads>
MOTE_DEVICE void StoreColumns(const Held<R, kThreads>& h, float* base) {
#pragma unroll
  for (int r = 0; r < R; ++r) {
    if (InRow(h, r)) Store8(base + ColumnOf(h, r), h.v[r]);
  }
}
template <int R, int kThreads>
MOTE_DEVICE void LoadWeights(const Held<R, kThreads>& h, const float* weights, uint32_t mask, int r, float w[8]) {
  Load8(weights + (LoadedColumn(h, r) & mask), w);
}
// f(r, i, weight) for all of them; then the next operation's weights are asked for.
template <int R, int kThreads, class F>
MOTE_DEVICE void EachWeight(Held<R, kThreads>& h, const RowOp& op, F f) {
  if constexpr (LoadsAhead<R>()) {
    Each<R>([&](int r, int i) { f(r, i, h.w[r][i]); });
    if (op.next_weight == nullptr) return;
#pragma unroll
    for (int r = 0; r < R; ++r) LoadWeights(h, op.next_weight, op.next_mask, r, h.w[r]);
  } else {
#pragma unroll
    for (int r = 0; r < R; ++r) {
      float w[8];
      LoadWeights(h, op.weight, WeightMask(op.kind, op.group), r, w);
#pragma unroll
      for (int i = 0; i < 8; ++i) f(r, i, w[i]);
    }
  }
}
// The same with in1, which is also in memory where it is what the thread holds.
template <int R, int kThreads, class F>
MOTE_DEVICE void EachIn1(Held<R, kThreads>& h, const RowOp& op, F f) {
  if constexpr (LoadsAhead<R>()) {
    Each<R>([&](int r, int i) { f(r, i, h.s[r][i]); });
    if (op.next_in1 != nullptr) LoadOwn(h, op.next_in1, h.s);
  } else {
#pragma unroll
    for (int r = 0; r < R; ++r) {
      float s[8];
      Load8(op.in1 + static_cast<uint64_t>(h.row) * h.cols + LoadedColumn(h, r), s);
#pragma unroll
      for (int i = 0; i < 8; ++i) f(r, i, s[i]);
    }
  }
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_HELD_ROW_CUH_
