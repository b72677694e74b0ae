#include "edge/server/config/setting_table.h"

#include <algorithm>

#include "edge/server/config/values.h"
#include "edge/server/serving/precision.h"

namespace mote::server {
namespace {

constexpr double kMany = 4294967295.0;
constexpr double kEverything = 9e18;
constexpr double kDay = 86400;

// A parser that sets one member to what `Read` makes of the text.
template <auto Member, auto Read>
bool Own(std::string_view text, Settings* settings) {
  auto value = Read(text);
  if (!value) return false;
  settings->*Member = std::move(*value);
  return true;
}

template <auto Member, auto Read>
bool OwnList(std::string_view text, Settings* settings) {
  for (const std::string_view piece : Split(text, ';')) {
    auto value = Read(piece);
    if (!value) return false;
    (settings->*Member).push_back(std::move(*value));
  }
  return true;
}

// The values of an enum in the order of their words.
template <auto Member>
bool Choice(std::string_view text, Settings* settings) {
  using Enum = std::remove_reference_t<decltype(settings->*Member)>;
  settings->*Member = static_cast<Enum>(ReadCount(text).value_or(0));
  return true;
}

bool ParseHost(std::string_view text, Settings* settings) {
  return ReadHost(text, &settings->bind);
}

bool ParsePort(std::string_view text, Settings* settings) {
  const std::optional<uint64_t> port = ReadCount(text);
  if (!port || *port > 65535) return false;
  settings->bind.port = static_cast<uint16_t>(*port);
  return true;
}

bool ParseRequirement(std::string_view text, Settings* settings) {
  const std::optional<bool> on = ReadSwitch(text);
  if (!on && LowerCase(text) != "auto") return false;
  settings->api_key_required = !on ? KeyRequirement::kAuto : *on ? KeyRequirement::kOn : KeyRequirement::kOff;
  return true;
}

// A precision is named as the type of a GGUF file is. Which ones are loaded is known later.
bool ParseQuantization(std::string_view text, Settings* settings) {
  const std::string name = LowerCase(text);
  bool right = name == "off" || name == "adaptive";
  for (const char* family : {"f", "bf", "q", "iq", "tq", "mxfp"}) {
    const std::string_view rest = std::string_view(name).substr(std::min(name.size(), std::string(family).size()));
    right = right || (name.starts_with(family) && !rest.empty() && rest[0] >= '1' && rest[0] <= '9' &&
                      rest.find_first_not_of("0123456789_abcdefghijklmnopqrstuvwxyz") == std::string_view::npos);
  }
  if (!right) return false;
  settings->quantization = name;
  return true;
}

bool ParseGpuLayers(std::string_view text, Settings* settings) {
  const bool number = !text.empty() && text.size() <= 6 && text.find_first_not_of("0123456789") == text.npos;
  if (!number && text != "auto" && text != "all") return false;
  settings->gpu_layers = text;
  return true;
}

// Precisions that a model can be repacked to.
bool ParseRepack(std::string_view text, Settings* settings) {
  settings->repack.clear();
  if (LowerCase(text) == "none") return true;
  for (const std::string_view piece : Split(text, ',')) {
    const std::string name = LowerCase(piece);
    if (BitsOf(name) == 0 || BitsOf(name) > 16) return false;
    settings->repack.push_back(name);
  }
  return !settings->repack.empty();
}

template <auto Member>
bool Sampling(std::string_view text, Settings* settings) {
  const std::optional<double> value = ReadNumber(text);
  if (!value) return false;
  settings->sampling.*Member = *value;
  return true;
}

template <auto Member>
bool SamplingCount(std::string_view text, Settings* settings) {
  const std::optional<uint64_t> value = ReadCount(text);
  if (!value) return false;
  settings->sampling.*Member = *value;
  return true;
}

using S = Settings;
using D = SamplingDefaults;
using W = Written;
constexpr char kModels[] = "Models";
constexpr char kListening[] = "Listening";
constexpr char kRequests[] = "Requests";
constexpr char kCaches[] = "Caches";
constexpr char kAccess[] = "Who may do what";
constexpr char kOperating[] = "Being operated";
constexpr char kRateWords[] = "a count and a time, like 60/min or 10/s; 0: no limit";
constexpr char kEndpointWords[] = "ADDRESS:PORT with a numeric address, [IPV6]:PORT, localhost:PORT or unix:/PATH";

// clang-format off
const Setting kTable[] = {
    {kModels, "model", "-m", "MODEL_PATH", W::kOwnList, 0, 0, "[NAME=]FILE[,mmproj=FILE]", "",
     "A GGUF file, and its vision file; several with ; between. One NAME twice: two precisions of a model. None: the model in the program",
     {}, OwnList<&S::models, ReadModelFile>},
    {kModels, "mmproj", "", "", W::kText, 0, 0, "", "auto", "Vision file of the first model; auto: the one beside it; none", &S::mmproj},
    {kModels, "device", "", "DEVICE", W::kChoice, 0, 0, "auto|cpu|cuda", "auto", "What computes", {}, Choice<&S::device>},
    {kModels, "gpu_layers", "-ngl", "", W::kOwn, 0, 0, "a number, auto (what fits) or all", "auto",
     "Layers of each model on the GPU, the last so many", {}, ParseGpuLayers},
    {kModels, "fast_prompts", "", "", W::kSwitch, 0, 0, "", "off",
     "Read prompts by a matrix unit of the processor (AMX) or of the GPU (Hopper), where there is one: 1.2 to 2.1 times as fast, with other rounding than what is generated", &S::fast_prompts},
    {kModels, "persistent_steps", "", "", W::kSwitch, 0, 0, "", "off",
     "On a GPU: one kernel for all layers of a generated token (experimental)", &S::persistent_steps},
    {kModels, "autotune", "", "", W::kChoice, 0, 0, "on|off|again", "on",
     "Try out at the start what is fastest on this machine, and remember it in the user's cache folder; off: neither; again: try anew", &S::autotune},
    {kModels, "split", "", "", W::kText, 0, 0, "", "",
     "Under mpirun: share the model's layers among its processes (two_machines.md): auto, a number of layers for the first of two, or shares as 3:2", &S::split},
    {kModels, "threads", "-t", "", W::kCount, 0, 1024, "", "0", "Threads that compute; 0: one per core that the process may use, and for small steps fewer", &S::threads},
    {kModels, "ctx_size", "-c", "", W::kCount, 0, 1 << 24, "", "0", "Context of each session in tokens; 0: the model's, at most 8192", &S::context},
    {kModels, "slots", "-np --parallel", "", W::kCount, 1, 4096, "", "8", "Sessions at once; further requests wait", &S::slots},
    {kModels, "batch_size", "-b", "BATCH_SIZE", W::kCount, 1, 8192, "", "512", "Tokens computed in one step, of all sessions", &S::batch_size},
    {kModels, "prefill_budget", "", "", W::kCount, 1, 8192, "", "128", "Of these, tokens of prompts while others are being answered", &S::prefill_budget},
    {kModels, "cache_type_k", "-ctk", "", W::kChoice, 0, 0, "f16|q8_0", "f16", "Type of cached keys", &S::cache_type_k},
    {kModels, "cache_type_v", "-ctv", "", W::kChoice, 0, 0, "f16|q8_0", "f16", "Type of cached values", &S::cache_type_v},
    {kModels, "image_max_tokens", "", "", W::kCount, 0, 65536, "", "0", "Tokens of one view, where the tower takes any size; 0: the file's", &S::image_max_tokens},
    {kModels, "memory_pool_size", "--memory-limit", "MEMORY_POOL_SIZE", W::kBytes, 0, kEverything, "", "0",
     "Bytes for models, sessions and caches together; 0: what the machine has", &S::memory_pool_size},
    {kModels, "num_workers", "", "NUM_WORKERS", W::kOwn, 0, 0, "a number, or a floor and a ceiling like 2-8; 1 to 256", "2-8",
     "Threads that read requests, images and prompts; between the two, load decides", {}, Own<&S::workers, ReadWorkers>},
    {kModels, "quantization_mode", "", "QUANTIZATION_MODE", W::kOwn, 0, 0, "off, adaptive, or a precision like q8_0", "off",
     "Which precision answers: the first file's, the one that load, deadline and request ask for, or always one", {}, ParseQuantization},
    {kModels, "repack", "", "", W::kOwn, 0, 0, "none, or precisions with commas between, like q8_0,q4_k_m", "q8_0,q4_k_m",
     "What adaptive may make of a finer file while serving, when those that are loaded are busy and memory allows", {}, ParseRepack},
    {kModels, "repack_dir", "", "", W::kText, 0, 0, "", "", "Folder where these are kept, for the next time as well; none: in memory", &S::repack_dir},
    {kModels, "repack_idle", "", "", W::kSeconds, 1, 30 * kDay, "", "600", "One that was made is given back after so long without work", &S::repack_idle},

    {kListening, "bind_addr", "", "BIND_ADDR", W::kOwn, 0, 0, kEndpointWords, "127.0.0.1:8080",
     "Where to listen; an address that others reach needs keys, a client CA, or --insecure", {}, Own<&S::bind, ReadEndpoint>},
    {kListening, "host", "", "", W::kOwn, 0, 0, "a numeric address, localhost or unix:/PATH", "127.0.0.1", "The address alone", {}, ParseHost},
    {kListening, "port", "", "", W::kOwn, 0, 0, "0 to 65535", "8080", "The port alone; 0: any free one, told at the start", {}, ParsePort},
    {kListening, "tls_cert", "--ssl-cert-file", "", W::kText, 0, 0, "", "", "Certificate with its chain (PEM); TLS is on with it", &S::tls_cert},
    {kListening, "tls_key", "--ssl-key-file", "", W::kText, 0, 0, "", "", "The certificate's private key (PEM)", &S::tls_key},
    {kListening, "tls_client_ca", "", "", W::kText, 0, 0, "", "", "Clients must show a certificate signed by this CA (PEM)", &S::tls_client_ca},
    {kListening, "tls_crl", "", "", W::kText, 0, 0, "", "", "Revocation lists (PEM), one of each CA that signs clients' certificates; SIGHUP reads them again", &S::tls_crl},
    {kListening, "tls_min_version", "", "", W::kChoice, 0, 0, "1.2|1.3", "1.3", "The oldest TLS that is spoken", &S::tls_min_version},
    {kListening, "insecure", "", "", W::kSwitch, 0, 0, "", "off", "Serve an address that others reach to everybody", &S::insecure},
    {kListening, "allowed_hosts", "", "", W::kList, 0, 0, "", "", "Names that a Host header may have, beside the address' own; *: any", &S::allowed_hosts},
    {kListening, "trusted_proxies", "", "", W::kList, 0, 0, "", "", "Addresses, networks (10.0.0.0/8) or unix: whose X-Forwarded-For counts", &S::trusted_proxies},
    {kListening, "max_connections", "", "MAX_CONNECTIONS", W::kCount, 1, 65535, "", "2048", "Connections at once", &S::max_connections},
    {kListening, "connections_per_address", "", "", W::kCount, 0, 65535, "", "64",
     "Of one address (IPv6: of one /64), unless it is loopback or a trusted proxy; 0: no limit", &S::connections_per_address},
    {kListening, "header_timeout", "", "", W::kSeconds, 0.1, kDay, "", "10", "For the TLS handshake and all headers together", &S::header_timeout},
    {kListening, "idle_timeout", "", "", W::kSeconds, 0.1, kDay, "", "15", "A connection may wait for its next request", &S::idle_timeout},
    {kListening, "write_timeout", "", "", W::kSeconds, 0.1, kDay, "", "20", "A client may take nothing of its answer", &S::write_timeout},
    {kListening, "min_body_rate", "", "", W::kBytes, 0, 1 << 30, "", "1K", "Bytes a second that a body must come with, after header_timeout", &S::min_body_rate},
    {kListening, "stream_buffer", "", "", W::kBytes, 4096, 1 << 30, "", "256K", "A client may be so far behind its stream", &S::stream_buffer},
    {kListening, "max_line", "", "", W::kBytes, 256, 1 << 20, "", "8K", "The request line, and each header", &S::max_line},
    {kListening, "max_header", "", "", W::kBytes, 1024, 1 << 24, "", "32K", "All headers", &S::max_header},
    {kListening, "max_header_fields", "", "", W::kCount, 8, 10000, "", "100", "Headers of a request", &S::max_header_fields},
    {kListening, "max_body", "", "", W::kBytes, 1024, kMany, "", "24M", "A request's body, images included", &S::max_body},

    {kRequests, "max_json_depth", "", "", W::kCount, 4, 1000, "", "64", "Nesting of JSON", &S::max_json_depth},
    {kRequests, "max_image", "", "", W::kBytes, 1024, kMany, "", "16M", "One image file, decoded from base64", &S::max_image},
    {kRequests, "max_images", "", "", W::kCount, 0, 1000, "", "8", "Images of a request", &S::max_images},
    {kRequests, "max_image_pixels", "", "", W::kCount, 1, 268435456, "", "16777216", "Pixels of one image", &S::max_image_pixels},
    {kRequests, "image_hosts", "--image-host", "", W::kOwnList, 0, 0, "HOST[:PORT], http://HOST[:PORT], or an address with its port", "",
     "Hosts that images may be fetched from, exactly these, several with ; between; https unless it says http. None: data URLs alone",
     {}, OwnList<&S::image_hosts, ReadImageHost>},
    {kRequests, "image_timeout", "", "", W::kSeconds, 0.1, 300, "", "10", "For fetching the images of a request", &S::image_timeout},
    {kRequests, "image_ca", "", "", W::kText, 0, 0, "", "", "Certificates (PEM) that those hosts are held against; none: the system's", &S::image_ca},
    {kRequests, "temperature", "--temp", "", W::kNumber, 0, 2, "", "1", "For requests that do not say; so are the next seven", {}, Sampling<&D::temperature>},
    {kRequests, "top_p", "", "", W::kNumber, 0, 1, "", "1", "Likeliest tokens that make up this share", {}, Sampling<&D::top_p>},
    {kRequests, "top_k", "", "", W::kNumber, 0, 1048576, "", "40", "So many likeliest tokens; 0: all", {}, SamplingCount<&D::top_k>},
    {kRequests, "min_p", "", "", W::kNumber, 0, 1, "", "0.05", "Tokens at least so likely, of the likeliest", {}, Sampling<&D::min_p>},
    {kRequests, "presence_penalty", "", "", W::kNumber, -2, 2, "", "0", "Of tokens that are there already", {}, Sampling<&D::presence_penalty>},
    {kRequests, "frequency_penalty", "", "", W::kNumber, -2, 2, "", "0", "The same, each time that they are there", {}, Sampling<&D::frequency_penalty>},
    {kRequests, "repeat_penalty", "", "", W::kNumber, 0.01, 10, "", "1", "The same, as a factor", {}, Sampling<&D::repeat_penalty>},
    {kRequests, "repeat_last_n", "", "", W::kNumber, 0, 1048576, "", "64", "Tokens that these three look back at", {}, SamplingCount<&D::repeat_last_n>},
    {kRequests, "max_tokens", "", "", W::kCount, 0, 1 << 24, "", "0", "Tokens of one answer; 0: as many as the context holds", &S::max_tokens},
    {kRequests, "max_choices", "", "", W::kCount, 1, 128, "", "8", "Answers to one request (n)", &S::max_choices},
    {kRequests, "max_stop", "", "", W::kCount, 0, 64, "", "16", "Stop texts of a request", &S::max_stop},
    {kRequests, "queue_length", "", "", W::kCount, 0, 65536, "", "256", "Requests that may wait for a session; of one key, half as many", &S::queue_length},
    {kRequests, "queue_timeout", "", "", W::kSeconds, 0.1, kDay, "", "30", "And how long", &S::queue_timeout},
    {kRequests, "request_timeout", "", "REQUEST_TIMEOUT", W::kSeconds, 0.1, 7 * kDay, "", "300", "From a request's arrival to the end of its answer", &S::request_timeout},
    {kRequests, "drain_timeout", "", "", W::kSeconds, 0, kDay, "", "30", "Answers may go on so long after SIGTERM", &S::drain_timeout},
    {kRequests, "lame_duck", "", "", W::kSeconds, 0, kDay, "", "5", "After SIGTERM: not ready, but requests are still taken", &S::lame_duck},

    {kCaches, "cache_size", "", "CACHE_SIZE", W::kBytes, 0, kEverything, "", "64M", "Answers that are certain to repeat; 0: off", &S::cache_size},
    {kCaches, "cache_strategy", "", "CACHE_STRATEGY", W::kChoice, 0, 0, "lru|lfu|adaptive", "adaptive", "Which answer goes when the cache is full", {}, Choice<&S::cache_strategy>},
    {kCaches, "cache_ttl", "", "", W::kSeconds, 1, 365 * kDay, "", "3600", "How long an answer is kept", &S::cache_ttl},
    {kCaches, "image_cache_size", "", "", W::kBytes, 0, kEverything, "", "128M", "Encoded images; 0: off", &S::image_cache_size},

    {kAccess, "api_key_required", "", "API_KEY_REQUIRED", W::kOwnSwitch, 0, 0, "on, off or auto", "auto",
     "on: a key or token is needed; auto: that or a client's certificate, as soon as any of them is configured; off: neither", {}, ParseRequirement},
    {kAccess, "key_file", "--api-key-file", "", W::kText, 0, 0, "", "", "Keys made by mote key new; read again when it changes", &S::key_file},
    {kAccess, "api_key", "", "", W::kText, 16, 512, "16 to 512 visible ASCII characters", "",
     "One key as it is, with every scope but admin; a key file shows nothing in the process list", &S::api_key, nullptr, true},
    {kAccess, "jwt_keys", "--jwt-key", "", W::kOwnList, 0, 0, "ALGORITHM[:ID]=FILE with HS256, RS256, ES256 or EdDSA", "",
     "Keys that sign tokens (JWT), several with ; between: PEM, or for HS256 a file with the secret's bytes", {}, OwnList<&S::jwt_keys, ReadJwtKeyFile>},
    {kAccess, "jwt_issuer", "", "", W::kText, 0, 0, "", "", "What a token's iss must be", &S::jwt_issuer},
    {kAccess, "jwt_audience", "", "", W::kText, 0, 0, "", "", "What a token's aud must have", &S::jwt_audience},
    {kAccess, "cors_enabled", "", "CORS_ENABLED", W::kSwitch, 0, 0, "", "off", "Pages of other origins may call, if cors_origins has them", &S::cors_enabled},
    {kAccess, "cors_origins", "", "", W::kList, 0, 0, "", "", "Exactly these: https://app.example,http://localhost:3000", &S::cors_origins},
    {kAccess, "rate_limit", "", "RATE_LIMIT", W::kOwn, 0, 0, kRateWords, "0", "Requests of one key, and of one address without a key", {}, Own<&S::rate_limit, ReadRate>},
    {kAccess, "token_limit", "", "", W::kOwn, 0, 0, kRateWords, "0", "Tokens of the same, prompt and answer", {}, Own<&S::token_limit, ReadRate>},
    {kAccess, "address_rate_limit", "", "", W::kOwn, 0, 0, kRateWords, "0", "Requests of one address, whatever its keys; not of loopback", {}, Own<&S::address_rate_limit, ReadRate>},
    {kAccess, "concurrency_per_key", "", "", W::kCount, 0, 65535, "", "32", "Requests of one key at once; 0: no limit", &S::concurrency_per_key},

    {kOperating, "log_level", "", "", W::kChoice, 0, 0, "error|warn|info|debug", "info", "What is logged", {}, Choice<&S::log_level>},
    {kOperating, "log_format", "", "", W::kChoice, 0, 0, "text|json", "text", "One line, or one JSON object, for each event", {}, Choice<&S::log_format>},
    {kOperating, "metrics_compat", "", "", W::kChoice, 0, 0, "none|vllm|llamacpp", "none", "Also the names that these servers' dashboards ask for", {}, Choice<&S::metrics_compat>},
    {kOperating, "throttle_backoff", "", "", W::kSwitch, 0, 0, "", "on",
     "Fewer threads and smaller steps while heat or power lowers the clocks", &S::throttle_backoff},
    {kOperating, "page", "", "", W::kSwitch, 0, 0, "", "on", "The page at /", &S::page},
};
// clang-format on

std::vector<std::string_view> Words(const Setting& setting) {
  return Split(setting.words, '|');
}

std::string WriteNumber(const Setting& setting, double value) {
  const uint64_t whole = value < 0 ? 0 : static_cast<uint64_t>(value);
  if (setting.written == Written::kBytes) return WriteBytes(whole);
  if (static_cast<double>(whole) == value) return std::to_string(whole);
  char text[32];
  snprintf(text, sizeof(text), "%g", value);
  return text;
}

bool InRange(const Setting& setting, double value) {
  return value >= setting.low && value <= setting.high;
}

bool AssignText(const Setting& setting, std::string_view text, Settings* settings) {
  const bool limited = setting.high > 0;
  if (limited && (static_cast<double>(text.size()) < setting.low || static_cast<double>(text.size()) > setting.high)) {
    return false;
  }
  // Control characters belong into no path and no name; a key goes through a header, which takes visible ASCII.
  const char lowest = setting.secret ? '!' : ' ';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < static_cast<unsigned char>(lowest) || byte == 0x7F || (setting.secret && byte > 0x7E)) return false;
  }
  settings->*std::get<std::string Settings::*>(setting.member) = text;
  return true;
}

