// How fast this machine's memory is, for those who share a model out.
#ifndef MOTE_ENGINE_GRAPH_READ_RATE_H_
#define MOTE_ENGINE_GRAPH_READ_RATE_H_

#include "engine/core/context.h"
#include "engine/core/status.h"

namespace mote {

// Bytes a second that all workers of the context's pool read together, of a working set larger than the caches of the
// machines that share models; some 50 ms. Implemented by targets/cpu. kOutOfMemory where the working set does not fit.
Result<double> MeasureReadRate(const Context& context);

}  // namespace mote

#endif  // MOTE_ENGINE_GRAPH_READ_RATE_H_
