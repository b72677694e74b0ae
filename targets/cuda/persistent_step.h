// A step of one row whose layers are one persistent kernel: which launches of a program's list it stands for, and its
// orders.
#ifndef MOTE_TARGETS_CUDA_PERSISTENT_STEP_H_
#define MOTE_TARGETS_CUDA_PERSISTENT_STEP_H_

#include <stdint.h>

#include <vector>

#include "quant/dtype.h"
#include "targets/cuda/kernel_args.h"
#include "targets/cuda/launch.h"
#include "targets/cuda/runtime.h"

namespace mote::cuda {

// How a product is done there, if it can be: `type`'s products of one token are those of rings, and what is around it
// is what those do. Sets its kind, its units and their rows.
bool MakePersistentProduct(DType type, const MatMulArgs& product, PersistentOp* op);

// Operations for attention of one row, with so many splits; `shape`: of its launcher.
void AddPersistentAttention(const AttentionArgs& args, const AttentionShape& shape, std::vector<PersistentOp>* ops);

// The kernel for weights of these types, of at most two; its `launch` is null: there is none.
PersistentLauncher FindPersistentLauncher(const std::vector<DType>& types);

// How a kernel's blocks lie in a device: where is what of shared memory.
struct PersistentLayout {
  uint32_t teams = 0;  // of a block; 0: there is no room for one
  uint32_t shared_bytes = 0;
  uint32_t team_at = 0, team_bytes = 0, window_at = 0;
};
PersistentLayout LayOutPersistent(const PersistentLauncher& launcher, const std::vector<PersistentOp>& ops,
                                  void* stream);
// And who takes part in what, once that is known.
void SharePersistentOps(const PersistentLayout& layout, const DeviceShape& device, std::vector<PersistentOp>* ops);

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_PERSISTENT_STEP_H_
