// The front under crowds, slow ones and leaving ones.
#include <gtest/gtest.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "edge/server/http/front.h"
#include "tests/server/front_stand.h"
#include "tests/support/effort.h"

namespace mote::server {
namespace {

// As many sockets as the tests want, or as the system allows: both ends are in this process.
size_t Crowd(size_t wanted) {
  rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 2 * wanted + 200);
  setrlimit(RLIMIT_NOFILE, &limit);
  getrlimit(RLIMIT_NOFILE, &limit);
  return std::min<size_t>(wanted, (limit.rlim_cur - 200) / 2);
}

int ThreadsNow() {
  FILE* const file = fopen("/proc/self/status", "r");
  if (file == nullptr) return -1;
  char line[256];
  int threads = -1;
  while (fgets(line, sizeof(line), file) != nullptr) {
    if (strncmp(line, "Threads:", 8) == 0) threads = atoi(line + 8);
  }
  fclose(file);
  return threads;
}

struct Stand : FrontStand {
  explicit Stand(FrontOptions options) : FrontStand(Loopback(std::move(options))) {
    Add("GET", "/hello", [](const Request&, const std::shared_ptr<Reply>& reply) {
      reply->Send({200, "text/plain", {}, "hello"});
    });
    // A stream that the test writes.
    Add("GET", "/hold",
        [this](const Request&, const std::shared_ptr<Reply>& reply) {
          reply->Start({200, "text/event-stream", {}, ""});
          reply->OnGone([this] { ++gone; });
          reply->OnDrain([this, weak = std::weak_ptr<Reply>(reply)] {
            ++drained;
            const std::shared_ptr<Reply> last = weak.lock();
            if (last == nullptr) return;
            last->Write("bye");
            last->End();
          });
          Hold(reply);
        },
        {.long_work = true});
    // Waits without having said anything.
    Add("GET", "/wait",
        [this](const Request&, const std::shared_ptr<Reply>& reply) {
          reply->OnGone([this] { ++gone; });
          Hold(reply);
        },
        {.long_work = true});
  }
};

TEST(FrontCrowd, SlowSendersAreCutAndOthersServed) {
  FrontOptions options;
  options.head_seconds = 1;
  options.connections = 4096;
  Stand stand(options);
  stand.Start();
  std::vector<Client> slow;
  const size_t crowd = Crowd(Effort<size_t>(2000, 300));
  for (size_t i = 0; i < crowd; ++i) {
    slow.push_back(stand.Connect());
    ASSERT_TRUE(slow.back().connected());
    // A third says nothing at all.
    if (i % 3 != 0) slow.back().Send("GET /hello HT");
  }
  size_t served = 0, ended = 0;
  std::vector<bool> over(crowd);
  // They go on byte by byte until they are cut; between the rounds, somebody wants to be served.
  for (int round = 0; round < 10000 && ended < crowd; ++round) {
    for (size_t i = 0; i < crowd; ++i) {
      if (over[i]) continue;
      if (slow[i].Readable(0) || (i % 3 != 0 && !slow[i].Send("T"))) {
        over[i] = true;
        ++ended;
      }
    }
    Client quick = stand.Connect();
    ASSERT_EQ(quick.Ask(GetRequest("/hello")).status, 200) << "in round " << round;
    ++served;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_EQ(ended, crowd);
  EXPECT_GT(served, size_t{1});
  const int expected[] = {0, 408, 408};  // who has said nothing is told nothing
  for (size_t i = 0; i < 30; ++i) EXPECT_EQ(slow[i].ReadAnswer().status, expected[i % 3]);
}

TEST(FrontCrowd, SlowBodiesAreCut) {
  FrontOptions options;
  options.body_window_seconds = 0.3;
  options.body_bytes_per_second = 1000;
  Stand stand(options);
  stand.Start();
  const std::string head = "POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
  Client slow = stand.Connect();
  // Fast at first, then not at all: each window counts for itself.
  slow.Send(head + std::string(90000, 'x'));
  EXPECT_EQ(slow.ReadAnswer().status, 408);
  Client silent = stand.Connect();
  silent.Send(head);
  EXPECT_EQ(silent.ReadAnswer().status, 408);
}

TEST(FrontCrowd, IdleConnectionsAreClosed) {
  FrontOptions options;
  options.idle_seconds = 0.2;
  Stand stand(options);
  stand.Start();
  Client client = stand.Connect();
  EXPECT_EQ(client.Ask(GetRequest("/hello")).status, 200);
  EXPECT_TRUE(client.Closed());
  EXPECT_TRUE(Eventually([&] { return stand.front.connections() == 0; }));
}

TEST(FrontCrowd, WhoLeavesIsNoticed) {
  Stand stand((FrontOptions()));
  stand.Start();
  int expected = 0;
  for (const std::string path : {"/hold", "/wait"}) {
    for (int way = 0; way < 3; ++way) {
      for (int i = 0; i < 10; ++i) {
        Client client = stand.Connect();
        client.Send(GetRequest(path));
        ++expected;
        ASSERT_TRUE(Eventually([&] { return stand.All().size() == static_cast<size_t>(expected); }));
        if (way == 0) client.Close();
        if (way == 1) client.Reset();
        if (way == 2) client.HalfClose();  // counts as gone, for both are long work
        ASSERT_TRUE(Eventually([&] { return stand.gone == expected; })) << path << " " << way;
      }
    }
  }
  for (const auto& reply : stand.All()) {
    EXPECT_FALSE(reply->Write("x"));
    bool told = false;
    reply->OnGone([&] { told = true; });
    EXPECT_TRUE(told) << "late listeners are told at once";
  }
  stand.Release();
  EXPECT_EQ(stand.gone, expected) << "told once";
  EXPECT_EQ(stand.front.streams(), 0u);
}

TEST(FrontCrowd, WhoLeavesTheQueueCostsNothing) {
  FrontOptions options;
  options.workers = options.most_workers = 1;
  Stand stand(options);
  std::mutex stuck;
  std::atomic<int> ran = 0;
  stand.Add("GET", "/stuck",
            [&](const Request&, const std::shared_ptr<Reply>& reply) {
              ++ran;
              const std::lock_guard<std::mutex> lock(stuck);
              reply->Send({200, "text/plain", {}, ""});
            },
            {.long_work = true});
  std::unique_lock<std::mutex> lock(stuck);
  stand.Start();
  Client first = stand.Connect();
  first.Send(GetRequest("/stuck"));
  ASSERT_TRUE(Eventually([&] { return ran == 1; }));
  {
    std::vector<Client> impatient;
    for (int i = 0; i < 10; ++i) {
      impatient.push_back(stand.Connect());
      impatient.back().Send(GetRequest("/stuck"));
    }
    ASSERT_TRUE(Eventually([&] { return stand.front.connections() == 11; }));
  }
  ASSERT_TRUE(Eventually([&] { return stand.front.connections() == 1; }));
  Client last = stand.Connect();
  last.Send(GetRequest("/stuck"));
  ASSERT_TRUE(Eventually([&] { return stand.front.connections() == 2; }));
  lock.unlock();
  EXPECT_EQ(first.ReadAnswer().status, 200);
  EXPECT_EQ(last.ReadAnswer().status, 200);
  EXPECT_EQ(ran, 2);
}

TEST(FrontCrowd, ReadersThatFallBehindAreCutAndOthersAreNot) {
  FrontOptions options;
  options.stream_buffer_bytes = 100000;
  Stand stand(options);
  stand.Start();
  Client slow = stand.Connect(4096);
  slow.Send(GetRequest("/hold"));
  ASSERT_TRUE(Eventually([&] { return stand.All().size() == 1; }));
  Client keen = stand.Connect();
  keen.Send(GetRequest("/hold"));
  ASSERT_TRUE(Eventually([&] { return stand.All().size() == 2; }));
  Answer answer;
  std::thread reading([&] { answer = keen.ReadAnswer(); });
  const auto replies = stand.All();
  const std::string piece(1000, 'x');
  size_t written = 0, kept = 0;
  while (written < (64 << 20) && replies[0]->Write(piece)) written += piece.size();
  EXPECT_LT(written, size_t{32} << 20) << "what the kernel takes for a reader that does not read is bounded, too";
  EXPECT_TRUE(Eventually([&] { return stand.gone == 1; }));
  EXPECT_FALSE(replies[0]->Write(piece));
  // The other takes as much as comes, at its own pace: a writer that waits for it never sees it cut.
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(replies[1]->Write(piece)) << i;
    kept += piece.size();
    if (i % 50 == 49) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  replies[1]->End();
  reading.join();
  EXPECT_TRUE(answer.whole);
  EXPECT_EQ(answer.body.size(), kept);
}

TEST(FrontCrowd, ReadersThatStandStillAreCut) {
  const Handler large = [](const Request&, const std::shared_ptr<Reply>& reply) {
    reply->Send({200, "text/plain", {}, std::string(32 << 20, 'x')});
  };
  FrontOptions options;
  options.stall_seconds = 0.3;
  Stand stand(options), patient((FrontOptions()));
  stand.Add("GET", "/large", large);
  stand.Start();
  patient.Add("GET", "/large", large);
  patient.Start();
  Client still = stand.Connect(4096);
  still.Send(GetRequest("/large"));
  ASSERT_TRUE(Eventually([&] { return stand.front.connections() == 1; }));
  EXPECT_TRUE(Eventually([&] { return stand.front.connections() == 0; }));
  const Answer answer = still.ReadAnswer();
  EXPECT_FALSE(answer.whole);
  const Answer whole = patient.Connect().Ask(GetRequest("/large"));
  EXPECT_TRUE(whole.whole);
  EXPECT_EQ(whole.body.size(), size_t{32} << 20);
}

TEST(FrontCrowd, AThousandStreamsTakeNoThreads) {
  Stand stand((FrontOptions()));
  stand.Start();
  std::vector<Client> clients;
  const size_t crowd = Crowd(1000);
  for (size_t i = 0; i < crowd; ++i) {
    clients.push_back(stand.Connect());
    ASSERT_TRUE(clients.back().Send(GetRequest("/hold")));
  }
  ASSERT_TRUE(Eventually([&] { return stand.All().size() == crowd; }));
  EXPECT_TRUE(Eventually([&] { return stand.front.streams() == crowd; }));
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  std::string expected;
  for (int round = 0; round < 20; ++round) {
    const std::string piece = "data: " + std::to_string(round) + "\n\n";
    for (const auto& reply : stand.All()) ASSERT_TRUE(reply->Write(piece));
    expected += piece;
    EXPECT_LE(ThreadsNow(), cores + 16);
  }
  EXPECT_EQ(stand.Connect().Ask(GetRequest("/hello")).status, 200);
  for (const auto& reply : stand.All()) reply->End();
  for (Client& client : clients) {
    const Answer answer = client.ReadAnswer();
    ASSERT_TRUE(answer.whole);
    ASSERT_EQ(answer.body, expected);
  }
  EXPECT_TRUE(Eventually([&] { return stand.front.streams() == 0; }));
  EXPECT_EQ(stand.gone, 0);
}

TEST(FrontCrowd, RunningOutOfDescriptorsEndsNothing) {
  Stand stand((FrontOptions()));
  stand.Start();
  Client before = stand.Connect();
  EXPECT_EQ(before.Ask(GetRequest("/hello")).status, 200);
  rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  const auto parsed = ParseListenAddress(stand.address);
  std::vector<int> sockets;
  for (int i = 0; i < 20; ++i) sockets.push_back(socket(AF_INET, SOCK_STREAM, 0));
  // Now nothing above these may be opened.
  rlimit tight = limit;
  tight.rlim_cur = static_cast<rlim_t>(*std::max_element(sockets.begin(), sockets.end())) + 1;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &tight), 0);
  for (const int fd : sockets) {
    EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&parsed->storage), parsed->size), 0);
  }
  // Each is closed, rather than left in the queue.
  for (const int fd : sockets) {
    char byte = 0;
    const timeval patience = {kPatienceSeconds, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    const ssize_t taken = recv(fd, &byte, 1, 0);
    EXPECT_TRUE(taken == 0 || errno == ECONNRESET) << strerror(errno);
  }
  EXPECT_EQ(before.Ask(GetRequest("/hello")).status, 200);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  for (const int fd : sockets) close(fd);
  EXPECT_EQ(stand.Connect().Ask(GetRequest("/hello")).status, 200);
}

