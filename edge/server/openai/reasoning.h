// What a model thinks before it answers: <think>...</think>, as the templates of DeepSeek and Qwen have it, taken out
// of the text and told beside it.
#ifndef MOTE_EDGE_SERVER_OPENAI_REASONING_H_
#define MOTE_EDGE_SERVER_OPENAI_REASONING_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "edge/server/openai/fields.h"
#include "edge/server/openai/tool_parser.h"
#include "edge/server/openai/tools.h"
#include "edge/server/serving/task.h"

namespace mote::server {

enum class Thinking {
  kNone,      // an answer is text from its beginning
  kPossible,  // it may begin with a block of thoughts
  kBegun,     // it does: the prompt has opened the block
};

// How the text of an answer is to be read.
struct AnswerForm {
  ToolUse tools;
  Thinking thinking = Thinking::kNone;
  bool tell_thoughts = true;
};

void AddReasoningFields(Table* table);

// reasoning_format and include_reasoning of a body that was held against its table, and what the model's template says
// of thoughts. After the task's messages and its constraint are complete: a constraint holds from the end of thoughts
// on, where the prompt has begun them.
std::optional<ApiError> ReadReasoning(Service& service, const Json& body, Task* task, AnswerForm* form);

// Text in pieces to thoughts and the rest. The mark of the beginning counts only as the first word, that of the end
// only inside; blanks around them belong to neither.
class ThoughtReader {
 public:
  explicit ThoughtReader(const AnswerForm& form) : told_(form.tell_thoughts) {
    state_ = form.thinking == Thinking::kNone ? State::kText : State::kStart;
    begun_ = form.thinking == Thinking::kBegun;
  }

  // Appends thoughts to *pieces, and to *text what is none.
  void Feed(std::string_view piece, std::vector<AnswerPiece>* pieces, std::string* text);
  void Finish(std::vector<AnswerPiece>* pieces, std::string* text);

 private:
  enum class State { kStart, kInside, kBehind, kText };

  bool Step(std::vector<AnswerPiece>* pieces, std::string* text);
  void Think(std::string thought, std::vector<AnswerPiece>* pieces);

  State state_;
  bool begun_ = false;    // by the prompt
  bool told_ = true;      // thoughts are told, and not only left out
  bool thought_ = false;  // something, beside blanks
  std::string held_;      // not yet decided
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_OPENAI_REASONING_H_
