// What the endpoints share: the service, the limits, and the way from a body to a task.
#ifndef MOTE_EDGE_SERVER_OPENAI_ENDPOINT_H_
#define MOTE_EDGE_SERVER_OPENAI_ENDPOINT_H_

#include <memory>
#include <optional>
#include <string>

#include "edge/server/http/message.h"
#include "edge/server/openai/fields.h"
#include "edge/server/openai/reasoning.h"
#include "edge/server/openai/routes.h"
#include "edge/server/serving/task.h"

namespace mote::server {

struct OpenAiContext {
  Service* service;
  OpenAiOptions options;
};

// How the answer travels.
enum class Delivery { kWhole, kSse, kNdjson };

// The body as an object that fits the table. `table` may be empty.
std::optional<ApiError> ReadBody(const Request& request, const OpenAiLimits& limits, const Table& table, Json* body);

// A task with what the request's headers and the server's options say: tenant, sampling, conversation.
Task StartTask(const OpenAiContext& endpoint, const Request& request);

// NDJSON where the Accept header asks for it, else by the body's `stream`.
std::optional<ApiError> ReadDelivery(const Request& request, const Json& body, Delivery* delivery, bool* usage);

// Null for a whole answer.
std::shared_ptr<Stream> MakeStream(Delivery delivery, std::shared_ptr<Reply> reply, std::shared_ptr<Tickets> tickets);

// The tables of requests, by the path without /v1; the tests and the API's description go by them.
Table ChatFields(const OpenAiLimits& limits);
Table CompletionFields(const OpenAiLimits& limits);
Table EmbeddingFields(const OpenAiLimits& limits);
Table ResponseFields(const OpenAiLimits& limits);

// A chat's body to its task.
std::optional<ApiError> ReadChat(const OpenAiContext& endpoint, Json& body, Task* task, AnswerForm* form);

// The handlers.
Handler ChatHandler(std::shared_ptr<const OpenAiContext> endpoint);
Handler CompletionHandler(std::shared_ptr<const OpenAiContext> endpoint);
Handler EmbeddingHandler(std::shared_ptr<const OpenAiContext> endpoint);
Handler ResponseHandler(std::shared_ptr<const OpenAiContext> endpoint);
Handler ModelsHandler(std::shared_ptr<const OpenAiContext> endpoint);
Handler ModelHandler(std::shared_ptr<const OpenAiContext> endpoint);
Handler TokenizeHandler(std::shared_ptr<const OpenAiContext> endpoint);
Handler DetokenizeHandler(std::shared_ptr<const OpenAiContext> endpoint);
Handler TemplateHandler(std::shared_ptr<const OpenAiContext> endpoint);
Handler PropsHandler(std::shared_ptr<const OpenAiContext> endpoint);
Handler SlotsHandler(std::shared_ptr<const OpenAiContext> endpoint);
Handler DescriptionHandler();  // /openapi.json

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_OPENAI_ENDPOINT_H_
