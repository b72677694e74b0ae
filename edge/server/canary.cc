#include "edge/server/canary.h"

#include <string>
#include <utility>

namespace mote::server {
namespace {

class CanaryReceiver : public Receiver {
 public:
  explicit CanaryReceiver(std::function<void(CanaryAnswer)> done) : done_(std::move(done)) {}
  void OnText(int, std::string_view text, std::span<const TokenDetail>) override { text_ += text; }
  void OnFinished(int, Finish) override {}
  void OnDone(const Summary&) override { done_({true, text_, false}); }
  void OnFailed(const ApiError& error) override {
    done_({false, error.message, error.code == "queue_full" || error.code == "queue_timeout"});
  }

 private:
  const std::function<void(CanaryAnswer)> done_;
  std::string text_;
};

}  // namespace

void AskCanary(Service& service, std::function<void(CanaryAnswer)> done) {
  Task task;
  task.chat = false;
  task.text = "One, two, three,";
  task.max_tokens = 2;
  task.ignore_eos = true;
  task.sampling.temperature = 0;
  task.cache = false;
  task.tenant = "\x01health";  // no client's name: keys have none with control characters
  service.Submit(std::move(task), std::make_shared<CanaryReceiver>(std::move(done)));
}

}  // namespace mote::server
