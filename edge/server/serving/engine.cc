#include "edge/server/serving/engine.h"

#include <algorithm>
#include <utility>

#include "edge/server/clock.h"
#include "edge/server/serving/engine_run.h"
#include "edge/server/serving/status.h"

namespace mote::server {
namespace {

// Prompts that are made ready beyond those that have a session: so that a session that comes free is not left waiting.
constexpr uint32_t kAhead = 2;
ApiError QueueTimeout(double seconds) {
  return {503,
          "overloaded_error",
          "queue_timeout",
          "",
          "the request waited " + std::to_string(static_cast<int>(seconds)) +
              " s for its turn, which is too long; try again later",
          5};
}

// How often a waiting request's deadline is looked at.
constexpr std::chrono::milliseconds kTick(50);

}  // namespace

Engine::Engine(Model model, EngineOptions options, Metrics* metrics, std::shared_ptr<const void> backing)
    : backing_(std::move(backing)),
      model_(std::move(model)),
      options_(std::move(options)),
      metrics_(metrics),
      slots_(options_.slots) {
  PublishState();
  threads_[0] = std::thread([this] { StepLoop(); });
  threads_[1] = std::thread([this] { PrepareLoop(false); });
  threads_[2] = std::thread([this] { PrepareLoop(true); });
}

Engine::~Engine() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    for (const auto& work : preparing_) {
      if (work != nullptr) work->given_up = true;
    }
  }
  work_came_.notify_all();
  ready_came_.notify_all();
  threads_[1].join();
  threads_[2].join();
  threads_[0].join();
}

bool Engine::Submit(std::shared_ptr<Work> work, ApiError* refusal) {
  const bool images = !work->task.images.empty();
  {
    const std::lock_guard lock(mutex_);
    if (stop_) {
      *refusal = ShuttingDown();
      return false;
    }
    const uint32_t waiting = Waiting();
    // One that a session is free for does not wait.
    const bool all = Unplaced() >= FreeSessions() + options_.queue_length;
    // One tenant may fill half of the queue: the rest stays open to others.
    const bool own =
        !work->task.tenant.empty() && queue_[images].size(work->task.tenant) >= std::max(1u, options_.queue_length / 2);
    if (all || own) {
      const double rate = DrainRate();
      const double wait = rate > 0 ? static_cast<double>(waiting) / rate : 1;
      *refusal = {all ? 503 : 429,
                  all ? "overloaded_error" : "rate_limit_error",
                  "queue_full",
                  "",
                  std::to_string(waiting) + " requests are waiting, which is as many as " +
                      (all ? "the queue holds" : "one key may have") + "; try again later",
                  std::clamp(wait, 1.0, 60.0)};
      return false;
    }
    double cost = static_cast<double>(work->task.text.size()) / 4 + static_cast<double>(work->task.tokens.size());
    for (const ChatMessage& message : work->task.messages) cost += static_cast<double>(message.content.size()) / 4;
    cost += 256.0 * static_cast<double>(work->task.images.size());
    cost += work->task.choices * static_cast<double>(work->task.max_tokens > 0 ? work->task.max_tokens : 256);
    const std::string tenant = work->task.tenant;
    queue_[images].Push(tenant, cost, std::move(work));
  }
  work_came_.notify_all();
  return true;
}

void Engine::Wake() {
  {
    const std::lock_guard lock(mutex_);
    wake_ = true;
    const std::shared_ptr<Work>& reading = preparing_[1];
    if (reading != nullptr && reading->given_up && image_guard_.handle() != nullptr) image_guard_.Cancel();
    for (const auto& [work, session] : computing_) {
      if (work->given_up) mote_session_cancel(session);
    }
  }
  ready_came_.notify_one();
}

double Engine::DrainRate() const {
  const uint32_t count = std::min<uint32_t>(ended_, std::size(ended_at_));
  if (count < 2) return 0;
  const double oldest = ended_at_[(ended_ - count) % std::size(ended_at_)];
  const double age = Now() - oldest;
  return age > 0 ? count / age : 0;
}

