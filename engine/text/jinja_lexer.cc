#include "engine/text/jinja_lexer.h"

#include <inttypes.h>
#include <string.h>

#include "engine/text/jinja_ast.h"
#include "engine/text/jinja_utf8.h"

namespace mote::jinja {
namespace {

constexpr size_t kLongestName = 256;
constexpr size_t kNotFound = std::string_view::npos;

bool IsDecimal(char c) {
  return c >= '0' && c <= '9';
}
bool IsNameStart(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  Result<std::vector<Token>> Run() {
    while (status_.ok() && at_ < source_.size()) Text();
    if (!status_.ok()) return status_;
    Add(TokenKind::kEnd, source_.size(), source_.size());
    return std::move(tokens_);
  }

 private:
  bool Fail(size_t position, const std::string& text) {
    if (status_.ok()) status_ = SyntaxError(source_, static_cast<uint32_t>(position), text);
    return false;
  }
  char At(size_t i) const { return i < source_.size() ? source_[i] : '\0'; }
  bool Has(size_t i, std::string_view text) const {
    return i <= source_.size() && source_.substr(i, text.size()) == text;
  }
  void Add(TokenKind kind, size_t begin, size_t end) {
    tokens_.push_back({kind, static_cast<uint32_t>(begin), static_cast<uint32_t>(end - begin)});
  }
  size_t SkipSpace(size_t i) const {
    while (i < source_.size()) {
      const Char c = DecodeChar(source_, i);
      if (!IsSpace(c.code)) break;
      i += c.bytes;
    }
    return i;
  }

  // Adds the data in [at_, end), where a tag opens at `end` with the sign `sign` ('-', '+' or other). Variables keep
  // the blanks before them unless told by '-'; blocks and comments lose them when they begin the line.
  void Data(size_t end, char sign, bool variable) {
    std::string_view text = source_.substr(at_, end - at_);
    if (sign == '-') {
      text = TrimRight(text);
    } else if (sign != '+' && !variable) {
      const size_t newline = text.rfind('\n');
      const size_t line = newline == kNotFound ? 0 : newline + 1;
      if ((line > 0 || line_starting_) && line < text.size() && TrimRight(text.substr(line)).empty()) {
        text = text.substr(0, line);
      }
    }
    if (!text.empty()) Add(TokenKind::kData, at_, at_ + text.size());
  }

  // Where the tag that ends at `end` leaves the lexer; `newline_gone`: trim_blocks takes a newline that follows.
  void Leave(size_t end, bool strip, bool newline_gone) {
    at_ = strip ? SkipSpace(end) : end;
    if (!strip && newline_gone && At(at_) == '\n') ++at_;
    line_starting_ = at_ > 0 && source_[at_ - 1] == '\n';
  }

  void Text() {
    size_t open = at_;
    while (true) {
      open = source_.find('{', open);
      if (open == kNotFound) {
        Add(TokenKind::kData, at_, source_.size());
        at_ = source_.size();
        return;
      }
      const char next = At(open + 1);
      if (next == '{' || next == '%' || next == '#') break;
      ++open;
    }
    const char sign = At(open + 2);
    const char kind = source_[open + 1];
    Data(open, sign, kind == '{');
    if (kind == '#') return Comment(open);
    at_ = open + (sign == '-' || sign == '+' ? 3 : 2);
    if (kind == '%') {
      if (const size_t raw = RawTag(open, "raw"); raw != kNotFound) return Raw(open, raw);
    }
    Add(kind == '{' ? TokenKind::kVariableBegin : TokenKind::kBlockBegin, open, at_);
    Tag(open, kind == '{');
  }

  void Comment(size_t open) {
    // The end is searched from behind the sign: "{#-#}" is a whole comment.
    const char sign = At(open + 2);
    const size_t from = open + (sign == '-' || sign == '+' ? 3 : 2);
    const size_t end = source_.find("#}", from);
    if (end == kNotFound) {
      Fail(open, "this comment has no end (#})");
      return;
    }
    const char last = end > from ? source_[end - 1] : '\0';
    Leave(end + 2, last == '-', last != '+');
  }

  // If the block tag at `open` is {% word %}, the position of its closing %} or of the sign before it.
  size_t RawTag(size_t open, std::string_view word) const {
    size_t i = open + 2;
    if (At(i) == '-' || At(i) == '+') ++i;
    i = SkipSpace(i);
    if (!Has(i, word)) return kNotFound;
    i = SkipSpace(i + word.size());
    return Has(i, "%}") || (Has(i + 1, "%}") && (At(i) == '-' || (word == "endraw" && At(i) == '+'))) ? i : kNotFound;
  }

  void Raw(size_t open, size_t close) {
    const bool strip = At(close) == '-';
    Leave(close + (strip ? 3 : 2), strip, false);
    for (size_t i = at_; (i = source_.find("{%", i)) != kNotFound; i += 2) {
      const size_t end = RawTag(i, "endraw");
      if (end == kNotFound) continue;
      Data(i, At(i + 2), false);
      const char sign = At(end);
      return Leave(end + (sign == '%' ? 2 : 3), sign == '-', sign != '+');
    }
    Fail(open, "this raw block has no end ({% endraw %})");
  }

  // Tokens of an expression or statement up to its closing }} or %}. Inside brackets these are operators.
  void Tag(size_t open, bool variable) {
    const char* end = variable ? "}}" : "%}";
    const size_t floor = brackets_.size();
    while (true) {
      if (at_ >= source_.size()) {
        Fail(open, std::string("this tag has no end (") + end + ")");
        return;
      }
      if (brackets_.size() == floor) {
        const char c = source_[at_];
        const bool sign = (c == '-' || (c == '+' && !variable)) && Has(at_ + 1, end);
        if (sign || Has(at_, end)) {
          Add(variable ? TokenKind::kVariableEnd : TokenKind::kBlockEnd, at_, at_ + 2);
          return Leave(at_ + (sign ? 3 : 2), c == '-', !variable && !sign);
        }
      }
      if (!Inside()) return;
    }
  }

  bool Inside() {
    const size_t begin = at_;
    const char c = source_[at_];
    if (const size_t next = SkipSpace(at_); next != at_) {
      at_ = next;
      return true;
    }
    if (IsDecimal(c)) return Number();
    if (IsNameStart(c)) {
      while (IsNameStart(At(at_)) || IsDecimal(At(at_))) ++at_;
      // Work with names is not paid for by their length.
      if (at_ - begin > kLongestName) return Fail(begin, "a name of more than 256 bytes");
      Add(TokenKind::kName, begin, at_);
      return true;
    }
    if (c == '\'' || c == '"') {
      for (++at_; at_ < source_.size() && source_[at_] != c; ++at_) {
        if (source_[at_] == '\\') ++at_;
      }
      if (at_ >= source_.size()) return Fail(begin, "this string has no end");
      ++at_;
      Add(TokenKind::kString, begin, at_);
      return true;
    }
    return Operator();
  }

  // Digits with single underscores between them; `digit` tells which belong to the base.
  template <class Digit>
  size_t Digits(size_t i, bool underscore_first, Digit digit) const {
    while (digit(At(i)) || (At(i) == '_' && digit(At(i + 1)) && (underscore_first || IsDecimal(At(i - 1))))) {
      i += At(i) == '_' ? 2 : 1;
      underscore_first = true;
    }
    return i;
  }

  bool Number() {
    const size_t begin = at_;
    const auto is_hex = [](char c) { return IsDecimal(c) || ((c | 32) >= 'a' && (c | 32) <= 'f'); };
    size_t i = Digits(at_, false, IsDecimal);
    // A fraction or exponent makes a float, unless a dot is before it (tuple.0.1).
    if (begin == 0 || source_[begin - 1] != '.') {
      size_t end = i;
      if (At(i) == '.' && IsDecimal(At(i + 1))) end = i = Digits(i + 1, false, IsDecimal);
      if ((At(i) | 32) == 'e') {
        const size_t digits = i + (At(i + 1) == '+' || At(i + 1) == '-' ? 2 : 1);
        if (IsDecimal(At(digits))) end = Digits(digits, false, IsDecimal);
      }
      if (memchr(source_.data() + begin, '.', end - begin) || (end > i)) {
        at_ = end;
        Add(TokenKind::kFloat, begin, at_);
        return true;
      }
    }
    if (source_[begin] == '0') {
      const char base = static_cast<char>(At(begin + 1) | 32);
      size_t end = begin;
      if (base == 'x') end = Digits(begin + 2, true, is_hex);
      if (base == 'o') end = Digits(begin + 2, true, [](char c) { return c >= '0' && c <= '7'; });
      if (base == 'b') end = Digits(begin + 2, true, [](char c) { return c == '0' || c == '1'; });
      if (end > begin + 2) {
        i = end;
      } else {
        i = Digits(begin, false, [](char c) { return c == '0'; });  // 007 is 00 followed by 7: a syntax error later
      }
    }
    at_ = i;
    Add(TokenKind::kInteger, begin, at_);
    return true;
  }

  bool Operator() {
    static constexpr std::string_view kTwo[] = {"//", "**", "==", "!=", ">=", "<="};
    const size_t begin = at_;
    for (const std::string_view op : kTwo) {
      if (Has(at_, op)) {
        at_ += 2;
        Add(TokenKind::kOperator, begin, at_);
        return true;
      }
    }
    const char c = source_[at_];
    if (!strchr("+-/*%~[](){}><=.:|,;", c) || c == '\0') {
      return Fail(at_, "unexpected '" + Excerpt(source_.substr(at_, DecodeChar(source_, at_).bytes)) + "'");
    }
    if (c == '(' || c == '[' || c == '{') brackets_.push_back(c == '(' ? ')' : c == '[' ? ']' : '}');
    if (c == ')' || c == ']' || c == '}') {
      if (brackets_.empty()) return Fail(at_, std::string("unexpected '") + c + "'");
      if (brackets_.back() != c) {
        return Fail(at_, std::string("unexpected '") + c + "', expected '" + brackets_.back() + "'");
      }
      brackets_.pop_back();
    }
    ++at_;
    Add(TokenKind::kOperator, begin, at_);
    return true;
  }

  std::string_view source_;
  size_t at_ = 0;
  bool line_starting_ = true;
  std::string brackets_;  // the closing brackets that are due, outermost first
  std::vector<Token> tokens_;
  Status status_;
};

}  // namespace

std::string NormalizeSource(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out.push_back(source[i]);
      continue;
    }
    out.push_back('\n');
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

Result<std::vector<Token>> Tokenize(std::string_view source) {
  return Lexer(source).Run();
}

LineColumn Locate(std::string_view source, uint32_t position) {
  LineColumn at;
  const std::string_view before = source.substr(0, position);
  for (const char c : before) at.line += c == '\n';
  const size_t newline = before.rfind('\n');
  at.column = static_cast<uint32_t>(newline == kNotFound ? before.size() : before.size() - newline - 1) + 1;
  return at;
}

Status SyntaxError(std::string_view source, uint32_t position, const std::string& text) {
  const LineColumn at = Locate(source, position);
  return Error(Code::kMalformed, "chat template, line %" PRIu32 ", column %" PRIu32 ": %s", at.line, at.column,
               text.c_str());
}

std::string Excerpt(std::string_view text) {
  constexpr size_t kMost = 40;
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const Char c = DecodeChar(text, i);
    if (i + c.bytes > kMost) return out + "...";
    if (c.code < 0x20 || c.code == 0x7f || c.code >= kBadByte) {
      out.push_back('?');
    } else {
      out.append(text.substr(i, c.bytes));
    }
    i += c.bytes;
  }
  return out;
}

}  // namespace mote::jinja
