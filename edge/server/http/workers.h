// The threads on which handlers run.
#ifndef MOTE_EDGE_SERVER_HTTP_WORKERS_H_
#define MOTE_EDGE_SERVER_HTTP_WORKERS_H_

#include <stdint.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace mote::server {

// As many threads as there is work for: a waiting piece of work starts a thread up to the ceiling, one without work
// ends down to the floor. The queue has no bound of its own; who fills it has (one request for each connection).
class Workers {
 public:
  Workers(const char* name, uint32_t floor, uint32_t ceiling, double idle_seconds);
  // Drops what waits, and waits for what runs.
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // Any thread. False where no thread could be started and none runs: the system is out of them.
  bool Add(std::function<void()> work);
  uint32_t threads() const;
  uint32_t waiting() const;

 private:
  void Run();
  bool Grow();  // under the lock

  const char* const name_;
  const uint32_t floor_, ceiling_;
  const double idle_seconds_;
  mutable std::mutex mutex_;
  std::condition_variable work_, ended_;
  std::deque<std::function<void()>> queue_;
  uint32_t threads_ = 0, idle_ = 0;
  bool stopping_ = false;
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_HTTP_WORKERS_H_
