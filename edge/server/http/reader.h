// HTTP/1.0 and 1.1 requests from bytes, strictly: what two programs could read differently is refused. No sockets, no
// clocks; the result depends on the bytes alone, however they are cut into pieces.
#ifndef MOTE_EDGE_SERVER_HTTP_READER_H_
#define MOTE_EDGE_SERVER_HTTP_READER_H_

#include <stddef.h>
#include <stdint.h>

#include <functional>
#include <string>
#include <string_view>

#include "edge/server/http/message.h"
#include "edge/server/http/options.h"

namespace mote::server {

// Why a request is not served. After one, the connection is of no further use: where the next request would begin is
// unknown.
struct Refusal {
  int status = 0;
  const char* code = "";  // stable, for programs: "malformed_request", "body_too_large", ...
  std::string message;    // one line
};

struct ReadRequest {
  Request request;         // without id, parts and peer
  std::string target;      // the path, percent-encoded in the one canonical way: unreserved characters and '/' stand
                           // for themselves, everything else is %XX; "*" of OPTIONS
  std::string authority;   // of a target in absolute-form ("http://a:80/b"), which takes the place of Host; or ""
  int minor = 1;           // HTTP/1.minor
  bool keep_alive = true;  // as far as the client is concerned
};

class Reader {
 public:
  // The largest body of a request with this method and target, in bytes; asked once, before the body is read.
  using BodyLimit = std::function<uint64_t(const ReadRequest& head)>;
  enum class State { kHead, kBody, kComplete, kRefused };

  // Both outlive the reader.
  Reader(const ReaderLimits* limits, const BodyLimit* body_limit) : limits_(limits), body_limit_(body_limit) {}

  // Takes bytes from the front of `bytes` and returns how many: all of them, but for what follows a complete or
  // refused request.
  size_t Feed(std::string_view bytes);

  State state() const { return state_; }
  bool started() const { return started_; }  // a byte has come
  // True once, where the client waits for "100 Continue" before it sends its body.
  bool TakeContinue();
  uint64_t body_bytes() const { return read_.request.body.size(); }  // so far
  ReadRequest& read() { return read_; }                              // all of it: only when kComplete
  const Refusal& refusal() const { return refusal_; }                // only when kRefused

 private:
  enum class Part { kRequestLine, kField, kLength, kChunkLine, kChunkData, kChunkEnd, kTrailer };

  size_t FeedLine(std::string_view bytes);
  size_t FeedBody(std::string_view bytes);
  size_t FeedChunkEnd(std::string_view bytes);
  void TakeLine(std::string_view line);  // without its CRLF
  void TakeField(std::string_view line);
  void TakeTrailer(std::string_view line);
  bool CountField();  // false: one too many, and refused
  void EndHead();
  void TakeChunkLine(std::string_view line);
  void Refuse(int status, const char* code, std::string message);

  const ReaderLimits* limits_;
  const BodyLimit* body_limit_;
  State state_ = State::kHead;
  Part part_ = Part::kRequestLine;
  bool started_ = false;
  bool skipped_empty_ = false;
  bool continue_ = false;
  ReadRequest read_;
  Refusal refusal_;
  std::string line_;        // the beginning of a line whose end has not come
  uint32_t head_used_ = 0;  // bytes of complete lines of the head, then of the trailers
  uint32_t fields_ = 0;     // the same
  uint32_t extras_ = 0;     // bytes of chunk extensions
  uint64_t remaining_ = 0;  // of the body, or of the chunk
  uint64_t body_limit_bytes_ = 0;
  int chunk_end_ = 0;  // bytes of the CRLF after a chunk's data that have come
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_HTTP_READER_H_
