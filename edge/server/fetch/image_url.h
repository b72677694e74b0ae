// Addresses of images on other hosts: which a request may name, and where they may lead.
#ifndef MOTE_EDGE_SERVER_FETCH_IMAGE_URL_H_
#define MOTE_EDGE_SERVER_FETCH_IMAGE_URL_H_

#include <stdint.h>
#include <sys/socket.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mote::server {

// A host that images may be fetched from, exactly: "images.example", "http://cam.local:8080", "http://10.0.0.7:8080".
struct ImageHost {
  bool tls = true;
  std::string host;      // in lower case, without brackets
  bool numeric = false;  // an address, and so a place that the operator has named
  uint16_t port = 443;

  bool operator==(const ImageHost&) const = default;
};

// What a setting names. https unless it begins with http://; an address needs its port. Nothing where it is neither.
std::optional<ImageHost> ReadImageHost(std::string_view text);

struct ImageUrl {
  ImageHost place;
  std::string target;     // path and query, as the request line has them
  std::string authority;  // as the Host header has it
};

// http and https alone, of visible ASCII, at most 2048 bytes; without user, fragment, backslash and anything else that
// two programs read in two ways.
std::optional<ImageUrl> ReadImageUrl(std::string_view text);

// Whether the socket's address is one of the public internet's: not of this host, of a private network, of a provider's
// (100.64.0.0/10), link-local, multicast, reserved, or one that holds an IPv4 address in IPv6 (mapped, 6to4, NAT64).
bool IsPublicAddress(const sockaddr& address);

// Whether a connection may go there: to the address that the host's entry names, or to a public one.
bool MayConnect(const ImageHost& place, const sockaddr& address);

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_FETCH_IMAGE_URL_H_
