// Everything that looks at one row at a time: a block has a row and carries a whole list of operations out on it, one
// after the other: one launch where other engines have five (norm, rotation, cache, sum, quantising).
//
// What a row's operations read and write is a few tens of KiB, which the first-level cache keeps; the time is that of
// the barriers between them, about a microsecond each (an estimate: not measured).
#ifndef MOTE_TARGETS_CUDA_ROW_OPS_CUH_
#define MOTE_TARGETS_CUDA_ROW_OPS_CUH_

#include "targets/cuda/activation.cuh"
#include "targets/cuda/kernel_args.h"
#include "targets/cuda/tile.cuh"

namespace mote::cuda {

inline constexpr int kRowThreads = 512;
inline constexpr uint32_t kRowShared = kRowThreads / kWarp * sizeof(float);
// Norms over more columns than this are the whole block's, others a warp's each: heads are short.
inline constexpr uint32_t kWarpNormCols = 1024;

// simd/row_layout.h: what the CPU rounds alike.
inline constexpr float kActSmallest = 7.8886091e-31f;  // 2^-100
inline constexpr float kActLargest = 1.3292280e+36f;   // 2^120

MOTE_DEVICE float CleanAct(float x) {
  return x != x ? 0.0f : fminf(fmaxf(x, -kActLargest), kActLargest);
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
    most[i] = WarpMax(fabsf(values[i]));
    most_of_all = fmaxf(most_of_all, most[i]);
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const float largest = one_scale ? most_of_all : most[i];
    const bool zero = largest < kActSmallest;
    const float factor = zero ? 0.0f : 127.0f / largest;
    const int code = RoundToInt(values[i] * factor);
    block[ActPlace(static_cast<uint32_t>(i * kWarp + lane))] = static_cast<uint8_t>(code);
    float sum = static_cast<float>(code);
#pragma unroll
    for (int mask = 8; mask > 0; mask /= 2) sum += ShuffleXor(sum, mask);
    if (lane % 16 == 0) {
      *reinterpret_cast<int16_t*>(block + kActSums + (i * 2 + lane / 16) * 2) = static_cast<int16_t>(RoundToInt(sum));
    }
    if (lane == 0) *reinterpret_cast<float*>(block + kActScales + i * 4) = zero ? 0.0f : largest / 127.0f;
  }
}

// `values`: all of a row, by all threads of a block of kThreads.
template <int kThreads>
MOTE_DEVICE void QuantizeRow(Acts acts, const float* x, uint32_t cols, uint8_t* out, float* places) {
  const uint32_t tiles = RowTiles(cols);
  if (acts == Acts::kBytes32 || acts == Acts::kBytes256) {
    for (uint32_t tile = threadIdx.x / kWarp; tile < tiles; tile += kThreads / kWarp) {
      const uint32_t first = tile * kTileCols;
      QuantizeBlock(x + first, cols - first < kTileCols ? cols - first : kTileCols, acts == Acts::kBytes256,
                    out + tile * kActBlockBytes);
    }
    return;
  }
  // Halves: scaled by a power of two so that the largest is just below 2^15: exact, and nothing overflows.
  float factor = 1, back = 1;
  if (acts == Acts::kHalf) {
    float most = 0;
    for (uint32_t k = threadIdx.x; k < cols; k += kThreads) most = fmaxf(most, fabsf(CleanAct(x[k])));
    most = BlockMax<kThreads>(most, places);
    if (most > 0) {
      const int exponent = static_cast<int>(FloatToBits(most) >> 23) - 127;
      const int shift = 14 - (exponent < -100 ? -100 : exponent);
      factor = BitsToFloat(static_cast<uint32_t>(127 + shift) << 23);
      back = BitsToFloat(static_cast<uint32_t>(127 - shift) << 23);
    }
  }
  if (threadIdx.x == 0) *reinterpret_cast<float*>(out) = back;
  uint16_t* halves = reinterpret_cast<uint16_t*>(out + kHalfActHeader);
  for (uint32_t k = threadIdx.x; k < tiles * kTileCols; k += kThreads) {
    const float value = k < cols ? CleanAct(x[k]) : 0.0f;
    halves[HalfActPlace(k)] = acts == Acts::kHalf ? FloatToHalf(value * factor) : FloatToBf16(value);
  }
}

