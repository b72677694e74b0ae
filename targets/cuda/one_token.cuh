// Products of one token with whole numbers: weights come through rings of shared memory.
//
// A block takes units of rows, one after the other; no more blocks are launched than stand on the GPU at once, so that
// none begins late, with nothing under way. Each of its warps has the same stretch of all rows' columns, adds in the
// same order as the warps of few_tokens.cuh (the same bits), and has tiles under way all the time, by asynchronous
// copies: before the kernel's turn has come, and while a unit's stretches meet and their outputs are stored. The copies
// take no registers, so that three blocks stand on a multiprocessor.
//
// The token's activations, or what is made of a row that the kernel norms itself, lie in shared memory too: as loads
// between those of the weights, each would wait behind them.
//
// On an H200 llama3-8b (Q4_0) generates 486 tokens/s with tiles under way in registers, 516 to 533 with rings of 36 to
// 90 KiB a block and two blocks on a multiprocessor, 555 with 54 KiB and three; with one 370 to 390 (where there is
// room for more than one, they are not spread evenly). A ring's last place filled behind the activations, and not
// before the wait, makes a layer 0.98 of the time: they come sooner. Norms done by a kernel of their own make 437 of
// 515. Not kept, for it was no faster: asking the second-level cache for the next product's weights, behind attention
// (8 MiB: 1.015 times) and at a product's end (4 MiB: 1.0).
#ifndef MOTE_TARGETS_CUDA_ONE_TOKEN_CUH_
#define MOTE_TARGETS_CUDA_ONE_TOKEN_CUH_

#include "targets/cuda/few_tokens.cuh"

namespace mote::cuda {

// Blocks that a multiprocessor has registers for.
inline constexpr int kOneTokenBlocks = 3;

// Where a warp's next tile comes from: of all of its block's units, row of tiles by row of tiles.
template <DType kType, int kRowTiles, bool kGate>
struct TileFeed {
  Stretch stretch;
  uint32_t unit, row, tile;
  const uint8_t* from;

