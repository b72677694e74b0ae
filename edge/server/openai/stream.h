// A stream of events to a client, as server-sent events or as lines of JSON.
#ifndef MOTE_EDGE_SERVER_OPENAI_STREAM_H_
#define MOTE_EDGE_SERVER_OPENAI_STREAM_H_

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "edge/server/http/message.h"
#include "edge/server/serving/task.h"

namespace mote::server {

// Calls `call` every `seconds`, from any thread, until the handle is let go of; Front::Every is one.
using Every = std::function<std::shared_ptr<void>(double seconds, std::function<void()> call)>;

class Stream;

// The tasks of one request: they end when the client goes away or the server shuts down.
class Tickets : public std::enable_shared_from_this<Tickets> {
 public:
  // Once. `stream`: null where the answer is sent whole.
  void Watch(const std::shared_ptr<Reply>& reply, const std::shared_ptr<Stream>& stream);
  // True for the first who asks: that one sends the whole answer.
  bool Claim();
  void Add(std::shared_ptr<Ticket> ticket);
  void CancelAll();
  // The answer is complete. The tickets are let go of: they may hold the receiver that holds this.
  void Release();

 private:
  std::mutex mutex_;
  bool gone_ = false;
  bool released_ = false;
  bool claimed_ = false;
  std::vector<std::shared_ptr<Ticket>> tickets_;
};

// Calls from any thread; each event leaves whole, in the order of the calls. The answer begins with the first event
// that is not held back, so that a refusal before it is an answer with a status of its own.
class Stream : public std::enable_shared_from_this<Stream> {
 public:
  enum class Form { kSse, kNdjson };
  // The silence that a proxy between may take for death is 30 s and more.
  static constexpr double kKeepalive = 15;  // seconds

  Stream(std::shared_ptr<Reply> reply, Form form, std::shared_ptr<Tickets> tickets);

  // Keeps the connection alive from now on, and begins the answer after a second, whatever happens.
  void KeepAlive(const Every& every);

  Form form() const { return form_; }
  // A header of the answer, before it begins.
  void SetHeader(std::string name, std::string value);
  // Of the weights that answer; "": not known.
  void SetPrecision(std::string_view precision);
  // One JSON text. `name`: of the server-sent event, "" for none. `hold`: goes out with the next event.
  void Event(std::string_view json, std::string_view name = "", bool hold = false);
  // The last: "[DONE]" where that is asked for, then the end.
  void End(bool done_mark);
  // The end, with an error: of its own status where nothing has been sent, else as an event.
  void Fail(const ApiError& error, std::string_view name = "");

 private:
  void Push(std::string bytes, bool hold, bool last);
  void Drain();
  void Tick();
  void StopKeepalive();

  const std::shared_ptr<Reply> reply_;
  const Form form_;
  const std::shared_ptr<Tickets> tickets_;

  std::mutex mutex_;  // of what follows; never held while the reply is called
  std::vector<std::pair<std::string, std::string>> headers_;
  std::shared_ptr<void> keepalive_;
  std::string waiting_;
  bool held_ = false;     // what waits does not begin the answer
  bool writing_ = false;  // a thread is inside Drain
  bool started_ = false;
  bool last_ = false;    // nothing comes after what waits
  bool closed_ = false;  // ended, or the client is gone
  double silent_ = 0;    // seconds
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_OPENAI_STREAM_H_
