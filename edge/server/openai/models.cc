// GET /v1/models, /v1/models/{id}, /props, /slots.
#include <algorithm>
#include <utility>

#include "edge/server/openai/endpoint.h"
#include "edge/server/openai/shapes.h"

namespace mote::server {
namespace {

Json ModelJson(const ServedModel& model) {
  Json json;
  json["id"] = model.name;
  json["object"] = "model";
  json["created"] = model.created;
  json["owned_by"] = "mote";
  Json& architecture = json["architecture"];
  architecture["input_modalities"] = model.vision ? Json::array({"text", "image"}) : Json::array({"text"});
  architecture["output_modalities"] = Json::array({"text"});
  Json& meta = json["meta"];
  meta["n_vocab"] = model.info.vocab_size;
  meta["n_ctx"] = model.info.context;
  meta["n_ctx_train"] = model.info.context_train;
  meta["n_embd"] = model.info.width;
  meta["size"] = model.info.weight_bytes;
  meta["precisions"] = model.precisions;
  return json;
}

// Its place on the disk is nobody's business.
std::string FileName(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

Json DefaultsJson(const OpenAiContext& endpoint, const ServedModel& model) {
  const SamplingOptions& sampling = endpoint.options.sampling;
  Json params;
  params["temperature"] = sampling.temperature;
  params["top_k"] = sampling.top_k;
  params["top_p"] = sampling.top_p;
  params["min_p"] = sampling.min_p;
  params["repeat_penalty"] = sampling.repeat_penalty;
  params["repeat_last_n"] = sampling.penalty_window;
  params["presence_penalty"] = sampling.presence_penalty;
  params["frequency_penalty"] = sampling.frequency_penalty;
  Json json;
  json["n_ctx"] = model.info.context;
  json["params"] = std::move(params);
  return json;
}

}  // namespace

Handler ModelsHandler(std::shared_ptr<const OpenAiContext> endpoint) {
  return [endpoint](const Request&, std::shared_ptr<Reply> reply) {
    Json list;
    list["object"] = "list";
    list["data"] = Json::array();
    for (const ServedModel& model : endpoint->service->Models()) list["data"].push_back(ModelJson(model));
    SendJson(*reply, Dump(list));
  };
}

Handler ModelHandler(std::shared_ptr<const OpenAiContext> endpoint) {
  return [endpoint](const Request& request, std::shared_ptr<Reply> reply) {
    const std::string name = request.parts.empty() ? "" : request.parts.front();
    for (const ServedModel& model : endpoint->service->Models()) {
      if (model.name == name) return SendJson(*reply, Dump(ModelJson(model)));
    }
    ApiError error = BadField("model", "there is no model \"" + name.substr(0, 128) + "\" here; /v1/models lists them");
    error.status = 404;
    error.code = "model_not_found";
    SendError(*reply, error);
  };
}

Handler PropsHandler(std::shared_ptr<const OpenAiContext> endpoint) {
  return [endpoint](const Request&, std::shared_ptr<Reply> reply) {
    const std::vector<ServedModel> models = endpoint->service->Models();
    const ServedModel model = models.empty() ? ServedModel() : models.front();
    Json json;
    json["default_generation_settings"] = DefaultsJson(*endpoint, model);
    json["total_slots"] = endpoint->service->Slots().size();
    json["model_alias"] = model.name;
    json["model_path"] = FileName(model.path);
    json["chat_template"] = model.info.chat_template != nullptr ? model.info.chat_template : "";
    json["modalities"] = Json::object({{"vision", model.vision}, {"audio", false}});
    json["build_info"] = Fingerprint();
    SendJson(*reply, Dump(json));
  };
}

Handler SlotsHandler(std::shared_ptr<const OpenAiContext> endpoint) {
  return [endpoint](const Request&, std::shared_ptr<Reply> reply) {
    Json list = Json::array();
    // Whose work a slot does is left out: tenants learn nothing of each other.
    for (const SlotState& slot : endpoint->service->Slots()) {
      Json json;
      json["id"] = slot.id;
      json["n_ctx"] = slot.context;
      json["n_past"] = slot.tokens;
      json["is_processing"] = slot.busy;
      list.push_back(std::move(json));
    }
    SendJson(*reply, Dump(list));
  };
}

}  // namespace mote::server
