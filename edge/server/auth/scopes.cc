#include "edge/server/auth/scopes.h"

#include "edge/server/config/values.h"

namespace mote::server {
namespace {

constexpr Scope kOrder[] = {kScopeChat, kScopeEmbed, kScopeMetrics, kScopeAdmin};

}  // namespace

const char* ScopeName(Scope scope) {
  switch (scope) {
    case kScopeChat:
      return "chat";
    case kScopeEmbed:
      return "embed";
    case kScopeMetrics:
      return "metrics";
    case kScopeAdmin:
      return "admin";
  }
  return "";
}

Scopes ScopeFromName(std::string_view name) {
  if (name.starts_with("mote:")) name.remove_prefix(5);
  for (const Scope scope : kOrder) {
    if (name == ScopeName(scope)) return scope;
  }
  return 0;
}

std::optional<Scopes> ReadScopes(std::string_view text) {
  Scopes scopes = 0;
  for (const std::string_view name : Split(text, ',')) {
    const Scopes scope = ScopeFromName(name);
    if (scope == 0) return std::nullopt;
    scopes |= scope;
  }
  if (scopes == 0) return std::nullopt;
  return scopes;
}

std::string WriteScopes(Scopes scopes) {
  std::string text;
  for (const Scope scope : kOrder) {
    if ((scopes & scope) != 0) text += (text.empty() ? "" : ",") + std::string(ScopeName(scope));
  }
  return text;
}

}  // namespace mote::server
