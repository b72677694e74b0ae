#include "edge/server/http/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include <algorithm>

namespace mote::server {
namespace {

// False where `text` is not a decimal number up to `most`.
bool ParseNumber(std::string_view text, uint32_t most, uint32_t* number) {
  if (text.empty() || text.size() > 9 || text.find_first_not_of("0123456789") != std::string_view::npos) return false;
  *number = 0;
  for (const char digit : text) *number = *number * 10 + static_cast<uint32_t>(digit - '0');
  return *number <= most;
}

const sockaddr_in& AsV4(const sockaddr_storage& storage) {
  return reinterpret_cast<const sockaddr_in&>(storage);
}
const sockaddr_in6& AsV6(const sockaddr_storage& storage) {
  return reinterpret_cast<const sockaddr_in6&>(storage);
}

IpBytes BytesOf(const sockaddr_storage& storage) {
  IpBytes ip = {};
  if (storage.ss_family == AF_INET6) {
    memcpy(ip.data(), &AsV6(storage).sin6_addr, 16);
  } else if (storage.ss_family == AF_INET) {
    ip[10] = ip[11] = 0xff;
    memcpy(ip.data() + 12, &AsV4(storage).sin_addr, 4);
  }
  return ip;
}

bool IsMapped(const IpBytes& ip) {
  return std::all_of(ip.begin(), ip.begin() + 10, [](uint8_t b) { return b == 0; }) && ip[10] == 0xff && ip[11] == 0xff;
}

std::string Format(const IpBytes& ip) {
  char text[INET6_ADDRSTRLEN] = "";
  if (IsMapped(ip)) {
    inet_ntop(AF_INET, ip.data() + 12, text, sizeof(text));
  } else {
    inet_ntop(AF_INET6, ip.data(), text, sizeof(text));
  }
  return text;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

}  // namespace

bool ParseIp(const std::string& text, IpBytes* ip) {
  *ip = {};
  if (inet_pton(AF_INET6, text.c_str(), ip->data()) == 1) return true;
  (*ip)[10] = (*ip)[11] = 0xff;
  return inet_pton(AF_INET, text.c_str(), ip->data() + 12) == 1;
}

Result<ListenAddress> ParseListenAddress(const std::string& text) {
  ListenAddress address;
  if (text.substr(0, 5) == "unix:") {
    address.file = text.substr(5);
    auto& local = reinterpret_cast<sockaddr_un&>(address.storage);
    if (address.file.empty() || address.file.size() >= sizeof(local.sun_path) ||
        address.file.find('\0') != std::string::npos) {
      return Error{MOTE_INVALID_ARGUMENT, "listen address \"" + text + "\": the socket's path must have 1 to " +
                                              std::to_string(sizeof(local.sun_path) - 1) + " bytes"};
    }
    local.sun_family = AF_UNIX;
    memcpy(local.sun_path, address.file.c_str(), address.file.size() + 1);
    address.size = sizeof(sockaddr_un);
    return address;
  }
  const Error wrong = {
      MOTE_INVALID_ARGUMENT,
      "listen address \"" + text + "\": neither ADDRESS:PORT (127.0.0.1:8080, [::1]:8080) nor unix:PATH"};
  const size_t colon = text.rfind(':');
  uint32_t port = 0;
  if (colon == std::string::npos || !ParseNumber(std::string_view(text).substr(colon + 1), 65535, &port)) return wrong;
  std::string host = text.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(address.storage);
    if (inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &v6.sin6_addr) != 1) return wrong;
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(static_cast<uint16_t>(port));
    address.size = sizeof(v6);
  } else {
    auto& v4 = reinterpret_cast<sockaddr_in&>(address.storage);
    if (inet_pton(AF_INET, host.c_str(), &v4.sin_addr) != 1) return wrong;
    v4.sin_family = AF_INET;
    v4.sin_port = htons(static_cast<uint16_t>(port));
    address.size = sizeof(v4);
  }
  return address;
}

std::string FormatAddress(const sockaddr_storage& storage) {
  if (storage.ss_family == AF_UNIX) {
    return std::string("unix:") + reinterpret_cast<const sockaddr_un&>(storage).sun_path;
  }
  if (storage.ss_family == AF_INET6) {
    return "[" + FormatHost(storage) + "]:" + std::to_string(ntohs(AsV6(storage).sin6_port));
  }
  return FormatHost(storage) + ":" + std::to_string(ntohs(AsV4(storage).sin_port));
}

std::string FormatHost(const sockaddr_storage& storage) {
  return storage.ss_family == AF_UNIX ? "unix" : Format(BytesOf(storage));
}

bool IsLoopback(const sockaddr_storage& storage) {
  if (storage.ss_family == AF_UNIX) return true;
  const IpBytes ip = BytesOf(storage);
  if (IsMapped(ip)) return ip[12] == 127;
  return std::all_of(ip.begin(), ip.end() - 1, [](uint8_t b) { return b == 0; }) && ip[15] == 1;
}

std::string PeerKey(const sockaddr_storage& storage) {
  if (storage.ss_family == AF_UNIX) return "unix";
  const IpBytes ip = BytesOf(storage);
  return std::string(reinterpret_cast<const char*>(ip.data()), IsMapped(ip) ? 16 : 8);
}

Result<TrustedProxies> TrustedProxies::Parse(const std::vector<std::string>& rules) {
  TrustedProxies trusted;
  for (const std::string& rule : rules) {
    if (rule == "unix") {
      trusted.unix_ = true;
      continue;
    }
    Network network;
    const size_t slash = rule.find('/');
    const std::string host = rule.substr(0, slash);
    if (!ParseIp(host, &network.ip)) {
      return Error{MOTE_INVALID_ARGUMENT,
                   "trusted proxy \"" + rule + "\": neither an IP address, nor ADDRESS/BITS, nor unix"};
    }
    const uint32_t most = host.find(':') == std::string::npos ? 32 : 128;
    uint32_t bits = most;
    if (slash != std::string::npos && !ParseNumber(std::string_view(rule).substr(slash + 1), most, &bits)) {
      return Error{MOTE_INVALID_ARGUMENT,
                   "trusted proxy \"" + rule + "\": after the slash stands a number from 0 to " + std::to_string(most)};
    }
    network.bits = static_cast<int>(128 - most + bits);
    trusted.networks_.push_back(network);
  }
  return trusted;
}

bool TrustedProxies::Contains(const std::string& host) const {
  if (host == "unix") return unix_;
  IpBytes ip;
  if (!ParseIp(host, &ip)) return false;
  return std::any_of(networks_.begin(), networks_.end(), [&](const Network& network) {
    for (int bit = 0; bit < network.bits; bit += 8) {
      const int rest = std::min(8, network.bits - bit);
      const int differing = (ip[bit / 8] ^ network.ip[bit / 8]) >> (8 - rest);
      if (differing != 0) return false;
    }
    return true;
  });
}

std::string TrustedProxies::ClientOf(std::string_view forwarded) const {
  while (true) {
    const size_t comma = forwarded.rfind(',');
    const std::string last(Trim(comma == std::string_view::npos ? forwarded : forwarded.substr(comma + 1)));
    IpBytes ip;
    if (!ParseIp(last, &ip)) return "";
    if (!Contains(last) || comma == std::string_view::npos) return Format(ip);
    forwarded = forwarded.substr(0, comma);
  }
}

}  // namespace mote::server
