#include "edge/server/http/reader.h"

#include <algorithm>
#include <utility>

#include "edge/server/http/head.h"

namespace mote::server {
namespace {

// A first reservation for bodies of a stated length: what a client claims is not allocated before it has sent
// something.
constexpr uint64_t kFirstReserve = 16 << 10;
// "1f" and extensions; a size has at most 16 digits.
constexpr size_t kChunkLine = 256;

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

void Reader::Refuse(int status, const char* code, std::string message) {
  state_ = State::kRefused;
  refusal_ = Refusal{status, code, std::move(message)};
  line_ = std::string();
  read_.request.body = std::string();
}

bool Reader::TakeContinue() {
  // Whoever has begun to send the body does not wait.
  return std::exchange(continue_, false) && state_ == State::kBody && read_.request.body.empty();
}

size_t Reader::Feed(std::string_view bytes) {
  size_t used = 0;
  started_ = started_ || !bytes.empty();
  while (used < bytes.size() && (state_ == State::kHead || state_ == State::kBody)) {
    const std::string_view rest = bytes.substr(used);
    switch (part_) {
      case Part::kLength:
      case Part::kChunkData:
        used += FeedBody(rest);
        break;
      case Part::kChunkEnd:
        used += FeedChunkEnd(rest);
        break;
      default:
        used += FeedLine(rest);
        break;
    }
  }
  return used;
}

// A line is judged when it ends, or when as many bytes have come as its limit allows: never by how they were cut.
size_t Reader::FeedLine(std::string_view bytes) {
  // Trailers have the limits of a head, once more.
  const bool in_head = part_ != Part::kChunkLine;
  const size_t line_limit = (part_ == Part::kRequestLine ? limits_->request_line
                             : in_head                   ? limits_->header_line
                                                         : kChunkLine) +
                            2;
  size_t limit = line_limit;
  if (in_head) limit = std::min<size_t>(limit, limits_->head - std::min(limits_->head, head_used_));
  const size_t room = limit - std::min(limit, line_.size());
  const size_t end = bytes.substr(0, room).find('\n');
  if (end == std::string_view::npos) {
    const size_t taken = std::min(room, bytes.size());
    if (taken == room) {
      if (!in_head) {
        Refuse(400, "malformed_request",
               "a line between chunks is longer than " + std::to_string(kChunkLine) + " bytes");
      } else if (part_ == Part::kRequestLine && limit == line_limit) {
        Refuse(414, "uri_too_long",
               "the request line is longer than " + std::to_string(limits_->request_line) + " bytes");
      } else if (limit == line_limit) {
        Refuse(431, "headers_too_large", "a header is longer than " + std::to_string(limits_->header_line) + " bytes");
      } else {
        Refuse(431, "headers_too_large", "all headers are more than " + std::to_string(limits_->head) + " bytes");
      }
    } else {
      line_.append(bytes.substr(0, taken));
    }
    return taken;
  }
  std::string held;
  std::string_view line = bytes.substr(0, end);
  if (!line_.empty()) {
    held = std::move(line_);
    line_ = std::string();
    held.append(line);
    line = held;
  }
  if (in_head) head_used_ += static_cast<uint32_t>(line.size() + 1);
  if (line.empty() || line.back() != '\r') {
    Refuse(400, "malformed_request", "a line ends without a carriage return");
  } else {
    TakeLine(line.substr(0, line.size() - 1));
  }
  return end + 1;
}

void Reader::TakeLine(std::string_view line) {
  switch (part_) {
    case Part::kRequestLine:
      // RFC 9112, 2.2: one empty line before a request is forgiven.
      if (line.empty() && !std::exchange(skipped_empty_, true)) return;
      if (auto refusal = ParseRequestLine(line, *limits_, &read_)) {
        return Refuse(refusal->status, refusal->code, std::move(refusal->message));
      }
      part_ = Part::kField;
      return;
    case Part::kField:
      return line.empty() ? EndHead() : TakeField(line);
    case Part::kChunkLine:
      return TakeChunkLine(line);
    default:
      return TakeTrailer(line);
  }
}

bool Reader::CountField() {
  if (++fields_ <= limits_->fields) return true;
  Refuse(431, "headers_too_large", "more than " + std::to_string(limits_->fields) + " headers");
  return false;
}

void Reader::TakeTrailer(std::string_view line) {
  if (line.empty()) {
    state_ = State::kComplete;
    return;
  }
  if (!CountField()) return;
  if (auto refusal = CheckTrailer(line)) Refuse(refusal->status, refusal->code, std::move(refusal->message));
}

void Reader::TakeField(std::string_view line) {
  if (!CountField()) return;
  if (auto refusal = ParseField(line, &read_)) Refuse(refusal->status, refusal->code, std::move(refusal->message));
}

void Reader::EndHead() {
  // CheckFields makes one of the authority.
  const bool one_more = !read_.authority.empty() && read_.request.Header("host") == nullptr;
  if (one_more && !CountField()) return;
  Framing framing;
  if (auto refusal = CheckFields(&read_, &framing)) {
    return Refuse(refusal->status, refusal->code, std::move(refusal->message));
  }
  if (!framing.chunked && framing.length == 0) {
    state_ = State::kComplete;
    return;
  }
  body_limit_bytes_ = (*body_limit_)(read_);
  if (!framing.chunked && framing.length > body_limit_bytes_) {
    return Refuse(413, "body_too_large",
                  "the body has " + std::to_string(framing.length) + " bytes; at most " +
                      std::to_string(body_limit_bytes_) + " are accepted here");
  }
  state_ = State::kBody;
  continue_ = framing.expects;
  part_ = framing.chunked ? Part::kChunkLine : Part::kLength;
  remaining_ = framing.length;
  if (!framing.chunked) read_.request.body.reserve(std::min(framing.length, kFirstReserve));
}

size_t Reader::FeedBody(std::string_view bytes) {
  const size_t taken = static_cast<size_t>(std::min<uint64_t>(remaining_, bytes.size()));
  read_.request.body.append(bytes.substr(0, taken));
  remaining_ -= taken;
  if (remaining_ == 0) {
    if (part_ == Part::kLength) {
      state_ = State::kComplete;
    } else {
      part_ = Part::kChunkEnd;
      chunk_end_ = 0;
    }
  }
  return taken;
}

size_t Reader::FeedChunkEnd(std::string_view bytes) {
  if (bytes.front() != "\r\n"[chunk_end_]) {
    Refuse(400, "malformed_request", "a chunk is longer than its size says");
  } else if (++chunk_end_ == 2) {
    part_ = Part::kChunkLine;
  }
  return 1;
}

void Reader::TakeChunkLine(std::string_view line) {
  const size_t digits = std::min(line.find_first_of(" \t;"), line.size());
  uint64_t size = 0;
  bool valid = digits >= 1 && digits <= 16;
  for (size_t i = 0; i < digits && valid; ++i) {
    const int digit = HexDigit(line[i]);
    valid = digit >= 0;
    size = size << 4 | static_cast<uint64_t>(digit & 15);
  }
  if (!valid) return Refuse(400, "malformed_request", "a chunk's size is not 1 to 16 hexadecimal digits");
  const std::string_view extension = line.substr(digits);
  extras_ += static_cast<uint32_t>(extension.size());
  // Blanks may stand before an extension (RFC 9112, 7.1.1), not in its place.
  const size_t semicolon = extension.find_first_not_of(" \t");
  const bool begins = extension.empty() || (semicolon != std::string_view::npos && extension[semicolon] == ';');
  if (extras_ > limits_->chunk_extras || !begins || !IsFieldValue(extension)) {
    return Refuse(400, "malformed_request", "chunk extensions are malformed or too long");
  }
  if (size > body_limit_bytes_ - read_.request.body.size()) {
    return Refuse(413, "body_too_large",
                  "the body has more than the " + std::to_string(body_limit_bytes_) + " bytes that are accepted here");
  }
  remaining_ = size;
  part_ = size == 0 ? Part::kTrailer : Part::kChunkData;
  if (size == 0) head_used_ = fields_ = 0;
}

}  // namespace mote::server
