// Operations that look at one row at a time, from memory to memory: what wide_rows.cuh has no registers for (heads
// whose columns are no multiple of 8, rows that are merged or joined). A block carries a track out on its row, with a
// barrier and a round trip or two to memory for each operation; and the embedding, and the tables of rotary angles.
#ifndef MOTE_TARGETS_CUDA_ROW_OPS_CUH_
#define MOTE_TARGETS_CUDA_ROW_OPS_CUH_

#include "targets/cuda/activation.cuh"
#include "targets/cuda/cache_side.cuh"
#include "targets/cuda/kernel_args.h"
#include "targets/cuda/round_acts.cuh"
#include "targets/cuda/tile.cuh"

namespace mote::cuda {

inline constexpr int kRowThreads = 512;
inline constexpr uint32_t kRowShared = kRowThreads / kWarp * sizeof(float);
// Norms over more columns than this are the whole block's, others a warp's each: heads are short.
inline constexpr uint32_t kWarpNormCols = 1024;

// Halves: scaled by a power of two so that the largest is just below 2^15: exact, and nothing overflows.
struct HalfScale {
  float factor;
  float back;
};
MOTE_DEVICE HalfScale HalfScaleOf(float largest) {
  if (!(largest > 0)) return {1.0f, 1.0f};
  const int exponent = static_cast<int>(FloatToBits(largest) >> 23) - 127;
  const int shift = 14 - (exponent < -100 ? -100 : exponent);
  return {BitsToFloat(static_cast<uint32_t>(127 + shift) << 23), BitsToFloat(static_cast<uint32_t>(127 - shift) << 23)};
}

// Counts are read before WaitForPrevious: the step's upload is over before its first kernel begins.
MOTE_DEVICE uint32_t CountOf(const StepCounts& counts, uint8_t kind) {
  const uint32_t few = kind == kRowsTokens ? counts.rows[kRowsTokens] : counts.rows[kRowsOutputs];
  const uint32_t other = kind == kRowsLogits ? counts.rows[kRowsLogits] : counts.rows[kRowsMerged];
  return kHasGroups && kind == kRowsGenerated ? counts.rows[kRowsGenerated] : kind <= kRowsOutputs ? few : other;
}
MOTE_DEVICE const RowTrack& TrackOf(const RowArgs& args) {
  uint32_t track = 0;
  while (track + 1 < args.num_tracks && blockIdx.y >= args.tracks[track + 1].first_block) ++track;
  return args.tracks[track];
}

// f(column) for all columns of a thread, then store(column, value): several loads are on their way before the first
// store, which the compiler must take for one that they depend on.
template <class F, class Store>
MOTE_DEVICE void EachColumn(uint32_t cols, F f, Store store) {
  constexpr int kAtOnce = 4;
  for (uint32_t first = threadIdx.x; first < cols; first += kAtOnce * kRowThreads) {
    float values[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const uint32_t c = first + static_cast<uint32_t>(i * kRowThreads);
      values[i] = c < cols ? f(c) : 0.0f;
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const uint32_t c = first + static_cast<uint32_t>(i * kRowThreads);
      if (c < cols) store(c, values[i]);
    }
  }
}

// One block of 256 activations by one warp.
MOTE_DEVICE void QuantizeBlock(const float* x, uint32_t given, bool one_scale, uint8_t* block) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  float values[8];
  float most[8];
  float most_of_all = 0;
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const uint32_t k = static_cast<uint32_t>(i * kWarp + lane);
    values[i] = k < given ? CleanAct(x[k]) : 0.0f;
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    most[i] = WarpMax(fabsf(values[i]));
    most_of_all = fmaxf(most_of_all, most[i]);
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const ActScale scale = ActScaleOf(one_scale ? most_of_all : most[i]);
    const int code = RoundToInt(values[i] * scale.factor);
    block[ActPlace(static_cast<uint32_t>(i * kWarp + lane))] = static_cast<uint8_t>(code);
    float sum = static_cast<float>(code);
#pragma unroll
    for (int mask = 8; mask > 0; mask /= 2) sum += ShuffleXor(sum, mask);
    if (lane % 16 == 0) {
      *reinterpret_cast<int16_t*>(block + kActSums + (i * 2 + lane / 16) * 2) = static_cast<int16_t>(RoundToInt(sum));
    }
    if (lane == 0) *reinterpret_cast<float*>(block + kActScales + i * 4) = scale.back;
  }
}

