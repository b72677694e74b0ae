#include "engine/run/sampler.h"

#include <string.h>

#include <algorithm>
#include <limits>

namespace mote {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// False for NaN too.
bool InRange(float value, float low, float high) {
  return value >= low && value <= high;
}

Status CheckRange(const char* field, float value, float low, float high) {
  if (InRange(value, low, high)) return {};
  return Error(Code::kInvalidArgument, "%s is %g; it must be in [%g, %g]", field, static_cast<double>(value),
               static_cast<double>(low), static_cast<double>(high));
}

// As CheckRange, with 0 itself excluded.
Status CheckPositive(const char* field, float value, float high) {
  if (value > 0 && value <= high) return {};
  return Error(Code::kInvalidArgument, "%s is %g; it must be above 0 and at most %g", field, static_cast<double>(value),
               static_cast<double>(high));
}

Status CheckParams(const SamplerParams& params, int32_t vocab_size) {
  if (vocab_size < 1) return Error(Code::kInvalidArgument, "the vocabulary has %d tokens", vocab_size);
  MOTE_RETURN_IF_ERROR(CheckRange("temperature", params.temperature, 0, 100));
  if (params.top_k < 0) return Error(Code::kInvalidArgument, "top_k is %d; it must be 0 or more", params.top_k);
  MOTE_RETURN_IF_ERROR(CheckPositive("top_p", params.top_p, 1));
  MOTE_RETURN_IF_ERROR(CheckRange("min_p", params.min_p, 0, 1));
  MOTE_RETURN_IF_ERROR(CheckPositive("repeat_penalty", params.repeat_penalty, 10));
  MOTE_RETURN_IF_ERROR(CheckRange("presence_penalty", params.presence_penalty, -10, 10));
  MOTE_RETURN_IF_ERROR(CheckRange("frequency_penalty", params.frequency_penalty, -10, 10));
  if (params.penalty_window < -1) {
    return Error(Code::kInvalidArgument, "penalty_window is %d; it must be -1 (all tokens), 0 (none) or more",
                 params.penalty_window);
  }
  for (const auto& [token, bias] : params.logit_bias) {
    if (token < 0 || token >= vocab_size) {
      return Error(Code::kInvalidArgument, "logit_bias names token %d; the vocabulary has ids 0 to %d", token,
                   vocab_size - 1);
    }
    if (!(bias <= std::numeric_limits<float>::max())) {  // NaN, +inf
      return Error(Code::kInvalidArgument, "logit_bias of token %d is %g; it must be finite or -infinity", token,
                   static_cast<double>(bias));
    }
  }
  return {};
}

// The lowest x for which PortableExp(x) >= p, found with PortableExp itself so that no logarithm is needed.
double LowestExponent(double p) {
  double low = -110;  // e^-110 is below the smallest float
  double high = 0;
  for (int i = 0; i < 64; ++i) {
    const double middle = 0.5 * (low + high);
    (PortableExp(middle) >= p ? high : low) = middle;
  }
  return high;
}

// Of two logits, the higher one first; infinities compare equal to themselves instead of giving NaN.
double Difference(float logit, float highest) {
  return logit == highest ? 0.0 : static_cast<double>(logit) - static_cast<double>(highest);
}

// False for NaN too.
bool IsPossible(float logit) {
  return logit > kMinusInfinity;
}

// `possible`: before bias and penalties there were some.
Status NoneLeft(bool possible, int32_t vocab_size) {
  if (possible) {
    return Error(Code::kInvalidArgument, "no token can be chosen: logit_bias and penalties forbid all of %d",
                 vocab_size);
  }
  return Error(Code::kInternal, "no token can be chosen: all %d logits are NaN or -infinity", vocab_size);
}

uint64_t RotateLeft(uint64_t value, int bits) {
  return (value << bits) | (value >> (64 - bits));
}

}  // namespace

