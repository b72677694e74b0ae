// Merging adjacent symbols: the pair of lowest rank becomes one symbol, leftmost first, until no pair has a rank.
// Byte-pair encoding ranks pairs by a list of merges, SentencePiece by the score of the token that they make.
#ifndef MOTE_ENGINE_TEXT_BPE_MERGER_H_
#define MOTE_ENGINE_TEXT_BPE_MERGER_H_

#include <stddef.h>
#include <stdint.h>

#include <algorithm>
#include <functional>
#include <vector>

namespace mote {

// A stretch of the text being merged: `token`, or kNoToken for bytes that are no token.
struct MergeSymbol {
  int32_t token;
  uint32_t start;  // bytes from the start of the text
  uint32_t bytes;
};

inline constexpr uint32_t kNoRank = 0xFFFFFFFFu;

struct Merge {
  uint32_t rank;   // kNoRank: these two do not merge
  int32_t merged;  // the token that they make
};

// `find(left, right)` gives the Merge of two adjacent symbols. Keeps its work space between calls.
template <class Find>
class Merger {
 public:
  explicit Merger(Find find) : find_(find) {}

  void Run(std::vector<MergeSymbol>* symbols) {
    if (symbols->size() < 2) return;
    if (symbols->size() <= kShort) {
      RunShort(symbols);
    } else {
      RunLong(symbols);
    }
  }

 private:
  // At 32 symbols both ways take about the same time (GCC 12, x86-64); nearly all words are shorter.
  static constexpr size_t kShort = 32;
  static constexpr uint32_t kEnd = 0xFFFFFFFFu;

  // O(n^2) on a few cache lines.
  void RunShort(std::vector<MergeSymbol>* word) {
    MergeSymbol* symbols = word->data();
    size_t n = word->size();
    Merge merges[kShort];  // of symbol i with its right neighbour
    merges[0] = {kNoRank, -1};
    const auto look_up = [&](size_t i) {
      merges[i] = i + 1 < n ? find_(symbols[i], symbols[i + 1]) : Merge{kNoRank, -1};
    };
    for (size_t i = 0; i < n; ++i) look_up(i);
    for (;;) {
      size_t best = 0;
      for (size_t i = 1; i < n; ++i) {
        if (merges[i].rank < merges[best].rank) best = i;
      }
      if (merges[best].rank == kNoRank) break;
      symbols[best].token = merges[best].merged;
      symbols[best].bytes += symbols[best + 1].bytes;
      for (size_t i = best + 1; i + 1 < n; ++i) {
        symbols[i] = symbols[i + 1];
        merges[i] = merges[i + 1];
      }
      --n;
      look_up(best);
      if (best > 0) look_up(best - 1);
    }
    word->resize(n);
  }

  // O(n log n): a heap of candidate pairs over a linked list.
  void RunLong(std::vector<MergeSymbol>* word) {
    std::vector<MergeSymbol>& symbols = *word;
    const uint32_t n = static_cast<uint32_t>(symbols.size());
    next_.resize(n);
    previous_.resize(n);
    heap_.clear();
    for (uint32_t i = 0; i < n; ++i) {
      next_[i] = i + 1 < n ? i + 1 : kEnd;
      previous_[i] = i == 0 ? kEnd : i - 1;
      if (i + 1 == n) break;
      const uint32_t rank = find_(symbols[i], symbols[i + 1]).rank;
      if (rank != kNoRank) heap_.push_back(uint64_t{rank} << 32 | i);
    }
    std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
    while (!heap_.empty()) {
      const uint64_t top = heap_.front();
      std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
      heap_.pop_back();
      const uint32_t left = static_cast<uint32_t>(top);
      const uint32_t right = next_[left];
      // Outdated where a symbol has changed since (merged-away ones hold no bytes). If the new pair has the same rank
      // it is as good a candidate as the old one: the pair in place is what gets merged.
      if (symbols[left].bytes == 0 || right == kEnd) continue;
      const Merge merge = find_(symbols[left], symbols[right]);
      if (merge.rank != top >> 32) continue;
      symbols[left].token = merge.merged;
      symbols[left].bytes += symbols[right].bytes;
      symbols[right].bytes = 0;
      next_[left] = next_[right];
      if (next_[right] != kEnd) previous_[next_[right]] = left;
      Push(left, symbols);
      if (previous_[left] != kEnd) Push(previous_[left], symbols);
    }
    std::erase_if(symbols, [](const MergeSymbol& symbol) { return symbol.bytes == 0; });
  }

  void Push(uint32_t left, const std::vector<MergeSymbol>& symbols) {
    if (next_[left] == kEnd) return;
    const uint32_t rank = find_(symbols[left], symbols[next_[left]]).rank;
    if (rank == kNoRank) return;
    heap_.push_back(uint64_t{rank} << 32 | left);
    std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
  }

  Find find_;
  std::vector<uint64_t> heap_;  // rank << 32 | left: lowest rank first, then leftmost
  std::vector<uint32_t> next_;
  std::vector<uint32_t> previous_;
};

}  // namespace mote

#endif  // MOTE_ENGINE_TEXT_BPE_MERGER_H_
