// Messages on their way between the threads of a process and the one thread that speaks MPI.
#ifndef MOTE_EDGE_MPI_MAILBOX_H_
#define MOTE_EDGE_MPI_MAILBOX_H_

#include <stdint.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

namespace mote::mpi {

using Instant = std::chrono::steady_clock::time_point;

struct Letter {
  int peer = 0;
  uint64_t size = 0;            // bytes
  std::vector<uint64_t> words;  // so that what is in it is aligned
  Instant ready;                // when it may be seen
};

class Mailbox {
 public:
  explicit Mailbox(int ranks) : arrived_(static_cast<size_t>(ranks)), current_(static_cast<size_t>(ranks)) {}

  // ---- For the program's threads.
  // False, with the reason, once a process is lost.
  bool Post(Letter letter, std::string* why);
  // The next of a peer, there until the next call for it. Null with the reason where there will be none.
  const Letter* Wait(int peer, std::string* why);

  // ---- For the thread that speaks MPI.
  // Moves all that was posted to the end of `letters`. Waits up to `longest` where there is nothing.
  void TakePosted(std::chrono::microseconds longest, std::deque<Letter>* letters);
  void Deliver(Letter letter);
  // Nothing more will come from it.
  void Leave(int peer, const std::string& why);
  // For good, of all.
  void Lose(const std::string& why);

  bool lost();
  // True where a thread waits for a letter, or has been told the loss.
  bool waiting();
  bool told();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::condition_variable posted_changed_;
  std::deque<Letter> posted_;
  std::vector<std::deque<Letter>> arrived_;
  std::vector<Letter> current_;
  std::vector<std::string> left_ = std::vector<std::string>(arrived_.size());
  std::string lost_;
  int waiting_ = 0;
  bool told_ = false;
};

}  // namespace mote::mpi

#endif  // MOTE_EDGE_MPI_MAILBOX_H_
