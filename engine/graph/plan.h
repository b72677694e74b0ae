// From a Graph to what a backend runs: fused instructions and one arena for all intermediate values.
#ifndef MOTE_ENGINE_GRAPH_PLAN_H_
#define MOTE_ENGINE_GRAPH_PLAN_H_

#include <stdint.h>

#include <vector>

#include "engine/core/status.h"
#include "engine/graph/graph.h"

namespace mote {

struct ActivationRules;  // engine/format/activation_rules.h

// One or more nodes that a backend runs as one: matrix products that read the same input (Q, K, V; gate and up), with
// weights of the same block size, become one instruction, so that the input is prepared once and the workers meet once.
// An activation that alone reads a product belongs to the product's instruction: it is applied to each tile while that
// is in the cache, and the product itself is never written.
struct Instruction {
  std::vector<uint32_t> nodes;  // indices into Graph::nodes(), all of one OpKind; more than one only for kMatMul
  uint32_t activation = kNone;  // index of a kActivation; only with a single kMatMul
};

// Instructions [begin, end) that the workers of a backend run without meeting in between: either one instruction, or a
// run of operations that each look at their own row alone (norms, sums, rotations, the new keys and values of a row),
// which a worker carries out on its own rows, one after the other. Attention appears twice: its writing of the cache
// ends a row-wise phase, attention itself is a phase of its own.
struct Phase {
  uint32_t begin = 0;
  uint32_t end = 0;
  bool row_wise = false;
};

// How keys and values are kept between steps.
struct CacheTypes {
  DType keys = DType::kF16;
  DType values = DType::kF16;
};

struct Plan {
  const Graph* graph = nullptr;
  uint32_t max_tokens = 0;   // rows of a step, at most
  uint32_t max_outputs = 0;  // rows with a result, at most; <= max_tokens
  std::vector<Instruction> instructions;
  std::vector<Phase> phases;
  // Where each value lies in the arena, in bytes, aligned to kCacheLineBytes; values whose lives (in whole phases:
  // within one, workers are at different instructions) do not overlap share bytes. The result is not in the arena
  // (UINT64_MAX): it is written to the step's own buffer. Nor is what no instruction writes.
  std::vector<uint64_t> value_offset;
  uint64_t arena_bytes = 0;
  CacheTypes cache;  // for the backend to take or refuse
  // Dynamic sparsity: activations that count as zero, in every step. Null: off. For the backend to take or refuse.
  const ActivationRules* activations = nullptr;
  // Rows that are read (Step::read_from) may have sums of their own, where that is faster: Backend::has_fast_prompts.
  bool fast_prompts = false;
  // On a GPU: the layers of a step of one row are one kernel, whose blocks stay, where that can be. The same bits.
  bool persistent_steps = false;
};

Result<Plan> MakePlan(const Graph& graph, uint32_t max_tokens, uint32_t max_outputs);

}  // namespace mote

#endif  // MOTE_ENGINE_GRAPH_PLAN_H_
