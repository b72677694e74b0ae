#include "engine/graph/plan.h"

#include <algorithm>

#include "engine/core/buffer.h"
#include "engine/core/checked.h"

namespace mote {
namespace {

// Products of the same input that follow each other become one instruction. A builder writes Q, K, V in a row, so
// looking at neighbours finds them all.
std::vector<Instruction> Fuse(const Graph& graph) {
  std::vector<Instruction> instructions;
  const auto nodes = graph.nodes();
  for (uint32_t i = 0; i < nodes.size(); ++i) {
    const bool joins = i > 0 && nodes[i].op == OpKind::kMatMul && nodes[i - 1].op == OpKind::kMatMul &&
                       nodes[i].in[0] == nodes[i - 1].in[0];
    if (joins) {
      instructions.back().nodes.push_back(i);
    } else {
      instructions.push_back({{i}});
    }
  }
  return instructions;
}

struct Life {
  uint32_t first = 0;  // instruction that writes the value
  uint32_t last = 0;   // instruction that reads it last
};

std::vector<Life> Lives(const Graph& graph, const std::vector<Instruction>& instructions) {
  std::vector<Life> lives(graph.num_values());
  for (uint32_t i = 0; i < instructions.size(); ++i) {
    for (const uint32_t n : instructions[i].nodes) {
      const Node& node = graph.nodes()[n];
      lives[node.out] = {i, i};
      for (const ValueId in : node.in) lives[in].last = i;
    }
  }
  return lives;
}

}  // namespace

Result<Plan> MakePlan(const Graph& graph, uint32_t max_tokens, uint32_t max_outputs) {
  if (!graph.status().ok()) return graph.status();
  if (graph.result() == kNone) return Error(Code::kInternal, "the graph has no result");
  if (max_tokens == 0 || max_outputs == 0 || max_outputs > max_tokens) {
    return Error(Code::kInvalidArgument, "a plan for %u tokens and %u outputs: want 1 <= outputs <= tokens", max_tokens,
                 max_outputs);
  }
  Plan plan;
  plan.graph = &graph;
  plan.max_tokens = max_tokens;
  plan.max_outputs = max_outputs;
  plan.instructions = Fuse(graph);
  plan.value_offset.assign(graph.num_values(), UINT64_MAX);

  // First fit by address among the values alive at the same time; values come in the order of their birth. Graphs have
  // a few thousand values and at most a dozen alive, so this stays linear in practice.
  const std::vector<Life> lives = Lives(graph, plan.instructions);
  struct Placed {
    uint64_t begin, end;
    uint32_t last;
  };
  std::vector<Placed> alive;  // by address
  for (ValueId id = 0; id < graph.num_values(); ++id) {
    if (id == graph.result()) continue;
    const ValueInfo& info = graph.value(id);
    const uint32_t rows = info.rows == Rows::kTokens ? max_tokens : max_outputs;
    const Checked64 bytes = (Checked64(rows) * info.cols * sizeof(float)).AlignUp(kCacheLineBytes);
    if (!bytes.FitsIn(UINT64_MAX / 4)) {
      return Error(Code::kInvalidArgument, "a value of %u rows and %u columns is too large", rows, info.cols);
    }
    std::erase_if(alive, [&](const Placed& p) { return p.last < lives[id].first; });
    uint64_t begin = 0;
    size_t at = 0;
    while (at < alive.size() && alive[at].begin < begin + bytes.value()) begin = alive[at++].end;
    alive.insert(alive.begin() + static_cast<ptrdiff_t>(at), {begin, begin + bytes.value(), lives[id].last});
    plan.value_offset[id] = begin;
    plan.arena_bytes = std::max(plan.arena_bytes, begin + bytes.value());
  }
  return plan;
}

}  // namespace mote
