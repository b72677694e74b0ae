#include "edge/server/ops/log_text.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>

#include <algorithm>
#include <array>

namespace mote::server {
namespace {

constexpr std::string_view kHidden = "[hidden]";

char Lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// The code point at `at` and its bytes; 0 bytes where it is not UTF-8 (overlong, surrogate or cut forms included).
struct CodePoint {
  uint32_t value = 0;
  size_t bytes = 0;
};
CodePoint Decode(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[at + i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return {first, 1};
  const size_t bytes = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || at + bytes > text.size()) return {};
  uint32_t value = first & (0x7f >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    value = value << 6 | (byte(i) & 0x3f);
  }
  const uint32_t least = bytes == 4 ? 0x10000 : bytes == 3 ? 0x800 : 0x80;
  if (value < least || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) return {};
  return {value, bytes};
}

// Ends lines or changes the order of what is read: line and paragraph separators, marks and overrides of direction.
bool IsMisleading(uint32_t value) {
  return (value >= 0x7f && value <= 0x9f) || value == 0x2028 || value == 0x2029 || value == 0x200e || value == 0x200f ||
         (value >= 0x202a && value <= 0x202e) || (value >= 0x2066 && value <= 0x2069) || value == 0xfeff;
}

void AppendEscape(uint32_t value, std::string* out) {
  char buffer[8];
  snprintf(buffer, sizeof(buffer), "\\u%04x", static_cast<unsigned>(value));
  *out += buffer;
}

void AppendNumber(double value, std::string* line) {
  char buffer[32];
  snprintf(buffer, sizeof(buffer), "%.6g", value);
  *line += isfinite(value) ? buffer : "null";
}

// Words need no quotes in text; what could be taken for another field does.
bool IsWord(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("-_./:{}@+,%").find(c) != std::string_view::npos;
  });
}

}  // namespace

std::string EscapeText(std::string_view text, size_t most) {
  std::string out;
  const bool is_cut = text.size() > most;
  if (is_cut) text = text.substr(0, most);
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = Decode(text, at);
    if (point.bytes == 0) {
      ++at;
      out += "\xef\xbf\xbd";
      continue;
    }
    if (point.value == '"' || point.value == '\\') {
      out += '\\';
      out += static_cast<char>(point.value);
    } else if (point.value == '\n') {
      out += "\\n";
    } else if (point.value < 0x20 || IsMisleading(point.value)) {
      AppendEscape(point.value, &out);
    } else {
      out += text.substr(at, point.bytes);
    }
    at += point.bytes;
  }
  if (is_cut) out += "...";
  return out;
}

bool IsSecretName(std::string_view name) {
  static constexpr std::array<std::string_view, 9> kSecrets = {
      "authorization", "proxy-authorization", "cookie", "set-cookie", "api_key", "x-api-key", "password", "secret",
      "token"};
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(), Lower);
  return std::find(kSecrets.begin(), kSecrets.end(), lower) != kSecrets.end();
}

std::string HideTokens(std::string_view text) {
  static constexpr std::string_view kBearer = "bearer";
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const auto matches = [](char a, char b) { return Lower(a) == b; };
    const auto found =
        std::search(text.begin() + static_cast<ptrdiff_t>(at), text.end(), kBearer.begin(), kBearer.end(), matches);
    size_t end = static_cast<size_t>(found - text.begin());
    if (found == text.end()) return out.append(text.substr(at));
    end += kBearer.size();
    out.append(text.substr(at, end - at));
    // The token: after blanks, colons and quotes, up to the next blank or quote.
    const size_t begin = std::min(text.find_first_not_of(" \t:=\"'", end), text.size());
    out.append(text.substr(end, begin - end));
    at = std::min(text.find_first_of(" \t\r\n\"',;", begin), text.size());
    if (begin > end && at > begin) {
      out.append(kHidden);
    } else {
      out.append(text.substr(begin, at - begin));
    }
  }
  return out;
}

void AppendField(const LogField& field, LogFormat format, std::string* line) {
  const bool json = format == LogFormat::kJson;
  *line += json ? ",\"" : " ";
  *line += field.name;
  *line += json ? "\":" : "=";
  if (const bool* flag = std::get_if<bool>(&field.value)) {
    *line += *flag ? "true" : "false";
  } else if (const int64_t* whole = std::get_if<int64_t>(&field.value)) {
    *line += std::to_string(*whole);
  } else if (const double* number = std::get_if<double>(&field.value)) {
    AppendNumber(*number, line);
  } else {
    const std::string_view text = std::get<std::string_view>(field.value);
    const std::string shown = IsSecretName(field.name) ? std::string(kHidden) : EscapeText(HideTokens(text));
    const bool quotes = json || !IsWord(shown);
    if (quotes) *line += '"';
    *line += shown;
    if (quotes) *line += '"';
  }
}

}  // namespace mote::server
