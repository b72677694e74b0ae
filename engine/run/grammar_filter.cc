#include "engine/run/grammar_filter.h"

#include <limits>
#include <utility>

namespace mote {

GrammarFilter::GrammarFilter(std::shared_ptr<const TokenGrammar> grammar, std::string trigger)
    : grammar_(std::move(grammar)),
      matcher_(grammar_->grammar()),
      mask_(grammar_->trie().vocab_size()),
      trigger_(std::move(trigger)),
      fallback_(trigger_.size() + 1, 0),
      forbidden_(trigger_.size()) {
  for (size_t n = 2; n <= trigger_.size(); ++n) {
    size_t k = fallback_[n - 1];
    while (k > 0 && trigger_[k] != trigger_[n - 1]) k = fallback_[k];
    fallback_[n] = trigger_[k] == trigger_[n - 1] ? k + 1 : 0;
  }
}

Result<std::shared_ptr<GrammarFilter>> GrammarFilter::Create(std::shared_ptr<const TokenGrammar> grammar,
                                                             std::string trigger) {
  if (trigger.size() > kMaxTriggerBytes) {
    return Error(Code::kInvalidArgument, "the grammar's trigger has %zu bytes; up to %zu are accepted", trigger.size(),
                 kMaxTriggerBytes);
  }
  return std::shared_ptr<GrammarFilter>(new GrammarFilter(std::move(grammar), std::move(trigger)));
}

size_t GrammarFilter::NextMatch(size_t matched, char byte) const {
  while (matched > 0 && trigger_[matched] != byte) matched = fallback_[matched];
  return trigger_[matched] == byte ? matched + 1 : 0;
}

Status GrammarFilter::FindForbidden(std::vector<int32_t>* tokens) {
  const TokenTrie& trie = grammar_->trie();
  const TokenTrie::Node* const nodes = trie.nodes();
  std::vector<size_t> path(size_t{trie.max_depth()} + 1, matched_);
  for (uint32_t i = 0; i < trie.num_nodes();) {
    const TokenTrie::Node& node = nodes[i];
    const size_t matched = NextMatch(path[node.depth - 1], static_cast<char>(node.byte));
    path[node.depth] = matched;
    ++i;
    if (matched < trigger_.size()) continue;
    mask_.Clear();
    MOTE_RETURN_IF_ERROR(grammar_->MaskBelow(&matcher_, i - 1, &mask_));
    for (uint32_t t = nodes[i].tokens; t < nodes[node.next].tokens; ++t) {
      if (!mask_.Has(trie.tokens()[t])) tokens->push_back(trie.tokens()[t]);
    }
    i = node.next;
  }
  return {};
}

Status GrammarFilter::Apply(std::span<float> logits) {
  if (waiting()) {
    std::optional<std::vector<int32_t>>& forbidden = forbidden_[matched_];
    if (!forbidden) {
      std::vector<int32_t> found;
      MOTE_RETURN_IF_ERROR(FindForbidden(&found));
      forbidden = std::move(found);
    }
    for (const int32_t token : *forbidden) {
      logits[static_cast<size_t>(token)] = -std::numeric_limits<float>::infinity();
    }
    return {};
  }
  mask_.Clear();
  MOTE_RETURN_IF_ERROR(grammar_->Mask(&matcher_, &mask_));
  if (!mask_.Any()) {
    ended_ = matcher_.MayEnd();
    if (!ended_) {
      return Error(Code::kUnsupported, "no token of this vocabulary is a text that the grammar takes here");
    }
  }
  if (matcher_.MayEnd()) {
    for (const int32_t token : grammar_->trie().end_tokens()) mask_.Set(token);
  }
  mask_.Apply(logits);
  return {};
}

Status GrammarFilter::Accept(int32_t token) {
  const TokenTrie& trie = grammar_->trie();
  if (token < 0 || token >= trie.vocab_size()) return Error(Code::kInternal, "token %d is in no vocabulary", token);
  if (trie.IsEnd(token)) {
    if (MayEnd()) return {};
    return Error(Code::kInternal, "token %d ends a text that the grammar does not let end", token);
  }
  std::string_view piece = trie.Piece(token);
  while (waiting() && !piece.empty()) {
    matched_ = NextMatch(matched_, piece[0]);
    piece.remove_prefix(1);
  }
  if (waiting()) return {};
  if (!matcher_.Accept(piece)) return Error(Code::kInternal, "token %d is none that the grammar takes", token);
  ended_ = matcher_.MustEnd();
  return {};
}

}  // namespace mote
