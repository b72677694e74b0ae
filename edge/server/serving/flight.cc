#include "edge/server/serving/flight.h"

#include <utility>

namespace mote::server {
namespace {

uint64_t BytesOf(const std::vector<TokenDetail>& tokens) {
  uint64_t bytes = 0;
  for (const TokenDetail& token : tokens) bytes += sizeof(token) + token.bytes.capacity() + BytesOf(token.top);
  return bytes;
}

void Tell(const Record::Piece& piece, Receiver& receiver) {
  if (piece.last) {
    receiver.OnFinished(piece.choice, piece.finish);
  } else {
    receiver.OnText(piece.choice, piece.text, piece.tokens);
  }
}

}  // namespace

uint64_t Record::bytes() const {
  uint64_t bytes = sizeof(Record);
  for (const Piece& piece : pieces) bytes += sizeof(piece) + piece.text.capacity() + BytesOf(piece.tokens);
  return bytes;
}

void Replay(const Record& record, const std::string& model, Receiver& receiver) {
  Summary summary = record.summary;
  summary.cache = "hit";
  summary.timings = Timings{};
  receiver.OnAccepted(model, summary.cache);
  for (const Record::Piece& piece : record.pieces) Tell(piece, receiver);
  receiver.OnDone(summary);
}

// The ticket of one who waits. Giving up takes no lock: a receiver may do it while it is being told something.
struct Flight::Waiter : Ticket {
  Waiter(std::shared_ptr<Flight> f, std::shared_ptr<Receiver> r, const char* c)
      : flight(std::move(f)), receiver(std::move(r)), cache(c) {}
  void Cancel() override {
    if (gone.exchange(true)) return;
    // A copy: the flight may go with the last ticket.
    const std::shared_ptr<Flight> mine = flight;
    if (mine->waiting_.fetch_sub(1, std::memory_order_acq_rel) == 1 && mine->on_unwanted_) mine->on_unwanted_();
  }

  const std::shared_ptr<Flight> flight;
  const std::shared_ptr<Receiver> receiver;
  const char* const cache;
  std::atomic<bool> gone{false};
};

std::shared_ptr<Ticket> Flight::Join(std::shared_ptr<Receiver> receiver, const std::string& model, const char* cache) {
  const auto waiter = std::make_shared<Waiter>(shared_from_this(), std::move(receiver), cache);
  const std::lock_guard lock(mutex_);
  if (failed_) return nullptr;
  if (!over_) {
    // Who comes after the last one has given up comes too late: the work is being ended.
    int before = waiting_.load(std::memory_order_acquire);
    do {
      if (before == 0 && !waiters_.empty()) return nullptr;
    } while (!waiting_.compare_exchange_weak(before, before + 1, std::memory_order_acq_rel));
    waiters_.push_back(waiter);
  }
  waiter->receiver->OnAccepted(model, cache);
  for (const Record::Piece& piece : record_->pieces) Tell(piece, *waiter->receiver);
  if (over_) {
    Summary summary = record_->summary;
    summary.cache = cache;
    waiter->receiver->OnDone(summary);
  }
  return waiter;
}

template <class TellOne>
void Flight::TellAll(TellOne tell) {
  for (const std::shared_ptr<Waiter>& waiter : waiters_) {
    if (!waiter->gone.load(std::memory_order_acquire)) tell(*waiter);
  }
}

void Flight::TellStage(Stage stage, double fraction) {
  const std::lock_guard lock(mutex_);
  if (!over_) TellAll([&](Waiter& waiter) { waiter.receiver->OnStage(stage, fraction); });
}

void Flight::TellText(int choice, std::string_view text, std::vector<TokenDetail> tokens) {
  const std::lock_guard lock(mutex_);
  if (over_) return;
  TellAll([&](Waiter& waiter) { waiter.receiver->OnText(choice, text, tokens); });
  if (!recorded_) return;
  // One piece per choice where nothing is said of single tokens: what is told again need not come in as many steps.
  if (tokens.empty() && !record_->pieces.empty() && record_->pieces.back().choice == choice &&
      !record_->pieces.back().last && record_->pieces.back().tokens.empty()) {
    record_->pieces.back().text += text;
  } else {
    record_->pieces.push_back({choice, std::string(text), std::move(tokens)});
  }
}

void Flight::TellFinished(int choice, Finish reason) {
  const std::lock_guard lock(mutex_);
  if (over_) return;
  TellAll([&](Waiter& waiter) { waiter.receiver->OnFinished(choice, reason); });
  if (recorded_) record_->pieces.push_back({choice, "", {}, true, reason});
}

std::shared_ptr<const Record> Flight::Seal(const Summary& summary) {
  const std::lock_guard lock(mutex_);
  record_->summary = summary;
  return record_;
}

void Flight::TellDone(const Summary& summary) {
  const std::lock_guard lock(mutex_);
  if (over_) return;
  over_ = true;
  TellAll([&](Waiter& waiter) {
    Summary own = summary;
    own.cache = waiter.cache;
    waiter.receiver->OnDone(own);
  });
  waiters_.clear();
}

void Flight::TellFailed(const ApiError& error) {
  const std::lock_guard lock(mutex_);
  if (over_) return;
  over_ = failed_ = true;
  TellAll([&](Waiter& waiter) { waiter.receiver->OnFailed(error); });
  waiters_.clear();
}

}  // namespace mote::server
