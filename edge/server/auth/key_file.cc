#include "edge/server/auth/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "edge/server/auth/base64url.h"
#include "edge/server/config/values.h"

namespace mote::server {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxFile = 64 << 20;

Error Malformed(const std::string& where, const std::string& what) {
  return Error{MOTE_MALFORMED, where + ": " + what};
}

Error System(const std::string& path) {
  return Error{MOTE_IO, path + ": " + strerror(errno)};
}

bool ReadDigest(const std::string& hex, KeyDigest* digest) {
  if (hex.size() != 64 || hex.find_first_not_of("0123456789abcdef") != std::string::npos) return false;
  for (size_t i = 0; i < digest->size(); ++i) {
    const auto nibble = [&](size_t at) { return hex[at] <= '9' ? hex[at] - '0' : hex[at] - 'a' + 10; };
    (*digest)[i] = static_cast<uint8_t>(nibble(2 * i) << 4 | nibble(2 * i + 1));
  }
  return true;
}

std::string WriteDigest(const KeyDigest& digest) {
  std::string hex;
  for (const uint8_t byte : digest) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  return hex;
}

std::string WriteRate(const Rate& rate) {
  char text[48];
  const char* unit = rate.seconds == 1 ? "s" : rate.seconds == 3600 ? "h" : rate.seconds == 86400 ? "day" : "min";
  snprintf(text, sizeof(text), "%.10g/%s", rate.count, unit);
  return text;
}

// One field of a key's line. False if it is of the wrong kind, or unknown.
bool ReadField(const std::string& field, const Json& value, Key* key) {
  const std::string text = value.is_string() ? value.get<std::string>() : "";
  const bool natural = value.is_number_unsigned() && value.get<uint64_t>() < uint64_t{1} << 40;
  if (field == "name") {
    key->name = text;
    return IsKeyName(text) && text != kPlainKeyName;
  }
  if (field == "sha256") return ReadDigest(text, &key->digest);
  if (field == "scopes") {
    const std::optional<Scopes> scopes = ReadScopes(text);
    key->scopes = scopes.value_or(0);
    return scopes.has_value();
  }
  if (field == "rate_limit" || field == "token_limit") {
    const std::optional<Rate> rate = ReadRate(text);
    (field == "rate_limit" ? key->limits.requests : key->limits.tokens) = rate;
    return rate.has_value();
  }
  if (!natural) return false;
  if (field == "created") key->created = value.get<int64_t>();
  if (field == "expires") key->expires = value.get<int64_t>();
  if (field == "concurrency") key->limits.concurrency = value.get<uint64_t>();
  return field == "created" || field == "expires" || field == "concurrency";
}

Result<Key> ParseKey(std::string_view line, const std::string& here) {
  std::set<std::string> seen;
  bool twice = false;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::key && depth == 1) twice |= !seen.insert(parsed.get<std::string>()).second;
    return true;
  };
  const Json json = Json::parse(line, watch, /*allow_exceptions=*/false);
  if (!json.is_object()) return Malformed(here, "must be a JSON object, as mote key new writes it");
  if (twice) return Malformed(here, "has a field twice");
  Key key;
  for (const auto& [field, value] : json.items()) {
    if (!ReadField(field, value, &key))
      return Malformed(here, "\"" + field.substr(0, 40) + "\" is unknown, or its value is wrong");
  }
  for (const char* field : {"name", "sha256", "scopes", "created"}) {
    if (!json.contains(field)) return Malformed(here, std::string("lacks \"") + field + "\"");
  }
  return key;
}

// An open file or folder.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }

 private:
  int fd_;
};

bool WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    text.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Result<void> Replace(const std::string& path, const std::string& text, int folder) {
  const std::string fresh = path + ".new";
  unlink(fresh.c_str());  // left behind by a program that was killed; the folder is locked
  {
    const Descriptor file(open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file.ok()) return System(fresh);
    if (!WriteAll(file.get(), text) || fsync(file.get()) != 0) {
      const Error error = System(fresh);
      unlink(fresh.c_str());
      return error;
    }
  }
  if (rename(fresh.c_str(), path.c_str()) != 0) {
    const Error error = System(path);
    unlink(fresh.c_str());
    return error;
  }
  if (fsync(folder) != 0) return System(FolderOf(path));
  return {};
}

}  // namespace

