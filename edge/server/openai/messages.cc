#include "edge/server/openai/messages.h"

#include <strings.h>

#include <algorithm>
#include <utility>

#include "edge/server/openai/base64.h"

namespace mote::server {
namespace {

const Table& MessageFields() {
  static const Table* table = new Table{
      {"role", Kind::kString, 0, 0, "system|developer|user|assistant|tool|function"},
      {"content", Kind::kAny},
      {"name", Kind::kString, 1, 64},
      {"tool_call_id", Kind::kString, 1, 128},
      {"tool_calls", Kind::kArray, 0, 128},
      {"reasoning_content", Kind::kString, 0, 1 << 24},
      {"audio", Kind::kRefused, 0, 0, "mote reads no audio"},
      {"function_call", Kind::kRefused, 0, 0, "use tool_calls"},
      {"refusal", Kind::kIgnored},
      {"annotations", Kind::kIgnored},
  };
  return *table;
}

const Table& CallFields() {
  static const Table* table = new Table{
      {"id", Kind::kString, 1, 128},
      {"type", Kind::kString, 0, 0, "function"},
      {"function", Kind::kObject, 1, 16},
  };
  return *table;
}

// OpenAI's images, and those of the items of /v1/responses.
std::optional<ApiError> ReadImagePart(const Json& part, const OpenAiLimits& limits, const std::string& path,
                                      Task* task) {
  const std::string field = Join(path, "image_url");
  const Json* image = Find(part, "image_url");
  if (image != nullptr && image->is_string()) {
    return ReadImage(image->get_ref<const std::string&>(), limits, field, task);
  }
  const Json* url = image != nullptr ? Find(*image, "url") : nullptr;
  if (url == nullptr || !url->is_string()) {
    return BadField(Join(field, "url"),
                    Join(field, "url") + " must be a data URL: \"data:image/jpeg;base64,...\", and is missing");
  }
  return ReadImage(url->get_ref<const std::string&>(), limits, Join(field, "url"), task);
}

std::optional<ApiError> ReadPart(const Json& part, bool images, const OpenAiLimits& limits, const std::string& path,
                                 std::string* content, Task* task) {
  if (!part.is_object()) return BadField(path, path + " must be an object with a type, not " + Describe(part));
  const Json* type_field = Find(part, "type");
  const std::string type = type_field != nullptr && type_field->is_string() ? type_field->get<std::string>() : "";
  if (type == "text" || type == "input_text" || type == "output_text" || type == "refusal") {
    const char* name = type == "refusal" ? "refusal" : "text";
    const Json* text = Find(part, name);
    if (text == nullptr || !text->is_string()) {
      return BadField(Join(path, name), Join(path, name) + " must be a string");
    }
    if (auto error = CheckText(text->get_ref<const std::string&>(), Join(path, name))) return error;
    *content += text->get_ref<const std::string&>();
    return std::nullopt;
  }
  if (type == "image_url" || type == "input_image") {
    if (!images) return BadField(path, path + " is an image, and only messages of the role \"user\" may have images");
    if (auto error = ReadImagePart(part, limits, path, task)) return error;
    *content += MOTE_IMAGE_MARK;
    return std::nullopt;
  }
  return BadField(Join(path, "type"),
                  Join(path, "type") + " must be \"text\" or \"image_url\"" +
                      (type_field == nullptr ? ", and is missing" : ", not " + Describe(*type_field)));
}

std::optional<ApiError> ReadContent(const Json* content, const std::string& role, const OpenAiLimits& limits,
                                    const std::string& path, std::string* text, Task* task) {
  if (content == nullptr) {
    if (role == "assistant") return std::nullopt;  // where it only calls tools
    return BadField(path, path + " must be a string or an array of parts, and is missing");
  }
  if (content->is_string()) {
    *text = content->get_ref<const std::string&>();
    return CheckText(*text, path);
  }
  if (!content->is_array()) {
    return BadField(path, path + " must be a string or an array of parts, not " + Describe(*content));
  }
  for (size_t i = 0; i < content->size(); ++i) {
    if (auto error = ReadPart((*content)[i], role == "user", limits, Join(path, i), text, task)) return error;
  }
  return std::nullopt;
}

// Templates want arguments as an object, where the protocol has them as JSON in a string.
std::optional<ApiError> ReadCalls(const Json& calls, const std::string& path, Json* out) {
  for (size_t i = 0; i < calls.size(); ++i) {
    const std::string at = Join(path, i);
    if (auto error = CheckFields(calls[i], CallFields(), at)) return error;
    const Json* function = Find(calls[i], "function");
    const Json* name = function != nullptr ? Find(*function, "name") : nullptr;
    if (name == nullptr || !name->is_string()) {
      return BadField(at + ".function.name", at + ".function.name must be the name of a function");
    }
    const Json* arguments = Find(*function, "arguments");
    Json parsed = Json::object();
    if (arguments != nullptr && arguments->is_object()) {
      parsed = *arguments;
    } else if (arguments != nullptr) {
      const bool is_text = arguments->is_string();
      const std::string& text = is_text ? arguments->get_ref<const std::string&>() : std::string();
      if (!is_text || (!text.empty() && ParseJson(text, &parsed)) || !parsed.is_object()) {
        return BadField(at + ".function.arguments", at + ".function.arguments must be a JSON object in a string");
      }
    }
    Json call;
    if (const Json* id = Find(calls[i], "id")) call["id"] = *id;
    call["type"] = "function";
    call["function"]["name"] = *name;
    call["function"]["arguments"] = std::move(parsed);
    out->push_back(std::move(call));
  }
  return std::nullopt;
}

}  // namespace

std::optional<ApiError> ReadMessage(const Json& json, const OpenAiLimits& limits, const std::string& path, Task* task) {
  if (auto error = CheckFields(json, MessageFields(), path)) return error;
  ChatMessage message;
  message.role = GetString(json, "role");
  if (message.role.empty()) {
    return BadField(Join(path, "role"),
                    Join(path, "role") + " must be \"system\", \"user\", \"assistant\" or \"tool\"");
  }
  if (message.role == "developer") message.role = "system";  // what templates know
  if (message.role == "function") message.role = "tool";
  if (auto error =
          ReadContent(Find(json, "content"), message.role, limits, Join(path, "content"), &message.content, task)) {
    return error;
  }
  Json extra = Json::object();
  for (const char* name : {"name", "tool_call_id", "reasoning_content"}) {
    if (const Json* value = Find(json, name)) extra[name] = *value;
  }
  if (const Json* calls = Find(json, "tool_calls"); calls != nullptr && !calls->empty()) {
    if (message.role != "assistant") {
      return BadField(Join(path, "tool_calls"), Join(path, "tool_calls") + " belongs to the role \"assistant\"");
    }
    Json list = Json::array();
    if (auto error = ReadCalls(*calls, Join(path, "tool_calls"), &list)) return error;
    extra["tool_calls"] = std::move(list);
  } else if (Find(json, "content") == nullptr) {
    return BadField(Join(path, "content"), Join(path, "content") + " must be there where there are no tool_calls");
  }
  if (!extra.empty()) message.extra_json = Dump(extra);
  task->messages.push_back(std::move(message));
  return std::nullopt;
}

std::optional<ApiError> CheckText(std::string_view text, const std::string& path) {
  if (text.find('\0') != std::string_view::npos) return BadField(path, path + " must not hold the character U+0000");
  return std::nullopt;
}

namespace {

// An image on another host, to be fetched before the task is begun.
std::optional<ApiError> ReadRemoteImage(const std::string& url, const OpenAiLimits& limits, const std::string& path,
                                        Task* task) {
  const std::optional<ImageUrl> read = ReadImageUrl(url);
  if (!read) {
    return BadField(path, path +
                              " must be an address like https://images.example/cat.jpg, without user, fragment and "
                              "anything that must be escaped");
  }
  const auto& hosts = limits.image_hosts;
  if (std::find(hosts.begin(), hosts.end(), read->place) == hosts.end()) {
    ApiError error = BadField(path, path + ": images may not be fetched from " + (read->place.tls ? "https" : "http") +
                                        "://" + read->authority + "; send the image as a data URL");
    error.code = "image_host_not_allowed";
    return error;
  }
  if (task->images.size() >= limits.images) {
    return BadField(path, "a request may have at most " + std::to_string(limits.images) + " images");
  }
  task->remote_images.push_back({task->images.size(), url, path});
  task->images.emplace_back();
  return std::nullopt;
}

}  // namespace

std::optional<ApiError> ReadImage(const std::string& url, const OpenAiLimits& limits, const std::string& path,
                                  Task* task) {
  constexpr std::string_view kWanted = " must be a data URL: \"data:image/jpeg;base64,...\" (or png, webp)";
  constexpr std::string_view kScheme = "data:image/";
  if (url.size() < kScheme.size() || strncasecmp(url.data(), kScheme.data(), kScheme.size()) != 0) {
    ApiError error = BadField(path, path + std::string(kWanted));
    const std::string_view scheme = std::string_view(url).substr(0, std::min(url.find(':'), size_t{16}));
    if (url.find(':') != std::string::npos) error.message += ", not \"" + std::string(scheme) + ":...\"";
    if (strcasecmp(std::string(scheme).c_str(), "http") == 0 || strcasecmp(std::string(scheme).c_str(), "https") == 0) {
      if (!limits.image_hosts.empty()) return ReadRemoteImage(url, limits, path, task);
      error.message += ". This server fetches nothing from other hosts";
    }
    return error;
  }
  // Of a long string, only its head is looked through.
  const size_t comma = url.find(',');
  const std::string_view head = std::string_view(url).substr(0, std::min(comma, size_t{128}));
  constexpr std::string_view kEncoding = ";base64";
  if (comma == std::string::npos || head.size() < comma || head.size() < kEncoding.size() ||
      strncasecmp(head.data() + head.size() - kEncoding.size(), kEncoding.data(), kEncoding.size()) != 0) {
    return BadField(path, path + std::string(kWanted) + ", and this one is not in base64");
  }
  const std::string_view data = std::string_view(url).substr(comma + 1);
  uint64_t total = data.size() / 4 * 3;
  if (total > limits.image_bytes) {
    return BadField(path, path + " must be an image file of at most " + std::to_string(limits.image_bytes) +
                              " bytes, not " + std::to_string(total));
  }
  for (const std::string& image : task->images) total += image.size();
  if (task->images.size() >= limits.images || total > limits.images_bytes) {
    return BadField(path, "a request may have at most " + std::to_string(limits.images) + " images of " +
                              std::to_string(limits.images_bytes) + " bytes together");
  }
  std::string file;
  if (data.empty() || !DecodeBase64(data, &file)) {
    return BadField(path, path + " must hold padded base64 without spaces, as RFC 4648 section 4 has it");
  }
  task->images.push_back(std::move(file));
  return std::nullopt;
}

std::optional<ApiError> ReadMessages(Json& messages, const OpenAiLimits& limits, std::string_view path, Task* task) {
  for (size_t i = 0; i < messages.size(); ++i) {
    if (auto error = ReadMessage(messages[i], limits, Join(path, i), task)) return error;
    if (!task->images.empty()) messages[i] = nullptr;  // megabytes of base64, no longer needed
  }
  return CheckMarks(*task, std::string(path));
}

std::optional<ApiError> CheckMarks(const Task& task, const std::string& path) {
  if (task.images.empty()) return std::nullopt;
  size_t marks = 0;
  constexpr std::string_view kMark = MOTE_IMAGE_MARK;
  for (const ChatMessage& message : task.messages) {
    for (size_t at = 0; (at = message.content.find(kMark, at)) != std::string::npos; at += kMark.size()) ++marks;
  }
  if (marks == task.images.size()) return std::nullopt;
  return BadField(path, "texts of a request with images must not hold \"" + std::string(kMark) + "\"");
}

}  // namespace mote::server
