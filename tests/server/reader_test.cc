#include "edge/server/http/reader.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace mote::server {
namespace {

constexpr uint64_t kBodyLimit = 1000;

struct Outcome {
  Reader::State state = Reader::State::kHead;
  int status = 0;
  size_t used = 0;
  ReadRequest read;
};

Outcome Feed(const std::string& bytes, size_t piece, const ReaderLimits& limits = {}) {
  const Reader::BodyLimit body_limit = [](const ReadRequest&) { return kBodyLimit; };
  Reader reader(&limits, &body_limit);
  Outcome outcome;
  while (outcome.used < bytes.size()) {
    const std::string_view rest = std::string_view(bytes).substr(outcome.used, piece);
    const size_t used = reader.Feed(rest);
    outcome.used += used;
    if (used < rest.size()) break;
  }
  outcome.state = reader.state();
  if (outcome.state == Reader::State::kRefused) outcome.status = reader.refusal().status;
  if (outcome.state == Reader::State::kComplete) outcome.read = std::move(reader.read());
  return outcome;
}

// The same, whatever the pieces.
Outcome Read(const std::string& bytes, const ReaderLimits& limits = {}) {
  const Outcome whole = Feed(bytes, bytes.size() + 1, limits);
  for (const size_t piece : {1, 2, 3, 7, 64}) {
    const Outcome cut = Feed(bytes, piece, limits);
    EXPECT_EQ(cut.state, whole.state) << "in pieces of " << piece << ": " << bytes.substr(0, 200);
    EXPECT_EQ(cut.status, whole.status) << "in pieces of " << piece << ": " << bytes.substr(0, 200);
    EXPECT_EQ(cut.used, whole.used) << "in pieces of " << piece << ": " << bytes.substr(0, 200);
    EXPECT_EQ(cut.read.request.body, whole.read.request.body);
    EXPECT_EQ(cut.read.request.headers, whole.read.request.headers);
  }
  return whole;
}

int StatusOf(const std::string& bytes, const ReaderLimits& limits = {}) {
  return Read(bytes, limits).status;
}

const std::string kHost = "Host: a\r\n";

// A GET with these lines after Host.
std::string Get(const std::string& lines) {
  return "GET / HTTP/1.1\r\n" + kHost + lines + "\r\n";
}

std::string Post(const std::string& lines, const std::string& body) {
  return "POST / HTTP/1.1\r\n" + kHost + lines + "\r\n" + body;
}

struct Refused {
  std::string bytes;
  int status;
};

void CheckRefused(const std::vector<Refused>& rows) {
  for (const Refused& row : rows) {
    const Outcome outcome = Read(row.bytes);
    EXPECT_EQ(outcome.state, Reader::State::kRefused) << row.bytes;
    EXPECT_EQ(outcome.status, row.status) << row.bytes;
  }
}

TEST(Reader, TakesARequestApart) {
  const std::string bytes =
      "POST /v1/a%20b/c%2Fd:e?x=1&y=a+b%26&&z HTTP/1.1\r\nhOsT: example.org:8080\r\nX-Thing: \t some value \r\n"
      "Range: bytes=0-1\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nhelloGET";
  const Outcome outcome = Read(bytes);
  ASSERT_EQ(outcome.state, Reader::State::kComplete);
  EXPECT_EQ(outcome.used, bytes.size() - 3);
  const Request& request = outcome.read.request;
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.path, "/v1/a b/c/d:e");
  EXPECT_EQ(outcome.read.target, "/v1/a%20b/c%2Fd%3Ae");
  EXPECT_EQ(request.body, "hello");
  EXPECT_TRUE(outcome.read.keep_alive);
  const std::vector<std::pair<std::string, std::string>> query = {{"x", "1"}, {"y", "a b&"}, {"z", ""}};
  EXPECT_EQ(request.query, query);
  const std::vector<std::pair<std::string, std::string>> headers = {
      {"host", "example.org:8080"}, {"x-thing", "some value"}, {"content-length", "5"}};
  EXPECT_EQ(request.headers, headers);
}

