#include "engine/format/convert.h"

#include <math.h>

#include <algorithm>
#include <atomic>
#include <span>
#include <utility>

#include "engine/core/buffer.h"
#include "engine/core/checked.h"
#include "engine/format/convert_internal.h"
#include "engine/format/gguf_writer.h"
#include "quant/codec.h"

namespace mote {
namespace {

// Values that a worker converts at a time: a multiple of every block, small enough for its second-level cache.
constexpr uint64_t kTileValues = 32768;

// Bytes of so many values: whole rows, where rows have a tail.
uint64_t BytesOf(const TensorInfo& tensor, uint64_t values) {
  if (DTypeInfoOf(tensor.type)->tail_bytes == 0) return RowBytes(tensor.type, static_cast<size_t>(values));
  return values / tensor.cols() * RowBytes(tensor.type, static_cast<size_t>(tensor.cols()));
}

// Values that a worker takes from one type to the other at a time.
uint64_t TileValues(const TensorInfo& from, const TensorInfo& to) {
  if (DTypeInfoOf(from.type)->tail_bytes == 0 && DTypeInfoOf(to.type)->tail_bytes == 0) return kTileValues;
  return std::max<uint64_t>(kTileValues / from.cols(), 1) * from.cols();
}

// Tiles between two meetings of the workers: enough that waiting for the last one costs little.
constexpr uint64_t kTilesPerWorker = 8;
constexpr uint64_t kChunkBytes = 1 << 20;  // of what is written or copied at once
constexpr uint64_t kMaxBytesPerValue = 4;
// Columns that nothing reached in the text still count for a little: no block is without weights, and no column is
// given up for one that outweighs it without bounds in this text.
constexpr float kLeastImportance = 1e-3f;
constexpr float kMostImportance = 1e6f;

class Converter {
 public:
  Converter(const GgufFile& in, const QuantizeOptions& options, ThreadPool* pool, const QuantizeSink& sink)
      : in_(in), options_(options), pool_(pool), sink_(sink) {}

  Status Run();

 private:
  // A tensor that is being encoded, and the part of it that the workers are at.
  struct Job {
    const TensorInfo* from;
    const TensorInfo* to;
    std::span<const uint8_t> data;
    const float* importance;  // (cols, matrices), or null
    uint64_t first;           // value with which the part begins
    uint64_t end;
    uint64_t tile_values;
    std::atomic<uint64_t> next_tile{0};
    std::atomic<uint64_t> bad_tile{UINT64_MAX};  // the first that could not be encoded
  };

  Status Prepare();
  Status Write(const uint8_t* bytes, uint64_t size);
  Status Pad(uint64_t end);
  Status Tick(const TensorInfo* from, const TensorInfo* to, size_t index);
  Status CopyTensor(const TensorInfo& from, const TensorInfo& to, size_t index, std::span<const uint8_t> data);
  Status EncodeTensor(const TensorInfo& from, const TensorInfo& to, size_t index, std::span<const uint8_t> data);
  Result<const float*> Importance(const TensorInfo& tensor);
  void EncodeTiles(Job* job, int worker);
  bool EncodeTile(const Job& job, uint64_t first, uint64_t count, float* values, uint8_t* out) const;
  Status ExplainFailure(const Job& job, uint64_t first, uint64_t count);
  int workers() const { return pool_ == nullptr ? 1 : pool_->num_workers(); }
  static void Decode(const Job& job, uint64_t first, uint64_t count, float* values);

