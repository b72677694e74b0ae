// Any bytes through the reader of HTTP requests, as one connection's: whole, and in pieces.
//
// The first byte says how the pieces are cut. What must hold: the pieces make no difference; what is accepted keeps the
// limits, has no byte in it that could begin a line, and written out again is read as the same; what is refused says
// why; memory stays in proportion to the bytes that came.
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "edge/server/http/head.h"
#include "edge/server/http/reader.h"
#include "tests/fuzz/heap_growth-inl.h"

namespace mote::server {
namespace {

constexpr uint64_t kBodyLimit = 4096;

ReaderLimits SmallLimits() {
  ReaderLimits limits;
  limits.request_line = 512;
  limits.header_line = 256;
  limits.fields = 20;
  limits.head = 1024;
  limits.query_parts = 10;
  limits.chunk_extras = 64;
  return limits;
}

void Require(bool condition, const char* what) {
  if (condition) return;
  fprintf(stderr, "http_fuzz: %s\n", what);
  abort();
}

struct Connection {
  std::vector<ReadRequest> requests;
  int refused = 0;  // status
  std::string why;
  size_t used = 0;
  Reader::State state = Reader::State::kHead;  // of what is unfinished

  bool operator==(const Connection& other) const {
    if (refused != other.refused || why != other.why || used != other.used || state != other.state ||
        requests.size() != other.requests.size()) {
      return false;
    }
    for (size_t i = 0; i < requests.size(); ++i) {
      if (!Same(requests[i], other.requests[i])) return false;
    }
    return true;
  }
  static bool Same(const ReadRequest& a, const ReadRequest& b) {
    return a.target == b.target && a.minor == b.minor && a.keep_alive == b.keep_alive &&
           a.request.method == b.request.method && a.request.path == b.request.path &&
           a.request.query == b.request.query && a.request.headers == b.request.headers &&
           a.request.body == b.request.body;
  }
};

// `seed` 0: in one piece. Else pieces of 1 to 16 bytes, by a generator.
Connection ReadAll(std::string_view bytes, uint32_t seed) {
  const ReaderLimits limits = SmallLimits();
  const Reader::BodyLimit body_limit = [](const ReadRequest&) { return kBodyLimit; };
  Connection connection;
  while (connection.used < bytes.size() && connection.refused == 0) {
    Reader reader(&limits, &body_limit);
    while (connection.used < bytes.size() &&
           (reader.state() == Reader::State::kHead || reader.state() == Reader::State::kBody)) {
      seed = seed == 0 ? 0 : seed * 1664525 + 1013904223;
      const size_t piece = seed == 0 ? bytes.size() : 1 + (seed >> 28);
      connection.used += reader.Feed(bytes.substr(connection.used, piece));
    }
    connection.state = reader.state();
    if (reader.state() == Reader::State::kComplete) connection.requests.push_back(std::move(reader.read()));
    if (reader.state() == Reader::State::kRefused) {
      connection.refused = reader.refusal().status;
      connection.why = reader.refusal().message;
    }
  }
  return connection;
}

void CheckRequest(const ReadRequest& read) {
  const Request& request = read.request;
  const ReaderLimits limits = SmallLimits();
  Require(request.body.size() <= kBodyLimit, "a body over the limit");
  Require(request.headers.size() <= limits.fields, "more headers than the limit");
  Require(request.query.size() <= limits.query_parts, "more parts of the query than the limit");
  Require(IsToken(request.method), "a method that is no token");
  Require(std::none_of(request.path.begin(), request.path.end(), [](char c) { return static_cast<uint8_t>(c) < 0x20; }),
          "a path with control bytes");
  size_t hosts = 0;
  for (const auto& [name, value] : request.headers) {
    Require(IsToken(name) && name == Lower(name), "a header's name");
    Require(IsFieldValue(value), "a header's value that could end its line");
    hosts += name == "host";
  }
  Require(hosts <= 1 && (hosts == 1 || read.minor == 0), "not one Host");
}

// The request as the front's own words: it must be read as itself.
void CheckRoundTrip(const ReadRequest& read) {
  std::string text = read.request.method + " " + read.target + " HTTP/1." + std::to_string(read.minor) + "\r\n";
  for (const auto& [name, value] : read.request.headers) {
    if (name != "content-length" && name != "transfer-encoding")
      text.append(name).append(": ").append(value).append("\r\n");
  }
  text += "Content-Length: " + std::to_string(read.request.body.size()) + "\r\n\r\n" + read.request.body;
  ReaderLimits limits;
  limits.request_line = limits.header_line = limits.head = 1 << 20;
  const Reader::BodyLimit body_limit = [](const ReadRequest&) { return kBodyLimit; };
  Reader reader(&limits, &body_limit);
  Require(reader.Feed(text) == text.size() && reader.state() == Reader::State::kComplete, "refuses its own words");
  Require(reader.read().request.body == read.request.body, "another body in its own words");
  Require(reader.read().request.path == read.request.path && reader.read().target == read.target,
          "another path in its own words");
}

// One request after the other, each let go of before the next, as the front does.
void CheckMemory(std::string_view bytes) {
  const ReaderLimits limits;
  const Reader::BodyLimit body_limit = [](const ReadRequest&) { return uint64_t{24} << 20; };
  const int64_t before = StartHeapGrowth();
  size_t used = 0;
  while (used < bytes.size()) {
    Reader reader(&limits, &body_limit);
    used += reader.Feed(bytes.substr(used));
    if (reader.state() != Reader::State::kComplete) break;
  }
  const uint64_t growth = static_cast<uint64_t>(PeakHeap() - before);
  Require(growth <= 8 * bytes.size() + (uint64_t{64} << 10), "takes more memory than 8 times its bytes and 64 KiB");
}

void Try(std::string_view bytes, uint32_t seed) {
  CheckMemory(bytes);
  const Connection whole = ReadAll(bytes, 0);
  Require(whole == ReadAll(bytes, seed | 1), "reads pieces differently");
  for (const ReadRequest& read : whole.requests) {
    CheckRequest(read);
    CheckRoundTrip(read);
  }
  if (whole.refused == 0) return;
  Require(whole.refused >= 400 && whole.refused <= 505, "an odd status");
  Require(!whole.why.empty() && IsFieldValue(whole.why), "no reason, or not one line");
}

}  // namespace
}  // namespace mote::server

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  mote::server::Try({reinterpret_cast<const char*>(data) + 1, size - 1}, data[0] * 2654435761u);
  return 0;
}
