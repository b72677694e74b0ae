// POST /v1/embeddings.
#include <string.h>

#include <bit>
#include <utility>

#include "edge/server/openai/base64.h"
#include "edge/server/openai/endpoint.h"
#include "edge/server/openai/inputs.h"
#include "edge/server/openai/shapes.h"

namespace mote::server {
namespace {

// Little-endian float32, as OpenAI's clients ask for it.
std::string Base64Of(const std::vector<float>& values) {
  std::string bytes;
  bytes.reserve(values.size() * sizeof(float));
  for (const float value : values) {
    const auto bits = std::bit_cast<uint32_t>(value);
    for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(bits >> shift);
  }
  return EncodeBase64(bytes);
}

void AppendValues(std::string* json, const std::vector<float>& values, bool base64) {
  if (base64) {
    AppendQuoted(json, Base64Of(values));
    return;
  }
  *json += Dump(Json(values));
}

}  // namespace

Table EmbeddingFields(const OpenAiLimits&) {
  return {
      {"model", Kind::kString, 0, 256},
      {"input", Kind::kAny},
      {"encoding_format", Kind::kString, 0, 0, "float|base64"},
      {"dimensions", Kind::kInteger, 1, 1 << 20},
      {"user", Kind::kIgnored},
  };
}

Handler EmbeddingHandler(std::shared_ptr<const OpenAiContext> endpoint) {
  auto table = std::make_shared<const Table>(EmbeddingFields(endpoint->options.limits));
  return [endpoint, table](const Request& request, std::shared_ptr<Reply> reply) {
    const OpenAiLimits& limits = endpoint->options.limits;
    Json body;
    std::vector<TextInput> inputs;
    auto error = ReadBody(request, limits, *table, &body);
    if (!error) error = ReadTextInputs(body, "input", limits.inputs, &inputs);
    if (error) return SendError(*reply, *error);
    const std::string model = GetString(body, "model");
    const bool base64 = GetString(body, "encoding_format", "float") == "base64";
    const auto dimensions = static_cast<size_t>(GetInteger(body, "dimensions", 0));
    std::string json = "{\"object\":\"list\",\"data\":[";
    uint64_t tokens = 0;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const Result<Embedding> embedding = endpoint->service->Embed(model, inputs[i].text, inputs[i].tokens);
      if (!embedding.ok()) return SendError(*reply, ErrorOf(embedding.error(), "input"));
      const std::vector<float>& values = embedding.value().values;
      if (dimensions != 0 && dimensions != values.size()) {
        return SendError(*reply, BadField("dimensions", "dimensions must be " + std::to_string(values.size()) +
                                                            ", the width of the model, or left out"));
      }
      json += (i > 0 ? ",{\"object\":\"embedding\",\"index\":" : "{\"object\":\"embedding\",\"index\":") +
              std::to_string(i) + ",\"embedding\":";
      AppendValues(&json, values, base64);
      json += "}";
      tokens += embedding.value().tokens;
    }
    json += "],\"model\":";
    AppendQuoted(&json, ModelName(*endpoint->service, model));
    const std::string count = std::to_string(tokens);
    SendJson(*reply, json + ",\"usage\":{\"prompt_tokens\":" + count + ",\"total_tokens\":" + count + "}}");
  };
}

}  // namespace mote::server
