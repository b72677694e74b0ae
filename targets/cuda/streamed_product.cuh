// Products of one token: reading the weights is all that counts.
//
// One block stands on each multiprocessor and takes units of rows, one after the other; each of its warps has one
// stretch of their columns, and the stretches meet in shared memory. What a warp is going to multiply with comes to
// shared memory in the background, through a ring of its own that is as deep as there is room, and does not stop
// between units. The ring is filled before the kernel's turn has come: a block takes half of the registers and of the
// shared memory, so that the blocks of the next product stand beside it and have their first weights, 12 MiB of them on
// an H200, when it ends; what is between the two products is as long as the memory takes for them.
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
// Parts that a warp has under way: 80 KiB of a block, so that with activations and sums it takes less than half of what
// a multiprocessor of Hopper has.
template <DType kType>
constexpr int RingDepth() {
  constexpr int kDepth = static_cast<int>((80 << 10) / kStretches / SlotBytes<kType>());
  return kDepth < 2 ? 2 : kDepth > 8 ? 8 : kDepth;
}

// Shared memory of a block, in this order: the warps' rings; the token's activations; sums of two units; what else a
// norm needs.
template <DType kType>
constexpr uint32_t RingBytes(uint32_t row_tiles) {
  return NumStretches(row_tiles) * static_cast<uint32_t>(RingDepth<kType>()) * SlotBytes<kType>();
}
constexpr uint32_t UnitSums(uint32_t row_tiles, uint32_t rows) {
  return NumStretches(row_tiles) * rows;
}
template <DType kType, int kRowTiles, int kFused>
constexpr uint32_t StreamedShared(uint32_t row_tiles) {
  return RingBytes<kType>(row_tiles) +
         2 * static_cast<uint32_t>(sizeof(float)) * UnitSums(row_tiles, kRowTiles * kTileRows) +
         (HasNorm(kFused) ? NormShared(row_tiles) : row_tiles * TileActBytes<kType>());
}

// The one token's activations, in the block's own memory. (In global memory they would come behind all weights that were
// asked for before them, first-level cache or not.)
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
// Tiles [begin, end) of them, to `acts`, by the warp that will multiply with them.
template <DType kType>
MOTE_DEVICE void TakeActs(const MatMulArgs& args, uint32_t begin, uint32_t end, uint8_t* acts) {
  const uint8_t* from = args.acts + ActHeader<kType>();
  for (uint32_t at = begin * TileActBytes<kType>() + threadIdx.x % kWarp * 16; at < end * TileActBytes<kType>();
       at += kChunkBytes) {
    *reinterpret_cast<uint4*>(acts + at) = *reinterpret_cast<const uint4*>(from + at);
  }
  SyncWarp();
}

// Of the parts of tiles that a warp takes, in their order (of each unit of rows, of each tile of its stretch, all
// rows), those that are under way. The one that comes next is in `slot`, and as soon as it is in registers the part
// after all of them takes its place.
template <DType kType, int kRowTiles, bool kGate>
struct WeightRing {
  uint8_t* slots;
  uint32_t slot;
  // What is asked for next.
  uint32_t unit;
  uint32_t tile;
  uint32_t row;
  uint32_t part;
  Stretch stretch;
};

