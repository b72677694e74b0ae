#include "engine/text/chat_template.h"

#include <algorithm>
#include <utility>

#include "engine/text/jinja_ast.h"
#include "engine/text/jinja_interp.h"
#include "engine/text/jinja_parser.h"
#include "engine/text/json_reader.h"

namespace mote {

using jinja::Dict;
using jinja::Heap;
using jinja::Kind;
using jinja::Value;

struct ChatTemplate::Impl {
  jinja::Ast ast;
  bool wants_parts = false;
};

namespace {

// Input text lives as long as the rendering: values may view it. `field` names it in messages.
Result<Value> ReadField(const std::string& text, Kind kind, const std::string& field, Heap* heap) {
  Result<Value> value = jinja::ReadJson(text, heap);
  if (!value.ok()) return value.status().Within(field);
  if (value->kind != kind) {
    return Error(Code::kInvalidArgument, "%s: expected a JSON %s", field.c_str(),
                 kind == Kind::kList ? "array" : "object");
  }
  return value;
}

Status CheckSizes(const ChatInput& input) {
  // Strings of the interpreter are at most 2^30 bytes; nothing that comes near is a chat.
  constexpr size_t kMost = size_t{1} << 30;
  size_t longest =
      std::max({input.tools_json.size(), input.extra_json.size(), input.bos_token.size(), input.eos_token.size()});
  for (const ChatMessage& message : input.messages) {
    longest = std::max({longest, message.role.size(), message.content.size(), message.extra_json.size()});
  }
  if (longest <= kMost) return Status();
  return Error(Code::kInvalidArgument, "chat input: a field of %zu bytes, at most %zu are accepted", longest, kMost);
}

Result<Value> MessageValue(const ChatMessage& message, size_t index, bool parts, Heap* heap) {
  Value value = heap->NewDict();
  const auto set = [&](std::string_view key, std::string_view text) {
    value.dict->Set(Value::String(heap->View(key)), Value::String(heap->View(text)));
  };
  set("role", message.role);
  set("content", message.content);
  if (parts) {
    Value part = heap->NewDict();
    part.dict->Set(Value::String(heap->View("type")), Value::String(heap->View("text")));
    part.dict->Set(Value::String(heap->View("text")), Value::String(heap->View(message.content)));
    Value list = heap->NewList();
    list.list->items.push_back(part);
    value.dict->Set(Value::String(heap->View("content")), list);
  }
  if (message.extra_json.empty()) return value;
  const std::string field = "messages[" + std::to_string(index) + "].extra_json";
  MOTE_ASSIGN_OR_RETURN(const Value extra, ReadField(message.extra_json, Kind::kDict, field, heap));
  for (const Dict::Entry& entry : extra.dict->entries) value.dict->Set(entry.key, entry.value);
  return value;
}

Status SetVariables(const ChatInput& input, bool parts, jinja::Interp* interp) {
  Heap* heap = &interp->heap();
  MOTE_RETURN_IF_ERROR(CheckSizes(input));
  static constexpr std::string_view kFixed[] = {"messages", "tools", "add_generation_prompt", "bos_token", "eos_token"};
  interp->SetGlobal("tools", Value::None());
  interp->SetGlobal("documents", Value::None());
  if (!input.extra_json.empty()) {
    MOTE_ASSIGN_OR_RETURN(const Value extra, ReadField(input.extra_json, Kind::kDict, "extra_json", heap));
    for (const Dict::Entry& entry : extra.dict->entries) {
      for (const std::string_view fixed : kFixed) {
        if (entry.key.str->view() != fixed) continue;
        return Error(Code::kInvalidArgument, "extra_json: \"%s\" has a field of its own in the input",
                     std::string(fixed).c_str());
      }
      interp->SetGlobal(entry.key.str->view(), entry.value);
    }
  }
  Value messages = heap->NewList();
  for (size_t i = 0; i < input.messages.size(); ++i) {
    MOTE_ASSIGN_OR_RETURN(const Value message, MessageValue(input.messages[i], i, parts, heap));
    messages.list->items.push_back(message);
  }
  interp->SetGlobal("messages", messages);
  interp->SetGlobal("add_generation_prompt", Value::Bool(input.add_generation_prompt));
  interp->SetGlobal("bos_token", Value::String(heap->View(input.bos_token)));
  interp->SetGlobal("eos_token", Value::String(heap->View(input.eos_token)));
  if (!input.tools_json.empty()) {
    MOTE_ASSIGN_OR_RETURN(const Value tools, ReadField(input.tools_json, Kind::kList, "tools_json", heap));
    interp->SetGlobal("tools", tools);
  }
  return Status();
}

}  // namespace

ChatTemplate::ChatTemplate() : impl_(std::make_unique<Impl>()) {}
ChatTemplate::~ChatTemplate() = default;

Result<std::unique_ptr<ChatTemplate>> ChatTemplate::Parse(std::string_view source) {
  std::unique_ptr<ChatTemplate> result(new ChatTemplate());
  MOTE_RETURN_IF_ERROR(jinja::Parse(source, &result->impl_->ast));
  result->impl_->wants_parts = !result->Shows(/*parts=*/false) && result->Shows(/*parts=*/true);
  return result;
}

Result<std::string> ChatTemplate::RenderAs(bool parts, const ChatInput& input, const TemplateLimits& limits) const {
  jinja::Interp interp(impl_->ast, limits, input.now);
  MOTE_RETURN_IF_ERROR(SetVariables(input, parts, &interp));
  return interp.Run();
}

Result<std::string> ChatTemplate::Render(const ChatInput& input, const TemplateLimits& limits) const {
  return RenderAs(impl_->wants_parts, input, limits);
}

Result<std::string> ChatTemplate::RenderChat(const ChatInput& input, const TemplateLimits& limits) const {
  Result<std::string> text = Render(input, limits);
  const auto is_empty = [](const ChatMessage& message) {
    return message.content.empty() && message.extra_json.empty();
  };
  if (text.ok() || impl_->wants_parts || std::none_of(input.messages.begin(), input.messages.end(), is_empty)) {
    return text;
  }
  // SmolVLM's template asks for the type of the first part before it asks whether there are parts: of a string it gets
  // no answer, which it can do with, but of an empty one it is an error, there and in Jinja.
  Result<std::string> by_parts = RenderAs(/*parts=*/true, input, limits);
  return by_parts.ok() ? std::move(by_parts) : std::move(text);
}

bool ChatTemplate::Shows(bool parts) const {
  constexpr std::string_view kWord = "somebody";
  ChatInput input;
  input.messages.push_back({"user", std::string(kWord), ""});
  const Result<std::string> text = RenderAs(parts, input, {});
  return text.ok() && text->find(kWord) != std::string::npos;
}

std::string_view DefaultChatTemplate() {
  return "{% for message in messages %}"
         "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
         "{% endfor %}"
         "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
}

}  // namespace mote
