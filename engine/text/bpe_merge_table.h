// The merges of byte-pair encoding: which two tokens become which, and in what order.
#ifndef MOTE_ENGINE_TEXT_BPE_MERGE_TABLE_H_
#define MOTE_ENGINE_TEXT_BPE_MERGE_TABLE_H_

#include <stddef.h>
#include <stdint.h>

#include <vector>

#include "engine/core/status.h"
#include "engine/text/bpe_merger.h"
#include "engine/text/tokenizer_vocab.h"

namespace mote {

class MergeTable {
 public:
  // Reads tokenizer.ggml.merges. Merges of or into something that is no token, or no plain one, can never show in the
  // result and are left out; of two merges of the same pair the first counts.
  Status Load(const GgufFile& file, const Vocabulary& vocab);

  Merge Find(int32_t left, int32_t right) const {
    // kNoToken is in no slot's left or right.
    const size_t mask = slots_.size() - 1;
    size_t at = HashPair(static_cast<uint32_t>(left), static_cast<uint32_t>(right)) & mask;
    for (uint32_t probe = 0; probe <= longest_probe_; ++probe, at = (at + 1) & mask) {
      const Slot& slot = slots_[at];
      if (slot.left == left && slot.right == right) return {slot.rank, slot.merged};
      if (slot.left == kNoToken) break;
    }
    return {kNoRank, kNoToken};
  }

 private:
  struct Slot {
    int32_t left;
    int32_t right;
    uint32_t rank;
    int32_t merged;
  };
  Status Add(int32_t left, int32_t right, uint32_t rank, int32_t merged);

  std::vector<Slot> slots_;
  uint32_t longest_probe_ = 0;
};

}  // namespace mote

#endif  // MOTE_ENGINE_TEXT_BPE_MERGE_TABLE_H_
