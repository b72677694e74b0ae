// The grammar of a request's head, line by line.
#ifndef MOTE_EDGE_SERVER_HTTP_HEAD_H_
#define MOTE_EDGE_SERVER_HTTP_HEAD_H_

#include <stdint.h>

#include <optional>
#include <string>
#include <string_view>

#include "edge/server/http/reader.h"

namespace mote::server {

bool IsToken(std::string_view text);  // of RFC 9110; not empty
// No control bytes but tab.
bool IsFieldValue(std::string_view text);
std::string Lower(std::string_view text);

// "GET /a%20b?c=d HTTP/1.1" into method, path, target, authority, query and minor.
std::optional<Refusal> ParseRequestLine(std::string_view line, const ReaderLimits& limits, ReadRequest* read);

// "Name: value" appended to the headers.
std::optional<Refusal> ParseField(std::string_view line, ReadRequest* read);

// "Name: value" behind a chunked body. Nothing is kept of it; what would say how to read, route or judge the request is
// refused, for it comes too late for that, and somebody on the way may believe it all the same.
std::optional<Refusal> CheckTrailer(std::string_view line);

// What the fields say together about how to read on.
struct Framing {
  bool chunked = false;
  uint64_t length = 0;   // where not chunked
  bool expects = false;  // "Expect: 100-continue"
};

// Settles keep_alive and, where the target names one, the host; takes out the fields that are answered here (Expect) or
// not at all (Range, Upgrade).
std::optional<Refusal> CheckFields(ReadRequest* read, Framing* framing);

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_HTTP_HEAD_H_
