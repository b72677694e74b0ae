// Reads a text byte by byte along a grammar.
#ifndef MOTE_ENGINE_TEXT_GRAMMAR_MATCHER_H_
#define MOTE_ENGINE_TEXT_GRAMMAR_MATCHER_H_

#include <stddef.h>
#include <stdint.h>

#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/text/grammar.h"

namespace mote {

// Sets of (state, context), made as they are met and numbered: a context is itself such a set, that of the places where
// a rule's callers go on. So a stack is a chain of sets, stacks with the same top share one, and what is met twice is
// found again by its number; a step from a set by a byte class is worked out once.
//
// Growth is bounded by the caller: see work() and size().
class GrammarSets {
 public:
  explicit GrammarSets(std::shared_ptr<const Grammar> grammar);

  static constexpr uint32_t kDead = 0;    // the empty set: nothing can follow
  static constexpr uint32_t kBottom = 1;  // only that the text, or what called the rule, may end here

  const Grammar& grammar() const { return *grammar_; }
  const std::shared_ptr<const Grammar>& shared_grammar() const { return grammar_; }
  // Where a text begins.
  uint32_t Start();
  // What follows `set` by a byte of this class; kDead if nothing does, or if it has too many readings (kMaxReadings).
  uint32_t Step(uint32_t set, uint32_t byte_class) {
    const uint32_t row = rows_of_[set];
    if (row != kNoRow) {
      const uint32_t next = rows_[row + byte_class];
      if (next != kNotMade) return next;
    }
    return MakeStep(set, byte_class);
  }
  // The places of a context, ready to read a byte.
  uint32_t Resume(uint32_t context);
  // The set of one state that returns to `context`; kBottom: to whoever calls, which HasBottom() then tells.
  uint32_t Above(uint32_t state, uint32_t context) {
    const uint64_t item = Item(state, context);
    return Intern({&item, 1});
  }
  // The set of these items, in ascending order.
  uint32_t Of(std::span<const uint64_t> items) { return Intern(items); }
  // The text, or what called the rule, may end after this set.
  bool HasBottom(uint32_t set) const;

  static uint32_t StateOf(uint64_t item) { return static_cast<uint32_t>(item >> 32); }
  static uint32_t ContextOf(uint64_t item) { return static_cast<uint32_t>(item); }
  static constexpr uint64_t kBottomItem = UINT64_MAX;
  // In ascending order; kBottomItem, if it is there, last.
  std::span<const uint64_t> items(uint32_t set) const { return {items_.data() + sets_[set].first, sets_[set].count}; }

  // Sets made so far.
  size_t size() const { return sets_.size(); }
  // Items looked at so far.
  uint64_t work() const { return work_; }
  // Something was refused because it had too many readings.
  bool gave_up() const { return gave_up_; }
  // Becomes a copy of `set` and what it stands on, and nothing else; returns its number here.
  uint32_t CopyFrom(const GrammarSets& other, uint32_t set);

  static constexpr size_t kMaxReadings = 1024;

 private:
  static constexpr uint32_t kNoRow = UINT32_MAX;
  static constexpr uint32_t kNotMade = UINT32_MAX;
  struct Set {
    uint32_t first;  // into items_
    uint32_t count;
  };
  struct Pending {
    uint32_t rule;
    uint64_t item;  // of the context to call it with
    bool operator<(const Pending& other) const {
      return rule != other.rule ? rule > other.rule : item > other.item;  // a heap's top is the first rule
    }
  };
  static uint64_t Item(uint32_t state, uint32_t context) { return uint64_t{state} << 32 | context; }

  void Clear();
  // `items` are sorted and unique.
  uint32_t Intern(std::span<const uint64_t> items);
  void Grow();
  uint32_t MakeStep(uint32_t set, uint32_t byte_class);
  // Turns work_list_ and pending_ into a set that is ready to read a byte.
  uint32_t Close();
  uint32_t GiveUp() {
    gave_up_ = true;
    return kDead;
  }
  void AddCalls(uint32_t state, uint32_t context);
  bool TooMany() const { return result_.size() + work_list_.size() + pending_.size() > 4 * kMaxReadings; }

  std::shared_ptr<const Grammar> grammar_;
  std::vector<uint64_t> items_;
  std::vector<Set> sets_;
  std::vector<uint32_t> table_;     // of set numbers, by hash; 0: free
  std::vector<uint32_t> rows_of_;   // (sets) into rows_
  std::vector<uint32_t> rows_;      // (rows, byte classes)
  std::vector<uint32_t> resumed_;   // (sets) what Resume() gave
  std::vector<uint32_t> returned_;  // (sets) the last Close() that returned to it
  uint32_t closing_ = 0;
  bool gave_up_ = false;
  uint64_t work_ = 0;
  // Scratch.
  std::vector<uint64_t> work_list_;
  std::vector<uint64_t> result_;
  std::vector<uint64_t> context_;
  std::vector<Pending> pending_;  // a heap
};

// One text. A copy costs what the nesting of its text takes, not what was met so far.
class GrammarMatcher {
 public:
  explicit GrammarMatcher(std::shared_ptr<const Grammar> grammar);
  GrammarMatcher(const GrammarMatcher& other);
  GrammarMatcher& operator=(const GrammarMatcher& other);
  GrammarMatcher(GrammarMatcher&&) = default;
  GrammarMatcher& operator=(GrammarMatcher&&) = default;

  // False where the text with these bytes could not be completed; then nothing has changed.
  bool Accept(std::string_view bytes);
  // The text may end here.
  bool MayEnd() const { return sets_.HasBottom(now_); }
  // It must: no byte can follow.
  bool MustEnd() const { return now_ == GrammarSets::kBottom; }

  const Grammar& grammar() const { return sets_.grammar(); }
  // For those who look further: the sets, and where the text is in them.
  GrammarSets& sets() { return sets_; }
  uint32_t now() const { return now_; }
  // Forgets what the text no longer needs, once that is much.
  void Tidy();

 private:
  GrammarSets sets_;
  uint32_t now_;
  size_t tidy_at_;
};

}  // namespace mote

#endif  // MOTE_ENGINE_TEXT_GRAMMAR_MATCHER_H_
