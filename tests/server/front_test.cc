#include "edge/server/http/front.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/server/front_stand.h"

namespace mote::server {
namespace {

// A front with the routes that the tests below ask for.
struct Stand : FrontStand {
  explicit Stand(FrontOptions options = Loopback()) : FrontStand(std::move(options)) {
    Add("GET", "/hello", [](const Request&, const std::shared_ptr<Reply>& reply) {
      reply->Send(
          {200, "text/plain", {{"X-Test", "yes"}, {"X-Evil", "a\r\nX-Injected: b"}, {"Content-Length", "9"}}, "hello"});
    });
    Add("GET", "/throw",
        [](const Request&, const std::shared_ptr<Reply>&) -> void { throw std::runtime_error("secret"); });
    Add("GET", "/forget", [](const Request&, const std::shared_ptr<Reply>&) {});
    Add("GET", "/half", [](const Request&, const std::shared_ptr<Reply>& reply) {
      reply->Start({200, "text/plain", {}, ""});
      reply->Write("half");
    });
    Add("GET", "/empty", [](const Request&, const std::shared_ptr<Reply>& reply) { reply->Send({204, "", {}, ""}); });
    Add("GET", "/three", [](const Request&, const std::shared_ptr<Reply>& reply) {
      reply->Start({200, "text/event-stream", {}, ""});
      for (const char* piece : {"one ", "two ", "three"}) EXPECT_TRUE(reply->Write(piece));
      reply->End();
    });
    Add("GET", "/peer", [](const Request& request, const std::shared_ptr<Reply>& reply) {
      reply->Send({200, "text/plain", {}, request.peer.address + (request.peer.local ? " local" : "")});
    });
    Add("GET", "/hold", [this](const Request&, const std::shared_ptr<Reply>& reply) {
      reply->OnGone([this] { ++gone; });
      reply->OnDrain([this] { ++drained; });
      Hold(reply);
    });
  }
};

TEST(Front, AnswersOverTcpIpv6AndSocketFiles) {
  FrontOptions options = Loopback();
  const std::string file = testing::TempDir() + "mote_front_test.sock";
  options.listen.push_back("unix:" + file);
  options.listen.push_back("[::1]:0");
  Stand stand(options);
  if (!Client("[::1]:1").connected() && errno == EADDRNOTAVAIL) GTEST_SKIP() << "no IPv6 here";
  stand.Start();
  EXPECT_NE(stand.front.addresses()[2], "[::1]:0");
  const std::map<std::string, std::string> peers = {{stand.front.addresses()[0], "127.0.0.1 local"},
                                                    {stand.front.addresses()[1], "unix local"},
                                                    {stand.front.addresses()[2], "::1 local"}};
  for (const auto& [address, peer] : peers) {
    Client client(address);
    const Answer answer = client.Ask(GetRequest("/peer"));
    EXPECT_EQ(answer.status, 200) << address;
    EXPECT_EQ(answer.body, peer);
  }
  struct stat info = {};
  ASSERT_EQ(stat(file.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST(Front, ReplacesOnlyDeadSocketFiles) {
  const std::string file = testing::TempDir() + "mote_front_stale.sock";
  FrontOptions options;
  options.listen = {"unix:" + file};
  {
    Stand first(options);
    first.Start();
    Stand second(options);
    const auto started = second.front.Start();
    ASSERT_FALSE(started.ok());
    EXPECT_NE(started.error().message.find("somebody listens"), std::string::npos) << started.error().message;
  }
  struct stat info = {};
  EXPECT_NE(lstat(file.c_str(), &info), 0) << "the file is left behind";
  // What a killed server leaves.
  const auto parsed = ParseListenAddress("unix:" + file);
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&parsed->storage), parsed->size), 0);
  close(fd);
  Stand third(options);
  third.Start();
  EXPECT_EQ(third.Connect().Ask(GetRequest("/hello")).status, 200);
}

TEST(Front, SaysWhatIsWrongWithAnAddress) {
  for (const std::string text :
       {"localhost:80", "127.0.0.1", "127.0.0.1:65536", "127.0.0.1:-1", "[::1]", "unix:", ""}) {
    FrontOptions options;
    options.listen = {text};
    Stand stand(options);
    const auto started = stand.front.Start();
    ASSERT_FALSE(started.ok()) << text;
    EXPECT_NE(started.error().message.find("\"" + text + "\""), std::string::npos) << started.error().message;
  }
}

TEST(Front, AnswersHaveTheirHeadersAndNoOthers) {
  Stand stand;
  stand.Start();
  Client client = stand.Connect();
  const Answer answer = client.Ask(GetRequest("/hello", "X-Request-Id: abc-1\r\n"));
  EXPECT_EQ(answer.body, "hello");
  EXPECT_EQ(answer.Header("x-request-id"), "abc-1");
  EXPECT_EQ(answer.Header("x-test"), "yes");
  EXPECT_EQ(answer.Header("cache-control"), "no-store");
  EXPECT_EQ(answer.Header("x-content-type-options"), "nosniff");
  EXPECT_EQ(answer.Header("x-injected"), "");
  EXPECT_EQ(answer.Header("x-evil"), "");
  EXPECT_EQ(answer.Header("content-length"), "5");
  EXPECT_NE(client.Ask(GetRequest("/hello", "X-Request-Id: a b\r\n")).Header("x-request-id"), "a b");
  client.Send("HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n");
  const Answer head = client.ReadAnswer(true);
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.Header("content-length"), "5");
  const Answer empty = client.Ask(GetRequest("/empty"));
  EXPECT_EQ(empty.status, 204);
  EXPECT_EQ(empty.Header("content-length"), "");
  EXPECT_EQ(client.Ask(GetRequest("/hello")).status, 200);
}

TEST(Front, PipelinedRequestsAreAnsweredInOrder) {
  Stand stand;
  stand.Start();
  Client client = stand.Connect();
  std::string requests;
  for (int i = 0; i < 50; ++i) {
    requests +=
        "POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(i) + "\r\n\r\n" + std::string(i, 'x');
  }
  client.Send(requests);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(client.ReadAnswer().body, std::to_string(i));
}

TEST(Front, StreamsInChunksAndToOldClientsUntilTheEnd) {
  Stand stand;
  stand.Start();
  Client client = stand.Connect();
  const Answer answer = client.Ask(GetRequest("/three"));
  EXPECT_EQ(answer.body, "one two three");
  EXPECT_TRUE(answer.whole);
  EXPECT_EQ(answer.Header("x-accel-buffering"), "no");
  EXPECT_EQ(client.Ask(GetRequest("/hello")).status, 200) << "the connection goes on";
  Client old = stand.Connect();
  const Answer until_end = old.Ask("GET /three HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(until_end.body, "one two three");
  EXPECT_EQ(until_end.Header("transfer-encoding"), "");
  EXPECT_TRUE(until_end.closes);
}

TEST(Front, EveryFailureIsAnAnswer) {
  Stand stand;
  stand.Start();
  for (const std::string path : {"/throw", "/forget"}) {
    const Answer answer = stand.Connect().Ask(GetRequest(path));
    EXPECT_EQ(answer.status, 500) << path;
    EXPECT_NE(answer.body.find("\"internal_error\""), std::string::npos);
    EXPECT_EQ(answer.body.find("secret"), std::string::npos);
  }
  // A stream that nobody ends is visibly cut.
  const Answer half = stand.Connect().Ask(GetRequest("/half"));
  EXPECT_EQ(half.body, "half");
  EXPECT_FALSE(half.whole);
  const Answer missing = stand.Connect().Ask(GetRequest("/nothing"));
  EXPECT_EQ(missing.status, 404);
  EXPECT_NE(missing.body.find("\"not_found\""), std::string::npos);
  const Answer method = stand.Connect().Ask("DELETE /hello HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(method.status, 405);
  EXPECT_EQ(method.Header("allow"), "GET, HEAD");
}

TEST(Front, RefusalsReachClientsThatAreStillSending) {
  FrontOptions options = Loopback();
  options.body_bytes = 100;
  Stand stand(options);
  stand.Start();
  for (int i = 0; i < 20; ++i) {
    Client client = stand.Connect();
    client.Send("POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + std::string(1000000, 'x'));
    const Answer answer = client.ReadAnswer();
    EXPECT_EQ(answer.status, 413);
    EXPECT_TRUE(answer.whole && answer.closes);
    EXPECT_NE(answer.body.find("\"body_too_large\""), std::string::npos);
    EXPECT_TRUE(client.Closed());
  }
  Client garbage = stand.Connect();
  EXPECT_EQ(garbage.Ask("\x16\x03\x01 what is this\r\n\r\n").status, 400);
  EXPECT_TRUE(garbage.Closed());
}

TEST(Front, LargeBodiesOnlyWhereTheRouteSaysSo) {
  FrontOptions options = Loopback();
  options.body_bytes = 1000;
  options.large_body_bytes = 100000;
  Stand stand(options);
  stand.Add("POST", "/large",
            [](const Request& request, const std::shared_ptr<Reply>& reply) {
              reply->Send({200, "text/plain", {}, std::to_string(request.body.size())});
            },
            {.large_body = true});
  stand.Start();
  const auto post = [&](const std::string& path, size_t size) {
    return stand.Connect()
        .Ask("POST " + path + " HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n" +
             std::string(size, 'x'))
        .status;
  };
  EXPECT_EQ(post("/length", 1000), 200);
  EXPECT_EQ(post("/length", 1001), 413);
  EXPECT_EQ(post("/large", 100000), 200);
  EXPECT_EQ(post("/large", 100001), 413);
}

TEST(Front, AllBodiesTogetherHaveABudget) {
  FrontOptions options = Loopback();
  options.all_bodies_bytes = 150000;
  Stand stand(options);
  stand.Start();
  const std::string head = "POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
  {
    Client first = stand.Connect();
    first.Send(head + std::string(99999, 'x'));
    Client second = stand.Connect();
    second.Send(head + std::string(99999, 'x'));
    // Whichever reached the budget first.
    ASSERT_TRUE(Eventually([&] { return first.Readable(0) || second.Readable(0); }));
    EXPECT_EQ((first.Readable(0) ? first : second).ReadAnswer().status, 503);
  }
  EXPECT_TRUE(Eventually([&] { return stand.front.connections() == 0; }));
  EXPECT_EQ(stand.Connect().Ask(head + std::string(100000, 'x')).status, 200) << "what is gone is no longer counted";
}

TEST(Front, SendsContinueToWhoWaits) {
  Stand stand;
  stand.Start();
  Client client = stand.Connect();
  const Answer interim =
      client.Ask("POST /length HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
  EXPECT_EQ(interim.status, 100);
  EXPECT_EQ(client.Ask("hello").body, "5");
}

TEST(Front, GateAndObserver) {
  Stand stand;
  std::mutex mutex;
  std::vector<Served> seen;
  stand.front.SetScreen([](const Request& request, Reply& reply) {
    if (request.Header("authorization") != nullptr) return true;
    reply.Send({401, "text/plain", {}, "no"});
    return false;
  });
  stand.front.SetObserver([&](const Served& served) {
    const std::lock_guard<std::mutex> lock(mutex);
    seen.push_back(served);
  });
  stand.Add("GET", "/direct",
            [](const Request&, const std::shared_ptr<Reply>& reply) {
              reply->Send({200, "text/plain", {}, "ok"});
            },
            {.direct = true});
  stand.Start();
  Client client = stand.Connect();
  EXPECT_EQ(client.Ask(GetRequest("/hello")).status, 401);
  EXPECT_EQ(client.Ask(GetRequest("/hello", "Authorization: x\r\n")).status, 200);
  EXPECT_EQ(client.Ask(GetRequest("/direct")).status, 200);
  EXPECT_EQ(client.Ask(GetRequest("/none", "Authorization: x\r\n")).status, 404);
  EXPECT_EQ(client.Ask("bad\r\n\r\n").status, 400);
  ASSERT_TRUE(Eventually([&] {
    const std::lock_guard<std::mutex> lock(mutex);
    return seen.size() == 5;
  }));
  const int statuses[] = {401, 200, 200, 404, 400};
  const std::string routes[] = {"", "/hello", "/direct", "", ""};
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(seen[i].status, statuses[i]);
    EXPECT_EQ(seen[i].route, routes[i]);
    EXPECT_EQ(seen[i].peer, "127.0.0.1");
    EXPECT_FALSE(seen[i].id.empty());
  }
  EXPECT_EQ(seen[1].method, "GET");
}

TEST(Front, BelievesOnlyTrustedProxies) {
  FrontOptions options = Loopback();
  options.proxies = {"127.0.0.0/8", "10.1.0.0/16"};
  Stand trusting(options);
  std::mutex mutex;
  std::string recorded;
  trusting.front.SetObserver([&](const Served& served) {
    const std::lock_guard<std::mutex> lock(mutex);
    if (recorded.empty()) recorded = served.peer;
  });
  trusting.Start();
  Stand plain;
  plain.Start();
  const std::string forwarded =
      GetRequest("/peer", "X-Forwarded-For: 6.6.6.6, 9.9.9.9\r\nX-Forwarded-For: 10.1.2.3\r\n");
  EXPECT_EQ(trusting.Connect().Ask(forwarded).body, "9.9.9.9");
  EXPECT_TRUE(Eventually([&] {
    const std::lock_guard<std::mutex> lock(mutex);
    return recorded == "9.9.9.9";
  }));
  EXPECT_EQ(plain.Connect().Ask(forwarded).body, "127.0.0.1 local");
  EXPECT_EQ(trusting.Connect().Ask(GetRequest("/peer", "X-Forwarded-For: junk\r\n")).body, "127.0.0.1 local");
}

TEST(Front, HoldsConnectionsToTheirLimits) {
  FrontOptions options = Loopback();
  options.connections = 8;
  options.connections_per_peer = 3;
  options.limit_local = true;
  Stand per_peer(options);
  per_peer.Start();
  options.connections_per_peer = 100;
  Stand global(options);
  global.Start();
  for (const auto& [stand, limit] : {std::pair<Stand*, size_t>(&per_peer, 3), {&global, 8}}) {
    std::vector<Client> clients;
    for (size_t i = 0; i < limit; ++i) {
      clients.push_back(stand->Connect());
      EXPECT_EQ(clients.back().Ask(GetRequest("/hello")).status, 200);
    }
    const Answer refused = stand->Connect().ReadAnswer();
    EXPECT_EQ(refused.status, 503);
    EXPECT_NE(refused.body.find("\"too_many_connections\""), std::string::npos);
    clients.pop_back();
    EXPECT_TRUE(Eventually([&] { return stand->Connect().Ask(GetRequest("/hello")).status == 200; }));
  }
}

TEST(Front, DirectRoutesAnswerWhenAllWorkersAreStuck) {
  FrontOptions options = Loopback();
  options.workers = options.most_workers = 2;
  Stand stand(options);
  std::mutex stuck;
  stand.Add("GET", "/stuck", [&](const Request&, const std::shared_ptr<Reply>& reply) {
    const std::lock_guard<std::mutex> lock(stuck);
    reply->Send({200, "text/plain", {}, "late"});
  });
  stand.Add("GET", "/livez",
            [](const Request&, const std::shared_ptr<Reply>& reply) {
              reply->Send({200, "text/plain", {}, "ok"});
            },
            {.direct = true});
  std::unique_lock<std::mutex> lock(stuck);
  stand.Start();
  std::vector<Client> clients;
  for (int i = 0; i < 10; ++i) {
    clients.push_back(stand.Connect());
    clients.back().Send(GetRequest("/stuck"));
  }
  for (int i = 0; i < 20; ++i) EXPECT_EQ(stand.Connect().Ask(GetRequest("/livez")).body, "ok");
  for (const Client& client : clients) EXPECT_FALSE(client.Readable(0));
  lock.unlock();
  for (Client& client : clients) EXPECT_EQ(client.ReadAnswer().body, "late");
}

TEST(Front, WorkersGrowWhileRequestsWait) {
  FrontOptions options = Loopback();
  options.workers = 1;
  options.most_workers = 4;
  Stand stand(options);
  std::mutex mutex;
  std::condition_variable all_here;
  int here = 0;
  // Each answers only when four are running at once.
  stand.Add("GET", "/meet", [&](const Request&, const std::shared_ptr<Reply>& reply) {
    std::unique_lock<std::mutex> lock(mutex);
    ++here;
    all_here.notify_all();
    const bool met = all_here.wait_for(lock, std::chrono::seconds(kPatienceSeconds), [&] { return here >= 4; });
    reply->Send({met ? 200 : 500, "text/plain", {}, ""});
  });
  stand.Start();
  std::vector<Client> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(stand.Connect());
    clients.back().Send(GetRequest("/meet"));
  }
  for (Client& client : clients) EXPECT_EQ(client.ReadAnswer().status, 200);
}

TEST(Front, WhatCallbacksThrowEndsNothing) {
  Stand stand;
  stand.front.SetObserver([](const Served&) { throw std::runtime_error("observer"); });
  std::atomic<int> thrown = 0;
  stand.Add("GET", "/gone",
            [&](const Request&, const std::shared_ptr<Reply>& reply) {
              reply->OnGone([&thrown, reply] {
                ++thrown;
                throw std::runtime_error("gone");
              });
            },
            {.long_work = true});
  stand.Start();
  const auto timer = stand.front.Every(0.02, [&] {
    ++thrown;
    throw std::runtime_error("timer");
  });
  {
    Client client = stand.Connect();
    client.Send(GetRequest("/gone"));
    ASSERT_TRUE(Eventually([&] { return thrown >= 2; }));
  }
  const int before = thrown;
  EXPECT_TRUE(Eventually([&] { return thrown >= before + 2; }));
  EXPECT_EQ(stand.Connect().Ask(GetRequest("/hello")).body, "hello");
}

TEST(Front, HalfClosedClientsGetWhatIsShort) {
  Stand stand;
  std::mutex stuck;
  stand.Add("GET", "/late", [&](const Request&, const std::shared_ptr<Reply>& reply) {
    const std::lock_guard<std::mutex> lock(stuck);
    reply->Send({200, "text/plain", {}, "late"});
  });
  std::atomic<int> begun = 0;
  stand.Add("POST", "/long",
            [&](const Request&, const std::shared_ptr<Reply>& reply) {
              ++begun;
              reply->Send({200, "text/plain", {}, ""});
            },
            {.long_work = true});
  stand.Start();
  for (int i = 0; i < 100; ++i) {
    Client client = stand.Connect();
    client.Send(GetRequest("/hello") + GetRequest("/nothing") + GetRequest("/three"));
    client.HalfClose();
    EXPECT_EQ(client.ReadAnswer().body, "hello");
    EXPECT_EQ(client.ReadAnswer().status, 404);
    EXPECT_EQ(client.ReadAnswer().body, "one two three");
    EXPECT_TRUE(client.Closed());
  }
  // The half-close is seen while the request is under way, and long before its answer.
  Client waiting = stand.Connect();
  {
    const std::lock_guard<std::mutex> lock(stuck);
    waiting.Send(GetRequest("/late"));
    waiting.HalfClose();
    EXPECT_FALSE(waiting.Readable(100));
  }
  EXPECT_EQ(waiting.ReadAnswer().body, "late");
  // What comes in one piece with its end is judged before it begins. Two requests, so that the second is read when the
  // half-close is known.
  Client client = stand.Connect();
  {
    const std::lock_guard<std::mutex> lock(stuck);
    client.Send(GetRequest("/late") + "POST /long HTTP/1.1\r\nHost: a\r\n\r\n");
    client.HalfClose();
    EXPECT_FALSE(client.Readable(100));
  }
  EXPECT_EQ(client.ReadAnswer().body, "late");
  EXPECT_TRUE(client.Closed());
  EXPECT_EQ(begun, 0);
  EXPECT_TRUE(Eventually([&] { return stand.front.connections() == 0; }));
}

TEST(Front, AbsoluteTargetsAndTheServerAsAWhole) {
  Stand stand;
  std::mutex mutex;
  std::string host;
  stand.front.SetScreen([&](const Request& request, Reply&) {
    const std::lock_guard<std::mutex> lock(mutex);
    host = *request.Header("host");
    return true;
  });
  stand.Start();
  Client client = stand.Connect();
  EXPECT_EQ(client.Ask("GET http://b.example:80/hello HTTP/1.1\r\nHost: a\r\n\r\n").body, "hello");
  {
    const std::lock_guard<std::mutex> lock(mutex);
    EXPECT_EQ(host, "b.example:80") << "what is judged is what was asked for";
  }
  const Answer all = client.Ask("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(all.status, 204);
  EXPECT_EQ(all.Header("allow"), "GET, HEAD, OPTIONS, POST");
  EXPECT_EQ(client.Ask(GetRequest("/hello")).status, 200) << "the connection goes on";
}

TEST(Front, TimersRunUntilTheyAreLetGoOf) {
  auto stand = std::make_unique<Stand>();
  stand->Start();
  std::atomic<int> calls = 0, others = 0;
  std::shared_ptr<void> timer = stand->front.Every(0.02, [&] { ++calls; });
  const std::shared_ptr<void> other = stand->front.Every(0.02, [&] { ++others; });
  EXPECT_TRUE(Eventually([&] { return calls >= 3; }));
  timer = nullptr;
  // Whatever was under way is over once the other has run again.
  const int seen = others;
  EXPECT_TRUE(Eventually([&] { return others >= seen + 2; }));
  const int after = calls;
  EXPECT_TRUE(Eventually([&] { return others >= seen + 6; }));
  EXPECT_EQ(calls, after);
  stand = nullptr;  // `other` outlives the front
}

}  // namespace
}  // namespace mote::server
