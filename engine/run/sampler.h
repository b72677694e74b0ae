// From logits to the next token.
#ifndef MOTE_ENGINE_RUN_SAMPLER_H_
#define MOTE_ENGINE_RUN_SAMPLER_H_

#include <stddef.h>
#include <stdint.h>

#include <span>
#include <utility>
#include <vector>

#include "engine/core/status.h"
#include "engine/graph/backend.h"

namespace mote {

struct SamplerParams {
  float temperature = 0.8f;        // 0: greedy, ties to the lowest id. Otherwise (0, 100]
  int32_t top_k = 40;              // 0: off. Otherwise the k likeliest; above the vocabulary's size: all
  float top_p = 0.95f;             // 1: off. (0, 1]; fewest tokens that together have at least this probability
  float min_p = 0.05f;             // 0: off. [0, 1]; tokens at least this likely, relative to the likeliest
  float repeat_penalty = 1.0f;     // 1: off. (0, 10]; logits of seen tokens divided (positive) or multiplied (negative)
  float presence_penalty = 0.0f;   // [-10, 10]; subtracted from the logit of each seen token
  float frequency_penalty = 0.0f;  // [-10, 10]; the same, times how often it was seen
  int32_t penalty_window = 64;     // last tokens that the three penalties look at; -1: all, 0: none
  uint64_t seed = 0;
  std::vector<std::pair<int32_t, float>> logit_bias;  // (token, added to its logit); finite, or -inf, which forbids it
};

// One per generation. The same params, seed and logits give the same tokens on every platform: all arithmetic is
// float32 and float64 in a fixed order, the exponential is our own, and candidates are in a total order (descending
// logit, then ascending id).
//
// Order: bias, penalties, top-k, min-p, top-p, temperature, draw. Top-p and min-p see probabilities at temperature 1.
// Cost: O(vocab) per token, plus a sort of the candidates that are left.
class Sampler {
 public:
  // kInvalidArgument names the field and its range.
  static Result<Sampler> Create(const SamplerParams& params, int32_t vocab_size);
  // Adds a token to the history that the penalties look at (prompt tokens too). Ids outside the vocabulary are ignored.
  void Accept(int32_t token);
  // logits: (vocab_size). NaN counts as -infinity. None possible: kInternal; none left by bias: kInvalidArgument.
  Result<int32_t> Sample(std::span<const float> logits);
  // So many of the highest logits are all that the next choice depends on; 0: it depends on all. What is adjusted must
  // only become less likely: then of the best k plus as many as are adjusted, k at least keep their places.
  uint32_t Enough() const;
  // What Sample chooses, from the Enough() highest logits alone: highest first, of equals the lowest token.
  Result<int32_t> SampleBest(std::span<const TokenLogit> best);

 private:
  using Candidate = TokenLogit;
  static bool Better(const Candidate& a, const Candidate& b);

  bool penalizes() const;
  bool UsesTopK() const { return params_.top_k > 0 && params_.top_k < vocab_size_; }
  float Penalize(float logit, uint32_t count) const;
  std::span<const float> Adjust(std::span<const float> logits);
  void CollectTopK(std::span<const float> logits, size_t k);
  void CollectMinP(std::span<const float> logits);
  void KeepMinP();
  void KeepTopP(bool sorted);
  // What is left to do with candidates that are the k best, or all that pass min-p.
  Result<int32_t> ChooseOf(bool sorted);
  int32_t Draw();
  uint64_t NextRandom();

  SamplerParams params_;
  int32_t vocab_size_ = 0;
  double min_p_difference_ = 0;   // a logit this far below the highest (negative) still has min_p of its probability
  std::vector<int32_t> history_;  // ring of the last penalty_window tokens; empty if it is -1 (all)
  size_t history_next_ = 0;       // where the next token goes in a full ring
  std::vector<uint32_t> counts_;  // (vocab): how often each token is in the history; empty without penalties
  uint32_t seen_ = 0;             // tokens whose count is not 0
  std::vector<float> adjusted_;   // scratch (vocab)
  std::vector<Candidate> candidates_;  // scratch
  std::vector<double> weights_;        // scratch, beside candidates_
  uint64_t random_[4] = {};            // xoshiro256** state
};

// e^x for x <= 0 (0 below -700), within 2 units in the last place, the same bits on every IEEE 754 machine, which the C
// library's exp does not promise.
double PortableExp(double x);

}  // namespace mote

#endif  // MOTE_ENGINE_RUN_SAMPLER_H_
