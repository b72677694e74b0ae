// Memory of the device, owned; its failures as values.
#ifndef MOTE_TARGETS_CUDA_DEVICE_MEMORY_H_
#define MOTE_TARGETS_CUDA_DEVICE_MEMORY_H_

#include <stdint.h>

#include <utility>

#include "engine/core/status.h"

namespace mote::cuda {

// A text of runtime.h as a Status: ok where it is null. `doing`: "copying weights".
Status CudaStatus(const char* text, const char* doing);

enum class MemoryKind : uint8_t {
  kDevice,
  kHost,    // the host's, which the device reaches fast: for copies
  kShared,  // one memory for both, on boards where they are the same (Tegra)
};

// Move-only. The device that was in use when it was made must be in use when it goes.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  DeviceMemory(DeviceMemory&& other) noexcept { *this = std::move(other); }
  DeviceMemory& operator=(DeviceMemory&& other) noexcept;
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  ~DeviceMemory();

  // kOutOfMemory tells what it was for, the bytes asked for and the bytes free. Contents are undefined.
  static Result<DeviceMemory> Create(MemoryKind kind, uint64_t bytes, const char* what, int device);

  uint8_t* data() const { return data_; }
  uint64_t size() const { return size_; }
  template <class T>
  T* As() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  MemoryKind kind_ = MemoryKind::kDevice;
  uint8_t* data_ = nullptr;
  uint64_t size_ = 0;
};

// Rounded up to what device memory is cut into: whole lines of the second-level cache, twice.
constexpr uint64_t AlignDevice(uint64_t bytes) {
  return (bytes + 255) & ~uint64_t{255};
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_DEVICE_MEMORY_H_
