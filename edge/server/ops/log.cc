#include "edge/server/ops/log.h"

#include <fcntl.h>
#include <signal.h>
#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/pattern_formatter.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "edge/server/ops/log_sink.h"
#include "edge/server/ops/log_text.h"

namespace mote::server {
namespace {

constexpr double kFlushSeconds = 2;

spdlog::level::level_enum SpdlogLevel(LogLevel level) {
  switch (level) {
    case LogLevel::kError:
      return spdlog::level::err;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kDebug:
      return spdlog::level::debug;
  }
  return spdlog::level::info;
}

// The time in front is the formatter's; the rest of the line comes as it is.
const char* Pattern(LogFormat format) {
  return format == LogFormat::kJson ? "{\"time\":\"%Y-%m-%dT%H:%M:%S.%eZ\",\"level\":\"%l\",%v}"
                                    : "%Y-%m-%dT%H:%M:%S.%eZ %l %v";
}

std::unique_ptr<spdlog::formatter> MakeFormatter(LogFormat format) {
  return std::make_unique<spdlog::pattern_formatter>(Pattern(format), spdlog::pattern_time_type::utc, "\n");
}

std::string Body(LogFormat format, std::string_view event, const std::vector<LogField>& fields) {
  std::string line;
  if (format == LogFormat::kJson) {
    line += "\"event\":\"" + EscapeText(event) + "\"";
  } else {
    line += EscapeText(event);
  }
  for (const LogField& field : fields) AppendField(field, format, &line);
  return line;
}

// No signal is for this thread: SIGTERM belongs to who waits for it, and SIGPIPE becomes EPIPE.
void BlockSignals() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

}  // namespace

struct Log::State {
  explicit State(const LogOptions& given)
      : options(given),
        sink(std::make_shared<FileSink>(given.fd,
                                        [format = given.format](uint64_t lost) { return LostLine(format, lost); })),
        pool(std::make_shared<spdlog::details::thread_pool>(std::max<size_t>(given.queue, 1), 1, BlockSignals)),
        logger(
            std::make_shared<spdlog::async_logger>("mote", sink, pool, spdlog::async_overflow_policy::overrun_oldest)) {
    // The pool's end waits for its thread, so the thread always finds it.
    sink->SetOverruns([&queue = *pool] { return queue.overrun_counter(); });
    logger->set_level(SpdlogLevel(given.level));
    logger->set_formatter(MakeFormatter(given.format));
    // spdlog's own would print to standard error, past our escapes.
    logger->set_error_handler([](const std::string&) {});
  }

  static std::string LostLine(LogFormat format, uint64_t lost) {
    const std::string body = Body(format, "log lines lost", {{"count", lost}});
    spdlog::details::log_msg message("mote", spdlog::level::warn, body);
    spdlog::memory_buf_t buffer;
    MakeFormatter(format)->format(message, buffer);
    return std::string(buffer.data(), buffer.size());
  }

  void Write(LogLevel level, std::string_view event, const std::vector<LogField>& fields) {
    if (!logger->should_log(SpdlogLevel(level))) return;
    const std::string body = Body(options.format, event, fields);
    logger->log(SpdlogLevel(level), spdlog::string_view_t(body));
  }

  const LogOptions options;
  std::shared_ptr<FileSink> sink;
  std::shared_ptr<spdlog::details::thread_pool> pool;  // its end waits for the queue to be empty
  std::shared_ptr<spdlog::async_logger> logger;
};

Log::Log(const LogOptions& options) : state_(std::make_unique<State>(options)) {}

// The pool first: queued lines hold the logger, whose end then comes on this thread, after theirs.
Log::~Log() {
  state_->pool.reset();
  state_->logger.reset();
}

bool Log::Shows(LogLevel level) const {
  return state_->logger->should_log(SpdlogLevel(level));
}

void Log::Write(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  state_->Write(level, event, fields);
}

void Log::WriteRequest(const AccessRecord& record) {
  // Refusals are the server doing its work; what it should have answered and could not is an error.
  const bool failed = record.status >= 500 && record.status != 503;
  std::vector<LogField> fields = {{"id", record.id}};
  const auto text = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) fields.emplace_back(name, value);
  };
  text("tenant", record.tenant);
  text("address", record.address);
  text("method", record.method);
  text("route", record.route);
  fields.insert(fields.end(), {{"status", record.status},
                               {"seconds", record.seconds},
                               {"bytes_in", record.bytes_in},
                               {"bytes_out", record.bytes_out}});
  if (record.gone) fields.emplace_back("gone", true);
  text("error", record.error);
  if (!record.model.empty()) {
    text("model", record.model);
    text("finish", record.finish);
    text("cache", record.cache);
    fields.insert(fields.end(), {{"queued", record.queued},
                                 {"first_token", record.first_token},
                                 {"prompt_tokens", record.prompt_tokens},
                                 {"cached_tokens", record.cached_tokens},
                                 {"completion_tokens", record.completion_tokens}});
  }
  state_->Write(failed ? LogLevel::kError : LogLevel::kInfo, "request", fields);
}

void Log::WriteContent(std::string_view event, std::string_view id, std::string_view text) {
  if (state_->options.content) state_->Write(LogLevel::kDebug, event, {{"id", id}, {"text", text}});
}

uint64_t Log::lost() const {
  return state_->sink->lost() + state_->pool->overrun_counter();
}

void Log::Flush() {
  const uint64_t before = state_->sink->flushes();
  state_->logger->flush();
  state_->sink->AwaitFlush(before, kFlushSeconds);
}

void HoldStandardFiles() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (fcntl(fd, F_GETFD) >= 0) continue;
    // The lowest free number is this one: those below it are open by now.
    const int got = open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY);
    if (got > 2) close(got);
  }
}

}  // namespace mote::server
