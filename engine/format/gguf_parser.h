// From the bytes of one part or several to a GgufFile. Private to engine/format; the door is gguf.h.
#ifndef MOTE_ENGINE_FORMAT_GGUF_PARSER_H_
#define MOTE_ENGINE_FORMAT_GGUF_PARSER_H_

#include <stddef.h>
#include <stdint.h>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/status.h"
#include "engine/core/tensor.h"
#include "engine/format/gguf.h"
#include "engine/format/gguf_impl.h"
#include "engine/format/header_cursor.h"

namespace mote {

inline constexpr uint64_t kGgufDefaultAlignment = 32;

// Bytes of a scalar; 0 for strings and arrays.
uint64_t GgufScalarBytes(GgufType type);

// A name out of a file, fit to be printed: quoted, cut at 80 bytes, everything but printable ASCII as \xNN.
std::string Quote(std::string_view text);

// A value in a few words, for messages: "int32 -5", "array of 3 string".
std::string DescribeValue(const GgufValue& value);

// Whether `text` is 1 to `max_bytes` bytes of printable ASCII.
bool IsPrintableName(std::string_view text, uint64_t max_bytes);

// Checks type and shape and fills in tensor->bytes. Nothing else of `tensor` is written. With `foreign_ok` a format
// that is known by its name alone passes too, with 0 bytes.
Status CheckTensorShape(TensorInfo* tensor, bool foreign_ok = false);

// Walks each part twice: the first walk checks every field and counts, the second fills arrays that fit exactly. So
// nothing is allocated on the word of a count, and the peak is what is kept.
class GgufParser {
 public:
  static Result<std::unique_ptr<GgufFile>> Parse(std::vector<std::unique_ptr<ByteSource>> sources, bool header_only);

  // What a part says of its place among others (split.no, split.count, split.tensors.count).
  struct Split {
    uint64_t no = 0;                  // from 0
    uint64_t count = 0;               // 0 and 1: a whole file (llama.cpp's merge tool writes 0)
    std::optional<uint64_t> tensors;  // in all parts together
  };
  static Result<Split> ReadSplit(ByteSource& source);

 private:
  // One part after the first walk.
  struct Part {
    std::span<const uint8_t> bytes;
    uint32_t version = 0;
    uint64_t num_entries = 0;
    uint64_t num_tensors = 0;
    uint64_t num_strings = 0;  // in string arrays
    uint64_t alignment = kGgufDefaultAlignment;
    uint64_t tensors_begin = 0;  // of the tensor table
    uint64_t header_bytes = 0;   // up to the end of the tensor table
  };

  // gguf_header.cc: the fields. `strings` is where the offsets of string arrays go, taken from its front; null on the
  // first walk. `num_strings` grows by their number on both.
  static Status ReadPrologue(HeaderCursor* cursor, Part* part);
  static Status ReadEntry(HeaderCursor* cursor, std::span<uint32_t>* strings, uint64_t* num_strings,
                          GgufFile::Entry* entry);
  static Status ReadValue(HeaderCursor* cursor, std::span<uint32_t>* strings, uint64_t* num_strings, GgufValue* value);
  static Status ReadArray(HeaderCursor* cursor, std::span<uint32_t>* strings, uint64_t* num_strings, GgufValue* value);
  static Status ReadStrings(HeaderCursor* cursor, std::span<uint32_t>* strings, uint64_t* num_strings,
                            GgufValue* value);
  // Leaves tensor->name alone (`name` is a view, so that the first walk copies nothing) and tensor->offset as the file
  // has it, relative to the data section. `foreign_ok`: see CheckTensorShape.
  static Status ReadTensor(HeaderCursor* cursor, uint64_t alignment, bool foreign_ok, TensorInfo* tensor,
                           std::string_view* name);
  static Status ReadTensorBody(HeaderCursor* cursor, uint64_t alignment, bool foreign_ok, TensorInfo* tensor);

  // gguf_parser.cc: the walks and what they are put together to.
  static Result<Part> Scan(ByteSource& source, bool header_only);
  static Result<GgufMetadata> BuildMetadata(const Part& part);
  static Status BuildTensors(const Part& part, uint32_t number, bool header_only, std::span<TensorInfo> tensors);
  static Result<Split> SplitOf(const GgufMetadata& metadata);

  // sparse_tensors.cc: fills in what the keys mote.sparse.* tell, where they are there.
  static Status FindSparseTensors(GgufFile* file);
  // i8_rows.cc: gives the tensors that the key tells of their type and shape.
  static Status FindI8Rows(GgufFile* file);
};

}  // namespace mote

#endif  // MOTE_ENGINE_FORMAT_GGUF_PARSER_H_
