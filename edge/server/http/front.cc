#include "edge/server/http/front.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "edge/server/http/core.h"

namespace mote::server {

Front::Front(FrontOptions options) : core_(std::make_unique<Core>(std::move(options))) {}

Front::~Front() {
  if (started_ && thread_.joinable()) {
    core_->mailbox->Post([core = core_.get()] { core->Stop(); });
    thread_.join();
  }
}

Result<void> Front::Route(const std::string& method, const std::string& pattern, Handler handler,
                          RouteOptions route_options) {
  const bool special = route_options.direct || route_options.large_body || route_options.long_work;
  if (special && pattern.find(':') != std::string::npos) {
    return Error{MOTE_INVALID_ARGUMENT,
                 "route \"" + pattern + "\": direct, large_body and long_work need a pattern without parts"};
  }
  if (auto added = core_->router.Add(method, pattern, std::move(handler)); !added.ok()) return added.error();
  if (special) {
    core_->route_options[method + " " + pattern] = route_options;
    if (method == "GET") core_->route_options["HEAD " + pattern] = route_options;
  }
  return {};
}

void Front::SetScreen(Screen screen) {
  core_->screen = std::move(screen);
}

void Front::SetObserver(Observer observer) {
  core_->observer = std::move(observer);
}

Result<void> Front::Start() {
  if (started_) return Error{MOTE_INVALID_ARGUMENT, "the front has been started already"};
  if (auto prepared = core_->Prepare(); !prepared.ok()) return prepared.error();
  core_->router.Seal();
  core_->StartWorkers();
  started_ = true;
  thread_ = std::thread([core = core_.get()] {
    pthread_setname_np(pthread_self(), "mote-front");
    core->Run();
  });
  return {};
}

const std::vector<std::string>& Front::addresses() const {
  return core_->addresses;
}

std::shared_ptr<void> Front::Every(double seconds, std::function<void()> call) {
  auto periodic = std::make_shared<Periodic>();
  Core* const core = core_.get();
  periodic->core = core;
  periodic->interval = std::max(seconds, Wheel::kTick);
  periodic->call = std::move(call);
  const std::shared_ptr<Mailbox> mailbox = core->mailbox;
  mailbox->Post([core, periodic] { core->AddPeriodic(periodic); });
  // The handle may outlive the front: the mailbox keeps what nobody takes out any more.
  return std::shared_ptr<void>(periodic.get(), [core, periodic, mailbox](void*) {
    periodic->cancelled = true;
    mailbox->Post([core, periodic] { core->RemovePeriodic(periodic); });
  });
}

Result<void> Front::ReloadTls() {
  if (core_->options.tls.certificate.empty()) return {};
  auto loaded = TlsContext::Load(core_->options.tls);
  if (!loaded.ok()) return loaded.error();
  const std::lock_guard<std::mutex> lock(core_->tls_mutex);
  core_->tls = std::move(*loaded);
  return {};
}

void Front::BeginDrain() {
  core_->Drain(false);
}

void Front::DrainNow() {
  core_->Drain(true);
}

bool Front::draining() const {
  return core_->draining;
}

void Front::Wait() {
  if (thread_.joinable()) thread_.join();
}

uint32_t Front::connections() const {
  return core_->connections;
}

uint32_t Front::streams() const {
  return core_->streams;
}

}  // namespace mote::server
