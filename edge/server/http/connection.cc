#include "edge/server/http/connection.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "edge/server/http/core.h"
#include "edge/server/http/wire.h"

namespace mote::server {
namespace {

// Of one connection, before the others have their turn.
constexpr int kReadsAtOnce = 16;
// What a reader must take within FrontOptions::stall_seconds, or all there is.
constexpr uint64_t kStallBytes = 64 << 10;
// A client that still sends when its answer is out: so much is read, for so long.
constexpr uint32_t kDiscardBytes = 4 << 20;
constexpr double kLingerSeconds = 2;
// Larger buffers are given back when they are empty.
constexpr size_t kKeptBuffer = 2 << 10;
// Beyond this, the kernel tells a socket full: a slow reader is noticed by what waits here, not after megabytes there.
constexpr int kUnsentInKernel = 64 << 10;

void GiveBack(std::string* buffer) {
  if (buffer->capacity() > kKeptBuffer) {
    *buffer = std::string();
  } else {
    buffer->clear();
  }
}

}  // namespace

Connection::Connection(Core* core, int fd, Peer peer, std::string key, std::unique_ptr<TlsSession> tls)
    : core_(core), fd_(fd), key_(std::move(key)), peer_(std::move(peer)), tls_(std::move(tls)) {}

Connection::~Connection() {
  if (state_ != State::kDead) close(fd_);
}

bool Connection::Begin() {
  const int one = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  setsockopt(fd_, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kUnsentInKernel, sizeof(kUnsentInKernel));
  // A peer that has vanished without a word: noticed by what it does not acknowledge, or, where nothing is sent to it,
  // by probes after half a minute, three of them.
  const int idle = 30, interval = 10, probes = 3;
  const unsigned unacknowledged = static_cast<unsigned>((core_->options.stall_seconds + 10) * 1000);
  setsockopt(fd_, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
  setsockopt(fd_, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
  setsockopt(fd_, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
  setsockopt(fd_, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
  setsockopt(fd_, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged, sizeof(unacknowledged));
  watched_ = EPOLLIN | EPOLLRDHUP;
  if (!core_->Watch(this, fd_, watched_)) return false;
  const bool tls = tls_ != nullptr;
  state_ = tls ? State::kHandshake : State::kReading;
  const FrontOptions& options = core_->options;
  core_->wheel().Set(this, core_->now() + (tls ? options.handshake_seconds : options.head_seconds));
  return true;
}

void Connection::Watch(uint32_t events) {
  // Level-triggered, what is known of a half-closed client would be told again and again while it waits.
  const bool known = half_closed_ && (state_ == State::kServing || state_ == State::kRefusing);
  events = known ? events & ~static_cast<uint32_t>(EPOLLRDHUP) : events | EPOLLRDHUP;
  if (events == watched_) return;
  watched_ = events;
  core_->Change(this, fd_, events);
}

void Connection::OnEvents(uint32_t events) {
  if (state_ == State::kDead) return;
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) return Lose();
  half_closed_ = half_closed_ || (events & EPOLLRDHUP) != 0;
  switch (state_) {
    case State::kHandshake:
      return ShakeHands();
    case State::kLingering:
      return Linger();
    case State::kReading:
      if ((events & EPOLLOUT) != 0) {
        if (!out_.empty()) Flush();
        if (std::exchange(reading_waits_for_write_, false)) events |= EPOLLIN;
      }
      if (state_ == State::kReading && (events & (EPOLLIN | EPOLLRDHUP)) != 0) Receive();
      return;
    case State::kServing:
    case State::kRefusing:
      // Nothing else tells a closed socket from a patient one: long work is not done for what may be nobody.
      if (half_closed_ && long_work_ && state_ == State::kServing) return Lose();
      if ((events & EPOLLOUT) != 0 || ((events & EPOLLIN) != 0 && writing_waits_for_read_)) return Flush();
      // The next request can wait; level-triggered, it would be told again and again.
      if ((events & (EPOLLIN | EPOLLRDHUP)) != 0) Watch(watched_ & ~static_cast<uint32_t>(EPOLLIN));
      return;
    case State::kDead:
      return;
  }
}

void Connection::Fire(double now) {
  if (!Contained([&] { OnDeadline(now); })) Cut();
}

void Connection::OnDeadline(double now) {
  switch (state_) {
    case State::kHandshake:
    case State::kLingering:
      return Die();
    case State::kReading:
      if (reader_ == nullptr || !reader_->started()) return Die();
      if (in_body_) return CheckBodyRate(now);
      return Refuse(408, "request_timeout", "the request's head did not come in time");
    case State::kServing:
    case State::kRefusing:
      return CheckStall(now);
    case State::kDead:
      return;
  }
}

void Connection::ShakeHands() {
  const Io io = tls_->Handshake();
  if (io == Io::kClosed) return Die();
  if (io != Io::kDone) return Watch(io == Io::kWantWrite ? EPOLLOUT : EPOLLIN);
  peer_.tls = true;
  peer_.certificate = tls_->PeerSubject();
  state_ = State::kReading;
  Watch(EPOLLIN);
  core_->wheel().Set(this, core_->now() + core_->options.head_seconds);
  Receive();
}

void Connection::Receive() {
  for (int i = 0; i < kReadsAtOnce && state_ == State::kReading; ++i) {
    size_t taken = 0;
    const Io io = ReceiveSome(core_->scratch(), Core::kScratch, &taken);
    if (io == Io::kClosed) return Lose();
    if (io != Io::kDone) return Blocked(io, true);
    Take({core_->scratch(), taken});
    // A short read has emptied the socket: no further call to hear so.
    if (taken < Core::kScratch && tls_ == nullptr) return;
  }
}

void Connection::Take(std::string_view bytes) {
  while (state_ == State::kReading && !bytes.empty()) {
    if (reader_ == nullptr) {
      reader_ = std::make_unique<Reader>(&core_->options.reader, &core_->body_limit);
      in_body_ = false;
      // A new connection has had its deadline since it was made.
      if (served_before_) core_->wheel().Set(this, core_->now() + core_->options.head_seconds);
    }
    bytes.remove_prefix(reader_->Feed(bytes));
    switch (reader_->state()) {
      case Reader::State::kHead:
        break;
      case Reader::State::kBody:
        if (!CountBody()) return;
        if (!in_body_) AfterHead();
        break;
      case Reader::State::kComplete:
        if (!CountBody()) return;
        leftover_ = bytes;
        return Dispatch();
      case Reader::State::kRefused: {
        const Refusal refusal = reader_->refusal();
        return Refuse(refusal.status, refusal.code, refusal.message);
      }
    }
  }
}

void Connection::AfterHead() {
  in_body_ = true;
  body_began_ = window_began_ = core_->now();
  window_bytes_ = reader_->body_bytes();
  core_->wheel().Set(this, window_began_ + core_->options.body_window_seconds);
  if (reader_->TakeContinue()) {
    out_.append(kContinue);
    Flush();
  }
}

bool Connection::CountBody() {
  const uint64_t bytes = reader_->body_bytes();
  *core_->body_bytes += bytes - held_;
  held_ = bytes;
  if (*core_->body_bytes <= core_->options.all_bodies_bytes) return true;
  Refuse(503, "overloaded", "the server holds as many bytes of requests as it may", 1);
  return false;
}

void Connection::CheckBodyRate(double now) {
  const FrontOptions& options = core_->options;
  const double came = static_cast<double>(reader_->body_bytes() - window_bytes_);
  if (came < options.body_bytes_per_second * (now - window_began_) || now - body_began_ > options.body_seconds) {
    return Refuse(408, "request_timeout", "the request's body did not come in time");
  }
  window_began_ = now;
  window_bytes_ = reader_->body_bytes();
  core_->wheel().Set(this, now + std::min(options.body_window_seconds, body_began_ + options.body_seconds - now + 1));
}

void Connection::Dispatch() {
  core_->wheel().Cancel(this);
  state_ = State::kServing;
  answer_complete_ = false;
  const std::unique_ptr<Reader> reader = std::move(reader_);
  ReadRequest read = std::move(reader->read());
  read.request.id = core_->NewRequestId();
  if (const std::string* id = read.request.Header("x-request-id")) {
    const bool well_formed = !id->empty() && id->size() <= 128 && std::all_of(id->begin(), id->end(), [](char c) {
      return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '-' || c == '_' || c == '.' ||
             c == ':';
    });
    if (well_formed) read.request.id = *id;
  }
  read.request.peer = peer_;
  Exchange::Facts facts;
  facts.id = read.request.id;
  facts.method = read.request.method;
  facts.minor = read.minor;
  facts.keep_alive = read.keep_alive;
  facts.idle_seconds = core_->options.idle_seconds;
  facts.stream_bytes = core_->options.stream_buffer_bytes;
  exchange_ = std::make_shared<Exchange>(core_->mailbox, std::move(facts));
  exchange_->connection = this;
  exchange_->began = core_->now();
  exchange_->bytes_in = read.request.body.size();
  long_work_ = core_->OptionsOf(read).long_work;
  // Known before it begins, so that it does not depend on who is faster.
  if (half_closed_ && long_work_) return Lose();
  // "100 Continue" that nobody has read yet.
  exchange_->Owe(out_.size() - out_sent_);
  auto lease = std::make_unique<BodyLease>(core_->body_bytes, held_);
  held_ = 0;
  core_->Dispatch(this, std::move(read), std::move(lease));
}

void Connection::Refuse(int status, const char* code, const std::string& message, double retry_after) {
  const std::string id = core_->NewRequestId();
  const bool read = reader_ != nullptr && !reader_->read().request.method.empty();
  const std::string method = read ? reader_->read().request.method : "";
  AnswerShape shape;
  shape.head_only = method == "HEAD";
  shape.request_id = id;
  out_ += WireAnswer(ErrorResponse(status, code, message, retry_after), shape);
  core_->ObserveRefusal(id, method, peer_, status);
  reader_.reset();
  state_ = State::kRefusing;
  core_->wheel().Cancel(this);
  Flush();
}

void Connection::OnReply() {
  if (exchange_ == nullptr) return;
  if (stalled_) {
    // The socket is full. What was written waits in the exchange, unless it is to be cut.
    if (exchange_->broken()) Cut();
    return;
  }
  Flush();
}

void Connection::Flush() {
  writing_waits_for_read_ = false;
  bool broken = false;
  while (true) {
    while (out_sent_ < out_.size()) {
      size_t taken = 0;
      const Io io = TransmitSome(out_.data() + out_sent_, out_.size() - out_sent_, &taken);
      if (io == Io::kClosed) return Lose();
      if (io != Io::kDone) {
        Blocked(io, false);
        if (broken) return Cut();
        return AwaitWritable();
      }
      out_sent_ += taken;
      sent_ += taken;
      if (exchange_ != nullptr) exchange_->Sent(taken);
    }
    GiveBack(&out_);
    out_sent_ = 0;
    if (exchange_ == nullptr || answer_complete_) break;
    Exchange::Portion portion = exchange_->Take();
    answer_complete_ = portion.complete;
    broken = portion.broken;
    if (portion.stream && !std::exchange(streaming_, true)) ++core_->streams;
    if (portion.bytes.empty()) break;
    exchange_->bytes_out += portion.bytes.size();
    out_ = std::move(portion.bytes);
  }
  if (std::exchange(stalled_, false)) core_->wheel().Cancel(this);
  if (state_ == State::kRefusing) return StartLingering();
  if (broken) return Cut();
  Watch(watched_ & ~static_cast<uint32_t>(EPOLLOUT));
  if (exchange_ != nullptr && answer_complete_) FinishExchange();
}

// Which event the last call that could not go on waits for.
void Connection::Blocked(Io io, bool reading) {
  if (reading) {
    reading_waits_for_write_ = io == Io::kWantWrite;
    if (reading_waits_for_write_) Watch(watched_ | EPOLLOUT);
  } else {
    writing_waits_for_read_ = io == Io::kWantRead;
    Watch(writing_waits_for_read_ ? watched_ | EPOLLIN : watched_ | EPOLLOUT);
  }
}

void Connection::AwaitWritable() {
  // While a request comes in, the timer is its deadline.
  if (stalled_ || state_ == State::kReading) return;
  stalled_ = true;
  stall_target_ = sent_ + std::min<uint64_t>(kStallBytes, out_.size() - out_sent_);
  core_->wheel().Set(this, core_->now() + core_->options.stall_seconds);
}

void Connection::CheckStall(double) {
  if (sent_ < stall_target_) return Cut();
  stalled_ = false;
  AwaitWritable();
}

void Connection::FinishExchange() {
  const std::shared_ptr<Exchange> exchange = std::move(exchange_);
  exchange_ = nullptr;
  exchange->connection = nullptr;
  exchange->Close(false);
  core_->Observe(*exchange, false);
  if (std::exchange(streaming_, false)) --core_->streams;
  served_before_ = true;
  if (!exchange->keep_alive() || core_->draining) return StartLingering();
  StartReading();
}

void Connection::StartReading() {
  state_ = State::kReading;
  Watch(EPOLLIN);
  core_->wheel().Set(this, core_->now() + core_->options.idle_seconds);
  if (!leftover_.empty()) {
    const std::string bytes = std::move(leftover_);
    leftover_ = std::string();
    Take(bytes);
  }
  // What OpenSSL has read already, the socket does not tell.
  if (state_ == State::kReading && tls_ != nullptr) Receive();
}

void Connection::StartLingering() {
  reader_.reset();
  leftover_ = std::string();
  out_ = std::string();
  if (tls_ != nullptr) tls_->Shutdown();
  shutdown(fd_, SHUT_WR);
  state_ = State::kLingering;
  discard_ = kDiscardBytes;
  core_->wheel().Set(this, core_->now() + kLingerSeconds);
  Watch(EPOLLIN);
  Linger();
}

void Connection::Linger() {
  while (discard_ > 0) {
    const ssize_t taken = recv(fd_, core_->scratch(), Core::kScratch, 0);
    if (taken < 0 && errno == EINTR) continue;
    if (taken < 0 && errno == EAGAIN) return;
    if (taken <= 0) break;
    discard_ -= std::min(discard_, static_cast<uint32_t>(taken));
  }
  Die();
}

void Connection::Retire(bool fresh_too) {
  const bool idle = state_ == State::kReading && (reader_ == nullptr || !reader_->started());
  if (idle && (served_before_ || fresh_too)) StartLingering();
}

void Connection::Lose() {
  const std::shared_ptr<Exchange> exchange = exchange_;
  Die();
  if (exchange == nullptr) return;
  exchange->Close(true);
  core_->Observe(*exchange, true);
}

void Connection::Cut() {
  if (state_ == State::kDead) return;
  // What the kernel still holds for a reader that does not read is thrown away.
  const linger now = {1, 0};
  if (stalled_ || out_sent_ < out_.size()) setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  Lose();
}

void Connection::Die() {
  if (state_ == State::kDead) return;
  state_ = State::kDead;
  core_->wheel().Cancel(this);
  *core_->body_bytes -= held_;
  held_ = 0;
  if (std::exchange(streaming_, false)) --core_->streams;
  if (exchange_ != nullptr) exchange_->connection = nullptr;
  exchange_ = nullptr;
  close(fd_);
  core_->Remove(this);
}

Io Connection::ReceiveSome(char* out, size_t size, size_t* taken) {
  if (tls_ != nullptr) return tls_->Read(out, size, taken);
  while (true) {
    const ssize_t result = recv(fd_, out, size, 0);
    if (result > 0) {
      *taken = static_cast<size_t>(result);
      return Io::kDone;
    }
    if (result == 0) return Io::kClosed;
    if (errno == EAGAIN) return Io::kWantRead;
    if (errno != EINTR) return Io::kClosed;
  }
}

Io Connection::TransmitSome(const char* bytes, size_t size, size_t* taken) {
  if (tls_ != nullptr) return tls_->Write(bytes, size, taken);
  while (true) {
    const ssize_t result = send(fd_, bytes, size, MSG_NOSIGNAL);
    if (result >= 0) {
      *taken = static_cast<size_t>(result);
      return Io::kDone;
    }
    if (errno == EAGAIN) return Io::kWantWrite;
    if (errno != EINTR) return Io::kClosed;
  }
}

}  // namespace mote::server
