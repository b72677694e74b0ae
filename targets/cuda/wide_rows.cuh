// Row operations in registers: a thread has 8 neighbouring columns of its row (or R times 8, kThreads * 8 apart) from
// the first operation of a track to the last.
//
// A round trip to memory is 0.6 us, a row operation's arithmetic next to nothing: so all that a track reads is asked for
// at once, weights even before the kernel's turn has come, and what one operation leaves to the next stays where it is.
// Results are written all the same, for others to read, but nobody waits for that. A thread has the same columns in all
// operations: no barriers but those of sums over the row. What the step's upload wrote (counts, places in the cache) was
// there before the step's first kernel began, and is read before WaitForPrevious too.
#ifndef MOTE_TARGETS_CUDA_WIDE_ROWS_CUH_
#define MOTE_TARGETS_CUDA_WIDE_ROWS_CUH_

#include "targets/cuda/row_ops.cuh"

namespace mote::cuda {

inline constexpr int kPieceThreads = kPieceCols / 8;
inline constexpr int kWholeThreads = kWholeCols / 8;

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

// What a thread has and holds. Of its R times 8 columns, kThreads * 8 apart, each 8 are in the row or beyond it, and
// zeros then.
template <int R, int kThreads>
struct Held {
  uint32_t row;
  uint32_t first;  // column
  uint32_t cols;
  float v[R][8];  // the value
  float w[LoadsAhead<R>() ? R : 1][8];  // weights that the next operation with weights wants
  float s[LoadsAhead<R>() ? R : 1][8];  // the other operand of the next operation that has two
};

template <int R, int kThreads>
MOTE_DEVICE uint32_t ColumnOf(const Held<R, kThreads>& h, int r) {
  return h.first + static_cast<uint32_t>(r * kThreads * 8);
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
MOTE_DEVICE void LoadPart(const Held<R, kThreads>& h, const float* base, int r, float v[8]) {
#pragma unroll
  for (int i = 0; i < 8; ++i) v[i] = 0;
  if (ColumnOf(h, r) < h.cols) Load8(base + ColumnOf(h, r), v);
}
template <int R, int kThreads>
MOTE_DEVICE void LoadColumns(const Held<R, kThreads>& h, const float* base, float (&v)[R][8]) {
#pragma unroll
  for (int r = 0; r < R; ++r) LoadPart(h, base, r, v[r]);
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
    if (ColumnOf(h, r) < h.cols) Store8(base + ColumnOf(h, r), h.v[r]);
  }
}
template <int R, int kThreads>
MOTE_DEVICE void LoadWeights(const Held<R, kThreads>& h, const float* weights, uint32_t mask, int r, float w[8]) {
#pragma unroll
  for (int i = 0; i < 8; ++i) w[i] = 0;
  if (ColumnOf(h, r) < h.cols) Load8(weights + (ColumnOf(h, r) & mask), w);
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
      LoadPart(h, op.in1 + static_cast<uint64_t>(h.row) * h.cols, r, s);
#pragma unroll
      for (int i = 0; i < 8; ++i) f(r, i, s[i]);
    }
  }
}

// Norms of heads of up to 256 columns, whose lanes are next to each other.
template <int R, int kThreads>
MOTE_DEVICE void RmsNormLanes(Held<R, kThreads>& h, const RowOp& op) {
  float factors[R];
#pragma unroll
  for (int r = 0; r < R; ++r) {
    float squares = 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) squares = fmaf(h.v[r][i], h.v[r][i], squares);
    for (int mask = 1; mask < static_cast<int>(op.group / 8); mask *= 2) squares += ShuffleXor(squares, mask);
    factors[r] = 1.0f / sqrtf(squares / static_cast<float>(op.group) + op.value);
  }
  EachWeight(h, op, [&](int r, int i, float weight) { h.v[r][i] = h.v[r][i] * factors[r] * weight; });
}

template <int R, int kThreads>
MOTE_DEVICE void RmsNormWhole(Held<R, kThreads>& h, const RowOp& op, float* places) {
  float squares = 0;
  Each<R>([&](int r, int i) { squares = fmaf(h.v[r][i], h.v[r][i], squares); });
  squares = BlockSum<kThreads>(squares, places);
  const float factor = 1.0f / sqrtf(squares / static_cast<float>(op.cols) + op.value);
  EachWeight(h, op, [&](int r, int i, float weight) { h.v[r][i] = h.v[r][i] * factor * weight; });
}