// What a row is scaled with to become halves, by all threads of the block.
MOTE_DEVICE HalfScale HalfScaleOfRow(const float* x, uint32_t cols, float* places) {
  float most = 0;
  for (uint32_t k = threadIdx.x; k < cols; k += kRowThreads) most = fmaxf(most, fabsf(CleanAct(x[k])));
  return HalfScaleOf(BlockMax<kRowThreads>(most, places));
}

// All of a row, by all threads of the block.
MOTE_DEVICE void QuantizeRow(Acts acts, const float* x, uint32_t cols, uint8_t* out, float* places) {
  const uint32_t tiles = RowTiles(cols);
  if (acts == Acts::kBytes32 || acts == Acts::kBytes256) {
    for (uint32_t tile = threadIdx.x / kWarp; tile < tiles; tile += kRowThreads / kWarp) {
      const uint32_t first = tile * kTileCols;
      QuantizeBlock(x + first, cols - first < kTileCols ? cols - first : kTileCols, acts == Acts::kBytes256,
                    out + tile * kActBlockBytes);
    }
    return;
  }
  HalfScale scale = {1, 1};
  if (acts == Acts::kHalf) scale = HalfScaleOfRow(x, cols, places);
  if (threadIdx.x == 0) *reinterpret_cast<float*>(out) = scale.back;
  uint16_t* halves = reinterpret_cast<uint16_t*>(out + kHalfActHeader);
  EachColumn(
      tiles * kTileCols, [&](uint32_t k) { return k < cols ? CleanAct(x[k]) : 0.0f; },
      [&](uint32_t k, float value) {
        halves[HalfActPlace(k)] = acts == Acts::kHalf ? FloatToHalf(value * scale.factor) : FloatToBf16(value);
      });
}

// The same for products of tokens that are read, of the rows that are.
MOTE_DEVICE void RoundReadRow(const RowOp& op, const float* x, uint32_t row, uint32_t read_from, float* places) {
  if (row < read_from) return;
  const ReadRow to = ReadRowOf(reinterpret_cast<uint8_t*>(op.out), op.column, row - read_from);
  HalfScale scale = {1, 1};
  if (op.read_acts != ReadActs::kBf16) scale = HalfScaleOfRow(x, op.cols, places);
  if (threadIdx.x == 0) *to.scale = scale.back;
  EachColumn(
      RowTiles(op.cols) * kTileCols, [&](uint32_t k) { return k < op.cols ? CleanAct(x[k]) : 0.0f; },
      [&](uint32_t k, float value) {
        const bool codes = op.read_acts == ReadActs::kHalfOfCodes;
        uint8_t* place = ReadPlace(to, codes ? ReadColumn(k) : k);
        const bool bf16 = op.read_acts == ReadActs::kBf16;
        *reinterpret_cast<uint16_t*>(place) = bf16 ? FloatToBf16(value) : FloatToHalf(value * scale.factor);
      });
}

MOTE_DEVICE void RmsNormRow(const RowOp& op, const float* x, float* y, float* places) {
  if (op.group > kWarpNormCols) {
    float squares = 0;
    for (uint32_t c = threadIdx.x; c < op.cols; c += kRowThreads) squares = fmaf(x[c], x[c], squares);
    squares = BlockSum<kRowThreads>(squares, places);
    const float factor = 1.0f / sqrtf(squares / static_cast<float>(op.cols) + op.value);
    EachColumn(
        op.cols, [&](uint32_t c) { return x[c] * factor * op.weight[c]; },
        [&](uint32_t c, float value) { y[c] = value; });
    return;
  }
  const uint32_t lane = threadIdx.x % kWarp;
  for (uint32_t first = threadIdx.x / kWarp * op.group; first < op.cols; first += kRowThreads / kWarp * op.group) {
    float squares = 0;
    for (uint32_t c = lane; c < op.group; c += kWarp) squares = fmaf(x[first + c], x[first + c], squares);
    squares = WarpSum(squares);
    const float factor = 1.0f / sqrtf(squares / static_cast<float>(op.group) + op.value);
    for (uint32_t c = lane; c < op.group; c += kWarp) y[first + c] = x[first + c] * factor * op.weight[c];
  }
}

