// From a file's block-sparse matrices to those of packed_sparse.h. Runs on the host, while weights are loaded.
#ifndef MOTE_TARGETS_CUDA_PACK_SPARSE_H_
#define MOTE_TARGETS_CUDA_PACK_SPARSE_H_

#include <vector>

#include "quant/block_sparse.h"
#include "targets/cuda/packed_sparse.h"

namespace mote::cuda {

// Where the parts of a matrix lie, from its first byte, where its SparseMatrixArgs are. Made of the file's header
// alone: `pairs` is the most that there can be.
struct SparseLayout {
  SparseLayout(const SparseShape& shape, uint64_t blocks);
  uint64_t pairs;
  uint64_t starts_at, scales_at, index_at, values_at;
  uint64_t bytes;
  bool possible() const { return pairs < UINT32_MAX; }
  SparseMatrixArgs At(const uint8_t* memory) const;
};

// Whether a matrix is multiplied with as it is. Halves nearly all of which are kept are faster dense, with many tokens;
// int8 has no dense form here, and takes no more bytes than one would.
bool RunsSparse(const SparseShape& shape, uint64_t blocks);
// Halves: there are kernels for them as they are and for them made dense.
bool RunsBothWays(const SparseShape& shape);

// First pair of every unit, group by group, and their number at the end. The view must have passed CheckSparse.
std::vector<uint32_t> PairStarts(const SparseView& view);
// One group of 16 rows. `units`: those of its units in PairStarts, and the next one; `block`: its first in the view.
// `index` and `values` begin with the group's first pair, `scales` with its first unit.
void PackSparseGroup(const SparseView& view, uint64_t group, uint64_t block, const uint32_t* units, uint8_t* scales,
                     uint8_t* index, uint8_t* values);

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_PACK_SPARSE_H_