double PortableExp(double x) {
  if (!(x >= -700)) return 0;
  // x = k ln 2 + r with |r| <= ln 2 / 2. ln 2 in two parts: the first has 20 trailing zero bits, so k * it is exact.
  constexpr double kInverseLn2 = 1.44269504088896338700e+00;
  constexpr double kLn2High = 6.93147180369123816490e-01;
  constexpr double kLn2Low = 1.90821492927058770002e-10;
  const int64_t k = static_cast<int64_t>(x * kInverseLn2 - 0.5);  // truncation rounds to nearest, x being <= 0
  const double r = (x - static_cast<double>(k) * kLn2High) - static_cast<double>(k) * kLn2Low;
  // Taylor's series; its 14th term is below 2^-58 of the sum.
  constexpr double kInverseFactorial[] = {1.0 / 6227020800.0, 1.0 / 479001600.0, 1.0 / 39916800.0, 1.0 / 3628800.0,
                                          1.0 / 362880.0,     1.0 / 40320.0,     1.0 / 5040.0,     1.0 / 720.0,
                                          1.0 / 120.0,        1.0 / 24.0,        1.0 / 6.0,        0.5};
  double series = kInverseFactorial[0];
  for (size_t i = 1; i < std::size(kInverseFactorial); ++i) series = series * r + kInverseFactorial[i];
  series = series * r * r + r + 1.0;
  const uint64_t bits = static_cast<uint64_t>(k + 1023) << 52;  // 2^k; k >= -1010, so never subnormal
  double power;
  memcpy(&power, &bits, sizeof(power));
  return series * power;
}

Result<Sampler> Sampler::Create(const SamplerParams& params, int32_t vocab_size) {
  MOTE_RETURN_IF_ERROR(CheckParams(params, vocab_size));
  Sampler sampler;
  sampler.params_ = params;
  sampler.vocab_size_ = vocab_size;
  if (params.min_p > 0) sampler.min_p_difference_ = LowestExponent(static_cast<double>(params.min_p));
  if (sampler.penalizes()) sampler.counts_.assign(static_cast<size_t>(vocab_size), 0);
  // splitmix64 (Steele, Lea, Flood 2014) spreads the seed, as the authors of xoshiro recommend.
  uint64_t state = params.seed;
  for (uint64_t& word : sampler.random_) {
    state += 0x9e3779b97f4a7c15u;
    uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    word = z ^ (z >> 31);
  }
  return sampler;
}

bool Sampler::penalizes() const {
  return params_.penalty_window != 0 &&
         (params_.repeat_penalty != 1 || params_.presence_penalty != 0 || params_.frequency_penalty != 0);
}

void Sampler::Accept(int32_t token) {
  if (counts_.empty() || token < 0 || token >= vocab_size_) return;
  if (++counts_[static_cast<size_t>(token)] == 1) ++seen_;
  if (params_.penalty_window < 0) return;
  if (history_.size() < static_cast<size_t>(params_.penalty_window)) {
    history_.push_back(token);
    return;
  }
  if (--counts_[static_cast<size_t>(history_[history_next_])] == 0) --seen_;
  history_[history_next_] = token;
  history_next_ = (history_next_ + 1) % history_.size();
}

// Of a token that is `count` times in the history, not 0.
float Sampler::Penalize(float logit, uint32_t count) const {
  logit = logit > 0 ? logit / params_.repeat_penalty : logit * params_.repeat_penalty;
  return logit - (params_.presence_penalty + static_cast<float>(count) * params_.frequency_penalty);
}

std::span<const float> Sampler::Adjust(std::span<const float> logits) {
  if (params_.logit_bias.empty() && counts_.empty()) return logits;
  adjusted_.assign(logits.begin(), logits.end());
  for (const auto& [token, bias] : params_.logit_bias) adjusted_[static_cast<size_t>(token)] += bias;
  for (size_t i = 0; i < counts_.size(); ++i) {
    if (counts_[i] != 0) adjusted_[i] = Penalize(adjusted_[i], counts_[i]);
  }
  return adjusted_;
}

