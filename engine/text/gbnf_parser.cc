// GBNF text to a tree. Recursive descent, groups nested at most kMaxNesting deep.
#include <inttypes.h>

#include <algorithm>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/text/grammar_ast.h"
#include "engine/text/jinja_number.h"
#include "engine/text/json_schema.h"
#include "engine/text/utf8.h"

namespace mote::grammar {
namespace {

bool IsNameChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

class Parser {
 public:
  explicit Parser(std::string_view source) : source_(source) {}

  Result<Ast> Run() {
    if (source_.size() > kMaxSourceBytes) {
      return Error(Code::kInvalidArgument, "the grammar has %zu bytes; up to %zu are accepted", source_.size(),
                   kMaxSourceBytes);
    }
    SkipBlanks(/*newlines=*/true);
    while (at_ < source_.size()) {
      if (!ParseRule()) return status_;
    }
    MOTE_RETURN_IF_ERROR(ast_.Check());
    return Finish();
  }

 private:
  Result<Ast> Finish() {
    for (const Rule& rule : ast_.rules()) {
      if (!rule.defined) {
        return Error(Code::kMalformed, "grammar, line %" PRIu32 ": rule '%s' is used and not defined", rule.line,
                     rule.name.c_str());
      }
    }
    const auto root = names_.find("root");
    if (root == names_.end()) return Error(Code::kMalformed, "the grammar has no rule 'root', where it would begin");
    ast_.root = root->second;
    return std::move(ast_);
  }

  // Counts from the last place counted: linear over all calls, as they come in order.
  uint32_t LineAt(size_t at) {
    if (at < counted_) {
      counted_ = 0;
      line_ = 1;
    }
    line_ += static_cast<uint32_t>(std::count(source_.begin() + static_cast<ptrdiff_t>(counted_),
                                              source_.begin() + static_cast<ptrdiff_t>(at), '\n'));
    counted_ = at;
    return line_;
  }
  bool Fail(const std::string& what, size_t at, Code code = Code::kMalformed) {
    at = std::min(at, source_.size());
    const size_t line_start = at == 0 ? std::string_view::npos : source_.rfind('\n', at - 1);
    const size_t column = at - (line_start == std::string_view::npos ? 0 : line_start + 1) + 1;
    status_ = Error(code, "grammar, line %" PRIu32 ", column %zu: %s", LineAt(at), column, what.substr(0, 400).c_str());
    return false;
  }
  bool Fail(const std::string& what) { return Fail(what, at_); }
  bool Full() {
    status_ = ast_.Check();
    return !status_.ok();
  }
  char Now() const { return at_ < source_.size() ? source_[at_] : '\0'; }
  bool AtEnd() const { return at_ >= source_.size(); }

  void SkipBlanks(bool newlines) {
    while (!AtEnd()) {
      const char c = Now();
      if (c == '#') {
        while (!AtEnd() && Now() != '\n' && Now() != '\r') ++at_;
      } else if (c == ' ' || c == '\t' || (newlines && (c == '\n' || c == '\r'))) {
        ++at_;
      } else {
        return;
      }
    }
  }

  std::string_view Name() {
    const size_t begin = at_;
    while (IsNameChar(Now())) ++at_;
    return source_.substr(begin, at_ - begin);
  }

  RuleId RuleNamed(std::string_view name, size_t at) {
    const auto [place, fresh] = names_.emplace(std::string(name), 0);
    if (fresh) {
      place->second = ast_.AddRule(std::string(name));
      if (place->second < ast_.rules().size()) ast_.rule(place->second).line = LineAt(at);
    }
    return place->second;
  }

  bool ParseRule() {
    const size_t begin = at_;
    const std::string_view name = Name();
    if (name.empty()) return Fail("expected the name of a rule");
    SkipBlanks(false);
    if (source_.substr(at_, 3) != "::=") return Fail("expected '::=' after '" + std::string(name) + "'");
    at_ += 3;
    SkipBlanks(true);
    const RuleId rule = RuleNamed(name, begin);
    if (Full()) return false;
    if (ast_.rules()[rule].defined) {
      return Fail("rule '" + std::string(name) + "' is defined a second time; the first is in line " +
                      std::to_string(ast_.rules()[rule].line),
                  begin);
    }
    ast_.rule(rule).line = LineAt(begin);
    ExprId body = 0;
    if (!ParseAlternates(/*depth=*/0, &body)) return false;
    ast_.Define(rule, body);
    if (!AtEnd() && Now() != '\n' && Now() != '\r') {
      return Fail(Now() == ')' ? "')' without '('" : "expected an element, '|' or the end of the line");
    }
    SkipBlanks(true);
    return true;
  }

