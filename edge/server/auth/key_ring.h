// The keys that open the server: looked up without a hint in the time it takes, read again when their file changes.
#ifndef MOTE_EDGE_SERVER_AUTH_KEY_RING_H_
#define MOTE_EDGE_SERVER_AUTH_KEY_RING_H_

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "edge/server/auth/key_file.h"

namespace mote::server {

class KeyRing {
 public:
  // `file` and `plain` as in the settings, each may be "". The file must be there and right at the start.
  static Result<std::unique_ptr<KeyRing>> Open(const std::string& file, const std::string& plain);

  // The key, expired or not; nothing where there is none. Goes through all keys to the end whatever matches, and
  // compares digests of the whole secret. Blank secrets match none. Any thread.
  std::optional<Key> Find(std::string_view secret) const;

  // Reads the file again if it differs in time, size or identity from what was read, or if `force`. True where the keys
  // are new. On an error those of before stay. Any thread; readers never wait for the file.
  Result<bool> Reload(bool force);

  size_t size() const { return Keys()->size(); }

 private:
  struct Stamp {
    uint64_t device = 0, node = 0, size = 0;
    int64_t seconds = 0, nanoseconds = 0;
    bool operator==(const Stamp&) const = default;
  };

  KeyRing() = default;
  std::shared_ptr<const std::vector<Key>> Keys() const;
  static Stamp StampOf(const std::string& path);

  std::string file_;
  std::optional<Key> plain_;
  mutable std::mutex mutex_;  // of keys_
  std::shared_ptr<const std::vector<Key>> keys_;
  std::mutex loading_;  // of stamp_
  Stamp stamp_;
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_AUTH_KEY_RING_H_
