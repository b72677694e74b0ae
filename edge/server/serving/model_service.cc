#include "edge/server/serving/model_service.h"

#include <algorithm>
#include <utility>

#include "edge/server/clock.h"

namespace mote::server {
namespace {

// A precision is busy when, for each of its sessions, one request more waits than runs.
constexpr double kBusy = 1.5;

// A ticket of a request that is answered already.
struct Answered : Ticket {
  void Cancel() override {}
};

// One who has joined another's request: tells on, and in the end writes down what was spared.
class JoinedReceiver : public Receiver {
 public:
  using Told = std::function<void(const RequestRecord& record)>;
  JoinedReceiver(std::shared_ptr<Receiver> receiver, Told told)
      : receiver_(std::move(receiver)), told_(std::move(told)) {}
  void OnAccepted(std::string_view model, std::string_view cache) override {
    model_ = model;
    receiver_->OnAccepted(model, cache);
  }
  void OnStage(Stage stage, double fraction) override { receiver_->OnStage(stage, fraction); }
  void OnText(int choice, std::string_view text, std::span<const TokenDetail> tokens) override {
    receiver_->OnText(choice, text, tokens);
  }
  void OnFinished(int choice, Finish reason) override {
    length_ = reason == Finish::kLength;
    receiver_->OnFinished(choice, reason);
  }
  void OnDone(const Summary& summary) override {
    RequestRecord record;
    record.model = model_;
    record.finish = length_ ? "length" : "stop";
    record.request_cache = "joined";
    record.total = Now() - began_;
    record.saved = summary.timings.prefill + summary.timings.decode;
    record.prompt_tokens = record.cached_tokens = summary.usage.prompt_tokens;
    record.completion_tokens = summary.usage.completion_tokens;
    told_(record);
    receiver_->OnDone(summary);
  }
  void OnFailed(const ApiError& error) override { receiver_->OnFailed(error); }

