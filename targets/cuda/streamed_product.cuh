// Products of one token: reading the weights is all that counts.
//
// One block stands on each multiprocessor and takes units of rows, one after the other; each of its warps has one
// stretch of their columns, and the stretches meet in shared memory. What a warp is going to multiply with comes to
// shared memory in the background, through a ring of its own, and does not stop between units. The ring is filled
// before the kernel's turn has come: a block takes half of the registers and of the shared memory, so that the blocks
// of the next product stand beside it and have their first weights, 10 MiB of them on an H200, when it ends; what is
// between the two products is as long as the memory takes for them.
#ifndef MOTE_TARGETS_CUDA_STREAMED_PRODUCT_CUH_
#define MOTE_TARGETS_CUDA_STREAMED_PRODUCT_CUH_

#include "targets/cuda/fused_product.cuh"
#include "targets/cuda/stretch.cuh"

namespace mote::cuda {

// What a warp copies at once: a tile, or half a tile of halves.
template <DType kType>
constexpr uint32_t SlotParts() {
  return FormatOf(kType).halves ? 2 : 1;
}
template <DType kType>
constexpr uint32_t SlotBytes() {
  return FormatOf(kType).tile_bytes() / SlotParts<kType>();
}
// Eight warps for each row tile that a block takes at a time. A warp is as slow as its instructions, which with small
// tiles are too many for eight of them.
template <DType kType>
constexpr uint32_t StreamGroups() {
  return FormatOf(kType).tile_bytes() < 2600 ? 2 : 1;
}
template <DType kType>
constexpr int StreamThreads() {
  return static_cast<int>(StreamGroups<kType>()) * kFewThreads;
}
// Parts that a warp has under way: 80 KiB of a block, so that with activations and sums it takes less than half of what
// a multiprocessor of Hopper has.
template <DType kType>
constexpr int RingDepth() {
  constexpr int kDepth = static_cast<int>((80 << 10) / (kStretches * StreamGroups<kType>()) / SlotBytes<kType>());
  return kDepth < 2 ? 2 : kDepth > 8 ? 8 : kDepth;
}

// Row tiles of a unit at most; of a gate, half of them are each matrix's.
inline constexpr uint32_t kUnitTiles = 4;
inline constexpr uint32_t kUnitRows = kUnitTiles * kTileRows;

// Shared memory of a block, in this order: the warps' rings; sums of two units; the token's activations; what else a
// norm needs.
template <DType kType>
constexpr uint32_t RingBytes() {
  return kStretches * StreamGroups<kType>() * static_cast<uint32_t>(RingDepth<kType>()) * SlotBytes<kType>();
}
inline constexpr uint32_t kUnitSums = kStretches * kUnitRows;
template <DType kType>
constexpr uint32_t OwnActsAt() {
  return RingBytes<kType>() + 2 * kUnitSums * static_cast<uint32_t>(sizeof(float));
}
template <DType kType, int kFused>
constexpr uint32_t StreamedShared(uint32_t row_tiles) {
  return OwnActsAt<kType>() + (HasNorm(kFused) ? NormShared(row_tiles) : row_tiles * TileActBytes<kType>());
}

// The one token's activations, in the block's own memory. (In global memory they would come behind all weights that
// were asked for before them, first-level cache or not: products took 1.2 to 1.4 times as long.)
struct OwnActs {
  uint32_t at;  // of shared memory: the tile's first byte
  int lane;
  MOTE_DEVICE uint4 Values(const OwnActs& acts, int, int pair) {
    return *reinterpret_cast<const uint4*>(SharedMemory() + acts.at + pair * 64 + acts.lane % 4 * 16);
  }
  MOTE_DEVICE const uint8_t* Operand(const OwnActs& acts, int) { return SharedMemory() + acts.at + kActScales; }
  MOTE_DEVICE const uint8_t* Column(const OwnActs& acts, int, int) { return SharedMemory() + acts.at + kActScales; }
  static constexpr bool kPassesAbout = false;
};
// By all threads of the block, for all of them once they have met.
template <DType kType>
MOTE_DEVICE void TakeActs(const MatMulArgs& args, uint8_t* acts) {
  const uint8_t* from = args.acts + ActHeader<kType>();
  for (uint32_t at = threadIdx.x * 16; at < args.row_tiles * TileActBytes<kType>(); at += StreamThreads<kType>() * 16) {
    *reinterpret_cast<uint4*>(acts + at) = *reinterpret_cast<const uint4*>(from + at);
  }
}

// A warp's part of the block's units: a stretch of columns of some of their row tiles.
struct Share {
  uint32_t begin, end;          // tiles of a row
  uint32_t first_row, end_row;  // row tiles of a unit
};
template <DType kType>
MOTE_DEVICE Share ShareOf(const MatMulArgs& args, uint32_t warp) {
  const uint32_t stretch = StretchTiles(args.row_tiles), rows = args.unit_tiles / StreamGroups<kType>();
  Share share;
  share.begin = warp % kStretches * stretch;
  share.end = share.begin + stretch < args.row_tiles ? share.begin + stretch : args.row_tiles;
  share.first_row = warp / kStretches * rows;
  share.end_row = share.first_row + rows;
  return share;
}

// Of the parts of tiles that a warp takes, in their order, those that are under way. The one that comes next is in
// `slot`, and as soon as it is in registers the part after all of them takes its place.
struct WeightRing {
  uint8_t* slots;
  uint32_t slot;
  // What is asked for next: so many parts of a row tile of a unit.
  const uint8_t* from;
  uint32_t left;
  uint32_t unit;
  uint32_t row;
};
template <DType kType, bool kGate>
MOTE_DEVICE void SeekRow(const MatMulArgs& args, const Share& share, WeightRing* ring) {
  const MatrixArgs& matrix = kGate ? args.matrix[ring->row / (kUnitTiles / 2)] : MatrixOfTile(args, ring->unit);
  uint32_t row_tile = kGate ? ring->unit * (kUnitTiles / 2) + ring->row % (kUnitTiles / 2)
                            : (ring->unit - matrix.first_tile) * args.unit_tiles + ring->row;
  // Rows that are not there: the last ones again, and nobody looks.
  const uint32_t last = (matrix.rows + kTileRows - 1) / kTileRows - 1;
  if (row_tile > last) row_tile = last;
  ring->from =
      matrix.weights + (static_cast<uint64_t>(row_tile) * args.row_tiles + share.begin) * FormatOf(kType).tile_bytes();
  ring->left = (share.end - share.begin) * SlotParts<kType>();
}
// Asks for the next part, to the slot of the part that was used last.
template <DType kType, bool kGate>
MOTE_DEVICE void Ask(const MatMulArgs& args, const Share& share, WeightRing* ring) {
  constexpr uint32_t kBytes = SlotBytes<kType>();
  const uint32_t lane = threadIdx.x % kWarp;
  if (ring->left > 0) {
    const uint8_t* from = ring->from + lane * 16;
    uint8_t* to = ring->slots + ring->slot * kBytes + lane * 16;
#pragma unroll
    for (uint32_t at = 0; at < kBytes; at += kChunkBytes) {
      if (at + kChunkBytes <= kBytes || lane * 16 < kBytes % kChunkBytes) CopyAsync16(to + at, from + at);
    }
    ring->from += kBytes;
    if (--ring->left == 0) {
      if (++ring->row == share.end_row) {
        ring->row = share.first_row;
        ring->unit += gridDim.x;
      }
      if (ring->unit < args.units) SeekRow<kType, kGate>(args, share, ring);
    }
  }
  CommitCopies();
  ring->slot = ring->slot + 1 < static_cast<uint32_t>(RingDepth<kType>()) ? ring->slot + 1 : 0;
}
template <DType kType, bool kGate>
MOTE_DEVICE void AskForFirst(const MatMulArgs& args, const Share& share, uint32_t warp, WeightRing* ring) {
  ring->slots = SharedMemory() + warp * static_cast<uint32_t>(RingDepth<kType>()) * SlotBytes<kType>();
  ring->slot = 0;
  ring->unit = blockIdx.x;
  ring->row = share.first_row;
  ring->left = 0;
  if (share.begin < share.end) SeekRow<kType, kGate>(args, share, ring);
  for (int i = 0; i < RingDepth<kType>(); ++i) Ask<kType, kGate>(args, share, ring);
}
// The next part of a tile: what has arrived, for all lanes.
template <DType kType>
MOTE_DEVICE const uint8_t* Arrived(const WeightRing& ring) {
  WaitCopies<RingDepth<kType>() - 1>();
  SyncWarp();
  return ring.slots + ring.slot * SlotBytes<kType>();
}

// The warp's share of a unit, to its stretch's sums.
template <DType kType, bool kGate>
MOTE_DEVICE void MultiplyUnit(const MatMulArgs& args, const Share& share, uint32_t acts_at, const MmaStart& start,
                              WeightRing* ring, float* sums) {
  for (uint32_t row = share.first_row; row < share.end_row; ++row) {
    OwnActs acts = {acts_at + share.begin * TileActBytes<kType>(), start.lane};
    float sum[1][4] = {};
    for (uint32_t tile = share.begin; tile < share.end; ++tile) {
      SuperSums<1> super;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        constexpr bool kOwnSlot = SlotParts<kType>() == 2;
        const uint8_t* from =
            half == 0 || kOwnSlot ? Arrived<kType>(*ring) : ring->slots + ring->slot * SlotBytes<kType>();
        HalfTile<kType> weights;
        LoadHalf<kType, false>(from, kOwnSlot ? 0 : half, start.lane, &weights);
        if (half == 1 || kOwnSlot) {
          SyncWarp();
          Ask<kType, kGate>(args, share, ring);
        }
        HalfProduct<kType, 1, 1>(weights, half, FirstPair<kType>(half), acts, start, &super, sum);
      }
      acts.at += TileActBytes<kType>();
    }
    if (start.lane % 4 != 0) continue;  // the token is column 0
    sums[row * kTileRows + start.lane / 4] = sum[0][0] * Unshift<kType>();
    sums[row * kTileRows + start.lane / 4 + 8] = sum[0][2] * Unshift<kType>();
  }
}

