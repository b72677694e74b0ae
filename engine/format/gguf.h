// Reading GGUF files, versions 2 and 3, in one part or in several (-00001-of-0000N).
//
// Everything is checked once, here: counts against the bytes that remain before anything is allocated, sizes with
// checked arithmetic, types by name, shapes against block sizes, offsets against the file, names against each other.
// What a GgufFile hands out needs no further check of its container; what the values mean is for arch/ to check.
#ifndef MOTE_ENGINE_FORMAT_GGUF_H_
#define MOTE_ENGINE_FORMAT_GGUF_H_

#include <stddef.h>
#include <stdint.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/context.h"
#include "engine/core/status.h"
#include "engine/core/tensor.h"
#include "quant/block_sparse.h"

namespace mote {

// What the reader accepts at most. Real headers stay far below: the largest vocabularies make some 30 MiB.
inline constexpr uint64_t kGgufMaxHeaderBytes = uint64_t{512} << 20;  // of one part
inline constexpr uint64_t kGgufMaxKeyBytes = 65535;                   // the specification's limit
inline constexpr uint64_t kGgufMaxNameBytes = 255;                    // of a tensor; the specification says 64
inline constexpr uint64_t kGgufMinAlignment = 8;
inline constexpr uint64_t kGgufMaxAlignment = 65536;
inline constexpr uint64_t kGgufMaxParts = 1024;

enum class GgufType : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};
const char* GgufTypeName(GgufType type);

// One metadata value: a view into the header bytes, decoded on demand, so that a vocabulary costs no second copy. May
// be copied; valid while its GgufFile lives.
class GgufValue {
 public:
  GgufType type() const { return type_; }
  GgufType element_type() const { return element_type_; }  // of an array
  uint64_t count() const { return count_; }                // elements of an array; 1 for a scalar

  // Scalars. False (and *out untouched) where the value is not of that kind or not in the range of the target.
  bool GetUint(uint64_t* out) const;  // any non-negative integer type, bool as 0 or 1
  bool GetInt(int64_t* out) const;
  bool GetFloat(double* out) const;  // float32, float64, or any integer
  bool GetBool(bool* out) const;     // bool, or an integer 0 or 1
  bool GetString(std::string_view* out) const;
  // Elements of an array, same rules; false also where `index` >= count().
  bool UintAt(uint64_t index, uint64_t* out) const;
  bool IntAt(uint64_t index, int64_t* out) const;
  bool FloatAt(uint64_t index, double* out) const;
  bool StringAt(uint64_t index, std::string_view* out) const;

 private:
  friend class GgufParser;
  friend class GgufWriter;
  GgufType type_ = GgufType::kUint8;
  GgufType element_type_ = GgufType::kUint8;
  uint64_t count_ = 1;
  const uint8_t* data_ = nullptr;             // payload: the scalar, the string's bytes, or the first array element
  uint64_t bytes_ = 0;                        // of the payload, without the array's or the string's own prefix
  const uint32_t* string_offsets_ = nullptr;  // string array: from data_ to each element's length field
};

// Where the parts of a block-sparse matrix lie (docs/block_sparse.md).
struct SparseParts {
  const TensorInfo* counts = nullptr;
  const TensorInfo* index = nullptr;
  const TensorInfo* scales = nullptr;  // null: of a type without
  const TensorInfo* values = nullptr;
  uint64_t blocks = 0;
};

