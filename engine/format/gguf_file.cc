// Look-ups in a parsed file.
#include <stdio.h>

#include <utility>

#include "engine/format/gguf.h"
#include "engine/format/gguf_impl.h"
#include "engine/format/gguf_parser.h"

namespace mote {

GgufFile::GgufFile() : impl_(std::make_unique<Impl>()) {}
GgufFile::~GgufFile() = default;

Result<std::unique_ptr<GgufFile>> GgufFile::FromSources(std::vector<std::unique_ptr<ByteSource>> parts) {
  return GgufParser::Parse(std::move(parts), /*header_only=*/false);
}

Result<std::unique_ptr<GgufFile>> GgufFile::FromSourcesHeaderOnly(std::vector<std::unique_ptr<ByteSource>> parts) {
  return GgufParser::Parse(std::move(parts), /*header_only=*/true);
}

uint32_t GgufFile::version() const {
  return impl_->version;
}

uint64_t GgufFile::alignment() const {
  return impl_->alignment;
}

uint64_t GgufFile::header_bytes() const {
  return impl_->header_bytes;
}

uint64_t GgufFile::file_bytes() const {
  return impl_->file_bytes;
}

size_t GgufFile::num_parts() const {
  return impl_->parts.size();
}

const std::string& GgufFile::name() const {
  return impl_->parts[0]->name();
}

std::span<const GgufFile::Entry> GgufFile::metadata() const {
  return std::as_const(impl_->metadata.entries).span();
}

std::span<const TensorInfo> GgufFile::tensors() const {
  return std::as_const(impl_->tensors).span();
}

const GgufValue* GgufFile::Find(std::string_view key) const {
  return impl_->metadata.Find(key);
}

const TensorInfo* GgufFile::FindTensor(std::string_view name) const {
  const FixedArray<TensorInfo>& tensors = impl_->tensors;
  const size_t position =
      impl_->tensor_index.Find(name, [&tensors](size_t i) { return std::string_view(tensors[i].name); });
  if (position != NameIndex::kNone) return &tensors[position];
  const FixedArray<TensorInfo>& sparse = impl_->sparse_tensors;
  const size_t other = impl_->sparse_index.Find(name, [&sparse](size_t i) { return std::string_view(sparse[i].name); });
  return other == NameIndex::kNone ? nullptr : &sparse[other];
}

std::span<const TensorInfo> GgufFile::sparse_tensors() const {
  return std::as_const(impl_->sparse_tensors).span();
}

Result<std::span<const uint8_t>> GgufFile::TensorBytes(const TensorInfo& tensor) const {
  if (tensor.sparse != nullptr) {
    return Error(Code::kInvalidArgument, "tensor %s is block-sparse: it has no bytes of its own",
                 Quote(tensor.name).c_str());
  }
  if (tensor.part >= impl_->parts.size()) {
    return Error(Code::kInvalidArgument, "tensor %s is of part %u, but there are %zu", Quote(tensor.name).c_str(),
                 tensor.part, impl_->parts.size());
  }
  Result<std::span<const uint8_t>> bytes = impl_->parts[tensor.part]->View(tensor.offset, tensor.bytes);
  return bytes.ok() ? bytes : bytes.status().Within("tensor " + Quote(tensor.name));
}

bool GgufFile::IsMapped(const TensorInfo& tensor) const {
  if (tensor.sparse != nullptr) return IsMapped(*tensor.sparse->values);
  return tensor.part < impl_->parts.size() && impl_->parts[tensor.part]->mapped();
}

std::span<uint8_t> GgufFile::GiveUpTensor(const TensorInfo& tensor) const {
  if (tensor.sparse != nullptr || tensor.part >= impl_->parts.size()) return {};
  return impl_->parts[tensor.part]->GiveUp(tensor.offset, tensor.bytes);
}

void GgufFile::ReleaseTensor(const TensorInfo& tensor) const {
  if (tensor.sparse != nullptr) {
    for (const TensorInfo* part :
         {tensor.sparse->counts, tensor.sparse->index, tensor.sparse->scales, tensor.sparse->values}) {
      if (part != nullptr) ReleaseTensor(*part);
    }
    return;
  }
  if (tensor.part < impl_->parts.size()) impl_->parts[tensor.part]->Release(tensor.offset, tensor.bytes);
}

std::string DescribeValue(const GgufValue& value) {
  char text[96];
  int64_t signed_value = 0;
  uint64_t unsigned_value = 0;
  double float_value = 0;
  const char* type = GgufTypeName(value.type());
  if (value.type() == GgufType::kArray) {
    snprintf(text, sizeof(text), "array of %llu %s", static_cast<unsigned long long>(value.count()),
             GgufTypeName(value.element_type()));
  } else if (value.GetInt(&signed_value)) {
    snprintf(text, sizeof(text), "%s %lld", type, static_cast<long long>(signed_value));
  } else if (value.GetUint(&unsigned_value)) {
    snprintf(text, sizeof(text), "%s %llu", type, static_cast<unsigned long long>(unsigned_value));
  } else if (value.GetFloat(&float_value)) {
    snprintf(text, sizeof(text), "%s %g", type, float_value);
  } else {
    snprintf(text, sizeof(text), "%s", type);
  }
  return text;
}

namespace {

Status Missing(const GgufFile& file, std::string_view key) {
  return Error(Code::kNotFound, "%s: metadata key %s is missing", file.name().c_str(), Quote(key).c_str());
}

Status WrongType(const GgufFile& file, std::string_view key, const GgufValue& value, const char* right) {
  return Error(Code::kMalformed, "%s: metadata key %s is %s; %s is right", file.name().c_str(), Quote(key).c_str(),
               DescribeValue(value).c_str(), right);
}

Result<uint64_t> AsUint(const GgufFile& file, std::string_view key, const GgufValue& value) {
  uint64_t number = 0;
  if (!value.GetUint(&number)) return WrongType(file, key, value, "a non-negative integer");
  return number;
}

Result<double> AsFloat(const GgufFile& file, std::string_view key, const GgufValue& value) {
  double number = 0;
  if (!value.GetFloat(&number)) return WrongType(file, key, value, "a number");
  return number;
}

Result<std::string> AsString(const GgufFile& file, std::string_view key, const GgufValue& value) {
  std::string_view text;
  if (!value.GetString(&text)) return WrongType(file, key, value, "a string");
  return std::string(text);
}

}  // namespace

Result<uint64_t> GgufFile::RequireUint(std::string_view key) const {
  const GgufValue* value = Find(key);
  return value == nullptr ? Missing(*this, key) : AsUint(*this, key, *value);
}

Result<double> GgufFile::RequireFloat(std::string_view key) const {
  const GgufValue* value = Find(key);
  return value == nullptr ? Missing(*this, key) : AsFloat(*this, key, *value);
}

Result<std::string> GgufFile::RequireString(std::string_view key) const {
  const GgufValue* value = Find(key);
  return value == nullptr ? Missing(*this, key) : AsString(*this, key, *value);
}

Result<uint64_t> GgufFile::UintOr(std::string_view key, uint64_t fallback) const {
  const GgufValue* value = Find(key);
  return value == nullptr ? fallback : AsUint(*this, key, *value);
}

Result<double> GgufFile::FloatOr(std::string_view key, double fallback) const {
  const GgufValue* value = Find(key);
  return value == nullptr ? fallback : AsFloat(*this, key, *value);
}

Result<bool> GgufFile::BoolOr(std::string_view key, bool fallback) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return fallback;
  bool flag = false;
  if (!value->GetBool(&flag)) return WrongType(*this, key, *value, "a bool");
  return flag;
}

Result<std::string> GgufFile::StringOr(std::string_view key, std::string_view fallback) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::string(fallback);
  return AsString(*this, key, *value);
}

}  // namespace mote