MOTE_DEVICE void LayerNormRow(const RowOp& op, const float* x, float* y, float* places) {
  float sum = 0;
  for (uint32_t c = threadIdx.x; c < op.cols; c += kRowThreads) sum += x[c];
  const float mean = BlockSum<kRowThreads>(sum, places) / static_cast<float>(op.cols);
  float squares = 0;
  for (uint32_t c = threadIdx.x; c < op.cols; c += kRowThreads) squares = fmaf(x[c] - mean, x[c] - mean, squares);
  squares = BlockSum<kRowThreads>(squares, places);
  const float factor = 1.0f / sqrtf(squares / static_cast<float>(op.cols) + op.value);
  EachColumn(
      op.cols,
      [&](uint32_t c) {
        const float normed = (x[c] - mean) * factor * op.weight[c];
        return op.bias == nullptr ? normed : normed + op.bias[c];
      },
      [&](uint32_t c, float value) { y[c] = value; });
}

// A thread turns a pair; what is no part of one is copied.
MOTE_DEVICE void RopeRow(const RowOp& op, uint32_t row, const float* x, float* y) {
  const uint64_t at = static_cast<uint64_t>(row) * op.pairs;
  const float* cosine = op.weight + at;
  const float* sine = op.bias + at;
  const bool adjacent = op.flag != 0;
  const uint32_t heads = op.cols / op.group;
#pragma unroll 2
  for (uint32_t i = threadIdx.x; i < heads * op.pairs; i += kRowThreads) {
    const uint32_t head = i / op.pairs;
    const uint32_t pair = i - head * op.pairs;
    const uint32_t first = head * op.group + (adjacent ? 2 * pair : pair);
    const uint32_t second = first + (adjacent ? 1 : op.pairs);
    const float a = x[first], b = x[second], c = cosine[pair], s = sine[pair];
    y[first] = a * c - b * s;
    y[second] = b * c + a * s;
  }
  const uint32_t rest = op.group - 2 * op.pairs;
  for (uint32_t i = threadIdx.x; i < heads * rest; i += kRowThreads) {
    const uint32_t head = i / rest;
    const uint32_t c = head * op.group + 2 * op.pairs + i - head * rest;
    y[c] = x[c];
  }
}

MOTE_DEVICE CacheSideArgs CacheSideOf(const StepArgs& step, const RowOp& op, uint32_t row) {
  return CacheSideOf(step, op.layer, op.kind == RowOpKind::kCacheKeys, row);
}

// Keys or values of a row into the cache.
MOTE_DEVICE void CacheRow(const CacheSideArgs& side, const RowOp& op, const float* x) {
  const uint32_t dim = op.group;
  uint8_t* own = side.memory + static_cast<uint64_t>(side.position) * side.position_bytes;
  if (op.flag == 0) {
    EachColumn(
        op.cols, [&](uint32_t c) { return x[c]; },
        [&](uint32_t c, float value) {
          const uint32_t head = c / dim;
          reinterpret_cast<uint16_t*>(own + head * side.head_bytes)[c - head * dim] = FloatToHalf(value);
        });
    return;
  }
  const uint32_t blocks = (dim + 31) / 32;
  const uint32_t lane = threadIdx.x % kWarp;
  for (uint32_t i = threadIdx.x / kWarp; i < op.cols / dim * blocks; i += kRowThreads / kWarp) {
    const uint32_t head = i / blocks, block = i % blocks;
    const uint32_t d = block * 32 + lane;
    const float value = d < dim ? CleanAct(x[head * dim + d]) : 0.0f;
    const ActScale scale = ActScaleOf(WarpMax(fabsf(value)));
    own[head * side.head_bytes + d] = static_cast<uint8_t>(RoundToInt(value * scale.factor));
    if (lane == 0) {
      uint16_t* scales = reinterpret_cast<uint16_t*>(side.memory + head * side.head_bytes +
                                                     static_cast<uint64_t>(side.positions) * side.position_bytes);
      scales[static_cast<uint64_t>(side.position) * blocks + block] = FloatToHalf(scale.back);
    }
  }
}

