#include "edge/server/auth/gate.h"

#include <arpa/inet.h>
#include <string.h>
#include <time.h>

#include <algorithm>
#include <cmath>

#include "edge/server/config/values.h"

namespace mote::server {
namespace {

// Clients whose windows are remembered: some 450 bytes each. Keys are in a file; addresses are anybody's.
constexpr size_t kMaxClients = kMaxKeys + 32768;
constexpr size_t kMaxAddresses = 65536;
constexpr double kReloadSeconds = 1;
constexpr size_t kMaxCredential = kMaxToken;

std::string Number(double value) {
  char text[32];
  snprintf(text, sizeof(text), "%.0f", std::floor(value));
  return text;
}

// As OpenAI writes times in these headers: "1.5s".
std::string Duration(double seconds) {
  char text[32];
  snprintf(text, sizeof(text), "%.3gs", seconds);
  return seconds >= 1000 ? Number(std::ceil(seconds)) + "s" : text;
}

// Of all headers of this name; null where there is none, and `twice` where there are more.
const std::string* OnlyHeader(const Request& request, std::string_view name, bool* twice) {
  const std::string* found = nullptr;
  for (const auto& [key, value] : request.headers) {
    if (key != name) continue;
    *twice = *twice || found != nullptr;
    found = &value;
  }
  return found;
}

}  // namespace

struct Gate::Places {
  std::mutex mutex;
  std::unordered_map<std::string, uint64_t> taken;
};

std::string AddressGroup(const std::string& address) {
  const std::string numeric = NumericAddress(address);
  in6_addr six;
  if (inet_pton(AF_INET6, numeric.c_str(), &six) != 1) return numeric.empty() ? address : numeric;
  memset(six.s6_addr + 8, 0, 8);
  char text[INET6_ADDRSTRLEN];
  return std::string(inet_ntop(AF_INET6, &six, text, sizeof(text))) + "/64";
}

Gate::Gate(const Settings& settings, UnixClock clock)
    : settings_(settings),
      clock_(clock ? std::move(clock) : [] { return static_cast<int64_t>(time(nullptr)); }),
      places_(std::make_shared<Places>()),
      clients_(kMaxClients),
      addresses_(kMaxAddresses) {}

Gate::~Gate() = default;

Result<std::unique_ptr<Gate>> Gate::Open(const Settings& settings, UnixClock clock) {
  std::unique_ptr<Gate> gate(new Gate(settings, std::move(clock)));
  Result<std::unique_ptr<KeyRing>> keys = KeyRing::Open(settings.key_file, settings.api_key);
  if (!keys) return keys.error();
  gate->keys_ = std::move(*keys);
  Result<std::shared_ptr<const JwtVerifier>> tokens = JwtVerifier::Load(settings);
  if (!tokens) return tokens.error();
  gate->tokens_ = std::move(*tokens);
  return gate;
}

std::shared_ptr<const JwtVerifier> Gate::Tokens() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return tokens_;
}

Result<bool> Gate::Reload(bool force) {
  if (!force) return keys_->Reload(false);
  // Both or neither: what is told of a failure is that the old ones stay.
  Result<std::shared_ptr<const JwtVerifier>> tokens = JwtVerifier::Load(settings_);
  if (!tokens) return tokens.error();
  const Result<bool> keys = keys_->Reload(true);
  if (!keys) return keys;
  const std::lock_guard<std::mutex> lock(mutex_);
  tokens_.swap(*tokens);
  return true;
}

void Gate::ReloadIfDue(double now) {
  if (settings_.key_file.empty()) return;
  double due = next_reload_.load(std::memory_order_relaxed);
  // One thread looks at the file, the others go on.
  if (now < due || !next_reload_.compare_exchange_strong(due, now + kReloadSeconds)) return;
  const Result<bool> loaded = Reload(/*force=*/false);
  if (!loaded && reload_failed_) reload_failed_(loaded.error().message);
}

ApiError Gate::Unauthorized(std::string message) {
  failed_logins_.fetch_add(1, std::memory_order_relaxed);
  return {401, "authentication_error", "invalid_api_key", "", std::move(message), 0};
}

// What was shown, a key or a token, is never part of a message.
std::variant<Identity, ApiError> Gate::FromSecret(const std::string& secret) {
  Identity identity;
  const std::optional<Key> key = keys_->Find(secret);
  if (key) {
    if (key->expires != 0 && key->expires <= clock_()) return Unauthorized("the key has expired: ask for a new one");
    identity.tenant = key->name;
    identity.scopes = key->scopes;
    identity.limits = key->limits;
    return identity;
  }
  const std::shared_ptr<const JwtVerifier> tokens = Tokens();
  if (!tokens->any() || !LooksLikeJwt(secret)) return Unauthorized("the key is not one of this server's");
  const Result<JwtClaims> claims = tokens->Verify(secret, clock_());
  if (!claims) return Unauthorized(claims.error().message);
  identity.tenant = "jwt:" + claims->subject;
  identity.scopes = claims->scopes;
  return identity;
}

