// Expressions. Precedence, lowest first: or, and, not, comparisons, + -, ~, * / // %, **, unary and postfix.
#include <errno.h>
#include <stdlib.h>

#include <utility>

#include "engine/text/jinja_builtins.h"
#include "engine/text/jinja_number.h"
#include "engine/text/jinja_parser.h"
#include "engine/text/jinja_utf8.h"

namespace mote::jinja {
namespace {

enum Level {
  kNoLevel = 0,
  kOrLevel,
  kAndLevel,
  kNotLevel,
  kCompareLevel,
  kSumLevel,
  kConcatLevel,
  kProductLevel,
  kPowerLevel
};

struct Infix {
  const char* text;
  bool word;
  Level level;
  uint32_t code;
};

constexpr uint32_t Code32(Binary op) {
  return static_cast<uint32_t>(op);
}
constexpr uint32_t Code32(Compare op) {
  return static_cast<uint32_t>(op);
}

constexpr Infix kInfix[] = {
    {"or", true, kOrLevel, 0},
    {"and", true, kAndLevel, 0},
    {"in", true, kCompareLevel, Code32(Compare::kIn)},
    {"==", false, kCompareLevel, Code32(Compare::kEqual)},
    {"!=", false, kCompareLevel, Code32(Compare::kNotEqual)},
    {"<", false, kCompareLevel, Code32(Compare::kLess)},
    {"<=", false, kCompareLevel, Code32(Compare::kLessEqual)},
    {">", false, kCompareLevel, Code32(Compare::kGreater)},
    {">=", false, kCompareLevel, Code32(Compare::kGreaterEqual)},
    {"+", false, kSumLevel, Code32(Binary::kAdd)},
    {"-", false, kSumLevel, Code32(Binary::kSubtract)},
    {"~", false, kConcatLevel, 0},
    {"*", false, kProductLevel, Code32(Binary::kMultiply)},
    {"/", false, kProductLevel, Code32(Binary::kDivide)},
    {"//", false, kProductLevel, Code32(Binary::kFloorDivide)},
    {"%", false, kProductLevel, Code32(Binary::kModulo)},
    {"**", false, kPowerLevel, Code32(Binary::kPower)},
};

Op ListOp(int level) {
  switch (level) {
    case kOrLevel:
      return Op::kOr;
    case kAndLevel:
      return Op::kAnd;
    case kCompareLevel:
      return Op::kCompare;
    case kConcatLevel:
      return Op::kConcat;
    default:
      return Op::kMath;
  }
}

}  // namespace

uint32_t Parser::Expression() {
  NestingScope nesting(*this);
  const uint32_t position = Now().begin;
  uint32_t value = Operators(kOrLevel);
  while (ok() && TakeName("if")) {
    const uint32_t test = Operators(kOrLevel);
    const uint32_t otherwise = TakeName("else") ? Expression() : kNone;
    value = Add(Op::kCond, position, test, value, otherwise);
  }
  return ok() ? value : kNone;
}

// Operators of `level` and above. Each run of one level becomes one node.
uint32_t Parser::Operators(int level) {
  const uint32_t position = Now().begin;
  uint32_t left = kNone;
  if (level <= kNotLevel && IsName("not")) {
    NestingScope nesting(*this);
    Next();
    const uint32_t operand = Operators(kNotLevel);
    left = Add(Op::kNot, position, operand);
  } else {
    left = Unary();
  }
  // Looks at the current token; for "not in" at two.
  const auto infix = [this](int* words) -> Infix {
    *words = 1;
    const bool is_word = Now().kind == TokenKind::kName;
    if (is_word && IsName("not") && Ahead().kind == TokenKind::kName && TextOf(Ahead()) == "in") {
      *words = 2;
      return {"not in", true, kCompareLevel, Code32(Compare::kNotIn)};
    }
    if (is_word || Now().kind == TokenKind::kOperator) {
      for (const Infix& op : kInfix) {
        if (op.word == is_word && TextOf(Now()) == op.text) return op;
      }
    }
    return {"", false, kNoLevel, 0};
  };
  int words = 1;
  Infix op = infix(&words);
  while (ok() && op.level != kNoLevel && op.level >= level) {
    const int run = op.level;
    const bool coded = ListOp(run) == Op::kMath || run == kCompareLevel;
    Nodes parts = {left};
    while (ok() && op.level == run) {
      for (int i = 0; i < words; ++i) Next();
      if (coded) parts.push_back(op.code);
      parts.push_back(Operators(run + 1));
      op = infix(&words);
    }
    left = AddList(ListOp(run), position, parts);
  }
  return ok() ? left : kNone;
}

uint32_t Parser::Unary() {
  // Signs bind tighter than filters: -1|abs is 1.
  const uint32_t position = Now().begin;
  const bool minus = IsOperator("-");
  if (!minus && !IsOperator("+")) return Postfix(Primary(), true);
  NestingScope nesting(*this);
  std::vector<std::pair<uint32_t, bool>> signs;
  while (ok() && (IsOperator("-") || IsOperator("+"))) {
    signs.emplace_back(Now().begin, IsOperator("-"));
    Next();
    if (depth_ + signs.size() > kMaxParseDepth) return Fail(position, "too many signs", Code::kInvalidArgument);
  }
  uint32_t value = Postfix(Primary(), false);
  for (size_t i = signs.size(); i-- > 0;) {
    value = Add(signs[i].second ? Op::kNegate : Op::kPlus, signs[i].first, value);
  }
  return Postfix(value, true);
}

uint32_t Parser::Postfix(uint32_t base, bool filters) {
  Nodes parts;
  const uint32_t position = Now().begin;
  // Subscripts come before filters; after the first filter or test only calls may follow.
  bool subscripts = true;
  while (ok()) {
    const uint32_t here = Now().begin;
    if (subscripts && IsOperator(".")) {
      parts.push_back(Attribute());
    } else if (subscripts && IsOperator("[")) {
      Next();
      parts.push_back(Subscript(here));
    } else if (IsOperator("(")) {
      parts.push_back(Add(Op::kCall, here, Arguments()));
    } else if (filters && IsOperator("|")) {
      subscripts = false;
      Next();
      parts.push_back(Filter());
    } else if (filters && IsName("is")) {
      subscripts = false;
      parts.push_back(Test());
    } else {
      break;
    }
  }
  if (!ok()) return kNone;
  return parts.empty() ? base : AddList(Op::kPostfix, position, parts, base);
}

uint32_t Parser::Primary() {
  const Token& token = Now();
  const uint32_t position = token.begin;
  switch (token.kind) {
    case TokenKind::kName: {
      const std::string_view name = TextOf(token);
      Next();
      if (name == "true" || name == "True") return Add(Op::kConst, position, Constant(Value::Bool(true)));
      if (name == "false" || name == "False") return Add(Op::kConst, position, Constant(Value::Bool(false)));
      if (name == "none" || name == "None") return Add(Op::kConst, position, Constant(Value::None()));
      macro_uses_ |= name == "caller"    ? kUsesCaller
                     : name == "varargs" ? kUsesVarargs
                     : name == "kwargs"  ? kUsesKwargs
                                         : 0;
      return Add(Op::kName, position, NameId(name));
    }
    case TokenKind::kString:
      return StringLiteral();
    case TokenKind::kInteger:
    case TokenKind::kFloat:
      return NumberLiteral();
    case TokenKind::kOperator:
      if (IsOperator("(")) return Parenthesized();
      if (IsOperator("[")) return ListLiteral();
      if (IsOperator("{")) return DictLiteral();
      break;
    default:
      break;
  }
  return FailHere("an expression");
}

uint32_t Parser::Parenthesized() {
  const uint32_t position = Now().begin;
  Next();
  if (TakeOperator(")")) return AddList(Op::kTuple, position, {});
  const uint32_t value = TupleOrExpression(true);
  return ExpectOperator(")") ? value : kNone;
}

uint32_t Parser::ListLiteral() {
  const uint32_t position = Now().begin;
  Next();
  Nodes items;
  while (ok() && !IsOperator("]")) {
    if (!items.empty() && !ExpectOperator(",")) break;
    if (IsOperator("]")) break;
    items.push_back(Expression());
  }
  return ExpectOperator("]") ? AddList(Op::kList, position, items) : kNone;
}

uint32_t Parser::DictLiteral() {
  const uint32_t position = Now().begin;
  Next();
  Nodes items;
  while (ok() && !IsOperator("}")) {
    if (!items.empty() && !ExpectOperator(",")) break;
    if (IsOperator("}")) break;
    items.push_back(Expression());
    if (!ExpectOperator(":")) break;
    items.push_back(Expression());
  }
  return ExpectOperator("}") ? AddList(Op::kDict, position, items) : kNone;
}

uint32_t Parser::StringLiteral() {
  const Token first = Now();
  // One plain literal is a view of the source; escapes and literals side by side make a new string.
  if (Ahead().kind != TokenKind::kString && TextOf(first).find('\\') == std::string_view::npos) {
    Next();
    return Add(Op::kConst, first.begin, StringConstant(TextOf(first).substr(1, first.size - 2), false));
  }
  std::string bytes;
  while (Now().kind == TokenKind::kString) {
    if (!Unescape(Now(), &bytes)) return kNone;
    Next();
  }
  return Add(Op::kConst, first.begin, StringConstant(bytes, true));
}

// Python's escapes; an unknown one stays as it is written.
bool Parser::Unescape(const Token& token, std::string* out) {
  const std::string_view text = TextOf(token).substr(1, token.size - 2);
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out->push_back(text[i]);
      continue;
    }
    static constexpr std::string_view kFrom = "abfnrtv\\'\"";
    static constexpr std::string_view kTo = "\a\b\f\n\r\t\v\\'\"";
    const char c = text[++i];  // the lexer lets no literal end in a lone backslash
    if (const size_t simple = kFrom.find(c); simple != std::string_view::npos) {
      out->push_back(kTo[simple]);
    } else if (c == '\n') {
      continue;
    } else if (c >= '0' && c <= '7') {
      uint32_t code = 0;
      const size_t end = i + 3;
      for (; i < end && i < text.size() && text[i] >= '0' && text[i] <= '7'; ++i) code = code * 8 + (text[i] - '0');
      --i;
      AppendChar(code, out);
    } else if (c == 'x' || c == 'u' || c == 'U') {
      const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
      uint64_t code = 0;
      size_t n = 0;
      for (; n < digits && i + 1 + n < text.size(); ++n) {
        const int digit = HexDigit(text[i + 1 + n]);
        if (digit < 0) break;
        code = code * 16 + static_cast<uint64_t>(digit);
      }
      if (n < digits || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) {
        Fail(token.begin, "this string has a broken \\" + std::string(1, c) + " escape");
        return false;
      }
      AppendChar(static_cast<uint32_t>(code), out);
      i += digits;
    } else if (c == 'N') {
      Fail(token.begin, "\\N{name} in a string is not supported; write \\u and its number", Code::kUnsupported);
      return false;
    } else {
      out->push_back('\\');
      out->push_back(c);
    }
  }
  return true;
}

