// Matrix products with block-sparse weights.
#include "targets/cuda/launch.h"
#include "targets/cuda/matmul_launch.cuh"
#include "targets/cuda/matmul_sparse.cuh"

namespace mote::cuda {
namespace {

template <DType kType, int kGroups>
void LaunchFewSparse(SparseMatMulArgs args, uint32_t tokens, void* stream) {
  const uint32_t tiles = NumberTiles(&args.product, kTileRows * kGroups);
  const Grid grid{tiles, (tokens + kSparseTokens - 1) / kSparseTokens, 1};
  const auto kernel = &FewSparseKernel<kType, kGroups>;
  MOTE_LAUNCH(kernel, grid, kFewThreads, FewSparseShared(kGroups), stream, args);
}

// Blocks of more groups of rows go from one to the next without a pause in what they ask of memory; of fewer there are
// more. It does not show in the results.
template <DType kType>
void LaunchSparse(SparseMatMulArgs args, uint32_t tokens, void* stream) {
  if (tokens <= kFewTokens) {
    const bool one_run = StretchTiles(args.product.row_tiles) * TileUnits<kType>() <= kRunUnits;
    if (one_run && Fill(args.product, 4, 4, stream)) return LaunchFewSparse<kType, 4>(args, tokens, stream);
    if (one_run && Fill(args.product, 2, 3, stream)) return LaunchFewSparse<kType, 2>(args, tokens, stream);
    return LaunchFewSparse<kType, 1>(args, tokens, stream);
  }
  const uint32_t tiles = NumberTiles(&args.product, kManyRows);
  const Grid grid{(tokens + kManyTokens - 1) / kManyTokens, tiles, 1};
  const auto kernel = &ManySparseKernel<kType>;
  MOTE_LAUNCH(kernel, grid, kManySparseThreads, kManySparseShared, stream, args);
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
