#include "targets/cuda/cuda_weights.h"

#include "engine/core/buffer.h"
#include "engine/core/checked.h"
#include "engine/graph/transposed.h"
#include "targets/cuda/pack_sparse.h"
#include "targets/cuda/packed.h"
#include "targets/cuda/upload.h"

namespace mote::cuda {
namespace {

bool StaysSparse(const TensorInfo& tensor, SparsePath path) {
  if (tensor.sparse == nullptr) return false;
  const SparseShape shape = {tensor.type, tensor.rows(), tensor.cols()};
  if (path == SparsePath::kAuto || !RunsBothWays(shape)) return RunsSparse(shape, tensor.sparse->blocks);
  return path == SparsePath::kSparse;
}
SparseLayout LayoutOf(const TensorInfo& tensor) {
  return SparseLayout({tensor.type, tensor.rows(), tensor.cols()}, tensor.sparse->blocks);
}

// What of the graph's weights lies where. Weights that are the same rows of the same tensor share their bytes (an
// embedding that is the output as well), and all parts of a block-sparse one: how many blocks a part has is in no
// header.
struct Place {
  uint64_t offset = 0;
  uint64_t bytes = 0;
  uint32_t parts = 1;  // experts
  bool first = true;   // of those that share; the others are not packed again
};

std::vector<Place> PlacesOf(const Graph& graph, SparsePath path, Checked64* total) {
  std::vector<Place> places(graph.weights().size());
  for (const Node& node : graph.nodes()) {
    if (node.op != OpKind::kMoe) continue;
    for (size_t i = 1; i < node.weights.size(); ++i) places[node.weights[i]].parts = node.moe.experts;
  }
  *total = 0;
  for (size_t i = 0; i < places.size(); ++i) {
    const Weight& w = graph.weights()[i];
    Place& place = places[i];
    for (size_t j = 0; j < i; ++j) {
      const Weight& other = graph.weights()[j];
      if (other.tensor != w.tensor) continue;
      const bool same = other.row_begin == w.row_begin && other.rows == w.rows && other.cols == w.cols &&
                        other.transposed == w.transposed && places[j].parts == place.parts;
      if (!same && !StaysSparse(*w.tensor, path)) continue;
      place = places[j];
      place.first = false;
      break;
    }
    if (!place.first) continue;
    if (StaysSparse(*w.tensor, path)) {
      place.bytes = LayoutOf(*w.tensor).bytes;
      place.offset = total->FitsIn(INT64_MAX) ? total->value() : 0;
      *total = *total + Checked64(place.bytes).AlignUp(256);
      continue;
    }
    const uint64_t tiles = (w.rows / place.parts + kTileRows - 1) / kTileRows;
    const Checked64 row_bytes = w.tensor->type == DType::kF32
                                    ? Checked64(w.cols) * sizeof(float) * (w.rows / place.parts)
                                    : Checked64(tiles) * ((Checked64(w.cols) + (kTileCols - 1)).value() / kTileCols) *
                                          FormatOf(w.tensor->type).tile_bytes();
    const Checked64 bytes = row_bytes * place.parts;
    place.bytes = bytes.FitsIn(INT64_MAX) ? bytes.value() : 0;
    place.offset = total->FitsIn(INT64_MAX) ? total->value() : 0;
    *total = *total + bytes.AlignUp(256);
  }
  return places;
}

// A weight's rows of its tensor at `data`: they begin with a group.
SparseMatrixArgs PartOf(const Weight& w, const uint8_t* data) {
  SparseMatrixArgs args = LayoutOf(*w.tensor).At(data);
  const uint64_t units = w.row_begin / kTileRows * RowUnits(w.tensor->type, w.cols);
  args.starts += units;
  args.scales += units * UnitScaleBytes(w.tensor->type);
  return args;
}

}  // namespace

Status CudaWeights::CheckSparse(const Weight& weight, SparsePath path) {
  if (!StaysSparse(*weight.tensor, path) || LayoutOf(*weight.tensor).possible()) return Status();
  return Error(Code::kUnsupported, "tensor %s is block-sparse and too large for the GPU backend",
               weight.tensor->name.c_str());
}

uint64_t CudaWeights::Bytes(const Graph& graph, SparsePath path) {
  Checked64 total = 0;
  PlacesOf(graph, path, &total);
  return total.FitsIn(INT64_MAX) ? total.value() : UINT64_MAX;
}

Result<CudaWeights> CudaWeights::Load(const Graph& graph, const GgufFile& file, const Context& context,
                                      const LoadProgress& progress, const CudaDevice& device, void* stream) {
  const SparsePath path = device.sparse;
  CudaWeights result;
  Checked64 total = 0;
  const std::vector<Place> places = PlacesOf(graph, path, &total);
  if (!total.FitsIn(INT64_MAX)) return Error(Code::kMalformed, "the tensors have 2^63 bytes or more together");
  MOTE_ASSIGN_OR_RETURN(result.memory_, DeviceMemory::Create(device.shared ? MemoryKind::kShared : MemoryKind::kDevice,
                                                             total.value(), "weights", device.index));
  Uploader uploader(context, device.shared, stream);
  MOTE_RETURN_IF_ERROR(uploader.Init(device.index));
  for (size_t i = 0; i < places.size(); ++i) {
    const Place& place = places[i];
    const Weight& w = graph.weights()[i];
    CudaWeight weight;
    weight.type = w.tensor->type;
    weight.rows = w.rows / place.parts;
    weight.cols = w.cols;
    weight.part_bytes = place.bytes / place.parts;
    weight.data = result.memory_.data() + place.offset;
    weight.is_sparse = StaysSparse(*w.tensor, path);
    if (weight.is_sparse) weight.sparse = PartOf(w, weight.data);
    result.weights_.push_back(weight);
    if (!place.first) continue;
    if (w.tensor->sparse != nullptr) {
      uint8_t* to = result.memory_.data() + place.offset;
      MOTE_RETURN_IF_ERROR(weight.is_sparse ? uploader.PackSparse(*w.tensor, file, to)
                                            : uploader.PackDenseForm(w, file, to));
      file.ReleaseTensor(*w.tensor);
      if (progress.report != nullptr) progress.report(progress.user, place.offset + place.bytes, total.value());
      continue;
    }
    MOTE_ASSIGN_OR_RETURN(const std::span<const uint8_t> tensor, file.TensorBytes(*w.tensor));
    const size_t row_bytes = RowBytes(weight.type, w.cols);
    const uint8_t* rows = tensor.data() + row_bytes * w.row_begin;
    Buffer transposed;
    if (w.transposed) {
      MOTE_ASSIGN_OR_RETURN(transposed, TransposedRows(w, tensor.data()));
      rows = transposed.data();
    }
    for (uint32_t part = 0; part < place.parts; ++part) {
      MOTE_RETURN_IF_ERROR(uploader.Pack(rows + part * weight.rows * row_bytes, row_bytes, weight.rows, w.cols,
                                         weight.type, result.memory_.data() + place.offset + part * weight.part_bytes));
    }
    file.ReleaseTensor(*w.tensor);
    if (progress.report != nullptr) progress.report(progress.user, place.offset + place.bytes, total.value());
  }
  MOTE_RETURN_IF_ERROR(uploader.Finish(result.memory_));
  if (progress.report != nullptr) progress.report(progress.user, total.value(), total.value());
  return result;
}

}  // namespace mote::cuda
