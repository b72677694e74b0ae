#include "engine/graph/work.h"

#include <algorithm>

namespace mote {
namespace {

// What a worker must get for its waking to pay. A worker that sleeps takes 10 to 100 us to come, and each layer has
// some six barriers of 1 to 2 us. Two virtual CPUs of Zen 3, a model of 1.7 million int8 weights, one worker and two,
// thousand tokens a second: 1 row a step 3.2 and 3.9, 16 rows 12 to 14 and 17.6, 64 rows 19 to 24 and 31 to 34; a
// generation without a pause, while the kernel still put both on one CPU now and then, 10.4 and 8.4. So below the bound
// two gain a fifth of the time for twice the processor's, and a server full of short requests needs the latter: at 1000
// a second two workers for every step have a p99 of 124 to 164 ms, this has 12 to 38. (2026-11)
constexpr uint64_t kWorthWaking = 4'000'000;  // a quarter of a millisecond there

}  // namespace

StepWork::StepWork(const Graph& graph) {
  const auto add = [&](Rows rows, uint64_t work) {
    switch (rows) {
      case Rows::kTokens:
        token_ += work;
        break;
      case Rows::kOutputs:
        output_ += work;
        break;
      case Rows::kLogits:
        logits_ += work;
        break;
      case Rows::kMerged:
        output_ += work / graph.merge();
        break;
    }
  };
  const auto size = [&](WeightId id) { return graph.weight(id).rows * graph.weight(id).cols; };
  for (const Node& node : graph.nodes()) {
    if (node.op == OpKind::kMatMul) {
      add(graph.value(node.in[0]).rows, size(node.weights[0]));
    } else if (node.op == OpKind::kMoe) {
      const uint64_t all = size(node.weights[1]) + size(node.weights[2]) + size(node.weights[3]);
      add(graph.value(node.in[0]).rows, size(node.weights[0]) + all / node.moe.experts * node.moe.used);
    } else if (node.op == OpKind::kAttention) {
      position_ += uint64_t{node.attention.heads} * (node.attention.key_dim + node.attention.value_dim);
    }
  }
}

uint64_t StepWork::Of(const Step& step) const {
  uint64_t seen = 0;
  for (const int32_t position : step.positions) seen += static_cast<uint64_t>(position) + 1;
  return token_ * step.positions.size() + output_ * (step.outputs.size() + step.hidden_rows.size()) +
         logits_ * step.outputs.size() + position_ * seen;
}

int StepWork::Workers(uint64_t work) {
  return static_cast<int>(std::clamp<uint64_t>(work / kWorthWaking, 1, 1024));
}

}  // namespace mote
