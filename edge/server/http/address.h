// Addresses: where to listen, who has come, whom to believe.
#ifndef MOTE_EDGE_SERVER_HTTP_ADDRESS_H_
#define MOTE_EDGE_SERVER_HTTP_ADDRESS_H_

#include <stdint.h>
#include <sys/socket.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "engine/api/mote.hpp"

namespace mote::server {

// Where to listen: a socket file, or an IP address and a port.
struct ListenAddress {
  std::string file;  // "": TCP
  sockaddr_storage storage = {};
  socklen_t size = 0;
};

// "127.0.0.1:8080", "[::1]:0", "unix:/run/mote.sock". Names are not resolved.
Result<ListenAddress> ParseListenAddress(const std::string& text);

// 16 bytes; IPv4 as ::ffff:a.b.c.d.
using IpBytes = std::array<uint8_t, 16>;

// False where `text` is no IP address.
bool ParseIp(const std::string& text, IpBytes* ip);
// "127.0.0.1:8080", "[::1]:8080", "unix:PATH", for people and for clients.
std::string FormatAddress(const sockaddr_storage& storage);
// "127.0.0.1", "::1"; "unix" of a socket file.
std::string FormatHost(const sockaddr_storage& storage);
bool IsLoopback(const sockaddr_storage& storage);

// What connections of one peer are counted under: an IPv4 address, or the /64 of an IPv6 address.
std::string PeerKey(const sockaddr_storage& storage);

// Whose X-Forwarded-For is believed.
class TrustedProxies {
 public:
  // "10.0.0.7", "10.1.0.0/16", "fd00::/8", "unix".
  static Result<TrustedProxies> Parse(const std::vector<std::string>& rules);
  bool Contains(const std::string& host) const;
  // The last address in `forwarded` that is no trusted proxy itself; "" where there is none or it is no address.
  std::string ClientOf(std::string_view forwarded) const;
  bool empty() const { return networks_.empty() && !unix_; }

 private:
  struct Network {
    IpBytes ip = {};
    int bits = 128;
  };
  std::vector<Network> networks_;
  bool unix_ = false;
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_HTTP_ADDRESS_H_
