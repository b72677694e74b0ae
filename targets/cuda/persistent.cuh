// The layers of a step of one row in one kernel, whose blocks stay: one for each multiprocessor, of a few teams, each
// of which is what a block of one_token.cuh is. An operation after the other, with the same arithmetic as the kernels
// that are launched one by one: the same bits.
//
// What it is for: between two launches memory idles, while the first bytes of the next one's weights come, and its last
// ones are added up; about 3 us for each of a layer's five kernels. Here a warp's ring goes on with the tiles of the
// next product as soon as it has asked for the last one of this, whoever else is still busy: what is asked for never
// depends on results. Rings of all teams hold 22 MB of llama3-8b's 122 MB a layer on an H200, 5 us of its bandwidth.
//
// Operations end when all who take part have arrived (a word each in device memory), and whoever begins the next one
// has waited for that. Who takes no part in an operation neither waits nor arrives: it goes on to the next one that it
// has a part in, and waits for the one before that. So whoever has arrived has seen, by way of others, all that came
// before.
//
// A team's threads are those of one threadIdx.y; SyncBlock is theirs (MOTE_TEAMS). Attention wants more shared memory
// than a team has: on the blocks that attend, which are the last ones, rings stay empty from the product before to the
// end of it, and the first team has all of their memory.
#ifndef MOTE_TARGETS_CUDA_PERSISTENT_CUH_
#define MOTE_TARGETS_CUDA_PERSISTENT_CUH_

#if !defined(MOTE_TEAMS)
#error "MOTE_TEAMS must be defined before anything is included"
#endif

#include "targets/cuda/launch.h"
#include "targets/cuda/one_token.cuh"
#include "targets/cuda/runtime.h"
#include "targets/cuda/split_attention.cuh"

