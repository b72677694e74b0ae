// Opening GGUF files from memory, and reading all that they hold.
#ifndef MOTE_TESTS_FORMAT_OPEN_H_
#define MOTE_TESTS_FORMAT_OPEN_H_

#include <stdint.h>
#include <stdio.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/core/context.h"
#include "engine/format/gguf.h"

namespace mote {
namespace testing {

using Bytes = std::vector<uint8_t>;
using GgufResult = Result<std::unique_ptr<GgufFile>>;

// The bytes must outlive the file.
inline GgufResult OpenBytes(const Bytes& bytes) {
  std::vector<std::unique_ptr<ByteSource>> parts;
  parts.push_back(CreateMemorySource(bytes, "test.gguf"));
  return GgufFile::FromSources(std::move(parts));
}

inline GgufResult OpenHeader(const Bytes& bytes) {
  std::vector<std::unique_ptr<ByteSource>> parts;
  parts.push_back(CreateMemorySource(bytes, "test.gguf"));
  return GgufFile::FromSourcesHeaderOnly(std::move(parts));
}

// Empty where there is no such file.
inline Bytes ReadWholeFile(const std::string& path) {
  Bytes bytes;
  FILE* file = fopen(path.c_str(), "rb");
  if (file == nullptr) return bytes;
  uint8_t chunk[65536];
  while (const size_t got = fread(chunk, 1, sizeof(chunk), file)) bytes.insert(bytes.end(), chunk, chunk + got);
  fclose(file);
  return bytes;
}

// Files in memory, by path.
class FakeFiles : public FileSystem {
 public:
  std::map<std::string, Bytes> files;
  std::vector<std::string> opened;
  Result<std::unique_ptr<ByteSource>> Open(const std::string& path) override {
    opened.push_back(path);
    const auto found = files.find(path);
    if (found == files.end()) return Error(Code::kNotFound, "%s: no such file", path.c_str());
    return CreateMemorySource(found->second, path);
  }
};

// Reads every value and every tensor byte, as different kinds; the sum is for the compiler not to leave it out.
inline uint64_t TouchAll(const GgufFile& file, bool with_data) {
  uint64_t sum = file.version() + file.alignment() + file.header_bytes();
  for (const GgufFile::Entry& entry : file.metadata()) {
    sum += entry.key.size() + (file.Find(entry.key) == &entry.value ? 1 : 1000);
    const GgufValue& value = entry.value;
    uint64_t u = 0;
    int64_t i = 0;
    double d = 0;
    bool b = false;
    std::string_view s;
    sum += value.GetUint(&u) + value.GetInt(&i) + value.GetFloat(&d) + value.GetBool(&b) + value.GetString(&s);
    for (const char c : s) sum += static_cast<uint8_t>(c);
    if (value.type() != GgufType::kArray) continue;
    for (uint64_t at = 0; at < value.count(); ++at) {
      sum += value.UintAt(at, &u) + value.IntAt(at, &i) + value.FloatAt(at, &d);
      if (value.StringAt(at, &s)) {
        for (const char c : s) sum += static_cast<uint8_t>(c);
      }
    }
    sum += u + static_cast<uint64_t>(i);
  }
  for (const TensorInfo& tensor : file.tensors()) {
    sum += tensor.bytes + (file.FindTensor(tensor.name) == &tensor ? 1 : 1000);
    if (!with_data) continue;
    const auto bytes = file.TensorBytes(tensor);
    if (!bytes.ok()) return 0;  // must not be after FromSources
    for (const uint8_t byte : *bytes) sum += byte;
  }
  return sum;
}

}  // namespace testing
}  // namespace mote

#endif  // MOTE_TESTS_FORMAT_OPEN_H_
