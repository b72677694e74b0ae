#include "edge/cli/output_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <optional>
#include <utility>

#include "edge/cli/console.h"
#include "edge/cli/tools/new_file.h"
#include "engine/format/gguf_split.h"

namespace mote::cli {
namespace {

// A descriptor of what is no file of its own, -1 where `path` is one, or will be.
int OpenDirectly(const std::string& path) {
  struct stat there = {};
  struct stat output = {};
  if (stat(path.c_str(), &there) != 0) return -1;
  // /dev/stdout where it leads to a file: at the place where the shell and we have got to, not over it.
  const bool is_output =
      fstat(STDOUT_FILENO, &output) == 0 && output.st_dev == there.st_dev && output.st_ino == there.st_ino;
  if (!is_output && S_ISREG(there.st_mode)) return -1;
  const int file = is_output ? dup(STDOUT_FILENO) : open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (file < 0) Fail(path + ": " + strerror(errno));
  return file;
}

std::vector<std::string> PartsOf(const std::string& path) {
  const std::optional<PartName> name = ParsePartName(path);
  std::vector<std::string> parts = {path};
  for (uint64_t i = 1; name.has_value() && i <= name->count; ++i) parts.push_back(PartPath(*name, i));
  return parts;
}

}  // namespace

struct OutputFile::Place {
  std::optional<NewFile> fresh;
  FILE* direct = nullptr;  // where there is no fresh one

  ~Place() {
    if (direct != nullptr) fclose(direct);
  }
};

OutputFile::OutputFile(const std::string& path, uint64_t bytes) : place_(std::make_unique<Place>()), path_(path) {
  const int file = OpenDirectly(path);
  if (file < 0) {
    place_->fresh.emplace(path, bytes);
    return;
  }
  place_->direct = fdopen(file, "wb");
  if (place_->direct != nullptr) return;
  const std::string why = strerror(errno);
  close(file);
  Fail(path + ": " + why);
}

OutputFile::~OutputFile() = default;

bool OutputFile::Write(const void* bytes, size_t size) {
  if (place_->fresh) {
    const Status status = place_->fresh->Write(bytes, size);
    if (!status.ok()) why_ = status.message();
    return status.ok();
  }
  if (fwrite(bytes, 1, size, place_->direct) == size) return true;
  why_ = path_ + ": " + strerror(errno);
  return false;
}

void OutputFile::Finish() {
  if (place_->fresh) return place_->fresh->Finish();
  if (fclose(std::exchange(place_->direct, nullptr)) != 0) Fail(path_ + ": " + strerror(errno));
}

void RefuseInput(const std::string& name, const std::string& out, const std::vector<std::string>& inputs) {
  const std::string partial = PartialPath(out);
  for (const std::string& input : inputs) {
    if (input.empty() || input == "-") continue;
    for (const std::string& part : PartsOf(input)) {
      // A pipe or a device may be both: /dev/stdin and /dev/stdout are one terminal.
      struct stat there = {};
      if (stat(part.c_str(), &there) != 0 || !S_ISREG(there.st_mode)) continue;
      if (!SameFile(out, part) && !SameFile(partial, part)) continue;
      WrongWords(name + " would write over " + part + ", which is read: try another name");
    }
  }
}

}  // namespace mote::cli
