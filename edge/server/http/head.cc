#include "edge/server/http/head.h"

#include <string.h>

#include <algorithm>
#include <array>
#include <utility>

namespace mote::server {
namespace {

Refusal Malformed(std::string message) {
  return Refusal{400, "malformed_request", std::move(message)};
}

bool IsAlphaNumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool IsIn(char c, const char* set) {
  return c != 0 && strchr(set, c) != nullptr;
}

bool IsUnreserved(char c) {
  return IsAlphaNumeric(c) || IsIn(c, "-._~");
}

int HexValue(std::string_view two) {
  int value = 0;
  for (const char c : two) {
    if (!IsIn(c, "0123456789abcdefABCDEF")) return -1;
    value = value * 16 + (c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
  }
  return two.size() == 2 ? value : -1;
}

// RFC 3986's pchar, '/' and, in queries, what clients send although it should be escaped.
bool IsTargetByte(char c, bool query) {
  return IsUnreserved(c) || IsIn(c, "%/!$&'()*+,;=:@") || (query && IsIn(c, "?[]"));
}

void AppendEscaped(char c, std::string* out) {
  const auto byte = static_cast<unsigned char>(c);
  *out += '%';
  *out += "0123456789ABCDEF"[byte >> 4];
  *out += "0123456789ABCDEF"[byte & 15];
}

// Decodes `raw`; false where a byte or an escape is wrong. `target` may be null.
bool Decode(std::string_view raw, bool query, std::string* decoded, std::string* target) {
  for (size_t i = 0; i < raw.size(); ++i) {
    char c = raw[i];
    if (!IsTargetByte(c, query)) return false;
    const bool escaped = c == '%';
    if (escaped) {
      const int value = HexValue(raw.substr(i + 1, 2));
      if (value < 0) return false;
      c = static_cast<char>(value);
      // A path with control bytes would go into logs; a query's text may have line ends.
      if (value == 0 || (!query && (value < 0x20 || value == 0x7f))) return false;
      i += 2;
    } else if (query && c == '+') {
      c = ' ';
    }
    *decoded += c;
    if (target == nullptr) continue;
    if (IsUnreserved(c) || (c == '/' && !escaped)) {
      *target += c;
    } else {
      AppendEscaped(c, target);
    }
  }
  return true;
}

std::optional<Refusal> ParseQuery(std::string_view raw, const ReaderLimits& limits, Request* request) {
  while (!raw.empty()) {
    const size_t end = std::min(raw.find('&'), raw.size());
    const std::string_view part = raw.substr(0, end);
    raw.remove_prefix(std::min(end + 1, raw.size()));
    if (part.empty()) continue;
    if (request->query.size() == limits.query_parts) {
      return Refusal{414, "uri_too_long", "the query has more than " + std::to_string(limits.query_parts) + " parts"};
    }
    const size_t equals = std::min(part.find('='), part.size());
    auto& [name, value] = request->query.emplace_back();
    if (!Decode(part.substr(0, equals), true, &name, nullptr) ||
        !Decode(part.substr(std::min(equals + 1, part.size())), true, &value, nullptr)) {
      return Malformed("the query has bytes or escapes that are not allowed there");
    }
  }
  return std::nullopt;
}

// "HTTP/1.1"; 1.0 and 1.1 are spoken here.
std::optional<Refusal> ParseVersion(std::string_view text, ReadRequest* read) {
  const bool shaped = text.size() == 8 && text.substr(0, 5) == "HTTP/" && text[5] >= '0' && text[5] <= '9' &&
                      text[6] == '.' && text[7] >= '0' && text[7] <= '9';
  if (!shaped) return Malformed("the request line is not METHOD SP TARGET SP HTTP/1.x");
  if (text != "HTTP/1.1" && text != "HTTP/1.0") {
    return Refusal{505, "http_version_not_supported", "only HTTP/1.0 and HTTP/1.1 are spoken here"};
  }
  read->minor = text[7] - '0';
  return std::nullopt;
}

// host or host:port; names, IPv4 and bracketed IPv6.
bool IsHost(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return IsAlphaNumeric(c) || IsIn(c, "-._~:[]"); });
}

// Of "http://" or "https://", whatever the case; 0 where the target begins with neither.
size_t SchemeSize(std::string_view target) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (Lower(target.substr(0, scheme.size())) == scheme) return scheme.size();
  }
  return 0;
}

