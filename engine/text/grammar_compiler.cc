#include "engine/text/grammar_compiler.h"

#include <algorithm>
#include <string>

#include "engine/text/grammar_matcher.h"
#include "engine/text/utf8.h"

namespace mote::grammar {
namespace {

using Kind = Expr::Kind;

// Empty steps followed in all; a grammar of a legal size made of nothing but optional parts in a row would take hours.
constexpr size_t kMaxSteps = size_t{1} << 24;

// Room for any escape of JSON.
constexpr uint32_t kMaxThin = 16;

uint32_t LengthOf(uint32_t code) {
  return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
}

Status TooLargeError() {
  return Error(Code::kInvalidArgument,
               "the grammar is too large: its automaton would have more than %zu states or %zu edges",
               kMaxGrammarStates, kMaxGrammarEdges);
}

}  // namespace

Compiler::Compiler(const Ast& ast, Analysis analysis) : ast_(ast), analysis_(std::move(analysis)) {}

uint32_t Compiler::NewState() {
  // Past the limit nothing is made any more; Run() refuses the grammar.
  if (drafts_.size() > kMaxGrammarStates) return 0;
  drafts_.emplace_back().thin = thin_;
  return static_cast<uint32_t>(drafts_.size() - 1);
}

uint32_t Compiler::ThinBytes(ExprId id) const {
  const Expr& e = ast_.expr(id);
  uint32_t most = 0;
  switch (e.kind) {
    case Kind::kLiteral:
      return std::min(e.count, kMaxThin + 1);
    case Kind::kClass:
      return LengthOf(ast_.ranges(e)[e.count - 1].last);
    case Kind::kRule:
      return kMaxThin + 1;
    case Kind::kRepeat:
      most = e.max > kMaxThin ? kMaxThin + 1 : e.max * ThinBytes(e.first);
      break;
    case Kind::kAlternate:
      for (uint32_t i = 0; i < e.count; ++i) most = std::max(most, ThinBytes(ast_.children(e)[i]));
      break;
    case Kind::kSequence:
      for (uint32_t i = 0; i < e.count && most <= kMaxThin; ++i) most += ThinBytes(ast_.children(e)[i]);
      break;
  }
  return std::min(most, kMaxThin + 1);
}

void Compiler::AddBytes(uint32_t from, uint8_t first, uint8_t last, uint32_t to) {
  if (++edges_ <= kMaxGrammarEdges) drafts_[from].bytes.push_back({first, last, to});
}

void Compiler::AddCall(uint32_t from, uint32_t rule, uint32_t to) {
  if (++edges_ <= kMaxGrammarEdges) drafts_[from].calls.push_back({rule, to});
}

void Compiler::AddEmpty(uint32_t from, uint32_t to) {
  if (++edges_ <= kMaxGrammarEdges && from != to) drafts_[from].empty.push_back(to);
}

void Compiler::Build(ExprId id, uint32_t from, uint32_t to) {
  if (TooLarge()) return;
  const Expr& e = ast_.expr(id);
  switch (e.kind) {
    case Kind::kLiteral:
      return BuildLiteral(ast_.bytes(e), from, to);
    case Kind::kClass:
      return BuildClass(ast_.ranges(e), e.count, from, to);
    case Kind::kRule:
      return BuildReference(e.first, from, to);
    case Kind::kSequence:
      return BuildSequence(e, from, to);
    case Kind::kAlternate:
      for (uint32_t i = 0; i < e.count; ++i) Build(ast_.children(e)[i], from, to);
      return;
    case Kind::kRepeat:
      return BuildRepeat(e, from, to);
  }
}

uint32_t Compiler::Walk(std::string_view bytes, uint32_t from) {
  for (const char c : bytes) {
    const uint8_t byte = static_cast<uint8_t>(c);
    const auto [place, fresh] = shared_.emplace(uint64_t{from} << 8 | byte, 0);
    if (fresh) {
      place->second = NewState();
      AddBytes(from, byte, byte, place->second);
    }
    from = place->second;
  }
  return from;
}

void Compiler::BuildLiteral(std::string_view bytes, uint32_t from, uint32_t to) {
  if (bytes.empty()) return AddEmpty(from, to);
  const uint8_t last = static_cast<uint8_t>(bytes.back());
  AddBytes(Walk(bytes.substr(0, bytes.size() - 1), from), last, last, to);
}

void Compiler::BuildReference(RuleId rule, uint32_t from, uint32_t to) {
  AddCall(from, number_[rule], to);
  if (analysis_.rule_may_be_empty[rule]) AddEmpty(from, to);
}

void Compiler::BuildSequence(const Expr& e, uint32_t from, uint32_t to) {
  for (uint32_t i = 0; i < e.count; ++i) {
    const ExprId child = ast_.children(e)[i];
    const bool last = i + 1 == e.count;
    if (const Expr& c = ast_.expr(child); !last && c.kind == Kind::kLiteral) {
      from = Walk(ast_.bytes(c), from);
      continue;
    }
    const uint32_t next = last ? to : NewState();
    Build(child, from, next);
    from = next;
  }
}

void Compiler::BuildRepeat(const Expr& e, uint32_t from, uint32_t to) {
  const ExprId child = e.first;
  // Of something that may be empty, any lower number of times will do; the chain below then needs no empty steps
  // inside.
  const uint32_t min = analysis_.may_be_empty[child] ? 0 : e.min;
  if (e.max == 1) {
    AddEmpty(from, to);
    return Build(child, from, to);
  }
  uint32_t now = NewState();
  AddEmpty(from, now);
  if (min == 0) AddEmpty(now, to);
  // Optional parts end the repeat at once instead of stepping through what is left of it.
  const auto once = [&](uint32_t next) {
    const Expr& c = ast_.expr(child);
    if (c.kind == Kind::kRule) {
      AddCall(now, number_[c.first], next);
    } else {
      Build(child, now, next);
    }
  };
  const uint32_t counted = e.max == kUnlimited ? (min > 0 ? min - 1 : 0) : e.max;
  uint32_t first_free = now;  // from where on the repeat may end
  for (uint32_t i = 1; i <= counted && !TooLarge(); ++i) {
    const uint32_t next = NewState();
    once(next);
    now = next;
    if (i < min || e.max == kUnlimited) continue;
    AddEmpty(now, to);
    if (i == min) first_free = now;
    drafts_[now].left = counted - i;
    drafts_[now].alike = first_free;
  }
  if (e.max != kUnlimited) return;
  const uint32_t after = NewState();
  once(after);
  AddEmpty(after, now);
  AddEmpty(after, to);
}

void Compiler::BuildClass(const CodeRange* ranges, size_t count, uint32_t from, uint32_t to) {
  std::vector<CodeRange> wide;
  for (size_t i = 0; i < count; ++i) {
    if (ranges[i].first < 0x80) {
      AddBytes(from, static_cast<uint8_t>(ranges[i].first),
               static_cast<uint8_t>(std::min<uint32_t>(ranges[i].last, 0x7F)), to);
    }
    if (ranges[i].last >= 0x80) wide.push_back({std::max<uint32_t>(ranges[i].first, 0x80), ranges[i].last});
  }
  if (!wide.empty()) AddCall(from, WideRule(wide), to);
}

uint32_t Compiler::WideRule(const std::vector<CodeRange>& ranges) {
  std::vector<std::pair<uint32_t, uint32_t>> key;
  for (const CodeRange& range : ranges) key.emplace_back(range.first, range.last);
  const auto [place, fresh] = wide_.emplace(std::move(key), static_cast<uint32_t>(starts_.size()));
  if (!fresh) return place->second;
  const bool outside = std::exchange(thin_, true);
  const uint32_t start = NewState();
  const uint32_t end = NewState();
  starts_.push_back(start);
  ends_.push_back(end);
  for (const CodeRange& range : ranges) {
    // Cut where the number of bytes changes.
    for (uint32_t first = range.first; first <= range.last;) {
      static constexpr uint32_t kLast[] = {0x7F, 0x7FF, 0xFFFF, kMaxCodePoint};
      const uint32_t last = std::min(range.last, kLast[LengthOf(first) - 1]);
      BuildWide(first, last, start, end);
      first = last + 1;
    }
  }
  thin_ = outside;
  return place->second;
}

// All code points of a range have as many bytes.
void Compiler::BuildWide(uint32_t first, uint32_t last, uint32_t from, uint32_t to) {
  std::string low;
  std::string high;
  AppendUtf8(first, &low);
  AppendUtf8(last, &high);
  BuildTail(reinterpret_cast<const uint8_t*>(low.data()), reinterpret_cast<const uint8_t*>(high.data()), low.size(),
            from, to);
}

// Sequences of `count` bytes from *first to *last, in the order of numbers.
void Compiler::BuildTail(const uint8_t* first, const uint8_t* last, size_t count, uint32_t from, uint32_t to) {
  if (count == 1) return AddBytes(from, *first, *last, to);
  static constexpr uint8_t kLowest[] = {0x80, 0x80, 0x80};
  static constexpr uint8_t kHighest[] = {0xBF, 0xBF, 0xBF};
  const auto part = [&](uint8_t low, uint8_t high, const uint8_t* tail_first, const uint8_t* tail_last) {
    const uint32_t next = NewState();
    AddBytes(from, low, high, next);
    BuildTail(tail_first, tail_last, count - 1, next, to);
  };
  if (*first == *last) return part(*first, *last, first + 1, last + 1);
  const bool whole_first = std::all_of(first + 1, first + count, [](uint8_t byte) { return byte == 0x80; });
  const bool whole_last = std::all_of(last + 1, last + count, [](uint8_t byte) { return byte == 0xBF; });
  if (!whole_first) part(*first, *first, first + 1, kHighest);
  if (!whole_last) part(*last, *last, kLowest, last + 1);
  const uint8_t low = static_cast<uint8_t>(*first + (whole_first ? 0 : 1));
  const uint8_t high = static_cast<uint8_t>(*last - (whole_last ? 0 : 1));
  if (low <= high) part(low, high, kLowest, kHighest);
}

void Compiler::Reach(uint32_t state, std::vector<uint32_t>* reached) {
  ++search_;
  reached->assign(1, state);
  seen_[state] = search_;
  for (size_t i = 0; i < reached->size(); ++i) {
    for (const uint32_t next : drafts_[(*reached)[i]].empty) {
      ++steps_;
      if (seen_[next] == search_) continue;
      seen_[next] = search_;
      reached->push_back(next);
    }
  }
}

// Copies to the grammar the states that are entered by something else than empty steps, each with the edges of all that
// it reaches by them.
Status Compiler::RemoveEmptySteps() {
  constexpr uint32_t kNone = UINT32_MAX;
  seen_.assign(drafts_.size(), 0);
  std::vector<bool> is_end(drafts_.size());
  for (const uint32_t end : ends_) is_end[end] = true;
  std::vector<uint32_t> renamed(drafts_.size(), kNone);
  std::vector<uint32_t> kept;
  const auto name = [&](uint32_t draft) {
    if (renamed[draft] == kNone) {
      renamed[draft] = static_cast<uint32_t>(kept.size());
      kept.push_back(draft);
    }
    return renamed[draft];
  };
  Grammar& g = *grammar_;
  for (const uint32_t start : starts_) g.starts_.push_back(name(start));
  std::vector<uint32_t> reached;
  for (size_t i = 0; i < kept.size(); ++i) {
    Grammar::State state;
    state.bytes = static_cast<uint32_t>(g.byte_edges_.size());
    state.calls = static_cast<uint32_t>(g.call_edges_.size());
    state.thin = drafts_[kept[i]].thin;
    state.left = drafts_[kept[i]].left;
    if (state.left > 0) state.alike = name(drafts_[kept[i]].alike);
    Reach(kept[i], &reached);
    for (const uint32_t draft : reached) {
      state.final = state.final || is_end[draft];
      for (const ByteEdge& edge : drafts_[draft].bytes) g.byte_edges_.push_back({edge.first, edge.last, name(edge.to)});
      for (const Grammar::CallEdge& edge : drafts_[draft].calls) g.call_edges_.push_back({edge.rule, name(edge.to)});
    }
    g.states_.push_back(state);
    if (steps_ > kMaxSteps || g.byte_edges_.size() + g.call_edges_.size() > kMaxGrammarEdges) return TooLargeError();
  }
  g.states_.push_back({static_cast<uint32_t>(g.byte_edges_.size()), static_cast<uint32_t>(g.call_edges_.size())});
  return {};
}

void Compiler::NumberClasses() {
  Grammar& g = *grammar_;
  bool begins[257] = {};
  for (const Grammar::ByteEdge& edge : g.byte_edges_) {
    begins[edge.first] = true;
    begins[edge.last + 1] = true;
  }
  uint8_t number = 0;
  for (size_t byte = 1; byte < 256; ++byte) {
    if (begins[byte]) ++number;
    g.byte_class_[byte] = number;
  }
  g.num_classes_ = uint32_t{number} + 1;
  for (Grammar::ByteEdge& edge : g.byte_edges_) {
    edge.first = g.byte_class_[edge.first];
    edge.last = g.byte_class_[edge.last];
  }
}

Result<std::shared_ptr<const Grammar>> Compiler::Run() {
  grammar_ = std::shared_ptr<Grammar>(new Grammar());
  const size_t rules = ast_.rules().size();
  number_.resize(rules);
  for (uint32_t i = 0; i < rules; ++i) {
    number_[analysis_.order[i]] = i;
    thin_ = ThinBytes(ast_.rules()[analysis_.order[i]].body) <= kMaxThin;
    const uint32_t start = NewState();
    const uint32_t end = NewState();
    starts_.push_back(start);
    ends_.push_back(end);
  }
  for (uint32_t i = 0; i < rules; ++i) {
    thin_ = drafts_[starts_[i]].thin;
    Build(ast_.rules()[analysis_.order[i]].body, starts_[i], ends_[i]);
  }
  if (TooLarge()) return TooLargeError();
  grammar_->root_ = number_[ast_.root];
  grammar_->may_be_empty_ = analysis_.rule_may_be_empty[ast_.root];
  MOTE_RETURN_IF_ERROR(RemoveEmptySteps());
  NumberClasses();
  return std::shared_ptr<const Grammar>(std::move(grammar_));
}

}  // namespace mote::grammar

namespace mote {

Result<std::shared_ptr<const Grammar>> Grammar::Compile(const grammar::Ast& ast) {
  MOTE_RETURN_IF_ERROR(ast.Check());
  for (grammar::ExprId id = 0; id < ast.num_exprs(); ++id) {
    if (ast.expr(id).depth > grammar::kMaxExprDepth + 1) {
      return Error(Code::kInvalidArgument, "the grammar's parts are nested too deep");
    }
  }
  MOTE_ASSIGN_OR_RETURN(grammar::Analysis analysis, grammar::Analyze(ast));
  MOTE_ASSIGN_OR_RETURN(std::shared_ptr<const Grammar> compiled, grammar::Compiler(ast, std::move(analysis)).Run());
  if (GrammarSets(compiled).Start() == GrammarSets::kDead) {
    return Error(Code::kInvalidArgument, "the grammar can begin in more than %zu ways", GrammarSets::kMaxReadings);
  }
  return compiled;
}

Result<std::shared_ptr<const Grammar>> Grammar::FromGbnf(std::string_view source) {
  MOTE_ASSIGN_OR_RETURN(const grammar::Ast ast, grammar::ParseGbnf(source));
  return Compile(ast);
}

}  // namespace mote
