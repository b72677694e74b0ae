// What the text must be: response_format, grammar and json_schema to the constraint of a task.
#ifndef MOTE_EDGE_SERVER_OPENAI_FORMAT_H_
#define MOTE_EDGE_SERVER_OPENAI_FORMAT_H_

#include <optional>

#include "edge/server/openai/fields.h"
#include "edge/server/openai/limits.h"
#include "edge/server/serving/task.h"

namespace mote::server {

void AddFormatFields(const OpenAiLimits& limits, Table* table);

// Of a body that was held against its table.
std::optional<ApiError> ReadFormat(const Json& body, const OpenAiLimits& limits, Task* task);

// {"type":"text"|"json_object"|"json_schema"|"grammar", ...}: response_format, and text.format of /v1/responses, which
// has the members of json_schema beside its type. `path`: of the format.
std::optional<ApiError> ReadFormatObject(const Json& format, const OpenAiLimits& limits, const std::string& path,
                                         Task* task);

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_OPENAI_FORMAT_H_
