// Logs that can be believed: one line per event whatever is in it, no secrets, and a server that outlives its disk.
#include "edge/server/ops/log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "edge/server/ops/log_text.h"
#include "tests/support/effort.h"

namespace mote::server {
namespace {

using nlohmann::json;

// A file that is read back.
class Capture {
 public:
  Capture() : fd_(open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)) {}
  ~Capture() { close(fd_); }
  int fd() const { return fd_; }
  std::vector<std::string> Lines() const {
    std::string text(static_cast<size_t>(lseek(fd_, 0, SEEK_END)), '\0');
    EXPECT_EQ(pread(fd_, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
    std::vector<std::string> lines;
    for (size_t at = 0; at < text.size();) {
      const size_t end = text.find('\n', at);
      EXPECT_NE(end, std::string::npos) << "a line without its end";
      if (end == std::string::npos) break;
      lines.push_back(text.substr(at, end - at));
      at = end + 1;
    }
    return lines;
  }

 private:
  int fd_;
};

std::vector<std::string> Written(LogOptions options, const std::function<void(Log*)>& write) {
  Capture capture;
  options.fd = capture.fd();
  {
    Log log(options);
    write(&log);
  }
  return capture.Lines();
}

TEST(Log, TextLine) {
  const auto lines = Written({}, [](Log* log) {
    log->Write(LogLevel::kWarn, "key file reloaded", {{"keys", 3}, {"path", "/etc/mote/keys"}, {"ok", true}});
  });
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0].size(), std::string("2026-01-01T00:00:00.000Z").size() +
                                 std::string(" warning key file reloaded keys=3 path=/etc/mote/keys ok=true").size());
  EXPECT_EQ(lines[0].substr(24), " warning key file reloaded keys=3 path=/etc/mote/keys ok=true");
  EXPECT_EQ(lines[0][10], 'T');
  EXPECT_EQ(lines[0][23], 'Z');
}

TEST(Log, JsonLineOfARequest) {
  AccessRecord record;
  record.id = "req-1", record.tenant = "camera \"7\"", record.method = "POST", record.route = "/v1/chat/completions";
  record.status = 200, record.seconds = 0.25, record.model = "tiny", record.finish = "stop", record.cache = "miss";
  record.prompt_tokens = 12, record.completion_tokens = 34, record.bytes_out = 5'000'000'000;
  const auto lines = Written({.format = LogFormat::kJson}, [&](Log* log) { log->WriteRequest(record); });
  ASSERT_EQ(lines.size(), 1u);
  const json line = json::parse(lines[0]);
  EXPECT_EQ(line.at("level"), "info");
  EXPECT_EQ(line.at("event"), "request");
  EXPECT_EQ(line.at("id"), "req-1");
  EXPECT_EQ(line.at("tenant"), "camera \"7\"");
  EXPECT_EQ(line.at("status"), 200);
  EXPECT_EQ(line.at("seconds"), 0.25);
  EXPECT_EQ(line.at("bytes_out"), 5'000'000'000);
  EXPECT_EQ(line.at("completion_tokens"), 34);
  EXPECT_FALSE(line.contains("address"));
}

TEST(Log, AccessLevels) {
  const auto level = [](int status) {
    AccessRecord record;
    record.status = status;
    const auto lines = Written({.format = LogFormat::kJson}, [&](Log* log) { log->WriteRequest(record); });
    return json::parse(lines.at(0)).at("level").get<std::string>();
  };
  EXPECT_EQ(level(404), "info");
  EXPECT_EQ(level(503), "info");
  EXPECT_EQ(level(500), "error");
}

TEST(Log, LevelsHoldBack) {
  const auto lines = Written({.level = LogLevel::kWarn}, [](Log* log) {
    EXPECT_FALSE(log->Shows(LogLevel::kInfo));
    log->Write(LogLevel::kInfo, "no");
    log->Write(LogLevel::kError, "yes");
  });
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0].substr(24), " error yes");
}

