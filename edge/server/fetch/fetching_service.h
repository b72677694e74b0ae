// A service that first fetches the images of a request which are on other hosts, on threads of its own.
#ifndef MOTE_EDGE_SERVER_FETCH_FETCHING_SERVICE_H_
#define MOTE_EDGE_SERVER_FETCH_FETCHING_SERVICE_H_

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "edge/server/fetch/download.h"
#include "edge/server/ops/metrics.h"
#include "edge/server/serving/task.h"

namespace mote::server {

struct FetchOptions {
  double timeout = 10;           // seconds for all images of a request
  double request_timeout = 300;  // of a request that names no deadline
  uint64_t image_bytes = 16 << 20;
  uint64_t images_bytes = 18 << 20;  // of all images of a request
  size_t threads = 4;
  size_t queue_length = 64;  // requests that wait for a thread; further ones are refused
  Resolve resolve;           // the system's, where it is empty
};

// Task::remote_images come from hosts that the protocol has held against the list; here only where a name leads is
// looked at. A request that is cancelled while it waits for a thread is let go of at once, and told nothing more; while
// its images come, within a tenth of a second; while the system looks a host's name up, when it has.
class FetchingService : public Service {
 public:
  FetchingService(Service* inner, FetchOptions options, std::shared_ptr<TlsTrust> trust, Metrics* metrics);
  ~FetchingService() override;  // requests that are being fetched for are refused

  std::shared_ptr<Ticket> Submit(Task task, std::shared_ptr<Receiver> receiver) override;
  std::vector<ServedModel> Models() const override { return inner_->Models(); }
  Result<std::vector<Token>> Tokenize(const std::string& model, std::string_view text, bool special,
                                      bool parse_special) override {
    return inner_->Tokenize(model, text, special, parse_special);
  }
  Result<std::string> Detokenize(const std::string& model, const std::vector<Token>& tokens) override {
    return inner_->Detokenize(model, tokens);
  }
  Result<std::string> ApplyTemplate(const std::string& model, const Task& task) override {
    return inner_->ApplyTemplate(model, task);
  }
  Result<Embedding> Embed(const std::string& model, const std::string& text,
                          const std::vector<Token>& tokens) override {
    return inner_->Embed(model, text, tokens);
  }
  std::vector<SlotState> Slots() const override { return inner_->Slots(); }

 private:
  class Fetching;  // one request; its ticket
  struct Queue;    // those that wait for a thread; tickets know it, too

  void Work();
  void Serve(Fetching& fetching);
  bool FetchAll(Fetching& fetching, ApiError* error);

  Service* const inner_;
  const FetchOptions options_;
  const std::shared_ptr<TlsTrust> trust_;
  Metrics* const metrics_;
  const std::shared_ptr<Queue> queue_;
  std::atomic<bool> stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_FETCH_FETCHING_SERVICE_H_
