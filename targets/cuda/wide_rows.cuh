// Row operations in registers: a thread has 8 neighbouring columns of its row (or R times 8, kThreads * 8 apart) from
// the first operation of a track to the last.
//
// A round trip to memory is 0.6 us, a row operation's arithmetic next to nothing: so all that a track reads is asked
// for at once, weights even before the kernel's turn has come, and what one operation leaves to the next stays where it
// is. Results are written all the same, for others to read, but nobody waits for that. A thread has the same columns in
// all operations: no barriers but those of sums over the row. What the step's upload wrote (counts, places in the
// cache) was there before the step's first kernel began, and is read before WaitForPrevious too.
#ifndef MOTE_TARGETS_CUDA_WIDE_ROWS_CUH_
#define MOTE_TARGETS_CUDA_WIDE_ROWS_CUH_

#include "targets/cuda/held_ops.cuh"

namespace mote::cuda {

inline constexpr int kPieceThreads = kPieceCols / 8;
inline constexpr int kWholeThreads = kWholeCols / 8;

// The operands of an operation, where it does not find them in place.
template <int R, int kThreads>
MOTE_DEVICE void TakeOperands(Held<R, kThreads>& h, const StepArgs& step, const RowOp& op) {
  if constexpr (LoadsAhead<R>()) {
    if (op.kind == RowOpKind::kAdd || op.kind == RowOpKind::kGate) {
      if (op.in1_from == From::kRegisters) Each<R>([&](int r, int i) { h.s[r][i] = h.v[r][i]; });
      if (op.in1_from == From::kMemory) LoadOwn(h, op.in1, h.s);
    }
  }
  if (op.kind == RowOpKind::kSelect) {
    LoadColumns(h, op.in0 + static_cast<uint64_t>(step.outputs[h.row]) * h.cols, h.v);
  } else if (op.kind != RowOpKind::kInput && op.in0_from == From::kMemory) {
    LoadOwn(h, op.in0, h.v);
  }
}

template <int R, int kThreads>
MOTE_DEVICE void AddInputColumns(Held<R, kThreads>& h, const StepArgs& step, const RowOp& op) {
  const bool has_input = step.input_cols != 0 && step.has_input[h.row] != 0;
  if (op.kind == RowOpKind::kInput) Each<R>([&](int r, int i) { h.v[r][i] = 0; });
  if (!has_input) return;
  const float* input = step.inputs + static_cast<uint64_t>(h.row) * step.input_cols + op.column;
  const bool adds = op.kind == RowOpKind::kAddInput;
#pragma unroll
  for (int r = 0; r < R; ++r) {
#pragma unroll
    for (int i = 0; i < 8; ++i) {  // not aligned
      const float x = input[LoadedColumn(h, r) + static_cast<uint32_t>(i)];
      h.v[r][i] = adds ? h.v[r][i] + x : x;
    }
  }
}

template <int R, int kThreads>
MOTE_DEVICE void TakeHiddenColumns(const Held<R, kThreads>& h, const StepArgs& step, const RowOp& op, uint32_t logits) {
  float* rows = h.row < logits ? op.out : step.hidden;
  StoreColumns(h, rows + static_cast<uint64_t>(h.row < logits ? h.row : h.row - logits) * h.cols);
}

// What becomes of the value; false: it has not changed, and there is nothing more to write.
template <bool kWhole, int R, int kThreads>
MOTE_DEVICE bool Compute(Held<R, kThreads>& h, const StepArgs& step, const RowOp& op, const CachePlace& place,
                         uint32_t logits, float* places) {
  switch (op.kind) {
    case RowOpKind::kAdd:
      EachIn1(h, op, [&](int r, int i, float x) { h.v[r][i] += x; });
      return true;
    case RowOpKind::kGate:
      ActivateHeld(h, op.activation);
      EachIn1(h, op, [&](int r, int i, float x) { h.v[r][i] *= x; });
      return true;
    case RowOpKind::kActivation:
      ActivateHeld(h, op.activation);
      return true;
    case RowOpKind::kMulVector:
      EachWeight(h, op, [&](int r, int i, float weight) { h.v[r][i] *= weight; });
      return true;
    case RowOpKind::kRmsNorm:
      if (!kWhole || IsLanesNorm(op.group)) {
        RmsNormLanes(h, op);
      } else {
        RmsNormWhole(h, op, places);
      }
      return true;
    case RowOpKind::kLayerNorm:
      if (kWhole) LayerNormWhole(h, op, places);
      return true;
    case RowOpKind::kSoftcap:
      Each<R>([&](int r, int i) { h.v[r][i] = op.value * tanhf(h.v[r][i] / op.value); });
      return true;
    case RowOpKind::kRope:
      if (op.flag != 0) {
        RopeAdjacent(h, op);
      } else {
        RopeApart(h, op);
      }
      return true;
    case RowOpKind::kInput:
    case RowOpKind::kAddInput:
      AddInputColumns(h, step, op);
      return true;
    case RowOpKind::kCacheKeys:
    case RowOpKind::kCacheValues:
      if (!kWhole) CacheColumns(op, h.v[0], InRow(h, 0), place);
      return false;
    case RowOpKind::kQuantize:
      if (kHasGroups && op.flag != 0 && h.row >= step.counts->read_from) return false;  // the whole block
      QuantizeHeld<kWhole>(h, op, places);
      return false;
    case RowOpKind::kTakeHidden:
      TakeHiddenColumns(h, step, op, logits);
      return false;
    case RowOpKind::kRoundRead:
      if (kHasGroups) RoundReadHeld<kWhole>(h, op, step.counts->read_from, places);
      return false;
    default:  // kSelect
      return true;
  }
}

// A track, or a piece of it. Grid: rows, args.blocks.
template <bool kWhole, int R, int kThreads>
MOTE_DEVICE void RunWide(const RowArgs& args) {
  LetNextBegin();
  const RowTrack& track = TrackOf(args);
  const StepArgs& step = *args.step;
  const StepCounts counts = *args.counts;
  Held<R, kThreads> h;
  h.row = blockIdx.x;
  h.cols = args.ops[track.begin].cols;
  h.first = (kWhole ? 0 : (blockIdx.y - track.first_block) * kPieceCols) + threadIdx.x * 8;
  // Orders arrive from memory too: all of a track's are asked for before they are needed one by one. (None is amiss.)
  uint64_t amiss = 0;
  for (uint32_t i = track.begin; i < track.end; ++i) {
    amiss |= (args.ops[i].cols ^ h.cols) | reinterpret_cast<uintptr_t>(args.ops[i].packed);
  }
  const uint32_t rows = CountOf(counts, args.ops[track.begin].rows_kind) * args.per_row;
  const bool has_row = amiss == 0 && h.row < rows;
  CachePlace place = {nullptr, nullptr};
  if (!kWhole && track.cache_op != kNoOp && has_row && h.first < h.cols) {
    place = PlaceInCache(step, args.ops[track.cache_op], h.row, h.first);
  }
  if constexpr (LoadsAhead<R>()) {
#pragma unroll
    for (int r = 0; r < R && track.weight != nullptr; ++r) {
      LoadWeights(h, track.weight, track.weight_mask, r, h.w[r]);
    }
  }
  WaitForPrevious();
  if (!has_row) return;
  if constexpr (LoadsAhead<R>()) {
    if (track.in1 != nullptr) LoadOwn(h, track.in1, h.s);
  }
  float* places = reinterpret_cast<float*>(SharedMemory());
  for (uint32_t i = track.begin; i < track.end; ++i) {
    const RowOp& op = args.ops[i];
    if (h.row >= CountOf(counts, op.rows_kind) * args.per_row) return;
    TakeOperands(h, step, op);
    if (!Compute<kWhole>(h, step, op, place, counts.rows[kRowsLogits], places)) continue;
    if (kHasGroups && op.unread != 0) continue;
    StoreColumns(h, op.out + static_cast<uint64_t>(h.row) * h.cols);
  }
}

MOTE_KERNEL(kPieceThreads, 6) ColumnsKernel(const RowArgs args) {
  RunWide<false, 1, kPieceThreads>(args);
}
// More than one row at a time on a multiprocessor where registers allow.
template <int R>
MOTE_KERNEL(kWholeThreads, R == 1 ? 2 : 1)
WholeRowKernel(const RowArgs args) {
  RunWide<true, R, kWholeThreads>(args);
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_WIDE_ROWS_CUH_
