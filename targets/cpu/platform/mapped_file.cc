#include "targets/cpu/platform/mapped_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <new>

#include "engine/core/checked.h"
#include "targets/cpu/platform/errno_text.h"

namespace mote::native {
namespace {

using Ull = unsigned long long;

class MappedFile final : public ByteSource {
 public:
  MappedFile(std::string name, int descriptor, uint8_t* base, size_t size, size_t page_bytes)
      : name_(std::move(name)), descriptor_(descriptor), base_(base), size_(size), page_bytes_(page_bytes) {}
  ~MappedFile() override {
    munmap(base_, size_);
    close(descriptor_);
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  uint64_t size() const override { return size_; }
  const std::string& name() const override { return name_; }

  Result<std::span<const uint8_t>> View(uint64_t offset, uint64_t bytes) override {
    if (offset > size_ || bytes > size_ - offset) {
      return Error(Code::kInvalidArgument, "%s: %llu bytes at offset %llu; the file has %llu", name_.c_str(),
                   Ull{bytes}, Ull{offset}, Ull{size_});
    }
    // Reading a page of the map that the file no longer has is SIGBUS. It can still shrink while it is read; nobody can
    // exclude that, but a download that was restarted or a file that was cut is found here.
    struct stat now = {};
    if (fstat(descriptor_, &now) != 0) {
      return Error(Code::kIo, "%s: %s", name_.c_str(), ErrnoText(errno).c_str());
    }
    if (static_cast<uint64_t>(now.st_size) < offset + bytes) {
      return Error(Code::kIo, "%s: the file has shrunk since it was opened, from %llu to %llu bytes; open it again",
                   name_.c_str(), Ull{size_}, static_cast<Ull>(now.st_size));
    }
    return std::span<const uint8_t>(base_ + offset, static_cast<size_t>(bytes));
  }

  bool mapped() const override { return true; }
  void Release(uint64_t offset, uint64_t bytes) override {
    if (offset >= size_) return;
    if (bytes > size_ - offset) bytes = size_ - offset;
    // Only pages that lie wholly inside: those at the edges may hold a neighbour's bytes.
    const uint64_t begin = (offset + page_bytes_ - 1) / page_bytes_ * page_bytes_;
    const uint64_t end = offset + bytes == size_ ? size_ : (offset + bytes) / page_bytes_ * page_bytes_;
    if (begin >= end) return;
    // Takes the pages out of this process; they stay in the system's cache, clean, for whoever opens the file next.
    madvise(base_ + begin, static_cast<size_t>(end - begin), MADV_DONTNEED);
  }

 private:
  const std::string name_;
  const int descriptor_;
  uint8_t* const base_;
  const size_t size_;
  const size_t page_bytes_;
};

const char* KindOf(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  if (S_ISSOCK(mode)) return "a socket";
  return "no regular file";
}

Status OpenError(const std::string& path, int error) {
  const Code code = error == ENOENT || error == ENOTDIR ? Code::kNotFound : Code::kIo;
  return Error(code, "%s: %s", path.c_str(), ErrnoText(error).c_str());
}

}  // namespace

Result<std::unique_ptr<ByteSource>> OpenMappedFile(const std::string& path) {
  if (path.empty()) return Error(Code::kInvalidArgument, "the path of the file is empty");
  if (path.find('\0') != std::string::npos) {
    return Error(Code::kInvalidArgument, "%s...: the path holds a zero byte", path.c_str());
  }
  // O_NONBLOCK: opening a FIFO that nobody writes to would wait for ever. Regular files ignore it.
  int descriptor = -1;
  do {
    descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  } while (descriptor < 0 && errno == EINTR);
  if (descriptor < 0) {
    // A socket cannot be opened at all (ENXIO); what it is says more than that.
    const int error = errno;
    struct stat kind = {};
    if (stat(path.c_str(), &kind) == 0 && S_ISSOCK(kind.st_mode)) {
      return Error(Code::kInvalidArgument, "%s is a socket; a regular file is needed", path.c_str());
    }
    return OpenError(path, error);
  }
  struct stat info = {};
  Status status;
  void* base = MAP_FAILED;
  if (fstat(descriptor, &info) != 0) {
    status = OpenError(path, errno);
  } else if (!S_ISREG(info.st_mode)) {
    status = Error(Code::kInvalidArgument, "%s is %s; a regular file is needed", path.c_str(), KindOf(info.st_mode));
  } else if (info.st_size <= 0) {
    status = Error(Code::kMalformed, "%s is empty (0 bytes)", path.c_str());
  } else if (!FitsSizeT(static_cast<uint64_t>(info.st_size))) {
    status = Error(Code::kUnsupported, "%s: %llu bytes do not fit this platform's address space", path.c_str(),
                   static_cast<Ull>(info.st_size));
  } else {
    // No advice: measured here (KVM guest, virtual disk, 2 threads reading halves of 512 MiB, 2026), MADV_SEQUENTIAL,
    // MADV_WILLNEED of the whole or in pieces and MADV_POPULATE_READ were no faster than none, and up to twice as slow,
    // with a cold and with a warm cache: the kernel sees the two streams by itself.
    base = mmap(nullptr, static_cast<size_t>(info.st_size), PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (base == MAP_FAILED) {
      status = Error(errno == ENOMEM ? Code::kOutOfMemory : Code::kIo, "%s: cannot map %llu bytes: %s", path.c_str(),
                     static_cast<Ull>(info.st_size), ErrnoText(errno).c_str());
    }
  }
  if (!status.ok()) {
    close(descriptor);
    return status;
  }
  const size_t size = static_cast<size_t>(info.st_size);
  auto* source = new (std::nothrow)
      MappedFile(path, descriptor, static_cast<uint8_t*>(base), size, static_cast<size_t>(sysconf(_SC_PAGESIZE)));
  if (source == nullptr) {
    munmap(base, size);
    close(descriptor);
    return Error(Code::kOutOfMemory, "%s: no memory to open it", path.c_str());
  }
  return std::unique_ptr<ByteSource>(source);
}

}  // namespace mote::native
