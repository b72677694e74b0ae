// GPUs as the server tells of them: what NVIDIA's management library, opened at run time, says of memory, heat, power
// and load, in its own order (nvidia-smi's). On a Jetson, which has no such library, CUDA and the board's files do.
#ifndef MOTE_EDGE_SERVER_OPS_GPUS_H_
#define MOTE_EDGE_SERVER_OPS_GPUS_H_

#include <memory>
#include <string>

#include "edge/server/ops/health.h"
#include "edge/server/ops/machine.h"

namespace mote::server {

// NVML: temperature, power, load, clock and throttling of each GPU.
class GpuSensors {
 public:
  // `library`: the file to open; a test has one of its own.
  explicit GpuSensors(const std::string& library = "libnvidia-ml.so.1");
  ~GpuSensors();
  GpuSensors(const GpuSensors&) = delete;
  GpuSensors& operator=(const GpuSensors&) = delete;

  // Why there are no figures; empty where there are.
  const std::string& reason() const { return reason_; }
  size_t count() const { return count_; }
  // Fills in what the library tells; what it does not stays absent. Any thread.
  void Read(size_t index, GpuDevice* device) const;

 private:
  struct Library;
  std::unique_ptr<Library> library_;
  std::string reason_;
  size_t count_ = 0;
};

// All of it together. `machine` is asked for a board's load and clock where NVML has nothing. With no NVML and more
// than one GPU there are no figures, but a reason.
GpuFacts ReadGpus(const GpuSensors& sensors, const Machine& machine);

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_OPS_GPUS_H_