std::optional<Refusal> ParseTarget(std::string_view target, const ReaderLimits& limits, ReadRequest* read) {
  Request& request = read->request;
  if (target == "*" && request.method == "OPTIONS") {
    request.path = read->target = "*";
    return std::nullopt;
  }
  std::string held;
  if (const size_t scheme = SchemeSize(target); scheme > 0) {
    target.remove_prefix(scheme);
    const size_t end = std::min(target.find_first_of("/?"), target.size());
    const std::string_view authority = target.substr(0, end);
    // RFC 9110, 4.2.1: a URI without a host must be refused. A user's name would be part of no Host header.
    if (authority.empty() || authority.front() == ':' || !IsHost(authority)) {
      return Malformed("the target's authority is not a host, or a host and a port");
    }
    read->authority = authority;
    target.remove_prefix(end);
    if (target.empty() && request.method == "OPTIONS") {
      request.path = read->target = "*";  // RFC 9112, 3.2.4: what "*" becomes on its way through a proxy
      return std::nullopt;
    }
    if (target.empty() || target.front() == '?') target = held.append("/").append(target);
  }
  if (target.empty() || target.front() != '/') {
    return Malformed("the target is neither a path nor a URI of http or https (RFC 9112, 3.2)");
  }
  const size_t mark = std::min(target.find('?'), target.size());
  if (!Decode(target.substr(0, mark), false, &request.path, &read->target)) {
    return Malformed("the path has bytes or escapes that are not allowed there");
  }
  return ParseQuery(target.substr(std::min(mark + 1, target.size())), limits, &request);
}

// Where two of these disagree, two programs on the way may believe different ones.
constexpr std::array<std::string_view, 9> kOnce = {"host",          "content-length", "transfer-encoding",
                                                   "expect",        "content-type",   "content-encoding",
                                                   "authorization", "x-request-id",   "origin"};

bool IsOnce(const std::string& name) {
  return std::find(kOnce.begin(), kOnce.end(), name) != kOnce.end();
}

// `name` in lower case, `value` without the blanks around it.
std::optional<Refusal> SplitField(std::string_view line, std::string* name, std::string_view* value) {
  if (IsIn(line.front(), " \t")) return Malformed("a header that goes on in a second line");
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || !IsToken(line.substr(0, colon))) {
    return Malformed("a header line is not NAME: VALUE");
  }
  *value = line.substr(colon + 1);
  if (!IsFieldValue(*value)) return Malformed("a header's value has control bytes");
  while (!value->empty() && IsIn(value->front(), " \t")) value->remove_prefix(1);
  while (!value->empty() && IsIn(value->back(), " \t")) value->remove_suffix(1);
  *name = Lower(line.substr(0, colon));
  return std::nullopt;
}

std::optional<Refusal> CheckLength(const std::string& value, Framing* framing) {
  // 18 digits cannot overflow, and no body is that long.
  if (value.empty() || value.size() > 18 || value.find_first_not_of("0123456789") != std::string::npos) {
    return Malformed("Content-Length is not a decimal number of up to 18 digits");
  }
  for (const char digit : value) framing->length = framing->length * 10 + static_cast<uint64_t>(digit - '0');
  return std::nullopt;
}

// "keep-alive, X-Thing" has `token`.
bool HasToken(const std::string& list, std::string_view token) {
  const std::string lower = Lower(list);
  size_t begin = 0;
  while (begin <= lower.size()) {
    const size_t end = std::min(lower.find(',', begin), lower.size());
    std::string_view part = std::string_view(lower).substr(begin, end - begin);
    while (!part.empty() && IsIn(part.front(), " \t")) part.remove_prefix(1);
    while (!part.empty() && IsIn(part.back(), " \t")) part.remove_suffix(1);
    if (part == token) return true;
    begin = end + 1;
  }
  return false;
}

std::optional<Refusal> CheckTransfer(const ReadRequest& read, Framing* framing) {
  const std::string* length = read.request.Header("content-length");
  const std::string* transfer = read.request.Header("transfer-encoding");
  if (transfer != nullptr) {
    if (length != nullptr) return Malformed("both Content-Length and Transfer-Encoding");
    if (read.minor == 0) return Malformed("Transfer-Encoding in HTTP/1.0");
    if (Lower(*transfer) != "chunked") {
      return Refusal{501, "unsupported_encoding", "the only Transfer-Encoding accepted is chunked"};
    }
    framing->chunked = true;
  }
  if (length != nullptr) return CheckLength(*length, framing);
  return std::nullopt;
}

