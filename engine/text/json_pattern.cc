// Regular expressions of JSON schemas to grammars. A pattern is not run: it becomes rules, whatever its quantifiers.
#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/text/jinja_number.h"
#include "engine/text/json_schema.h"
#include "engine/text/utf8.h"

namespace mote::grammar {
namespace {

using Ranges = std::vector<CodeRange>;

uint32_t Sum(uint32_t a, uint32_t b) {
  return a == kUnlimited || b == kUnlimited ? kUnlimited : std::min(a + b, kUnlimited - 1);
}

uint32_t Product(uint32_t a, uint32_t b) {
  if (a == 0 || b == 0) return 0;
  if (a == kUnlimited || b == kUnlimited) return kUnlimited;
  return static_cast<uint32_t>(std::min<uint64_t>(uint64_t{a} * b, kUnlimited - 1));
}

// What \s matches in ECMAScript and in Python.
Ranges Blanks() {
  return {{'\t', '\r'},     {' ', ' '},       {0xA0, 0xA0},     {0x1680, 0x1680}, {0x2000, 0x200A},
          {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}};
}

// What it matches in one of the two.
Ranges NearlyBlanks() {
  return {{0x1C, 0x1F}, {0x85, 0x85}, {0xFEFF, 0xFEFF}};
}

Ranges Digits() {
  return {{'0', '9'}};
}

Ranges WordChars() {
  return {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
}

// Engines differ in what else is a digit or a letter, so of the others only ASCII is taken.
Ranges OtherAscii(const Ranges& ranges) {
  Ranges others = Negate(Normalize(ranges));
  std::erase_if(others, [](const CodeRange& range) { return range.first > 0x7F; });
  if (!others.empty()) others.back().last = std::min<uint32_t>(others.back().last, 0x7F);
  return others;
}

class PatternParser {
 public:
  PatternParser(std::string_view pattern, RuleId any_char, Ast* ast)
      : pattern_(pattern), any_char_(any_char), ast_(*ast) {}

  Result<PatternExpr> Run() {
    PatternExpr all;
    if (!ParseAlternates(/*depth=*/0, &all)) return status_;
    if (at_ < pattern_.size()) {
      Fail("')' without '('");
      return status_;
    }
    return all;
  }

 private:
  bool Fail(const std::string& what, Code code = Code::kMalformed) {
    status_ = Error(code, "the pattern, byte %zu: %s", at_, what.c_str());
    return false;
  }
  bool Refuse(const std::string& what) { return Fail(what + " is not supported", Code::kUnsupported); }
  bool AtEnd() const { return at_ >= pattern_.size(); }
  char Now() const { return AtEnd() ? '\0' : pattern_[at_]; }
  bool Take(char c) {
    if (AtEnd() || pattern_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool TakeAll(std::string_view text) {
    if (pattern_.substr(at_, text.size()) != text) return false;
    at_ += text.size();
    return true;
  }
  ExprId AnyText() { return ast_.Repeat(ast_.Reference(any_char_), 0, kUnlimited); }

  bool ParseAlternates(int depth, PatternExpr* out) {
    std::vector<ExprId> branches;
    *out = {0, kUnlimited, 0};
    do {
      PatternExpr branch;
      if (!ParseBranch(depth, &branch)) return false;
      branches.push_back(branch.expr);
      out->min_chars = std::min(out->min_chars, branch.min_chars);
      out->max_chars = std::max(out->max_chars, branch.max_chars);
    } while (Take('|'));
    out->expr = ast_.Alternate(branches);
    return true;
  }

  bool ParseBranch(int depth, PatternExpr* out) {
    std::vector<ExprId> parts;
    *out = {};
    bool open_end = depth == 0;
    if (depth == 0 && !Take('^')) {
      parts.push_back(AnyText());
      out->max_chars = kUnlimited;
    }
    while (!AtEnd() && Now() != '|' && Now() != ')') {
      if (Now() == '$' || Now() == '^') {
        const bool last = at_ + 1 == pattern_.size() || pattern_[at_ + 1] == '|';
        if (Now() == '^' || depth > 0 || !last)
          return Refuse("'^' and '$' elsewhere than around the pattern or its alternatives");
        ++at_;
        open_end = false;
        break;
      }
      PatternExpr part;
      if (!ParseAtom(depth, &part) || !ParseQuantifier(&part)) return false;
      if (!(status_ = ast_.Check()).ok()) return false;
      parts.push_back(part.expr);
      out->min_chars = Sum(out->min_chars, part.min_chars);
      out->max_chars = Sum(out->max_chars, part.max_chars);
    }
    if (open_end) {
      parts.push_back(AnyText());
      out->max_chars = kUnlimited;
    }
    out->expr = ast_.Sequence(parts);
    return true;
  }

  bool ParseAtom(int depth, PatternExpr* out) {
    const char c = Now();
    if (c == '(') return ParseGroup(depth, out);
    if (c == '*' || c == '+' || c == '?' || c == '{') return Fail("nothing stands before the quantifier");
    Ranges ranges;
    if (c == '[') {
      if (!ParseClass(&ranges)) return false;
    } else if (c == '.') {
      ++at_;
      ranges = Negate({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}});
    } else if (c == '\\') {
      if (!ParseEscape(/*in_class=*/false, &ranges)) return false;
    } else {
      uint32_t code = 0;
      if (!ParsePlain(&code)) return false;
      ranges = {{code, code}};
    }
    ranges = Normalize(std::move(ranges));
    if (ranges.empty()) return Fail("a class that matches nothing");
    *out = {JsonChars(ranges), 1, 1};
    return true;
  }

  bool ParseGroup(int depth, PatternExpr* out) {
    if (depth == kMaxNesting) return Fail("groups are nested over " + std::to_string(kMaxNesting) + " deep");
    ++at_;
    if (Take('?')) {
      if (Now() == '=' || Now() == '!' || TakeAll("<=") || TakeAll("<!")) return Refuse("looking ahead or behind");
      if (Take('<')) {
        const size_t end = pattern_.find('>', at_);
        if (end == std::string_view::npos) return Fail("a group's name without '>'");
        at_ = end + 1;
      } else if (!Take(':')) {
        return Refuse("this kind of group");
      }
    }
    if (!ParseAlternates(depth + 1, out)) return false;
    return Take(')') || Fail("expected ')'");
  }

  bool ParsePlain(uint32_t* code) {
    const Utf8Char c = DecodeUtf8(pattern_, at_);
    if (!c.valid) return Fail("not UTF-8");
    at_ += c.bytes;
    *code = c.code_point;
    return true;
  }

  bool ParseHex(int digits, uint32_t* code) {
    *code = 0;
    for (int i = 0; i < digits; ++i) {
      const int digit = jinja::HexDigit(Now());
      if (digit < 0) return Fail("expected " + std::to_string(digits) + " hexadecimal digits");
      *code = *code << 4 | static_cast<uint32_t>(digit);
      ++at_;
    }
    return true;
  }

  // \uXXXX, also two of them for a character past U+FFFF, and \u{X...}.
  bool ParseUnicode(uint32_t* code) {
    if (Take('{')) {
      *code = 0;
      const size_t begin = at_;
      for (; jinja::HexDigit(Now()) >= 0 && at_ - begin < 6; ++at_) {
        *code = *code << 4 | static_cast<uint32_t>(jinja::HexDigit(Now()));
      }
      if (at_ == begin || !Take('}') || *code > kMaxCodePoint) return Fail("expected a code point and '}'");
      return true;
    }
    if (!ParseHex(4, code)) return false;
    if (*code < 0xD800 || *code >= 0xDC00 || !TakeAll("\\u")) return true;
    uint32_t low = 0;
    if (!ParseHex(4, &low)) return false;
    if (low < 0xDC00 || low >= 0xE000) return Fail("half of a surrogate pair");
    *code = 0x10000 + ((*code - 0xD800) << 10) + (low - 0xDC00);
    return true;
  }

  bool ParseEscape(bool in_class, Ranges* out) {
    ++at_;
    const char c = Now();
    ++at_;
    const auto one = [out](uint32_t code) {
      *out = {{code, code}};
      return true;
    };
    static constexpr std::string_view kFrom = "tnrfv0";
    static constexpr std::string_view kTo("\t\n\r\f\v\0", 6);
    if (const size_t i = kFrom.find(c); c != '\0' && i != std::string_view::npos) {
      if (c == '0' && Now() >= '0' && Now() <= '9') return Refuse("an octal escape");
      return one(static_cast<uint8_t>(kTo[i]));
    }
    uint32_t code = 0;
    switch (c) {
      case 'd':
        *out = Digits();
        return true;
      case 'D':
        *out = OtherAscii(Digits());
        return true;
      case 'w':
        *out = WordChars();
        return true;
      case 'W':
        *out = OtherAscii(WordChars());
        return true;
      case 's':
        *out = Blanks();
        return true;
      case 'S': {
        Ranges both = Blanks();
        const Ranges nearly = NearlyBlanks();
        both.insert(both.end(), nearly.begin(), nearly.end());
        *out = Negate(Normalize(std::move(both)));
        return true;
      }
      case 'x':
        return ParseHex(2, &code) && one(code);
      case 'u':
        return ParseUnicode(&code) && one(code);
      case 'b':
        if (in_class) return one('\b');
        break;
      default:
        break;
    }
    --at_;
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (AtEnd()) return Fail("a '\\' at the end");
    if (letter) return Refuse(std::string("\\") + c);
    return ParsePlain(&code) && one(code);
  }

  bool ParseClass(Ranges* out) {
    ++at_;
    const bool negated = Take('^');
    while (Now() != ']') {
      if (AtEnd()) return Fail("a class without ']'");
      Ranges item;
      if (!ParseClassItem(&item)) return false;
      const bool single = item.size() == 1 && item[0].first == item[0].last;
      if (single && Now() == '-' && at_ + 1 < pattern_.size() && pattern_[at_ + 1] != ']') {
        ++at_;
        Ranges last;
        if (!ParseClassItem(&last)) return false;
        if (last.size() != 1 || last[0].first != last[0].last) return Fail("a range that ends with a class");
        if (last[0].first < item[0].first) return Fail("a range that ends before it begins");
        item[0].last = last[0].last;
      }
      out->insert(out->end(), item.begin(), item.end());
    }
    ++at_;
    if (negated) *out = Negate(Normalize(std::move(*out)));
    return true;
  }
  bool ParseClassItem(Ranges* out) {
    if (Now() == '\\') return ParseEscape(/*in_class=*/true, out);
    uint32_t code = 0;
    if (!ParsePlain(&code)) return false;
    *out = {{code, code}};
    return true;
  }

  bool ParseCount(uint32_t* out) {
    uint64_t value = 0;
    if (Now() < '0' || Now() > '9') return Fail("expected a number");
    for (; Now() >= '0' && Now() <= '9'; ++at_) {
      value = std::min<uint64_t>(value * 10 + static_cast<uint64_t>(Now() - '0'), uint64_t{1} << 30);
    }
    if (value > kMaxRepeat) return Fail("repeat counts go up to " + std::to_string(kMaxRepeat), Code::kInvalidArgument);
    *out = static_cast<uint32_t>(value);
    return true;
  }

  bool ParseQuantifier(PatternExpr* part) {
    uint32_t min = 0;
    uint32_t max = kUnlimited;
    if (Take('{')) {
      if (!ParseCount(&min)) return false;
      max = min;
      if (Take(',')) {
        max = kUnlimited;
        if (Now() != '}' && !ParseCount(&max)) return false;
      }
      if (!Take('}')) return Fail("expected '}'");
      if (max < min) return Fail("a repeat count that ends below its begin");
    } else if (Take('+')) {
      min = 1;
    } else if (Take('?')) {
      max = 1;
    } else if (!Take('*')) {
      return true;
    }
    (void)Take('?');  // lazy: the same strings
    if (Now() == '*' || Now() == '+' || Now() == '?' || Now() == '{')
      return Fail("nothing stands before the quantifier");
    part->expr = ast_.Repeat(part->expr, min, max);
    part->min_chars = Product(part->min_chars, min);
    part->max_chars = Product(part->max_chars, max);
    return true;
  }

  // One of these characters as it stands in a JSON string.
  ExprId JsonChars(const Ranges& ranges) {
    Ranges plain;
    std::vector<ExprId> choices;
    const auto escape = [&](uint32_t code) {
      static constexpr std::string_view kFrom = "\"\\\b\f\n\r\t";
      static constexpr std::string_view kTo = "\"\\bfnrt";
      const size_t simple = kFrom.find(static_cast<char>(code));
      if (simple != std::string_view::npos) {
        choices.push_back(ast_.Literal(std::string("\\") + kTo[simple]));
      } else {
        static constexpr char kHex[] = "0123456789abcdef";
        choices.push_back(ast_.Literal(std::string("\\u00") + kHex[code >> 4] + kHex[code & 15]));
      }
    };
    for (const CodeRange& range : ranges) {
      uint32_t begin = range.first;
      for (uint32_t code = range.first; code <= range.last && code <= '\\'; ++code) {
        if (code >= 0x20 && code != '"' && code != '\\') continue;
        if (code > begin) plain.push_back({begin, code - 1});
        escape(code);
        begin = code + 1;
      }
      if (begin <= range.last) plain.push_back({begin, range.last});
    }
    if (!plain.empty()) choices.push_back(ast_.Class(std::move(plain)));
    return ast_.Alternate(choices);
  }

  std::string_view pattern_;
  RuleId any_char_;
  Ast& ast_;
  size_t at_ = 0;
  Status status_;
};

}  // namespace

Result<PatternExpr> ParsePattern(std::string_view pattern, RuleId any_char, Ast* ast) {
  return PatternParser(pattern, any_char, ast).Run();
}

}  // namespace mote::grammar
