#include "targets/cuda/row_plan.h"

#include <algorithm>

namespace mote::cuda {
namespace {

using Ops = std::vector<RowOp>;

bool IsCache(const RowOp& op) {
  return op.kind == RowOpKind::kCacheKeys || op.kind == RowOpKind::kCacheValues;
}
bool IsNorm(const RowOp& op) {
  return op.kind == RowOpKind::kRmsNorm || op.kind == RowOpKind::kLayerNorm;
}
bool HasWeight(const RowOp& op) {
  return IsNorm(op) || op.kind == RowOpKind::kMulVector;
}
bool HasIn1(const RowOp& op) {
  return op.kind == RowOpKind::kAdd || op.kind == RowOpKind::kGate;
}
bool HasIn0(const RowOp& op) {
  return op.kind != RowOpKind::kEmbed && op.kind != RowOpKind::kInput;
}
bool IsRounding(const RowOp& op) {
  return op.kind == RowOpKind::kQuantize || op.kind == RowOpKind::kRoundRead;
}
// The cache is nobody's operand in a launch that writes it.
bool HasOut(const RowOp& op) {
  return !IsCache(op);
}

struct Range {
  uintptr_t begin = 0, end = 0;
  bool Meets(const Range& other) const { return begin < other.end && other.begin < end; }
};

Range Bytes(const void* first, uint64_t bytes) {
  const uintptr_t begin = reinterpret_cast<uintptr_t>(first);
  return {begin, begin + bytes};
}

Range OutOf(const RowOp& op, const RowFacts& facts) {
  if (!HasOut(op)) return {};
  const uint64_t rows = facts.rows[op.rows_kind] * facts.per_row;
  if (op.kind == RowOpKind::kRoundRead) return Bytes(op.out, ReadActBytes(op.column, op.cols));
  return Bytes(op.out,
               rows * (op.kind == RowOpKind::kQuantize ? ActRowBytes(op.acts, op.cols) : uint64_t{op.cols} * 4));
}

Range InOf(const RowOp& op, const float* in, const RowFacts& facts) {
  uint64_t rows = facts.rows[op.rows_kind];
  uint64_t cols = op.cols;
  if (op.kind == RowOpKind::kSelect) rows = facts.rows[kRowsTokens];
  if (op.kind == RowOpKind::kConcat) cols = op.in_cols;
  if (op.kind == RowOpKind::kMerge || op.kind == RowOpKind::kMergeMean) {
    rows = facts.rows[kRowsOutputs];
    cols = op.in_cols;
  }
  return Bytes(in, rows * facts.per_row * cols * sizeof(float));
}

// Whether the two must stay in their order.
bool Joined(const RowOp& a, const RowOp& b, const RowFacts& facts) {
  if (IsCache(a) && a.kind == b.kind) return true;
  const auto touches = [&](const RowOp& writer, const RowOp& other) {
    const Range out = OutOf(writer, facts);
    return out.Meets(OutOf(other, facts)) || (HasIn0(other) && out.Meets(InOf(other, other.in0, facts))) ||
           (HasIn1(other) && out.Meets(InOf(other, other.in1, facts)));
  };
  return touches(a, b) || touches(b, a);
}

std::vector<Ops> Tracks(std::span<const RowOp> ops, const RowFacts& facts) {
  std::vector<size_t> track(ops.size());
  for (size_t i = 0; i < ops.size(); ++i) {
    track[i] = i;
    for (size_t j = 0; j < i; ++j) {
      if (track[j] == track[i] || !Joined(ops[j], ops[i], facts)) continue;
      const size_t from = std::max(track[i], track[j]), to = std::min(track[i], track[j]);
      std::replace(track.begin(), track.begin() + static_cast<ptrdiff_t>(i) + 1, from, to);
    }
  }
  std::vector<Ops> tracks;
  for (size_t t = 0; t < ops.size(); ++t) {
    Ops own;
    for (size_t i = 0; i < ops.size(); ++i) {
      if (track[i] == t) own.push_back(ops[i]);
    }
    if (!own.empty()) tracks.push_back(std::move(own));
  }
  return tracks;
}

bool IsPowerOfTwo(uint32_t x) {
  return x != 0 && (x & (x - 1)) == 0;
}

bool LooksAtWholeRow(const RowOp& op) {
  if (op.kind == RowOpKind::kRmsNorm) return !IsLanesNorm(op.group);
  return op.kind == RowOpKind::kLayerNorm || (op.kind == RowOpKind::kQuantize && op.acts == Acts::kHalf) ||
         (op.kind == RowOpKind::kRoundRead && op.read_acts != ReadActs::kBf16);
}

bool RopeFits(const RowOp& op) {
  if (op.group % 8 != 0 || op.cols % op.group != 0 || op.pairs % 4 != 0) return false;
  if (op.flag != 0) return true;
  // Of pairs that stand apart, the other half is another lane's, or is read of memory.
  return op.pairs % 8 == 0 && (op.in0_from == From::kMemory ||
                               (IsPowerOfTwo(op.pairs / 8) && op.pairs <= 128 && op.group % (2 * op.pairs) == 0));
}

bool FitsRegisters(const RowOp& op) {
  const auto aligned = [](const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; };
  if (!aligned(op.in0) || !aligned(op.in1) || !aligned(op.out) || !aligned(op.weight) || !aligned(op.bias)) {
    return false;
  }
  switch (op.kind) {
    case RowOpKind::kRmsNorm:
      return IsLanesNorm(op.group) || op.group == op.cols;
    case RowOpKind::kRope:
      return RopeFits(op);
    case RowOpKind::kCacheKeys:
    case RowOpKind::kCacheValues:
      return op.group % (op.flag != 0 ? 32 : 8) == 0;
    case RowOpKind::kEmbed:
    case RowOpKind::kMerge:
    case RowOpKind::kMergeMean:
    case RowOpKind::kConcat:
      return false;
    default:
      return true;
  }
}

// Rows that the second has are rows that the first has.
bool HasFewerRows(const RowOp& first, const RowOp& second) {
  return first.rows_kind == second.rows_kind || (first.rows_kind < second.rows_kind && second.rows_kind <= kRowsLogits);
}

// A thread has the same columns of the same row in every operation, and no other's: so what one writes may be read by
// another only as the very same rows, and what is read across columns or rows must not be written at all.
bool KeepsToColumns(const Ops& ops, const RowFacts& facts) {
  for (const RowOp& writer : ops) {
    const Range out = OutOf(writer, facts);
    for (const RowOp& reader : ops) {
      const Range in0 = HasIn0(reader) ? InOf(reader, reader.in0, facts) : Range();
      const Range in1 = HasIn1(reader) ? InOf(reader, reader.in1, facts) : Range();
      const Range other = OutOf(reader, facts);
      if (out.Meets(in1) && out.begin != in1.begin) return false;
      if (out.Meets(other) && out.begin != other.begin) return false;
      if (!out.Meets(in0)) continue;
      const bool apart = reader.kind == RowOpKind::kRope && reader.flag == 0 && reader.in0_from == From::kMemory;
      if (out.begin != in0.begin || apart || reader.kind == RowOpKind::kSelect || IsRounding(writer)) {
        return false;
      }
    }
  }
  return true;
}

// Fills in what is found in registers, and says whether the track can run in them.
bool UseRegisters(Ops* ops, const RowFacts& facts) {
  if (ops->size() > kMaxRowOps) return false;
  const float* held = nullptr;
  const RowOp* before = &ops->front();
  for (RowOp& op : *ops) {
    if (op.cols % 8 != 0 || op.cols != before->cols || !HasFewerRows(*before, op)) return false;
    before = &op;
    if (held != nullptr && HasIn0(op) && op.kind != RowOpKind::kSelect && op.in0 == held) {
      op.in0_from = From::kRegisters;
    }
    if (held != nullptr && HasIn1(op) && op.in1 == held) op.in1_from = From::kRegisters;
    held = IsCache(op) || IsRounding(op) ? op.in0 : op.out;
    if (!FitsRegisters(op)) return false;
  }
  if (!KeepsToColumns(*ops, facts)) return false;
  for (RowOp& op : *ops) {
    if (op.roundings == 0 || !HasOut(op) || IsRounding(op)) continue;
    const auto takes = [&](const RowOp& other) {
      return IsRounding(other) && other.in0 == op.out && other.in0_from == From::kRegisters;
    };
    op.unread = std::count_if(ops->begin(), ops->end(), takes) == op.roundings ? 1 : 0;
  }
  const auto caches = std::count_if(ops->begin(), ops->end(), IsCache);
  if (std::none_of(ops->begin(), ops->end(), LooksAtWholeRow)) return caches <= 1;
  return caches == 0 && ops->front().cols <= 4 * kWholeCols;
}

RowShape ShapeOf(Ops* ops, const RowFacts& facts) {
  if (ops->front().kind == RowOpKind::kEmbed) return RowShape::kEmbed;
  Ops placed = *ops;
  if (!UseRegisters(&placed, facts)) return RowShape::kSteps;
  *ops = std::move(placed);
  if (std::none_of(ops->begin(), ops->end(), LooksAtWholeRow)) return RowShape::kColumns;
  const uint32_t cols = ops->front().cols;
  return cols <= kWholeCols ? RowShape::kRow1 : cols <= 2 * kWholeCols ? RowShape::kRow2 : RowShape::kRow4;
}

uint32_t BlocksOf(RowShape shape, const Ops& ops) {
  const uint32_t cols = ops.front().cols;
  if (shape == RowShape::kEmbed) return (cols + kEmbedCols - 1) / kEmbedCols;
  return shape == RowShape::kColumns ? (cols + kPieceCols - 1) / kPieceCols : 1;
}

// Chains what can be loaded before it is needed: weights at any time, and what nobody writes in this track.
RowTrack Chain(std::span<RowOp> ops) {
  RowTrack track = {};
  track.cache_op = kNoOp;
  const float** weight = &track.weight;
  uint32_t* mask = &track.weight_mask;
  const float** in1 = &track.in1;
  for (RowOp& op : ops) {
    if (HasWeight(op)) {
      *weight = op.weight;
      *mask = WeightMask(op.kind, op.group);
      weight = &op.next_weight;
      mask = &op.next_mask;
    }
    if (!HasIn1(op)) continue;
    const bool written =
        std::any_of(ops.begin(), ops.end(), [&](const RowOp& other) { return HasOut(other) && other.out == op.in1; });
    if (op.in1_from == From::kMemory && (!written || &op == ops.data())) {
      op.in1_from = From::kAhead;
      *in1 = op.in1;
    }
    in1 = &op.next_in1;
  }
  return track;
}

class Launches {
 public:
  explicit Launches(const RowFacts& facts) : facts_(facts) {}
  // A track that is too long goes on in the next launch (only kSteps has such).
  void Add(RowShape shape, Ops ops) {
    while (ops.size() > kMaxRowOps) {
      Ops piece(ops.begin(), ops.begin() + kMaxRowOps);
      ops.erase(ops.begin(), ops.begin() + kMaxRowOps);
      Open(shape);
      Append(shape, std::move(piece));
      Open(shape);
    }
    if (made_.empty() || made_.back().shape != shape || made_.back().num_tracks == kMaxRowTracks ||
        OpsOf(made_.back()) + ops.size() > kMaxRowOps) {
      Open(shape);
    }
    Append(shape, std::move(ops));
  }
  std::vector<RowArgs> Take() {
    std::erase_if(made_, [](const RowArgs& args) { return args.num_tracks == 0; });
    return std::move(made_);
  }

