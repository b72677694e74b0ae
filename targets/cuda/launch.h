// Launching kernels, for code that no nvcc sees. Nothing here waits or fails: what went wrong is told when the stream
// is waited for (runtime.h).
#ifndef MOTE_TARGETS_CUDA_LAUNCH_H_
#define MOTE_TARGETS_CUDA_LAUNCH_H_

#include "targets/cuda/kernel_args.h"

namespace mote::cuda {

// Most tokens that the kernel for few of them takes; above it, the other one.
inline constexpr uint32_t kFewTokens = 32;
// Shared memory that a block of this device may have, at least, for heads of these sizes.
uint32_t AttentionSharedBytes(uint32_t key_dim, uint32_t value_dim);
// Positions of a split of the cache.
uint32_t SplitPositions();
uint32_t LargestHeadDim();
// Whether attention can round its results to these activations; `group`: query heads of a key/value head.
bool AttentionCanRound(Acts acts, uint32_t group, uint32_t value_dim);

// Numbers the launch's tiles of `rows` rows through all matrices; how many there are.
inline uint32_t NumberTiles(MatMulArgs* args, uint32_t rows) {
  uint32_t tiles = 0;
  for (uint32_t i = 0; i < args->matrices; ++i) {
    args->matrix[i].first_tile = tiles;
    tiles += (args->matrix[i].rows + rows - 1) / rows;
  }
  return tiles;
}

// For each device before anything is launched on it: kernels that want more shared memory than usual say so.
// `shared_bytes`: AttentionSharedBytes, the most of all; `stream`: of the device.
void PrepareKernels(uint32_t shared_bytes, void* stream);

// `args` without first_tile. `tokens`: the most that counts may say. `experts`: 0 without. False: not a weight type.
bool LaunchMatMul(DType type, MatMulArgs args, uint32_t tokens, uint32_t experts, void* stream);
// Of `tokens` that are read; the stream's device has_groups (runtime.h).
bool LaunchReadMatMul(DType type, const ReadArgs& args, uint32_t tokens, void* stream);
// The same with block-sparse weights (packed_sparse.h).
bool LaunchSparseMatMul(DType type, SparseMatMulArgs args, uint32_t tokens, void* stream);
// `rows`: per_row times the most that counts may say.
void LaunchRows(const RowArgs& args, uint32_t rows, void* stream);
void LaunchRope(const RopeArgs& args, uint32_t rows, void* stream);
void LaunchAttention(const AttentionArgs& args, uint32_t rows, void* stream);
// Of attention in a persistent kernel; zeros: it cannot be.
struct AttentionShape {
  uint32_t shared_bytes;
  uint32_t head_tiles;  // times splits: blocks
  uint32_t joins;       // blocks that join splits
};
// The layers of a step of one row as one kernel (persistent.cuh), for weights of one or two types.
struct PersistentLauncher {
  DType first, second;
  uint32_t most_teams;
  // Of shared memory, of each team: rings; copies of operations.
  uint32_t ring_bytes;
  uint32_t window_bytes;
  uint32_t (*team_bytes)(const PersistentOp& op);  // and what a product wants besides
  AttentionShape (*attention)(const AttentionArgs& args);
  bool (*fits)(uint32_t teams, uint32_t shared, void* stream);  // a block on each multiprocessor, all at once
  void (*launch)(const PersistentArgs& args, uint32_t teams, uint32_t shared, void* stream);
};
PersistentLauncher PersistentOf_q4_0();
PersistentLauncher PersistentOf_q8_0();
PersistentLauncher PersistentOf_q4_k();  // and Q6_K

void LaunchRoute(const RouteArgs& args, uint32_t rows, void* stream);
void LaunchCombine(const CombineArgs& args, uint32_t rows, void* stream);

// Lists that a vocabulary of `cols` is cut into.
uint32_t BestLists(uint64_t cols);
void LaunchBest(const BestArgs& args, uint32_t rows, void* stream);

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_LAUNCH_H_
