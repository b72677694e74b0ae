// The service: models by name, the precision that answers, the request cache, and requests that share one answer.
#ifndef MOTE_EDGE_SERVER_SERVING_MODEL_SERVICE_H_
#define MOTE_EDGE_SERVER_SERVING_MODEL_SERVICE_H_

#include <stdint.h>

#include <memory>
#include <mutex>
#include <string>
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

class ModelService : public Service {
 public:
  ModelService(ServiceOptions options, Metrics* metrics);
  ~ModelService() override;

  // Whether every model has the precision that is to answer. After the last Add.
  Result<void> Check() const;
  // The first model is the default. Engines of one name are precisions of one model. Before the first request.
  void Add(std::unique_ptr<Engine> engine, int64_t created);

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
  struct Group {
    std::string name;
    int64_t created = 0;
    std::vector<std::unique_ptr<Engine>> engines;  // finest precision first
  };

  Group* Find(const std::string& model, ApiError* refusal);
  size_t SetPrecision(const Group& group) const;
  Engine* Choose(Group& group, const Task& task, ApiError* refusal);
  Result<Engine*> Of(const std::string& model);
  std::shared_ptr<Ticket> JoinOrAnswer(const std::string& key, const Task& task, const Engine& engine,
                                       const std::shared_ptr<Receiver>& receiver);

  const ServiceOptions options_;
  Metrics* const metrics_;
  RequestCache cache_;
  std::vector<Group> groups_;
  std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<Flight>> flights_;  // by cache key, of requests that can be shared
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_SERVING_MODEL_SERVICE_H_
