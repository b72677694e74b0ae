#include "targets/cuda/upload.h"

#include <string.h>

#include <algorithm>

#include "engine/format/sparse_tensors.h"
#include "quant/block_sparse.h"
#include "targets/cuda/pack_sparse.h"
#include "targets/cuda/packed.h"
#include "targets/cuda/runtime.h"

namespace mote::cuda {
namespace {

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

// Groups [first, end) of a block-sparse matrix.
struct SparseJob {
  const SparseView& view;
  const uint64_t* blocks;  // first one of each group
  const uint32_t* pairs;   // PairStarts
  uint64_t units;          // of a group
  uint64_t first, end;
  uint8_t* scales;
  uint8_t* index;
  uint8_t* values;  // of group `first`
  uint64_t workers;

  static void Run(void* argument, int worker) {
    const SparseJob& job = *static_cast<const SparseJob*>(argument);
    const uint64_t groups = job.end - job.first, own = static_cast<uint64_t>(worker);
    for (uint64_t i = groups * own / job.workers; i < groups * (own + 1) / job.workers; ++i) {
      const uint64_t group = job.first + i;
      const uint32_t* pairs = job.pairs + group * job.units;
      PackSparseGroup(job.view, group, job.blocks[group], pairs,
                      job.scales + group * job.units * UnitScaleBytes(job.view.shape.type),
                      job.index + uint64_t{*pairs} * 2,
                      job.values + (uint64_t{*pairs} - job.pairs[job.first * job.units]) * kPairBytes);
    }
  }
};

// Rows [first, first + rows) in the dense form.
struct DenseJob {
  const SparseView& view;
  const uint64_t* blocks;
  uint64_t first, rows;
  uint8_t* to;
  uint64_t workers;

