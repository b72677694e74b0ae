// What the server counts, in Prometheus' terms. All calls from any thread, and cheap.
#ifndef MOTE_EDGE_SERVER_OPS_METRICS_H_
#define MOTE_EDGE_SERVER_OPS_METRICS_H_

#include <stdint.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "edge/server/config/settings.h"

namespace mote::server {

// What is read when somebody asks (gauges), given by the part that knows.
struct ServiceGauges {
  uint32_t running = 0;    // requests with a session
  uint32_t waiting = 0;    // in the queue
  double cache_usage = 0;  // of all sessions' keys and values: 0 to 1
  uint64_t request_cache_bytes = 0;
  uint64_t request_cache_entries = 0;
  uint32_t workers = 0;
  double share = 1;  // of threads and steps: see Backoff
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
  uint32_t prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0;
  uint32_t images_read = 0, images_known = 0;  // encoded for this request; known from before
  const char* request_cache = "off";           // "hit", "miss", "joined", "off"
  double saved = 0;                            // seconds of computing that a hit or a join spared
};

struct MetricsOptions {
  // Whose dashboards the names fit: ours (vLLM's suffixes behind "mote:"), vLLM's own, or llama-server's where it has
  // one.
  MetricsCompat names = MetricsCompat::kNone;
  // Label values of model_name, told from the start with zeros; any other model is "other". Empty: the first 32 seen.
  std::vector<std::string> models;
  std::string isa;                 // instruction set that the models run on; "": not told
  std::string version;             // of the program; "": not told
  std::string machine_root = "/";  // holds proc/ and sys/
};

class Metrics {
 public:
  explicit Metrics(MetricsOptions options = {});
  ~Metrics();
  // A request that the request cache answered ("hit", "joined") computed nothing: it counts as a request with its total
  // time and what it saved, and adds no tokens and no other times.
  void AddRequest(const RequestRecord& record);
  // `route` is the route's pattern ("/v1/models/{id}"), never the path that came.
  void AddHttp(const std::string& route, const std::string& method, int status, double seconds);
  void AddInterToken(const std::string& model, double seconds);
  void AddStep(const std::string& model, uint32_t rows);  // of one step of the engine
  void AddRefusal(const std::string& code);               // "queue_full", "rate_limit", "unauthorized", ...
  // An image of another host: "ok", "refused" (where its address leads), "failed", "cancelled".
  void AddFetch(const char* result, uint64_t bytes);
  // A precision that was made while serving: "made", "failed", "given_back".
  void AddRepack(const std::string& precision, const char* result);
  // Called while Text runs, from its thread; empty functions end that.
  void SetGauges(std::function<ServiceGauges()> service, std::function<FrontGauges()> front);
  // Prometheus text 0.0.4, with what the machine tells (process, CPU level, temperature, watts) as of now.
  std::string Text() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_OPS_METRICS_H_
