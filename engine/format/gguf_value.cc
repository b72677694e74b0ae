// Decoding of metadata values.
#include <string.h>

#include <bit>

#include "engine/format/gguf.h"
#include "engine/format/gguf_parser.h"

namespace mote {

// Values are copied out of the file as they lie there; a big-endian host would need a swap in Load and in every kernel.
static_assert(std::endian::native == std::endian::little, "GGUF files are little-endian and so must the host be");

const char* GgufTypeName(GgufType type) {
  switch (type) {
    case GgufType::kUint8:
      return "uint8";
    case GgufType::kInt8:
      return "int8";
    case GgufType::kUint16:
      return "uint16";
    case GgufType::kInt16:
      return "int16";
    case GgufType::kUint32:
      return "uint32";
    case GgufType::kInt32:
      return "int32";
    case GgufType::kFloat32:
      return "float32";
    case GgufType::kBool:
      return "bool";
    case GgufType::kString:
      return "string";
    case GgufType::kArray:
      return "array";
    case GgufType::kUint64:
      return "uint64";
    case GgufType::kInt64:
      return "int64";
    case GgufType::kFloat64:
      return "float64";
  }
  return "unknown";
}

uint64_t GgufScalarBytes(GgufType type) {
  switch (type) {
    case GgufType::kUint8:
    case GgufType::kInt8:
    case GgufType::kBool:
      return 1;
    case GgufType::kUint16:
    case GgufType::kInt16:
      return 2;
    case GgufType::kUint32:
    case GgufType::kInt32:
    case GgufType::kFloat32:
      return 4;
    case GgufType::kUint64:
    case GgufType::kInt64:
    case GgufType::kFloat64:
      return 8;
    case GgufType::kString:
    case GgufType::kArray:
      break;
  }
  return 0;
}

namespace {

template <class T>
T Load(const uint8_t* from) {
  T value;
  memcpy(&value, from, sizeof(value));
  return value;
}

// An integer of any width as sign and 64 bits: values of the unsigned 64-bit type need all of them.
struct Integer {
  bool negative = false;  // then `bits` is two's complement
  uint64_t bits = 0;
};

template <class T>
Integer Signed(const uint8_t* from) {
  const int64_t value = Load<T>(from);
  return {value < 0, static_cast<uint64_t>(value)};
}

bool DecodeInteger(GgufType type, const uint8_t* from, Integer* out) {
  switch (type) {
    case GgufType::kUint8:
    case GgufType::kBool:
      *out = {false, Load<uint8_t>(from)};
      return true;
    case GgufType::kUint16:
      *out = {false, Load<uint16_t>(from)};
      return true;
    case GgufType::kUint32:
      *out = {false, Load<uint32_t>(from)};
      return true;
    case GgufType::kUint64:
      *out = {false, Load<uint64_t>(from)};
      return true;
    case GgufType::kInt8:
      *out = Signed<int8_t>(from);
      return true;
    case GgufType::kInt16:
      *out = Signed<int16_t>(from);
      return true;
    case GgufType::kInt32:
      *out = Signed<int32_t>(from);
      return true;
    case GgufType::kInt64:
      *out = Signed<int64_t>(from);
      return true;
    default:
      return false;
  }
}

bool DecodeUint(GgufType type, const uint8_t* from, uint64_t* out) {
  Integer value;
  if (!DecodeInteger(type, from, &value) || value.negative) return false;
  *out = value.bits;
  return true;
}

bool DecodeInt(GgufType type, const uint8_t* from, int64_t* out) {
  Integer value;
  if (!DecodeInteger(type, from, &value)) return false;
  if (!value.negative && value.bits > static_cast<uint64_t>(INT64_MAX)) return false;
  *out = static_cast<int64_t>(value.bits);
  return true;
}

bool DecodeFloat(GgufType type, const uint8_t* from, double* out) {
  if (type == GgufType::kFloat32) {
    *out = Load<float>(from);
    return true;
  }
  if (type == GgufType::kFloat64) {
    *out = Load<double>(from);
    return true;
  }
  Integer value;
  if (type == GgufType::kBool || !DecodeInteger(type, from, &value)) return false;
  *out = value.negative ? static_cast<double>(static_cast<int64_t>(value.bits)) : static_cast<double>(value.bits);
  return true;
}

}  // namespace

bool GgufValue::GetUint(uint64_t* out) const {
  return data_ != nullptr && DecodeUint(type_, data_, out);
}

bool GgufValue::GetInt(int64_t* out) const {
  return data_ != nullptr && DecodeInt(type_, data_, out);
}

bool GgufValue::GetFloat(double* out) const {
  return data_ != nullptr && DecodeFloat(type_, data_, out);
}

bool GgufValue::GetBool(bool* out) const {
  uint64_t value = 0;
  if (!GetUint(&value) || value > 1) return false;
  *out = value == 1;
  return true;
}

bool GgufValue::GetString(std::string_view* out) const {
  if (type_ != GgufType::kString || data_ == nullptr) return false;
  *out = std::string_view(reinterpret_cast<const char*>(data_), static_cast<size_t>(bytes_));
  return true;
}

bool GgufValue::UintAt(uint64_t index, uint64_t* out) const {
  if (type_ != GgufType::kArray || index >= count_) return false;
  return DecodeUint(element_type_, data_ + index * GgufScalarBytes(element_type_), out);
}

bool GgufValue::IntAt(uint64_t index, int64_t* out) const {
  if (type_ != GgufType::kArray || index >= count_) return false;
  return DecodeInt(element_type_, data_ + index * GgufScalarBytes(element_type_), out);
}

bool GgufValue::FloatAt(uint64_t index, double* out) const {
  if (type_ != GgufType::kArray || index >= count_) return false;
  return DecodeFloat(element_type_, data_ + index * GgufScalarBytes(element_type_), out);
}

bool GgufValue::StringAt(uint64_t index, std::string_view* out) const {
  if (type_ != GgufType::kArray || element_type_ != GgufType::kString || index >= count_) return false;
  const uint64_t begin = uint64_t{string_offsets_[index]} + sizeof(uint64_t);
  // The length was checked when the header was parsed; it is checked again because it lies in a map of a file that
  // somebody may since have written over.
  const uint64_t length = Load<uint64_t>(data_ + begin - sizeof(uint64_t));
  if (length > bytes_ - begin) return false;
  *out = std::string_view(reinterpret_cast<const char*>(data_ + begin), static_cast<size_t>(length));
  return true;
}

}  // namespace mote