  static void Run(void* argument, int worker) {
    const DenseJob& job = *static_cast<const DenseJob*>(argument);
    const uint64_t own = static_cast<uint64_t>(worker);
    const size_t row_bytes = job.view.shape.DenseRowBytes();
    for (uint64_t i = job.rows * own / job.workers; i < job.rows * (own + 1) / job.workers; ++i) {
      const uint64_t row = job.first + i;
      DecodeSparseRow(job.view, row, job.blocks[row / kSparseRows], job.to + i * row_bytes);
    }
  }
};

// A tensor with counts and index of its own, checked: a mapped file may have changed since it was.
struct OwnSparse {
  std::vector<uint8_t> counts, index;
  SparseView view;
  std::vector<uint64_t> blocks;  // SparseStarts
};
Status ReadOwn(const TensorInfo& tensor, const GgufFile& file, OwnSparse* own) {
  MOTE_ASSIGN_OR_RETURN(const SparseView from, file.ReadSparse(tensor));
  own->counts.assign(from.counts.begin(), from.counts.end());
  own->index.assign(from.index.begin(), from.index.end());
  own->view = {from.shape, own->counts, own->index, from.scales, from.values};
  MOTE_RETURN_IF_ERROR(CheckSparseTensor(tensor.name, own->view));
  own->blocks = SparseStarts(own->view);
  return Status();
}

Status TooLong(uint64_t cols) {
  return Error(Code::kUnsupported, "rows of %llu columns are too long for the GPU backend",
               static_cast<unsigned long long>(cols));
}

}  // namespace

Status Uploader::Init(int device) {
  if (shared_) return Status();
  for (DeviceMemory& staging : staging_) {
    MOTE_ASSIGN_OR_RETURN(staging, DeviceMemory::Create(MemoryKind::kHost, kStagingBytes, "copying weights", device));
  }
  return Status();
}

uint8_t* Uploader::Begin(uint8_t* to) {
  at_ = shared_ ? to : staging_[turn_].data();
  return at_;
}
Status Uploader::End(uint8_t* to, uint64_t bytes) {
  if (shared_) return Status();
  MOTE_RETURN_IF_ERROR(CudaStatus(Wait(stream_), "copying weights"));  // the other buffer's
  turn_ ^= 1;
  return CudaStatus(CopyIn(to, at_, bytes, stream_), "copying weights");
}
Status Uploader::Finish(const DeviceMemory& memory) {
  if (shared_) return CudaStatus(ShareWithDevice(memory.data(), stream_), "sharing weights");
  return CudaStatus(Wait(stream_), "copying weights");
}

Status Uploader::Copy(const void* from, uint64_t bytes, uint8_t* to) {
  for (uint64_t at = 0; at < bytes; at += kStagingBytes) {
    const uint64_t count = std::min(kStagingBytes, bytes - at);
    memcpy(Begin(to + at), static_cast<const uint8_t*>(from) + at, count);
    MOTE_RETURN_IF_ERROR(End(to + at, count));
  }
  return Status();
}

Status Uploader::Pack(const uint8_t* rows, size_t row_bytes, uint64_t num_rows, uint64_t cols, DType type,
                      uint8_t* to) {
  if (type == DType::kF32 && row_bytes <= kStagingBytes) return Copy(rows, num_rows * row_bytes, to);
  const uint64_t tile_bytes = PackedBytes(type, kTileRows, cols);
  const uint64_t tiles = std::max<uint64_t>(1, kStagingBytes / tile_bytes);
  if (type == DType::kF32 || tile_bytes > kStagingBytes) return TooLong(cols);
  for (uint64_t row = 0; row < num_rows; row += tiles * kTileRows) {
    const uint64_t count = std::min(tiles * kTileRows, num_rows - row);
    const uint64_t bytes = (count + kTileRows - 1) / kTileRows * tile_bytes;
    uint8_t* own_to = to + row / kTileRows * tile_bytes;
    PackJob job = {rows + row * row_bytes, row_bytes, count, cols, type, Begin(own_to), workers()};
    context_.pool->Run(&PackJob::Run, &job);
    MOTE_RETURN_IF_ERROR(End(own_to, bytes));
  }
  return Status();
}

Status Uploader::PackSparse(const TensorInfo& tensor, const GgufFile& file, uint8_t* to) {
  OwnSparse own;
  MOTE_RETURN_IF_ERROR(ReadOwn(tensor, file, &own));
  const SparseShape& shape = own.view.shape;
  const SparseLayout layout(shape, own.view.blocks());
  const std::vector<uint32_t> pairs = PairStarts(own.view);
  const uint64_t units = RowUnits(shape.type, shape.cols);
  std::vector<uint8_t> scales(shape.groups() * units * UnitScaleBytes(shape.type));
  std::vector<uint8_t> index(uint64_t{pairs.back()} * 2);
  for (uint64_t group = 0, end = 0; group < shape.groups(); group = end) {
    const uint64_t first = pairs[group * units];
    while (end < shape.groups() && (pairs[(end + 1) * units] - first) * kPairBytes <= kStagingBytes) ++end;
    if (end == group) return TooLong(shape.cols);
    uint8_t* own_to = to + layout.values_at + first * kPairBytes;
    SparseJob job = {own.view, own.blocks.data(), pairs.data(), units,         group,
                     end,      scales.data(),     index.data(), Begin(own_to), workers()};
    context_.pool->Run(&SparseJob::Run, &job);
    const uint64_t bytes = (pairs[end * units] - first) * kPairBytes;
    if (bytes != 0) MOTE_RETURN_IF_ERROR(End(own_to, bytes));
  }
  const SparseMatrixArgs args = layout.At(to);
  MOTE_RETURN_IF_ERROR(Copy(&args, sizeof(args), to));
  MOTE_RETURN_IF_ERROR(Copy(pairs.data(), pairs.size() * sizeof(uint32_t), to + layout.starts_at));
  MOTE_RETURN_IF_ERROR(Copy(scales.data(), scales.size(), to + layout.scales_at));
  return Copy(index.data(), index.size(), to + layout.index_at);
}

Status Uploader::PackDenseForm(const Weight& weight, const GgufFile& file, uint8_t* to) {
  OwnSparse own;
  MOTE_RETURN_IF_ERROR(ReadOwn(*weight.tensor, file, &own));
  const SparseShape& shape = own.view.shape;
  const DType type = SparseDenseType(shape.type);
  const size_t row_bytes = shape.DenseRowBytes();
  const uint64_t most = std::max<uint64_t>(1, kStagingBytes / row_bytes / kTileRows) * kTileRows;
  std::vector<uint8_t> rows(std::min(most, weight.rows) * row_bytes);
  for (uint64_t row = 0; row < weight.rows; row += most) {
    const uint64_t count = std::min(most, weight.rows - row);
    DenseJob job = {own.view, own.blocks.data(), weight.row_begin + row, count, rows.data(), workers()};
    context_.pool->Run(&DenseJob::Run, &job);
    MOTE_RETURN_IF_ERROR(
        Pack(rows.data(), row_bytes, count, shape.cols, type, to + PackedBytes(type, row, shape.cols)));
  }
  return Status();
}

}  // namespace mote::cuda