// Rows that are other rows of their input.
MOTE_DEVICE void MovedRow(const RowArgs& args, const RowOp& op, uint32_t row, float* y) {
  const StepArgs& step = *args.step;
  const float* x = op.in0 + static_cast<uint64_t>(row) * op.cols;
  float* to = y;
  if (op.kind == RowOpKind::kSelect) {
    x = op.in0 + static_cast<uint64_t>(step.outputs[row]) * op.cols;
  } else if (op.kind == RowOpKind::kTakeHidden) {
    const uint32_t logits = args.counts->rows[kRowsLogits];
    if (row >= logits) to = step.hidden + static_cast<uint64_t>(row - logits) * op.cols;
  } else {
    x = op.in0 + static_cast<uint64_t>(row) * args.merge * op.in_cols;
  }
  EachColumn(
      op.cols,
      [&](uint32_t c) {
        if (op.kind == RowOpKind::kMerge && op.flag != 0) return x[c % args.merge * op.in_cols + c / args.merge];
        if (op.kind != RowOpKind::kMergeMean) return x[c];
        float sum = x[c];
        for (uint32_t i = 1; i < args.merge; ++i) sum += x[i * op.in_cols + c];
        return sum * (1.0f / static_cast<float>(args.merge));
      },
      [&](uint32_t c, float value) { to[c] = value; });
}

MOTE_DEVICE void ElementsOfRow(const RowArgs& args, const RowOp& op, uint32_t row, float* y) {
  const StepArgs& step = *args.step;
  const uint64_t at = static_cast<uint64_t>(row) * op.cols;
  const float* input = nullptr;
  if (op.kind == RowOpKind::kInput || op.kind == RowOpKind::kAddInput) {
    const bool has_input = step.input_cols != 0 && step.has_input[row] != 0;
    if (has_input) input = step.inputs + static_cast<uint64_t>(row) * step.input_cols + op.column;
  }
  const auto value_of = [&](uint32_t c) {
    const float x = op.kind == RowOpKind::kInput ? 0.0f : op.in0[at + c];
    switch (op.kind) {
      case RowOpKind::kInput:
        return input != nullptr ? input[c] : 0.0f;
      case RowOpKind::kAddInput:
        return input != nullptr ? x + input[c] : x;
      case RowOpKind::kAdd:
        return x + op.in1[at + c];
      case RowOpKind::kMulVector:
        return x * op.weight[c];
      case RowOpKind::kGate:
        return Activate(op.activation, x) * op.in1[at + c];
      case RowOpKind::kActivation:
        return Activate(op.activation, x);
      default:  // kSoftcap
        return op.value * tanhf(x / op.value);
    }
  };
  EachColumn(op.cols, value_of, [&](uint32_t c, float value) { y[c] = value; });
}

