#include "targets/cpu/gated_pairs.h"

#include <algorithm>

namespace mote {
namespace {

// Whether two values share no byte of the arena, however many rows a step has.
bool LieApart(const Plan& plan, ValueId a, ValueId b) {
  const uint64_t rows = std::max(plan.max_tokens, plan.max_outputs);
  const auto end = [&](ValueId id) {
    return plan.value_offset[id] + rows * plan.graph->value(id).cols * sizeof(float);
  };
  if (plan.value_offset[a] == UINT64_MAX || plan.value_offset[b] == UINT64_MAX) return false;
  return end(a) <= plan.value_offset[b] || end(b) <= plan.value_offset[a];
}

uint32_t GateBehind(const Plan& plan, const std::vector<uint32_t>& readers, uint32_t instruction) {
  const Graph& graph = *plan.graph;
  const Instruction& pair = plan.instructions[instruction];
  const uint32_t behind = plan.instructions[instruction + 1].nodes[0];
  const Node& gate = graph.nodes()[behind];
  if (pair.nodes.size() != 2 || pair.activation != kNone || gate.op != OpKind::kGate) return kNone;
  const Node& first = graph.nodes()[pair.nodes[0]];
  const Node& second = graph.nodes()[pair.nodes[1]];
  if (first.op != OpKind::kMatMul || gate.in[0] != first.out || gate.in[1] != second.out) return kNone;
  const Weight& a = graph.weight(first.weights[0]);
  const Weight& b = graph.weight(second.weights[0]);
  const bool alike = a.tensor->type == b.tensor->type && a.rows == b.rows && a.cols == b.cols &&
                     (a.tensor->sparse == nullptr) == (b.tensor->sparse == nullptr);
  return alike && readers[first.out] == 1 && readers[second.out] == 1 ? behind : kNone;
}

}  // namespace

GatedPairs::GatedPairs(const Plan& plan) : gates_(plan.instructions.size()) {
  const Graph& graph = *plan.graph;
  std::vector<uint32_t> readers(graph.num_values());
  for (const Node& node : graph.nodes()) {
    for (const ValueId in : node.in) ++readers[in];
  }
  for (uint32_t i = 0; i + 1 < plan.instructions.size(); ++i) {
    gates_[i].node = GateBehind(plan, readers, i);
    if (gates_[i].node == kNone) continue;
    const ValueId input = graph.nodes()[plan.instructions[i].nodes[0]].in[0];
    gates_[i].apart = LieApart(plan, graph.nodes()[gates_[i].node].out, input);
    any_ = any_ || gates_[i].apart;
  }
}

}  // namespace mote
