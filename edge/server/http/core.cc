#include "edge/server/http/core.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "edge/server/http/wire.h"

namespace mote::server {
namespace {

constexpr int kEventsAtOnce = 256;
// Descriptors for files and libraries, beside the connections'.
constexpr uint64_t kSpareDescriptors = 64;

// The mailbox's eventfd. Only wakes the loop, which looks into the mailbox each time it goes round.
struct Wakeup : Pollable {
  explicit Wakeup(Mailbox* given) : mailbox(given) {}
  void OnEvents(uint32_t) override { mailbox->Hear(); }
  void OnFailure() override {}
  Mailbox* const mailbox;
};

// As many connections as the process may have descriptors, if that is fewer.
uint32_t ConnectionsAllowed(uint32_t wanted) {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return wanted;
  const uint64_t needed = wanted + 2 * kSpareDescriptors;
  if (limit.rlim_cur < needed) {
    limit.rlim_cur = std::min<rlim_t>(needed, limit.rlim_max);
    setrlimit(RLIMIT_NOFILE, &limit);
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return wanted;
  }
  const uint64_t left = limit.rlim_cur > 2 * kSpareDescriptors ? limit.rlim_cur - kSpareDescriptors : kSpareDescriptors;
  return static_cast<uint32_t>(std::min<uint64_t>(wanted, left));
}

}  // namespace

double SteadyNow() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

void Periodic::Fire(double now) {
  if (cancelled) return;
  core->wheel().Set(this, now + interval);
  (void)Contained(call);
}

void Core::Step::Fire(double) {
  (void)Contained([this] { core->Advance(static_cast<Phase>(static_cast<int>(core->phase_) + 1)); });
}

Core::Core(FrontOptions given) : options(std::move(given)), now_(SteadyNow()) {
  wheel_ = std::make_unique<Wheel>(now_);
  step_.core = this;
  body_limit = [this](const ReadRequest& head) {
    return OptionsOf(head).large_body ? options.large_body_bytes : options.body_bytes;
  };
}

const RouteOptions& Core::OptionsOf(const ReadRequest& read) const {
  static constexpr RouteOptions kNone;
  const auto found = route_options.find(read.request.method + " " + read.target);
  return found != route_options.end() ? found->second : kNone;
}

Core::~Core() {
  // Handlers that still run first; what they say goes nowhere.
  workers_.reset();
  direct_.reset();
  for (const auto& periodic : periodics_) wheel_->Cancel(periodic.get());
  all_.clear();
  graveyard_.clear();
  listeners_.clear();
  if (epoll_ >= 0) close(epoll_);
}

Result<void> Core::Prepare() {
  auto proxies = TrustedProxies::Parse(options.proxies);
  if (!proxies.ok()) return proxies.error();
  proxies_ = std::move(*proxies);
  if (!options.tls.certificate.empty()) {
    auto loaded = TlsContext::Load(options.tls);
    if (!loaded.ok()) return loaded.error();
    tls = std::move(*loaded);
  }
  options.connections = ConnectionsAllowed(options.connections);
  uint64_t seed = 0;
  if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed)) seed = static_cast<uint64_t>(now_ * 1e9);
  char prefix[32];
  snprintf(prefix, sizeof(prefix), "req-%010llx", static_cast<unsigned long long>(seed & 0xffffffffff));
  id_prefix_ = prefix;
  scratch_ = std::make_unique<char[]>(kScratch);
  wakeup_ = std::make_unique<Wakeup>(mailbox.get());
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0 || mailbox->fd() < 0 || !Watch(wakeup_.get(), mailbox->fd(), EPOLLIN)) {
    return Error{MOTE_IO, std::string("the server's event loop: ") + strerror(errno)};
  }
  for (const std::string& text : options.listen) {
    auto listener = Listener::Open(this, text, options.backlog, options.socket_mode, tls != nullptr);
    if (!listener.ok()) return listener.error();
    if (!(*listener)->Begin()) return Error{MOTE_IO, "listen address \"" + text + "\": " + strerror(errno)};
    addresses.push_back((*listener)->address());
    listeners_.push_back(std::move(*listener));
  }
  return {};
}

void Core::StartWorkers() {
  workers_ =
      std::make_unique<Workers>("mote-request", options.workers, options.most_workers, options.worker_idle_seconds);
  direct_ = std::make_unique<Workers>("mote-direct", 1, 1, options.worker_idle_seconds);
}

std::string Core::NewRequestId() {
  char id[48];
  snprintf(id, sizeof(id), "%s%08x", id_prefix_.c_str(), next_id_.fetch_add(1));
  return id;
}

