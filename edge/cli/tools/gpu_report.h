// GPUs for mote doctor.
#ifndef MOTE_EDGE_CLI_TOOLS_GPU_REPORT_H_
#define MOTE_EDGE_CLI_TOOLS_GPU_REPORT_H_

#include <nlohmann/json.hpp>
#include <string>

#include "edge/cli/console.h"

namespace mote::cli {

// {"gpus": [..], "reason": why there are none}.
nlohmann::ordered_json GpusToJson();
std::string GpusToText(const nlohmann::ordered_json& gpus, const Colors& colors);

}  // namespace mote::cli

#endif  // MOTE_EDGE_CLI_TOOLS_GPU_REPORT_H_
