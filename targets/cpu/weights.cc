#include "targets/cpu/weights.h"

#include <string.h>

#include <algorithm>

#include "engine/core/checked.h"
#include "engine/graph/transposed.h"
#include "quant/codec.h"
#include "simd/unpack.h"
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

// Packing of one weight, shared by the workers.
struct PackJob {
  const CpuWeight* weight;
  uint8_t* panels;
  uint64_t parts;
  const simd::KernelTable* kernels;
  uint64_t workers;
  uint8_t* panel_copies;  // one for each worker where the panels lie on the rows that they are made of; else null

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
      const uint64_t row = panel % per_part * w.panel_rows;
      const uint64_t most = job.panel_copies == nullptr ? UINT64_MAX : 1;
      const uint64_t count = std::min({end - panel, per_part - panel % per_part, most});
      simd::PackArgs args;
      args.type = w.type;
      args.rows = w.file_rows + (part * w.part_rows + row) * w.row_bytes;
      args.num_rows = std::min(count * w.panel_rows, w.part_rows - row);
      args.k = w.cols;
      args.panels = job.panels + part * w.part_bytes + row * w.row_bytes;
      if (job.panel_copies != nullptr) {
        const size_t bytes = w.panel_rows * w.row_bytes;
        args.rows = static_cast<const uint8_t*>(memcpy(job.panel_copies + index * bytes, args.rows, bytes));
      }
      job.kernels->pack(args);
      panel += count;
    }
  }
};

// Where the panels of a weight go, if it gets any.
struct Place {
  uint32_t parts = 0;
  bool embedding = false;       // looked up row by row
  std::span<uint8_t> in_place;  // the file's own rows; empty: elsewhere
};

// Whether what overlaps the rows of `index` leaves them to it: only an embedding of the very same rows does, which
// finds them in the panels.
bool OwnsItsRows(const Graph& graph, std::span<const Place> places, size_t index) {
  const Weight& weight = graph.weight(static_cast<WeightId>(index));
  if (weight.transposed || places[index].embedding) return false;
  for (size_t i = 0; i < places.size(); ++i) {
    const Weight& other = graph.weight(static_cast<WeightId>(i));
    if (i == index || other.tensor != weight.tensor) continue;
    if (other.transposed) return false;
    if (other.row_begin >= weight.row_begin + weight.rows || weight.row_begin >= other.row_begin + other.rows) continue;
    const bool same = other.row_begin == weight.row_begin && other.rows == weight.rows;
    if (!same || !places[i].embedding || places[i].parts != 0 || places[index].parts != 1) return false;
  }
  return true;
}

std::vector<Place> FindPlaces(const Graph& graph, std::span<const uint32_t> parts, const GgufFile& file,
                              const simd::KernelTable& kernels) {
  std::vector<Place> places(parts.size());
  for (size_t i = 0; i < parts.size(); ++i) places[i].parts = parts[i];
  for (const Node& node : graph.nodes()) {
    if (node.op == OpKind::kEmbed) places[node.weights[0]].embedding = true;
  }
  for (size_t i = 0; i < places.size(); ++i) {
    const Weight& weight = graph.weight(static_cast<WeightId>(i));
    // Panels are as large as their rows, but for a last one that is not full.
    if (weight.tensor->sparse != nullptr) continue;
    const bool whole = parts[i] != 0 && weight.rows / parts[i] % simd::PanelRows(kernels, weight.tensor->type) == 0;
    if (!whole || !OwnsItsRows(graph, places, i)) continue;
    const std::span<uint8_t> tensor = file.GiveUpTensor(*weight.tensor);
    if (tensor.empty()) continue;
    const uint64_t row_bytes = RowBytes(weight.tensor->type, weight.cols);
    places[i].in_place =
        tensor.subspan(static_cast<size_t>(weight.row_begin * row_bytes), static_cast<size_t>(weight.rows * row_bytes));
  }
  return places;
}

// An embedding reads the panels of the product that has overwritten its rows.
void FollowRows(const Graph& graph, std::span<const Place> places, const simd::KernelTable& kernels, size_t packed,
                std::vector<CpuWeight>* weights) {
  const Weight& weight = graph.weight(static_cast<WeightId>(packed));
  for (size_t i = 0; i < places.size(); ++i) {
    const Weight& other = graph.weight(static_cast<WeightId>(i));
    if (i == packed || other.tensor != weight.tensor || other.row_begin != weight.row_begin) continue;
    (*weights)[i].panels = (*weights)[packed].panels;
    (*weights)[i].file_rows = nullptr;
    (*weights)[i].raised_q8 = simd::RaisesQ8(kernels);
  }
}

}  // namespace