bool IsKeyName(std::string_view name) {
  constexpr char kLetters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@-";
  return !name.empty() && name.size() <= 64 && name.find_first_not_of(kLetters) == std::string_view::npos;
}

KeyDigest DigestOf(std::string_view secret) {
  KeyDigest digest;
  SHA256(reinterpret_cast<const uint8_t*>(secret.data()), secret.size(), digest.data());
  return digest;
}

Result<std::string> MakeSecret() {
  char bytes[32];
  if (RAND_bytes(reinterpret_cast<uint8_t*>(bytes), sizeof(bytes)) != 1) {
    return Error{MOTE_IO, "the system gives no random numbers"};
  }
  std::string secret = "mote_" + WriteBase64Url({bytes, sizeof(bytes)});
  OPENSSL_cleanse(bytes, sizeof(bytes));
  return secret;
}

Result<std::vector<Key>> ParseKeys(std::string_view text, const std::string& path) {
  std::vector<Key> keys;
  std::set<std::string> names;
  std::set<KeyDigest> digests;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = Trim(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) continue;
    const std::string here = path + ":" + std::to_string(number);
    Result<Key> key = ParseKey(line, here);
    if (!key) return key.error();
    if (!names.insert(key->name).second) return Malformed(here, "\"" + key->name + "\" is there twice");
    if (!digests.insert(key->digest).second) return Malformed(here, "this key is there twice");
    if (keys.size() == kMaxKeys) return Malformed(here, "there are more than " + std::to_string(kMaxKeys) + " keys");
    keys.push_back(std::move(*key));
  }
  return keys;
}

std::string WriteKeys(const std::vector<Key>& keys) {
  std::string text;
  for (const Key& key : keys) {
    Json json = {{"name", key.name},
                 {"sha256", WriteDigest(key.digest)},
                 {"scopes", WriteScopes(key.scopes)},
                 {"created", key.created}};
    if (key.expires != 0) json["expires"] = key.expires;
    if (key.limits.requests) json["rate_limit"] = WriteRate(*key.limits.requests);
    if (key.limits.tokens) json["token_limit"] = WriteRate(*key.limits.tokens);
    if (key.limits.concurrency) json["concurrency"] = *key.limits.concurrency;
    text += json.dump() + "\n";
  }
  return text;
}

Result<std::vector<Key>> LoadKeys(const std::string& path) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat facts;
  if (!file.ok() || fstat(file.get(), &facts) != 0) return System(path);
  if (!S_ISREG(facts.st_mode)) return Error{MOTE_INVALID_ARGUMENT, path + ": is no plain file"};
  if ((facts.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return Error{MOTE_INVALID_ARGUMENT, path + ": others may write it, and so make keys; try chmod 600 " + path};
  }
  std::string text;
  char buffer[65536];
  while (true) {
    const ssize_t got = read(file.get(), buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return System(path);
    if (got == 0) break;
    text.append(buffer, static_cast<size_t>(got));
    if (text.size() > kMaxFile) return Error{MOTE_INVALID_ARGUMENT, path + ": is larger than 64 MiB"};
  }
  return ParseKeys(text, path);
}

Result<void> ChangeKeys(const std::string& path, const std::function<Result<void>(std::vector<Key>*)>& change) {
  const std::string folder_name = FolderOf(path);
  const Descriptor folder(open(folder_name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.ok()) return System(folder_name);
  while (flock(folder.get(), LOCK_EX) != 0) {
    if (errno != EINTR) return System(folder_name);
  }
  std::vector<Key> keys;
  struct stat facts;
  const bool exists = lstat(path.c_str(), &facts) == 0;
  if (!exists && errno != ENOENT) return System(path);
  // A link would be replaced by a file, and what it points to would stay as it was.
  if (exists && !S_ISREG(facts.st_mode)) return Error{MOTE_INVALID_ARGUMENT, path + ": is no plain file"};
  if (exists) {
    Result<std::vector<Key>> loaded = LoadKeys(path);
    if (!loaded) return loaded.error();
    keys = std::move(*loaded);
  }
  const Result<void> changed = change(&keys);
  if (!changed) return changed;
  return Replace(path, WriteKeys(keys), folder.get());
}

}  // namespace mote::server