bool Core::Watch(Pollable* pollable, int fd, uint32_t events) {
  epoll_event event = {};
  event.events = events;
  event.data.ptr = pollable;
  return epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0;
}

void Core::Change(Pollable* pollable, int fd, uint32_t events) {
  epoll_event event = {};
  event.events = events;
  event.data.ptr = pollable;
  epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event);
}

void Core::Run() {
  epoll_event events[kEventsAtOnce];
  while (!stopping_) {
    const double wait = wheel_->Wait(SteadyNow());
    const int count = epoll_wait(epoll_, events, kEventsAtOnce, static_cast<int>(wait * 1000) + 1);
    now_ = SteadyNow();
    for (int i = 0; i < count; ++i) {
      auto* const pollable = static_cast<Pollable*>(events[i].data.ptr);
      if (!Contained([&] { pollable->OnEvents(events[i].events); })) pollable->OnFailure();
    }
    TakeMail();
    wheel_->Advance(now_);
    graveyard_.clear();
    if (phase_ >= Phase::kDraining && all_.empty()) stopping_ = true;
  }
  listeners_.clear();
  for (Connection* connection : AllConnections()) connection->Cut();
  graveyard_.clear();
  mailbox->Shut();
}

void Core::TakeMail() {
  mailbox->Take(&mail_, &calls_);
  for (const auto& exchange : mail_) {
    Connection* const connection = exchange->connection;
    if (connection != nullptr && !Contained([&] { connection->OnReply(); })) connection->Cut();
  }
  for (const auto& call : calls_) (void)Contained(call);
  mail_.clear();
  calls_.clear();
}

