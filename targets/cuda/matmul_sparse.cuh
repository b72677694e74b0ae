// Matrix products with block-sparse weights (packed_sparse.h), for few tokens and for many. Both add in the same order,
// that of the dense kernels (packed.h, kStretches) and inside a stretch of the columns that of the steps: a token's
// outputs are the same bits in any batch.
//
// Few tokens. A block has 16 rows, or some such groups one after the other; each of its warps takes the units of one
// stretch as one sequence of steps, of which it has the next kStepsAhead asked for, whatever units and groups they are
// of. A step is 520 bytes and 40 instructions, with a unit's last one of I8 85 (counted in what nvcc makes for sm_90):
// at half the blocks an H100's multiprocessor (25 GB/s per GHz) issues in half of its cycles at full bandwidth. The
// words of activations come through the first-level cache, asked for a step ahead.
//
// Many tokens. A warp has 16 rows and up to 32 tokens, whose unit of activations lies in shared memory; weights are
// read once for 64 tokens. A step takes 4 matrix instructions, 8 loads of shared memory, which the order of the blocks
// keeps free of conflicts for the most part (pack_sparse.cc), and about 35 others. The dense kernel loads as much for
// the 32 columns of an instruction, so what is left out is saved.
#ifndef MOTE_TARGETS_CUDA_MATMUL_SPARSE_CUH_
#define MOTE_TARGETS_CUDA_MATMUL_SPARSE_CUH_

#include "targets/cuda/matmul.cuh"
#include "targets/cuda/sparse_product.cuh"

