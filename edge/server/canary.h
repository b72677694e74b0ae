// A short question to the default model, to see that it still answers as it did.
#ifndef MOTE_EDGE_SERVER_CANARY_H_
#define MOTE_EDGE_SERVER_CANARY_H_

#include <functional>

#include "edge/server/ops/health.h"
#include "edge/server/serving/task.h"

namespace mote::server {

// Greedy, past the request cache. `done` is called once, from any thread.
void AskCanary(Service& service, std::function<void(CanaryAnswer)> done);

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_CANARY_H_
