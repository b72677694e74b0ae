// Image files from disk and from standard input.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <new>
#include <vector>

#include "edge/image/decode.h"

namespace mote {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ > 0) close(fd_);  // standard input is not ours
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

Status TooBig(const ImageLimits& limits) {
  return Error(Code::kOutOfMemory, "the file has over %llu bytes, the limit for a picture",
               static_cast<unsigned long long>(limits.max_file_bytes));
}

Result<std::vector<uint8_t>> ReadAll(int fd, const ImageLimits& limits) {
  struct stat facts;
  uint64_t expected = 0;
  if (fstat(fd, &facts) == 0) {
    if (S_ISDIR(facts.st_mode)) return Error(Code::kInvalidArgument, "is a folder; wanted is an image file");
    if (S_ISREG(facts.st_mode)) expected = static_cast<uint64_t>(facts.st_size);
  }
  if (expected > limits.max_file_bytes) return TooBig(limits);
  std::vector<uint8_t> bytes(static_cast<size_t>(expected) + 1);  // one more, to see the end
  size_t have = 0;
  for (;;) {
    if (have == bytes.size()) {
      if (have > limits.max_file_bytes) return TooBig(limits);
      bytes.resize(static_cast<size_t>(std::min<uint64_t>(have * 2 + 65536, limits.max_file_bytes + 1)));
    }
    const ssize_t got = read(fd, bytes.data() + have, bytes.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error(Code::kIo, "cannot be read: %s", strerror(errno));
    if (got == 0) break;
    have += static_cast<size_t>(got);
  }
  if (have > limits.max_file_bytes) return TooBig(limits);
  bytes.resize(have);
  return bytes;
}

}  // namespace

Result<Image> LoadImageFile(const std::string& path, const ImageLimits& limits, Alpha alpha) {
  const bool standard_input = path == "-";
  const std::string name = standard_input ? "standard input" : path;
  const Descriptor file(standard_input ? STDIN_FILENO : open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) {
    return Error(errno == ENOENT ? Code::kNotFound : Code::kIo, "%s: cannot be opened: %s", path.c_str(),
                 strerror(errno));
  }
  try {
    auto bytes = ReadAll(file.get(), limits);
    if (!bytes.ok()) return bytes.status().Within(name);
    auto image = DecodeImage(*bytes, limits, alpha);
    if (!image.ok()) return image.status().Within(name);
    return image;
  } catch (const std::bad_alloc&) {
    return Error(Code::kOutOfMemory, "%s: no memory for the file", name.c_str());
  }
}

}  // namespace mote
