#include "engine/format/gguf_writer.h"

#include <string.h>

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "engine/core/checked.h"
#include "engine/format/gguf_parser.h"
#include "engine/format/i8_rows.h"

namespace mote {
namespace {

constexpr uint32_t kVersion = 3;

using Bytes = std::vector<uint8_t>;

void AppendRaw(Bytes* out, const void* from, size_t bytes) {
  if (bytes == 0) return;
  const size_t begin = out->size();
  out->resize(begin + bytes);
  memcpy(out->data() + begin, from, bytes);
}

template <class T>
void Append(Bytes* out, T value) {
  AppendRaw(out, &value, sizeof(value));
}

void AppendString(Bytes* out, std::string_view text) {
  Append<uint64_t>(out, text.size());
  AppendRaw(out, text.data(), text.size());
}

Bytes StartValue(GgufType type) {
  Bytes out;
  Append(&out, static_cast<uint32_t>(type));
  return out;
}

Bytes StartArray(GgufType element_type, uint64_t count) {
  Bytes out = StartValue(GgufType::kArray);
  Append(&out, static_cast<uint32_t>(element_type));
  Append(&out, count);
  return out;
}

template <class T>
Bytes Scalar(GgufType type, T value) {
  Bytes out = StartValue(type);
  Append(&out, value);
  return out;
}

template <class T>
Bytes Array(GgufType element_type, std::span<const T> values) {
  Bytes out = StartArray(element_type, values.size());
  AppendRaw(&out, values.data(), values.size_bytes());
  return out;
}

Status BadName(const char* what, std::string_view name, uint64_t most) {
  return Error(Code::kInvalidArgument, "%s %s of %zu bytes; 1 to %llu bytes of printable ASCII are right", what,
               Quote(name).c_str(), name.size(), static_cast<unsigned long long>(most));
}

}  // namespace

void GgufWriter::Set(std::string_view key, std::vector<uint8_t> encoded) {
  const auto [found, added] = positions_.emplace(std::string(key), items_.size());
  if (added) {
    items_.push_back({std::string(key), std::move(encoded)});
  } else {
    items_[found->second].encoded = std::move(encoded);
  }
}

void GgufWriter::SetUint32(std::string_view key, uint32_t value) {
  Set(key, Scalar(GgufType::kUint32, value));
}

void GgufWriter::SetUint64(std::string_view key, uint64_t value) {
  Set(key, Scalar(GgufType::kUint64, value));
}

void GgufWriter::SetInt32(std::string_view key, int32_t value) {
  Set(key, Scalar(GgufType::kInt32, value));
}

void GgufWriter::SetFloat32(std::string_view key, float value) {
  Set(key, Scalar(GgufType::kFloat32, value));
}

void GgufWriter::SetBool(std::string_view key, bool value) {
  Set(key, Scalar(GgufType::kBool, static_cast<uint8_t>(value ? 1 : 0)));
}

void GgufWriter::SetString(std::string_view key, std::string_view value) {
  Bytes encoded = StartValue(GgufType::kString);
  AppendString(&encoded, value);
  Set(key, std::move(encoded));
}

void GgufWriter::SetStrings(std::string_view key, std::span<const std::string> values) {
  Bytes encoded = StartArray(GgufType::kString, values.size());
  for (const std::string& value : values) AppendString(&encoded, value);
  Set(key, std::move(encoded));
}

void GgufWriter::SetFloats(std::string_view key, std::span<const float> values) {
  Set(key, Array(GgufType::kFloat32, values));
}

void GgufWriter::SetInt32s(std::string_view key, std::span<const int32_t> values) {
  Set(key, Array(GgufType::kInt32, values));
}

void GgufWriter::SetUint32s(std::string_view key, std::span<const uint32_t> values) {
  Set(key, Array(GgufType::kUint32, values));
}

void GgufWriter::Copy(const GgufFile::Entry& entry) {
  if (entry.key == "general.alignment" || entry.key.starts_with("split.") || entry.key == kI8RowsKey) return;
  const GgufValue& value = entry.value;
  Bytes encoded;
  if (value.type() == GgufType::kArray) {
    encoded = StartArray(value.element_type(), value.count());
  } else {
    encoded = StartValue(value.type());
    if (value.type() == GgufType::kString) Append<uint64_t>(&encoded, value.bytes_);
  }
  AppendRaw(&encoded, value.data_, static_cast<size_t>(value.bytes_));
  Set(entry.key, std::move(encoded));
}

void GgufWriter::AddTensor(const TensorInfo& tensor) {
  if (tensor.type == DType::kI8Row) SetUint32(kI8RowsKey, kI8RowsVersion);
  tensors_.push_back(tensor);
}

Result<GgufWriter::Layout> GgufWriter::Finish() const {
  Layout layout;
  Bytes& header = layout.header;
  AppendRaw(&header, "GGUF", 4);
  Append(&header, kVersion);
  Append<uint64_t>(&header, tensors_.size());
  Append<uint64_t>(&header, items_.size());
  for (const Item& item : items_) {
    if (!IsPrintableName(item.key, kGgufMaxKeyBytes)) return BadName("metadata key", item.key, kGgufMaxKeyBytes);
    if (item.key == "general.alignment" && item.encoded != Scalar<uint32_t>(GgufType::kUint32, alignment())) {
      return Error(Code::kInvalidArgument, "general.alignment must be uint32 %llu, which is what is written",
                   static_cast<unsigned long long>(alignment()));
    }
    AppendString(&header, item.key);
    AppendRaw(&header, item.encoded.data(), item.encoded.size());
  }
  std::unordered_set<std::string_view> names;
  Checked64 data_bytes = 0;
  layout.tensors = tensors_;
  for (TensorInfo& tensor : layout.tensors) {
    if (!IsPrintableName(tensor.name, kGgufMaxNameBytes)) return BadName("tensor name", tensor.name, kGgufMaxNameBytes);
    if (!names.insert(tensor.name).second) {
      return Error(Code::kInvalidArgument, "tensor %s is added twice", Quote(tensor.name).c_str());
    }
    for (int d = std::max(tensor.num_dims, 0); d < kMaxDims; ++d) {
      if (tensor.shape[d] != 1) {
        return Error(Code::kInvalidArgument, "tensor %s: dimension %d is not used and must be 1", tensor.name.c_str(),
                     d);
      }
    }
    const Status shape = CheckTensorShape(&tensor);
    if (!shape.ok())
      return Error(Code::kInvalidArgument, "tensor %s: %s", tensor.name.c_str(), shape.message().c_str());
    if (tensor.type == DType::kI8Row && tensor.num_dims < 2) {
      return Error(Code::kInvalidArgument, "tensor %s: an I8 matrix has two dimensions or more", tensor.name.c_str());
    }
    tensor.part = 0;
    tensor.offset = data_bytes.value();  // relative, as the header has it
    data_bytes = (data_bytes + tensor.bytes).AlignUp(alignment());
    if (!data_bytes.FitsIn(INT64_MAX)) {
      return Error(Code::kInvalidArgument, "tensor %s: the file would pass 2^63 bytes", tensor.name.c_str());
    }
    AppendString(&header, tensor.name);
    TensorInfo written = tensor;
    ToFileForm(&written);
    Append(&header, static_cast<uint32_t>(written.num_dims));
    AppendRaw(&header, written.shape.data(), static_cast<size_t>(written.num_dims) * sizeof(uint64_t));
    Append(&header, static_cast<uint32_t>(written.type));
    Append(&header, tensor.offset);
  }
  header.resize(static_cast<size_t>(Checked64(header.size()).AlignUp(alignment()).value()));
  if (header.size() > kGgufMaxHeaderBytes) {
    return Error(Code::kInvalidArgument, "the header would have %zu bytes; %llu are accepted at most", header.size(),
                 static_cast<unsigned long long>(kGgufMaxHeaderBytes));
  }
  for (TensorInfo& tensor : layout.tensors) tensor.offset += header.size();
  const Checked64 file_bytes = data_bytes + header.size();
  if (!file_bytes.FitsIn(INT64_MAX)) return Error(Code::kInvalidArgument, "the file would pass 2^63 bytes");
  layout.file_bytes = file_bytes.value();
  return layout;
}

}  // namespace mote
