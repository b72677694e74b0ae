// Finds the calls of tools in the text of an answer, while it comes.
#ifndef MOTE_EDGE_SERVER_OPENAI_TOOL_PARSER_H_
#define MOTE_EDGE_SERVER_OPENAI_TOOL_PARSER_H_

#include <stddef.h>

#include <string>
#include <string_view>
#include <vector>

#include "edge/server/openai/json.h"
#include "edge/server/openai/tools.h"

namespace mote::server {

// A piece of an answer: text, thoughts before it, the start of a call, or more of the arguments of a call.
struct AnswerPiece {
  enum class Kind { kText, kThought, kCall, kArguments };
  Kind kind;
  int call = 0;      // its index
  std::string text;  // the text, the name of the function, or arguments
};

// The forms that models write calls in:
//   <tool_call>{"name": "f", "arguments": {...}}</tool_call>     Hermes, Qwen
//   [TOOL_CALLS][{"name": "f", "arguments": {...}}]              Mistral; also [TOOL_CALLS]f{...} and f[ARGS]{...}
//   <|python_tag|>{"name": "f", "parameters": {...}}             Llama 3; several with ';'
//   {"name": "f", "arguments": {...}}                            the same without a mark, as the whole answer
// Only an object with the name of an offered function and a JSON object as arguments is a call; everything else stays
// text. So a call is told when it is complete. Where the answer is forced to be a call it cannot turn out to be
// anything else, and its arguments are told as they come.
class ToolParser {
 public:
  explicit ToolParser(ToolUse use) : use_(std::move(use)) {}

  void Feed(std::string_view text, std::vector<AnswerPiece>* pieces);
  // The answer is complete; what was held back comes out.
  void Finish(std::vector<AnswerPiece>* pieces);

  int calls() const { return calls_; }

 private:
  enum class State {
    kText,       // looking for the start of a call
    kName,       // behind [TOOL_CALLS]: a name or JSON
    kJson,       // inside JSON that may be a call
    kBehind,     // behind a call: its end mark, another call
    kForced,     // before the arguments of a forced call
    kArguments,  // inside them
    kRest,       // behind the only call: nothing more
  };

  bool Step(std::vector<AnswerPiece>* pieces);
  bool StepText(std::vector<AnswerPiece>* pieces);
  bool StepName(std::vector<AnswerPiece>* pieces);
  bool StepJson(std::vector<AnswerPiece>* pieces);
  bool StepBehind();
  bool StepForced(std::vector<AnswerPiece>* pieces);
  bool StepArguments(std::vector<AnswerPiece>* pieces);
  void StartJson(size_t begin);
  bool ScanJson();
  bool TakeCalls(const Json& json, std::vector<AnswerPiece>* pieces);
  void GiveUp(std::vector<AnswerPiece>* pieces);
  void Text(std::string text, std::vector<AnswerPiece>* pieces);

  ToolUse use_;
  State state_ = State::kText;
  std::string held_;    // not yet told
  size_t json_ = 0;     // where the JSON in held_ begins
  size_t scanned_ = 0;  // up to where it was looked at
  int depth_ = 0;       // of brackets there
  bool in_string_ = false;
  bool escaped_ = false;
  std::string name_;        // of Mistral's form, before the arguments
  bool told_text_ = false;  // any but spaces
  bool failed_ = false;     // in kText: what is held was looked at, and is no call
  int calls_ = 0;
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_OPENAI_TOOL_PARSER_H_
