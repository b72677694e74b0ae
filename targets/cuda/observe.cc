// What an ActivationObserver sees: copies of what the products read, made while nothing else runs.
#include <vector>

#include "targets/cuda/cuda_program.h"
#include "targets/cuda/runtime.h"

namespace mote::cuda {
namespace {

template <class T>
Status Fetch(const T* from, uint64_t count, std::vector<T>* to, void* stream) {
  to->resize(count);
  MOTE_RETURN_IF_ERROR(CudaStatus(CopyOut(to->data(), from, count * sizeof(T), stream), "copying activations"));
  return CudaStatus(Wait(stream), "copying activations");
}

std::vector<const float*> RowsOf(const std::vector<float>& values, uint64_t cols, uint64_t first, uint64_t end) {
  std::vector<const float*> rows;
  for (uint64_t row = first; row < end; ++row) rows.push_back(values.data() + row * cols);
  return rows;
}

}  // namespace

Status CudaProgram::FetchRows(const float* from, uint64_t rows, uint64_t cols, std::vector<float>* to) {
  return Fetch(from, rows * cols, to, stream_);
}

Status CudaProgram::ObserveProduct(const Product& product) {
  const Node& first = graph_.nodes()[product.node];
  const ValueId in = first.in[0];
  const uint64_t cols = graph_.value(in).cols;
  std::vector<float> values;
  MOTE_RETURN_IF_ERROR(FetchRows(Values(in), NumRows(RowsOf(in)), cols, &values));
  const std::vector<const float*> rows = mote::cuda::RowsOf(values, cols, 0, NumRows(RowsOf(in)));
  if (rows.empty()) return Status();
  if (first.op == OpKind::kMoe) {  // its router
    observer_.observe(observer_.user, graph_.weight(first.weights[0]), 0, rows);
    return Status();
  }
  // All products of this launch, which stand one after the other.
  uint32_t seen = 0;
  for (uint32_t n = product.node; seen < product.args.matrices && n < graph_.nodes().size(); ++n) {
    const Node& node = graph_.nodes()[n];
    if (node.op != OpKind::kMatMul || node.in[0] != in) break;
    const Weight& weight = graph_.weight(node.weights[0]);
    if (weight.tensor->type != product.type || weights_[node.weights[0]].is_sparse != product.is_sparse) continue;
    ++seen;
    // Of a further slice of a tensor, the first has shown the inputs.
    if (weight.row_begin == 0) observer_.observe(observer_.user, weight, 0, rows);
  }
  return Status();
}

Status CudaProgram::ObserveExperts(const Experts& moe, bool down) {
  const Node& node = graph_.nodes()[moe.node];
  const uint32_t tokens = NumRows(RowsOf(node.in[0]));
  const uint64_t slots = uint64_t{tokens} * moe.used;
  std::vector<uint32_t> first, row_of_slot;
  MOTE_RETURN_IF_ERROR(Fetch<uint32_t>(moe.route.first, moe.experts + 1, &first, stream_));
  MOTE_RETURN_IF_ERROR(Fetch<uint32_t>(moe.route.row_of_slot, slots, &row_of_slot, stream_));
  const Weight& down_weight = graph_.weight(node.weights[3]);
  const uint64_t cols = down ? down_weight.cols : graph_.value(node.in[0]).cols;
  std::vector<float> values;
  MOTE_RETURN_IF_ERROR(down ? FetchRows(moe.gated, slots, cols, &values)
                            : FetchRows(Values(node.in[0]), tokens, cols, &values));
  for (uint32_t expert = 0; expert < moe.experts; ++expert) {
    std::vector<const float*> rows;
    for (uint32_t slot = first[expert]; slot < first[expert + 1]; ++slot) {
      rows.push_back(values.data() + (down ? slot : row_of_slot[slot]) * cols);
    }
    if (down) {
      observer_.observe(observer_.user, down_weight, expert, rows);
      continue;
    }
    observer_.observe(observer_.user, graph_.weight(node.weights[1]), expert, rows);
    observer_.observe(observer_.user, graph_.weight(node.weights[2]), expert, rows);
  }
  return Status();
}

}  // namespace mote::cuda
