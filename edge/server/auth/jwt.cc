#include "edge/server/auth/jwt.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "edge/server/auth/base64url.h"
#include "edge/server/config/values.h"

namespace mote::server {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxDepth = 8;               // of the JSON in a token
constexpr double kLastSecond = 253402300799;  // of the year 9999

Error Refuse(const char* why) {
  return Error{MOTE_INVALID_ARGUMENT, std::string("the token ") + why};
}

// A JSON object in which no object has a key twice: which of the two counts, readers disagree about.
bool ReadObject(const std::string& text, Json* object) {
  if (!text.starts_with("{")) return false;
  std::vector<std::set<std::string>> open;
  bool wrong = false;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    wrong |= depth > static_cast<int>(kMaxDepth);
    if (event == Json::parse_event_t::object_start) open.emplace_back();
    if (event == Json::parse_event_t::object_end) open.pop_back();
    if (event == Json::parse_event_t::key) wrong |= !open.back().insert(parsed.get<std::string>()).second;
    return true;
  };
  *object = Json::parse(text, watch, /*allow_exceptions=*/false);
  return !wrong && object->is_object();
}

bool ReadPart(std::string_view part, Json* object) {
  const std::optional<std::string> text = ReadBase64Url(part);
  return text && ReadObject(*text, object);
}

// What a header may not have: keys, places of keys, encryption, compression, another token inside, and what we would
// have to understand.
const char* WhatIsWrongWithHeader(const Json& header) {
  for (const char* name : {"jku", "jwk", "x5u", "x5c", "crit", "b64", "enc", "zip", "cty"}) {
    if (header.contains(name))
      return "has a header that is not allowed (jku, jwk, x5u, x5c, crit, b64, enc, zip or cty)";
  }
  const auto type = header.find("typ");
  if (type != header.end()) {
    const std::string name = type->is_string() ? LowerCase(type->get<std::string>()) : "";
    if (name != "jwt" && name != "at+jwt" && name != "application/at+jwt") return "is of another type than JWT (typ)";
  }
  const auto id = header.find("kid");
  if (id != header.end() && (!id->is_string() || id->get<std::string>().size() > 256)) {
    return "has a kid that is no text of up to 256 bytes";
  }
  const auto algorithm = header.find("alg");
  if (algorithm == header.end() || !algorithm->is_string()) return "names no algorithm (alg)";
  return nullptr;
}

// Seconds since 1970, whole or not (NumericDate). False if it is there and is none.
bool ReadTime(const Json& claims, const char* name, std::optional<double>* time) {
  const auto found = claims.find(name);
  if (found == claims.end()) return true;
  if (!found->is_number()) return false;
  const double value = found->get<double>();
  if (!(value >= 0 && value <= kLastSecond)) return false;
  *time = value;
  return true;
}

const char* WhatIsWrongWithTimes(const Json& claims, int64_t now, int64_t* expires) {
  std::optional<double> end, begin, issued;
  const bool right =
      ReadTime(claims, "exp", &end) && ReadTime(claims, "nbf", &begin) && ReadTime(claims, "iat", &issued);
  if (!right) return "has a time that is no number of seconds (exp, nbf or iat)";
  if (!end) return "never expires (exp is required)";
  const auto clock = static_cast<double>(now);
  const auto skew = static_cast<double>(kClockSkew);
  if (*end + skew <= clock) return "has expired (exp)";
  if (begin && *begin - skew > clock) return "is not valid yet (nbf)";
  if (issued && *issued - skew > clock) return "was issued in the future (iat)";
  *expires = static_cast<int64_t>(*end);
  return nullptr;
}

bool HasAudience(const Json& claims, const std::string& audience) {
  const auto found = claims.find("aud");
  if (found == claims.end()) return false;
  if (found->is_string()) return found->get<std::string>() == audience;
  if (!found->is_array()) return false;
  bool has = false;
  for (const Json& one : *found) {
    if (!one.is_string()) return false;
    has |= one.get<std::string>() == audience;
  }
  return has;
}

// "scope" is text with spaces (RFC 8693), "scp" that or a list. False where it is there and is neither.
bool ReadTokenScopes(const Json& claims, Scopes* scopes) {
  const char* const name = claims.contains("scope") ? "scope" : "scp";
  const auto found = claims.find(name);
  if (found == claims.end()) return true;
  if (found->is_string()) {
    const std::string text = found->get<std::string>();
    for (const std::string_view one : Split(text, ' ')) *scopes |= ScopeFromName(one);
    return true;
  }
  if (!found->is_array()) return false;
  for (const Json& one : *found) {
    if (!one.is_string()) return false;
    *scopes |= ScopeFromName(one.get<std::string>());
  }
  return true;
}

