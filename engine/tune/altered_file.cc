#include "engine/tune/altered_file.h"

#include <string.h>

#include <algorithm>
#include <span>
#include <utility>

#include "engine/format/gguf_writer.h"

namespace mote::tune {
namespace {

// The pieces of the copy, which the source reads once, in order.
struct Assembly {
  struct Piece {
    uint64_t begin;
    std::span<const uint8_t> bytes;
  };
  std::vector<Piece> pieces;  // ascending, with gaps of zeros
};

int64_t ReadAssembly(void* user, uint64_t offset, void* buffer, uint64_t bytes) {
  const Assembly& assembly = *static_cast<const Assembly*>(user);
  memset(buffer, 0, static_cast<size_t>(bytes));
  for (const Assembly::Piece& piece : assembly.pieces) {
    const uint64_t begin = std::max(offset, piece.begin);
    const uint64_t end = std::min(offset + bytes, piece.begin + piece.bytes.size());
    if (begin >= end) continue;
    memcpy(static_cast<uint8_t*>(buffer) + (begin - offset), piece.bytes.data() + (begin - piece.begin),
           static_cast<size_t>(end - begin));
  }
  return static_cast<int64_t>(bytes);
}

std::string BlockCountKey(const GgufFile& file) {
  const Result<std::string> architecture = file.StringOr("general.architecture", "");
  const std::string name = architecture.ok() ? *architecture : "";
  return name == "clip" ? "clip.vision.block_count" : name + ".block_count";
}

}  // namespace

int64_t LayerOf(const std::string& tensor) {
  size_t at = tensor.starts_with("v.blk.") ? 6 : tensor.starts_with("blk.") ? 4 : std::string::npos;
  if (at == std::string::npos) return -1;
  int64_t layer = 0;
  size_t digits = 0;
  for (; at < tensor.size() && tensor[at] >= '0' && tensor[at] <= '9' && digits < 6; ++at, ++digits) {
    layer = layer * 10 + (tensor[at] - '0');
  }
  return digits == 0 || at >= tensor.size() || tensor[at] != '.' ? -1 : layer;
}

Result<std::unique_ptr<GgufFile>> AlterFile(const GgufFile& file, const Alteration& alteration) {
  GgufWriter writer;
  for (const GgufFile::Entry& entry : file.metadata()) writer.Copy(entry);
  if (alteration.layers != 0) writer.SetUint32(BlockCountKey(file), alteration.layers);
  std::vector<std::span<const uint8_t>> contents;
  for (const TensorInfo& tensor : file.tensors()) {
    if (alteration.layers != 0 && LayerOf(tensor.name) >= static_cast<int64_t>(alteration.layers)) continue;
    TensorInfo copy = tensor;
    if (alteration.weights != nullptr) {
      const auto changed = alteration.weights->find(tensor.name);
      if (changed != alteration.weights->end()) {
        if (changed->second.size() != tensor.values()) {
          return Error(Code::kInvalidArgument, "%zu new values for tensor %s, which has %llu", changed->second.size(),
                       tensor.name.c_str(), static_cast<unsigned long long>(tensor.values()));
        }
        copy.type = DType::kF32;
        contents.push_back(
            {reinterpret_cast<const uint8_t*>(changed->second.data()), changed->second.size() * sizeof(float)});
        writer.AddTensor(copy);
        continue;
      }
    }
    MOTE_ASSIGN_OR_RETURN(const std::span<const uint8_t> bytes, file.TensorBytes(tensor));
    contents.push_back(bytes);
    writer.AddTensor(copy);
  }
  MOTE_ASSIGN_OR_RETURN(const GgufWriter::Layout layout, writer.Finish());
  Assembly assembly;
  assembly.pieces.push_back({0, layout.header});
  for (size_t i = 0; i < contents.size(); ++i) assembly.pieces.push_back({layout.tensors[i].offset, contents[i]});
  MOTE_ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> source,
                        CreateCallbackSource(ReadAssembly, &assembly, layout.file_bytes, file.name()));
  std::vector<std::unique_ptr<ByteSource>> parts;
  parts.push_back(std::move(source));
  return GgufFile::FromSources(std::move(parts));
}

}  // namespace mote::tune