template <int R, int kThreads>
MOTE_DEVICE void LayerNormWhole(Held<R, kThreads>& h, const RowOp& op, float* places) {
  float sum = 0;
  Each<R>([&](int r, int i) { sum += h.v[r][i]; });
  const float mean = BlockSum<kThreads>(sum, places) / static_cast<float>(op.cols);
  float squares = 0;
#pragma unroll
  for (int r = 0; r < R; ++r) {
    if (ColumnOf(h, r) >= h.cols) continue;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      h.v[r][i] -= mean;
      squares = fmaf(h.v[r][i], h.v[r][i], squares);
    }
  }
  squares = BlockSum<kThreads>(squares, places);
  const float factor = 1.0f / sqrtf(squares / static_cast<float>(op.cols) + op.value);
  EachWeight(h, op, [&](int r, int i, float weight) { h.v[r][i] = h.v[r][i] * factor * weight; });
  if (op.bias == nullptr) return;
#pragma unroll
  for (int r = 0; r < R; ++r) {
    float bias[8];
    if (ColumnOf(h, r) >= h.cols) continue;
    Load8(op.bias + ColumnOf(h, r), bias);
#pragma unroll
    for (int i = 0; i < 8; ++i) h.v[r][i] += bias[i];
  }
}

// Pairs that stand apart: the other half is `pairs` columns away, in memory or with another lane.
template <int R, int kThreads>
MOTE_DEVICE void RopeApart(Held<R, kThreads>& h, const RowOp& op) {
  const uint64_t at = static_cast<uint64_t>(h.row) * op.pairs;
  const float* x = op.in0 + static_cast<uint64_t>(h.row) * op.cols;
#pragma unroll
  for (int r = 0; r < R; ++r) {
    const uint32_t c = ColumnOf(h, r);
    const uint32_t d = c % op.group;
    const bool turns = c < h.cols && d < 2 * op.pairs;
    const bool first = d < op.pairs;
    float other[8], cosine[8], sine[8];
    if (turns) {
      Load8(op.weight + at + (first ? d : d - op.pairs), cosine);
      Load8(op.bias + at + (first ? d : d - op.pairs), sine);
    }
    if (op.in0_from == From::kRegisters) {
#pragma unroll
      for (int i = 0; i < 8; ++i) other[i] = ShuffleXor(h.v[r][i], static_cast<int>(op.pairs / 8));
    } else if (turns) {
      Load8(x + (first ? c + op.pairs : c - op.pairs), other);
    }
    if (!turns) continue;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const float turned = other[i] * sine[i];
      h.v[r][i] = first ? h.v[r][i] * cosine[i] - turned : h.v[r][i] * cosine[i] + turned;
    }
  }
}

template <int R, int kThreads>
MOTE_DEVICE void RopeAdjacent(Held<R, kThreads>& h, const RowOp& op) {
  const uint64_t at = static_cast<uint64_t>(h.row) * op.pairs;
#pragma unroll
  for (int r = 0; r < R; ++r) {
    const uint32_t d = ColumnOf(h, r) % op.group;
    if (ColumnOf(h, r) >= h.cols || d >= 2 * op.pairs) continue;
    const float4 c = *reinterpret_cast<const float4*>(op.weight + at + d / 2);
    const float4 s = *reinterpret_cast<const float4*>(op.bias + at + d / 2);
    const float cosine[4] = {c.x, c.y, c.z, c.w};
    const float sine[4] = {s.x, s.y, s.z, s.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float a = h.v[r][2 * i], b = h.v[r][2 * i + 1];
      h.v[r][2 * i] = a * cosine[i] - b * sine[i];
      h.v[r][2 * i + 1] = b * cosine[i] + a * sine[i];
    }
  }
}

// Where the 8 values of a thread go in the cache.
struct CachePlace {
  uint8_t* codes;
  uint16_t* scale;  // Q8_0
};

MOTE_DEVICE CachePlace PlaceInCache(const StepArgs& step, const RowOp& op, uint32_t row, uint32_t column) {
  const CacheSideArgs side = CacheSideOf(step, op, row);
  const uint32_t head = column / op.group;
  const uint32_t d = column - head * op.group;
  uint8_t* own = side.memory + head * side.head_bytes;
  CachePlace place;
  place.codes = own + static_cast<uint64_t>(side.position) * side.position_bytes + (op.flag != 0 ? d : 2 * d);
  place.scale = reinterpret_cast<uint16_t*>(own + static_cast<uint64_t>(side.positions) * side.position_bytes) +
                static_cast<uint64_t>(side.position) * (op.group / 32) + d / 32;
  return place;
}

