// Values from anyone as text that a terminal, a JSON reader and a person can be shown.
#ifndef MOTE_EDGE_SERVER_OPS_LOG_TEXT_H_
#define MOTE_EDGE_SERVER_OPS_LOG_TEXT_H_

#include <string>
#include <string_view>

#include "edge/server/ops/log.h"

namespace mote::server {

// The inside of a JSON string: also what is no control character of JSON but one of terminals (C1) or of reading
// direction is escaped; broken UTF-8 becomes U+FFFD. At most `most` bytes of `text` are looked at.
std::string EscapeText(std::string_view text, size_t most = 2048);

// True for names whose values are secrets.
bool IsSecretName(std::string_view name);
// What follows "Bearer" becomes "[hidden]".
std::string HideTokens(std::string_view text);

// ' name=value' with quotes where they are needed, or ',"name":value'.
void AppendField(const LogField& field, LogFormat format, std::string* line);

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_OPS_LOG_TEXT_H_
