// From a Graph to what a backend runs: fused instructions and one arena for all intermediate values.
#ifndef MOTE_ENGINE_GRAPH_PLAN_H_
#define MOTE_ENGINE_GRAPH_PLAN_H_

#include <stdint.h>

#include <vector>

#include "engine/core/status.h"
#include "engine/graph/graph.h"

namespace mote {

// One or more nodes that a backend runs as one: matrix products that read the same input (Q, K, V; gate and up) become
// one instruction, so that the input is prepared once and the workers meet once.
struct Instruction {
  std::vector<uint32_t> nodes;  // indices into Graph::nodes(), all of one OpKind; more than one only for kMatMul
};

struct Plan {
  const Graph* graph = nullptr;
  uint32_t max_tokens = 0;   // rows of a step, at most
  uint32_t max_outputs = 0;  // rows with logits, at most; <= max_tokens
  std::vector<Instruction> instructions;
  // Where each value lies in the arena, in bytes, aligned to kCacheLineBytes; values whose lives do not overlap share
  // bytes. The result is not in the arena (UINT64_MAX): it is written to the step's own buffer.
  std::vector<uint64_t> value_offset;
  uint64_t arena_bytes = 0;
};

Result<Plan> MakePlan(const Graph& graph, uint32_t max_tokens, uint32_t max_outputs);

}  // namespace mote

#endif  // MOTE_ENGINE_GRAPH_PLAN_H_
