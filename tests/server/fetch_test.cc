// Images of other hosts: which addresses are read, where they may lead, and hosts that behave badly.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "edge/server/clock.h"
#include "edge/server/fetch/download.h"
#include "edge/server/fetch/fetching_service.h"
#include "edge/server/fetch/image_url.h"
#include "tests/server/front_client.h"
#include "tests/server/openai_fake.h"

namespace mote::server {
namespace {

sockaddr_storage Address(const std::string& text, uint16_t port = 80) {
  sockaddr_storage storage = {};
  auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
  if (inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
  } else if (inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
  } else {
    ADD_FAILURE() << text;
  }
  return storage;
}

TEST(ImageUrl, WhatIsRead) {
  const auto url = ReadImageUrl("HTTPS://Images.Example/a/b.jpg?c=d&e=%20");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->place, (ImageHost{true, "images.example", false, 443}));
  EXPECT_EQ(url->target, "/a/b.jpg?c=d&e=%20");
  EXPECT_EQ(url->authority, "images.example");
  EXPECT_EQ(ReadImageUrl("http://a.example:8080")->authority, "a.example:8080");
  EXPECT_EQ(ReadImageUrl("http://a.example?x")->target, "/?x");
  EXPECT_EQ(ReadImageUrl("https://a.example/@b:c")->place.host, "a.example");
  EXPECT_EQ(ReadImageUrl("http://[2001:DB8::0:1]:80/")->place.host, "2001:db8::1");
}

TEST(ImageUrl, WhatIsNot) {
  for (const std::string text :
       {"", "https://", "https:///a", "http:/a.example/", "//a.example/", "a.example/b.png", "ftp://a.example/",
        "file:///etc/passwd", "gopher://a.example/", "data:image/png;base64,AAAA", "javascript:alert(1)",
        "https://user@a.example/", "https://user:word@a.example/", "https://a.example@127.0.0.1/",
        "https://a.example\\@127.0.0.1/", "https://127.0.0.1\\.a.example/", "https://a.example#@127.0.0.1/",
        "https://a.example/#x", "https://a.example/ b", "https://a.example/\r\nHost: b", "https://a.example/\xC3\xA9",
        "https://a.example\t/", "https://a..example/", "https://.a.example/", "https://a.example./",
        "https://-a.example/", "https://a_b.example/", "https://a.example:0/", "https://a.example:65536/",
        "https://a.example:8o80/", "https://a.example:/", "https://a.example:443:80/", "https://%61.example/",
        "https://a%00.example/",
        // What some resolvers take for 127.0.0.1 is no name and no address.
        "http://2130706433/", "http://0x7f000001/", "http://0x7f.1/", "http://0177.0.0.1/", "http://127.1/",
        "http://0/", "http://127.0.0.1.:80/", "http://1.2.3/", "http://a.0x7f/", "http://[::1/", "http://::1/",
        "http://[127.0.0.1]/", "http://[fe80::1%25eth0]/", "http://[::1]x/"}) {
    EXPECT_FALSE(ReadImageUrl(text)) << text;
  }
  EXPECT_FALSE(ReadImageUrl("https://a.example/" + std::string(2048, 'x')));
}

TEST(ImageUrl, HostsOfTheSetting) {
  EXPECT_EQ(ReadImageHost("images.example"), (ImageHost{true, "images.example", false, 443}));
  EXPECT_EQ(ReadImageHost(" http://Cam.Local:8080 "), (ImageHost{false, "cam.local", false, 8080}));
  EXPECT_EQ(ReadImageHost("https://[::1]:9000"), (ImageHost{true, "::1", true, 9000}));
  EXPECT_EQ(ReadImageHost("10.0.0.7:80"), (ImageHost{true, "10.0.0.7", true, 80}));
  for (const char* text : {"", "*", "*.example", "10.0.0.7", "http://10.0.0.7", "[::1]", "ftp://a.example",
                           "a.example/x", "a b", "u@a.example", "10.0.0.0/8"}) {
    EXPECT_FALSE(ReadImageHost(text)) << text;
  }
}

TEST(ImageUrl, WherePublicNamesMayLead) {
  for (const char* good : {"93.184.216.34", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1",
                           "192.167.1.1", "198.17.1.1", "223.255.255.1", "2606:2800:220:1::1", "2a00:1450::1"}) {
    EXPECT_TRUE(IsPublicAddress(reinterpret_cast<const sockaddr&>(static_cast<const sockaddr_storage&>(Address(good)))))
        << good;
  }
  for (const char* bad : {"0.0.0.0",
                          "0.1.2.3",
                          "10.1.2.3",
                          "100.64.0.1",
                          "100.127.255.255",
                          "127.0.0.1",
                          "127.255.1.1",
                          "169.254.169.254",
                          "172.16.0.1",
                          "172.31.255.255",
                          "192.0.0.8",
                          "192.0.2.1",
                          "192.88.99.1",
                          "192.168.1.1",
                          "198.18.0.1",
                          "198.51.100.7",
                          "203.0.113.9",
                          "224.0.0.1",
                          "239.255.255.255",
                          "240.0.0.1",
                          "255.255.255.255",
                          "::",
                          "::1",
                          "::ffff:127.0.0.1",
                          "::ffff:8.8.8.8",
                          "::127.0.0.1",
                          "64:ff9b::7f00:1",
                          "100::1",
                          "fc00::1",
                          "fd12::1",
                          "fe80::1",
                          "fec0::1",
                          "ff02::1",
                          "2001:db8::1",
                          "2001::1",
                          "2001:10::1",
                          "2002:7f00:1::",
                          "3fff::1"}) {
    EXPECT_FALSE(IsPublicAddress(reinterpret_cast<const sockaddr&>(static_cast<const sockaddr_storage&>(Address(bad)))))
        << bad;
  }
}

// A host on loopback that answers each connection in its own way.
class Host {
 public:
  using Behave = std::function<void(int fd, const std::string& request, const std::atomic<bool>& ending)>;
  // `listens`: to a whole request, before it behaves.
  explicit Host(Behave behave, bool listens = true) : behave_(std::move(behave)), listens_(listens) {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(fd_, 16), 0);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Run(); });
  }
  ~Host() {
    ending_ = true;
    thread_.join();
    close(fd_);
  }
  uint16_t port() const { return port_; }
  int connections() const { return connections_; }
  std::string last_request() const { return request_; }
  std::string Url(const std::string& host = "127.0.0.1") const {
    return "http://" + host + ":" + std::to_string(port_) + "/a.png";
  }

 private:
  void Run() {
    while (!ending_) {
      pollfd one = {fd_, POLLIN, 0};
      if (poll(&one, 1, 20) <= 0) continue;
      const int fd = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) continue;
      ++connections_;
      std::string request;
      char bytes[4096];
      while (listens_ && request.find("\r\n\r\n") == std::string::npos) {
        const ssize_t taken = recv(fd, bytes, sizeof(bytes), 0);
        if (taken <= 0) break;
        request.append(bytes, static_cast<size_t>(taken));
      }
      request_ = request;
      behave_(fd, request, ending_);
      close(fd);
    }
  }

  const Behave behave_;
  const bool listens_;
  int fd_ = -1;
  uint16_t port_ = 0;
  std::atomic<bool> ending_ = false;
  std::atomic<int> connections_ = 0;
  std::string request_;  // read once the connection has ended
  std::thread thread_;
};

