// What the machine draws while something runs.
#ifndef MOTE_EDGE_CLI_TOOLS_POWER_METER_H_
#define MOTE_EDGE_CLI_TOOLS_POWER_METER_H_

#include <memory>
#include <optional>
#include <string>

namespace mote::cli {

class PowerMeter {
 public:
  PowerMeter();
  ~PowerMeter();
  PowerMeter(const PowerMeter&) = delete;
  PowerMeter& operator=(const PowerMeter&) = delete;
  // Looks several times a second from here on, from a thread of its own.
  void Start();
  // The mean since then, in watts. Absent where no sensor tells, or not to this user, or where the time was less than
  // half a second.
  std::optional<double> Stop();
  // Whose figures they are; empty where there were none.
  const std::string& sensors() const { return sensors_; }

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  std::string sensors_;
};

}  // namespace mote::cli

#endif  // MOTE_EDGE_CLI_TOOLS_POWER_METER_H_