namespace mote::cuda {

template <DType kType>
constexpr uint32_t SparseActHeader() {
  return kType == DType::kI8 ? 0 : kHalfActHeader;
}
template <DType kType>
constexpr uint32_t TileUnits() {
  return kTileCols / UnitCols(kType);
}

// ---- Few tokens.

inline constexpr int kStepsAhead = 8;
// Units whose starts the lanes of a warp hold: lane i has that of unit i, and the last lane where the last one ends.
inline constexpr uint32_t kRunUnits = kWarp - 1;

// Of a slot: with its unit's last step; without a step. The group of rows is beside them, what it says is a multiple of
// 16.
inline constexpr uint32_t kLastStep = 1;
inline constexpr uint32_t kNoStep = 2;
inline constexpr uint32_t kGroupBit = 4;
inline constexpr uint32_t kSlotFlags = 15;

// The same units of some groups of rows, one group after the other, as a sequence of steps, and what of it has been
// asked for.
template <DType kType>
struct StepRing {
  SparseRows rows;  // of the first group
  uint32_t row_units;
  uint32_t first;  // unit, of all of the block's groups
  uint32_t units;
  uint32_t groups;
  uint32_t starts, next_starts;    // of the group and of the next
  uint32_t group, unit, at, stop;  // the next step to ask for, its unit counted from `first`; no units: none
  SparseStep steps[kStepsAhead];
  uint32_t scale[kType == DType::kI8 ? kStepsAhead : 1];
  uint32_t unit_at[kStepsAhead];  // of the activations, its first byte from that of unit `first`; and the flags
};

template <DType kType>
MOTE_DEVICE void FetchNextStarts(uint32_t lane, StepRing<kType>* ring) {
  if (ring->group + 1 >= ring->groups) return;
  ring->next_starts = ring->rows.starts[ring->first + ring->row_units + (lane < ring->units ? lane : ring->units)];
}
template <int kGroups, DType kType>
MOTE_DEVICE void SkipEmptyUnits(uint32_t lane, StepRing<kType>* ring) {
  while (ring->at >= ring->stop) {
    if (++ring->unit < ring->units) {
      ring->at = ring->stop;
      ring->stop = ShuffleFrom(ring->starts, static_cast<int>(ring->unit + 1));
      continue;
    }
    if (kGroups == 1 || ++ring->group >= ring->groups) {
      ring->units = 0;
      return;
    }
    ring->unit = 0;
    ring->first += ring->row_units;
    ring->starts = ring->next_starts;
    ring->at = ShuffleFrom(ring->starts, 0);
    ring->stop = ShuffleFrom(ring->starts, 1);
    FetchNextStarts(lane, ring);
  }
}
template <int kGroups, DType kType>
MOTE_DEVICE void LoadNext(uint32_t lane, int slot, StepRing<kType>* ring) {
  if (ring->units == 0) {
    ring->steps[slot].index = 0;
    ring->unit_at[slot] = kNoStep;
    return;
  }
  LoadStep(ring->rows, ring->at, ring->stop, &ring->steps[slot]);
  ring->unit_at[slot] = ring->unit * UnitActDistance(kType);
  if (kGroups > 1) ring->unit_at[slot] |= ring->group * kGroupBit;
  ring->at += kStepPairs;
  if (ring->at < ring->stop) return;
  ring->unit_at[slot] |= kLastStep;
  if constexpr (kType == DType::kI8) ring->scale[slot] = LoadUnitScale(ring->rows, ring->first + ring->unit);
  SkipEmptyUnits<kGroups>(lane, ring);
}
// Begins with units [first, end), or as many of them as a run has.
template <int kGroups, DType kType>
MOTE_DEVICE void BeginRun(uint32_t first, uint32_t end, uint32_t lane, StepRing<kType>* ring) {
  ring->first = first;
  ring->units = end - first < kRunUnits ? end - first : kRunUnits;
  ring->starts = ring->rows.starts[first + (lane < ring->units ? lane : ring->units)];
  ring->group = ring->unit = 0;
  if (kGroups > 1) FetchNextStarts(lane, ring);
  ring->at = ShuffleFrom(ring->starts, 0);
  ring->stop = ShuffleFrom(ring->starts, 1);
  SkipEmptyUnits<kGroups>(lane, ring);
#pragma unroll
  for (int slot = 0; slot < kStepsAhead; ++slot) LoadNext<kGroups>(lane, slot, ring);
}

// Of 8 tokens, in global memory.
struct GlobalUnit {
  const uint8_t* b;     // of the lane's column of B, from the run's first unit on
  const uint8_t* c[2];  // of its columns of D
  uint32_t at;          // of the unit
  MOTE_DEVICE uint32_t Word(const GlobalUnit& acts, int, uint32_t byte) {
    return *reinterpret_cast<const uint32_t*>(acts.b + (acts.at + byte));
  }
  MOTE_DEVICE float Scale(const GlobalUnit& acts, int, int i) {
    return *reinterpret_cast<const float*>(acts.c[i] + acts.at + kActScales);
  }
};

// What a slot's step is multiplied with, asked for a step ahead: the words, and with a unit's last step the scales.
struct SlotActs {
  StepActs<1> words;
  float scales[1][2];
};
// Without a step, something.
template <DType kType>
MOTE_DEVICE void GatherSlot(GlobalUnit acts, int slot, const StepRing<kType>& ring, SlotActs* slot_acts) {
  acts.at = ring.unit_at[slot] & ~kSlotFlags;
  Gather(ring.steps[slot].index, acts, &slot_acts->words);
  if constexpr (kType == DType::kI8) {
    if (ring.unit_at[slot] & kLastStep) TokenScales<1>(acts, slot_acts->scales);
  }
}

inline constexpr uint32_t kSparseTokens = 8;
inline constexpr uint32_t kGroupSums = kTileRows * kSparseTokens;

// A group's sums, (16 rows, 8 tokens).
MOTE_DEVICE void StoreSums(uint32_t lane, const SparseSums<1>& sums, float* out) {
#pragma unroll
  for (uint32_t i = 0; i < 4; ++i) {
    out[(lane / 4 + i / 2 * 8) * kSparseTokens + 2 * (lane % 4) + i % 2] = sums.sum[0][i];
  }
}

// A run's products, added to `sums`; of more than one group, stored when the last step of one is done.
template <DType kType, int kGroups>
MOTE_DEVICE void MultiplyRun(const GlobalUnit& acts, uint32_t lane, StepRing<kType>* ring, SparseSums<1>* sums,
                             float* out) {
  static_assert(kStepsAhead % 2 == 0, "two take turns");
  SlotActs turns[2];
  GatherSlot<kType>(acts, 0, *ring, &turns[0]);
  while (true) {
#pragma unroll
    for (int slot = 0; slot < kStepsAhead; ++slot) {
      const uint32_t unit_at = ring->unit_at[slot];
      if (unit_at & kNoStep) return;  // the whole warp, and none comes after it
      const SlotActs& own = turns[slot % 2];
      const int next = (slot + 1) % kStepsAhead;
      GatherSlot<kType>(acts, next, *ring, &turns[next % 2]);
      MultiplyStep<kType>(ring->steps[slot].values, own.words, sums);
      if ((kType == DType::kI8 || kGroups > 1) && unit_at & kLastStep) {
        if constexpr (kType == DType::kI8) EndUnit(ring->scale[slot], own.scales, sums);
        if (kGroups > 1 && ((ring->unit_at[next] ^ unit_at) & (kSlotFlags - kLastStep)) != 0) {
          StoreSums(lane, *sums, out + unit_at % (kSlotFlags + 1) / kGroupBit * kGroupSums);
          *sums = {};
        }
      }
      LoadNext<kGroups>(lane, slot, ring);
    }
  }
}

// The sums of the warp's units [first, end) of all groups, (16 rows, 8 tokens) each, to `out`. The ring holds the
// first.
template <DType kType, int kGroups>
MOTE_DEVICE void MultiplyUnits(const MatMulArgs& args, TokenRange tokens, uint32_t first, uint32_t end, uint32_t lane,
                               StepRing<kType>* ring, float* out) {
  const uint32_t g = lane / 4, t = lane % 4;
  // Tokens that are not there: the last one again, and nobody looks.
  const auto act_row = [&](uint32_t i) {
    const uint32_t token = tokens.first + i;
    return ActRow(args, token < tokens.end ? token : tokens.end - 1) + SparseActHeader<kType>() +
           first * UnitActDistance(kType);
  };
  GlobalUnit acts = {act_row(g), {act_row(2 * t), act_row(2 * t + 1)}, 0};
  SparseSums<1> sums = {};
  // A group may have nothing in these units.
  for (int group = 0; kGroups > 1 && group < kGroups; ++group) StoreSums(lane, sums, out + group * kGroupSums);
  MultiplyRun<kType, kGroups>(acts, lane, ring, &sums, out);
  if constexpr (kGroups == 1) {
    for (first += kRunUnits; first < end; first += kRunUnits) {  // very long rows
      acts.b += kRunUnits * UnitActDistance(kType);
      acts.c[0] += kRunUnits * UnitActDistance(kType);
      acts.c[1] += kRunUnits * UnitActDistance(kType);
      BeginRun<1>(first, end, lane, ring);
      MultiplyRun<kType, 1>(acts, lane, ring, &sums, out);
    }
    StoreSums(lane, sums, out);
  }
}

constexpr uint32_t FewSparseShared(uint32_t groups) {
  return kStretches * groups * kGroupSums * static_cast<uint32_t>(sizeof(float));
}

// Grid: (tiles of 16 * kGroups rows, chunks of 8 tokens). More than one group: a warp's stretch must be one run.
template <DType kType, int kGroups>
MOTE_KERNEL(kFewThreads, 2)
FewSparseKernel(const SparseMatMulArgs all) {
  LetNextBegin();
  constexpr uint32_t kRows = kTileRows * kGroups;
  const MatMulArgs& args = all.product;
  float* sums = reinterpret_cast<float*>(SharedMemory());
  const uint32_t which = IndexOfTile(args, blockIdx.x);
  const MatrixArgs& matrix = args.matrix[which];
  const uint32_t warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const uint32_t units = args.row_tiles * TileUnits<kType>();
  const uint32_t stretch_units = StretchTiles(args.row_tiles) * TileUnits<kType>();
  const uint32_t stretches = NumStretches(args.row_tiles);
  const uint32_t row_tile = (blockIdx.x - matrix.first_tile) * kGroups;
  const uint32_t first = warp * stretch_units;
  const uint32_t end = first + stretch_units < units ? first + stretch_units : units;
  StepRing<kType> ring;
  // Weights do not wait for what comes before.
  if (warp < stretches) {
    const uint32_t groups = (matrix.rows + kTileRows - 1) / kTileRows - row_tile;
    ring.rows = RowsOfLane<kType>(all.matrix[which], row_tile, units, lane);
    ring.row_units = units;
    ring.groups = groups < kGroups ? groups : kGroups;
    BeginRun<kGroups>(first, end, lane, &ring);
  }
  WaitForPrevious();
  const TokenRange tokens = TokensOfBlock(args, blockIdx.y, kSparseTokens);
  if (tokens.first >= tokens.end) return;
  if (warp < stretches) {
    MultiplyUnits<kType, kGroups>(args, tokens, first, end, lane, &ring, sums + warp * kGroups * kGroupSums);
  }
  SyncBlock();
  for (uint32_t i = threadIdx.x; i < kRows * (tokens.end - tokens.first); i += kFewThreads) {
    const uint32_t row = i % kRows, token = i / kRows;
    if (row_tile * kTileRows + row >= matrix.rows) continue;
    const float* own = sums + row * kSparseTokens + token;
    float sum = own[0];
    for (uint32_t stretch = 1; stretch < stretches; ++stretch) sum += own[stretch * kGroups * kGroupSums];
    float scale = 1;
    if (kType != DType::kI8) scale = *reinterpret_cast<const float*>(ActRow(args, tokens.first + token));
    StoreOutput(args, matrix, row_tile * kTileRows + row, tokens.first + token, sum, scale);
  }
}

// ---- Many tokens.

// Of a token's unit in shared memory: its 256 bytes, and the piece that begins with its scale. Four banks from row to
// row.
inline constexpr uint32_t kUnitStride = kUnitActBytes + 16;
inline constexpr uint32_t kManySlots = 4;

// A block: warps of 16 rows each, and for each of them of 8 * kTokens8 tokens each.
template <int kTokens8, uint32_t kTokenWarps, uint32_t kRowWarps>
struct ManyShape {
  static constexpr int kWarpTokens = kTokens8;  // by eights
  static constexpr uint32_t kRows = kRowWarps;
  static constexpr uint32_t kTokens = kTokenWarps * 8 * kTokens8;
  static constexpr uint32_t kThreads = kTokenWarps * kRowWarps * kWarp;
  static constexpr uint32_t kStage = kTokens * kUnitStride;
};
// For up to 16 tokens, up to 32, and more.
using ManyShape16 = ManyShape<2, 1, 4>;
using ManyShape32 = ManyShape<4, 1, 4>;
using ManyShape64 = ManyShape<4, 2, 8>;

struct SharedUnit {
  const uint8_t* row;  // of the lane's first column of B
  const uint8_t* scale;
  MOTE_DEVICE uint32_t Word(const SharedUnit& acts, int n, uint32_t byte) {
    return *reinterpret_cast<const uint32_t*>(acts.row + byte + 8 * n * static_cast<int>(kUnitStride));
  }
  MOTE_DEVICE float Scale(const SharedUnit& acts, int n, int i) {
    return *reinterpret_cast<const float*>(acts.scale + (8 * n + i) * static_cast<int>(kUnitStride));
  }
};
MOTE_DEVICE SharedUnit UnitOfStage(const uint8_t* stage, uint32_t own_token, uint32_t lane) {
  SharedUnit acts;
  acts.row = stage + (own_token + lane / 4) * kUnitStride;
  acts.scale = stage + (own_token + 2 * (lane % 4)) * kUnitStride + kUnitActBytes;
  return acts;
}

// What a thread copies of each unit: some pieces of 16 bytes of a token's values, and perhaps its scale.
struct UnitCopy {
  const uint8_t* from;
  uint32_t to;
  bool has_scale;
};
template <class Shape>
constexpr uint32_t PiecesApart() {
  return Shape::kThreads / Shape::kTokens * 16;
}
template <DType kType, class Shape>
MOTE_DEVICE UnitCopy UnitCopyOf(const MatMulArgs& args, TokenRange tokens) {
  const uint32_t token = threadIdx.x * 16 / PiecesApart<Shape>(), byte = threadIdx.x * 16 % PiecesApart<Shape>();
  UnitCopy copy;
  copy.from = ActRow(args, tokens.first + token < tokens.end ? tokens.first + token : tokens.end - 1) +
              SparseActHeader<kType>() + byte;
  copy.to = token * kUnitStride + byte;
  copy.has_scale = kType == DType::kI8 && byte == 0;
  return copy;
}
template <DType kType, class Shape>
MOTE_DEVICE void FetchUnit(UnitCopy* copy, uint8_t* stage) {
#pragma unroll
  for (uint32_t byte = 0; byte < kUnitActBytes; byte += PiecesApart<Shape>()) {
    CopyAsync16(stage + copy->to + byte, copy->from + byte);
  }
  if (copy->has_scale) CopyAsync16(stage + copy->to + kUnitActBytes, copy->from + kActScales);
  copy->from += UnitActDistance(kType);
  CommitCopies();
}

// The pairs of a unit and of the next one: [at, stop) and [stop, after).
struct UnitPairs {
  uint32_t at, stop, after;
};

// A unit's products. The slots hold its first steps, and in the end those of the next one.
template <DType kType, int kTokens8>
MOTE_DEVICE void MultiplyUnit(const SparseRows& rows, const UnitPairs& pairs, const SharedUnit& acts,
                              SparseStep slots[kManySlots], SparseSums<kTokens8>* sums) {
  const uint32_t steps = (pairs.stop - pairs.at + kStepPairs - 1) / kStepPairs;
#pragma unroll
  for (uint32_t i = 0; i < kUnitSteps; ++i) {
    SparseStep* slot = &slots[i % kManySlots];
    if (i < steps) {
      StepActs<kTokens8> words;
      Gather(slot->index, acts, &words);
      MultiplyStep<kType>(slot->values, words, sums);
    }
    if (i + kManySlots < steps) {
      LoadStep(rows, pairs.at + (i + kManySlots) * kStepPairs, pairs.stop, slot);
    } else if (i < steps || i < kManySlots) {  // done with this unit
      const uint32_t next = pairs.stop + i % kManySlots * kStepPairs;
      if (next < pairs.after) LoadStep(rows, next, pairs.after, slot);
    }
  }
}

// Sums of the warp's rows and of the block's tokens, all columns.
template <DType kType, class Shape>
MOTE_DEVICE void MultiplyManySparse(const MatMulArgs& args, TokenRange tokens, const SparseRows& rows,
                                    uint32_t own_token, uint32_t lane, float total[Shape::kWarpTokens][4]) {
  constexpr int kTokens8 = Shape::kWarpTokens;
  const uint32_t units = args.row_tiles * TileUnits<kType>();
  const uint32_t stretch_units = StretchTiles(args.row_tiles) * TileUnits<kType>();
  const auto stage_of = [](uint32_t unit) { return SharedMemory() + unit % 2 * Shape::kStage; };
  UnitCopy copy = UnitCopyOf<kType, Shape>(args, tokens);
  FetchUnit<kType, Shape>(&copy, stage_of(0));
  UnitPairs pairs = {rows.starts[0], rows.starts[1], rows.starts[units > 1 ? 2 : 1]};
  SparseStep slots[kManySlots];
#pragma unroll
  for (uint32_t i = 0; i < kManySlots; ++i) {
    const uint32_t at = pairs.at + i * kStepPairs;
    if (at < pairs.stop) LoadStep(rows, at, pairs.stop, &slots[i]);
  }
  SparseSums<kTokens8> sums = {};
  uint32_t stretch_end = stretch_units;
  for (uint32_t unit = 0; unit < units; ++unit) {
    // Asked for a unit ahead.
    const uint32_t after = rows.starts[unit + 3 < units ? unit + 3 : units];
    uint32_t scale = 0;
    if constexpr (kType == DType::kI8) scale = LoadUnitScale(rows, unit);
    WaitCopies<0>();
    SyncBlock();
    if (unit + 1 < units) FetchUnit<kType, Shape>(&copy, stage_of(unit + 1));
    const SharedUnit acts = UnitOfStage(stage_of(unit), own_token, lane);
    MultiplyUnit<kType>(rows, pairs, acts, slots, &sums);
    if constexpr (kType == DType::kI8) {
      if (pairs.at < pairs.stop) {
        float scales[kTokens8][2];
        TokenScales<kTokens8>(acts, scales);
        EndUnit(scale, scales, &sums);
      }
    }
    pairs = {pairs.stop, pairs.after, after};
    if (unit + 1 != stretch_end && unit + 1 != units) continue;
#pragma unroll
    for (int n = 0; n < kTokens8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        total[n][i] = stretch_end == stretch_units ? sums.sum[n][i] : total[n][i] + sums.sum[n][i];
        sums.sum[n][i] = 0;
      }
    }
    stretch_end += stretch_units;
  }
}

