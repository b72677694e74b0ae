// From a plan to launches.
#include <stddef.h>

#include <algorithm>

#include "targets/cuda/cuda_program.h"
#include "targets/cuda/runtime.h"

namespace mote::cuda {
namespace {

static_assert(static_cast<uint8_t>(Rows::kTokens) == kRowsTokens &&
              static_cast<uint8_t>(Rows::kOutputs) == kRowsOutputs &&
              static_cast<uint8_t>(Rows::kLogits) == kRowsLogits && static_cast<uint8_t>(Rows::kMerged) == kRowsMerged);
static_assert(sizeof(TokenLogit) == sizeof(BestLogit) && offsetof(TokenLogit, logit) == offsetof(BestLogit, logit));
static_assert(static_cast<uint8_t>(Activation::kSilu) == kSilu && static_cast<uint8_t>(Activation::kGelu) == kGelu &&
              static_cast<uint8_t>(Activation::kGeluTanh) == kGeluTanh &&
              static_cast<uint8_t>(Activation::kRelu) == kRelu &&
              static_cast<uint8_t>(Activation::kGeluQuick) == kGeluQuick);

// Of the operations that look at rows alone; attention's is its writing of the cache.
RowOpKind KindOf(OpKind op) {
  switch (op) {
    case OpKind::kEmbed:
      return RowOpKind::kEmbed;
    case OpKind::kInput:
      return RowOpKind::kInput;
    case OpKind::kAddInput:
      return RowOpKind::kAddInput;
    case OpKind::kRmsNorm:
      return RowOpKind::kRmsNorm;
    case OpKind::kLayerNorm:
      return RowOpKind::kLayerNorm;
    case OpKind::kAdd:
      return RowOpKind::kAdd;
    case OpKind::kMulVector:
      return RowOpKind::kMulVector;
    case OpKind::kGate:
      return RowOpKind::kGate;
    case OpKind::kActivation:
      return RowOpKind::kActivation;
    case OpKind::kRope:
      return RowOpKind::kRope;
    case OpKind::kAttention:
      return RowOpKind::kCacheKeys;
    case OpKind::kSelectOutputs:
      return RowOpKind::kSelect;
    case OpKind::kTakeHidden:
      return RowOpKind::kTakeHidden;
    case OpKind::kMerge:
      return RowOpKind::kMerge;
    case OpKind::kMergeMean:
      return RowOpKind::kMergeMean;
    case OpKind::kConcat:
      return RowOpKind::kConcat;
    default:  // kSoftcap: products, gates of experts and attention have launches of their own
      return RowOpKind::kSoftcap;
  }
}

RowOp QuantizeOp(const float* values, uint64_t cols, uint8_t rows_kind, Acts acts, uint8_t* out) {
  RowOp op = {};
  op.kind = RowOpKind::kQuantize;
  op.rows_kind = rows_kind;
  op.cols = static_cast<uint32_t>(cols);
  op.acts = acts;
  op.in0 = values;
  op.out = reinterpret_cast<float*>(out);
  return op;
}

}  // namespace

float* CudaProgram::Values(ValueId id) const {
  if (plan_.value_offset[id] == UINT64_MAX) return result_.As<float>();
  return reinterpret_cast<float*>(arena_.data() + plan_.value_offset[id]);
}

void CudaProgram::Build() {
  few_rows_.clear();
  ops_.clear();
  op_nodes_.clear();
  row_launches_.clear();
  products_.clear();
  attentions_.clear();
  attention_values_.clear();
  experts_.clear();
  CountUses();
  if (reads_) read_launches_ = List(true);
  launches_ = List(false);
  for (const uint32_t rows : {1u, kFuseRows, kGraphRows}) few_rows_.push_back({rows, Fuse(rows)});
  FindPersistentRun();
}

// All launches, none done by another; `reads`: of steps with tokens that are read.
std::vector<CudaProgram::Launch> CudaProgram::List(bool reads) {
  launches_.clear();
  builds_reads_ = reads;
  std::fill(held_, held_ + kActKinds, kNone);
  std::fill(generated_held_, generated_held_ + kActKinds, kNone);
  std::fill(read_held_, read_held_ + kReadActKinds, kNone);
  for (const Phase& phase : plan_.phases) {
    phase_begins_ = true;
    for (uint32_t i = phase.begin; i < phase.end; ++i) AddInstruction(plan_.instructions[i], phase.row_wise);
  }
  if (reads) {
    FuseReadGates(&launches_);
    CountRoundings(launches_);
  }
  PlanRowLaunches(&launches_);
  return std::move(launches_);
}

RowFacts CudaProgram::FactsOfRows() const {
  RowFacts facts;
  facts.step = step_.As<StepArgs>();
  facts.counts = CountsOnDevice();
  facts.rows[kRowsTokens] = facts.rows[kRowsGenerated] = plan_.max_tokens;
  facts.rows[kRowsOutputs] = facts.rows[kRowsLogits] = plan_.max_outputs;
  facts.rows[kRowsMerged] = plan_.max_outputs / graph_.merge();
  facts.merge = graph_.merge();
  return facts;
}

// What products read only as it was rounded is not written besides. (Not where an observer may look, as in all other
// launches.)
void CudaProgram::CountRoundings(const std::vector<Launch>& launches) {
  std::vector<uint32_t> others(plan_.value_offset.size());  // nodes that read the value itself
  for (const Node& node : graph_.nodes()) {
    const bool rounds = node.op == OpKind::kMatMul && ActsOf(weights_[node.weights[0]].type) != Acts::kFloat;
    for (const ValueId in : node.in) others[in] += rounds ? 0 : 1;
  }
  for (const Launch& launch : launches) {
    if (launch.kind != LaunchKind::kRows) continue;
    for (uint32_t i = launch.begin; i < launch.end; ++i) {
      if (op_nodes_[i] == kNone) continue;
      const ValueId value = graph_.nodes()[op_nodes_[i]].out;
      if (ops_[i].out != Values(value) || others[value] != 0 || value == graph_.result()) continue;
      // Up to who writes there next.
      for (uint32_t next = i + 1; next < ops_.size() && ops_[next].out != ops_[i].out; ++next) {
        const bool rounds = ops_[next].kind == RowOpKind::kQuantize || ops_[next].kind == RowOpKind::kRoundRead;
        if (rounds && ops_[next].in0 == ops_[i].out) ++ops_[i].roundings;
      }
    }
  }
}

// Once all operations of each launch are known: quantising is added to the launch before a product.
void CudaProgram::PlanRowLaunches(std::vector<Launch>* launches) {
  const RowFacts facts = FactsOfRows();
  for (Launch& launch : *launches) {
    if (launch.kind != LaunchKind::kRows) continue;
    const std::vector<RowArgs> planned =
        PlanRows(std::span(ops_).subspan(launch.begin, launch.end - launch.begin), facts);
    launch.planned_begin = static_cast<uint32_t>(row_launches_.size());
    row_launches_.insert(row_launches_.end(), planned.begin(), planned.end());
    launch.planned_end = static_cast<uint32_t>(row_launches_.size());
  }
}

// Attention comes twice: its writing of the cache ends a row-wise phase.
void CudaProgram::AddInstruction(const Instruction& instruction, bool row_wise) {
  const Node& node = graph_.nodes()[instruction.nodes[0]];
  switch (node.op) {
    case OpKind::kMatMul:
      return AddProducts(instruction);
    case OpKind::kMoe:
      return AddExperts(node, instruction.nodes[0]);
    case OpKind::kAttention: {
      if (!row_wise) return AddAttention(node);
      StartRows();
      RowOp op = RowOpOf(node);
      AddRowOp(op, instruction.nodes[0]);
      op.kind = RowOpKind::kCacheValues;
      op.in0 = Values(node.in[2]);
      op.cols = graph_.value(node.in[2]).cols;
      op.group = node.attention.value_dim;
      op.flag = plan_.cache.values == DType::kQ8_0 ? 1 : 0;
      AddRowOp(op, instruction.nodes[0]);
      return;
    }
    case OpKind::kConcat: {
      StartRows();
      RowOp op = RowOpOf(node);
      for (const ValueId part : node.in) {
        op.in0 = Values(part);
        op.in_cols = graph_.value(part).cols;
        AddRowOp(op);
        op.column += op.in_cols;
      }
      return;
    }
    default:
      break;
  }
  StartRows();
  AddRowOp(RowOpOf(node), instruction.nodes[0]);
}

// Operations of one phase of the plan are planned together, and of two phases never: between phases the arena gives
// bytes out again, and a row of a new value may lie where another row of an old one is still being read.
void CudaProgram::StartRows() {
  const uint32_t at = static_cast<uint32_t>(ops_.size());
  if (phase_begins_) launches_.push_back({LaunchKind::kRows, 0, at, at});
  phase_begins_ = false;
}

void CudaProgram::AddRowOp(RowOp op, uint32_t node) {
  if (launches_.empty() || launches_.back().kind != LaunchKind::kRows) {
    launches_.push_back({LaunchKind::kRows, 0, static_cast<uint32_t>(ops_.size()), static_cast<uint32_t>(ops_.size())});
  }
  ops_.push_back(op);
  op_nodes_.push_back(node);
  launches_.back().end = static_cast<uint32_t>(ops_.size());
}

RowOp CudaProgram::RowOpOf(const Node& node) {
  RowOp op = {};
  op.rows_kind = RowsOf(node.out);
  op.cols = graph_.value(node.out).cols;
  op.out = Values(node.out);
  op.group = node.group;
  op.column = node.column;
  op.activation = static_cast<uint8_t>(node.activation);
  if (!node.in.empty()) {
    op.in0 = Values(node.in[0]);
    op.in_cols = graph_.value(node.in[0]).cols;
  }
  if (node.in.size() > 1) op.in1 = Values(node.in[1]);
  const auto floats = [&](size_t i) {
    return node.weights.size() <= i || node.weights[i] == kNone ? nullptr : weights_[node.weights[i]].floats();
  };
  op.kind = KindOf(node.op);
  switch (node.op) {
    case OpKind::kEmbed:
      op.type = weights_[node.weights[0]].type;
      op.packed = weights_[node.weights[0]].data;
      op.flag = weights_[node.weights[0]].is_sparse ? 1 : 0;
      op.value = node.scale;
      break;
    case OpKind::kRmsNorm:
    case OpKind::kLayerNorm:
      op.weight = floats(0);
      op.bias = floats(1);
      op.value = node.epsilon;
      break;
    case OpKind::kMulVector:
      op.weight = floats(0);
      break;
    case OpKind::kRope:
      op.flag = graph_.ropes()[node.rope].layout == RopeTable::Layout::kAdjacent ? 1 : 0;
      op.pairs = rope_args_[node.rope].pairs;
      op.weight = rope_args_[node.rope].cos;
      op.bias = rope_args_[node.rope].sin;
      break;
    case OpKind::kAttention:
      op.in0 = Values(node.in[1]);
      op.out = nullptr;
      op.cols = graph_.value(node.in[1]).cols;
      op.group = node.attention.key_dim;
      op.flag = plan_.cache.keys == DType::kQ8_0 ? 1 : 0;
      op.layer = node.attention.layer;
      break;
    case OpKind::kTakeHidden:  // looks at all outputs
      op.rows_kind = kRowsOutputs;
      break;
    case OpKind::kMerge:
      op.flag = node.interleaved ? 1 : 0;
      break;
    case OpKind::kSoftcap:
      op.value = node.cap;
      break;
    default:
      break;
  }
  return op;
}

const uint8_t* CudaProgram::PrepareActs(ValueId value, DType type, bool of_generated) {
  const Acts acts = ActsOf(type);
  if (acts == Acts::kFloat) return reinterpret_cast<const uint8_t*>(Values(value));
  uint8_t* out = acts_[static_cast<int>(acts)].data();
  ValueId &all = held_[static_cast<int>(acts)], &some = generated_held_[static_cast<int>(acts)];
  if (all == value || (of_generated && some == value)) return out;
  some = value;
  all = of_generated ? kNone : value;
  // Where the launch before is row-wise, the threads that have just computed a row quantise it.
  RowOp op = QuantizeOp(Values(value), graph_.value(value).cols, RowsOf(value), acts, out);
  op.flag = of_generated ? 1 : 0;
  AddRowOp(op);
  return out;
}

const uint8_t* CudaProgram::PrepareReadActs(ValueId value, DType type) {
  const ReadActs acts = ReadActsOf(type);
  if (!builds_reads_ || acts == ReadActs::kNone || RowsOf(value) != kRowsTokens) return nullptr;
  uint8_t* out = read_acts_[static_cast<int>(acts)].data();
  ValueId& held = read_held_[static_cast<int>(acts)];
  if (held == value) return out;
  held = value;
  RowOp op = {};
  op.kind = RowOpKind::kRoundRead;
  op.rows_kind = kRowsTokens;
  op.cols = static_cast<uint32_t>(graph_.value(value).cols);
  op.column = plan_.max_tokens;
  op.read_acts = acts;
  op.in0 = Values(value);
  op.out = reinterpret_cast<float*>(out);
  AddRowOp(op);
  return out;
}

CudaProgram::Product CudaProgram::ProductOf(DType type, const uint8_t* acts, uint8_t rows_kind, uint64_t cols) const {
  Product product = {};
  product.type = type;
  product.args.row_tiles = RowTiles(cols);
  product.args.cols = static_cast<uint32_t>(cols);
  product.args.acts = acts;
  const Acts kind = ActsOf(type);
  product.args.act_bytes = kind == Acts::kFloat ? cols * sizeof(float) : ActRowBytes(kind, cols);
  product.args.counts = CountsOnDevice();
  product.args.rows_kind = rows_kind;
  product.args.activation = kNoActivation;
  return product;
}

void CudaProgram::AddProducts(const Instruction& instruction) {
  const Node& first = graph_.nodes()[instruction.nodes[0]];
  const ValueId in = first.in[0];
  const uint64_t cols = graph_.value(in).cols;
  std::vector<Product> products;
  for (const uint32_t n : instruction.nodes) {
    const Node& node = graph_.nodes()[n];
    const CudaWeight& weight = weights_[node.weights[0]];
    const bool has_activation = instruction.activation != kNone;
    const auto fits = [&](const Product& p) {
      return p.type == weight.type && p.is_sparse == weight.is_sparse && p.args.matrices < kMaxMatrices;
    };
    auto product = std::find_if(products.begin(), products.end(), fits);
    if (product == products.end()) {
      const uint8_t* read_acts = weight.is_sparse ? nullptr : PrepareReadActs(in, weight.type);
      const uint8_t* acts = PrepareActs(in, weight.type, read_acts != nullptr);
      products.push_back(ProductOf(weight.type, acts, RowsOf(in), cols));
      product = products.end() - 1;
      product->node = n;
      product->is_sparse = weight.is_sparse;
      product->read_acts = read_acts;
      if (has_activation)
        product->args.activation = static_cast<uint8_t>(graph_.nodes()[instruction.activation].activation);
    }
    product->sparse[product->args.matrices] = weight.sparse;
    MatrixArgs& matrix = product->args.matrix[product->args.matrices++];
    matrix.weights = weight.is_sparse ? nullptr : weight.data;
    matrix.bias = node.weights[1] == kNone ? nullptr : weights_[node.weights[1]].floats();
    matrix.out = Values(has_activation ? graph_.nodes()[instruction.activation].out : node.out);
    matrix.rows = static_cast<uint32_t>(weight.rows);
  }
  const uint32_t begin = static_cast<uint32_t>(products_.size());
  products_.insert(products_.end(), products.begin(), products.end());
  launches_.push_back({LaunchKind::kMatMul, RowsOf(in), begin, static_cast<uint32_t>(products_.size())});
}

void CudaProgram::AddAttention(const Node& node) {
  const AttentionParams& p = node.attention;
  AttentionArgs args = {};
  args.step = step_.As<StepArgs>();
  args.layer = p.layer;
  args.heads = p.heads;
  args.kv_heads = p.kv_heads;
  args.key_dim = p.key_dim;
  args.value_dim = p.value_dim;
  args.scale = p.scale;
  args.softcap = p.softcap;
  args.window = p.window;
  args.sight = p.sight;
  args.key_q8 = plan_.cache.keys == DType::kQ8_0 ? 1 : 0;
  args.value_q8 = plan_.cache.values == DType::kQ8_0 ? 1 : 0;
  args.q = Values(node.in[0]);
  args.out = Values(node.out);
  attentions_.push_back(args);
  attention_values_.push_back(node.out);
  const uint32_t index = static_cast<uint32_t>(attentions_.size() - 1);
  launches_.push_back({LaunchKind::kAttention, kRowsTokens, index, index + 1});
}

void CudaProgram::AddExperts(const Node& node, uint32_t index) {
  const MoeParams& p = node.moe;
  const ValueId in = node.in[0];
  const uint64_t width = graph_.value(node.out).cols;
  const CudaWeight& router = weights_[node.weights[0]];
  const CudaWeight& down = weights_[node.weights[3]];
  const uint64_t ff = down.cols;
  const uint8_t rows_kind = RowsOf(in);
  const StepCounts* counts = CountsOnDevice();
  Experts moe = {};
  moe.node = index;
  moe.experts = p.experts;
  moe.used = p.used;

  const ExpertLayout layout(plan_.max_tokens, p, ff, width);
  const auto at = [&](uint64_t offset) { return expert_memory_.data() + offset; };
  RouteArgs& route = moe.route;
  route.counts = counts;
  route.rows_kind = rows_kind;
  route.experts = p.experts;
  route.used = p.used;
  route.normalize = p.normalize ? 1 : 0;
  route.weight_scale = p.weight_scale;
  route.probabilities = reinterpret_cast<float*>(at(layout.probabilities));
  route.expert = reinterpret_cast<uint32_t*>(at(layout.expert));
  route.weight = reinterpret_cast<float*>(at(layout.weight));
  route.slot = reinterpret_cast<uint32_t*>(at(layout.slot));
  route.first = reinterpret_cast<uint32_t*>(at(layout.first));
  route.row_of_slot = reinterpret_cast<uint32_t*>(at(layout.row_of_slot));
  float* gate_out = reinterpret_cast<float*>(at(layout.gate_out));
  float* up_out = reinterpret_cast<float*>(at(layout.up_out));
  float* down_out = reinterpret_cast<float*>(at(layout.down_out));

  const auto product_of = [&](const CudaWeight& weight, float* out) {
    Product product = ProductOf(weight.type, PrepareActs(in, weight.type), rows_kind, width);
    product.node = index;
    product.args.matrices = 1;
    product.args.matrix[0] = {weight.data, nullptr, out, static_cast<uint32_t>(weight.rows), 0};
    return product;
  };
  moe.router.push_back(product_of(router, route.probabilities));
  for (int i = 1; i <= 2; ++i) {
    const CudaWeight& weight = weights_[node.weights[static_cast<size_t>(i)]];
    Product product = product_of(weight, i == 1 ? gate_out : up_out);
    product.args.experts = {route.first, route.row_of_slot, weight.part_bytes};
    if (i == 2 && moe.inner[0].type == weight.type) {
      moe.inner[0].args.matrix[moe.inner[0].args.matrices++] = product.args.matrix[0];
    } else {
      moe.inner.push_back(product);
    }
  }
  const Acts down_acts = ActsOf(down.type);
  RowOp gate = {};
  gate.kind = RowOpKind::kGate;
  gate.rows_kind = rows_kind;
  gate.activation = static_cast<uint8_t>(p.activation);
  gate.cols = static_cast<uint32_t>(ff);
  gate.in0 = gate.out = gate_out;
  gate.in1 = up_out;
  std::vector<RowOp> gate_ops = {gate};
  if (down_acts != Acts::kFloat) {
    gate_ops.push_back(QuantizeOp(gate_out, ff, rows_kind, down_acts, slot_acts_.data()));
  }
  RowFacts facts = FactsOfRows();
  facts.per_row = p.used;
  moe.gate = PlanRows(gate_ops, facts);
  moe.gated = gate_out;
  Product product =
      ProductOf(down.type, down_acts == Acts::kFloat ? reinterpret_cast<const uint8_t*>(gate_out) : slot_acts_.data(),
                rows_kind, ff);
  product.node = index;
  product.args.matrices = 1;
  product.args.matrix[0] = {down.data, nullptr, down_out, static_cast<uint32_t>(down.rows), 0};
  product.args.experts = {route.first, nullptr, down.part_bytes};
  moe.down.push_back(product);
  moe.combine = {counts,   rows_kind,  p.used,       static_cast<uint32_t>(width),
                 down_out, route.slot, route.weight, Values(node.out)};
  experts_.push_back(std::move(moe));
  const uint32_t own = static_cast<uint32_t>(experts_.size() - 1);
  launches_.push_back({LaunchKind::kMoe, rows_kind, own, own + 1});
}

}  // namespace mote::cuda
