// Keys of clients, and the file that holds their digests: a JSON object on each line,
//   {"name":"camera-7","sha256":"<64 hex digits>","scopes":"chat,embed","created":1764100000,"expires":1795636000,
//    "rate_limit":"60/min","token_limit":"100000/min","concurrency":4}
// of which the last four may be absent. The key itself is nowhere: it has 256 random bits, so that its plain SHA-256
// gives nothing away.
#ifndef MOTE_EDGE_SERVER_AUTH_KEY_FILE_H_
#define MOTE_EDGE_SERVER_AUTH_KEY_FILE_H_

#include <stdint.h>

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "edge/server/auth/scopes.h"
#include "edge/server/config/settings.h"

namespace mote::server {

using KeyDigest = std::array<uint8_t, 32>;

// What overrides the server's own limits.
struct KeyLimits {
  std::optional<Rate> requests;
  std::optional<Rate> tokens;
  std::optional<uint64_t> concurrency;  // requests at once; 0: no limit

  bool operator==(const KeyLimits&) const = default;
};

struct Key {
  std::string name;  // the tenant: 1 to 64 of A-Z a-z 0-9 . _ @ -
  KeyDigest digest = {};
  Scopes scopes = 0;
  KeyLimits limits;
  int64_t created = 0;  // Unix seconds
  int64_t expires = 0;  // Unix seconds; 0: never

  bool operator==(const Key&) const = default;
};

inline constexpr char kPlainKeyName[] = "api-key";  // of the key in the settings; a file may not have it
inline constexpr size_t kMaxKeys = 100000;

bool IsKeyName(std::string_view name);
KeyDigest DigestOf(std::string_view secret);
// "mote_" and 43 characters: 256 random bits. An error where the system gives none.
Result<std::string> MakeSecret();

// `path` is for messages, which name the line.
Result<std::vector<Key>> ParseKeys(std::string_view text, const std::string& path);
std::string WriteKeys(const std::vector<Key>& keys);

// Refuses a file that others may write.
Result<std::vector<Key>> LoadKeys(const std::string& path);

// Reads the file (none is an empty one), lets `change` alter the keys, and puts the new file in place of the old one:
// whole or not at all, mode 0600. Two programs that do so wait for each other.
Result<void> ChangeKeys(const std::string& path, const std::function<Result<void>(std::vector<Key>*)>& change);

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_AUTH_KEY_FILE_H_
