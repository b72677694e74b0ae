#include "targets/cpu/platform/proc_files.h"

#include <stdio.h>

namespace mote::native {
namespace {

bool IsSpace(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

// True if `list`, separated by commas, holds `word`.
bool ListHolds(std::string_view list, std::string_view word) {
  while (true) {
    const size_t comma = list.find(',');
    if (list.substr(0, comma) == word) return true;
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
}

}  // namespace

std::optional<std::string> ReadSmallFile(const std::string& path, size_t limit) {
  FILE* file = fopen(path.c_str(), "re");
  if (file == nullptr) return std::nullopt;
  std::string text;
  char block[4096];
  while (text.size() < limit) {
    const size_t want = limit - text.size() < sizeof(block) ? limit - text.size() : sizeof(block);
    const size_t got = fread(block, 1, want, file);
    if (got == 0) break;
    text.append(block, got);
  }
  const bool failed = ferror(file) != 0;
  fclose(file);
  if (failed) return std::nullopt;
  while (!text.empty() && IsSpace(text.back())) text.pop_back();
  return text;
}

std::optional<uint64_t> ParseNumber(std::string_view text) {
  size_t i = 0;
  while (i < text.size() && IsSpace(text[i])) ++i;
  const size_t start = i;
  uint64_t value = 0;
  for (; i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i) {
    if (__builtin_mul_overflow(value, uint64_t{10}, &value) ||
        __builtin_add_overflow(value, static_cast<uint64_t>(text[i] - '0'), &value)) {
      return std::nullopt;
    }
  }
  if (i == start) return std::nullopt;
  return value;
}

int CountIdList(std::string_view list) {
  constexpr uint64_t kMaxId = 1 << 20;  // far above any kernel's limit; keeps the sum an int
  uint64_t count = 0;
  while (!list.empty()) {
    const size_t comma = list.find(',');
    const std::string_view item = list.substr(0, comma);
    const size_t dash = item.find('-');
    const std::optional<uint64_t> first = ParseNumber(item.substr(0, dash));
    std::optional<uint64_t> last = first;
    if (dash != std::string_view::npos) last = ParseNumber(item.substr(dash + 1));
    if (!first || !last || *last < *first || *last > kMaxId) return 0;
    count += *last - *first + 1;
    if (count > kMaxId) return 0;
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  return static_cast<int>(count);
}

void VisitControlGroups(const std::string& root, std::string_view controller,
                        const std::function<void(const std::string& folder, bool unified)>& visit) {
  const std::optional<std::string> groups = ReadSmallFile(root + "/proc/self/cgroup");
  if (!groups) return;
  std::string_view rest = *groups;
  while (!rest.empty()) {
    // hierarchy:controllers:path, cgroups(7); version 2 has hierarchy 0 and no controllers.
    const size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const size_t second = line.find(':', colon + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(colon + 1, second - colon - 1);
    const bool unified = controllers.empty() && line.substr(0, colon) == "0";
    if (!unified && !ListHolds(controllers, controller)) continue;
    std::string mount = root + "/sys/fs/cgroup";
    if (!unified) mount.append("/").append(controllers);
    std::string path(line.substr(second + 1));
    while (path.size() > 1) {
      visit(mount + path, unified);
      path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
    }
    visit(mount, unified);
  }
}

}  // namespace mote::native
