// One request's answer on its way from whoever writes it to the front's thread.
#ifndef MOTE_EDGE_SERVER_HTTP_EXCHANGE_H_
#define MOTE_EDGE_SERVER_HTTP_EXCHANGE_H_

#include <stdint.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "edge/server/http/message.h"

namespace mote::server {

class Connection;
class Exchange;

// What other threads leave for the front's thread. Wakes it by an eventfd, once for all that has gathered.
class Mailbox {
 public:
  Mailbox();
  ~Mailbox();
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  int fd() const { return fd_; }  // -1: the system gave none
  // Any thread.
  void Post(std::shared_ptr<Exchange> exchange);
  void Post(std::function<void()> call);

  // The front's thread. Hear when fd() can be read, then Take: in the other order, the call of who posts in between is
  // lost.
  void Hear();
  void Take(std::vector<std::shared_ptr<Exchange>>* exchanges, std::vector<std::function<void()>>* calls);
  // Nobody takes anything out any more: drops what is in it and what comes.
  void Shut();

  // Set by a front that drains: answers say that the connection closes.
  std::atomic<bool> closing = false;

 private:
  void Wake();

  const int fd_;
  std::mutex mutex_;
  bool woken_ = false;
  bool shut_ = false;
  std::vector<std::shared_ptr<Exchange>> exchanges_;
  std::vector<std::function<void()>> calls_;
};

class Exchange : public std::enable_shared_from_this<Exchange> {
 public:
  struct Facts {
    std::string id;
    std::string method;
    int minor = 1;
    bool keep_alive = true;
    double idle_seconds = 0;    // that the connection is kept for afterwards; told, where it is kept
    uint64_t stream_bytes = 0;  // the most that may wait to be sent of a stream
  };

  Exchange(std::shared_ptr<Mailbox> mailbox, Facts facts) : mailbox_(std::move(mailbox)), facts_(std::move(facts)) {}

  // Any thread; as Reply.
  void Send(const Response& response);
  void Start(const Response& head);
  bool Write(std::string_view bytes);
  void End();
  void OnGone(std::function<void()> gone);
  void OnDrain(std::function<void()> drain);
  // Nobody is going to answer any more: 500 where nothing was said, a cut where a stream has begun.
  void Abandon();
  // Names the route, for the record.
  void SetRoute(std::string route);

  // The front's thread.
  struct Portion {
    std::string bytes;
    bool complete = false;  // nothing follows
    bool stream = false;
    bool broken = false;  // cut off after these bytes
  };
  Portion Take();
  void Sent(uint64_t bytes) { unsent_ -= bytes; }
  void Owe(uint64_t bytes) { unsent_ += bytes; }  // others' bytes that are sent before
  bool broken() const;
  bool gone() const;
  // The client has gone, or the answer is complete: calls back what must be, and forgets the rest.
  void Close(bool gone);
  void Drain();
  bool keep_alive() const;  // of the answer, once it has begun
  int status() const;       // 0: no answer yet
  std::string route() const;
  const Facts& facts() const { return facts_; }

  Connection* connection = nullptr;  // the front's thread; null once they have parted
  std::string peer;                  // who has asked, for the record
  double began = 0;                  // when the request was complete; the front's clock
  uint64_t bytes_in = 0, bytes_out = 0;

 private:
  friend class Mailbox;
  enum class Phase { kWaiting, kStreaming, kComplete, kBroken };

  void Begin(const Response& response, bool stream);  // under the lock
  void Notify();

  const std::shared_ptr<Mailbox> mailbox_;
  const Facts facts_;
  std::atomic<bool> queued_ = false;  // in the mailbox
  std::atomic<uint64_t> unsent_ = 0;  // bytes written and not yet taken by the socket

  mutable std::mutex mutex_;
  Phase phase_ = Phase::kWaiting;
  bool gone_ = false;  // closed: what is written goes nowhere
  bool chunked_ = false;
  bool bare_ = false;  // a stream whose answer has no body (HEAD, 204)
  bool keep_alive_ = false;
  bool streams_ = false;
  int status_ = 0;
  std::string pending_;
  std::string route_;
  std::function<void()> on_gone_, on_drain_;
};

// What handlers hold. Letting go of the last one without an answer answers.
class ReplyHandle : public Reply {
 public:
  explicit ReplyHandle(std::shared_ptr<Exchange> exchange) : exchange_(std::move(exchange)) {}
  ~ReplyHandle() override { exchange_->Abandon(); }
  ReplyHandle(const ReplyHandle&) = delete;
  ReplyHandle& operator=(const ReplyHandle&) = delete;

  void Send(Response response) override { exchange_->Send(response); }
  void Start(Response head) override { exchange_->Start(head); }
  bool Write(std::string_view bytes) override { return exchange_->Write(bytes); }
  void End() override { exchange_->End(); }
  void OnGone(std::function<void()> gone) override { exchange_->OnGone(std::move(gone)); }
  void OnDrain(std::function<void()> drain) override { exchange_->OnDrain(std::move(drain)); }

 private:
  const std::shared_ptr<Exchange> exchange_;
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_HTTP_EXCHANGE_H_