void Say(int fd, const std::string& bytes) {
  for (size_t at = 0; at < bytes.size();) {
    const ssize_t sent = send(fd, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
    if (sent <= 0) return;
    at += static_cast<size_t>(sent);
  }
}

Host::Behave Always(const std::string& bytes) {
  return [bytes](int fd, const std::string&, const std::atomic<bool>&) { Say(fd, bytes); };
}

constexpr char kHead[] = "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n";

// What a download of the address gives: the file, or "!" and why there is none.
std::string Get(const std::string& url, uint64_t most = 1000, double seconds = 30, Resolve resolve = nullptr,
                std::function<bool()> cancelled = nullptr) {
  static const auto* const kSystem = new auto(TlsTrust::Load(""));  // a hundred certificates: read once
  const auto& trust = *kSystem;
  const auto read = ReadImageUrl(url);
  if (!trust.ok() || !read) return "!not even read";
  DownloadLimits limits;
  limits.most_bytes = most;
  limits.deadline = Now() + seconds;
  limits.resolve = std::move(resolve);
  limits.cancelled = std::move(cancelled);
  const auto file = Download(*read, **trust, limits);
  return file.ok() ? *file : "!" + file.error().message;
}

TEST(Download, BodiesInEachFraming) {
  const std::string head = kHead;
  const std::pair<std::string, std::string> cases[] = {
      {head + "Content-Length: 5\r\n\r\nhello and more", "hello"},
      {head + "\r\nhello", "hello"},
      {head + "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n", "hello"},
      {"HTTP/1.0 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 0\r\n\r\n", ""},
  };
  for (const auto& [answer, body] : cases) {
    Host host(Always(answer));
    EXPECT_EQ(Get(host.Url()), body) << answer;
  }
}

TEST(Download, AsksForTheFileAndNothingElse) {
  Host host(Always(std::string(kHead) + "Content-Length: 1\r\n\r\nx"));
  const std::string port = std::to_string(host.port());
  EXPECT_EQ(Get("http://127.0.0.1:" + port + "/a?b=c"), "x");
  EXPECT_EQ(host.last_request(), "GET /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:" + port +
                                     "\r\nUser-Agent: mote\r\nAccept: image/jpeg, image/png, image/webp\r\n"
                                     "Accept-Encoding: identity\r\nConnection: close\r\n\r\n");
}

TEST(Download, HostsThatBehaveBadly) {
  const std::string head = kHead;
  const std::pair<std::string, const char*> cases[] = {
      {"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest/meta-data\r\n\r\n", "no redirect is followed"},
      {"HTTP/1.1 404 Not Found\r\n\r\n", "answered 404"},
      {"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1\r\n\r\nx", "no image"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", "no image"},
      {head + "Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx", "compressed"},
      {head + "Content-Length: 1001\r\n\r\nx", "more than 1000 bytes"},
      {head + "Content-Length: 5\r\n\r\nhel", "ended before its end"},
      {head + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "not HTTP"},
      {head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "not HTTP"},
      {head + "Content-Length: -5\r\n\r\nhello", "not HTTP"},
      {head + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "not HTTP"},
      {head + "Transfer-Encoding: chunked\r\n\r\n3e9\r\n", "more than 1000 bytes"},
      {head + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", "not HTTP"},
      {head + "Transfer-Encoding: chunked\r\n\r\n-2\r\nx", "not HTTP"},
      {head + "Transfer-Encoding: chunked\r\n\r\n2\r\nhello", "not HTTP"},
      {"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not HTTP"},
      {"", "without an answer"},
      {"HTTP/1.1 200 OK\r\nX: " + std::string(40000, 'x'), "too long"},
  };
  for (const auto& [answer, why] : cases) {
    Host host(Always(answer));
    const std::string got = Get(host.Url());
    EXPECT_EQ(got[0], '!') << answer.substr(0, 100);
    EXPECT_NE(got.find(why), std::string::npos) << answer.substr(0, 100) << ": " << got;
  }
}

TEST(Download, BodiesWithoutAnEnd) {
  Host host([](int fd, const std::string&, const std::atomic<bool>& ending) {
    Say(fd, std::string(kHead) + "\r\n");
    const std::string piece(4096, 'x');
    while (!ending && send(fd, piece.data(), piece.size(), MSG_NOSIGNAL) > 0) {
    }
  });
  EXPECT_NE(Get(host.Url(), 100000).find("more than 100000 bytes"), std::string::npos);
}

TEST(Download, SlowHostsAreLeft) {
  // A byte now and then, for ever: in the head, and in the body.
  for (const char* begin : {"HTTP/1.1 200 OK\r\nX: ", "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n"}) {
    Host host([begin](int fd, const std::string&, const std::atomic<bool>& ending) {
      Say(fd, begin);
      while (!ending && send(fd, "x", 1, MSG_NOSIGNAL) > 0) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    });
    EXPECT_EQ(Get(host.Url(), 100000, 0.5), "!the host took too long");
    std::atomic<int> looks = 0;
    EXPECT_EQ(Get(host.Url(), 100000, 60, nullptr, [&] { return ++looks > 3; }), "!nobody wants it any more");
  }
}

TEST(Download, NamesLeadOnlyToPublicAddresses) {
  Host host(Always(std::string(kHead) + "Content-Length: 1\r\n\r\nx"));
  for (const char* lead : {"127.0.0.1", "::1", "::ffff:127.0.0.1", "10.0.0.1", "169.254.169.254"}) {
    int lookups = 0;
    const std::string got = Get(host.Url("evil.example"), 1000, 5, [&](const std::string& name, uint16_t port) {
      EXPECT_EQ(name, "evil.example");
      ++lookups;
      return std::vector<sockaddr_storage>{Address(lead, port)};
    });
    EXPECT_EQ(got, "!the host's name leads to an address that images may not come from") << lead;
    EXPECT_EQ(lookups, 1);
  }
  EXPECT_EQ(Get(host.Url("localhost.example"), 1000, 5,
                [](const std::string&, uint16_t) { return std::vector<sockaddr_storage>(); }),
            "!the host's name has no address");
  // The system's own resolver, of a name that every machine has.
  EXPECT_EQ(Get(host.Url("localhost")), "!the host's name leads to an address that images may not come from");
  EXPECT_EQ(host.connections(), 0);
}

TEST(Download, TlsThatCannotBeBelieved) {
  Host host(Always("no TLS at all, whatever comes"), /*listens=*/false);
  const std::string got = Get("https://127.0.0.1:" + std::to_string(host.port()) + "/");
  EXPECT_EQ(got, "!the TLS handshake failed");
  EXPECT_FALSE(TlsTrust::Load("/nowhere/ca.pem").ok());
}

struct Waiting : Receiver {
  void OnText(int, std::string_view, std::span<const TokenDetail>) override {}
  void OnFinished(int, Finish) override {}
  void OnDone(const Summary&) override { done = true; }
  void OnFailed(const ApiError& error) override {
    failure = error;
    failed = true;
  }
  std::atomic<bool> done = false, failed = false;
  ApiError failure;
};

Task TaskOf(const std::string& url) {
  Task task;
  task.images.emplace_back();
  task.remote_images.push_back({0, url, "messages[0].content[0].image_url.url"});
  return task;
}

std::unique_ptr<FetchingService> Fetching(Service* service, FetchOptions options = {}) {
  return std::make_unique<FetchingService>(service, std::move(options), *TlsTrust::Load(""), nullptr);
}

TEST(FetchingService, FillsInTheFileAndGoesOn) {
  Host host(Always(std::string(kHead) + "Content-Length: 5\r\n\r\nhello"));
  FakeService inner;
  const auto service = Fetching(&inner);
  inner.answer = [](const Task&, Receiver& receiver) { receiver.OnDone({}); };
  const auto waiting = std::make_shared<Waiting>();
  service->Submit(TaskOf(host.Url()), waiting);
  ASSERT_TRUE(Eventually([&] { return waiting->done || waiting->failed; }));
  ASSERT_TRUE(waiting->done) << waiting->failure.message;
  EXPECT_EQ(inner.tasks.at(0).images.at(0), "hello");
  EXPECT_TRUE(inner.tasks.at(0).remote_images.empty());
  EXPECT_GT(inner.tasks.at(0).deadline, 0);
  EXPECT_LE(inner.tasks.at(0).deadline, 300);
}

TEST(FetchingService, FailuresNameTheField) {
  Host host(Always("HTTP/1.1 404 Not Found\r\n\r\n"));
  FakeService inner;
  const auto service = Fetching(&inner);
  const auto waiting = std::make_shared<Waiting>();
  service->Submit(TaskOf(host.Url()), waiting);
  ASSERT_TRUE(Eventually([&] { return waiting->failed.load(); }));
  EXPECT_EQ(waiting->failure.status, 400);
  EXPECT_EQ(waiting->failure.code, "image_fetch_failed");
  EXPECT_EQ(waiting->failure.param, "messages[0].content[0].image_url.url");
  EXPECT_TRUE(inner.tasks.empty());
}

TEST(FetchingService, CancelledOnesAndTheEndFreeTheirThread) {
  Host host([](int, const std::string&, const std::atomic<bool>& ending) {
    while (!ending) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  });
  FakeService inner;
  FetchOptions options;
  options.threads = 1;
  options.timeout = 1e6;
  options.queue_length = 1;
  auto service = Fetching(&inner, options);
  const auto first = std::make_shared<Waiting>();
  const auto second = std::make_shared<Waiting>();
  const auto third = std::make_shared<Waiting>();
  const auto ticket = service->Submit(TaskOf(host.Url()), first);
  ASSERT_TRUE(Eventually([&] { return host.connections() == 1; }));
  auto left = std::make_shared<Waiting>();
  const std::weak_ptr<Waiting> watch = left;
  const auto left_ticket = service->Submit(TaskOf(host.Url()), std::move(left));
  service->Submit(TaskOf(host.Url()), third);
  ASSERT_TRUE(third->failed) << "the queue holds one";
  EXPECT_EQ(third->failure.code, "queue_full");
  left_ticket->Cancel();
  left_ticket->Cancel();
  EXPECT_TRUE(watch.expired()) << "who waits for a thread is let go of at once";
  service->Submit(TaskOf(host.Url()), second);
  EXPECT_FALSE(second->failed) << "and leaves room";
  ticket->Cancel();
  ASSERT_TRUE(Eventually([&] { return first->failed.load(); }));
  EXPECT_EQ(first->failure.code, "cancelled");
  service = nullptr;
  ASSERT_TRUE(second->failed);
  EXPECT_EQ(second->failure.code, "shutting_down");
}

TEST(OpenAiImages, OnlyListedHosts) {
  const auto body = [](const std::string& url) {
    OrderedJson json = Ask("x");
    json["messages"][0]["content"] = OrderedJson::parse(R"([{"type":"image_url","image_url":{"url":""}}])");
    json["messages"][0]["content"][0]["image_url"]["url"] = url;
    return json;
  };
  const std::string good = "https://images.example/a.png";
  {
    OpenAiServer server;
    const OrderedJson error = server.Chat(body(good))->Parsed()["error"];
    EXPECT_NE(error["message"].get<std::string>().find("fetches nothing"), std::string::npos);
  }
  OpenAiOptions options;
  options.limits.image_hosts = {*ReadImageHost("images.example"), *ReadImageHost("http://10.0.0.7:8080")};
  OpenAiServer server(options);
  server.service.answer = server::Say({"x"});
  for (const std::string& url :
       {good, std::string("http://10.0.0.7:8080/now.jpg"), std::string("HTTPS://IMAGES.EXAMPLE:443/")}) {
    EXPECT_EQ(server.Chat(body(url))->head.status, 200) << url;
    EXPECT_EQ(server.service.tasks.back().remote_images.at(0).url, url);
    EXPECT_EQ(server.service.tasks.back().images.size(), 1u);
  }
  for (const char* url : {"http://images.example/a.png", "https://images.example:8443/", "https://a.images.example/",
                          "https://images.example.evil.example/", "http://10.0.0.7/", "https://10.0.0.7:8080/"}) {
    const auto reply = server.Chat(body(url));
    EXPECT_EQ(reply->head.status, 400) << url;
    EXPECT_EQ(reply->Parsed()["error"]["code"], "image_host_not_allowed") << url;
  }
  EXPECT_EQ(server.Chat(body("https://user@images.example/"))->Parsed()["error"]["code"], "invalid_value");
  EXPECT_EQ(server.service.tasks.size(), 3u);
}

}  // namespace
}  // namespace mote::server
