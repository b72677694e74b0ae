#include "edge/server/openai/completion_answer.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "edge/server/openai/json.h"
#include "edge/server/openai/shapes.h"

namespace mote::server {
namespace {

size_t Characters(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

void AppendItem(std::string* list, std::string_view item) {
  if (!list->empty()) *list += ',';
  *list += item;
}

std::string Number(float value) {
  return Dump(Json(std::isfinite(value) ? value : -9999.0F));
}

// The alternatives of one token: {" the":-0.5,...}
std::string Alternatives(const TokenDetail& token) {
  std::string json;
  for (const TokenDetail& top : token.top) {
    if (!json.empty()) json += ',';
    AppendQuoted(&json, top.bytes);
    json += ":" + Number(top.logprob);
  }
  return "{" + json + "}";
}

}  // namespace

// Tells the answer which of its tasks speaks.
class CompletionAnswer::Part : public Receiver {
 public:
  Part(std::shared_ptr<CompletionAnswer> answer, size_t first) : answer_(std::move(answer)), first_(first) {}
  void OnPrecision(std::string_view precision) override {
    // One header for all prompts: they were asked of one model, and what each got is not told apart.
    if (first_ == 0 && answer_->stream() != nullptr) answer_->stream()->SetPrecision(precision);
  }
  void OnAccepted(std::string_view model, std::string_view cache) override { answer_->Accepted(model, cache); }
  void OnStage(mote::server::Stage stage, double fraction) override { answer_->Stage(stage, fraction); }
  void OnText(int choice, std::string_view text, std::span<const TokenDetail> tokens) override {
    answer_->Text(first_ + static_cast<size_t>(choice), text, tokens);
  }
  void OnFinished(int choice, Finish reason) override {
    answer_->Finished(first_ + static_cast<size_t>(choice), reason);
  }
  void OnDone(const Summary& summary) override { answer_->Done(summary); }
  void OnFailed(const ApiError& error) override { answer_->Failed(error); }

 private:
  const std::shared_ptr<CompletionAnswer> answer_;
  const size_t first_;  // of its choices
};

CompletionAnswer::CompletionAnswer(Options options, size_t prompts, std::shared_ptr<Reply> reply,
                                   std::shared_ptr<Tickets> tickets)
    : options_(std::move(options)),
      reply_(reply),
      tickets_(tickets),
      stream_(MakeStream(options_.delivery, reply, tickets)),
      id_(NewId("cmpl-")),
      created_(UnixTime()),
      running_(prompts) {
  head_ = Head(options_.model);
  const AnswerForm plain;
  for (size_t i = 0; i < prompts * static_cast<size_t>(options_.choices); ++i) choices_.emplace_back(plain);
}

void CompletionAnswer::Begin(const Every& every) {
  if (stream_ != nullptr) stream_->KeepAlive(every);
}

std::shared_ptr<Receiver> CompletionAnswer::ReceiverOf(size_t index) {
  return std::make_shared<Part>(shared_from_this(), index * static_cast<size_t>(options_.choices));
}

std::string CompletionAnswer::Head(std::string_view model) const {
  std::string head =
      "{\"id\":\"" + id_ + "\",\"object\":\"text_completion\",\"created\":" + std::to_string(created_) + ",\"model\":";
  AppendQuoted(&head, model);
  return head + ",\"system_fingerprint\":\"" + Fingerprint() + "\",\"choices\":[";
}

std::string CompletionAnswer::CurrentHead() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return head_;
}

void CompletionAnswer::Accepted(std::string_view model, std::string_view cache) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (std::exchange(accepted_, true)) return;  // one header for all prompts
    head_ = Head(model);
  }
  if (stream_ != nullptr) stream_->SetHeader("X-Mote-Cache", std::string(cache));
}

void CompletionAnswer::Stage(mote::server::Stage stage, double fraction) {
  if (options_.delivery != Delivery::kNdjson) return;
  stream_->Event(StageJson(stage, fraction), "", stage == mote::server::Stage::kQueued);
}

void CompletionAnswer::Text(size_t index, std::string_view text, std::span<const TokenDetail> tokens) {
  Choice& choice = choices_[index];
  if (options_.logprobs) {
    for (const TokenDetail& token : tokens) {
      std::string quoted;
      AppendQuoted(&quoted, token.bytes);
      AppendItem(&choice.tokens, quoted);
      AppendItem(&choice.token_logprobs, Number(token.logprob));
      AppendItem(&choice.top_logprobs, Alternatives(token));
      AppendItem(&choice.text_offsets, std::to_string(choice.offset));
      choice.offset += Characters(token.bytes);
    }
  }
  std::vector<AnswerPiece> pieces;
  choice.reader.Feed(text, &pieces);
  for (const AnswerPiece& piece : pieces) Send(index, piece.text, "");
}

