// What a key may be used for.
#ifndef MOTE_EDGE_SERVER_AUTH_SCOPES_H_
#define MOTE_EDGE_SERVER_AUTH_SCOPES_H_

#include <stdint.h>

#include <optional>
#include <string>
#include <string_view>

namespace mote::server {

enum Scope : uint32_t {
  kScopeChat = 1,     // answers to prompts, tokens, the list of models
  kScopeEmbed = 2,    // embeddings
  kScopeMetrics = 4,  // /metrics, /slots, numbers of the machine
  kScopeAdmin = 8,    // what changes the server
};
using Scopes = uint32_t;
inline constexpr Scopes kAllScopes = kScopeChat | kScopeEmbed | kScopeMetrics | kScopeAdmin;
inline constexpr Scopes kUsualScopes = kAllScopes & ~kScopeAdmin;

// "chat", "embed", "metrics", "admin"; also with "mote:" before, as tokens of a shared issuer have them. 0: another.
Scopes ScopeFromName(std::string_view name);
const char* ScopeName(Scope scope);
// "chat,embed". Nothing where a name is unknown, or there is none.
std::optional<Scopes> ReadScopes(std::string_view text);
std::string WriteScopes(Scopes scopes);

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_AUTH_SCOPES_H_
