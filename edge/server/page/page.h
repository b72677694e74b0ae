// The page at /, which is public: it holds nothing but itself, and asks for a key where the protocol wants one.
#ifndef MOTE_EDGE_SERVER_PAGE_PAGE_H_
#define MOTE_EDGE_SERVER_PAGE_PAGE_H_

#include <string>
#include <vector>

#include "edge/server/http/message.h"

namespace mote::server {

// The paths to route here (GET): "/", "/style.css", ...
std::vector<std::string> PagePaths();

// One of those files, or 304 where the client has it; 404 for any other path. It may load nothing from elsewhere, run
// nothing that is written into it, and stand in no frame of another page.
Response PageResponse(const Request& request);

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_PAGE_PAGE_H_
