// What the server counts, in Prometheus' terms. All calls from any thread, and cheap.
#ifndef MOTE_EDGE_SERVER_OPS_METRICS_H_
#define MOTE_EDGE_SERVER_OPS_METRICS_H_

#include <stdint.h>

#include <functional>
#include <memory>
#include <string>

namespace mote::server {

// What is read when somebody asks (gauges), given by the part that knows.
struct ServiceGauges {
  uint32_t running = 0;    // requests with a session
  uint32_t waiting = 0;    // in the queue
  double cache_usage = 0;  // of all sessions' keys and values: 0 to 1
  uint64_t request_cache_bytes = 0;
  uint64_t request_cache_entries = 0;
  uint32_t workers = 0;
};
struct FrontGauges {
  uint32_t connections = 0;
  uint32_t streams = 0;
};

// How one request of a model went.
struct RequestRecord {
  std::string model;
  std::string finish;  // "stop", "length", "cancelled", "error"
  std::string error;   // the ApiError's code, or ""
  double queued = 0, images = 0, prefill = 0, first_token = 0, decode = 0, total = 0;  // seconds
  uint32_t prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0, images_read = 0, images_known = 0;
  const char* request_cache = "off";  // "hit", "miss", "joined", "off"
  double saved = 0;                   // seconds of computing that a hit or a join spared
};

class Metrics {
 public:
  Metrics();
  ~Metrics();
  void AddRequest(const RequestRecord& record);
  void AddHttp(const std::string& route, const std::string& method, int status, double seconds);
  void AddInterToken(const std::string& model, double seconds);
  void AddStep(const std::string& model, uint32_t rows);  // of one step of the engine
  void AddRefusal(const std::string& code);               // "queue_full", "rate_limit", "unauthorized", ...
  void SetGauges(std::function<ServiceGauges()> service, std::function<FrontGauges()> front);
  // Prometheus text 0.0.4, with what the machine tells (process, CPU level, temperature, watts) as of now.
  std::string Text() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_OPS_METRICS_H_
