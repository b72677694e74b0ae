// The fields of one part's header, each checked as it is read.
#include <stdio.h>
#include <string.h>

#include <algorithm>

#include "engine/core/checked.h"
#include "engine/format/gguf_parser.h"
#include "quant/dtype.h"

namespace mote {
namespace {

// The least that one of these takes in a header: the lengths and numbers around an empty payload.
constexpr uint64_t kLeastEntryBytes = 8 + 1 + 4 + 1;
constexpr uint64_t kLeastTensorBytes = 8 + 1 + 4 + 8 + 4 + 8;
constexpr uint64_t kLeastStringBytes = 8;

bool StartsWith(std::span<const uint8_t> bytes, std::string_view magic) {
  return bytes.size() >= magic.size() && memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

// What people most often give by mistake, and what they should do about it.
Status NotGguf(std::span<const uint8_t> bytes) {
  // The formats before GGUF wrote their magic as a little-endian number, so its letters stand backwards.
  for (const char* magic : {"lmgg", "fmgg", "tjgg", "algg"}) {
    if (StartsWith(bytes, magic)) {
      return Error(Code::kUnsupported,
                   "this is a GGML file from before GGUF (%c%c%c%c); get the model as GGUF, or convert it with "
                   "llama.cpp's convert_llama_ggml_to_gguf.py",
                   magic[3], magic[2], magic[1], magic[0]);
    }
  }
  if (StartsWith(bytes, "FUGG")) {
    return Error(Code::kUnsupported, "this GGUF file is big-endian; convert it with gguf-py's gguf_convert_endian.py");
  }
  if (StartsWith(bytes, "version https://git-lfs")) {
    return Error(Code::kMalformed, "this is a Git LFS pointer, not the model; fetch the file itself (git lfs pull)");
  }
  if (StartsWith(bytes, "<!") || StartsWith(bytes, "<h") || StartsWith(bytes, "<H")) {
    return Error(Code::kMalformed, "this is a web page, not a model; the download gave an error or a login page");
  }
  if (StartsWith(bytes, "PK\x03\x04")) {
    return Error(Code::kUnsupported, "this is a zip archive (a PyTorch checkpoint?), not GGUF; convert it to GGUF");
  }
  if (bytes.size() > 9 && bytes[8] == '{' && bytes[9] == '"') {
    return Error(Code::kUnsupported, "this is a safetensors file, not GGUF; convert it to GGUF");
  }
  char met[3 * 4 + 1] = "";
  for (size_t i = 0; i < std::min<size_t>(bytes.size(), 4); ++i) {
    snprintf(met + 3 * i, sizeof(met) - 3 * i, "%02x ", bytes[i]);
  }
  return Error(Code::kMalformed, "not a GGUF file: it starts with %s, not with 47 47 55 46 (\"GGUF\")",
               bytes.empty() ? "nothing " : met);
}

}  // namespace

std::string Quote(std::string_view text) {
  constexpr size_t kMost = 80;
  std::string quoted = "\"";
  for (const char c : text.substr(0, kMost)) {
    if (c >= 0x20 && c < 0x7F && c != '"' && c != '\\') {
      quoted += c;
    } else {
      char escaped[8];
      snprintf(escaped, sizeof(escaped), "\\x%02x", static_cast<unsigned>(static_cast<uint8_t>(c)));
      quoted += escaped;
    }
  }
  quoted += text.size() > kMost ? "...\"" : "\"";
  return quoted;
}

bool IsPrintableName(std::string_view text, uint64_t max_bytes) {
  return !text.empty() && text.size() <= max_bytes &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7F; });
}

static Status UnknownFormat(uint32_t id) {
  return Error(Code::kUnsupported, "number format %u is not known; the file is damaged or newer than this program", id);
}

Status CheckTensorShape(TensorInfo* tensor, bool foreign_ok) {
  const uint32_t id = static_cast<uint32_t>(tensor->type);
  const DTypeInfo* type = DTypeInfoOf(id);
  if (type == nullptr) return UnknownFormat(id);
  const bool foreign = type->block_values == 0;
  if (foreign && !foreign_ok) {
    return Error(Code::kUnsupported, "number format %s (%u) is not supported", type->name, id);
  }
  if (tensor->num_dims < 1 || tensor->num_dims > kMaxDims) {
    return Error(Code::kMalformed, "%d dimensions; 1 to %d are right", tensor->num_dims, kMaxDims);
  }
  Checked64 values = 1;
  for (int d = 0; d < tensor->num_dims; ++d) {
    if (tensor->shape[d] == 0) return Error(Code::kMalformed, "dimension %d is 0", d);
    values = values * tensor->shape[d];
  }
  // With the signed limit, sizes can be subtracted and compared anywhere later without a thought.
  if (!values.FitsIn(INT64_MAX)) return Error(Code::kMalformed, "the dimensions multiply to 2^63 values or more");
  if (foreign) {
    tensor->bytes = 0;
    return Status();
  }
  if (tensor->shape[0] % type->block_values != 0) {
    return Error(Code::kMalformed, "rows of %llu values are not whole %s blocks of %u",
                 static_cast<unsigned long long>(tensor->shape[0]), type->name, type->block_values);
  }
  const Checked64 rows = values.value() / tensor->shape[0];
  const Checked64 bytes = Checked64(values.value() / type->block_values) * type->block_bytes + rows * type->tail_bytes;
  if (!bytes.FitsIn(INT64_MAX)) return Error(Code::kMalformed, "2^63 bytes or more");
  tensor->bytes = bytes.value();
  return Status();
}

