#include "edge/server/openai/chat_answer.h"

#include <utility>

#include "edge/server/openai/json.h"
#include "edge/server/openai/shapes.h"

namespace mote::server {
namespace {

void AppendCall(std::string* out, const std::string& id, const std::string& name, const std::string& arguments) {
  *out += "\"id\":\"" + id + "\",\"type\":\"function\",\"function\":{\"name\":";
  AppendQuoted(out, name);
  *out += ",\"arguments\":";
  AppendQuoted(out, arguments);
  *out += "}}";
}

}  // namespace

ChatAnswer::ChatAnswer(Options options, std::shared_ptr<Reply> reply, std::shared_ptr<Tickets> tickets)
    : options_(std::move(options)),
      reply_(reply),
      tickets_(tickets),
      stream_(MakeStream(options_.delivery, reply, tickets)),
      id_(NewId("chatcmpl-")),
      created_(UnixTime()) {
  for (int i = 0; i < options_.choices; ++i) choices_.emplace_back(options_.form);
  SetModel(options_.model);
}

void ChatAnswer::SetModel(std::string_view model) {
  model_ = model;
  if (options_.delivery != Delivery::kSse) return;
  head_ = "{\"id\":\"" + id_ + "\",\"object\":\"chat.completion.chunk\",\"created\":" + std::to_string(created_) +
          ",\"model\":";
  AppendQuoted(&head_, model_);
  head_ += ",\"system_fingerprint\":\"" + Fingerprint() + "\"";
}

void ChatAnswer::Begin(const Every& every) {
  if (stream_ != nullptr) stream_->KeepAlive(every);
}

void ChatAnswer::OnAccepted(std::string_view model, std::string_view cache) {
  SetModel(model);
  if (stream_ != nullptr) stream_->SetHeader("X-Mote-Cache", std::string(cache));
}

void ChatAnswer::OnStage(Stage stage, double fraction) {
  if (options_.delivery != Delivery::kNdjson) return;
  // What a request is refused for is found before it has waited.
  stream_->Event(StageJson(stage, fraction), "", stage == Stage::kQueued);
}

void ChatAnswer::OnText(int choice, std::string_view text, std::span<const TokenDetail> tokens) {
  Choice& to = choices_[choice];
  if (options_.logprobs) {
    for (const TokenDetail& token : tokens) {
      if (!to.logprobs.empty()) to.logprobs += ',';
      AppendChatLogprob(&to.logprobs, token, true);
    }
  }
  std::vector<AnswerPiece> pieces;
  to.reader.Feed(text, &pieces);
  Take(choice, std::move(pieces));
}

void ChatAnswer::OnFinished(int choice, Finish reason) {
  Choice& to = choices_[choice];
  std::vector<AnswerPiece> pieces;
  to.reader.Finish(&pieces);
  Take(choice, std::move(pieces));
  to.finish = to.reader.called() && reason == Finish::kStop ? "tool_calls" : FinishName(reason);
  if (options_.delivery == Delivery::kWhole) return;
  BeginChoice(choice, to);
  SendDelta(choice, to, "{}", to.finish);
}

void ChatAnswer::Take(int index, std::vector<AnswerPiece> pieces) {
  Choice& choice = choices_[index];
  if (stream_ != nullptr) return StreamPieces(index, choice, pieces);
  for (AnswerPiece& piece : pieces) {
    switch (piece.kind) {
      case AnswerPiece::Kind::kText:
        choice.content += piece.text;
        break;
      case AnswerPiece::Kind::kThought:
        choice.thoughts += piece.text;
        break;
      case AnswerPiece::Kind::kCall:
        choice.calls.push_back({NewId("call_"), std::move(piece.text), ""});
        break;
      case AnswerPiece::Kind::kArguments:
        choice.calls.back().arguments += piece.text;
        break;
    }
  }
}

void ChatAnswer::StreamPieces(int index, Choice& choice, const std::vector<AnswerPiece>& pieces) {
  for (const AnswerPiece& piece : pieces) {
    BeginChoice(index, choice);
    std::string delta;
    const std::string call = "{\"tool_calls\":[{\"index\":" + std::to_string(piece.call) + ",";
    switch (piece.kind) {
      case AnswerPiece::Kind::kText:
      case AnswerPiece::Kind::kThought:
        delta = piece.kind == AnswerPiece::Kind::kText ? "{\"content\":" : "{\"reasoning_content\":";
        AppendQuoted(&delta, piece.text);
        delta += "}";
        break;
      case AnswerPiece::Kind::kCall:
        delta = call;
        AppendCall(&delta, NewId("call_"), piece.text, "");
        delta += "]}";
        break;
      case AnswerPiece::Kind::kArguments:
        delta = call + "\"function\":{\"arguments\":";
        AppendQuoted(&delta, piece.text);
        delta += "}}]}";
        break;
    }
    SendDelta(index, choice, delta, "");
  }
}

void ChatAnswer::BeginChoice(int index, Choice& choice) {
  if (choice.begun || options_.delivery != Delivery::kSse) return;
  choice.begun = true;
  const std::string logprobs = std::exchange(choice.logprobs, {});  // they belong to the text that follows
  SendDelta(index, choice, "{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}", "");
  choice.logprobs = logprobs;
}

void ChatAnswer::SendDelta(int index, Choice& choice, std::string_view delta, std::string_view finish) {
  std::string json;
  json.reserve(head_.size() + delta.size() + choice.logprobs.size() + 96);
  const bool sse = options_.delivery == Delivery::kSse;
  if (sse) {
    json = head_ + ",\"choices\":[{";
  } else {
    if (!finish.empty() && choice.logprobs.empty()) return;  // told with "done"
    json = "{\"event\":\"delta\",";
  }
  json.append("\"index\":").append(std::to_string(index)).append(",\"delta\":").append(delta);
  if (!choice.logprobs.empty()) {
    json.append(",\"logprobs\":{\"content\":[").append(choice.logprobs).append("],\"refusal\":null}");
    choice.logprobs.clear();
  } else if (sse) {
    json.append(",\"logprobs\":null");
  }
  if (sse) {
    json.append(",\"finish_reason\":");
    json.append(finish.empty() ? "null" : "\"" + std::string(finish) + "\"").append("}]");
    if (options_.usage) json.append(",\"usage\":null");
  }
  stream_->Event(json.append("}"));
}

void ChatAnswer::OnDone(const Summary& summary) {
  tickets_->Release();
  if (options_.delivery == Delivery::kWhole) return SendWhole(summary);
  if (options_.delivery == Delivery::kSse) {
    if (options_.usage) {
      stream_->Event(head_ + ",\"choices\":[],\"usage\":" + UsageJson(summary.usage) +
                     ",\"timings\":" + TimingsJson(summary) + "}");
    }
    return stream_->End(true);
  }
  std::string json =
      "{\"event\":\"done\",\"id\":\"" + id_ + "\",\"created\":" + std::to_string(created_) + ",\"model\":";
  AppendQuoted(&json, summary.model.empty() ? model_ : summary.model);
  json += ",\"choices\":[";
  for (size_t i = 0; i < choices_.size(); ++i) {
    json += (i > 0 ? ",{\"index\":" : "{\"index\":") + std::to_string(i) + ",\"finish_reason\":\"" +
            choices_[i].finish + "\"}";
  }
  stream_->Event(json + "],\"usage\":" + UsageJson(summary.usage) + ",\"timings\":" + TimingsJson(summary) + "}");
  stream_->End(false);
}

void ChatAnswer::SendWhole(const Summary& summary) {
  std::string json =
      "{\"id\":\"" + id_ + "\",\"object\":\"chat.completion\",\"created\":" + std::to_string(created_) + ",\"model\":";
  AppendQuoted(&json, summary.model.empty() ? model_ : summary.model);
  json += ",\"system_fingerprint\":\"" + Fingerprint() + "\",\"choices\":[";
  for (size_t i = 0; i < choices_.size(); ++i) {
    const Choice& choice = choices_[i];
    json += (i > 0 ? ",{\"index\":" : "{\"index\":") + std::to_string(i) +
            ",\"message\":{\"role\":\"assistant\",\"content\":";
    if (choice.content.empty() && !choice.calls.empty()) {
      json += "null";
    } else {
      AppendQuoted(&json, choice.content);
    }
    if (!choice.thoughts.empty()) {
      json += ",\"reasoning_content\":";
      AppendQuoted(&json, choice.thoughts);
    }
    json += ",\"refusal\":null";
    for (size_t k = 0; k < choice.calls.size(); ++k) {
      json += k > 0 ? ",{" : ",\"tool_calls\":[{";
      AppendCall(&json, choice.calls[k].id, choice.calls[k].name, choice.calls[k].arguments);
    }
    if (!choice.calls.empty()) json += "]";
    json += "},\"logprobs\":";
    json += options_.logprobs ? "{\"content\":[" + choice.logprobs + "],\"refusal\":null}" : "null";
    json += ",\"finish_reason\":\"" + choice.finish + "\"}";
  }
  json += "],\"usage\":" + UsageJson(summary.usage) + ",\"timings\":" + TimingsJson(summary) + "}";
  if (tickets_->Claim()) SendAnswer(*reply_, std::move(json), summary);
}

void ChatAnswer::OnFailed(const ApiError& error) {
  tickets_->Release();
  if (stream_ != nullptr) {
    stream_->Fail(error);
  } else if (tickets_->Claim()) {
    SendError(*reply_, error);
  }
}

}  // namespace mote::server