TEST(Reader, HeaderValuesAreNotDecoded) {
  const Outcome outcome = Read(Get("X-A: a%0d%0aX-B: b\r\n"));
  ASSERT_EQ(outcome.state, Reader::State::kComplete);
  EXPECT_EQ(*outcome.read.request.Header("x-a"), "a%0d%0aX-B: b");
}

TEST(Reader, ReadsChunks) {
  const Outcome outcome =
      Read(Post("Transfer-Encoding: Chunked\r\n", "5\r\nhello\r\n00A;q=\"a b\"\r\n0123456789\r\n0\r\n\r\nnext"));
  ASSERT_EQ(outcome.state, Reader::State::kComplete);
  EXPECT_EQ(outcome.read.request.body, "hello0123456789");
}

TEST(Reader, ForgivesBlanksBeforeAnExtension) {
  const Outcome outcome =
      Read(Post("Transfer-Encoding: chunked\r\n", "5 ;a=b\r\nhello\r\n5\t ; a = b\r\nworld\r\n0 ;c\r\n\r\n"));
  ASSERT_EQ(outcome.state, Reader::State::kComplete);
  EXPECT_EQ(outcome.read.request.body, "helloworld");
}

TEST(Reader, ReadsTrailersOverWithinTheLimitsOfAHead) {
  ReaderLimits limits;
  limits.header_line = 200;
  limits.fields = 10;
  limits.head = 900;
  const auto post = [](const std::string& trailers) {
    return Post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n" + trailers + "\r\n");
  };
  const std::string bytes = post("X-Sum: 5d41\r\nEmpty:\r\n") + "GET / HTTP";
  const Outcome outcome = Read(bytes);
  ASSERT_EQ(outcome.state, Reader::State::kComplete);
  EXPECT_EQ(outcome.used, bytes.size() - 10);
  EXPECT_EQ(outcome.read.request.body, "hello");
  const std::vector<std::pair<std::string, std::string>> headers = {{"host", "a"}, {"transfer-encoding", "chunked"}};
  EXPECT_EQ(outcome.read.request.headers, headers);

  const std::string line = "X: " + std::string(197, 'a') + "\r\n";
  std::string ten, full = line + line + line + line;
  for (int i = 0; i < 10; ++i) ten += "X: y\r\n";
  full += "X: " + std::string(900 - full.size() - 7, 'a') + "\r\n";  // with the empty line, all of the head's bytes
  for (const std::string& trailers : {line, ten, full}) {
    EXPECT_EQ(Read(post(trailers), limits).state, Reader::State::kComplete) << trailers;
  }
  for (const std::string& trailers : {"X: a" + line.substr(3), ten + "X: y\r\n", "X: a" + full.substr(3)}) {
    EXPECT_EQ(StatusOf(post(trailers), limits), 431) << trailers;
  }
}

TEST(Reader, AnAbsoluteTargetNamesTheHost) {
  struct Row {
    std::string target, host, path, read_target;
    size_t query = 0;
  };
  const std::vector<Row> rows = {
      {"http://a/b%20c", "a", "/b c", "/b%20c"},
      {"HTTP://[::1]:80/", "[::1]:80", "/", "/"},
      {"https://b.example:8443", "b.example:8443", "/", "/"},
      {"http://b?c=d", "b", "/", "/", 1},
      {"http://b/http://c/", "b", "/http://c/", "/http%3A//c/"},
  };
  for (const Row& row : rows) {
    for (const std::string head : {" HTTP/1.1\r\nHost: a\r\n\r\n", " HTTP/1.0\r\n\r\n"}) {
      const Outcome outcome = Read("GET " + row.target + head);
      ASSERT_EQ(outcome.state, Reader::State::kComplete) << row.target;
      EXPECT_EQ(outcome.read.request.path, row.path);
      EXPECT_EQ(outcome.read.target, row.read_target);
      EXPECT_EQ(outcome.read.request.query.size(), row.query);
      const std::vector<std::pair<std::string, std::string>> headers = {{"host", row.host}};
      EXPECT_EQ(outcome.read.request.headers, headers);
    }
  }
  EXPECT_EQ(Read("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n").read.target, "*");
  // It takes nobody's duty: there must be a Host header, and a good one.
  CheckRefused({{"GET http://a/ HTTP/1.1\r\n\r\n", 400}, {"GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n", 400}});
}

