// What the tests of the front speak to it with: a plain socket, and just enough HTTP to take answers apart.
#ifndef MOTE_TESTS_SERVER_FRONT_CLIENT_H_
#define MOTE_TESTS_SERVER_FRONT_CLIENT_H_

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "edge/server/http/address.h"

namespace mote::server {

// A generous bound, for what is broken must not hang the tests; nothing is measured by it.
constexpr int kPatienceSeconds = 60;

// True as soon as `done` is.
inline bool Eventually(const std::function<bool()>& done) {
  for (int i = 0; i < kPatienceSeconds * 200; ++i) {
    if (done()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

struct Answer {
  int status = 0;      // 0: none came
  std::string head;    // with its empty line
  std::string body;    // chunks joined
  bool whole = false;  // as long as its head says, or its last chunk came
  bool closes = false;

  // The header's value, or "".
  std::string Header(std::string_view name) const {
    size_t begin = 0;
    while ((begin = head.find("\r\n", begin)) != std::string::npos) {
      begin += 2;
      if (strncasecmp(head.c_str() + begin, name.data(), name.size()) != 0 || head[begin + name.size()] != ':')
        continue;
      const size_t end = head.find("\r\n", begin);
      return head.substr(begin + name.size() + 2, end - begin - name.size() - 2);
    }
    return "";
  }
};

class Client {
 public:
  explicit Client(const std::string& address, int receive_buffer = 0) {
    const auto parsed = ParseListenAddress(address);
    if (!parsed.ok()) return;
    fd_ = socket(parsed->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval patience = {kPatienceSeconds, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (receive_buffer > 0) setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    if (connect(fd_, reinterpret_cast<const sockaddr*>(&parsed->storage), parsed->size) != 0) Close();
  }
  ~Client() { Close(); }
  Client(Client&& other) noexcept : fd_(std::exchange(other.fd_, -1)), held_(std::move(other.held_)) {}
  Client& operator=(Client&&) = delete;

  bool connected() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  bool Send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  void Close() {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }
  void Reset() {
    const linger now = {1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    Close();
  }
  void HalfClose() const { shutdown(fd_, SHUT_WR); }

  // More bytes into held_; false at the end.
  bool Receive() {
    char bytes[16384];
    const ssize_t taken = recv(fd_, bytes, sizeof(bytes), 0);
    if (taken <= 0) return false;
    held_.append(bytes, static_cast<size_t>(taken));
    return true;
  }
  // Bytes have come, or the connection has ended.
  bool Readable(int milliseconds) const {
    pollfd poll_fd = {fd_, POLLIN, 0};
    return poll(&poll_fd, 1, milliseconds) > 0;
  }
  bool Closed() {
    while (Receive()) {
    }
    return errno != EAGAIN;
  }
  // One line, with its end; "" where there is none.
  std::string ReadLine() {
    while (held_.find('\n') == std::string::npos && Receive()) {
    }
    return Cut(held_.find('\n'), 1);
  }

  Answer ReadAnswer(bool head_only = false) {
    Answer answer;
    while (held_.find("\r\n\r\n") == std::string::npos && Receive()) {
    }
    answer.head = Cut(held_.find("\r\n\r\n"), 4);
    if (answer.head.size() < 12) return answer;
    answer.status = atoi(answer.head.c_str() + 9);
    answer.closes = answer.Header("connection") == "close";
    if (head_only || answer.status == 100 || answer.status == 204) {
      answer.whole = true;
    } else if (answer.Header("transfer-encoding") == "chunked") {
      ReadChunks(&answer);
    } else if (const std::string length = answer.Header("content-length"); !length.empty()) {
      answer.whole = ReadBytes(strtoull(length.c_str(), nullptr, 10), &answer.body);
    } else {
      answer.whole = Closed();
      answer.body = std::exchange(held_, "");
    }
    return answer;
  }
  Answer Ask(std::string_view bytes) {
    Send(bytes);
    return ReadAnswer();
  }

 private:
  std::string Cut(size_t end, size_t after) {
    if (end == std::string::npos) return "";
    std::string front = held_.substr(0, end + after);
    held_.erase(0, end + after);
    return front;
  }
  bool ReadBytes(size_t size, std::string* out) {
    while (held_.size() < size && Receive()) {
    }
    const bool whole = held_.size() >= size;
    out->append(held_, 0, size);
    held_.erase(0, size);
    return whole;
  }
  void ReadChunks(Answer* answer) {
    while (true) {
      const std::string line = ReadLine();
      if (line.empty()) return;
      const size_t size = strtoull(line.c_str(), nullptr, 16);
      std::string end;
      if (!ReadBytes(size, &answer->body) || !ReadBytes(2, &end)) return;
      if (size == 0) {
        answer->whole = end == "\r\n";
        return;
      }
    }
  }

  int fd_ = -1;
  std::string held_;
};

inline std::string GetRequest(const std::string& path, const std::string& lines = "") {
  return "GET " + path + " HTTP/1.1\r\nHost: test\r\n" + lines + "\r\n";
}

}  // namespace mote::server

#endif  // MOTE_TESTS_SERVER_FRONT_CLIENT_H_