void Core::RefuseConnection(int fd, bool encrypted) const {
  if (!encrypted) {
    const std::string answer =
        WireAnswer(ErrorResponse(503, "too_many_connections", "too many connections are open", 1), AnswerShape());
    // The socket's buffer is empty: it fits, or the client has gone.
    (void)!send(fd, answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    shutdown(fd, SHUT_WR);
  }
  close(fd);
}

void Core::Accepted(int fd, const sockaddr_storage& storage, bool encrypted) {
  Peer peer;
  peer.address = FormatHost(storage);
  peer.local = IsLoopback(storage);
  const bool exempt = (peer.local && !options.limit_local) || proxies_.Contains(peer.address);
  std::string key = exempt ? std::string() : PeerKey(storage);
  std::shared_ptr<TlsContext> context;
  if (encrypted) {
    const std::lock_guard<std::mutex> lock(tls_mutex);
    context = tls;
  }
  const auto counted = key.empty() ? per_peer_.end() : per_peer_.find(key);
  if (connections >= options.connections ||
      (counted != per_peer_.end() && counted->second >= options.connections_per_peer)) {
    return RefuseConnection(fd, encrypted);
  }
  std::unique_ptr<TlsSession> session = encrypted ? context->Accept(fd) : nullptr;
  if (encrypted && session == nullptr) return RefuseConnection(fd, true);
  auto connection = std::make_unique<Connection>(this, fd, std::move(peer), key, std::move(session));
  if (!connection->Begin()) return;
  if (!key.empty()) ++per_peer_[key];
  ++connections;
  Connection* const raw = connection.get();
  all_.emplace(raw, std::move(connection));
}

void Core::Remove(Connection* connection) {
  const auto found = all_.find(connection);
  if (found == all_.end()) return;
  if (const auto counted = per_peer_.find(connection->key()); counted != per_peer_.end() && --counted->second == 0) {
    per_peer_.erase(counted);
  }
  --connections;
  // Events of this round may still name it.
  graveyard_.push_back(std::move(found->second));
  all_.erase(found);
}

void Core::Become(Peer* peer, const Request& request) const {
  if (proxies_.empty() || !proxies_.Contains(peer->address)) return;
  std::string forwarded;
  for (const auto& [name, value] : request.headers) {
    if (name == "x-forwarded-for") forwarded.append(forwarded.empty() ? "" : ",").append(value);
  }
  const std::string client = proxies_.ClientOf(forwarded);
  if (client.empty()) return;
  peer->address = client;
  peer->local = false;
}

void Core::Dispatch(Connection* connection, ReadRequest read, std::unique_ptr<BodyLease> lease) {
  auto job = std::make_shared<Job>();
  Become(&read.request.peer, read.request);
  job->direct = OptionsOf(read).direct;
  job->request = std::move(read.request);
  job->target = std::move(read.target);
  job->exchange = connection->exchange()->shared_from_this();
  job->exchange->peer = job->request.peer.address;
  job->lease = std::move(lease);
  Workers* const workers = job->direct ? direct_.get() : workers_.get();
  const std::shared_ptr<Exchange> exchange = job->exchange;
  const bool taken = workers->Add([this, job = std::move(job)] { Serve(job.get()); });
  if (!taken) exchange->Send(ErrorResponse(503, "overloaded", "no thread can be started for this request", 1));
}

void Core::Serve(Job* job) const {
  // Who has left while the request waited costs nothing more.
  if (job->exchange->gone()) return;
  const std::shared_ptr<Reply> reply = std::make_shared<ReplyHandle>(job->exchange);
  try {
    if (!job->direct && screen && !screen(job->request, *reply)) return;
    const auto named = [job](const std::string& route) { job->exchange->SetRoute(route); };
    const Router::Outcome outcome = router.Dispatch(&job->request, job->target, reply, named);
    if (outcome.status == 0) return;
    if (outcome.status == 500) return job->exchange->Abandon();
    job->exchange->SetRoute(outcome.route);
    const std::string what = job->request.method + " " + job->request.path.substr(0, 200);
    Response response = outcome.status == 204 ? Response{204, "", {}, ""}
                        : outcome.status == 405
                            ? ErrorResponse(405, "method_not_allowed", what + ": this path knows " + outcome.allow)
                            : ErrorResponse(outcome.status, "not_found", what + ": there is nothing here");
    if (!outcome.allow.empty()) response.headers.emplace_back("Allow", outcome.allow);
    reply->Send(std::move(response));
  } catch (...) {
    job->exchange->Abandon();
  }
}

void Core::Observe(const Exchange& exchange, bool gone) {
  if (!observer) return;
  Served served;
  served.route = exchange.route();
  served.method = exchange.facts().method;
  served.id = exchange.facts().id;
  served.peer = exchange.peer;
  served.status = gone ? 499 : exchange.status();
  served.seconds = now_ - exchange.began;
  served.bytes_in = exchange.bytes_in;
  served.bytes_out = exchange.bytes_out;
  (void)Contained([&] { observer(served); });
}

void Core::ObserveRefusal(const std::string& id, const std::string& method, const Peer& peer, int status) {
  if (!observer) return;
  Served served;
  served.method = method;
  served.id = id;
  served.peer = peer.address;
  served.status = status;
  (void)Contained([&] { observer(served); });
}

void Core::AddPeriodic(std::shared_ptr<Periodic> periodic) {
  if (periodic->cancelled) return;
  wheel_->Set(periodic.get(), now_ + periodic->interval);
  periodics_.insert(std::move(periodic));
}

void Core::RemovePeriodic(const std::shared_ptr<Periodic>& periodic) {
  wheel_->Cancel(periodic.get());
  periodics_.erase(periodic);
}

std::vector<Connection*> Core::AllConnections() const {
  std::vector<Connection*> connections_now;
  connections_now.reserve(all_.size());
  for (const auto& [connection, owner] : all_) connections_now.push_back(connection);
  return connections_now;
}

void Core::Drain(bool at_once) {
  draining = true;
  mailbox->closing = true;
  mailbox->Post([this, at_once] {
    if (at_once) {
      Advance(std::max(phase_, Phase::kFarewell));
    } else if (phase_ == Phase::kServing) {
      Advance(Phase::kLameDuck);
    }
  });
}

void Core::Advance(Phase phase) {
  const bool farewell_over = phase_ == Phase::kFarewell && phase > Phase::kFarewell;
  if (farewell_over) {
    stopping_ = true;
    return;
  }
  if (phase == phase_) return;
  phase_ = phase;
  for (Connection* connection : AllConnections()) connection->Retire(phase >= Phase::kDraining);
  double seconds = options.lame_duck_seconds;
  if (phase >= Phase::kDraining) {
    for (const auto& listener : listeners_) wheel_->Cancel(listener.get());
    listeners_.clear();
    seconds = options.drain_seconds;
  }
  if (phase == Phase::kFarewell) {
    TellStreams();
    seconds = options.farewell_seconds;
  }
  wheel_->Set(&step_, now_ + seconds);
}

void Core::TellStreams() {
  for (Connection* connection : AllConnections()) {
    if (connection->exchange() == nullptr) continue;
    const std::shared_ptr<Exchange> exchange = connection->exchange()->shared_from_this();
    exchange->Drain();
  }
}

}  // namespace mote::server
