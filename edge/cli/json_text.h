// JSON as the commands print it.
#ifndef MOTE_EDGE_CLI_JSON_TEXT_H_
#define MOTE_EDGE_CLI_JSON_TEXT_H_

#include <string>

namespace mote::cli {

// For either of nlohmann's kinds. Names of files and of tensors may be any bytes: what is no UTF-8 becomes U+FFFD,
// where the library would throw.
template <class Json>
std::string JsonText(const Json& json, int indent = -1) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace mote::cli

#endif  // MOTE_EDGE_CLI_JSON_TEXT_H_
