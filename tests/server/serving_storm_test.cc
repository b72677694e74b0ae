// The service with real engines under storms: requests that are left at any moment, neighbours whose text must not
// change for it, and precisions that come and go meanwhile. What it is for is the sanitizers.
#include <gtest/gtest.h>
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "edge/server/ops/metrics.h"
#include "edge/server/serving/model_service.h"
#include "tests/server/front_client.h"
#include "tests/server/storm_model.h"
#include "tests/support/effort.h"

namespace mote::server {
namespace {

struct StormModel {
  explicit StormModel(bool coarse = false) {
    bytes = testing::StormModelBytes(coarse);
    ModelOptions options;
    options.threads = 2;
    options.context = 256;
    Result<Model> loaded = Model::LoadMemory(bytes.data(), bytes.size(), options);
    EXPECT_TRUE(loaded.ok());
    model = std::move(*loaded);
  }
  std::vector<uint8_t> bytes;
  Model model;
};

EngineOptions OptionsOf(const std::string& precision, int slots) {
  EngineOptions options;
  options.name = "tiny";
  options.precision = precision;
  options.slots = slots;
  options.context = 256;
  options.prefill_budget = 16;
  options.queue_length = 4096;
  options.queue_timeout = 3600;
  return options;
}

// Keeps the text; may leave at a piece of it.
struct StormReceiver : Receiver {
  void OnText(int, std::string_view piece, std::span<const TokenDetail>) override {
    const std::lock_guard lock(mutex);
    text += piece;
  }
  void OnFinished(int, Finish) override {}
  void OnDone(const Summary& summary) override {
    precision = summary.precision;
    done = true;
  }
  void OnFailed(const ApiError& error) override {
    code = error.code;
    failed = true;
  }
  bool over() const { return done || failed; }

