// What the program says, and where: results on stdout, everything else on stderr, one line per failure.
#ifndef MOTE_EDGE_CLI_CONSOLE_H_
#define MOTE_EDGE_CLI_CONSOLE_H_

#include <stdint.h>
#include <stdio.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <string_view>

namespace mote::cli {

enum ExitCode : int { kDone = 0, kFailed = 1, kWrongWords = 2 };

// Ends the command: main() prints "mote: <message>" and returns the code.
class Failure : public std::runtime_error {
 public:
  Failure(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};
[[noreturn]] void Fail(const std::string& message);        // kFailed
[[noreturn]] void FailOutput();                            // kFailed: stdout, because of errno
[[noreturn]] void WrongWords(const std::string& message);  // kWrongWords

[[gnu::format(printf, 1, 2)]] std::string Format(const char* format, ...);

bool IsTerminal(FILE* stream);

// Escape sequences for a stream, empty where it is not a terminal or NO_COLOR is set (https://no-color.org).
struct Colors {
  explicit Colors(FILE* stream);
  const char* bold = "";
  const char* dim = "";
  const char* green = "";
  const char* red = "";
  const char* reset = "";
};

// To stdout. A reader that went away or a full disk is a Failure.
void Write(std::string_view text);
void FlushOutput();

// To stdout at once, all of it, whatever signals come meanwhile: stdio would give up and lose the rest. False with
// errno set where Write would fail.
bool WriteNow(std::string_view text);
// One line to stderr, without colour; dimmed on a terminal.
void Note(const std::string& line);
// Text from a file on a line of its own: control characters, which a terminal would obey, become spaces.
std::string Printable(std::string text);
// "mote: <message>" to stderr, as Printable.
void PrintFailure(const std::string& message);

// How far a long piece of work is. Silent for the first second; then one line that is rewritten on a terminal, or a
// line per tenth elsewhere. Gone when it goes out of scope.
class Progress {
 public:
  explicit Progress(std::string what) : what_(std::move(what)) {}
  ~Progress() { Clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  // `detail` follows the percentage.
  void Update(uint64_t done, uint64_t total, const std::string& detail = "");
  void Clear();

 private:
  std::string what_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  int last_ = -1;
  std::string last_detail_;
  bool on_screen_ = false;
};

double SecondsSince(std::chrono::steady_clock::time_point start);

// "1.2 GiB"
std::string HumanBytes(uint64_t bytes);
// The whole file, or stdin for "-". `limit` bytes at most.
std::string ReadText(const std::string& path, uint64_t limit = uint64_t{1} << 31);

}  // namespace mote::cli

#endif  // MOTE_EDGE_CLI_CONSOLE_H_
