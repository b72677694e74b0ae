// What the backend asks of the CUDA runtime, as plain functions: runtime.cu has them for a GPU, the tests for the
// emulated one. A failure is a text for people, null is success.
#ifndef MOTE_TARGETS_CUDA_RUNTIME_H_
#define MOTE_TARGETS_CUDA_RUNTIME_H_

#include <stdint.h>

namespace mote::cuda {

struct DeviceFacts {
  char name[128];
  int major;
  int minor;
  uint64_t total_bytes;
  uint64_t free_bytes;  // now
  uint32_t multiprocessors;
  uint32_t shared_bytes;  // that a block may have, asked for
  uint32_t memory_khz;    // 0 where the driver no longer tells
  uint32_t bus_bits;
  bool integrated;          // shares the CPU's memory: Tegra
  bool has_groups;          // products of four warps (wgmma.h): Hopper, and this build has code for it
  bool has_kernels;         // this build has code for it, or code that its driver can compile for it
  const char* kernels_for;  // the compute capabilities of this build, "80 87"
  int driver;               // CUDA version of the driver, 12040 for 12.4; 0: no driver
};

// 0 where there is a driver but no GPU.
const char* CountDevices(int* count);
const char* ReadDevice(int device, DeviceFacts* facts);
const char* UseDevice(int device);
const char* Allocate(uint64_t bytes, void** memory);
// Memory that host and device both use as it is; to be freed like device memory. The host's alone until it is shared,
// for where a device cannot page (Tegra) the host must not touch what is shared while any kernel runs, be it another
// model's.
const char* AllocateShared(uint64_t bytes, void** memory);
// From now on the device's, of all streams. Waits.
const char* ShareWithDevice(void* memory, void* stream);
void Free(void* memory);
// Host memory that the device reads and writes fast.
const char* AllocateHost(uint64_t bytes, void** memory);
void FreeHost(void* memory);

// Of the device in use.
const char* CreateStream(void** stream);
void DestroyStream(void* stream);
// What its device has; multiprocessors are at least 1.
struct DeviceShape {
  uint32_t multiprocessors;
  uint32_t block_shared_bytes;  // that a block may have, asked for
  bool overlaps;                // a kernel's blocks may stand beside those of the kernel before it
};
DeviceShape ShapeOf(void* stream);
// In the stream's order. Host memory of copies must be from AllocateHost, or the copy waits.
const char* CopyIn(void* device, const void* host, uint64_t bytes, void* stream);
const char* CopyOut(void* host, const void* device, uint64_t bytes, void* stream);
const char* CopyWithin(void* to, const void* from, uint64_t bytes, void* stream);
const char* Zero(void* device, uint64_t bytes, void* stream);
// Waits for all of it, and tells what went wrong since the last time, launches included.
const char* Wait(void* stream);

// What is launched and copied between the two is not done but becomes a graph; none where a launch was refused.
const char* BeginCapture(void* stream);
const char* EndCapture(void* stream, void** graph);
const char* LaunchGraph(void* graph, void* stream);
void FreeGraph(void* graph);

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_RUNTIME_H_
