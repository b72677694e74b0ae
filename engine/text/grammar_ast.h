// Grammars as trees: what GBNF text, JSON schemas and patterns are turned into before they are compiled.
#ifndef MOTE_ENGINE_TEXT_GRAMMAR_AST_H_
#define MOTE_ENGINE_TEXT_GRAMMAR_AST_H_

#include <stddef.h>
#include <stdint.h>

#include <string>
#include <string_view>
#include <vector>

#include "engine/core/status.h"

namespace mote::grammar {

inline constexpr size_t kMaxSourceBytes = size_t{256} << 10;  // of GBNF or a JSON schema
inline constexpr int kMaxNesting = 64;                        // of groups in GBNF and patterns
inline constexpr uint32_t kMaxRepeat = 2000;                  // m and n of {m,n}, as in llama.cpp
inline constexpr size_t kMaxRules = size_t{1} << 14;
inline constexpr size_t kMaxExprs = size_t{1} << 20;
inline constexpr uint32_t kMaxExprDepth = 512;  // what the compiler recurses to
inline constexpr uint32_t kUnlimited = UINT32_MAX;

using ExprId = uint32_t;
using RuleId = uint32_t;

struct CodeRange {  // both included
  uint32_t first;
  uint32_t last;
};

// Sorts, merges what touches, and drops surrogates, which no UTF-8 text has.
std::vector<CodeRange> Normalize(std::vector<CodeRange> ranges);
// All other code points. `ranges` is normalized.
std::vector<CodeRange> Negate(const std::vector<CodeRange>& ranges);

struct Expr {
  enum class Kind : uint8_t { kLiteral, kClass, kRule, kSequence, kAlternate, kRepeat };
  Kind kind;
  uint32_t depth;  // of nesting below, from 1
  // kLiteral: bytes. kClass: ranges. kSequence, kAlternate: children. kRule: `first` is the rule. kRepeat: `first` is
  // the child.
  uint32_t first;
  uint32_t count;
  uint32_t min = 0;  // kRepeat
  uint32_t max = 0;  // kRepeat; kUnlimited: no end
};

struct Rule {
  std::string name;
  ExprId body = 0;
  bool defined = false;
  uint32_t line = 0;  // in GBNF, from 1; 0 where it has none
};

// Owns expressions and rules. Every expression has one parent: none is shared.
class Ast {
 public:
  ExprId Literal(std::string_view bytes);
  ExprId Empty() { return Literal({}); }
  // At least one code point.
  ExprId Class(std::vector<CodeRange> ranges);
  ExprId Reference(RuleId rule);
  ExprId Sequence(const std::vector<ExprId>& children);
  // Of at least one child.
  ExprId Alternate(const std::vector<ExprId>& children);
  // What is repeated a counted number of times becomes a rule of its own, so that its automaton is there only once.
  ExprId Repeat(ExprId child, uint32_t min, uint32_t max);
  ExprId Optional(ExprId child) { return Repeat(child, 0, 1); }

  RuleId AddRule(std::string name);
  void Define(RuleId rule, ExprId body);
  // A rule and a reference to it.
  ExprId Named(std::string name, ExprId body);
  // All of another tree, and a reference to its root. The rules keep their names; who looks rules up does not find
  // them.
  ExprId Import(const Ast& other);

  const Expr& expr(ExprId id) const { return exprs_[id]; }
  const std::vector<Rule>& rules() const { return rules_; }
  Rule& rule(RuleId id) { return rules_[id]; }
  std::string_view bytes(const Expr& e) const { return {bytes_.data() + e.first, e.count}; }
  const CodeRange* ranges(const Expr& e) const { return ranges_.data() + e.first; }
  const ExprId* children(const Expr& e) const { return children_.data() + e.first; }
  size_t num_exprs() const { return exprs_.size(); }
  RuleId root = 0;

  // kInvalidArgument once there were too many rules or expressions; further ones are dropped.
  Status Check() const;

 private:
  ExprId Add(const Expr& expr);
  uint32_t Below(const std::vector<ExprId>& children) const;

  std::vector<Expr> exprs_;
  std::vector<Rule> rules_;
  std::string bytes_;
  std::vector<CodeRange> ranges_;
  std::vector<ExprId> children_;
  bool too_many_ = false;
};

// GBNF, the dialect that llama.cpp introduced: docs/grammars.md. kMalformed and kUnsupported name line and column.
Result<Ast> ParseGbnf(std::string_view source);

}  // namespace mote::grammar

#endif  // MOTE_ENGINE_TEXT_GRAMMAR_AST_H_
