// What a browser says of itself: the host that it believes to talk to, and the page that asks.
//
// A page of any site can make a browser send requests to 127.0.0.1. Two things keep it out: with its own name made to
// point here (DNS rebinding) the Host header has that name, which is refused; as itself it is another origin, and its
// Origin header is refused unless it is listed.
#include <algorithm>

#include "edge/server/auth/gate.h"
#include "edge/server/config/values.h"

namespace mote::server {
namespace {

// What a page may send along. Libraries of OpenAI send facts about themselves in x-stainless-...
constexpr const char* kAllowedHeaders[] = {"accept",          "authorization",       "content-type",   "x-api-key",
                                           "x-request-id",    "openai-organization", "openai-project", "user-agent",
                                           "idempotency-key", "x-session-id"};
constexpr char kExposedHeaders[] =
    "X-Request-Id, X-Mote-Cache, X-Mote-Precision, Retry-After, x-ratelimit-limit-requests, "
    "x-ratelimit-remaining-requests, "
    "x-ratelimit-reset-requests, x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens";

// "[::1]:80" to "::1", "a.example:80" to "a.example". Empty where it is neither.
std::string HostName(std::string_view host) {
  std::string_view name = host;
  std::string_view rest;
  if (host.starts_with("[")) {
    const size_t end = host.find(']');
    if (end == std::string_view::npos) return "";
    name = host.substr(1, end - 1);
    rest = host.substr(end + 1);
  } else if (const size_t colon = host.find(':'); colon != std::string_view::npos) {
    name = host.substr(0, colon);
    rest = host.substr(colon);
  }
  if (!rest.empty() && (rest[0] != ':' || rest.size() > 6 || !ReadCount(rest.substr(1)))) return "";
  if (name.ends_with(".")) name.remove_suffix(1);  // the root, which the same name has without it
  return LowerCase(name);
}

bool AllowedHeader(const std::string& name) {
  if (name.starts_with("x-stainless-")) {
    return name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
  }
  return std::find(std::begin(kAllowedHeaders), std::end(kAllowedHeaders), name) != std::end(kAllowedHeaders);
}

// The part behind "https://".
std::string_view Authority(std::string_view origin) {
  const size_t scheme = origin.find("://");
  return scheme == std::string_view::npos ? "" : origin.substr(scheme + 3);
}

}  // namespace

bool Gate::HostAllowed(const std::string& host) const {
  const std::string name = HostName(host);
  if (name.empty()) return false;
  const bool any =
      std::find(settings_.allowed_hosts.begin(), settings_.allowed_hosts.end(), "*") != settings_.allowed_hosts.end();
  if (any) return true;
  for (const std::string& allowed : settings_.allowed_hosts) {
    if (name == HostName(allowed)) return true;
  }
  if (name == "localhost" || IsLoopback(name)) return true;
  if (settings_.bind.local()) return false;
  // An address was not looked up, so that nobody can have made it point here. Names are refused where some are listed.
  return settings_.allowed_hosts.empty() || !NumericAddress(name).empty();
}

bool Gate::OriginAllowed(const std::string& origin) const {
  return settings_.cors_enabled && origin != "null" &&
         std::find(settings_.cors_origins.begin(), settings_.cors_origins.end(), origin) !=
             settings_.cors_origins.end();
}

std::optional<ApiError> Gate::Screen(const Request& request) const {
  const std::string* host = nullptr;
  const std::string* origin = nullptr;
  for (const auto& [name, value] : request.headers) {
    if (name == "host") {
      if (host != nullptr)
        return ApiError{400, "invalid_request_error", "bad_host", "", "there are two Host headers", 0};
      host = &value;
    }
    if (name == "origin") {
      if (origin != nullptr) {
        return ApiError{400, "invalid_request_error", "bad_origin", "", "there are two Origin headers", 0};
      }
      origin = &value;
    }
  }
  // Browsers always send one; checks of health from proxies (HTTP/1.0) do not. A socket file has no name at all.
  if (host != nullptr && settings_.bind.socket_path.empty() && !HostAllowed(*host)) {
    return ApiError{403,
                    "permission_error",
                    "host_not_allowed",
                    "",
                    "the Host header names a host that this server is not: list it in allowed_hosts",
                    0};
  }
  if (origin == nullptr || OriginAllowed(*origin)) return std::nullopt;
  // The server's own page. Whether a proxy in front speaks TLS is not known here, so that the scheme does not count.
  const bool own = host != nullptr && !host->empty() && LowerCase(Authority(*origin)) == LowerCase(*host);
  if (own) return std::nullopt;
  return ApiError{403,
                  "permission_error",
                  "origin_not_allowed",
                  "",
                  "pages of this origin may not call: list it in cors_origins, with cors_enabled",
                  0};
}

Headers Gate::CorsHeaders(const Request& request) const {
  if (!settings_.cors_enabled) return {};
  Headers headers = {{"Vary", "Origin"}};
  const std::string* origin = request.Header("origin");
  if (origin != nullptr && OriginAllowed(*origin)) {
    headers.emplace_back("Access-Control-Allow-Origin", *origin);
    headers.emplace_back("Access-Control-Expose-Headers", kExposedHeaders);
  }
  return headers;
}

std::optional<Response> Gate::Preflight(const Request& request) const {
  const std::string* origin = request.Header("origin");
  const std::string* method = request.Header("access-control-request-method");
  if (request.method != "OPTIONS" || origin == nullptr || method == nullptr) return std::nullopt;
  Response response;
  response.status = 204;
  response.content_type.clear();
  const std::optional<ApiError> refused = Screen(request);
  if (refused) {
    response.status = refused->status;
    response.content_type = "application/json";
    response.body = ErrorJson(*refused);
    return response;
  }
  response.headers = CorsHeaders(request);
  if (!OriginAllowed(*origin)) return response;  // its own page, which need not ask
  response.headers.emplace_back("Access-Control-Allow-Methods", "GET, POST");
  const std::string* wanted = request.Header("access-control-request-headers");
  std::string allowed;
  for (const std::string_view name : Split(wanted != nullptr ? *wanted : std::string_view(), ',')) {
    const std::string lower = LowerCase(name);
    if (AllowedHeader(lower)) allowed += (allowed.empty() ? "" : ", ") + lower;
  }
  if (!allowed.empty()) response.headers.emplace_back("Access-Control-Allow-Headers", allowed);
  response.headers.emplace_back("Access-Control-Max-Age", "600");
  return response;
}

}  // namespace mote::server