TEST(Reader, BodiesOfAnyMethodAreReadExactly) {
  for (const std::string method : {"GET", "HEAD", "DELETE", "OPTIONS", "PUT", "PATCH"}) {
    const std::string bytes = method + " / HTTP/1.1\r\n" + kHost + "Content-Length: 3\r\n\r\nabcGET / HTTP";
    const Outcome outcome = Read(bytes);
    ASSERT_EQ(outcome.state, Reader::State::kComplete) << method;
    EXPECT_EQ(outcome.read.request.body, "abc");
    EXPECT_EQ(outcome.used, bytes.size() - 10);
  }
}

TEST(Reader, KeepsAliveAsTheClientAsks) {
  EXPECT_TRUE(Read(Get("")).read.keep_alive);
  EXPECT_FALSE(Read(Get("Connection: foo, Close\r\n")).read.keep_alive);
  EXPECT_FALSE(Read("GET / HTTP/1.0\r\n\r\n").read.keep_alive);
  EXPECT_TRUE(Read("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").read.keep_alive);
}

TEST(Reader, AcceptsWhatRealClientsSend) {
  const std::vector<std::string> good = {
      Get(""),
      "\r\n" + Get(""),
      "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
      "GET /?a[]=b HTTP/1.0\r\n\r\n",
      "GET //a/../b;c=d,e HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
      Get("X: \xff\xfe caf\xc3\xa9\r\n"),
      Get("Empty:\r\nX-Odd!#$%&'*+-.^_`|~1: v\r\n"),
      Get("Content-Length: 0\r\n"),
      Get("Content-Encoding: identity\r\n"),
      Get("Expect: 100-Continue\r\n"),
  };
  for (const std::string& bytes : good) EXPECT_EQ(Read(bytes).state, Reader::State::kComplete) << bytes;
}

TEST(Reader, RefusesMalformedRequestLines) {
  const std::string nul(1, '\0');
  const std::vector<Refused> rows = {
      {"GET  / HTTP/1.1\r\n", 400},
      {"GET / HTTP/1.1 \r\n", 400},
      {" GET / HTTP/1.1\r\n", 400},
      {"GET\t/ HTTP/1.1\r\n", 400},
      {"GET / \r\n", 400},
      {"GET /\r\n", 400},
      {"GET / http/1.1\r\n", 400},
      {"GET / HTTP/1.1\n", 400},
      {"GET / HTTP/1.1\r\r\n", 400},
      {"\r\n\r\nGET / HTTP/1.1\r\n", 400},
      {"\nGET / HTTP/1.1\r\n", 400},
      {"GET / HTTP/01.1\r\n", 400},
      {"GET / HTTP/2.0\r\n", 505},
      {"GET / HTTP/1.2\r\n", 505},
      {"GET / HTTP/0.9\r\n", 505},
      {"PRI * HTTP/2.0\r\n", 505},
      {"get / HTTP/1.1\r\n", 501},
      {"TRACE / HTTP/1.1\r\n", 501},
      {"CONNECT a:80 HTTP/1.1\r\n", 501},
      {"G(T / HTTP/1.1\r\n", 400},
      {"GET ftp://a/ HTTP/1.1\r\n", 400},
      {"GET http:/a HTTP/1.1\r\n", 400},
      {"GET http:// HTTP/1.1\r\n", 400},
      {"GET http:///a HTTP/1.1\r\n", 400},
      {"GET http://:80/a HTTP/1.1\r\n", 400},
      {"GET http://u@a/ HTTP/1.1\r\n", 400},
      {"GET http://a#b HTTP/1.1\r\n", 400},
      {"GET http://a\\b/ HTTP/1.1\r\n", 400},
      {"GET http://a%2fb/ HTTP/1.1\r\n", 400},
      {"GET http://a http://b/ HTTP/1.1\r\n", 400},
      {"GET a HTTP/1.1\r\n", 400},
      {"GET * HTTP/1.1\r\n", 400},
      {"GET /a#b HTTP/1.1\r\n", 400},
      {"GET /a\\b HTTP/1.1\r\n", 400},
      {"GET /\x80 HTTP/1.1\r\n", 400},
      {"GET /a" + nul + " HTTP/1.1\r\n", 400},
      {"GET /%0d%0aX HTTP/1.1\r\n", 400},
      {"GET /%00 HTTP/1.1\r\n", 400},
      {"GET /%7f HTTP/1.1\r\n", 400},
      {"GET /%zz HTTP/1.1\r\n", 400},
      {"GET /%a HTTP/1.1\r\n", 400},
      {"GET /?a=%g1 HTTP/1.1\r\n", 400},
  };
  CheckRefused(rows);
}

