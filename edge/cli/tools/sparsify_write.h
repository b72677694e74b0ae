// OUT, written.
#ifndef MOTE_EDGE_CLI_TOOLS_SPARSIFY_WRITE_H_
#define MOTE_EDGE_CLI_TOOLS_SPARSIFY_WRITE_H_

#include <stdint.h>

#include "edge/cli/interrupt.h"
#include "edge/cli/tools/new_file.h"
#include "edge/cli/tools/sparsify_plan.h"
#include "edge/cli/tools/sparsify_state.h"
#include "engine/core/context.h"

namespace mote::cli {

// A model in memory, ready to be written.
struct SparsifiedModel {
  std::vector<SparseMatrix> matrices;  // as in the plan
  GgufWriter::Layout layout;
  uint64_t all_blocks = 0;
  uint64_t kept_blocks = 0;
};

// Rounds all weights to their types. Failure names the matrix with a value that its type cannot hold.
SparsifiedModel EncodeSparsified(const GgufFile& in, const SparsifyPlan& plan, const SparsifyWeights& weights,
                                 ThreadPool* pool);

// Everything into `file`, which is not finished.
void WriteSparsified(const GgufFile& in, const SparsifyPlan& plan, const SparsifiedModel& model, const StopGuard& stop,
                     NewFile* file);

// The tensors of IN as they are, after another header with the same tensors.
void WriteCopied(const GgufFile& in, const GgufWriter::Layout& layout, const StopGuard& stop, NewFile* file);

}  // namespace mote::cli

#endif  // MOTE_EDGE_CLI_TOOLS_SPARSIFY_WRITE_H_
