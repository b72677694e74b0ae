#include "edge/server/openai/endpoint.h"

#include <utility>

namespace mote::server {

std::optional<ApiError> ReadBody(const Request& request, const OpenAiLimits& limits, const Table& table, Json* body) {
  if (auto error = ParseJson(request.body, body, limits.json)) return error;
  return CheckFields(*body, table, "");
}

Task StartTask(const OpenAiContext& endpoint, const Request& request) {
  Task task;
  task.sampling = endpoint.options.sampling;
  if (endpoint.options.tenant) task.tenant = endpoint.options.tenant(request);
  task.ended = request.ended;
  const std::string* session = request.Header("x-session-id");
  if (session != nullptr) task.conversation = session->substr(0, 256);
  return task;
}

std::optional<ApiError> ReadDelivery(const Request& request, const Json& body, Delivery* delivery, bool* usage) {
  static const Table* table = new Table{{"include_usage", Kind::kBool}};
  *usage = false;
  if (const Json* options = Find(body, "stream_options")) {
    if (auto error = CheckFields(*options, *table, "stream_options")) return error;
    *usage = GetBool(*options, "include_usage", false);
  }
  const std::string* accept = request.Header("accept");
  if (accept != nullptr && accept->find("application/x-ndjson") != std::string::npos) {
    *delivery = Delivery::kNdjson;
  } else {
    *delivery = GetBool(body, "stream", false) ? Delivery::kSse : Delivery::kWhole;
  }
  return std::nullopt;
}

std::shared_ptr<Stream> MakeStream(Delivery delivery, std::shared_ptr<Reply> reply, std::shared_ptr<Tickets> tickets) {
  if (delivery == Delivery::kWhole) return nullptr;
  const auto form = delivery == Delivery::kSse ? Stream::Form::kSse : Stream::Form::kNdjson;
  return std::make_shared<Stream>(std::move(reply), form, std::move(tickets));
}

}  // namespace mote::server