// One of the words; a member of text takes the word, an enum its place in the list.
bool AssignChoice(const Setting& setting, std::string_view text, Settings* settings) {
  const std::vector<std::string_view> words = Words(setting);
  const auto found = std::find(words.begin(), words.end(), LowerCase(text));
  if (found == words.end()) return false;
  if (setting.parse != nullptr) return setting.parse(std::to_string(found - words.begin()), settings);
  settings->*std::get<std::string Settings::*>(setting.member) = *found;
  return true;
}

bool AssignAny(const Setting& setting, std::string_view text, Settings* settings) {
  switch (setting.written) {
    case Written::kCount:
    case Written::kBytes: {
      const std::optional<uint64_t> value = setting.written == Written::kCount ? ReadCount(text) : ReadBytes(text);
      if (!value || !InRange(setting, static_cast<double>(*value))) return false;
      settings->*std::get<uint64_t Settings::*>(setting.member) = *value;
      return true;
    }
    case Written::kSeconds: {
      const std::optional<double> value = ReadSeconds(text);
      if (!value || !InRange(setting, *value)) return false;
      settings->*std::get<double Settings::*>(setting.member) = *value;
      return true;
    }
    case Written::kNumber: {
      const std::optional<double> value = ReadNumber(text);
      return value && InRange(setting, *value) && setting.parse(text, settings);
    }
    case Written::kSwitch: {
      const std::optional<bool> value = ReadSwitch(text);
      if (!value) return false;
      settings->*std::get<bool Settings::*>(setting.member) = *value;
      return true;
    }
    case Written::kText:
      return AssignText(setting, text, settings);
    case Written::kList:
      for (const std::string_view piece : Split(text, ',')) {
        (settings->*std::get<std::vector<std::string> Settings::*>(setting.member)).emplace_back(piece);
      }
      return true;
    case Written::kChoice:
      return AssignChoice(setting, text, settings);
    case Written::kOwn:
    case Written::kOwnList:
    case Written::kOwnSwitch:
      return setting.parse(text, settings);
  }
  return false;
}

}  // namespace

