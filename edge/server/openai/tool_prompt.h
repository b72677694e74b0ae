// Tools for models whose chat template knows none: told of in the system's message, calls and results as text.
#ifndef MOTE_EDGE_SERVER_OPENAI_TOOL_PROMPT_H_
#define MOTE_EDGE_SERVER_OPENAI_TOOL_PROMPT_H_

#include <optional>
#include <string>

#include "edge/server/openai/tools.h"
#include "edge/server/serving/task.h"

namespace mote::server {

// Where the template of the task's model does not mention tools, rewrites the messages so that it need not: what a
// template leaves out is left out silently. Other tasks stay as they are.
void FitTools(const Service& service, Task* task);

// Where calls that the model may make must have a form (ToolUse::call_schema), holds the answer to it from the mark on
// that begins a call. After FitTools. 400 where the template has no such mark in its text, and a function is strict.
std::optional<ApiError> HoldCalls(const Service& service, const ToolUse& use, Task* task);

// The chat template of a model; "" where it has none, or there is no such model.
std::string TemplateOf(const Service& service, const std::string& name);

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_OPENAI_TOOL_PROMPT_H_