  std::mutex mutex;
  std::string text, precision, code;
  std::atomic<bool> done = false, failed = false;
};

Task StormTask(int number) {
  Task task;
  task.chat = false;
  for (int i = 0; i < 3 + number % 40; ++i) task.tokens.push_back(3 + (number * 7 + i) % 50);
  task.sampling.temperature = 0.9F;
  task.sampling.seed = static_cast<uint64_t>(number);
  task.seeded = true;
  task.max_tokens = 5 + number % 20;
  task.ignore_eos = true;
  return task;
}

// Of the storm below. MOTE_STORM: so many.
int StormRequests() {
  const char* wanted = getenv("MOTE_STORM");
  return wanted != nullptr ? atoi(wanted) : Effort(400, 120);
}

TEST(ServingStorm, WhoLeavesTakesNothingFromWhoStays) {
  Metrics metrics;
  ServiceOptions options;
  options.cache_bytes = 1 << 20;  // identical requests join, and are left by some of those who wait
  StormModel made;                // goes after the service, which reads its bytes
  ModelService service(options, &metrics);
  const auto backoff = std::make_shared<Backoff>();
  EngineOptions engine = OptionsOf("f32", 4);
  engine.backoff = backoff;
  service.Add(std::make_unique<Engine>(std::move(made.model), engine, &metrics), 0);

  constexpr int kSurvivors = 8;
  std::vector<std::string> quiet;
  for (int i = 0; i < kSurvivors; ++i) {
    Task task = StormTask(i);
    task.cache = false;
    const auto receiver = std::make_shared<StormReceiver>();
    service.Submit(std::move(task), receiver);
    ASSERT_TRUE(Eventually([&] { return receiver->over(); }));
    ASSERT_TRUE(receiver->done) << receiver->code;
    quiet.push_back(receiver->text);
  }

  const int requests = StormRequests();
  std::atomic<int> differing = 0, survived = 0, left = 0, odd = 0;
  std::atomic<bool> stop = false;
  const auto storm = [&](unsigned seed) {
    std::mt19937 random(seed);
    for (int i = 0; i < requests / 4; ++i) {
      const bool stays = random() % 8 == 0;
      const int number = static_cast<int>(random() % kSurvivors);
      Task task = StormTask(number);
      task.cache = !stays || random() % 2 == 0;
      const auto receiver = std::make_shared<StormReceiver>();
      const std::shared_ptr<Ticket> ticket = service.Submit(std::move(task), receiver);
      if (!stays) {
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));
        ticket->Cancel();
        ++left;
        continue;
      }
      if (!Eventually([&] { return receiver->over(); }) || !receiver->done) {
        ++odd;
        continue;
      }
      ++survived;
      if (receiver->text != quiet[static_cast<size_t>(number)]) ++differing;
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 4; ++i) threads.emplace_back(storm, i);
  std::thread onlooker([&] {
    int looks = 0;
    while (!stop) {
      service.Gauges();
      service.Slots();
      service.Models();
      if (!service.Embed("", "", {4, 5, 6}).ok()) ++odd;
      metrics.Text();
      backoff->Look(looks % 40 < 20, static_cast<double>(looks) * 5);  // threads and steps come and go
      ++looks;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  });
  for (std::thread& thread : threads) thread.join();
  stop = true;
  onlooker.join();
  EXPECT_EQ(differing, 0);
  EXPECT_EQ(odd, 0);
  EXPECT_GT(survived, 0);
  EXPECT_TRUE(Eventually([&] { return service.idle(); })) << "all sessions come back";
  printf("%d left, %d stayed, %d of them with another text\n", left.load(), survived.load(), differing.load());
}

TEST(ServingStorm, TheEndComesInTheMiddle) {
  for (int round = 0; round < Effort(20, 5); ++round) {
    std::vector<std::shared_ptr<StormReceiver>> receivers;
    {
      StormModel made;
      ModelService service({}, nullptr);
      service.Add(std::make_unique<Engine>(std::move(made.model), OptionsOf("f32", 2), nullptr), 0);
      for (int i = 0; i < 12; ++i) {
        receivers.push_back(std::make_shared<StormReceiver>());
        service.Submit(StormTask(i), receivers.back());
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(round % 5));
    }
    for (const auto& receiver : receivers) EXPECT_TRUE(receiver->over()) << "everybody is told";
  }
}

TEST(ServingStorm, PrecisionsComeAndGo) {
  ServiceOptions options;
  options.adaptive = true;
  StormModel fine;
  ModelService service(options, nullptr);
  service.Add(std::make_shared<Engine>(std::move(fine.model), OptionsOf("f32", 1), nullptr), 0);
  std::mutex mutex;
  std::vector<std::string> told;
  RepackOptions repack;
  repack.precisions = {"q4_0", "q8_0"};
  repack.pressed_seconds = 0;
  repack.idle_seconds = 0.3;
  repack.pause_seconds = 0.05;
  repack.make = [&](const std::string& name, const std::string& precision,
                    const std::function<bool()>& go_on) -> Result<std::shared_ptr<Engine>> {
    EXPECT_EQ(name, "tiny");
    EXPECT_TRUE(go_on());
    if (precision == "q4_0") return Error{MOTE_OUT_OF_MEMORY, "there is none left"};
    auto coarse = std::make_shared<StormModel>(true);
    Model model = std::move(coarse->model);
    return std::make_shared<Engine>(std::move(model), OptionsOf(precision, 2), nullptr, std::move(coarse));
  };
  repack.told = [&](const std::string&, const std::string& precision, const char* result, const std::string&) {
    const std::lock_guard lock(mutex);
    told.push_back(precision + " " + result);
  };
  service.SetRepack(std::move(repack));
  const auto count = [&](const std::string& what) {
    const std::lock_guard lock(mutex);
    return std::count(told.begin(), told.end(), what);
  };
  for (int round = 0; round < 2; ++round) {
    // Busy until the coarser ones have been tried for, and the one that can be made has answered.
    std::atomic<bool> enough = false;
    std::mutex seen_mutex;
    std::set<std::string> seen, floors;
    std::vector<std::thread> threads;
    for (int i = 0; i < 6; ++i) {
      threads.emplace_back([&, i] {
        while (!enough) {
          Task task = StormTask(i);
          task.cache = false;
          task.quality = i % 3 == 0 ? "f16" : "";
          const auto receiver = std::make_shared<StormReceiver>();
          const std::shared_ptr<Ticket> ticket = service.Submit(std::move(task), receiver);
          if (i == 5) {  // who has left is told nothing
            std::this_thread::sleep_for(std::chrono::milliseconds(3));
            ticket->Cancel();
            continue;
          }
          Eventually([&] { return receiver->over(); });
          const std::lock_guard lock(seen_mutex);
          if (receiver->done) (i % 3 == 0 ? floors : seen).insert(receiver->precision);
        }
      });
    }
    EXPECT_TRUE(Eventually([&] {
      const std::lock_guard lock(seen_mutex);
      return seen.count("q8_0") > 0 && !floors.empty();
    }));
    enough = true;
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(floors, std::set<std::string>{"f32"}) << "never below what the request allows";
    EXPECT_EQ(service.Models().at(0).precisions.at(0), "f32");
    EXPECT_TRUE(Eventually([&] { return count("q8_0 given_back") == round + 1; }));
    EXPECT_EQ(service.Models().at(0).precisions.size(), 1u);
    EXPECT_EQ(count("q8_0 made"), round + 1);
  }
}

}  // namespace
}  // namespace mote::server
