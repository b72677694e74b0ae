// Is it alive, may it be given work, and does the model still answer as it did?
//
// /livez   the process answers, and the engine moves while it has work
// /ready   loaded, not draining, queue below nine tenths: for load balancers
// /health  the same in llama-server's words, without the queue
// /health/deep  the model answers a canary prompt as it did at the start; disk, memory, GPU
#ifndef MOTE_EDGE_SERVER_OPS_HEALTH_H_
#define MOTE_EDGE_SERVER_OPS_HEALTH_H_

#include <stdint.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "edge/server/http/message.h"
#include "edge/server/ops/machine.h"

namespace mote::server {

struct GpuDevice {
  std::string name;
  uint64_t memory_total = 0, memory_used = 0;  // bytes
  std::optional<double> utilization;           // 0 to 1
  std::optional<double> temperature;           // degrees Celsius
  std::optional<double> power;                 // watts
  std::optional<double> clock;                 // hertz
  std::optional<bool> throttled;               // held back by heat or power
};
struct GpuFacts {
  std::vector<GpuDevice> devices;
  std::string reason;  // why there are none
};

// What the canary said, or why it said nothing.
struct CanaryAnswer {
  bool ok = false;
  std::string text;   // the answer, or the error
  bool busy = false;  // no answer, because others are before it
};

// What health asks the other parts. Called from the health thread or from requests' threads, and must not block; an
// empty function answers as its comment says.
struct HealthSources {
  std::function<bool()> loaded;        // models are loaded; true
  std::function<bool()> draining;      // the server is about to end; false
  std::function<double()> queue_fill;  // of the queue, 0 to 1; 0
  // The engine: whether it has work, and a count that grows with all progress (steps, chunks of prompts, images).
  std::function<bool()> has_work;      // false
  std::function<uint64_t()> progress;  // 0
  // Asks the model one short greedy question, past the request cache, and hands its answer to `done`, once, from any
  // thread. Empty: the deep check leaves the model out.
  std::function<void(std::function<void(CanaryAnswer)> done)> canary;
  std::function<GpuFacts()> gpu;              // no devices, for want of a backend
  std::function<void(MachineFacts*)> memory;  // this machine's
  std::function<double()> now;                // seconds of a clock that never goes back; the steady clock
};

// A folder whose disk must have room; told by its name, for the page is public.
struct WatchedFolder {
  std::string name;  // "logs", "cache"
  std::string path;
};

struct HealthOptions {
  double patience = 10;              // seconds that the engine may have work and not move
  double canary_timeout = 10;        // seconds for an answer
  double canary_age = 5;             // seconds that one serves those who ask
  double tick = 0.25;                // seconds between two looks; 0: no thread, Look is called from outside (tests)
  double most_fill = 0.9;            // of the queue, for /ready
  uint64_t least_disk = 64 << 20;    // bytes
  uint64_t least_memory = 32 << 20;  // bytes
  std::vector<WatchedFolder> folders;
};

class Health {
 public:
  Health(HealthSources sources, HealthOptions options = {});
  // Afterwards no source is called. Those who wait for a deep check are answered.
  ~Health();

  // Any thread. Live takes no lock and calls nothing, so it answers whatever hangs.
  Response Live() const;
  Response Ready() const;
  Response Plain() const;                   // /health
  void Deep(std::shared_ptr<Reply> reply);  // at once, or when the canary has answered or its time is up
  Response Gpu() const;                     // /api/v1/gpu/stats

  // One look at the engine and at the canary's time. By the health thread.
  void Look();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_OPS_HEALTH_H_
