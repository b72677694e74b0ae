// Writing GGUF version 3 files.
#ifndef MOTE_ENGINE_FORMAT_GGUF_WRITER_H_
#define MOTE_ENGINE_FORMAT_GGUF_WRITER_H_

#include <stddef.h>
#include <stdint.h>

#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/core/status.h"
#include "engine/core/tensor.h"
#include "engine/format/gguf.h"

namespace mote {

// Collects metadata and tensor descriptions, then produces the header; the caller writes the tensor bytes after it,
// in order, each padded to alignment(). What is wrong with a key, a name or a shape is told by Finish().
class GgufWriter {
 public:
  void SetUint32(std::string_view key, uint32_t value);
  void SetUint64(std::string_view key, uint64_t value);
  void SetInt32(std::string_view key, int32_t value);
  void SetFloat32(std::string_view key, float value);
  void SetBool(std::string_view key, bool value);
  void SetString(std::string_view key, std::string_view value);
  void SetStrings(std::string_view key, std::span<const std::string> values);
  void SetFloats(std::string_view key, std::span<const float> values);
  void SetInt32s(std::string_view key, std::span<const int32_t> values);
  void SetUint32s(std::string_view key, std::span<const uint32_t> values);
  // Copies an entry of another file, whatever its type. A key set earlier is replaced, here and above.
  // general.alignment, split.* and mote.i8_rows.version are left out: they describe how the other file was laid out.
  void Copy(const GgufFile::Entry& entry);

  // name, type and shape are used; bytes and offset are computed. kI8Row wants two dimensions or more.
  void AddTensor(const TensorInfo& tensor);

  // The whole header with its padding, and the tensors with `bytes` and absolute `offset` filled in. file_bytes
  // includes the padding after the last tensor. kInvalidArgument names the key or tensor that a reader would refuse.
  struct Layout {
    std::vector<uint8_t> header;
    std::vector<TensorInfo> tensors;
    uint64_t file_bytes = 0;
  };
  Result<Layout> Finish() const;
  static constexpr uint64_t alignment() { return 32; }

 private:
  struct Item {
    std::string key;
    std::vector<uint8_t> encoded;  // type id and payload
  };
  void Set(std::string_view key, std::vector<uint8_t> encoded);
  std::vector<Item> items_;
  std::unordered_map<std::string, size_t> positions_;  // of the keys in items_
  std::vector<TensorInfo> tensors_;
};

}  // namespace mote

#endif  // MOTE_ENGINE_FORMAT_GGUF_WRITER_H_
