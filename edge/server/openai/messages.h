// The messages of a request to messages and images of a task.
#ifndef MOTE_EDGE_SERVER_OPENAI_MESSAGES_H_
#define MOTE_EDGE_SERVER_OPENAI_MESSAGES_H_

#include <optional>
#include <string>
#include <string_view>

#include "edge/server/openai/fields.h"
#include "edge/server/openai/limits.h"
#include "edge/server/serving/task.h"

namespace mote::server {

// Each image leaves MOTE_IMAGE_MARK where it stood, and its file in task->images. The texts of a body whose images are
// taken are moved out of it. `path`: "messages".
std::optional<ApiError> ReadMessages(Json& messages, const OpenAiLimits& limits, std::string_view path, Task* task);

// One of them. `path`: "messages[2]".
std::optional<ApiError> ReadMessage(const Json& message, const OpenAiLimits& limits, const std::string& path,
                                    Task* task);

// After the last message: with images, 400 where a text holds the mark itself, which would put them elsewhere.
std::optional<ApiError> CheckMarks(const Task& task, const std::string& path);

// A data URL (RFC 2397) of an image to its file, appended to task->images; an address on a host of the limits' list, to
// task->remote_images. `path`: of the URL.
std::optional<ApiError> ReadImage(const std::string& url, const OpenAiLimits& limits, const std::string& path,
                                  Task* task);

// 400 where a text holds U+0000, at which the engine would end it.
std::optional<ApiError> CheckText(std::string_view text, const std::string& path);

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_OPENAI_MESSAGES_H_
