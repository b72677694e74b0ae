#include "edge/server/http/workers.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

namespace mote::server {

Workers::Workers(const char* name, uint32_t floor, uint32_t ceiling, double idle_seconds)
    : name_(name),
      floor_(std::max(floor, 1u)),
      ceiling_(std::max(ceiling, std::max(floor, 1u))),
      idle_seconds_(idle_seconds) {
  const std::lock_guard<std::mutex> lock(mutex_);
  while (threads_ < floor_ && Grow()) {
  }
}

Workers::~Workers() {
  std::deque<std::function<void()>> dropped;
  std::unique_lock<std::mutex> lock(mutex_);
  stopping_ = true;
  dropped.swap(queue_);
  work_.notify_all();
  ended_.wait(lock, [this] { return threads_ == 0; });
  lock.unlock();
}

bool Workers::Grow() {
  try {
    std::thread([this] { Run(); }).detach();
  } catch (const std::system_error&) {
    return false;
  }
  ++threads_;
  return true;
}

bool Workers::Add(std::function<void()> work) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (queue_.size() + 1 > idle_ && threads_ < ceiling_) Grow();
    if (threads_ == 0) return false;
    queue_.push_back(std::move(work));
  }
  work_.notify_one();
  return true;
}

void Workers::Run() {
  pthread_setname_np(pthread_self(), name_);
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stopping_) {
    if (queue_.empty()) {
      ++idle_;
      const bool woken = work_.wait_for(lock, std::chrono::duration<double>(idle_seconds_),
                                        [this] { return stopping_ || !queue_.empty(); });
      --idle_;
      if (!woken && threads_ > floor_) break;
      continue;
    }
    std::function<void()> work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    work();
    work = nullptr;
    lock.lock();
  }
  --threads_;
  // Under the lock: once it is given up, the destructor may have gone on.
  if (threads_ == 0) ended_.notify_all();
}

uint32_t Workers::threads() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return threads_;
}

uint32_t Workers::waiting() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return static_cast<uint32_t>(queue_.size());
}

}  // namespace mote::server
