#include "edge/server/fetch/download.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "edge/server/clock.h"
#include "edge/server/config/values.h"

namespace mote::server {
namespace {

constexpr size_t kMostHead = 32 << 10;
constexpr size_t kMostAddresses = 4;
constexpr int kTickMs = 100;  // between two looks at who has left

Error Failed(std::string what) {
  return Error{MOTE_IO, std::move(what)};
}

std::vector<sockaddr_storage> AskSystem(const std::string& host, uint16_t port) {
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* list = nullptr;
  std::vector<sockaddr_storage> addresses;
  if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list) != 0) return addresses;
  for (const addrinfo* one = list; one != nullptr && addresses.size() < kMostAddresses; one = one->ai_next) {
    sockaddr_storage storage = {};
    memcpy(&storage, one->ai_addr, std::min<size_t>(one->ai_addrlen, sizeof(storage)));
    addresses.push_back(storage);
  }
  freeaddrinfo(list);
  return addresses;
}

std::vector<sockaddr_storage> Numeric(const std::string& host, uint16_t port) {
  sockaddr_storage storage = {};
  auto* const v4 = reinterpret_cast<sockaddr_in*>(&storage);
  auto* const v6 = reinterpret_cast<sockaddr_in6*>(&storage);
  if (inet_pton(AF_INET, host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
  } else if (inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
  } else {
    return {};
  }
  return {storage};
}

// A connection whose every wait ends with the deadline, or with the one who wanted it.
class FetchWire {
 public:
  explicit FetchWire(const DownloadLimits& limits) : limits_(limits) {}
  ~FetchWire() {
    SSL_free(ssl_);
    if (fd_ >= 0) close(fd_);
  }
  FetchWire(const FetchWire&) = delete;
  FetchWire& operator=(const FetchWire&) = delete;

  Result<void> Connect(const sockaddr_storage& address) {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
    fd_ = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const socklen_t size = address.ss_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    const bool begun =
        fd_ >= 0 && (connect(fd_, reinterpret_cast<const sockaddr*>(&address), size) == 0 || errno == EINPROGRESS);
    if (!begun) return Failed("the host cannot be reached");
    if (auto waited = Wait(POLLOUT); !waited.ok()) return waited;
    int error = 0;
    socklen_t error_size = sizeof(error);
    getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &error_size);
    if (error != 0) return Failed("the host cannot be reached");
    return {};
  }

  // The certificate must be the host's.
  Result<void> Encrypt(const TlsTrust& trust, const ImageHost& place) {
    ssl_ = SSL_new(trust.context());
    if (ssl_ == nullptr || SSL_set_fd(ssl_, fd_) != 1) return Error{MOTE_OUT_OF_MEMORY, "TLS: no memory"};
    X509_VERIFY_PARAM* const check = SSL_get0_param(ssl_);
    const bool named = place.numeric ? X509_VERIFY_PARAM_set1_ip_asc(check, place.host.c_str()) == 1
                                     : X509_VERIFY_PARAM_set1_host(check, place.host.c_str(), 0) == 1 &&
                                           SSL_set_tlsext_host_name(ssl_, place.host.c_str()) == 1;
    if (!named) return Failed("the host's name cannot be checked");
    while (true) {
      ERR_clear_error();
      const int result = SSL_connect(ssl_);
      if (result == 1) return {};
      const int error = SSL_get_error(ssl_, result);
      if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        if (auto waited = Wait(error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT); !waited.ok()) return waited;
        continue;
      }
      const long verified = SSL_get_verify_result(ssl_);  // NOLINT: OpenSSL's type
      if (verified != X509_V_OK) {
        return Failed(std::string("the host's certificate is not trusted: ") + X509_verify_cert_error_string(verified));
      }
      return Failed("the TLS handshake failed");
    }
  }

  Result<void> Send(std::string_view bytes) {
    while (!bytes.empty()) {
      size_t sent = 0;
      short events = POLLOUT;  // NOLINT: poll's type
      if (ssl_ != nullptr) {
        ERR_clear_error();
        const int result = SSL_write_ex(ssl_, bytes.data(), bytes.size(), &sent);
        const int error = result == 1 ? SSL_ERROR_NONE : SSL_get_error(ssl_, result);
        if (error == SSL_ERROR_WANT_READ) events = POLLIN;
        if (result != 1 && error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) return Failed(kLost);
      } else {
        const ssize_t result = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (result < 0 && errno != EAGAIN && errno != EINTR) return Failed(kLost);
        sent = result > 0 ? static_cast<size_t>(result) : 0;
      }
      bytes.remove_prefix(sent);
      if (sent > 0) continue;
      if (auto waited = Wait(events); !waited.ok()) return waited;
    }
    return {};
  }

  // What has come; 0: the end.
  Result<size_t> Receive(char* out, size_t size) {
    while (true) {
      short events = POLLIN;  // NOLINT: poll's type
      if (ssl_ != nullptr) {
        size_t taken = 0;
        ERR_clear_error();
        const int result = SSL_read_ex(ssl_, out, size, &taken);
        if (result == 1) return taken;
        const int error = SSL_get_error(ssl_, result);
        if (error == SSL_ERROR_ZERO_RETURN) return size_t{0};
        if (error == SSL_ERROR_WANT_WRITE) events = POLLOUT;
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) return Failed(kLost);
      } else {
        const ssize_t result = recv(fd_, out, size, 0);
        if (result >= 0) return static_cast<size_t>(result);
        if (errno != EAGAIN && errno != EINTR) return Failed(kLost);
      }
      if (auto waited = Wait(events); !waited.ok()) return waited.error();
    }
  }

 private:
  static constexpr const char* kLost = "the connection broke off";

  Result<void> Wait(short events) {  // NOLINT: poll's type
    while (true) {
      if (limits_.cancelled && limits_.cancelled()) return Error{MOTE_CANCELLED, "nobody wants it any more"};
      if (Now() >= limits_.deadline) return Failed("the host took too long");
      pollfd one = {fd_, events, 0};
      if (poll(&one, 1, kTickMs) > 0) return {};
    }
  }

  const DownloadLimits& limits_;
  int fd_ = -1;
  SSL* ssl_ = nullptr;
};

