// Two backends as one: the first runs a decoder's first layers, the second the rest and the logits. What crosses is one
// row of the residual stream per token.
#ifndef MOTE_ENGINE_GRAPH_SPLIT_H_
#define MOTE_ENGINE_GRAPH_SPLIT_H_

#include <stdint.h>

#include <memory>

#include "engine/graph/backend.h"

namespace mote {

// What each of the two would take.
struct SplitNeed {
  MemoryNeed front;
  MemoryNeed back;
};
Result<SplitNeed> MeasureSplit(const Backend& front, const Backend& back, const Plan& plan, uint32_t context,
                               uint32_t front_layers);

// Both must outlive it. 1 <= front_layers < the model's layers; graphs without layers (towers) run on `back` alone.
std::unique_ptr<Backend> CreateSplitBackend(Backend& front, Backend& back, uint32_t front_layers);

}  // namespace mote

#endif  // MOTE_ENGINE_GRAPH_SPLIT_H_