Status GgufParser::ReadPrologue(HeaderCursor* cursor, Part* part) {
  if (!StartsWith(part->bytes, "GGUF")) return NotGguf(part->bytes);
  MOTE_RETURN_IF_ERROR(cursor->Skip("the magic", 4));
  MOTE_RETURN_IF_ERROR(cursor->Read("the version", &part->version));
  if (part->version == 1) {
    return Error(Code::kUnsupported,
                 "GGUF version 1 (of August 2023) is not supported, 2 and 3 are; convert the model anew");
  }
  if ((part->version & 0xFFFF) == 0 && part->version != 0) {
    return Error(Code::kUnsupported, "this GGUF file is big-endian; convert it with gguf-py's gguf_convert_endian.py");
  }
  if (part->version != 2 && part->version != 3) {
    return Error(part->version > 3 ? Code::kUnsupported : Code::kMalformed,
                 "GGUF version %u is not supported, 2 and 3 are", part->version);
  }
  MOTE_RETURN_IF_ERROR(cursor->Read("the number of tensors", &part->num_tensors));
  MOTE_RETURN_IF_ERROR(cursor->Read("the number of metadata entries", &part->num_entries));
  MOTE_RETURN_IF_ERROR(cursor->CheckCount("the number of metadata entries", part->num_entries, kLeastEntryBytes));
  return cursor->CheckCount("the number of tensors", part->num_tensors, kLeastTensorBytes);
}

Status GgufParser::ReadStrings(HeaderCursor* cursor, std::span<uint32_t>* strings, uint64_t* num_strings,
                               GgufValue* value) {
  MOTE_RETURN_IF_ERROR(cursor->CheckCount("a string array", value->count_, kLeastStringBytes));
  std::span<uint32_t> offsets;
  if (strings != nullptr) {
    // Cannot be unless the file is written to while it is read.
    if (value->count_ > strings->size()) return Error(Code::kIo, "the file changed while it was read");
    offsets = strings->first(static_cast<size_t>(value->count_));
    *strings = strings->subspan(offsets.size());
    value->string_offsets_ = offsets.data();
  }
  const uint64_t begin = cursor->position();
  for (uint64_t i = 0; i < value->count_; ++i) {
    // Fits: a header has at most kGgufMaxHeaderBytes.
    if (strings != nullptr) offsets[static_cast<size_t>(i)] = static_cast<uint32_t>(cursor->position() - begin);
    std::string_view text;
    MOTE_RETURN_IF_ERROR(cursor->ReadString("a string of an array", &text));
  }
  value->bytes_ = cursor->position() - begin;
  *num_strings += value->count_;
  return Status();
}

Status GgufParser::ReadArray(HeaderCursor* cursor, std::span<uint32_t>* strings, uint64_t* num_strings,
                             GgufValue* value) {
  uint32_t type = 0;
  MOTE_RETURN_IF_ERROR(cursor->Read("an array's element type", &type));
  MOTE_RETURN_IF_ERROR(cursor->Read("an array's length", &value->count_));
  value->element_type_ = static_cast<GgufType>(type);
  value->data_ = cursor->here();
  if (value->element_type_ == GgufType::kString) return ReadStrings(cursor, strings, num_strings, value);
  if (value->element_type_ == GgufType::kArray) return Error(Code::kUnsupported, "arrays of arrays are not supported");
  const uint64_t element_bytes = GgufScalarBytes(value->element_type_);
  if (element_bytes == 0) return Error(Code::kMalformed, "array of unknown type %u; 0 to 12 are known", type);
  MOTE_RETURN_IF_ERROR(cursor->CheckCount("an array", value->count_, element_bytes));
  value->bytes_ = value->count_ * element_bytes;  // at most what remains
  MOTE_RETURN_IF_ERROR(cursor->Skip("an array", value->bytes_));
  if (value->element_type_ == GgufType::kBool &&
      std::any_of(value->data_, value->data_ + value->bytes_, [](uint8_t b) { return b > 1; })) {
    return Error(Code::kMalformed, "array of bool holds a byte that is neither 0 nor 1");
  }
  return Status();
}