bool Sampler::Better(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

// The k best, sorted. One pass that keeps the best k of at most 2k + 64 seen since the last selection: after a few
// hundred tokens hardly any logit passes the floor, so a large vocabulary costs one comparison per token.
void Sampler::CollectTopK(std::span<const float> logits, size_t k) {
  candidates_.clear();
  const size_t limit = 2 * k + 64;
  const auto select = [&] {
    std::nth_element(candidates_.begin(), candidates_.begin() + static_cast<ptrdiff_t>(k) - 1, candidates_.end(),
                     Better);
    candidates_.resize(k);
  };
  float floor = kMinusInfinity;
  for (size_t i = 0; i < logits.size(); ++i) {
    // Ids ascend, so a later equal logit loses against the k-th. NaN and -infinity fail as well.
    if (!(logits[i] > floor)) continue;
    candidates_.push_back({static_cast<int32_t>(i), logits[i]});
    if (candidates_.size() == limit) {
      select();
      floor = candidates_[k - 1].logit;
    }
  }
  if (candidates_.size() > k) select();
  std::sort(candidates_.begin(), candidates_.end(), Better);
}

// All tokens that pass min-p (every possible one if it is off), in ascending order of id.
void Sampler::CollectMinP(std::span<const float> logits) {
  candidates_.clear();
  float highest = kMinusInfinity;
  for (const float logit : logits) {
    if (logit > highest) highest = logit;
  }
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!(logits[i] > kMinusInfinity)) continue;
    if (params_.min_p > 0 && Difference(logits[i], highest) < min_p_difference_) continue;
    candidates_.push_back({static_cast<int32_t>(i), logits[i]});
  }
}

// The same for candidates that are sorted.
void Sampler::KeepMinP() {
  if (params_.min_p <= 0 || candidates_.empty()) return;
  const float highest = candidates_[0].logit;
  const auto first_below = std::partition_point(candidates_.begin(), candidates_.end(), [&](const Candidate& c) {
    return Difference(c.logit, highest) >= min_p_difference_;
  });
  candidates_.erase(first_below, candidates_.end());
}

// Leaves the candidates sorted. Sorts only as far as it has to: the nucleus is usually a few tokens of 128 thousand.
void Sampler::KeepTopP(bool sorted) {
  if (candidates_.empty()) return;
  const float highest = std::min_element(candidates_.begin(), candidates_.end(), Better)->logit;
  double total = 0;
  for (const Candidate& c : candidates_) total += PortableExp(Difference(c.logit, highest));
  const double wanted = static_cast<double>(params_.top_p) * total;

  double sum = 0;
  size_t chunk = sorted ? candidates_.size() : 128;
  for (size_t begin = 0; begin < candidates_.size(); chunk *= 4) {
    const size_t end = begin + std::min(chunk, candidates_.size() - begin);
    const auto first = candidates_.begin() + static_cast<ptrdiff_t>(begin);
    const auto last = candidates_.begin() + static_cast<ptrdiff_t>(end);
    if (!sorted) {
      if (last != candidates_.end()) std::nth_element(first, last - 1, candidates_.end(), Better);
      std::sort(first, last, Better);
    }
    for (; begin < end; ++begin) {
      sum += PortableExp(Difference(candidates_[begin].logit, highest));
      if (sum >= wanted) {
        candidates_.resize(begin + 1);
        return;
      }
    }
  }
}

int32_t Sampler::Draw() {
  const float highest = std::min_element(candidates_.begin(), candidates_.end(), Better)->logit;
  weights_.resize(candidates_.size());
  double total = 0;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    weights_[i] = PortableExp(Difference(candidates_[i].logit, highest) / static_cast<double>(params_.temperature));
    total += weights_[i];
  }
  // 53 random bits: uniform in [0, 1).
  const double target = static_cast<double>(NextRandom() >> 11) * 0x1p-53 * total;
  double sum = 0;
  size_t last_possible = 0;  // where rounding leaves the target at the very end
  for (size_t i = 0; i < candidates_.size(); ++i) {
    sum += weights_[i];
    if (weights_[i] > 0) last_possible = i;
    if (target < sum) return candidates_[i].token;
  }
  return candidates_[last_possible].token;
}