void CpuWeight::LookUp(uint64_t row, float* values) const {
  if (file_rows != nullptr) {
    DecodeRow(type, file_rows + row * row_bytes, values, cols);
    return;
  }
  simd::PackedRow packed;
  packed.type = type;
  packed.panel = panels + row / panel_rows * panel_rows * row_bytes;
  packed.panel_rows = panel_rows;
  packed.row = row % panel_rows;
  packed.k = cols;
  packed.raised_q8 = raised_q8;
  const DTypeInfo& info = *DTypeInfoOf(type);
  constexpr size_t kAtOnce = 256;  // values: the largest block
  uint8_t blocks[kAtOnce * sizeof(float)];
  const float row_scale = info.tail_bytes != 0 ? simd::ScaleOf(packed) : 0.0f;
  for (uint64_t begin = 0; begin < cols; begin += kAtOnce) {
    const size_t count = static_cast<size_t>(std::min<uint64_t>(kAtOnce, cols - begin));
    simd::UnpackBlocks(packed, begin / info.block_values, count / info.block_values, blocks);
    // So many codes are a row of their own, with its scale behind them.
    if (info.tail_bytes != 0) memcpy(blocks + count, &row_scale, sizeof(row_scale));
    DecodeRow(type, blocks, values + begin, count);
  }
}

uint64_t CpuWeights::ResidentBytes(const Graph& graph, const simd::KernelTable& kernels, SparseChoice* choice) {
  const std::vector<uint32_t> parts = PartsOf(graph);
  const SparsePlan sparse(graph, parts, choice);
  Checked64 bytes = sparse.bytes() + sparse.bytes_beside();
  for (size_t i = 0; i < parts.size(); ++i) {
    const Weight& weight = graph.weight(static_cast<WeightId>(i));
    if (sparse.Holds(weight, parts[i])) continue;
    // An embedding that is also the output stays in the file for lookups: a few rows per step, not counted.
    bytes = bytes + (parts[i] == 0 ? Checked64(RowBytes(weight.tensor->type, weight.cols)) * weight.rows
                                   : PackedBytes(weight, parts[i], kernels));
  }
  return bytes.FitsIn(INT64_MAX) ? bytes.value() : UINT64_MAX;
}

const simd::UnitKernels* UnitOf(const Plan& plan, const simd::KernelTable& kernels) {
  if ((!plan.graph->many_rows() && !plan.fast_prompts) || plan.activations != nullptr) return nullptr;
  for (const Weight& weight : plan.graph->weights()) {
    if (weight.tensor->sparse != nullptr) return nullptr;
  }
  return simd::UnitKernelsOf(kernels);
}