 private:
  const std::shared_ptr<Receiver> receiver_;
  const Told told_;
  const double began_ = Now();
  std::string model_;
  bool length_ = false;
};

}  // namespace

ModelService::ModelService(ServiceOptions options, Metrics* metrics)
    : options_(options), metrics_(metrics), cache_(options.cache_bytes, options.cache_ttl, options.cache_strategy) {}

ModelService::~ModelService() {
  {
    const std::lock_guard lock(engines_mutex_);
    stop_ = true;
  }
  repack_came_.notify_all();
  if (repack_thread_.joinable()) repack_thread_.join();
  giving_.clear();
  groups_.clear();  // ends what runs, which looks at the flights
}

void ModelService::Add(std::shared_ptr<Engine> engine, int64_t created) {
  const std::string& name = engine->options().name;
  auto group = std::find_if(groups_.begin(), groups_.end(), [&](const Group& g) { return g.name == name; });
  if (group == groups_.end()) {
    Group fresh;
    fresh.name = name;
    fresh.created = created;
    groups_.push_back(std::move(fresh));
    group = groups_.end() - 1;
  }
  group->engines.push_back(std::move(engine));
  if (!options_.adaptive) return;
  std::stable_sort(group->engines.begin(), group->engines.end(), [](const auto& a, const auto& b) {
    return BitsOf(a->options().precision) > BitsOf(b->options().precision);
  });
}

ModelService::Group* ModelService::Find(const std::string& model, ApiError* refusal) {
  if (model.empty() && !groups_.empty()) return &groups_[0];
  std::string names;
  for (Group& group : groups_) {
    if (group.name == model) return &group;
    names += (names.empty() ? "\"" : ", \"") + group.name + "\"";
  }
  *refusal = {404, "invalid_request_error", "model_not_found", "model",
              "there is no model \"" + model + "\" here; there is " + names};
  return nullptr;
}

// Which engine answers where nothing is chosen by request; past the end: none has the precision.
size_t ModelService::SetPrecision(const Group& group) const {
  if (options_.precision.empty()) return 0;
  const auto it = std::find_if(group.engines.begin(), group.engines.end(), [&](const auto& engine) {
    return SamePrecision(engine->options().precision, options_.precision);
  });
  return static_cast<size_t>(it - group.engines.begin());
}

Result<void> ModelService::Check() const {
  for (const Group& group : groups_) {
    if (SetPrecision(group) < group.engines.size()) continue;
    std::string have;
    for (const auto& engine : group.engines) have += (have.empty() ? "" : ", ") + engine->options().precision;
    return Error{MOTE_INVALID_ARGUMENT,
                 "quantization_mode is " + options_.precision + ", and \"" + group.name + "\" is there in " + have};
  }
  return {};
}

ModelService::Engines ModelService::EnginesOf(const Group& group) const {
  const std::lock_guard lock(engines_mutex_);
  return group.engines;
}

ModelService::Engines ModelService::AllEngines() const {
  Engines all;
  const std::lock_guard lock(engines_mutex_);
  for (const Group& group : groups_) all.insert(all.end(), group.engines.begin(), group.engines.end());
  return all;
}

std::shared_ptr<Engine> ModelService::Choose(Group& group, const Task& task, ApiError* refusal) {
  if (!task.quality.empty() && BitsOf(task.quality) == 0) {
    *refusal = {400, "invalid_request_error", "invalid_value", "quality",
                "\"" + task.quality + "\" is no precision; try \"q8_0\" or \"f16\""};
    return nullptr;
  }
  // Not adaptive: the one that is set, or the first, if the request takes it.
  Engines candidates = EnginesOf(group);
  if (!options_.adaptive) candidates = {candidates[SetPrecision(group)]};
  std::vector<PrecisionState> states;
  for (const auto& engine : candidates) {
    const EngineState state = engine->state();
    PrecisionState of;
    of.precision = engine->options().precision;
    of.load = static_cast<double>(state.waiting + state.running) / std::max(1, engine->options().slots);
    of.wait = state.drain_rate > 0 ? state.waiting / state.drain_rate : 0;
    of.speed = 1 / std::max(1.0, BitsOf(of.precision));  // reading weights is what takes the time
    states.push_back(of);
  }
  const int chosen = ChoosePrecision(states, task.quality, task.deadline, kBusy);
  if (chosen >= 0) {
    SawPressure(group, states[static_cast<size_t>(chosen)].load >= kBusy, task.quality);
    return candidates[static_cast<size_t>(chosen)];
  }
  std::string have;
  for (const PrecisionState& state : states) have += (have.empty() ? "" : ", ") + state.precision;
  *refusal = {400, "invalid_request_error", "quality_not_available", "quality",
              "\"" + group.name + "\" is served in " + have + ", which is below \"" + task.quality + "\""};
  return nullptr;
}

std::shared_ptr<Ticket> ModelService::JoinOrAnswer(const std::string& key, const Task& task, const Engine& engine,
                                                   const std::shared_ptr<Receiver>& receiver) {
  const double begin = Now();
  const auto told = [metrics = metrics_, ended = task.ended](const RequestRecord& record) {
    if (metrics != nullptr) metrics->AddRequest(record);
    if (ended) ended(OutcomeOf(record));
  };
  if (const std::shared_ptr<const Record> record = cache_.Find(key, begin)) {
    RequestRecord hit;
    hit.model = engine.options().name;
    hit.finish = "stop";
    hit.request_cache = "hit";
    hit.saved = record->summary.timings.total;
    hit.total = Now() - begin;
    hit.prompt_tokens = hit.cached_tokens = record->summary.usage.prompt_tokens;
    hit.completion_tokens = record->summary.usage.completion_tokens;
    told(hit);
    Replay(*record, engine.options().name, *receiver);
    return std::make_shared<Answered>();
  }
  std::shared_ptr<Flight> flight;
  {
    const std::lock_guard lock(mutex_);
    const auto it = flights_.find(key);
    if (it != flights_.end()) flight = it->second;
  }
  if (flight == nullptr) return nullptr;
  return flight->Join(std::make_shared<JoinedReceiver>(receiver, told), engine.options().name, "joined");
}

std::shared_ptr<Ticket> ModelService::Submit(Task task, std::shared_ptr<Receiver> receiver) {
  ApiError refusal;
  Group* group = Find(task.model, &refusal);
  const std::shared_ptr<Engine> engine = group != nullptr ? Choose(*group, task, &refusal) : nullptr;
  if (engine == nullptr) {
    receiver->OnFailed(refusal);
    return std::make_shared<Answered>();
  }
  receiver->OnPrecision(engine->options().precision);
  const bool shared = IsCertain(task) && options_.cache_bytes > 0;
  std::string key;
  if (shared) {
    key = CacheKey(task, engine->options().name + "\n" + engine->options().path + "\n" + engine->options().precision);
    if (std::shared_ptr<Ticket> ticket = JoinOrAnswer(key, task, *engine, receiver)) return ticket;
  }
  auto work = std::make_shared<Work>();
  work->arrived = Now();
  const double limit = options_.request_timeout;
  work->deadline = work->arrived + (task.deadline > 0 ? std::min(task.deadline, limit) : limit);
  work->cacheable = shared;
  work->flight = std::make_shared<Flight>(shared);
  // Weak: an engine that has been given back has no work that could be unwanted.
  work->flight->OnUnwanted([weak = std::weak_ptr<Work>(work), holder = std::weak_ptr<Engine>(engine)] {
    if (const std::shared_ptr<Work> unwanted = weak.lock()) {
      unwanted->given_up = true;
      if (const std::shared_ptr<Engine> at_work = holder.lock()) at_work->Wake();
    }
  });
  work->task = std::move(task);
  std::shared_ptr<Ticket> ticket = work->flight->Join(receiver, engine->options().name, shared ? "miss" : "off");
  work->flight->TellStage(Stage::kQueued, 0);
  if (shared) {
    const std::lock_guard lock(mutex_);
    flights_.emplace(key, work->flight);
    work->ended = [this, key, flight = work->flight.get()](const std::shared_ptr<const Record>& record) {
      if (record != nullptr) cache_.Insert(key, record, Now());
      const std::lock_guard relock(mutex_);
      const auto it = flights_.find(key);
      if (it != flights_.end() && it->second.get() == flight) flights_.erase(it);
    };
  }
  if (!engine->Submit(work, &refusal)) {
    if (work->ended) work->ended(nullptr);
    if (metrics_ != nullptr) metrics_->AddRefusal(refusal.code);
    TellRefused(work->task, engine->options().name, refusal);
    work->flight->TellFailed(refusal);
  }
  return ticket;
}

std::vector<ServedModel> ModelService::Models() const {
  std::vector<ServedModel> models;
  for (const Group& group : groups_) {
    ServedModel model;
    model.name = group.name;
    model.created = group.created;
    const Engines engines = EnginesOf(group);
    model.path = engines[0]->options().path;
    model.info = engines[0]->model().info();
    model.vision = engines[0]->model().vision_info().has_value();
    for (const auto& engine : engines) model.precisions.push_back(engine->options().precision);
    models.push_back(std::move(model));
  }
  return models;
}

Result<std::shared_ptr<Engine>> ModelService::Of(const std::string& model) {
  ApiError refusal;
  Group* group = Find(model, &refusal);
  if (group == nullptr) return Error{MOTE_NOT_FOUND, refusal.message};
  return EnginesOf(*group)[0];
}

Result<std::vector<Token>> ModelService::Tokenize(const std::string& model, std::string_view text, bool special,
                                                  bool parse_special) {
  const Result<std::shared_ptr<Engine>> found = Of(model);
  if (!found.ok()) return found.error();
  const uint32_t flags = (special ? MOTE_ADD_SPECIAL : 0) | (parse_special ? MOTE_PARSE_SPECIAL : 0);
  return (*found)->model().Tokenize(text, flags);
}

Result<std::string> ModelService::Detokenize(const std::string& model, const std::vector<Token>& tokens) {
  const Result<std::shared_ptr<Engine>> found = Of(model);
  if (!found.ok()) return found.error();
  return (*found)->model().Detokenize(tokens, MOTE_SHOW_SPECIAL);
}

Result<Embedding> ModelService::Embed(const std::string& model, const std::string& text,
                                      const std::vector<Token>& tokens) {
  const Result<std::shared_ptr<Engine>> found = Of(model);
  if (!found.ok()) return found.error();
  return (*found)->Embed(text, tokens);
}

Result<std::string> ModelService::ApplyTemplate(const std::string& model, const Task& task) {
  const Result<std::shared_ptr<Engine>> found = Of(model);
  if (!found.ok()) return found.error();
  ChatOptions chat;
  chat.tools_json = task.tools_json;
  chat.extra_json = task.template_json;
  return (*found)->model().RenderChat(task.messages, chat);
}

std::vector<SlotState> ModelService::Slots() const {
  std::vector<SlotState> slots;
  for (const auto& engine : AllEngines()) {
    for (SlotState slot : engine->slots()) {
      slot.id = static_cast<int>(slots.size());
      slots.push_back(std::move(slot));
    }
  }
  return slots;
}

ServiceGauges ModelService::Gauges() const {
  ServiceGauges gauges;
  const Engines engines = AllEngines();
  for (const auto& engine : engines) {
    const EngineState state = engine->state();
    gauges.running += state.running;
    gauges.waiting += state.waiting;
    gauges.cache_usage += state.cache_usage;
  }
  if (!engines.empty()) gauges.cache_usage /= static_cast<double>(engines.size());
  gauges.request_cache_bytes = cache_.bytes();
  gauges.request_cache_entries = cache_.entries();
  return gauges;
}

uint64_t ModelService::progress() const {
  uint64_t progress = 0;
  for (const auto& engine : AllEngines()) progress += engine->state().progress;
  return progress;
}

double ModelService::queue_filled() const {
  double filled = 0;
  for (const auto& engine : AllEngines()) {
    filled = std::max(
        filled, static_cast<double>(engine->state().waiting) / std::max<uint32_t>(1, engine->options().queue_length));
  }
  return filled;
}

bool ModelService::idle() const {
  const ServiceGauges gauges = Gauges();
  return gauges.running + gauges.waiting == 0;
}

}  // namespace mote::server
