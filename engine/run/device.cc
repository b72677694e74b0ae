#include "engine/run/device.h"

#include <stdlib.h>

#include <algorithm>
#include <utility>

#include "engine/graph/gpu.h"
#include "engine/graph/split.h"

namespace mote {
namespace {

// Left alone on the GPU: the driver's own memory for kernels and graphs, and a screen.
constexpr uint64_t kReserveBytes = uint64_t{256} << 20;

unsigned long long Mib(uint64_t bytes) {
  return static_cast<unsigned long long>((bytes + (1 << 20) - 1) >> 20);
}

// What a GPU needs for the last `gpu_layers` layers.
Result<MemoryNeed> NeedOf(const Backend& cpu, const Backend& gpu, const Plan& plan, uint32_t context,
                          uint32_t gpu_layers) {
  const uint32_t layers = static_cast<uint32_t>(plan.graph->cache_layers().size());
  if (gpu_layers >= layers) return gpu.Measure(plan, context);
  MOTE_ASSIGN_OR_RETURN(const SplitNeed need, MeasureSplit(cpu, gpu, plan, context, layers - gpu_layers));
  return need.back;
}

std::string Table(const MemoryNeed& need, uint64_t free_bytes) {
  const Status line = Error(Code::kOutOfMemory,
                            "weights %llu MiB, scratch %llu MiB, cache %llu MiB, together %llu MiB; "
                            "%llu MiB are free, of which %llu MiB stay so",
                            Mib(need.weight_bytes), Mib(need.scratch_bytes), Mib(need.cache_bytes), Mib(need.total()),
                            Mib(free_bytes), Mib(kReserveBytes));
  return line.message();
}

// The most layers, at most `most`, that fit; 0: none.
Result<uint32_t> LayersThatFit(const Backend& cpu, const Backend& gpu, const Plan& plan, uint32_t context,
                               uint32_t most, uint64_t free_bytes) {
  const auto fits_with = [&](uint32_t layers) -> Result<bool> {
    const Result<MemoryNeed> need = NeedOf(cpu, gpu, plan, context, layers);
    if (!need.ok() && need.status().code() != Code::kUnsupported) return need.status();
    return need.ok() && need->total() + kReserveBytes <= free_bytes;
  };
  // All of them first: there is no order among those that cannot be cut. Where the first layers read pictures'
  // features, all but one is impossible and all is not.
  MOTE_ASSIGN_OR_RETURN(const bool all, fits_with(most));
  if (all) return most;
  uint32_t fits = 0, too_many = most;
  while (too_many - fits > 1) {
    const uint32_t middle = fits + (too_many - fits) / 2;
    MOTE_ASSIGN_OR_RETURN(const bool fit, fits_with(middle));
    (fit ? fits : too_many) = middle;
  }
  return fits;
}

Result<DeviceChoice> ChooseGpu(const DeviceRequest& request, int index, const Plan& plan, uint32_t context,
                               Backend& cpu) {
  DeviceChoice choice;
  MOTE_ASSIGN_OR_RETURN(const GpuInfo gpu, ReadGpu(index));
  MOTE_ASSIGN_OR_RETURN(choice.gpu, CreateGpuBackend(gpu, cpu.pixel_kernels(), request.sparse));
  choice.gpu_free = gpu.free_bytes;
  MOTE_RETURN_IF_ERROR(choice.gpu->Measure(plan, context).status());
  const uint32_t layers = static_cast<uint32_t>(plan.graph->cache_layers().size());
  uint32_t wanted = layers;
  if (request.gpu_layers >= 0) wanted = std::min(layers, static_cast<uint32_t>(request.gpu_layers));
  if (request.gpu_layers == kLayersThatFit) {
    MOTE_ASSIGN_OR_RETURN(wanted, LayersThatFit(cpu, *choice.gpu, plan, context, layers, choice.gpu_free));
  }
  if (wanted == 0) {
    if (request.gpu_layers == 0) {
      choice.reason = "no layers are wanted on the GPU";
      choice.gpu.reset();
      return choice;
    }
    const Result<MemoryNeed> one = NeedOf(cpu, *choice.gpu, plan, context, 1);
    if (!one.ok()) {
      MOTE_ASSIGN_OR_RETURN(const MemoryNeed whole, choice.gpu->Measure(plan, context));
      return Error(Code::kOutOfMemory, "the whole does not fit the GPU: %s; nor can a part: %s",
                   Table(whole, choice.gpu_free).c_str(), one.status().message().c_str());
    }
    return Error(Code::kOutOfMemory, "not even one layer fits the GPU: %s", Table(*one, choice.gpu_free).c_str());
  }
  MOTE_ASSIGN_OR_RETURN(choice.gpu_need, NeedOf(cpu, *choice.gpu, plan, context, wanted));
  if (choice.gpu_need.total() + kReserveBytes > choice.gpu_free) {
    MOTE_ASSIGN_OR_RETURN(const uint32_t fit, LayersThatFit(cpu, *choice.gpu, plan, context, layers, choice.gpu_free));
    return Error(Code::kOutOfMemory, "%u of %u layers do not fit the GPU: %s. %u would fit", wanted, layers,
                 Table(choice.gpu_need, choice.gpu_free).c_str(), fit);
  }
  choice.gpu_layers = wanted;
  if (wanted < layers) {
    choice.backend = CreateSplitBackend(cpu, *choice.gpu, layers - wanted);
    choice.reason = std::to_string(wanted) + " of " + std::to_string(layers) + " layers on the GPU" +
                    (request.gpu_layers == kLayersThatFit ? ", which is what fits" : "");
  } else {
    choice.backend = std::move(choice.gpu);
    choice.reason = "all layers on the GPU";
  }
  return choice;
}

}  // namespace

Status CheckDevice(const std::string& device) {
  const std::string number = device.rfind("cuda:", 0) == 0 ? device.substr(5) : "";
  const bool digits =
      !number.empty() && number.size() <= 2 && number.find_first_not_of("0123456789") == std::string::npos;
  if (device == "auto" || device == "cpu" || device == "cuda" || (digits && atoi(number.c_str()) < 64)) return Status();
  return Error(Code::kInvalidArgument, "device \"%s\"; auto, cpu, cuda and cuda:0 to cuda:63 are possible",
               device.substr(0, 64).c_str());
}

int GpuIndex(const std::string& device) {
  return device.rfind("cuda:", 0) == 0 ? atoi(device.c_str() + 5) : 0;
}

Result<DeviceChoice> ChooseDevice(const DeviceRequest& request, const Plan& plan, uint32_t context, Backend& cpu) {
  MOTE_RETURN_IF_ERROR(CheckDevice(request.device));
  DeviceChoice on_cpu;
  if (request.device == "cpu" || (request.device == "auto" && request.gpu_layers == 0)) {  // no GPU is even looked at
    on_cpu.reason = request.device == "cpu" ? "device cpu was asked for" : "no layers are wanted on the GPU";
    return on_cpu;
  }
  Result<DeviceChoice> gpu = ChooseGpu(request, GpuIndex(request.device), plan, context, cpu);
  if (gpu.ok()) return gpu;
  if (request.device != "auto") return gpu.status().Within("device " + request.device);
  on_cpu.reason = "no GPU: " + gpu.status().message();
  return on_cpu;
}

}  // namespace mote
