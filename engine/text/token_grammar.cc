#include "engine/text/token_grammar.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace mote {
namespace {

// Masks kept for one grammar: 250 of a vocabulary of 128 thousand tokens. JSON needs ten.
constexpr int64_t kKeptBytes = int64_t{4} << 20;
// A walk over fewer nodes than this costs less than adding a mask.
constexpr uint64_t kLongWalk = 1024;
// One mask: sets made and items looked at. A grammar that is no riddle needs some hundreds, and some ten thousands.
constexpr size_t kMaxNewSets = size_t{1} << 15;
constexpr uint64_t kMaxWork = uint64_t{1} << 23;

}  // namespace

bool TokenMask::Any() const {
  return std::any_of(words_.begin(), words_.end(), [](uint64_t word) { return word != 0; });
}

void TokenMask::Apply(std::span<float> logits) const {
  constexpr float kForbidden = -std::numeric_limits<float>::infinity();
  for (size_t begin = 0; begin < logits.size(); begin += 64) {
    const uint64_t word = words_[begin / 64];
    if (word == ~uint64_t{0}) continue;
    const size_t end = std::min(logits.size(), begin + 64);
    if (word == 0) {
      std::fill(logits.begin() + static_cast<ptrdiff_t>(begin), logits.begin() + static_cast<ptrdiff_t>(end),
                kForbidden);
      continue;
    }
    for (size_t i = begin; i < end; ++i) logits[i] = (word >> (i - begin) & 1) != 0 ? logits[i] : kForbidden;
  }
}

struct TokenGrammar::Walk {
  GrammarSets* sets;
  size_t max_sets;
  uint64_t max_work;
  std::vector<uint32_t> path = {};  // sets after each byte from the root on
  uint64_t visited = 0;
  bool gave_up = false;
};

TokenGrammar::TokenGrammar(std::shared_ptr<const Grammar> grammar, std::shared_ptr<const TokenTrie> trie)
    : grammar_(std::move(grammar)),
      trie_(std::move(trie)),
      kept_(new std::atomic<const Kept*>[grammar_->num_states()]),
      bytes_left_(kKeptBytes) {
  for (size_t state = 0; state < grammar_->num_states(); ++state) kept_[state].store(nullptr);
}

TokenGrammar::~TokenGrammar() {
  for (size_t state = 0; state < grammar_->num_states(); ++state) {
    if (const Kept* kept = kept_[state].load(); kept != &short_) delete kept;
  }
}

// Visits the nodes from `first` to `last`, where `set` is what was reached on the way to the node above `first`.
void TokenGrammar::WalkBelow(uint32_t set, uint32_t first, uint32_t last, Walk* walk, TokenMask* mask,
                             std::vector<uint32_t>* ends) const {
  if (first == last) return;
  GrammarSets& sets = *walk->sets;
  const TokenTrie::Node* const nodes = trie_->nodes();
  const int32_t* const tokens = trie_->tokens();
  const uint8_t* const classes = grammar_->byte_classes();
  uint32_t* const path = walk->path.data();
  path[nodes[first].depth - 1] = set;
  uint64_t visited = 0;
  for (uint32_t i = first; i < last; ++visited) {
    const TokenTrie::Node& node = nodes[i];
    const uint32_t next = sets.Step(path[node.depth - 1], classes[node.byte]);
    if (next == GrammarSets::kDead) {
      i = node.next;
      continue;
    }
    for (uint32_t t = node.tokens; t < nodes[i + 1].tokens; ++t) mask->Set(tokens[t]);
    path[node.depth] = next;
    ++i;
    if (ends != nullptr && sets.HasBottom(next)) ends->push_back(i - 1);
    if (next == GrammarSets::kBottom) i = node.next;  // no byte follows here
    if (sets.size() > walk->max_sets || sets.work() > walk->max_work) {
      walk->gave_up = true;
      break;
    }
  }
  walk->visited += visited;
}

// Null where the walk is short, or where nothing more can be kept.
const TokenGrammar::Kept* TokenGrammar::KeptMask(uint32_t state, Walk* walk) const {
  if (const Kept* known = kept_[state].load(std::memory_order_acquire); known != nullptr) {
    return known == &short_ ? nullptr : known;
  }
  if (bytes_left_.load(std::memory_order_relaxed) <= 0) return nullptr;
  auto made = std::make_unique<Kept>(trie_->vocab_size());
  const uint64_t before = walk->visited;
  WalkBelow(walk->sets->Above(state), 0, trie_->num_nodes(), walk, &made->mask, &made->ends);
  if (walk->gave_up) return nullptr;
  const Kept* expected = nullptr;
  if (walk->visited - before < kLongWalk) {
    kept_[state].compare_exchange_strong(expected, &short_, std::memory_order_acq_rel);
    return nullptr;
  }
  made->ends.shrink_to_fit();
  const int64_t bytes = static_cast<int64_t>(made->mask.bytes() + made->ends.size() * sizeof(uint32_t));
  if (!kept_[state].compare_exchange_strong(expected, made.get(), std::memory_order_acq_rel)) return expected;
  bytes_left_.fetch_sub(bytes, std::memory_order_relaxed);
  return made.release();
}

Status TokenGrammar::Mask(GrammarMatcher* matcher, TokenMask* mask) const {
  matcher->Tidy();
  GrammarSets& sets = matcher->sets();
  Walk walk = {&sets, sets.size() + kMaxNewSets, sets.work() + kMaxWork};
  walk.path.resize(size_t{trie_->max_depth()} + 1);
  // Items whose masks are not kept are walked with together.
  std::vector<uint64_t> short_ones;
  const std::span<const uint64_t> items = sets.items(matcher->now());
  const std::vector<uint64_t> now(items.begin(), items.end());
  for (const uint64_t item : now) {
    if (item == GrammarSets::kBottomItem) continue;
    const Kept* kept = KeptMask(GrammarSets::StateOf(item), &walk);
    if (kept == nullptr) {
      short_ones.push_back(item);
      continue;
    }
    mask->Add(kept->mask);
    const uint32_t after = sets.Resume(GrammarSets::ContextOf(item));
    if (after == GrammarSets::kBottom) continue;
    for (const uint32_t end : kept->ends) {
      WalkBelow(after, end + 1, trie_->nodes()[end].next, &walk, mask, nullptr);
      if (walk.gave_up) break;
    }
  }
  if (!walk.gave_up) WalkBelow(sets.Of(short_ones), 0, trie_->num_nodes(), &walk, mask, nullptr);
  visited_.fetch_add(walk.visited, std::memory_order_relaxed);
  if (!walk.gave_up) return {};
  return Error(Code::kInvalidArgument,
               "the grammar can be read in too many ways here; write it with fewer choices that begin alike");
}

}  // namespace mote
