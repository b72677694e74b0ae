// Running a step: phases, and the operations that look at one row at a time.
#include <math.h>
#include <string.h>

#include <algorithm>

#include "quant/codec.h"
#include "targets/cpu/cpu_program.h"

namespace mote {
namespace {

// Columns handed to a worker at once by element-wise operations. Cuts depend on the column alone, so that an element is
// always computed by the same part of a kernel's loop, body or tail.
constexpr uint32_t kElementColumns = 1024;

// Row `row` of a block-sparse table. `dense`: room for a row of its dense form.
void DecodeRowOf(const CpuWeight& table, uint64_t row, uint8_t* dense, float* y) {
  const CpuSparse& sparse = *table.sparse;
  const uint64_t at = table.first_group * kSparseRows + row;
  DecodeSparseRow(sparse.view, at, sparse.starts[at / kSparseRows], dense);
  DecodeRow(SparseDenseType(table.type), dense, y, table.cols);
}

}  // namespace

Status CpuProgram::RunPart(const Step& step, uint32_t part, uint32_t parts) {
  const size_t rows = step.positions.size();
  const size_t outputs = step.outputs.size() + step.hidden_rows.size();
  if (rows == 0 || rows > plan_.max_tokens || outputs > plan_.max_outputs || part >= parts) {
    return Error(Code::kInternal,
                 "part %u of %u of a step of %zu rows and %zu outputs; the plan has room for %u and %u", part, parts,
                 rows, outputs, plan_.max_tokens, plan_.max_outputs);
  }
  const uint64_t phases = plan_.phases.size();
  first_phase_ = static_cast<uint32_t>(phases * part / parts);
  end_phase_ = static_cast<uint32_t>(phases * (part + 1) / parts);
  if (first_phase_ == end_phase_) return Status();
  step_ = &step;
  FindSegments();
  for (uint32_t i = 0; i < num_counters_; ++i) counters_[i].store(0, std::memory_order_relaxed);
  workers_ = step.max_workers > 0 ? std::min(step.max_workers, pool_.num_workers()) : pool_.num_workers();
  pool_.RunSome(workers_, &CpuProgram::RunWorker, this);
  step_ = nullptr;
  return Status();
}

void CpuProgram::RunWorker(void* self, int worker) {
  CpuProgram& p = *static_cast<CpuProgram*>(self);
  if (p.first_phase_ == 0) {
    const Range rows = p.Split(p.NumRows(Rows::kTokens), worker);
    p.PrepareRows(rows.begin, rows.end);
  }
  for (uint32_t i = p.first_phase_; i < p.end_phase_; ++i) {
    const Phase& phase = p.plan_.phases[i];
    // The first phase is row-wise and splits as PrepareRows did: nobody needs another's rows yet.
    if (i > p.first_phase_) p.pool_.Sync();
    if (phase.row_wise) {
      p.RunRowWise(phase, worker);
      continue;
    }
    const Instruction& instruction = p.plan_.instructions[phase.begin];
    const Node& node = p.graph_.nodes()[instruction.nodes[0]];
    switch (node.op) {
      case OpKind::kMatMul:
        p.RunMatMul(instruction, phase.begin, worker);
        break;
      case OpKind::kAttention:
        p.RunAttention(node, phase.begin, worker);
        break;
      case OpKind::kMoe:
        p.RunMoe(node, phase.begin, worker);
        break;
      default:
        // A gate that is joined with the products before it is done.
        if (phase.begin > 0 && p.GateOf(phase.begin - 1) != nullptr) break;
        p.RunElements(node, worker);
        break;
    }
  }
}

// cos and sin of every rotary table for the rows' positions; in double, as positions reach millions.
void CpuProgram::PrepareRows(uint32_t begin, uint32_t end) {
  for (size_t t = 0; t < rope_.size(); ++t) {
    const RopeTable& table = graph_.ropes()[t];
    const RopeScratch& scratch = rope_[t];
    for (uint32_t row = begin; row < end; ++row) {
      for (uint32_t i = 0; i < scratch.pairs; ++i) {
        const uint8_t axis = table.axis.empty() ? 0 : table.axis[i];
        const int32_t position = step_->ropes.empty() ? step_->positions[row] : step_->ropes[row][axis];
        const double angle = static_cast<double>(position) * static_cast<double>(table.inverse_frequency[i]);
        scratch.cos[uint64_t{row} * scratch.pairs + i] = static_cast<float>(cos(angle)) * table.magnitude;
        scratch.sin[uint64_t{row} * scratch.pairs + i] = static_cast<float>(sin(angle)) * table.magnitude;
      }
    }
  }
}

void CpuProgram::RunRowWise(const Phase& phase, int worker) {
  for (uint32_t i = phase.begin; i < phase.end; ++i) {
    const Node& node = graph_.nodes()[plan_.instructions[i].nodes[0]];
    // All outputs are looked at where some are taken as they are.
    const Rows of = node.op == OpKind::kTakeHidden ? Rows::kOutputs : graph_.value(node.out).rows;
    const Range rows = Split(NumRows(of), worker);
    if (node.op == OpKind::kAttention) {
      WriteCache(node, rows.begin, rows.end);
    } else {
      RunNodeOnRows(node, rows.begin, rows.end, worker);
    }
  }
}

void CpuProgram::RunNodeOnRows(const Node& node, uint32_t begin, uint32_t end, int worker) {
  const uint32_t cols = graph_.value(node.out).cols;
  float* out = Values(node.out);
  const bool moves = node.op == OpKind::kSelectOutputs || node.op == OpKind::kTakeHidden || node.op == OpKind::kMerge ||
                     node.op == OpKind::kMergeMean || node.op == OpKind::kConcat;
  const float* in = node.in.empty() || moves ? nullptr : Values(node.in[0]);
  if (IsUnitActs(node.out)) {
    const size_t row_bytes = simd::UnitRowBytes(cols, /*low=*/false);
    float* y = reinterpret_cast<float*>(unpacked_[static_cast<size_t>(worker)].data());
    for (uint32_t row = begin; row < end; ++row) {
      RunRow(node, row, in + uint64_t{row} * cols, y, worker);
      unit_->split(y, cols, /*low=*/false, UnitActs(node.out) + simd::UnitRowAt(row, row_bytes));
    }
    return;
  }
  for (uint32_t row = begin; row < end; ++row) {
    float* y = out + uint64_t{row} * cols;
    if (moves) {
      RunMovingRow(node, row, y);
    } else {
      RunRow(node, row, in == nullptr ? nullptr : in + uint64_t{row} * cols, y, worker);
    }
  }
}

// Operations whose rows are other rows, or parts of rows, of what they read.
void CpuProgram::RunMovingRow(const Node& node, uint32_t row, float* y) {
  const ValueId in = node.in[0];
  const uint32_t cols = graph_.value(in).cols;
  const uint32_t merge = graph_.merge();
  switch (node.op) {
    case OpKind::kSelectOutputs: {
      const size_t outputs = step_->outputs.size();
      const uint32_t from = row < outputs ? step_->outputs[row] : step_->hidden_rows[row - outputs];
      memcpy(y, Values(in) + uint64_t{from} * cols, cols * sizeof(float));
      break;
    }
    case OpKind::kTakeHidden: {
      const size_t logits = step_->outputs.size();
      float* to = row < logits ? y : step_->hidden + (row - logits) * cols;
      memcpy(to, Values(in) + uint64_t{row} * cols, cols * sizeof(float));
      break;
    }
    case OpKind::kMerge:
      if (node.interleaved) {
        const float* x = Values(in) + uint64_t{row} * merge * cols;
        for (uint32_t c = 0; c < cols; ++c) {
          for (uint32_t i = 0; i < merge; ++i) *y++ = x[uint64_t{i} * cols + c];
        }
        break;
      }
      memcpy(y, Values(in) + uint64_t{row} * merge * cols, uint64_t{merge} * cols * sizeof(float));
      break;
    case OpKind::kMergeMean: {
      const float* x = Values(in) + uint64_t{row} * merge * cols;
      memcpy(y, x, cols * sizeof(float));
      for (uint32_t i = 1; i < merge; ++i) kernels_.add(y, x + uint64_t{i} * cols, cols, y);
      kernels_.scale(y, 1.0f / static_cast<float>(merge), cols, y);
      break;
    }
    default:  // kConcat
      for (const ValueId part : node.in) {
        const uint32_t part_cols = graph_.value(part).cols;
        memcpy(y, Values(part) + uint64_t{row} * part_cols, part_cols * sizeof(float));
        y += part_cols;
      }
      break;
  }
}

void CpuProgram::RunRow(const Node& node, uint32_t row, const float* x, float* y, int worker) {
  const uint32_t cols = graph_.value(node.out).cols;
  const float* input = step_->inputs.empty() ? nullptr : step_->inputs[row];
  switch (node.op) {
    case OpKind::kEmbed: {
      if (input != nullptr) {
        memcpy(y, input, cols * sizeof(float));
        break;
      }
      const CpuWeight& table = weights_[node.weights[0]];
      const uint64_t token = static_cast<uint64_t>(step_->tokens[row]);
      if (table.sparse != nullptr) {
        DecodeRowOf(table, token, own_acts_[static_cast<size_t>(worker)].data(), y);
      } else {
        table.LookUp(token, y);
      }
      if (node.scale != 1.0f) kernels_.scale(y, node.scale, cols, y);
      break;
    }
    case OpKind::kInput:
      memcpy(y, input + node.column, cols * sizeof(float));
      break;
    case OpKind::kAddInput:
      if (input != nullptr) {
        kernels_.add(x, input + node.column, cols, y);
      } else {
        memcpy(y, x, cols * sizeof(float));
      }
      break;
    case OpKind::kRmsNorm:
      for (uint32_t c = 0; c < cols; c += node.group) {
        kernels_.rms_norm(x + c, weights_[node.weights[0]].floats(), node.group, node.epsilon, y + c);
      }
      break;
    case OpKind::kLayerNorm: {
      const float* bias = node.weights[1] == kNone ? nullptr : weights_[node.weights[1]].floats();
      kernels_.layer_norm(x, weights_[node.weights[0]].floats(), bias, cols, node.epsilon, y);
      break;
    }
    case OpKind::kAdd:
      kernels_.add(x, Values(node.in[1]) + uint64_t{row} * cols, cols, y);
      break;
    case OpKind::kMulVector:
      kernels_.mul(x, weights_[node.weights[0]].floats(), cols, y);
      break;
    case OpKind::kRope: {
      const RopeScratch& scratch = rope_[node.rope];
      const float* c = scratch.cos + uint64_t{row} * scratch.pairs;
      const float* s = scratch.sin + uint64_t{row} * scratch.pairs;
      const bool adjacent = graph_.ropes()[node.rope].layout == RopeTable::Layout::kAdjacent;
      memcpy(y, x, cols * sizeof(float));
      for (uint32_t head = 0; head < cols; head += node.group) {
        (adjacent ? kernels_.rope_adjacent : kernels_.rope_split)(y + head, c, s, scratch.pairs);
      }
      break;
    }
    case OpKind::kSoftcap:
      kernels_.softcap(x, node.cap, cols, y);
      break;
    default:
      break;
  }
}

void CpuProgram::RunElements(const Node& node, int worker) {
  const uint32_t cols = graph_.value(node.out).cols;
  const uint32_t cuts = (cols + kElementColumns - 1) / kElementColumns;
  const Range units = Split(NumRows(graph_.value(node.out).rows) * cuts, worker);
  const float* gate = Values(node.in[0]);
  const float* up = node.op == OpKind::kGate ? Values(node.in[1]) : nullptr;
  float* out = Values(node.out);
  for (uint32_t unit = units.begin; unit < units.end; ++unit) {
    const uint32_t begin = unit % cuts * kElementColumns;
    const uint64_t at = uint64_t{unit / cuts} * cols + begin;
    kernels_.gate(KernelActivation(node.activation), gate + at, up == nullptr ? nullptr : up + at,
                  std::min(kElementColumns, cols - begin), out + at);
  }
}

}  // namespace mote
