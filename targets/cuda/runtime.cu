// The runtime's functions as the backend wants them. libcudart is linked statically and looks for the driver when it is
// first called: without one, every call fails with a text and the program goes on.
#include <cuda_runtime.h>
#include <stdlib.h>
#include <string.h>

#include "targets/cuda/runtime.h"
#include "targets/cuda/vocabulary.h"
#include "targets/cuda/wgmma.h"

namespace mote::cuda {
namespace {

// What is told here is not told by a later call again.
const char* Text(cudaError_t error) {
  if (error == cudaSuccess) return nullptr;
  cudaGetLastError();
  return cudaGetErrorString(error);
}
cudaStream_t Stream(void* stream) {
  return static_cast<const LaunchStream*>(stream)->stream;
}
// Compiled for the same GPUs as all kernels.
__global__ void Probe() {}

__global__ void ProbeGroups(uint32_t* answer) {
  *answer = kHasGroups ? 1 : 0;
}
// Whether the code that the driver loads has them is asked of that code itself: versions do not tell sm_90a's from what
// the driver made of PTX for 90 (CUDA_FORCE_PTX_JIT), in which those kernels are empty. Of the device in use.
bool HasGroups(const cudaFuncAttributes& probe) {
  if (probe.ptxVersion != 90 || probe.binaryVersion != 90) return false;
  uint32_t answer = 0;
  uint32_t* told = nullptr;  // a variable of the device would be one of the library, too
  if (cudaMalloc(&told, sizeof(answer)) != cudaSuccess) {
    cudaGetLastError();
    return false;
  }
  ProbeGroups<<<1, 1>>>(told);
  const cudaError_t launched = cudaGetLastError();
  const cudaError_t read = cudaMemcpy(&answer, told, sizeof(answer), cudaMemcpyDeviceToHost);
  if (read != cudaSuccess) cudaGetLastError();
  cudaFree(told);
  return launched == cudaSuccess && read == cudaSuccess && answer == 1;
}

uint32_t Attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  if (cudaDeviceGetAttribute(&value, which, device) == cudaSuccess) return value > 0 ? static_cast<uint32_t>(value) : 0;
  cudaGetLastError();  // or it is told as a launch's
  return 0;
}

// CUDA version; 0 without a driver.
int DriverVersion() {
  int version = 0;
  cudaDriverGetVersion(&version);
  return version;
}

}  // namespace

const char* CountDevices(int* count) {
  *count = 0;
  if (DriverVersion() == 0) return "no NVIDIA driver (libcuda.so.1) was found";
  const cudaError_t error = cudaGetDeviceCount(count);
  if (error == cudaErrorNoDevice) return nullptr;
  return Text(error);
}

const char* ReadDevice(int device, DeviceFacts* facts) {
  memset(facts, 0, sizeof(*facts));
  cudaDeviceProp properties;
  const cudaError_t error = cudaGetDeviceProperties(&properties, device);
  if (error != cudaSuccess) return Text(error);
  strncpy(facts->name, properties.name, sizeof(facts->name) - 1);
  facts->major = properties.major;
  facts->minor = properties.minor;
  facts->multiprocessors = static_cast<uint32_t>(properties.multiProcessorCount);
  facts->shared_bytes = static_cast<uint32_t>(properties.sharedMemPerBlockOptin);
  facts->integrated = properties.integrated != 0;
  facts->memory_khz = Attribute(cudaDevAttrMemoryClockRate, device);
  facts->bus_bits = Attribute(cudaDevAttrGlobalMemoryBusWidth, device);
  facts->driver = DriverVersion();
  facts->total_bytes = properties.totalGlobalMem;
  if (const char* text = UseDevice(device); text != nullptr) return text;
  size_t free_bytes = 0, total_bytes = 0;
  const cudaError_t asked = cudaMemGetInfo(&free_bytes, &total_bytes);
  facts->free_bytes = free_bytes;
  if (total_bytes != 0) facts->total_bytes = total_bytes;
  if (const char* text = Text(asked); text != nullptr) return text;
  facts->kernels_for = MOTE_CUDA_KERNELS_FOR;
  cudaFuncAttributes attributes;
  const cudaError_t probed = cudaFuncGetAttributes(&attributes, Probe);
  if (probed != cudaSuccess) cudaGetLastError();
  facts->has_kernels = probed != cudaErrorNoKernelImageForDevice && probed != cudaErrorInvalidDeviceFunction &&
                       probed != cudaErrorUnsupportedPtxVersion;
  facts->has_groups = probed == cudaSuccess && HasGroups(attributes);
  return facts->has_kernels ? Text(probed) : nullptr;
}