bool UnitRounds(const Graph& graph) {
  if (!graph.many_rows()) return false;
  uint64_t in_blocks = 0, floats = 0;
  for (const Node& node : graph.nodes()) {
    if (node.op != OpKind::kMatMul) continue;
    const Weight& weight = graph.weight(node.weights[0]);
    (simd::UnitTakesLow(weight.tensor->type) ? floats : in_blocks) += weight.rows * weight.cols;
  }
  return in_blocks > floats;
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
    MOTE_ASSIGN_OR_RETURN(Buffer rows, TransposedRows(weight, tensor.data()));
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
                                    const simd::UnitKernels* unit, SparseChoice* choice, const Context& context,
                                    const LoadProgress& progress) {
  CpuWeights result;
  const std::vector<uint32_t> parts = PartsOf(graph);
  const std::vector<Place> places = FindPlaces(graph, parts, file, kernels);
  const SparsePlan sparse(graph, parts, choice);
  const uint64_t workers = static_cast<uint64_t>(context.pool->num_workers());
  Checked64 total = sparse.bytes(), elsewhere = sparse.bytes();
  uint64_t copy_bytes = 0;  // for each worker
  const bool rounds = UnitRounds(graph);
  for (size_t i = 0; i < places.size(); ++i) {
    const Weight& weight = graph.weight(static_cast<WeightId>(i));
    MOTE_ASSIGN_OR_RETURN(CpuWeight loaded, result.Describe(weight, places[i].parts, file, kernels));
    if (unit != nullptr) loaded.SetUnit(*unit, rounds);
    result.weights_.push_back(loaded);
    if (places[i].parts == 0 || sparse.Holds(weight, places[i].parts)) continue;
    const Checked64 bytes = PackedBytes(weight, places[i].parts, kernels);
    total = total + bytes;
    if (places[i].in_place.empty()) {
      elsewhere = elsewhere + bytes;
    } else {
      copy_bytes = std::max(copy_bytes, uint64_t{loaded.panel_rows} * loaded.row_bytes);
    }
  }
  if (!total.FitsIn(SIZE_MAX)) return Error(Code::kOutOfMemory, "the weights take more than this machine can address");
  MOTE_ASSIGN_OR_RETURN(result.panels_, Buffer::Create(elsewhere.value(), "weights"));
  MOTE_ASSIGN_OR_RETURN(Buffer copies, Buffer::Create(copy_bytes * workers, "a panel for each worker"));
  // Decode reads all of it for each token, 10 to 20 % faster so: prefetchers stop at the end of a page (2 cores of Zen
  // 5 under KVM, 2026-11).
  context.platform->PreferLargePages(result.panels_.data(), result.panels_.size());
  MOTE_ASSIGN_OR_RETURN(result.sparse_, sparse.Load(file, context, result.panels_.data()));
  uint64_t done = sparse.bytes().value(), done_elsewhere = done;
  if (progress.report != nullptr && done != 0) progress.report(progress.user, done, total.value());
  for (size_t i = 0; i < places.size(); ++i) {
    const Place& place = places[i];
    CpuWeight& weight = result.weights_[i];
    const Weight& source = graph.weight(static_cast<WeightId>(i));
    if (sparse.Holds(source, place.parts)) {
      weight.sparse = sparse.Find(source, result.sparse_);
      weight.first_group = source.row_begin / kSparseRows;
      weight.sparse_matmul = simd::SparseKernelsOf(kernels).MatMulOf(weight.type);
      weight.panel_rows = kSparseRows;
      continue;
    }
    if (place.parts == 0) continue;
    Buffer dense;  // for as long as it is packed
    if (source.tensor->sparse != nullptr) {
      MOTE_ASSIGN_OR_RETURN(dense, DenseRows(source, file, context));
      weight.file_rows = dense.data();
    }
    const uint64_t bytes = PackedBytes(source, place.parts, kernels).value();
    const bool in_place = !place.in_place.empty();
    PackJob job = {&weight,     in_place ? place.in_place.data() : result.panels_.data() + done_elsewhere,
                   place.parts, &kernels,
                   workers,     in_place ? copies.data() : nullptr};
    context.pool->Run(&PackJob::Run, &job);
    weight.panels = job.panels;
    if (source.tensor->sparse != nullptr) weight.file_rows = nullptr;
    if (in_place) {
      FollowRows(graph, places, kernels, i, &result.weights_);
    } else {
      done_elsewhere += bytes;
    }
    done += bytes;
    file.ReleaseTensor(*source.tensor);
    if (progress.report != nullptr) progress.report(progress.user, done, total.value());
  }
  return result;
}

void CpuWeight::SetUnit(const simd::UnitKernels& unit, bool rounds) {
  unit_matmul = (rounds ? unit.rounded_matmul : unit.matmul)[simd::MatMulIndex(type)];
  unit_acts = UnitActKindOf(type, rounds);
}

uint64_t CpuWeight::GroupOfTile(uint64_t tile, uint64_t tiles) const {
  const uint64_t groups = (rows + kSparseRows - 1) / kSparseRows;
  // A group costs its blocks, and a little where it has none.
  const std::vector<uint64_t>& starts = sparse->starts;
  const auto cost = [&](uint64_t g) { return starts[first_group + g] - starts[first_group] + g; };
  const uint64_t wanted = cost(groups) / tiles * tile + cost(groups) % tiles * tile / tiles;
  // The first group that costs as much lies in [low, high], and near where all groups cost the same: a search that
  // halves all of them has a dozen lines come from memory, twice for each tile, a twentieth of a token's time.
  uint64_t low = groups * tile / tiles, high = low;
  for (uint64_t step = 4; low > 0 && cost(low - 1) >= wanted; step *= 2) low -= std::min(low, step);
  for (uint64_t step = 4; high < groups && cost(high) < wanted; step *= 2) high += std::min(groups - high, step);
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
