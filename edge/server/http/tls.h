// TLS of the front's connections, by OpenSSL, over nonblocking sockets.
#ifndef MOTE_EDGE_SERVER_HTTP_TLS_H_
#define MOTE_EDGE_SERVER_HTTP_TLS_H_

#include <stddef.h>

#include <memory>
#include <string>

#include "edge/server/http/options.h"
#include "engine/api/mote.hpp"

struct ssl_ctx_st;
struct ssl_st;

namespace mote::server {

// What a read, a write or a handshake came to.
enum class Io {
  kDone,
  kWantRead,   // again when the socket can be read
  kWantWrite,  // again when it can be written
  kClosed,     // by the other side, or broken: of no further use
};

// One connection's. The front's thread.
class TlsSession {
 public:
  explicit TlsSession(ssl_st* ssl) : ssl_(ssl) {}
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  Io Handshake();
  Io Read(char* out, size_t size, size_t* taken);
  Io Write(const char* bytes, size_t size, size_t* taken);
  // Tells the other side that nothing follows.
  void Shutdown();
  // Subject of the client's verified certificate, as of RFC 2253 ("CN=camera-7,O=Acme"); "": it gave none.
  std::string PeerSubject() const;

 private:
  Io After(int result);
  ssl_st* const ssl_;
};

// Certificate, key and rules, as they were when the files were read. Immutable.
class TlsContext {
 public:
  // Errors name the file and OpenSSL's reason.
  static Result<std::shared_ptr<TlsContext>> Load(const TlsOptions& options);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  // Null where memory is out.
  std::unique_ptr<TlsSession> Accept(int fd) const;

 private:
  explicit TlsContext(ssl_ctx_st* context) : context_(context) {}
  ssl_ctx_st* const context_;
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_HTTP_TLS_H_
