#include "edge/cli/tuning_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace mote::cli {
namespace {

// Some hundred lines: a few for each model and machine. A file may lie in a home that many machines share.
constexpr size_t kMostBytes = 64 << 10;
constexpr size_t kMostLine = 256;
constexpr size_t kMostLines = 1000;
constexpr std::string_view kFirstWord = "mote-";

template <class Take>
void ForEachLine(std::string_view text, char end, const Take& take) {
  while (!text.empty()) {
    const size_t at = std::min(text.find(end), text.size());
    take(text.substr(0, at));
    text.remove_prefix(std::min(at + 1, text.size()));
  }
}

// Lines of another version may be a newer program's: they stay.
bool CouldBeOne(std::string_view line) {
  if (line.size() > kMostLine || !line.starts_with(kFirstWord)) return false;
  return std::all_of(line.begin(), line.end(), [](char c) { return c == '\t' || (c >= ' ' && c < '\x7f'); });
}

// All but the last three fields, which are what was found out; of the first version two.
std::string_view KeyOf(std::string_view line) {
  const int found = line.starts_with("mote-fetch-1\t") ? 2 : 3;
  for (int i = 0; i < found; ++i) line = line.substr(0, std::min(line.rfind('\t'), line.size()));
  return line;
}

bool IsFolder(const char* path) {
  return path != nullptr && *path == '/';
}

// The folder of a file, and those that it lies in.
void MakeFolders(const std::string& path) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    mkdir(path.substr(0, slash).c_str(), 0700);  // where this fails, so will what follows, and say why
  }
}

bool WriteAll(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

}  // namespace

std::string TuningPath() {
  if (const char* caches = getenv("XDG_CACHE_HOME"); IsFolder(caches)) return std::string(caches) + "/mote/tuning";
  if (const char* home = getenv("HOME"); IsFolder(home)) return std::string(home) + "/.cache/mote/tuning";
  return "";
}

std::string ReadTuning(const std::string& path) {
  if (path.empty()) return "";
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // which a pipe would not return from
  if (file < 0) return "";
  std::string text;
  struct stat info = {};
  if (fstat(file, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0) {
    text.resize(std::min(static_cast<size_t>(info.st_size), kMostBytes));
    size_t size = 0;
    for (ssize_t got = 1; got > 0 && size < text.size(); size += static_cast<size_t>(std::max<ssize_t>(got, 0))) {
      got = read(file, text.data() + size, text.size() - size);
    }
    text.resize(size);
  }
  close(file);
  return MergeTuning("", text);
}

std::string MergeTuning(std::string_view old, std::string_view fresh) {
  std::vector<std::string_view> lines;
  const auto add = [&](std::string_view line) {
    if (!CouldBeOne(line)) return;
    const std::string_view key = KeyOf(line);
    lines.erase(std::remove_if(lines.begin(), lines.end(), [&](std::string_view other) { return KeyOf(other) == key; }),
                lines.end());
    if (lines.size() == kMostLines) lines.erase(lines.begin());
    lines.push_back(line);
  };
  ForEachLine(old, '\n', add);
  ForEachLine(fresh, '\n', add);
  size_t first = lines.size(), bytes = 0;
  while (first > 0 && bytes + lines[first - 1].size() + 1 <= kMostBytes) bytes += lines[--first].size() + 1;
  std::string text;
  text.reserve(bytes);
  for (size_t i = first; i < lines.size(); ++i) text.append(lines[i]).push_back('\n');
  return text;
}

std::string WriteTuning(const std::string& path, std::string_view lines) {
  if (path.empty()) return "neither XDG_CACHE_HOME nor HOME names a folder";
  MakeFolders(path);
  std::string partial = path + ".XXXXXX";
  const int file = mkostemp(partial.data(), O_CLOEXEC);
  if (file < 0) return path + ": " + strerror(errno);
  const bool written = WriteAll(file, lines);
  int error = errno;
  close(file);
  if (written && rename(partial.c_str(), path.c_str()) == 0) return "";
  if (written) error = errno;
  unlink(partial.c_str());
  return path + ": " + strerror(error);
}

std::string DescribeTuning(std::string_view lines) {
  std::string text;
  ForEachLine(lines, '\n', [&](std::string_view line) {
    std::vector<std::string> f;
    ForEachLine(line, '\t', [&](std::string_view field) { f.emplace_back(field); });
    if (f.size() != 10 || f[0] != "mote-fetch-2") return;
    text += (text.empty() ? "" : ", ") + f[4] + " " + f[5] + "x" + f[6] + " " + f[7] + "+" + f[8] + "x" + f[9];
  });
  return text;
}

}  // namespace mote::cli