TEST(Reader, RefusesFieldsThatCouldBeReadInTwoWays) {
  const std::string nul(1, '\0');
  const std::vector<Refused> rows = {
      {"GET / HTTP/1.1\r\n\r\n", 400},
      {Get("Host: b\r\n"), 400},
      {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n X: y\r\n", 400},
      {Get("X: a\r\n b\r\n"), 400},
      {Get("X: a\r\n\tb\r\n"), 400},
      {Get("X : a\r\n"), 400},
      {Get("X\t: a\r\n"), 400},
      {Get(": a\r\n"), 400},
      {Get("X\r\n"), 400},
      {Get("X: a\n"), 400},
      {Get("X: a\rY: b\r\n"), 400},
      {Get("X: a" + nul + "\r\n"), 400},
      {Get("X" + nul + ": a\r\n"), 400},
      {Get("X: \x7f\r\n"), 400},
      {Get("X: \x0b\r\n"), 400},
      {Get("X(y): a\r\n"), 400},
      {Get("Authorization: a\r\nAuthorization: b\r\n"), 400},
      {Get("Content-Type: a\r\ncontent-type: a\r\n"), 400},
      {Get("Content-Encoding: gzip\r\n"), 415},
      {Get("Content-Encoding: identity, br\r\n"), 415},
      {Get("Expect: 200-maybe\r\n"), 417},
  };
  CheckRefused(rows);
}

TEST(Reader, RefusesFramingThatCouldBeReadInTwoWays) {
  const std::vector<Refused> rows = {
      {Get("Content-Length: 1\r\nContent-Length: 1\r\n"), 400},
      {Get("Content-Length: 1, 1\r\n"), 400},
      {Get("Content-Length: +1\r\n"), 400},
      {Get("Content-Length: -1\r\n"), 400},
      {Get("Content-Length: 0x1\r\n"), 400},
      {Get("Content-Length: 1 1\r\n"), 400},
      {Get("Content-Length: 1.0\r\n"), 400},
      {Get("Content-Length:\r\n"), 400},
      {Get("Content-Length: 18446744073709551617\r\n"), 400},
      {Get("Content-Length: 1000000000000000000\r\n"), 400},
      {Get("Content-Length: 1001\r\n"), 413},
      {Get("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), 400},
      {Get("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"), 400},
      {Get("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400},
      {Get("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"), 400},
      {Get("Transfer-Encoding: gzip, chunked\r\n"), 501},
      {Get("Transfer-Encoding: chunked, chunked\r\n"), 501},
      {Get("Transfer-Encoding: identity\r\n"), 501},
      {Get("Transfer-Encoding: xchunked\r\n"), 501},
      {Get("Transfer-Encoding: \"chunked\"\r\n"), 501},
      {Get("Transfer-Encoding: chunked;q=1\r\n"), 501},
      {Get("Transfer-Encoding:\r\n"), 501},
      {Get("Transfer-Encoding: \x0b chunked\r\n"), 400},
      {"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
  };
  CheckRefused(rows);
}

TEST(Reader, RefusesMalformedChunks) {
  const std::string nul(1, '\0');
  const std::vector<Refused> rows = {
      {"-1\r\n", 400},
      {"+1\r\na\r\n", 400},
      {"0x1\r\na\r\n", 400},
      {" 1\r\na\r\n", 400},
      {"1 \r\na\r\n", 400},
      {"1 a\r\na\r\n", 400},
      {"1 2;a\r\na\r\n", 400},
      {"1\x0b;a\r\na\r\n", 400},
      {" ;a\r\n", 400},
      {"\r\n", 400},
      {";a=b\r\n", 400},
      {"g\r\n", 400},
      {"1\na\r\n", 400},
      {"1\r\nab\r\n", 400},
      {"1\r\na\n", 400},
      {"1\r\na\r0", 400},
      {"00000000000000001\r\na\r\n", 400},
      {"ffffffffffffffff\r\n", 413},
      {"8000000000000000\r\n", 413},
      {"3e9\r\n", 413},
      {"3e8\r\n" + std::string(1000, 'a') + "\r\n1\r\n", 413},
      {"1;" + nul + "\r\na\r\n", 400},
      {"1;a\rb\r\na\r\n", 400},
      {"1;" + std::string(400, 'a') + "\r\na\r\n", 400},
      {"0\r\nContent-Length: 3\r\n\r\n", 400},
      {"0\r\ntransfer-encoding: chunked\r\n\r\n", 400},
      {"0\r\nHost: b\r\n\r\n", 400},
      {"0\r\nAuthorization: b\r\n\r\n", 400},
      {"0\r\nno colon\r\n\r\n", 400},
      {"0\r\nX : y\r\n\r\n", 400},
      {"0\r\n X: y\r\n\r\n", 400},
      {"0\r\nX: y\r\n z\r\n\r\n", 400},
      {"0\r\nX: y\n\r\n", 400},
      {"0\r\nX: " + nul + "\r\n\r\n", 400},
      {"0\r\nGET / HTTP/1.1\r\n\r\n", 400},
      {"0\r\n\n", 400},
      {"0\r\n" + std::string(10000, 'a'), 431},
  };
  for (const Refused& row : rows) {
    EXPECT_EQ(StatusOf(Post("Transfer-Encoding: chunked\r\n", row.bytes)), row.status) << row.bytes.substr(0, 100);
  }
  // Extensions are bounded over the whole body.
  std::string many;
  for (int i = 0; i < 11; ++i) many += "1;" + std::string(99, 'a') + "\r\na\r\n";
  EXPECT_EQ(StatusOf(Post("Transfer-Encoding: chunked\r\n", many)), 400);
  EXPECT_EQ(Read(Post("Transfer-Encoding: chunked\r\n", many.substr(0, 10 * 106) + "0\r\n\r\n")).state,
            Reader::State::kComplete);
}

// Each limit at one below, at it, one above, and without an end.
struct Limit {
  const char* name;
  size_t limit;
  int status;
  std::string (*make)(size_t size);
};

std::string Fill(const std::string& before, size_t size, const std::string& after) {
  return before + std::string(size, 'a') + after;
}

TEST(Reader, HoldsEachLimitExactly) {
  ReaderLimits limits;
  limits.request_line = 300;
  limits.header_line = 200;
  limits.fields = 10;
  limits.head = 900;
  const Limit rows[] = {
      {"request line", 300, 414, [](size_t n) { return Fill("GET /", n - 14, " HTTP/1.1\r\n" + kHost + "\r\n"); }},
      {"header line", 200, 431, [](size_t n) { return Get(Fill("X: ", n - 3, "\r\n")); }},
      {"fields", 10, 431,
       [](size_t n) {
         std::string lines;
         for (size_t i = 1; i < n; ++i) lines += "X: y\r\n";
         return Get(lines);
       }},
      {"head", 900, 431,
       [](size_t n) {
         const std::string lines =
             Fill("A: ", 197, "\r\n") + Fill("B: ", 197, "\r\n") + Fill("C: ", 197, "\r\n") + Fill("D: ", 197, "\r\n");
         return Get(lines + Fill("E: ", n - Get(lines).size() - 5, "\r\n"));
       }},
      {"body", kBodyLimit, 413,
       [](size_t n) { return Post("Content-Length: " + std::to_string(n) + "\r\n", std::string(n, 'b')); }},
      {"chunk", kBodyLimit, 413,
       [](size_t n) {
         char size[16];
         snprintf(size, sizeof(size), "%zx\r\n", n);
         return Post("Transfer-Encoding: chunked\r\n", size + std::string(n, 'b') + "\r\n0\r\n\r\n");
       }},
  };
  for (const Limit& row : rows) {
    EXPECT_EQ(Read(row.make(row.limit - 1), limits).state, Reader::State::kComplete) << row.name;
    EXPECT_EQ(Read(row.make(row.limit), limits).state, Reader::State::kComplete) << row.name;
    EXPECT_EQ(StatusOf(row.make(row.limit + 1), limits), row.status) << row.name;
  }
}

TEST(Reader, EndlessInputEndsAtTheLimit) {
  const ReaderLimits limits;
  const Outcome line = Feed("GET /" + std::string(1 << 20, 'a'), 100, limits);
  EXPECT_EQ(line.status, 414);
  EXPECT_LE(line.used, limits.request_line + 102);
  const Outcome header = Feed("GET / HTTP/1.1\r\nX: " + std::string(1 << 20, 'a'), 100, limits);
  EXPECT_EQ(header.status, 431);
  EXPECT_LE(header.used, limits.header_line + 200);
  std::string fields = "GET / HTTP/1.1\r\n";
  for (int i = 0; i < 10000; ++i) fields += "X: " + std::string(1000, 'a') + "\r\n";
  const Outcome head = Feed(fields, 100, limits);
  EXPECT_EQ(head.status, 431);
  EXPECT_LE(head.used, limits.head + 100);
  std::string chunks = Post("Transfer-Encoding: chunked\r\n", "");
  for (int i = 0; i < 10000; ++i) chunks += "1\r\na\r\n";
  EXPECT_EQ(Feed(chunks, 100, limits).status, 413);
  std::string query = "GET /?";
  for (int i = 0; i < 101; ++i) query += "a&";
  EXPECT_EQ(StatusOf(query + " HTTP/1.1\r\n"), 414);
}

TEST(Reader, AsksForTheBodyOnlyOfWhoWaits) {
  const ReaderLimits limits;
  const Reader::BodyLimit body_limit = [](const ReadRequest&) { return kBodyLimit; };
  const std::string head = Post("Expect: 100-continue\r\nContent-Length: 3\r\n", "");
  Reader waiting(&limits, &body_limit);
  waiting.Feed(head);
  EXPECT_TRUE(waiting.TakeContinue());
  EXPECT_FALSE(waiting.TakeContinue());
  waiting.Feed("abc");
  EXPECT_EQ(waiting.state(), Reader::State::kComplete);
  Reader hasty(&limits, &body_limit);
  hasty.Feed(head + "a");
  EXPECT_FALSE(hasty.TakeContinue());
  Reader old(&limits, &body_limit);
  old.Feed("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
  EXPECT_FALSE(old.TakeContinue());
}

TEST(Reader, AStatedLengthIsNotAllocated) {
  const ReaderLimits limits;
  const Reader::BodyLimit body_limit = [](const ReadRequest&) { return uint64_t{1} << 40; };
  Reader reader(&limits, &body_limit);
  reader.Feed(Post("Content-Length: 100000000000\r\n", "x"));
  EXPECT_EQ(reader.state(), Reader::State::kBody);
  EXPECT_LE(reader.read().request.body.capacity(), size_t{64} << 10);
}

}  // namespace
}  // namespace mote::server