// A parsed header. Immutable; safe to read from any thread. Holds the sources it was opened from.
class GgufFile {
 public:
  // Opens `path` and, if its metadata says it is one part of several, all its siblings (same folder, names by the
  // -00001-of-0000N pattern). Any part may be named. `header_only`: see FromSourcesHeaderOnly.
  static Result<std::unique_ptr<GgufFile>> Open(FileSystem& files, const std::string& path, bool header_only = false);
  // From sources in part order; one for a whole file. Takes ownership. The parse allocates at most 4 times the header's
  // bytes + 16 MiB; kOutOfMemory where the system has not even that.
  static Result<std::unique_ptr<GgufFile>> FromSources(std::vector<std::unique_ptr<ByteSource>> parts);
  // Only the header is needed (the tensor data may be missing or cut off): for show, tokenizers and fuzzing. Tensors of
  // formats that mote knows by name alone are let through, with the bytes up to the next tensor for a size; the other
  // two refuse them.
  static Result<std::unique_ptr<GgufFile>> FromSourcesHeaderOnly(std::vector<std::unique_ptr<ByteSource>> parts);
  ~GgufFile();

  uint32_t version() const;
  uint64_t alignment() const;
  uint64_t header_bytes() const;  // of all parts: up to the end of the tensor table, without padding
  uint64_t file_bytes() const;
  size_t num_parts() const;

  struct Entry {
    std::string_view key;  // a view into the header, like the value: printable ASCII, not terminated
    GgufValue value;
  };
  std::span<const Entry> metadata() const;            // in file order, of part 0
  const GgufValue* Find(std::string_view key) const;  // null if absent
  std::span<const TensorInfo> tensors() const;        // of all parts, in file order
  // Block-sparse matrices, which `tensors` lists by their parts alone; in the order of mote.sparse.names.
  std::span<const TensorInfo> sparse_tensors() const;
  // Of both.
  const TensorInfo* FindTensor(std::string_view name) const;
  // The tensor's bytes. kIo if the file shrank meanwhile; kInvalidArgument for a sparse one.
  Result<std::span<const uint8_t>> TensorBytes(const TensorInfo& tensor) const;
  std::span<uint8_t> GiveUpTensor(const TensorInfo& tensor) const;  // see ByteSource::GiveUp; of a sparse one, nothing
  // A sparse tensor's parts, checked all through (CheckSparse).
  Result<SparseView> ReadSparse(const TensorInfo& tensor) const;
  void ReleaseTensor(const TensorInfo& tensor) const;  // see ByteSource::Release; of a sparse one, its parts
  bool IsMapped(const TensorInfo& tensor) const;       // see ByteSource::mapped
  const std::string& name() const;                     // of the first part

  // Typed look-ups with the error that a user can act on: kNotFound names the key, kMalformed says what type was met.
  Result<uint64_t> RequireUint(std::string_view key) const;
  Result<double> RequireFloat(std::string_view key) const;
  Result<std::string> RequireString(std::string_view key) const;
  // `fallback` if the key is absent; kMalformed if it is there and of another type.
  Result<uint64_t> UintOr(std::string_view key, uint64_t fallback) const;
  Result<double> FloatOr(std::string_view key, double fallback) const;
  Result<bool> BoolOr(std::string_view key, bool fallback) const;
  Result<std::string> StringOr(std::string_view key, std::string_view fallback) const;

 private:
  GgufFile();
  friend class GgufParser;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// A source over memory that the caller keeps alive. (Also used by tests and fuzzers.)
std::unique_ptr<ByteSource> CreateMemorySource(std::span<const uint8_t> bytes, std::string name);
// The same over memory that whoever loads from it may overwrite (ByteSource::GiveUp).
std::unique_ptr<ByteSource> CreateOverwritableSource(std::span<uint8_t> bytes, std::string name);
// A source filled by a callback, `read(user, offset, buffer, bytes)` returning the bytes read (fewer only at the end);
// used where nothing can be mapped (wasm, archives). The whole file is read into memory once.
using ReadCallback = int64_t (*)(void* user, uint64_t offset, void* buffer, uint64_t bytes);
Result<std::unique_ptr<ByteSource>> CreateCallbackSource(ReadCallback read, void* user, uint64_t size,
                                                         std::string name);

}  // namespace mote

#endif  // MOTE_ENGINE_FORMAT_GGUF_H_
