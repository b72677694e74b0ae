// mote key: makes, lists and revokes the keys of the server's clients.
#include <stdlib.h>
#include <time.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "edge/cli/commands.h"
#include "edge/cli/console.h"
#include "edge/cli/json_text.h"
#include "edge/cli/options.h"
#if MOTE_HAVE_SERVER
#include "edge/server/auth/key_file.h"
#include "edge/server/config/values.h"
#endif

namespace mote::cli {
#if MOTE_HAVE_SERVER
namespace {

using server::Key;
using Json = nlohmann::ordered_json;

struct KeyOptions {
  std::string file;
  std::string name;
  std::string scopes = "chat,embed,metrics";
  double expires_days = 0;
  std::string rate_limit;
  std::string token_limit;
  std::string concurrency;
  bool json = false;

  const std::string& FileOrUsage() {
    const char* variable = getenv("MOTE_KEY_FILE");
    if (file.empty() && variable != nullptr) file = variable;
    if (file.empty()) WrongWords("no file of keys given; try --file KEYS, or set MOTE_KEY_FILE");
    return file;
  }
};

std::string Day(int64_t seconds) {
  if (seconds == 0) return "never";
  const time_t time = static_cast<time_t>(seconds);
  struct tm parts;
  if (gmtime_r(&time, &parts) == nullptr) return std::to_string(seconds);
  return Format("%04d-%02d-%02d", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday);
}

std::optional<server::Rate> RateOrUsage(const char* option, const std::string& text) {
  if (text.empty()) return std::nullopt;
  const std::optional<server::Rate> rate = server::ReadRate(text);
  if (!rate)
    WrongWords(Format("%s is \"%s\"; it must be a count and a time, like 60/min or 10/s", option, text.c_str()));
  return rate;
}

// A name that no key has: the first characters of its digest.
std::string NameOf(const server::KeyDigest& digest) {
  return Format("key-%02x%02x%02x%02x", digest[0], digest[1], digest[2], digest[3]);
}

void FailOn(const Result<void>& result) {
  if (!result) Fail(result.error().message);
}

// On stdout, at once: whether it was seen decides whether it stays.
void PrintNew(const KeyOptions& options, const Key& key, const std::string& secret) {
  if (options.json) {
    const Json json = {{"name", key.name},       {"key", secret},          {"scopes", server::WriteScopes(key.scopes)},
                       {"created", key.created}, {"expires", key.expires}, {"file", options.file}};
    Write(JsonText(json) + "\n");
  } else {
    Write(secret + "\n");
  }
  FlushOutput();
}

int New(KeyOptions options) {
  options.FileOrUsage();
  Key key;
  if (!options.name.empty() && (!server::IsKeyName(options.name) || options.name == server::kPlainKeyName)) {
    WrongWords(Format("--name is \"%s\"; it must be 1 to 64 of A-Z a-z 0-9 . _ @ -, and not %s", options.name.c_str(),
                      server::kPlainKeyName));
  }
  const std::optional<server::Scopes> scopes = server::ReadScopes(options.scopes);
  if (!scopes) {
    WrongWords(Format("--scopes is \"%s\"; it must be some of chat,embed,metrics,admin", options.scopes.c_str()));
  }
  key.scopes = *scopes;
  key.limits.requests = RateOrUsage("--rate-limit", options.rate_limit);
  key.limits.tokens = RateOrUsage("--token-limit", options.token_limit);
  if (!options.concurrency.empty()) key.limits.concurrency = server::ReadCount(options.concurrency);
  key.created = time(nullptr);
  if (options.expires_days > 0) key.expires = key.created + static_cast<int64_t>(options.expires_days * 86400);
  const Result<std::string> secret = server::MakeSecret();
  if (!secret) Fail(secret.error().message);
  key.digest = server::DigestOf(*secret);
  key.name = options.name.empty() ? NameOf(key.digest) : options.name;
  FailOn(server::ChangeKeys(options.file, [&](std::vector<Key>* keys) -> Result<void> {
    for (const Key& other : *keys) {
      if (other.name == key.name) {
        return Error{MOTE_INVALID_ARGUMENT,
                     options.file + " has a key \"" + key.name + "\" already; try another --name"};
      }
    }
    if (keys->size() >= server::kMaxKeys) return Error{MOTE_INVALID_ARGUMENT, options.file + " is full"};
    keys->push_back(key);
    return {};
  }));
  try {
    PrintNew(options, key, *secret);
  } catch (const Failure& failure) {
    // A key that nobody has seen must not stand in the file.
    FailOn(server::ChangeKeys(options.file, [&](std::vector<Key>* keys) -> Result<void> {
      std::erase_if(*keys, [&](const Key& other) { return other.digest == key.digest; });
      return {};
    }));
    Fail(std::string(failure.what()) + "; the key was taken out of " + options.file + " again");
  }
  Note(Format("key %s (%s) of %s, expires: %s. It is not shown again: the file has only its digest.", key.name.c_str(),
              server::WriteScopes(key.scopes).c_str(), options.file.c_str(), Day(key.expires).c_str()));
  return kDone;
}

int List(KeyOptions options) {
  const Result<std::vector<Key>> keys = server::LoadKeys(options.FileOrUsage());
  if (!keys) Fail(keys.error().message);
  const int64_t now = time(nullptr);
  if (options.json) {
    Json json = Json::array();
    for (const Key& key : *keys) {
      json.push_back({{"name", key.name},
                      {"scopes", server::WriteScopes(key.scopes)},
                      {"created", key.created},
                      {"expires", key.expires},
                      {"expired", key.expires != 0 && key.expires <= now}});
    }
    Write(JsonText(json) + "\n");
  } else {
    size_t widest = 4;
    for (const Key& key : *keys) widest = std::max(widest, key.name.size());
    const int width = static_cast<int>(widest);
    Write(Format("%-*s  %-10s  %-10s  %s\n", width, "name", "created", "expires", "scopes"));
    for (const Key& key : *keys) {
      const bool expired = key.expires != 0 && key.expires <= now;
      Write(Format("%-*s  %-10s  %-10s  %s%s\n", width, key.name.c_str(), Day(key.created).c_str(),
                   Day(key.expires).c_str(), server::WriteScopes(key.scopes).c_str(), expired ? " (expired)" : ""));
    }
  }
  FlushOutput();
  return kDone;
}

int Revoke(KeyOptions options) {
  options.FileOrUsage();
  if (options.name.empty()) WrongWords("no NAME given; mote key list shows them");
  FailOn(server::ChangeKeys(options.file, [&](std::vector<Key>* keys) -> Result<void> {
    const size_t erased = std::erase_if(*keys, [&](const Key& key) { return key.name == options.name; });
    if (erased == 0) {
      return Error{MOTE_NOT_FOUND, options.file + " has no key \"" + options.name + "\"; mote key list shows them"};
    }
    return {};
  }));
  Note(Format("key %s of %s is revoked; a running server refuses it within two seconds", options.name.c_str(),
              options.file.c_str()));
  return kDone;
}

void AddCommon(CLI::App* command, KeyOptions* options) {
  command->add_option("--file", options->file, "The file of keys; without it, MOTE_KEY_FILE");
}

}  // namespace

void AddKey(CLI::App& app, Action* action) {
  CLI::App* command = app.add_subcommand("key", "Make, list and revoke keys of the server's clients");
  command->require_subcommand(1);
  const auto options = std::make_shared<KeyOptions>();
  CLI::App* fresh = command->add_subcommand("new", "Make a key; it is printed once, and stored as a digest");
  AddCommon(fresh, options.get());
  fresh->add_option("--name", options->name, "What logs and limits call its owner; without it, one is made up");
  fresh->add_option("--scopes", options->scopes, "What it may: some of chat,embed,metrics,admin")
      ->capture_default_str();
  fresh->add_option("--expires", options->expires_days, "Days until it is refused; 0: never")->check(Within(0, 36500));
  fresh->add_option("--rate-limit", options->rate_limit, "Requests, like 60/min; without it, the server's");
  fresh->add_option("--token-limit", options->token_limit, "Tokens, like 100000/min; without it, the server's");
  fresh->add_option("--concurrency", options->concurrency, "Requests at once, 0: any; without it, the server's")
      ->transform(WholeWithin(0, 65535));
  fresh->add_flag("--json", options->json, "One JSON object instead of the key alone");
  fresh->callback([=] { *action = [=] { return New(*options); }; });
  CLI::App* list = command->add_subcommand("list", "Names, dates and scopes");
  AddCommon(list, options.get());
  list->add_flag("--json", options->json, "A JSON array instead of a table");
  list->callback([=] { *action = [=] { return List(*options); }; });
  CLI::App* revoke = command->add_subcommand("revoke", "Take a key out of the file");
  AddCommon(revoke, options.get());
  revoke->add_option("NAME", options->name, "The key's name");
  revoke->callback([=] { *action = [=] { return Revoke(*options); }; });
}

#else  // the server's libraries are missing for this target

void AddKey(CLI::App& app, Action* action) {
  CLI::App* command = app.add_subcommand("key", "Keys of the server's clients (not in this build)");
  command->allow_extras();
  command->callback([=] {
    *action = []() -> int { Fail("this build has no server: at build time it lacked " MOTE_SERVER_MISSING); };
  });
}

#endif
}  // namespace mote::cli
