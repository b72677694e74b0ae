// Holds a generation to a grammar.
#ifndef MOTE_ENGINE_RUN_GRAMMAR_FILTER_H_
#define MOTE_ENGINE_RUN_GRAMMAR_FILTER_H_

#include <stddef.h>
#include <stdint.h>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/core/status.h"
#include "engine/run/token_filter.h"
#include "engine/text/token_grammar.h"

namespace mote {

inline constexpr size_t kMaxTriggerBytes = 1024;

// The mask comes before anything else has a say: a token drawn first and refused afterwards would be drawn again from
// other candidates than top-k, top-p and min-p leave of the masked logits, which is another distribution. With the
// masks of TokenGrammar this costs less than copying the logits does.
//
// With a trigger all tokens are free until it has appeared in the text; the grammar holds from the byte behind it on,
// within the token that completes it too. Copies share nothing that changes.
class GrammarFilter final : public TokenFilter {
 public:
  // kInvalidArgument: a trigger over kMaxTriggerBytes. Empty: none.
  static Result<std::shared_ptr<GrammarFilter>> Create(std::shared_ptr<const TokenGrammar> grammar,
                                                       std::string trigger);

  // kUnsupported: the vocabulary has no token for what must follow. kInvalidArgument: see TokenGrammar::Mask.
  Status Apply(std::span<float> logits) override;
  Status Accept(int32_t token) override;
  bool MustEnd() const override { return ended_; }
  bool MayEnd() const { return waiting() || matcher_.MayEnd(); }
  bool waiting() const { return matched_ < trigger_.size(); }

 private:
  GrammarFilter(std::shared_ptr<const TokenGrammar> grammar, std::string trigger);
  // How much of the trigger the text ends with after one more byte.
  size_t NextMatch(size_t matched, char byte) const;
  // Tokens that complete the trigger and go on as the grammar does not.
  Status FindForbidden(std::vector<int32_t>* tokens);

  std::shared_ptr<const TokenGrammar> grammar_;
  GrammarMatcher matcher_;
  TokenMask mask_;
  bool ended_ = false;
  std::string trigger_;
  std::vector<size_t> fallback_;  // [n]: the longest proper prefix of the trigger that its first n bytes end with
  size_t matched_ = 0;            // bytes of the trigger that the text ends with; all: it has appeared
  std::vector<std::optional<std::vector<int32_t>>> forbidden_;  // by matched_
};

}  // namespace mote

#endif  // MOTE_ENGINE_RUN_GRAMMAR_FILTER_H_
