// What has a say in which token may come next: a grammar, for example.
#ifndef MOTE_ENGINE_RUN_TOKEN_FILTER_H_
#define MOTE_ENGINE_RUN_TOKEN_FILTER_H_

#include <stdint.h>

#include <span>

#include "engine/core/status.h"

namespace mote {

// One per generation, which calls it from one thread at a time, but not always the same: several may be at work at
// once, each for its own generation. An error ends the generation.
class TokenFilter {
 public:
  virtual ~TokenFilter() = default;
  // Before each token: makes the logits, (vocab), of what may not come next -infinity. Bias and penalties come later.
  virtual Status Apply(std::span<float> logits) = 0;
  // The token that was chosen, one that ends the answer too.
  virtual Status Accept(int32_t token) = 0;
  // After either of them: nothing may follow but the end, and the generation stops as if that had come.
  virtual bool MustEnd() const { return false; }
};

}  // namespace mote

#endif  // MOTE_ENGINE_RUN_TOKEN_FILTER_H_
