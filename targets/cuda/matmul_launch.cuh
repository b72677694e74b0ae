// The kernels of one weight type, chosen by the number of tokens. Each matmul_<type>.cu compiles them for its type.
#ifndef MOTE_TARGETS_CUDA_MATMUL_LAUNCH_CUH_
#define MOTE_TARGETS_CUDA_MATMUL_LAUNCH_CUH_

#include "targets/cuda/matmul.cuh"

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
  const uint32_t tiles = NumberTiles(&args, 16 * kRowTiles);
  const uint32_t chunks = (tokens + 8 * kTokens8 - 1) / (8 * kTokens8);
  const Grid grid{tiles, experts != 0 ? experts : chunks, 1};
  const auto kernel = &FewTokensKernel<kType, kTokens8, kRowTiles>;
  MOTE_LAUNCH(kernel, grid, kFewThreads, (FewTokensShared<kTokens8, kRowTiles>(args.row_tiles)), stream, args);
}

template <DType kType>
void LaunchMatMulOf(MatMulArgs args, uint32_t tokens, uint32_t experts, void* stream) {
  // Up to 4 tokens, 16 rows to a block: more blocks to hide the memory's latency. Up to 8, 32 rows share what they read
  // of the activations, which are by then as many bytes as the weights. Up to 32, four eights of tokens fill the
  // registers with 16 rows.
  if (tokens <= 4) return LaunchFew<kType, 1, 1>(args, tokens, experts, stream);
  if (tokens <= 8) return LaunchFew<kType, 1, 2>(args, tokens, experts, stream);
  if (tokens <= 32) return LaunchFew<kType, 4, 1>(args, tokens, experts, stream);
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