// Asks for the next part, to the slot of the part that was used last.
template <DType kType, int kRowTiles, bool kGate>
MOTE_DEVICE void Ask(const MatMulArgs& args, uint32_t warp, WeightRing<kType, kRowTiles, kGate>* ring) {
  constexpr uint32_t kBytes = SlotBytes<kType>();
  const uint32_t lane = threadIdx.x % kWarp;
  if (ring->unit < args.units) {
    const uint8_t* from = TileAt<kType, kRowTiles, kGate>(ring->stretch, ring->row, ring->tile) + ring->part * kBytes;
    uint8_t* to = ring->slots + ring->slot * kBytes;
#pragma unroll
    for (uint32_t at = 0; at < kBytes; at += kChunkBytes) {
      if (at + kChunkBytes > kBytes && at + lane * 16 >= kBytes) continue;
      CopyAsync16(to + at + lane * 16, from + at + lane * 16);
    }
    if (++ring->part == SlotParts<kType>()) {
      ring->part = 0;
      if (++ring->row == kRowTiles) {
        ring->row = 0;
        if (++ring->tile == ring->stretch.end) {
          ring->unit += gridDim.x;
          if (ring->unit < args.units) ring->stretch = StretchOf<kRowTiles, kGate>(args, ring->unit, warp);
          ring->tile = ring->stretch.begin;
        }
      }
    }
  }
  CommitCopies();
  ring->slot = ring->slot + 1 < static_cast<uint32_t>(RingDepth<kType>()) ? ring->slot + 1 : 0;
}
template <DType kType, int kRowTiles, bool kGate>
MOTE_DEVICE void AskForFirst(const MatMulArgs& args, uint32_t warp, uint8_t* memory,
                             WeightRing<kType, kRowTiles, kGate>* ring) {
  ring->slots = memory + warp * static_cast<uint32_t>(RingDepth<kType>()) * SlotBytes<kType>();
  ring->slot = ring->row = ring->part = 0;
  ring->unit = warp < NumStretches(args.row_tiles) ? blockIdx.x : args.units;
  ring->stretch = StretchOf<kRowTiles, kGate>(args, blockIdx.x, warp);
  ring->tile = ring->stretch.begin;
  for (int i = 0; i < RingDepth<kType>(); ++i) Ask(args, warp, ring);
}

// The next part of a tile: what has arrived, for all lanes.
template <DType kType, int kRowTiles, bool kGate>
MOTE_DEVICE const uint8_t* Arrived(const WeightRing<kType, kRowTiles, kGate>& ring) {
  WaitCopies<RingDepth<kType>() - 1>();
  SyncWarp();
  return ring.slots + ring.slot * SlotBytes<kType>();
}

// A unit's sums of the warp's stretch to `out`, (rows).
template <DType kType, int kRowTiles, bool kGate>
MOTE_DEVICE void MultiplyUnit(const MatMulArgs& args, const Stretch& s, OwnActs acts, const MmaStart& start,
                              uint32_t warp, WeightRing<kType, kRowTiles, kGate>* ring, float* out) {
  float sum[kRowTiles][1][4] = {};
  for (uint32_t tile = s.begin; tile < s.end; ++tile) {
#pragma unroll
    for (int row = 0; row < kRowTiles; ++row) {
      SuperSums<1> super;
      HalfTile<kType> halves[2];
      if constexpr (SlotParts<kType>() == 1) {
        const uint8_t* from = Arrived(*ring);
#pragma unroll
        for (int half = 0; half < 2; ++half) LoadHalf<kType, false>(from, half, start.lane, &halves[half]);
        SyncWarp();
        Ask(args, warp, ring);
      }
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        if constexpr (SlotParts<kType>() == 2) {
          LoadHalf<kType, false>(Arrived(*ring), 0, start.lane, &halves[half]);
          SyncWarp();
          Ask(args, warp, ring);
        }
        HalfProduct<kType, 1, 1>(halves[half], half, FirstPair<kType>(half), acts, start, &super, sum[row]);
      }
    }
    acts.at += TileActBytes<kType>();
  }
  if (start.lane % 4 != 0) return;  // the token is column 0
#pragma unroll
  for (int row = 0; row < kRowTiles; ++row) {
    out[row * 16 + start.lane / 4] = sum[row][0][0] * Unshift<kType>();
    out[row * 16 + start.lane / 4 + 8] = sum[row][0][2] * Unshift<kType>();
  }
}

