#include "edge/server/ops/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <utility>

#include "edge/server/clock.h"
#include "edge/server/ops/metric_families.h"

namespace mote::server {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Histogram;
using Buckets = Histogram::BucketBoundaries;

// Label values from outside are kept to a handful: each new one is a time series that is kept for ever.
constexpr size_t kMostModels = 32;
constexpr size_t kMostRoutes = 128;
constexpr size_t kMostCodes = 64;
constexpr size_t kMostNameBytes = 128;

// vLLM's buckets, so that its dashboards' queries work, with finer ones below them: a model of a board answers within
// vLLM's first bucket.
const Buckets kFirstTokenBuckets = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75,
                                    1,     2.5,   5,    7.5,  10,   20,   40,   80,  160,  640, 2560};
const Buckets kInterTokenBuckets = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3,
                                    0.4,    0.5,   0.75,   1,     2.5,  5,     7.5,  10,    20,  40,   80};
const Buckets kRequestBuckets = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1,   1.5,  2,   2.5,
                                 5,     10,     15,    20,   30,    40,   50,  60,  120, 240, 480, 960, 1920, 7680};
const Buckets kTokenBuckets = {1,    2,    5,    10,    20,    50,    100,    200,   500,
                               1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000};
const Buckets kStepBuckets = {1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384};
const Buckets kHttpBuckets = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300};

// vLLM's words for how a request ended.
constexpr std::array<std::pair<const char*, const char*>, 4> kFinishes = {
    {{"stop", "stop"}, {"length", "length"}, {"cancelled", "abort"}, {"error", "error"}}};

void Raise(std::atomic<double>* value, double by) {
  for (double old = value->load(); !value->compare_exchange_weak(old, old + by);) {
  }
}

// Values of one label: those seen first, up to a limit, and "other".
class Names {
 public:
  explicit Names(size_t most) : most_(most) {}
  const std::string& Known(const std::string& name) {
    {
      const std::shared_lock lock(mutex_);
      if (const auto found = names_.find(name); found != names_.end()) return found->first;
    }
    const std::lock_guard lock(mutex_);
    if (name.empty() || name.size() > kMostNameBytes || names_.size() >= most_) return other_;
    return names_.emplace(name, 0).first->first;
  }

 private:
  const size_t most_;
  const std::string other_ = "other";
  std::shared_mutex mutex_;
  std::map<std::string, int> names_;
};

// The series of one model.
struct ModelSeries {
  Counter* prompt_tokens;
  Counter* prompt_tokens_cached;
  Counter* generation_tokens;
  Counter* prefix_queries;
  Counter* prefix_hits;
  Counter* image_queries;
  Counter* image_hits;
  Counter* cache_hits;
  Counter* cache_misses;
  Counter* cache_joined;
  Counter* cache_saved;
  std::array<Counter*, kFinishes.size()> finished;
  Histogram* first_token;
  Histogram* inter_token;
  Histogram* total;
  Histogram* queued;
  Histogram* images;
  Histogram* prefill;
  Histogram* decode;
  Histogram* inference;
  Histogram* request_prompt;
  Histogram* request_generation;
  Histogram* step_rows;
};

struct Totals {
  std::atomic<double> prompt_tokens = 0, prompt_seconds = 0, tokens = 0, token_seconds = 0, steps = 0, most_tokens = 0;
};

}  // namespace

struct Metrics::State {
  explicit State(MetricsOptions given) : options(std::move(given)), machine(options.machine_root) {
    for (const std::string& model : options.models) Of(model);
    closed = !options.models.empty();
  }

  Counter& AddCounter(const char* name, const char* help, const prometheus::Labels& labels) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add(labels);
  }
  Histogram& AddHistogram(const char* name, const char* help, const prometheus::Labels& labels,
                          const Buckets& buckets) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add(labels, buckets);
  }
  ModelSeries Build(const std::string& model);
  // The model's series, or those of "other".
  const ModelSeries& Of(const std::string& model);
  void AddComputed(const RequestRecord& record, const ModelSeries& series);

  const MetricsOptions options;
  prometheus::Registry registry;
  Machine machine;
  Names routes{kMostRoutes}, codes{kMostCodes}, errors{kMostCodes};
  Totals totals;

  std::shared_mutex mutex;  // models, closed, the functions
  std::map<std::string, ModelSeries> models;
  bool closed = false;  // models are those of the options
  std::function<ServiceGauges()> service;
  std::function<FrontGauges()> front;
};

