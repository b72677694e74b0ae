#include "edge/server/http/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "edge/server/http/core.h"

namespace mote::server {
namespace {

// Taken in one go before other events have their turn.
constexpr int kAcceptedAtOnce = 64;
constexpr double kPauseSeconds = 0.1;

Error SystemError(const std::string& text, const char* what) {
  const std::string hint = errno == EADDRINUSE ? "; another program listens there: stop it, or choose another port"
                           : errno == EACCES && !text.starts_with("unix:")
                               ? "; ports below 1024 are the system's: choose another one"
                               : "";
  return Error{MOTE_IO, "listen address \"" + text + "\": " + what + ": " + strerror(errno) + hint};
}

int OpenSpare() {
  return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

// Makes way for a new socket file where an old one is dead.
Result<void> RemoveStale(const std::string& text, const ListenAddress& address) {
  struct stat info = {};
  if (lstat(address.file.c_str(), &info) != 0) return {};
  if (!S_ISSOCK(info.st_mode))
    return Error{MOTE_IO, "listen address \"" + text + "\": the file exists and is no socket"};
  const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) return SystemError(text, "socket");
  const bool refused =
      connect(probe, reinterpret_cast<const sockaddr*>(&address.storage), address.size) != 0 && errno == ECONNREFUSED;
  close(probe);
  if (!refused) return Error{MOTE_IO, "listen address \"" + text + "\": somebody listens there already"};
  if (unlink(address.file.c_str()) != 0) return SystemError(text, "cannot remove the old socket");
  return {};
}

}  // namespace

Listener::Listener(Core* core, int fd, bool tls) : core_(core), fd_(fd), spare_(OpenSpare()), tls_(tls) {}

Listener::~Listener() {
  close(fd_);
  if (spare_ >= 0) close(spare_);
  struct stat info = {};
  // Only our own: another server may have taken the place.
  if (!file_.empty() && lstat(file_.c_str(), &info) == 0 && info.st_dev == device_ && info.st_ino == inode_) {
    unlink(file_.c_str());
  }
}

Result<std::unique_ptr<Listener>> Listener::Open(Core* core, const std::string& text, uint32_t backlog, uint32_t mode,
                                                 bool tls) {
  auto address = ParseListenAddress(text);
  if (!address.ok()) return address.error();
  const bool file = !address->file.empty();
  if (file) {
    if (auto removed = RemoveStale(text, *address); !removed.ok()) return removed.error();
  }
  const int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return SystemError(text, "socket");
  std::unique_ptr<Listener> listener(new Listener(core, fd, tls && !file));
  const int one = 1;
  if (file) {
    // Before bind, so that the file never has another mode.
    if (fchmod(fd, mode) != 0) return SystemError(text, "fchmod");
  } else {
    // Not SO_REUSEPORT, with which another process of the same user could take connections.
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (address->storage.ss_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
  }
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address->storage), address->size) != 0) {
    return SystemError(text, "bind");
  }
  if (file) {
    if (chmod(address->file.c_str(), mode) != 0) return SystemError(text, "chmod");
    struct stat info = {};
    if (lstat(address->file.c_str(), &info) != 0) return SystemError(text, "lstat");
    listener->file_ = address->file;
    listener->device_ = info.st_dev;
    listener->inode_ = info.st_ino;
    listener->address_ = text;
  }
  if (listen(fd, static_cast<int>(backlog)) != 0) return SystemError(text, "listen");
  if (!file) {
    sockaddr_storage bound = {};
    socklen_t size = sizeof(bound);
    if (getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size) != 0) return SystemError(text, "getsockname");
    listener->address_ = FormatAddress(bound);
  }
  return listener;
}

bool Listener::Begin() {
  return core_->Watch(this, fd_, EPOLLIN);
}

void Listener::OnEvents(uint32_t) {
  for (int i = 0; i < kAcceptedAtOnce && !paused_; ++i) {
    sockaddr_storage peer = {};
    socklen_t size = sizeof(peer);
    const int fd = accept4(fd_, reinterpret_cast<sockaddr*>(&peer), &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
      core_->Accepted(fd, peer, tls_);
      continue;
    }
    switch (errno) {
      case EAGAIN:
        return;
      case EMFILE:
      case ENFILE:
        DropOne();
        break;
      case ENOBUFS:
      case ENOMEM:
        return Pause();
      default:
        // A connection that died in the queue (ECONNABORTED, EPROTO, ENETDOWN, ...): the next one need not have.
        break;
    }
  }
}

void Listener::DropOne() {
  if (spare_ < 0) return Pause();
  close(spare_);
  const int fd = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd >= 0) close(fd);
  spare_ = OpenSpare();
  // Another thread may have been faster.
  if (fd < 0 || spare_ < 0) Pause();
}

void Listener::Pause() {
  paused_ = true;
  core_->Change(this, fd_, 0);
  core_->wheel().Set(this, core_->now() + kPauseSeconds);
}

void Listener::Fire(double) {
  paused_ = false;
  if (spare_ < 0) spare_ = OpenSpare();
  core_->Change(this, fd_, EPOLLIN);
}

}  // namespace mote::server