MOTE_DEVICE void RunRowOp(const RowArgs& args, const RowOp& op, uint32_t row, float* places) {
  float* y = op.out + static_cast<uint64_t>(row) * op.cols;
  const float* x = op.in0 + static_cast<uint64_t>(row) * op.cols;
  switch (op.kind) {
    case RowOpKind::kRmsNorm:
      return RmsNormRow(op, x, y, places);
    case RowOpKind::kLayerNorm:
      return LayerNormRow(op, x, y, places);
    case RowOpKind::kRope:
      return RopeRow(op, row, x, y);
    case RowOpKind::kCacheKeys:
    case RowOpKind::kCacheValues:
      return CacheRow(CacheSideOf(*args.step, op, row), op, x);
    case RowOpKind::kQuantize:
      if (op.flag != 0 && row >= args.counts->read_from) return;
      return QuantizeRow(op.acts, x, op.cols, reinterpret_cast<uint8_t*>(op.out) + row * ActRowBytes(op.acts, op.cols),
                         places);
    case RowOpKind::kRoundRead:
      return RoundReadRow(op, x, row, args.counts->read_from, places);
    case RowOpKind::kSelect:
    case RowOpKind::kTakeHidden:
    case RowOpKind::kMerge:
    case RowOpKind::kMergeMean:
      return MovedRow(args, op, row, y);
    case RowOpKind::kConcat: {  // one part of it
      const float* part = op.in0 + static_cast<uint64_t>(row) * op.in_cols;
      EachColumn(
          op.in_cols, [&](uint32_t c) { return part[c]; }, [&](uint32_t c, float value) { y[op.column + c] = value; });
      return;
    }
    default:
      return ElementsOfRow(args, op, row, y);
  }
}

// Grid: rows, tracks.
MOTE_KERNEL(kRowThreads, 1) RowKernel(const RowArgs args) {
  LetNextBegin();
  const RowTrack& track = TrackOf(args);
  const StepCounts counts = *args.counts;
  WaitForPrevious();
  float* places = reinterpret_cast<float*>(SharedMemory());
  for (uint32_t i = track.begin; i < track.end; ++i) {
    const RowOp& op = args.ops[i];
    if (i > track.begin) SyncBlock();
    if (blockIdx.x < CountOf(counts, op.rows_kind) * args.per_row) RunRowOp(args, op, blockIdx.x, places);
  }
}

// A value of an embedding: float32 rows lie as in the file.
MOTE_DEVICE float EmbeddingValue(const RowOp& op, uint32_t token, uint32_t c) {
  if (op.flag != 0) {
    return SparseValue(op.type, *reinterpret_cast<const SparseMatrixArgs*>(op.packed), RowTiles(op.cols), token, c);
  }
  if (op.type != DType::kF32) return PackedValue(op.type, op.packed, RowTiles(op.cols), token, c);
  return reinterpret_cast<const float*>(op.packed)[static_cast<uint64_t>(token) * op.cols + c];
}

// A column per thread. Grid: rows, pieces of kEmbedCols columns of each track's one operation.
MOTE_KERNEL(static_cast<int>(kEmbedCols), 1) EmbedKernel(const RowArgs args) {
  LetNextBegin();
  const RowTrack& track = TrackOf(args);
  const RowOp& op = args.ops[track.begin];
  const StepArgs& step = *args.step;
  const uint32_t row = blockIdx.x;
  const uint32_t c = (blockIdx.y - track.first_block) * kEmbedCols + threadIdx.x;
  const StepCounts counts = *args.counts;
  WaitForPrevious();
  if (row >= CountOf(counts, op.rows_kind) || c >= op.cols) return;
  const bool has_input = step.input_cols != 0 && step.has_input[row] != 0;
  const float value = has_input ? step.inputs[static_cast<uint64_t>(row) * step.input_cols + c]
                                : EmbeddingValue(op, static_cast<uint32_t>(step.tokens[row]), c) * op.value;
  op.out[static_cast<uint64_t>(row) * op.cols + c] = value;
}

// Angles of all rows of the step; in double, as positions reach millions. Grid: rows.
MOTE_KERNEL(kRowThreads, 1) RopeKernel(const RopeArgs args) {
  LetNextBegin();
  WaitForPrevious();
  const uint32_t row = blockIdx.x;
  if (row >= args.step->counts->rows[kRowsTokens]) return;
  for (uint32_t i = threadIdx.x; i < args.pairs; i += kRowThreads) {
    const int32_t position = args.step->rope_positions[row * 3 + args.axis[i]];
    const double angle = static_cast<double>(position) * static_cast<double>(args.inverse_frequency[i]);
    const uint64_t at = static_cast<uint64_t>(row) * args.pairs + i;
    args.cos[at] = static_cast<float>(cos(angle)) * args.magnitude;
    args.sin[at] = static_cast<float>(sin(angle)) * args.magnitude;
  }
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_ROW_OPS_CUH_
