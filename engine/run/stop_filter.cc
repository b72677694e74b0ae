#include "engine/run/stop_filter.h"

#include <algorithm>
#include <utility>

namespace mote {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// Bytes of the sequence that `lead` begins; 0 if none does.
uint8_t SequenceLength(uint8_t lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return 2;  // C0 and C1 would be overlong
  if (lead >= 0xE0 && lead <= 0xEF) return 3;
  if (lead >= 0xF0 && lead <= 0xF4) return 4;  // F5 and above lie beyond U+10FFFF
  return 0;
}

}  // namespace

// Whether `byte` may continue the sequence held. The second byte's range depends on the first (The Unicode Standard,
// table 3-7): no overlong forms, no surrogates, nothing above U+10FFFF.
bool Utf8Repair::Accepts(uint8_t byte) const {
  if (num_held_ == 1) {
    switch (static_cast<uint8_t>(held_[0])) {
      case 0xE0:
        return byte >= 0xA0 && byte <= 0xBF;
      case 0xED:
        return byte >= 0x80 && byte <= 0x9F;
      case 0xF0:
        return byte >= 0x90 && byte <= 0xBF;
      case 0xF4:
        return byte >= 0x80 && byte <= 0x8F;
      default:
        break;
    }
  }
  return byte >= 0x80 && byte <= 0xBF;
}

void Utf8Repair::Push(std::string_view bytes, std::string* out) {
  for (const char c : bytes) {
    const uint8_t byte = static_cast<uint8_t>(c);
    if (num_held_ > 0) {
      if (Accepts(byte)) {
        held_[num_held_++] = c;
        if (num_held_ == length_) {
          out->append(held_, num_held_);
          num_held_ = 0;
        }
        continue;
      }
      Finish(out);  // and `byte` begins anew
    }
    length_ = SequenceLength(byte);
    if (length_ == 0) {
      out->append(kReplacement);
    } else if (length_ == 1) {
      out->push_back(c);
    } else {
      held_[0] = c;
      num_held_ = 1;
    }
  }
}

void Utf8Repair::Finish(std::string* out) {
  if (num_held_ > 0) out->append(kReplacement);
  num_held_ = 0;
}

bool IsValidUtf8(std::string_view text) {
  Utf8Repair repair;
  std::string out;
  repair.Push(text, &out);
  repair.Finish(&out);
  return out == text;
}

Result<StopFilter> StopFilter::Create(std::vector<std::string> stops) {
  if (stops.size() > kMaxStopStrings) {
    return Error(Code::kInvalidArgument, "%zu stop strings given; at most %zu are allowed", stops.size(),
                 kMaxStopStrings);
  }
  StopFilter filter;
  for (size_t i = 0; i < stops.size(); ++i) {
    Stop stop;
    stop.text = std::move(stops[i]);
    if (stop.text.empty() || stop.text.size() > kMaxStopBytes) {
      return Error(Code::kInvalidArgument, "stop string %zu has %zu bytes; it must have 1 to %zu", i, stop.text.size(),
                   kMaxStopBytes);
    }
    // An invalid one could begin inside a character, and never matches repaired text anyway.
    if (!IsValidUtf8(stop.text)) return Error(Code::kInvalidArgument, "stop string %zu is not valid UTF-8", i);
    stop.fallback.assign(stop.text.size() + 1, 0);
    uint32_t matched = 0;
    for (size_t n = 1; n < stop.text.size(); ++n) {
      while (matched > 0 && stop.text[n] != stop.text[matched]) matched = stop.fallback[matched];
      if (stop.text[n] == stop.text[matched]) ++matched;
      stop.fallback[n + 1] = matched;
    }
    filter.stops_.push_back(std::move(stop));
  }
  return filter;
}

void StopFilter::Scan(std::string* out) {
  for (; scanned_ < pending_.size() && !stopped_; ++scanned_) {
    size_t longest_met = 0;  // of those that end with this byte, the longest begins first
    for (Stop& stop : stops_) {
      const char c = pending_[scanned_];
      while (stop.matched > 0 && c != stop.text[stop.matched]) stop.matched = stop.fallback[stop.matched];
      if (c == stop.text[stop.matched]) ++stop.matched;
      if (stop.matched == stop.text.size()) {
        longest_met = std::max(longest_met, stop.text.size());
      }
    }
    if (longest_met > 0) {
      pending_.resize(scanned_ + 1 - longest_met);
      stopped_ = true;
    }
  }
  size_t hold = 0;
  if (!stopped_) {
    for (const Stop& stop : stops_) hold = std::max<size_t>(hold, stop.matched);
  }
  out->append(pending_, 0, pending_.size() - hold);
  pending_.erase(0, pending_.size() - hold);
  scanned_ = pending_.size();
}

bool StopFilter::Push(std::string_view bytes, std::string* out) {
  if (stopped_) return true;
  repair_.Push(bytes, &pending_);
  Scan(out);
  return stopped_;
}

void StopFilter::Finish(std::string* out) {
  if (stopped_) return;
  repair_.Finish(&pending_);
  Scan(out);
  out->append(pending_);
  pending_.clear();
  scanned_ = 0;
}

}  // namespace mote
