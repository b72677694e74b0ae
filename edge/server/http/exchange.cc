#include "edge/server/http/exchange.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <utility>

#include "edge/server/http/wire.h"

namespace mote::server {

namespace {

// What others' callbacks throw must not end the front's loop.
void Quietly(const std::function<void()>& call) noexcept {
  try {
    call();
  } catch (...) {
    return;
  }
}

}  // namespace

Mailbox::Mailbox() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Mailbox::~Mailbox() {
  if (fd_ >= 0) close(fd_);
}

void Mailbox::Wake() {
  const uint64_t one = 1;
  // Cannot fail but for a full counter, which wakes as well.
  (void)!write(fd_, &one, sizeof(one));
}

void Mailbox::Hear() {
  uint64_t count = 0;
  (void)!read(fd_, &count, sizeof(count));
}

void Mailbox::Post(std::shared_ptr<Exchange> exchange) {
  if (exchange->queued_.exchange(true)) return;
  bool wake = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (shut_) return;
    exchanges_.push_back(std::move(exchange));
    wake = !std::exchange(woken_, true);
  }
  if (wake) Wake();
}

void Mailbox::Post(std::function<void()> call) {
  bool wake = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (shut_) return;
    calls_.push_back(std::move(call));
    wake = !std::exchange(woken_, true);
  }
  if (wake) Wake();
}

void Mailbox::Take(std::vector<std::shared_ptr<Exchange>>* exchanges, std::vector<std::function<void()>>* calls) {
  exchanges->clear();
  calls->clear();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!std::exchange(woken_, false)) return;
    exchanges->swap(exchanges_);
    calls->swap(calls_);
  }
  for (const auto& exchange : *exchanges) exchange->queued_ = false;
}

void Mailbox::Shut() {
  std::vector<std::shared_ptr<Exchange>> exchanges;
  std::vector<std::function<void()>> calls;
  const std::lock_guard<std::mutex> lock(mutex_);
  shut_ = true;
  exchanges.swap(exchanges_);
  calls.swap(calls_);
}

void Exchange::Notify() {
  mailbox_->Post(shared_from_this());
}

void Exchange::Begin(const Response& response, bool stream) {
  status_ = response.status;
  streams_ = stream;
  chunked_ = stream && facts_.minor == 1;
  bare_ = stream && (facts_.method == "HEAD" || HasNoBody(response.status));
  keep_alive_ = facts_.keep_alive && !mailbox_->closing && (!stream || chunked_);
  AnswerShape shape;
  shape.kind = !stream ? BodyKind::kLength : chunked_ ? BodyKind::kChunked : BodyKind::kClose;
  shape.head_only = facts_.method == "HEAD";
  shape.keep_alive = keep_alive_;
  shape.minor = facts_.minor;
  shape.request_id = facts_.id;
  shape.idle_seconds = facts_.idle_seconds;
  pending_ = WireAnswer(response, shape);
  unsent_ += pending_.size();
  phase_ = stream ? Phase::kStreaming : Phase::kComplete;
}

void Exchange::Send(const Response& response) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (gone_ || phase_ != Phase::kWaiting) return;
    Begin(response, false);
  }
  Notify();
}

void Exchange::Start(const Response& head) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (gone_ || phase_ != Phase::kWaiting) return;
    Begin(head, true);
  }
  Notify();
}

bool Exchange::Write(std::string_view bytes) {
  bool fits = true;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (gone_ || phase_ != Phase::kStreaming) return false;
    if (bytes.empty() || bare_) return true;
    // One piece may be larger than the buffer; what counts is whether the reader keeps up.
    if (unsent_ > facts_.stream_bytes) {
      phase_ = Phase::kBroken;
      fits = false;
    } else {
      const size_t before = pending_.size();
      if (chunked_) {
        AppendChunk(bytes, &pending_);
      } else {
        pending_.append(bytes);
      }
      unsent_ += pending_.size() - before;
    }
  }
  Notify();
  return fits;
}

void Exchange::End() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (gone_ || phase_ != Phase::kStreaming) return;
    if (chunked_ && !bare_) {
      pending_.append(kLastChunk);
      unsent_ += kLastChunk.size();
    }
    phase_ = Phase::kComplete;
  }
  Notify();
}

void Exchange::OnGone(std::function<void()> gone) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (phase_ == Phase::kComplete) return;
    if (!gone_) {
      on_gone_.swap(gone);
      return;
    }
  }
  gone();
}

void Exchange::OnDrain(std::function<void()> drain) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (phase_ != Phase::kComplete && !gone_) on_drain_.swap(drain);
}

void Exchange::Abandon() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (gone_ || phase_ == Phase::kComplete || phase_ == Phase::kBroken) return;
    if (phase_ == Phase::kWaiting) {
      Begin(ErrorResponse(500, "internal_error", "the server failed to answer this request"), false);
    } else {
      phase_ = Phase::kBroken;
    }
  }
  Notify();
}

void Exchange::SetRoute(std::string route) {
  const std::lock_guard<std::mutex> lock(mutex_);
  route_ = std::move(route);
}

Exchange::Portion Exchange::Take() {
  Portion portion;
  const std::lock_guard<std::mutex> lock(mutex_);
  portion.bytes.swap(pending_);
  portion.complete = phase_ == Phase::kComplete;
  portion.broken = phase_ == Phase::kBroken;
  portion.stream = streams_;
  return portion;
}

void Exchange::Close(bool gone) {
  std::function<void()> on_gone, on_drain;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    gone_ = true;
    pending_ = std::string();
    on_gone.swap(on_gone_);
    on_drain.swap(on_drain_);
    // An answer that was handed over completely is whole as far as its writer is concerned.
    gone = gone && phase_ != Phase::kComplete;
  }
  if (gone && on_gone) Quietly(on_gone);
}

void Exchange::Drain() {
  std::function<void()> drain;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    drain.swap(on_drain_);
  }
  if (drain) Quietly(drain);
}

bool Exchange::keep_alive() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return keep_alive_;
}

bool Exchange::broken() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return phase_ == Phase::kBroken;
}

bool Exchange::gone() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return gone_;
}

int Exchange::status() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return status_;
}

std::string Exchange::route() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return route_;
}

}  // namespace mote::server
