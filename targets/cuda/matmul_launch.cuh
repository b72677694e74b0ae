// The kernels of one weight type, chosen by the number of tokens. Each matmul_<type>.cu compiles them for its type.
#ifndef MOTE_TARGETS_CUDA_MATMUL_LAUNCH_CUH_
#define MOTE_TARGETS_CUDA_MATMUL_LAUNCH_CUH_

#include "targets/cuda/few_tokens.cuh"
#include "targets/cuda/launch.h"
#include "targets/cuda/runtime.h"
#include "targets/cuda/streamed_product.cuh"

namespace mote::cuda {

// Numbers the launch's tiles of `rows` rows through all matrices; how many there are.
inline uint32_t NumberTiles(MatMulArgs* args, uint32_t rows) {
  uint32_t tiles = 0;
  for (uint32_t i = 0; i < args->matrices; ++i) {
    args->matrix[i].first_tile = tiles;
    tiles += (args->matrix[i].rows + rows - 1) / rows;
  }
  return tiles;
}

template <DType kType, int kTokens8, int kRowTiles>
void LaunchFew(MatMulArgs args, uint32_t tokens, uint32_t experts, void* stream) {
  const uint32_t units = NumberTiles(&args, 16 * kRowTiles);
  const uint32_t chunks = (tokens + 8 * kTokens8 - 1) / (8 * kTokens8);
  const Grid grid{units, experts != 0 ? experts : chunks, 1};
  const auto kernel = &FewTokensKernel<kType, kTokens8, kRowTiles>;
  MOTE_LAUNCH(kernel, grid, kFewThreads, (FewTokensShared<kTokens8, kRowTiles>(args.row_tiles)), stream, args);
}

// How many blocks of a streamed product stand on a multiprocessor, and how deep their rings are.
struct Streams {
  uint32_t blocks;
  uint32_t depth;
};
// `ring_bytes`: of a ring that is one part deep; `other_bytes`: of a block besides.
inline Streams StreamsOf(const DeviceShape& shape, uint32_t ring_bytes, uint32_t other_bytes) {
  constexpr uint32_t kBlockReserve = 1 << 10;  // that the system takes of each
  uint32_t room = shape.shared_bytes / 2 - kBlockReserve;
  const bool two = room >= other_bytes + 2 * ring_bytes;
  if (!two || room > shape.block_shared_bytes) room = shape.block_shared_bytes;
  const uint32_t depth = room > other_bytes ? (room - other_bytes) / ring_bytes : 0;
  // Where kernels overlap, the other half is for the next one's blocks.
  return {two && !shape.overlaps ? 2u : 1u, depth < 1 ? 1 : depth < kMaxDepth ? depth : kMaxDepth};
}

template <DType kType, int kRowTiles, int kColumns, int kFused>
void LaunchStreamed(MatMulArgs args, void* stream) {
  args.units = NumberTiles(&args, 16 * kRowTiles);
  if (HasGate(kFused)) args.units = args.matrix[0].rows / (8 * kRowTiles);
  const DeviceShape shape = ShapeOf(stream);
  const uint32_t other = 2 * static_cast<uint32_t>(sizeof(float)) * UnitSums(args.row_tiles, 16 * kRowTiles, kColumns) +
                         (HasNorm(kFused) ? NormShared(args.row_tiles) : 0);
  const Streams streams = StreamsOf(shape, RingBytes<kType>(args.row_tiles, 1), other);
  args.depth = streams.depth;
  const uint32_t blocks = shape.multiprocessors * streams.blocks;
  const Grid grid{args.units < blocks ? args.units : blocks, 1, 1};
  const uint32_t shared = RingBytes<kType>(args.row_tiles, args.depth) + other;
  const auto kernel = &StreamedKernel<kType, kRowTiles, kColumns, kFused>;
  MOTE_ALLOW_SHARED(kernel, shared);
  MOTE_PREFER_SHARED(kernel);
  MOTE_LAUNCH(kernel, grid, kFewThreads, shared, stream, args);
}

// Units of more rows share what they read of the activations and run longer without a pause; of fewer there are more,
// which fill the GPU with a smaller matrix. It does not show in the results.
inline bool Fill(const MatMulArgs& args, uint32_t row_tiles, double units_of_multiprocessor, void* stream) {
  uint32_t units = 0;
  for (uint32_t i = 0; i < args.matrices; ++i) {
    units += (args.matrix[i].rows + row_tiles * kTileRows - 1) / (row_tiles * kTileRows);
  }
  return units >= units_of_multiprocessor * ShapeOf(stream).multiprocessors;
}
template <DType kType, int kFused = kNotFused>
void LaunchUpTo8(const MatMulArgs& args, void* stream) {
  if (Fill(args, 2, 3, stream)) return LaunchStreamed<kType, 2, 2, kFused>(args, stream);
  return LaunchStreamed<kType, 1, 2, kFused>(args, stream);
}
// One token: the additions for the columns of nobody would be a third of all instructions.
template <DType kType, int kFused = kNotFused>
void LaunchOne(const MatMulArgs& args, void* stream) {
  if (Fill(args, 4, 1.5, stream)) return LaunchStreamed<kType, 4, 1, kFused>(args, stream);
  return LaunchStreamed<kType, 1, 1, kFused>(args, stream);
}
// The product with what is around it; false: there is nothing. For which types it can be, fuse_launches.cc knows.
template <DType kType>
bool LaunchFused(const MatMulArgs& args, uint32_t tokens, void* stream) {
  constexpr PackedFormat f = FormatOf(kType);
  if constexpr (f.act_group == 32) {
    if (args.gate.acts != nullptr && args.norm.values != nullptr) {
      LaunchStreamed<kType, 4, 1, kFusedGate | kFusedNorm>(args, stream);
      return true;
    }
    if (args.gate.acts != nullptr && tokens == 1) {
      LaunchStreamed<kType, 4, 1, kFusedGate>(args, stream);
      return true;
    }
    if (args.gate.acts != nullptr) {
      LaunchStreamed<kType, 4, 2, kFusedGate>(args, stream);
      return true;
    }
  }
  if constexpr (f.integer()) {
    if (args.norm.values != nullptr && args.heads.step != nullptr) {
      LaunchOne<kType, kFusedNorm | kFusedHeads>(args, stream);
      return true;
    }
    if (args.norm.values != nullptr) {
      LaunchOne<kType, kFusedNorm>(args, stream);
      return true;
    }
  }
  if (args.heads.step == nullptr) return false;
  if (tokens == 1) {
    LaunchOne<kType, kFusedHeads>(args, stream);
  } else {
    LaunchUpTo8<kType, kFusedHeads>(args, stream);
  }
  return true;
}

template <DType kType>
void LaunchMatMulOf(MatMulArgs args, uint32_t tokens, uint32_t experts, void* stream) {
  if (LaunchFused<kType>(args, tokens, stream)) return;
  if (tokens == 1 && experts == 0) return LaunchOne<kType>(args, stream);
  if (tokens <= 8 && experts == 0) return LaunchUpTo8<kType>(args, stream);
  if (tokens <= 8 && Fill(args, 2, 3, stream)) return LaunchFew<kType, 1, 2>(args, tokens, experts, stream);
  if (tokens <= 8) return LaunchFew<kType, 1, 1>(args, tokens, experts, stream);
  // 16 rows: with 32, on an H200, 16 and 32 tokens took 10 to 20 % longer. The kernel for many tokens takes longer
  // still.
  if (tokens <= 16) return LaunchFew<kType, 2, 1>(args, tokens, experts, stream);
  if (tokens <= kFewTokens) return LaunchFew<kType, 4, 1>(args, tokens, experts, stream);
  const uint32_t tiles = NumberTiles(&args, kManyRows);
  const Grid grid{experts != 0 ? experts : (tokens + kManyTokens - 1) / kManyTokens, tiles, 1};
  const auto kernel = &ManyTokensKernel<kType>;
  MOTE_LAUNCH(kernel, grid, kManyThreads, ManyTokensShared<kType>(), stream, args);
}

#define MOTE_MATMUL_OF(name, type)                                                                    \
  namespace mote::cuda {                                                                              \
  void LaunchMatMul_##name(const MatMulArgs& args, uint32_t tokens, uint32_t experts, void* stream) { \
    LaunchMatMulOf<DType::type>(args, tokens, experts, stream);                                       \
  }                                                                                                   \
  }

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_MATMUL_LAUNCH_CUH_
