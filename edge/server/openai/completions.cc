// POST /v1/completions: the body to a task for each of its prompts.
#include <limits>
#include <utility>

#include "edge/server/openai/completion_answer.h"
#include "edge/server/openai/endpoint.h"
#include "edge/server/openai/format.h"
#include "edge/server/openai/inputs.h"
#include "edge/server/openai/shapes.h"

namespace mote::server {
namespace {

// OpenAI's, and what its clients count on; chats have no such end.
constexpr int kDefaultTokens = 16;

std::optional<ApiError> ReadCompletion(const Json& body, const OpenAiLimits& limits, Task* task) {
  if (auto error = ReadSampling(body, limits, task)) return error;
  if (Find(body, "max_tokens") == nullptr) task->max_tokens = kDefaultTokens;
  LimitAnswer(limits, task);
  task->logprobs = static_cast<int>(GetInteger(body, "logprobs", -1));
  if (task->logprobs >= 0 && GetBool(body, "echo", false)) {
    return BadField("echo", "echo must be false with logprobs: the prompt's own are not computed");
  }
  task->chat = false;
  return ReadFormat(body, limits, task);
}

std::optional<ApiError> ReadEcho(Service& service, const std::string& model, const std::vector<TextInput>& prompts,
                                 std::vector<std::string>* echo) {
  for (const TextInput& prompt : prompts) {
    if (prompt.tokens.empty()) {
      echo->push_back(prompt.text);
      continue;
    }
    const Result<std::string> text = service.Detokenize(model, prompt.tokens);
    if (!text.ok()) return BadField("prompt", text.error().message);
    echo->push_back(text.value());
  }
  return std::nullopt;
}

}  // namespace

Table CompletionFields(const OpenAiLimits& limits) {
  Table table = {
      {"prompt", Kind::kAny},
      {"n", Kind::kInteger, 1, static_cast<double>(limits.choices)},
      {"echo", Kind::kBool},
      {"logprobs", Kind::kInteger, 0, 5},
      {"suffix", Kind::kRefused, 0, 0, "mote does not fill in the middle"},
  };
  AddSamplingFields(limits, &table);
  AddFormatFields(limits, &table);
  return table;
}

Handler CompletionHandler(std::shared_ptr<const OpenAiContext> endpoint) {
  auto table = std::make_shared<const Table>(CompletionFields(endpoint->options.limits));
  return [endpoint, table](const Request& request, std::shared_ptr<Reply> reply) {
    const OpenAiLimits& limits = endpoint->options.limits;
    Service& service = *endpoint->service;
    Json body;
    Task task = StartTask(*endpoint, request);
    CompletionAnswer::Options options;
    std::vector<TextInput> prompts;
    auto error = ReadBody(request, limits, *table, &body);
    if (!error) error = ReadDelivery(request, body, &options.delivery, &options.usage);
    if (!error) error = ReadCompletion(body, limits, &task);
    if (!error) error = ReadTextInputs(body, "prompt", limits.prompts, &prompts);
    if (!error && GetBool(body, "echo", false)) error = ReadEcho(service, task.model, prompts, &options.echo);
    if (error) return SendError(*reply, *error);
    options.model = task.model;
    options.choices = task.choices;
    options.logprobs = task.logprobs >= 0;
    const auto tickets = std::make_shared<Tickets>();
    const auto answer = std::make_shared<CompletionAnswer>(std::move(options), prompts.size(), reply, tickets);
    answer->Begin(endpoint->options.every);
    for (size_t i = 0; i < prompts.size(); ++i) {
      Task one = task;
      one.text = std::move(prompts[i].text);
      one.tokens = std::move(prompts[i].tokens);
      if (i > 0 && !one.seeded) one.sampling.seed = AnySeed(one.sampling);
      tickets->Add(service.Submit(std::move(one), answer->ReceiverOf(i)));
    }
    tickets->Watch(reply, answer->stream());
  };
}

}  // namespace mote::server
