// What is told about an answer while it comes and when it is complete, the same for every endpoint that generates text.
#ifndef MOTE_EDGE_SERVER_OPENAI_ANSWER_H_
#define MOTE_EDGE_SERVER_OPENAI_ANSWER_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "edge/server/openai/reasoning.h"
#include "edge/server/openai/stream.h"
#include "edge/server/openai/tool_parser.h"
#include "edge/server/serving/task.h"

namespace mote::server {

// {"event":"prefill","percent":50}: a line of NDJSON for a stage. image_decoded, image_encoded, queued, first_token
// have no percent.
std::string StageJson(Stage stage, double fraction);

// One choice: its text, cut at whole characters, with thoughts and the calls of tools taken out.
class ChoiceReader {
 public:
  explicit ChoiceReader(const AnswerForm& form) : thoughts_(form), parser_(form.tools) {}

  // Appends to *pieces.
  void Feed(std::string_view text, std::vector<AnswerPiece>* pieces);
  void Finish(std::vector<AnswerPiece>* pieces);
  bool called() const { return parser_.calls() > 0; }

 private:
  void Read(std::string_view text, std::vector<AnswerPiece>* pieces);

  ThoughtReader thoughts_;
  ToolParser parser_;
  std::string tail_;  // of a character that is not complete
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_OPENAI_ANSWER_H_
