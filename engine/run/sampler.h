// From logits to the next token.
#ifndef MOTE_ENGINE_RUN_SAMPLER_H_
#define MOTE_ENGINE_RUN_SAMPLER_H_

#include <stdint.h>

#include <span>
#include <utility>
#include <vector>

#include "engine/core/status.h"

namespace mote {

struct SamplerParams {
  float temperature = 0.8f;        // 0: greedy, ties to the lowest id. Otherwise (0, 100]
  int32_t top_k = 40;              // 0: off. [0, vocab]
  float top_p = 0.95f;             // 1: off. (0, 1]
  float min_p = 0.05f;             // 0: off. [0, 1]
  float repeat_penalty = 1.0f;     // 1: off. (0, 10]; logits of seen tokens divided (positive) or multiplied (negative)
  float presence_penalty = 0.0f;   // [-10, 10]
  float frequency_penalty = 0.0f;  // [-10, 10]
  int32_t penalty_window = 64;     // last tokens that the three penalties look at; -1: all, 0: none
  uint64_t seed = 0;
  std::vector<std::pair<int32_t, float>> logit_bias;  // (token, added to its logit); -inf forbids it
};

// One per generation. The same params, seed and logits give the same tokens on every platform.
// Order: bias, penalties, top-k, min-p, top-p, temperature, draw.
class Sampler {
 public:
  // kInvalidArgument names the field and its range.
  static Result<Sampler> Create(const SamplerParams& params, int32_t vocab_size);
  // Adds a token to the history that the penalties look at (prompt tokens too).
  void Accept(int32_t token);
  // logits: (vocab_size). NaN counts as -infinity; if nothing can be chosen: kInternal.
  Result<int32_t> Sample(std::span<const float> logits);

 private:
  SamplerParams params_;
  int32_t vocab_size_ = 0;
  std::vector<int32_t> history_;
  struct Candidate {
    int32_t token;
    float logit;
  };
  std::vector<Candidate> candidates_;  // scratch
  uint64_t random_[4] = {};            // xoshiro256** state
  uint64_t NextRandom();
};

}  // namespace mote

#endif  // MOTE_ENGINE_RUN_SAMPLER_H_
