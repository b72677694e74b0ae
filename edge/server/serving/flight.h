// A request on its way, and all who wait for it: identical requests share one.
#ifndef MOTE_EDGE_SERVER_SERVING_FLIGHT_H_
#define MOTE_EDGE_SERVER_SERVING_FLIGHT_H_

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "edge/server/serving/task.h"

namespace mote::server {

// What was told, to be told again: to those who join late, and from the request cache.
struct Record {
  struct Piece {
    int choice = 0;
    std::string text;
    std::vector<TokenDetail> tokens;
    bool last = false;  // the choice's end: no text, but the reason
    Finish finish = Finish::kStop;
  };
  std::vector<Piece> pieces;
  Summary summary;

  uint64_t bytes() const;  // of memory, about
};

// Tells a receiver all of it, as a request that was answered from the cache.
void Replay(const Record& record, const std::string& model, Receiver& receiver);

class Flight : public std::enable_shared_from_this<Flight> {
 public:
  // `recorded`: what is told is kept, so that others can join and the cache can have it.
  explicit Flight(bool recorded) : recorded_(recorded) {}

  // Another who waits. Hears at once what has been told so far. Null if the flight has failed or was given up: too
  // late.
  std::shared_ptr<Ticket> Join(std::shared_ptr<Receiver> receiver, const std::string& model, const char* cache);
  // True as long as somebody waits.
  bool wanted() const { return waiting_.load(std::memory_order_acquire) > 0; }
  // Called once, from any thread, when the last one has given up. Set before the first Join.
  void OnUnwanted(std::function<void()> callback) { on_unwanted_ = std::move(callback); }

  // From one thread at a time; see Receiver.
  void TellStage(Stage stage, double fraction);
  void TellText(int choice, std::string_view text, std::vector<TokenDetail> tokens);
  void TellFinished(int choice, Finish reason);
  // Once all but the end is told: the record, complete. What is kept of it may be told to others before TellDone, so
  // that a client that has its answer finds it in the cache.
  std::shared_ptr<const Record> Seal(const Summary& summary);
  // The first of these two counts; what comes after it is dropped. TellDone follows Seal.
  void TellDone(const Summary& summary);
  void TellFailed(const ApiError& error);

 private:
  struct Waiter;
  template <class Tell>
  void TellAll(Tell tell);

  const bool recorded_;
  std::function<void()> on_unwanted_;
  std::atomic<int> waiting_{0};
  std::mutex mutex_;  // held while receivers are told, which keeps the order for those who join late
  std::vector<std::shared_ptr<Waiter>> waiters_;
  std::shared_ptr<Record> record_ = std::make_shared<Record>();
  bool over_ = false;
  bool failed_ = false;
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_SERVING_FLIGHT_H_
