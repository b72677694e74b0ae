// The front from within: its loop and what its connections share.
#ifndef MOTE_EDGE_SERVER_HTTP_CORE_H_
#define MOTE_EDGE_SERVER_HTTP_CORE_H_

#include <stdint.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "edge/server/http/address.h"
#include "edge/server/http/connection.h"
#include "edge/server/http/front.h"
#include "edge/server/http/httplib_adapter.h"
#include "edge/server/http/listener.h"
#include "edge/server/http/tls.h"
#include "edge/server/http/wheel.h"
#include "edge/server/http/workers.h"

namespace mote::server {

// A timer that calls again and again.
struct Periodic : Timer {
  void Fire(double now) override;
  Core* core = nullptr;
  double interval = 1;
  std::function<void()> call;
  std::atomic<bool> cancelled = false;
};

// Bytes of a request body in memory, counted until its handler has returned.
class BodyLease {
 public:
  BodyLease(std::shared_ptr<std::atomic<uint64_t>> total, uint64_t bytes) : total_(std::move(total)), bytes_(bytes) {}
  ~BodyLease() { *total_ -= bytes_; }
  BodyLease(const BodyLease&) = delete;
  BodyLease& operator=(const BodyLease&) = delete;

 private:
  const std::shared_ptr<std::atomic<uint64_t>> total_;
  const uint64_t bytes_;
};

class Core {
 public:
  explicit Core(FrontOptions options);
  ~Core();
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  // Before the loop.
  Result<void> Prepare();
  void StartWorkers();
  std::string NewRequestId();

  // Any thread.
  void Drain(bool now);

  // The front's thread.
  void Run();
  void Stop() { stopping_ = true; }
  double now() const { return now_; }
  Wheel& wheel() { return *wheel_; }
  char* scratch() { return scratch_.get(); }
  static constexpr size_t kScratch = 16 << 10;
  bool Watch(Pollable* pollable, int fd, uint32_t events);  // adds
  void Change(Pollable* pollable, int fd, uint32_t events);
  void Accepted(int fd, const sockaddr_storage& storage, bool tls);
  void Remove(Connection* connection);
  // `lease`: of the body. Takes the request off the connection's hands.
  void Dispatch(Connection* connection, ReadRequest read, std::unique_ptr<BodyLease> lease);
  const RouteOptions& OptionsOf(const ReadRequest& read) const;
  void Observe(const Exchange& exchange, bool gone);
  void ObserveRefusal(const std::string& id, const std::string& method, const Peer& peer, int status);
  void AddPeriodic(std::shared_ptr<Periodic> periodic);
  void RemovePeriodic(const std::shared_ptr<Periodic>& periodic);

  FrontOptions options;
  Router router;
  Screen screen;
  Observer observer;
  std::unordered_map<std::string, RouteOptions> route_options;  // of "GET /path"
  Reader::BodyLimit body_limit;
  std::shared_ptr<Mailbox> mailbox = std::make_shared<Mailbox>();
  std::shared_ptr<std::atomic<uint64_t>> body_bytes = std::make_shared<std::atomic<uint64_t>>(0);
  std::atomic<bool> draining = false;
  std::atomic<uint32_t> connections = 0, streams = 0;
  std::vector<std::string> addresses;
  std::mutex tls_mutex;
  std::shared_ptr<TlsContext> tls;  // under its mutex

 private:
  enum class Phase { kServing, kLameDuck, kDraining, kFarewell };

  // A timer that goes through the phases of the drain.
  struct Step : Timer {
    void Fire(double now) override;
    Core* core = nullptr;
  };

  struct Job {
    Request request;
    std::string target;
    std::shared_ptr<Exchange> exchange;
    std::unique_ptr<BodyLease> lease;
    bool direct = false;
  };

  void Serve(Job* job) const;
  void TakeMail();
  void Advance(Phase phase);
  void TellStreams();
  std::vector<Connection*> AllConnections() const;
  void RefuseConnection(int fd, bool tls) const;
  void Become(Peer* peer, const Request& request) const;

  int epoll_ = -1;
  double now_ = 0;
  std::atomic<bool> stopping_ = false;
  Phase phase_ = Phase::kServing;
  std::unique_ptr<Wheel> wheel_;
  Step step_;
  std::unique_ptr<char[]> scratch_;
  std::unique_ptr<Pollable> wakeup_;
  TrustedProxies proxies_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::unordered_map<Connection*, std::unique_ptr<Connection>> all_;
  std::vector<std::unique_ptr<Connection>> graveyard_;
  std::unordered_map<std::string, uint32_t> per_peer_;
  std::unordered_set<std::shared_ptr<Periodic>> periodics_;
  std::vector<std::shared_ptr<Exchange>> mail_;
  std::vector<std::function<void()>> calls_;
  std::string id_prefix_;
  std::atomic<uint32_t> next_id_ = 0;
  std::unique_ptr<Workers> workers_, direct_;
};

// Seconds of the steady clock.
double SteadyNow();

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_HTTP_CORE_H_
