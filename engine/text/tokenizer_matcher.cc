#include "engine/text/tokenizer_matcher.h"

#include <algorithm>
#include <string>

namespace mote {

namespace {

// Compares two texts from their ends: the order in which reversed tokens form a trie.
bool ReversedLess(std::string_view a, std::string_view b) {
  return std::lexicographical_compare(a.rbegin(), a.rend(), b.rbegin(), b.rend(),
                                      [](char x, char y) { return static_cast<uint8_t>(x) < static_cast<uint8_t>(y); });
}

struct TokenRange {  // of the sorted tokens: those that share a node's reversed prefix
  uint32_t first;
  uint32_t last;
};

}  // namespace

Status TokenMatcher::Build(const Vocabulary& vocab) {
  std::vector<int32_t> tokens;
  for (int32_t id = 0; id < vocab.size(); ++id) {
    const TokenType type = vocab.type(id);
    const bool wanted = type == TokenType::kControl || type == TokenType::kUnknown || type == TokenType::kUserDefined;
    if (!wanted || vocab.text(id).empty()) continue;
    tokens.push_back(id);
    any_user_ = any_user_ || type == TokenType::kUserDefined;
  }
  std::sort(tokens.begin(), tokens.end(),
            [&](int32_t a, int32_t b) { return ReversedLess(vocab.text(a), vocab.text(b)); });

  std::vector<TokenRange> level = {{0, static_cast<uint32_t>(tokens.size())}};
  std::vector<TokenRange> next_level;
  byte_.push_back(0);
  token_.push_back(kNoToken);
  user_token_.push_back(kNoToken);
  for (size_t depth = 0; !level.empty(); ++depth) {
    next_level.clear();
    for (const TokenRange& range : level) {
      const size_t node = first_child_.size();
      first_child_.push_back(static_cast<uint32_t>(byte_.size()));
      for (uint32_t i = range.first; i < range.last;) {
        const std::string_view text = vocab.text(tokens[i]);
        if (text.size() == depth) {  // the node itself; texts are unique, so at most one, and it sorts first
          token_[node] = tokens[i];
          if (vocab.type(tokens[i]) == TokenType::kUserDefined) user_token_[node] = tokens[i];
          ++i;
          continue;
        }
        const char edge = text[text.size() - 1 - depth];
        const uint32_t first = i;
        while (i < range.last) {
          const std::string_view other = vocab.text(tokens[i]);
          if (other[other.size() - 1 - depth] != edge) break;
          ++i;
        }
        next_level.push_back({first, i});
        byte_.push_back(static_cast<uint8_t>(edge));
        token_.push_back(kNoToken);
        user_token_.push_back(kNoToken);
        if (byte_.size() > kMaxNodes) {
          return Status(Code::kUnsupported, "the control and user-defined tokens (" + std::to_string(tokens.size()) +
                                                ") are too long or too many to search for");
        }
      }
    }
    level.swap(next_level);
  }
  first_child_.push_back(static_cast<uint32_t>(byte_.size()));

  fail_.assign(byte_.size(), 0);
  for (uint32_t child = first_child_[0]; child < first_child_[1]; ++child) root_child_[byte_[child]] = child;
  for (uint32_t node = 1; node < byte_.size(); ++node) {
    for (uint32_t child = first_child_[node]; child < first_child_[node + 1]; ++child) {
      fail_[child] = Next(fail_[node], byte_[child]);
    }
    // Breadth first: the suffix is shorter, so its own tokens are final.
    if (token_[node] == kNoToken) token_[node] = token_[fail_[node]];
    if (user_token_[node] == kNoToken) user_token_[node] = user_token_[fail_[node]];
  }
  return Status();
}

uint32_t TokenMatcher::Child(uint32_t node, uint8_t byte) const {
  if (node == 0) return root_child_[byte];
  const uint8_t* first = byte_.data() + first_child_[node];
  const uint8_t* last = byte_.data() + first_child_[node + 1];
  const uint8_t* found = std::lower_bound(first, last, byte);
  return found != last && *found == byte ? static_cast<uint32_t>(found - byte_.data()) : 0;
}

uint32_t TokenMatcher::Next(uint32_t node, uint8_t byte) const {
  for (;;) {
    const uint32_t child = Child(node, byte);
    if (child != 0 || node == 0) return child;
    node = fail_[node];
  }
}

std::vector<TokenMatcher::Match> TokenMatcher::FindAll(std::string_view text, bool all) const {
  std::vector<Match> result;
  if (byte_.size() <= 1 || (!all && !any_user_)) return result;
  const std::vector<int32_t>& tokens = all ? token_ : user_token_;
  uint32_t node = 0;
  for (size_t i = text.size(); i-- > 0;) {
    node = Next(node, static_cast<uint8_t>(text[i]));
    if (tokens[node] != kNoToken) result.push_back({static_cast<uint32_t>(i), tokens[node]});
  }
  std::reverse(result.begin(), result.end());
  return result;
}

}  // namespace mote