  // At top level a rule ends with its line, unless the next line begins with '|'.
  bool ContinuesWithBar(bool nested) {
    if (Now() == '|') return true;
    if (nested) return false;
    const size_t before = at_;
    SkipBlanks(true);
    if (Now() == '|') return true;
    at_ = before;
    return false;
  }

  bool ParseAlternates(int depth, ExprId* out) {
    std::vector<ExprId> alternates(1);
    if (!ParseSequence(depth, &alternates[0])) return false;
    while (ContinuesWithBar(depth > 0)) {
      ++at_;
      SkipBlanks(true);
      if (!ParseSequence(depth, &alternates.emplace_back())) return false;
    }
    *out = ast_.Alternate(alternates);
    return true;
  }

  bool ParseSequence(int depth, ExprId* out) {
    std::vector<ExprId> parts;
    while (!AtEnd()) {
      const char c = Now();
      if (c == '*' || c == '+' || c == '?' || c == '{') {
        if (parts.empty()) return Fail(std::string("nothing stands before '") + c + "' that it could repeat");
        if (!ParseRepeat(&parts.back())) return false;
      } else {
        ExprId part = 0;
        bool found = false;
        if (!ParseElement(depth, &part, &found)) return false;
        if (!found) break;
        parts.push_back(part);
      }
      if (Full()) return false;
      SkipBlanks(depth > 0);
    }
    *out = ast_.Sequence(parts);
    return true;
  }

  // *found false: no element begins here.
  bool ParseElement(int depth, ExprId* out, bool* found) {
    const size_t begin = at_;
    const char c = Now();
    *found = true;
    if (c == '"') return ParseLiteral(out);
    if (c == '[') return ParseClass(out);
    if (c == '.') {
      ++at_;
      *out = ast_.Class({{0, kMaxCodePoint}});
      return true;
    }
    if (c == '%') return ParseSchema(out);
    if (c == '(') {
      if (depth == kMaxNesting) return Fail("groups are nested over " + std::to_string(kMaxNesting) + " deep");
      ++at_;
      SkipBlanks(true);
      if (!ParseAlternates(depth + 1, out)) return false;
      if (Now() != ')') return Fail("expected ')' or another element");
      ++at_;
      return true;
    }
    if (IsNameChar(c)) {
      *out = ast_.Reference(RuleNamed(Name(), begin));
      return true;
    }
    if (c == '<' || c == '!') {
      return Fail("tokens by name or id (<...>) are not supported; write the text itself", at_, Code::kUnsupported);
    }
    *found = false;
    return true;
  }

  // %json {...}: a text that the schema allows.
  bool ParseSchema(ExprId* out) {
    constexpr std::string_view kWord = "%json";
    const size_t begin = at_;
    if (source_.substr(at_, kWord.size()) != kWord) return Fail("after '%' only 'json' is known: %json {...}");
    at_ += kWord.size();
    SkipBlanks(true);
    const size_t schema = at_;
    if (Now() != '{') return Fail("expected a JSON schema, '{...}', after %json");
    if (!SkipJson()) return Fail("a JSON schema without its closing '}'", schema);
    const Result<Ast> parsed = ParseJsonSchema(source_.substr(schema, at_ - schema));
    if (!parsed.ok()) return Fail(parsed.status().message(), begin, parsed.status().code());
    *out = ast_.Import(*parsed);
    return true;
  }

  // To behind the bracket that closes the one at hand. What is between is looked at by whoever reads it.
  bool SkipJson() {
    int open = 0;
    bool in_string = false;
    for (; !AtEnd(); ++at_) {
      const char c = Now();
      if (in_string) {
        if (c == '\\') ++at_;
        if (c == '"') in_string = false;
      } else if (c == '"') {
        in_string = true;
      } else if (c == '{') {
        ++open;
      } else if (c == '}' && --open == 0) {
        ++at_;
        return true;
      }
    }
    return false;
  }

  bool ParseLiteral(ExprId* out) {
    const size_t begin = at_++;
    std::string bytes;
    while (Now() != '"') {
      uint32_t code = 0;
      if (AtEnd() || Now() == '\n') return Fail("a literal without its closing '\"'", begin);
      if (!ParseChar(&code)) return false;
      AppendUtf8(code, &bytes);
    }
    ++at_;
    *out = ast_.Literal(bytes);
    return true;
  }

