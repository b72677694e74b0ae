#include "targets/cpu/weights.h"

#include <string.h>

#include <algorithm>

#include "engine/core/checked.h"
#include "targets/cpu/sparse_weights.h"

namespace mote {
namespace {

// Into how many parts each weight is cut: 0 for what no product reads, the number of experts, or 1.
std::vector<uint32_t> PartsOf(const Graph& graph) {
  std::vector<uint32_t> parts(graph.weights().size(), 0);
  for (const Node& node : graph.nodes()) {
    if (node.op == OpKind::kMatMul) parts[node.weights[0]] = 1;
    if (node.op != OpKind::kMoe) continue;
    parts[node.weights[0]] = 1;
    for (size_t i = 1; i < node.weights.size(); ++i) parts[node.weights[i]] = node.moe.experts;
  }
  return parts;
}

// Bytes of a weight in panels. Checked: a header without its data can claim any shape.
Checked64 PackedBytes(const Weight& weight, uint32_t parts, const simd::KernelTable& kernels) {
  const uint64_t panel = simd::PanelRows(kernels, weight.tensor->type);
  const uint64_t panels = weight.rows / parts / panel + (weight.rows / parts % panel != 0 ? 1 : 0);
  const Checked64 bytes = Checked64(panels) * panel * parts * RowBytes(weight.tensor->type, weight.cols);
  return bytes.AlignUp(kCacheLineBytes);
}

// The rows of a weight that its file holds as columns.
Result<Buffer> Transpose(const Weight& weight, const uint8_t* tensor) {
  const size_t bytes = RowBytes(weight.tensor->type, 1);
  MOTE_ASSIGN_OR_RETURN(Buffer rows, Buffer::Create(weight.rows * weight.cols * bytes, weight.tensor->name.c_str()));
  for (uint64_t r = 0; r < weight.rows; ++r) {
    for (uint64_t c = 0; c < weight.cols; ++c) {
      memcpy(rows.data() + (r * weight.cols + c) * bytes, tensor + (c * weight.rows + r) * bytes, bytes);
    }
  }
  return rows;
}

// Packing of one weight, shared by the workers.
struct PackJob {
  const CpuWeight* weight;
  uint8_t* panels;
  uint64_t parts;
  const simd::KernelTable* kernels;
  uint64_t workers;

