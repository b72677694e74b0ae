#include "targets/cuda/cuda_weights.h"

#include <string.h>

#include <algorithm>

#include "engine/core/buffer.h"
#include "engine/core/checked.h"
#include "engine/graph/transposed.h"
#include "targets/cuda/packed.h"
#include "targets/cuda/runtime.h"

namespace mote::cuda {
namespace {

// Bytes packed at once: long copies, and two of them are nothing beside the weights.
constexpr uint64_t kStagingBytes = 16 << 20;

// What of the graph's weights lies where. Weights that are the same rows of the same tensor share their bytes (an
// embedding that is the output as well).
struct Place {
  uint64_t offset = 0;
  uint64_t bytes = 0;
  uint32_t parts = 1;  // experts
  bool first = true;   // of those that share; the others are not packed again
};

std::vector<Place> PlacesOf(const Graph& graph, Checked64* total) {
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
      if (other.tensor != w.tensor || other.row_begin != w.row_begin || other.rows != w.rows || other.cols != w.cols ||
          other.transposed != w.transposed || places[j].parts != place.parts) {
        continue;
      }
      place = places[j];
      place.first = false;
      break;
    }
    if (!place.first) continue;
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

// A piece of a weight on its way: rows [row_begin, row_end) of one expert.
struct PackJob {
  const uint8_t* rows;
  size_t row_bytes;
  uint64_t num_rows;
  uint64_t cols;
  DType type;
  uint8_t* out;
  uint64_t workers;

  static void Run(void* argument, int worker) {
    const PackJob& job = *static_cast<const PackJob*>(argument);
    const uint64_t tiles = (job.num_rows + kTileRows - 1) / kTileRows;
    const uint64_t tile_bytes = PackedBytes(job.type, kTileRows, job.cols);
    const uint64_t index = static_cast<uint64_t>(worker);
    for (uint64_t tile = tiles * index / job.workers; tile < tiles * (index + 1) / job.workers; ++tile) {
      const uint64_t row = tile * kTileRows;
      PackTiles(job.type, job.rows + row * job.row_bytes, job.row_bytes,
                static_cast<uint32_t>(std::min<uint64_t>(kTileRows, job.num_rows - row)), job.cols,
                job.out + tile * tile_bytes);
    }
  }
};

// Two staging buffers, one on its way while the other is filled; or the destination itself.
class Uploader {
 public:
  Uploader(const Context& context, bool shared, void* stream) : context_(context), shared_(shared), stream_(stream) {}

  Status Init(int device) {
    if (shared_) return Status();
    for (DeviceMemory& staging : staging_) {
      MOTE_ASSIGN_OR_RETURN(staging, DeviceMemory::Create(MemoryKind::kHost, kStagingBytes, "copying weights", device));
    }
    return Status();
  }

  // Where to write `bytes` (at most kStagingBytes, but for shared memory) that are to go to `to`.
  uint8_t* Begin(uint8_t* to) {
    at_ = shared_ ? to : staging_[turn_].data();
    return at_;
  }
  Status End(uint8_t* to, uint64_t bytes) {
    if (shared_) return Status();
    MOTE_RETURN_IF_ERROR(CudaStatus(Wait(stream_), "copying weights"));  // the other buffer's
    turn_ ^= 1;
    return CudaStatus(CopyIn(to, at_, bytes, stream_), "copying weights");
  }
  Status Finish() { return CudaStatus(Wait(stream_), "copying weights"); }

  Status Pack(const uint8_t* rows, size_t row_bytes, uint64_t num_rows, uint64_t cols, DType type, uint8_t* to) {
    const uint64_t tile_bytes = type == DType::kF32 ? row_bytes : PackedBytes(type, kTileRows, cols);
    const uint64_t rows_of_unit = type == DType::kF32 ? 1 : kTileRows;
    const uint64_t units = std::max<uint64_t>(1, kStagingBytes / tile_bytes);
    if (tile_bytes > kStagingBytes) {
      return Error(Code::kUnsupported, "rows of %llu columns are too long for the GPU backend",
                   static_cast<unsigned long long>(cols));
    }
    for (uint64_t row = 0; row < num_rows; row += units * rows_of_unit) {
      const uint64_t count = std::min(units * rows_of_unit, num_rows - row);
      const uint64_t bytes = (count + rows_of_unit - 1) / rows_of_unit * tile_bytes;
      uint8_t* own_to = to + row / rows_of_unit * tile_bytes;
      uint8_t* at = Begin(own_to);
      if (type == DType::kF32) {
        memcpy(at, rows + row * row_bytes, bytes);
      } else {
        PackJob job = {rows + row * row_bytes,
                       row_bytes,
                       count,
                       cols,
                       type,
                       at,
                       static_cast<uint64_t>(context_.pool->num_workers())};
        context_.pool->Run(&PackJob::Run, &job);
      }
      MOTE_RETURN_IF_ERROR(End(own_to, bytes));
    }
    return Status();
  }

 private:
  const Context& context_;
  const bool shared_;
  void* const stream_;
  DeviceMemory staging_[2];
  int turn_ = 0;
  uint8_t* at_ = nullptr;
};

}  // namespace

uint64_t CudaWeights::Bytes(const Graph& graph) {
  Checked64 total = 0;
  PlacesOf(graph, &total);
  return total.FitsIn(INT64_MAX) ? total.value() : UINT64_MAX;
}

Result<CudaWeights> CudaWeights::Load(const Graph& graph, const GgufFile& file, const Context& context,
                                      const LoadProgress& progress, int device, bool shared, void* stream) {
  CudaWeights result;
  Checked64 total = 0;
  const std::vector<Place> places = PlacesOf(graph, &total);
  if (!total.FitsIn(INT64_MAX)) return Error(Code::kMalformed, "the tensors have 2^63 bytes or more together");
  MOTE_ASSIGN_OR_RETURN(result.memory_, DeviceMemory::Create(shared ? MemoryKind::kShared : MemoryKind::kDevice,
                                                             total.value(), "weights", device));
  Uploader uploader(context, shared, stream);
  MOTE_RETURN_IF_ERROR(uploader.Init(device));
  for (size_t i = 0; i < places.size(); ++i) {
    const Place& place = places[i];
    const Weight& w = graph.weights()[i];
    CudaWeight weight;
    weight.type = w.tensor->type;
    weight.rows = w.rows / place.parts;
    weight.cols = w.cols;
    weight.part_bytes = place.bytes / place.parts;
    weight.data = result.memory_.data() + place.offset;
    result.weights_.push_back(weight);
    if (!place.first) continue;
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
  MOTE_RETURN_IF_ERROR(uploader.Finish());
  if (progress.report != nullptr) progress.report(progress.user, total.value(), total.value());
  return result;
}

}  // namespace mote::cuda
