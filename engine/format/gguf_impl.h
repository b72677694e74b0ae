// What a GgufFile holds. Private to engine/format.
#ifndef MOTE_ENGINE_FORMAT_GGUF_IMPL_H_
#define MOTE_ENGINE_FORMAT_GGUF_IMPL_H_

#include <stddef.h>
#include <stdint.h>

#include <memory>
#include <vector>

#include "engine/core/context.h"
#include "engine/core/tensor.h"
#include "engine/format/fixed_array.h"
#include "engine/format/gguf.h"
#include "engine/format/name_index.h"

namespace mote {

// The metadata of one part. Entries point into the part's bytes and into string_offsets.
struct GgufMetadata {
  FixedArray<GgufFile::Entry> entries;  // in file order
  FixedArray<uint32_t> string_offsets;  // of all string arrays, one after the other
  NameIndex index;                      // of the keys

  const GgufValue* Find(std::string_view key) const;
};

struct GgufFile::Impl {
  std::vector<std::unique_ptr<ByteSource>> parts;
  GgufMetadata metadata;  // of part 0
  FixedArray<TensorInfo> tensors;
  NameIndex tensor_index;
  FixedArray<TensorInfo> sparse_tensors;
  FixedArray<SparseParts> sparse_parts;
  NameIndex sparse_index;
  uint32_t version = 0;
  uint64_t alignment = 0;
  uint64_t header_bytes = 0;
  uint64_t file_bytes = 0;
};

}  // namespace mote

#endif  // MOTE_ENGINE_FORMAT_GGUF_IMPL_H_
