// Launches of row operations that the products and the attention around them do instead, for steps of few rows. Which
// ones is decided by what the operations are and by who reads their results, once for a program; the bits are the same.
//
// Of a layer of a model of llama's kind, quantised, six launches were not products: norm and rounding, rotation and
// cache, attention, rounding, sum and norm and rounding, gate and rounding. With one row attention alone is left, with
// up to 8 it and both norms, with up to 32 all but the rounding of attention's results.
#include <algorithm>

#include "targets/cuda/cuda_program.h"
#include "targets/cuda/launch.h"
#include "targets/cuda/runtime.h"

namespace mote::cuda {
namespace {

bool IsRounding(const RowOp& op) {  // to 8 bits
  return op.kind == RowOpKind::kQuantize && (op.acts == Acts::kBytes32 || op.acts == Acts::kBytes256);
}

// Whether a product's two matrices, and they alone, make what the gate takes; `turned`: the second is the gate's.
bool MakesGate(const MatMulArgs& product, const RowOp& gate, bool* turned) {
  const MatrixArgs &first = product.matrix[0], &second = product.matrix[1];
  if (product.matrices != 2 || product.activation != kNoActivation) return false;
  if (first.rows != second.rows || first.rows % kTileCols != 0) return false;
  *turned = first.out == gate.in1 && second.out == gate.in0;
  return *turned || (first.out == gate.in0 && second.out == gate.in1);
}

}  // namespace

void CudaProgram::CountUses() {
  uses_.assign(plan_.value_offset.size(), 0);
  for (const Node& node : graph_.nodes()) {
    for (const ValueId in : node.in) ++uses_[in];
  }
  ++uses_[graph_.result()];
}

// Whether the products of `launch` alone read `value`, and read what `quantize` makes of it.
bool CudaProgram::AloneReads(const Launch& launch, const RowOp& quantize, ValueId value) const {
  if (launch.kind != LaunchKind::kMatMul || quantize.in0 != Values(value)) return false;
  uint32_t matrices = 0;
  for (uint32_t i = launch.begin; i < launch.end; ++i) {
    if (products_[i].args.acts != reinterpret_cast<const uint8_t*>(quantize.out)) return false;
    matrices += products_[i].args.matrices;
  }
  return uses_[value] == matrices;
}

// Products of a launch that no other list of launches has.
std::span<CudaProgram::Product> CudaProgram::OwnProducts(Launch* launch) {
  const std::vector<Product> own(products_.begin() + launch->begin, products_.begin() + launch->end);
  launch->begin = static_cast<uint32_t>(products_.size());
  products_.insert(products_.end(), own.begin(), own.end());
  launch->end = static_cast<uint32_t>(products_.size());
  return std::span(products_).subspan(launch->begin);
}

// A sum, its norm and the rounding of that: the sum to the product before, the others to those after.
bool CudaProgram::FuseNorm(const Launch& rows, Launch* before, Launch* after) {
  if (rows.end - rows.begin != 3 || before->kind != LaunchKind::kMatMul || before->end - before->begin != 1) {
    return false;
  }
  const RowOp &add = ops_[rows.begin], &norm = ops_[rows.begin + 1], &quantize = ops_[rows.begin + 2];
  if (add.kind != RowOpKind::kAdd || norm.kind != RowOpKind::kRmsNorm || !IsRounding(quantize)) return false;
  if (add.rows_kind != kRowsTokens || norm.rows_kind != kRowsTokens || norm.in0 != add.out) return false;
  if (norm.group != norm.cols || norm.cols > kMaxNormCols || norm.cols % 8 != 0) return false;
  if (IsLanesNorm(norm.group)) return false;  // those are summed in another order
  if (!AloneReads(*after, quantize, graph_.nodes()[op_nodes_[rows.begin + 1]].out)) return false;
  const uint32_t shared = ShapeOf(stream_).block_shared_bytes;
  const auto can_norm = [&](const Product& p) {
    return !p.is_sparse && FormatOf(p.type).integer() && NormingBytes(p.type) <= shared;
  };
  if (!std::all_of(products_.begin() + after->begin, products_.begin() + after->end, can_norm)) return false;
  // The product's result is one of the two, and nobody else's.
  const Product& product = products_[before->begin];
  const Node& sum = graph_.nodes()[op_nodes_[rows.begin]];
  const float* out = product.args.matrix[0].out;
  if (product.is_sparse || product.type == DType::kF32 || product.args.matrices != 1 || add.in0 == add.in1)
    return false;
  if ((out != add.in0 && out != add.in1) || product.args.matrix[0].rows != add.cols) return false;
  if (uses_[sum.in[out == add.in0 ? 0 : 1]] != 1) return false;

  MatrixArgs& matrix = OwnProducts(before)[0].args.matrix[0];
  matrix.add = out == add.in0 ? add.in1 : add.in0;
  matrix.out = add.out;
  for (Product& p : OwnProducts(after)) p.args.norm = {norm.in0, norm.weight, norm.value};
  return true;
}

// A gate and its rounding, to the product that makes both of its inputs. Its blocks write while others still read what
// is multiplied with: so elsewhere.
bool CudaProgram::FuseGate(const Launch& rows, Launch* before, Launch* after) {
  if (rows.end - rows.begin != 2 || before->kind != LaunchKind::kMatMul || before->end - before->begin != 1) {
    return false;
  }
  const RowOp &gate = ops_[rows.begin], &quantize = ops_[rows.begin + 1];
  if (gate.kind != RowOpKind::kGate || !IsRounding(quantize)) return false;
  const Node& node = graph_.nodes()[op_nodes_[rows.begin]];
  if (!AloneReads(*after, quantize, node.out) || uses_[node.in[0]] != 1 || uses_[node.in[1]] != 1) return false;
  const Product& product = products_[before->begin];
  bool turned = false;
  if (product.is_sparse || ActsOf(product.type) != quantize.acts) return false;
  // Groups of several blocks: where the blocks norm their one row themselves.
  if (quantize.acts == Acts::kBytes256 && product.args.norm.values == nullptr) return false;
  if (!MakesGate(product.args, gate, &turned)) return false;

  MatMulArgs& args = OwnProducts(before)[0].args;  // until the next of these
  if (turned) std::swap(args.matrix[0], args.matrix[1]);
  args.gate.acts = gated_acts_.data();
  args.gate.act_bytes = ActRowBytes(quantize.acts, quantize.cols);
  args.gate.activation = gate.activation;
  args.gate.parts = gate_parts_.As<float>();
  args.gate.arrived = gate_parts_.As<uint32_t>() + gate_parts_.size() / kGateTileBytes * kTileCols;
  for (Product& p : OwnProducts(after)) p.args.acts = gated_acts_.data();
  return true;
}

// The same of tokens that are read; those that are not have their gate and its rounding as ever.
bool CudaProgram::FuseReadGate(Launch* rows, const Launch& before, const Launch& after) {
  if (rows->kind != LaunchKind::kRows || rows->end - rows->begin != 3) return false;
  if (before.kind != LaunchKind::kMatMul || before.end - before.begin != 1 || after.kind != LaunchKind::kMatMul) {
    return false;
  }
  RowOp &gate = ops_[rows->begin], &round = ops_[rows->begin + 1], &quantize = ops_[rows->begin + 2];
  if (gate.kind != RowOpKind::kGate || round.kind != RowOpKind::kRoundRead || gate.rows_kind != kRowsTokens)
    return false;
  if (quantize.kind != RowOpKind::kQuantize || quantize.flag == 0) return false;
  const Node& node = graph_.nodes()[op_nodes_[rows->begin]];
  if (!AloneReads(after, quantize, node.out) || uses_[node.in[0]] != 1 || uses_[node.in[1]] != 1) return false;
  Product& product = products_[before.begin];
  bool turned = false;
  if (product.read_acts == nullptr || product.args.matrix[0].rows != gate.cols) return false;
  if (!MakesGate(product.args, gate, &turned)) return false;
  for (uint32_t i = after.begin; i < after.end; ++i) {
    if (products_[i].read_acts != reinterpret_cast<const uint8_t*>(round.out)) return false;
  }

  if (turned) std::swap(product.args.matrix[0], product.args.matrix[1]);
  product.read_gate = {read_gated_.data(), round.read_acts, gate.activation};
  for (uint32_t i = after.begin; i < after.end; ++i) products_[i].read_acts = read_gated_.data();
  gate.rows_kind = quantize.rows_kind = kRowsGenerated;
  std::swap(round, quantize);
  std::swap(op_nodes_[rows->begin + 1], op_nodes_[rows->begin + 2]);
  --rows->end;
  return true;
}

void CudaProgram::FuseReadGates(std::vector<Launch>* launches) {
  for (size_t i = 1; i + 1 < launches->size(); ++i) {
    FuseReadGate(&(*launches)[i], (*launches)[i - 1], (*launches)[i + 1]);
  }
}

// The turning of queries and keys and the writing of the cache, to the products that make them.
bool CudaProgram::FuseHeads(const Launch& rows, Launch* before) {
  if (rows.end - rows.begin != 4 || before->kind != LaunchKind::kMatMul) return false;
  const RowOp *queries = nullptr, *keys = nullptr, *cached_keys = nullptr, *cached_values = nullptr;
  for (uint32_t i = rows.begin; i < rows.end; ++i) {
    const RowOp& op = ops_[i];
    if (op.kind == RowOpKind::kCacheKeys) cached_keys = &op;
    if (op.kind == RowOpKind::kCacheValues) cached_values = &op;
  }
  if (cached_keys == nullptr || cached_values == nullptr || cached_keys->flag != 0 || cached_values->flag != 0) {
    return false;
  }
  const auto uses_of = [&](const RowOp* op, size_t in) {
    return uses_[graph_.nodes()[op_nodes_[static_cast<size_t>(op - ops_.data())]].in[in]];
  };
  for (uint32_t i = rows.begin; i < rows.end; ++i) {
    const RowOp& op = ops_[i];
    if (op.kind == RowOpKind::kCacheKeys || op.kind == RowOpKind::kCacheValues) continue;
    if (op.kind != RowOpKind::kRope || op.flag == 0 || uses_of(&op, 0) != 1) return false;
    (op.out == cached_keys->in0 ? keys : queries) = &op;
  }
  if (queries == nullptr || keys == nullptr || uses_of(cached_keys, 1) != 1 || uses_of(cached_values, 2) != 1) {
    return false;
  }
  if (queries->weight != keys->weight || queries->pairs != keys->pairs || keys->group != cached_keys->group)
    return false;
  if (queries->group % 2 != 0 || keys->group % 2 != 0 || cached_values->group % 2 != 0) return false;

  const auto heads_of = [&](const MatrixArgs& matrix) {
    return matrix.out == queries->in0         ? Heads::kQueries
           : matrix.out == keys->in0          ? Heads::kKeys
           : matrix.out == cached_values->in0 ? Heads::kValues
                                              : Heads::kNone;
  };
  uint32_t matrices = 0;
  for (uint32_t i = before->begin; i < before->end; ++i) {
    const Product& product = products_[i];
    if (product.is_sparse || product.type == DType::kF32 || product.args.activation != kNoActivation) return false;
    for (uint32_t m = 0; m < product.args.matrices; ++m, ++matrices) {
      if (heads_of(product.args.matrix[m]) == Heads::kNone) return false;
    }
  }
  if (matrices != 3) return false;

  for (Product& product : OwnProducts(before)) {
    product.args.heads = {step_.As<StepArgs>(), keys->weight, keys->bias, keys->pairs, cached_keys->layer};
    for (uint32_t m = 0; m < product.args.matrices; ++m) {
      MatrixArgs& matrix = product.args.matrix[m];
      matrix.heads = heads_of(matrix);
      matrix.group = matrix.heads == Heads::kQueries ? queries->group
                     : matrix.heads == Heads::kKeys  ? keys->group
                                                     : cached_values->group;
      if (matrix.heads == Heads::kQueries) matrix.out = queries->out;
    }
  }
  return true;
}

// The rounding of attention's results.
bool CudaProgram::FuseRounding(const Launch& rows, const Launch& after, Launch* before) {
  if (rows.end - rows.begin != 1 || before->kind != LaunchKind::kAttention) return false;
  const RowOp& quantize = ops_[rows.begin];
  const AttentionArgs& plain = attentions_[before->begin];
  if (!IsRounding(quantize) || !AloneReads(after, quantize, attention_values_[before->begin])) return false;
  if (!AttentionCanRound(quantize.acts, plain.heads / plain.kv_heads, plain.value_dim)) return false;
  AttentionArgs args = plain;
  args.acts = quantize.acts;
  args.rounded = reinterpret_cast<uint8_t*>(quantize.out);
  before->begin = static_cast<uint32_t>(attentions_.size());
  before->end = before->begin + 1;
  attentions_.push_back(args);
  return true;
}

std::vector<CudaProgram::Launch> CudaProgram::Fuse(uint32_t rows) {
  std::vector<Launch> own = launches_;
  std::vector<bool> done(own.size());
  for (size_t i = 1; i + 1 < own.size(); ++i) {
    if (own[i].kind != LaunchKind::kRows) continue;
    done[i] = FuseRounding(own[i], own[i + 1], &own[i - 1]) ||
              (rows <= kFuseRows && FuseGate(own[i], &own[i - 1], &own[i + 1])) ||
              (rows <= kFuseRows && FuseHeads(own[i], &own[i - 1])) ||
              (rows == 1 && FuseNorm(own[i], &own[i - 1], &own[i + 1]));
  }
  std::vector<Launch> left;
  for (size_t i = 0; i < own.size(); ++i) {
    if (!done[i]) left.push_back(own[i]);
  }
  return left;
}

}  // namespace mote::cuda
