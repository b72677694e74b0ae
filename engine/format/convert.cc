#include "engine/format/convert.h"

#include <math.h>

#include <algorithm>
#include <span>
#include <utility>

#include "engine/core/buffer.h"
#include "engine/format/convert_internal.h"
#include "engine/format/gguf_writer.h"
#include "quant/codec.h"

namespace mote {
namespace {

// Values converted at a time: a multiple of every block, small enough for the second-level cache. Rows need not be
// kept apart, since each is a whole number of blocks of both types.
constexpr uint64_t kChunkValues = 32768;
constexpr uint64_t kChunkBytes = 1 << 20;  // of what is copied unchanged
constexpr uint64_t kMaxBytesPerValue = 8;

class Converter {
 public:
  Converter(const GgufFile& in, const QuantizeSink& sink) : in_(in), sink_(sink) {}

  Status Run(const QuantizeRecipe& recipe);

 private:
  Status Write(const uint8_t* bytes, uint64_t size);
  Status Pad(uint64_t end);
  Status Tick(const TensorInfo* from, const TensorInfo* to, size_t index);
  Status CopyTensor(const TensorInfo& from, const TensorInfo& to, size_t index, std::span<const uint8_t> data);
  Status EncodeTensor(const TensorInfo& from, const TensorInfo& to, size_t index, std::span<const uint8_t> data);
  Status ExplainFailure(const TensorInfo& from, const TensorInfo& to, uint64_t first, uint64_t count) const;

  const GgufFile& in_;
  const QuantizeSink& sink_;
  GgufWriter::Layout layout_;
  Buffer values_;   // kChunkValues floats
  Buffer encoded_;  // the same number of values, encoded
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

Status Converter::EncodeTensor(const TensorInfo& from, const TensorInfo& to, size_t index,
                               std::span<const uint8_t> data) {
  float* values = values_.As<float>();
  for (uint64_t first = 0; first < from.values(); first += kChunkValues) {
    const size_t count = static_cast<size_t>(std::min(kChunkValues, from.values() - first));
    const uint64_t offset = first / DTypeInfoOf(from.type)->block_values * DTypeInfoOf(from.type)->block_bytes;
    DecodeRow(from.type, data.data() + offset, values, count);
    if (!EncodeRow(to.type, values, encoded_.data(), count)) return ExplainFailure(from, to, first, count);
    MOTE_RETURN_IF_ERROR(Write(encoded_.data(), RowBytes(to.type, count)));
    MOTE_RETURN_IF_ERROR(Tick(&from, &to, index));
  }
  return Status();
}

Status Converter::ExplainFailure(const TensorInfo& from, const TensorInfo& to, uint64_t first, uint64_t count) const {
  const float* values = values_.As<float>();
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
               DTypeName(to.type));
}

Status Converter::Run(const QuantizeRecipe& recipe) {
  MOTE_ASSIGN_OR_RETURN(const std::vector<TensorInfo> plan, PlanQuantization(in_, recipe.name));
  GgufWriter writer;
  for (const GgufFile::Entry& entry : in_.metadata()) writer.Copy(entry);
  writer.SetUint32("general.quantization_version", 2);  // of the block formats; unchanged since 2023
  writer.SetUint32("general.file_type", recipe.file_type);
  for (const TensorInfo& tensor : plan) writer.AddTensor(tensor);
  MOTE_ASSIGN_OR_RETURN(layout_, writer.Finish());
  MOTE_ASSIGN_OR_RETURN(values_, Buffer::Create(kChunkValues * sizeof(float), "values being quantized"));
  MOTE_ASSIGN_OR_RETURN(encoded_, Buffer::Create(kChunkValues * kMaxBytesPerValue, "values being quantized"));
  MOTE_RETURN_IF_ERROR(Write(layout_.header.data(), layout_.header.size()));
  for (size_t i = 0; i < plan.size(); ++i) {
    const TensorInfo& from = in_.tensors()[i];
    const TensorInfo& to = layout_.tensors[i];
    MOTE_RETURN_IF_ERROR(Pad(to.offset));
    MOTE_RETURN_IF_ERROR(Tick(&from, &to, i));
    MOTE_ASSIGN_OR_RETURN(const std::span<const uint8_t> data, in_.TensorBytes(from));
    MOTE_RETURN_IF_ERROR(from.type == to.type ? CopyTensor(from, to, i, data) : EncodeTensor(from, to, i, data));
    in_.ReleaseTensor(from);
  }
  MOTE_RETURN_IF_ERROR(Pad(layout_.file_bytes));
  return Tick(nullptr, nullptr, plan.size());
}

}  // namespace

Status QuantizeFile(const GgufFile& in, std::string_view type_name, const QuantizeSink& sink) {
  if (sink.write == nullptr) return Error(Code::kInvalidArgument, "quantization needs a function to write with");
  MOTE_RETURN_IF_ERROR(PlanQuantization(in, type_name).status());
  return Converter(in, sink).Run(*FindRecipe(type_name));
}

}  // namespace mote
