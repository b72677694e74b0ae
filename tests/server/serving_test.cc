// What serving/ is made of: the fair queue, flights, the request cache, the choice of a session and of a precision.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "edge/server/serving/fair_queue.h"
#include "edge/server/serving/flight.h"
#include "edge/server/serving/precision.h"
#include "edge/server/serving/request_cache.h"
#include "edge/server/serving/slots.h"

namespace mote::server {
namespace {

TEST(FairQueue, OneTenantIsFirstComeFirstServed) {
  FairQueue<int> queue;
  for (int i = 0; i < 5; ++i) queue.Push("a", 10 - i, i);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(queue.Pop(), i);
  EXPECT_FALSE(queue.Pop().has_value());
}

TEST(FairQueue, AGreedyTenantGetsItsShareAndNoMore) {
  FairQueue<std::string> queue;
  for (int i = 0; i < 100; ++i) queue.Push("greedy", 1, "greedy");
  for (int i = 0; i < 10; ++i) {
    queue.Push("b", 1, "b");
    queue.Push("c", 1, "c");
  }
  std::map<std::string, int> served;
  for (int i = 0; i < 30; ++i) ++served[*queue.Pop()];
  EXPECT_NEAR(served["greedy"], 10, 1);
  EXPECT_NEAR(served["b"], 10, 1);
  EXPECT_NEAR(served["c"], 10, 1);
}

TEST(FairQueue, CostCounts) {
  FairQueue<std::string> queue;
  for (int i = 0; i < 40; ++i) {
    queue.Push("long", 100, "long");
    queue.Push("short", 10, "short");
  }
  std::map<std::string, int> served;
  for (int i = 0; i < 22; ++i) ++served[*queue.Pop()];
  EXPECT_NEAR(served["short"], 20, 1);
  EXPECT_NEAR(served["long"], 2, 1);
}

TEST(FairQueue, WhoWasAwayHasNoCredit) {
  FairQueue<std::string> queue;
  queue.Push("late", 1, "late");
  ASSERT_EQ(queue.Pop(), "late");
  for (int i = 0; i < 50; ++i) queue.Push("busy", 1, "busy");
  for (int i = 0; i < 20; ++i) ASSERT_EQ(queue.Pop(), "busy");
  for (int i = 0; i < 10; ++i) queue.Push("late", 1, "late");
  std::map<std::string, int> served;
  for (int i = 0; i < 10; ++i) ++served[*queue.Pop()];
  EXPECT_NEAR(served["late"], 5, 1);
}

TEST(FairQueue, ExtractTakesWhatItIsTold) {
  FairQueue<int> queue;
  for (int i = 0; i < 10; ++i) queue.Push(i % 2 == 0 ? "a" : "b", 1, i);
  std::vector<int> taken;
  queue.Extract([](int i) { return i >= 5; }, [&](int i) { taken.push_back(i); });
  EXPECT_EQ(taken.size(), 5u);
  EXPECT_EQ(queue.size(), 5u);
  EXPECT_EQ(queue.size("a"), 3u);
  std::vector<int> left;
  while (std::optional<int> i = queue.Pop()) left.push_back(*i);
  std::sort(left.begin(), left.end());
  EXPECT_EQ(left, (std::vector<int>{0, 1, 2, 3, 4}));
}

// Writes down what it is told.
struct Listener : Receiver {
  std::string log;
  std::string text;
  std::function<void()> on_text;

