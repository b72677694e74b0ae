// What the front holds its clients to. The defaults are those of a server that strangers may reach.
#ifndef MOTE_EDGE_SERVER_HTTP_OPTIONS_H_
#define MOTE_EDGE_SERVER_HTTP_OPTIONS_H_

#include <stdint.h>

#include <string>
#include <vector>

namespace mote::server {

// One request's size. Bytes, without line ends; a request at a limit is served, one beyond it is refused.
struct ReaderLimits {
  uint32_t request_line = 8 << 10;  // else 414
  uint32_t header_line = 8 << 10;   // else 431
  uint32_t fields = 100;            // else 431
  uint32_t head = 32 << 10;         // request line and all fields, line ends included; else 431
  uint32_t query_parts = 100;       // else 414: names and values take more memory than the bytes that ask for them
  uint32_t chunk_extras = 1 << 10;  // bytes of chunk extensions in one body; else 400
};

struct TlsOptions {
  std::string certificate;  // PEM files: the chain, leaf first
  std::string key;
  std::string client_ca;        // who signs clients' certificates; "": clients have none
  std::string crl;              // revocation lists of its CAs; "": none is looked at
  bool require_client = false;  // with client_ca: refuse clients without a certificate
  bool allow_tls12 = false;     // besides 1.3
};

struct FrontOptions {
  // "127.0.0.1:8080", "[::1]:0" (0: any free port), "unix:/run/mote.sock". TLS is spoken on the former, where `tls`
  // has a certificate.
  std::vector<std::string> listen = {"127.0.0.1:8080"};
  uint32_t backlog = 1024;
  uint32_t socket_mode = 0600;  // of a socket file
  TlsOptions tls;

  ReaderLimits reader;
  uint64_t body_bytes = 2 << 20;         // of a route that does not say `large_body`; else 413
  uint64_t large_body_bytes = 24 << 20;  // of one that does
  uint64_t all_bodies_bytes = 1 << 30;   // of all bodies in memory at once; else 503

  uint32_t connections = 2048;               // at once; further ones are answered 503 and closed
  uint32_t connections_per_peer = 64;        // of one address (IPv6: one /64)
  bool limit_local = false;                  // hold loopback and socket files to connections_per_peer, too
  std::vector<std::string> proxies;          // "10.0.0.7", "10.1.0.0/16", "unix": whose X-Forwarded-For is believed
  uint64_t stream_buffer_bytes = 256 << 10;  // a reader further behind is cut off

  // Seconds.
  double handshake_seconds = 10;    // TLS
  double head_seconds = 10;         // from the first byte, or from the connection where it is the first request
  double body_window_seconds = 10;  // each such window brings body_bytes_per_second on average, or 408
  double body_bytes_per_second = 1024;
  double body_seconds = 300;  // the whole body
  double idle_seconds = 15;   // between two requests
  double stall_seconds = 20;  // in which a reader must take 64 KiB, or all there is

  uint32_t workers = 2;             // request threads kept
  uint32_t most_workers = 8;        // while requests wait
  double worker_idle_seconds = 10;  // after which one above `workers` ends

  double lame_duck_seconds = 5;  // between BeginDrain and the end of accepting
  double drain_seconds = 30;     // from then until streams are told
  double farewell_seconds = 1;   // from then until they are cut
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_HTTP_OPTIONS_H_
