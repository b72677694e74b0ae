// Base64 (RFC 4648, section 4), strict.
#ifndef MOTE_EDGE_SERVER_OPENAI_BASE64_H_
#define MOTE_EDGE_SERVER_OPENAI_BASE64_H_

#include <stdint.h>

#include <string>
#include <string_view>

namespace mote::server {

// Appends the bytes to *out; false where `text` is not base64 in the one form that its bytes have: padded, without
// spaces, without bits that stand for nothing.
bool DecodeBase64(std::string_view text, std::string* out);

std::string EncodeBase64(std::string_view bytes);

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_OPENAI_BASE64_H_
