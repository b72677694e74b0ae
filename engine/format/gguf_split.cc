#include "engine/format/gguf_split.h"

#include <stdio.h>

#include <memory>
#include <utility>
#include <vector>

#include "engine/format/gguf.h"
#include "engine/format/gguf_parser.h"

namespace mote {
namespace {

constexpr size_t kDigits = 5;
constexpr std::string_view kOf = "-of-";
constexpr std::string_view kExtension = ".gguf";
constexpr size_t kSuffixBytes = 1 + kDigits + kOf.size() + kDigits + kExtension.size();

bool ParseDigits(std::string_view text, uint64_t* out) {
  uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  *out = value;
  return true;
}

}  // namespace

std::optional<PartName> ParsePartName(std::string_view path) {
  if (path.size() < kSuffixBytes) return std::nullopt;
  const std::string_view suffix = path.substr(path.size() - kSuffixBytes);
  PartName name;
  if (suffix[0] != '-' || suffix.substr(1 + kDigits, kOf.size()) != kOf || !suffix.ends_with(kExtension) ||
      !ParseDigits(suffix.substr(1, kDigits), &name.number) ||
      !ParseDigits(suffix.substr(1 + kDigits + kOf.size(), kDigits), &name.count)) {
    return std::nullopt;
  }
  if (name.number < 1 || name.number > name.count || name.count > kGgufMaxParts) return std::nullopt;
  name.prefix = std::string(path.substr(0, path.size() - kSuffixBytes));
  return name;
}

std::string PartPath(const PartName& name, uint64_t number) {
  char suffix[64];
  snprintf(suffix, sizeof(suffix), "-%05llu-of-%05llu.gguf", static_cast<unsigned long long>(number),
           static_cast<unsigned long long>(name.count));
  return name.prefix + suffix;
}

Result<std::unique_ptr<GgufFile>> GgufFile::Open(FileSystem& files, const std::string& path, bool header_only) {
  std::vector<std::unique_ptr<ByteSource>> parts;
  MOTE_ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> named, files.Open(path));
  const std::optional<PartName> name = ParsePartName(path);
  uint64_t count = 1;
  if (name.has_value()) {
    MOTE_ASSIGN_OR_RETURN(const GgufParser::Split split, GgufParser::ReadSplit(*named));
    if (split.count > 1) {
      if (split.count != name->count) {
        return Error(Code::kMalformed, "%s: the name says %llu parts, split.count says %llu", path.c_str(),
                     static_cast<unsigned long long>(name->count), static_cast<unsigned long long>(split.count));
      }
      count = split.count;
    }
  }
  for (uint64_t number = 1; number <= count; ++number) {
    if (count == 1 || number == name->number) {
      parts.push_back(std::move(named));
      continue;
    }
    Result<std::unique_ptr<ByteSource>> sibling = files.Open(PartPath(*name, number));
    if (!sibling.ok()) {
      char place[64];
      snprintf(place, sizeof(place), "part %llu of %llu of the model", static_cast<unsigned long long>(number),
               static_cast<unsigned long long>(count));
      return sibling.status().Within(place);
    }
    parts.push_back(std::move(sibling).value());
  }
  return header_only ? FromSourcesHeaderOnly(std::move(parts)) : FromSources(std::move(parts));
}

}  // namespace mote
