#include "edge/server/ops/gpus.h"

#include <dlfcn.h>

#include "engine/api/mote_gpu.h"

namespace mote::server {
namespace {

// Of NVML's documented interface (API reference, 2024): 0 is success everywhere.
using Handle = void*;
struct Utilization {
  unsigned gpu;  // percent
  unsigned memory;
};
struct Memory {
  unsigned long long total, free, used;
};
constexpr unsigned kOfGpu = 0;          // NVML_TEMPERATURE_GPU
constexpr unsigned kGraphicsClock = 0;  // NVML_CLOCK_GRAPHICS
// Reasons of nvmlDeviceGetCurrentClocksThrottleReasons that mean too hot or too much power.
constexpr unsigned long long kPowerCap = 0x4, kHardware = 0x8, kSoftwareHeat = 0x20, kHardwareHeat = 0x40,
                             kPowerBrake = 0x80;

}  // namespace

struct GpuSensors::Library {
  void* file = nullptr;
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  int (*count)(unsigned*) = nullptr;
  int (*handle)(unsigned, Handle*) = nullptr;
  int (*name)(Handle, char*, unsigned) = nullptr;
  int (*memory)(Handle, Memory*) = nullptr;
  int (*utilization)(Handle, Utilization*) = nullptr;
  int (*temperature)(Handle, unsigned, unsigned*) = nullptr;
  int (*power)(Handle, unsigned*) = nullptr;
  int (*clock)(Handle, unsigned, unsigned*) = nullptr;
  int (*throttling)(Handle, unsigned long long*) = nullptr;
  bool works = false;

  template <class T>
  void Find(const char* symbol, T* function) {
    *function = reinterpret_cast<T>(dlsym(file, symbol));
  }
  ~Library() {
    if (works && shutdown != nullptr) shutdown();
    if (file != nullptr) dlclose(file);
  }
};

GpuSensors::GpuSensors(const std::string& library) : library_(std::make_unique<Library>()) {
  Library& l = *library_;
  l.file = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (l.file == nullptr) {
    reason_ = "no " + library;
    return;
  }
  l.Find("nvmlInit_v2", &l.init);
  l.Find("nvmlShutdown", &l.shutdown);
  l.Find("nvmlDeviceGetCount_v2", &l.count);
  l.Find("nvmlDeviceGetHandleByIndex_v2", &l.handle);
  l.Find("nvmlDeviceGetName", &l.name);
  l.Find("nvmlDeviceGetMemoryInfo", &l.memory);
  l.Find("nvmlDeviceGetUtilizationRates", &l.utilization);
  l.Find("nvmlDeviceGetTemperature", &l.temperature);
  l.Find("nvmlDeviceGetPowerUsage", &l.power);
  l.Find("nvmlDeviceGetClockInfo", &l.clock);
  l.Find("nvmlDeviceGetCurrentClocksThrottleReasons", &l.throttling);
  if (l.init == nullptr || l.count == nullptr || l.handle == nullptr) {
    reason_ = library + " lacks what mote asks of it";
    return;
  }
  unsigned count = 0;
  if (l.init() != 0) {
    reason_ = library + " cannot be started: is the driver loaded?";
    return;
  }
  l.works = true;
  if (l.count(&count) != 0) {
    reason_ = library + " counts no GPUs";
    return;
  }
  count_ = count;
}

GpuSensors::~GpuSensors() = default;

void GpuSensors::Read(size_t index, GpuDevice* device) const {
  const Library& l = *library_;
  Handle handle = nullptr;
  if (index >= count_ || l.handle(static_cast<unsigned>(index), &handle) != 0) return;
  char name[96] = {};
  if (device->name.empty() && l.name != nullptr && l.name(handle, name, sizeof(name)) == 0) device->name = name;
  Memory memory = {};
  if (device->memory_total == 0 && l.memory != nullptr && l.memory(handle, &memory) == 0) {
    device->memory_total = memory.total;
    device->memory_used = memory.used;
  }
  Utilization utilization = {};
  if (l.utilization != nullptr && l.utilization(handle, &utilization) == 0) {
    device->utilization = utilization.gpu / 100.0;
  }
  unsigned value = 0;
  if (l.temperature != nullptr && l.temperature(handle, kOfGpu, &value) == 0) device->temperature = value;
  if (l.power != nullptr && l.power(handle, &value) == 0) device->power = value / 1e3;                  // mW
  if (l.clock != nullptr && l.clock(handle, kGraphicsClock, &value) == 0) device->clock = value * 1e6;  // MHz
  unsigned long long reasons = 0;
  if (l.throttling == nullptr || l.throttling(handle, &reasons) != 0) return;
  device->throttled = (reasons & (kPowerCap | kHardware | kSoftwareHeat | kHardwareHeat | kPowerBrake)) != 0;
}

GpuFacts ReadGpus(const GpuSensors& sensors, const Machine& machine) {
  GpuFacts facts;
  facts.devices.resize(sensors.count());
  for (size_t i = 0; i < sensors.count(); ++i) sensors.Read(i, &facts.devices[i]);
  // NVML and CUDA number GPUs in orders of their own, and what CUDA is asked about takes some of its memory for good:
  // so it is asked only where NVML does not tell and there is but one.
  const bool told = !facts.devices.empty() && facts.devices[0].memory_total != 0;
  if (told || facts.devices.size() > 1) return facts;
  mote_error error = {};
  mote_gpu gpu = {};
  gpu.struct_size = sizeof(gpu);
  const size_t count = mote_gpu_count(&error);
  if (count == 1 && mote_gpu_get(0, &gpu, &error) == MOTE_OK) {
    facts.devices.resize(1);
    GpuDevice& device = facts.devices[0];
    if (device.name.empty()) device.name = gpu.name;
    device.memory_total = gpu.memory_total;
    device.memory_used = gpu.memory_total - gpu.memory_free;
    if (gpu.shared_memory != 0) machine.ReadBoardGpu(&device.utilization, &device.clock);
  } else if (facts.devices.empty()) {
    facts.reason = count > 1 ? "there are " + std::to_string(count) + " GPUs, but " + sensors.reason() : error.message;
  }
  return facts;
}

}  // namespace mote::server
