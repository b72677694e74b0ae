// GET /openapi.json: openapi.json of this folder, which the build puts into the program.
#include "edge/server/openai/description.h"

#include <memory>
#include <string>

#include "edge/server/openai/endpoint.h"
#include "edge/server/openai/shapes.h"

namespace mote::server {

Handler DescriptionHandler() {
  return [](const Request&, std::shared_ptr<Reply> reply) {
    SendJson(*reply, std::string(reinterpret_cast<const char*>(kDescription), kDescriptionSize));
  };
}

}  // namespace mote::server
