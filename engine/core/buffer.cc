#include "engine/core/buffer.h"

#include <stdlib.h>

#include "engine/core/checked.h"

namespace mote {

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this != &other) {
    free(base_);
    base_ = std::exchange(other.base_, nullptr);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

Buffer::~Buffer() {
  free(base_);
}

static Result<void*> Allocate(uint64_t bytes, bool zeroed, const char* what) {
  const Checked64 total = Checked64(bytes) + 2 * kCacheLineBytes;
  void* base = nullptr;
  if (total.ok() && FitsSizeT(total.value())) {
    base = zeroed ? calloc(1, total.value()) : malloc(total.value());
  }
  if (base == nullptr) {
    return Error(Code::kOutOfMemory, "%s: could not allocate %llu bytes", what, static_cast<unsigned long long>(bytes));
  }
  return base;
}

Result<Buffer> Buffer::Create(uint64_t bytes, const char* what) {
  MOTE_ASSIGN_OR_RETURN(void* base, Allocate(bytes, /*zeroed=*/false, what));
  Buffer buffer;
  buffer.base_ = base;
  buffer.data_ =
      reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(base) + kCacheLineBytes - 1) & ~(kCacheLineBytes - 1));
  buffer.size_ = static_cast<size_t>(bytes);
  return buffer;
}

Result<Buffer> Buffer::CreateZeroed(uint64_t bytes, const char* what) {
  MOTE_ASSIGN_OR_RETURN(void* base, Allocate(bytes, /*zeroed=*/true, what));
  Buffer buffer;
  buffer.base_ = base;
  buffer.data_ =
      reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(base) + kCacheLineBytes - 1) & ~(kCacheLineBytes - 1));
  buffer.size_ = static_cast<size_t>(bytes);
  return buffer;
}

}  // namespace mote
