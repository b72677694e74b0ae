// Products of one to eight tokens: reading the weights is all that counts.
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
inline constexpr uint32_t kMaxDepth = 8;

// Shared memory of a block, in this order: the warps' rings; sums of two units; what a norm makes.
template <DType kType>
constexpr uint32_t RingBytes(uint32_t row_tiles, uint32_t depth) {
  return NumStretches(row_tiles) * depth * SlotBytes<kType>();
}
// Places of tokens in the sums.
constexpr uint32_t StreamedPlaces(int columns) {
  return columns == 1 ? 1 : 8;
}
constexpr uint32_t UnitSums(uint32_t row_tiles, uint32_t rows, int columns) {
  return NumStretches(row_tiles) * rows * StreamedPlaces(columns);
}

// Of the parts of tiles that a warp takes, in their order (of each unit of rows, of each tile of its stretch, all
// rows), those that are under way. The one that comes next is in `slot`, and as soon as it is in registers the part
// after all of them takes its place.
template <DType kType, int kRowTiles, bool kGate>
struct WeightRing {
  uint8_t* slots;
  uint32_t depth;
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
  ring->slot = ring->slot + 1 < ring->depth ? ring->slot + 1 : 0;
}
template <DType kType, int kRowTiles, bool kGate>
MOTE_DEVICE void AskForFirst(const MatMulArgs& args, uint32_t warp, uint8_t* memory,
                             WeightRing<kType, kRowTiles, kGate>* ring) {
  ring->slots = memory + warp * args.depth * SlotBytes<kType>();
  ring->depth = args.depth;
  ring->slot = ring->row = ring->part = 0;
  ring->unit = warp < NumStretches(args.row_tiles) ? blockIdx.x : args.units;
  ring->stretch = StretchOf<kRowTiles, kGate>(args, blockIdx.x, warp);
  ring->tile = ring->stretch.begin;
  for (uint32_t i = 0; i < args.depth; ++i) Ask(args, warp, ring);
}

// The next part of a tile: what has arrived, for all lanes.
template <DType kType, int kRowTiles, bool kGate>
MOTE_DEVICE const uint8_t* Arrived(const WeightRing<kType, kRowTiles, kGate>& ring) {
  WaitForCopies(ring.depth - 1);
  SyncWarp();
  return ring.slots + ring.slot * SlotBytes<kType>();
}

// A unit's sums of the warp's stretch to `out`, (rows, places).
template <DType kType, int kRowTiles, int kColumns, bool kGate>
MOTE_DEVICE void MultiplyUnit(const MatMulArgs& args, const Stretch& s, GlobalActs<1> acts, const MmaStart& start,
                              uint32_t warp, WeightRing<kType, kRowTiles, kGate>* ring, float* out) {
  constexpr uint32_t kPlaces = StreamedPlaces(kColumns);
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
        HalfProduct<kType, 1, kColumns>(halves[half], half, FirstPair<kType>(half), acts, start, &super, sum[row]);
      }
    }
    acts.base += TileActBytes<kType>();
  }
  const int g = start.lane / 4, t = start.lane % 4;
#pragma unroll
  for (int row = 0; row < kRowTiles; ++row) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (!Looked<kColumns>(i) || (kPlaces == 1 && t != 0)) continue;
      out[static_cast<uint32_t>(row * 16 + g + i / 2 * 8) * kPlaces + static_cast<uint32_t>(2 * t + i % 2)] =
          sum[row][0][i] * Unshift<kType>();
    }
  }
}

