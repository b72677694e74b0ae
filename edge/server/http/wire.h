// Answers as bytes.
#ifndef MOTE_EDGE_SERVER_HTTP_WIRE_H_
#define MOTE_EDGE_SERVER_HTTP_WIRE_H_

#include <string>
#include <string_view>

#include "edge/server/http/message.h"

namespace mote::server {

// How the answer's body follows its head.
enum class BodyKind {
  kLength,   // Content-Length
  kChunked,  // Transfer-Encoding: chunked
  kClose,    // until the connection ends (HTTP/1.0)
};

struct AnswerShape {
  BodyKind kind = BodyKind::kLength;
  bool head_only = false;   // the method is HEAD: the body is not sent
  bool keep_alive = false;  // said in the answer
  int minor = 1;            // of the request
  std::string_view request_id;
  double idle_seconds = 0;  // that the connection is kept for; told with keep_alive
};

// True where the status has no body by definition: 1xx, 204, 304.
bool HasNoBody(int status);

// Head and, with kLength, body. Headers of `response` that are malformed, or that are the front's own (Content-Length,
// Transfer-Encoding, Connection, Date, X-Request-Id), are left out; Cache-Control is no-store unless it is given.
std::string WireAnswer(const Response& response, const AnswerShape& shape);

void AppendChunk(std::string_view bytes, std::string* out);
constexpr std::string_view kLastChunk = "0\r\n\r\n";
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

// The answer that the front itself gives, in OpenAI's shape.
Response ErrorResponse(int status, const std::string& code, const std::string& message, double retry_after = 0);

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_HTTP_WIRE_H_
