// Which matrices of a model become sparse, in which blocks, and how many of them stay.
#ifndef MOTE_EDGE_CLI_TOOLS_SPARSIFY_PLAN_H_
#define MOTE_EDGE_CLI_TOOLS_SPARSIFY_PLAN_H_

#include <stdint.h>

#include <string>
#include <vector>

#include "edge/cli/tools/sparsify_flags.h"
#include "engine/format/gguf.h"
#include "engine/format/gguf_writer.h"
#include "engine/tune/blocks.h"
#include "quant/block_sparse.h"

namespace mote::cli {

// A matrix that becomes sparse, and what became of it.
struct SparsifyMatrix {
  const TensorInfo* tensor = nullptr;  // in IN
  int64_t layer = -1;                  // -1: in none
  SparseShape shape;
  double density = 1;            // wanted; where losses decide, what they made of it
  bool has_own_density = false;  // a pattern gave it

  // Once it is pruned.
  uint64_t kept = 0;  // blocks
  double loss = 0;    // see tune::Pruned

  tune::BlockGrid grid() const {
    return {shape.rows,
            shape.cols,
            {static_cast<uint32_t>(kSparseRows), static_cast<uint32_t>(SparseBlockCols(shape.type))}};
  }
};

struct SparsifyDense {
  std::string name;
  std::string why;
};

struct SparsifyPlan {
  DType type = DType::kI8;               // of the matrices, where their columns are whole blocks of it
  std::vector<SparsifyMatrix> matrices;  // by layer, those of none last
  std::vector<SparsifyDense> dense;      // matrices of layers that stay dense, and why
  std::vector<TensorInfo> others;  // everything that is not sparse, in file order, with the types that it will have
  uint32_t file_type = 0;

  // Bytes of OUT when each matrix keeps this many blocks.
  uint64_t FileBytes(const GgufFile& in, const std::vector<uint64_t>& blocks) const;
};

// Failure where IN is no float model, or where nothing in it could be sparse. Densities are set, by patterns, size and
// the overall one; with a loss to hold they are 1.
SparsifyPlan MakeSparsifyPlan(const GgufFile& in, const SparsifyFlags& flags);

// All keys and tensors of OUT; `blocks`: of each matrix, at least 1.
Result<GgufWriter::Layout> LayoutSparsified(const GgufFile& in, const SparsifyPlan& plan,
                                            const std::vector<uint64_t>& blocks);

}  // namespace mote::cli

#endif  // MOTE_EDGE_CLI_TOOLS_SPARSIFY_PLAN_H_
