// Writes GGUF files byte by byte, broken ones included. It shares no code with engine/format, so that the two can check
// each other.
#ifndef MOTE_TESTS_SUPPORT_GGUF_BUILDER_H_
#define MOTE_TESTS_SUPPORT_GGUF_BUILDER_H_

#include <stdint.h>
#include <string.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mote {
namespace testing {

// Type ids of metadata values, as the specification numbers them.
enum GgufId : uint32_t {
  kIdUint8 = 0,
  kIdInt8 = 1,
  kIdUint16 = 2,
  kIdInt16 = 3,
  kIdUint32 = 4,
  kIdInt32 = 5,
  kIdFloat32 = 6,
  kIdBool = 7,
  kIdString = 8,
  kIdArray = 9,
  kIdUint64 = 10,
  kIdInt64 = 11,
  kIdFloat64 = 12,
};

class GgufBuilder {
 public:
  using Bytes = std::vector<uint8_t>;

  // Numbers that the header would state truthfully unless told otherwise.
  std::string magic = "GGUF";
  uint32_t version = 3;
  uint64_t alignment = 32;  // of the layout; SetAlignment also writes the key
  std::optional<uint64_t> claimed_entries;
  std::optional<uint64_t> claimed_tensors;

  template <class T>
  static void Put(Bytes* out, T value) {
    uint8_t raw[sizeof(T)];
    memcpy(raw, &value, sizeof(T));
    for (const uint8_t byte : raw) out->push_back(byte);
  }
  // A string whose length field may lie.
  static void PutString(Bytes* out, std::string_view text, std::optional<uint64_t> claimed = std::nullopt) {
    Put<uint64_t>(out, claimed.value_or(text.size()));
    out->insert(out->end(), text.begin(), text.end());
  }

  // Metadata: anything, as key, type and payload.
  GgufBuilder& Raw(std::string_view key, uint32_t type, const Bytes& payload) {
    PutString(&entries_, key);
    Put(&entries_, type);
    entries_.insert(entries_.end(), payload.begin(), payload.end());
    ++num_entries_;
    return *this;
  }
  template <class T>
  GgufBuilder& Scalar(std::string_view key, uint32_t type, T value) {
    Bytes payload;
    Put(&payload, value);
    return Raw(key, type, payload);
  }
  GgufBuilder& Uint32(std::string_view key, uint32_t value) { return Scalar(key, kIdUint32, value); }
  GgufBuilder& Float32(std::string_view key, float value) { return Scalar(key, kIdFloat32, value); }
  GgufBuilder& Bool(std::string_view key, bool value) { return Scalar<uint8_t>(key, kIdBool, value ? 1 : 0); }
  GgufBuilder& String(std::string_view key, std::string_view value) {
    Bytes payload;
    PutString(&payload, value);
    return Raw(key, kIdString, payload);
  }
  template <class T>
  GgufBuilder& Array(std::string_view key, uint32_t element_type, const std::vector<T>& values,
                     std::optional<uint64_t> claimed = std::nullopt) {
    Bytes payload;
    Put(&payload, element_type);
    Put<uint64_t>(&payload, claimed.value_or(values.size()));
    for (const T value : values) Put(&payload, value);
    return Raw(key, kIdArray, payload);
  }
  GgufBuilder& Strings(std::string_view key, const std::vector<std::string>& values,
                       std::optional<uint64_t> claimed = std::nullopt) {
    Bytes payload;
    Put<uint32_t>(&payload, kIdString);
    Put<uint64_t>(&payload, claimed.value_or(values.size()));
    for (const std::string& value : values) PutString(&payload, value);
    return Raw(key, kIdArray, payload);
  }
  GgufBuilder& SetAlignment(uint32_t value) {
    alignment = value;
    return Uint32("general.alignment", value);
  }

  // A tensor whose entry says whatever it is told to; nothing is added to the data.
  GgufBuilder& TensorEntry(std::string_view name, uint32_t num_dims, const std::vector<uint64_t>& dims, uint32_t type,
                           uint64_t offset) {
    PutString(&tensors_, name);
    Put(&tensors_, num_dims);
    for (const uint64_t dim : dims) Put(&tensors_, dim);
    Put(&tensors_, type);
    Put(&tensors_, offset);
    ++num_tensors_;
    return *this;
  }
  // A tensor with its data, laid out after those before it.
  GgufBuilder& Tensor(std::string_view name, const std::vector<uint64_t>& dims, uint32_t type, const Bytes& data) {
    TensorEntry(name, static_cast<uint32_t>(dims.size()), dims, type, data_.size());
    Data(data);
    return *this;
  }
  GgufBuilder& Data(const Bytes& data) {
    data_.insert(data_.end(), data.begin(), data.end());
    while (data_.size() % alignment != 0) data_.push_back(0);
    return *this;
  }

  // Up to the end of the tensor table.
  Bytes Header() const {
    Bytes file(magic.begin(), magic.end());
    Put(&file, version);
    Put<uint64_t>(&file, claimed_tensors.value_or(num_tensors_));
    Put<uint64_t>(&file, claimed_entries.value_or(num_entries_));
    file.insert(file.end(), entries_.begin(), entries_.end());
    file.insert(file.end(), tensors_.begin(), tensors_.end());
    return file;
  }
  Bytes Build() const {
    Bytes file = Header();
    while (alignment != 0 && file.size() % alignment != 0) file.push_back(0);
    file.insert(file.end(), data_.begin(), data_.end());
    return file;
  }

 private:
  Bytes entries_;
  Bytes tensors_;
  Bytes data_;
  uint64_t num_entries_ = 0;
  uint64_t num_tensors_ = 0;
};

// `count` bytes that differ from their neighbours.
inline GgufBuilder::Bytes PatternBytes(size_t count, uint8_t seed = 1) {
  GgufBuilder::Bytes bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<uint8_t>(seed + 31 * i + (i >> 8));
  return bytes;
}

}  // namespace testing
}  // namespace mote

#endif  // MOTE_TESTS_SUPPORT_GGUF_BUILDER_H_
