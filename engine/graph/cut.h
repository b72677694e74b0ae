// A decoder's graph in two: the layers that one backend runs, and those that another goes on with.
#ifndef MOTE_ENGINE_GRAPH_CUT_H_
#define MOTE_ENGINE_GRAPH_CUT_H_

#include <stdint.h>

#include "engine/core/status.h"
#include "engine/graph/graph.h"

namespace mote {

struct GraphHalves {
  // Layers below the cut. Its result is a row for every row of a step (each must be an output): what `back` reads as
  // the rows' input.
  Graph front;
  Graph back;  // the layers from the cut on, numbered from 0, and the logits
};

// Cuts below layer `layer`, 1 <= layer < graph.cache_layers().size(). kUnsupported where more than one value crosses
// there, or where a layer behind it reads the rows' own input (a picture's features).
Result<GraphHalves> CutGraph(const Graph& graph, uint32_t layer);

}  // namespace mote

#endif  // MOTE_ENGINE_GRAPH_CUT_H_