  const GgufFile& in_;
  const QuantizeOptions& options_;
  ThreadPool* const pool_;
  const QuantizeSink& sink_;
  GgufWriter::Layout layout_;
  uint64_t most_tile_values_ = kTileValues;
  Buffer values_;      // that many floats per worker
  Buffer encoded_;     // kTilesPerWorker tiles per worker, encoded
  Buffer importance_;  // of the tensor at hand
  uint64_t written_ = 0;
};

Status Converter::Write(const uint8_t* bytes, uint64_t size) {
  for (uint64_t at = 0; at < size; at += kChunkBytes) {
    const uint64_t piece = std::min(kChunkBytes, size - at);
    MOTE_RETURN_IF_ERROR(sink_.write(sink_.user, bytes + at, static_cast<size_t>(piece)));
    written_ += piece;
  }
  return Status();
}

Status Converter::Pad(uint64_t end) {
  static constexpr uint8_t kZeros[GgufWriter::alignment()] = {};
  if (end < written_ || end - written_ > sizeof(kZeros)) {
    return Error(Code::kInternal, "%s: wrote %llu bytes where %llu were planned", in_.name().c_str(),
                 static_cast<unsigned long long>(written_), static_cast<unsigned long long>(end));
  }
  return Write(kZeros, end - written_);
}

Status Converter::Tick(const TensorInfo* from, const TensorInfo* to, size_t index) {
  if (sink_.progress == nullptr) return Status();
  QuantizeProgress progress;
  if (from != nullptr) {
    progress.tensor = from->name;
    progress.from = from->type;
    progress.to = to->type;
  }
  progress.tensor_index = index;
  progress.num_tensors = layout_.tensors.size();
  progress.bytes_written = written_;
  progress.bytes_total = layout_.file_bytes;
  if (sink_.progress(sink_.user, progress)) return Status();
  return Error(Code::kCancelled, "%s: quantization was stopped after %llu of %llu bytes", in_.name().c_str(),
               static_cast<unsigned long long>(written_), static_cast<unsigned long long>(layout_.file_bytes));
}

Status Converter::CopyTensor(const TensorInfo& from, const TensorInfo& to, size_t index,
                             std::span<const uint8_t> data) {
  for (uint64_t at = 0; at < data.size(); at += kChunkBytes) {
    MOTE_RETURN_IF_ERROR(Write(data.data() + at, std::min<uint64_t>(kChunkBytes, data.size() - at)));
    MOTE_RETURN_IF_ERROR(Tick(&from, &to, index));
  }
  return Status();
}

// The importances of the tensor's columns, scaled to 1 on average over each matrix; null where there are none.
Result<const float*> Converter::Importance(const TensorInfo& tensor) {
  const Imatrix::Entry* entry = options_.imatrix == nullptr ? nullptr : options_.imatrix->Find(tensor.name);
  const uint64_t cols = tensor.cols();
  if (entry == nullptr || entry->values != cols * tensor.shape[2]) return static_cast<const float*>(nullptr);
  MOTE_ASSIGN_OR_RETURN(importance_, Buffer::Create(entry->values * sizeof(float), "importances"));
  float* means = importance_.As<float>();
  Imatrix::Means(*entry, means);
  for (uint64_t first = 0; first < entry->values; first += cols) {
    double sum = 0;
    for (uint64_t i = first; i < first + cols; ++i) sum += static_cast<double>(means[i]);
    const double scale = sum > 0 ? static_cast<double>(cols) / sum : 0.0;
    for (uint64_t i = first; i < first + cols; ++i) {
      const float scaled = sum > 0 ? static_cast<float>(static_cast<double>(means[i]) * scale) : 1.0f;
      means[i] = std::clamp(scaled, kLeastImportance, kMostImportance);
    }
  }
  return static_cast<const float*>(means);
}

void Converter::Decode(const Job& job, uint64_t first, uint64_t count, float* values) {
  const bool by_rows = DTypeInfoOf(job.from->type)->tail_bytes != 0;
  const uint64_t piece = by_rows ? job.from->cols() : count;
  for (uint64_t at = 0; at < count; at += piece) {
    const uint64_t offset = BytesOf(*job.from, first + at);
    DecodeRow(job.from->type, job.data.data() + offset, values + at, static_cast<size_t>(piece));
  }
}

// A tile need not keep to rows, since each is a whole number of blocks of both types; those with tails do, and
// importances.
bool Converter::EncodeTile(const Job& job, uint64_t first, uint64_t count, float* values, uint8_t* out) const {
  Decode(job, first, count, values);
  const uint64_t cols = job.from->cols();
  if (DTypeInfoOf(job.to->type)->tail_bytes != 0) {
    const size_t row_bytes = RowBytes(job.to->type, static_cast<size_t>(cols));
    for (uint64_t at = 0; at < count; at += cols, out += row_bytes) {
      if (!EncodeRow(job.to->type, values + at, out, static_cast<size_t>(cols))) return false;
    }
    return true;
  }
  if (job.importance == nullptr) return EncodeRow(job.to->type, values, out, static_cast<size_t>(count));
  const uint64_t rows_per_matrix = job.from->shape[1];
  for (uint64_t at = 0; at < count;) {
    const uint64_t column = (first + at) % cols;
    const uint64_t matrix = (first + at) / cols / rows_per_matrix % job.from->shape[2];
    const size_t piece = static_cast<size_t>(std::min(cols - column, count - at));
    const float* importance = job.importance + matrix * cols + column;
    if (!EncodeRowWeighted(job.to->type, values + at, importance, out, piece)) return false;
    out += RowBytes(job.to->type, piece);
    at += piece;
  }
  return true;
}

void Converter::EncodeTiles(Job* job, int worker) {
  float* values = values_.As<float>() + static_cast<uint64_t>(worker) * most_tile_values_;
  const uint64_t tile_bytes = BytesOf(*job->to, job->tile_values);
  for (;;) {
    const uint64_t tile = job->next_tile.fetch_add(1, std::memory_order_relaxed);
    const uint64_t first = job->first + tile * job->tile_values;
    if (first >= job->end) return;
    const uint64_t count = std::min(job->tile_values, job->end - first);
    if (EncodeTile(*job, first, count, values, encoded_.data() + tile * tile_bytes)) continue;
    uint64_t known = job->bad_tile.load(std::memory_order_relaxed);
    while (tile < known && !job->bad_tile.compare_exchange_weak(known, tile, std::memory_order_relaxed)) {
    }
  }
}

Status Converter::EncodeTensor(const TensorInfo& from, const TensorInfo& to, size_t index,
                               std::span<const uint8_t> data) {
  MOTE_ASSIGN_OR_RETURN(const float* const importance, Importance(from));
  const uint64_t tile_values = TileValues(from, to);
  const uint64_t part = tile_values * kTilesPerWorker * static_cast<uint64_t>(workers());
  for (uint64_t first = 0; first < from.values(); first += part) {
    Job job{&from, &to, data, importance, first, std::min(first + part, from.values()), tile_values};
    if (pool_ == nullptr) {
      EncodeTiles(&job, 0);
    } else {
      std::pair<Converter*, Job*> work = {this, &job};
      const auto body = [](void* argument, int worker) {
        const auto& [self, its_job] = *static_cast<std::pair<Converter*, Job*>*>(argument);
        self->EncodeTiles(its_job, worker);
      };
      pool_->Run(body, &work);
    }
    if (const uint64_t bad = job.bad_tile.load(); bad != UINT64_MAX) {
      const uint64_t bad_first = first + bad * tile_values;
      return ExplainFailure(job, bad_first, std::min(tile_values, job.end - bad_first));
    }
    MOTE_RETURN_IF_ERROR(Write(encoded_.data(), BytesOf(to, job.end - first)));
    MOTE_RETURN_IF_ERROR(Tick(&from, &to, index));
  }
  return Status();
}

Status Converter::ExplainFailure(const Job& job, uint64_t first, uint64_t count) {
  const TensorInfo& from = *job.from;
  float* values = values_.As<float>();
  Decode(job, first, count, values);
  uint64_t largest = 0;
  for (uint64_t i = 0; i < count; ++i) {
    if (!isfinite(values[i])) {
      return Error(Code::kMalformed, "tensor %s (%s): row %llu, column %llu is %g; weights must be finite",
                   from.name.c_str(), DTypeName(from.type), static_cast<unsigned long long>((first + i) / from.cols()),
                   static_cast<unsigned long long>((first + i) % from.cols()), static_cast<double>(values[i]));
    }
    if (fabsf(values[i]) > fabsf(values[largest])) largest = i;
  }
  return Error(Code::kUnsupported,
               "tensor %s: row %llu, column %llu is %g, too large for %s; F32 and BF16 hold every such value",
               from.name.c_str(), static_cast<unsigned long long>((first + largest) / from.cols()),
               static_cast<unsigned long long>((first + largest) % from.cols()), static_cast<double>(values[largest]),
               DTypeName(job.to->type));
}

Status Converter::Prepare() {
  MOTE_ASSIGN_OR_RETURN(const QuantizePlan plan, PlanQuantization(in_, options_));
  GgufWriter writer;
  for (const GgufFile::Entry& entry : in_.metadata()) writer.Copy(entry);
  writer.SetUint32("general.quantization_version", 2);  // of the block formats; unchanged since 2023
  writer.SetUint32("general.file_type", plan.file_type);
  if (const Imatrix* imatrix = options_.imatrix; imatrix != nullptr) {
    writer.SetString("quantize.imatrix.file", imatrix->source_name);
    if (!imatrix->datasets.empty()) writer.SetString("quantize.imatrix.dataset", imatrix->datasets[0]);
    writer.SetUint32("quantize.imatrix.entries_count", static_cast<uint32_t>(imatrix->entries().size()));
    if (imatrix->chunk_count != 0) writer.SetUint32("quantize.imatrix.chunks_count", imatrix->chunk_count);
  }
  for (const TensorInfo& tensor : plan.tensors) writer.AddTensor(tensor);
  MOTE_ASSIGN_OR_RETURN(layout_, writer.Finish());
  for (size_t i = 0; i < layout_.tensors.size(); ++i) {
    const TensorInfo& from = in_.tensors()[i];
    const TensorInfo& to = layout_.tensors[i];
    if (from.type != to.type) most_tile_values_ = std::max(most_tile_values_, TileValues(from, to));
  }
  const uint64_t tiles = static_cast<uint64_t>(workers());
  MOTE_ASSIGN_OR_RETURN(values_, Buffer::Create(tiles * most_tile_values_ * sizeof(float), "values being quantized"));
  MOTE_ASSIGN_OR_RETURN(encoded_, Buffer::Create(tiles * kTilesPerWorker * most_tile_values_ * kMaxBytesPerValue,
                                                 "values being quantized"));
  return Status();
}

Status Converter::Run() {
  MOTE_RETURN_IF_ERROR(Prepare());
  MOTE_RETURN_IF_ERROR(Write(layout_.header.data(), layout_.header.size()));
  for (size_t i = 0; i < layout_.tensors.size(); ++i) {
    const TensorInfo& from = in_.tensors()[i];
    const TensorInfo& to = layout_.tensors[i];
    MOTE_RETURN_IF_ERROR(Pad(to.offset));
    MOTE_RETURN_IF_ERROR(Tick(&from, &to, i));
    MOTE_ASSIGN_OR_RETURN(const std::span<const uint8_t> data, in_.TensorBytes(from));
    MOTE_RETURN_IF_ERROR(from.type == to.type ? CopyTensor(from, to, i, data) : EncodeTensor(from, to, i, data));
    in_.ReleaseTensor(from);
  }
  MOTE_RETURN_IF_ERROR(Pad(layout_.file_bytes));
  return Tick(nullptr, nullptr, layout_.tensors.size());
}

}  // namespace

Status QuantizeFile(const GgufFile& in, const QuantizeOptions& options, ThreadPool* pool, const QuantizeSink& sink) {
  if (sink.write == nullptr) return Error(Code::kInvalidArgument, "quantization needs a function to write with");
  return Converter(in, options, pool, sink).Run();
}

}  // namespace mote
