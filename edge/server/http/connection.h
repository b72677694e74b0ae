// One connection: bytes in, requests out to the workers, their answers back. The front's thread only.
#ifndef MOTE_EDGE_SERVER_HTTP_CONNECTION_H_
#define MOTE_EDGE_SERVER_HTTP_CONNECTION_H_

#include <stdint.h>

#include <memory>
#include <string>
#include <string_view>

#include "edge/server/http/exchange.h"
#include "edge/server/http/message.h"
#include "edge/server/http/reader.h"
#include "edge/server/http/tls.h"
#include "edge/server/http/wheel.h"

namespace mote::server {

class Core;

// What the loop waits for.
class Pollable {
 public:
  virtual ~Pollable() = default;
  virtual void OnEvents(uint32_t events) = 0;
  // OnEvents threw: memory was out.
  virtual void OnFailure() = 0;
};

// False where `call` threw. What one connection needs, or what one callback does, must not end the loop.
template <class Call>
bool Contained(const Call& call) noexcept {
  try {
    call();
    return true;
  } catch (...) {
    return false;
  }
}

class Connection : public Pollable, public Timer {
 public:
  // Owns `fd`. `key`: what the connection is counted under, or "".
  Connection(Core* core, int fd, Peer peer, std::string key, std::unique_ptr<TlsSession> tls);
  ~Connection() override;

  // False where the system cannot watch the socket.
  bool Begin();
  void OnEvents(uint32_t events) override;
  void OnFailure() override { Cut(); }
  void Fire(double now) override;
  // The exchange has something to send.
  void OnReply();
  // No further request is taken: closes where none is under way. `fresh_too`: even where none has come yet.
  void Retire(bool fresh_too);
  // Ends it now, whatever is under way.
  void Cut();

  Exchange* exchange() const { return exchange_.get(); }
  const std::string& key() const { return key_; }

 private:
  enum class State : uint8_t {
    kHandshake,
    kReading,    // a request, or nothing yet
    kServing,    // a request is with its handler, or its answer on the way
    kRefusing,   // the last answer is on the way
    kLingering,  // ours is said; what still comes is thrown away, so that the answer is not lost to a reset
    kDead,
  };

  void OnDeadline(double now);
  void ShakeHands();
  void Receive();
  void Take(std::string_view bytes);
  void AfterHead();
  bool CountBody();  // false: over the budget of all bodies, and refused
  void CheckBodyRate(double now);
  void Dispatch();
  void Refuse(int status, const char* code, const std::string& message, double retry_after = 0);
  void Flush();
  void AwaitWritable();
  void CheckStall(double now);
  void FinishExchange();
  void StartReading();
  void StartLingering();
  void Linger();
  void Lose();  // the client has gone
  void Die();

  Io ReceiveSome(char* out, size_t size, size_t* taken);
  Io TransmitSome(const char* bytes, size_t size, size_t* taken);
  void Watch(uint32_t events);
  void Blocked(Io io, bool reading);

  Core* const core_;
  const int fd_;
  State state_ = State::kReading;
  bool served_before_ = false;
  bool in_body_ = false;
  bool answer_complete_ = false;
  bool half_closed_ = false;                                               // the client has said all that it will
  bool long_work_ = false;                                                 // as its RouteOptions say
  bool streaming_ = false;                                                 // counted among the streams
  bool reading_waits_for_write_ = false, writing_waits_for_read_ = false;  // TLS
  bool stalled_ = false;                                                   // the stall timer runs
  uint32_t watched_ = 0;
  uint32_t discard_ = 0;  // bytes that lingering still reads
  const std::string key_;
  Peer peer_;
  std::unique_ptr<TlsSession> tls_;
  std::unique_ptr<Reader> reader_;  // only while a request comes in
  std::shared_ptr<Exchange> exchange_;
  std::string leftover_;  // what came after the request being served
  std::string out_;
  size_t out_sent_ = 0;
  uint64_t sent_ = 0, stall_target_ = 0;  // bytes since the beginning
  uint64_t held_ = 0;                     // body bytes counted in the core's budget
  double body_began_ = 0, window_began_ = 0;
  uint64_t window_bytes_ = 0;  // of the body, when the window began
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_HTTP_CONNECTION_H_
