#include "edge/server/auth/key_ring.h"

#include <openssl/crypto.h>
#include <sys/stat.h>

#include <utility>

namespace mote::server {
namespace {

// Longer ones are no keys of ours; their hashing is not worth the time.
constexpr size_t kMaxSecret = 512;

}  // namespace

Result<std::unique_ptr<KeyRing>> KeyRing::Open(const std::string& file, const std::string& plain) {
  std::unique_ptr<KeyRing> ring(new KeyRing);
  ring->file_ = file;
  ring->keys_ = std::make_shared<const std::vector<Key>>();
  if (!plain.empty()) {
    Key key;
    key.name = kPlainKeyName;
    key.digest = DigestOf(plain);
    key.scopes = kUsualScopes;
    ring->plain_ = key;
  }
  const Result<bool> loaded = ring->Reload(/*force=*/true);
  if (!loaded) return loaded.error();
  return ring;
}

std::shared_ptr<const std::vector<Key>> KeyRing::Keys() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return keys_;
}

std::optional<Key> KeyRing::Find(std::string_view secret) const {
  if (secret.empty() || secret.size() > kMaxSecret) return std::nullopt;
  const std::shared_ptr<const std::vector<Key>> keys = Keys();
  const KeyDigest digest = DigestOf(secret);
  // No branch depends on a digest until all have been compared.
  uint64_t found = 0;  // one more than the place
  for (size_t i = 0; i < keys->size(); ++i) {
    const auto differs = static_cast<uint64_t>(CRYPTO_memcmp((*keys)[i].digest.data(), digest.data(), digest.size()));
    const uint64_t same = (differs - 1) >> 63;  // 1 where it is 0
    found |= (i + 1) & (0 - same);
  }
  if (found == 0) return std::nullopt;
  return (*keys)[found - 1];
}

KeyRing::Stamp KeyRing::StampOf(const std::string& path) {
  struct stat facts;
  if (path.empty() || stat(path.c_str(), &facts) != 0) return {};
  return {facts.st_dev, facts.st_ino, static_cast<uint64_t>(facts.st_size), facts.st_mtim.tv_sec,
          facts.st_mtim.tv_nsec};
}

Result<bool> KeyRing::Reload(bool force) {
  const std::lock_guard<std::mutex> lock(loading_);
  // Before reading: a change that comes while the file is read is found the next time.
  const Stamp stamp = StampOf(file_);
  if (!force && (file_.empty() || stamp == stamp_)) return false;
  std::vector<Key> keys;
  if (!file_.empty()) {
    Result<std::vector<Key>> loaded = LoadKeys(file_);
    stamp_ = stamp;  // a wrong file is told once, not once a second
    if (!loaded) return loaded.error();
    keys = std::move(*loaded);
  }
  if (plain_) keys.push_back(*plain_);
  auto fresh = std::make_shared<const std::vector<Key>>(std::move(keys));
  {
    const std::lock_guard<std::mutex> publish(mutex_);
    keys_.swap(fresh);
  }
  return true;
}

}  // namespace mote::server
