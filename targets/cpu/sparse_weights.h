// Loading block-sparse matrices: which are kept as they are, and how the others become dense. Private to weights.cc.
#ifndef MOTE_TARGETS_CPU_SPARSE_WEIGHTS_H_
#define MOTE_TARGETS_CPU_SPARSE_WEIGHTS_H_

#include <stdint.h>

#include <memory>
#include <span>
#include <vector>

#include "engine/core/buffer.h"
#include "engine/core/checked.h"
#include "engine/graph/graph.h"
#include "targets/cpu/weights.h"

namespace mote {

// What becomes of each block-sparse tensor of a graph.
class SparsePlan {
 public:
  // `parts`: of each weight, 0 for what no product reads.
  SparsePlan(const Graph& graph, std::span<const uint32_t> parts, SparseChoice* choice);

  // True for weights that have a CpuSparse; the others are packed, dense.
  bool Holds(const Weight& weight, uint32_t parts) const;
  // Of the buffer of the weights, whose first ones they are.
  Checked64 bytes() const { return bytes_; }
  // Beside the buffer: the lists of where groups begin, those of places that are not in it, and of what is only looked
  // up all of the file's bytes.
  Checked64 bytes_beside() const;
  Result<std::vector<std::unique_ptr<CpuSparse>>> Load(const GgufFile& file, const Context& context,
                                                       uint8_t* memory) const;
  const CpuSparse* Find(const Weight& weight, std::span<const std::unique_ptr<CpuSparse>> loaded) const;

 private:
  struct Item {
    const TensorInfo* tensor = nullptr;
    bool product = false;  // some product reads it
    bool keep = false;     // it stays sparse
    // Int8 is dense in this form, with every place kept; for the other types dense means panels.
    bool all() const { return product && !keep && tensor->type == DType::kI8; }
    bool in_buffer() const { return product && (keep || all()); }
    Checked64 bytes() const;
  };
  const Item* ItemOf(const Weight& weight) const;

  std::vector<Item> items_;
  Checked64 bytes_ = 0;
};

// The rows of a sparse weight in the dense form of its type, made by all workers.
Result<Buffer> DenseRows(const Weight& weight, const GgufFile& file, const Context& context);

}  // namespace mote

#endif  // MOTE_TARGETS_CPU_SPARSE_WEIGHTS_H_
