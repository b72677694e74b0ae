# The description of the protocol, edge/server/openai/openapi.json, as an array of bytes in mote_server.
set(description ${CMAKE_CURRENT_SOURCE_DIR}/server/openai/openapi.json)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${description})
file(READ ${description} hex HEX)
string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
set(description_source ${CMAKE_CURRENT_BINARY_DIR}/description_bytes.cc)
file(CONFIGURE OUTPUT ${description_source} @ONLY CONTENT "// Made by cmake/MoteDescription.cmake of openapi.json.
#include \"edge/server/openai/description.h\"

namespace mote::server {

const unsigned char kDescription[] = {@bytes@};
const size_t kDescriptionSize = sizeof(kDescription);

}  // namespace mote::server
")
target_sources(mote_server PRIVATE ${description_source})
