#include "edge/server/openai/tool_prompt.h"

#include <string_view>
#include <utility>

#include "edge/server/openai/json.h"

namespace mote::server {
namespace {

// The mark of calls that is plain text; those of other families are control tokens, which no text has.
constexpr std::string_view kCallMark = "<tool_call>";

bool TemplateKnowsTools(const Service& service, const std::string& name) {
  return TemplateOf(service, name).find("tool") != std::string::npos;
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

std::string TemplateOf(const Service& service, const std::string& name) {
  const std::vector<ServedModel> models = service.Models();
  for (const ServedModel& model : models) {
    if (model.name != name && !(name.empty() && &model == &models.front())) continue;
    return model.info.chat_template != nullptr ? model.info.chat_template : "";
  }
  return "";  // the service refuses it
}

std::optional<ApiError> HoldCalls(const Service& service, const ToolUse& use, Task* task) {
  if (use.call_schema.empty()) return std::nullopt;
  const std::string text = TemplateOf(service, task->model);
  // FitTools asks for this form where the template has none of its own.
  if (text.find("tool") != std::string::npos && text.find(kCallMark) == std::string::npos) {
    if (!use.strict) return std::nullopt;  // further calls are left out of the answer
    ApiError error =
        BadField("tools",
                 "tools: this model's template has no mark in its text where calls begin, so that \"strict\" "
                 "holds only with tool_choice \"required\" or a function; leave strict out, or set that");
    error.code = "unsupported_value";
    return error;
  }
  const std::string call = "blanks call blanks \"</tool_call>\"";
  std::string grammar = "root ::= " + call;
  if (!use.single) grammar += " (blanks \"" + std::string(kCallMark) + "\" " + call + ")*";
  grammar += "\nblanks ::= [ \\n]{0,8}\ncall ::= %json " + use.call_schema + "\n";
  task->constraint = Constraint::kGrammar;
  task->constraint_text = std::move(grammar);
  task->constraint_trigger = kCallMark;
  task->constraint_field = "tools";
  return std::nullopt;
}

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
