// A front on loopback with routes that a test gives it, and the replies that it holds on to.
#ifndef MOTE_TESTS_SERVER_FRONT_STAND_H_
#define MOTE_TESTS_SERVER_FRONT_STAND_H_

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "edge/server/http/front.h"
#include "tests/server/front_client.h"

namespace mote::server {

inline FrontOptions Loopback(FrontOptions options = {}) {
  options.listen = {"127.0.0.1:0"};
  return options;
}

// What every test of the front starts from: /length, and what it takes to have more.
struct FrontStand {
  explicit FrontStand(FrontOptions options) : front(std::move(options)) {
    Add("POST", "/length", [](const Request& request, const std::shared_ptr<Reply>& reply) {
      reply->Send({200, "text/plain", {}, std::to_string(request.body.size())});
    });
  }
  ~FrontStand() { Release(); }

  void Add(const std::string& method, const std::string& pattern, Handler handler, RouteOptions options = {}) {
    const auto added = front.Route(method, pattern, std::move(handler), options);
    EXPECT_TRUE(added.ok()) << added.error().message;
  }
  void Start() {
    const auto started = front.Start();
    ASSERT_TRUE(started.ok()) << started.error().message;
    address = front.addresses().at(0);
  }
  Client Connect(int receive_buffer = 0) const { return Client(address, receive_buffer); }

  // Kept open until Release.
  void Hold(const std::shared_ptr<Reply>& reply) {
    const std::lock_guard<std::mutex> lock(mutex);
    held.push_back(reply);
  }
  std::vector<std::shared_ptr<Reply>> All() {
    const std::lock_guard<std::mutex> lock(mutex);
    return held;
  }
  size_t held_count() { return All().size(); }
  std::shared_ptr<Reply> Held(size_t i) { return All().at(i); }
  void Release() {
    std::vector<std::shared_ptr<Reply>> replies;
    const std::lock_guard<std::mutex> lock(mutex);
    replies.swap(held);
  }

  std::atomic<int> gone = 0, drained = 0;
  std::mutex mutex;
  std::vector<std::shared_ptr<Reply>> held;
  Front front;
  std::string address;
};

}  // namespace mote::server

#endif  // MOTE_TESTS_SERVER_FRONT_STAND_H_