// Grid: blocks that share the launch's units, of 16 * kRowTiles rows (of a gate, half of them each matrix's).
template <DType kType, int kRowTiles, int kFused>
MOTE_KERNEL(kFewThreads, 2)
StreamedKernel(const MatMulArgs args) {
  constexpr uint32_t kRows = 16 * kRowTiles;
  constexpr bool kGate = HasGate(kFused);
  LetNextBegin();
  const uint32_t stretches = NumStretches(args.row_tiles);
  const uint32_t warp = threadIdx.x / kWarp;
  float* const two_sums = reinterpret_cast<float*>(SharedMemory() + RingBytes<kType>(args.row_tiles));
  const uint32_t acts_at = RingBytes<kType>(args.row_tiles) +
                           2 * static_cast<uint32_t>(sizeof(float)) * UnitSums(args.row_tiles, kRows);
  uint8_t* const own_acts = SharedMemory() + acts_at;
  const MmaStart start = StartOf(static_cast<int>(threadIdx.x) % kWarp);
  Stretch s = StretchOf<kRowTiles, kGate>(args, blockIdx.x, warp);
  if constexpr (HasNorm(kFused)) FetchNormWeights(args, s.begin, s.end, own_acts);
  WeightRing<kType, kRowTiles, kGate> ring;
  AskForFirst(args, warp, SharedMemory(), &ring);
  const OwnActs acts = {acts_at + s.begin * TileActBytes<kType>(), start.lane};
  float scale = 1;
  uint32_t turn = 0;
  for (uint32_t unit = blockIdx.x; unit < args.units; unit += gridDim.x, turn ^= 1) {
    if (unit != blockIdx.x) s = StretchOf<kRowTiles, kGate>(args, unit, warp);
    const MatrixArgs& matrix = kGate ? args.matrix[0] : MatrixOfTile(args, unit);
    // Of heads: the thread's two rows.
    const uint32_t pair_row = s.row_tile * kTileRows + threadIdx.x * 2;
    const uint32_t own_row = s.row_tile * kTileRows + threadIdx.x;
    HeadPair pair = {};
    const bool has_pair = HasHeads(kFused) && threadIdx.x < kRows / 2 && pair_row < matrix.rows;
    if (has_pair) pair.cache = CacheOfPair(args.heads, matrix, pair_row, 0);
    if (unit == blockIdx.x) {
      WaitForPrevious();
      if (args.counts->rows[args.rows_kind] == 0) break;  // the whole grid
      if constexpr (HasNorm(kFused)) {
        NormActs<RingDepth<kType>()>(args, 0, s.begin, s.end, FormatOf(kType).act_group == 256, own_acts);
      } else {
        TakeActs<kType>(args, s.begin, s.end, own_acts);
      }
      if (FormatOf(kType).halves) scale = *reinterpret_cast<const float*>(args.acts);
    }
    if (has_pair) LoadTurn(args.heads, matrix, pair_row, 0, &pair);
    float added = 0;
    const bool has_row = threadIdx.x < kRows && own_row < matrix.rows;
    if (has_row && matrix.add != nullptr) added = matrix.add[own_row];
    float* sums = two_sums + turn * UnitSums(args.row_tiles, kRows);
    if (warp < stretches) {
      MultiplyUnit<kType, kRowTiles, kGate>(args, s, acts, start, warp, &ring, sums + warp * kRows);
    }
    // Once for each unit: who writes to these sums again has been here twice.
    SyncBlock();
    if constexpr (kGate) {
      if (warp == 0) StoreGated<kRows, 1>(args, sums, stretches, unit * (kRows / 2), 0);
    } else if constexpr (HasHeads(kFused)) {
      if (has_pair) {
        const float* own = sums + threadIdx.x * 2;
        const float a = SumOfStretches<kRows, 1>(own, stretches);
        const float b = SumOfStretches<kRows, 1>(own + 1, stretches);
        StorePair(args.heads, matrix, pair_row, 0, pair, a * scale, b * scale);
      }
    } else if (has_row) {
      StoreOutput(args, matrix, own_row, 0, SumOfStretches<kRows, 1>(sums + threadIdx.x, stretches), scale, added);
    }
  }
  WaitCopies<0>();
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_STREAMED_PRODUCT_CUH_
