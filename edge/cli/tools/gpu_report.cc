#include "edge/cli/tools/gpu_report.h"

#include "engine/api/mote_gpu.h"

namespace mote::cli {

using Json = nlohmann::ordered_json;

Json GpusToJson() {
  mote_error error = {};
  const size_t count = mote_gpu_count(&error);
  Json json = {{"gpus", Json::array()}};
  if (count == 0) json["reason"] = error.message;
  for (size_t i = 0; i < count; ++i) {
    mote_gpu gpu = {};
    gpu.struct_size = sizeof(gpu);
    if (mote_gpu_get(i, &gpu, &error) != MOTE_OK) continue;
    Json one = {{"index", i},
                {"name", gpu.name},
                {"compute_capability", Format("%d.%d", gpu.major, gpu.minor)},
                {"memory_total", gpu.memory_total},
                {"memory_free", gpu.memory_free},
                {"shared_memory", gpu.shared_memory != 0},
                {"multiprocessors", gpu.multiprocessors},
                {"bytes_per_second", gpu.bytes_per_second},
                {"driver", Format("%d.%d", gpu.driver / 1000, gpu.driver % 1000 / 10)}};
    if (gpu.unusable[0] != '\0') one["unusable"] = gpu.unusable;
    json["gpus"].push_back(std::move(one));
  }
  return json;
}

std::string GpusToText(const Json& gpus, const Colors& colors) {
  if (gpus["gpus"].empty()) {
    return Format("%sGPU%s      none: %s\n", colors.bold, colors.reset, gpus["reason"].get<std::string>().c_str());
  }
  std::string text;
  for (const Json& gpu : gpus["gpus"]) {
    text += Format("%sGPU %zu%s    %s, compute capability %s, %u multiprocessors, CUDA %s\n", colors.bold,
                   gpu["index"].get<size_t>(), colors.reset, gpu["name"].get<std::string>().c_str(),
                   gpu["compute_capability"].get<std::string>().c_str(), gpu["multiprocessors"].get<uint32_t>(),
                   gpu["driver"].get<std::string>().c_str());
    const double speed = gpu["bytes_per_second"].get<double>();
    text += Format("         %s, %s free%s%s\n", HumanBytes(gpu["memory_total"].get<uint64_t>()).c_str(),
                   HumanBytes(gpu["memory_free"].get<uint64_t>()).c_str(),
                   gpu["shared_memory"].get<bool>() ? ", shared with the CPU" : "",
                   speed > 0 ? Format(", %.0f GB/s at best", speed / 1e9).c_str() : "");
    if (gpu.contains("unusable")) text += "         not used: " + gpu["unusable"].get<std::string>() + "\n";
  }
  return text;
}

}  // namespace mote::cli