TEST(Log, NothingThatIsLoggedMakesASecondLineOrMovesATerminal) {
  const std::string hostile =
      "a\nlevel=error\r\x1b[2J\x7f\xc2\x9b"
      "31m\xe2\x80\xae\xff\xc0\xaf\xed\xa0\x80 \"b\\\t";
  for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    const auto lines = Written({.format = format}, [&](Log* log) {
      log->Write(LogLevel::kInfo, "event", {{"model", hostile}});
    });
    ASSERT_EQ(lines.size(), 1u);
    for (const char c : lines[0]) EXPECT_TRUE(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) << int{c};
    EXPECT_EQ(lines[0].find("\xc2\x9b"), std::string::npos);
    EXPECT_EQ(lines[0].find("\xe2\x80\xae"), std::string::npos);
    if (format != LogFormat::kJson) continue;
    const std::string value = json::parse(lines[0]).at("model");
    EXPECT_TRUE(value.starts_with("a\nlevel=error\r\x1b[2J\x7f\xc2\x9b"));
    EXPECT_TRUE(value.ends_with("\"b\\\t"));
  }
}

TEST(Log, EveryByteMakesValidJson) {
  std::string all;
  for (int round = 0; round < 3; ++round) {
    for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte * (2 * round + 1));
  }
  const auto lines = Written({.format = LogFormat::kJson}, [&](Log* log) {
    log->Write(LogLevel::kInfo, "bytes", {{"value", all}});
    for (int byte = 0; byte < 256; ++byte) {
      log->Write(LogLevel::kInfo, "byte", {{"value", std::string(1, static_cast<char>(byte))}});
    }
  });
  ASSERT_EQ(lines.size(), 257u);
  for (const std::string& line : lines) EXPECT_TRUE(json::accept(line)) << line;
}

TEST(Log, SecretsAreNotWritten) {
  const std::string key = "mote_0123456789abcdef";
  for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    const auto lines = Written({.format = format, .level = LogLevel::kDebug}, [&](Log* log) {
      log->Write(LogLevel::kInfo, "a", {{"Authorization", key}, {"x-api-key", key}, {"cookie", key}});
      log->Write(LogLevel::kInfo, "b", {{"message", "header was: Bearer " + key + ", and more"}});
      log->Write(LogLevel::kInfo, "c", {{"message", "authorization: \"bEaReR\t" + key + "\""}});
      log->WriteContent("prompt", "req-1", key);
    });
    ASSERT_EQ(lines.size(), 3u);
    for (const std::string& line : lines) EXPECT_EQ(line.find("0123"), std::string::npos) << line;
    EXPECT_NE(lines[1].find("Bearer [hidden], and more"), std::string::npos) << lines[1];
  }
}

TEST(Log, ContentOnlyWhereItIsAskedFor) {
  const auto write = [](Log* log) { log->WriteContent("prompt", "req-1", "what is this"); };
  EXPECT_EQ(Written({.level = LogLevel::kInfo, .content = true}, write).size(), 0u);
  const auto lines = Written({.level = LogLevel::kDebug, .content = true}, write);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_NE(lines[0].find("text=\"what is this\""), std::string::npos);
}

TEST(Log, LongValuesAreCutAndNumbersAreNumbers) {
  const auto lines = Written({.format = LogFormat::kJson}, [](Log* log) {
    log->Write(LogLevel::kInfo, "x",
               {{"long", std::string(1 << 20, 'a')},
                {"nan", std::numeric_limits<double>::quiet_NaN()},
                {"least", std::numeric_limits<int64_t>::min()}});
  });
  ASSERT_EQ(lines.size(), 1u);
  const json line = json::parse(lines[0]);
  EXPECT_LT(line.at("long").get<std::string>().size(), 4096u);
  EXPECT_TRUE(line.at("nan").is_null());
  EXPECT_EQ(line.at("least"), std::numeric_limits<int64_t>::min());
}

TEST(Log, WhatWasQueuedIsWrittenBeforeTheEnd) {
  constexpr int kEach = Effort(5000, 1000);
  const auto lines = Written({.format = LogFormat::kJson, .queue = 1 << 15}, [](Log* log) {
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < kEach; ++i) log->Write(LogLevel::kInfo, "x", {{"thread", t}, {"i", i}});
      });
    }
    for (std::thread& thread : threads) thread.join();
  });
  EXPECT_EQ(lines.size(), size_t{4 * kEach});
  std::vector<int> next(4, 0);
  for (const std::string& text : lines) {
    const json line = json::parse(text);
    EXPECT_EQ(line.at("i"), next.at(line.at("thread"))++);
  }
}

TEST(Log, FlushBringsOutWhatWasWritten) {
  Capture capture;
  Log log({.fd = capture.fd()});
  for (int i = 1; i <= 20; ++i) {
    log.Write(LogLevel::kInfo, "x");
    log.Flush();
    EXPECT_EQ(capture.Lines().size(), static_cast<size_t>(i));
  }
}