Result<int32_t> Sampler::ChooseOf(bool sorted) {
  if (params_.top_p < 1) KeepTopP(sorted);
  return Draw();
}

Result<int32_t> Sampler::Sample(std::span<const float> logits) {
  if (logits.size() != static_cast<size_t>(vocab_size_)) {
    return Error(Code::kInvalidArgument, "%zu logits given; the vocabulary has %d tokens", logits.size(), vocab_size_);
  }
  const std::span<const float> adjusted = Adjust(logits);
  candidates_.clear();
  if (params_.temperature == 0) {
    int32_t best = -1;
    float highest = kMinusInfinity;
    for (size_t i = 0; i < adjusted.size(); ++i) {
      if (adjusted[i] > highest) {
        highest = adjusted[i];
        best = static_cast<int32_t>(i);
      }
    }
    if (best >= 0) return best;
  } else if (UsesTopK()) {
    CollectTopK(adjusted, static_cast<size_t>(params_.top_k));
    KeepMinP();
  } else {
    CollectMinP(adjusted);
  }
  if (candidates_.empty()) return NoneLeft(std::any_of(logits.begin(), logits.end(), IsPossible), vocab_size_);
  return ChooseOf(/*sorted=*/UsesTopK());
}

uint32_t Sampler::Enough() const {
  if (params_.temperature != 0 && !UsesTopK()) return 0;
  if (penalizes() && (params_.repeat_penalty < 1 || params_.presence_penalty < 0 || params_.frequency_penalty < 0)) {
    return 0;
  }
  for (const auto& [token, bias] : params_.logit_bias) {
    if (bias > 0) return 0;
  }
  const uint64_t kept = params_.temperature == 0 ? 1 : static_cast<uint64_t>(params_.top_k);
  return static_cast<uint32_t>(
      std::min<uint64_t>(kept + params_.logit_bias.size() + seen_, static_cast<uint64_t>(vocab_size_)));
}

Result<int32_t> Sampler::SampleBest(std::span<const TokenLogit> best) {
  const uint32_t enough = Enough();
  if (enough == 0 || best.size() < enough) {
    return Error(Code::kInvalidArgument, "%zu of the highest logits given; these parameters need %u (0: all of them)",
                 best.size(), enough);
  }
  candidates_.clear();
  for (Candidate c : best) {
    if (c.token < 0 || c.token >= vocab_size_) continue;
    for (const auto& [token, bias] : params_.logit_bias) {
      if (token == c.token) c.logit += bias;
    }
    const uint32_t count = counts_.empty() ? 0 : counts_[static_cast<size_t>(c.token)];
    if (count != 0) c.logit = Penalize(c.logit, count);
    if (c.logit > kMinusInfinity) candidates_.push_back(c);
  }
  std::sort(candidates_.begin(), candidates_.end(), Better);
  if (params_.temperature == 0) {
    if (!candidates_.empty()) return candidates_[0].token;
  } else {
    candidates_.resize(std::min(candidates_.size(), static_cast<size_t>(params_.top_k)));
    KeepMinP();
  }
  if (candidates_.empty()) {
    const bool possible = std::any_of(best.begin(), best.end(), [](const Candidate& c) { return IsPossible(c.logit); });
    return NoneLeft(possible, vocab_size_);
  }
  return ChooseOf(/*sorted=*/true);
}

// xoshiro256** (Blackman and Vigna 2018, https://prng.di.unimi.it).
uint64_t Sampler::NextRandom() {
  const uint64_t result = RotateLeft(random_[1] * 5, 7) * 9;
  const uint64_t shifted = random_[1] << 17;
  random_[2] ^= random_[0];
  random_[3] ^= random_[1];
  random_[1] ^= random_[2];
  random_[0] ^= random_[3];
  random_[2] ^= shifted;
  random_[3] = RotateLeft(random_[3], 45);
  return result;
}

}  // namespace mote