MOTE_DEVICE void CacheColumns(const RowOp& op, const float v[8], bool in_row, const CachePlace& place) {
  if (op.flag == 0) {
    if (!in_row) return;
    uint4 halves;
    uint32_t words[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      words[i] = FloatToHalf(v[2 * i]) | static_cast<uint32_t>(FloatToHalf(v[2 * i + 1])) << 16;
    }
    halves.x = words[0], halves.y = words[1], halves.z = words[2], halves.w = words[3];
    *reinterpret_cast<uint4*>(place.codes) = halves;
    return;
  }
  float values[8];
  float largest = 0;
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    values[i] = CleanAct(v[i]);
    largest = fmaxf(largest, fabsf(values[i]));
  }
  largest = fmaxf(largest, ShuffleXor(largest, 1));
  largest = fmaxf(largest, ShuffleXor(largest, 2));
  if (!in_row) return;
  const ActScale scale = ActScaleOf(largest);
  uint2 codes;
  codes.x = codes.y = 0;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    codes.x |= (static_cast<uint32_t>(RoundToInt(values[i] * scale.factor)) & 255) << 8 * i;
    codes.y |= (static_cast<uint32_t>(RoundToInt(values[4 + i] * scale.factor)) & 255) << 8 * i;
  }
  *reinterpret_cast<uint2*>(place.codes) = codes;
  if (threadIdx.x % 4 == 0) *place.scale = FloatToHalf(scale.back);
}

// 8 values of a tile of 256, which is one warp's; `k` of the tile.
MOTE_DEVICE void QuantizeColumns(const float v[8], uint32_t k, bool one_scale, bool stored, uint8_t* block) {
  static_assert(ActPlace(3) == ActPlace(0) + 3 && ActPlace(4) % 4 == 0 && ActPlace(252) % 4 == 0);
  float values[8];
  float largest = 0;
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    values[i] = CleanAct(v[i]);
    largest = fmaxf(largest, fabsf(values[i]));
  }
  largest = fmaxf(largest, ShuffleXor(largest, 1));
  largest = fmaxf(largest, ShuffleXor(largest, 2));
  if (one_scale) {
#pragma unroll
    for (int mask = 4; mask < kWarp; mask *= 2) largest = fmaxf(largest, ShuffleXor(largest, mask));
  }
  const ActScale scale = ActScaleOf(largest);
  int sum = 0;
  uint32_t words[2] = {0, 0};
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const int code = RoundToInt(values[i] * scale.factor);
    sum += code;
    words[i / 4] |= (static_cast<uint32_t>(code) & 255) << (i % 4 * 8);
  }
  const int sum_of_16 = sum + RoundToInt(ShuffleXor(static_cast<float>(sum), 1));
  if (!stored) return;
  *reinterpret_cast<uint32_t*>(block + ActPlace(k)) = words[0];
  *reinterpret_cast<uint32_t*>(block + ActPlace(k + 4)) = words[1];
  if (k % 16 == 0) *reinterpret_cast<int16_t*>(block + kActSums + k / 16 * 2) = static_cast<int16_t>(sum_of_16);
  if (k % 32 == 0) *reinterpret_cast<float*>(block + kActScales + k / 32 * 4) = scale.back;
}

