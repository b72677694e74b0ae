#include "engine/text/grammar_matcher.h"

#include <algorithm>

namespace mote {
namespace {

// Sets after which a matcher looks what it still needs: a few megabytes with their steps.
constexpr size_t kTidySets = 8192;

uint64_t HashItems(std::span<const uint64_t> items) {
  uint64_t hash = items.size();
  for (const uint64_t item : items) {
    hash = (hash ^ item) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 29;
  }
  return hash;
}

void SortUnique(std::vector<uint64_t>* items) {
  std::sort(items->begin(), items->end());
  items->erase(std::unique(items->begin(), items->end()), items->end());
}

}  // namespace

GrammarSets::GrammarSets(std::shared_ptr<const Grammar> grammar) : grammar_(std::move(grammar)) {
  Clear();
}

void GrammarSets::Clear() {
  items_.clear();
  sets_.clear();
  rows_of_.clear();
  rows_.clear();
  resumed_.clear();
  returned_.clear();
  table_.assign(64, 0);
  sets_.push_back({0, 0});  // kDead; in no table
  rows_of_.push_back(kNoRow);
  resumed_.push_back(kNotMade);
  returned_.push_back(0);
  const uint64_t bottom = kBottomItem;
  Intern({&bottom, 1});
}

bool GrammarSets::HasBottom(uint32_t set) const {
  const std::span<const uint64_t> all = items(set);
  return !all.empty() && all.back() == kBottomItem;
}

void GrammarSets::Grow() {
  std::vector<uint32_t> larger(table_.size() * 2, 0);
  for (uint32_t set = 1; set < sets_.size(); ++set) {
    size_t slot = HashItems(items(set)) & (larger.size() - 1);
    while (larger[slot] != 0) slot = (slot + 1) & (larger.size() - 1);
    larger[slot] = set;
  }
  table_ = std::move(larger);
}

uint32_t GrammarSets::Intern(std::span<const uint64_t> wanted) {
  if (wanted.empty()) return kDead;
  size_t slot = HashItems(wanted) & (table_.size() - 1);
  for (; table_[slot] != 0; slot = (slot + 1) & (table_.size() - 1)) {
    const std::span<const uint64_t> known = items(table_[slot]);
    if (std::equal(known.begin(), known.end(), wanted.begin(), wanted.end())) return table_[slot];
  }
  const uint32_t set = static_cast<uint32_t>(sets_.size());
  sets_.push_back({static_cast<uint32_t>(items_.size()), static_cast<uint32_t>(wanted.size())});
  items_.insert(items_.end(), wanted.begin(), wanted.end());
  rows_of_.push_back(kNoRow);
  resumed_.push_back(kNotMade);
  returned_.push_back(0);
  table_[slot] = set;
  if (sets_.size() * 2 > table_.size()) Grow();
  return set;
}

uint32_t GrammarSets::Start() {
  work_list_.clear();
  pending_.clear();
  if (grammar_->may_be_empty()) work_list_.push_back(kBottomItem);
  pending_.push_back({grammar_->root(), kBottomItem});
  return Close();
}

uint32_t GrammarSets::Resume(uint32_t context) {
  if (resumed_[context] == kNotMade) {
    const std::span<const uint64_t> places = items(context);
    work_list_.assign(places.begin(), places.end());
    pending_.clear();
    const uint32_t set = Close();
    resumed_[context] = set;
  }
  return resumed_[context];
}

uint32_t GrammarSets::MakeStep(uint32_t set, uint32_t byte_class) {
  work_list_.clear();
  pending_.clear();
  for (const uint64_t item : items(set)) {
    if (item == kBottomItem) continue;
    for (const Grammar::ByteEdge& edge : grammar_->byte_edges(StateOf(item))) {
      ++work_;
      if (edge.first <= byte_class && byte_class <= edge.last) work_list_.push_back(Item(edge.to, ContextOf(item)));
    }
  }
  const uint32_t next = Close();
  if (rows_of_[set] == kNoRow) {
    rows_of_[set] = static_cast<uint32_t>(rows_.size());
    rows_.resize(rows_.size() + grammar_->num_classes(), kNotMade);
  }
  rows_[rows_of_[set] + byte_class] = next;
  return next;
}

void GrammarSets::AddCalls(uint32_t state, uint32_t context) {
  for (const Grammar::CallEdge& edge : grammar_->call_edges(state)) {
    ++work_;
    if (!grammar_->is_end(edge.to)) {
      pending_.push_back({edge.rule, Item(edge.to, context)});
      std::push_heap(pending_.begin(), pending_.end());
      continue;
    }
    // The rule would end right after: its own callers are those to return to, so that a list written as a rule which
    // calls itself last needs no deeper stack for each item.
    for (const uint64_t place : items(context)) {
      ++work_;
      pending_.push_back({edge.rule, place});
      std::push_heap(pending_.begin(), pending_.end());
    }
  }
}

uint32_t GrammarSets::Close() {
  result_.clear();
  // Rules that have ended, and where that leads. Calls wait: whoever calls a rule at this place shares its context. A
  // context is returned to once, so this ends; the same place may come out of two contexts and is then looked at twice.
  ++closing_;
  for (size_t i = 0; i < work_list_.size(); ++i) {
    const uint64_t item = work_list_[i];
    ++work_;
    if (item == kBottomItem) {
      result_.push_back(item);
      continue;
    }
    const uint32_t state = StateOf(item);
    const uint32_t context = ContextOf(item);
    if (!grammar_->byte_edges(state).empty()) result_.push_back(item);
    AddCalls(state, context);
    if (grammar_->is_final(state) && returned_[context] != closing_) {
      returned_[context] = closing_;
      const std::span<const uint64_t> callers = items(context);
      work_list_.insert(work_list_.end(), callers.begin(), callers.end());
    }
    if (TooMany()) return GiveUp();
  }
  // Calls, in an order in which no rule comes after one that it may begin with.
  while (!pending_.empty()) {
    const uint32_t rule = pending_.front().rule;
    context_.clear();
    while (!pending_.empty() && pending_.front().rule == rule) {
      if (context_.empty() || context_.back() != pending_.front().item) context_.push_back(pending_.front().item);
      std::pop_heap(pending_.begin(), pending_.end());
      pending_.pop_back();
    }
    const uint32_t context = Intern(context_);
    const uint32_t start = grammar_->start(rule);
    ++work_;
    if (!grammar_->byte_edges(start).empty()) result_.push_back(Item(start, context));
    AddCalls(start, context);
    if (TooMany()) return GiveUp();
  }
  SortUnique(&result_);
  if (result_.size() > kMaxReadings) return GiveUp();
  return Intern(result_);
}

uint32_t GrammarSets::CopyFrom(const GrammarSets& other, uint32_t set) {
  // A set is made after those that it stands on: numbers are in an order of need.
  std::vector<bool> needed(set + 1);
  needed[set] = true;
  for (uint32_t i = set; i > kBottom; --i) {
    if (!needed[i]) continue;
    for (const uint64_t item : other.items(i)) {
      if (item != kBottomItem) needed[ContextOf(item)] = true;
    }
  }
  Clear();
  std::vector<uint32_t> renamed(std::max(set, kBottom) + 1, kDead);
  renamed[kBottom] = kBottom;
  for (uint32_t i = kBottom + 1; i <= set; ++i) {
    if (!needed[i]) continue;
    context_.clear();
    for (const uint64_t item : other.items(i)) {
      context_.push_back(item == kBottomItem ? item : Item(StateOf(item), renamed[ContextOf(item)]));
    }
    renamed[i] = Intern(context_);  // kept numbers keep their order, so the items do too
  }
  return renamed[set];
}

GrammarMatcher::GrammarMatcher(std::shared_ptr<const Grammar> grammar)
    : sets_(std::move(grammar)), now_(sets_.Start()), tidy_at_(kTidySets) {}

GrammarMatcher::GrammarMatcher(const GrammarMatcher& other)
    : sets_(other.sets_.shared_grammar()), now_(GrammarSets::kDead), tidy_at_(kTidySets) {
  now_ = sets_.CopyFrom(other.sets_, other.now_);
}

GrammarMatcher& GrammarMatcher::operator=(const GrammarMatcher& other) {
  if (this != &other) *this = GrammarMatcher(other);
  return *this;
}

void GrammarMatcher::Tidy() {
  if (sets_.size() < tidy_at_) return;
  GrammarMatcher fresh(*this);
  sets_ = std::move(fresh.sets_);
  now_ = fresh.now_;
  // What is needed may be much: a text nested deep. Then it is looked at again when it has doubled.
  tidy_at_ = std::max(kTidySets, 2 * sets_.size());
}

bool GrammarMatcher::Accept(std::string_view bytes) {
  uint32_t next = now_;
  for (const char c : bytes) {
    next = sets_.Step(next, sets_.grammar().ClassOf(static_cast<uint8_t>(c)));
    if (next == GrammarSets::kDead) return false;
  }
  now_ = next;
  Tidy();
  return true;
}

}  // namespace mote
