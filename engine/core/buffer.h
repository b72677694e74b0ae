// Owned, aligned memory whose allocation may fail as a value.
#ifndef MOTE_ENGINE_CORE_BUFFER_H_
#define MOTE_ENGINE_CORE_BUFFER_H_

#include <stddef.h>
#include <stdint.h>

#include <utility>

#include "engine/core/status.h"

namespace mote {

inline constexpr size_t kCacheLineBytes = 64;  // also the widest vector (AVX-512)

// Bytes aligned to kCacheLineBytes, readable for kCacheLineBytes past the end (kernels may load a whole vector there).
// Move-only. Contents start uninitialised unless CreateZeroed.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer();

  // kOutOfMemory names `what` and the bytes asked for.
  static Result<Buffer> Create(uint64_t bytes, const char* what);
  // Zero pages come from the system where it can give them lazily: a large cache costs nothing until it is written.
  static Result<Buffer> CreateZeroed(uint64_t bytes, const char* what);

  uint8_t* data() { return data_; }
  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  template <class T>
  T* As() {
    return reinterpret_cast<T*>(data_);
  }
  template <class T>
  const T* As() const {
    return reinterpret_cast<const T*>(data_);
  }

 private:
  void* base_ = nullptr;     // what free() wants
  uint8_t* data_ = nullptr;  // base_ rounded up
  size_t size_ = 0;
};

}  // namespace mote

#endif  // MOTE_ENGINE_CORE_BUFFER_H_
