// Logs: a line for each event, as text or JSON, written by a thread of its own.
//
// Who writes a line never waits for the reader of the log: lines go through a bounded queue. What cannot be written (a
// full disk, a closed or stuck pipe, a full queue) is counted, and the count is told in the log as soon as it can be.
// Lines that were queued when the log ends are written first.
#ifndef MOTE_EDGE_SERVER_OPS_LOG_H_
#define MOTE_EDGE_SERVER_OPS_LOG_H_

#include <stdint.h>

#include <concepts>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "edge/server/config/settings.h"

namespace mote::server {

// A named value of a line. Names are ours, [a-z_]; values may be anyone's: control characters, terminal sequences and
// broken UTF-8 are escaped, long ones are cut. A value whose name is a secret's (authorization, api_key, cookie, ...)
// and what follows "Bearer" in any other is not written.
struct LogField {
  LogField(std::string_view field, std::string_view text) : name(field), value(text) {}
  LogField(std::string_view field, const std::string& text) : name(field), value(std::string_view(text)) {}
  LogField(std::string_view field, const char* text) : name(field), value(std::string_view(text)) {}
  LogField(std::string_view field, bool flag) : name(field), value(flag) {}
  LogField(std::string_view field, double number) : name(field), value(number) {}
  template <std::integral T>
  LogField(std::string_view field, T number) : name(field), value(static_cast<int64_t>(number)) {}

  std::string_view name;
  std::variant<std::string_view, bool, double, int64_t> value;  // of numbers, those that are not finite are null
};

// The line of one request. Empty texts and absent parts are left out.
struct AccessRecord {
  std::string id, tenant, address, method, route;
  int status = 0;
  double seconds = 0;
  uint64_t bytes_in = 0, bytes_out = 0;
  bool gone = false;  // the client went away before the end
  // Where a model was asked.
  std::string model, finish, error, cache;
  double queued = 0, first_token = 0;
  uint32_t prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0;
};

struct LogOptions {
  LogFormat format = LogFormat::kText;
  LogLevel level = LogLevel::kInfo;
  // Texts of prompts and answers (Log::WriteContent). For debugging with one's own data; never by default.
  bool content = false;
  int fd = 2;           // duplicated; a closed one makes a log that loses every line, and counts them
  size_t queue = 8192;  // lines, 1 or more; past them the oldest are lost
};

class Log {
 public:
  explicit Log(const LogOptions& options = {});
  ~Log();  // after the last line is written, or lost

  // All from any thread, without waiting.
  bool Shows(LogLevel level) const;
  // `event`: our own words, the same each time ("listening", "key file reloaded").
  void Write(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});
  void WriteRequest(const AccessRecord& record);
  // What people wrote or a model answered: a line at kDebug, and only with LogOptions::content.
  void WriteContent(std::string_view event, std::string_view id, std::string_view text);
  // Lines lost so far.
  uint64_t lost() const;
  // Waits, at most 2 seconds, until what was written before has left.
  void Flush();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Opens /dev/null in place of those of the files 0, 1 and 2 that are closed, so that no socket takes the number that
// some library prints errors to. At the start, before any thread.
void HoldStandardFiles();

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_OPS_LOG_H_
