// Any bytes as a GGUF file: opened whole, as a header, and as two parts. What opens is read through and written again.
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/format/gguf.h"
#include "engine/format/gguf_writer.h"
#include "tests/format/open.h"
#include "tests/fuzz/heap_growth-inl.h"

namespace mote {
namespace {

using testing::TouchAll;

// A finding: both libFuzzer and the replay program take an abort for one.
void Require(bool condition, const char* what) {
  if (condition) return;
  fprintf(stderr, "gguf_fuzz: %s\n", what);
  abort();
}

using Parts = std::vector<std::span<const uint8_t>>;

std::unique_ptr<GgufFile> Open(const Parts& parts, bool header_only) {
  std::vector<std::unique_ptr<ByteSource>> sources;
  uint64_t bytes = 0;
  for (const std::span<const uint8_t> part : parts) {
    sources.push_back(CreateMemorySource(part, "fuzz.gguf"));
    bytes += part.size();
  }
  const int64_t before = StartHeapGrowth();
  auto file =
      header_only ? GgufFile::FromSourcesHeaderOnly(std::move(sources)) : GgufFile::FromSources(std::move(sources));
  const uint64_t growth = static_cast<uint64_t>(PeakHeap() - before);
  const uint64_t header_bytes = file.ok() ? file.value()->header_bytes() : bytes;
  Require(growth <= 4 * header_bytes + (uint64_t{16} << 20), "the parse takes over 4 times the header and 16 MiB");
  if (!file.ok()) {
    Require(!file.status().message().empty(), "an error without a message");
    return nullptr;
  }
  Require(header_bytes <= bytes, "a header longer than its file");
  return std::move(file).value();
}

void RoundTrip(const GgufFile& file) {
  GgufWriter writer;
  size_t copied = 0;
  for (const GgufFile::Entry& entry : file.metadata()) {
    writer.Copy(entry);
    if (entry.key != "general.alignment" && !entry.key.starts_with("split.")) ++copied;
  }
  for (const TensorInfo& tensor : file.tensors()) writer.AddTensor(tensor);
  const auto layout = writer.Finish();
  // Sizes that each pass can pass 2^63 together, where the tensors of several parts come into one file.
  if (!layout.ok()) return;
  const auto again = Open({layout->header}, /*header_only=*/true);
  Require(again != nullptr, "the writer's header is refused");
  Require(again->metadata().size() == copied, "entries were lost");
  Require(again->tensors().size() == file.tensors().size(), "tensors were lost");
  for (size_t i = 0; i < file.tensors().size(); ++i) {
    Require(again->tensors()[i].bytes == file.tensors()[i].bytes, "a tensor's size changed");
    Require(again->tensors()[i].offset == layout->tensors[i].offset, "a tensor moved");
  }
}

void Try(const Parts& parts) {
  const auto header = Open(parts, /*header_only=*/true);
  const auto whole = Open(parts, /*header_only=*/false);
  Require(whole == nullptr || header != nullptr, "opens whole, but not as a header");
  if (header != nullptr) {
    TouchAll(*header, /*with_data=*/false);
    RoundTrip(*header);
  }
  if (whole != nullptr) Require(TouchAll(*whole, /*with_data=*/true) != 0, "a tensor cannot be read");
}

}  // namespace
}  // namespace mote

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> input(data, size);
  mote::Try({input});
  // From the second magic on: the second part of a split model.
  for (size_t at = 4; at + 4 <= size; ++at) {
    if (data[at] == 'G' && data[at + 1] == 'G' && data[at + 2] == 'U' && data[at + 3] == 'F') {
      mote::Try({input.first(at), input.subspan(at)});
      break;
    }
  }
  return 0;
}
