// Every setting of the server. What each is called on the command line, in the environment and in a file, its range
// and its default stand in one table (setting_table.cc), which docs/configuration.md repeats; a test compares them.
#ifndef MOTE_EDGE_SERVER_CONFIG_SETTINGS_H_
#define MOTE_EDGE_SERVER_CONFIG_SETTINGS_H_

#include <stdint.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "edge/server/fetch/image_url.h"
#include "engine/api/mote.hpp"

namespace mote::server {

// A model to serve. Several with one name are precisions of one model.
struct ModelFile {
  std::string name;    // as requests call it; "": the file's name without .gguf
  std::string path;    // GGUF
  std::string mmproj;  // its vision file, or ""

  bool operator==(const ModelFile&) const = default;
};

// Where the server listens.
struct Endpoint {
  std::string host = "127.0.0.1";  // a numeric address, without brackets, or "localhost"
  uint16_t port = 8080;            // 0: any free one
  std::string socket_path;         // a socket file instead of host and port, or ""

  bool local() const;        // loopback, or a socket file
  std::string Text() const;  // "127.0.0.1:8080", "[::1]:8080", "unix:/run/mote.sock"
  bool operator==(const Endpoint&) const = default;
};

struct WorkerRange {
  uint32_t floor = 2, ceiling = 8;  // 1 to 256

  bool operator==(const WorkerRange&) const = default;
};

// So many in so many seconds; `count` 0: no limit.
struct Rate {
  double count = 0;
  double seconds = 60;

  bool limited() const { return count > 0; }
  double per_second() const { return count / seconds; }
  bool operator==(const Rate&) const = default;
};

// A key that signs tokens. One algorithm each.
struct JwtKeyFile {
  std::string algorithm;  // "HS256", "RS256", "ES256", "EdDSA"
  std::string id;         // tokens with a kid are held against the keys with this id; ""
  std::string path;       // PEM public key or certificate; for HS256 the secret's bytes, 32 or more

  bool operator==(const JwtKeyFile&) const = default;
};

// What an answer is drawn with where its request does not say. OpenAI's, where it has them.
struct SamplingDefaults {
  double temperature = 1, top_p = 1, min_p = 0.05;
  uint64_t top_k = 40;
  double presence_penalty = 0, frequency_penalty = 0, repeat_penalty = 1;
  uint64_t repeat_last_n = 64;

  bool operator==(const SamplingDefaults&) const = default;
};

enum class Device { kAuto, kCpu, kCuda };
// "auto", "cpu", "cuda".
constexpr const char* DeviceName(Device device) {
  return device == Device::kAuto ? "auto" : device == Device::kCpu ? "cpu" : "cuda";
}
enum class CacheStrategy { kLru, kLfu, kAdaptive };
enum class KeyRequirement { kAuto, kOn, kOff };  // kAuto: on as soon as a key, a JWT key or a client CA is configured
enum class MetricsCompat { kNone, kVllm, kLlamaCpp };
enum class LogFormat { kText, kJson };
enum class LogLevel { kError, kWarn, kInfo, kDebug };

// Times in seconds, sizes in bytes.
struct Settings {
  // Models.
  std::vector<ModelFile> models;  // empty: the model in the program
  std::string mmproj = "auto";    // of the first model: a file, "auto": the one beside it, "none"
  Device device = Device::kAuto;
  std::string gpu_layers = "auto";   // of each model on the GPU: a number, "auto": what fits, "all"
  bool fast_prompts = false;         // read prompts by a matrix unit, where there is one
  bool persistent_steps = false;     // on a GPU: one kernel for all layers of a generated token
  std::string autotune = "on";       // "on", "off", "again": trying out what is fastest here
  std::string split;                 // under mpirun: how layers are shared among its processes; empty: not
  uint64_t threads = 0;              // 0: one per core that the process may use
  uint64_t context = 0;              // tokens of each session; 0: the model's, at most 8192
  uint64_t slots = 8;                // sessions at once
  uint64_t batch_size = 512;         // tokens computed in one step, of all sessions
  uint64_t prefill_budget = 128;     // of these, tokens of prompts while streams are running
  std::string cache_type_k = "f16";  // of cached keys: "f16", "q8_0"
  std::string cache_type_v = "f16";  // of cached values
  uint64_t image_max_tokens = 0;     // of one view, where the tower takes any size; 0: the file's
  uint64_t memory_pool_size = 0;     // models, sessions and caches together; 0: no limit but the machine's
  WorkerRange workers;               // threads for requests
  std::string quantization = "off";  // "off", "adaptive", or a precision in lower case ("q8_0"), which serves all
  std::vector<std::string> repack = {"q8_0", "q4_k_m"};  // precisions that "adaptive" may make of a finer file
  std::string repack_dir;                                // where they are kept; "": in memory
  double repack_idle = 600;                              // without work, one that was made is given back

