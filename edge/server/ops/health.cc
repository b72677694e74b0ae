#include "edge/server/ops/health.h"

#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <utility>

#include "edge/server/clock.h"

namespace mote::server {
namespace {

using Json = nlohmann::ordered_json;

Response Answer(int status, const Json& body) {
  Response response;
  response.status = status;
  response.headers = {{"Cache-Control", "no-store"}};
  response.body = body.dump(-1, ' ', false, Json::error_handler_t::replace);
  return response;
}

// As llama-server says it.
Response Unavailable(const char* message) {
  return Answer(503, {{"error", {{"code", 503}, {"message", message}, {"type", "unavailable_error"}}}});
}

void BlockSignals() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

void FillIn(HealthSources* sources) {
  if (!sources->loaded) sources->loaded = [] { return true; };
  if (!sources->draining) sources->draining = [] { return false; };
  if (!sources->queue_fill) sources->queue_fill = [] { return 0.0; };
  if (!sources->has_work) sources->has_work = [] { return false; };
  if (!sources->progress) sources->progress = [] { return uint64_t{0}; };
  if (!sources->gpu) sources->gpu = [] { return GpuFacts{{}, "this build of mote has no GPU backend"}; };
  if (!sources->memory) {
    sources->memory = [machine = std::make_shared<Machine>()](MachineFacts* facts) { machine->ReadMemory(facts); };
  }
  if (!sources->now) sources->now = Now;
}

Json GpuJson(const GpuFacts& facts) {
  Json devices = Json::array();
  for (const GpuDevice& device : facts.devices) {
    Json one = {
        {"name", device.name}, {"memory_total_bytes", device.memory_total}, {"memory_used_bytes", device.memory_used}};
    if (device.utilization) one["utilization"] = *device.utilization;
    if (device.temperature) one["temperature_celsius"] = *device.temperature;
    if (device.power) one["power_watts"] = *device.power;
    if (device.clock) one["clock_hertz"] = *device.clock;
    if (device.throttled) one["throttled"] = *device.throttled;
    devices.push_back(std::move(one));
  }
  Json body = {{"devices", std::move(devices)}};
  if (facts.devices.empty()) body["reason"] = facts.reason;
  return body;
}

}  // namespace

struct Health::State {
  State(HealthSources given, HealthOptions chosen) : sources(std::move(given)), options(std::move(chosen)) {
    FillIn(&sources);
    last_move = last_look = sources.now();
  }

  double StuckSeconds() const;
  void AskCanary(const std::shared_ptr<State>& self);
  void TakeAnswer(const CanaryAnswer& answer);
  void AnswerWaiting();
  Json ModelJson(bool* good);  // with `mutex` held
  Response DeepResponse();

  HealthSources sources;
  const HealthOptions options;

  // The engine, for Live: written by the health thread alone.
  std::atomic<double> last_move = 0;  // when it last moved, or had nothing to do
  std::atomic<double> last_look = 0;
  uint64_t progress = 0;

  std::mutex mutex;  // all below
  std::condition_variable wake;
  bool ending = false;
  bool asked = false;  // a question is on its way
  double asked_at = 0;
  double answered_at = 0;
  std::optional<CanaryAnswer> answer;
  std::optional<std::string> expected;
  double answer_seconds = 0;
  std::vector<std::shared_ptr<Reply>> waiting;

