// POST /v1/chat/completions: the body to a task.
#include <utility>

#include "edge/server/openai/chat_answer.h"
#include "edge/server/openai/endpoint.h"
#include "edge/server/openai/format.h"
#include "edge/server/openai/messages.h"
#include "edge/server/openai/shapes.h"
#include "edge/server/openai/tool_prompt.h"

namespace mote::server {
namespace {

// Only names that templates of models know, and plain values: what a template computes with them is bounded.
std::optional<ApiError> ReadTemplateVariables(const Json& body, const OpenAiLimits& limits, Task* task) {
  const Json* variables = Find(body, "chat_template_kwargs");
  if (variables == nullptr) return std::nullopt;
  // What the template gets from elsewhere, or what would change what it is.
  constexpr std::string_view kTaken[] = {"messages",  "tools",     "add_generation_prompt", "bos_token",
                                         "eos_token", "documents", "chat_template",         "tokenize"};
  for (const auto& [name, value] : variables->get_ref<const Json::object_t&>()) {
    const std::string path = Join("chat_template_kwargs", name.substr(0, 64));
    for (const std::string_view taken : kTaken) {
      if (name == taken) return BadField(path, path + " is not for a request to set");
    }
    const bool scalar = value.is_boolean() || value.is_number() || value.is_string();
    if (!scalar) return BadField(path, path + " must be a string, a number, true or false, not " + Describe(value));
    if (name.size() + Dump(value).size() > limits.template_bytes) {
      return BadField(path, path + " must have at most " + std::to_string(limits.template_bytes) + " bytes");
    }
  }
  task->template_json = Dump(*variables);
  return std::nullopt;
}

std::optional<ApiError> ReadLogprobs(const Json& body, Task* task) {
  const bool asked = GetBool(body, "logprobs", false);
  const Json* top = Find(body, "top_logprobs");
  if (top != nullptr && !asked) return BadField("top_logprobs", "top_logprobs needs logprobs to be true");
  if (asked) task->logprobs = static_cast<int>(GetInteger(body, "top_logprobs", 0));
  return std::nullopt;
}

}  // namespace

Table ChatFields(const OpenAiLimits& limits) {
  Table table = {
      {"messages", Kind::kArray, 1, static_cast<double>(limits.messages)},
      {"max_completion_tokens", Kind::kInteger, -1, static_cast<double>(limits.max_tokens)},
      {"n", Kind::kInteger, 1, static_cast<double>(limits.choices)},
      {"logprobs", Kind::kBool},
      {"top_logprobs", Kind::kInteger, 0, 20},
      {"chat_template_kwargs", Kind::kObject, 0, static_cast<double>(limits.template_variables)},
      {"reasoning_effort", Kind::kIgnored},
      {"verbosity", Kind::kIgnored},
      {"prediction", Kind::kIgnored},
      {"moderation", Kind::kIgnored},
      {"modalities", Kind::kAny},
      {"audio", Kind::kRefused, 0, 0, "mote speaks no audio"},
      {"web_search_options", Kind::kRefused, 0, 0, "this server fetches nothing from other hosts"},
      {"chat_template", Kind::kRefused, 0, 0, "a request cannot bring a template"},
  };
  AddSamplingFields(limits, &table);
  AddFormatFields(limits, &table);
  AddToolFields(limits, &table);
  AddReasoningFields(&table);
  return table;
}

std::optional<ApiError> ReadChat(const OpenAiContext& endpoint, Json& body, Task* task, AnswerForm* form) {
  const OpenAiLimits& limits = endpoint.options.limits;
  if (auto error = ReadSampling(body, limits, task)) return error;
  // The name that replaced max_tokens counts where both are there.
  if (auto error = ReadMaxTokens(body, "max_completion_tokens", task)) return error;
  LimitAnswer(limits, task);
  if (auto error = ReadLogprobs(body, task)) return error;
  if (const Json* modalities = Find(body, "modalities");
      modalities != nullptr && *modalities != Json::array({"text"})) {
    return BadField("modalities", "modalities must be [\"text\"], not " + Describe(*modalities));
  }
  if (auto error = ReadTemplateVariables(body, limits, task)) return error;
  if (auto error = ReadFormat(body, limits, task)) return error;
  if (auto error = ReadTools(body, limits, task, &form->tools)) return error;
  Json* messages = const_cast<Json*>(Find(body, "messages"));
  if (messages == nullptr) return BadField("messages", "messages must be an array of messages, and is missing");
  if (auto error = ReadMessages(*messages, limits, "messages", task)) return error;
  FitTools(*endpoint.service, task);
  if (auto error = HoldCalls(*endpoint.service, form->tools, task)) return error;
  return ReadReasoning(*endpoint.service, body, task, form);
}

Handler ChatHandler(std::shared_ptr<const OpenAiContext> endpoint) {
  auto table = std::make_shared<const Table>(ChatFields(endpoint->options.limits));
  return [endpoint, table](const Request& request, std::shared_ptr<Reply> reply) {
    Json body;
    Task task = StartTask(*endpoint, request);
    ChatAnswer::Options options;
    auto error = ReadBody(request, endpoint->options.limits, *table, &body);
    if (!error) error = ReadDelivery(request, body, &options.delivery, &options.usage);
    if (!error) error = ReadChat(*endpoint, body, &task, &options.form);
    if (error) return SendError(*reply, *error);
    options.model = task.model;
    options.choices = task.choices;
    options.logprobs = task.logprobs >= 0;
    const auto tickets = std::make_shared<Tickets>();
    auto answer = std::make_shared<ChatAnswer>(std::move(options), reply, tickets);
    answer->Begin(endpoint->options.every);
    tickets->Add(endpoint->service->Submit(std::move(task), answer));
    tickets->Watch(reply, answer->stream());
  };
}

}  // namespace mote::server