bool ReadSubject(const Json& claims, std::string* subject) {
  const auto found = claims.find("sub");
  if (found == claims.end() || !found->is_string()) return false;
  *subject = found->get<std::string>();
  if (subject->empty() || subject->size() > kMaxSubject) return false;
  for (const char c : *subject) {
    if (c < '!' || c > '~') return false;
  }
  return true;
}

Result<std::string> ReadKeyFile(const std::string& path) {
  constexpr size_t kLimit = 64 << 10;
  const std::unique_ptr<FILE, int (*)(FILE*)> file(fopen(path.c_str(), "rb"), fclose);
  if (file == nullptr) return Error{MOTE_IO, "jwt_keys: " + path + ": " + strerror(errno)};
  std::string bytes(kLimit + 1, '\0');
  bytes.resize(fread(bytes.data(), 1, bytes.size(), file.get()));
  if (ferror(file.get()) != 0) return Error{MOTE_IO, "jwt_keys: " + path + ": " + strerror(errno)};
  if (bytes.size() > kLimit) return Error{MOTE_INVALID_ARGUMENT, "jwt_keys: " + path + ": is larger than 64 KiB"};
  return bytes;
}

}  // namespace

bool LooksLikeJwt(std::string_view token) {
  const size_t first = token.find('.');
  if (first == std::string_view::npos) return false;
  const size_t second = token.find('.', first + 1);
  return second != std::string_view::npos && token.find('.', second + 1) == std::string_view::npos;
}

Result<std::shared_ptr<const JwtVerifier>> JwtVerifier::Load(const Settings& settings) {
  std::vector<std::unique_ptr<JwtKey>> keys;
  for (const JwtKeyFile& file : settings.jwt_keys) {
    const Result<std::string> bytes = ReadKeyFile(file.path);
    if (!bytes) return bytes.error();
    Result<std::unique_ptr<JwtKey>> key = ReadJwtKey(file, *bytes);
    if (!key) return key.error();
    keys.push_back(std::move(*key));
  }
  return std::shared_ptr<const JwtVerifier>(
      std::make_shared<JwtVerifier>(std::move(keys), settings.jwt_issuer, settings.jwt_audience));
}

Result<JwtClaims> JwtVerifier::Verify(std::string_view token, int64_t now) const {
  if (token.size() > kMaxToken) return Refuse("is longer than 8192 bytes");
  if (!LooksLikeJwt(token)) return Refuse("must have three parts with dots between");
  const size_t first = token.find('.');
  const size_t second = token.find('.', first + 1);
  Json header;
  if (!ReadPart(token.substr(0, first), &header)) return Refuse("has a header that is no JSON object in base64url");
  const char* wrong = WhatIsWrongWithHeader(header);
  if (wrong != nullptr) return Refuse(wrong);
  const std::optional<std::string> signature = ReadBase64Url(token.substr(second + 1));
  if (!signature || signature->empty()) return Refuse("has a signature that is no base64url");
  const std::string algorithm = header["alg"].get<std::string>();
  const std::string* id = header.contains("kid") ? header["kid"].get_ptr<const std::string*>() : nullptr;
  bool known = false, verified = false;
  for (const std::unique_ptr<JwtKey>& key : keys_) {
    // A key without an id stands for any; a token without one may be of any key.
    const bool meant = key->algorithm == algorithm && (id == nullptr || key->id.empty() || key->id == *id);
    known = known || meant;
    verified = verified || (meant && key->Verify(token.substr(0, second), *signature));
  }
  if (!known) return Refuse("is signed with an algorithm or a key (alg, kid) that is not configured");
  if (!verified) return Refuse("has a wrong signature");
  // Only now is anything in it worth reading.
  Json claims;
  if (!ReadPart(token.substr(first + 1, second - first - 1), &claims))
    return Refuse("has claims that are no JSON object");
  JwtClaims result;
  wrong = WhatIsWrongWithTimes(claims, now, &result.expires);
  if (wrong != nullptr) return Refuse(wrong);
  const auto issuer = claims.find("iss");
  if (issuer == claims.end() || !issuer->is_string() || issuer->get<std::string>() != issuer_) {
    return Refuse("is of another issuer (iss)");
  }
  if (!HasAudience(claims, audience_)) return Refuse("is meant for another service (aud)");
  if (!ReadSubject(claims, &result.subject))
    return Refuse("names no subject of 1 to 128 visible ASCII characters (sub)");
  if (!ReadTokenScopes(claims, &result.scopes))
    return Refuse("has scopes that are neither text nor a list (scope, scp)");
  return result;
}

}  // namespace mote::server
