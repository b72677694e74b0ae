// One GET of an image over HTTP/1.1, with or without TLS, held to a deadline, a size and where it may go.
#ifndef MOTE_EDGE_SERVER_FETCH_DOWNLOAD_H_
#define MOTE_EDGE_SERVER_FETCH_DOWNLOAD_H_

#include <stdint.h>
#include <sys/socket.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "edge/server/fetch/image_url.h"
#include "engine/api/mote.hpp"

struct ssl_ctx_st;

namespace mote::server {

// Addresses of a host; empty where there are none. The system's, where it is empty.
using Resolve = std::function<std::vector<sockaddr_storage>(const std::string& host, uint16_t port)>;

// What downloads share: whom TLS believes. Any thread.
class TlsTrust {
 public:
  // `ca`: a file of certificates (PEM) in place of the system's; "". Errors name the file.
  static Result<std::shared_ptr<TlsTrust>> Load(const std::string& ca);
  ~TlsTrust();
  ssl_ctx_st* context() const { return context_; }

 private:
  explicit TlsTrust(ssl_ctx_st* context) : context_(context) {}
  ssl_ctx_st* const context_;
};

struct DownloadLimits {
  uint64_t most_bytes = 16 << 20;
  double deadline = 0;              // of Now()
  std::function<bool()> cancelled;  // asked every tenth of a second
  Resolve resolve;
};

// The file. Blocks. The name is looked up once, and the connection goes to one of the addresses that were checked; no
// redirect is followed, no proxy used, no cookie sent. Errors say what came, and nothing of the network behind it.
Result<std::string> Download(const ImageUrl& url, const TlsTrust& trust, const DownloadLimits& limits);

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_FETCH_DOWNLOAD_H_
