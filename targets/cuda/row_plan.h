// From a list of row operations to launches.
//
// A block used to carry the whole list out on its row, operation by operation through memory: each cost a round trip
// or two, and a row of a decode step 13 us. So the list is cut into tracks that know nothing of each other (queries,
// keys and values up to the cache), which are blocks of their own; a track whose operations all map the same columns
// runs in registers (wide_rows.cuh), and where none of them looks at a whole row its columns are shared out as well.
// What a launch looks like depends on the operations alone, never on the number of rows: same bits in every batch.
#ifndef MOTE_TARGETS_CUDA_ROW_PLAN_H_
#define MOTE_TARGETS_CUDA_ROW_PLAN_H_

#include <stdint.h>

#include <span>
#include <vector>

#include "targets/cuda/kernel_args.h"

namespace mote::cuda {

struct RowFacts {
  const StepArgs* step = nullptr;
  const StepCounts* counts = nullptr;
  uint64_t rows[kRowKinds] = {};  // of each kind, at most: how much memory operations touch
  uint32_t per_row = 1;
  uint32_t merge = 1;
};

// Launches to be made one after the other.
std::vector<RowArgs> PlanRows(std::span<const RowOp> ops, const RowFacts& facts);

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_ROW_PLAN_H_
