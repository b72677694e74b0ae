#include "edge/server/ops/log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

namespace mote::server {
namespace {

constexpr int kPatience = 1000;  // milliseconds that a reader of the log may take nothing, once
// A pipe that is ready takes this much without blocking (PIPE_BUF of Linux).
constexpr size_t kPiece = 4096;

}  // namespace

FileSink::FileSink(int fd, std::function<std::string(uint64_t)> told)
    // Past 2, so that who closes the standard files does not close the log.
    : told_(std::move(told)), fd_(fcntl(fd, F_DUPFD_CLOEXEC, 3)) {}

FileSink::~FileSink() {
  if (fd_ >= 0) close(fd_);
}

uint64_t FileSink::flushes() const {
  const std::lock_guard lock(flush_mutex_);
  return flushes_;
}

void FileSink::AwaitFlush(uint64_t before, double seconds) {
  std::unique_lock lock(flush_mutex_);
  flushed_.wait_for(lock, std::chrono::duration<double>(seconds), [&] { return flushes_ > before; });
}

// After one line has waited in vain, the next do not wait: a stuck reader must not make an exit take minutes.
bool FileSink::AwaitRoom() {
  pollfd waiting = {.fd = fd_, .events = POLLOUT, .revents = 0};
  int ready = 0;
  do {
    ready = poll(&waiting, 1, stalled_ ? 0 : kPatience);
  } while (ready < 0 && errno == EINTR);
  stalled_ = ready == 0;
  return ready > 0;
}

bool FileSink::WriteAll(std::string_view line) {
  while (!line.empty()) {
    if (!AwaitRoom()) return false;
    const ssize_t wrote = write(fd_, line.data(), std::min(line.size(), kPiece));
    if (wrote < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (wrote <= 0) return false;
    line.remove_prefix(static_cast<size_t>(wrote));
    cut_line_ = !line.empty();
  }
  return true;
}

void FileSink::sink_it_(const spdlog::details::log_msg& message) {
  spdlog::memory_buf_t buffer;
  formatter_->format(message, buffer);
  std::string lines;
  if (cut_line_) lines += '\n';
  const uint64_t overruns = overruns_ ? overruns_() : 0;
  const uint64_t missing = untold_ + overruns - overruns_told_;
  if (missing > 0) lines += told_(missing);
  lines.append(buffer.data(), buffer.size());
  if (fd_ >= 0 && WriteAll(lines)) {
    untold_ = 0;
    overruns_told_ = overruns;
    return;
  }
  ++untold_;
  ++lost_;
}

void FileSink::flush_() {
  const std::lock_guard lock(flush_mutex_);
  ++flushes_;
  flushed_.notify_all();
}

}  // namespace mote::server