template <bool kWhole, int R, int kThreads>
MOTE_DEVICE void QuantizeHeld(const Held<R, kThreads>& h, const RowOp& op, float* places) {
  uint8_t* out = reinterpret_cast<uint8_t*>(op.out) + h.row * ActRowBytes(op.acts, op.cols);
  const uint32_t padded = RowTiles(op.cols) * kTileCols;
  if (op.acts == Acts::kBytes32 || op.acts == Acts::kBytes256) {
#pragma unroll
    for (int r = 0; r < R; ++r) {
      const uint32_t c = ColumnOf(h, r);
      QuantizeColumns(h.v[r], c % kTileCols, op.acts == Acts::kBytes256, c < padded,
                      out + c / kTileCols * kActBlockBytes);
    }
    return;
  }
  HalfScale scale = {1, 1};
  if (kWhole && op.acts == Acts::kHalf) {
    float most = 0;
    Each<R>([&](int r, int i) { most = fmaxf(most, fabsf(CleanAct(h.v[r][i]))); });
    scale = HalfScaleOf(BlockMax<kThreads>(most, places));
  }
  if (h.first == 0) *reinterpret_cast<float*>(out) = scale.back;
  uint16_t* halves = reinterpret_cast<uint16_t*>(out + kHalfActHeader);
  static_assert(HalfActPlace(1) == 1 && HalfActPlace(2) % 2 == 0 && HalfActPlace(14) % 2 == 0);
#pragma unroll
  for (int r = 0; r < R; ++r) {
    const uint32_t c = ColumnOf(h, r);
    if (c >= padded) continue;
#pragma unroll
    for (int i = 0; i < 8; i += 2) {
      const float low = CleanAct(h.v[r][i]), high = CleanAct(h.v[r][i + 1]);
      const bool half = op.acts == Acts::kHalf;
      const uint32_t first = half ? FloatToHalf(low * scale.factor) : FloatToBf16(low);
      const uint32_t second = half ? FloatToHalf(high * scale.factor) : FloatToBf16(high);
      *reinterpret_cast<uint32_t*>(halves + HalfActPlace(c + static_cast<uint32_t>(i))) = first | second << 16;
    }
  }
}

template <int R, int kThreads>
MOTE_DEVICE void ActivateHeld(Held<R, kThreads>& h, uint8_t activation) {
  switch (activation) {  // outside of the loops: one branch for all
    case kSilu:
      return Each<R>([&](int r, int i) { h.v[r][i] = Activate(kSilu, h.v[r][i]); });
    case kGelu:
      return Each<R>([&](int r, int i) { h.v[r][i] = Activate(kGelu, h.v[r][i]); });
    case kGeluTanh:
      return Each<R>([&](int r, int i) { h.v[r][i] = Activate(kGeluTanh, h.v[r][i]); });
    case kRelu:
      return Each<R>([&](int r, int i) { h.v[r][i] = Activate(kRelu, h.v[r][i]); });
    case kGeluQuick:
      return Each<R>([&](int r, int i) { h.v[r][i] = Activate(kGeluQuick, h.v[r][i]); });
    default:
      return;
  }
}

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
    if (ColumnOf(h, r) >= h.cols) continue;
#pragma unroll
    for (int i = 0; i < 8; ++i) {  // not aligned
      const float x = input[ColumnOf(h, r) + static_cast<uint32_t>(i)];
      h.v[r][i] = adds ? h.v[r][i] + x : x;
    }
  }
}

template <int R, int kThreads>
MOTE_DEVICE void TakeHiddenColumns(const Held<R, kThreads>& h, const StepArgs& step, const RowOp& op,
                                   uint32_t logits) {
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
      if (!kWhole) CacheColumns(op, h.v[0], ColumnOf(h, 0) < h.cols, place);
      return false;
    case RowOpKind::kQuantize:
      QuantizeHeld<kWhole>(h, op, places);
      return false;
    case RowOpKind::kTakeHidden:
      TakeHiddenColumns(h, step, op, logits);
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
  const bool has_row = h.row < CountOf(counts, args.ops[track.begin].rows_kind) * args.per_row;
  CachePlace place = {nullptr, nullptr};
  if (!kWhole && track.cache_op != kNoOp && has_row && h.first < h.cols) {
    place = PlaceInCache(step, args.ops[track.cache_op], h.row, h.first);
  }
  Each<R>([&](int r, int i) { h.v[r][i] = 0; });
  if constexpr (LoadsAhead<R>()) {
    Each<R>([&](int r, int i) { h.w[r][i] = h.s[r][i] = 0; });
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
    StoreColumns(h, op.out + static_cast<uint64_t>(h.row) * h.cols);
  }
}

MOTE_KERNEL(kPieceThreads, 6) ColumnsKernel(const RowArgs args) {
  RunWide<false, 1, kPieceThreads>(args);
}
// More than one row at a time on a multiprocessor where registers allow.
template <int R>
MOTE_KERNEL(kWholeThreads, R == 1 ? 2 : 1) WholeRowKernel(const RowArgs args) {
  RunWide<true, R, kWholeThreads>(args);
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_WIDE_ROWS_CUH_
