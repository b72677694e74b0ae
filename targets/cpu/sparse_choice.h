// Whether a block-sparse matrix is multiplied with as it is, or made dense while it is loaded.
//
// One form is kept, not both: the dense one beside the sparse would take twice the memory that sparsity saves. In
// decode a block left out is 64 bytes not read, and the sparse form costs 1 byte of index for 64: it pays from a few
// zero blocks on. In prefill walking the index costs some of the arithmetic it saves. So the prompt's break-even, the
// higher one, decides, and it is measured.
#ifndef MOTE_TARGETS_CPU_SPARSE_CHOICE_H_
#define MOTE_TARGETS_CPU_SPARSE_CHOICE_H_

#include <array>

#include "engine/core/context.h"
#include "engine/core/tensor.h"
#include "engine/graph/backend.h"
#include "simd/kernels.h"

namespace mote {

// Blocks kept of all, from the header alone.
double SparseDensity(const TensorInfo& tensor);

class SparseChoice {
 public:
  SparseChoice(const simd::KernelTable& kernels, const Clock& clock, SparsePath path)
      : kernels_(kernels), clock_(clock), path_(path) {}

  // The density up to which a matrix of this type stays sparse. Measured when first asked for, in a few milliseconds.
  // Not thread-safe.
  double BreakEven(DType type);
  bool KeepsSparse(const TensorInfo& tensor);

 private:
  const simd::KernelTable& kernels_;
  const Clock& clock_;
  const SparsePath path_;
  std::array<double, 4> measured_ = {};  // by type; 0: not yet
};

}  // namespace mote

#endif  // MOTE_TARGETS_CPU_SPARSE_CHOICE_H_
