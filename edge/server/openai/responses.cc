// POST /v1/responses: the body to a task.
#include <utility>

#include "edge/server/openai/endpoint.h"
#include "edge/server/openai/format.h"
#include "edge/server/openai/messages.h"
#include "edge/server/openai/response_answer.h"
#include "edge/server/openai/shapes.h"
#include "edge/server/openai/tool_prompt.h"

namespace mote::server {
namespace {

// A call that the model made before, as the message that it was.
std::optional<ApiError> ReadCallItem(const Json& item, const OpenAiLimits& limits, const std::string& path,
                                     Task* task) {
  for (const char* name : {"call_id", "name", "arguments"}) {
    const Json* value = Find(item, name);
    if (value == nullptr || !value->is_string())
      return BadField(Join(path, name), Join(path, name) + " must be a string");
  }
  Json function;
  function["name"] = item["name"];
  function["arguments"] = item["arguments"];
  Json call;
  call["id"] = item["call_id"];
  call["type"] = "function";
  call["function"] = std::move(function);
  Json message;
  message["role"] = "assistant";
  message["tool_calls"] = Json::array({std::move(call)});
  return ReadMessage(message, limits, path, task);
}

std::optional<ApiError> ReadOutputItem(const Json& item, const OpenAiLimits& limits, const std::string& path,
                                       Task* task) {
  const Json* output = Find(item, "output");
  if (output == nullptr) return BadField(Join(path, "output"), Join(path, "output") + " must be what the call gave");
  Json message;
  message["role"] = "tool";
  if (const Json* id = Find(item, "call_id")) message["tool_call_id"] = *id;
  message["content"] = *output;
  return ReadMessage(message, limits, path, task);
}

std::optional<ApiError> ReadItem(const Json& item, const OpenAiLimits& limits, const std::string& path, Task* task) {
  if (!item.is_object()) return BadField(path, path + " must be an object, not " + Describe(item));
  const Json* type = Find(item, "type");
  const std::string name = type == nullptr ? "message" : type->is_string() ? type->get<std::string>() : "";
  if (name == "message") return ReadMessage(item, limits, path, task);
  if (name == "function_call") return ReadCallItem(item, limits, path, task);
  if (name == "function_call_output") return ReadOutputItem(item, limits, path, task);
  if (name == "reasoning") return std::nullopt;  // of other models; nothing here reads it
  return BadField(Join(path, "type"), Join(path, "type") +
                                          " must be \"message\", \"function_call\", "
                                          "\"function_call_output\" or \"reasoning\"");
}

std::optional<ApiError> ReadInput(const Json& body, const OpenAiLimits& limits, Task* task) {
  if (std::string instructions = GetString(body, "instructions"); !instructions.empty()) {
    if (auto error = CheckText(instructions, "instructions")) return error;
    task->messages.push_back({"system", std::move(instructions), ""});
  }
  const Json* input = Find(body, "input");
  if (input == nullptr) return BadField("input", "input must be a string or an array of items, and is missing");
  if (input->is_string()) {
    task->messages.push_back({"user", input->get<std::string>(), ""});
    return CheckText(task->messages.back().content, "input");
  }
  if (!input->is_array() || input->empty()) {
    return BadField("input", "input must be a string or an array of items, not " + Describe(*input));
  }
  if (input->size() > limits.messages) {
    return BadField("input", "input must have at most " + std::to_string(limits.messages) + " items");
  }
  for (size_t i = 0; i < input->size(); ++i) {
    if (auto error = ReadItem((*input)[i], limits, Join("input", i), task)) return error;
  }
  return CheckMarks(*task, "input");
}

std::optional<ApiError> ReadResponse(const OpenAiContext& endpoint, const Json& body, Task* task, AnswerForm* form) {
  const OpenAiLimits& limits = endpoint.options.limits;
  if (auto error = ReadSampling(body, limits, task)) return error;
  if (auto error = ReadMaxTokens(body, "max_output_tokens", task)) return error;
  LimitAnswer(limits, task);
  task->logprobs = static_cast<int>(GetInteger(body, "top_logprobs", -1));
  if (const Json* text = Find(body, "text")) {
    const Json* format = Find(*text, "format");
    if (format != nullptr) {
      if (auto error = ReadFormatObject(*format, limits, "text.format", task)) return error;
    }
  }
  if (auto error = ReadTools(body, limits, task, &form->tools)) return error;
  if (auto error = ReadInput(body, limits, task)) return error;
  FitTools(*endpoint.service, task);
  if (auto error = HoldCalls(*endpoint.service, form->tools, task)) return error;
  return ReadReasoning(*endpoint.service, body, task, form);
}

// What an answer repeats of its request.
Json Echo(const Json& body, const Task& task) {
  const auto member = [&](const char* name, Json otherwise) {
    const Json* json = Find(body, name);
    return json != nullptr ? *json : otherwise;
  };
  Json echo;
  echo["instructions"] = member("instructions", nullptr);
  echo["max_output_tokens"] = member("max_output_tokens", nullptr);
  echo["metadata"] = member("metadata", Json::object());
  echo["parallel_tool_calls"] = member("parallel_tool_calls", true);
  echo["previous_response_id"] = nullptr;
  echo["reasoning"] = Json::object({{"effort", nullptr}, {"summary", nullptr}});
  echo["store"] = false;
  echo["temperature"] = task.sampling.temperature;
  echo["text"] = member("text", Json::object({{"format", Json::object({{"type", "text"}})}}));
  echo["tool_choice"] = member("tool_choice", "auto");
  echo["tools"] = member("tools", Json::array());
  echo["top_p"] = task.sampling.top_p;
  echo["truncation"] = "disabled";
  return echo;
}

}  // namespace

Table ResponseFields(const OpenAiLimits& limits) {
  const char* stateless = "this server stores no answers; send the whole conversation as input";
  Table table = {
      {"input", Kind::kAny},
      {"instructions", Kind::kString, 0, double{1 << 30}},
      {"max_output_tokens", Kind::kInteger, -1, static_cast<double>(limits.max_tokens)},
      {"top_logprobs", Kind::kInteger, 0, 20},
      {"text", Kind::kObject, 0, 16},
      {"n", Kind::kInteger, 1, 1},
      {"truncation", Kind::kString, 0, 0, "disabled"},
      {"include", Kind::kIgnored},
      {"reasoning", Kind::kIgnored},
      {"max_tool_calls", Kind::kIgnored},
      {"previous_response_id", Kind::kRefused, 0, 0, stateless},
      {"conversation", Kind::kRefused, 0, 0, stateless},
      {"background", Kind::kRefused, 0, 0, stateless},
      {"prompt", Kind::kRefused, 0, 0, "this server stores no prompts"},
  };
  AddSamplingFields(limits, &table);
  AddToolFields(limits, &table);
  AddReasoningFields(&table);
  return table;
}

Handler ResponseHandler(std::shared_ptr<const OpenAiContext> endpoint) {
  auto table = std::make_shared<const Table>(ResponseFields(endpoint->options.limits));
  return [endpoint, table](const Request& request, std::shared_ptr<Reply> reply) {
    Json body;
    Task task = StartTask(*endpoint, request);
    ResponseAnswer::Options options;
    bool usage = false;
    auto error = ReadBody(request, endpoint->options.limits, *table, &body);
    if (!error) error = ReadDelivery(request, body, &options.delivery, &usage);
    if (!error) error = ReadResponse(*endpoint, body, &task, &options.form);
    if (error) return SendError(*reply, *error);
    options.model = task.model;
    options.echo = Echo(body, task);
    const auto tickets = std::make_shared<Tickets>();
    const auto answer = std::make_shared<ResponseAnswer>(std::move(options), reply, tickets);
    answer->Begin(endpoint->options.every);
    tickets->Add(endpoint->service->Submit(std::move(task), answer));
    tickets->Watch(reply, answer->stream());
  };
}

}  // namespace mote::server
