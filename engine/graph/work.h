// What a step has to compute, for choosing how many workers it is worth waking.
#ifndef MOTE_ENGINE_GRAPH_WORK_H_
#define MOTE_ENGINE_GRAPH_WORK_H_

#include <stdint.h>

#include "engine/graph/backend.h"
#include "engine/graph/graph.h"

namespace mote {

class StepWork {
 public:
  StepWork() = default;
  explicit StepWork(const Graph& graph);
  // Multiplications and additions, of products and of attention to all positions up to a row's own. An estimate: blocks
  // of weights that are left out, and windows, count in full.
  uint64_t Of(const Step& step) const;
  // Of that, what one row without a result costs.
  uint64_t OfRow(uint32_t position) const { return token_ + position_ * (uint64_t{position} + 1); }
  // The workers that so much of it keeps busy, at least 1.
  static int Workers(uint64_t work);

 private:
  uint64_t token_ = 0;     // of each row
  uint64_t output_ = 0;    // of each row that goes on to a result, logits or not
  uint64_t logits_ = 0;    // of each row with logits
  uint64_t position_ = 0;  // of each position that a row sees
};

}  // namespace mote

#endif  // MOTE_ENGINE_GRAPH_WORK_H_
