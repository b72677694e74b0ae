#include "targets/cuda/device_memory.h"

#include "targets/cuda/runtime.h"

namespace mote::cuda {

Status CudaStatus(const char* text, const char* doing) {
  if (text == nullptr) return Status();
  return Error(Code::kInternal, "CUDA, %s: %s", doing, text);
}

DeviceMemory& DeviceMemory::operator=(DeviceMemory&& other) noexcept {
  std::swap(kind_, other.kind_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

DeviceMemory::~DeviceMemory() {
  if (data_ == nullptr) return;
  if (kind_ == MemoryKind::kHost) {
    FreeHost(data_);
  } else {
    Free(data_);
  }
}

Result<DeviceMemory> DeviceMemory::Create(MemoryKind kind, uint64_t bytes, const char* what, int device) {
  DeviceMemory memory;
  memory.kind_ = kind;
  void* data = nullptr;
  const char* text = kind == MemoryKind::kHost     ? AllocateHost(bytes, &data)
                     : kind == MemoryKind::kShared ? AllocateShared(bytes, &data)
                                                   : Allocate(bytes, &data);
  if (text != nullptr) {
    DeviceFacts facts;
    const auto mib = [](uint64_t size) { return static_cast<unsigned long long>((size + (1 << 20) - 1) >> 20); };
    if (ReadDevice(device, &facts) != nullptr) {
      return Error(Code::kOutOfMemory, "GPU %d: %llu MiB for %s: %s", device, mib(bytes), what, text);
    }
    return Error(Code::kOutOfMemory, "GPU %d (%s): %llu MiB for %s: %s; %llu of %llu MiB are free", device, facts.name,
                 mib(bytes), what, text, mib(facts.free_bytes), mib(facts.total_bytes));
  }
  memory.data_ = static_cast<uint8_t*>(data);
  memory.size_ = bytes;
  return memory;
}

}  // namespace mote::cuda
