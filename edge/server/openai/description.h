// The bytes of openapi.json. cmake/MoteDescription.cmake writes what defines them.
#ifndef MOTE_EDGE_SERVER_OPENAI_DESCRIPTION_H_
#define MOTE_EDGE_SERVER_OPENAI_DESCRIPTION_H_

#include <stddef.h>

namespace mote::server {

extern const unsigned char kDescription[];
extern const size_t kDescriptionSize;

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_OPENAI_DESCRIPTION_H_
