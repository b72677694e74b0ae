// The options of a command, as the engine's own headers want them.
#ifndef MOTE_EDGE_CLI_TOOLS_ENGINE_PARAMS_H_
#define MOTE_EDGE_CLI_TOOLS_ENGINE_PARAMS_H_

#include "edge/cli/options.h"
#include "engine/run/model.h"

namespace mote::cli {

// Everything that the options say, but for `log` and `progress`.
ModelParams EngineParams(const ModelOptions& options);

}  // namespace mote::cli

#endif  // MOTE_EDGE_CLI_TOOLS_ENGINE_PARAMS_H_