namespace mote::cuda {

// Copies of operations that a team has in shared memory: those from the one before its own on. Rings go at most so many
// operations ahead.
inline constexpr uint32_t kWindow = 4;
inline constexpr uint32_t kAhead = 2;
inline constexpr uint32_t kWindowBytes = kWindow * sizeof(PersistentOp);
static_assert(sizeof(PersistentOp) % 16 == 0 && sizeof(PersistentOp) / 16 <= kWarp, "copied by a warp");

template <DType kFirst, DType kSecond>
struct Persistent {
  // Of a warp.
  static constexpr uint32_t kRing = RingBytes(kFirst) > RingBytes(kSecond) ? RingBytes(kFirst) : RingBytes(kSecond);
  // At most: as many as Hopper's shared memory has room for, which registers are given out by.
  static constexpr int kTeams = 3 * kStretches * kRing < 200u << 10 ? 3 : 2;
};

// A team is numbered among those of all blocks.
MOTE_DEVICE uint32_t TeamIndex() {
  return threadIdx.y * gridDim.x + blockIdx.x;
}
MOTE_DEVICE uint32_t TeamCount() {
  return blockDim.y * gridDim.x;
}
MOTE_DEVICE PersistentOp* TeamWindow(const PersistentArgs& args) {
  return reinterpret_cast<PersistentOp*>(SharedMemory() + args.window_at + threadIdx.y * kWindowBytes);
}
MOTE_DEVICE uint8_t* TeamMemory(const PersistentArgs& args) {
  return SharedMemory() + args.team_at + threadIdx.y * args.team_bytes;
}

// Where a warp's next tile comes from: of all products that its team takes part in, operation by operation. What
// changes once for a row of tiles is in shared memory, for registers are short: all lanes read it, meet, and write the
// same.
struct RingPlace {
  uint32_t current;  // the operation that the team is at
  uint32_t op;       // the one that the next tile is of, or where to look for it
  uint32_t unit;
  uint32_t row;
};
struct RingFeed {
  const uint8_t* from;
  uint32_t left;  // tiles of this row of tiles; 0: nothing more can be asked for now
};
MOTE_DEVICE RingPlace* PlaceOfWarp(const PersistentArgs& args) {
  return reinterpret_cast<RingPlace*>(SharedMemory() + args.window_at + blockDim.y * kWindowBytes) +
         threadIdx.y * kStretches + threadIdx.x / kWarp;
}

MOTE_DEVICE bool IsProduct(const PersistentOp& op) {
  return op.kind != PersistentKind::kAttention && op.kind != PersistentKind::kJoin;
}
// Of a block of attention's; counted from the grid's end.
MOTE_DEVICE uint32_t FromEnd() {
  return gridDim.x - 1 - blockIdx.x;
}
MOTE_DEVICE uint32_t StretchBegin(const MatMulArgs& args) {
  return threadIdx.x / kWarp * StretchTiles(args.row_tiles);
}
MOTE_DEVICE uint32_t StretchEnd(const MatMulArgs& args) {
  return Least(StretchBegin(args) + StretchTiles(args.row_tiles), args.row_tiles);
}
MOTE_DEVICE bool HasTiles(const PersistentOp& op) {
  return IsProduct(op) && TeamIndex() < op.product.units && StretchBegin(op.product) < op.product.row_tiles;
}

// The feed's next tile is the first of its row in its unit.
MOTE_DEVICE void PlaceFeed(const PersistentOp& op, const RingPlace& place, uint32_t tile_bytes, RingFeed* f) {
  const MatMulArgs& args = op.product;
  const bool gate = op.kind == PersistentKind::kNormGate;
  const uint32_t rows = gate ? op.row_tiles / 2u : op.row_tiles;  // of one matrix
  const MatrixArgs& matrix = gate ? args.matrix[0] : MatrixOfTile(args, place.unit);
  const bool other = place.row >= rows;
  const uint32_t wanted = (place.unit - matrix.first_tile) * rows + (other ? place.row - rows : place.row);
  const uint32_t row_tile = Least(wanted, (matrix.rows + kTileRows - 1) / kTileRows - 1);
  const uint32_t begin = StretchBegin(args);
  f->from = (other ? args.matrix[1].weights : matrix.weights) +
            (static_cast<uint64_t>(row_tile) * args.row_tiles + begin) * tile_bytes;
  f->left = StretchEnd(args) - begin;
}

// Looks for the first tile of the warp from operation `op` on. `second`: only of weights of this one of the two types,
// for a ring has tiles of one; or of any.
inline constexpr uint32_t kAnyType = 2;
template <DType kFirst, DType kSecond>
MOTE_DEVICE void SeekTile(const PersistentArgs& args, uint32_t op, uint32_t second, RingPlace* place, RingFeed* f) {
  f->left = 0;
  for (; op < args.count && op <= place->current + kAhead; ++op) {
    const PersistentOp& o = TeamWindow(args)[op % kWindow];
    if (o.kind == PersistentKind::kAttention && FromEnd() < o.parts) break;
    if (!HasTiles(o)) continue;
    if (second != kAnyType && o.second != second) break;
    place->unit = TeamIndex();
    place->row = 0;
    PlaceFeed(o, *place, o.second != 0 ? FormatOf(kSecond).tile_bytes() : FormatOf(kFirst).tile_bytes(), f);
    break;
  }
  place->op = op;
}

// Asks for the next tile, if it can be, and goes on to the one behind it. A group of copies either way.
template <DType kFirst, DType kSecond, bool kIsSecond>
MOTE_DEVICE void FetchTile(const PersistentArgs& args, uint8_t* to, RingFeed* f) {
  constexpr DType kType = kIsSecond ? kSecond : kFirst;
  constexpr uint32_t kTile = FormatOf(kType).tile_bytes();
  if (f->left != 0) {
    const uint32_t own = threadIdx.x % kWarp * 16;
    TileFeed<kType, 1, false>::template CopyFrom<0>(to + own, f->from + own, own);
    f->from += kTile;
    if (--f->left == 0) {
      RingPlace place = *PlaceOfWarp(args);
      SyncWarp();
      const PersistentOp& o = TeamWindow(args)[place.op % kWindow];
      if (++place.row == o.row_tiles) {
        place.row = 0;
        place.unit += TeamCount();
      }
      if (place.unit < o.product.units) {
        PlaceFeed(o, place, kTile, f);
      } else {
        SeekTile<kFirst, kSecond>(args, place.op + 1, kIsSecond ? 1 : 0, &place, f);
      }
      *PlaceOfWarp(args) = place;
    }
  }
  CommitCopies();
}
template <DType kFirst, DType kSecond, bool kIsSecond>
MOTE_DEVICE void FillRing(const PersistentArgs& args, uint8_t* ring, RingFeed* f) {
  constexpr DType kType = kIsSecond ? kSecond : kFirst;
#pragma unroll 1
  for (uint32_t i = 0; i < OneTokenDepth(kType); ++i) {
    FetchTile<kFirst, kSecond, kIsSecond>(args, ring + i * FormatOf(kType).tile_bytes(), f);
  }
}
// As an operation begins: a feed that had to stop goes on, if its ring is empty.
template <DType kFirst, DType kSecond>
MOTE_DEVICE void ResumeFeed(const PersistentArgs& args, uint8_t* ring, uint8_t** slot, RingFeed* f) {
  if (f->left != 0) return;
  RingPlace place = *PlaceOfWarp(args);
  for (uint32_t op = place.current; op < place.op; ++op) {
    if (HasTiles(TeamWindow(args)[op % kWindow])) return;  // in the ring
  }
  SyncWarp();
  SeekTile<kFirst, kSecond>(args, place.op > place.current ? place.op : place.current, kAnyType, &place, f);
  *PlaceOfWarp(args) = place;
  if (f->left == 0) return;
  WaitCopies<0>();  // groups of nothing: from here on they are counted anew
  *slot = ring;
  if (kFirst == kSecond || TeamWindow(args)[place.op % kWindow].second == 0) {
    FillRing<kFirst, kSecond, false>(args, ring, f);
  } else {
    FillRing<kFirst, kSecond, true>(args, ring, f);
  }
}

// Until operation `op` is done; by all threads of a team.
MOTE_DEVICE void AwaitOp(const PersistentArgs& args, uint32_t op, uint32_t parts) {
  if (threadIdx.x == 0) AwaitArrivals(args.arrived + op * kArrivalWords, parts);
  SyncBlock();
}

// The team's units of a product. `before`: who takes part in the operation before it.
template <DType kFirst, DType kSecond, bool kIsSecond, int kRowTiles, int kFused>
MOTE_DEVICE void RunProduct(const PersistentArgs& args, const MatMulArgs& product, uint32_t current, uint32_t before,
                            uint8_t* ring, uint8_t** slot, RingFeed* f) {
  constexpr DType kType = kIsSecond ? kSecond : kFirst;
  const uint32_t stretches = NumStretches(product.row_tiles);
  const uint32_t begin = StretchBegin(product), end = StretchEnd(product);
  const UnitMemory m = LayOutUnits<kRowTiles, kFused>(product.row_tiles, TeamMemory(args));
  const TokenRange token = {0, 1};
  NormWeights norm_weights;
  if constexpr (HasNorm(kFused)) norm_weights = FetchNormWeights(product, begin, m.acts);
  if constexpr (HasHeads(kFused)) PlacePair<kRowTiles>(product, TeamIndex(), token, m.pairs);
  if (current > 0) AwaitOp(args, current - 1, before);
  if constexpr (HasNorm(kFused)) {
    NormActs(product, begin, end, FormatOf(kType).act_group == 256, norm_weights, m.acts);
  } else {
    TakeActs(product, begin, end, m.acts);
  }
  const auto fetch = [&](uint8_t* to) { FetchTile<kFirst, kSecond, kIsSecond>(args, to, f); };
  MultiplyUnits<kType, kRowTiles, kFused>(product, TeamIndex(), TeamCount(), begin, end, stretches, token, m, ring,
                                          slot, fetch);
}
template <DType kFirst, DType kSecond, bool kIsSecond>
MOTE_DEVICE void RunProductOf(const PersistentArgs& args, const PersistentOp& op, uint32_t current, uint32_t before,
                              uint8_t* ring, uint8_t** slot, RingFeed* f) {
  // Groups of 32 activations are one unit's of a gate, of 256 parts of several.
  constexpr int kGateTiles = FormatOf(kIsSecond ? kSecond : kFirst).act_group == 32 ? 4 : 2;
  const MatMulArgs& product = op.product;
  switch (op.kind) {
    case PersistentKind::kNormProduct:
      return RunProduct<kFirst, kSecond, kIsSecond, 1, kFusedNorm>(args, product, current, before, ring, slot, f);
    case PersistentKind::kNormHeads:
      return RunProduct<kFirst, kSecond, kIsSecond, 1, kFusedNorm | kFusedHeads>(args, product, current, before, ring,
                                                                                 slot, f);
    case PersistentKind::kNormGate:
      return RunProduct<kFirst, kSecond, kIsSecond, kGateTiles, kFusedNorm | kFusedGate>(args, product, current, before,
                                                                                         ring, slot, f);
    default:
      return RunProduct<kFirst, kSecond, kIsSecond, 1, kNotFused>(args, product, current, before, ring, slot, f);
  }
}

// The block's part of attention, by its first team.
MOTE_DEVICE void RunAttention(const PersistentArgs& args, const PersistentOp& op, uint32_t current, uint32_t before) {
  const AttentionArgs& attention = op.attention;
  SyncTeams();  // all rings are empty, and nobody needs what is behind them
  if (threadIdx.y == 0) {
    const uint32_t head_tiles = op.blocks / attention.splits;
    const auto wait = [&] {
      if (current > 0) AwaitOp(args, current - 1, before);
    };
    for (uint32_t i = FromEnd(); i < op.blocks; i += gridDim.x) {
      const SplitPlace place = {0, i % head_tiles, i / head_tiles};
      if (attention.key_dim <= 64 && attention.value_dim <= 64) {
        AttendToSplit<64>(attention, place, wait);
      } else {
        AttendToSplit<128>(attention, place, wait);
      }
      SyncBlock();
    }
  }
  SyncTeams();
}

// Whether the team is one of those that do the operation, and does it.
template <DType kFirst, DType kSecond>
MOTE_DEVICE bool RunOp(const PersistentArgs& args, const PersistentOp& op, uint32_t current, uint32_t before,
                       uint8_t* ring, uint8_t** slot, RingFeed* f) {
  if (op.kind == PersistentKind::kAttention) {
    if (FromEnd() >= op.parts) return false;
    RunAttention(args, op, current, before);
    return threadIdx.y == 0;
  }
  if (TeamIndex() >= op.parts) return false;
  if (op.kind == PersistentKind::kJoin) {
    for (uint32_t i = TeamIndex(); i < op.blocks; i += TeamCount()) {
      JoinSplits(op.attention, 0, i, TeamMemory(args), [&] { AwaitOp(args, current - 1, before); });
      SyncBlock();
    }
  } else if (kFirst == kSecond || op.second == 0) {
    RunProductOf<kFirst, kSecond, false>(args, op, current, before, ring, slot, f);
  } else {
    RunProductOf<kFirst, kSecond, true>(args, op, current, before, ring, slot, f);
  }
  return true;
}

// Grid: a block for each multiprocessor, of kFewThreads x teams threads.
template <DType kFirst, DType kSecond>
MOTE_KERNEL((kFewThreads * Persistent<kFirst, kSecond>::kTeams), 1)
PersistentKernel(const PersistentArgs args) {
  const auto copy_op = [&](uint32_t op) {
    if (threadIdx.x >= sizeof(PersistentOp) / 16 || op >= args.count) return;
    reinterpret_cast<uint4*>(TeamWindow(args) + op % kWindow)[threadIdx.x] =
        reinterpret_cast<const uint4*>(args.ops + op)[threadIdx.x];
  };
  for (uint32_t op = 0; op < kAhead + 1; ++op) copy_op(op);
  *PlaceOfWarp(args) = {};
  SyncBlock();
  uint8_t* const ring =
      SharedMemory() + (threadIdx.y * kStretches + threadIdx.x / kWarp) * Persistent<kFirst, kSecond>::kRing;
  uint8_t* slot = ring;  // whose tile is multiplied with next
  RingFeed feed = {};
  uint32_t before = 0;
#pragma unroll 1
  for (uint32_t current = 0; current < args.count; ++current) {
    PlaceOfWarp(args)->current = current;
    SyncWarp();
    copy_op(current + kAhead + 1);  // in the place of the one before, which nobody looks at any more
    ResumeFeed<kFirst, kSecond>(args, ring, &slot, &feed);
    const PersistentOp& op = TeamWindow(args)[current % kWindow];
    const bool took_part = RunOp<kFirst, kSecond>(args, op, current, before, ring, &slot, &feed);
    before = op.parts;
    SyncBlock();
    if (!took_part || threadIdx.x != 0) continue;
    if (current + 1 < args.count) {
      ArriveOnly(args.arrived + current * kArrivalWords);
    } else if (Arrive(args.arrived + current * kArrivalWords) + 1 == before) {
      // The last of all: nobody waits any more.
      for (uint32_t i = 0; i < args.count; ++i) args.arrived[i * kArrivalWords] = 0;
    }
  }
  WaitCopies<0>();
}

// For the host.
inline uint32_t TeamBytesOf(const PersistentOp& op) {
  const uint32_t tiles = op.product.row_tiles;
  const bool norms = op.kind != PersistentKind::kProduct;
  const uint32_t sums = 2 * NumStretches(tiles) * kTileRows * op.row_tiles * static_cast<uint32_t>(sizeof(float));
  const uint32_t pairs = op.kind == PersistentKind::kNormHeads ? 8 * op.row_tiles * sizeof(HeadPair) : 0;
  return (sums + pairs + (norms ? NormShared(tiles) : tiles * kActBlockBytes) + 15) / 16 * 16;
}
inline AttentionShape ShapeOfAttention(const AttentionArgs& args) {
  const uint32_t cols = args.key_dim > args.value_dim ? args.key_dim : args.value_dim;
  AttentionShape shape = {};
  if (cols > 128 || args.value_dim % 8 != 0) return shape;
  shape.shared_bytes = cols <= 64 ? SplitMemory<64>::kBytes : SplitMemory<128>::kBytes;
  shape.head_tiles = args.kv_heads * HeadTiles(args.heads / args.kv_heads);
  shape.joins = RowTiles(uint64_t{args.heads} * args.value_dim);
  return shape;
}
template <DType kFirst, DType kSecond>
void LaunchPersistentOf(const PersistentArgs& args, uint32_t teams, uint32_t shared, void* stream) {
  const auto kernel = &PersistentKernel<kFirst, kSecond>;
  MOTE_ALLOW_SHARED(kernel, stream);
  MOTE_LAUNCH_RESIDENT(kernel, ShapeOf(stream).multiprocessors, kFewThreads, teams, shared, stream, args);
}
template <DType kFirst, DType kSecond>
bool PersistentFits(uint32_t teams, uint32_t shared, void* stream) {
  const auto kernel = &PersistentKernel<kFirst, kSecond>;
  MOTE_ALLOW_SHARED(kernel, stream);
  return MOTE_RESIDENT_BLOCKS(kernel, kFewThreads * teams, shared) > 0;
}
template <DType kFirst, DType kSecond>
PersistentLauncher PersistentLauncherOf() {
  using P = Persistent<kFirst, kSecond>;
  PersistentLauncher launcher;
  launcher.first = kFirst;
  launcher.second = kSecond;
  launcher.most_teams = static_cast<uint32_t>(P::kTeams);
  launcher.ring_bytes = kStretches * P::kRing;
  launcher.window_bytes = kWindowBytes + kStretches * static_cast<uint32_t>(sizeof(RingPlace));
  launcher.team_bytes = &TeamBytesOf;
  launcher.attention = &ShapeOfAttention;
  launcher.fits = &PersistentFits<kFirst, kSecond>;
  launcher.launch = &LaunchPersistentOf<kFirst, kSecond>;
  return launcher;
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_PERSISTENT_CUH_