uint32_t Parser::NumberLiteral() {
  const Token token = Now();
  Next();
  Value value;
  if (token.kind == TokenKind::kFloat) {
    std::string digits;
    for (const char c : TextOf(token)) {
      if (c != '_') digits.push_back(c);
    }
    double real = 0;
    ParseDouble(digits, &real);
    value = Value::Float(real);
  } else {
    int64_t integer = 0;
    if (ParseInteger(TextOf(token), 0, &integer) != ParsedInteger::kOk) {
      return Fail(token.begin, "the integer " + Excerpt(TextOf(token)) + " does not fit in 64 bits",
                  Code::kInvalidArgument);
    }
    value = Value::Int(integer);
  }
  return Add(Op::kConst, token.begin, Constant(value));
}

uint32_t Parser::Attribute() {
  const uint32_t position = Now().begin;
  Next();
  const Token token = Now();
  if (token.kind == TokenKind::kName) {
    Next();
    return Add(Op::kAttribute, position, StringConstant(TextOf(token), false));
  }
  if (token.kind == TokenKind::kInteger) return Add(Op::kItem, position, NumberLiteral());
  return FailHere("a name or a number after '.'");
}

// After '['.
uint32_t Parser::Subscript(uint32_t position) {
  uint32_t parts[3] = {kNone, kNone, kNone};
  int colons = 0;
  if (!IsOperator(":")) {
    parts[0] = TupleOrExpression(true);
    if (TakeOperator("]")) return Add(Op::kItem, position, parts[0]);
  }
  while (ok() && colons < 2 && TakeOperator(":")) {
    ++colons;
    if (!IsOperator(":") && !IsOperator("]")) parts[colons] = Expression();
  }
  return ExpectOperator("]") ? Add(Op::kSlice, position, parts[0], parts[1], parts[2]) : kNone;
}

