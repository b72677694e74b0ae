#include "edge/server/fetch/image_url.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include <algorithm>

#include "edge/server/config/values.h"

namespace mote::server {
namespace {

constexpr size_t kMostUrl = 2048;
constexpr size_t kMostHost = 253;

bool IsVisible(char c) {
  return c > ' ' && c < 0x7F;
}

// A name of letters, digits, '-' and '.', whose last part is no number: what some resolvers take for an address
// (2130706433, 0x7f.1, 017700000001) is none here.
bool IsName(std::string_view name) {
  if (name.empty() || name.size() > kMostHost || name.front() == '.' || name.back() == '.') return false;
  if (name.find("..") != std::string_view::npos) return false;
  std::string_view last;
  for (const std::string_view label : Split(name, '.')) {
    const bool fits = !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
                      label.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string_view::npos;
    if (!fits) return false;
    last = label;
  }
  return !(last.find_first_not_of("0123456789") == std::string_view::npos || last.starts_with("0x"));
}

// Host and port. `address_needs_port`: one that is no name must tell it.
bool ReadAuthority(std::string_view text, bool address_needs_port, ImageHost* place) {
  std::string_view host = text;
  std::string_view port;
  bool has_port = false;
  bool bracketed = false;
  if (text.starts_with("[")) {
    const size_t end = text.find(']');
    if (end == std::string_view::npos) return false;
    host = text.substr(1, end - 1);
    bracketed = true;
    if (end + 1 < text.size()) {
      if (text[end + 1] != ':') return false;
      has_port = true;
      port = text.substr(end + 2);
    }
  } else if (const size_t colon = text.find(':'); colon != std::string_view::npos) {
    host = text.substr(0, colon);
    has_port = true;
    port = text.substr(colon + 1);
  }
  place->host = LowerCase(host);
  unsigned char bytes[16];
  place->numeric = inet_pton(bracketed ? AF_INET6 : AF_INET, place->host.c_str(), bytes) == 1;
  if (place->numeric) {
    char canonical[INET6_ADDRSTRLEN];
    if (inet_ntop(bracketed ? AF_INET6 : AF_INET, bytes, canonical, sizeof(canonical)) == nullptr) return false;
    place->host = canonical;
  } else if (bracketed || !IsName(place->host)) {
    return false;
  }
  place->port = place->tls ? 443 : 80;
  if (!has_port) return !(place->numeric && address_needs_port);
  const std::optional<uint64_t> number = port.size() <= 5 ? ReadCount(port) : std::nullopt;
  if (!number || *number == 0 || *number > 65535) return false;
  place->port = static_cast<uint16_t>(*number);
  return true;
}

// Takes the scheme away. False where it is another one.
bool TakeScheme(std::string_view* text, bool* tls) {
  for (const std::string_view scheme : {std::string_view("https://"), std::string_view("http://")}) {
    if (LowerCase(text->substr(0, scheme.size())) != scheme) continue;
    *tls = scheme.size() == 8;
    text->remove_prefix(scheme.size());
    return true;
  }
  return false;
}

// `bits` of the prefix.
struct AddressBlock {
  uint32_t address;
  int bits;
};

bool IsPublic4(uint32_t address) {
  static constexpr AddressBlock kOthers[] = {
      {0x00000000, 8},   // this host
      {0x0A000000, 8},   // private
      {0x64400000, 10},  // providers' (CGNAT)
      {0x7F000000, 8},   // loopback
      {0xA9FE0000, 16},  // link-local, with clouds' metadata
      {0xAC100000, 12},  // private
      {0xC0000000, 24},  // protocol assignments
      {0xC0000200, 24},  // documentation
      {0xC0586300, 24},  // 6to4 relays
      {0xC0A80000, 16},  // private
      {0xC6120000, 15},  // benchmarks
      {0xC6336400, 24},  // documentation
      {0xCB007100, 24},  // documentation
      {0xE0000000, 3},   // multicast, reserved, broadcast
  };
  return std::none_of(std::begin(kOthers), std::end(kOthers), [&](const AddressBlock& network) {
    return (address ^ network.address) >> (32 - network.bits) == 0;
  });
}

bool IsPublic6(const unsigned char* a) {
  if ((a[0] & 0xE0) != 0x20) return false;                                         // only 2000::/3 is given out
  if (a[0] == 0x20 && a[1] == 0x02) return false;                                  // 6to4
  if (a[0] == 0x20 && a[1] == 0x01 && (a[2] & 0xFE) == 0) return false;            // 2001::/23: Teredo and others
  if (a[0] == 0x20 && a[1] == 0x01 && a[2] == 0x0D && a[3] == 0xB8) return false;  // documentation
  return !(a[0] == 0x3F && a[1] == 0xFF && (a[2] & 0xF0) == 0);                    // documentation
}

}  // namespace

std::optional<ImageHost> ReadImageHost(std::string_view text) {
  ImageHost place;
  text = Trim(text);
  if (!TakeScheme(&text, &place.tls) && text.find("://") != std::string_view::npos) return std::nullopt;
  if (!ReadAuthority(text, /*address_needs_port=*/true, &place)) return std::nullopt;
  return place;
}

std::optional<ImageUrl> ReadImageUrl(std::string_view text) {
  ImageUrl url;
  if (text.size() > kMostUrl || !std::all_of(text.begin(), text.end(), IsVisible)) return std::nullopt;
  if (text.find_first_of("\\#\"<>^`{|}") != std::string_view::npos || !TakeScheme(&text, &url.place.tls)) {
    return std::nullopt;
  }
  const size_t end = std::min(text.find_first_of("/?"), text.size());
  if (!ReadAuthority(text.substr(0, end), /*address_needs_port=*/false, &url.place)) return std::nullopt;
  const bool v6 = url.place.host.find(':') != std::string::npos;
  url.authority = v6 ? "[" + url.place.host + "]" : url.place.host;
  if (url.place.port != (url.place.tls ? 443 : 80)) url.authority += ":" + std::to_string(url.place.port);
  url.target = text.substr(end);
  if (url.target.empty() || url.target[0] == '?') url.target.insert(0, "/");
  return url;
}

bool IsPublicAddress(const sockaddr& address) {
  if (address.sa_family == AF_INET) {
    return IsPublic4(ntohl(reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr));
  }
  return address.sa_family == AF_INET6 && IsPublic6(reinterpret_cast<const sockaddr_in6&>(address).sin6_addr.s6_addr);
}

bool MayConnect(const ImageHost& place, const sockaddr& address) {
  if (!place.numeric) return IsPublicAddress(address);
  unsigned char bytes[16];
  const int family = place.host.find(':') == std::string::npos ? AF_INET : AF_INET6;
  if (address.sa_family != family || inet_pton(family, place.host.c_str(), bytes) != 1) return false;
  const void* const other = family == AF_INET
                                ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in&>(address).sin_addr)
                                : static_cast<const void*>(&reinterpret_cast<const sockaddr_in6&>(address).sin6_addr);
  return memcmp(bytes, other, family == AF_INET ? 4 : 16) == 0;
}

}  // namespace mote::server
