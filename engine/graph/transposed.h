// Weights that a file holds as columns.
#ifndef MOTE_ENGINE_GRAPH_TRANSPOSED_H_
#define MOTE_ENGINE_GRAPH_TRANSPOSED_H_

#include <stdint.h>

#include "engine/core/buffer.h"
#include "engine/core/status.h"
#include "engine/graph/graph.h"

namespace mote {

// The rows of a weight that is `transposed`, out of its tensor's bytes.
Result<Buffer> TransposedRows(const Weight& weight, const uint8_t* tensor);

}  // namespace mote

#endif  // MOTE_ENGINE_GRAPH_TRANSPOSED_H_
