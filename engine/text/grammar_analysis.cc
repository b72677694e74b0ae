#include "engine/text/grammar_analysis.h"

#include <algorithm>
#include <string>

namespace mote::grammar {
namespace {

constexpr uint32_t kNone = UINT32_MAX;
using Kind = Expr::Kind;

// Whether something holds for expressions and rules, from what holds for their parts: for a sequence if it holds for
// all, for alternates if for one. Linear: each expression is told once, by its last missing part.
class Spread {
 public:
  explicit Spread(const Ast& ast)
      : ast_(ast),
        holds(ast.num_exprs()),
        rule_holds(ast.rules().size()),
        parent_(ast.num_exprs(), kNone),
        missing_(ast.num_exprs(), 1),
        rule_of_(ast.num_exprs(), kNone),
        references_(ast.rules().size()) {
    for (ExprId id = 0; id < ast.num_exprs(); ++id) {
      const Expr& e = ast.expr(id);
      if (e.kind == Kind::kRule) references_[e.first].push_back(id);
      if (e.kind == Kind::kRepeat) parent_[e.first] = id;
      if (e.kind == Kind::kSequence || e.kind == Kind::kAlternate) {
        for (uint32_t i = 0; i < e.count; ++i) parent_[ast.children(e)[i]] = id;
        if (e.kind == Kind::kSequence) missing_[id] = e.count;
      }
    }
    for (RuleId rule = 0; rule < ast.rules().size(); ++rule) rule_of_[ast.rules()[rule].body] = rule;
  }

  void Begin(ExprId id) { queue_.push_back(id); }
  void Run() {
    while (!queue_.empty()) {
      const ExprId id = queue_.back();
      queue_.pop_back();
      if (holds[id]) continue;
      holds[id] = true;
      if (const RuleId rule = rule_of_[id]; rule != kNone) {
        rule_holds[rule] = true;
        queue_.insert(queue_.end(), references_[rule].begin(), references_[rule].end());
      }
      if (const ExprId parent = parent_[id]; parent != kNone && missing_[parent] > 0 && --missing_[parent] == 0) {
        queue_.push_back(parent);
      }
    }
  }

 private:
  const Ast& ast_;

 public:
  std::vector<bool> holds;
  std::vector<bool> rule_holds;

 private:
  std::vector<ExprId> parent_;
  std::vector<uint32_t> missing_;  // parts that it waits for
  std::vector<RuleId> rule_of_;    // whose body it is
  std::vector<std::vector<ExprId>> references_;
  std::vector<ExprId> queue_;
};

std::string Quoted(const Rule& rule) {
  return "'" + rule.name.substr(0, 100) + "'" + (rule.line > 0 ? " (line " + std::to_string(rule.line) + ")" : "");
}

// Rules with which `expr` may begin. Recursion is bounded by kMaxExprDepth.
void CollectFirst(const Ast& ast, const std::vector<bool>& may_be_empty, ExprId expr, std::vector<RuleId>* rules) {
  const Expr& e = ast.expr(expr);
  switch (e.kind) {
    case Kind::kLiteral:
    case Kind::kClass:
      return;
    case Kind::kRule:
      rules->push_back(e.first);
      return;
    case Kind::kRepeat:
      CollectFirst(ast, may_be_empty, e.first, rules);
      return;
    case Kind::kAlternate:
      for (uint32_t i = 0; i < e.count; ++i) CollectFirst(ast, may_be_empty, ast.children(e)[i], rules);
      return;
    case Kind::kSequence:
      for (uint32_t i = 0; i < e.count; ++i) {
        CollectFirst(ast, may_be_empty, ast.children(e)[i], rules);
        if (!may_be_empty[ast.children(e)[i]]) return;
      }
      return;
  }
}

// Depth first without recursion; a rule that is met while it is open begins with itself.
class Ordering {
 public:
  Ordering(const Ast& ast, const std::vector<bool>& may_be_empty) : ast_(ast), first_(ast.rules().size()) {
    for (RuleId rule = 0; rule < first_.size(); ++rule) {
      CollectFirst(ast, may_be_empty, ast.rules()[rule].body, &first_[rule]);
      std::sort(first_[rule].begin(), first_[rule].end());
      first_[rule].erase(std::unique(first_[rule].begin(), first_[rule].end()), first_[rule].end());
    }
  }

  Status Run(std::vector<RuleId>* order) {
    enum : uint8_t { kNew, kOpen, kDone };
    std::vector<uint8_t> mark(first_.size(), kNew);
    struct Place {
      RuleId rule;
      size_t next;
    };
    for (RuleId root = 0; root < first_.size(); ++root) {
      if (mark[root] != kNew) continue;
      std::vector<Place> path = {{root, 0}};
      mark[root] = kOpen;
      while (!path.empty()) {
        Place& top = path.back();
        if (top.next == first_[top.rule].size()) {
          mark[top.rule] = kDone;
          order->push_back(top.rule);
          path.pop_back();
          continue;
        }
        const RuleId next = first_[top.rule][top.next++];
        if (mark[next] == kOpen) {
          std::string way;
          size_t shown = 0;
          for (size_t i = path.size(); i-- > 0 && path[i].rule != next && shown < 4; ++shown) {
            way = " -> " + Quoted(ast_.rules()[path[i].rule]) + way;
          }
          const std::string name = Quoted(ast_.rules()[next]);
          return Error(Code::kMalformed, "grammar: rule %s may begin with itself (%s%s -> itself): left recursion",
                       name.c_str(), name.c_str(), way.c_str());
        }
        if (mark[next] == kNew) {
          mark[next] = kOpen;
          path.push_back({next, 0});
        }
      }
    }
    std::reverse(order->begin(), order->end());
    return {};
  }

 private:
  const Ast& ast_;
  std::vector<std::vector<RuleId>> first_;
};

}  // namespace

Result<Analysis> Analyze(const Ast& ast) {
  Spread empty(ast);
  Spread ending(ast);
  for (ExprId id = 0; id < ast.num_exprs(); ++id) {
    const Expr& e = ast.expr(id);
    const bool skippable = e.kind == Kind::kRepeat && e.min == 0;
    if (skippable || (e.kind == Kind::kLiteral && e.count == 0)) empty.Begin(id);
    if (skippable || e.kind == Kind::kLiteral || (e.kind == Kind::kClass && e.count > 0)) ending.Begin(id);
  }
  empty.Run();
  ending.Run();
  for (RuleId rule = 0; rule < ast.rules().size(); ++rule) {
    if (!ending.rule_holds[rule]) {
      return Error(Code::kMalformed, "grammar: rule %s can never end: each way through it comes back to it",
                   Quoted(ast.rules()[rule]).c_str());
    }
  }
  // A part that cannot end makes its alternative impossible, and a repeat of it too, even if the rule has other ways.
  for (ExprId id = 0; id < ast.num_exprs(); ++id) {
    if (!ending.holds[id]) return Error(Code::kInternal, "grammar: a part of it matches nothing");
  }
  Analysis analysis;
  Ordering ordering(ast, empty.holds);
  MOTE_RETURN_IF_ERROR(ordering.Run(&analysis.order));
  analysis.may_be_empty = std::move(empty.holds);
  analysis.rule_may_be_empty = std::move(empty.rule_holds);
  return analysis;
}

}  // namespace mote::grammar