  MOTE_DEVICE void Start(const MatMulArgs& args, uint32_t unit, uint32_t warp, TileFeed* f) {
    f->unit = unit;
    f->row = 0;
    f->stretch = StretchOf<kRowTiles, kGate>(args, kGate ? args.matrix[0] : MatrixOfTile(args, unit), unit, warp);
    f->tile = f->stretch.begin;
    f->from = TileAt<kType, kRowTiles, kGate>(f->stretch, 0, f->tile);
  }
  MOTE_DEVICE void Advance(const MatMulArgs& args, uint32_t warp, TileFeed* f) {
    f->from += FormatOf(kType).tile_bytes();
    if (++f->tile < f->stretch.end) return;
    if (++f->row < static_cast<uint32_t>(kRowTiles)) {
      f->tile = f->stretch.begin;
      f->from = TileAt<kType, kRowTiles, kGate>(f->stretch, f->row, f->tile);
    } else if (f->unit + gridDim.x < args.units) {
      Start(args, f->unit + gridDim.x, warp, f);
    } else {
      f->unit = args.units;
    }
  }
  template <uint32_t kByte>
  MOTE_DEVICE void CopyFrom(uint8_t* to, const uint8_t* from, uint32_t own) {
    constexpr uint32_t kTile = FormatOf(kType).tile_bytes(), kAll = kWarp * 16;
    if (kByte + kAll <= kTile || own < kTile - kByte) CopyAsync16Behind<static_cast<int>(kByte)>(to, from);
    if constexpr (kByte + kAll < kTile) CopyFrom<kByte + kAll>(to, from, own);
  }
  // Asks for the tile, if there is one, and goes on to the next. A group of copies either way.
  MOTE_DEVICE void Fetch(const MatMulArgs& args, uint32_t warp, uint32_t lane, uint8_t* to, TileFeed* f) {
    static_assert(FormatOf(kType).tile_bytes() % 16 == 0, "copied in pieces of 16 bytes");
    if (f->unit < args.units && f->stretch.begin < f->stretch.end) {
      CopyFrom<0>(to + lane * 16, f->from + lane * 16, lane * 16);
      Advance(args, warp, f);
    }
    CommitCopies();
  }
};

// A warp's stretch of the token's activations to shared memory, all at once. (As asynchronous copies they would be
// waited for together with the weights before them.)
MOTE_DEVICE void TakeActs(const MatMulArgs& args, uint32_t begin, uint32_t end, uint8_t* own_acts) {
  constexpr uint32_t kAtOnce = 5;
  for (uint32_t first = begin * kActBlockBytes + threadIdx.x % kWarp * 16; first < end * kActBlockBytes;
       first += kAtOnce * kWarp * 16) {
    uint4 v[kAtOnce];
#pragma unroll
    for (uint32_t i = 0; i < kAtOnce; ++i) {
      const uint32_t byte = first + i * kWarp * 16;
      if (byte < end * kActBlockBytes) v[i] = *reinterpret_cast<const uint4*>(args.acts + byte);
    }
#pragma unroll
    for (uint32_t i = 0; i < kAtOnce; ++i) {
      const uint32_t byte = first + i * kWarp * 16;
      if (byte < end * kActBlockBytes) *reinterpret_cast<uint4*>(own_acts + byte) = v[i];
    }
  }
  SyncWarp();
}

// Shared memory: the warps' rings; the sums of two units, so that those of the next need not wait for who reads these;
// pairs of heads; activations.
template <int kRowTiles>
constexpr uint32_t UnitSums(uint32_t row_tiles) {
  return NumStretches(row_tiles) * 16 * kRowTiles;
}
template <int kRowTiles, int kFused>
constexpr uint32_t PairBytes() {
  return HasHeads(kFused) ? 8 * kRowTiles * static_cast<uint32_t>(sizeof(HeadPair)) : 0;
}
template <DType kType, int kRowTiles, int kFused>
constexpr uint32_t OneTokenShared(uint32_t row_tiles) {
  return kStretches * RingBytes(kType) + 2 * UnitSums<kRowTiles>(row_tiles) * static_cast<uint32_t>(sizeof(float)) +
         PairBytes<kRowTiles, kFused>() + (HasNorm(kFused) ? NormShared(row_tiles) : row_tiles * kActBlockBytes);
}

// The sums of a warp's stretch of one row of tiles, from the tiles that come next in its ring. `fetch` asks for one
// more tile, to the place that it is given, as a group of copies.
template <DType kType, class Fetch>
MOTE_DEVICE void MultiplyTiles(uint32_t begin, uint32_t end, const uint8_t* own_acts, const MmaStart& start,
                               uint8_t* ring, uint8_t** slot, Fetch& fetch, float* out) {
  GlobalActs<1> acts = {};  // of one token, wherever they lie
  acts.base = own_acts + begin * kActBlockBytes;
  acts.lane = start.lane;
  float sum[1][4] = {};
#pragma unroll 1
  for (uint32_t tile = begin; tile < end; ++tile) {
    uint8_t* const own = *slot;
    WaitCopies<OneTokenDepth(kType) - 1>();
    SyncWarp();
    HalfTile<kType> halves[2];
    LoadHalf<kType, false>(own, 0, start.lane, &halves[0]);
    LoadHalf<kType, false>(own, 1, start.lane, &halves[1]);
    SyncWarp();
    fetch(own);
    *slot = own + FormatOf(kType).tile_bytes() == ring + RingBytes(kType) ? ring : own + FormatOf(kType).tile_bytes();
    SuperSums<1> super;
    HalfProduct<kType, 1, 1>(halves[0], 0, FirstPair<kType>(0), acts, start, &super, sum);
    HalfProduct<kType, 1, 1>(halves[1], 1, FirstPair<kType>(1), acts, start, &super, sum);
    acts.base += kActBlockBytes;
  }
  if (start.lane % 4 != 0) return;
  out[start.lane / 4] = sum[0][0];
  out[start.lane / 4 + 8] = sum[0][2];
}

// What a block, or a team of one (persistent.cuh), has in shared memory besides its rings.
struct UnitMemory {
  float* sums;
  float* other_sums;
  HeadPair* pairs;
  uint8_t* acts;
};
template <int kRowTiles, int kFused>
MOTE_DEVICE UnitMemory LayOutUnits(uint32_t row_tiles, uint8_t* at) {
  UnitMemory m;
  m.sums = reinterpret_cast<float*>(at);
  m.other_sums = m.sums + UnitSums<kRowTiles>(row_tiles);
  m.pairs = reinterpret_cast<HeadPair*>(m.other_sums + UnitSums<kRowTiles>(row_tiles));
  m.acts = reinterpret_cast<uint8_t*>(m.pairs) + PairBytes<kRowTiles, kFused>();
  return m;
}

template <bool kGate>
MOTE_DEVICE const MatrixArgs& MatrixOfUnit(const MatMulArgs& args, uint32_t unit) {
  return kGate ? args.matrix[0] : MatrixOfTile(args, unit);
}
template <int kRowTiles, bool kGate>
MOTE_DEVICE uint32_t RowTileOfUnit(const MatMulArgs& args, uint32_t unit) {
  return (unit - MatrixOfUnit<kGate>(args, unit).first_tile) * (kGate ? kRowTiles / 2 : kRowTiles);
}
// Where the thread's pair of heads goes, before it is there.
template <int kRowTiles>
MOTE_DEVICE void PlacePair(const MatMulArgs& args, uint32_t unit, TokenRange token, HeadPair* pairs) {
  const MatrixArgs& matrix = MatrixOfUnit<false>(args, unit);
  const PairPlace place = PairOfThread<16 * kRowTiles>(matrix, RowTileOfUnit<kRowTiles, false>(args, unit), token);
  if (place.there) pairs[threadIdx.x].cache = CacheOfPair(args.heads, matrix, place.row, place.token);
}

// Every `stride`-th unit from `unit` on, whose tiles come through the warps' rings: a warp's stretch is [begin, end).
// Its pairs are placed. By all threads.
template <DType kType, int kRowTiles, int kFused, class Fetch>
MOTE_DEVICE void MultiplyUnits(const MatMulArgs& args, uint32_t unit, uint32_t stride, uint32_t begin, uint32_t end,
                               uint32_t stretches, TokenRange token, const UnitMemory& m, uint8_t* ring, uint8_t** slot,
                               Fetch& fetch) {
  constexpr uint32_t kRows = 16 * kRowTiles;
  constexpr bool kGate = HasGate(kFused);
  const uint32_t warp = threadIdx.x / kWarp;
  const MmaStart start = StartOf(static_cast<int>(threadIdx.x) % kWarp);
  float* sums = m.sums;
  while (true) {
    const MatrixArgs& matrix = MatrixOfUnit<kGate>(args, unit);
    const uint32_t row_tile = RowTileOfUnit<kRowTiles, kGate>(args, unit);
    if constexpr (HasHeads(kFused)) {
      const PairPlace place = PairOfThread<kRows>(matrix, row_tile, token);
      if (place.there) LoadTurn(args.heads, matrix, place.row, place.token, &m.pairs[threadIdx.x]);
    }
    float added = 0;
    if (matrix.add != nullptr && row_tile * kTileRows + threadIdx.x < matrix.rows && threadIdx.x < kRows) {
      added = matrix.add[row_tile * kTileRows + threadIdx.x];
    }
#pragma unroll 1
    for (uint32_t row = 0; row < static_cast<uint32_t>(kRowTiles) && begin < end; ++row) {
      MultiplyTiles<kType>(begin, end, m.acts, start, ring, slot, fetch, sums + warp * kRows + row * 16);
    }
    SyncBlock();
    StoreUnit<kType, kRows, 1, kFused>(args, matrix, unit, row_tile, token, stretches, sums, added, m.pairs);
    unit += stride;
    if (unit >= args.units) return;
    sums = sums == m.sums ? m.other_sums : m.sums;
    if constexpr (HasHeads(kFused)) PlacePair<kRowTiles>(args, unit, token, m.pairs);
  }
}

// Grid: blocks, that take every gridDim.x-th of args.units, each 16 * kRowTiles rows, of a gate half as many of both
// matrices.
template <DType kType, int kRowTiles, int kFused>
MOTE_KERNEL(kFewThreads, kOneTokenBlocks)
OneTokenKernel(const MatMulArgs args) {
  using Feed = TileFeed<kType, kRowTiles, HasGate(kFused)>;
  static_assert(!HasNorm(kFused) || OneTokenShared<kType, kRowTiles, kFused>(kNormTiles) <= NormingBytes(kType));
  LetNextBegin();
  const uint32_t warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const uint32_t stretches = NumStretches(args.row_tiles);  // a division: now, and not when sums wait for it
  uint8_t* const ring = SharedMemory() + warp * RingBytes(kType);
  const UnitMemory m = LayOutUnits<kRowTiles, kFused>(args.row_tiles, SharedMemory() + kStretches * RingBytes(kType));
  Feed feed;
  Feed::Start(args, blockIdx.x, warp, &feed);
  const uint32_t begin = feed.stretch.begin, end = feed.stretch.end;
  // Before the kernel's turn. What is wanted first is asked for first.
  NormWeights norm_weights;
  if constexpr (HasNorm(kFused)) norm_weights = FetchNormWeights(args, begin, m.acts);
  const TokenRange token = TokensOfBlock(args, 0, 1);
#pragma unroll 1
  for (uint32_t i = 0; i + 1 < OneTokenDepth(kType); ++i) {
    Feed::Fetch(args, warp, lane, ring + i * FormatOf(kType).tile_bytes(), &feed);
  }
  if constexpr (HasHeads(kFused)) PlacePair<kRowTiles>(args, blockIdx.x, token, m.pairs);
  WaitForPrevious();
  if (token.first >= token.end) {
    WaitCopies<0>();
    return;
  }
  if constexpr (HasNorm(kFused)) {
    NormActs(args, begin, end, FormatOf(kType).act_group == 256, norm_weights, m.acts);
  } else {
    TakeActs(args, begin, end, m.acts);
  }
  const auto fetch = [&](uint8_t* to) { Feed::Fetch(args, warp, lane, to, &feed); };
  // The last place is asked for behind the activations, which are waited for.
  fetch(ring + (OneTokenDepth(kType) - 1) * FormatOf(kType).tile_bytes());
  uint8_t* slot = ring;
  MultiplyUnits<kType, kRowTiles, kFused>(args, blockIdx.x, gridDim.x, begin, end, stretches, token, m, ring, &slot,
                                          fetch);
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_ONE_TOKEN_CUH_