  bool ParseClass(ExprId* out) {
    const size_t begin = at_++;
    const bool negated = Now() == '^';
    if (negated) ++at_;
    std::vector<CodeRange> ranges;
    while (Now() != ']') {
      const size_t item = at_;
      CodeRange range = {};
      if (AtEnd() || Now() == '\n') return Fail("a character class without its closing ']'", begin);
      if (!ParseChar(&range.first)) return false;
      range.last = range.first;
      if (Now() == '-' && at_ + 1 < source_.size() && source_[at_ + 1] != ']') {
        ++at_;
        if (!ParseChar(&range.last)) return false;
        if (range.last < range.first) return Fail("the range ends before it begins", item);
      }
      ranges.push_back(range);
    }
    ++at_;
    ranges = Normalize(std::move(ranges));
    if (negated) ranges = Negate(ranges);
    if (ranges.empty()) return Fail("the character class matches nothing", begin);
    *out = ast_.Class(std::move(ranges));
    return true;
  }

  // One character of a literal or class.
  bool ParseChar(uint32_t* code) {
    const size_t begin = at_;
    if (Now() != '\\') {
      const Utf8Char c = DecodeUtf8(source_, at_);
      if (!c.valid) return Fail("not UTF-8");
      at_ += c.bytes;
      *code = c.code_point;
      return true;
    }
    ++at_;
    static constexpr std::string_view kFrom = "trn\\\"[]^-/";
    static constexpr std::string_view kTo = "\t\r\n\\\"[]^-/";
    const char c = Now();
    ++at_;
    if (const size_t simple = kFrom.find(c); c != '\0' && simple != std::string_view::npos) {
      *code = static_cast<uint8_t>(kTo[simple]);
      return true;
    }
    const int digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits == 0) return Fail("an unknown escape; known are \\t \\r \\n \\\\ \\\" \\[ \\] \\x \\u \\U", begin);
    *code = 0;
    for (int i = 0; i < digits; ++i) {
      const int digit = jinja::HexDigit(Now());
      if (digit < 0) return Fail("expected " + std::to_string(digits) + " hexadecimal digits", begin);
      *code = *code << 4 | static_cast<uint32_t>(digit);
      ++at_;
    }
    if (*code > kMaxCodePoint || (*code >= 0xD800 && *code < 0xE000)) return Fail("no character has this code", begin);
    return true;
  }

  bool ParseCount(uint32_t* out) {
    const size_t begin = at_;
    uint64_t value = 0;
    if (!IsDigit(Now())) return Fail("expected a number");
    for (; IsDigit(Now()); ++at_) value = std::min<uint64_t>(value * 10 + static_cast<uint64_t>(Now() - '0'), 1u << 30);
    if (value > kMaxRepeat) return Fail("repeat counts go up to " + std::to_string(kMaxRepeat), begin);
    *out = static_cast<uint32_t>(value);
    return true;
  }

  bool ParseRepeat(ExprId* part) {
    const size_t begin = at_;
    const char c = Now();
    ++at_;
    uint32_t min = c == '+' ? 1 : 0;
    uint32_t max = c == '?' ? 1 : kUnlimited;
    if (c == '{') {
      SkipBlanks(false);
      if (Now() != ',' && !ParseCount(&min)) return false;
      max = min;
      SkipBlanks(false);
      if (Now() == ',') {
        ++at_;
        SkipBlanks(false);
        max = kUnlimited;
        if (Now() != '}' && !ParseCount(&max)) return false;
        SkipBlanks(false);
      }
      if (Now() != '}') return Fail("expected '}' or ','");
      ++at_;
      if (max < min) return Fail("the repeat count ends below its begin", begin);
    }
    // Repeats of repeats nest as groups do.
    if (ast_.expr(*part).depth > kMaxExprDepth) return Fail("repeats are nested too deep", begin);
    *part = ast_.Repeat(*part, min, max);
    return true;
  }

  std::string_view source_;
  size_t at_ = 0;
  size_t counted_ = 0;
  uint32_t line_ = 1;
  Ast ast_;
  std::unordered_map<std::string, RuleId> names_;
  Status status_;
};

}  // namespace

Result<Ast> ParseGbnf(std::string_view source) {
  return Parser(source).Run();
}

}  // namespace mote::grammar
