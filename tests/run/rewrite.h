// A model file again, with something changed in it: what tests of hostile files are made of.
#ifndef MOTE_TESTS_RUN_REWRITE_H_
#define MOTE_TESTS_RUN_REWRITE_H_

#include <algorithm>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/format/gguf.h"
#include "engine/format/gguf_writer.h"

namespace mote::testing {

inline std::unique_ptr<GgufFile> Parse(const std::vector<uint8_t>& bytes) {
  std::vector<std::unique_ptr<ByteSource>> parts;
  parts.push_back(CreateMemorySource(bytes, "memory"));
  return std::move(GgufFile::FromSources(std::move(parts))).value();
}

// The file again, with metadata changed by `edit`, a tensor left out or described anew by `change` (false: left out).
inline std::vector<uint8_t> Rewrite(const std::vector<uint8_t>& bytes, const std::function<void(GgufWriter&)>& edit,
                                    const std::function<bool(TensorInfo&)>& change = nullptr,
                                    const std::string& without_key = "") {
  const std::unique_ptr<GgufFile> file = Parse(bytes);
  GgufWriter writer;
  for (const GgufFile::Entry& entry : file->metadata()) {
    if (entry.key != without_key) writer.Copy(entry);
  }
  edit(writer);
  std::vector<std::span<const uint8_t>> data;
  for (TensorInfo tensor : file->tensors()) {
    const auto original = file->TensorBytes(tensor);
    if (change != nullptr && !change(tensor)) continue;
    writer.AddTensor(tensor);
    data.push_back(*original);
  }
  const auto layout = writer.Finish();
  if (!layout.ok()) return {};
  std::vector<uint8_t> out = layout->header;
  out.resize(layout->file_bytes);
  for (size_t i = 0; i < data.size(); ++i) {
    const size_t n = std::min<size_t>(data[i].size(), layout->tensors[i].bytes);
    std::copy(data[i].begin(), data[i].begin() + static_cast<ptrdiff_t>(n),
              out.begin() + static_cast<ptrdiff_t>(layout->tensors[i].offset));
  }
  return out;
}

}  // namespace mote::testing

#endif  // MOTE_TESTS_RUN_REWRITE_H_
