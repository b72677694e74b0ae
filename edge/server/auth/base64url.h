// Base64 with the alphabet for URLs (RFC 4648, 5), strictly: no padding, no other characters, one spelling of each
// text.
#ifndef MOTE_EDGE_SERVER_AUTH_BASE64URL_H_
#define MOTE_EDGE_SERVER_AUTH_BASE64URL_H_

#include <optional>
#include <string>
#include <string_view>

namespace mote::server {

std::string WriteBase64Url(std::string_view bytes);
// Nothing where the text could not have come from WriteBase64Url.
std::optional<std::string> ReadBase64Url(std::string_view text);

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_AUTH_BASE64URL_H_
