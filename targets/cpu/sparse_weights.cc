#include "targets/cpu/sparse_weights.h"

#include <string.h>

#include <algorithm>

#include "engine/format/sparse_tensors.h"

namespace mote {
namespace {

SparseShape ShapeOf(const TensorInfo& tensor) {
  return {tensor.type, tensor.rows(), tensor.cols()};
}

uint64_t AlignLine(uint64_t bytes) {
  return (bytes + kCacheLineBytes - 1) / kCacheLineBytes * kCacheLineBytes;
}

std::span<const uint8_t> CopyTo(std::span<const uint8_t> from, uint8_t** at) {
  if (!from.empty()) memcpy(*at, from.data(), from.size());  // no scales, or no blocks at all
  const std::span<const uint8_t> copy(*at, from.size());
  *at += AlignLine(from.size());
  return copy;
}

// The values of all workers' part of the blocks.
struct CopyJob {
  std::span<const uint8_t> from;
  uint8_t* to;
  uint64_t workers;

  static void Run(void* argument, int worker) {
    const CopyJob& job = *static_cast<const CopyJob*>(argument);
    const uint64_t blocks = job.from.size() / kSparseBlockBytes;
    const uint64_t begin = blocks * static_cast<uint64_t>(worker) / job.workers * kSparseBlockBytes;
    const uint64_t end = blocks * (static_cast<uint64_t>(worker) + 1) / job.workers * kSparseBlockBytes;
    if (begin < end) memcpy(job.to + begin, job.from.data() + begin, end - begin);
  }
};

// The same matrix with counts and index of its own, checked: a mapped file may have changed since it was.
Result<SparseView> OwnLists(const std::string& name, const SparseView& from, std::vector<uint8_t>* counts,
                            std::vector<uint8_t>* index) {
  counts->assign(from.counts.begin(), from.counts.end());
  index->assign(from.index.begin(), from.index.end());
  const SparseView own = {from.shape, *counts, *index, from.scales, from.values};
  MOTE_RETURN_IF_ERROR(CheckSparseTensor(name, own));
  return own;
}

// Blocks to their places among zeros.
void SpreadValues(const SparseView& view, uint8_t* to) {
  const SparseShape& shape = view.shape;
  memset(to, 0, shape.all_blocks() * kSparseBlockBytes);
  uint64_t at = 0;
  for (uint64_t g = 0; g < shape.groups(); ++g) {
    for (uint64_t s = 0; s < shape.stretches(); ++s) {
      const uint64_t first = (g * shape.cols + s * kSparseStretch) / SparseBlockCols(shape.type);
      for (uint64_t left = view.counts[g * shape.stretches() + s]; left > 0; --left, ++at) {
        memcpy(to + (first + view.index[at]) * kSparseBlockBytes, view.values.data() + at * kSparseBlockBytes,
               kSparseBlockBytes);
      }
    }
  }
}

// Every place of a shape as counts and index.
void ListAllPlaces(const SparseShape& shape, CpuSparse* sparse) {
  for (uint64_t g = 0; g < shape.groups(); ++g) {
    for (uint64_t s = 0; s < shape.stretches(); ++s) {
      sparse->counts.push_back(static_cast<uint8_t>(shape.places(s)));
      for (uint64_t p = 0; p < shape.places(s); ++p) sparse->index.push_back(static_cast<uint8_t>(p));
    }
  }
}

// Rows made dense, shared by the workers.
struct DenseJob {
  SparseView view;
  std::vector<uint64_t> starts;
  uint64_t row_begin, rows;
  uint8_t* to;
  uint64_t workers;

