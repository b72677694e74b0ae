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

template <DType kType, class Shape>
void LaunchManySparse(SparseMatMulArgs args, uint32_t tokens, void* stream) {
  const uint32_t tiles = NumberTiles(&args.product, Shape::kRows * kTileRows);
  const Grid grid{(tokens + Shape::kTokens - 1) / Shape::kTokens, tiles, 1};
  const auto kernel = &ManySparseKernel<kType, Shape>;
  MOTE_LAUNCH(kernel, grid, Shape::kThreads, 2 * Shape::kStage, stream, args);
}

// Blocks of more groups of rows go from one to the next without a pause in what they ask of memory; of fewer there are
// more. For 9 to 32 tokens the kernel for many reads weights and activations once, but its warps go through whole rows:
// a matrix of few rows has too few of them. None of it shows in the results.
template <DType kType>
void LaunchSparse(SparseMatMulArgs args, uint32_t tokens, void* stream) {
  if (tokens > kFewTokens) return LaunchManySparse<kType, ManyShape64>(args, tokens, stream);
  if (tokens > kSparseTokens && Fill(args.product, ManyShape32::kRows, 1.5, stream)) {
    if (tokens <= ManyShape16::kTokens) return LaunchManySparse<kType, ManyShape16>(args, tokens, stream);
    return LaunchManySparse<kType, ManyShape32>(args, tokens, stream);
  }
  const bool one_run = StretchTiles(args.product.row_tiles) * TileUnits<kType>() <= kRunUnits;
  if (one_run && Fill(args.product, 4, 4, stream)) return LaunchFewSparse<kType, 4>(args, tokens, stream);
  if (one_run && Fill(args.product, 2, 3, stream)) return LaunchFewSparse<kType, 2>(args, tokens, stream);
  LaunchFewSparse<kType, 1>(args, tokens, stream);
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
