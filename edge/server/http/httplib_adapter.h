// Routes, by cpp-httplib: it parses a request that the reader has already checked, written anew, and matches its path.
//
// It sees the method and the path and nothing else: its header parsing decodes escapes, its body reading knows no
// limit, and what it does with Range and Content-Encoding has been attacked before. What it costs: 4 to 8 us of CPU for
// each request with 21 routes (regular expressions, tried in order), beside 1.7 us for the reader's whole work on the
// same request; so under 1 % of a core at 1000 requests a second (Xeon with AVX2, gcc 12, November 2026). A table of
// our own would take its place in this file alone.
#ifndef MOTE_EDGE_SERVER_HTTP_HTTPLIB_ADAPTER_H_
#define MOTE_EDGE_SERVER_HTTP_HTTPLIB_ADAPTER_H_

#include <memory>
#include <string>

#include "edge/server/http/message.h"
#include "engine/api/mote.hpp"

namespace mote::server {

class Router {
 public:
  // Longer targets match nothing: the regular expressions behind the patterns recurse once for each byte.
  static constexpr size_t kLongestTarget = 1024;

  Router();
  ~Router();
  Router(const Router&) = delete;
  Router& operator=(const Router&) = delete;

  // `pattern`: "/v1/models/:name"; a segment that begins with a colon matches any one segment, which the handler gets
  // decoded in Request::parts. The first that matches wins. Not while Dispatch runs. An error names the method or
  // pattern that is wrong.
  Result<void> Add(const std::string& method, const std::string& pattern, Handler handler);
  // After the last Add: what is known under another method answers 405, and "*" (of OPTIONS) all that is known.
  void Seal();

  struct Outcome {
    std::string route;  // the pattern that matched, or ""
    int status = 0;     // 0: its handler was called; else what is left to answer: 204 ("*"), 404, 405, 500 (it threw)
    std::string allow;  // with 204 and 405: "GET, HEAD"
  };
  // Calls the handler. `target`: as ReadRequest has it. Fills in request->parts. `named` is told the route before the
  // handler is called. Any number of threads at once.
  Outcome Dispatch(Request* request, const std::string& target, const std::shared_ptr<Reply>& reply,
                   const std::function<void(const std::string& route)>& named) const;

 private:
  class Server;
  std::unique_ptr<Server> server_;
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_HTTP_HTTPLIB_ADAPTER_H_
