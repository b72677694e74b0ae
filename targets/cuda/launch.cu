// Launching everything that is not a matrix product.
#include "targets/cuda/attention.cuh"
#include "targets/cuda/best.cuh"
#include "targets/cuda/launch.h"
#include "targets/cuda/moe.cuh"
#include "targets/cuda/prompt_attention.cuh"
#include "targets/cuda/row_ops.cuh"
#include "targets/cuda/runtime.h"
#include "targets/cuda/split_attention.cuh"
#include "targets/cuda/wide_rows.cuh"

namespace mote::cuda {

uint32_t AttentionSharedBytes(uint32_t key_dim, uint32_t value_dim) {
  return AttentionShared(key_dim, value_dim);
}
uint32_t SplitPositions() {
  return kSplitPositions;
}
bool AttentionCanRound(Acts acts, uint32_t group, uint32_t value_dim) {
  return CanRound(acts, group, value_dim);
}
uint32_t LargestHeadDim() {
  return kMaxHeadDim;
}

namespace {

template <int kCols>
void LaunchPromptsOf(const AttentionArgs& args, uint32_t rows, void* stream) {
  const uint32_t group = args.heads / args.kv_heads;
  const uint32_t tokens = PromptTokens(group);
  const auto kernel = &PromptAttentionKernel<kCols>;
  MOTE_LAUNCH(kernel, (Grid{args.kv_heads * HeadTiles(group), (rows + tokens - 1) / tokens, 1}), kPromptThreads,
              PromptShared(kCols), stream, args);
}
// Whether it is a launch of the kernel for prompts.
bool LaunchPrompts(const AttentionArgs& args, uint32_t rows, void* stream) {
  if (args.prompts == Prompts::kNone || args.splits > 1 || args.acts != Acts::kFloat) return false;
  const uint32_t cols = args.key_dim > args.value_dim ? args.key_dim : args.value_dim;
  if (cols > 128 || PromptShared(128) > ShapeOf(stream).block_shared_bytes) return false;
  if (cols <= 64) {
    LaunchPromptsOf<64>(args, rows, stream);
  } else if (cols <= 96) {
    LaunchPromptsOf<96>(args, rows, stream);
  } else {
    LaunchPromptsOf<128>(args, rows, stream);
  }
  return true;
}

// Whether it is a launch of the kernel for splits.
template <int kCols>
bool LaunchSplitsOf(const AttentionArgs& args, const Grid& grid, void* stream) {
  if (SplitMemory<kCols>::kBytes > ShapeOf(stream).block_shared_bytes) return false;
  const auto kernel = &SplitAttentionKernel<kCols>;
  MOTE_LAUNCH(kernel, grid, kSplitThreads, SplitMemory<kCols>::kBytes, stream, args);
  return true;
}
bool LaunchSplits(const AttentionArgs& args, const Grid& grid, void* stream) {
  const uint32_t cols = args.key_dim > args.value_dim ? args.key_dim : args.value_dim;
  if (grid.x > kSplitRows || cols > 128 || args.value_dim % 8 != 0) return false;
  return cols <= 64 ? LaunchSplitsOf<64>(args, grid, stream) : LaunchSplitsOf<128>(args, grid, stream);
}
template <int kCols>
void PrepareSplits(void* stream) {
  if (SplitMemory<kCols>::kBytes > ShapeOf(stream).block_shared_bytes) return;
  MOTE_ALLOW_SHARED(&SplitAttentionKernel<kCols>, stream);
}

}  // namespace

void PrepareKernels(uint32_t shared_bytes, void* stream) {
  if (shared_bytes > 48 << 10) MOTE_ALLOW_SHARED(&AttentionKernel, stream);
  PrepareSplits<64>(stream);
  PrepareSplits<128>(stream);
  if (PromptShared(128) > ShapeOf(stream).block_shared_bytes) return;
  MOTE_ALLOW_SHARED(&PromptAttentionKernel<64>, stream);
  MOTE_ALLOW_SHARED(&PromptAttentionKernel<96>, stream);
  MOTE_ALLOW_SHARED(&PromptAttentionKernel<128>, stream);
}

void LaunchRows(const RowArgs& args, uint32_t rows, void* stream) {
  void (*kernel)(RowArgs) = nullptr;
  uint32_t threads = kRowThreads;
  switch (args.shape) {
    case RowShape::kColumns:
      kernel = &ColumnsKernel;
      threads = kPieceThreads;
      break;
    case RowShape::kRow1:
      kernel = &WholeRowKernel<1>;
      threads = kWholeThreads;
      break;
    case RowShape::kRow2:
      kernel = &WholeRowKernel<2>;
      threads = kWholeThreads;
      break;
    case RowShape::kRow4:
      kernel = &WholeRowKernel<4>;
      threads = kWholeThreads;
      break;
    case RowShape::kSteps:
      kernel = &RowKernel;
      break;
    case RowShape::kEmbed:
      kernel = &EmbedKernel;
      threads = kEmbedCols;
      break;
  }
  MOTE_LAUNCH(kernel, (Grid{rows, args.blocks, 1}), threads, kRowShared, stream, args);
}

void LaunchRope(const RopeArgs& args, uint32_t rows, void* stream) {
  const auto kernel = &RopeKernel;
  MOTE_LAUNCH(kernel, (Grid{rows, 1, 1}), kRowThreads, 0, stream, args);
}

void LaunchAttention(const AttentionArgs& given, uint32_t rows, void* stream) {
  AttentionArgs args = given;
  if (!LaunchPrompts(args, rows, stream)) args.prompts = Prompts::kNone;
  if (args.prompts == Prompts::kAll) return;
  const uint32_t head_tiles = args.kv_heads * HeadTiles(args.heads / args.kv_heads);
  const Grid grid{rows, head_tiles, args.splits};
  if (!LaunchSplits(args, grid, stream)) {
    const auto kernel = &AttentionKernel;
    MOTE_LAUNCH(kernel, grid, kAttentionThreads, AttentionShared(args.key_dim, args.value_dim), stream, args);
  }
  if (args.splits == 1) return;
  const auto join = &JoinKernel;
  MOTE_LAUNCH(join, (Grid{rows, RowTiles(uint64_t{args.heads} * args.value_dim), 1}), kJoinThreads, kJoinShared, stream,
              args);
}

void LaunchRoute(const RouteArgs& args, uint32_t rows, void* stream) {
  const auto route = &RouteKernel;
  MOTE_LAUNCH(route, (Grid{rows, 1, 1}), kWarp, 0, stream, args);
  const auto sort = &SortKernel;
  MOTE_LAUNCH(sort, (Grid{1, 1, 1}), kSortThreads, SortShared(args.experts), stream, args);
}

void LaunchCombine(const CombineArgs& args, uint32_t rows, void* stream) {
  const auto kernel = &CombineKernel;
  MOTE_LAUNCH(kernel, (Grid{rows, 1, 1}), kRowThreads, 0, stream, args);
}

uint32_t BestLists(uint64_t cols) {
  return static_cast<uint32_t>((cols + kBestList - 1) / kBestList);
}

void LaunchBest(const BestArgs& args, uint32_t rows, void* stream) {
  const auto pick = &PickBestKernel;
  MOTE_LAUNCH(pick, (Grid{args.lists, rows, 1}), kBestThreads, kBestShared, stream, args);
  const auto join = &JoinBestKernel;
  MOTE_LAUNCH(join, (Grid{rows, 1, 1}), kBestThreads, kBestShared, stream, args);
}

}  // namespace mote::cuda