  std::thread thread;
};

// Also when the look itself hangs on the engine.
double Health::State::StuckSeconds() const {
  const double now = sources.now();
  const double since_look = options.tick > 0 ? now - last_look : 0;
  return std::max(last_look - last_move, since_look > options.patience ? since_look : 0.0);
}

void Health::State::AskCanary(const std::shared_ptr<State>& self) {
  {
    const std::lock_guard lock(mutex);
    if (asked || ending) return;
    asked = true;
    asked_at = sources.now();
  }
  // The engine may hold on to the callback for longer than this object is there.
  sources.canary([weak = std::weak_ptr<State>(self)](const CanaryAnswer& given) {
    if (const auto state = weak.lock()) {
      state->TakeAnswer(given);
      state->AnswerWaiting();
    }
  });
}

void Health::State::TakeAnswer(const CanaryAnswer& given) {
  const double now = sources.now();
  const std::lock_guard lock(mutex);
  if (!asked) return;
  asked = false;
  answered_at = now;
  answer_seconds = now - asked_at;
  answer = given;
  if (given.ok && !expected) expected = given.text;
}

void Health::State::AnswerWaiting() {
  std::vector<std::shared_ptr<Reply>> replies;
  {
    const std::lock_guard lock(mutex);
    replies.swap(waiting);
  }
  if (replies.empty()) return;
  const Response response = DeepResponse();
  for (const auto& reply : replies) reply->Send(response);
}

Json Health::State::ModelJson(bool* good) {
  const double silent = asked ? sources.now() - asked_at : 0;
  if (silent >= options.canary_timeout) {
    *good = false;
    return {{"status", "failing"}, {"reason", "no answer to the canary prompt"}, {"seconds", silent}};
  }
  if (!answer) {
    *good = false;
    return {{"status", "failing"}, {"reason", "not asked yet"}};
  }
  // A queue that is full says nothing against the model; whether the engine moves is looked at elsewhere.
  if (answer->busy) {
    *good = true;
    return {{"status", "busy"}, {"reason", answer->text}};
  }
  const bool same = answer->ok && answer->text == expected;
  *good = same;
  Json json = {{"status", same ? "ok" : "failing"}, {"seconds", answer_seconds}};
  if (!answer->ok) json["reason"] = answer->text;
  if (answer->ok && !same) json["reason"] = "the canary's answer is not the one of the start";
  return json;
}

Response Health::State::DeepResponse() {
  bool good = true;
  const auto check = [&](bool passed) {
    good = good && passed;
    return passed ? "ok" : "failing";
  };
  Json checks;
  if (sources.canary) {
    bool model = false;
    {
      const std::lock_guard lock(mutex);
      checks["model"] = ModelJson(&model);
    }
    good = good && model;
  }
  const double stuck = StuckSeconds();
  checks["engine"] = {{"status", check(stuck < options.patience)}, {"seconds_without_progress", stuck}};
  Json disks = Json::array();
  for (const WatchedFolder& folder : options.folders) {
    const auto free = FreeDiskBytes(folder.path);
    Json disk = {{"name", folder.name}, {"status", check(free.value_or(0) >= options.least_disk)}};
    disk["free_bytes"] = free ? Json(*free) : Json();
    disks.push_back(std::move(disk));
  }
  checks["disk"] = std::move(disks);
  MachineFacts facts;
  sources.memory(&facts);
  if (facts.memory_available) {
    checks["memory"] = {{"status", check(*facts.memory_available >= options.least_memory)},
                        {"available_bytes", *facts.memory_available}};
  } else {
    checks["memory"] = {{"status", "unknown"}};
  }
  const GpuFacts gpu = sources.gpu();
  checks["gpu"] = GpuJson(gpu);
  checks["gpu"]["status"] = gpu.devices.empty() ? "absent" : "ok";
  return Answer(good ? 200 : 503, {{"status", good ? "ok" : "failing"}, {"checks", std::move(checks)}});
}

Health::Health(HealthSources sources, HealthOptions options)
    : state_(std::make_shared<State>(std::move(sources), std::move(options))) {
  if (state_->options.tick <= 0) return;
  state_->thread = std::thread([this] {
    BlockSignals();
    State& state = *state_;
    std::unique_lock lock(state.mutex);
    while (!state.ending) {
      lock.unlock();
      Look();
      lock.lock();
      state.wake.wait_for(lock, std::chrono::duration<double>(state.options.tick), [&] { return state.ending; });
    }
  });
}

Health::~Health() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->ending = true;
    state_->wake.notify_all();
  }
  if (state_->thread.joinable()) state_->thread.join();
  state_->AnswerWaiting();
}

void Health::Look() {
  State& state = *state_;
  const double now = state.sources.now();
  const uint64_t progress = state.sources.progress();
  if (!state.sources.has_work() || progress != state.progress) state.last_move = now;
  state.progress = progress;
  state.last_look = now;

  if (!state.sources.canary || !state.sources.loaded()) return;
  bool first = false, late = false;
  {
    const std::lock_guard lock(state.mutex);
    first = !state.expected && !state.asked && (!state.answer || now - state.answered_at >= state.options.canary_age);
    late = state.asked && now - state.asked_at >= state.options.canary_timeout;
  }
  if (first) state.AskCanary(state_);
  if (late) state.AnswerWaiting();
}

Response Health::Live() const {
  const double stuck = state_->StuckSeconds();
  if (stuck < state_->options.patience) return Answer(200, {{"status", "ok"}});
  return Answer(503, {{"status", "failing"}, {"reason", "the engine has work and does not move"}, {"seconds", stuck}});
}

Response Health::Ready() const {
  const HealthSources& sources = state_->sources;
  const char* reason = nullptr;
  const double fill = sources.queue_fill();
  if (!sources.loaded()) {
    reason = "loading";
  } else if (sources.draining()) {
    reason = "draining";
  } else if (fill >= state_->options.most_fill) {
    reason = "queue";
  }
  if (reason == nullptr) return Answer(200, {{"status", "ready"}});
  return Answer(503, {{"status", "unavailable"}, {"reason", reason}, {"queue_fill", fill}});
}

Response Health::Plain() const {
  if (!state_->sources.loaded()) return Unavailable("Loading model");
  if (state_->sources.draining()) return Unavailable("Draining");
  return Answer(200, {{"status", "ok"}});
}

void Health::Deep(std::shared_ptr<Reply> reply) {
  State& state = *state_;
  if (!state.sources.loaded()) return reply->Send(Unavailable("Loading model"));
  bool known = !state.sources.canary;
  if (!known) {
    const double now = state.sources.now();
    const std::lock_guard lock(state.mutex);
    const bool silent = state.asked && now - state.asked_at >= state.options.canary_timeout;
    const bool fresh = !state.asked && state.answer && now - state.answered_at < state.options.canary_age;
    known = state.ending || silent || fresh;
    if (!known) state.waiting.push_back(reply);
  }
  if (known) return reply->Send(state.DeepResponse());
  state.AskCanary(state_);
}

Response Health::Gpu() const {
  return Answer(200, GpuJson(state_->sources.gpu()));
}

}  // namespace mote::server
