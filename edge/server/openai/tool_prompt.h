// Tools for models whose chat template knows none: told of in the system's message, calls and results as text.
#ifndef MOTE_EDGE_SERVER_OPENAI_TOOL_PROMPT_H_
#define MOTE_EDGE_SERVER_OPENAI_TOOL_PROMPT_H_

#include "edge/server/serving/task.h"

namespace mote::server {

// Where the template of the task's model does not mention tools, rewrites the messages so that it need not: what a
// template leaves out is left out silently. Other tasks stay as they are.
void FitTools(const Service& service, Task* task);

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_OPENAI_TOOL_PROMPT_H_
