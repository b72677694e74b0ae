// POST /tokenize, /detokenize, /apply-template, in the shapes of llama-server.
#include <utility>

#include "edge/server/openai/endpoint.h"
#include "edge/server/openai/inputs.h"
#include "edge/server/openai/shapes.h"

namespace mote::server {
namespace {

// The text of a token; its bytes where they are not whole characters.
void AppendPiece(const std::string& piece, std::string* out) {
  std::string quoted;
  AppendQuoted(&quoted, piece);
  if (Json::parse(quoted).get_ref<const std::string&>() == piece) {
    *out += quoted;
    return;
  }
  *out += '[';
  for (const char c : piece) {
    if (out->back() != '[') *out += ',';
    *out += std::to_string(static_cast<uint8_t>(c));
  }
  *out += ']';
}

}  // namespace

Handler TokenizeHandler(std::shared_ptr<const OpenAiContext> endpoint) {
  static const Table* table = new Table{{"model", Kind::kString, 0, 256},
                                        {"content", Kind::kString, 0, double{1 << 30}},
                                        {"add_special", Kind::kBool},
                                        {"parse_special", Kind::kBool},
                                        {"with_pieces", Kind::kBool}};
  return [endpoint](const Request& request, std::shared_ptr<Reply> reply) {
    Json body;
    auto error = ReadBody(request, endpoint->options.limits, *table, &body);
    if (!error && Find(body, "content") == nullptr) {
      error = BadField("content", "content must be the text to tokenize, and is missing");
    }
    if (error) return SendError(*reply, *error);
    const std::string model = GetString(body, "model");
    // llama-server's defaults.
    const auto tokens =
        endpoint->service->Tokenize(model, Find(body, "content")->get_ref<const std::string&>(),
                                    GetBool(body, "add_special", false), GetBool(body, "parse_special", true));
    if (!tokens.ok()) return SendError(*reply, ErrorOf(tokens.error(), "content"));
    const bool pieces = GetBool(body, "with_pieces", false);
    // Written at once: as values of JSON, the tokens of a body as large as may be would take gigabytes.
    std::string json = "{\"tokens\":[";
    for (const Token token : tokens.value()) {
      if (json.back() != '[') json += ',';
      if (!pieces) {
        json += std::to_string(token);
        continue;
      }
      const auto piece = endpoint->service->Detokenize(model, {token});
      if (!piece.ok()) return SendError(*reply, ErrorOf(piece.error(), "content"));
      json.append("{\"id\":").append(std::to_string(token)).append(",\"piece\":");
      AppendPiece(piece.value(), &json);
      json += '}';
    }
    SendJson(*reply, json + "]}");
  };
}

Handler DetokenizeHandler(std::shared_ptr<const OpenAiContext> endpoint) {
  static const Table* table = new Table{{"model", Kind::kString, 0, 256}, {"tokens", Kind::kArray, 0, double{1 << 30}}};
  return [endpoint](const Request& request, std::shared_ptr<Reply> reply) {
    Json body;
    std::vector<Token> tokens;
    auto error = ReadBody(request, endpoint->options.limits, *table, &body);
    if (!error && Find(body, "tokens") == nullptr) {
      error = BadField("tokens", "tokens must be an array of ids, and is missing");
    }
    if (!error) error = ReadTokens(*Find(body, "tokens"), "tokens", &tokens);
    if (error) return SendError(*reply, *error);
    const auto text = endpoint->service->Detokenize(GetString(body, "model"), tokens);
    if (!text.ok()) return SendError(*reply, ErrorOf(text.error(), "tokens"));
    std::string json = "{\"content\":";
    AppendQuoted(&json, text.value());
    SendJson(*reply, json + "}");
  };
}

Handler TemplateHandler(std::shared_ptr<const OpenAiContext> endpoint) {
  auto table = std::make_shared<const Table>(ChatFields(endpoint->options.limits));
  return [endpoint, table](const Request& request, std::shared_ptr<Reply> reply) {
    Json body;
    Task task = StartTask(*endpoint, request);
    AnswerForm form;
    auto error = ReadBody(request, endpoint->options.limits, *table, &body);
    if (!error) error = ReadChat(*endpoint, body, &task, &form);
    if (error) return SendError(*reply, *error);
    const auto prompt = endpoint->service->ApplyTemplate(task.model, task);
    if (!prompt.ok()) return SendError(*reply, ErrorOf(prompt.error(), "messages"));
    std::string json = "{\"prompt\":";
    AppendQuoted(&json, prompt.value());
    SendJson(*reply, json + "}");
  };
}

}  // namespace mote::server
