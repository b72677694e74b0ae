// What a request that cannot be served is told, in OpenAI's terms.
#ifndef MOTE_EDGE_SERVER_SERVING_ERROR_H_
#define MOTE_EDGE_SERVER_SERVING_ERROR_H_

#include <string>

namespace mote::server {

struct ApiError {
  int status = 500;        // HTTP
  std::string type;        // "invalid_request_error", "authentication_error", "permission_error", "rate_limit_error",
                           // "overloaded_error", "server_error"
  std::string code;        // "context_length_exceeded", "queue_full", ...: stable, for programs
  std::string param;       // the field at fault, "messages[0].content"; or ""
  std::string message;     // one line: what was wrong, and what would be right
  double retry_after = 0;  // seconds; 0: no Retry-After
};

// {"error":{"message","type","param","code"}}, as OpenAI's clients read it.
std::string ErrorJson(const ApiError& error);

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_SERVING_ERROR_H_
