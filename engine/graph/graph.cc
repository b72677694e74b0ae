#include "engine/graph/graph.h"

#include <algorithm>
#include <utility>

#include "engine/core/checked.h"
#include "quant/block_sparse.h"

namespace mote {

const char* OpName(OpKind kind) {
  switch (kind) {
    case OpKind::kEmbed:
      return "Embed";
    case OpKind::kInput:
      return "Input";
    case OpKind::kAddInput:
      return "AddInput";
    case OpKind::kMatMul:
      return "MatMul";
    case OpKind::kRmsNorm:
      return "RmsNorm";
    case OpKind::kLayerNorm:
      return "LayerNorm";
    case OpKind::kAdd:
      return "Add";
    case OpKind::kMulVector:
      return "MulVector";
    case OpKind::kGate:
      return "Gate";
    case OpKind::kActivation:
      return "Activation";
    case OpKind::kRope:
      return "Rope";
    case OpKind::kAttention:
      return "Attention";
    case OpKind::kMoe:
      return "Moe";
    case OpKind::kSelectOutputs:
      return "SelectOutputs";
    case OpKind::kTakeHidden:
      return "TakeHidden";
    case OpKind::kMerge:
      return "Merge";
    case OpKind::kMergeMean:
      return "MergeMean";
    case OpKind::kConcat:
      return "Concat";
    case OpKind::kSoftcap:
      return "Softcap";
  }
  return "?";
}

void Graph::Fail(Status status) {
  if (status_.ok()) status_ = std::move(status);
}

bool Graph::Has(OpKind op, ValueId id) {
  if (!status_.ok()) return false;
  if (id < values_.size()) return true;
  Fail(Error(Code::kInternal, "%s: input value %u does not exist", OpName(op), id));
  return false;
}

bool Graph::HasVector(OpKind op, WeightId id, uint64_t cols, bool optional) {
  if (!status_.ok()) return false;
  if (id == kNone && optional) return true;
  if (id >= weights_.size()) {
    Fail(Error(Code::kInternal, "%s: weight %u does not exist", OpName(op), id));
    return false;
  }
  const Weight& weight = weights_[id];
  if (weight.rows * weight.cols != cols) {
    Fail(Error(Code::kMalformed, "%s: tensor %s has %llu values, expected %llu", OpName(op),
               weight.tensor->name.c_str(), static_cast<unsigned long long>(weight.rows * weight.cols),
               static_cast<unsigned long long>(cols)));
    return false;
  }
  if (weight.tensor->type != DType::kF32) {  // block-sparse ones never are
    Fail(Error(Code::kUnsupported, "%s: tensor %s has type %s; vectors (norms, biases) must be F32", OpName(op),
               weight.tensor->name.c_str(), DTypeName(weight.tensor->type)));
    return false;
  }
  return true;
}

ValueId Graph::Append(Node node, Rows rows, uint32_t cols) {
  if (!status_.ok()) return kNone;
  const ValueId id = static_cast<ValueId>(values_.size());
  values_.push_back({rows, cols});
  node.out = id;
  nodes_.push_back(std::move(node));
  return id;
}

WeightId Graph::AddWeight(const TensorInfo* tensor, uint64_t rows, uint64_t cols) {
  if (!status_.ok()) return kNone;
  if (tensor->cols() != cols || tensor->rows() != rows) {
    Fail(Error(Code::kMalformed, "tensor %s has shape (%llu rows, %llu cols), expected (%llu, %llu)",
               tensor->name.c_str(), static_cast<unsigned long long>(tensor->rows()),
               static_cast<unsigned long long>(tensor->cols()), static_cast<unsigned long long>(rows),
               static_cast<unsigned long long>(cols)));
    return kNone;
  }
  return AddWeightSlice(tensor, 0, rows, cols);
}

WeightId Graph::AddWeightSlice(const TensorInfo* tensor, uint64_t row_begin, uint64_t rows, uint64_t cols) {
  if (!status_.ok()) return kNone;
  const Checked64 end = Checked64(row_begin) + rows;
  if (rows == 0 || tensor->cols() != cols || !end.FitsIn(tensor->rows())) {
    Fail(Error(Code::kMalformed, "tensor %s has shape (%llu rows, %llu cols), expected at least %llu rows of %llu",
               tensor->name.c_str(), static_cast<unsigned long long>(tensor->rows()),
               static_cast<unsigned long long>(tensor->cols()), static_cast<unsigned long long>(row_begin + rows),
               static_cast<unsigned long long>(cols)));
    return kNone;
  }
  if (tensor->sparse != nullptr) {
    const bool whole_groups =
        row_begin % kSparseRows == 0 && (end.value() % kSparseRows == 0 || end.value() == tensor->rows());
    if (!whole_groups) {
      Fail(Error(Code::kUnsupported, "tensor %s is block-sparse: rows %llu to %llu of it are no whole groups of %zu",
                 tensor->name.c_str(), static_cast<unsigned long long>(row_begin),
                 static_cast<unsigned long long>(end.value()), kSparseRows));
      return kNone;
    }
    weights_.push_back({tensor, row_begin, rows, cols});
    return static_cast<WeightId>(weights_.size() - 1);
  }
  const DTypeInfo* info = DTypeInfoOf(tensor->type);
  if (info == nullptr || !info->is_weight) {
    Fail(Error(Code::kUnsupported, "tensor %s has type %s, which mote does not multiply with", tensor->name.c_str(),
               DTypeName(tensor->type)));
    return kNone;
  }
  weights_.push_back({tensor, row_begin, rows, cols});
  return static_cast<WeightId>(weights_.size() - 1);
}

bool Graph::HasSingleValues(const TensorInfo* tensor) {
  const DTypeInfo* info = DTypeInfoOf(tensor->type);
  if (info != nullptr && info->is_weight && info->block_values == 1 && tensor->sparse == nullptr) return true;
  Fail(Error(Code::kUnsupported, "tensor %s has type %s%s; here it must be F32, F16 or BF16, and dense",
             tensor->name.c_str(), DTypeName(tensor->type), tensor->sparse != nullptr ? ", block-sparse" : ""));
  return false;
}

WeightId Graph::AddWeightTransposed(const TensorInfo* tensor, uint64_t rows, uint64_t cols) {
  if (!status_.ok()) return kNone;
  if (tensor->cols() != rows || tensor->rows() != cols) {
    Fail(Error(Code::kMalformed, "tensor %s has shape (%llu rows, %llu cols), expected (%llu, %llu)",
               tensor->name.c_str(), static_cast<unsigned long long>(tensor->rows()),
               static_cast<unsigned long long>(tensor->cols()), static_cast<unsigned long long>(cols),
               static_cast<unsigned long long>(rows)));
    return kNone;
  }
  if (!HasSingleValues(tensor)) return kNone;
  weights_.push_back({tensor, 0, rows, cols, /*transposed=*/true});
  return static_cast<WeightId>(weights_.size() - 1);
}

WeightId Graph::AddWeightReshaped(const TensorInfo* tensor, uint64_t rows, uint64_t cols) {
  if (!status_.ok()) return kNone;
  const Checked64 values = Checked64(rows) * cols;
  if (rows == 0 || cols == 0 || !values.ok() || values.value() != tensor->values()) {
    Fail(Error(Code::kMalformed, "tensor %s has %llu values, expected %llu times %llu", tensor->name.c_str(),
               static_cast<unsigned long long>(tensor->values()), static_cast<unsigned long long>(rows),
               static_cast<unsigned long long>(cols)));
    return kNone;
  }
  if (!HasSingleValues(tensor)) return kNone;
  weights_.push_back({tensor, 0, rows, cols});
  return static_cast<WeightId>(weights_.size() - 1);
}

WeightId Graph::AddVectorSlice(const TensorInfo* tensor, uint64_t begin, uint64_t size) {
  if (!status_.ok()) return kNone;
  const Checked64 end = Checked64(begin) + size;
  if (size == 0 || tensor->rows() != 1 || !end.FitsIn(tensor->values())) {
    Fail(Error(Code::kMalformed, "tensor %s has %llu values in %llu rows, expected one row of at least %llu",
               tensor->name.c_str(), static_cast<unsigned long long>(tensor->values()),
               static_cast<unsigned long long>(tensor->rows()), static_cast<unsigned long long>(begin + size)));
    return kNone;
  }
  if (tensor->type != DType::kF32) {
    Fail(Error(Code::kUnsupported, "tensor %s has type %s; vectors (norms, biases) must be F32", tensor->name.c_str(),
               DTypeName(tensor->type)));
    return kNone;
  }
  weights_.push_back({tensor, begin, size, 1});
  return static_cast<WeightId>(weights_.size() - 1);
}

bool Graph::has_axes() const {
  for (const RopeTable& table : ropes_) {
    if (!table.axis.empty()) return true;
  }
  return false;
}

RopeId Graph::AddRope(RopeTable table) {
  if (!table.axis.empty() && table.axis.size() != table.inverse_frequency.size()) {
    Fail(Error(Code::kInternal, "a rotary table of %zu pairs with %zu axes", table.inverse_frequency.size(),
               table.axis.size()));
  }
  ropes_.push_back(std::move(table));
  return static_cast<RopeId>(ropes_.size() - 1);
}

ValueId Graph::Embed(WeightId table, float scale) {
  if (!status_.ok()) return kNone;
  Node node{.op = OpKind::kEmbed, .weights = {table}, .scale = scale};
  const uint32_t cols = static_cast<uint32_t>(weights_[table].cols);
  input_cols_ = std::max(input_cols_, cols);
  return Append(std::move(node), Rows::kTokens, cols);
}

ValueId Graph::Input(uint32_t column, uint32_t cols) {
  if (!status_.ok()) return kNone;
  const Checked64 end = Checked64(column) + cols;
  if (cols == 0 || !end.FitsIn(UINT32_MAX / 8)) {
    Fail(Error(Code::kMalformed, "Input: %u columns from %u on are too many", cols, column));
    return kNone;
  }
  input_cols_ = std::max(input_cols_, static_cast<uint32_t>(end.value()));
  return Append({.op = OpKind::kInput, .column = column}, Rows::kTokens, cols);
}

ValueId Graph::AddInput(ValueId x, uint32_t column) {
  if (!Has(OpKind::kAddInput, x)) return kNone;
  const ValueInfo info = values_[x];
  const Checked64 end = Checked64(column) + info.cols;
  if (info.rows != Rows::kTokens || !end.FitsIn(UINT32_MAX / 8)) {
    Fail(Error(Code::kMalformed, "AddInput: %u columns from %u on, for rows that have no input", info.cols, column));
    return kNone;
  }
  input_cols_ = std::max(input_cols_, static_cast<uint32_t>(end.value()));
  return Append({.op = OpKind::kAddInput, .in = {x}, .column = column}, info.rows, info.cols);
}

ValueId Graph::MatMul(ValueId x, WeightId weight, WeightId bias) {
  if (!Has(OpKind::kMatMul, x) || weight >= weights_.size()) return kNone;
  const Weight& w = weights_[weight];
  if (w.cols != values_[x].cols) {
    Fail(Error(Code::kMalformed, "MatMul: tensor %s has %llu columns, its input %u", w.tensor->name.c_str(),
               static_cast<unsigned long long>(w.cols), values_[x].cols));
    return kNone;
  }
  if (!HasVector(OpKind::kMatMul, bias, w.rows, /*optional=*/true)) return kNone;
  const Rows rows = values_[x].rows;
  const uint32_t cols = static_cast<uint32_t>(w.rows);
  return Append({.op = OpKind::kMatMul, .in = {x}, .weights = {weight, bias}}, rows, cols);
}

ValueId Graph::RmsNorm(ValueId x, WeightId weight, float epsilon) {
  if (!Has(OpKind::kRmsNorm, x)) return kNone;
  return RmsNormHeads(x, weight, values_[x].cols, epsilon);
}

ValueId Graph::RmsNormHeads(ValueId x, WeightId weight, uint32_t head_dim, float epsilon) {
  if (!Has(OpKind::kRmsNorm, x) || !HasVector(OpKind::kRmsNorm, weight, head_dim, false)) return kNone;
  const ValueInfo info = values_[x];
  if (head_dim == 0 || info.cols % head_dim != 0) {
    Fail(Error(Code::kMalformed, "RmsNorm: %u columns are not a multiple of a head of %u", info.cols, head_dim));
    return kNone;
  }
  return Append({.op = OpKind::kRmsNorm, .in = {x}, .weights = {weight}, .epsilon = epsilon, .group = head_dim},
                info.rows, info.cols);
}

ValueId Graph::LayerNorm(ValueId x, WeightId weight, WeightId bias, float epsilon) {
  if (!Has(OpKind::kLayerNorm, x)) return kNone;
  const ValueInfo info = values_[x];
  if (!HasVector(OpKind::kLayerNorm, weight, info.cols, false) ||
      !HasVector(OpKind::kLayerNorm, bias, info.cols, true)) {
    return kNone;
  }
  return Append({.op = OpKind::kLayerNorm, .in = {x}, .weights = {weight, bias}, .epsilon = epsilon}, info.rows,
                info.cols);
}

ValueId Graph::Add(ValueId a, ValueId b) {
  if (!Has(OpKind::kAdd, a) || !Has(OpKind::kAdd, b)) return kNone;
  const ValueInfo info = values_[a];
  if (info.cols != values_[b].cols || info.rows != values_[b].rows) {
    Fail(Error(Code::kMalformed, "Add: %u and %u columns", info.cols, values_[b].cols));
    return kNone;
  }
  return Append({.op = OpKind::kAdd, .in = {a, b}}, info.rows, info.cols);
}

ValueId Graph::MulVector(ValueId x, WeightId weight) {
  if (!Has(OpKind::kMulVector, x)) return kNone;
  const ValueInfo info = values_[x];
  if (!HasVector(OpKind::kMulVector, weight, info.cols, false)) return kNone;
  return Append({.op = OpKind::kMulVector, .in = {x}, .weights = {weight}}, info.rows, info.cols);
}

ValueId Graph::Gate(ValueId gate, ValueId up, Activation activation) {
  if (!Has(OpKind::kGate, gate) || !Has(OpKind::kGate, up)) return kNone;
  const ValueInfo info = values_[gate];
  if (info.cols != values_[up].cols || info.rows != values_[up].rows) {
    Fail(Error(Code::kMalformed, "Gate: %u and %u columns", info.cols, values_[up].cols));
    return kNone;
  }
  return Append({.op = OpKind::kGate, .in = {gate, up}, .activation = activation}, info.rows, info.cols);
}

ValueId Graph::Activate(ValueId x, Activation activation) {
  if (!Has(OpKind::kActivation, x)) return kNone;
  const ValueInfo info = values_[x];
  return Append({.op = OpKind::kActivation, .in = {x}, .activation = activation}, info.rows, info.cols);
}

ValueId Graph::Rope(ValueId x, RopeId rope, uint32_t head_dim) {
  if (!Has(OpKind::kRope, x)) return kNone;
  const ValueInfo info = values_[x];
  if (rope >= ropes_.size() || head_dim == 0 || info.cols % head_dim != 0 || ropes_[rope].dims() > head_dim) {
    Fail(Error(Code::kMalformed, "Rope: %u columns, heads of %u, rotary dimensions %u", info.cols, head_dim,
               rope < ropes_.size() ? ropes_[rope].dims() : 0));
    return kNone;
  }
  return Append({.op = OpKind::kRope, .in = {x}, .group = head_dim, .rope = rope}, info.rows, info.cols);
}

ValueId Graph::Attention(ValueId q, ValueId k, ValueId v, const AttentionParams& params) {
  if (!Has(OpKind::kAttention, q) || !Has(OpKind::kAttention, k) || !Has(OpKind::kAttention, v)) return kNone;
  const AttentionParams& p = params;
  const uint64_t want_q = uint64_t{p.heads} * p.key_dim;
  const uint64_t want_k = uint64_t{p.kv_heads} * p.key_dim;
  const uint64_t want_v = uint64_t{p.kv_heads} * p.value_dim;
  if (p.kv_heads == 0 || p.heads % p.kv_heads != 0 || values_[q].cols != want_q || values_[k].cols != want_k ||
      values_[v].cols != want_v || values_[q].rows != Rows::kTokens) {
    Fail(Error(Code::kMalformed,
               "Attention of layer %u: queries, keys, values have %u, %u, %u columns; %u heads over %u key/value heads "
               "of %u (keys) and %u (values) want %llu, %llu, %llu",
               p.layer, values_[q].cols, values_[k].cols, values_[v].cols, p.heads, p.kv_heads, p.key_dim, p.value_dim,
               static_cast<unsigned long long>(want_q), static_cast<unsigned long long>(want_k),
               static_cast<unsigned long long>(want_v)));
    return kNone;
  }
  const CacheLayer layer = {p.kv_heads, p.key_dim, p.value_dim};
  if (p.transient && p.layer < cache_layers_.size() && cache_layers_[p.layer] == layer) {
    return Append({.op = OpKind::kAttention, .in = {q, k, v}, .attention = p}, Rows::kTokens, p.heads * p.value_dim);
  }
  if (p.layer != cache_layers_.size()) {
    Fail(Error(Code::kInternal, "Attention: layer %u out of order, expected %zu", p.layer, cache_layers_.size()));
    return kNone;
  }
  cache_layers_.push_back(layer);
  return Append({.op = OpKind::kAttention, .in = {q, k, v}, .attention = p}, Rows::kTokens, p.heads * p.value_dim);
}

ValueId Graph::Moe(ValueId x, WeightId router, WeightId gate, WeightId up, WeightId down, const MoeParams& params) {
  if (!Has(OpKind::kMoe, x)) return kNone;
  for (WeightId id : {router, gate, up, down}) {
    if (id >= weights_.size()) return kNone;
    if (weights_[id].tensor->sparse == nullptr) continue;
    Fail(Error(Code::kUnsupported, "Moe: tensor %s is block-sparse; experts must be dense",
               weights_[id].tensor->name.c_str()));
    return kNone;
  }
  const ValueInfo info = values_[x];
  const Weight& g = weights_[gate];
  const Weight& u = weights_[up];
  const Weight& d = weights_[down];
  const uint64_t ff = params.experts == 0 ? 0 : g.rows / params.experts;
  if (params.experts == 0 || params.used == 0 || params.used > params.experts || ff == 0 ||
      weights_[router].rows != params.experts || weights_[router].cols != info.cols || g.cols != info.cols ||
      u.cols != info.cols || g.rows != ff * params.experts || u.rows != g.rows || d.cols != ff ||
      d.rows != uint64_t{params.experts} * info.cols) {
    Fail(Error(Code::kMalformed, "Moe: %u of %u experts do not fit tensors %s (%llu x %llu) and %s (%llu x %llu)",
               params.used, params.experts, g.tensor->name.c_str(), static_cast<unsigned long long>(g.rows),
               static_cast<unsigned long long>(g.cols), d.tensor->name.c_str(), static_cast<unsigned long long>(d.rows),
               static_cast<unsigned long long>(d.cols)));
    return kNone;
  }
  Node node{.op = OpKind::kMoe, .in = {x}, .weights = {router, gate, up, down}};
  node.moe = params;
  return Append(std::move(node), info.rows, info.cols);
}

ValueId Graph::SelectOutputs(ValueId x) {
  if (!Has(OpKind::kSelectOutputs, x)) return kNone;
  return Append({.op = OpKind::kSelectOutputs, .in = {x}}, Rows::kOutputs, values_[x].cols);
}

ValueId Graph::TakeHidden(ValueId x) {
  if (!Has(OpKind::kTakeHidden, x)) return kNone;
  if (values_[x].rows != Rows::kOutputs) {
    Fail(Error(Code::kInternal, "TakeHidden: its input must have one row per output"));
    return kNone;
  }
  return Append({.op = OpKind::kTakeHidden, .in = {x}}, Rows::kLogits, values_[x].cols);
}

ValueId Graph::MergeRows(OpKind op, ValueId x, uint32_t count, bool interleaved) {
  if (!Has(op, x)) return kNone;
  const ValueInfo info = values_[x];
  if (info.rows != Rows::kOutputs || count == 0 || (merge_ != 1 && merge_ != count)) {
    Fail(Error(Code::kInternal, "%s: %u rows as one, after %u rows as one", OpName(op), count, merge_));
    return kNone;
  }
  const Checked64 cols = op == OpKind::kMerge ? Checked64(info.cols) * count : Checked64(info.cols);
  if (!cols.FitsIn(UINT32_MAX / 8)) {
    Fail(Error(Code::kMalformed, "%s: %u rows of %u columns are too many for one", OpName(op), count, info.cols));
    return kNone;
  }
  merge_ = count;
  return Append({.op = op, .in = {x}, .interleaved = interleaved}, Rows::kMerged, static_cast<uint32_t>(cols.value()));
}

ValueId Graph::Merge(ValueId x, uint32_t count, bool interleaved) {
  return MergeRows(OpKind::kMerge, x, count, interleaved);
}

ValueId Graph::MergeMean(ValueId x, uint32_t count) {
  return MergeRows(OpKind::kMergeMean, x, count, false);
}

ValueId Graph::Concat(const std::vector<ValueId>& parts) {
  Checked64 cols = 0;
  for (const ValueId part : parts) {
    if (!Has(OpKind::kConcat, part)) return kNone;
    cols = cols + values_[part].cols;
    if (values_[part].rows == values_[parts[0]].rows && cols.FitsIn(UINT32_MAX / 8)) continue;
    Fail(Error(Code::kMalformed, "Concat: parts with different rows, or too many columns"));
    return kNone;
  }
  if (parts.empty()) return kNone;
  return Append({.op = OpKind::kConcat, .in = parts}, values_[parts[0]].rows, static_cast<uint32_t>(cols.value()));
}

ValueId Graph::Softcap(ValueId x, float cap) {
  if (!Has(OpKind::kSoftcap, x)) return kNone;
  const ValueInfo info = values_[x];
  return Append({.op = OpKind::kSoftcap, .in = {x}, .cap = cap}, info.rows, info.cols);
}

void Graph::SetResult(ValueId result) {
  if (!Has(OpKind::kMatMul, result)) return;
  if (values_[result].rows == Rows::kTokens) Fail(Error(Code::kInternal, "the result must have a row per output"));
  result_ = result;
}

}  // namespace mote
