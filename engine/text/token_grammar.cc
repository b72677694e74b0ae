#include "engine/text/token_grammar.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace mote {
namespace {

// Masks kept for one grammar: 250 of a vocabulary of 128 thousand tokens. JSON needs ten.
constexpr int64_t kKeptBytes = int64_t{4} << 20;
constexpr size_t kSlots = 2048;  // a power of two
constexpr size_t kMaxProbes = 8;
// A walk over fewer nodes than this costs less than adding a mask.
constexpr uint64_t kLongWalk = 1024;
// One mask: sets made and items looked at, some ten milliseconds of work. A grammar that is no riddle needs some
// hundreds of sets, and some ten thousand looks.
constexpr size_t kMaxNewSets = size_t{1} << 14;
constexpr uint64_t kMaxWork = uint64_t{1} << 21;

Status TooManyReadings() {
  return Error(Code::kInvalidArgument,
               "the grammar can be read in too many ways here; write it with fewer choices that begin alike");
}

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
      kept_(new std::atomic<const Kept*>[kSlots]),
      bytes_left_(kKeptBytes) {
  for (size_t slot = 0; slot < kSlots; ++slot) kept_[slot].store(nullptr);
}

TokenGrammar::~TokenGrammar() {
  for (size_t slot = 0; slot < kSlots; ++slot) delete kept_[slot].load();
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

TokenGrammar::Top TokenGrammar::TopOf(const GrammarSets& sets, uint64_t item, uint32_t* context) const {
  Top top = {};
  for (size_t i = 0; i < kMaxTop; ++i) {
    const uint32_t state = GrammarSets::StateOf(item);
    top[i] = grammar_->Alike(state, trie_->max_depth()) + 1;
    *context = GrammarSets::ContextOf(item);
    if (!grammar_->is_thin(state)) break;
    const std::span<const uint64_t> callers = sets.items(*context);
    if (callers.size() != 1 || callers[0] == GrammarSets::kBottomItem) break;
    item = callers[0];
  }
  return top;
}

const TokenGrammar::Kept* TokenGrammar::KeptMask(const Top& top, Walk* walk) const {
  uint64_t hash = 0;
  for (const uint32_t state : top) hash = (hash ^ state) * 0x9E3779B97F4A7C15u;
  size_t probes = 0;
  const auto slot = [&] { return &kept_[((hash >> 40) + probes) & (kSlots - 1)]; };
  for (; probes < kMaxProbes; ++probes) {
    const Kept* known = slot()->load(std::memory_order_acquire);
    if (known == nullptr) break;
    if (known->top == top) return known->is_short ? nullptr : known;
  }
  if (probes == kMaxProbes || bytes_left_.load(std::memory_order_relaxed) <= 0) return nullptr;

  auto made = std::make_unique<Kept>(top, trie_->vocab_size());
  uint32_t set = GrammarSets::kBottom;
  for (size_t i = kMaxTop; i-- > 0;) {
    if (top[i] != 0) set = walk->sets->Above(top[i] - 1, set);
  }
  const uint64_t before = walk->visited;
  WalkBelow(set, 0, trie_->num_nodes(), walk, &made->mask, &made->ends);
  if (walk->gave_up) return nullptr;
  if (walk->visited - before < kLongWalk) {
    made->is_short = true;
    made->mask = TokenMask(0);
    made->ends.clear();
  }
  made->ends.shrink_to_fit();
  const size_t bytes = sizeof(Kept) + made->mask.bytes() + made->ends.size() * sizeof(uint32_t);
  // Another thread may have kept the same one meanwhile: a second copy does no harm, and neither does none.
  const Kept* expected = nullptr;
  if (!slot()->compare_exchange_strong(expected, made.get(), std::memory_order_acq_rel)) return nullptr;
  bytes_left_.fetch_sub(static_cast<int64_t>(bytes), std::memory_order_relaxed);
  const Kept* kept = made.release();
  return kept->is_short ? nullptr : kept;
}

Status TokenGrammar::MaskBelow(GrammarMatcher* matcher, uint32_t node, TokenMask* mask) const {
  matcher->Tidy();
  GrammarSets& sets = matcher->sets();
  Walk walk = {&sets, sets.size() + kMaxNewSets, sets.work() + kMaxWork};
  walk.path.resize(size_t{trie_->max_depth()} + 1);
  WalkBelow(matcher->now(), node + 1, trie_->nodes()[node].next, &walk, mask, nullptr);
  return walk.gave_up ? TooManyReadings() : Status();
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
    uint32_t context = 0;
    const Top top = TopOf(sets, item, &context);
    const Kept* kept = KeptMask(top, &walk);
    if (kept == nullptr) {
      short_ones.push_back(item);
      continue;
    }
    mask->Add(kept->mask);
    const uint32_t after = sets.Resume(context);
    if (after == GrammarSets::kBottom) continue;
    for (const uint32_t end : kept->ends) {
      WalkBelow(after, end + 1, trie_->nodes()[end].next, &walk, mask, nullptr);
      if (walk.gave_up) break;
    }
  }
  if (!walk.gave_up) WalkBelow(sets.Of(short_ones), 0, trie_->num_nodes(), &walk, mask, nullptr);
  visited_.fetch_add(walk.visited, std::memory_order_relaxed);
  return walk.gave_up ? TooManyReadings() : Status();
}

}  // namespace mote