// What the head of an answer says of its body.
struct AnswerHead {
  int status = 0;
  std::optional<uint64_t> length;
  bool chunked = false;
  std::string type, encoding;
};

bool ReadHead(std::string_view text, AnswerHead* head) {
  const std::vector<std::string_view> lines = Split(text, '\n');
  if (lines.empty() || !(lines[0].starts_with("HTTP/1.1 ") || lines[0].starts_with("HTTP/1.0 "))) return false;
  const std::optional<uint64_t> status = ReadCount(lines[0].substr(9, 3));
  if (!status || *status < 100 || *status > 599) return false;
  head->status = static_cast<int>(*status);
  for (size_t i = 1; i < lines.size(); ++i) {
    const size_t colon = lines[i].find(':');
    if (colon == std::string_view::npos) return false;
    const std::string name = LowerCase(lines[i].substr(0, colon));
    const std::string value = LowerCase(Trim(lines[i].substr(colon + 1)));
    if (name == "content-length") {
      const std::optional<uint64_t> length = ReadCount(value);
      if (!length || (head->length && *head->length != *length)) return false;
      head->length = *length;
    } else if (name == "transfer-encoding") {
      if (value != "chunked" || head->chunked) return false;
      head->chunked = true;
    } else if (name == "content-type") {
      head->type = value;
    } else if (name == "content-encoding") {
      head->encoding = value;
    }
  }
  return !(head->chunked && head->length);
}

// A body by its length, in chunks, or up to the end.
class AnswerBody {
 public:
  AnswerBody(FetchWire* wire, std::string first, const AnswerHead& head, uint64_t most)
      : wire_(*wire), in_(std::move(first)), head_(head), most_(most) {}

  Result<std::string> Read() {
    if (head_.length && *head_.length > most_) return TooLarge();
    if (!head_.chunked) return ReadPlain();
    while (true) {
      Result<std::string> line = Line();
      if (!line.ok()) return line.error();
      const size_t digits = std::min(line->find_first_not_of("0123456789abcdefABCDEF"), line->size());
      if (digits == 0 || digits > 8 || (digits < line->size() && (*line)[digits] != ';')) return Broken();
      const uint64_t size = strtoull(line->c_str(), nullptr, 16);
      if (size == 0) return std::move(body_);
      if (size > most_ - body_.size()) return TooLarge();
      if (auto filled = Fill(size + 2); !filled.ok()) return filled.error();
      if (in_.compare(size, 2, "\r\n") != 0) return Broken();
      body_.append(in_, 0, size);
      in_.erase(0, size + 2);
    }
  }

 private:
  static Error Broken() { return Failed("the host's answer is not HTTP"); }
  Error TooLarge() const { return Failed("the file has more than " + std::to_string(most_) + " bytes"); }

