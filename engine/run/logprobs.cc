#include "engine/run/logprobs.h"

#include <math.h>

#include <algorithm>
#include <limits>

#include "engine/run/sampler.h"

namespace mote {

double LogSumExp(std::span<const float> logits) {
  constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
  float highest = kMinusInfinity;
  for (const float logit : logits) {
    if (logit > highest) highest = logit;
  }
  if (highest == kMinusInfinity) return -std::numeric_limits<double>::infinity();
  double sum = 0;
  for (const float logit : logits) {
    if (logit > kMinusInfinity) sum += PortableExp(static_cast<double>(logit) - static_cast<double>(highest));
  }
  return static_cast<double>(highest) + log(sum);
}

void LikeliestTokens(std::span<const float> logits, double sum, size_t count, std::vector<TokenProb>* out) {
  // Logits until the end, kept sorted: `count` is small, and after a few hundred tokens hardly any passes the floor.
  out->clear();
  if (count == 0) return;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!(logits[i] > -std::numeric_limits<float>::infinity())) continue;  // NaN too
    if (out->size() == count) {
      if (!(logits[i] > out->back().logprob)) continue;
      out->pop_back();
    }
    const auto place =
        std::find_if(out->begin(), out->end(), [&](const TokenProb& p) { return logits[i] > p.logprob; });
    out->insert(place, {static_cast<int32_t>(i), logits[i]});
  }
  for (TokenProb& p : *out) p.logprob = static_cast<float>(static_cast<double>(p.logprob) - sum);
}

}  // namespace mote
