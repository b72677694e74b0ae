// The gate before a handler: who is not let in never reaches it, and who is brings along whose account it is.
#ifndef MOTE_EDGE_SERVER_GUARD_H_
#define MOTE_EDGE_SERVER_GUARD_H_

#include <functional>
#include <string>

#include "edge/server/auth/gate.h"
#include "edge/server/http/message.h"
#include "edge/server/ledger.h"

namespace mote::server {

// Told of each refusal by its code.
using Refused = std::function<void(const std::string& code)>;

// The handler, for requests that the gate admits with `scope`. The ledger is told whose it is and what came of
// it. The answer gets the headers that the gate wants, and the
// request's place among those of its key is free again when the answer's Reply is let go of.
Handler Guard(Gate* gate, Ledger* ledger, Scope scope, Handler handler, Refused refused);

// Before any route: the Host and Origin headers, and browsers that ask first. False: it has been answered.
bool ScreenRequest(const Gate& gate, const Request& request, Reply& reply, const Refused& refused);

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_GUARD_H_
