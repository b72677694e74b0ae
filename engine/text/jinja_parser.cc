#include "engine/text/jinja_parser.h"

#include <utility>

#include "engine/text/jinja_utf8.h"

namespace mote::jinja {

Status Parse(std::string_view source, Ast* ast) {
  constexpr size_t kMostBytes = 1 << 20;
  if (source.size() > kMostBytes) {
    return Error(Code::kInvalidArgument, "chat template of %zu bytes: at most %zu are accepted", source.size(),
                 kMostBytes);
  }
  ast->source = NormalizeSource(source);
  MOTE_ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokenize(ast->source));
  return Parser(ast, std::move(tokens)).Run();
}

Status Parser::Run() {
  ast_.root = Statements({});
  return status_;
}

Parser::NestingScope::NestingScope(Parser& parser) : parser(parser) {
  if (++parser.depth_ > kMaxParseDepth && parser.ok()) {
    parser.Fail(parser.Now().begin, "nested more than " + std::to_string(kMaxParseDepth) + " levels deep",
                Code::kInvalidArgument);
  }
}

uint32_t Parser::Fail(uint32_t position, const std::string& text, Code code) {
  if (status_.ok()) {
    const Status located = SyntaxError(ast_.source, position, text);
    status_ = Status(code, located.message());
    at_ = tokens_.size() - 1;
  }
  return kNone;
}

uint32_t Parser::FailHere(const std::string& expected) {
  const Token& token = Now();
  const std::string found = token.kind == TokenKind::kEnd    ? "the end of the template"
                            : token.kind == TokenKind::kData ? "text"
                                                             : "'" + Excerpt(TextOf(token)) + "'";
  return Fail(token.begin, "expected " + expected + ", found " + found);
}

std::string_view Parser::TextOf(const Token& token) const {
  return std::string_view(ast_.source).substr(token.begin, token.size);
}

bool Parser::IsOperator(std::string_view op) const {
  return Now().kind == TokenKind::kOperator && TextOf(Now()) == op;
}

bool Parser::IsName(std::string_view name) const {
  return Now().kind == TokenKind::kName && TextOf(Now()) == name;
}

bool Parser::TakeOperator(std::string_view op) {
  if (!IsOperator(op)) return false;
  Next();
  return true;
}

bool Parser::TakeName(std::string_view name) {
  if (!IsName(name)) return false;
  Next();
  return true;
}

bool Parser::ExpectOperator(std::string_view op) {
  if (TakeOperator(op)) return true;
  FailHere("'" + std::string(op) + "'");
  return false;
}

bool Parser::ExpectKind(TokenKind kind, const char* what) {
  if (Now().kind == kind) {
    Next();
    return true;
  }
  FailHere(what);
  return false;
}

void Parser::Next() {
  if (at_ + 1 < tokens_.size()) ++at_;
}

uint32_t Parser::Add(Op op, uint32_t position, uint32_t a, uint32_t b, uint32_t c, uint8_t flag) {
  ast_.nodes.push_back({op, flag, position, a, b, c});
  return static_cast<uint32_t>(ast_.nodes.size() - 1);
}

uint32_t Parser::AddList(Op op, uint32_t position, const Nodes& list, uint32_t c, uint8_t flag) {
  return Add(op, position, Pool(list), static_cast<uint32_t>(list.size()), c, flag);
}

uint32_t Parser::Pool(const Nodes& list) {
  const uint32_t start = static_cast<uint32_t>(ast_.pool.size());
  ast_.pool.insert(ast_.pool.end(), list.begin(), list.end());
  return start;
}

uint32_t Parser::Constant(const Value& value) {
  ast_.constants.push_back(value);
  return static_cast<uint32_t>(ast_.constants.size() - 1);
}

// Equal strings share a constant: attribute names repeat all over a template.
uint32_t Parser::StringConstant(std::string_view bytes, bool own) {
  if (const auto found = string_ids_.find(bytes); found != string_ids_.end()) return found->second;
  if (own) bytes = ast_.own.emplace_back(bytes);
  Str str;
  str.data = bytes.data();
  str.size = static_cast<uint32_t>(bytes.size());
  str.length = static_cast<uint32_t>(CountChars(bytes));
  const uint32_t id = Constant(Value::String(&ast_.strings.emplace_back(str)));
  string_ids_.emplace(bytes, id);
  return id;
}

uint32_t Parser::NameId(std::string_view name) {
  const auto [found, added] = ast_.name_ids.emplace(name, static_cast<uint32_t>(ast_.names.size()));
  if (added) ast_.names.push_back(name);
  return found->second;
}

}  // namespace mote::jinja
