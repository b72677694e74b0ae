// Tools: what a request offers the model, and the schema that makes it call one.
#ifndef MOTE_EDGE_SERVER_OPENAI_TOOLS_H_
#define MOTE_EDGE_SERVER_OPENAI_TOOLS_H_

#include <optional>
#include <string>
#include <vector>

#include "edge/server/openai/fields.h"
#include "edge/server/openai/limits.h"
#include "edge/server/serving/task.h"

namespace mote::server {

struct ToolUse {
  std::vector<std::string> names;  // of the functions that may be called; none: answers are text
  bool forced = false;             // the task's constraint makes the answer one call
  bool single = false;             // only the first call counts: parallel_tool_calls is false
  bool strict = false;             // a function's arguments must fit its schema
  std::string call_schema;         // without `forced`: what a call must fit, where `single` or `strict`; else ""
};

void AddToolFields(const OpenAiLimits& limits, Table* table);

// tools, tool_choice, parallel_tool_calls of a body that was held against its table. Sets task->tools_json and, where
// a call is required, the constraint; HoldCalls adds that of calls which the model may make. After ReadFormat.
std::optional<ApiError> ReadTools(const Json& body, const OpenAiLimits& limits, Task* task, ToolUse* use);

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_OPENAI_TOOLS_H_
