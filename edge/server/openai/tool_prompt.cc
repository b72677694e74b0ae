#include "edge/server/openai/tool_prompt.h"

#include <string_view>
#include <utility>

#include "edge/server/openai/json.h"

namespace mote::server {
namespace {

bool TemplateKnowsTools(const Service& service, const std::string& name) {
  const std::vector<ServedModel> models = service.Models();
  for (const ServedModel& model : models) {
    if (model.name != name && !(name.empty() && &model == &models.front())) continue;
    const char* text = model.info.chat_template;
    return text != nullptr && std::string_view(text).find("tool") != std::string_view::npos;
  }
  return true;  // the service refuses it
}

// The form that ToolParser reads first.
std::string Written(const std::string& extra_json) {
  Json extra;
  if (ParseJson(extra_json, &extra)) return "";
  std::string text;
  const auto calls = extra.find("tool_calls");
  if (calls == extra.end()) return "";
  for (const Json& call : *calls) {
    if (!text.empty()) text += '\n';
    text += "<tool_call>\n" + Dump(call["function"]) + "\n</tool_call>";
  }
  return text;
}

}  // namespace

void FitTools(const Service& service, Task* task) {
  bool needed = !task->tools_json.empty();
  for (const ChatMessage& message : task->messages) {
    needed = needed || message.role == "tool" || message.extra_json.find("\"tool_calls\"") != std::string::npos;
  }
  if (!needed || TemplateKnowsTools(service, task->model)) return;
  for (ChatMessage& message : task->messages) {
    if (message.role == "tool") {
      message.role = "user";
      message.content = "<tool_response>\n" + message.content + "\n</tool_response>";
    } else if (std::string calls = Written(message.extra_json); !calls.empty()) {
      if (!message.content.empty()) message.content += '\n';
      message.content += calls;
      message.extra_json.clear();
    }
  }
  if (task->tools_json.empty()) return;
  const std::string told =
      "You may call these functions:\n" + std::exchange(task->tools_json, {}) +
      "\nTo call one, answer with\n<tool_call>\n{\"name\": ..., \"arguments\": {...}}\n</tool_call>";
  if (!task->messages.empty() && task->messages.front().role == "system") {
    task->messages.front().content += "\n\n" + told;
  } else {
    task->messages.insert(task->messages.begin(), {"system", told, ""});
  }
}

}  // namespace mote::server