void CompletionAnswer::Finished(size_t index, Finish reason) {
  Choice& choice = choices_[index];
  std::vector<AnswerPiece> pieces;
  choice.reader.Finish(&pieces);
  for (const AnswerPiece& piece : pieces) Send(index, piece.text, "");
  choice.finish = FinishName(reason);
  Send(index, "", choice.finish);
}

std::string CompletionAnswer::TakeLogprobs(Choice& choice) {
  if (choice.tokens.empty()) return "null";
  std::string json = "{\"tokens\":[" + std::exchange(choice.tokens, {}) + "],\"token_logprobs\":[";
  json += std::exchange(choice.token_logprobs, {}) + "],\"top_logprobs\":[";
  json += std::exchange(choice.top_logprobs, {}) + "],\"text_offset\":[";
  return json + std::exchange(choice.text_offsets, {}) + "]}";
}

void CompletionAnswer::Send(size_t index, std::string_view text, std::string_view finish) {
  Choice& choice = choices_[index];
  std::string echoed;
  if (!choice.begun && !options_.echo.empty()) {
    echoed = options_.echo[index / static_cast<size_t>(options_.choices)];
    echoed += text;
    text = echoed;
  }
  choice.begun = true;
  if (options_.delivery == Delivery::kWhole) {
    choice.text += text;
    return;
  }
  const bool sse = options_.delivery == Delivery::kSse;
  if (!sse && text.empty() && choice.tokens.empty()) return;
  std::string json = sse ? CurrentHead() + "{" : "{\"event\":\"delta\",";
  json += "\"index\":" + std::to_string(index) + ",\"text\":";
  AppendQuoted(&json, text);
  json += ",\"logprobs\":" + TakeLogprobs(choice);
  if (sse) {
    json += ",\"finish_reason\":";
    json += finish.empty() ? "null}]" : "\"" + std::string(finish) + "\"}]";
    if (options_.usage) json += ",\"usage\":null";
  }
  stream_->Event(json + "}");
}

void CompletionAnswer::Done(const Summary& summary) {
  Summary all;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    Usage usage = summary.usage;
    usage.prompt_tokens += summary_.usage.prompt_tokens;
    usage.cached_tokens += summary_.usage.cached_tokens;
    usage.image_tokens += summary_.usage.image_tokens;
    usage.completion_tokens += summary_.usage.completion_tokens;
    Timings timings = summary.timings;
    timings.images += summary_.timings.images;
    timings.prefill += summary_.timings.prefill;
    timings.decode += summary_.timings.decode;
    timings.queued = std::max(timings.queued, summary_.timings.queued);
    timings.first_token = std::max(timings.first_token, summary_.timings.first_token);
    timings.total = std::max(timings.total, summary_.timings.total);
    summary_ = summary;
    summary_.usage = usage;
    summary_.timings = timings;
    if (--running_ > 0 || failed_) return;
    all = summary_;
  }
  tickets_->Release();
  Complete(all);
}

void CompletionAnswer::Complete(const Summary& summary) {
  const std::string totals = "\"usage\":" + UsageJson(summary.usage) + ",\"timings\":" + TimingsJson(summary) + "}";
  if (options_.delivery == Delivery::kSse) {
    if (options_.usage) stream_->Event(CurrentHead() + "]," + totals);
    return stream_->End(true);
  }
  const std::string_view model = summary.model.empty() ? std::string_view(options_.model) : summary.model;
  std::string json = Head(model);
  const bool whole = options_.delivery == Delivery::kWhole;
  for (size_t i = 0; i < choices_.size(); ++i) {
    json += (i > 0 ? ",{\"index\":" : "{\"index\":") + std::to_string(i);
    if (whole) {
      json += ",\"text\":";
      AppendQuoted(&json, choices_[i].text);
      json += ",\"logprobs\":" + TakeLogprobs(choices_[i]);
    }
    json += ",\"finish_reason\":\"" + choices_[i].finish + "\"}";
  }
  json += "]," + totals;
  if (whole) {
    if (tickets_->Claim()) SendAnswer(*reply_, std::move(json), summary);
    return;
  }
  stream_->Event("{\"event\":\"done\"," + json.substr(1));
  stream_->End(false);
}

void CompletionAnswer::Failed(const ApiError& error) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    --running_;
    if (std::exchange(failed_, true)) return;
  }
  if (stream_ != nullptr) {
    stream_->Fail(error);
  } else if (tickets_->Claim()) {
    SendError(*reply_, error);
  }
  tickets_->CancelAll();  // the other prompts' answers have nowhere to go
}

}  // namespace mote::server
