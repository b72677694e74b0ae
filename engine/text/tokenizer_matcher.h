// Finds written-out tokens in text: an Aho-Corasick automaton over the reversed tokens.
//
// Read backwards, the longest token that ends at a place is, read forwards, the longest token that begins there. One
// backward pass so gives what leftmost-longest matching needs, in time linear in the text whatever the tokens are.
#ifndef MOTE_ENGINE_TEXT_TOKENIZER_MATCHER_H_
#define MOTE_ENGINE_TEXT_TOKENIZER_MATCHER_H_

#include <stddef.h>
#include <stdint.h>

#include <string_view>
#include <vector>

#include "engine/core/status.h"
#include "engine/text/tokenizer_vocab.h"

namespace mote {

class TokenMatcher {
 public:
  // User-defined tokens (found always), control and unknown tokens (found on request). kUnsupported where they need
  // more than kMaxNodes states.
  Status Build(const Vocabulary& vocab);

  struct Match {
    uint32_t offset;  // bytes
    int32_t token;
  };
  // For each offset at which a token begins, the longest one; offsets increase, matches may overlap. `all`: control
  // and unknown tokens too. `text` is shorter than 2^31 bytes.
  std::vector<Match> FindAll(std::string_view text, bool all) const;

  // 17 bytes each. Real vocabularies need up to some 400,000 (a codec's 65,536 speech tokens).
  static constexpr size_t kMaxNodes = size_t{1} << 20;

 private:
  uint32_t Child(uint32_t node, uint8_t byte) const;  // 0 if none
  uint32_t Next(uint32_t node, uint8_t byte) const;

  // Nodes in breadth-first order, 0 the root; the children of i are first_child_[i] .. first_child_[i + 1].
  std::vector<uint32_t> first_child_;  // (nodes + 1)
  std::vector<uint8_t> byte_;          // on the edge to the node
  std::vector<uint32_t> fail_;         // the longest proper suffix that is a node
  // The longest token that is a suffix of the node, or kNoToken: of all kinds, and user-defined only.
  std::vector<int32_t> token_;
  std::vector<int32_t> user_token_;
  uint32_t root_child_[256] = {};
  bool any_user_ = false;
};

}  // namespace mote

#endif  // MOTE_ENGINE_TEXT_TOKENIZER_MATCHER_H_
