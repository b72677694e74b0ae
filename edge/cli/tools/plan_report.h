// mote doctor --plan: what memory bandwidth allows on machines that are not here.
#ifndef MOTE_EDGE_CLI_TOOLS_PLAN_REPORT_H_
#define MOTE_EDGE_CLI_TOOLS_PLAN_REPORT_H_

#include <nlohmann/json.hpp>
#include <string>

namespace mote::cli {

// Of a device of engine/run/planner.h by name, or of all with "all". WrongWords names those that there are.
nlohmann::ordered_json PlanToJson(const std::string& device);
// As tables in Markdown: docs/roofline.md holds this output.
std::string PlanToText(const nlohmann::ordered_json& plan);

}  // namespace mote::cli

#endif  // MOTE_EDGE_CLI_TOOLS_PLAN_REPORT_H_