std::variant<Identity, ApiError> Gate::Identify(const Request& request) {
  bool twice = false;
  const std::string* bearer = OnlyHeader(request, "authorization", &twice);
  const std::string* plain = OnlyHeader(request, "x-api-key", &twice);
  // Clients of OpenAI always show some key; a server without keys has nothing to hold it against.
  if (settings_.has_keys() && (bearer != nullptr || plain != nullptr)) {
    if (twice) return Unauthorized("there are two keys: show one");
    std::string secret = plain != nullptr ? *plain : "";
    if (bearer != nullptr) {
      if (LowerCase(bearer->substr(0, 7)) != "bearer ") {
        return Unauthorized("the Authorization header must be \"Bearer KEY\"");
      }
      const std::string shown(Trim(std::string_view(*bearer).substr(7)));
      if (plain != nullptr && shown != secret) return Unauthorized("there are two keys: show one");
      secret = shown;
    }
    if (secret.empty()) return Unauthorized("the key is empty");
    if (secret.size() > kMaxCredential) return Unauthorized("the key is longer than 8192 bytes");
    return FromSecret(secret);
  }
  Identity identity;
  if (!request.peer.certificate.empty() && settings_.api_key_required != KeyRequirement::kOn) {
    identity.tenant = "cert:" + request.peer.certificate;
    identity.scopes = kUsualScopes;
    return identity;
  }
  if (settings_.key_required()) {
    return Unauthorized("a key is needed: send it as \"Authorization: Bearer KEY\" or \"x-api-key: KEY\"");
  }
  identity.scopes = request.peer.local ? kAllScopes : kUsualScopes;
  return identity;
}

std::optional<ApiError> Gate::TakePlace(Identity* identity) {
  const uint64_t limit = identity->limits.concurrency.value_or(settings_.concurrency_per_key);
  if (limit == 0 || identity->tenant.empty()) return std::nullopt;
  const std::lock_guard<std::mutex> lock(places_->mutex);
  uint64_t& taken = places_->taken[identity->tenant];
  if (taken >= limit) {
    return ApiError{429,
                    "rate_limit_error",
                    "concurrency_limit",
                    "",
                    "the key has " + std::to_string(taken) + " requests under way, and may have " +
                        std::to_string(limit) + ": wait for one to end",
                    1};
  }
  ++taken;
  identity->place = std::shared_ptr<void>(nullptr, [places = places_, tenant = identity->tenant](void*) {
    const std::lock_guard<std::mutex> lock_again(places->mutex);
    const auto found = places->taken.find(tenant);
    if (found != places->taken.end() && --found->second == 0) places->taken.erase(found);
  });
  return std::nullopt;
}

std::optional<ApiError> Gate::TakeRequest(const Request& request, Identity* identity, double now) {
  const Rate requests = identity->limits.requests.value_or(settings_.rate_limit);
  const Rate tokens = identity->limits.tokens.value_or(settings_.token_limit);
  const std::string client =
      identity->tenant.empty() ? "address:" + AddressGroup(request.peer.address) : identity->tenant;
  const RateTable::Answer answer = clients_.Admit(client, requests, tokens, now);
  if (!answer.admitted) {
    const bool of_tokens = tokens.limited() && answer.tokens_left < 1;
    const Rate& rate = of_tokens ? tokens : requests;
    return ApiError{429,
                    "rate_limit_error",
                    of_tokens ? "token_limit" : "rate_limit",
                    "",
                    "the limit is " + Number(rate.count) + (of_tokens ? " tokens" : " requests") + " in " +
                        Number(rate.seconds) + " s: try again in " + Duration(answer.retry_after),
                    answer.retry_after};
  }
  if (requests.limited()) {
    identity->headers.emplace_back("x-ratelimit-limit-requests", Number(requests.count));
    identity->headers.emplace_back("x-ratelimit-remaining-requests", Number(answer.requests_left));
    identity->headers.emplace_back("x-ratelimit-reset-requests", Duration(answer.requests_reset));
  }
  if (tokens.limited()) {
    identity->headers.emplace_back("x-ratelimit-limit-tokens", Number(tokens.count));
    identity->headers.emplace_back("x-ratelimit-remaining-tokens", Number(answer.tokens_left));
    identity->headers.emplace_back("x-ratelimit-reset-tokens", Duration(answer.tokens_reset));
  }
  return std::nullopt;
}

std::variant<Identity, ApiError> Gate::Admit(const Request& request, Scope needed, double now) {
  if (std::optional<ApiError> refused = Screen(request)) return *std::move(refused);
  ReloadIfDue(now);
  if (settings_.address_rate_limit.limited() && !request.peer.local) {
    const RateTable::Answer answer =
        addresses_.Admit(AddressGroup(request.peer.address), settings_.address_rate_limit, Rate{}, now);
    if (!answer.admitted) {
      return ApiError{429,
                      "rate_limit_error",
                      "address_rate_limit",
                      "",
                      "too many requests from this address: try again in " + Duration(answer.retry_after),
                      answer.retry_after};
    }
  }
  std::variant<Identity, ApiError> identified = Identify(request);
  if (std::holds_alternative<ApiError>(identified)) return identified;
  auto& identity = std::get<Identity>(identified);
  if ((identity.scopes & needed) == 0) {
    return ApiError{403,
                    "permission_error",
                    "insufficient_scope",
                    "",
                    std::string("this needs the scope ") + ScopeName(needed) + ", which the key has not",
                    0};
  }
  if (std::optional<ApiError> refused = TakePlace(&identity)) return *std::move(refused);
  if (std::optional<ApiError> refused = TakeRequest(request, &identity, now)) return *std::move(refused);
  return identified;
}

void Gate::Charge(const Request& request, const Identity& identity, double tokens, double now) {
  const std::string client =
      identity.tenant.empty() ? "address:" + AddressGroup(request.peer.address) : identity.tenant;
  clients_.Charge(client, identity.limits.tokens.value_or(settings_.token_limit), tokens, now);
}

Headers Gate::RefusalHeaders(const ApiError& error) {
  Headers headers;
  if (error.retry_after > 0) headers.emplace_back("Retry-After", Number(std::ceil(error.retry_after)));
  if (error.status == 401) headers.emplace_back("WWW-Authenticate", "Bearer");
  return headers;
}

}  // namespace mote::server
