#include "edge/server/openai/stream.h"

#include <utility>

#include "edge/server/openai/shapes.h"

namespace mote::server {

void Tickets::Watch(Reply& reply) {
  // The reply holds the function, and a ticket may hold the receiver that holds the reply.
  reply.OnGone([weak = weak_from_this()] {
    if (const auto tickets = weak.lock()) tickets->CancelAll();
  });
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
    : reply_(std::move(reply)), form_(form), tickets_(std::move(tickets)) {}

void Stream::KeepAlive(const Every& every) {
  if (!every) return;
  every(1, [weak = weak_from_this()] {
    const auto stream = weak.lock();
    return stream != nullptr && stream->Tick();
  });
}

bool Stream::Tick() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (closed_ || last_) return false;
    silent_ += 1;
    if (started_ && silent_ < kKeepalive) return true;
    // A line of JSON has no comments; an empty line is nothing to its readers.
    if (started_) waiting_ += form_ == Form::kSse ? ": \n\n" : "\n";
    held_ = false;
  }
  Drain();
  return true;
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
    lock.unlock();
    if (start) {
      Response head;
      head.content_type = form_ == Form::kSse ? "text/event-stream" : "application/x-ndjson";
      head.headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}};
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
  if (gone) tickets_->CancelAll();
}

}  // namespace mote::server
