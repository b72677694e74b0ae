// How likely tokens were, in the model's own opinion: natural logarithms of the softmax of raw logits.
#ifndef MOTE_ENGINE_RUN_LOGPROBS_H_
#define MOTE_ENGINE_RUN_LOGPROBS_H_

#include <stddef.h>
#include <stdint.h>

#include <span>
#include <vector>

namespace mote {

struct TokenProb {
  int32_t token = 0;
  float logprob = 0;
};

// The logarithm of the sum of all e^logit, so that a token's log-probability is its logit less this. Summed in double
// in the order of ids. NaN counts as -infinity; -infinity where there is nothing else.
double LogSumExp(std::span<const float> logits);

// The `count` likeliest tokens (fewer in a smaller vocabulary), best first, then by id. `sum`: LogSumExp(logits).
void LikeliestTokens(std::span<const float> logits, double sum, size_t count, std::vector<TokenProb>* out);

}  // namespace mote

#endif  // MOTE_ENGINE_RUN_LOGPROBS_H_
