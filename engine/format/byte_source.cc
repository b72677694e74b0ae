// Sources over memory: the caller's, or filled by a callback.
#include <string.h>

#include <algorithm>
#include <utility>

#include "engine/core/buffer.h"
#include "engine/core/checked.h"
#include "engine/format/gguf.h"

namespace mote {
namespace {

// Large enough that the cost of a call does not count, small enough that a reader can report progress and stop.
constexpr uint64_t kReadChunkBytes = uint64_t{16} << 20;

class MemorySource : public ByteSource {
 public:
  MemorySource(std::span<const uint8_t> bytes, std::string name) : bytes_(bytes), name_(std::move(name)) {}
  MemorySource(Buffer owned, std::string name)
      : owned_(std::move(owned)), bytes_(owned_.data(), owned_.size()), name_(std::move(name)) {}

  uint64_t size() const override { return bytes_.size(); }
  const std::string& name() const override { return name_; }
  Result<std::span<const uint8_t>> View(uint64_t offset, uint64_t bytes) override {
    if (offset > bytes_.size() || bytes > bytes_.size() - offset) {
      return Error(Code::kIo, "%s: bytes %llu + %llu were asked for, but there are only %zu", name_.c_str(),
                   static_cast<unsigned long long>(offset), static_cast<unsigned long long>(bytes), bytes_.size());
    }
    return bytes_.subspan(static_cast<size_t>(offset), static_cast<size_t>(bytes));
  }
  void Release(uint64_t offset, uint64_t bytes) override {}

 private:
  Buffer owned_;  // empty over the caller's memory
  std::span<const uint8_t> bytes_;
  std::string name_;
};

class OverwritableSource final : public MemorySource {
 public:
  OverwritableSource(std::span<uint8_t> bytes, std::string name)
      : MemorySource(bytes, std::move(name)), writable_(bytes) {}
  std::span<uint8_t> GiveUp(uint64_t offset, uint64_t bytes) override {
    if (offset > writable_.size() || bytes > writable_.size() - offset) return {};
    return writable_.subspan(static_cast<size_t>(offset), static_cast<size_t>(bytes));
  }

 private:
  const std::span<uint8_t> writable_;
};

}  // namespace

std::unique_ptr<ByteSource> CreateOverwritableSource(std::span<uint8_t> bytes, std::string name) {
  return std::make_unique<OverwritableSource>(bytes, std::move(name));
}

std::unique_ptr<ByteSource> CreateMemorySource(std::span<const uint8_t> bytes, std::string name) {
  return std::make_unique<MemorySource>(bytes, std::move(name));
}

Result<std::unique_ptr<ByteSource>> CreateCallbackSource(ReadCallback read, void* user, uint64_t size,
                                                         std::string name) {
  if (read == nullptr) return Error(Code::kInvalidArgument, "%s: the read callback is null", name.c_str());
  MOTE_ASSIGN_OR_RETURN(Buffer buffer, Buffer::Create(size, name.c_str()));
  uint64_t done = 0;
  while (done < size) {
    const uint64_t wanted = std::min(size - done, kReadChunkBytes);
    const int64_t got = read(user, done, buffer.data() + done, wanted);
    if (got < 0 || static_cast<uint64_t>(got) > wanted) {
      return Error(Code::kIo, "%s: the read callback returned %lld for %llu bytes at %llu", name.c_str(),
                   static_cast<long long>(got), static_cast<unsigned long long>(wanted),
                   static_cast<unsigned long long>(done));
    }
    if (got == 0) {
      return Error(Code::kIo, "%s: ended at byte %llu of %llu", name.c_str(), static_cast<unsigned long long>(done),
                   static_cast<unsigned long long>(size));
    }
    done += static_cast<uint64_t>(got);
  }
  return std::unique_ptr<ByteSource>(std::make_unique<MemorySource>(std::move(buffer), std::move(name)));
}

}  // namespace mote
