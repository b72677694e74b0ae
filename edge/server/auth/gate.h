// The gate that every request passes: who is it, may it do this, and is it within its limits.
#ifndef MOTE_EDGE_SERVER_AUTH_GATE_H_
#define MOTE_EDGE_SERVER_AUTH_GATE_H_

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "edge/server/auth/jwt.h"
#include "edge/server/auth/key_ring.h"
#include "edge/server/auth/rate_limit.h"
#include "edge/server/auth/scopes.h"
#include "edge/server/config/settings.h"
#include "edge/server/http/message.h"
#include "edge/server/serving/error.h"

namespace mote::server {

using Headers = std::vector<std::pair<std::string, std::string>>;

// Whose request it is. Keep it until the request is answered: `place` is one of those that its owner may have at once.
struct Identity {
  std::string tenant;  // a key's name, "jwt:<sub>", "cert:<subject>"; "" without any of them
  Scopes scopes = 0;
  KeyLimits limits;  // the key's own
  Headers headers;   // for the answer: x-ratelimit-...
  std::shared_ptr<void> place;
};

class Gate {
 public:
  using UnixClock = std::function<int64_t()>;

  // Reads the keys. `clock` gives Unix seconds; without one, the system's.
  static Result<std::unique_ptr<Gate>> Open(const Settings& settings, UnixClock clock = nullptr);
  ~Gate();

  // For every request, those without keys (health) too: the Host header, and the Origin that a browser names.
  std::optional<ApiError> Screen(const Request& request) const;

  // Screen, then: the key, token or certificate; the scope; the limits. `now` in seconds of a clock that never goes
  // back.
  std::variant<Identity, ApiError> Admit(const Request& request, Scope needed, double now);

  // Counts tokens, prompt and answer, once they are known. What is over the limit is taken from the next minutes.
  void Charge(const Request& request, const Identity& identity, double tokens, double now);

  // The answer to a browser that asks whether it may call (CORS preflight). Nothing if `request` is another.
  std::optional<Response> Preflight(const Request& request) const;
  // Headers that every answer gets: which origin may read it.
  Headers CorsHeaders(const Request& request) const;
  // Headers of an answer that refuses: Retry-After, WWW-Authenticate.
  static Headers RefusalHeaders(const ApiError& error);

  // Reads the files of keys again. Admit does so by itself within two seconds of a change of the key file; for SIGHUP,
  // `force`. True where something is new. What is wrong is told, and the keys of before stay.
  Result<bool> Reload(bool force);
  // Told of what goes wrong when Admit reads the key file again, from its thread.
  void SetReloadFailed(std::function<void(const std::string& message)> failed) { reload_failed_ = std::move(failed); }

  uint64_t failed_logins() const { return failed_logins_.load(std::memory_order_relaxed); }
  size_t remembered_clients() const { return clients_.size() + addresses_.size(); }

 private:
  struct Places;  // how many requests each tenant has now

  Gate(const Settings& settings, UnixClock clock);
  std::variant<Identity, ApiError> Identify(const Request& request);
  std::variant<Identity, ApiError> FromSecret(const std::string& secret);
  std::optional<ApiError> TakePlace(Identity* identity);
  std::optional<ApiError> TakeRequest(const Request& request, Identity* identity, double now);
  ApiError Unauthorized(std::string message);
  bool HostAllowed(const std::string& host) const;
  bool OriginAllowed(const std::string& origin) const;
  void ReloadIfDue(double now);
  std::shared_ptr<const JwtVerifier> Tokens() const;

  const Settings settings_;
  const UnixClock clock_;
  std::unique_ptr<KeyRing> keys_;
  mutable std::mutex mutex_;  // of tokens_
  std::shared_ptr<const JwtVerifier> tokens_;
  std::shared_ptr<Places> places_;
  RateTable clients_;    // by tenant, and by address where there is none
  RateTable addresses_;  // by address
  std::atomic<uint64_t> failed_logins_{0};
  std::atomic<double> next_reload_{0};
  std::function<void(const std::string&)> reload_failed_;
};

// What limits of an address go by: an IPv6 client has a /64 to itself ("2001:db8:1:2::/64").
std::string AddressGroup(const std::string& address);

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_AUTH_GATE_H_