 private:
  static uint8_t OpsOf(const RowArgs& args) { return args.num_tracks == 0 ? 0 : args.tracks[args.num_tracks - 1].end; }
  void Open(RowShape shape) {
    RowArgs args = {};
    args.step = facts_.step;
    args.counts = facts_.counts;
    args.per_row = facts_.per_row;
    args.merge = facts_.merge;
    args.shape = shape;
    made_.push_back(args);
  }
  void Append(RowShape shape, Ops ops) {
    RowArgs& args = made_.back();
    RowTrack track = Chain(ops);
    track.begin = OpsOf(args);
    track.end = static_cast<uint8_t>(track.begin + ops.size());
    for (size_t i = 0; i < ops.size(); ++i) {
      if (IsCache(ops[i]) && shape == RowShape::kColumns) track.cache_op = static_cast<uint8_t>(track.begin + i);
    }
    track.first_block = args.blocks;
    args.blocks += BlocksOf(shape, ops);
    std::copy(ops.begin(), ops.end(), args.ops + track.begin);
    args.tracks[args.num_tracks++] = track;
  }

  const RowFacts& facts_;
  std::vector<RowArgs> made_;
};

void AddTracks(std::span<const RowOp> ops, const RowFacts& facts, Launches* launches) {
  struct Shaped {
    RowShape shape;
    Ops ops;
  };
  std::vector<Shaped> tracks;
  RowShape largest = RowShape::kColumns;
  for (Ops& own : Tracks(ops, facts)) {
    const RowShape shape = ShapeOf(&own, facts);
    if (shape <= RowShape::kRow4) largest = std::max(largest, shape);
    tracks.push_back({shape, std::move(own)});
  }
  // One launch for all whole rows, and with them what could be cut into columns, but need not.
  for (Shaped& track : tracks) {
    if (track.shape > RowShape::kRow4 || largest == RowShape::kColumns) continue;
    const uint32_t room = kWholeCols << (static_cast<int>(largest) - static_cast<int>(RowShape::kRow1));
    const bool cache = std::any_of(track.ops.begin(), track.ops.end(), IsCache);
    if (track.ops.front().cols <= room && !cache) track.shape = largest;
  }
  std::stable_sort(tracks.begin(), tracks.end(), [](const Shaped& a, const Shaped& b) { return a.shape < b.shape; });
  for (Shaped& track : tracks) launches->Add(track.shape, std::move(track.ops));
}

}  // namespace

std::vector<RowArgs> PlanRows(std::span<const RowOp> ops, const RowFacts& facts) {
  Launches launches(facts);
  size_t begin = 0;
  for (size_t i = 0; i < ops.size(); ++i) {
    if (ops[i].kind != RowOpKind::kEmbed) continue;
    AddTracks(ops.subspan(begin, i - begin), facts, &launches);
    AddTracks(ops.subspan(i, 1), facts, &launches);
    begin = i + 1;
  }
  AddTracks(ops.subspan(begin), facts, &launches);
  return launches.Take();
}

}  // namespace mote::cuda