TEST(Log, AFullDiskAClosedFileAndAnUnreadPipeLoseLinesAndNothingElse) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
  const int closed = dup(full);
  close(closed);
  for (const int fd : {full, closed, -1, ends[1]}) {
    Log log({.fd = fd, .queue = 4096});
    for (int i = 0; i < 2000; ++i) log.Write(LogLevel::kInfo, "x", {{"value", std::string(100, 'a')}});
    log.Flush();
    EXPECT_GT(log.lost(), fd == ends[1] ? 0u : 1999u);
  }
  close(ends[0]);  // nobody reads any more: SIGPIPE, were it not held back
  Log log({.fd = ends[1]});
  log.Write(LogLevel::kInfo, "x");
  log.Flush();
  EXPECT_EQ(log.lost(), 1u);
  close(ends[1]);
  if (full >= 0) close(full);
}

TEST(Log, LostLinesAreToldWhenThereIsRoomAgain) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  Log log({.format = LogFormat::kJson, .fd = ends[1], .queue = 8192});
  for (int i = 0; i < 3000; ++i) log.Write(LogLevel::kInfo, "x", {{"value", std::string(100, 'a')}});
  log.Flush();
  const uint64_t lost = log.lost();
  ASSERT_GT(lost, 0u);
  std::string text(1 << 20, '\0');
  text.resize(static_cast<size_t>(read(ends[0], text.data(), text.size())));
  log.Write(LogLevel::kInfo, "after");
  log.Flush();
  std::string rest(1 << 16, '\0');
  rest.resize(static_cast<size_t>(read(ends[0], rest.data(), rest.size())));
  text += rest;
  uint64_t told = 0, lines = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    ASSERT_NE(end, std::string::npos);
    const json line = json::parse(text.substr(at, end - at));
    if (line.at("event") == "log lines lost") told += line.at("count").get<uint64_t>();
    if (line.at("event") == "x") ++lines;
    at = end + 1;
  }
  EXPECT_EQ(told, lost);
  EXPECT_EQ(lines + lost, 3000u);
  EXPECT_NE(text.find("\"after\""), std::string::npos);
  close(ends[0]);
  close(ends[1]);
}

TEST(Log, LinesPushedOutOfAFullQueueAreToldToo) {
  Capture capture;
  uint64_t lost = 0;
  {
    Log log({.format = LogFormat::kJson, .fd = capture.fd(), .queue = 1});
    for (int i = 0; i < 20000; ++i) log.Write(LogLevel::kInfo, "x", {{"i", i}});
    log.Flush();
    lost = log.lost();
    log.Write(LogLevel::kInfo, "last");
  }
  uint64_t told = 0, lines = 0;
  for (const std::string& text : capture.Lines()) {
    const json line = json::parse(text);
    if (line.at("event") == "log lines lost") told += line.at("count").get<uint64_t>();
    if (line.at("event") == "x") ++lines;
  }
  EXPECT_GT(lost, 0u);
  // A flush that is pushed out, or pushes a line out, counts like a line.
  EXPECT_EQ(told, lost);
  EXPECT_LE(lines, 20000u);
  EXPECT_GE(lines + told, 20000u);
}

TEST(Log, StandardFilesThatWereClosedAreHeld) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    for (int fd = 0; fd <= 2; ++fd) close(fd);
    HoldStandardFiles();
    const int next = open("/dev/null", O_RDONLY);
    bool held = next > 2 && fcntl(0, F_GETFD) >= 0;
    held = held && write(1, "x", 1) == 1 && write(2, "x", 1) == 1;
    HoldStandardFiles();  // and nothing more is opened
    held = held && open("/dev/null", O_RDONLY) == next + 1;
    _exit(held ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST(Log, SecretNames) {
  EXPECT_TRUE(IsSecretName("AUTHORIZATION"));
  EXPECT_TRUE(IsSecretName("Set-Cookie"));
  EXPECT_FALSE(IsSecretName("prompt_tokens"));
  EXPECT_EQ(HideTokens("the bearer"), "the bearer");
  EXPECT_EQ(HideTokens("Bearer a Bearer b"), "Bearer [hidden] Bearer [hidden]");
  EXPECT_EQ(HideTokens("bearers of news"), "bearers of news");
}

}  // namespace
}  // namespace mote::server
