// What an ActivationObserver sees.
#include <vector>

#include "targets/cpu/cpu_program.h"

namespace mote {

void CpuProgram::ObserveProducts(const Instruction& instruction) {
  if (observer_.observe == nullptr) return;
  std::vector<const float*> inputs;
  for (const uint32_t n : instruction.nodes) {
    const Node& node = graph_.nodes()[n];
    const Weight& weight = graph_.weight(node.weights[0]);
    if (weight.row_begin != 0) continue;  // a further slice of a tensor, whose inputs its first slice has shown
    const uint32_t rows = NumRows(graph_.value(node.in[0]).rows);
    const float* x = Values(node.in[0]);
    inputs.clear();
    for (uint32_t row = 0; row < rows; ++row) inputs.push_back(x + uint64_t{row} * weight.cols);
    observer_.observe(observer_.user, weight, 0, inputs);
  }
}

void CpuProgram::ObserveExperts(const Node& node, bool down) {
  if (observer_.observe == nullptr) return;
  const MoeScratch s = MoeLayout(node);
  const uint32_t rows = NumRows(graph_.value(node.out).rows);
  const uint32_t width = graph_.value(node.out).cols;
  const float* x = Values(node.in[0]);
  std::vector<const float*> inputs;
  if (!down) {
    for (uint32_t row = 0; row < rows; ++row) inputs.push_back(x + uint64_t{row} * width);
    observer_.observe(observer_.user, graph_.weight(node.weights[0]), 0, inputs);
  }
  const Weight& down_weight = graph_.weight(node.weights[3]);
  for (uint32_t expert = 0; expert < node.moe.experts; ++expert) {
    inputs.clear();
    for (uint32_t slot = s.first[expert]; slot < s.first[expert + 1]; ++slot) {
      inputs.push_back(down ? s.gate + uint64_t{slot} * down_weight.cols : x + uint64_t{s.row_of_slot[slot]} * width);
    }
    if (down) {
      observer_.observe(observer_.user, down_weight, expert, inputs);
      continue;
    }
    observer_.observe(observer_.user, graph_.weight(node.weights[1]), expert, inputs);
    observer_.observe(observer_.user, graph_.weight(node.weights[2]), expert, inputs);
  }
}

}  // namespace mote
