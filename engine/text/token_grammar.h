// Which tokens of a vocabulary a grammar takes next.
#ifndef MOTE_ENGINE_TEXT_TOKEN_GRAMMAR_H_
#define MOTE_ENGINE_TEXT_TOKEN_GRAMMAR_H_

#include <stddef.h>
#include <stdint.h>

#include <array>
#include <atomic>
#include <memory>
#include <span>
#include <vector>

#include "engine/core/status.h"
#include "engine/text/grammar.h"
#include "engine/text/grammar_matcher.h"
#include "engine/text/token_trie.h"

namespace mote {

// One bit for each token of the vocabulary.
class TokenMask {
 public:
  explicit TokenMask(int32_t vocab_size) : words_((static_cast<size_t>(vocab_size) + 63) / 64) {}
  void Clear() { words_.assign(words_.size(), 0); }
  void Set(int32_t token) { words_[static_cast<size_t>(token) / 64] |= uint64_t{1} << (token % 64); }
  bool Has(int32_t token) const { return (words_[static_cast<size_t>(token) / 64] >> (token % 64) & 1) != 0; }
  void Add(const TokenMask& other) {
    for (size_t i = 0; i < words_.size(); ++i) words_[i] |= other.words_[i];
  }
  bool Any() const;
  // Makes the logits of all other tokens -infinity. logits: (vocab_size).
  void Apply(std::span<float> logits) const;
  size_t bytes() const { return words_.size() * sizeof(uint64_t); }

 private:
  std::vector<uint64_t> words_;
};

// A grammar for one vocabulary. Immutable to its users, who may be many threads: what it learns while it is used (the
// masks of states, below) is published with atomic operations, and does not change what it answers.
//
// The walk over the vocabulary's tree that a mask takes is long where much is allowed: inside a string nearly all
// tokens are. There it depends on the top of the stack alone, until a token's bytes leave that behind. So that part of
// the walk is done once for each top and kept: the tokens that stay above, and the places in the tree where the rule
// below ends. A mask then is the sum of a few kept ones and of short walks on from those places.
class TokenGrammar {
 public:
  TokenGrammar(std::shared_ptr<const Grammar> grammar, std::shared_ptr<const TokenTrie> trie);
  ~TokenGrammar();
  TokenGrammar(const TokenGrammar&) = delete;
  TokenGrammar& operator=(const TokenGrammar&) = delete;

  const std::shared_ptr<const Grammar>& grammar() const { return grammar_; }
  const TokenTrie& trie() const { return *trie_; }

  // Sets in *mask, which is clear, the tokens after which `matcher`, of this grammar, could go on. End tokens are not
  // among them. kInvalidArgument: the grammar can be read in so many ways that the search was given up.
  Status Mask(GrammarMatcher* matcher, TokenMask* mask) const;

  // The same for the tokens below a node of the tree, from their byte behind it on; `node` itself not included.
  Status MaskBelow(GrammarMatcher* matcher, uint32_t node, TokenMask* mask) const;

  // What was spent so far, for tests: nodes of the tree that were visited.
  uint64_t nodes_visited() const { return visited_.load(std::memory_order_relaxed); }

 private:
  // The upper end of a stack: a state, and where its callers go on as long as its rule is thin; 0 past the last.
  static constexpr size_t kMaxTop = 3;
  using Top = std::array<uint32_t, kMaxTop>;
  struct Kept {
    Kept(const Top& t, int32_t vocab_size) : top(t), mask(vocab_size) {}
    Top top;                // each state + 1
    bool is_short = false;  // not worth a mask: walk
    TokenMask mask;
    std::vector<uint32_t> ends;  // nodes whose last byte may end the lowest rule of the top
  };
  struct Walk;

  // The top of the stack that `item` is, and in *context what is below.
  Top TopOf(const GrammarSets& sets, uint64_t item, uint32_t* context) const;
  // Null where the walk is short, or where nothing more can be kept.
  const Kept* KeptMask(const Top& top, Walk* walk) const;
  void WalkBelow(uint32_t set, uint32_t first, uint32_t last, Walk* walk, TokenMask* mask,
                 std::vector<uint32_t>* ends) const;

  std::shared_ptr<const Grammar> grammar_;
  std::shared_ptr<const TokenTrie> trie_;
  std::unique_ptr<std::atomic<const Kept*>[]> kept_;  // (states)
  mutable std::atomic<int64_t> bytes_left_;           // for more of them
  mutable std::atomic<uint64_t> visited_{0};
};

}  // namespace mote

#endif  // MOTE_ENGINE_TEXT_TOKEN_GRAMMAR_H_
