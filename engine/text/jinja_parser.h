// Tokens to the tree of jinja_ast.h, after the grammar of jinja2 3.1 with loop controls and generation blocks.
#ifndef MOTE_ENGINE_TEXT_JINJA_PARSER_H_
#define MOTE_ENGINE_TEXT_JINJA_PARSER_H_

#include <stdint.h>

#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/core/status.h"
#include "engine/text/jinja_ast.h"
#include "engine/text/jinja_lexer.h"

namespace mote::jinja {

// Nesting of blocks, brackets and prefix operators in the source; the parser's stack is proportional to it.
inline constexpr int kMaxParseDepth = 100;

// `source` up to 1 MiB. kMalformed or kUnsupported with line and column; kInvalidArgument for integers past 64 bits.
Status Parse(std::string_view source, Ast* ast);

class Parser {
 public:
  Parser(Ast* ast, std::vector<Token> tokens) : ast_(*ast), tokens_(std::move(tokens)) {}
  Status Run();

 private:
  using Nodes = std::vector<uint32_t>;
  struct NestingScope;

  // All parsing functions return a node, or kNone after an error; status_ keeps the first one. After an error the
  // current token is kEnd, so that every loop ends by itself.
  uint32_t Fail(uint32_t position, const std::string& text, Code code = Code::kMalformed);
  uint32_t FailHere(const std::string& expected);
  bool ok() const { return status_.ok(); }

  // jinja_parser.cc: tokens and the tree
  const Token& Now() const { return tokens_[at_]; }
  const Token& Ahead() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  std::string_view TextOf(const Token& token) const;
  bool IsOperator(std::string_view op) const;
  bool IsName(std::string_view name) const;
  bool TakeOperator(std::string_view op);
  bool TakeName(std::string_view name);
  bool ExpectOperator(std::string_view op);
  bool ExpectKind(TokenKind kind, const char* what);
  void Next();
  uint32_t Add(Op op, uint32_t position, uint32_t a = 0, uint32_t b = 0, uint32_t c = 0, uint8_t flag = 0);
  uint32_t AddList(Op op, uint32_t position, const Nodes& list, uint32_t c = 0, uint8_t flag = 0);
  uint32_t Pool(const Nodes& list);
  uint32_t Constant(const Value& value);
  uint32_t StringConstant(std::string_view bytes, bool own);
  uint32_t NameId(std::string_view name);

  // jinja_parser_expression.cc
  uint32_t Expression();  // with inline if
  uint32_t Operators(int level);
  uint32_t Unary();
  uint32_t Postfix(uint32_t base, bool filters);
  uint32_t Primary();
  uint32_t Parenthesized();
  uint32_t ListLiteral();
  uint32_t DictLiteral();
  uint32_t StringLiteral();
  uint32_t NumberLiteral();
  bool Unescape(const Token& token, std::string* out);
  uint32_t Subscript(uint32_t position);
  uint32_t Attribute();
  uint32_t Arguments();
  uint32_t Filter();
  uint32_t Test();
  // Expressions with commas between them make a tuple, outside of brackets too. `end`: a name that ends it.
  uint32_t TupleOrExpression(bool inline_if, std::string_view end = {});

  // jinja_parser_statement.cc
  uint32_t Statements(std::initializer_list<std::string_view> ends);
  uint32_t Body(std::initializer_list<std::string_view> ends);  // from after the opening tag's words to an end word
  uint32_t Statement();
  uint32_t If(uint32_t position);
  uint32_t For(uint32_t position);
  uint32_t Set(uint32_t position);
  uint32_t MacroStatement(uint32_t position);
  uint32_t CallBlock(uint32_t position);
  uint32_t FilterBlock(uint32_t position);
  uint32_t With(uint32_t position);
  uint32_t LoopControl(uint32_t position, bool is_break);
  uint32_t Target(std::string_view end);
  uint32_t TargetPart(std::string_view end);
  uint32_t FilterChain(uint32_t position);
  bool Signature(Nodes* list);
  uint32_t MacroNode(uint32_t position, uint32_t name, const Nodes& parameters, std::string_view end);

  Ast& ast_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
  int loops_ = 0;           // enclosing for loops of the current macro
  uint8_t macro_uses_ = 0;  // of the macro that is being parsed
  std::map<std::string, uint32_t, std::less<>> string_ids_;
  Status status_;
};

// Counts one level of nesting while it lives.
struct Parser::NestingScope {
  explicit NestingScope(Parser& parser);
  ~NestingScope() { --parser.depth_; }
  NestingScope(const NestingScope&) = delete;
  NestingScope& operator=(const NestingScope&) = delete;
  Parser& parser;
};

}  // namespace mote::jinja

#endif  // MOTE_ENGINE_TEXT_JINJA_PARSER_H_
