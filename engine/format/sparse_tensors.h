// Block-sparse matrices in GGUF files, as a writer sees them; reading is GgufFile's (sparse_tensors, ReadSparse).
// docs/block_sparse.md has the keys and the tensors.
#ifndef MOTE_ENGINE_FORMAT_SPARSE_TENSORS_H_
#define MOTE_ENGINE_FORMAT_SPARSE_TENSORS_H_

#include <stdint.h>

#include <span>
#include <string>

#include "engine/format/gguf_writer.h"
#include "quant/block_sparse.h"

namespace mote {

inline constexpr uint32_t kSparseVersion = 1;

// A matrix that will be written.
struct SparseEntry {
  std::string name;  // as in a dense file: "blk.0.ffn_up.weight"
  SparseShape shape;
  uint64_t blocks = 0;  // kept; at least 1 (FinishSparse)
};

// Sets the keys mote.sparse.*, which is done once a file, and describes the tensors of all entries: of each entry
// counts, index, scales (where its type has them) and values. Their bytes go into the file in this order, and are those
// of a SparseMatrix. kInvalidArgument: a shape that is not valid, or no blocks.
Status AddSparseTensors(std::span<const SparseEntry> entries, GgufWriter* writer);

// CheckSparse, told of the matrix `name`.
Status CheckSparseTensor(const std::string& name, const SparseView& view);

}  // namespace mote

#endif  // MOTE_ENGINE_FORMAT_SPARSE_TENSORS_H_
