#include "edge/server/openai/tool_parser.h"

#include <algorithm>
#include <utility>

namespace mote::server {
namespace {

constexpr std::string_view kSpaces = " \t\r\n";
constexpr std::string_view kHermes = "<tool_call>";
constexpr std::string_view kHermesEnd = "</tool_call>";
constexpr std::string_view kMistral = "[TOOL_CALLS]";
constexpr std::string_view kLlama = "<|python_tag|>";
constexpr std::string_view kMarks[] = {kHermes, kMistral, kLlama};
// A name of Mistral's form, with what may stand between it and the arguments.
constexpr size_t kMaxName = 256;

bool StartsWith(std::string_view text, std::string_view start) {
  return text.substr(0, start.size()) == start;
}

// True where more text could make `text` start with `mark`.
bool MayBecome(std::string_view text, std::string_view mark) {
  return text.size() < mark.size() && mark.substr(0, text.size()) == text;
}

size_t SkipSpaces(std::string_view text, size_t from) {
  return std::min(text.find_first_not_of(kSpaces, from), text.size());
}

// Where the longest end of `text` begins that may become a mark, with the spaces before it.
size_t HoldFrom(std::string_view text) {
  size_t from = text.size();
  for (const std::string_view mark : kMarks) {
    for (size_t length = std::min(mark.size() - 1, text.size()); length > 0; --length) {
      if (!StartsWith(mark, text.substr(text.size() - length))) continue;
      from = std::min(from, text.size() - length);
      break;
    }
  }
  while (from > 0 && kSpaces.find(text[from - 1]) != std::string_view::npos) --from;
  return from;
}

enum class Match { kYes, kNo, kMore };

// Reads tokens of JSON, spaces between them allowed.
class Header {
 public:
  explicit Header(std::string_view text) : text_(text) {}

  Match Is(std::string_view token) {
    at_ = SkipSpaces(text_, at_);
    const std::string_view rest = text_.substr(at_);
    if (MayBecome(rest, token)) return Match::kMore;
    if (!StartsWith(rest, token)) return Match::kNo;
    at_ += token.size();
    return Match::kYes;
  }
  // A string without escapes.
  Match Name(std::string* name) {
    if (const Match quote = Is("\""); quote != Match::kYes) return quote;
    const size_t end = text_.find_first_of("\"\\", at_);
    if (end == std::string_view::npos) return Match::kMore;
    *name = text_.substr(at_, end - at_);
    at_ = end + 1;
    return text_[end] == '"' ? Match::kYes : Match::kNo;
  }
  size_t at() const { return at_; }

