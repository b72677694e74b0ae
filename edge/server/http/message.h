// One HTTP exchange, as the handlers of the server see it: a whole request in, a reply that may come later.
#ifndef MOTE_EDGE_SERVER_HTTP_MESSAGE_H_
#define MOTE_EDGE_SERVER_HTTP_MESSAGE_H_

#include <stdint.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mote::server {

// Where a request comes from.
struct Peer {
  std::string
      address;         // "127.0.0.1", "::1"; of the proxy's client where the proxy is trusted; "unix" for a socket file
  bool local = false;  // loopback or a socket file
  bool tls = false;
  std::string certificate;  // subject of the client's verified certificate ("CN=camera-7"), or ""
};

// What a model's work for a request came to: for the account that it goes to, and for the log. Seconds.
struct Outcome {
  std::string model, finish, error;  // as in RequestRecord (ops/metrics.h)
  std::string cache;
  double queued = 0, first_token = 0;
  uint32_t prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0;
};

struct Request {
  std::string id;      // unique; the client's X-Request-Id where that is well-formed
  std::string method;  // "GET"
  std::string path;    // percent-decoded, without the query
  std::vector<std::pair<std::string, std::string>> query;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case, as they came
  std::vector<std::string> parts;  // what the route's pattern matched: {"llama"} of /v1/models/llama
  std::string body;
  Peer peer;

  // What stands before the handler has found out.
  std::string tenant;                                 // on whose account: a key's name; "" without keys
  std::function<void(const Outcome& outcome)> ended;  // to be told before the answer ends; may be empty. Any thread

  // The first value of the header, or null. `name` in lower case.
  const std::string* Header(std::string_view name) const {
    for (const auto& [key, value] : headers) {
      if (key == name) return &value;
    }
    return nullptr;
  }
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::string error;  // its code, for the log and the counters; "": none
};

// The way back to the client. All calls from any thread, none blocks. Exactly one of Send and Start; a Reply that is
// let go of without either answers 500.
class Reply {
 public:
  virtual ~Reply() = default;
  // The whole answer.
  virtual void Send(Response response) = 0;
  // Begins a stream; its body follows in pieces (chunked).
  virtual void Start(Response head) = 0;
  // A piece of the stream. False where the client is gone or was cut off because it reads too slowly: stop the work.
  virtual bool Write(std::string_view bytes) = 0;
  virtual void End() = 0;
  // Called once, from the front's thread, if the client goes away before the answer is complete; at once if it has
  // gone already. Keep it short.
  virtual void OnGone(std::function<void()> gone) = 0;
  // Called at most once, from the front's thread, if the server shuts down before the answer is complete: a moment is
  // left to Write an error and End.
  virtual void OnDrain(std::function<void()> drain) { (void)drain; }
};

using Handler = std::function<void(Request& request, std::shared_ptr<Reply> reply)>;

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_HTTP_MESSAGE_H_
