// Errors of the engine as a client is told them.
#ifndef MOTE_EDGE_SERVER_SERVING_STATUS_H_
#define MOTE_EDGE_SERVER_SERVING_STATUS_H_

#include <string>

#include "edge/server/serving/error.h"
#include "engine/api/mote.h"

namespace mote::server {

// What the request is to blame for becomes 400; what it is not, 500 or 503, whose message says no more than needed.
inline ApiError ToApiError(mote_status status, const std::string& message) {
  switch (status) {
    case MOTE_CONTEXT_FULL:
      return {400, "invalid_request_error", "context_length_exceeded", "messages", message};
    case MOTE_INVALID_ARGUMENT:
    case MOTE_MALFORMED:
      return {400, "invalid_request_error", "invalid_value", "", message};
    case MOTE_UNSUPPORTED:
      return {400, "invalid_request_error", "unsupported_value", "", message};
    case MOTE_OUT_OF_MEMORY:
      return {503, "overloaded_error", "out_of_memory", "", message, 5};
    default:
      return {500, "server_error", mote_status_name(status), "", message};
  }
}

inline ApiError ShuttingDown() {
  return {503, "overloaded_error", "shutting_down", "", "this server is shutting down; try another", 1};
}

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_SERVING_STATUS_H_
