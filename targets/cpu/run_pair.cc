// Gated pairs of products: results of a tile of both go from the cache to their gate, and the gate's alone to memory.
#include <algorithm>

#include "targets/cpu/cpu_program.h"

namespace mote {

const Node* CpuProgram::GateOf(uint32_t instruction) const {
  if (observer_.observe != nullptr) return nullptr;  // it is shown what lies between
  if (const uint32_t gate = unit_values_.GateOf(instruction); gate != kNone) return &graph_.nodes()[gate];
  const uint32_t gate = pairs_.GateOf(instruction);
  if (gate == kNone) return nullptr;
  const Node& first = graph_.nodes()[plan_.instructions[instruction].nodes[0]];
  const Rows kind = graph_.value(first.in[0]).rows;
  const uint32_t rows = NumRows(kind);
  // A few rows' results stay in a cache in any case, and a tile of both would be two streams for one of each.
  const bool on_unit = weights_[first.weights[0]].unit_matmul != nullptr && FirstUnitRow(kind, rows) < rows;
  return rows <= kFewRows || on_unit ? nullptr : &graph_.nodes()[gate];
}

void CpuProgram::MultiplyPairTile(const Instruction& pair, const Node& gate, WeightRows tile, const ProductInput& all,
                                  Range rows, int worker) {
  float* results[2];
  results[0] = pair_results_[static_cast<size_t>(worker)].As<float>();
  results[1] = results[0] + std::min(rows.end - rows.begin, kPairTokens) * tile.count;
  const uint64_t cols = weights_[graph_.nodes()[pair.nodes[0]].weights[0]].rows;
  for (uint32_t begin = rows.begin; begin < rows.end; begin += kPairTokens) {
    const uint32_t count = std::min(rows.end - begin, kPairTokens);
    for (size_t i = 0; i < 2; ++i) {
      const Node& node = graph_.nodes()[pair.nodes[i]];
      const CpuWeight& weight = weights_[node.weights[0]];
      ProductInput input = all;
      input.acts = static_cast<const uint8_t*>(all.acts) + begin * ActRowBytes(weight.acts, weight.cols);
      MultiplyRows(weight, tile, input, count, results[i], tile.count, worker);
      if (node.weights[1] == kNone) continue;
      const float* bias = weights_[node.weights[1]].floats() + tile.begin;
      for (uint32_t r = 0; r < count; ++r) {
        float* y = results[i] + r * tile.count;
        kernels_.add(y, bias, tile.count, y);
      }
    }
    float* out = Values(gate.out) + begin * cols + tile.begin;
    for (uint32_t r = 0; r < count; ++r) {
      kernels_.gate(KernelActivation(gate.activation), results[0] + r * tile.count, results[1] + r * tile.count,
                    tile.count, out + r * cols);
    }
  }
}

}  // namespace mote