TEST(FrontDrain, LetsStreamsFinish) {
  FrontOptions options;
  options.lame_duck_seconds = 0.2;
  Stand stand(options);
  stand.Start();
  Client idle = stand.Connect();
  EXPECT_EQ(idle.Ask(GetRequest("/hello")).status, 200);
  Client stream = stand.Connect();
  stream.Send(GetRequest("/hold"));
  ASSERT_TRUE(Eventually([&] { return stand.All().size() == 1; }));
  EXPECT_FALSE(stand.front.draining());
  stand.front.BeginDrain();
  EXPECT_TRUE(stand.front.draining());
  EXPECT_TRUE(idle.Closed());
  // Nobody new is let in once the lame duck is over.
  EXPECT_TRUE(Eventually([&] { return !stand.Connect().connected(); }));
  const auto replies = stand.All();
  EXPECT_TRUE(replies[0]->Write("to the end"));
  replies[0]->End();
  const Answer answer = stream.ReadAnswer();
  EXPECT_TRUE(answer.whole);
  EXPECT_EQ(answer.body, "to the end");
  EXPECT_TRUE(stream.Closed());
  stand.front.Wait();
  EXPECT_EQ(stand.drained, 0);
}

TEST(FrontDrain, AnswersWhileItIsALameDuck) {
  FrontOptions options;
  options.lame_duck_seconds = 3600;
  Stand stand(options);
  stand.Start();
  stand.front.BeginDrain();
  const Answer answer = stand.Connect().Ask(GetRequest("/hello"));
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.closes);
  stand.front.DrainNow();
  stand.front.Wait();
}

