#include "engine/graph/plan.h"

#include <algorithm>

#include "engine/core/buffer.h"
#include "engine/core/checked.h"

namespace mote {
namespace {

// Products of the same input that follow each other become one instruction. A builder writes Q, K, V in a row, so
// looking at neighbours finds them all.
// Weights whose formats share scales over different numbers of values want their input prepared in different ways.
uint32_t BlockValues(const Graph& graph, const Node& product) {
  const TensorInfo& tensor = *graph.weight(product.weights[0]).tensor;
  // Block-sparse int8 wants rows of a kind of its own; the other sparse types those of their dense forms.
  if (tensor.sparse != nullptr && tensor.type == DType::kI8) return UINT32_MAX;
  const DTypeInfo* info = DTypeInfoOf(tensor.type);
  return info == nullptr ? 0 : static_cast<uint32_t>(info->block_values);
}

// True if node i is the activation of the product before it, and its only reader. (A product that shares its input with
// the one before it is read too late: its instruction has more than one node.)
bool IsOwnActivation(const Graph& graph, const std::vector<uint32_t>& readers, uint32_t i) {
  const Node& node = graph.nodes()[i];
  const Node& before = graph.nodes()[i - 1];
  if (node.op != OpKind::kActivation || before.op != OpKind::kMatMul || node.in[0] != before.out) return false;
  const bool shares = i > 1 && graph.nodes()[i - 2].op == OpKind::kMatMul && graph.nodes()[i - 2].in[0] == before.in[0];
  return !shares && readers[before.out] == 1 && before.out != graph.result();
}

std::vector<Instruction> Fuse(const Graph& graph) {
  std::vector<Instruction> instructions;
  const auto nodes = graph.nodes();
  std::vector<uint32_t> readers(graph.num_values(), 0);
  for (const Node& node : nodes) {
    for (const ValueId in : node.in) ++readers[in];
  }
  for (uint32_t i = 0; i < nodes.size(); ++i) {
    const bool joins = i > 0 && nodes[i].op == OpKind::kMatMul && nodes[i - 1].op == OpKind::kMatMul &&
                       nodes[i].in[0] == nodes[i - 1].in[0] &&
                       BlockValues(graph, nodes[i]) == BlockValues(graph, nodes[i - 1]);
    if (joins && instructions.back().activation == kNone) {
      instructions.back().nodes.push_back(i);
    } else if (i > 0 && IsOwnActivation(graph, readers, i)) {
      instructions.back().activation = i;
    } else {
      instructions.push_back({{i}});
    }
  }
  return instructions;
}

bool LooksAtOwnRowOnly(OpKind op) {
  switch (op) {
    case OpKind::kEmbed:
    case OpKind::kInput:
    case OpKind::kAddInput:
    case OpKind::kRmsNorm:
    case OpKind::kLayerNorm:
    case OpKind::kAdd:
    case OpKind::kMulVector:
    case OpKind::kRope:
    case OpKind::kSelectOutputs:
    case OpKind::kTakeHidden:
    case OpKind::kMerge:
    case OpKind::kMergeMean:
    case OpKind::kConcat:
    case OpKind::kSoftcap:
      return true;
    case OpKind::kMatMul:
    case OpKind::kGate:
    case OpKind::kActivation:
    case OpKind::kAttention:
    case OpKind::kMoe:
      return false;
  }
  return false;
}

// Its rows are other rows of its input.
bool MovesRows(OpKind op) {
  return op == OpKind::kSelectOutputs || op == OpKind::kMerge || op == OpKind::kMergeMean;
}

std::vector<Phase> MakePhases(const Graph& graph, const std::vector<Instruction>& instructions) {
  std::vector<Phase> phases;
  const auto node_of = [&](uint32_t i) -> const Node& { return graph.nodes()[instructions[i].nodes[0]]; };
  for (uint32_t i = 0; i < instructions.size(); ++i) {
    const Node& node = node_of(i);
    const bool row_wise = LooksAtOwnRowOnly(node.op) || node.op == OpKind::kAttention;
    bool joins = row_wise && !phases.empty() && phases.back().row_wise && phases.back().end == i;
    if (joins && MovesRows(node.op)) {
      // It must not share a phase with what wrote its rows. Two selections in a row (residual and attention) may stand
      // together.
      joins = node_of(i - 1).op == OpKind::kSelectOutputs && node.op == OpKind::kSelectOutputs;
    } else if (joins) {
      joins = graph.value(node.out).rows == graph.value(node_of(i - 1).out).rows;
    }
    if (joins) {
      phases.back().end = i + 1;
    } else {
      phases.push_back({i, i + 1, row_wise});
    }
    if (node.op == OpKind::kAttention) phases.push_back({i, i + 1, false});
  }
  return phases;
}

struct Life {
  uint32_t first = UINT32_MAX;  // phase that writes the value
  uint32_t last = 0;            // phase that reads it last
};

std::vector<Life> Lives(const Graph& graph, const Plan& plan) {
  std::vector<Life> lives(graph.num_values());
  for (uint32_t phase = 0; phase < plan.phases.size(); ++phase) {
    for (uint32_t i = plan.phases[phase].begin; i < plan.phases[phase].end; ++i) {
      const Instruction& instruction = plan.instructions[i];
      for (const uint32_t n : instruction.nodes) {
        const Node& node = graph.nodes()[n];
        const ValueId out = instruction.activation == kNone ? node.out : graph.nodes()[instruction.activation].out;
        lives[out].first = std::min(lives[out].first, phase);
        lives[out].last = std::max(lives[out].last, phase);
        for (const ValueId in : node.in) lives[in].last = std::max(lives[in].last, phase);
      }
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
  plan.phases = MakePhases(graph, plan.instructions);
  plan.value_offset.assign(graph.num_values(), UINT64_MAX);

  // Capped logits are capped where they are written: in the step's own buffer, which holds as many rows as there are,
  // and not in an arena with room for all outputs.
  ValueId uncapped = kNone;
  for (const Node& node : graph.nodes()) {
    if (node.op == OpKind::kSoftcap && node.out == graph.result()) uncapped = node.in[0];
  }
  size_t readers = 0;
  for (const Node& node : graph.nodes()) readers += std::count(node.in.begin(), node.in.end(), uncapped);
  if (readers != 1) uncapped = kNone;

  // First fit by address among the values alive at the same time; values come in the order of their birth. Graphs have
  // a few thousand values and at most a dozen alive, so this stays linear in practice.
  const std::vector<Life> lives = Lives(graph, plan);
  struct Placed {
    uint64_t begin, end;
    uint32_t last;
  };
  std::vector<Placed> alive;  // by address
  for (ValueId id = 0; id < graph.num_values(); ++id) {
    if (id == graph.result() || id == uncapped || lives[id].first == UINT32_MAX) continue;
    const ValueInfo& info = graph.value(id);
    const uint32_t rows = info.rows == Rows::kTokens   ? max_tokens
                          : info.rows == Rows::kMerged ? max_outputs / graph.merge()
                                                       : max_outputs;
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