uint32_t Parser::Arguments() {
  const uint32_t position = Now().begin;
  if (!ExpectOperator("(")) return kNone;
  Nodes list;
  Nodes keywords;
  uint32_t star = kNone;
  uint32_t star_star = kNone;
  bool first = true;
  while (ok() && !IsOperator(")")) {
    if (!first && !ExpectOperator(",")) break;
    if (!first && IsOperator(")")) break;
    first = false;
    const uint32_t here = Now().begin;
    bool in_order = star_star == kNone;
    if (TakeOperator("**")) {
      star_star = Expression();
    } else if (TakeOperator("*")) {
      in_order = in_order && star == kNone;
      star = Expression();
    } else if (Now().kind == TokenKind::kName && Ahead().kind == TokenKind::kOperator && TextOf(Ahead()) == "=") {
      keywords.push_back(StringConstant(TextOf(Now()), false));
      Next();
      Next();
      keywords.push_back(Expression());
    } else {
      in_order = in_order && star == kNone && keywords.empty();
      list.push_back(Expression());
    }
    if (!in_order) return Fail(here, "arguments are out of order: values, names, *list, **dict");
  }
  if (!ExpectOperator(")")) return kNone;
  const uint32_t positional = static_cast<uint32_t>(list.size());
  list.insert(list.end(), keywords.begin(), keywords.end());
  if (star != kNone) list.push_back(star);
  if (star_star != kNone) list.push_back(star_star);
  const uint8_t flags = (star != kNone ? kStarArgs : 0) | (star_star != kNone ? kStarKwargs : 0);
  return Add(Op::kArguments, position, Pool(list), positional, static_cast<uint32_t>(keywords.size() / 2), flags);
}

