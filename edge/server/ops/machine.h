// What the operating system tells of this process and this machine, read when somebody asks.
//
// What a machine does not tell, or not to this user, is absent rather than zero: an energy counter that only root may
// read has no value, and a chart with a hole is more honest than one that lies flat.
#ifndef MOTE_EDGE_SERVER_OPS_MACHINE_H_
#define MOTE_EDGE_SERVER_OPS_MACHINE_H_

#include <stdint.h>

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace mote::server {

struct Sensor {
  std::string id;    // unique among its kind: "thermal_zone0", "intel-rapl:0", "hwmon3/1"
  std::string name;  // what the driver calls it: "x86_pkg_temp", "package-0", "VDD_IN"
  double value = 0;  // degrees Celsius, or watts
};

struct ClockSensor {
  std::string id;  // "cpu0", "17000000.gpu"
  double hertz = 0;
};

struct ProcessFacts {
  std::optional<uint64_t> resident_bytes;
  std::optional<uint64_t> virtual_bytes;
  std::optional<double> cpu_seconds;  // user and system, of all threads
  std::optional<double> start_time;   // Unix seconds
  std::optional<uint32_t> threads;
  std::optional<uint32_t> open_files;
  std::optional<uint64_t> max_files;  // the soft limit; absent where there is none
};

struct MachineFacts {
  ProcessFacts process;
  std::optional<uint64_t> memory_total;      // bytes, of the machine or of the control group, whichever is less
  std::optional<uint64_t> memory_available;  // bytes that can be had without swapping, held to the control group
  std::vector<Sensor> temperatures;          // degrees Celsius
  std::vector<Sensor> power;                 // watts
  std::vector<ClockSensor> clocks;           // of CPUs and of what scales its own (a Jetson's GPU)
  // Brakes that are on: cooling devices above their first state, but for fans. Each by its driver's name.
  std::vector<std::string> throttling;
};

class Machine {
 public:
  // `root` holds proc/ and sys/: "/" but for tests.
  explicit Machine(std::string root = "/");
  // Any thread. `now`: seconds of a clock that never goes back. Energy counters (RAPL) become watts between two calls
  // at least half a second apart, so the first call has none; closer calls repeat the last figure.
  MachineFacts Read(double now);
  // Bytes, as in MachineFacts, without the sensors.
  void ReadMemory(MachineFacts* facts) const;
  // MachineFacts::throttling alone: a few short files.
  std::vector<std::string> ReadBrakes() const;
  // A Jetson's GPU, which is a device of the board: load, 0 to 1, and clock in hertz. Untouched where there is none.
  void ReadBoardGpu(std::optional<double>* load, std::optional<double>* clock) const;

 private:
  struct Meter {
    double joules = 0;  // as the counter stood
    double time = 0;
    std::optional<double> watts;
  };
  void ReadTemperatures(MachineFacts* facts) const;
  void ReadEnergyCounters(double now, MachineFacts* facts);
  void ReadPowerSensors(MachineFacts* facts) const;
  void ReadClocks(MachineFacts* facts) const;

  const std::string root_;
  std::mutex mutex_;
  std::map<std::string, Meter> meters_;  // by id
};

// Bytes that an unprivileged user may still write where `path` lies; absent if the path cannot be asked.
std::optional<uint64_t> FreeDiskBytes(const std::string& path);

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_OPS_MACHINE_H_
