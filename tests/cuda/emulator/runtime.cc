// targets/cuda/runtime.h for the emulated GPU: memory is the heap's, so that sanitizers watch over it; a stream does
// what it is told at once, or writes it down while it is captured.
#include "targets/cuda/runtime.h"

#include <stdlib.h>
#include <string.h>

#include <memory>
#include <utility>
#include <vector>

#include "tests/cuda/emulator/emulator.h"
#include "tests/cuda/emulator/runtime.h"

namespace mote_emulator {
namespace {

using Work = std::vector<std::function<void()>>;

struct Stream {
  bool captures = false;
  Work captured;
  const char* refused = nullptr;  // not told yet
  void Do(std::function<void()> work) {
    if (captures) {
      captured.push_back(std::move(work));
    } else {
      work();
    }
  }
};

EmulatedDevice& Facts() {
  static EmulatedDevice device;
  return device;
}

}  // namespace

EmulatedDevice& Device() {
  return Facts();
}

uint32_t ResidentBlocks() {
  return Facts().cooperative ? 1 : 0;
}

void Launch(void* stream, const Shape& shape, std::function<void()> kernel) {
  ++Facts().launches;
  if (const char* refusal = std::exchange(Facts().refusal, nullptr); refusal != nullptr) {
    static_cast<Stream*>(stream)->refused = refusal;
    return;
  }
  static_cast<Stream*>(stream)->Do([=, kernel = std::move(kernel)] { Run(shape, kernel); });
}

}  // namespace mote_emulator

namespace mote::cuda {

using mote_emulator::Device;
using mote_emulator::Stream;
using mote_emulator::Work;

const char* CountDevices(int* count) {
  *count = Device().devices;
  return Device().no_driver;
}
const char* ReadDevice(int device, DeviceFacts* facts) {
  *facts = {};
  if (device >= Device().devices) return "invalid device ordinal";
  strcpy(facts->name, "Emulated GPU");
  facts->major = 8;
  facts->minor = 7;
  facts->total_bytes = Device().total_bytes;
  facts->free_bytes = Device().total_bytes - Device().used_bytes;
  facts->multiprocessors = Device().multiprocessors;
  facts->shared_bytes = Device().block_shared_bytes;
  facts->integrated = Device().integrated;
  facts->has_groups = Device().has_groups;
  facts->has_kernels = Device().has_kernels;
  facts->kernels_for = "80 90";
  facts->driver = 12040;
  return nullptr;
}
DeviceShape ShapeOf(void*) {
  return {Device().multiprocessors, Device().block_shared_bytes, Device().overlaps};
}
const char* UseDevice(int device) {
  return device < Device().devices ? nullptr : "invalid device ordinal";
}

namespace {

// A header remembers the size.
constexpr uint64_t kHeader = 256;

}  // namespace

const char* Allocate(uint64_t bytes, void** memory) {
  if (Device().used_bytes + bytes > Device().total_bytes) return "out of memory";
  Device().used_bytes += bytes;
  void* base = nullptr;
  if (posix_memalign(&base, 256, kHeader + bytes) != 0) return "out of memory";
  memcpy(base, &bytes, sizeof(bytes));
  *memory = static_cast<uint8_t*>(base) + kHeader;
  memset(*memory, 0xff, bytes);
  return nullptr;
}
const char* AllocateShared(uint64_t bytes, void** memory) {
  const char* text = Allocate(bytes, memory);
  if (text == nullptr) ++Device().of_host;
  return text;
}
const char* ShareWithDevice(void*, void* stream) {
  if (Device().of_host == 0) return "invalid argument";
  --Device().of_host;
  return Wait(stream);
}
void Free(void* memory) {
  if (memory == nullptr) return;
  uint8_t* base = static_cast<uint8_t*>(memory) - kHeader;
  uint64_t bytes = 0;
  memcpy(&bytes, base, sizeof(bytes));
  Device().used_bytes -= bytes;
  free(base);
}
const char* AllocateHost(uint64_t bytes, void** memory) {
  *memory = malloc(bytes == 0 ? 1 : bytes);
  return *memory == nullptr ? "out of memory" : nullptr;
}
void FreeHost(void* memory) {
  free(memory);
}

const char* CreateStream(void** stream) {
  *stream = new Stream();
  return nullptr;
}
void DestroyStream(void* stream) {
  delete static_cast<Stream*>(stream);
}
const char* CopyIn(void* device, const void* host, uint64_t bytes, void* stream) {
  static_cast<Stream*>(stream)->Do([=] { memmove(device, host, bytes); });
  return nullptr;
}
const char* CopyOut(void* host, const void* device, uint64_t bytes, void* stream) {
  return CopyIn(host, device, bytes, stream);
}
const char* CopyWithin(void* to, const void* from, uint64_t bytes, void* stream) {
  return CopyIn(to, from, bytes, stream);
}
const char* Zero(void* device, uint64_t bytes, void* stream) {
  static_cast<Stream*>(stream)->Do([=] { memset(device, 0, bytes); });
  return nullptr;
}
const char* Wait(void* stream) {
  Stream& own = *static_cast<Stream*>(stream);
  return own.captures ? "operation not permitted when stream is capturing" : std::exchange(own.refused, nullptr);
}

const char* BeginCapture(void* stream) {
  static_cast<Stream*>(stream)->captures = true;
  return nullptr;
}
const char* EndCapture(void* stream, void** graph) {
  Stream& own = *static_cast<Stream*>(stream);
  own.captures = false;
  *graph = nullptr;
  Work captured = std::exchange(own.captured, {});
  if (const char* refused = std::exchange(own.refused, nullptr); refused != nullptr) return refused;
  *graph = new Work(std::move(captured));
  return nullptr;
}
const char* LaunchGraph(void* graph, void*) {
  ++Device().graph_launches;
  for (const auto& work : *static_cast<Work*>(graph)) work();
  return nullptr;
}
void FreeGraph(void* graph) {
  delete static_cast<Work*>(graph);
}

}  // namespace mote::cuda
