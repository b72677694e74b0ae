#include "engine/text/grammar_ast.h"

#include <algorithm>
#include <utility>

#include "engine/text/unicode.h"

namespace mote::grammar {
namespace {

constexpr uint32_t kFirstSurrogate = 0xD800;
constexpr uint32_t kLastSurrogate = 0xDFFF;

}  // namespace

std::vector<CodeRange> Normalize(std::vector<CodeRange> ranges) {
  std::vector<CodeRange> whole;
  for (const CodeRange& range : ranges) {
    if (range.first < kFirstSurrogate) whole.push_back({range.first, std::min(range.last, kFirstSurrogate - 1)});
    if (range.last > kLastSurrogate) whole.push_back({std::max(range.first, kLastSurrogate + 1), range.last});
  }
  std::sort(whole.begin(), whole.end(), [](const CodeRange& a, const CodeRange& b) { return a.first < b.first; });
  std::vector<CodeRange> merged;
  for (const CodeRange& range : whole) {
    if (!merged.empty() && range.first <= merged.back().last + 1) {
      merged.back().last = std::max(merged.back().last, range.last);
    } else {
      merged.push_back(range);
    }
  }
  return merged;
}

std::vector<CodeRange> Negate(const std::vector<CodeRange>& ranges) {
  std::vector<CodeRange> others;
  uint32_t next = 0;
  for (const CodeRange& range : ranges) {
    if (range.first > next) others.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next <= kMaxCodePoint) others.push_back({next, kMaxCodePoint});
  return Normalize(std::move(others));
}

ExprId Ast::Add(const Expr& expr) {
  if (exprs_.size() >= kMaxExprs) {
    too_many_ = true;
    return 0;
  }
  exprs_.push_back(expr);
  return static_cast<ExprId>(exprs_.size() - 1);
}

uint32_t Ast::Below(const std::vector<ExprId>& children) const {
  uint32_t depth = 0;
  for (const ExprId child : children) depth = std::max(depth, exprs_[child].depth);
  return depth + 1;
}

ExprId Ast::Literal(std::string_view bytes) {
  const uint32_t first = static_cast<uint32_t>(bytes_.size());
  bytes_.append(bytes);
  return Add({Expr::Kind::kLiteral, 1, first, static_cast<uint32_t>(bytes.size())});
}

ExprId Ast::Class(std::vector<CodeRange> ranges) {
  const std::vector<CodeRange> normal = Normalize(std::move(ranges));
  const uint32_t first = static_cast<uint32_t>(ranges_.size());
  ranges_.insert(ranges_.end(), normal.begin(), normal.end());
  return Add({Expr::Kind::kClass, 1, first, static_cast<uint32_t>(normal.size())});
}

ExprId Ast::Reference(RuleId rule) {
  return Add({Expr::Kind::kRule, 1, rule, 0});
}

ExprId Ast::Sequence(const std::vector<ExprId>& children) {
  if (children.empty()) return Empty();
  if (children.size() == 1) return children[0];
  const uint32_t first = static_cast<uint32_t>(children_.size());
  children_.insert(children_.end(), children.begin(), children.end());
  return Add({Expr::Kind::kSequence, Below(children), first, static_cast<uint32_t>(children.size())});
}

ExprId Ast::Alternate(const std::vector<ExprId>& children) {
  if (children.size() == 1) return children[0];
  const uint32_t first = static_cast<uint32_t>(children_.size());
  children_.insert(children_.end(), children.begin(), children.end());
  return Add({Expr::Kind::kAlternate, Below(children), first, static_cast<uint32_t>(children.size())});
}

ExprId Ast::Repeat(ExprId child, uint32_t min, uint32_t max) {
  if (max == 0) return Empty();
  if (min == 1 && max == 1) return child;
  const bool counted = min > 1 || (max > 1 && max != kUnlimited);
  const Expr::Kind kind = exprs_[child].kind;
  if (counted && kind != Expr::Kind::kClass && kind != Expr::Kind::kRule) child = Named("(repeated)", child);
  return Add({Expr::Kind::kRepeat, exprs_[child].depth + 1, child, 0, min, max});
}

RuleId Ast::AddRule(std::string name) {
  if (rules_.size() >= kMaxRules) {
    too_many_ = true;
    return 0;
  }
  rules_.push_back({std::move(name)});
  return static_cast<RuleId>(rules_.size() - 1);
}

void Ast::Define(RuleId rule, ExprId body) {
  rules_[rule].body = body;
  rules_[rule].defined = true;
}

ExprId Ast::Named(std::string name, ExprId body) {
  const RuleId rule = AddRule(std::move(name));
  if (!too_many_) Define(rule, body);
  return Reference(rule);
}

ExprId Ast::Import(const Ast& other) {
  if (exprs_.size() + other.exprs_.size() >= kMaxExprs || rules_.size() + other.rules_.size() >= kMaxRules) {
    too_many_ = true;
    return Empty();
  }
  const auto exprs = static_cast<uint32_t>(exprs_.size());
  const auto rules = static_cast<uint32_t>(rules_.size());
  const auto bytes = static_cast<uint32_t>(bytes_.size());
  const auto ranges = static_cast<uint32_t>(ranges_.size());
  const auto children = static_cast<uint32_t>(children_.size());
  for (Expr expr : other.exprs_) {
    switch (expr.kind) {
      case Expr::Kind::kLiteral:
        expr.first += bytes;
        break;
      case Expr::Kind::kClass:
        expr.first += ranges;
        break;
      case Expr::Kind::kRule:
        expr.first += rules;
        break;
      case Expr::Kind::kSequence:
      case Expr::Kind::kAlternate:
        expr.first += children;
        break;
      case Expr::Kind::kRepeat:
        expr.first += exprs;
        break;
    }
    exprs_.push_back(expr);
  }
  for (Rule rule : other.rules_) {
    rule.body += exprs;
    rules_.push_back(std::move(rule));
  }
  bytes_ += other.bytes_;
  ranges_.insert(ranges_.end(), other.ranges_.begin(), other.ranges_.end());
  for (const ExprId child : other.children_) children_.push_back(child + exprs);
  return Reference(rules + other.root);
}

Status Ast::Check() const {
  if (!too_many_) return {};
  return Error(Code::kInvalidArgument, "the grammar is too large: it needs more than %zu rules or %zu parts", kMaxRules,
               kMaxExprs);
}

}  // namespace mote::grammar
