// Making a program: weights, scratch memory, phases.
#include "targets/cpu/cpu_program.h"

#include <algorithm>

#include "engine/core/checked.h"

namespace mote {
namespace {

uint64_t Align(uint64_t bytes) {
  return (bytes + kCacheLineBytes - 1) & ~uint64_t{kCacheLineBytes - 1};
}

}  // namespace

CpuScratch::CpuScratch(const Plan& plan, const simd::KernelTable& kernels, int num_workers)
    : arena_bytes(plan.arena_bytes) {
  const Graph& graph = *plan.graph;
  const simd::UnitKernels* unit = UnitOf(plan, kernels);
  const bool rounds = UnitRounds(graph);
  workers = static_cast<uint64_t>(num_workers);
  uint64_t widest = 0, unit_widest = 0, looked_up = 0;  // bytes of a row
  uint64_t panel_rows = kSparseRows;
  for (const Node& node : graph.nodes()) {
    if (node.op == OpKind::kEmbed) {
      const TensorInfo& table = *graph.weight(node.weights[0]).tensor;
      if (table.sparse != nullptr) {
        looked_up = std::max<uint64_t>(looked_up, SparseShape{table.type, table.rows(), table.cols()}.DenseRowBytes());
      }
    }
    if (node.op == OpKind::kMatMul) {
      const Weight& weight = graph.weight(node.weights[0]);
      const ActKind kind = ActKindOf(weight.tensor->type, weight.tensor->sparse != nullptr);
      panel_rows = std::max<uint64_t>(panel_rows, simd::PanelRows(kernels, weight.tensor->type));
      // Rows of floats are read where they are.
      widest = std::max<uint64_t>(widest, kind == ActKind::kFloat ? 0 : ActRowBytes(kind, weight.cols));
      if (unit != nullptr) {
        const ActKind unit_kind = UnitActKindOf(weight.tensor->type, rounds);
        unit_widest = std::max<uint64_t>(unit_widest, ActRowBytes(unit_kind, weight.cols));
      }
    }
    if (node.op != OpKind::kMoe) continue;
    const uint64_t width = graph.value(node.out).cols;
    const uint64_t ff = graph.weight(node.weights[3]).cols;
    const uint64_t slots = uint64_t{plan.max_tokens} * node.moe.used;
    acts_bytes = std::max(acts_bytes, slots * CpuProgram::SlotBytes(width, ff));
    moe_bytes = std::max(moe_bytes, CpuProgram::MoeBytes(node, plan.max_tokens, static_cast<uint32_t>(width), ff));
  }
  // Some rows of a step are prepared in the one way and some in the other: those for the unit in whole groups, behind.
  const auto bytes_of = [&](uint64_t rows) {
    const uint64_t groups = (rows + simd::kUnitGroup - 1) / simd::kUnitGroup;
    return Align(rows * widest) + groups * simd::kUnitGroup * unit_widest;
  };
  // Of block-sparse int8 some instruction sets take whole groups of rows as well.
  const bool tiles = simd::SparseKernelsOf(kernels).matmul_i8_tiles != nullptr;
  const uint64_t group = tiles ? simd::kS8TileRows : 1;
  acts_bytes = std::max(acts_bytes, bytes_of((plan.max_tokens + group - 1) / group * group));
  live_bytes = LiveInput::Bytes(plan, workers);
  matmul_bytes = simd::MatMulScratchBytes(kernels);
  if (GatedPairs(plan).any()) {
    const uint64_t rows = std::max<uint64_t>(kPairRows, 2 * panel_rows);
    pair_bytes = 2 * rows * std::min(kPairTokens, std::max(plan.max_tokens, plan.max_outputs)) * sizeof(float);
  }
  own_acts_bytes = std::max(bytes_of(kOwnActsRows), looked_up);
  attention_bytes = CpuProgram::AttentionScratch(graph, unit != nullptr);
  for (const RopeTable& table : graph.ropes()) {
    rope_bytes += 2 * Align(uint64_t{plan.max_tokens} * table.inverse_frequency.size() * sizeof(float));
  }
}

Result<std::unique_ptr<CpuProgram>> CpuProgram::Create(const Plan& plan, const GgufFile& file,
                                                       const simd::KernelTable& kernels, SparseChoice* choice,
                                                       const Tuning& tuning, const Context& context,
                                                       const LoadProgress& progress) {
  std::unique_ptr<CpuProgram> program(new CpuProgram(plan, kernels, *context.pool));
  MOTE_RETURN_IF_ERROR(program->AllocateScratch(*context.platform));
  MOTE_ASSIGN_OR_RETURN(program->weights_,
                        CpuWeights::Load(*plan.graph, file, kernels, program->unit_, choice, context, progress));
  if constexpr (kFetchVaries) MOTE_RETURN_IF_ERROR(program->TuneFetch(tuning, context));
  return program;
}

Status CpuProgram::AllocateScratch(Platform& platform) {
  const CpuScratch sizes(plan_, kernels_, pool_.num_workers());
  MOTE_ASSIGN_OR_RETURN(arena_, Buffer::CreateZeroed(sizes.arena_bytes, "working memory"));
  MOTE_ASSIGN_OR_RETURN(acts_, Buffer::CreateZeroed(sizes.acts_bytes, "quantised activations"));
  // The rows of a tile of results lie as far apart as rows are long: a page for each, if pages are small.
  platform.PreferLargePages(arena_.data(), arena_.size());
  platform.PreferLargePages(acts_.data(), acts_.size());
  MOTE_ASSIGN_OR_RETURN(rope_memory_, Buffer::CreateZeroed(sizes.rope_bytes, "rotary tables"));
  MOTE_RETURN_IF_ERROR(live_.Create(plan_, pool_.num_workers()));
  MOTE_ASSIGN_OR_RETURN(moe_memory_, Buffer::CreateZeroed(sizes.moe_bytes, "mixture of experts"));
  for (int worker = 0; worker < pool_.num_workers(); ++worker) {
    MOTE_ASSIGN_OR_RETURN(Buffer own, Buffer::CreateZeroed(sizes.own_acts_bytes, "quantised activations of a worker"));
    own_acts_.push_back(std::move(own));
    MOTE_ASSIGN_OR_RETURN(Buffer scratch, Buffer::Create(sizes.matmul_bytes, "unpacked weights of a worker"));
    unpacked_.push_back(std::move(scratch));
    MOTE_ASSIGN_OR_RETURN(Buffer pair, Buffer::Create(sizes.pair_bytes, "results of a gated pair of a worker"));
    pair_results_.push_back(std::move(pair));
    MOTE_ASSIGN_OR_RETURN(Buffer attention, Buffer::CreateZeroed(sizes.attention_bytes, "attention of a worker"));
    attention_scratch_.push_back(std::move(attention));
  }
  uint8_t* at = rope_memory_.data();
  for (const RopeTable& table : graph_.ropes()) {
    RopeScratch rope;
    rope.pairs = static_cast<uint32_t>(table.inverse_frequency.size());
    const uint64_t bytes = Align(uint64_t{plan_.max_tokens} * rope.pairs * sizeof(float));
    rope.cos = reinterpret_cast<float*>(at);
    rope.sin = reinterpret_cast<float*>(at + bytes);
    at += 2 * bytes;
    rope_.push_back(rope);
  }
  segments_.reserve(plan_.max_tokens);
  // Lanes lie whole cache lines apart: workers that take from regions of their own must not pull a line to and fro.
  lane_counters_ = static_cast<uint32_t>((plan_.instructions.size() + 15) / 16 * 16);
  num_counters_ = lane_counters_ * static_cast<uint32_t>(std::max(pool_.num_workers(), 4));
  counters_ = std::make_unique<std::atomic<uint32_t>[]>(num_counters_);
  return Status();
}

Result<std::unique_ptr<KvCache>> CpuProgram::CreateKvCache(uint32_t context) {
  MOTE_ASSIGN_OR_RETURN(std::unique_ptr<CpuKvCache> cache, CpuKvCache::Create(graph_, plan_.cache, context));
  return std::unique_ptr<KvCache>(std::move(cache));
}

uint64_t CpuProgram::MoeBytes(const Node& node, uint32_t rows, uint32_t width, uint64_t ff) {
  const uint64_t slots = uint64_t{rows} * node.moe.used;
  return Align(uint64_t{rows} * node.moe.experts * 4) + 4 * Align(slots * 4) + Align((node.moe.experts + 1) * 4) +
         2 * Align(slots * ff * 4) + Align(slots * width * 4);
}

CpuProgram::MoeScratch CpuProgram::MoeLayout(const Node& node) {
  const uint64_t rows = plan_.max_tokens;
  const uint64_t slots = rows * node.moe.used;
  const uint64_t ff = graph_.weight(node.weights[3]).cols;
  uint8_t* at = moe_memory_.data();
  const auto take = [&](uint64_t bytes) {
    uint8_t* begin = at;
    at += Align(bytes);
    return begin;
  };
  MoeScratch s;
  s.router = reinterpret_cast<float*>(take(rows * node.moe.experts * 4));
  s.expert = reinterpret_cast<int32_t*>(take(slots * 4));
  s.weight = reinterpret_cast<float*>(take(slots * 4));
  s.slot = reinterpret_cast<uint32_t*>(take(slots * 4));
  s.row_of_slot = reinterpret_cast<uint32_t*>(take(slots * 4));
  s.first = reinterpret_cast<uint32_t*>(take((node.moe.experts + 1) * 4));
  s.gate = reinterpret_cast<float*>(take(slots * ff * 4));
  s.up = reinterpret_cast<float*>(take(slots * ff * 4));
  s.down = reinterpret_cast<float*>(take(slots * graph_.value(node.out).cols * 4));
  return s;
}

}  // namespace mote
