// Norms, rotations, the cache and quantising on a row that is held in registers: wide_rows.cuh.
#ifndef MOTE_TARGETS_CUDA_HELD_OPS_CUH_
#define MOTE_TARGETS_CUDA_HELD_OPS_CUH_

#include "targets/cuda/held_row.cuh"
#include "targets/cuda/round_acts.cuh"
#include "targets/cuda/row_ops.cuh"

namespace mote::cuda {

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
  Each<R>([&](int r, int i) {
    const float x = InRow(h, r) ? h.v[r][i] : 0.0f;
    squares = fmaf(x, x, squares);
  });
  squares = BlockSum<kThreads>(squares, places);
  const float factor = 1.0f / sqrtf(squares / static_cast<float>(op.cols) + op.value);
  EachWeight(h, op, [&](int r, int i, float weight) { h.v[r][i] = h.v[r][i] * factor * weight; });
}

template <int R, int kThreads>
MOTE_DEVICE void LayerNormWhole(Held<R, kThreads>& h, const RowOp& op, float* places) {
  float sum = 0;
  Each<R>([&](int r, int i) { sum += InRow(h, r) ? h.v[r][i] : 0.0f; });
  const float mean = BlockSum<kThreads>(sum, places) / static_cast<float>(op.cols);
  float squares = 0;
  Each<R>([&](int r, int i) {
    h.v[r][i] -= mean;
    const float x = InRow(h, r) ? h.v[r][i] : 0.0f;
    squares = fmaf(x, x, squares);
  });
  squares = BlockSum<kThreads>(squares, places);
  const float factor = 1.0f / sqrtf(squares / static_cast<float>(op.cols) + op.value);
  EachWeight(h, op, [&](int r, int i, float weight) { h.v[r][i] = h.v[r][i] * factor * weight; });
  if (op.bias == nullptr) return;
#pragma unroll
  for (int r = 0; r < R; ++r) {
    float bias[8];
    Load8(op.bias + LoadedColumn(h, r), bias);
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
    const uint32_t c = LoadedColumn(h, r);
    const uint32_t d = c % op.group;
    const bool turns = d < 2 * op.pairs;
    const bool first = d < op.pairs;
    const uint32_t pair = !turns ? 0 : first ? d : d - op.pairs;
    float other[8], cosine[8], sine[8];
    Load8(op.weight + at + pair, cosine);
    Load8(op.bias + at + pair, sine);
    if (op.in0_from == From::kRegisters) {
#pragma unroll
      for (int i = 0; i < 8; ++i) other[i] = ShuffleXor(h.v[r][i], static_cast<int>(op.pairs / 8));
    } else {
      Load8(x + (first ? c + op.pairs : turns ? c - op.pairs : c), other);
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
    const uint32_t d = LoadedColumn(h, r) % op.group;
    const bool turns = d < 2 * op.pairs;
    const float4 c = *reinterpret_cast<const float4*>(op.weight + at + (turns ? d / 2 : 0));
    const float4 s = *reinterpret_cast<const float4*>(op.bias + at + (turns ? d / 2 : 0));
    if (!turns) continue;
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

// What a row is scaled with to become halves.
template <int R, int kThreads>
MOTE_DEVICE HalfScale HalfScaleOfHeld(const Held<R, kThreads>& h, float* places) {
  float most = 0;
  Each<R>([&](int r, int i) { most = fmaxf(most, fabsf(CleanAct(h.v[r][i]))); });
  return HalfScaleOf(BlockMax<kThreads>(most, places));
}

template <bool kWhole, int R, int kThreads>
MOTE_DEVICE void QuantizeHeld(const Held<R, kThreads>& h, const RowOp& op, float* places) {
  uint8_t* out = reinterpret_cast<uint8_t*>(op.out) + h.row * ActRowBytes(op.acts, op.cols);
  const uint32_t padded = RowTiles(op.cols) * kTileCols;
  if (op.acts == Acts::kBytes32 || op.acts == Acts::kBytes256) {
#pragma unroll
    for (int r = 0; r < R; ++r) {
      const uint32_t c = ColumnOf(h, r);
      QuantizeColumns(h.v[r], InRow(h, r), c % kTileCols, op.acts == Acts::kBytes256, c < padded,
                      out + c / kTileCols * kActBlockBytes);
    }
    return;
  }
  HalfScale scale = {1, 1};
  if (kWhole && op.acts == Acts::kHalf) scale = HalfScaleOfHeld(h, places);
  if (h.first == 0) *reinterpret_cast<float*>(out) = scale.back;
  uint16_t* halves = reinterpret_cast<uint16_t*>(out + kHalfActHeader);
  static_assert(HalfActPlace(1) == 1 && HalfActPlace(2) % 2 == 0 && HalfActPlace(14) % 2 == 0);
#pragma unroll
  for (int r = 0; r < R; ++r) {
    const uint32_t c = ColumnOf(h, r);
    if (c >= padded) continue;
#pragma unroll
    for (int i = 0; i < 8; i += 2) {
      const float low = InRow(h, r) ? CleanAct(h.v[r][i]) : 0.0f;
      const float high = InRow(h, r) ? CleanAct(h.v[r][i + 1]) : 0.0f;
      const bool half = op.acts == Acts::kHalf;
      const uint32_t first = half ? FloatToHalf(low * scale.factor) : FloatToBf16(low);
      const uint32_t second = half ? FloatToHalf(high * scale.factor) : FloatToBf16(high);
      *reinterpret_cast<uint32_t*>(halves + HalfActPlace(c + static_cast<uint32_t>(i))) = first | second << 16;
    }
  }
}

// Of a row that is read: for products of those.
template <bool kWhole, int R, int kThreads>
MOTE_DEVICE void RoundReadHeld(const Held<R, kThreads>& h, const RowOp& op, uint32_t read_from, float* places) {
  if (h.row < read_from) return;  // the whole block
  const ReadRow to = ReadRowOf(reinterpret_cast<uint8_t*>(op.out), op.column, h.row - read_from);
  const uint32_t padded = RowTiles(op.cols) * kTileCols;
  HalfScale scale = {1, 1};
  if (kWhole && op.read_acts != ReadActs::kBf16) scale = HalfScaleOfHeld(h, places);
  if (h.first == 0) *to.scale = scale.back;
#pragma unroll
  for (int r = 0; r < R; ++r) {
    const uint32_t c = ColumnOf(h, r);
    if (c >= padded) continue;
    const float factor = InRow(h, r) ? scale.factor : 0.0f;
    float values[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) values[i] = CleanAct(h.v[r][i]) * factor;
    StoreReadColumns(to, op.read_acts, c, values);
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

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_HELD_OPS_CUH_
