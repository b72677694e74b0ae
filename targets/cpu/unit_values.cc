#include "targets/cpu/unit_values.h"

namespace mote {
namespace {

// Whether the place of so many rows of floats has room for their groups, and a worker's scratch for one row.
bool Fits(uint64_t rows, uint64_t cols) {
  const uint64_t groups = (rows + simd::kUnitGroup - 1) / simd::kUnitGroup;
  return groups * simd::kUnitGroup * simd::UnitRowBytes(cols, /*low=*/false) <= rows * cols * sizeof(float) &&
         cols * sizeof(float) <= simd::kUnitScratchBytes;
}

}  // namespace

UnitValues::UnitValues(const Plan& plan, const GatedPairs& pairs, const simd::UnitKernels& unit)
    : held_(plan.graph->num_values()), joined_(plan.graph->num_values()), gates_(plan.instructions.size(), kNone) {
  const Graph& graph = *plan.graph;
  const auto on_unit = [&](const Node& node) {
    return node.op == OpKind::kMatMul &&
           unit.rounded_matmul[simd::MatMulIndex(graph.weight(node.weights[0]).tensor->type)] != nullptr;
  };
  std::vector<uint32_t> readers(graph.num_values()), products(graph.num_values());
  for (const Node& node : graph.nodes()) {
    for (const ValueId in : node.in) {
      ++readers[in];
      if (on_unit(node)) ++products[in];
    }
  }
  for (const Instruction& instruction : plan.instructions) {
    const Node& node = graph.nodes()[instruction.activation == kNone ? instruction.nodes[0] : instruction.activation];
    const bool own = node.op == OpKind::kRmsNorm || node.op == OpKind::kLayerNorm ||
                     (instruction.activation != kNone && on_unit(graph.nodes()[instruction.nodes[0]]));
    const ValueInfo& info = graph.value(node.out);
    const uint64_t rows = info.rows == Rows::kTokens   ? plan.max_tokens
                          : info.rows == Rows::kMerged ? plan.max_outputs / graph.merge()
                                                       : plan.max_outputs;
    held_[node.out] = own && node.out != graph.result() && readers[node.out] > 0 &&
                      readers[node.out] == products[node.out] && Fits(rows, info.cols);
  }
  for (uint32_t i = 0; i + 2 < plan.instructions.size(); ++i) {
    if (!Joins(plan, readers, pairs.AnyGateOf(i), i)) continue;
    gates_[i] = pairs.AnyGateOf(i);
    joined_[graph.nodes()[gates_[i]].out] = true;
  }
}

bool UnitValues::Joins(const Plan& plan, const std::vector<uint32_t>& readers, uint32_t gate, uint32_t i) const {
  const Graph& graph = *plan.graph;
  if (gate == kNone) return false;
  const ValueId out = graph.nodes()[gate].out;
  const Node& first = graph.nodes()[plan.instructions[i].nodes[0]];
  const Node& next = graph.nodes()[plan.instructions[i + 2].nodes[0]];
  return Holds(first.in[0]) && next.op == OpKind::kMatMul && next.in[0] == out && readers[out] == 1;
}

}  // namespace mote
