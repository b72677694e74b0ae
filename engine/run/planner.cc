#include "engine/run/planner.h"

#include <algorithm>

namespace mote {
namespace {

constexpr uint64_t kGiB = uint64_t{1} << 30;
constexpr double kGb = 1e9;

// Makers' data sheets, 2025. The desktop beside a GPU: two channels of DDR5-5600, 2 x 8 bytes x 5.6 GT/s.
constexpr double kDesktop = 89.6 * kGb;
constexpr uint64_t kDesktopBytes = 32 * kGiB;
constexpr PlanDevice kDevices[] = {
    {"orin-nano-super", "Jetson Orin Nano Super, 8 GB", "NVIDIA, Jetson Orin Nano Super data sheet: 128 bits of LPDDR5",
     102 * kGb, 8 * kGiB, true, true, 0},
    {"agx-orin", "Jetson AGX Orin, 64 GB", "NVIDIA, Jetson AGX Orin data sheet: 256 bits of LPDDR5", 204.8 * kGb,
     64 * kGiB, true, true, 0},
    {"rtx-5070-ti", "GeForce RTX 5070 Ti, 16 GB", "NVIDIA, GeForce RTX 5070 family: 256 bits of GDDR7 at 28 Gbit/s",
     896 * kGb, 16 * kGiB, true, false, kDesktop},
    {"rtx-3090", "GeForce RTX 3090, 24 GB", "NVIDIA, GA102 white paper: 384 bits of GDDR6X at 19.5 Gbit/s", 936 * kGb,
     24 * kGiB, true, false, kDesktop},
    {"h200", "H200 SXM, 141 GB", "NVIDIA, H200 data sheet: HBM3e, 4.8 TB/s; beside it 12 channels of DDR5-4800",
     4800 * kGb, uint64_t{141} * 1000000000, true, false, 460.8 * kGb},
    {"cpu-2-cores", "CPU with 2 cores, two channels of DDR4-3200, 16 GB",
     "JEDEC DDR4: 2 x 8 bytes x 3.2 GT/s; two cores draw less", 51.2 * kGb, 16 * kGiB, false, false, 0},
};

// Meta's configuration files of Llama 3.2 (1B, 3B) and Llama 3.1 (8B, 70B).
constexpr PlanModel kModels[] = {
    {"1B", "Llama 3.2 1B", 16, 2048, 8192, 32, 8, 64, 128256, true},
    {"3B", "Llama 3.2 3B", 28, 3072, 8192, 24, 8, 128, 128256, true},
    {"8B", "Llama 3.1 8B", 32, 4096, 14336, 32, 8, 128, 128256, false},
    {"70B", "Llama 3.1 70B", 80, 8192, 28672, 64, 8, 128, 128256, false},
};

uint64_t MatrixBytes(DType type, uint64_t rows, uint64_t cols) {
  return rows * RowBytes(type, cols);
}

// Not for models: the driver, the screen; on a board all that runs beside, too.
uint64_t Reserve(const PlanDevice& device) {
  return device.has_gpu && !device.shared_memory ? kGiB / 2 : 3 * kGiB / 2;
}
uint64_t Usable(const PlanDevice& device) {
  return device.memory_bytes - std::min(device.memory_bytes, Reserve(device));
}
// Working memory of a step, the program and its kernels.
constexpr uint64_t kWorking = kGiB / 4;

}  // namespace

std::span<const PlanDevice> PlanDevices() {
  return kDevices;
}

std::span<const PlanModel> PlanModels() {
  return kModels;
}

Result<PlanDevice> FindPlanDevice(const std::string& name) {
  std::string names;
  for (const PlanDevice& device : kDevices) {
    if (name == device.name) return device;
    names += (names.empty() ? "" : ", ") + std::string(device.name);
  }
  return Error(Code::kNotFound, "no device \"%s\" to plan for; there are %s", name.substr(0, 64).c_str(),
               names.c_str());
}

PlanBytes BytesOf(const PlanModel& m, DType type) {
  const uint64_t q_rows = uint64_t{m.heads} * m.head_dim;
  const uint64_t kv_rows = uint64_t{m.kv_heads} * m.head_dim;
  PlanBytes bytes;
  bytes.layer = MatrixBytes(type, q_rows + 2 * kv_rows, m.width) + MatrixBytes(type, m.width, q_rows) +
                MatrixBytes(type, 2 * uint64_t{m.ff}, m.width) + MatrixBytes(type, m.width, m.ff) +
                2 * uint64_t{m.width} * sizeof(float);
  bytes.output = MatrixBytes(type, m.vocab, m.width);
  bytes.embedding = m.tied ? 0 : bytes.output;
  bytes.cache_position = 2 * kv_rows * 2;
  return bytes;
}

double LimitOf(const PlanDevice& device, const PlanModel& model, DType type, uint32_t gpu_layers, uint32_t positions) {
  const PlanBytes bytes = BytesOf(model, type);
  const double layer = static_cast<double>(bytes.layer + bytes.cache_position * positions);
  const uint32_t on_gpu = device.has_gpu ? std::min(gpu_layers, model.layers) : 0;
  const double output = static_cast<double>(bytes.output);
  const double gpu_bytes = layer * on_gpu + (on_gpu > 0 ? output : 0);
  const double cpu_bytes = layer * (model.layers - on_gpu) + (on_gpu > 0 ? 0 : output);
  const double cpu_speed =
      device.has_gpu && !device.shared_memory ? device.host_bytes_per_second : device.bytes_per_second;
  // One after the other: a layer needs what the one before it says.
  return 1 / (gpu_bytes / device.bytes_per_second + cpu_bytes / cpu_speed);
}

uint32_t PlanLayers(const PlanDevice& device, const PlanModel& model, DType type, uint32_t positions) {
  const PlanBytes bytes = BytesOf(model, type);
  const uint64_t layer = bytes.layer + bytes.cache_position * positions;
  const uint64_t beside = bytes.output + kWorking + (device.has_gpu && !device.shared_memory ? 0 : bytes.embedding);
  const uint64_t usable = Usable(device);
  if (usable < beside) return 0;
  const uint64_t layers = std::min<uint64_t>((usable - beside) / layer, model.layers);
  return device.has_gpu || layers == model.layers ? static_cast<uint32_t>(layers) : 0;
}

bool FitsMachine(const PlanDevice& device, const PlanModel& model, DType type, uint32_t positions) {
  const uint32_t layers = PlanLayers(device, model, type, positions);
  if (layers == model.layers) return true;
  if (!device.has_gpu || device.shared_memory) return false;
  const PlanBytes bytes = BytesOf(model, type);
  const uint64_t rest = (bytes.layer + bytes.cache_position * positions) * (model.layers - layers) + bytes.embedding;
  return rest + kWorking + 2 * kGiB <= kDesktopBytes;
}

MemoryAdvice AdviseMemory(const MemoryShape& shape, uint64_t free_bytes) {
  MemoryAdvice advice;
  const uint32_t least_context = std::min(shape.context_train, 2048u);
  struct Choice {
    const char* name;
    double bits;
  };
  // Block bytes * 8 / block values; a few of those that people choose between.
  constexpr Choice kChoices[] = {{"Q8_0", 8.5}, {"Q6_K", 6.5625}, {"Q5_K", 5.5}, {"Q4_K", 4.5}, {"Q3_K", 3.4375}};
  const auto try_weights = [&](uint64_t weights, const char* name) {
    for (uint32_t batch = std::max(shape.batch, 64u); batch >= 64; batch /= 2) {
      const uint64_t scratch = shape.scratch_bytes / std::max(shape.batch, 1u) * batch;
      const uint64_t least = weights + scratch + shape.cache_bytes_position * least_context;
      if (least > free_bytes) continue;
      advice.precision = name;
      advice.batch = batch;
      const uint64_t room = free_bytes - weights - scratch;
      const uint64_t positions =
          shape.cache_bytes_position == 0 ? shape.context_train : room / shape.cache_bytes_position;
      advice.context = static_cast<uint32_t>(std::min<uint64_t>(positions, shape.context_train));
      if (advice.context >= 256 && advice.context < shape.context_train) advice.context -= advice.context % 256;
      return true;
    }
    return false;
  };
  if (try_weights(shape.weight_bytes, "as it is")) {
    advice.fits = true;
    return advice;
  }
  for (const Choice& choice : kChoices) {
    const double bytes = static_cast<double>(shape.values) * choice.bits / 8;
    if (bytes >= static_cast<double>(shape.weight_bytes)) continue;
    if (try_weights(static_cast<uint64_t>(bytes), choice.name)) return advice;
  }
  advice.precision = "none";
  return advice;
}

}  // namespace mote
