// Matrix products with block-sparse weights.
#include "targets/cuda/launch.h"
#include "targets/cuda/matmul_launch.cuh"
#include "targets/cuda/matmul_sparse.cuh"

namespace mote::cuda {
namespace {

template <DType kType>
void LaunchSparse(SparseMatMulArgs args, uint32_t tokens, void* stream) {
  if (tokens <= kFewTokens) {
    const uint32_t tiles = NumberTiles(&args.product, kTileRows);
    const auto kernel = &FewSparseKernel<kType>;
    MOTE_LAUNCH(kernel, (Grid{tiles, (tokens + kSparseTokens - 1) / kSparseTokens, 1}), kFewThreads, kFewSparseShared,
                stream, args);
    return;
  }
  const uint32_t tiles = NumberTiles(&args.product, kManyRows);
  const auto kernel = &ManySparseKernel<kType>;
  MOTE_LAUNCH(kernel, (Grid{(tokens + kManyTokens - 1) / kManyTokens, tiles, 1}), kManySparseThreads, kManySparseShared,
              stream, args);
}

}  // namespace

bool LaunchSparseMatMul(DType type, SparseMatMulArgs args, uint32_t tokens, void* stream) {
  switch (type) {
    case DType::kI8:
      LaunchSparse<DType::kI8>(args, tokens, stream);
      return true;
    case DType::kF16:
      LaunchSparse<DType::kF16>(args, tokens, stream);
      return true;
    case DType::kBF16:
      LaunchSparse<DType::kBF16>(args, tokens, stream);
      return true;
    default:
      return false;
  }
}

}  // namespace mote::cuda
