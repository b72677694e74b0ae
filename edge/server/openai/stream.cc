#include "edge/server/openai/stream.h"

#include <utility>

#include "edge/server/openai/shapes.h"
#include "edge/server/serving/status.h"

namespace mote::server {

void Tickets::Watch(const std::shared_ptr<Reply>& reply, const std::shared_ptr<Stream>& stream) {
  // The reply holds these functions, and a ticket may hold the receiver that holds the reply.
  reply->OnDrain([weak = weak_from_this(), weak_reply = std::weak_ptr(reply), weak_stream = std::weak_ptr(stream)] {
    const auto tickets = weak.lock();
    const auto to = weak_reply.lock();
    if (tickets == nullptr || to == nullptr) return;
    if (const auto events = weak_stream.lock()) {
      events->Fail(ShuttingDown());
    } else if (tickets->Claim()) {
      SendError(*to, ShuttingDown());
    }
    tickets->CancelAll();
  });
  reply->OnGone([weak = weak_from_this()] {
    if (const auto tickets = weak.lock()) tickets->CancelAll();
  });
}

bool Tickets::Claim() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return !std::exchange(claimed_, true);
}

void Tickets::Add(std::shared_ptr<Ticket> ticket) {
  if (ticket == nullptr) return;
  bool gone = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (released_) return;
    gone = gone_;
    if (!gone) tickets_.push_back(ticket);
  }
  if (gone) ticket->Cancel();
}

void Tickets::CancelAll() {
  std::vector<std::shared_ptr<Ticket>> tickets;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    gone_ = true;
    tickets.swap(tickets_);
  }
  for (const auto& ticket : tickets) ticket->Cancel();
}

void Tickets::Release() {
  std::vector<std::shared_ptr<Ticket>> tickets;  // let go of after the lock
  const std::lock_guard<std::mutex> lock(mutex_);
  released_ = true;
  tickets.swap(tickets_);
}

Stream::Stream(std::shared_ptr<Reply> reply, Form form, std::shared_ptr<Tickets> tickets)
    : reply_(std::move(reply)), form_(form), tickets_(std::move(tickets)), headers_({{"Cache-Control", "no-cache"}}) {}

void Stream::KeepAlive(const Every& every) {
  if (!every) return;
  std::shared_ptr<void> handle = every(1, [weak = weak_from_this()] {
    if (const auto stream = weak.lock()) stream->Tick();
  });
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!closed_) keepalive_ = std::move(handle);
}

void Stream::StopKeepalive() {
  std::shared_ptr<void> handle;  // let go of without the lock
  const std::lock_guard<std::mutex> lock(mutex_);
  handle.swap(keepalive_);
}

void Stream::SetHeader(std::string name, std::string value) {
  const std::lock_guard<std::mutex> lock(mutex_);
  headers_.emplace_back(std::move(name), std::move(value));
}

void Stream::SetPrecision(std::string_view precision) {
  if (!precision.empty()) SetHeader("X-Mote-Precision", std::string(precision));
}

void Stream::Tick() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (closed_ || last_) return;
    silent_ += 1;
    if (started_ && silent_ < kKeepalive) return;
    silent_ = 0;
    // A line of JSON has no comments; an empty line is nothing to its readers.
    if (started_) waiting_ += form_ == Form::kSse ? ": \n\n" : "\n";
    held_ = false;
  }
  Drain();
}

void Stream::Event(std::string_view json, std::string_view name, bool hold) {
  std::string bytes;
  bytes.reserve(json.size() + name.size() + 24);
  if (form_ == Form::kSse) {
    if (!name.empty()) bytes.append("event: ").append(name).append("\n");
    bytes.append("data: ").append(json).append("\n\n");
  } else {
    bytes.append(json).append("\n");
  }
  Push(std::move(bytes), hold, false);
}

void Stream::End(bool done_mark) {
  Push(done_mark && form_ == Form::kSse ? "data: [DONE]\n\n" : "", false, true);
}

void Stream::Fail(const ApiError& error, std::string_view name) {
  bool whole = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (closed_ || last_) return;
    whole = closed_ = !started_;
  }
  if (whole) {
    SendError(*reply_, error);
    StopKeepalive();
    return;
  }
  std::string json = ErrorJson(error);
  if (form_ == Form::kNdjson) json = "{\"event\":\"error\"," + json.substr(1);
  Event(json, name);
  End(false);
}

void Stream::Push(std::string bytes, bool hold, bool last) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (closed_ || last_) return;
    held_ = hold && !started_ && (held_ || waiting_.empty());
    waiting_ += bytes;
    last_ = last;
    silent_ = 0;
  }
  Drain();
}

// One thread at a time carries out what waits, in order; the others leave it to that one.
void Stream::Drain() {
  std::unique_lock<std::mutex> lock(mutex_);
  if (writing_ || closed_ || held_) return;
  writing_ = true;
  bool gone = false;
  while (!gone && (!started_ || !waiting_.empty())) {
    const bool start = !started_;
    started_ = true;
    const std::string bytes = std::exchange(waiting_, {});
    auto headers = std::exchange(headers_, {});
    lock.unlock();
    if (start) {
      Response head;
      head.content_type = form_ == Form::kSse ? "text/event-stream" : "application/x-ndjson";
      head.headers = std::move(headers);
      reply_->Start(std::move(head));
    }
    if (!bytes.empty()) gone = !reply_->Write(bytes);
    lock.lock();
  }
  writing_ = false;
  const bool end = last_ && !closed_;
  closed_ = closed_ || last_ || gone;
  lock.unlock();
  if (end) reply_->End();
  if (end || gone) StopKeepalive();
  if (gone) tickets_->CancelAll();
}

}  // namespace mote::server