  static void Run(void* argument, int worker) {
    const PackJob& job = *static_cast<const PackJob*>(argument);
    const CpuWeight& w = *job.weight;
    const uint64_t per_part = (w.part_rows + w.panel_rows - 1) / w.panel_rows;
    const uint64_t all = per_part * job.parts;
    const uint64_t index = static_cast<uint64_t>(worker);
    uint64_t panel = all * index / job.workers;
    const uint64_t end = all * (index + 1) / job.workers;
    while (panel < end) {
      const uint64_t part = panel / per_part;
      const uint64_t count = std::min(end, (part + 1) * per_part) - panel;
      const uint64_t row = panel % per_part * w.panel_rows;
      simd::PackArgs args;
      args.type = w.type;
      args.rows = w.file_rows + (part * w.part_rows + row) * w.row_bytes;
      args.num_rows = std::min(count * w.panel_rows, w.part_rows - row);
      args.k = w.cols;
      args.panels = job.panels + part * w.part_bytes + row * w.row_bytes;
      job.kernels->pack(args);
      panel += count;
    }
  }
};

}  // namespace

uint64_t CpuWeights::ResidentBytes(const Graph& graph, const simd::KernelTable& kernels, SparseChoice* choice) {
  const std::vector<uint32_t> parts = PartsOf(graph);
  const SparsePlan sparse(graph, parts, choice);
  Checked64 bytes = sparse.bytes();
  for (size_t i = 0; i < parts.size(); ++i) {
    const Weight& weight = graph.weight(static_cast<WeightId>(i));
    if (sparse.Holds(weight, parts[i])) continue;
    // An embedding that is also the output stays in the file for lookups: a few rows per step, not counted.
    bytes = bytes + (parts[i] == 0 ? Checked64(RowBytes(weight.tensor->type, weight.cols)) * weight.rows
                                   : PackedBytes(weight, parts[i], kernels));
  }
  return bytes.FitsIn(INT64_MAX) ? bytes.value() : UINT64_MAX;
}

Result<CpuWeight> CpuWeights::Describe(const Weight& weight, uint32_t parts, const GgufFile& file,
                                       const simd::KernelTable& kernels) {
  CpuWeight loaded;
  loaded.type = weight.tensor->type;
  loaded.rows = weight.rows;
  loaded.cols = weight.cols;
  loaded.row_bytes = RowBytes(loaded.type, weight.cols);
  loaded.panel_rows = static_cast<uint32_t>(simd::PanelRows(kernels, loaded.type));
  loaded.part_rows = weight.rows / std::max<uint32_t>(parts, 1);
  loaded.part_bytes = simd::PackedBytes(kernels, loaded.type, loaded.part_rows, loaded.cols);
  loaded.matmul = simd::MatMulOf(kernels, loaded.type);
  loaded.acts = ActKindOf(loaded.type, weight.tensor->sparse != nullptr);
  if (weight.tensor->sparse != nullptr) return loaded;
  MOTE_ASSIGN_OR_RETURN(const std::span<const uint8_t> tensor, file.TensorBytes(*weight.tensor));
  loaded.file_rows = tensor.data() + loaded.row_bytes * weight.row_begin;
  if (weight.transposed) {
    MOTE_ASSIGN_OR_RETURN(Buffer rows, Transpose(weight, tensor.data()));
    loaded.file_rows = rows.data();
    vectors_.push_back(std::move(rows));
  } else if ((weight.rows == 1 || weight.cols == 1) && loaded.type == DType::kF32) {
    const uint64_t bytes = loaded.row_bytes * loaded.rows;  // within the tensor
    MOTE_ASSIGN_OR_RETURN(Buffer copy, Buffer::Create(bytes, weight.tensor->name.c_str()));
    memcpy(copy.data(), loaded.file_rows, bytes);
    loaded.file_rows = copy.data();
    vectors_.push_back(std::move(copy));
  }
  return loaded;
}

Result<CpuWeights> CpuWeights::Load(const Graph& graph, const GgufFile& file, const simd::KernelTable& kernels,
                                    SparseChoice* choice, const Context& context, const LoadProgress& progress) {
  CpuWeights result;
  const std::vector<uint32_t> parts = PartsOf(graph);
  const SparsePlan sparse(graph, parts, choice);
  Checked64 total = sparse.bytes();
  for (size_t i = 0; i < parts.size(); ++i) {
    const Weight& weight = graph.weight(static_cast<WeightId>(i));
    if (parts[i] != 0 && !sparse.Holds(weight, parts[i])) total = total + PackedBytes(weight, parts[i], kernels);
    MOTE_ASSIGN_OR_RETURN(const CpuWeight loaded, result.Describe(weight, parts[i], file, kernels));
    result.weights_.push_back(loaded);
  }
  if (!total.FitsIn(SIZE_MAX)) return Error(Code::kOutOfMemory, "the weights take more than this machine can address");
  MOTE_ASSIGN_OR_RETURN(result.panels_, Buffer::Create(total.value(), "weights"));
  // Decode reads all of it for each token, 10 to 20 % faster so: prefetchers stop at the end of a page (2 cores of Zen
  // 5 under KVM, 2026-11).
  context.platform->PreferLargePages(result.panels_.data(), result.panels_.size());
  MOTE_ASSIGN_OR_RETURN(result.sparse_, sparse.Load(file, context, result.panels_.data()));
  uint64_t done = sparse.bytes().value();
  if (progress.report != nullptr && done != 0) progress.report(progress.user, done, total.value());
  for (size_t i = 0; i < parts.size(); ++i) {
    CpuWeight& weight = result.weights_[i];
    const Weight& source = graph.weight(static_cast<WeightId>(i));
    if (sparse.Holds(source, parts[i])) {
      weight.sparse = sparse.Find(source, result.sparse_);
      weight.first_group = source.row_begin / kSparseRows;
      weight.sparse_matmul = simd::SparseKernelsOf(kernels).MatMulOf(weight.type);
      weight.panel_rows = kSparseRows;
      continue;
    }
    if (parts[i] == 0) continue;
    Buffer dense;  // for as long as it is packed
    if (source.tensor->sparse != nullptr) {
      MOTE_ASSIGN_OR_RETURN(dense, DenseRows(source, file, context));
      weight.file_rows = dense.data();
    }
    PackJob job = {&weight, result.panels_.data() + done, parts[i], &kernels,
                   static_cast<uint64_t>(context.pool->num_workers())};
    context.pool->Run(&PackJob::Run, &job);
    weight.panels = job.panels;
    if (source.tensor->sparse != nullptr) weight.file_rows = nullptr;
    done += PackedBytes(source, parts[i], kernels).value();
    file.ReleaseTensor(*source.tensor);
    if (progress.report != nullptr) progress.report(progress.user, done, total.value());
  }
  return result;
}

uint64_t CpuWeight::GroupOfTile(uint64_t tile, uint64_t tiles) const {
  const uint64_t groups = (rows + kSparseRows - 1) / kSparseRows;
  // A group costs its blocks, and a little where it has none.
  const std::vector<uint64_t>& starts = sparse->starts;
  const auto cost = [&](uint64_t g) { return starts[first_group + g] - starts[first_group] + g; };
  const uint64_t wanted = cost(groups) / tiles * tile + cost(groups) % tiles * tile / tiles;
  uint64_t low = 0;
  uint64_t high = groups;
  while (low < high) {
    const uint64_t middle = (low + high) / 2;
    if (cost(middle) < wanted) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

}  // namespace mote
