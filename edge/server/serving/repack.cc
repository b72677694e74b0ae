// Precisions of a model that are made while it serves, and given back when they are not needed any more.
#include <algorithm>
#include <chrono>
#include <utility>

#include "edge/server/clock.h"
#include "edge/server/serving/model_service.h"

namespace mote::server {
namespace {

// How often those that were made are looked at.
constexpr std::chrono::milliseconds kLook(200);

// Between two requests that found all busy, at most so many seconds: else it was not for long.
constexpr double kGap = 1;

bool HasWork(const Engine& engine) {
  const EngineState state = engine.state();
  return state.running + state.waiting > 0;
}

}  // namespace

void ModelService::SetRepack(RepackOptions options) {
  // The finest first: it is tried first.
  std::stable_sort(options.precisions.begin(), options.precisions.end(),
                   [](const std::string& a, const std::string& b) { return BitsOf(a) > BitsOf(b); });
  repack_ = std::move(options);
  repack_thread_ = std::thread([this] { RepackLoop(); });
}

// The finest that may be made: coarser than all that is there, and fine enough for who asks. With engines_mutex_ held.
std::string ModelService::NextPrecision(const Group& group, const std::string& floor) const {
  double coarsest = 1e9;
  for (const auto& engine : group.engines) coarsest = std::min(coarsest, BitsOf(engine->options().precision));
  for (const std::string& precision : repack_.precisions) {
    const double bits = BitsOf(precision);
    if (bits < coarsest && (floor.empty() || bits >= BitsOf(floor))) return precision;
  }
  return "";
}

// `pressed`: a request has found all engines that it may use busy.
void ModelService::SawPressure(Group& group, bool pressed, const std::string& floor) {
  if (repack_.make == nullptr) return;
  const double now = Now();
  const std::lock_guard lock(engines_mutex_);
  if (!pressed) return;
  // One that finds room now and then ends no pressure; a while in which none came does.
  if (now > group.last_pressed + std::max(repack_.pressed_seconds, kGap)) group.pressed_since = now;
  group.last_pressed = now;
  if (now < group.pressed_since + repack_.pressed_seconds || now < group.next_try || !group.wanted.empty()) return;
  group.wanted = NextPrecision(group, floor);
  if (!group.wanted.empty()) repack_came_.notify_one();
}

void ModelService::RepackLoop() {
  while (true) {
    Group* group = nullptr;
    std::string precision;
    {
      std::unique_lock lock(engines_mutex_);
      const auto wanting = [&] {
        return std::find_if(groups_.begin(), groups_.end(), [](const Group& g) { return !g.wanted.empty(); });
      };
      const bool watched = !idle_since_.empty() || !giving_.empty();
      const auto ready = [&] { return stop_ || wanting() != groups_.end(); };
      if (watched) {
        repack_came_.wait_for(lock, kLook, ready);
      } else {
        repack_came_.wait(lock, ready);
      }
      if (stop_) return;
      if (const auto found = wanting(); found != groups_.end()) {
        group = &*found;
        precision = found->wanted;
      }
    }
    if (group != nullptr) MakeOne(*group, precision);
    GiveBack(Now());
  }
}

void ModelService::MakeOne(Group& group, const std::string& precision) {
  Result<std::shared_ptr<Engine>> made = repack_.make(group.name, precision, [this] { return !stop_; });
  const double now = Now();
  {
    const std::lock_guard lock(engines_mutex_);
    group.wanted.clear();
    group.last_pressed = 0;
    if (made.ok()) {
      group.engines.push_back(*made);
      group.made.push_back(*made);
      idle_since_[made->get()] = now;
    } else {
      group.next_try = now + repack_.pause_seconds;
    }
  }
  if (repack_.told && !stop_) {
    repack_.told(group.name, precision, made.ok() ? "made" : "failed", made.ok() ? "" : made.error().message);
  }
}

// In two steps: first out of the list, so that nothing new comes; then, once nobody holds it and it has no work, away.
void ModelService::GiveBack(double now) {
  std::vector<Giving> gone;
  {
    const std::lock_guard lock(engines_mutex_);
    for (Group& group : groups_) {
      std::erase_if(group.made, [&](const std::shared_ptr<Engine>& engine) {
        double& since = idle_since_[engine.get()];
        if (HasWork(*engine)) since = now;
        if (now < since + repack_.idle_seconds) return false;
        std::erase(group.engines, engine);
        idle_since_.erase(engine.get());
        giving_.push_back({group.name, engine});
        return true;
      });
    }
    // Whoever holds one has it for the length of a call.
    std::erase_if(giving_, [&](Giving& giving) {
      if (giving.engine.use_count() > 1 || HasWork(*giving.engine)) return false;
      gone.push_back(std::move(giving));
      return true;
    });
  }
  for (Giving& giving : gone) {
    const std::string precision = giving.engine->options().precision;
    giving.engine = nullptr;
    if (repack_.told) repack_.told(giving.name, precision, "given_back", "it had no work");
  }
}

}  // namespace mote::server
