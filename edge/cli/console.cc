#include "edge/cli/console.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

namespace mote::cli {

void Fail(const std::string& message) {
  throw Failure(kFailed, message);
}

void FailOutput() {
  Fail(std::string("standard output: ") + strerror(errno));
}

void WrongWords(const std::string& message) {
  throw Failure(kWrongWords, message);
}

std::string Format(const char* format, ...) {
  va_list args;
  va_start(args, format);
  va_list again;
  va_copy(again, args);
  const int size = vsnprintf(nullptr, 0, format, args);
  va_end(args);
  std::string text(static_cast<size_t>(std::max(size, 0)), '\0');
  vsnprintf(text.data(), text.size() + 1, format, again);
  va_end(again);
  return text;
}

bool IsTerminal(FILE* stream) {
  return isatty(fileno(stream)) != 0;
}

Colors::Colors(FILE* stream) {
  const char* no_color = getenv("NO_COLOR");
  const char* term = getenv("TERM");
  if (!IsTerminal(stream) || (no_color != nullptr && *no_color != '\0')) return;
  if (term != nullptr && strcmp(term, "dumb") == 0) return;
  bold = "\033[1m";
  dim = "\033[2m";
  green = "\033[32m";
  red = "\033[31m";
  reset = "\033[0m";
}

void Write(std::string_view text) {
  if (fwrite(text.data(), 1, text.size(), stdout) != text.size()) {
    FailOutput();
  }
}

void FlushOutput() {
  if (fflush(stdout) != 0) FailOutput();
}

bool WriteNow(std::string_view text) {
  if (fflush(stdout) != 0) return false;
  while (!text.empty()) {
    const ssize_t wrote = write(STDOUT_FILENO, text.data(), text.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0 && errno == EAGAIN) {  // the other end of a pipe made it so, for both
      pollfd room = {STDOUT_FILENO, POLLOUT, 0};
      poll(&room, 1, -1);
      continue;
    }
    if (wrote < 0) return false;
    text.remove_prefix(static_cast<size_t>(wrote));
  }
  return true;
}

void Note(const std::string& line) {
  const Colors colors(stderr);
  fprintf(stderr, "%s%s%s\n", colors.dim, line.c_str(), colors.reset);
}

std::string Printable(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
  }
  return text;
}

void PrintFailure(const std::string& message) {
  const std::string line = Printable(message);
  const Colors colors(stderr);
  fprintf(stderr, "%smote:%s %s\n", colors.red, colors.reset, line.c_str());
}

void Progress::Update(uint64_t done, uint64_t total, const std::string& detail) {
  if (SecondsSince(start_) < 1 || total == 0) return;
  const int percent = static_cast<int>(100.0 * static_cast<double>(done) / static_cast<double>(total));
  const bool terminal = IsTerminal(stderr);
  const int step = terminal ? percent : percent / 10 * 10;
  if (step == last_ && (!terminal || detail == last_detail_)) return;
  last_ = step;
  last_detail_ = detail;
  if (terminal) {
    fprintf(stderr, "\r\033[K%s %d %%%s%s", what_.c_str(), step, detail.empty() ? "" : ", ", detail.c_str());
    on_screen_ = true;
  } else {
    fprintf(stderr, "%s %d %%%s%s\n", what_.c_str(), step, detail.empty() ? "" : ", ", detail.c_str());
  }
  fflush(stderr);
}

void Progress::Clear() {
  if (on_screen_) fprintf(stderr, "\r\033[K");
  on_screen_ = false;
}

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::string HumanBytes(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(kUnits); ++unit) value /= 1024;
  return unit == 0 ? Format("%llu B", static_cast<unsigned long long>(bytes)) : Format("%.1f %s", value, kUnits[unit]);
}

std::string ReadText(const std::string& path, uint64_t limit) {
  const bool from_stdin = path == "-";
  const auto close = [from_stdin](FILE* file) {
    if (!from_stdin) fclose(file);
  };
  const std::unique_ptr<FILE, decltype(close)> file(from_stdin ? stdin : fopen(path.c_str(), "rb"), close);
  const std::string name = from_stdin ? "standard input" : path;
  if (file == nullptr) Fail(name + ": " + strerror(errno));
  std::string text;
  char buffer[65536];
  while (const size_t got = fread(buffer, 1, sizeof(buffer), file.get())) {
    text.append(buffer, got);
    if (text.size() > limit)
      Fail(Format("%s has more than %llu bytes", name.c_str(), static_cast<unsigned long long>(limit)));
  }
  if (ferror(file.get())) Fail(name + ": " + strerror(errno));
  return text;
}

}  // namespace mote::cli