std::span<const Setting> SettingTable() {
  return kTable;
}

std::string Setting::Flag() const {
  std::string flag = std::string("--") + key;
  std::replace(flag.begin() + 2, flag.end(), '_', '-');
  return flag;
}

std::string Setting::Variable() const {
  std::string name = std::string("MOTE_") + key;
  for (char& c : name) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return name;
}

std::string Setting::Range() const {
  switch (written) {
    case Written::kCount:
      return WriteNumber(*this, low) + " to " + WriteNumber(*this, high);
    case Written::kBytes:
      if (high >= kEverything) return "bytes, like 64M or 4G";
      return "bytes, " + WriteNumber(*this, low) + " to " + WriteNumber(*this, high);
    case Written::kSeconds:
      return "seconds, " + WriteNumber(*this, low) + " to " + WriteNumber(*this, high);
    case Written::kNumber:
      return WriteNumber(*this, low) + " to " + WriteNumber(*this, high);
    case Written::kSwitch:
      return "on or off";
    case Written::kText:
      return *words != '\0' ? words : "text without control characters";
    case Written::kList:
      return "a list with commas";
    case Written::kChoice: {
      std::string list;
      const std::vector<std::string_view> all = Words(*this);
      for (size_t i = 0; i < all.size(); ++i) {
        list += (i == 0 ? "" : i + 1 == all.size() ? " or " : ", ") + std::string(all[i]);
      }
      return list;
    }
    case Written::kOwn:
    case Written::kOwnList:
    case Written::kOwnSwitch:
      return words;
  }
  return "";
}

std::string Assign(const Setting& setting, std::string_view text, Settings* settings) {
  if (AssignAny(setting, Trim(text), settings)) return "";
  std::string right = "must be " + setting.Range();
  if (std::string_view(setting.key) == "port" && text.find("://") != std::string_view::npos) {
    right += "; Kubernetes tells pods of a service named mote so: set enableServiceLinks: false";
  }
  return right;
}

void Clear(const Setting& setting, Settings* settings) {
  if (setting.written == Written::kList)
    (settings->*std::get<std::vector<std::string> Settings::*>(setting.member)).clear();
  if (setting.written == Written::kOwnList) {
    if (std::string_view(setting.key) == "model") settings->models.clear();
    if (std::string_view(setting.key) == "jwt_keys") settings->jwt_keys.clear();
    if (std::string_view(setting.key) == "image_hosts") settings->image_hosts.clear();
  }
}

}  // namespace mote::server