ModelSeries Metrics::State::Build(const std::string& model) {
  const prometheus::Labels labels = {{"model_name", model}};
  const auto counter = [&](const char* name, const char* help) { return &AddCounter(name, help, labels); };
  const auto histogram = [&](const char* name, const char* help, const Buckets& buckets) {
    return &AddHistogram(name, help, labels, buckets);
  };
  ModelSeries series;
  series.prompt_tokens = counter("mote:prompt_tokens_total", "Prompt tokens, with those known from before");
  series.prompt_tokens_cached = counter("mote:prompt_tokens_cached_total", "Prompt tokens known from before");
  series.generation_tokens = counter("mote:generation_tokens_total", "Tokens generated");
  series.prefix_queries = counter("mote:prefix_cache_queries_total", "Prompt tokens looked for in sessions");
  series.prefix_hits = counter("mote:prefix_cache_hits_total", "Prompt tokens found in sessions");
  series.image_queries = counter("mote:mm_cache_queries_total", "Images looked for among those encoded");
  series.image_hits = counter("mote:mm_cache_hits_total", "Images found among those encoded");
  series.cache_hits = counter("mote:request_cache_hits_total", "Requests answered from the request cache");
  series.cache_misses = counter("mote:request_cache_misses_total", "Requests that the request cache did not know");
  series.cache_joined = counter("mote:request_cache_joined_total", "Requests that shared another one's computing");
  series.cache_saved = counter("mote:request_cache_saved_seconds_total", "Computing that the request cache spared");
  for (size_t i = 0; i < kFinishes.size(); ++i) {
    series.finished[i] = &AddCounter("mote:request_success_total", "Requests that ended, by why",
                                     {{"model_name", model}, {"finished_reason", kFinishes[i].second}});
  }
  series.first_token = histogram("mote:time_to_first_token_seconds", "From arrival to first token", kFirstTokenBuckets);
  series.inter_token = histogram("mote:inter_token_latency_seconds", "Between two tokens", kInterTokenBuckets);
  series.total = histogram("mote:e2e_request_latency_seconds", "From arrival to the end", kRequestBuckets);
  series.queued = histogram("mote:request_queue_time_seconds", "In the queue", kRequestBuckets);
  series.images = histogram("mote:request_image_time_seconds", "Decoding and encoding images", kRequestBuckets);
  series.prefill = histogram("mote:request_prefill_time_seconds", "Computing the prompt", kRequestBuckets);
  series.decode = histogram("mote:request_decode_time_seconds", "Generating", kRequestBuckets);
  series.inference = histogram("mote:request_inference_time_seconds", "Prompt and generating", kRequestBuckets);
  series.request_prompt = histogram("mote:request_prompt_tokens", "Prompt tokens of a request", kTokenBuckets);
  series.request_generation =
      histogram("mote:request_generation_tokens", "Tokens generated for a request", kTokenBuckets);
  series.step_rows =
      histogram("mote:iteration_tokens_total", "Tokens computed in one step of the engine", kStepBuckets);
  return series;
}

const ModelSeries& Metrics::State::Of(const std::string& model) {
  {
    const std::shared_lock lock(mutex);
    if (const auto found = models.find(model); found != models.end()) return found->second;
  }
  const std::lock_guard lock(mutex);
  const bool fits = !closed && models.size() < kMostModels && !model.empty() && model.size() <= kMostNameBytes;
  const std::string name = fits ? model : "other";
  const auto [found, is_new] = models.try_emplace(name);
  if (is_new) found->second = Build(name);
  return found->second;
}

void Metrics::State::AddComputed(const RequestRecord& record, const ModelSeries& series) {
  const uint32_t cached = std::min(record.cached_tokens, record.prompt_tokens);
  series.prompt_tokens->Increment(record.prompt_tokens);
  series.prompt_tokens_cached->Increment(cached);
  series.prefix_queries->Increment(record.prompt_tokens);
  series.prefix_hits->Increment(cached);
  series.generation_tokens->Increment(record.completion_tokens);
  series.image_queries->Increment(static_cast<double>(record.images_read) + record.images_known);
  series.image_hits->Increment(record.images_known);
  series.queued->Observe(record.queued);
  if (record.images_read + record.images_known > 0) series.images->Observe(record.images);
  Raise(&totals.prompt_tokens, record.prompt_tokens - cached);
  Raise(&totals.prompt_seconds, record.prefill);
  Raise(&totals.tokens, record.completion_tokens);
  Raise(&totals.token_seconds, record.decode);
  // What was cancelled or failed before its first token has no such time.
  if (record.first_token <= 0) return;
  series.first_token->Observe(record.first_token);
  series.prefill->Observe(record.prefill);
  series.decode->Observe(record.decode);
  series.inference->Observe(record.prefill + record.decode);
  series.request_prompt->Observe(record.prompt_tokens);
  series.request_generation->Observe(record.completion_tokens);
  const double tokens = static_cast<double>(record.prompt_tokens) + record.completion_tokens;
  for (double most = totals.most_tokens; most < tokens && !totals.most_tokens.compare_exchange_weak(most, tokens);) {
  }
}