MOTE_DEVICE void RmsNormRow(const RowOp& op, const float* x, float* y, float* places) {
  if (op.group > kWarpNormCols) {
    float squares = 0;
    for (uint32_t c = threadIdx.x; c < op.cols; c += kRowThreads) squares = fmaf(x[c], x[c], squares);
    squares = BlockSum<kRowThreads>(squares, places);
    const float factor = 1.0f / sqrtf(squares / static_cast<float>(op.cols) + op.value);
    for (uint32_t c = threadIdx.x; c < op.cols; c += kRowThreads) y[c] = x[c] * factor * op.weight[c];
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
  for (uint32_t c = threadIdx.x; c < op.cols; c += kRowThreads) {
    const float normed = (x[c] - mean) * factor * op.weight[c];
    y[c] = op.bias == nullptr ? normed : normed + op.bias[c];
  }
}

MOTE_DEVICE void RopeRow(const RowOp& op, uint32_t row, const float* x, float* y) {
  const uint64_t at = static_cast<uint64_t>(row) * op.pairs;
  const float* cosine = op.weight + at;
  const float* sine = op.bias + at;
  for (uint32_t c = threadIdx.x; c < op.cols; c += kRowThreads) {
    const uint32_t d = c % op.group;
    if (d >= 2 * op.pairs) {
      y[c] = x[c];
      continue;
    }
    const bool adjacent = op.flag != 0;
    const uint32_t pair = adjacent ? d / 2 : d % op.pairs;
    const bool first = adjacent ? d % 2 == 0 : d < op.pairs;
    const uint32_t other = adjacent ? c ^ 1u : first ? c + op.pairs : c - op.pairs;
    const float turned = x[other] * sine[pair];
    y[c] = first ? x[c] * cosine[pair] - turned : x[c] * cosine[pair] + turned;
  }
}

// Keys or values of a row into the cache.
MOTE_DEVICE void CacheSide(const float* x, uint32_t heads, uint32_t dim, bool q8, uint8_t* memory, uint64_t head_bytes,
                           uint32_t position_bytes, uint32_t position, uint32_t positions) {
  if (!q8) {
    for (uint32_t i = threadIdx.x; i < heads * dim; i += kRowThreads) {
      uint8_t* at = memory + i / dim * head_bytes + static_cast<uint64_t>(position) * position_bytes;
      reinterpret_cast<uint16_t*>(at)[i % dim] = FloatToHalf(x[i]);
    }
    return;
  }
  const uint32_t blocks = (dim + 31) / 32;
  const uint32_t lane = threadIdx.x % kWarp;
  for (uint32_t i = threadIdx.x / kWarp; i < heads * blocks; i += kRowThreads / kWarp) {
    const uint32_t head = i / blocks, block = i % blocks;
    const uint32_t d = block * 32 + lane;
    const float value = d < dim ? CleanAct(x[head * dim + d]) : 0.0f;
    const float largest = WarpMax(fabsf(value));
    const bool zero = largest < kActSmallest;
    const float factor = zero ? 0.0f : 127.0f / largest;
    uint8_t* own = memory + head * head_bytes;
    own[static_cast<uint64_t>(position) * position_bytes + d] = static_cast<uint8_t>(RoundToInt(value * factor));
    if (lane == 0) {
      uint16_t* scales = reinterpret_cast<uint16_t*>(own + static_cast<uint64_t>(positions) * position_bytes);
      scales[static_cast<uint64_t>(position) * blocks + block] = FloatToHalf(zero ? 0.0f : largest / 127.0f);
    }
  }
}

MOTE_DEVICE void CacheRow(const RowArgs& args, const RowOp& op, uint32_t row) {
  const StepArgs& step = *args.step;
  const CacheLayerArgs& layer = reinterpret_cast<const CacheLayerArgs*>(step.cache_layers[row])[op.layer];
  uint8_t* memory = step.cache[row];
  const uint32_t position = static_cast<uint32_t>(step.positions[row]);
  CacheSide(op.in0 + static_cast<uint64_t>(row) * layer.heads * layer.key_dim, layer.heads, layer.key_dim,
            args.key_q8 != 0, memory + layer.keys, layer.key_head_bytes, layer.key_bytes, position, layer.positions);
  CacheSide(op.in1 + static_cast<uint64_t>(row) * layer.heads * layer.value_dim, layer.heads, layer.value_dim,
            args.value_q8 != 0, memory + layer.values, layer.value_head_bytes, layer.value_bytes, position,
            layer.positions);
}

// Rows that are other rows of their input.
MOTE_DEVICE void MovedRow(const RowArgs& args, const RowOp& op, uint32_t row, float* y) {
  const StepArgs& step = *args.step;
  if (op.kind == RowOpKind::kSelect) {
    const float* x = op.in0 + static_cast<uint64_t>(step.outputs[row]) * op.cols;
    for (uint32_t c = threadIdx.x; c < op.cols; c += kRowThreads) y[c] = x[c];
  } else if (op.kind == RowOpKind::kTakeHidden) {
    const uint32_t logits = step.counts->rows[kRowsLogits];
    const float* x = op.in0 + static_cast<uint64_t>(row) * op.cols;
    float* to = row < logits ? y : step.hidden + static_cast<uint64_t>(row - logits) * op.cols;
    for (uint32_t c = threadIdx.x; c < op.cols; c += kRowThreads) to[c] = x[c];
  } else if (op.kind == RowOpKind::kMerge) {
    const float* x = op.in0 + static_cast<uint64_t>(row) * args.merge * op.in_cols;
    for (uint32_t c = threadIdx.x; c < op.cols; c += kRowThreads) {
      y[c] = op.flag != 0 ? x[c % args.merge * op.in_cols + c / args.merge] : x[c];
    }
  } else {  // kMergeMean
    const float* x = op.in0 + static_cast<uint64_t>(row) * args.merge * op.in_cols;
    for (uint32_t c = threadIdx.x; c < op.cols; c += kRowThreads) {
      float sum = x[c];
      for (uint32_t i = 1; i < args.merge; ++i) sum += x[i * op.in_cols + c];
      y[c] = sum * (1.0f / static_cast<float>(args.merge));
    }
  }
}

// A row of an embedding: float32 rows lie as in the file.
MOTE_DEVICE float EmbeddingValue(const RowOp& op, uint32_t token, uint32_t c) {
  if (op.type != DType::kF32) return PackedValue(op.type, op.packed, RowTiles(op.cols), token, c);
  return reinterpret_cast<const float*>(op.packed)[static_cast<uint64_t>(token) * op.cols + c];
}

MOTE_DEVICE void ElementsOfRow(const RowArgs& args, const RowOp& op, uint32_t row, float* y) {
  const StepArgs& step = *args.step;
  const uint64_t at = static_cast<uint64_t>(row) * op.cols;
  const float* input = step.inputs + static_cast<uint64_t>(row) * step.input_cols;
  const bool has_input = step.input_cols != 0 && step.has_input[row] != 0;
  for (uint32_t c = threadIdx.x; c < op.cols; c += kRowThreads) {
    switch (op.kind) {
      case RowOpKind::kEmbed:
        y[c] = has_input ? input[c] : EmbeddingValue(op, static_cast<uint32_t>(step.tokens[row]), c) * op.value;
        break;
      case RowOpKind::kInput:
        y[c] = has_input ? input[op.column + c] : 0.0f;
        break;
      case RowOpKind::kAddInput:
        y[c] = has_input ? op.in0[at + c] + input[op.column + c] : op.in0[at + c];
        break;
      case RowOpKind::kAdd:
        y[c] = op.in0[at + c] + op.in1[at + c];
        break;
      case RowOpKind::kMulVector:
        y[c] = op.in0[at + c] * op.weight[c];
        break;
      case RowOpKind::kGate:
        y[c] = Activate(op.activation, op.in0[at + c]) * op.in1[at + c];
        break;
      case RowOpKind::kActivation:
        y[c] = Activate(op.activation, op.in0[at + c]);
        break;
      case RowOpKind::kSoftcap:
        y[c] = op.value * tanhf(op.in0[at + c] / op.value);
        break;
      default:
        break;
    }
  }
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
    case RowOpKind::kCache:
      return CacheRow(args, op, row);
    case RowOpKind::kQuantize:
      return QuantizeRow<kRowThreads>(op.acts, x, op.cols,
                                      reinterpret_cast<uint8_t*>(op.out) + row * ActRowBytes(op.acts, op.cols), places);
    case RowOpKind::kSelect:
    case RowOpKind::kTakeHidden:
    case RowOpKind::kMerge:
    case RowOpKind::kMergeMean:
      return MovedRow(args, op, row, y);
    case RowOpKind::kConcat: {  // one part of it
      const float* part = op.in0 + static_cast<uint64_t>(row) * op.in_cols;
      for (uint32_t c = threadIdx.x; c < op.in_cols; c += kRowThreads) y[op.column + c] = part[c];
      return;
    }
    default:
      return ElementsOfRow(args, op, row, y);
  }
}

// Grid: rows.
MOTE_KERNEL(kRowThreads, 1) RowKernel(const RowArgs args) {
  LetNextBegin();
  WaitForPrevious();
  float* places = reinterpret_cast<float*>(SharedMemory());
  const StepCounts& counts = *args.step->counts;
  for (uint32_t i = 0; i < args.num_ops; ++i) {
    const RowOp& op = args.ops[i];
    if (blockIdx.x < counts.rows[op.rows_kind]) RunRowOp(args, op, blockIdx.x, places);
    SyncBlock();
  }
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