// RFC 9112, 3.2.2: of a target in absolute-form, the authority counts, whatever Host says. All that is decided by the
// host is decided by what stands there in the end.
void SetHost(ReadRequest* read) {
  for (auto& [name, value] : read->request.headers) {
    if (name != "host") continue;
    value = read->authority;
    return;
  }
  read->request.headers.emplace_back("host", read->authority);
}

}  // namespace

bool IsToken(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return IsAlphaNumeric(c) || IsIn(c, "!#$%&'*+-.^_`|~"); });
}

bool IsFieldValue(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return c == '\t' || (byte >= 0x20 && byte != 0x7f);
  });
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 32);
  }
  return lower;
}

std::optional<Refusal> ParseRequestLine(std::string_view line, const ReaderLimits& limits, ReadRequest* read) {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last || !IsToken(line.substr(0, first))) {
    return Malformed("the request line is not METHOD SP TARGET SP HTTP/1.x");
  }
  if (auto refusal = ParseVersion(line.substr(last + 1), read)) return refusal;
  read->request.method = line.substr(0, first);
  static constexpr std::array<std::string_view, 7> kMethods = {"GET", "POST",   "HEAD", "OPTIONS",
                                                               "PUT", "DELETE", "PATCH"};
  if (std::find(kMethods.begin(), kMethods.end(), read->request.method) == kMethods.end()) {
    return Refusal{501, "method_not_implemented",
                   "no such method; GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS are"};
  }
  return ParseTarget(line.substr(first + 1, last - first - 1), limits, read);
}

std::optional<Refusal> ParseField(std::string_view line, ReadRequest* read) {
  std::string name;
  std::string_view value;
  if (auto refusal = SplitField(line, &name, &value)) return refusal;
  if (IsOnce(name) && read->request.Header(name) != nullptr) {
    return Malformed("the header " + name + " stands there twice");
  }
  read->request.headers.emplace_back(std::move(name), value);
  return std::nullopt;
}

std::optional<Refusal> CheckTrailer(std::string_view line) {
  std::string name;
  std::string_view value;
  if (auto refusal = SplitField(line, &name, &value)) return refusal;
  if (IsOnce(name)) return Malformed("the header " + name + " stands behind the body");
  return std::nullopt;
}

std::optional<Refusal> CheckFields(ReadRequest* read, Framing* framing) {
  const std::string* host = read->request.Header("host");
  if (host == nullptr && read->minor == 1) return Malformed("HTTP/1.1 without a Host header");
  if (host != nullptr && !IsHost(*host)) return Malformed("the Host header is not a host, or a host and a port");
  if (!read->authority.empty()) SetHost(read);
  if (auto refusal = CheckTransfer(*read, framing)) return refusal;
  const std::string* encoding = read->request.Header("content-encoding");
  if (encoding != nullptr && Lower(*encoding) != "identity") {
    return Refusal{415, "unsupported_encoding", "bodies are not accepted compressed (Content-Encoding)"};
  }
  const std::string* expect = read->request.Header("expect");
  if (expect != nullptr && Lower(*expect) != "100-continue") {
    return Refusal{417, "expectation_failed", "the only expectation that can be met is 100-continue"};
  }
  framing->expects = expect != nullptr && read->minor == 1;
  bool close = false, keep = false;
  for (const auto& [name, value] : read->request.headers) {
    if (name != "connection") continue;
    close = close || HasToken(value, "close");
    keep = keep || HasToken(value, "keep-alive");
  }
  read->keep_alive = !close && (read->minor == 1 || keep);
  auto& headers = read->request.headers;
  headers.erase(std::remove_if(headers.begin(), headers.end(),
                               [](const auto& field) {
                                 const std::string& name = field.first;
                                 return name == "range" || name == "if-range" || name == "expect" ||
                                        name == "upgrade" || name == "te" || name == "trailer";
                               }),
                headers.end());
  return std::nullopt;
}

}  // namespace mote::server
