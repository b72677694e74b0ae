// The answer of /v1/completions: the choices of several prompts, each a task of its own, in one answer.
#ifndef MOTE_EDGE_SERVER_OPENAI_COMPLETION_ANSWER_H_
#define MOTE_EDGE_SERVER_OPENAI_COMPLETION_ANSWER_H_

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "edge/server/openai/answer.h"
#include "edge/server/openai/endpoint.h"

namespace mote::server {

class CompletionAnswer : public std::enable_shared_from_this<CompletionAnswer> {
 public:
  struct Options {
    Delivery delivery = Delivery::kWhole;
    bool usage = false;
    std::string model;
    int choices = 1;  // of each prompt
    bool logprobs = false;
    std::vector<std::string> echo;  // what stands before the text of each prompt's choices; empty: nothing
  };

  CompletionAnswer(Options options, size_t prompts, std::shared_ptr<Reply> reply, std::shared_ptr<Tickets> tickets);
  void Begin(const Every& every);
  const std::shared_ptr<Stream>& stream() const { return stream_; }
  // Of the prompt at `index`; one for each.
  std::shared_ptr<Receiver> ReceiverOf(size_t index);

 private:
  class Part;
  struct Choice {
    explicit Choice(const AnswerForm& plain) : reader(plain) {}
    ChoiceReader reader;
    std::string text;                                                // of a whole answer
    size_t offset = 0;                                               // characters, of the next token
    std::string tokens, token_logprobs, top_logprobs, text_offsets;  // items of JSON
    std::string finish;
    bool begun = false;
  };

  void Accepted(std::string_view model, std::string_view cache);
  void Stage(mote::server::Stage stage, double fraction);
  void Text(size_t index, std::string_view text, std::span<const TokenDetail> tokens);
  void Finished(size_t index, Finish reason);
  void Done(const Summary& summary);
  void Failed(const ApiError& error);

  void Send(size_t index, std::string_view text, std::string_view finish);
  static std::string TakeLogprobs(Choice& choice);
  std::string Head(std::string_view model) const;
  std::string CurrentHead();
  void Complete(const Summary& summary);

  const Options options_;
  const std::shared_ptr<Reply> reply_;
  const std::shared_ptr<Tickets> tickets_;
  const std::shared_ptr<Stream> stream_;
  const std::string id_;
  const int64_t created_;
  std::vector<Choice> choices_;  // each touched by its own task only

  std::mutex mutex_;  // of what follows: tasks go on their own
  std::string head_;  // of every chunk, up to the choices
  bool accepted_ = false;
  size_t running_;
  bool failed_ = false;
  Summary summary_;  // of the tasks that are done
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_OPENAI_COMPLETION_ANSWER_H_