  Result<std::string> ReadPlain() {
    if (head_.length) {
      if (auto filled = Fill(*head_.length); !filled.ok()) return filled.error();
      in_.resize(*head_.length);
      return std::move(in_);
    }
    while (true) {
      if (in_.size() > most_) return TooLarge();
      const Result<size_t> more = More();
      if (!more.ok()) return more.error();
      if (*more == 0) return std::move(in_);
    }
  }
  Result<size_t> More() {
    char buffer[16 << 10];
    const Result<size_t> taken = wire_.Receive(buffer, sizeof(buffer));
    if (taken.ok()) in_.append(buffer, *taken);
    return taken;
  }
  // At least so many bytes.
  Result<void> Fill(uint64_t size) {
    while (in_.size() < size) {
      const Result<size_t> more = More();
      if (!more.ok()) return more.error();
      if (*more == 0) return Failed("the file ended before its end");
    }
    return {};
  }
  Result<std::string> Line() {
    size_t end = 0;
    while ((end = in_.find("\r\n")) == std::string::npos) {
      if (in_.size() > 256) return Broken();
      if (auto filled = Fill(in_.size() + 1); !filled.ok()) return filled.error();
    }
    std::string line = in_.substr(0, end);
    in_.erase(0, end + 2);
    return line;
  }

  FetchWire& wire_;
  std::string in_, body_;
  const AnswerHead& head_;
  const uint64_t most_;
};

Result<std::string> ReadAnswer(FetchWire* wire, uint64_t most_bytes) {
  std::string in;
  size_t end = 0;
  while ((end = in.find("\r\n\r\n")) == std::string::npos) {
    if (in.size() > kMostHead) return Failed("the host's answer has a head that is too long");
    char buffer[4096];
    const Result<size_t> taken = wire->Receive(buffer, sizeof(buffer));
    if (!taken.ok()) return taken.error();
    if (*taken == 0) return Failed("the host closed the connection without an answer");
    in.append(buffer, *taken);
  }
  AnswerHead head;
  std::string text = in.substr(0, end);
  text.erase(std::remove(text.begin(), text.end(), '\r'), text.end());
  if (!ReadHead(text, &head)) return Failed("the host's answer is not HTTP");
  if (head.status >= 300 && head.status <= 399) return Failed("the host sends elsewhere, and no redirect is followed");
  if (head.status != 200) return Failed("the host answered " + std::to_string(head.status));
  if (!head.encoding.empty() && head.encoding != "identity") return Failed("the host's answer is compressed");
  if (!head.type.starts_with("image/") && !head.type.starts_with("application/octet-stream")) {
    return Failed("what the host sent is no image: its Content-Type is \"" + head.type.substr(0, 64) + "\"");
  }
  in.erase(0, end + 4);
  return AnswerBody(wire, std::move(in), head, most_bytes).Read();
}

}  // namespace

Result<std::shared_ptr<TlsTrust>> TlsTrust::Load(const std::string& ca) {
  SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
  if (context == nullptr) return Error{MOTE_OUT_OF_MEMORY, "TLS: no memory"};
  std::shared_ptr<TlsTrust> trust(new TlsTrust(context));
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  const int loaded = ca.empty() ? SSL_CTX_set_default_verify_paths(context)
                                : SSL_CTX_load_verify_locations(context, ca.c_str(), nullptr);
  if (loaded != 1) return Error{MOTE_IO, "image_ca: " + ca + " has no certificates that can be read"};
  return trust;
}

TlsTrust::~TlsTrust() {
  SSL_CTX_free(context_);
}

Result<std::string> Download(const ImageUrl& url, const TlsTrust& trust, const DownloadLimits& limits) {
  const ImageHost& place = url.place;
  std::vector<sockaddr_storage> addresses = place.numeric    ? Numeric(place.host, place.port)
                                            : limits.resolve ? limits.resolve(place.host, place.port)
                                                             : AskSystem(place.host, place.port);
  if (addresses.empty()) return Failed("the host's name has no address");
  std::erase_if(addresses, [&](const sockaddr_storage& address) {
    return !MayConnect(place, reinterpret_cast<const sockaddr&>(address));
  });
  if (addresses.empty()) {
    return Error{MOTE_INVALID_ARGUMENT, "the host's name leads to an address that images may not come from"};
  }
  FetchWire wire(limits);
  Result<void> connected;
  for (const sockaddr_storage& address : addresses) {
    connected = wire.Connect(address);
    if (connected.ok()) break;
  }
  if (!connected.ok()) return connected.error();
  if (place.tls) {
    if (auto encrypted = wire.Encrypt(trust, place); !encrypted.ok()) return encrypted.error();
  }
  const auto sent = wire.Send("GET " + url.target + " HTTP/1.1\r\nHost: " + url.authority +
                              "\r\nUser-Agent: mote\r\nAccept: image/jpeg, image/png, image/webp\r\n"
                              "Accept-Encoding: identity\r\nConnection: close\r\n\r\n");
  if (!sent.ok()) return sent.error();
  return ReadAnswer(&wire, limits.most_bytes);
}

}  // namespace mote::server
