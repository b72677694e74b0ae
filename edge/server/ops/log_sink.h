// The end of a log: lines to a file descriptor, by the log's own thread.
#ifndef MOTE_EDGE_SERVER_OPS_LOG_SINK_H_
#define MOTE_EDGE_SERVER_OPS_LOG_SINK_H_

#include <spdlog/sinks/base_sink.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

namespace mote::server {

// Writes what can be written, whole lines each, and counts the others.
class FileSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  // `fd` is duplicated; one that is closed makes every line a lost one. `told` formats the line that tells of lost
  // ones.
  FileSink(int fd, std::function<std::string(uint64_t lost)> told);
  // How many lines never came here, for the same line to tell; asked with each line. Before the first one.
  void SetOverruns(std::function<uint64_t()> overruns) { overruns_ = std::move(overruns); }
  ~FileSink() override;
  uint64_t lost() const { return lost_; }
  uint64_t flushes() const;
  // Waits until more than `before` flushes are through, at most `seconds`.
  void AwaitFlush(uint64_t before, double seconds);

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override;
  void flush_() override;

 private:
  bool WriteAll(std::string_view line);
  bool AwaitRoom();

  const std::function<std::string(uint64_t)> told_;
  std::function<uint64_t()> overruns_;
  int fd_ = -1;
  bool stalled_ = false;        // the last line found no room within its time
  bool cut_line_ = false;       // the last one was written in part: it has no end yet
  uint64_t untold_ = 0;         // lost here, and not told yet
  uint64_t overruns_told_ = 0;  // of overruns_
  std::atomic<uint64_t> lost_ = 0;
  mutable std::mutex flush_mutex_;
  std::condition_variable flushed_;
  uint64_t flushes_ = 0;
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_OPS_LOG_SINK_H_
