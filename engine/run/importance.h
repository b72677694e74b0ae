// Collects importance matrices from a model that runs: the work of `mote imatrix`.
#ifndef MOTE_ENGINE_RUN_IMPORTANCE_H_
#define MOTE_ENGINE_RUN_IMPORTANCE_H_

#include <stdint.h>

#include <map>
#include <memory>
#include <span>
#include <vector>

#include "engine/core/buffer.h"
#include "engine/core/status.h"
#include "engine/format/imatrix.h"
#include "engine/graph/backend.h"

namespace mote {

// Sums, for every column of the weights in layers ("blk.*"), the squares of what a program multiplies them with. The
// sums do not depend on the number of workers; they do, in the last bits, on how the text is cut into steps.
class ImportanceCollector {
 public:
  // with_output: of the output matrix too. The program must not run longer than this lives, or be told to observe
  // nothing first.
  explicit ImportanceCollector(bool with_output) : with_output_(with_output) {}
  ImportanceCollector(const ImportanceCollector&) = delete;
  ImportanceCollector& operator=(const ImportanceCollector&) = delete;

  ActivationObserver observer() { return {Observe, this}; }
  // Adds everything seen so far. kOutOfMemory where sums could not be kept, kMalformed where an activation was not
  // finite.
  Status AddTo(Imatrix* imatrix) const;

 private:
  struct Sums {
    uint64_t cols = 0;
    Buffer squares;                // (matrices, cols) double
    std::vector<uint64_t> counts;  // rows, per matrix
  };

  static void Observe(void* self, const Weight& weight, uint32_t matrix, std::span<const float* const> rows);
  Sums* SumsOf(const TensorInfo& tensor);

  const bool with_output_;
  std::map<const TensorInfo*, std::unique_ptr<Sums>> sums_;
  Status status_;  // the first failure
};

}  // namespace mote

#endif  // MOTE_ENGINE_RUN_IMPORTANCE_H_