 private:
  std::string_view text_;
  size_t at_ = 0;
};

// {"name": NAME, "arguments": {      *at: the bracket of the arguments.
Match MatchHeader(std::string_view text, std::string* name, size_t* at) {
  Header header(text);
  for (const std::string_view token : {"{", "\"name\"", ":"}) {
    if (const Match match = header.Is(token); match != Match::kYes) return match;
  }
  if (const Match match = header.Name(name); match != Match::kYes) return match;
  for (const std::string_view token : {",", "\"arguments\"", ":", "{"}) {
    if (const Match match = header.Is(token); match != Match::kYes) return match;
  }
  *at = header.at() - 1;
  return Match::kYes;
}

// The function that an object calls and its arguments; false where it is no call.
bool ReadCall(const Json& json, std::string* name, Json* arguments) {
  if (!json.is_object()) return false;
  const auto function = json.find("function");
  if (function != json.end() && function->is_object()) return ReadCall(*function, name, arguments);
  const auto named = json.find("name");
  const auto& holder = named != json.end() ? named : function;
  if (holder == json.end() || !holder->is_string()) return false;
  *name = holder->get<std::string>();
  auto values = json.find("arguments");
  if (values == json.end()) values = json.find("parameters");
  if (values == json.end()) {
    *arguments = Json::object();
    return true;
  }
  if (values->is_string())
    return !ParseJson(values->get_ref<const std::string&>(), arguments) && arguments->is_object();
  *arguments = *values;
  return arguments->is_object();
}

}  // namespace

void ToolParser::Feed(std::string_view text, std::vector<AnswerPiece>* pieces) {
  if (use_.names.empty()) {
    if (!text.empty()) Text(std::string(text), pieces);
    return;
  }
  if (use_.forced && state_ == State::kText && calls_ == 0 && !failed_) state_ = State::kForced;
  held_ += text;
  while (!held_.empty() && Step(pieces)) {
  }
}

void ToolParser::Finish(std::vector<AnswerPiece>* pieces) {
  // What a forced call was cut off in is no text: nobody wrote it for people.
  const bool text = state_ != State::kBehind && state_ != State::kRest && state_ != State::kForced;
  if (text && !held_.empty()) Text(std::exchange(held_, {}), pieces);
  held_.clear();
}

bool ToolParser::Step(std::vector<AnswerPiece>* pieces) {
  switch (state_) {
    case State::kText:
      return StepText(pieces);
    case State::kName:
      return StepName(pieces);
    case State::kJson:
      return StepJson(pieces);
    case State::kBehind:
      return StepBehind();
    case State::kForced:
      return StepForced(pieces);
    case State::kArguments:
      return StepArguments(pieces);
    case State::kRest:
      held_.clear();
      return false;
  }
  return false;
}

bool ToolParser::StepText(std::vector<AnswerPiece>* pieces) {
  const size_t first = SkipSpaces(held_, 0);
  if (!told_text_ && !failed_) {
    if (first == held_.size() || MayBecome(std::string_view(held_).substr(first), kMistral)) return false;
    const bool marked = StartsWith(std::string_view(held_).substr(first), kMistral);
    if (!marked && (held_[first] == '{' || held_[first] == '[')) {
      StartJson(first);
      return true;
    }
  }
  size_t mark_at = std::string::npos;
  std::string_view found;
  for (const std::string_view mark : kMarks) {
    const size_t at = held_.find(mark);
    if (at < mark_at) mark_at = at, found = mark;
  }
  if (mark_at == std::string::npos) {
    const size_t keep = HoldFrom(held_);
    if (keep > 0) Text(held_.substr(0, keep), pieces);
    held_.erase(0, keep);
    return false;
  }
  const size_t end = held_.find_last_not_of(kSpaces, mark_at - 1);
  if (mark_at > 0 && end != std::string::npos) Text(held_.substr(0, end + 1), pieces);
  held_.erase(0, mark_at);
  StartJson(found.size());
  if (found == kMistral) state_ = State::kName;
  return true;
}

bool ToolParser::StepName(std::vector<AnswerPiece>* pieces) {
  const size_t begin = SkipSpaces(held_, json_);
  if (begin == held_.size()) return false;
  if (held_[begin] == '[' || held_[begin] == '{') {
    StartJson(begin);
    return true;
  }
  const size_t bracket = held_.find('{', begin);
  const std::string_view written = std::string_view(held_).substr(begin, std::min(bracket, held_.size()) - begin);
  if (bracket == std::string::npos && written.size() <= kMaxName) return false;
  std::string name(written.substr(0, written.find_first_of("[ \t\r\n")));
  if (bracket == std::string::npos || std::find(use_.names.begin(), use_.names.end(), name) == use_.names.end()) {
    scanned_ = begin;
    GiveUp(pieces);
    return true;
  }
  StartJson(bracket);
  name_ = std::move(name);
  return true;
}

void ToolParser::StartJson(size_t begin) {
  state_ = State::kJson;
  json_ = scanned_ = begin;
  depth_ = 0;
  in_string_ = escaped_ = false;
  name_.clear();
}

// Goes on to the end of the value, where brackets and quotes close; true there.
bool ToolParser::ScanJson() {
  while (scanned_ < held_.size()) {
    const char c = held_[scanned_++];
    if (escaped_) {
      escaped_ = false;
    } else if (in_string_) {
      if (c == '\\') escaped_ = true;
      if (c == '"') in_string_ = false;
    } else if (c == '"') {
      in_string_ = true;
    } else if (c == '{' || c == '[') {
      ++depth_;
    } else if ((c == '}' || c == ']') && --depth_ == 0) {
      return true;
    }
  }
  return false;
}

bool ToolParser::StepJson(std::vector<AnswerPiece>* pieces) {
  const size_t begin = SkipSpaces(held_, json_);
  if (begin == held_.size()) return false;
  if (held_[begin] != '{' && held_[begin] != '[') {
    scanned_ = begin;
    GiveUp(pieces);
    return true;
  }
  if (!ScanJson()) return false;
  Json json;
  const std::string_view text = std::string_view(held_).substr(begin, scanned_ - begin);
  if (ParseJson(text, &json) || !TakeCalls(json, pieces)) {
    GiveUp(pieces);
    return true;
  }
  held_.erase(0, scanned_);
  state_ = use_.single ? State::kRest : State::kBehind;
  return true;
}

bool ToolParser::TakeCalls(const Json& json, std::vector<AnswerPiece>* pieces) {
  std::vector<std::pair<std::string, Json>> calls;
  if (!name_.empty()) {
    if (!json.is_object()) return false;
    calls.emplace_back(name_, json);
  } else {
    const size_t count = json.is_array() ? json.size() : 1;
    for (size_t i = 0; i < count; ++i) {
      auto& [name, arguments] = calls.emplace_back();
      if (!ReadCall(json.is_array() ? json[i] : json, &name, &arguments)) return false;
      if (std::find(use_.names.begin(), use_.names.end(), name) == use_.names.end()) return false;
    }
  }
  for (auto& [name, arguments] : calls) {
    pieces->push_back({AnswerPiece::Kind::kCall, calls_, std::move(name)});
    pieces->push_back({AnswerPiece::Kind::kArguments, calls_, Dump(arguments)});
    ++calls_;
    if (use_.single) break;
  }
  return !calls.empty();
}

bool ToolParser::StepBehind() {
  const size_t at = std::min(held_.find_first_not_of(" \t\r\n;"), held_.size());
  const std::string_view rest = std::string_view(held_).substr(at);
  if (rest.empty() || MayBecome(rest, kHermesEnd)) return false;
  if (StartsWith(rest, kHermesEnd)) {
    held_.erase(0, at + kHermesEnd.size());
    return true;
  }
  held_.erase(0, at);
  if (held_[0] == '{') {
    StartJson(0);
  } else {
    state_ = State::kText;
    told_text_ = true;
  }
  return true;
}

bool ToolParser::StepForced(std::vector<AnswerPiece>* pieces) {
  std::string name;
  size_t at = 0;
  const Match match = MatchHeader(held_, &name, &at);
  if (match == Match::kMore) return false;
  const bool known = std::find(use_.names.begin(), use_.names.end(), name) != use_.names.end();
  if (match == Match::kNo || !known) {
    state_ = State::kText;  // members in another order: told when it is complete
    use_.forced = false;
    return true;
  }
  pieces->push_back({AnswerPiece::Kind::kCall, calls_, std::move(name)});
  held_.erase(0, at);
  StartJson(0);
  state_ = State::kArguments;
  return true;
}

bool ToolParser::StepArguments(std::vector<AnswerPiece>* pieces) {
  const bool complete = ScanJson();
  pieces->push_back({AnswerPiece::Kind::kArguments, calls_, held_.substr(0, scanned_)});
  held_.erase(0, scanned_);
  scanned_ = 0;
  if (!complete) return false;
  ++calls_;
  state_ = State::kRest;
  return true;
}

// What was looked at is text.
void ToolParser::GiveUp(std::vector<AnswerPiece>* pieces) {
  failed_ = true;
  Text(held_.substr(0, scanned_), pieces);
  held_.erase(0, scanned_);
  state_ = State::kText;
}

void ToolParser::Text(std::string text, std::vector<AnswerPiece>* pieces) {
  if (text.find_first_not_of(kSpaces) != std::string::npos) told_text_ = true;
  pieces->push_back({AnswerPiece::Kind::kText, 0, std::move(text)});
}

}  // namespace mote::server
