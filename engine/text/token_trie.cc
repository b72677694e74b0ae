#include "engine/text/token_trie.h"

#include <algorithm>

namespace mote {

TokenTrie::TokenTrie(const Tokenizer& tokenizer, int32_t vocab_size) : vocab_size_(vocab_size) {
  starts_.reserve(static_cast<size_t>(vocab_size) + 1);
  for (int32_t token = 0; token < vocab_size; ++token) {
    starts_.push_back(static_cast<uint32_t>(texts_.size()));
    if (tokenizer.IsEndOfGeneration(token)) {
      end_tokens_.push_back(token);
      continue;
    }
    const std::string piece = tokenizer.Piece(token, /*with_special=*/false);
    if (piece.empty()) continue;
    texts_ += piece;
    tokens_.push_back(token);
  }
  starts_.push_back(static_cast<uint32_t>(texts_.size()));
  std::sort(tokens_.begin(), tokens_.end(), [this](int32_t a, int32_t b) {
    const std::string_view left = Piece(a);
    const std::string_view right = Piece(b);
    return left != right ? left < right : a < b;
  });

  std::vector<uint32_t> open;  // nodes from the root to the last one made
  std::string_view last;
  for (uint32_t i = 0; i < tokens_.size(); ++i) {
    const std::string_view piece = Piece(tokens_[i]);
    const size_t same =
        static_cast<size_t>(std::mismatch(last.begin(), last.end(), piece.begin(), piece.end()).first - last.begin());
    for (; open.size() > same; open.pop_back()) nodes_[open.back()].next = static_cast<uint32_t>(nodes_.size());
    for (size_t at = same; at < piece.size(); ++at) {
      open.push_back(static_cast<uint32_t>(nodes_.size()));
      // The tokens of all that is made on the way to a token begin with it: only the last node has it.
      nodes_.push_back({0, i, static_cast<uint32_t>(at + 1), static_cast<uint8_t>(piece[at])});
    }
    max_depth_ = std::max(max_depth_, static_cast<uint32_t>(piece.size()));
    last = piece;
  }
  for (const uint32_t node : open) nodes_[node].next = static_cast<uint32_t>(nodes_.size());
  nodes_.push_back({static_cast<uint32_t>(nodes_.size()), static_cast<uint32_t>(tokens_.size()), 0, 0});
  nodes_.shrink_to_fit();
}

bool TokenTrie::IsEnd(int32_t token) const {
  return std::binary_search(end_tokens_.begin(), end_tokens_.end(), token);
}

}  // namespace mote
