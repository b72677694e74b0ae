// Where a model runs: on the CPU, on a GPU, or its first layers on the one and the rest on the other.
#ifndef MOTE_ENGINE_RUN_DEVICE_H_
#define MOTE_ENGINE_RUN_DEVICE_H_

#include <stdint.h>

#include <memory>
#include <string>

#include "engine/graph/backend.h"

namespace mote {

// Layers on the GPU: as many as there are, or as fit.
inline constexpr int32_t kAllLayers = -2;
inline constexpr int32_t kLayersThatFit = -1;

struct DeviceRequest {
  // "cpu"; "cuda" or "cuda:1", which fails where it cannot be; "auto", a GPU where there is one that can, and else the
  // CPU.
  std::string device = "cpu";
  int32_t gpu_layers = kLayersThatFit;    // or a number: the last so many
  SparsePath sparse = SparsePath::kAuto;  // of block-sparse matrices on a GPU
};

// "auto", "cpu", "cuda", "cuda:N" with N below 64: kInvalidArgument otherwise.
Status CheckDevice(const std::string& device);
// Which GPU a device that CheckDevice takes, and that is not "cpu", stands for.
int GpuIndex(const std::string& device);

struct DeviceChoice {
  // Null: the CPU's. What a split stands on lies in `gpu`.
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Backend> gpu;
  uint32_t gpu_layers = 0;
  MemoryNeed gpu_need;    // of the GPU's memory, with one session
  uint64_t gpu_free = 0;  // before loading
  std::string reason;     // for people: why this device
};

// Chooses for a plan. `cpu` must outlive the choice.
Result<DeviceChoice> ChooseDevice(const DeviceRequest& request, const Plan& plan, uint32_t context, Backend& cpu);

}  // namespace mote

#endif  // MOTE_ENGINE_RUN_DEVICE_H_