Metrics::Metrics(MetricsOptions options) : state_(std::make_unique<State>(std::move(options))) {}
Metrics::~Metrics() = default;

void Metrics::AddRequest(const RequestRecord& record) {
  const ModelSeries& series = state_->Of(record.model);
  for (size_t i = 0; i < kFinishes.size(); ++i) {
    if (record.finish == kFinishes[i].first) series.finished[i]->Increment();
  }
  if (!record.error.empty()) {
    state_
        ->AddCounter("mote:request_errors_total", "Requests that failed, by the error's code",
                     {{"code", state_->errors.Known(record.error)}})
        .Increment();
  }
  const std::string cache = record.request_cache;
  if (cache == "hit") series.cache_hits->Increment();
  if (cache == "miss") series.cache_misses->Increment();
  if (cache == "joined") series.cache_joined->Increment();
  series.cache_saved->Increment(record.saved);
  if (record.finish != "error") series.total->Observe(record.total);
  if (cache != "hit" && cache != "joined") state_->AddComputed(record, series);
}

void Metrics::AddHttp(const std::string& route, const std::string& method, int status, double seconds) {
  static const char* const kMethods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
  const std::string& handler = state_->routes.Known(route);
  const bool known = std::find(std::begin(kMethods), std::end(kMethods), method) != std::end(kMethods);
  const std::string verb = known ? method : "other";
  const std::string code = status >= 100 && status <= 599 ? std::to_string(status) : "other";
  state_->AddCounter("http_requests_total", "HTTP requests", {{"handler", handler}, {"method", verb}, {"status", code}})
      .Increment();
  state_
      ->AddHistogram("http_request_duration_seconds", "From the whole request to the end of the answer",
                     {{"handler", handler}, {"method", verb}}, kHttpBuckets)
      .Observe(seconds);
}

void Metrics::AddInterToken(const std::string& model, double seconds) {
  state_->Of(model).inter_token->Observe(seconds);
}

void Metrics::AddStep(const std::string& model, uint32_t rows) {
  state_->Of(model).step_rows->Observe(rows);
  Raise(&state_->totals.steps, 1);
}

void Metrics::AddRefusal(const std::string& code) {
  state_
      ->AddCounter("mote:request_refusals_total", "Requests refused before any work, by the error's code",
                   {{"code", state_->codes.Known(code)}})
      .Increment();
}

void Metrics::AddFetch(const char* result, uint64_t bytes) {
  state_->AddCounter("mote:image_fetches_total", "Images of other hosts, by how it went", {{"result", result}})
      .Increment();
  state_->AddCounter("mote:image_fetch_bytes_total", "Bytes of images that were fetched", {})
      .Increment(static_cast<double>(bytes));
}

void Metrics::AddRepack(const std::string& precision, const char* result) {
  state_
      ->AddCounter("mote:repacks_total", "Precisions made while serving, and given back",
                   {{"precision", precision}, {"result", result}})
      .Increment();
}

void Metrics::SetGauges(std::function<ServiceGauges()> service, std::function<FrontGauges()> front) {
  const std::lock_guard lock(state_->mutex);
  state_->service = std::move(service);
  state_->front = std::move(front);
}

std::string Metrics::Text() const {
  std::function<ServiceGauges()> service;
  std::function<FrontGauges()> front;
  {
    const std::shared_lock lock(state_->mutex);
    service = state_->service;
    front = state_->front;
  }
  Families families = state_->registry.Collect();
  const std::vector<std::string>& models = state_->options.models;
  if (service) AddServiceFamilies(service(), models.size() == 1 ? models.front() : "", &families);
  if (front) AddFrontFamilies(front(), &families);
  AddMachineFamilies(state_->machine.Read(Now()), &families);
  AddBuildFamilies(state_->options, &families);
  const Totals& totals = state_->totals;
  RenameFamilies(state_->options.names,
                 {totals.prompt_tokens, totals.prompt_seconds, totals.tokens, totals.token_seconds, totals.steps,
                  totals.most_tokens},
                 &families);
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace mote::server
