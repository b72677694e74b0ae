// Between the bytes of tokens and the text that is shown: whole UTF-8 sequences only, and nothing of a stop string.
#ifndef MOTE_ENGINE_RUN_STOP_FILTER_H_
#define MOTE_ENGINE_RUN_STOP_FILTER_H_

#include <stddef.h>
#include <stdint.h>

#include <string>
#include <string_view>
#include <vector>

#include "engine/core/status.h"

namespace mote {

inline constexpr size_t kMaxStopStrings = 16;
inline constexpr size_t kMaxStopBytes = 1024;  // of each

// Bytes in, valid UTF-8 out. A sequence cut off at the end of the input is held back until it is complete or known to
// be invalid; each maximal invalid part becomes one U+FFFD (The Unicode Standard, section 3.9, "substitution of maximal
// subparts", which is also what browsers do).
class Utf8Repair {
 public:
  void Push(std::string_view bytes, std::string* out);
  // The input is over: what is held back is invalid.
  void Finish(std::string* out);

 private:
  bool Accepts(uint8_t byte) const;
  char held_[4] = {};
  uint8_t num_held_ = 0;
  uint8_t length_ = 0;  // of the sequence begun
};

bool IsValidUtf8(std::string_view text);

// Cuts a text at the first stop string that is completed, even if it spans pushes, and holds back only what may still
// become part of one. Linear in the text, for each stop string.
class StopFilter {
 public:
  // kInvalidArgument: more than kMaxStopStrings, or one that is empty, too long or not UTF-8.
  static Result<StopFilter> Create(std::vector<std::string> stops);

  // Appends to *out what is now certain. True once a stop string was met: later pushes add nothing.
  bool Push(std::string_view bytes, std::string* out);
  // The input is over: appends what was held back.
  void Finish(std::string* out);
  bool stopped() const { return stopped_; }

 private:
  // Knuth, Morris and Pratt's automaton: `matched` is the longest prefix of `text` that the input ends with.
  struct Stop {
    std::string text;
    std::vector<uint32_t> fallback;  // fallback[n]: the longest proper prefix that is a suffix of the first n bytes
    uint32_t matched = 0;
  };
  void Scan(std::string* out);

  std::vector<Stop> stops_;
  Utf8Repair repair_;
  std::string pending_;  // repaired text not handed out
  size_t scanned_ = 0;   // bytes of it that the automata have seen
  bool stopped_ = false;
};

}  // namespace mote

#endif  // MOTE_ENGINE_RUN_STOP_FILTER_H_