  void OnAccepted(std::string_view, std::string_view cache) override { log += "accepted " + std::string(cache) + ";"; }
  void OnText(int choice, std::string_view piece, std::span<const TokenDetail>) override {
    text += piece;
    log += "text " + std::to_string(choice) + ";";
    if (on_text) on_text();
  }
  void OnFinished(int choice, Finish) override { log += "finished " + std::to_string(choice) + ";"; }
  void OnDone(const Summary& summary) override { log += "done " + std::string(summary.cache) + ";"; }
  void OnFailed(const ApiError& error) override { log += "failed " + error.code + ";"; }
};

TEST(Flight, TellsEverybodyAndReplaysToThoseWhoComeLate) {
  const auto flight = std::make_shared<Flight>(true);
  const auto first = std::make_shared<Listener>();
  const auto late = std::make_shared<Listener>();
  const auto after = std::make_shared<Listener>();
  ASSERT_NE(flight->Join(first, "m", "miss"), nullptr);
  flight->TellText(0, "Hello", {});
  ASSERT_NE(flight->Join(late, "m", "joined"), nullptr);
  flight->TellText(0, ", world", {});
  flight->TellFinished(0, Finish::kStop);
  const std::shared_ptr<const Record> record = flight->Seal({});
  flight->TellDone({});
  ASSERT_NE(flight->Join(after, "m", "joined"), nullptr);
  EXPECT_EQ(first->log, "accepted miss;text 0;text 0;finished 0;done miss;");
  EXPECT_EQ(late->log, "accepted joined;text 0;text 0;finished 0;done joined;");
  EXPECT_EQ(after->log, "accepted joined;text 0;finished 0;done joined;");
  for (const auto& listener : {first, late, after}) EXPECT_EQ(listener->text, "Hello, world");
  Listener cached;
  Replay(*record, "m", cached);
  EXPECT_EQ(cached.text, "Hello, world");
  EXPECT_EQ(cached.log, "accepted hit;text 0;finished 0;done hit;");
}

TEST(Flight, GoesOnAsLongAsSomebodyWaits) {
  const auto flight = std::make_shared<Flight>(true);
  int unwanted = 0;
  flight->OnUnwanted([&] { ++unwanted; });
  const auto one = std::make_shared<Listener>();
  const auto two = std::make_shared<Listener>();
  const std::shared_ptr<Ticket> first = flight->Join(one, "m", "miss");
  const std::shared_ptr<Ticket> second = flight->Join(two, "m", "joined");
  first->Cancel();
  first->Cancel();
  EXPECT_TRUE(flight->wanted());
  EXPECT_EQ(unwanted, 0);
  flight->TellText(0, "x", {});
  EXPECT_EQ(one->text, "");
  EXPECT_EQ(two->text, "x");
  second->Cancel();
  EXPECT_FALSE(flight->wanted());
  EXPECT_EQ(unwanted, 1);
  EXPECT_EQ(flight->Join(std::make_shared<Listener>(), "m", "joined"), nullptr) << "its work is being ended";
  flight->TellFailed({});
}

TEST(Flight, AReceiverMayGiveUpWhileItIsTold) {
  const auto flight = std::make_shared<Flight>(false);
  const auto listener = std::make_shared<Listener>();
  const std::shared_ptr<Ticket> ticket = flight->Join(listener, "m", "off");
  listener->on_text = [&] { ticket->Cancel(); };
  flight->TellText(0, "a", {});
  flight->TellText(0, "b", {});
  flight->TellDone({});
  EXPECT_EQ(listener->log, "accepted off;text 0;");
}

TEST(Flight, AFailureIsToldOnceAndEndsIt) {
  const auto flight = std::make_shared<Flight>(true);
  const auto listener = std::make_shared<Listener>();
  flight->Join(listener, "m", "miss");
  ApiError error;
  error.code = "first";
  flight->TellFailed(error);
  flight->TellDone({});
  EXPECT_EQ(listener->log, "accepted miss;failed first;");
  EXPECT_EQ(flight->Join(std::make_shared<Listener>(), "m", "joined"), nullptr);
}

std::shared_ptr<const Record> RecordOf(size_t bytes) {
  auto record = std::make_shared<Record>();
  record->pieces.push_back({0, std::string(bytes, 'x'), {}});
  return record;
}

TEST(RequestCache, FindsUntilItIsTooOld) {
  RequestCache cache(1 << 20, 10, CacheStrategy::kLru);
  cache.Insert("k", RecordOf(100), 0);
  EXPECT_NE(cache.Find("k", 9.9), nullptr);
  EXPECT_EQ(cache.Find("k", 10.1), nullptr);
  EXPECT_EQ(cache.entries(), 0u);
  EXPECT_EQ(cache.bytes(), 0u);
}

TEST(RequestCache, StaysBelowItsBytes) {
  for (const CacheStrategy strategy : {CacheStrategy::kLru, CacheStrategy::kLfu, CacheStrategy::kAdaptive}) {
    RequestCache cache(100000, 1e9, strategy);
    for (int i = 0; i < 1000; ++i) {
      cache.Insert(std::to_string(i % 300), RecordOf(100 + (i * 37) % 3000), i);
      cache.Find(std::to_string((i * 7) % 300), i);
      ASSERT_LE(cache.bytes(), 100000u);
    }
    EXPECT_GT(cache.entries(), 10u);
    cache.Insert("huge", RecordOf(200000), 0);
    EXPECT_EQ(cache.Find("huge", 0), nullptr);
  }
  RequestCache off(0, 1e9, CacheStrategy::kLru);
  off.Insert("k", RecordOf(1), 0);
  EXPECT_EQ(off.Find("k", 0), nullptr);
}

TEST(RequestCache, StrategiesThrowOutWhatTheySay) {
  RequestCache lru(10 * 1500, 1e9, CacheStrategy::kLru);
  RequestCache lfu(10 * 1500, 1e9, CacheStrategy::kLfu);
  for (RequestCache* cache : {&lru, &lfu}) {
    cache->Insert("famous", RecordOf(1000), 0);
    for (int i = 0; i < 8; ++i) cache->Find("famous", 0);
    for (int i = 0; i < 30; ++i) cache->Insert(std::to_string(i), RecordOf(1000), 0);
  }
  EXPECT_EQ(lru.Find("famous", 0), nullptr);
  EXPECT_NE(lfu.Find("famous", 0), nullptr);
  EXPECT_NE(lru.Find("29", 0), nullptr);
}

// Requests that come in the pattern; the share that the cache knew.
double HitRate(CacheStrategy strategy, const std::vector<int>& pattern) {
  RequestCache cache(20 * 1500, 1e9, strategy);
  int hits = 0;
  for (const int request : pattern) {
    const std::string key = std::to_string(request);
    if (cache.Find(key, 0) != nullptr) {
      ++hits;
    } else {
      cache.Insert(key, RecordOf(1000), 0);
    }
  }
  return hits / static_cast<double>(pattern.size());
}

TEST(RequestCache, AdaptiveFollowsTheBetterRule) {
  // A loop longer than the cache, which age never hits, with favourites.
  std::vector<int> loop;
  for (int i = 0; i < 6000; ++i) loop.push_back(i % 3 == 0 ? i / 3 % 12 : 100 + i % 60);
  // A window that moves on: what was famous never comes again.
  std::vector<int> window;
  for (int i = 0; i < 6000; ++i) window.push_back(i / 40 * 10 + (i * 7) % 14);
  for (const std::vector<int>& pattern : {loop, window}) {
    const double lru = HitRate(CacheStrategy::kLru, pattern);
    const double lfu = HitRate(CacheStrategy::kLfu, pattern);
    const double adaptive = HitRate(CacheStrategy::kAdaptive, pattern);
    EXPECT_GE(adaptive, std::min(lru, lfu));
    EXPECT_GE(adaptive, 0.85 * std::max(lru, lfu)) << lru << " " << lfu;
  }
}

TEST(CacheKey, EveryFieldCounts) {
  Task base;
  base.messages = {{"user", "hello", ""}};
  base.sampling.temperature = 0;
  const std::string key = CacheKey(base, "m");
  EXPECT_EQ(key.size(), 32u);
  EXPECT_EQ(CacheKey(base, "m"), key);
  EXPECT_NE(CacheKey(base, "n"), key);
  std::vector<Task> others(17, base);
  others[0].tenant = "b";
  others[1].messages[0].content = "hello ";
  others[2].messages[0].role = "system";
  others[3].tools_json = "[]";
  others[4].images = {"x"};
  others[5].sampling.top_k = 1;
  others[6].sampling.seed = 1;
  others[7].max_tokens = 1;
  others[8].choices = 2;
  others[9].stop = {"a"};
  others[10].logprobs = 0;
  others[11].constraint = Constraint::kJson;
  others[12].constraint_text = "x";
  others[13].chat = false;
  others[14].tokens = {1};
  others[15].sampling.logit_bias = {{1, 1}};
  others[16].messages = {{"user", "hel", ""}, {"user", "lo", ""}};
  std::vector<std::string> keys = {key};
  for (const Task& task : others) keys.push_back(CacheKey(task, "m"));
  std::sort(keys.begin(), keys.end());
  EXPECT_EQ(std::unique(keys.begin(), keys.end()), keys.end());

  EXPECT_TRUE(IsCertain(base));
  base.sampling.temperature = 1;
  EXPECT_FALSE(IsCertain(base));
  base.seeded = true;
  EXPECT_TRUE(IsCertain(base));
  base.cache = false;
  EXPECT_FALSE(IsCertain(base));
}

std::vector<Token> Tokens(Token first, size_t count) {
  std::vector<Token> tokens(count);
  for (size_t i = 0; i < count; ++i) tokens[i] = first + static_cast<Token>(i);
  return tokens;
}

// The slot with these tokens held, as if a request had ended in it.
Slot& Hold(Slots& slots, int index, const std::vector<Token>& tokens, const std::string& tenant) {
  Slot& slot = slots.all()[index];
  slot.made = true;
  slots.Take(slot, tokens, tenant, "");
  slot.ready = tokens.size();
  slots.Free(slot);
  return slot;
}

TEST(Slots, AConversationGoesOnWhereItWas) {
  Slots slots(4);
  Hold(slots, 0, Tokens(0, 100), "a");
  Hold(slots, 1, Tokens(1000, 100), "a");
  std::vector<Token> next = Tokens(1000, 100);
  next.push_back(7);
  const Placement place = slots.Place(next, "a", "");
  EXPECT_EQ(place.slot->id, 1);
  EXPECT_EQ(place.source, nullptr);
}

TEST(Slots, AnotherTenantsWordsAreNotContinued) {
  Slots slots(2);
  Hold(slots, 0, Tokens(0, 100), "a");
  const Placement place = slots.Place(Tokens(0, 120), "b", "");
  EXPECT_EQ(place.slot->id, 1);
  EXPECT_EQ(place.source, nullptr);
}

TEST(Slots, ASharedBeginningIsCopied) {
  Slots slots(3);
  Hold(slots, 0, Tokens(0, 200), "a").busy = true;
  std::vector<Token> prompt = Tokens(0, 80);
  prompt.resize(150, 9999);
  Placement place = slots.Place(prompt, "a", "");
  ASSERT_NE(place.slot, nullptr);
  EXPECT_NE(place.slot->id, 0);
  ASSERT_NE(place.source, nullptr);
  EXPECT_EQ(place.source->id, 0);
  EXPECT_EQ(place.copied, 80u);
  // Only what is computed may be copied.
  slots.all()[0].ready = 40;
  place = slots.Place(prompt, "a", "");
  EXPECT_EQ(place.copied, 40u);
  // A long conversation is not thrown away for its first words.
  slots.all()[0].busy = false;
  slots.all()[0].ready = 200;
  place = slots.Place(prompt, "a", "");
  EXPECT_NE(place.slot->id, 0);
  EXPECT_EQ(place.copied, 80u);
}

TEST(Slots, TheOldestGoesFirstAndNoneMayBeFree) {
  Slots slots(2);
  Hold(slots, 0, Tokens(0, 50), "a");
  Hold(slots, 1, Tokens(100, 50), "a");
  EXPECT_EQ(slots.Place(Tokens(500, 20), "a", "").slot->id, 0);
  for (Slot& slot : slots.all()) slot.busy = true;
  EXPECT_FALSE(slots.any_free());
  EXPECT_EQ(slots.Place(Tokens(500, 20), "a", "").slot, nullptr);
}

TEST(Precision, TheFinestThatHasRoom) {
  std::vector<PrecisionState> states = {{"F16", 0, 0, 1}, {"Q8_0", 0, 0, 2}, {"Q4_0", 0, 0, 4}};
  EXPECT_EQ(ChoosePrecision(states, "", 0, 1.5), 0);
  states[0].load = 2;
  EXPECT_EQ(ChoosePrecision(states, "", 0, 1.5), 1);
  states[1].load = 2;
  EXPECT_EQ(ChoosePrecision(states, "", 0, 1.5), 2);
  EXPECT_EQ(ChoosePrecision(states, "q8_0", 0, 1.5), 1) << "never below what the request allows";
  EXPECT_EQ(ChoosePrecision(states, "f16", 0, 1.5), 0);
  EXPECT_EQ(ChoosePrecision({states[2]}, "q8_0", 0, 1.5), -1);
  states[0].load = states[1].load = 0;
  states[0].wait = 30;
  EXPECT_EQ(ChoosePrecision(states, "", 20, 1.5), 1) << "the finest would begin too late";
  EXPECT_GT(BitsOf("Q4_K_M"), 4);
  EXPECT_EQ(BitsOf("nothing"), 0);
}

}  // namespace
}  // namespace mote::server
