// What depends on several settings.
#include <map>
#include <utility>

#include "edge/server/config/settings.h"
#include "edge/server/config/values.h"
#include "engine/api/mote_gpu.h"

namespace mote::server {
namespace {

Result<void> Refuse(std::string message) {
  return Error{MOTE_INVALID_ARGUMENT, std::move(message)};
}

Result<void> CheckTls(const Settings& s) {
  if (s.tls_cert.empty() != s.tls_key.empty()) {
    return Refuse(s.tls_cert.empty() ? "tls_key is set without tls_cert: TLS needs both"
                                     : "tls_cert is set without tls_key: TLS needs both");
  }
  if (s.mutual_tls() && s.tls_cert.empty()) {
    return Refuse("tls_client_ca is set without tls_cert and tls_key: certificates of clients need TLS");
  }
  if (!s.tls_crl.empty() && !s.mutual_tls()) {
    return Refuse("tls_crl is set without tls_client_ca: there are no certificates of clients that it could revoke");
  }
  if (!s.tls_cert.empty() && !s.bind.socket_path.empty()) {
    return Refuse("tls_cert is set with a socket file, whose permissions say who may connect: leave TLS out");
  }
  return {};
}

Result<void> CheckExposure(const Settings& s) {
  if (s.bind.local() || s.insecure) return {};
  const bool guarded = s.mutual_tls() || (s.key_required() && s.has_keys());
  if (guarded) return {};
  const std::string why = s.has_keys() ? "api_key_required is off" : "there are no keys";
  return Refuse(
      s.bind.Text() + " can be reached from other machines, and " + why +
      ": make a key (mote key new --file KEYS, then --key-file KEYS), ask for certificates (--tls-client-ca), "
      "listen on 127.0.0.1, or say --insecure to serve everybody");
}

Result<void> CheckKeys(const Settings& s) {
  if (s.api_key_required == KeyRequirement::kOn && !s.has_keys()) {
    return Refuse(
        "api_key_required is on, but there is no key: set key_file (mote key new --file KEYS), api_key or jwt_keys");
  }
  if (!s.jwt_keys.empty() && (s.jwt_issuer.empty() || s.jwt_audience.empty())) {
    return Refuse("jwt_keys need jwt_issuer and jwt_audience: a token made for another service must not open this one");
  }
  if (s.jwt_keys.empty() && (!s.jwt_issuer.empty() || !s.jwt_audience.empty())) {
    return Refuse("jwt_issuer and jwt_audience mean nothing without jwt_keys");
  }
  std::map<std::string, std::string> algorithms;
  for (const JwtKeyFile& key : s.jwt_keys) {
    const auto [entry, fresh] = algorithms.emplace(key.path, key.algorithm);
    if (!fresh && entry->second != key.algorithm) {
      return Refuse("jwt_keys: " + key.path + " is there for " + entry->second + " and " + key.algorithm +
                    ": a key has one algorithm");
    }
  }
  return {};
}

bool IsOrigin(const std::string& origin) {
  const size_t scheme = origin.find("://");
  if (scheme == std::string::npos) return false;
  const std::string name = origin.substr(0, scheme);
  const std::string rest = origin.substr(scheme + 3);
  if (name != "http" && name != "https" && !name.ends_with("-extension")) return false;
  return !rest.empty() && rest.find_first_of("/*@?# ") == std::string::npos && rest == LowerCase(rest);
}

Result<void> CheckCors(const Settings& s) {
  if (s.cors_enabled && s.cors_origins.empty()) {
    return Refuse("cors_enabled is on, but cors_origins names no origin: list them, like https://app.example");
  }
  if (!s.cors_enabled && !s.cors_origins.empty()) {
    return Refuse("cors_origins is set, but cors_enabled is off: turn it on, or leave the origins out");
  }
  for (const std::string& origin : s.cors_origins) {
    if (!IsOrigin(origin)) {
      return Refuse("cors_origins: \"" + origin.substr(0, 80) +
                    "\" is no origin: must be scheme://host[:port] in lower case, without path and *");
    }
  }
  return {};
}

bool IsNetwork(const std::string& text) {
  if (text == "unix") return true;  // whoever may use the socket file
  const size_t slash = text.find('/');
  const std::string address = NumericAddress(text.substr(0, slash));
  if (address.empty()) return false;
  if (slash == std::string::npos) return true;
  const std::optional<uint64_t> bits = ReadCount(text.substr(slash + 1));
  return bits && *bits <= (address.find(':') == std::string::npos ? 32 : 128);
}

Result<void> CheckNames(const Settings& s) {
  for (const std::string& host : s.allowed_hosts) {
    const bool odd =
        host.find_first_of("/@?# ") != std::string::npos || (host.find('*') != std::string::npos && host != "*");
    if (odd) return Refuse("allowed_hosts: \"" + host.substr(0, 80) + "\" must be a host's name without scheme, or *");
  }
  for (const std::string& proxy : s.trusted_proxies) {
    if (!IsNetwork(proxy)) {
      return Refuse("trusted_proxies: \"" + proxy.substr(0, 80) +
                    "\" must be an address, a network like 10.0.0.0/8, or unix");
    }
  }
  return {};
}

Result<void> CheckSizes(const Settings& s) {
  // Base64 takes four bytes for three.
  if (s.max_images > 0 && s.max_image > s.max_body / 4 * 3) {
    return Refuse("max_image is " + WriteBytes(s.max_image) + ", which as base64 does not fit into max_body (" +
                  WriteBytes(s.max_body) + "): max_body must be at least 4/3 of it");
  }
  if (s.max_line > s.max_header) return Refuse("max_line is larger than max_header, which holds it");
  if (s.prefill_budget > s.batch_size) {
    return Refuse("prefill_budget is " + std::to_string(s.prefill_budget) + ", more than batch_size (" +
                  std::to_string(s.batch_size) + "): a part of a step must be at most the step");
  }
  if (s.memory_pool_size != 0) {
    const bool fits = s.cache_size <= s.memory_pool_size && s.image_cache_size <= s.memory_pool_size - s.cache_size;
    if (!fits) {
      return Refuse("cache_size and image_cache_size together are more than memory_pool_size (" +
                    WriteBytes(s.memory_pool_size) + "), of which they are a part");
    }
  }
  return {};
}

Result<void> CheckModels(const Settings& s) {
  mote_error error = {};
  if (s.device == Device::kCuda && mote_gpu_count(&error) == 0) {
    return Refuse(std::string("device is cuda, but ") + error.message + ": must be auto or cpu");
  }
  if (s.mmproj != "auto" && s.mmproj != "none" && !s.models.empty() && !s.models[0].mmproj.empty()) {
    return Refuse("mmproj and the first model's mmproj= both name its vision file: leave one out");
  }
  return {};
}

}  // namespace

Result<void> Check(const Settings& settings) {
  for (const auto check : {CheckModels, CheckTls, CheckExposure, CheckKeys, CheckCors, CheckNames, CheckSizes}) {
    Result<void> result = check(settings);
    if (!result) return result;
  }
  return {};
}

}  // namespace mote::server