// Those in the queue, and those taken from it ahead of time.
size_t Engine::Unplaced() const {
  return queue_[0].size() + queue_[1].size() + works_ - placed_;
}

size_t Engine::FreeSessions() const {
  const size_t slots = static_cast<size_t>(options_.slots);
  return slots - std::min(computing_.size(), slots);
}

uint32_t Engine::Waiting() const {
  const size_t unplaced = Unplaced();
  return static_cast<uint32_t>(unplaced - std::min(unplaced, FreeSessions()));
}

bool Engine::HasWaited(const Work& work, double now) const {
  return now > work.arrived + options_.queue_timeout;
}

EngineState Engine::state() const {
  const std::lock_guard lock(mutex_);
  EngineState state;
  state.waiting = Waiting();
  state.running = static_cast<uint32_t>(Unplaced()) + placed_ - state.waiting;
  uint64_t held = 0;
  uint64_t room = 0;
  for (const SlotState& slot : slot_states_) {
    held += slot.tokens;
    room += slot.context;
  }
  state.cache_usage = room > 0 ? static_cast<double>(held) / static_cast<double>(room) : 0;
  state.drain_rate = DrainRate();
  state.progress = progress_.load(std::memory_order_relaxed);
  return state;
}

std::vector<SlotState> Engine::slots() const {
  const std::lock_guard lock(mutex_);
  return slot_states_;
}

void Engine::PublishState() {
  std::vector<SlotState> states;
  const uint32_t context = options_.context != 0 ? options_.context : model_.info().context;
  for (const Slot& slot : slots_.all()) {
    states.push_back(
        {slot.id, slot.busy, slot.busy ? slot.tenant : "", static_cast<uint32_t>(slot.held.size()), context});
  }
  const std::lock_guard lock(mutex_);
  slot_states_ = std::move(states);
}

void Engine::StepLoop() {
  while (true) {
    {
      std::unique_lock lock(mutex_);
      const auto something = [&] { return stop_ || wake_ || !ready_.empty() || !runs_.empty(); };
      while (!something()) {
        if (queue_[0].size() + queue_[1].size() + wanting_.size() > 0) {
          if (ready_came_.wait_for(lock, kTick) == std::cv_status::timeout) break;
        } else {
          ready_came_.wait(lock);
        }
      }
      if (wake_ || stop_) next_look_ = 0;
      wake_ = false;
      for (; !ready_.empty(); ready_.pop_front()) {
        for (int choice = 0; choice < ready_.front()->task.choices; ++choice) {
          wanting_.push_back(std::make_unique<Run>(this, ready_.front(), choice));
        }
      }
      if (stop_ && runs_.empty()) break;
    }
    Expire(Now());
    StartReady();
    if (!runs_.empty()) Step();
    Sweep();
  }
  RefuseAll();
}

void Engine::Step() {
  mote_step_params params = {};
  params.struct_size = sizeof(params);
  const bool streams =
      std::any_of(runs_.begin(), runs_.end(), [](const auto& run) { return run->prefilled && !run->over; });
  params.max_prefill = streams ? options_.prefill_budget : 0;
  if (options_.backoff != nullptr) BackOff(&params);
  mote_step_report report = {};
  report.struct_size = sizeof(report);
  mote_error error = {};
  const mote_status status = mote_model_step(model_.handle(), &params, &report, &error);
  if (status != MOTE_OK) {
    // The engine itself is at fault, not one request: end them all, rather than to try for ever.
    for (const auto& run : runs_) {
      Fail(*run->work, {500, "server_error", "engine_failed", "", error.message});
      mote_session_cancel(run->slot->session.handle());
    }
  }
  if (metrics_ != nullptr) metrics_->AddStep(options_.name, report.decode_rows + report.prefill_rows);
  progress_.fetch_add(1, std::memory_order_relaxed);
}