TEST(FrontDrain, TellsStreamsThatDoNotFinish) {
  FrontOptions options;
  options.lame_duck_seconds = 0;
  options.drain_seconds = 0.1;
  options.farewell_seconds = 60;
  Stand stand(options);
  stand.Start();
  Client stream = stand.Connect();
  stream.Send(GetRequest("/hold"));
  ASSERT_TRUE(Eventually([&] { return stand.All().size() == 1; }));
  stand.front.BeginDrain();
  const Answer answer = stream.ReadAnswer();
  EXPECT_EQ(answer.body, "bye");
  EXPECT_TRUE(answer.whole);
  stand.front.Wait();
  EXPECT_EQ(stand.drained, 1);
  EXPECT_EQ(stand.gone, 0);
}

TEST(FrontDrain, NowMeansNow) {
  FrontOptions options;
  options.lame_duck_seconds = options.drain_seconds = 3600;
  options.farewell_seconds = 0.1;
  Stand stand(options);
  stand.Start();
  Client stream = stand.Connect();
  stream.Send(GetRequest("/hold"));
  Client deaf = stand.Connect();
  deaf.Send(GetRequest("/wait"));
  ASSERT_TRUE(Eventually([&] { return stand.All().size() == 2; }));
  stand.front.BeginDrain();
  stand.front.DrainNow();
  EXPECT_EQ(stream.ReadAnswer().body, "bye");
  stand.front.Wait();
  EXPECT_EQ(stand.gone, 1) << "whoever does not end is cut";
  EXPECT_EQ(deaf.ReadAnswer().status, 0);
}

}  // namespace
}  // namespace mote::server