  static void Run(void* argument, int worker) {
    const DenseJob& job = *static_cast<const DenseJob*>(argument);
    const uint64_t begin = job.rows * static_cast<uint64_t>(worker) / job.workers;
    const uint64_t end = job.rows * (static_cast<uint64_t>(worker) + 1) / job.workers;
    const size_t row_bytes = job.view.shape.DenseRowBytes();
    for (uint64_t r = begin; r < end; ++r) {
      const uint64_t row = job.row_begin + r;
      DecodeSparseRow(job.view, row, job.starts[row / kSparseRows], job.to + r * row_bytes);
    }
  }
};

}  // namespace

Checked64 SparsePlan::Item::bytes() const {
  if (!in_buffer()) return 0;
  const SparseShape shape = ShapeOf(*tensor);
  const uint64_t blocks = keep ? tensor->sparse->blocks : shape.all_blocks();
  Checked64 sum = (Checked64(blocks) * kSparseBlockBytes).AlignUp(kCacheLineBytes) +
                  Checked64(2 * shape.num_scales()).AlignUp(kCacheLineBytes);
  if (keep)
    sum = sum + Checked64(blocks).AlignUp(kCacheLineBytes) + Checked64(shape.num_counts()).AlignUp(kCacheLineBytes);
  return sum;
}

Checked64 SparsePlan::bytes_beside() const {
  Checked64 sum = 0;
  for (const Item& item : items_) {
    if (item.product && !item.in_buffer()) continue;  // becomes panels
    const SparseShape shape = ShapeOf(*item.tensor);
    sum = sum + (Checked64(shape.groups()) + 1) * sizeof(uint64_t);
    if (item.keep) continue;
    sum = sum + shape.num_counts() + (item.all() ? shape.all_blocks() : item.tensor->sparse->blocks);
    if (!item.product) sum = sum + item.tensor->bytes;
  }
  return sum;
}

SparsePlan::SparsePlan(const Graph& graph, std::span<const uint32_t> parts, SparseChoice* choice) {
  for (size_t i = 0; i < parts.size(); ++i) {
    const Weight& weight = graph.weight(static_cast<WeightId>(i));
    if (weight.tensor->sparse == nullptr) continue;
    auto item = std::find_if(items_.begin(), items_.end(), [&](const Item& it) { return it.tensor == weight.tensor; });
    if (item == items_.end()) {
      items_.push_back({weight.tensor, false, false});
      item = items_.end() - 1;
    }
    item->product = item->product || parts[i] != 0;
  }
  for (Item& item : items_) {
    item.keep = item.product && choice->KeepsSparse(*item.tensor);  // asked of products alone: it may measure
    bytes_ = bytes_ + item.bytes();
  }
}

const SparsePlan::Item* SparsePlan::ItemOf(const Weight& weight) const {
  for (const Item& item : items_) {
    if (item.tensor == weight.tensor) return &item;
  }
  return nullptr;
}

bool SparsePlan::Holds(const Weight& weight, uint32_t parts) const {
  const Item* item = ItemOf(weight);
  return item != nullptr && (parts == 0 || item->in_buffer());
}

const CpuSparse* SparsePlan::Find(const Weight& weight, std::span<const std::unique_ptr<CpuSparse>> loaded) const {
  for (const std::unique_ptr<CpuSparse>& sparse : loaded) {
    if (sparse->tensor == weight.tensor) return sparse.get();
  }
  return nullptr;
}

Result<std::vector<std::unique_ptr<CpuSparse>>> SparsePlan::Load(const GgufFile& file, const Context& context,
                                                                 uint8_t* memory) const {
  std::vector<std::unique_ptr<CpuSparse>> loaded;
  for (const Item& item : items_) {
    MOTE_ASSIGN_OR_RETURN(const SparseView from, file.ReadSparse(*item.tensor));
    auto sparse = std::make_unique<CpuSparse>();
    sparse->tensor = item.tensor;
    sparse->all = item.all();
    SparseView& view = sparse->view;
    view.shape = from.shape;
    if (item.all()) {
      std::vector<uint8_t> counts, index;
      MOTE_ASSIGN_OR_RETURN(const SparseView kept, OwnLists(item.tensor->name, from, &counts, &index));
      SpreadValues(kept, memory);
      ListAllPlaces(from.shape, sparse.get());
      view.counts = sparse->counts;
      view.index = sparse->index;
      view.values = {memory, static_cast<size_t>(from.shape.all_blocks() * kSparseBlockBytes)};
      memory += AlignLine(view.values.size());
      view.scales = CopyTo(from.scales, &memory);
    } else if (item.keep && item.product) {
      CopyJob job = {from.values, memory, static_cast<uint64_t>(context.pool->num_workers())};
      context.pool->Run(&CopyJob::Run, &job);
      view.values = {memory, from.values.size()};
      memory += AlignLine(view.values.size());
      view.scales = CopyTo(from.scales, &memory);
      view.counts = CopyTo(from.counts, &memory);
      view.index = CopyTo(from.index, &memory);
      MOTE_RETURN_IF_ERROR(CheckSparseTensor(item.tensor->name, view));  // see OwnLists
    } else {
      // For lookups: a few rows per step, which stay in the file.
      MOTE_ASSIGN_OR_RETURN(view, OwnLists(item.tensor->name, from, &sparse->counts, &sparse->index));
    }
    sparse->starts = SparseStarts(view);
    if (item.in_buffer()) file.ReleaseTensor(*item.tensor);
    loaded.push_back(std::move(sparse));
  }
  return loaded;
}

Result<Buffer> DenseRows(const Weight& weight, const GgufFile& file, const Context& context) {
  MOTE_ASSIGN_OR_RETURN(const SparseView from, file.ReadSparse(*weight.tensor));
  std::vector<uint8_t> counts, index;
  MOTE_ASSIGN_OR_RETURN(const SparseView view, OwnLists(weight.tensor->name, from, &counts, &index));
  MOTE_ASSIGN_OR_RETURN(Buffer rows,
                        Buffer::Create(weight.rows * view.shape.DenseRowBytes(), weight.tensor->name.c_str()));
  DenseJob job = {view,        SparseStarts(view), weight.row_begin,
                  weight.rows, rows.data(),        static_cast<uint64_t>(context.pool->num_workers())};
  context.pool->Run(&DenseJob::Run, &job);
  return rows;
}

}  // namespace mote
