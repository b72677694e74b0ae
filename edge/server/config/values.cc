#include "edge/server/config/values.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace mote::server {

std::string_view Trim(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> pieces;
  while (true) {
    const size_t end = std::min(text.find(separator), text.size());
    const std::string_view piece = Trim(text.substr(0, end));
    if (!piece.empty()) pieces.push_back(piece);
    if (end == text.size()) return pieces;
    text.remove_prefix(end + 1);
  }
}

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return lower;
}

std::optional<uint64_t> ReadCount(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

namespace {

// A number without sign, exponent, "inf" and "nan", and what follows it.
std::optional<double> ReadNumber(std::string_view text, std::string_view* rest) {
  const size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + digits, value, std::chars_format::fixed);
  if (digits == 0 || error != std::errc() || end != text.data() + digits) return std::nullopt;
  *rest = Trim(text.substr(digits));
  return value;
}

struct Unit {
  const char* name;
  double value;
};

template <size_t N>
std::optional<double> ReadWithUnit(std::string_view text, const Unit (&units)[N]) {
  std::string_view rest;
  const std::optional<double> number = ReadNumber(text, &rest);
  if (!number) return std::nullopt;
  const std::string name = LowerCase(rest);
  for (const Unit& unit : units) {
    if (name == unit.name) return *number * unit.value;
  }
  return std::nullopt;
}

}  // namespace

std::optional<double> ReadNumber(std::string_view text) {
  const bool negative = text.starts_with("-");
  std::string_view rest;
  const std::optional<double> value = ReadNumber(text.substr(negative ? 1 : 0), &rest);
  if (!value || !rest.empty()) return std::nullopt;
  return negative ? -*value : *value;
}

std::optional<uint64_t> ReadBytes(std::string_view text) {
  constexpr double kKilo = 1024, kMega = kKilo * 1024, kGiga = kMega * 1024, kTera = kGiga * 1024;
  static constexpr Unit kUnits[] = {{"", 1},        {"b", 1},      {"k", kKilo},   {"kb", kKilo}, {"kib", kKilo},
                                    {"m", kMega},   {"mb", kMega}, {"mib", kMega}, {"g", kGiga},  {"gb", kGiga},
                                    {"gib", kGiga}, {"t", kTera},  {"tb", kTera},  {"tib", kTera}};
  if (const std::optional<uint64_t> plain = ReadCount(text)) return plain;
  const std::optional<double> value = ReadWithUnit(text, kUnits);
  if (!value || *value >= 9e18) return std::nullopt;
  return static_cast<uint64_t>(*value);
}

std::optional<double> ReadSeconds(std::string_view text) {
  static constexpr Unit kUnits[] = {{"", 1}, {"s", 1}, {"ms", 1e-3}, {"m", 60}, {"min", 60}, {"h", 3600}, {"d", 86400}};
  return ReadWithUnit(text, kUnits);
}

std::optional<bool> ReadSwitch(std::string_view text) {
  const std::string word = LowerCase(text);
  if (word == "on" || word == "true" || word == "yes" || word == "1" || word == "enabled") return true;
  if (word == "off" || word == "false" || word == "no" || word == "0" || word == "disabled") return false;
  return std::nullopt;
}

std::optional<Rate> ReadRate(std::string_view text) {
  if (LowerCase(text) == "off") return Rate{};
  const size_t slash = std::min(text.find('/'), text.size());
  std::string_view rest;
  const std::optional<double> count = ReadNumber(Trim(text.substr(0, slash)), &rest);
  if (!count || !rest.empty() || *count > 1e12) return std::nullopt;
  Rate rate{*count, 60};
  if (slash == text.size()) return rate;
  const std::string unit = LowerCase(Trim(text.substr(slash + 1)));
  if (unit == "s" || unit == "sec" || unit == "second") {
    rate.seconds = 1;
  } else if (unit == "h" || unit == "hour") {
    rate.seconds = 3600;
  } else if (unit == "d" || unit == "day") {
    rate.seconds = 86400;
  } else if (unit != "m" && unit != "min" && unit != "minute") {
    return std::nullopt;
  }
  return rate;
}

std::string NumericAddress(std::string_view text) {
  if (text.size() > 2 && text.front() == '[' && text.back() == ']') text = text.substr(1, text.size() - 2);
  const std::string address(text);
  char form[INET6_ADDRSTRLEN];
  in6_addr six;
  in_addr four;
  if (inet_pton(AF_INET, address.c_str(), &four) == 1) return inet_ntop(AF_INET, &four, form, sizeof(form));
  if (inet_pton(AF_INET6, address.c_str(), &six) != 1) return "";
  if (IN6_IS_ADDR_V4MAPPED(&six)) return inet_ntop(AF_INET, six.s6_addr + 12, form, sizeof(form));
  return inet_ntop(AF_INET6, &six, form, sizeof(form));
}

bool IsLoopback(std::string_view address) {
  const std::string numeric = NumericAddress(address);
  return numeric == "::1" || numeric.starts_with("127.");
}

