// A vocabulary's texts as a tree of bytes, so that what a grammar takes is found by one walk.
#ifndef MOTE_ENGINE_TEXT_TOKEN_TRIE_H_
#define MOTE_ENGINE_TEXT_TOKEN_TRIE_H_

#include <stddef.h>
#include <stdint.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/tokenizer.h"

namespace mote {

// Immutable. Tokens without text (control tokens, empty ones) are not in the tree: a grammar never takes them.
class TokenTrie {
 public:
  // vocab_size: logits per token, which may be more than the tokenizer knows.
  TokenTrie(const Tokenizer& tokenizer, int32_t vocab_size);

  // In the order of a walk that goes down first: below node i lie nodes i + 1 to next - 1.
  struct Node {
    uint32_t next;    // the first node that is not below
    uint32_t tokens;  // its own in tokens(): up to those of node i + 1
    uint32_t depth;   // of the bytes from the root to here, from 1
    uint8_t byte;
  };
  uint32_t num_nodes() const { return static_cast<uint32_t>(nodes_.size() - 1); }
  const Node* nodes() const { return nodes_.data(); }
  const int32_t* tokens() const { return tokens_.data(); }
  uint32_t max_depth() const { return max_depth_; }

  int32_t vocab_size() const { return vocab_size_; }
  std::span<const int32_t> end_tokens() const { return end_tokens_; }
  bool IsEnd(int32_t token) const;
  // "" for tokens that are not in the tree.
  std::string_view Piece(int32_t token) const {
    const size_t i = static_cast<size_t>(token);
    return {texts_.data() + starts_[i], starts_[i + 1] - starts_[i]};
  }

 private:
  std::vector<Node> nodes_;  // and one more, past the end
  std::vector<int32_t> tokens_;
  std::vector<int32_t> end_tokens_;  // ascending
  std::string texts_;
  std::vector<uint32_t> starts_;  // (vocab_size + 1)
  uint32_t max_depth_ = 0;
  int32_t vocab_size_ = 0;
};

}  // namespace mote

#endif  // MOTE_ENGINE_TEXT_TOKEN_TRIE_H_
