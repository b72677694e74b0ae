#include "edge/server/openai/reasoning.h"

#include <algorithm>
#include <utility>

#include "edge/server/openai/tool_prompt.h"

namespace mote::server {
namespace {

constexpr std::string_view kBegin = "<think>";
constexpr std::string_view kEnd = "</think>";
constexpr std::string_view kBlanks = " \t\r\n";

// Bytes at the end of `text` that are the beginning of `mark`.
size_t BeginningOf(std::string_view mark, std::string_view text) {
  for (size_t length = std::min(mark.size() - 1, text.size()); length > 0; --length) {
    if (text.ends_with(mark.substr(0, length))) return length;
  }
  return 0;
}

}  // namespace

void AddReasoningFields(Table* table) {
  table->push_back({"reasoning_format", Kind::kString, 0, 0, "none|auto|deepseek"});
  table->push_back({"include_reasoning", Kind::kBool});
}

std::optional<ApiError> ReadReasoning(Service& service, const Json& body, Task* task, AnswerForm* form) {
  form->tell_thoughts = GetBool(body, "include_reasoning", true);
  const bool told_apart = GetString(body, "reasoning_format", "auto") != "none";
  const bool constrained = task->constraint != Constraint::kNone && task->constraint_trigger.empty();
  if (!told_apart && !constrained) return std::nullopt;  // nothing hangs on how the prompt ends
  if (TemplateOf(service, task->model).find(kBegin) == std::string::npos) return std::nullopt;
  const Result<std::string> prompt = service.ApplyTemplate(task->model, *task);
  const size_t last = prompt.ok() ? prompt->find_last_not_of(kBlanks) : std::string::npos;
  const bool begun = last != std::string::npos && std::string_view(*prompt).substr(0, last + 1).ends_with(kBegin);
  // Thoughts that the prompt has begun are no part of what must have a form.
  if (begun && constrained) task->constraint_trigger = kEnd;
  if (told_apart) form->thinking = begun ? Thinking::kBegun : Thinking::kPossible;
  return std::nullopt;
}

void ThoughtReader::Feed(std::string_view piece, std::vector<AnswerPiece>* pieces, std::string* text) {
  if (state_ == State::kText) {
    text->append(piece);
    return;
  }
  held_ += piece;
  while (!held_.empty() && Step(pieces, text)) {
  }
}

// False where more must come first.
bool ThoughtReader::Step(std::vector<AnswerPiece>* pieces, std::string* text) {
  const size_t first = std::min(held_.find_first_not_of(kBlanks), held_.size());
  const std::string_view word = std::string_view(held_).substr(first);
  switch (state_) {
    case State::kStart:
      if (word.size() < kBegin.size() && kBegin.starts_with(word)) return false;
      state_ = word.starts_with(kBegin) || begun_ ? State::kInside : State::kText;
      if (word.starts_with(kBegin)) held_.erase(0, first + kBegin.size());
      return true;
    case State::kInside: {
      const size_t end = held_.find(kEnd);
      std::string thought = held_.substr(0, std::min(end, held_.size() - BeginningOf(kEnd, held_)));
      const size_t blanks = thought.find_last_not_of(kBlanks);
      thought.resize(blanks == std::string::npos ? 0 : blanks + 1);
      held_.erase(0, end != std::string::npos ? end + kEnd.size() : thought.size());
      Think(std::move(thought), pieces);
      if (end == std::string::npos) return false;
      state_ = State::kBehind;
      return true;
    }
    case State::kBehind:
      if (word.empty()) return false;
      held_.erase(0, first);
      state_ = State::kText;
      return true;
    case State::kText:
      text->append(std::exchange(held_, {}));
      return false;
  }
  return false;
}

void ThoughtReader::Think(std::string thought, std::vector<AnswerPiece>* pieces) {
  if (!thought_) thought.erase(0, std::min(thought.find_first_not_of(kBlanks), thought.size()));
  if (thought.empty()) return;
  thought_ = true;
  if (told_) pieces->push_back({AnswerPiece::Kind::kThought, 0, std::move(thought)});
}

void ThoughtReader::Finish(std::vector<AnswerPiece>* pieces, std::string* text) {
  if (state_ == State::kInside) {
    const size_t last = held_.find_last_not_of(kBlanks);
    Think(held_.substr(0, last == std::string::npos ? 0 : last + 1), pieces);
  } else if (state_ != State::kBehind) {
    text->append(held_);
  }
  held_.clear();
}

}  // namespace mote::server