// Fewer threads, images' included, and shorter steps. Decoding alone is left as it is: a row of it cannot be cut.
void Engine::BackOff(mote_step_params* params) {
  const double share = options_.backoff->share();
  if (share != share_) {
    share_ = share;
    const uint32_t threads = static_cast<uint32_t>(model_.info().threads);
    const int32_t some = share < 1 ? static_cast<int32_t>(options_.backoff->Of(threads)) : 0;
    (void)model_.LimitThreads(some);  // refused by no model that can step
  }
  if (share == 1) return;
  const uint32_t most = params->max_prefill > 0 ? params->max_prefill : options_.batch;
  if (most > 0) params->max_prefill = options_.backoff->Of(most);
}

// Takes what has ended out of the list, and tells whose last choice it was.
void Engine::Sweep() {
  bool changed = false;
  for (auto& run : runs_) {
    if (!run->over) continue;
    {
      const std::lock_guard lock(mutex_);
      const mote_session* session = run->slot->session.handle();
      std::erase_if(computing_, [&](const auto& one) { return one.second == session; });
    }
    slots_.Free(*run->slot);
    const std::shared_ptr<Work> work = run->work;
    run.reset();
    changed = true;
    EndChoice(work);
  }
  if (!changed) return;
  std::erase(runs_, nullptr);
  PublishState();
}

void Engine::EndChoice(const std::shared_ptr<Work>& work) {
  {
    const std::lock_guard lock(mutex_);
    --admitted_;
  }
  work_came_.notify_all();
  if (--work->unfinished == 0) Finish(*work);
}

void Engine::Fail(Work& work, ApiError error) {
  if (!work.error) work.error = std::move(error);
}

// Ends what waits in the queue for too long, and what nobody waits for any more.
void Engine::ExpireQueued(double now) {
  std::vector<std::shared_ptr<Work>> dropped;
  {
    const std::lock_guard lock(mutex_);
    for (auto& queue : queue_) {
      queue.Extract(
          [&](const std::shared_ptr<Work>& work) {
            return work->given_up || now > work->deadline || HasWaited(*work, now);
          },
          [&](std::shared_ptr<Work> work) { dropped.push_back(std::move(work)); });
    }
  }
  for (const auto& work : dropped) {
    if (!work->given_up) Fail(*work, QueueTimeout(now - work->arrived));
    Finish(*work);
  }
}

// The same for all that has been taken on. The queue, which may be long, is looked at once a tick, or when somebody has
// given up, and not with each step.
void Engine::Expire(double now) {
  if (now >= next_look_) {
    ExpireQueued(now);
    next_look_ = now + std::chrono::duration<double>(kTick).count();
  }
  bool stopping = false;
  {
    const std::lock_guard lock(mutex_);
    stopping = stop_;
  }
  const auto doomed = [&](Work& work) {
    if (stopping) Fail(work, ShuttingDown());
    if (now > work.deadline) {
      Fail(work, {504, "server_error", "deadline_exceeded", "", "the answer was not complete in the time allowed"});
    }
    return work.given_up || work.error.has_value();
  };
  const bool full = !slots_.any_free();
  std::erase_if(wanting_, [&](std::unique_ptr<Run>& run) {
    const std::shared_ptr<Work> work = run->work;
    // What was prepared ahead waits as those in the queue do.
    if (full && work->placed == 0 && HasWaited(*work, now)) Fail(*work, QueueTimeout(now - work->arrived));
    if (!doomed(*work)) return false;
    run.reset();
    EndChoice(work);
    return true;
  });
  for (const auto& run : runs_) {
    if (!run->over && doomed(*run->work)) mote_session_cancel(run->slot->session.handle());
  }
}

void Engine::RefuseAll() {
  next_look_ = 0;
  Expire(Now());
  std::vector<std::shared_ptr<Work>> left;
  {
    const std::lock_guard lock(mutex_);
    for (auto& queue : queue_) {
      while (std::optional<std::shared_ptr<Work>> work = queue.Pop()) left.push_back(std::move(*work));
    }
    for (auto& work : ready_) left.push_back(std::move(work));
    ready_.clear();
  }
  for (const auto& work : left) {
    Fail(*work, ShuttingDown());
    Finish(*work);
  }
}

uint32_t Engine::AdmissionLimit() const {
  return static_cast<uint32_t>(options_.slots) + kAhead;
}

}  // namespace mote::server