// Grid: blocks that share the launch's units of args.unit_tiles (of a gate kUnitTiles) row tiles. kFused:
// fused_product.cuh.
template <DType kType, int kFused>
MOTE_KERNEL(StreamThreads<kType>(), 2)
StreamedKernel(const MatMulArgs args) {
  constexpr bool kGate = HasGate(kFused);
  LetNextBegin();
  const uint32_t stretches = NumStretches(args.row_tiles);
  const uint32_t warp = threadIdx.x / kWarp;
  float* const two_sums = reinterpret_cast<float*>(SharedMemory() + RingBytes<kType>());
  uint8_t* const own_acts = SharedMemory() + OwnActsAt<kType>();
  const MmaStart start = StartOf(static_cast<int>(threadIdx.x) % kWarp);
  const Share share = ShareOf<kType>(args, warp);
  // Tiles that the warp norms: not those that it multiplies with, all warps have some.
  constexpr uint32_t kWarps = StreamThreads<kType>() / kWarp;
  const uint32_t norm_tiles = (args.row_tiles + kWarps - 1) / kWarps;
  const uint32_t norm_begin = warp * norm_tiles;
  const uint32_t norm_end = norm_begin + norm_tiles < args.row_tiles ? norm_begin + norm_tiles : args.row_tiles;
  if constexpr (HasNorm(kFused)) FetchNormWeights(args, norm_begin, norm_end, own_acts);
  WeightRing ring;
  AskForFirst<kType, kGate>(args, share, warp, &ring);
  float scale = 1;
  uint32_t turn = 0;
  for (uint32_t unit = blockIdx.x; unit < args.units; unit += gridDim.x, turn ^= 1) {
    const MatrixArgs& matrix = kGate ? args.matrix[0] : MatrixOfTile(args, unit);
    const uint32_t first_row = (unit - matrix.first_tile) * args.unit_tiles * kTileRows;
    const uint32_t unit_rows = args.unit_tiles * kTileRows;
    // Of heads: the thread's two rows.
    const uint32_t pair_row = first_row + threadIdx.x * 2;
    HeadPair pair = {};
    const bool has_pair = HasHeads(kFused) && threadIdx.x * 2 < unit_rows && pair_row < matrix.rows;
    if (has_pair) pair.cache = CacheOfPair(args.heads, matrix, pair_row, 0);
    if (unit == blockIdx.x) {
      WaitForPrevious();
      if (args.counts->rows[args.rows_kind] == 0) break;  // the whole grid
      if constexpr (HasNorm(kFused)) {
        NormActs<RingDepth<kType>()>(args, 0, norm_begin, norm_end, FormatOf(kType).act_group == 256, own_acts);
      } else {
        TakeActs<kType>(args, own_acts);
      }
      if (FormatOf(kType).halves) scale = *reinterpret_cast<const float*>(args.acts);
      SyncBlock();
    }
    if (has_pair) LoadTurn(args.heads, matrix, pair_row, 0, &pair);
    float added = 0;
    const uint32_t own_row = first_row + threadIdx.x;
    const bool has_row = threadIdx.x < unit_rows && own_row < matrix.rows;
    if (has_row && matrix.add != nullptr) added = matrix.add[own_row];
    float* sums = two_sums + turn * kUnitSums;
    MultiplyUnit<kType, kGate>(args, share, OwnActsAt<kType>(), start, &ring, sums + warp % kStretches * kUnitRows);
    // Once for each unit: who writes to these sums again has been here twice.
    SyncBlock();
    if constexpr (kGate) {
      if (warp == 0) StoreGated<kUnitRows, 1>(args, sums, stretches, unit * (kUnitRows / 2), 0);
    } else if constexpr (HasHeads(kFused)) {
      if (has_pair) {
        const float* own = sums + threadIdx.x * 2;
        const float a = SumOfStretches<kUnitRows, 1>(own, stretches);
        const float b = SumOfStretches<kUnitRows, 1>(own + 1, stretches);
        StorePair(args.heads, matrix, pair_row, 0, pair, a * scale, b * scale);
      }
    } else if (has_row) {
      const float sum = SumOfStretches<kUnitRows, 1>(sums + threadIdx.x, stretches);
      StoreOutput(args, matrix, own_row, 0, sum, scale, added);
    }
  }
  WaitCopies<0>();
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_STREAMED_PRODUCT_CUH_