bool ReadHost(std::string_view text, Endpoint* endpoint) {
  if (text.starts_with("unix:")) text.remove_prefix(5);
  if (text.starts_with("/")) {
    if (text.size() < 2 || text.size() > 107) return false;  // sun_path, with its zero
    endpoint->socket_path = text;
    return true;
  }
  const std::string host = LowerCase(text) == "localhost" ? "localhost" : NumericAddress(text);
  if (host.empty()) return false;
  endpoint->host = host;
  endpoint->socket_path.clear();
  return true;
}

std::optional<Endpoint> ReadEndpoint(std::string_view text) {
  Endpoint endpoint;
  if (text.starts_with("unix:") || text.starts_with("/")) {
    if (!ReadHost(text, &endpoint)) return std::nullopt;
    return endpoint;
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::string_view host = text.substr(0, colon);
  // Without brackets it would be a matter of taste where an IPv6 address ends.
  if (host.find(':') != std::string_view::npos && host.front() != '[') return std::nullopt;
  const std::optional<uint64_t> port = ReadCount(text.substr(colon + 1));
  if (!port || *port > 65535 || !ReadHost(host.empty() ? "0.0.0.0" : host, &endpoint)) return std::nullopt;
  endpoint.port = static_cast<uint16_t>(*port);
  return endpoint;
}

bool Endpoint::local() const {
  return !socket_path.empty() || host == "localhost" || IsLoopback(host);
}

std::string Endpoint::Text() const {
  if (!socket_path.empty()) return "unix:" + socket_path;
  const bool six = host.find(':') != std::string::npos;
  return (six ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::optional<WorkerRange> ReadWorkers(std::string_view text) {
  const size_t dash = text.find('-');
  const bool range = dash != std::string_view::npos;
  const std::optional<uint64_t> floor = ReadCount(Trim(text.substr(0, dash)));
  const std::optional<uint64_t> ceiling = range ? ReadCount(Trim(text.substr(dash + 1))) : floor;
  if (!floor || !ceiling || *floor < 1 || *floor > *ceiling || *ceiling > 256) return std::nullopt;
  return WorkerRange{static_cast<uint32_t>(*floor), static_cast<uint32_t>(*ceiling)};
}

std::optional<ModelFile> ReadModelFile(std::string_view text) {
  ModelFile file;
  const size_t comma = text.find(",mmproj=");
  if (comma != std::string_view::npos) {
    file.mmproj = Trim(text.substr(comma + 8));
    if (file.mmproj.empty()) return std::nullopt;
    text = Trim(text.substr(0, comma));
  }
  const size_t equals = text.find('=');
  // A path may have a "=" of its own, but behind a "/": write ./a=b.gguf.
  if (equals != std::string_view::npos && text.find('/') > equals) {
    file.name = Trim(text.substr(0, equals));
    const bool plain =
        !file.name.empty() && file.name.size() <= 128 && std::all_of(file.name.begin(), file.name.end(), [](char c) {
          return isalnum(static_cast<unsigned char>(c)) != 0 || strchr("._:-", c) != nullptr;
        });
    if (!plain) return std::nullopt;
    text = Trim(text.substr(equals + 1));
  }
  file.path = text;
  if (file.path.empty()) return std::nullopt;
  return file;
}

std::optional<JwtKeyFile> ReadJwtKeyFile(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos) return std::nullopt;
  const std::string_view left = Trim(text.substr(0, equals));
  const size_t colon = std::min(left.find(':'), left.size());
  JwtKeyFile key;
  key.algorithm = left.substr(0, colon);
  if (colon < left.size()) {
    key.id = left.substr(colon + 1);
    if (key.id.empty()) return std::nullopt;
  }
  key.path = Trim(text.substr(equals + 1));
  static constexpr const char* kAlgorithms[] = {"HS256", "RS256", "ES256", "EdDSA"};
  const bool known = std::find(std::begin(kAlgorithms), std::end(kAlgorithms), key.algorithm) != std::end(kAlgorithms);
  if (!known || key.path.empty()) return std::nullopt;
  return key;
}

std::string WriteBytes(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"", "K", "M", "G", "T"};
  size_t unit = 0;
  for (; bytes != 0 && bytes % 1024 == 0 && unit + 1 < std::size(kUnits); ++unit) bytes /= 1024;
  return std::to_string(bytes) + kUnits[unit];
}

std::string Nearest(std::string_view name, const std::vector<std::string>& names) {
  std::string best;
  size_t best_distance = 3;  // more mistakes than two are another word
  for (const std::string& other : names) {
    // Levenshtein's distance, a row at a time.
    std::vector<size_t> row(other.size() + 1);
    for (size_t j = 0; j < row.size(); ++j) row[j] = j;
    for (size_t i = 1; i <= name.size(); ++i) {
      size_t diagonal = row[0];
      row[0] = i;
      for (size_t j = 1; j < row.size(); ++j) {
        const size_t replaced = diagonal + (name[i - 1] == other[j - 1] ? 0 : 1);
        diagonal = row[j];
        row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = other;
    }
  }
  return best;
}

}  // namespace mote::server