// Grid: blocks that share the launch's units, of 16 * kRowTiles rows (of a gate, half of them each matrix's). kColumns:
// 1 where there is one token, which then is the only one that is added up; else 2. kFused: fused_product.cuh.
template <DType kType, int kRowTiles, int kColumns, int kFused>
MOTE_KERNEL(kFewThreads, 2)
StreamedKernel(const MatMulArgs args) {
  constexpr uint32_t kRows = 16 * kRowTiles;
  constexpr uint32_t kPlaces = StreamedPlaces(kColumns);
  constexpr bool kGate = HasGate(kFused);
  LetNextBegin();
  const uint32_t stretches = NumStretches(args.row_tiles);
  const uint32_t warp = threadIdx.x / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  uint8_t* const after_ring = SharedMemory() + RingBytes<kType>(args.row_tiles, args.depth);
  uint8_t* own_acts = after_ring + 2 * sizeof(float) * UnitSums(args.row_tiles, kRows, kColumns);
  const MmaStart start = StartOf(lane);
  Stretch s = StretchOf<kRowTiles, kGate>(args, blockIdx.x, warp);
  if constexpr (HasNorm(kFused)) FetchNormWeights(args, s.begin, s.end, own_acts);
  WeightRing<kType, kRowTiles, kGate> ring;
  AskForFirst(args, warp, SharedMemory(), &ring);
  TokenRange tokens = {0, 0};
  GlobalActs<1> acts = {};
  uint32_t turn = 0;
  for (uint32_t unit = blockIdx.x; unit < args.units; unit += gridDim.x, turn ^= 1) {
    if (unit != blockIdx.x) s = StretchOf<kRowTiles, kGate>(args, unit, warp);
    const MatrixArgs& matrix = kGate ? args.matrix[0] : MatrixOfTile(args, unit);
    const uint32_t first_row = s.row_tile * kTileRows;
    // Of heads: the thread's two rows of a token.
    constexpr uint32_t kPairs = kRows / 2;
    const uint32_t pair_row = first_row + threadIdx.x % kPairs * 2;
    const uint32_t pair_token = threadIdx.x / kPairs;
    HeadPair pair = {};
    const bool has_pair = HasHeads(kFused) && pair_row < matrix.rows && pair_token < args.counts->rows[args.rows_kind];
    if (has_pair) pair.cache = CacheOfPair(args.heads, matrix, pair_row, pair_token);
    if (unit == blockIdx.x) {
      WaitForPrevious();
      tokens.end = args.counts->rows[args.rows_kind];
      if constexpr (HasNorm(kFused)) {
        NormActs(args, 0, s.begin, s.end, FormatOf(kType).act_group == 256, args.depth, own_acts);
        acts.base = own_acts + s.begin * TileActBytes<kType>();
        acts.lane = lane;
      } else if (tokens.end > 0) {
        acts = ActsOfStretch<kType, 1, kColumns>(args, tokens, s.begin, lane);
      }
    }
    if (tokens.end == 0) break;  // nobody: the whole grid
    if (has_pair) LoadTurn(args.heads, matrix, pair_row, pair_token, &pair);
    float added = 0;
    if (matrix.add != nullptr && threadIdx.x < kRows && first_row + threadIdx.x < matrix.rows) {
      added = matrix.add[first_row + threadIdx.x];
    }
    float* sums = reinterpret_cast<float*>(after_ring) + turn * UnitSums(args.row_tiles, kRows, kColumns);
    if (warp < stretches) {
      MultiplyUnit<kType, kRowTiles, kColumns, kGate>(args, s, acts, start, warp, &ring, sums + warp * kRows * kPlaces);
    }
    // Once for each unit: who writes to these sums again has been here twice.
    SyncBlock();
    if constexpr (kGate) {
      for (uint32_t token = warp; token < tokens.end; token += kFewThreads / kWarp) {
        StoreGated<kRows, kPlaces>(args, sums + token, stretches, unit * (kRows / 2), token);
      }
    } else if constexpr (HasHeads(kFused)) {
      static_assert(kPlaces * kPairs <= kFewThreads, "a thread has one pair");
      if (has_pair) {
        const float* own = sums + threadIdx.x % kPairs * 2 * kPlaces + threadIdx.x / kPairs;
        const float a = SumOfStretches<kRows, kPlaces>(own, stretches);
        const float b = SumOfStretches<kRows, kPlaces>(own + kPlaces, stretches);
        float scale = 1;
        if (FormatOf(kType).halves) scale = *reinterpret_cast<const float*>(ActRow(args, pair_token));
        StorePair(args.heads, matrix, pair_row, pair_token, pair, a * scale, b * scale);
      }
    } else {
      for (uint32_t i = threadIdx.x; i < kRows * tokens.end; i += kFewThreads) {
        const uint32_t row = i % kRows, token = i / kRows;
        if (first_row + row >= matrix.rows) continue;
        const float sum = SumOfStretches<kRows, kPlaces>(sums + row * kPlaces + token, stretches);
        float scale = 1;
        if (FormatOf(kType).halves) scale = *reinterpret_cast<const float*>(ActRow(args, token));
        StoreOutput(args, matrix, first_row + row, token, sum, scale, added);
      }
    }
  }
  WaitForCopies(0);
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_STREAMED_PRODUCT_CUH_