uint32_t Parser::Filter() {
  const Token token = Now();
  if (!ExpectKind(TokenKind::kName, "the name of a filter")) return kNone;
  const uint32_t arguments = IsOperator("(") ? Arguments() : kNone;
  return Add(Op::kFilter, token.begin, StringConstant(TextOf(token), false), arguments, FindFilter(TextOf(token)));
}

uint32_t Parser::Test() {
  Next();
  const bool negated = TakeName("not");
  const Token token = Now();
  if (!ExpectKind(TokenKind::kName, "the name of a test")) return kNone;
  uint32_t arguments = kNone;
  const bool bracket = IsOperator("[") || IsOperator("{");
  const bool literal = Now().kind == TokenKind::kString || Now().kind == TokenKind::kInteger ||
                       Now().kind == TokenKind::kFloat || Now().kind == TokenKind::kName;
  if (IsOperator("(")) {
    arguments = Arguments();
  } else if (bracket || (literal && !IsName("else") && !IsName("or") && !IsName("and"))) {
    // A single argument without parentheses: x is divisibleby 3.
    if (IsName("is")) return FailHere("one test; tests do not chain");
    const uint32_t position = Now().begin;
    const uint32_t value = Postfix(Primary(), false);
    arguments = AddList(Op::kArguments, position, {value}, 0);
  }
  return Add(Op::kTest, token.begin, StringConstant(TextOf(token), false), arguments, FindTest(TextOf(token)),
             negated ? 1 : 0);
}

uint32_t Parser::TupleOrExpression(bool inline_if, std::string_view end) {
  const uint32_t position = Now().begin;
  Nodes items;
  bool tuple = false;
  while (ok()) {
    const TokenKind kind = Now().kind;
    const bool ends = kind == TokenKind::kVariableEnd || kind == TokenKind::kBlockEnd || IsOperator(")") ||
                      IsOperator("]") || (!end.empty() && IsName(end));
    if (ends) break;
    if (inline_if) {
      items.push_back(Expression());
    } else {
      NestingScope nesting(*this);
      items.push_back(Operators(kOrLevel));
    }
    if (!TakeOperator(",")) break;
    tuple = true;
  }
  if (!ok()) return kNone;
  if (tuple) return AddList(Op::kTuple, position, items);
  return items.empty() ? FailHere("an expression") : items[0];
}

}  // namespace mote::jinja
