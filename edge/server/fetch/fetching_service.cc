#include "edge/server/fetch/fetching_service.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

#include "edge/server/clock.h"
#include "edge/server/serving/status.h"

namespace mote::server {

struct FetchingService::Queue {
  std::mutex mutex;
  std::condition_variable came;
  std::deque<std::shared_ptr<Fetching>> waiting;

  // What waits no longer; null where it does not.
  std::shared_ptr<Fetching> Remove(const Fetching* fetching) {
    const std::lock_guard lock(mutex);
    const auto is_it = [&](const std::shared_ptr<Fetching>& one) { return one.get() == fetching; };
    const auto found = std::find_if(waiting.begin(), waiting.end(), is_it);
    if (found == waiting.end()) return nullptr;
    std::shared_ptr<Fetching> removed = std::move(*found);
    waiting.erase(found);
    return removed;
  }
};

class FetchingService::Fetching : public Ticket {
 public:
  Fetching(Task task, std::shared_ptr<Receiver> receiver, std::shared_ptr<Queue> queue)
      : task(std::move(task)), receiver(std::move(receiver)), queue_(std::move(queue)) {}

  void Cancel() override {
    cancelled = true;
    // The receiver holds what holds this ticket, which must live to the end of this function.
    if (const std::shared_ptr<Fetching> mine = queue_->Remove(this); mine != nullptr) {
      mine->receiver = nullptr;
      return;
    }
    std::shared_ptr<Ticket> further;
    {
      const std::lock_guard lock(mutex_);
      further = inner_;
    }
    if (further != nullptr) further->Cancel();
  }
  // The request goes on elsewhere.
  void Continue(std::shared_ptr<Ticket> inner) {
    {
      const std::lock_guard lock(mutex_);
      inner_ = inner;
    }
    if (cancelled) inner->Cancel();
  }

  Task task;
  std::shared_ptr<Receiver> receiver;
  const double arrived = Now();
  std::atomic<bool> cancelled = false;

 private:
  const std::shared_ptr<Queue> queue_;
  std::mutex mutex_;
  std::shared_ptr<Ticket> inner_;
};

FetchingService::FetchingService(Service* inner, FetchOptions options, std::shared_ptr<TlsTrust> trust,
                                 Metrics* metrics)
    : inner_(inner),
      options_(std::move(options)),
      trust_(std::move(trust)),
      metrics_(metrics),
      queue_(std::make_shared<Queue>()) {
  for (size_t i = 0; i < options_.threads; ++i) threads_.emplace_back([this] { Work(); });
}

FetchingService::~FetchingService() {
  {
    const std::lock_guard lock(queue_->mutex);
    stop_ = true;
  }
  queue_->came.notify_all();
  for (std::thread& thread : threads_) thread.join();
  std::deque<std::shared_ptr<Fetching>> left;
  {
    const std::lock_guard lock(queue_->mutex);
    left.swap(queue_->waiting);
  }
  for (const auto& fetching : left) std::exchange(fetching->receiver, nullptr)->OnFailed(ShuttingDown());
}

std::shared_ptr<Ticket> FetchingService::Submit(Task task, std::shared_ptr<Receiver> receiver) {
  if (task.remote_images.empty()) return inner_->Submit(std::move(task), std::move(receiver));
  auto fetching = std::make_shared<Fetching>(std::move(task), std::move(receiver), queue_);
  bool full = false;
  {
    const std::lock_guard lock(queue_->mutex);
    full = queue_->waiting.size() >= options_.queue_length;
    if (!full) queue_->waiting.push_back(fetching);
  }
  if (full) {
    const ApiError refusal = {
        503, "overloaded_error", "queue_full", "", "too many requests wait for images of other hosts; try again later",
        2};
    if (metrics_ != nullptr) metrics_->AddRefusal(refusal.code);
    TellRefused(fetching->task, fetching->task.model, refusal);
    std::exchange(fetching->receiver, nullptr)->OnFailed(refusal);
  }
  queue_->came.notify_one();
  return fetching;
}

void FetchingService::Work() {
  while (true) {
    std::shared_ptr<Fetching> fetching;
    {
      std::unique_lock lock(queue_->mutex);
      queue_->came.wait(lock, [&] { return stop_ || !queue_->waiting.empty(); });
      if (stop_) return;
      fetching = std::move(queue_->waiting.front());
      queue_->waiting.pop_front();
    }
    Serve(*fetching);
  }
}

void FetchingService::Serve(Fetching& fetching) {
  // The receiver holds what holds the ticket: it is let go of here.
  const std::shared_ptr<Receiver> receiver = std::move(fetching.receiver);
  ApiError error;
  if (!FetchAll(fetching, &error)) return receiver->OnFailed(error);
  Task& task = fetching.task;
  task.remote_images.clear();
  // What has gone by is a part of the time that the request has.
  const double limit = task.deadline > 0 ? task.deadline : options_.request_timeout;
  task.deadline = std::max(limit - (Now() - fetching.arrived), 1e-3);
  fetching.Continue(inner_->Submit(std::move(task), receiver));
}

bool FetchingService::FetchAll(Fetching& fetching, ApiError* error) {
  Task& task = fetching.task;
  DownloadLimits limits;
  limits.resolve = options_.resolve;
  const double patience = task.deadline > 0 ? std::min(task.deadline, options_.timeout) : options_.timeout;
  limits.deadline = fetching.arrived + patience;
  limits.cancelled = [this, &fetching] { return fetching.cancelled.load() || stop_.load(); };
  uint64_t left = options_.images_bytes;
  for (const std::string& image : task.images) left -= std::min<uint64_t>(left, image.size());
  for (const RemoteImage& remote : task.remote_images) {
    if (stop_) {
      *error = ShuttingDown();
      return false;
    }
    limits.most_bytes = std::min(options_.image_bytes, left);
    const std::optional<ImageUrl> url = ReadImageUrl(remote.url);
    Result<std::string> file =
        url ? Download(*url, *trust_, limits) : Result<std::string>(Error{MOTE_INVALID_ARGUMENT, "it is no address"});
    if (metrics_ != nullptr) {
      metrics_->AddFetch(file.ok()                                    ? "ok"
                         : file.error().code == MOTE_CANCELLED        ? "cancelled"
                         : file.error().code == MOTE_INVALID_ARGUMENT ? "refused"
                                                                      : "failed",
                         file.ok() ? file->size() : 0);
    }
    if (!file.ok()) {
      if (file.error().code == MOTE_CANCELLED) {
        *error =
            stop_ ? ShuttingDown() : ApiError{499, "invalid_request_error", "cancelled", "", "the client went away"};
      } else {
        *error = {400, "invalid_request_error", "image_fetch_failed", remote.field,
                  remote.field + " could not be fetched: " + file.error().message};
      }
      return false;
    }
    left -= file->size();
    task.images[remote.index] = std::move(*file);
  }
  return true;
}

}  // namespace mote::server