  // Listening.
  Endpoint bind;
  std::string tls_cert;                      // PEM, chain included
  std::string tls_key;                       // PEM
  std::string tls_client_ca;                 // PEM; clients must then show a certificate that it signed
  std::string tls_crl;                       // PEM; certificates of clients that are no longer good
  std::string tls_min_version = "1.3";       // "1.2", "1.3"
  bool insecure = false;                     // a public address without keys
  std::vector<std::string> allowed_hosts;    // names in Host beside the addresses' own; "*": any
  std::vector<std::string> trusted_proxies;  // addresses, networks (10.0.0.0/8), "unix": whose X-Forwarded-For counts
  uint64_t max_connections = 2048;
  uint64_t connections_per_address = 64;  // not of loopback, socket files and trusted proxies; 0: no limit
  double header_timeout = 10;             // TLS handshake and headers, from accept to the last byte
  double idle_timeout = 15;               // between requests of one connection
  double write_timeout = 20;              // a reader that takes nothing
  uint64_t min_body_rate = 1024;          // bytes a second that a body must come with, after header_timeout
  uint64_t stream_buffer = 256 << 10;     // bytes that a reader may be behind
  uint64_t max_line = 8 << 10;            // bytes of the request line, and of each header
  uint64_t max_header = 32 << 10;         // bytes of all headers
  uint64_t max_header_fields = 100;
  uint64_t max_body = 24 << 20;

  // Requests.
  uint64_t max_json_depth = 64;
  uint64_t max_image = 16 << 20;         // bytes of one image file
  uint64_t max_images = 8;               // in one request
  uint64_t max_image_pixels = 16777216;  // of one image
  std::vector<ImageHost> image_hosts;    // from which requests may name images; none: nothing is fetched
  double image_timeout = 10;             // for fetching the images of a request
  std::string image_ca;                  // PEM; whom to believe there in place of the system's
  SamplingDefaults sampling;             // for what a request leaves out
  uint64_t max_tokens = 0;               // that one answer may have; 0: the context
  uint64_t max_choices = 8;              // n
  uint64_t max_stop = 16;                // stop texts
  uint64_t queue_length = 256;           // requests that wait for a session
  double queue_timeout = 30;             // and how long
  double request_timeout = 300;          // from the arrival to the end of the answer
  double drain_timeout = 30;             // streams may go on so long after SIGTERM
  double lame_duck = 5;                  // not ready, but still accepting, after SIGTERM

  // Caches.
  uint64_t cache_size = 64 << 20;  // of answers; 0: off
  CacheStrategy cache_strategy = CacheStrategy::kAdaptive;
  double cache_ttl = 3600;
  uint64_t image_cache_size = 128 << 20;  // of encoded images; 0: off

  // Who may do what.
  KeyRequirement api_key_required = KeyRequirement::kAuto;
  std::string key_file;  // made by `mote key new`
  std::string api_key;   // one plain key with every scope but admin; a file is better
  std::vector<JwtKeyFile> jwt_keys;
  std::string jwt_issuer;
  std::string jwt_audience;
  bool cors_enabled = false;
  std::vector<std::string> cors_origins;  // "https://app.example"
  Rate rate_limit;                        // requests of one key; of one address where no key is shown
  Rate token_limit;                       // tokens, prompt and answer, of the same
  Rate address_rate_limit;                // requests of one address, whatever its keys; not of loopback
  uint64_t concurrency_per_key = 32;      // requests of one key at once; 0: no limit

  // Being operated.
  LogLevel log_level = LogLevel::kInfo;
  LogFormat log_format = LogFormat::kText;
  MetricsCompat metrics_compat = MetricsCompat::kNone;
  bool throttle_backoff = true;
  bool page = true;  // at /

  // Not a setting: what should be told at the start, a line each (variables that look like settings and are none).
  std::vector<std::string> notes;

  bool operator==(const Settings&) const = default;
  bool has_keys() const { return !key_file.empty() || !api_key.empty() || !jwt_keys.empty(); }
  bool mutual_tls() const { return !tls_client_ca.empty(); }
  bool key_required() const {
    return api_key_required == KeyRequirement::kOn ||
           (api_key_required == KeyRequirement::kAuto && (has_keys() || mutual_tls()));
  }
};

// Where settings come from, so that tests can say it.
struct SettingSources {
  std::vector<std::string> arguments;              // the words after `mote serve`
  std::map<std::string, std::string> environment;  // an empty value counts as none
  std::function<Result<std::string>(const std::string& path)> read_file;
};

// This process' environment and files.
SettingSources SystemSources(std::vector<std::string> arguments);

// Command line, before MOTE_... variables, before plain variables, before the file of --config (or MOTE_CONFIG), before
// defaults. The error names the source: "MAX_CONNECTIONS=abc (environment): must be 1 to 65535". Includes Check.
Result<Settings> ReadSettings(const SettingSources& sources);

// What depends on several settings: a public address without keys, a certificate without its key, ...
Result<void> Check(const Settings& settings);

// For `mote serve --help`.
std::string SettingsHelp();

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_CONFIG_SETTINGS_H_
