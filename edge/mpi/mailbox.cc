#include "edge/mpi/mailbox.h"

#include <utility>

namespace mote::mpi {

bool Mailbox::Post(Letter letter, std::string* why) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!lost_.empty()) {
    *why = lost_;
    told_ = true;
    return false;
  }
  posted_.push_back(std::move(letter));
  posted_changed_.notify_one();
  return true;
}

const Letter* Mailbox::Wait(int peer, std::string* why) {
  const size_t from = static_cast<size_t>(peer);
  std::unique_lock<std::mutex> lock(mutex_);
  ++waiting_;
  posted_changed_.notify_one();  // the thread that speaks MPI looks more often now
  while (arrived_[from].empty() && lost_.empty() && left_[from].empty()) changed_.wait(lock);
  // A letter that has come counts, whatever became of its sender.
  if (!arrived_[from].empty()) {
    current_[from] = std::move(arrived_[from].front());
    arrived_[from].pop_front();
    while (lost_.empty() && std::chrono::steady_clock::now() < current_[from].ready) {
      changed_.wait_until(lock, current_[from].ready);
    }
    --waiting_;
    return &current_[from];
  }
  --waiting_;
  *why = lost_.empty() ? left_[from] : lost_;
  told_ = true;
  return nullptr;
}

void Mailbox::TakePosted(std::chrono::microseconds longest, std::deque<Letter>* letters) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (posted_.empty() && longest.count() > 0) posted_changed_.wait_for(lock, longest);
  while (!posted_.empty()) {
    letters->push_back(std::move(posted_.front()));
    posted_.pop_front();
  }
}

void Mailbox::Deliver(Letter letter) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const size_t from = static_cast<size_t>(letter.peer);
  arrived_[from].push_back(std::move(letter));
  changed_.notify_all();
}

void Mailbox::Leave(int peer, const std::string& why) {
  const std::lock_guard<std::mutex> lock(mutex_);
  left_[static_cast<size_t>(peer)] = why;
  changed_.notify_all();
}

void Mailbox::Lose(const std::string& why) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (lost_.empty()) lost_ = why;
  changed_.notify_all();
}

bool Mailbox::lost() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return !lost_.empty();
}

bool Mailbox::waiting() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return waiting_ > 0;
}

bool Mailbox::told() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return told_;
}

}  // namespace mote::mpi
