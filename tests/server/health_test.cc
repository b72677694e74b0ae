// What the health pages say, with an engine that hangs, lies or is silent on command.
#include "edge/server/ops/health.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

namespace mote::server {
namespace {

using nlohmann::json;

class KeptReply : public Reply {
 public:
  void Send(Response response) override {
    response_ = std::move(response);
    ++sent_;
  }
  void Start(Response) override { FAIL(); }
  bool Write(std::string_view) override { return false; }
  void End() override {}
  void OnGone(std::function<void()>) override {}
  int sent() const { return sent_; }
  int status() const { return response_.status; }
  json body() const { return json::parse(response_.body); }

 private:
  Response response_;
  std::atomic<int> sent_ = 0;
};

struct Engine {
  bool loaded = true, draining = false, work = false;
  double fill = 0, now = 100;
  uint64_t progress = 0, available = 1 << 30;
  int asked = 0;
  std::function<void(CanaryAnswer)> done;

  HealthSources Sources() {
    HealthSources sources;
    sources.loaded = [this] { return loaded; };
    sources.draining = [this] { return draining; };
    sources.queue_fill = [this] { return fill; };
    sources.has_work = [this] { return work; };
    sources.progress = [this] { return progress; };
    sources.now = [this] { return now; };
    sources.memory = [this](MachineFacts* facts) { facts->memory_available = available; };
    sources.canary = [this](std::function<void(CanaryAnswer)> given) {
      ++asked;
      done = std::move(given);
    };
    return sources;
  }
};

// Without a thread: tests look themselves.
HealthOptions ByHand() {
  HealthOptions options;
  options.tick = 0;
  return options;
}

json Body(const Response& response) {
  return json::parse(response.body);
}

TEST(Health, AliveAsLongAsTheEngineMovesOrIsIdle) {
  Engine engine;
  Health health(engine.Sources(), ByHand());
  engine.now += 1000;  // idle
  health.Look();
  EXPECT_EQ(health.Live().status, 200);
  engine.work = true;
  for (int i = 0; i < 30; ++i) {  // slow, but it moves
    engine.now += 9;
    ++engine.progress;
    health.Look();
    EXPECT_EQ(health.Live().status, 200);
  }
  engine.now += 9.5;
  health.Look();
  EXPECT_EQ(health.Live().status, 200);
  engine.now += 1;
  health.Look();
  EXPECT_EQ(health.Live().status, 503);
  EXPECT_EQ(Body(health.Live()).at("reason"), "the engine has work and does not move");
  ++engine.progress;
  health.Look();
  EXPECT_EQ(health.Live().status, 200);
  engine.now += 11;
  engine.work = false;  // what hung was cancelled
  health.Look();
  EXPECT_EQ(health.Live().status, 200);
}

TEST(Health, LookingThatHangsIsNoLifeEither) {
  std::atomic<double> now = 100;
  std::atomic<bool> hangs = false, hung = false;
  HealthSources sources;
  sources.now = [&] { return now.load(); };
  sources.has_work = [&] {
    while (hangs) {
      hung = true;
      std::this_thread::yield();
    }
    return false;
  };
  HealthOptions options;
  options.tick = 0.001;
  Health health(sources, options);
  EXPECT_EQ(health.Live().status, 200);
  hangs = true;
  while (!hung) std::this_thread::yield();
  now = 111;
  EXPECT_EQ(health.Live().status, 503);
  hangs = false;
  while (health.Live().status != 200) std::this_thread::yield();
}

TEST(Health, ReadyTellsWhyNot) {
  Engine engine;
  Health health(engine.Sources(), ByHand());
  EXPECT_EQ(health.Ready().status, 200);
  engine.fill = 0.89;
  EXPECT_EQ(health.Ready().status, 200);
  engine.fill = 0.9;
  EXPECT_EQ(health.Ready().status, 503);
  EXPECT_EQ(Body(health.Ready()).at("reason"), "queue");
  EXPECT_EQ(health.Plain().status, 200);
  engine.draining = true;
  EXPECT_EQ(Body(health.Ready()).at("reason"), "draining");
  engine.loaded = false;
  EXPECT_EQ(Body(health.Ready()).at("reason"), "loading");
}

TEST(Health, PlainSpeaksAsLlamaServerDoes) {
  Engine engine;
  Health health(engine.Sources(), ByHand());
  EXPECT_EQ(Body(health.Plain()), json({{"status", "ok"}}));
  engine.loaded = false;
  EXPECT_EQ(health.Plain().status, 503);
  EXPECT_EQ(Body(health.Plain()),
            json({{"error", {{"code", 503}, {"message", "Loading model"}, {"type", "unavailable_error"}}}}));
}

TEST(Health, DeepHoldsTheModelToItsFirstAnswer) {
  Engine engine;
  Health health(engine.Sources(), ByHand());
  health.Look();
  ASSERT_EQ(engine.asked, 1);
  engine.done({true, " Paris"});
  const auto fresh = std::make_shared<KeptReply>();
  health.Deep(fresh);  // the answer of a moment ago
  EXPECT_EQ(engine.asked, 1);
  ASSERT_EQ(fresh->sent(), 1);
  EXPECT_EQ(fresh->status(), 200) << fresh->body();
  EXPECT_EQ(fresh->body().at("checks").at("model").at("status"), "ok");

  engine.now += 6;
  const auto again = std::make_shared<KeptReply>();
  const auto joined = std::make_shared<KeptReply>();
  health.Deep(again);
  health.Deep(joined);
  EXPECT_EQ(engine.asked, 2);
  EXPECT_EQ(again->sent(), 0);
  engine.now += 0.5;
  engine.done({true, " Rome"});
  ASSERT_EQ(again->sent(), 1);
  ASSERT_EQ(joined->sent(), 1);
  EXPECT_EQ(again->status(), 503);
  EXPECT_EQ(joined->body(), again->body());
  EXPECT_EQ(again->body().at("checks").at("model").at("reason"), "the canary's answer is not the one of the start");
  EXPECT_EQ(again->body().at("checks").at("model").at("seconds"), 0.5);

  engine.now += 6;
  const auto healed = std::make_shared<KeptReply>();
  health.Deep(healed);
  engine.done({true, " Paris"});
  EXPECT_EQ(healed->status(), 200);
}

TEST(Health, AQueueThatIsFullSaysNothingAgainstTheModel) {
  Engine engine;
  Health health(engine.Sources(), ByHand());
  health.Look();
  engine.done({true, " Paris"});
  engine.now += 6;
  const auto busy = std::make_shared<KeptReply>();
  health.Deep(busy);
  engine.done({false, "9 requests are waiting", true});
  ASSERT_EQ(busy->sent(), 1);
  EXPECT_EQ(busy->status(), 200) << busy->body();
  EXPECT_EQ(busy->body().at("checks").at("model").at("status"), "busy");
}

TEST(Health, DeepDoesNotWaitForAModelThatIsSilent) {
  Engine engine;
  Health health(engine.Sources(), ByHand());
  const auto first = std::make_shared<KeptReply>();
  health.Deep(first);
  engine.now += 9;
  health.Look();
  EXPECT_EQ(first->sent(), 0);
  engine.now += 1;
  health.Look();
  ASSERT_EQ(first->sent(), 1);
  EXPECT_EQ(first->status(), 503);
  const auto next = std::make_shared<KeptReply>();
  health.Deep(next);  // at once, and without one more question
  EXPECT_EQ(next->sent(), 1);
  EXPECT_EQ(next->body().at("checks").at("model").at("reason"), "no answer to the canary prompt");
  EXPECT_EQ(engine.asked, 1);
  engine.done({true, "late"});
  const auto after = std::make_shared<KeptReply>();
  health.Deep(after);
  EXPECT_EQ(after->status(), 200) << after->body();
}

TEST(Health, AFailedFirstAnswerIsNotWhatIsExpected) {
  Engine engine;
  Health health(engine.Sources(), ByHand());
  health.Look();
  engine.done({false, "queue_full"});
  const auto reply = std::make_shared<KeptReply>();
  health.Deep(reply);
  EXPECT_EQ(reply->body().at("checks").at("model").at("reason"), "queue_full");
  health.Look();
  EXPECT_EQ(engine.asked, 1);  // not again at once
  engine.now += 5;
  health.Look();
  ASSERT_EQ(engine.asked, 2);
  engine.done({true, "x"});
  const auto good = std::make_shared<KeptReply>();
  health.Deep(good);
  EXPECT_EQ(good->status(), 200);
}

TEST(Health, AnAnswerAfterTheEndFindsNobody) {
  Engine engine;
  const auto reply = std::make_shared<KeptReply>();
  {
    Health health(engine.Sources(), ByHand());
    health.Deep(reply);
    EXPECT_EQ(reply->sent(), 0);
  }
  EXPECT_EQ(reply->sent(), 1);
  engine.done({true, "x"});
  EXPECT_EQ(reply->sent(), 1);
}

TEST(Health, DeepLooksAtDiskAndMemory) {
  Engine engine;
  HealthOptions options = ByHand();
  options.folders = {{"logs", "/tmp"}, {"cache", "/no/such/folder"}};
  Health health(engine.Sources(), options);
  health.Look();
  engine.done({true, "x"});
  const auto reply = std::make_shared<KeptReply>();
  health.Deep(reply);
  EXPECT_EQ(reply->status(), 503);
  const json checks = reply->body().at("checks");
  EXPECT_EQ(checks.at("model").at("status"), "ok");
  EXPECT_EQ(checks.at("disk").at(0).at("status"), "ok");
  EXPECT_GT(checks.at("disk").at(0).at("free_bytes"), 0);
  EXPECT_EQ(checks.at("disk").at(1).at("status"), "failing");
  EXPECT_EQ(reply->body().dump().find("/no/such"), std::string::npos) << "the page is public";
  EXPECT_EQ(checks.at("memory").at("status"), "ok");
  EXPECT_EQ(checks.at("gpu").at("status"), "absent");
  engine.available = 1 << 20;
  const auto small = std::make_shared<KeptReply>();
  health.Deep(small);
  EXPECT_EQ(small->body().at("checks").at("memory").at("status"), "failing");
}

TEST(Health, GpusAreListedOrTheirAbsenceExplained) {
  Engine engine;
  Health none(engine.Sources(), ByHand());
  EXPECT_EQ(none.Gpu().status, 200);
  EXPECT_EQ(Body(none.Gpu()).at("devices"), json::array());
  EXPECT_EQ(Body(none.Gpu()).at("reason"), "this build of mote has no GPU backend");
  HealthSources sources = engine.Sources();
  sources.gpu = [] {
    GpuFacts facts;
    facts.devices.push_back({.name = "Orin", .memory_total = 8, .memory_used = 2, .temperature = 51.5});
    return facts;
  };
  Health one(sources, ByHand());
  EXPECT_EQ(Body(one.Gpu()), json::parse(R"({"devices":[{"name":"Orin","memory_total_bytes":8,"memory_used_bytes":2,
                                             "temperature_celsius":51.5}]})"));
}

TEST(Health, ItsThreadAsksAndEnds) {
  HealthSources sources;
  std::atomic<int> asked = 0;
  sources.canary = [&](const std::function<void(CanaryAnswer)>& done) {
    ++asked;
    done({true, "x"});
  };
  HealthOptions options;
  options.tick = 0.001;
  {
    Health health(sources, options);
    while (asked == 0) std::this_thread::yield();
    const auto reply = std::make_shared<KeptReply>();
    health.Deep(reply);
    while (reply->sent() == 0) std::this_thread::yield();
    EXPECT_EQ(reply->body().at("checks").at("model").at("status"), "ok");
  }
  EXPECT_GE(asked, 1);
}

}  // namespace
}  // namespace mote::server
