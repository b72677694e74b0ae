// The kernels of one weight type, chosen by the number of tokens. Each matmul_<type>.cu compiles them for its type.
#ifndef MOTE_TARGETS_CUDA_MATMUL_LAUNCH_CUH_
#define MOTE_TARGETS_CUDA_MATMUL_LAUNCH_CUH_

#include "targets/cuda/launch.h"
#include "targets/cuda/one_token.cuh"
#include "targets/cuda/read_product.cuh"
#include "targets/cuda/runtime.h"
#include "targets/cuda/staged_product.cuh"

namespace mote::cuda {

template <DType kType, int kTokens8, int kRowTiles, int kFused>
void LaunchFew(MatMulArgs args, uint32_t tokens, uint32_t experts, void* stream) {
  uint32_t units = NumberTiles(&args, 16 * kRowTiles);
  if (HasGate(kFused)) units = args.matrix[0].rows / (8 * kRowTiles);
  const Grid grid{units, experts != 0 ? experts : (tokens + 8 * kTokens8 - 1) / (8 * kTokens8), 1};
  const uint32_t shared = FewTokensShared<kTokens8, kRowTiles>(args.row_tiles) +
                          (HasHeads(kFused) ? kFewThreads * static_cast<uint32_t>(sizeof(HeadPair)) : 0);
  const auto kernel = &FewTokensKernel<kType, kTokens8, kRowTiles, kFused>;
  MOTE_LAUNCH(kernel, grid, kFewThreads, shared, stream, args);
}

// Blocks of more rows share what they read of the activations and run longer without a pause in what they ask of
// memory; of fewer there are more, which fill the GPU with a smaller matrix. It does not show in the results.
inline bool Fill(MatMulArgs args, uint32_t row_tiles, double blocks_of_multiprocessor, void* stream) {
  return NumberTiles(&args, row_tiles * kTileRows) >= blocks_of_multiprocessor * ShapeOf(stream).multiprocessors;
}
template <DType kType, int kFused = kNotFused>
void LaunchUpTo8(const MatMulArgs& args, uint32_t tokens, uint32_t experts, void* stream) {
  if (Fill(args, 2, 3, stream)) return LaunchFew<kType, 1, 2, kFused>(args, tokens, experts, stream);
  return LaunchFew<kType, 1, 1, kFused>(args, tokens, experts, stream);
}

// Blocks of one_token.cuh that stand on a multiprocessor at once; a little of its shared memory is the system's, for
// each block and for itself.
inline uint32_t BlocksThatFit(uint32_t shared, const DeviceShape& shape) {
  constexpr uint32_t kSystems = 1 << 10;
  const uint32_t fit = (shape.block_shared_bytes + kSystems) / (shared + kSystems);
  return fit < static_cast<uint32_t>(kOneTokenBlocks) ? fit : static_cast<uint32_t>(kOneTokenBlocks);
}
// Of three on a multiprocessor, as many as there is room for; of fewer, so many that each has as many units as the
// others, or one less. (On an H200 llama3-8b, Q4_0: 555 tokens/s with three so, 515 with two of either way, 500 with
// three of the other.)
inline uint32_t BlocksFor(uint32_t units, uint32_t fit, uint32_t multiprocessors) {
  const uint32_t places = fit * multiprocessors;
  if (fit == static_cast<uint32_t>(kOneTokenBlocks)) return units < places ? units : places;
  const uint32_t rounds = (units + places - 1) / places;
  return (units + rounds - 1) / rounds;
}
// One token, of a type of whole numbers; false: it does not fit into shared memory.
template <DType kType, int kRowTiles, int kFused>
bool LaunchRing(MatMulArgs args, void* stream) {
  const DeviceShape shape = ShapeOf(stream);
  const uint32_t shared = OneTokenShared<kType, kRowTiles, kFused>(args.row_tiles);
  if (shared > shape.block_shared_bytes) return false;
  args.units = NumberTiles(&args, 16 * kRowTiles);
  if (HasGate(kFused)) args.units = args.matrix[0].rows / (8 * kRowTiles);
  const Grid grid{BlocksFor(args.units, BlocksThatFit(shared, shape), shape.multiprocessors), 1, 1};
  const auto kernel = &OneTokenKernel<kType, kRowTiles, kFused>;
  MOTE_ALLOW_SHARED(kernel, stream);
  MOTE_LAUNCH(kernel, grid, kFewThreads, shared, stream, args);
  return true;
}
template <DType kType, int kFused = kNotFused>
bool LaunchOne(const MatMulArgs& args, void* stream) {
  if constexpr (FormatOf(kType).integer()) {
    // Where fewer than three blocks fit, and there are enough of them, each has 32 rows at a time.
    const bool three = BlocksThatFit(OneTokenShared<kType, 1, kFused>(args.row_tiles), ShapeOf(stream)) == 3;
    if (!three && Fill(args, 2, 1.5, stream)) return LaunchRing<kType, 2, kFused>(args, stream);
    return LaunchRing<kType, 1, kFused>(args, stream);
  } else {
    return false;
  }
}
// The product with what is around it; false: there is nothing. For which types it can be, fuse_launches.cc knows.
template <DType kType>
bool LaunchFused(const MatMulArgs& args, uint32_t tokens, void* stream) {
  constexpr PackedFormat f = FormatOf(kType);
  if constexpr (f.act_group == 32) {
    if (args.gate.acts != nullptr && args.norm.values != nullptr) {
      return LaunchRing<kType, 4, kFusedGate | kFusedNorm>(args, stream);
    }
    if (args.gate.acts != nullptr) {
      LaunchFew<kType, 1, 4, kFusedGate>(args, tokens, 0, stream);
      return true;
    }
  }
  if constexpr (f.act_group == 256) {
    if (args.gate.acts != nullptr) return LaunchRing<kType, 2, kFusedGate | kFusedNorm>(args, stream);
  }
  if constexpr (f.integer()) {
    if (args.norm.values != nullptr && args.heads.step != nullptr) {
      return LaunchOne<kType, kFusedNorm | kFusedHeads>(args, stream);
    }
    if (args.norm.values != nullptr) return LaunchOne<kType, kFusedNorm>(args, stream);
  }
  if (args.heads.step == nullptr) return false;
  LaunchUpTo8<kType, kFusedHeads>(args, tokens, 0, stream);
  return true;
}

// Many tokens through stages: the code was compiled for GPUs whose kernels overlap (sm_90 and later) and two blocks of
// this one have the memory, and there are more blocks than multiprocessors. (On an H200, each of them alone on its
// multiprocessor is up to 1.6 times as slow as a block of ManyTokensKernel; those of 64 rows are never slower.)
template <DType kType>
bool TakesStages(MatMulArgs args, uint32_t chunks, void* stream) {
  const DeviceShape shape = ShapeOf(stream);
  if (!shape.overlaps || shape.block_shared_bytes < kStagedBlockShared) return false;
  return Staged<kType>::kRows < kManyRows || NumberTiles(&args, Staged<kType>::kRows) * chunks > shape.multiprocessors;
}
template <DType kType>
void LaunchMany(MatMulArgs args, uint32_t tokens, uint32_t experts, void* stream) {
  using S = Staged<kType>;
  static_assert(S::kTokens == kManyTokens, "chunks of both kernels");
  const uint32_t chunks = experts != 0 ? experts : (tokens + kManyTokens - 1) / kManyTokens;
  if (TakesStages<kType>(args, chunks, stream)) {
    const Grid grid{chunks, NumberTiles(&args, S::kRows), 1};
    const auto kernel = &StagedTokensKernel<kType>;
    MOTE_ALLOW_SHARED(kernel, stream);
    MOTE_LAUNCH(kernel, grid, S::kThreads, S::kShared, stream, args);
  } else {
    const Grid grid{chunks, NumberTiles(&args, kManyRows), 1};
    const auto kernel = &ManyTokensKernel<kType>;
    MOTE_LAUNCH(kernel, grid, kManyThreads, ManyTokensShared<kType>(), stream, args);
  }
}

template <DType kType>
void LaunchMatMulOf(const MatMulArgs& args, uint32_t tokens, uint32_t experts, void* stream) {
  if (LaunchFused<kType>(args, tokens, stream)) return;
  if (tokens == 1 && experts == 0 && LaunchOne<kType>(args, stream)) return;
  if (tokens <= 8) return LaunchUpTo8<kType>(args, tokens, experts, stream);
  // 16 rows: with 32, on an H200, 16 and 32 tokens took 10 to 20 % longer. The kernel for many tokens takes longer
  // still.
  if (tokens <= 16) return LaunchFew<kType, 2, 1, kNotFused>(args, tokens, experts, stream);
  if (tokens <= kFewTokens) return LaunchFew<kType, 4, 1, kNotFused>(args, tokens, experts, stream);
  LaunchMany<kType>(args, tokens, experts, stream);
}

// Of tokens that are read: blocks of 128 rows and 128 tokens, two on a multiprocessor. Where there is not one for each
// multiprocessor, they say that they need it for themselves: two would share one, and others have none (4096 x 4096
// with 512 tokens, H200: 41 us and not 63).
template <DType kType>
void LaunchReadOf(ReadArgs args, uint32_t tokens, void* stream) {
  static_assert(kReadRows == kGroupTokens, "rows are filled up to a block's");
  const uint32_t chunks = (tokens + kGroupTokens - 1) / kGroupTokens;
  using R = Reads<kType>;
  static_assert(R::kShared <= kStagedShared, "two blocks of a multiprocessor");
  const bool gated = args.gate.acts != nullptr;
  const uint32_t tiles = gated ? args.product.matrix[0].rows / kGroupRows : NumberTiles(&args.product, R::kRows);
  const Grid grid{chunks, tiles, 1};
  constexpr uint32_t kAlone = kStagedShared + (1 << 10);
  const uint32_t shared = grid.x * grid.y > ShapeOf(stream).multiprocessors ? R::kShared : kAlone;
  const auto kernel = gated ? &ReadTokensKernel<kType, true> : &ReadTokensKernel<kType, false>;
  MOTE_ALLOW_SHARED(kernel, stream);
  MOTE_LAUNCH(kernel, grid, R::kThreads, shared, stream, args);
}

// What a type's file hands out.
struct MatMulLaunchers {
  void (*product)(const MatMulArgs& args, uint32_t tokens, uint32_t experts, void* stream);
  void (*read)(ReadArgs args, uint32_t tokens, void* stream);
};

#define MOTE_MATMUL_OF(name, type)                                     \
  namespace mote::cuda {                                               \
  MatMulLaunchers MatMulOf_##name() {                                  \
    return {&LaunchMatMulOf<DType::type>, &LaunchReadOf<DType::type>}; \
  }                                                                    \
  }

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_MATMUL_LAUNCH_CUH_