// Grid: (chunks of the shape's tokens, tiles of its rows).
template <DType kType, class Shape>
MOTE_KERNEL(Shape::kThreads, 512 / Shape::kThreads)
ManySparseKernel(const SparseMatMulArgs all) {
  LetNextBegin();
  constexpr uint32_t kTokens8 = Shape::kWarpTokens;
  WaitForPrevious();
  const MatMulArgs& args = all.product;
  const TokenRange tokens = TokensOfBlock(args, blockIdx.x, Shape::kTokens);
  if (tokens.first >= tokens.end) return;
  const uint32_t which = IndexOfTile(args, blockIdx.y);
  const MatrixArgs& matrix = args.matrix[which];
  const uint32_t lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const uint32_t own_token = warp / Shape::kRows * (8 * kTokens8);
  const uint32_t row_tile = (blockIdx.y - matrix.first_tile) * Shape::kRows + warp % Shape::kRows;
  const uint32_t last = (matrix.rows + kTileRows - 1) / kTileRows - 1;
  // Rows that are not there: the last ones again, and nobody looks.
  const SparseRows rows = RowsOfLane<kType>(all.matrix[which], row_tile < last ? row_tile : last,
                                            args.row_tiles * TileUnits<kType>(), lane);
  float total[kTokens8][4];
  MultiplyManySparse<kType, Shape>(args, tokens, rows, own_token, lane, total);
#pragma unroll
  for (uint32_t n = 0; n < kTokens8; ++n) {
#pragma unroll
    for (uint32_t i = 0; i < 4; ++i) {
      const uint32_t row = row_tile * kTileRows + lane / 4 + i / 2 * 8;
      const uint32_t token = tokens.first + own_token + 8 * n + 2 * (lane % 4) + i % 2;
      if (row >= matrix.rows || token >= tokens.end) continue;
      float scale = 1;
      if (kType != DType::kI8) scale = *reinterpret_cast<const float*>(ActRow(args, token));
      StoreOutput(args, matrix, row, token, total[n][i], scale);
    }
  }
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_MATMUL_SPARSE_CUH_
