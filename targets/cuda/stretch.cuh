// What the kernels for few tokens share: a warp's part of a product, and its activations.
#ifndef MOTE_TARGETS_CUDA_STRETCH_CUH_
#define MOTE_TARGETS_CUDA_STRETCH_CUH_

#include "targets/cuda/matmul.cuh"

namespace mote::cuda {

// One stretch of the columns of 16 * kRowTiles rows.
struct Stretch {
  const uint8_t* weights;
  const uint8_t* gated;  // of a gate: the other matrix
  uint32_t row_tile;
  uint32_t last_row_tile;
  uint32_t tiles;  // of a row
  uint32_t begin, end;
};
// Of a warp in the launch's `unit` of rows; blockIdx.y: the expert, if there are experts.
template <int kRowTiles, bool kGate>
MOTE_DEVICE Stretch StretchOf(const MatMulArgs& args, uint32_t unit, uint32_t warp) {
  const MatrixArgs& matrix = kGate ? args.matrix[0] : MatrixOfTile(args, unit);
  Stretch s;
  s.weights = matrix.weights + (args.experts.first != nullptr ? blockIdx.y * args.experts.weight_bytes : 0);
  s.gated = kGate ? args.matrix[1].weights : nullptr;
  s.row_tile = (unit - matrix.first_tile) * (kGate ? kRowTiles / 2 : kRowTiles);
  s.last_row_tile = (matrix.rows + kTileRows - 1) / kTileRows - 1;
  s.tiles = args.row_tiles;
  s.begin = warp * StretchTiles(s.tiles);
  s.end = s.begin + StretchTiles(s.tiles) < s.tiles ? s.begin + StretchTiles(s.tiles) : s.tiles;
  return s;
}

// Of a gate, the second half of a unit's rows are the other matrix's, the same ones.
template <DType kType, int kRowTiles, bool kGate>
MOTE_DEVICE const uint8_t* TileAt(const Stretch& s, uint32_t row, uint32_t tile) {
  constexpr uint32_t kOwn = kGate ? kRowTiles / 2 : kRowTiles;
  const uint32_t place = s.row_tile + row % kOwn;
  const uint32_t own = place < s.last_row_tile ? place : s.last_row_tile;
  return (row < kOwn ? s.weights : s.gated) +
         (static_cast<uint64_t>(own) * s.tiles + tile) * FormatOf(kType).tile_bytes();
}

// The activations of a lane's tokens at tile `begin`. Tokens that are not there: the last one again, and nobody looks.
template <DType kType, int kTokens8, int kColumns>
MOTE_DEVICE GlobalActs<kTokens8> ActsOfStretch(const MatMulArgs& args, TokenRange tokens, uint32_t begin, int lane) {
  const auto act_row = [&](int i) {
    const uint32_t token = tokens.first + static_cast<uint32_t>(i);
    return static_cast<uint32_t>(ActRow(args, token < tokens.end ? token : tokens.end - 1) - args.acts);
  };
  GlobalActs<kTokens8> acts;
  acts.base = args.acts + ActHeader<kType>() + begin * TileActBytes<kType>();
  acts.lane = lane;
#pragma unroll
  for (int n = 0; n < kTokens8; ++n) {
    acts.b[n] = act_row(8 * n + lane / 4);
#pragma unroll
    for (int i = 0; i < kColumns; ++i) acts.c[n][i] = act_row(8 * n + 2 * (lane % 4) + i);
  }
  return acts;
}

// Of a block's sums: (stretches, kRows, kPlaces), those of one row and token.
template <DType kType, uint32_t kRows, uint32_t kPlaces>
MOTE_DEVICE float SumOfStretches(const float* own, uint32_t stretches) {
  float sum = own[0];
  for (uint32_t stretch = 1; stretch < stretches; ++stretch) sum += own[stretch * kRows * kPlaces];
  return sum * Unshift<kType>();
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_STRETCH_CUH_