Status GgufParser::ReadValue(HeaderCursor* cursor, std::span<uint32_t>* strings, uint64_t* num_strings,
                             GgufValue* value) {
  uint32_t type = 0;
  MOTE_RETURN_IF_ERROR(cursor->Read("a metadata type", &type));
  value->type_ = static_cast<GgufType>(type);
  if (value->type_ == GgufType::kArray) return ReadArray(cursor, strings, num_strings, value);
  if (value->type_ == GgufType::kString) {
    std::string_view text;
    MOTE_RETURN_IF_ERROR(cursor->ReadString("a string", &text));
    value->data_ = reinterpret_cast<const uint8_t*>(text.data());
    value->bytes_ = text.size();
    return Status();
  }
  value->data_ = cursor->here();
  value->bytes_ = GgufScalarBytes(value->type_);
  if (value->bytes_ == 0) return Error(Code::kMalformed, "unknown type %u; 0 to 12 are known", type);
  MOTE_RETURN_IF_ERROR(cursor->Skip("a metadata value", value->bytes_));
  if (value->type_ == GgufType::kBool && *value->data_ > 1) {
    return Error(Code::kMalformed, "bool is %u; 0 and 1 are right", *value->data_);
  }
  return Status();
}

Status GgufParser::ReadEntry(HeaderCursor* cursor, std::span<uint32_t>* strings, uint64_t* num_strings,
                             GgufFile::Entry* entry) {
  MOTE_RETURN_IF_ERROR(cursor->ReadString("a metadata key", &entry->key));
  if (!IsPrintableName(entry->key, kGgufMaxKeyBytes)) {
    return Error(Code::kMalformed, "metadata key %s of %zu bytes; 1 to %llu bytes of printable ASCII are right",
                 Quote(entry->key).c_str(), entry->key.size(), static_cast<unsigned long long>(kGgufMaxKeyBytes));
  }
  entry->value = GgufValue();
  const Status status = ReadValue(cursor, strings, num_strings, &entry->value);
  return status.ok() ? status : status.Within("metadata key " + Quote(entry->key));
}

Status GgufParser::ReadTensor(HeaderCursor* cursor, uint64_t alignment, bool foreign_ok, TensorInfo* tensor,
                              std::string_view* name) {
  MOTE_RETURN_IF_ERROR(cursor->ReadString("a tensor's name", name));
  if (!IsPrintableName(*name, kGgufMaxNameBytes)) {
    return Error(Code::kMalformed, "tensor name %s of %zu bytes; 1 to %llu bytes of printable ASCII are right",
                 Quote(*name).c_str(), name->size(), static_cast<unsigned long long>(kGgufMaxNameBytes));
  }
  const Status status = ReadTensorBody(cursor, alignment, foreign_ok, tensor);
  return status.ok() ? status : status.Within("tensor " + Quote(*name));
}

Status GgufParser::ReadTensorBody(HeaderCursor* cursor, uint64_t alignment, bool foreign_ok, TensorInfo* tensor) {
  uint32_t num_dims = 0;
  MOTE_RETURN_IF_ERROR(cursor->Read("a tensor's number of dimensions", &num_dims));
  if (num_dims < 1 || num_dims > static_cast<uint32_t>(kMaxDims)) {
    return Error(Code::kMalformed, "%u dimensions; 1 to %d are right", num_dims, kMaxDims);
  }
  tensor->num_dims = static_cast<int>(num_dims);
  tensor->shape.fill(1);
  for (uint32_t d = 0; d < num_dims; ++d) {
    MOTE_RETURN_IF_ERROR(cursor->Read("a tensor's shape", &tensor->shape[d]));
  }
  uint32_t type = 0;
  MOTE_RETURN_IF_ERROR(cursor->Read("a tensor's type", &type));
  tensor->type = static_cast<DType>(type);
  if (tensor->type == DType::kI8Row) return UnknownFormat(type);  // our own name for what files have otherwise
  MOTE_RETURN_IF_ERROR(cursor->Read("a tensor's offset", &tensor->offset));
  MOTE_RETURN_IF_ERROR(CheckTensorShape(tensor, foreign_ok));
  if (tensor->offset % alignment != 0) {
    return Error(Code::kMalformed, "offset %llu is not a multiple of the alignment %llu",
                 static_cast<unsigned long long>(tensor->offset), static_cast<unsigned long long>(alignment));
  }
  return Status();
}

}  // namespace mote
