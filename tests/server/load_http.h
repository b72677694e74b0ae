// HTTP/1.1 responses as they come, for the load client: status, framing, and the texts inside of streams.
#ifndef MOTE_TESTS_SERVER_LOAD_HTTP_H_
#define MOTE_TESTS_SERVER_LOAD_HTTP_H_

#include <stdint.h>
#include <stdlib.h>

#include <algorithm>
#include <string>
#include <string_view>

namespace mote::load {

// What the answers' lines carry in "content" or "text", still escaped: enough to compare two answers to the letter.
class TextCollector {
 public:
  // Returns how many whole lines with text came.
  size_t Feed(std::string_view bytes) {
    size_t found = 0;
    line_.append(bytes);
    size_t begin = 0;
    for (size_t end; (end = line_.find('\n', begin)) != std::string::npos; begin = end + 1) {
      found += Take(std::string_view(line_).substr(begin, end - begin));
    }
    line_.erase(0, begin);
    return found;
  }
  // The end of the body: what has no line of its own (an answer that is not a stream).
  void Finish() { Take(line_), line_.clear(); }
  const std::string& text() const { return text_; }
  bool failed() const { return failed_; }
  bool complete() const { return complete_; }

 private:
  bool Take(std::string_view line) {
    if (line.find("\"error\":{") != std::string_view::npos) failed_ = true;
    if (line.find("[DONE]") != std::string_view::npos || line.find("\"event\":\"done\"") != std::string_view::npos) {
      complete_ = true;
    }
    bool found = false;
    for (const std::string_view key : {std::string_view("\"content\":\""), std::string_view("\"text\":\"")}) {
      const size_t at = line.find(key);
      if (at == std::string_view::npos) continue;
      size_t end = at + key.size();
      while (end < line.size() && line[end] != '"') end += line[end] == '\\' ? 2 : 1;
      const std::string_view value = line.substr(at + key.size(), std::min(end, line.size()) - at - key.size());
      text_.append(value);
      found = found || !value.empty();
    }
    return found;
  }

  std::string line_, text_;
  bool failed_ = false;    // an error came inside
  bool complete_ = false;  // the stream's own mark of its end came
};

// One response. Bodies by length, in chunks, or up to the end of the connection.
class ResponseReader {
 public:
  enum class State { kHead, kBody, kChunkSize, kChunk, kChunkEnd, kTrailer, kDone, kBroken };

  // Takes what came, and hands the body's bytes to `body`.
  template <class Body>
  void Feed(std::string_view bytes, const Body& body) {
    while (!bytes.empty() && state_ != State::kDone && state_ != State::kBroken) {
      if (state_ == State::kBody || state_ == State::kChunk) {
        const size_t part = static_cast<size_t>(std::min<uint64_t>(left_, bytes.size()));
        body(bytes.substr(0, part));
        bytes.remove_prefix(part);
        left_ -= part;
        if (left_ == 0) state_ = state_ == State::kBody ? State::kDone : State::kChunkEnd;
        continue;
      }
      line_ += bytes.front();
      bytes.remove_prefix(1);
      if (line_.back() == '\n') TakeLine();
      if (line_.size() > 65536) state_ = State::kBroken;
    }
  }
  // The peer closed.
  void FeedEnd() { state_ = state_ == State::kBody && until_end_ ? State::kDone : State::kBroken; }
  bool done() const { return state_ == State::kDone; }
  bool broken() const { return state_ == State::kBroken; }
  bool began() const { return status_ != 0; }
  int status() const { return status_; }
  bool keeps() const { return keeps_; }

 private:
  void TakeLine() {
    std::string line;
    line.swap(line_);
    while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
    switch (state_) {
      case State::kHead:
        return TakeHead(line);
      case State::kChunkSize:
        left_ = strtoull(line.c_str(), nullptr, 16);
        state_ = left_ > 0 ? State::kChunk : State::kTrailer;
        return;
      case State::kChunkEnd:
        state_ = line.empty() ? State::kChunkSize : State::kBroken;
        return;
      default:  // a trailer
        if (line.empty()) state_ = State::kDone;
    }
  }
  void TakeHead(const std::string& line) {
    if (status_ == 0) {
      status_ = line.starts_with("HTTP/1.1 ") ? atoi(line.c_str() + 9) : 0;
      if (status_ < 100 || status_ > 599) state_ = State::kBroken;
      return;
    }
    if (!line.empty()) return TakeField(line);
    if (status_ == 204 || status_ == 304) {
      state_ = State::kDone;
    } else if (chunked_) {
      state_ = State::kChunkSize;
    } else if (until_end_) {
      left_ = UINT64_MAX;
      keeps_ = false;
      state_ = State::kBody;
    } else {
      state_ = left_ > 0 ? State::kBody : State::kDone;
    }
  }
  void TakeField(std::string line) {
    std::transform(line.begin(), line.end(), line.begin(),
                   [](unsigned char c) { return static_cast<char>(tolower(c)); });
    const size_t colon = line.find(':');
    if (colon == std::string::npos) {
      state_ = State::kBroken;
      return;
    }
    const std::string name = line.substr(0, colon);
    const std::string value = line.substr(std::min(line.find_first_not_of(' ', colon + 1), line.size()));
    if (name == "content-length") left_ = strtoull(value.c_str(), nullptr, 10), until_end_ = false;
    if (name == "transfer-encoding" && value == "chunked") chunked_ = true;
    if (name == "connection" && value == "close") keeps_ = false;
  }

  State state_ = State::kHead;
  std::string line_;
  int status_ = 0;
  uint64_t left_ = 0;
  bool chunked_ = false, until_end_ = true, keeps_ = true;
};

}  // namespace mote::load

#endif  // MOTE_TESTS_SERVER_LOAD_HTTP_H_
