#include "targets/cpu/live_input.h"

#include <math.h>
#include <string.h>

#include <algorithm>

#include "engine/core/checked.h"
#include "engine/format/activation_rules.h"
#include "simd/live.h"
#include "targets/cpu/cpu_program.h"

namespace mote {
namespace {

constexpr bool AgreeOn(DType type) {
  return PassesOverZeros(type) == (simd::LiveStep(type) != 0);
}
static_assert(AgreeOn(DType::kF32) && AgreeOn(DType::kF16) && AgreeOn(DType::kBF16) && AgreeOn(DType::kQ8_0) &&
              AgreeOn(DType::kQ4_0) && AgreeOn(DType::kQ4_K) && AgreeOn(DType::kI8));

// The widest input of products that have a rule, and the lowest threshold of each instruction's products.
std::vector<float> Thresholds(const Plan& plan, uint64_t* widest) {
  std::vector<float> thresholds;
  *widest = 0;
  if (plan.activations == nullptr) return thresholds;
  const Graph& graph = *plan.graph;
  for (const Instruction& instruction : plan.instructions) {
    float lowest = INFINITY;
    for (const uint32_t n : instruction.nodes) {
      const Node& node = graph.nodes()[n];
      const ActivationRule* rule =
          node.op != OpKind::kMatMul ? nullptr : plan.activations->Find(graph.weight(node.weights[0]).tensor);
      lowest = std::min(lowest, rule == nullptr ? -1.0f : rule->threshold);
    }
    thresholds.push_back(lowest);
    if (lowest >= 0) *widest = std::max(*widest, graph.weight(graph.nodes()[instruction.nodes[0]].weights[0]).cols);
  }
  return thresholds;
}

uint32_t Load4(const uint8_t* p) {
  uint32_t value;
  memcpy(&value, p, sizeof(value));
  return value;
}

}  // namespace

void ThinRow(const float* x, uint64_t cols, uint32_t width, float threshold, float* out) {
  for (uint64_t begin = 0; begin < cols; begin += width) {
    const uint64_t end = std::min(cols, begin + width);
    bool live = false;
    for (uint64_t i = begin; i < end; ++i) live |= !(fabsf(x[i]) <= threshold);  // NaN is no small value
    for (uint64_t i = begin; i < end; ++i) out[i] = live ? x[i] : 0.0f;
  }
}

void LiveList::Fill(ActKind kind, const void* acts, uint64_t cols, bool raised) {
  steps.clear();
  index.clear();
  counts.clear();
  live = 0;
  if (kind == ActKind::kFloat) {
    all = cols;
    const float* x = static_cast<const float*>(acts);
    for (uint64_t i = 0; i < cols; ++i) {
      if (x[i] != 0.0f) steps.push_back(static_cast<uint32_t>(i));
    }
    live = steps.size();
    return;
  }
  all = cols / 4;
  const uint8_t* row = static_cast<const uint8_t*>(acts);
  if (kind == ActKind::kS8) {
    const uint32_t zeros = raised ? 0x80808080u : 0;
    for (uint64_t begin = 0; begin < cols; begin += kSparseStretch) {
      const uint8_t* codes = row + begin / kSparseStretch * sizeof(simd::S8Stretch) + offsetof(simd::S8Stretch, codes);
      uint8_t count = 0;
      for (uint64_t place = 0; place < std::min<uint64_t>(cols - begin, kSparseStretch) / 4; ++place) {
        if (Load4(codes + 4 * place) == zeros) continue;
        index.push_back(static_cast<uint8_t>(place));
        ++count;
      }
      counts.push_back(count);
      live += count;
    }
    return;
  }
  for (uint64_t step = 0; step < all; ++step) {
    const uint8_t* codes = row + step * 4;
    if (kind != ActKind::kR8) {
      codes = row + step / 8 * sizeof(simd::A8Block) + offsetof(simd::A8Block, codes) + step % 8 * 4;
    }
    if (Load4(codes) != 0) steps.push_back(static_cast<uint32_t>(step));
  }
  live = steps.size();
}

// A list costs its loads, and broken streams of memory: below an eighth passed over, it gains nothing (AVX2, Zen 3).
bool LiveList::pays() const {
  return live <= all - all / 8;
}

bool CanPassOver(const CpuWeight& weight) {
  return weight.sparse != nullptr ? weight.sparse->all : simd::LiveStep(weight.type) != 0;
}

uint64_t LiveInput::Bytes(const Plan& plan, uint64_t workers) {
  uint64_t widest = 0;
  Thresholds(plan, &widest);
  return widest * sizeof(float) * (plan.max_tokens + workers * (kOwnActsRows + 1));  // a list is a row of numbers
}

Status LiveInput::Create(const Plan& plan, int num_workers) {
  uint64_t widest = 0;
  thresholds = Thresholds(plan, &widest);
  if (!on()) return Status();
  MOTE_ASSIGN_OR_RETURN(rows, Buffer::Create(plan.max_tokens * widest * sizeof(float), "thinned activations"));
  workers.resize(static_cast<size_t>(num_workers));
  for (Own& own : workers) {
    MOTE_ASSIGN_OR_RETURN(own.rows, Buffer::Create(kOwnActsRows * widest * sizeof(float), "thinned activations"));
    own.list.steps.reserve(widest);
    own.list.index.reserve(widest / 4);
    own.list.counts.reserve(widest / kSparseStretch + 1);
  }
  return Status();
}

}  // namespace mote
