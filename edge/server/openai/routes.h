// OpenAI's protocol over a Service: what a server registers to speak it.
#ifndef MOTE_EDGE_SERVER_OPENAI_ROUTES_H_
#define MOTE_EDGE_SERVER_OPENAI_ROUTES_H_

#include <functional>
#include <string>

#include "edge/server/http/message.h"
#include "edge/server/openai/limits.h"
#include "edge/server/openai/sampling.h"
#include "edge/server/openai/stream.h"
#include "edge/server/serving/task.h"

namespace mote::server {

struct OpenAiOptions {
  OpenAiLimits limits;
  SamplingOptions sampling = OpenAiSampling();        // for what a request leaves out
  std::function<std::string(const Request&)> tenant;  // on whose account; null: ""
  Every every;                                        // for streams that must not fall silent; null: they may
};

// `pattern`: a path, of which a segment ":name" is any, and in Request::parts. `long_work`: of a model, in vain
// once the client has gone.
using AddRoute =
    std::function<void(const std::string& method, const std::string& pattern, Handler handler, bool long_work)>;

// The service must outlive the handlers. Handlers do not block but for Embed and Tokenize, and for the decoding of
// base64 and JSON: call them from workers, not from the front's thread.
void AddOpenAiRoutes(const AddRoute& route, Service& service, OpenAiOptions options);

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_OPENAI_ROUTES_H_
