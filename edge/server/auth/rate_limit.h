// So much in so many seconds, for very many clients in bounded memory. All times are seconds of a clock that never goes
// back; nothing here asks for one.
#ifndef MOTE_EDGE_SERVER_AUTH_RATE_LIMIT_H_
#define MOTE_EDGE_SERVER_AUTH_RATE_LIMIT_H_

#include <stddef.h>
#include <stdint.h>

#include <list>
#include <mutex>
#include <string>
#include <unordered_map>

#include "edge/server/config/settings.h"

namespace mote::server {

// A window that slides over the last `rate.seconds`. The whole count may be used at once, and then no more until it has
// left the window: unlike with a bucket that refills, no window ever holds more than the count. Times are kept to 1/32
// of the window, on the safe side: who asks without a pause gets 97 % of the rate or more.
//
// What is charged after the fact may be more than was left. The rest is a debt, paid with what the following windows
// would have given: so in the long run, too, it is the rate.
class SlidingWindow {
 public:
  // Takes `amount` if it fits.
  bool Take(const Rate& rate, double amount, double now);
  // Takes it whether it fits or not.
  void Charge(const Rate& rate, double amount, double now);
  // What could be taken now: 0 to the count.
  double Left(const Rate& rate, double now);
  // Seconds until `amount` could be taken, if nothing else is; 0: now. Of more than the count: until all could be.
  double Wait(const Rate& rate, double amount, double now);

 private:
  static constexpr int kParts = 32;          // of the window
  static constexpr int kSlots = kParts + 1;  // the oldest is still partly inside

  void Advance(const Rate& rate, double now);
  double Used() const;

  float slots_[kSlots] = {};  // by number modulo kSlots
  int64_t newest_ = -1;       // number of the slot that `now` is in; -1: none yet
  double debt_ = 0;
  double advanced_ = 0;  // the time that debt_ is of
};

// Windows of many clients. Above `capacity` the one that was used longest ago is forgotten.
class RateTable {
 public:
  explicit RateTable(size_t capacity) : capacity_(capacity) {}

  struct Answer {
    bool admitted = true;
    double retry_after = 0;                        // seconds
    double requests_left = 0, requests_reset = 0;  // reset: seconds until all could be taken
    double tokens_left = 0, tokens_reset = 0;
  };
  // One request, if there is room for it and a token is left. Rates without a limit are not looked at; where neither
  // has one, nothing is remembered.
  Answer Admit(const std::string& client, const Rate& requests, const Rate& tokens, double now);
  void Charge(const std::string& client, const Rate& tokens, double amount, double now);
  size_t size() const;

 private:
  struct Client {
    SlidingWindow requests, tokens;
    std::list<std::string>::iterator place;
  };

  Client* Find(const std::string& client);

  const size_t capacity_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Client> clients_;
  std::list<std::string> order_;  // used longest ago first
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_AUTH_RATE_LIMIT_H_
