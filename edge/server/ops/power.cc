#include "edge/server/ops/power.h"

#include <initializer_list>

namespace mote::server {
namespace {

void Add(double watts, const std::string& name, std::optional<PowerDraw>* draw) {
  if (!*draw) draw->emplace();
  (*draw)->watts += watts;
  (*draw)->sensors += ((*draw)->sensors.empty() ? "" : " + ") + name;
}

}  // namespace

std::optional<PowerDraw> WholePower(const std::vector<Sensor>& sensors, const std::vector<GpuDevice>& gpus) {
  std::optional<PowerDraw> draw;
  // NVIDIA's names of the rails at a board's input: Orin Nano, NX and Xavier NX; older Nanos; AGX Orin, by three.
  for (const Sensor& sensor : sensors) {
    if (sensor.name == "VDD_IN" || sensor.name == "POM_5V_IN") Add(sensor.value, sensor.name, &draw);
  }
  if (draw) return draw;
  for (const Sensor& sensor : sensors) {
    for (const char* rail : {"VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"}) {
      if (sensor.name == rail) Add(sensor.value, sensor.name, &draw);
    }
  }
  if (draw) return draw;
  for (const Sensor& sensor : sensors) {
    if (sensor.name.rfind("package-", 0) == 0) Add(sensor.value, sensor.name, &draw);
  }
  for (size_t i = 0; i < gpus.size(); ++i) {
    if (gpus[i].power) Add(*gpus[i].power, "GPU " + std::to_string(i), &draw);
  }
  return draw;
}

}  // namespace mote::server