const char* UseDevice(int device) {
  return Text(cudaSetDevice(device));
}

DeviceShape ShapeOf(void* stream) {
  const LaunchStream& own = *static_cast<const LaunchStream*>(stream);
  return {own.multiprocessors, own.block_shared_bytes, own.overlaps};
}

const char* Allocate(uint64_t bytes, void** memory) {
  return Text(cudaMalloc(memory, bytes == 0 ? 1 : bytes));
}
const char* AllocateShared(uint64_t bytes, void** memory) {
  return Text(cudaMallocManaged(memory, bytes == 0 ? 1 : bytes, cudaMemAttachHost));
}
const char* ShareWithDevice(void* memory, void* stream) {
  const cudaError_t error = cudaStreamAttachMemAsync(Stream(stream), memory, 0, cudaMemAttachGlobal);
  return error != cudaSuccess ? Text(error) : Wait(stream);
}
void Free(void* memory) {
  cudaFree(memory);
}
const char* AllocateHost(uint64_t bytes, void** memory) {
  return Text(cudaMallocHost(memory, bytes == 0 ? 1 : bytes));
}
void FreeHost(void* memory) {
  cudaFreeHost(memory);
}

const char* CreateStream(void** stream) {
  *stream = nullptr;
  cudaStream_t created = nullptr;
  int device = 0;
  if (const char* text = Text(cudaGetDevice(&device)); text != nullptr) return text;
  if (const char* text = Text(cudaStreamCreateWithFlags(&created, cudaStreamNonBlocking)); text != nullptr) return text;
  LaunchStream* own = static_cast<LaunchStream*>(malloc(sizeof(LaunchStream)));
  if (own == nullptr) {
    cudaStreamDestroy(created);
    return "out of memory";
  }
  // Graphs keep launches that overlap from CUDA 12.3 on.
  cudaFuncAttributes attributes = {};
  const bool read = cudaFuncGetAttributes(&attributes, Probe) == cudaSuccess;
  const uint32_t multiprocessors = Attribute(cudaDevAttrMultiProcessorCount, device);
  own->stream = created;
  own->overlaps = CUDART_VERSION >= 12030 && DriverVersion() >= 12030 && read && attributes.ptxVersion >= 90;
  own->multiprocessors = multiprocessors == 0 ? 1 : multiprocessors;
  own->behind_resident = false;
  own->block_shared_bytes = Attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  *stream = own;
  return nullptr;
}
void DestroyStream(void* stream) {
  cudaStreamDestroy(Stream(stream));
  free(stream);
}
const char* CopyIn(void* device, const void* host, uint64_t bytes, void* stream) {
  return Text(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, Stream(stream)));
}
const char* CopyOut(void* host, const void* device, uint64_t bytes, void* stream) {
  return Text(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, Stream(stream)));
}
const char* CopyWithin(void* to, const void* from, uint64_t bytes, void* stream) {
  return Text(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, Stream(stream)));
}
const char* Zero(void* device, uint64_t bytes, void* stream) {
  return Text(cudaMemsetAsync(device, 0, bytes, Stream(stream)));
}
const char* Wait(void* stream) {
  const cudaError_t error = cudaStreamSynchronize(Stream(stream));
  const cudaError_t launched = cudaGetLastError();
  return Text(error != cudaSuccess ? error : launched);
}

const char* BeginCapture(void* stream) {
  return Text(cudaStreamBeginCapture(Stream(stream), cudaStreamCaptureModeThreadLocal));
}
const char* EndCapture(void* stream, void** graph) {
  *graph = nullptr;
  cudaGraph_t captured = nullptr;
  cudaError_t error = cudaStreamEndCapture(Stream(stream), &captured);
  // A launch that was refused does not end the capture: the graph would be a step without that kernel.
  const cudaError_t launched = cudaGetLastError();
  if (error == cudaSuccess) error = launched;
  if (error != cudaSuccess) {
    if (captured != nullptr) cudaGraphDestroy(captured);
    return Text(error);
  }
  cudaGraphExec_t ready = nullptr;
#if CUDART_VERSION >= 12000
  error = cudaGraphInstantiate(&ready, captured, 0);
#else
  error = cudaGraphInstantiate(&ready, captured, nullptr, nullptr, 0);
#endif
  cudaGraphDestroy(captured);
  *graph = ready;
  return Text(error);
}
const char* LaunchGraph(void* graph, void* stream) {
  return Text(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), Stream(stream)));
}
void FreeGraph(void* graph) {
  cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph));
}

}  // namespace mote::cuda
