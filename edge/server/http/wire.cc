#include "edge/server/http/wire.h"

#include <stdio.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "edge/server/http/head.h"
#include "edge/server/serving/error.h"

namespace mote::server {
namespace {

const char* Reason(int status) {
  struct Row {
    int status;
    const char* reason;
  };
  static constexpr Row kRows[] = {{200, "OK"},
                                  {201, "Created"},
                                  {202, "Accepted"},
                                  {204, "No Content"},
                                  {301, "Moved Permanently"},
                                  {302, "Found"},
                                  {303, "See Other"},
                                  {304, "Not Modified"},
                                  {307, "Temporary Redirect"},
                                  {308, "Permanent Redirect"},
                                  {400, "Bad Request"},
                                  {401, "Unauthorized"},
                                  {403, "Forbidden"},
                                  {404, "Not Found"},
                                  {405, "Method Not Allowed"},
                                  {406, "Not Acceptable"},
                                  {408, "Request Timeout"},
                                  {409, "Conflict"},
                                  {411, "Length Required"},
                                  {413, "Content Too Large"},
                                  {414, "URI Too Long"},
                                  {415, "Unsupported Media Type"},
                                  {417, "Expectation Failed"},
                                  {422, "Unprocessable Content"},
                                  {429, "Too Many Requests"},
                                  {431, "Request Header Fields Too Large"},
                                  {500, "Internal Server Error"},
                                  {501, "Not Implemented"},
                                  {502, "Bad Gateway"},
                                  {503, "Service Unavailable"},
                                  {504, "Gateway Timeout"},
                                  {505, "HTTP Version Not Supported"}};
  for (const Row& row : kRows) {
    if (row.status == status) return row.reason;
  }
  return "Status";
}

// IMF-fixdate, in English whatever the locale.
void AppendDate(std::string* out) {
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const time_t now = time(nullptr);
  thread_local time_t cached = -1;
  thread_local char text[64];
  if (now != cached) {
    tm utc = {};
    gmtime_r(&now, &utc);
    snprintf(text, sizeof(text), "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n", kDays[utc.tm_wday % 7], utc.tm_mday,
             kMonths[utc.tm_mon % 12], utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
    cached = now;
  }
  *out += text;
}

void AppendField(std::string_view name, std::string_view value, std::string* out) {
  out->append(name).append(": ").append(value).append("\r\n");
}

void AppendGivenFields(const Response& response, std::string* out) {
  static constexpr std::array<std::string_view, 8> kOwn = {
      "content-length", "transfer-encoding", "connection", "keep-alive",
      "date",           "x-request-id",      "trailer",    "content-type"};
  bool cache_control = false;
  for (const auto& [name, value] : response.headers) {
    const std::string lower = Lower(name);
    if (!IsToken(name) || !IsFieldValue(value) || std::find(kOwn.begin(), kOwn.end(), lower) != kOwn.end()) continue;
    cache_control = cache_control || lower == "cache-control";
    AppendField(name, value, out);
  }
  if (!cache_control) AppendField("Cache-Control", "no-store", out);
}

}  // namespace

bool HasNoBody(int status) {
  return status < 200 || status == 204 || status == 304;
}

std::string WireAnswer(const Response& response, const AnswerShape& shape) {
  // Of a handler that gives something else, nothing can be told.
  const int status = response.status >= 200 && response.status <= 599 ? response.status : 500;
  const bool with_body = shape.kind == BodyKind::kLength && !shape.head_only && !HasNoBody(status);
  std::string out;
  out.reserve(384 + (with_body ? response.body.size() : 0));
  out.append("HTTP/1.1 ").append(std::to_string(status)).append(" ").append(Reason(status)).append("\r\n");
  AppendDate(&out);
  if (!HasNoBody(status)) {
    if (!response.content_type.empty() && IsFieldValue(response.content_type)) {
      AppendField("Content-Type", response.content_type, &out);
    }
    if (shape.kind == BodyKind::kLength) AppendField("Content-Length", std::to_string(response.body.size()), &out);
    if (shape.kind == BodyKind::kChunked) AppendField("Transfer-Encoding", "chunked", &out);
  }
  if (!shape.keep_alive) {
    AppendField("Connection", "close", &out);
  } else {
    if (shape.minor == 0) AppendField("Connection", "keep-alive", &out);
    if (shape.idle_seconds >= 1) {
      AppendField("Keep-Alive", "timeout=" + std::to_string(static_cast<int64_t>(shape.idle_seconds)), &out);
    }
  }
  if (!shape.request_id.empty()) AppendField("X-Request-Id", shape.request_id, &out);
  AppendField("X-Content-Type-Options", "nosniff", &out);
  // Reverse proxies hold streams back otherwise.
  if (shape.kind != BodyKind::kLength) AppendField("X-Accel-Buffering", "no", &out);
  AppendGivenFields(response, &out);
  out += "\r\n";
  if (with_body) out += response.body;
  return out;
}

void AppendChunk(std::string_view bytes, std::string* out) {
  char size[20];
  const int digits = snprintf(size, sizeof(size), "%zx\r\n", bytes.size());
  out->append(size, static_cast<size_t>(digits)).append(bytes).append("\r\n");
}

Response ErrorResponse(int status, const std::string& code, const std::string& message, double retry_after) {
  ApiError error;
  error.status = status;
  error.type = status == 503 ? "overloaded_error" : status >= 500 ? "server_error" : "invalid_request_error";
  error.code = code;
  error.message = message;
  Response response;
  response.status = status;
  response.body = ErrorJson(error);
  if (retry_after > 0) {
    response.headers.emplace_back("Retry-After", std::to_string(static_cast<int>(std::ceil(retry_after))));
  }
  return response;
}

}  // namespace mote::server
