// Statements: what stands between {% and %}, and the text around it.
#include "engine/text/jinja_parser.h"

namespace mote::jinja {

// Statements up to a block whose first word is one of `ends` (that word is then the current token), or to the end of
// the template if `ends` is empty.
uint32_t Parser::Statements(std::initializer_list<std::string_view> ends) {
  NestingScope nesting(*this);
  const uint32_t position = Now().begin;
  Nodes list;
  while (ok()) {
    const Token token = Now();
    if (token.kind == TokenKind::kEnd) {
      if (ends.size() == 0) break;
      return FailHere("{% " + std::string(*(ends.end() - 1)) + " %}");
    }
    Next();
    if (token.kind == TokenKind::kData) {
      list.push_back(Add(Op::kData, token.begin, StringConstant(TextOf(token), false)));
    } else if (token.kind == TokenKind::kVariableBegin) {
      const uint32_t value = TupleOrExpression(true);
      list.push_back(Add(Op::kOutput, token.begin, value));
      ExpectKind(TokenKind::kVariableEnd, "'}}'");
    } else {
      bool at_end = false;
      for (const std::string_view end : ends) at_end = at_end || IsName(end);
      if (at_end) break;
      list.push_back(Statement());
      ExpectKind(TokenKind::kBlockEnd, "'%}'");
    }
  }
  return ok() ? AddList(Op::kBlock, position, list) : kNone;
}

uint32_t Parser::Body(std::initializer_list<std::string_view> ends) {
  TakeOperator(":");
  if (!ExpectKind(TokenKind::kBlockEnd, "'%}'")) return kNone;
  return Statements(ends);
}

uint32_t Parser::Statement() {
  const Token token = Now();
  const uint32_t position = token.begin;
  if (!ExpectKind(TokenKind::kName, "the name of a statement")) return kNone;
  const std::string_view word = TextOf(token);
  if (word == "if") return If(position);
  if (word == "for") return For(position);
  if (word == "set") return Set(position);
  if (word == "macro") return MacroStatement(position);
  if (word == "call") return CallBlock(position);
  if (word == "filter") return FilterBlock(position);
  if (word == "with") return With(position);
  if (word == "break" || word == "continue") return LoopControl(position, word == "break");
  if (word == "generation") {
    // Marks the assistant's words for training; it only makes a scope here.
    const uint32_t body = Body({"endgeneration"});
    TakeName("endgeneration");
    return AddList(Op::kWith, position, {}, body);
  }
  static constexpr std::string_view kForeign[] = {"include",    "import", "from", "extends", "block",
                                                  "autoescape", "print",  "do",   "trans"};
  for (const std::string_view foreign : kForeign) {
    if (word == foreign) {
      return Fail(position, "the statement '" + std::string(word) + "' is not supported", Code::kUnsupported);
    }
  }
  return Fail(position, "unknown statement '" + Excerpt(word) + "'");
}

uint32_t Parser::If(uint32_t position) {
  Nodes branches;
  uint32_t otherwise = kNone;
  while (ok()) {
    branches.push_back(TupleOrExpression(false));
    branches.push_back(Body({"elif", "else", "endif"}));
    if (TakeName("elif")) continue;
    if (TakeName("else")) otherwise = Body({"endif"});
    TakeName("endif");
    break;
  }
  return AddList(Op::kIf, position, branches, otherwise);
}

uint32_t Parser::For(uint32_t position) {
  const uint32_t target = Target("in");
  if (ok() && !TakeName("in")) return FailHere("'in'");
  const uint32_t iterable = TupleOrExpression(false, "recursive");
  const uint32_t condition = TakeName("if") ? Expression() : kNone;
  if (IsName("recursive")) return Fail(Now().begin, "recursive loops are not supported", Code::kUnsupported);
  ++loops_;
  const uint32_t body = Body({"else", "endfor"});
  --loops_;
  uint32_t otherwise = kNone;
  if (TakeName("else")) otherwise = Body({"endfor"});
  TakeName("endfor");
  return Add(Op::kFor, position, Pool({target, iterable, condition, body, otherwise}));
}

uint32_t Parser::Set(uint32_t position) {
  const uint32_t target = Target({});
  if (TakeOperator("=")) return Add(Op::kSet, position, target, TupleOrExpression(true));
  const uint32_t filters = IsOperator("|") ? FilterChain(position) : kNone;
  const uint32_t body = Body({"endset"});
  TakeName("endset");
  return Add(Op::kSetBlock, position, target, body, filters);
}

uint32_t Parser::MacroStatement(uint32_t position) {
  const Token name = Now();
  if (!ExpectKind(TokenKind::kName, "the name of a macro")) return kNone;
  Nodes parameters;
  if (!Signature(&parameters)) return kNone;
  return MacroNode(position, NameId(TextOf(name)), parameters, "endmacro");
}

// parameters: names and defaults, in turn.
uint32_t Parser::MacroNode(uint32_t position, uint32_t name, const Nodes& parameters, std::string_view end) {
  const uint8_t outer_uses = std::exchange(macro_uses_, uint8_t{0});
  const int outer_loops = std::exchange(loops_, 0);
  Nodes list = {Body({end})};
  TakeName(end);
  list.insert(list.end(), parameters.begin(), parameters.end());
  const uint32_t count = static_cast<uint32_t>(parameters.size() / 2);
  const uint32_t node = Add(Op::kMacro, position, name, Pool(list), count, macro_uses_);
  macro_uses_ = outer_uses;
  loops_ = outer_loops;
  return node;
}

bool Parser::Signature(Nodes* list) {
  if (!ExpectOperator("(")) return false;
  bool defaults = false;
  while (ok() && !IsOperator(")")) {
    if (!list->empty() && !ExpectOperator(",")) break;
    const Token name = Now();
    if (!ExpectKind(TokenKind::kName, "the name of a parameter")) break;
    list->push_back(NameId(TextOf(name)));
    if (TakeOperator("=")) {
      defaults = true;
      list->push_back(Expression());
    } else {
      if (defaults) Fail(name.begin, "a parameter without a default follows one with a default");
      list->push_back(kNone);
    }
  }
  return ExpectOperator(")");
}

uint32_t Parser::CallBlock(uint32_t position) {
  Nodes parameters;
  if (IsOperator("(") && !Signature(&parameters)) return kNone;
  const uint32_t call = Expression();
  if (!ok()) return kNone;
  const Node& node = ast_.nodes[call];
  if (node.op != Op::kPostfix || ast_.nodes[ast_.pool[node.a + node.b - 1]].op != Op::kCall) {
    return Fail(position, "expected a call of a macro after 'call'");
  }
  const uint32_t caller = MacroNode(position, NameId("caller"), parameters, "endcall");
  return Add(Op::kCallBlock, position, call, caller);
}

uint32_t Parser::FilterChain(uint32_t position) {
  Nodes parts;
  while (ok() && TakeOperator("|")) parts.push_back(Filter());
  return AddList(Op::kPostfix, position, parts, kNone);
}

uint32_t Parser::FilterBlock(uint32_t position) {
  Nodes parts = {Filter()};
  while (ok() && TakeOperator("|")) parts.push_back(Filter());
  const uint32_t filters = AddList(Op::kPostfix, position, parts, kNone);
  const uint32_t body = Body({"endfilter"});
  TakeName("endfilter");
  return Add(Op::kFilterBlock, position, filters, body);
}

uint32_t Parser::With(uint32_t position) {
  Nodes list;
  while (ok() && Now().kind != TokenKind::kBlockEnd) {
    if (!list.empty() && !ExpectOperator(",")) break;
    list.push_back(Target({}));
    if (!ExpectOperator("=")) break;
    list.push_back(Expression());
  }
  const uint32_t body = Body({"endwith"});
  TakeName("endwith");
  return AddList(Op::kWith, position, list, body);
}

uint32_t Parser::LoopControl(uint32_t position, bool is_break) {
  if (loops_ == 0) return Fail(position, std::string(is_break ? "break" : "continue") + " outside of a loop");
  return Add(is_break ? Op::kBreak : Op::kContinue, position);
}

// One target, or several with commas: a tuple. `end` is the word that follows, if any.
uint32_t Parser::Target(std::string_view end) {
  const uint32_t position = Now().begin;
  if (end.empty() && Now().kind == TokenKind::kName && Ahead().kind == TokenKind::kOperator && TextOf(Ahead()) == ".") {
    const uint32_t name = NameId(TextOf(Now()));
    Next();
    Next();
    const Token attribute = Now();
    if (!ExpectKind(TokenKind::kName, "the name of an attribute")) return kNone;
    return Add(Op::kTargetAttribute, position, name, StringConstant(TextOf(attribute), false));
  }
  Nodes list;
  bool tuple = false;
  while (ok()) {
    if ((!end.empty() && IsName(end)) || IsOperator(")") || IsOperator("=") || Now().kind == TokenKind::kBlockEnd)
      break;
    list.push_back(TargetPart(end));
    if (!TakeOperator(",")) break;
    tuple = true;
  }
  if (!ok()) return kNone;
  if (list.empty()) return FailHere("a name to assign to");
  return tuple ? AddList(Op::kTargetTuple, position, list) : list[0];
}

uint32_t Parser::TargetPart(std::string_view end) {
  NestingScope nesting(*this);
  const Token token = Now();
  if (TakeOperator("(")) {
    const uint32_t inner = Target("in");
    return ExpectOperator(")") ? inner : kNone;
  }
  if (!ExpectKind(TokenKind::kName, "a name to assign to")) return kNone;
  const std::string_view name = TextOf(token);
  static constexpr std::string_view kConstants[] = {"true", "True", "false", "False", "none", "None"};
  for (const std::string_view constant : kConstants) {
    if (name == constant) return Fail(token.begin, "cannot assign to '" + std::string(name) + "'");
  }
  return Add(Op::kTargetName, token.begin, NameId(name));
}

}  // namespace mote::jinja
