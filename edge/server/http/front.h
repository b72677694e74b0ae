// The server's sockets: connections, deadlines, TLS, HTTP/1.1 and routes. One thread watches them all; handlers run on
// others.
#ifndef MOTE_EDGE_SERVER_HTTP_FRONT_H_
#define MOTE_EDGE_SERVER_HTTP_FRONT_H_

#include <stdint.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "edge/server/http/message.h"
#include "edge/server/http/options.h"
#include "engine/api/mote.hpp"

namespace mote::server {

class Core;

struct RouteOptions {
  // On a thread of its own, before which nothing queues but other direct requests, and without the screen: for what
  // must answer when all else is stuck. The handler must not block, and the pattern has no parts.
  bool direct = false;
  bool large_body = false;  // up to FrontOptions::large_body_bytes; the pattern has no parts
  // Ends, unanswered, once the client has shut down its sending side, which is all that tells of a closed socket; other
  // requests are answered all the same. The pattern has no parts.
  bool long_work = false;
};

// Before every handler but direct ones, and before the path is looked up; on a worker's thread. False: it has answered.
using Screen = std::function<bool(const Request& request, Reply& reply)>;

// How a request went, for metrics and logs.
struct Served {
  std::string route;   // the pattern, or "" where none matched, or the request was refused before
  std::string method;  // "" where it could not be read
  std::string id;
  std::string peer;                      // address
  int status = 0;                        // 499: the client had gone before the answer was complete
  double seconds = 0;                    // from the complete request to the last byte of the answer
  uint64_t bytes_in = 0, bytes_out = 0;  // body; answer with its head
};
// On the front's thread: keep it short.
using Observer = std::function<void(const Served& served)>;

class Front {
 public:
  explicit Front(FrontOptions options);
  // Cuts what is open, waits for handlers that run.
  ~Front();
  Front(const Front&) = delete;
  Front& operator=(const Front&) = delete;

  // Before Start. "/v1/models/:name"; GET serves HEAD, too. Errors name the method or the pattern.
  Result<void> Route(const std::string& method, const std::string& pattern, Handler handler,
                     RouteOptions route_options = {});
  void SetScreen(Screen screen);
  void SetObserver(Observer observer);

  // Listens and serves, on threads of its own. Errors name the address, or the file of TLS, and the system's reason.
  Result<void> Start();
  // Where it listens, ports as they are: "127.0.0.1:41234".
  const std::vector<std::string>& addresses() const;

  // Calls `call` every `seconds` (0.02 or more) on the front's thread until the handle is let go of; once more where it
  // runs just then. Keep it short. A thousand are cheap. Any thread.
  std::shared_ptr<void> Every(double seconds, std::function<void()> call);

  // Reads the files of TLS again; connections that are open keep what they have. On an error, so do new ones.
  // Nothing to do where TLS is not spoken.
  Result<void> ReloadTls();

  // Shuts down, gently: answers say "Connection: close", idle connections are closed at once; after lame_duck_seconds
  // nobody new is let in; after drain_seconds more, streams are told (Reply::OnDrain) and cut farewell_seconds later.
  // Any thread, but no signal handler.
  void BeginDrain();
  // The same, with no patience.
  void DrainNow();
  bool draining() const;  // any thread
  // Returns when a drain has ended.
  void Wait();

  // Any thread.
  uint32_t connections() const;
  uint32_t streams() const;  // answers under way that were started as streams

 private:
  std::unique_ptr<Core> core_;
  std::thread thread_;
  bool started_ = false;
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_HTTP_FRONT_H_
