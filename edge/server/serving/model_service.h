// The service: models by name, the precision that answers, the request cache, and requests that share one answer.
#ifndef MOTE_EDGE_SERVER_SERVING_MODEL_SERVICE_H_
#define MOTE_EDGE_SERVER_SERVING_MODEL_SERVICE_H_

#include <stdint.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "edge/server/ops/metrics.h"
#include "edge/server/serving/engine.h"
#include "edge/server/serving/precision.h"
#include "edge/server/serving/request_cache.h"
#include "edge/server/serving/task.h"

namespace mote::server {

struct ServiceOptions {
  uint64_t cache_bytes = 0;  // of answers
  double cache_ttl = 3600;
  CacheStrategy cache_strategy = CacheStrategy::kAdaptive;
  bool adaptive = false;  // choose among the precisions of a model
  std::string precision;  // otherwise this one answers; "": the first one
  double request_timeout = 300;
};

// Precisions that are made while serving.
struct RepackOptions {
  std::vector<std::string> precisions;  // that may be made, of those coarser than what is loaded; any order
  double idle_seconds = 600;            // without work, one is given back
  double pressed_seconds = 2;           // all that is loaded must have been busy so long before another one is made
  double pause_seconds = 60;            // after one could not be made
  // Takes long; on a thread of the service's own.
  std::function<Result<std::shared_ptr<Engine>>(const std::string& name, const std::string& precision,
                                                const std::function<bool()>& go_on)>
      make;
  // What has become of one: "made", "failed", "given_back". May be empty.
  std::function<void(const std::string& name, const std::string& precision, const char* result, const std::string& why)>
      told;
};

class ModelService : public Service {
 public:
  ModelService(ServiceOptions options, Metrics* metrics);
  ~ModelService() override;

  // Whether every model has the precision that is to answer. After the last Add.
  Result<void> Check() const;
  // The first model is the default. Engines of one name are precisions of one model. Before the first request.
  void Add(std::shared_ptr<Engine> engine, int64_t created);
  // Other precisions may be made from now on. Before the first request; with ServiceOptions::adaptive.
  void SetRepack(RepackOptions options);

  std::shared_ptr<Ticket> Submit(Task task, std::shared_ptr<Receiver> receiver) override;
  std::vector<ServedModel> Models() const override;
  Result<std::vector<Token>> Tokenize(const std::string& model, std::string_view text, bool special,
                                      bool parse_special) override;
  Result<std::string> Detokenize(const std::string& model, const std::vector<Token>& tokens) override;
  Result<std::string> ApplyTemplate(const std::string& model, const Task& task) override;
  Result<Embedding> Embed(const std::string& model, const std::string& text, const std::vector<Token>& tokens) override;
  std::vector<SlotState> Slots() const override;

  ServiceGauges Gauges() const;
  // Grows with all that is computed.
  uint64_t progress() const;
  // Of all queues, the share that is filled: 0 to 1.
  double queue_filled() const;
  bool idle() const;

 private:
  using Engines = std::vector<std::shared_ptr<Engine>>;
  struct Group {
    std::string name;
    int64_t created = 0;
    Engines engines;  // finest precision first; those that were made, last. Under engines_mutex_
    Engines made;     // of these, the ones that may be given back
    double pressed_since = 0;
    double last_pressed = 0;
    double next_try = 0;  // of making one
    std::string wanted;   // a precision to make, or ""
  };
  struct Giving {  // an engine that is out of the list, until nobody holds it any more
    std::string name;
    std::shared_ptr<Engine> engine;
  };

  Group* Find(const std::string& model, ApiError* refusal);
  size_t SetPrecision(const Group& group) const;
  std::shared_ptr<Engine> Choose(Group& group, const Task& task, ApiError* refusal);
  Result<std::shared_ptr<Engine>> Of(const std::string& model);
  Engines EnginesOf(const Group& group) const;
  Engines AllEngines() const;
  // serving/repack.cc
  void SawPressure(Group& group, bool pressed, const std::string& floor);
  std::string NextPrecision(const Group& group, const std::string& floor) const;
  void RepackLoop();
  void MakeOne(Group& group, const std::string& precision);
  void GiveBack(double now);
  std::shared_ptr<Ticket> JoinOrAnswer(const std::string& key, const Task& task, const Engine& engine,
                                       const std::shared_ptr<Receiver>& receiver);

  const ServiceOptions options_;
  Metrics* const metrics_;
  RequestCache cache_;
  std::vector<Group> groups_;         // as many from the first request on
  mutable std::mutex engines_mutex_;  // of the engines of all groups, and of what follows
  std::condition_variable repack_came_;
  RepackOptions repack_;
  std::vector<Giving> giving_;
  std::unordered_map<const Engine*, double> idle_since_;  // of those that were made
  std::atomic<bool> stop_ = false;
  std::thread repack_thread_;
  std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<Flight>> flights_;  // by cache key, of requests that can be shared
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_SERVING_MODEL_SERVICE_H_
