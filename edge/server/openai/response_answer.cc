#include "edge/server/openai/response_answer.h"

#include <utility>

#include "edge/server/openai/json.h"
#include "edge/server/openai/shapes.h"

namespace mote::server {

ResponseAnswer::ResponseAnswer(Options options, std::shared_ptr<Reply> reply, std::shared_ptr<Tickets> tickets)
    : options_(std::move(options)),
      reply_(reply),
      tickets_(tickets),
      stream_(MakeStream(options_.delivery, reply, tickets)),
      id_(NewId("resp_")),
      created_(UnixTime()),
      model_(options_.model),
      reader_(options_.form) {}

void ResponseAnswer::Begin(const Every& every) {
  if (stream_ != nullptr) stream_->KeepAlive(every);
}

void ResponseAnswer::OnAccepted(std::string_view model, std::string_view cache) {
  model_ = model;
  if (stream_ != nullptr) stream_->SetHeader("X-Mote-Cache", std::string(cache));
}

void ResponseAnswer::OnStage(Stage stage, double fraction) {
  if (options_.delivery != Delivery::kNdjson) return;
  stream_->Event(StageJson(stage, fraction), "", stage == Stage::kQueued);
}

void ResponseAnswer::OnText(int, std::string_view text, std::span<const TokenDetail> tokens) {
  for (const TokenDetail& token : tokens) {
    if (!untold_.empty()) untold_ += ',';
    AppendChatLogprob(&untold_, token, true);
  }
  std::vector<AnswerPiece> pieces;
  reader_.Feed(text, &pieces);
  Take(pieces);
}

void ResponseAnswer::OnFinished(int, Finish reason) {
  std::vector<AnswerPiece> pieces;
  reader_.Finish(&pieces);
  Take(pieces);
  finish_ = reason;
  if (items_.empty()) Open(AnswerPiece::Kind::kText, "");  // an empty answer is a message, too
  if (!items_.back().complete) TakeLogprobs(&items_.back());
  Close();
}

void ResponseAnswer::Take(const std::vector<AnswerPiece>& pieces) {
  for (const AnswerPiece& piece : pieces) {
    if (piece.kind == AnswerPiece::Kind::kCall) {
      Close();
      Open(piece.kind, piece.text);
      continue;
    }
    const bool fits = !items_.empty() && !items_.back().complete && items_.back().kind == piece.kind;
    if (piece.kind != AnswerPiece::Kind::kArguments && !fits) {
      Close();
      Open(piece.kind, "");
    }
    Add(piece.text);
  }
}

void ResponseAnswer::Open(AnswerPiece::Kind kind, const std::string& name) {
  Item item;
  const bool call = kind == AnswerPiece::Kind::kCall;
  item.id = NewId(call ? "fc_" : kind == AnswerPiece::Kind::kThought ? "rs_" : "msg_");
  item.kind = kind;
  item.call_id = call ? NewId("call_") : "";
  item.name = name;
  items_.push_back(std::move(item));
  if (stream_ == nullptr) return;
  BeginStream();
  Json added = ItemJson(items_.back());
  added["status"] = "in_progress";
  if (!call) added["content"] = Json::array();
  Json members;
  members["output_index"] = items_.size() - 1;
  members["item"] = std::move(added);
  Tell("response.output_item.added", std::move(members));
  if (call) return;
  members = OfItem();
  Item empty;
  empty.kind = kind;
  members["part"] = PartJson(empty);
  Tell("response.content_part.added", std::move(members));
}

void ResponseAnswer::Add(const std::string& text) {
  Item& item = items_.back();
  item.text += text;
  const std::string logprobs = TakeLogprobs(&item);
  if (stream_ == nullptr) return;
  Json members = OfItem();
  members["delta"] = text;
  if (item.kind == AnswerPiece::Kind::kText) members["logprobs"] = Json::parse("[" + logprobs + "]");
  const char* const type = item.call()                                ? "response.function_call_arguments.delta"
                           : item.kind == AnswerPiece::Kind::kThought ? "response.reasoning_text.delta"
                                                                      : "response.output_text.delta";
  Tell(type, std::move(members));
}

// Of the tokens since the last piece: they are its text's, or of no text where it is a call or a thought.
std::string ResponseAnswer::TakeLogprobs(Item* item) {
  std::string logprobs = std::exchange(untold_, {});
  if (item->kind != AnswerPiece::Kind::kText) return "";
  if (!item->logprobs.empty() && !logprobs.empty()) item->logprobs += ',';
  item->logprobs += logprobs;
  return logprobs;
}

void ResponseAnswer::Close() {
  if (items_.empty() || items_.back().complete) return;
  Item& item = items_.back();
  item.complete = true;
  if (stream_ == nullptr) return;
  Json members = OfItem();
  members[item.call() ? "arguments" : "text"] = item.text;
  if (item.call()) {
    members["name"] = item.name;
    Tell("response.function_call_arguments.done", std::move(members));
  } else {
    const bool text = item.kind == AnswerPiece::Kind::kText;
    if (text) members["logprobs"] = Json::parse("[" + item.logprobs + "]");
    Tell(text ? "response.output_text.done" : "response.reasoning_text.done", std::move(members));
    members = OfItem();
    members["part"] = PartJson(item);
    Tell("response.content_part.done", std::move(members));
  }
  members = Json();
  members["output_index"] = items_.size() - 1;
  members["item"] = ItemJson(item);
  Tell("response.output_item.done", std::move(members));
}

Json ResponseAnswer::PartJson(const Item& item) const {
  Json part;
  const bool thought = item.kind == AnswerPiece::Kind::kThought;
  part["type"] = thought ? "reasoning_text" : "output_text";
  part["text"] = item.text;
  if (thought) return part;
  part["annotations"] = Json::array();
  part["logprobs"] = item.complete ? Json::parse("[" + item.logprobs + "]") : Json::array();
  return part;
}

Json ResponseAnswer::ItemJson(const Item& item) const {
  Json json;
  json["id"] = item.id;
  const bool thought = item.kind == AnswerPiece::Kind::kThought;
  json["type"] = item.call() ? "function_call" : thought ? "reasoning" : "message";
  json["status"] = finish_ == Finish::kStop ? "completed" : "incomplete";
  if (item.call()) {
    json["call_id"] = item.call_id;
    json["name"] = item.name;
    json["arguments"] = item.text;
  } else {
    if (thought) {
      json["summary"] = Json::array();
    } else {
      json["role"] = "assistant";
    }
    json["content"] = Json::array({PartJson(item)});
  }
  return json;
}

Json ResponseAnswer::ResponseJson(const char* status, const Summary* summary) const {
  Json json;
  json["id"] = id_;
  json["object"] = "response";
  json["created_at"] = created_;
  json["status"] = status;
  json["error"] = nullptr;
  json["incomplete_details"] = nullptr;
  json["model"] = model_;
  json["output"] = Json::array();
  for (const auto& [name, value] : options_.echo.items()) json[name] = value;
  json["usage"] = nullptr;
  if (summary == nullptr) return json;
  if (finish_ != Finish::kStop) {
    json["incomplete_details"] =
        Json::object({{"reason", finish_ == Finish::kLength ? "max_output_tokens" : FinishName(finish_)}});
  }
  for (const Item& item : items_) json["output"].push_back(ItemJson(item));
  const Usage& counts = summary->usage;
  Json usage;
  usage["input_tokens"] = counts.prompt_tokens;
  usage["input_tokens_details"] = Json::object({{"cached_tokens", counts.cached_tokens}});
  usage["output_tokens"] = counts.completion_tokens;
  usage["output_tokens_details"] = Json::object({{"reasoning_tokens", 0}});
  usage["total_tokens"] = uint64_t{counts.prompt_tokens} + counts.completion_tokens;
  json["usage"] = std::move(usage);
  json["timings"] = Json::parse(TimingsJson(*summary));
  return json;
}

Json ResponseAnswer::OfItem() const {
  Json members;
  members["item_id"] = items_.back().id;
  members["output_index"] = items_.size() - 1;
  if (!items_.back().call()) members["content_index"] = 0;
  return members;
}

void ResponseAnswer::Tell(const char* type, Json members) {
  Json event;
  event["type"] = type;
  event["sequence_number"] = sequence_++;
  for (auto& [name, value] : members.items()) event[name] = std::move(value);
  stream_->Event(Dump(event), type);
}

void ResponseAnswer::BeginStream() {
  if (std::exchange(begun_, true)) return;
  for (const char* type : {"response.created", "response.in_progress"}) {
    Json members;
    members["response"] = ResponseJson("in_progress", nullptr);
    Tell(type, std::move(members));
  }
}

void ResponseAnswer::OnDone(const Summary& summary) {
  tickets_->Release();
  if (!summary.model.empty()) model_ = summary.model;
  const bool whole = finish_ == Finish::kStop;
  Json response = ResponseJson(whole ? "completed" : "incomplete", &summary);
  if (stream_ == nullptr) {
    if (tickets_->Claim()) SendAnswer(*reply_, Dump(response), summary);
    return;
  }
  Json members;
  members["response"] = std::move(response);
  Tell(whole ? "response.completed" : "response.incomplete", std::move(members));
  stream_->End(false);
}

void ResponseAnswer::OnFailed(const ApiError& error) {
  tickets_->Release();
  if (stream_ != nullptr) {
    stream_->Fail(error, "error");
  } else if (tickets_->Claim()) {
    SendError(*reply_, error);
  }
}

}  // namespace mote::server
