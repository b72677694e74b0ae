// A chat's answer in the shape of OpenAI: whole, as a stream of chunks, or as lines of JSON with progress.
#ifndef MOTE_EDGE_SERVER_OPENAI_CHAT_ANSWER_H_
#define MOTE_EDGE_SERVER_OPENAI_CHAT_ANSWER_H_

#include <memory>
#include <string>
#include <vector>

#include "edge/server/openai/answer.h"
#include "edge/server/openai/endpoint.h"

namespace mote::server {

class ChatAnswer : public Receiver {
 public:
  struct Options {
    Delivery delivery = Delivery::kWhole;
    bool usage = false;  // stream_options.include_usage
    std::string model;   // as asked for
    AnswerForm form;
    int choices = 1;
    bool logprobs = false;
  };

  const std::shared_ptr<Stream>& stream() const { return stream_; }

  ChatAnswer(Options options, std::shared_ptr<Reply> reply, std::shared_ptr<Tickets> tickets);
  void Begin(const Every& every);

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
  struct Call {
    std::string id, name, arguments;
  };
  struct Choice {
    explicit Choice(const AnswerForm& form) : reader(form) {}
    ChoiceReader reader;
    bool begun = false;   // of a stream: the role has been told
    std::string content;  // of a whole answer
    std::string thoughts;
    std::vector<Call> calls;
    std::string logprobs;  // items of JSON, not yet told
    std::string finish;
  };

  void SetModel(std::string_view model);
  void Take(int choice, std::vector<AnswerPiece> pieces);
  void StreamPieces(int index, Choice& choice, const std::vector<AnswerPiece>& pieces);
  void BeginChoice(int index, Choice& choice);
  // `delta`: an object of JSON. `finish`: "" while it goes on.
  void SendDelta(int index, Choice& choice, std::string_view delta, std::string_view finish);
  void SendWhole(const Summary& summary);

  const Options options_;
  const std::shared_ptr<Reply> reply_;
  const std::shared_ptr<Tickets> tickets_;
  const std::shared_ptr<Stream> stream_;  // null: the answer is sent whole
  const std::string id_;
  const int64_t created_;
  std::string model_;
  std::string head_;  // of every chunk, up to the choices
  std::vector<Choice> choices_;
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_OPENAI_CHAT_ANSWER_H_
