// CreatePlatform() for wasm32-wasi: the helper threads that there are, whole files in memory.
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <memory>
#include <new>
#include <string>
#include <utility>

#include "engine/core/buffer.h"
#include "engine/core/context.h"
#include "targets/wasm/team.h"

namespace mote {
namespace {

using Ull = unsigned long long;

// 2 GiB: the largest object of a 32-bit address space (ptrdiff_t), and a page's memory holds the weights besides.
constexpr uint64_t kMaxFileBytes = uint64_t{INT32_MAX};

class WasiClock final : public Clock {
 public:
  double Seconds() const override {
    timespec now = {};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  }
  int64_t UnixSeconds() const override {
    timespec now = {};
    clock_gettime(CLOCK_REALTIME, &now);
    return static_cast<int64_t>(now.tv_sec);
  }
};

class FileInMemory final : public ByteSource {
 public:
  FileInMemory(std::string name, Buffer contents) : name_(std::move(name)), contents_(std::move(contents)) {}
  uint64_t size() const override { return contents_.size(); }
  const std::string& name() const override { return name_; }
  Result<std::span<const uint8_t>> View(uint64_t offset, uint64_t bytes) override {
    const uint64_t size = contents_.size();
    if (offset > size || bytes > size - offset) {
      return Error(Code::kInvalidArgument, "%s: %llu bytes at offset %llu; the file has %llu", name_.c_str(),
                   Ull{bytes}, Ull{offset}, Ull{size});
    }
    return std::span<const uint8_t>(contents_.data() + offset, static_cast<size_t>(bytes));
  }
  // WebAssembly memory never shrinks: there is nobody to give pages back to.
  void Release(uint64_t, uint64_t) override {}

 private:
  const std::string name_;
  Buffer contents_;
};

Status OpenError(const std::string& path, int error) {
  const Code code = error == ENOENT || error == ENOTDIR ? Code::kNotFound : Code::kIo;
  return Error(code, "%s: %s", path.c_str(), strerror(error));
}

Status CheckFile(const std::string& path, const struct stat& info) {
  if (!S_ISREG(info.st_mode)) {
    return Error(Code::kInvalidArgument, "%s is %s; a regular file is needed", path.c_str(),
                 S_ISDIR(info.st_mode) ? "a directory" : "no regular file");
  }
  if (info.st_size <= 0) return Error(Code::kMalformed, "%s is empty (0 bytes)", path.c_str());
  if (static_cast<uint64_t>(info.st_size) > kMaxFileBytes) {
    return Error(Code::kUnsupported, "%s: %llu bytes; 32-bit WebAssembly opens files of at most %llu bytes (split it)",
                 path.c_str(), static_cast<Ull>(info.st_size), Ull{kMaxFileBytes});
  }
  return Status();
}

Result<std::unique_ptr<ByteSource>> ReadWholeFile(const std::string& path) {
  if (path.empty()) return Error(Code::kInvalidArgument, "the path of the file is empty");
  struct stat info = {};
  if (stat(path.c_str(), &info) != 0) return OpenError(path, errno);
  MOTE_RETURN_IF_ERROR(CheckFile(path, info));
  const size_t size = static_cast<size_t>(info.st_size);
  MOTE_ASSIGN_OR_RETURN(Buffer contents, Buffer::Create(size, path.c_str()));
  FILE* file = fopen(path.c_str(), "rb");
  if (file == nullptr) return OpenError(path, errno);
  setvbuf(file, nullptr, _IONBF, 0);  // straight into our buffer
  const size_t got = fread(contents.data(), 1, size, file);
  const int error = ferror(file) != 0 ? errno : 0;
  fclose(file);
  if (error != 0) return Error(Code::kIo, "%s: %s", path.c_str(), strerror(error));
  if (got != size) {
    return Error(Code::kIo, "%s: %llu bytes read of %llu; the file has shrunk", path.c_str(), Ull{got}, Ull{size});
  }
  auto* source = new (std::nothrow) FileInMemory(path, std::move(contents));
  if (source == nullptr) return Error(Code::kOutOfMemory, "%s: no memory to open it", path.c_str());
  return std::unique_ptr<ByteSource>(source);
}

class WasiFileSystem final : public FileSystem {
 public:
  Result<std::unique_ptr<ByteSource>> Open(const std::string& path) override { return ReadWholeFile(path); }
};

class WasmPlatform final : public Platform {
 public:
  const char* name() const override { return "wasm"; }
  FileSystem& files() override { return files_; }
  const Clock& clock() const override { return clock_; }
  std::unique_ptr<Monitor> CreateMonitor() override { return wasm::CreateTeamMonitor(); }
  void PreferLargePages(void*, uint64_t) override {}
  Result<std::unique_ptr<ThreadPool>> CreateThreadPool(int workers) override {
    if (workers > 1024) {
      return Error(Code::kInvalidArgument, "thread pool: %d workers; 1 to 1024 are possible", workers);
    }
    // num_workers() says how many there are, and results do not depend on it.
    return wasm::CreatePool(workers <= 0 ? wasm::TeamSize() : workers);
  }

 private:
  WasiFileSystem files_;
  WasiClock clock_;
};

}  // namespace

std::unique_ptr<Platform> CreatePlatform() {
  return std::make_unique<WasmPlatform>();
}

}  // namespace mote
