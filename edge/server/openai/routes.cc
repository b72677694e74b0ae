#include "edge/server/openai/routes.h"

#include <exception>
#include <utility>

#include "edge/server/openai/endpoint.h"
#include "edge/server/openai/shapes.h"

namespace mote::server {
namespace {

// Memory that runs out is the one exception that a handler may meet.
Handler Guarded(Handler handler) {
  return [handler = std::move(handler)](Request& request, std::shared_ptr<Reply> reply) {
    try {
      handler(request, reply);
    } catch (const std::exception&) {
      ApiError error;
      error.status = 500;
      error.type = "server_error";
      error.code = "internal_error";
      error.message = "the server could not take the request, perhaps for lack of memory";
      SendError(*reply, error);
    }
  };
}

}  // namespace

void AddOpenAiRoutes(const AddRoute& route, Service& service, OpenAiOptions options) {
  const auto endpoint = std::make_shared<const OpenAiContext>(OpenAiContext{&service, std::move(options)});
  const auto add = [&](const char* method, const char* path, const Handler& handler, bool both, bool work = false) {
    if (both) route(method, std::string("/v1") + path, handler, work);
    route(method, path, handler, work);
  };
  add("POST", "/chat/completions", Guarded(ChatHandler(endpoint)), true, true);
  add("POST", "/completions", Guarded(CompletionHandler(endpoint)), true, true);
  add("POST", "/embeddings", Guarded(EmbeddingHandler(endpoint)), true, true);
  add("GET", "/models", Guarded(ModelsHandler(endpoint)), true);
  add("GET", "/models/:name", Guarded(ModelHandler(endpoint)), true);
  add("POST", "/responses", Guarded(ResponseHandler(endpoint)), true, true);
  add("POST", "/tokenize", Guarded(TokenizeHandler(endpoint)), false);
  add("POST", "/detokenize", Guarded(DetokenizeHandler(endpoint)), false);
  add("POST", "/apply-template", Guarded(TemplateHandler(endpoint)), false);
  add("GET", "/openapi.json", Guarded(DescriptionHandler()), false);
  add("GET", "/props", Guarded(PropsHandler(endpoint)), false);
  add("GET", "/slots", Guarded(SlotsHandler(endpoint)), false);
}

}  // namespace mote::server
