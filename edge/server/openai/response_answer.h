// The answer of /v1/responses: items of output, whole or as typed events.
#ifndef MOTE_EDGE_SERVER_OPENAI_RESPONSE_ANSWER_H_
#define MOTE_EDGE_SERVER_OPENAI_RESPONSE_ANSWER_H_

#include <memory>
#include <string>
#include <vector>

#include "edge/server/openai/answer.h"
#include "edge/server/openai/endpoint.h"

namespace mote::server {

class ResponseAnswer : public Receiver {
 public:
  struct Options {
    Delivery delivery = Delivery::kWhole;
    std::string model;  // as asked for
    AnswerForm form;
    Json echo;  // what the answer repeats of its request
  };

  ResponseAnswer(Options options, std::shared_ptr<Reply> reply, std::shared_ptr<Tickets> tickets);
  void Begin(const Every& every);
  const std::shared_ptr<Stream>& stream() const { return stream_; }

  void OnPrecision(std::string_view precision) override {
    if (stream_ != nullptr) stream_->SetPrecision(precision);
  }
  void OnAccepted(std::string_view model, std::string_view cache) override;
  void OnStage(Stage stage, double fraction) override;
  void OnText(int choice, std::string_view text, std::span<const TokenDetail> tokens) override;
  void OnFinished(int choice, Finish reason) override;
  void OnDone(const Summary& summary) override;
  void OnFailed(const ApiError& error) override;

 private:
  struct Item {
    std::string id;
    AnswerPiece::Kind kind = AnswerPiece::Kind::kText;  // kText, kThought, kCall
    bool call() const { return kind == AnswerPiece::Kind::kCall; }
    std::string call_id, name;
    std::string text;      // or arguments
    std::string logprobs;  // of the text: items of JSON
    bool complete = false;
  };

  void Take(const std::vector<AnswerPiece>& pieces);
  void Open(AnswerPiece::Kind kind, const std::string& name);
  void Add(const std::string& text);
  void Close();
  std::string TakeLogprobs(Item* item);

  Json ItemJson(const Item& item) const;
  Json PartJson(const Item& item) const;
  Json ResponseJson(const char* status, const Summary* summary) const;
  // An event that is about the open item, or about none.
  void Tell(const char* type, Json members);
  Json OfItem() const;
  void BeginStream();

  const Options options_;
  const std::shared_ptr<Reply> reply_;
  const std::shared_ptr<Tickets> tickets_;
  const std::shared_ptr<Stream> stream_;  // null: the answer is sent whole
  const std::string id_;
  const int64_t created_;
  std::string model_;
  ChoiceReader reader_;
  std::vector<Item> items_;  // the last is open where it is not complete
  std::string untold_;       // log-probabilities, items of JSON, that no piece of text has had
  int64_t sequence_ = 0;
  bool begun_ = false;
  Finish finish_ = Finish::kStop;
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_OPENAI_RESPONSE_ANSWER_H_
