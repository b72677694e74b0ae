// What the machine draws as a whole, out of sensors that count some things twice.
#ifndef MOTE_EDGE_SERVER_OPS_POWER_H_
#define MOTE_EDGE_SERVER_OPS_POWER_H_

#include <optional>
#include <string>
#include <vector>

#include "edge/server/ops/health.h"
#include "edge/server/ops/machine.h"

namespace mote::server {

struct PowerDraw {
  double watts = 0;
  std::string sensors;  // whose sum it is: "package-0", "VDD_IN", "GPU 0"
};

// A board's input rail (Jetson: VDD_IN, or the rails of an AGX, which feed all others) where there is one; else the
// processors' packages (RAPL: cores are parts of them) and, of `gpus`, those that tell. Absent where nothing tells.
std::optional<PowerDraw> WholePower(const std::vector<Sensor>& sensors, const std::vector<GpuDevice>& gpus);

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_OPS_POWER_H_
