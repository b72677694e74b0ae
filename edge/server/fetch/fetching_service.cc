#include "edge/server/fetch/fetching_service.h"

#include <algorithm>
#include <utility>

#include "edge/server/clock.h"
#include "edge/server/serving/status.h"

namespace mote::server {

class FetchingService::Fetching : public Ticket {
 public:
  Fetching(Task task, std::shared_ptr<Receiver> receiver) : task(std::move(task)), receiver(std::move(receiver)) {}

  void Cancel() override {
    cancelled = true;
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
  std::mutex mutex_;
  std::shared_ptr<Ticket> inner_;
};

FetchingService::FetchingService(Service* inner, FetchOptions options, std::shared_ptr<TlsTrust> trust,
                                 Metrics* metrics)
    : inner_(inner), options_(std::move(options)), trust_(std::move(trust)), metrics_(metrics) {
  for (size_t i = 0; i < options_.threads; ++i) threads_.emplace_back([this] { Work(); });
}

FetchingService::~FetchingService() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  came_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  for (const auto& fetching : queue_) fetching->receiver->OnFailed(ShuttingDown());
}

std::shared_ptr<Ticket> FetchingService::Submit(Task task, std::shared_ptr<Receiver> receiver) {
  if (task.remote_images.empty()) return inner_->Submit(std::move(task), std::move(receiver));
  auto fetching = std::make_shared<Fetching>(std::move(task), std::move(receiver));
  bool full = false;
  {
    const std::lock_guard lock(mutex_);
    full = queue_.size() >= options_.queue_length;
    if (!full) queue_.push_back(fetching);
  }
  if (full) {
    const ApiError refusal = {
        503, "overloaded_error", "queue_full", "", "too many requests wait for images of other hosts; try again later",
        2};
    if (metrics_ != nullptr) metrics_->AddRefusal(refusal.code);
    std::exchange(fetching->receiver, nullptr)->OnFailed(refusal);
  }
  came_.notify_one();
  return fetching;
}

void FetchingService::Work() {
  while (true) {
    std::shared_ptr<Fetching> fetching;
    {
      std::unique_lock lock(mutex_);
      came_.wait(lock, [&] { return stop_ || !queue_.empty(); });
      if (stop_) return;
      fetching = std::move(queue_.front());
      queue_.pop_front();
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
