// Encoders that search their scales: the K formats and the IQ4 formats.
//
// The weights of the squared error and the trial scales follow ggml's reference encoders. Beyond the reference, the
// integer scales are chosen by the error that they leave, not by rounding, and the super-block's scale is fitted once
// more. On normal, uniform and heavy-tailed values both the plain and the |x|-weighted squared error come out 1 % to
// 20 % below the reference's (2026-11), at the same speed.
#include <math.h>
#include <string.h>

#include <initializer_list>

#include "quant/codec.h"
#include "quant/encode.h"
#include "quant/scale_search.h"

namespace mote {
namespace {

// Nearest of the 16 IQ4 levels. Twice the midpoints are integers, so a table over floor(2 x) decides as comparing
// would; a midpoint goes to the upper level.
class IQ4Levels {
 public:
  constexpr IQ4Levels() {
    int index = 0;
    for (int i = 0; i < kEntries; ++i) {
      while (index < 15 && i + 2 * kLow >= kIQ4Values[index] + kIQ4Values[index + 1]) ++index;
      index_[i] = static_cast<uint8_t>(index);
      level_[i] = static_cast<float>(kIQ4Values[index]);
    }
  }
  int Index(float x) const { return index_[Entry(x)]; }
  float Nearest(float x) const { return level_[Entry(x)]; }

 private:
  static constexpr int kLow = kIQ4Values[0];
  static constexpr int kEntries = 2 * (kIQ4Values[15] - kLow) + 1;
  static int Entry(float x) {
    return static_cast<int>(
        2 * (Clamp(x, static_cast<float>(kLow), static_cast<float>(kIQ4Values[15])) - static_cast<float>(kLow)));
  }
  uint8_t index_[kEntries] = {};
  float level_[kEntries] = {};
};
constexpr IQ4Levels kIQ4Levels;

// The scale of one group without a min. Trials put the extreme value at `anchor` + step * (-count .. count), and, for
// levels that are not symmetric, at the same with the other sign.
struct Trials {
  float anchor;
  float step;
  int count;
  bool both_signs;
};

template <int kN, class Levels>
float SearchScale(const float* x, const float* w, const Levels& levels, const Trials& trials) {
  const float extreme = ExtremeOf(x, kN);
  if (fabsf(extreme) < kZeroGroup) return 0;
  float best_gain = 0;
  float best_scale = 0;
  for (int sign = trials.both_signs ? -1 : 1; sign <= 1; sign += 2) {
    for (int trial = -trials.count; trial <= trials.count; ++trial) {
      const float at = static_cast<float>(sign) * (trials.anchor + trials.step * static_cast<float>(trial));
      const ScaleFit fit = FitScale<kN>(x, w, at / extreme, levels);
      if (fit.Gain() > best_gain) {
        best_gain = fit.Gain();
        best_scale = fit.Scale();
      }
    }
  }
  return best_scale;
}

template <int kN>
float MeanSquare(const float* x) {
  Lanes squares;
  for (int i = 0; i < kN; ++i) squares.Add(i % kLanes, x[i] * x[i]);
  return squares.Sum() / static_cast<float>(kN);
}

// x^2 + 2 * mean square of the group. With x^2 alone, as in the reference, small values count for nothing and the plain
// squared error grows by up to 4 %; with the mean, both the plain and the |x|-weighted error fall below the
// reference's.
template <int kN>
void SquareWeights(const float* x, int n, float* w) {
  for (int first = 0; first < n; first += kN) {
    const float mean = 2 * MeanSquare<kN>(x + first);
    for (int i = 0; i < kN; ++i) w[first + i] = x[first + i] * x[first + i] + mean;
  }
}

// |x| + share * root mean square of the group. Q4_K and Q5_K: share 1, as the reference; Q2_K: 0.25, which halves the
// plain error on heavy tails against the reference's 0 and costs nothing in the weighted one.
template <int kN>
void RmsWeights(const float* x, float share, float w[kSuperBlock]) {
  for (int first = 0; first < kSuperBlock; first += kN) {
    const float rms = share * sqrtf(MeanSquare<kN>(x + first));
    for (int i = 0; i < kN; ++i) w[first + i] = fabsf(x[first + i]) + rms;
  }
}

// Integer scales of the groups of a super-block, in low .. -low - 1, and the float16 that they multiply.
template <int kN>
struct SymmetricPlan {
  static constexpr int kGroups = kSuperBlock / kN;
  uint16_t scale_bits = 0;
  float scale = 0;
  int scales[kGroups] = {};
};

// For each group the best integer scale at plan->scale, among the rounded one and its neighbours. Returns the error.
template <int kN, class Levels>
float ChooseScales(const float* x, const float* w, const float* wanted, int low, const Levels& levels,
                   SymmetricPlan<kN>* plan) {
  float total = 0;
  for (int group = 0; group < SymmetricPlan<kN>::kGroups; ++group) {
    const float ratio = plan->scale != 0 ? wanted[group] / plan->scale : 0.0f;
    const int rounded = static_cast<int>(RoundSmall(Clamp(ratio, static_cast<float>(low), static_cast<float>(~low))));
    float best_error = 0;
    bool found = false;
    for (int offset : {0, -1, 1}) {
      const int candidate = rounded + offset;
      if (candidate < low || candidate > ~low) continue;
      const float error =
          ScaleError<kN>(x + group * kN, w + group * kN, plan->scale * static_cast<float>(candidate), levels);
      if (!found || error < best_error) {
        best_error = error;
        plan->scales[group] = candidate;
        found = true;
      }
    }
    total += best_error;
  }
  return total;
}

// Least squares of the super-block's scale for the codes and integer scales of `plan`.
template <int kN, class Levels>
float RefitSuperScale(const float* x, const float* w, const Levels& levels, const SymmetricPlan<kN>& plan) {
  float xs = 0;
  float ss = 0;
  for (int group = 0; group < SymmetricPlan<kN>::kGroups; ++group) {
    const float integer = static_cast<float>(plan.scales[group]);
    const float scale = plan.scale * integer;
    if (scale == 0) continue;
    const ScaleFit fit = FitScale<kN>(x + group * kN, w + group * kN, 1.0f / scale, levels);
    xs += fit.xq * integer;
    ss += fit.qq * integer * integer;
  }
  return ss > 0 ? xs / ss : plan.scale;
}

bool StoreF16(float value, uint16_t* bits, float* stored) {
  *bits = F32ToF16(value);
  *stored = F16ToF32(*bits);
  return (*bits & 0x7c00u) != 0x7c00u;
}

// For the scale of a super-block, which integers multiply. Where float16 is subnormal, steps are coarse: rounded up, so
// that the largest group stays within reach of its integer; smaller integers then make up for it.
bool StoreSuperScale(float value, uint16_t* bits, float* stored) {
  if (!StoreF16(value, bits, stored)) return false;
  if (fabsf(value) < 0x1p-14f && fabsf(*stored) < fabsf(value)) {
    ++*bits;
    *stored = F16ToF32(*bits);
  }
  return true;
}

// `low` is the most negative integer scale: the group of the largest scale gets it. False if the scale does not fit.
template <int kN, class Levels>
bool PlanSymmetric(const float* x, int low, const Levels& levels, const Trials& trials, SymmetricPlan<kN>* best) {
  // Weights are squares of values: keep them, and products of three more values, within float32.
  if (fabsf(ExtremeOf(x, kSuperBlock)) > 1e9f) return false;
  constexpr int kGroups = SymmetricPlan<kN>::kGroups;
  float w[kSuperBlock];
  SquareWeights<kN>(x, kSuperBlock, w);
  float wanted[kGroups];
  for (int group = 0; group < kGroups; ++group) {
    wanted[group] = SearchScale<kN>(x + group * kN, w + group * kN, levels, trials);
  }
  const float largest = ExtremeOf(wanted, kGroups);
  *best = {};
  if (!StoreSuperScale(largest / static_cast<float>(low), &best->scale_bits, &best->scale)) return false;
  if (best->scale == 0) return true;
  const float error = ChooseScales<kN>(x, w, wanted, low, levels, best);
  SymmetricPlan<kN> again;
  if (StoreF16(RefitSuperScale<kN>(x, w, levels, *best), &again.scale_bits, &again.scale) && again.scale != 0 &&
      ChooseScales<kN>(x, w, wanted, low, levels, &again) < error) {
    *best = again;
  }
  return true;
}

// Integer scales and mins of the groups of a super-block, in 0 .. max_integer.
template <int kN>
struct AffinePlan {
  static constexpr int kGroups = kSuperBlock / kN;
  uint16_t scale_bits = 0;
  uint16_t min_bits = 0;
  float scale = 0;
  float min = 0;
  ScaleMin packed[kGroups] = {};
  AffineFit Fit(int group) const {
    return {scale * static_cast<float>(packed[group].scale), min * static_cast<float>(packed[group].min)};
  }
};

// Trials: code max_code + first + 0.1 * i (i = 0 .. count) falls on the group's maximum.
struct AffineTrials {
  float max_code;
  float first;
  int count;
};

template <int kN>
AffineFit SearchAffine(const float* x, const float* w, const AffineTrials& trials) {
  float low = x[0];
  float high = x[0];
  for (int i = 1; i < kN; ++i) {
    low = x[i] < low ? x[i] : low;
    high = x[i] > high ? x[i] : high;
  }
  if (low > 0) low = 0;
  if (high - low < kZeroGroup) return {0, -low};
  Lanes sum_w;
  Lanes sum_x;
  for (int i = 0; i < kN; ++i) {
    sum_w.Add(i % kLanes, w[i]);
    sum_x.Add(i % kLanes, w[i] * x[i]);
  }
  AffineSolution best;
  for (int i = 0; i <= trials.count; ++i) {
    const AffineFit trial = {(high - low) / (trials.max_code + trials.first + 0.1f * static_cast<float>(i)), -low};
    const AffineSolution solution = SolveAffine<kN>(x, w, sum_w.Sum(), sum_x.Sum(), trial, trials.max_code);
    if (solution.gain > best.gain) best = solution;
  }
  const AffineFit plain = {(high - low) / trials.max_code, -low};
  const bool improved =
      AffineError<kN>(x, w, best.fit, trials.max_code) < AffineError<kN>(x, w, plain, trials.max_code);
  return improved ? best.fit : plain;
}

int RoundInto(float ratio, int max_integer) {
  return static_cast<int>(RoundSmall(Clamp(ratio, 0, static_cast<float>(max_integer))));
}

// The best pair of integers around the rounded ones, group by group. Returns the error.
template <int kN>
float ChooseAffine(const float* x, const float* w, const AffineFit* wanted, int max_integer, float max_code,
                   AffinePlan<kN>* plan) {
  float total = 0;
  for (int group = 0; group < AffinePlan<kN>::kGroups; ++group) {
    const int scale = plan->scale != 0 ? RoundInto(wanted[group].scale / plan->scale, max_integer) : 0;
    const int min = plan->min != 0 ? RoundInto(wanted[group].min / plan->min, max_integer) : 0;
    float best_error = 0;
    bool found = false;
    ScaleMin best = {scale, min};
    for (int s : {scale, scale - 1, scale + 1}) {
      for (int m : {min, min - 1, min + 1}) {
        if (s < 0 || s > max_integer || m < 0 || m > max_integer) continue;
        plan->packed[group] = {s, m};
        const float error = AffineError<kN>(x + group * kN, w + group * kN, plan->Fit(group), max_code);
        if (!found || error < best_error) {
          best_error = error;
          best = {s, m};
          found = true;
        }
      }
    }
    plan->packed[group] = best;
    total += best_error;
  }
  return total;
}

// Least squares of the super-block's scale and min for the codes and integers of `plan`: x ~ scale * (s q) - min * m.
template <int kN>
AffineFit RefitAffine(const float* x, const float* w, float max_code, const AffinePlan<kN>& plan) {
  Lanes ss;  // sums of w a b for a and b among s = (integer scale) q, m, x
  Lanes sm;
  Lanes mm;
  Lanes sx;
  Lanes mx;
  for (int group = 0; group < AffinePlan<kN>::kGroups; ++group) {
    const AffineFit fit = plan.Fit(group);
    const float inverse = fit.scale != 0 ? 1.0f / fit.scale : 0.0f;
    const float integer = static_cast<float>(plan.packed[group].scale);
    const float m = static_cast<float>(plan.packed[group].min);
    for (int i = group * kN; i < group * kN + kN; i += kLanes) {
      for (int l = 0; l < kLanes; ++l) {
        const float s = integer * RoundSmall(Clamp((x[i + l] + fit.min) * inverse, 0, max_code));
        const float ws = w[i + l] * s;
        const float wm = w[i + l] * m;
        ss.Add(l, ws * s);
        sm.Add(l, ws * m);
        mm.Add(l, wm * m);
        sx.Add(l, ws * x[i + l]);
        mx.Add(l, wm * x[i + l]);
      }
    }
  }
  const float determinant = ss.Sum() * mm.Sum() - sm.Sum() * sm.Sum();
  if (!(determinant > 0)) return {plan.scale, plan.min};
  const AffineFit fit = {(sx.Sum() * mm.Sum() - mx.Sum() * sm.Sum()) / determinant,
                         (sx.Sum() * sm.Sum() - mx.Sum() * ss.Sum()) / determinant};
  return fit.scale > 0 && fit.min >= 0 ? fit : AffineFit{plan.scale, plan.min};
}

template <int kN>
bool PlanAffine(const float* x, const float* w, int max_integer, const AffineTrials& trials, AffinePlan<kN>* plan) {
  constexpr int kGroups = AffinePlan<kN>::kGroups;
  AffineFit wanted[kGroups];
  AffineFit largest;
  for (int group = 0; group < kGroups; ++group) {
    wanted[group] = SearchAffine<kN>(x + group * kN, w + group * kN, trials);
    if (wanted[group].scale > largest.scale) largest.scale = wanted[group].scale;
    if (wanted[group].min > largest.min) largest.min = wanted[group].min;
  }
  *plan = {};
  const float integer = static_cast<float>(max_integer);
  if (!StoreSuperScale(largest.scale / integer, &plan->scale_bits, &plan->scale)) return false;
  if (!StoreSuperScale(largest.min / integer, &plan->min_bits, &plan->min)) return false;
  const float error = ChooseAffine<kN>(x, w, wanted, max_integer, trials.max_code, plan);
  const AffineFit refit = RefitAffine<kN>(x, w, trials.max_code, *plan);
  AffinePlan<kN> again;
  if (StoreF16(refit.scale, &again.scale_bits, &again.scale) && StoreF16(refit.min, &again.min_bits, &again.min) &&
      ChooseAffine<kN>(x, w, wanted, max_integer, trials.max_code, &again) < error) {
    *plan = again;
  }
  return true;
}

template <int kN>
int AffineCode(float x, AffineFit fit, float max_code) {
  if (fit.scale == 0) return 0;
  return static_cast<int>(RoundSmall(Clamp((x + fit.min) * (1.0f / fit.scale), 0, max_code)));
}

int SymmetricCode(float x, float scale, const UniformLevels& levels) {
  const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
  return static_cast<int>(levels.Nearest(inverse * x) - levels.low);
}

constexpr float kLargestAffine = 1e8f;  // beyond float16 scales times 63 * 31; see PlanSymmetric

}  // namespace

bool EncodeBlock(const float* x, BlockQ2_K* block) {
  if (fabsf(ExtremeOf(x, kSuperBlock)) > kLargestAffine) return false;
  float w[kSuperBlock];
  RmsWeights<16>(x, 0.25f, w);
  AffinePlan<16> plan;
  if (!PlanAffine<16>(x, w, 15, {3, -0.5f, 15}, &plan)) return false;
  *block = {};
  block->scale = plan.scale_bits;
  block->min = plan.min_bits;
  for (int group = 0; group < plan.kGroups; ++group) {
    block->scales[group] = static_cast<uint8_t>(plan.packed[group].scale | plan.packed[group].min << 4);
  }
  for (int v = 0; v < kSuperBlock; ++v) {
    OrBits(block->codes, PairOf128(v), AffineCode<16>(x[v], plan.Fit(v / 16), 3));
  }
  return true;
}

bool EncodeBlock(const float* x, BlockQ3_K* block) {
  constexpr UniformLevels kLevels = {-4, 3};
  SymmetricPlan<16> plan;
  if (!PlanSymmetric<16>(x, -32, kLevels, {-4, 0.1f, 9, false}, &plan)) return false;
  *block = {};
  block->scale = plan.scale_bits;
  for (int group = 0; group < plan.kGroups; ++group) SetQ3Scale(block->scales, group, plan.scales[group] + 32);
  for (int v = 0; v < kSuperBlock; ++v) {
    const int code = SymmetricCode(x[v], plan.scale * static_cast<float>(plan.scales[v / 16]), kLevels);
    OrBits(block->codes, PairOf128(v), code & 3);
    OrBits(block->high, BitOf256(v), code >> 2);
  }
  return true;
}

bool EncodeBlock(const float* x, BlockQ4_K* block) {
  if (fabsf(ExtremeOf(x, kSuperBlock)) > kLargestAffine) return false;
  float w[kSuperBlock];
  RmsWeights<32>(x, 1, w);
  AffinePlan<32> plan;
  if (!PlanAffine<32>(x, w, 63, {15, -1.0f, 20}, &plan)) return false;
  *block = {};
  block->scale = plan.scale_bits;
  block->min = plan.min_bits;
  for (int group = 0; group < plan.kGroups; ++group) PackScaleMin(block->scales, group, plan.packed[group]);
  for (int v = 0; v < kSuperBlock; ++v) {
    OrBits(block->codes, NibbleOf64(v), AffineCode<32>(x[v], plan.Fit(v / 32), 15));
  }
  return true;
}

bool EncodeBlock(const float* x, BlockQ5_K* block) {
  if (fabsf(ExtremeOf(x, kSuperBlock)) > kLargestAffine) return false;
  float w[kSuperBlock];
  RmsWeights<32>(x, 1, w);
  AffinePlan<32> plan;
  if (!PlanAffine<32>(x, w, 63, {31, -0.5f, 15}, &plan)) return false;
  *block = {};
  block->scale = plan.scale_bits;
  block->min = plan.min_bits;
  for (int group = 0; group < plan.kGroups; ++group) PackScaleMin(block->scales, group, plan.packed[group]);
  for (int v = 0; v < kSuperBlock; ++v) {
    const int code = AffineCode<32>(x[v], plan.Fit(v / 32), 31);
    OrBits(block->codes, NibbleOf64(v), code & 15);
    OrBits(block->high, BitOf256(v), code >> 4);
  }
  return true;
}

bool EncodeBlock(const float* x, BlockQ6_K* block) {
  constexpr UniformLevels kLevels = {-32, 31};
  SymmetricPlan<16> plan;
  if (!PlanSymmetric<16>(x, -128, kLevels, {-32, 0.1f, 9, false}, &plan)) return false;
  *block = {};
  block->scale = plan.scale_bits;
  for (int group = 0; group < plan.kGroups; ++group) block->scales[group] = static_cast<int8_t>(plan.scales[group]);
  for (int v = 0; v < kSuperBlock; ++v) {
    const int code = SymmetricCode(x[v], plan.scale * static_cast<float>(plan.scales[v / 16]), kLevels);
    OrBits(block->low, NibbleOf128(v), code & 15);
    OrBits(block->high, PairOf128(v), code >> 4);
  }
  return true;
}

namespace {

constexpr Trials kIQ4Trials = {-120, 2, 7, true};  // from the outermost level, -127, to the other end's, 113

}  // namespace

bool EncodeBlock(const float* x, BlockIQ4_NL* block) {
  if (fabsf(ExtremeOf(x, kBlock)) > 1e9f) return false;
  float w[kBlock];
  SquareWeights<kBlock>(x, kBlock, w);
  float scale;
  *block = {};
  if (!StoreF16(SearchScale<kBlock>(x, w, kIQ4Levels, kIQ4Trials), &block->scale, &scale)) return false;
  const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
  for (int v = 0; v < kBlock; ++v) OrBits(block->codes, NibbleOf32(v), kIQ4Levels.Index(inverse * x[v]));
  return true;
}

bool EncodeBlock(const float* x, BlockIQ4_XS* block) {
  SymmetricPlan<32> plan;
  if (!PlanSymmetric<32>(x, -32, kIQ4Levels, kIQ4Trials, &plan)) return false;
  *block = {};
  block->scale = plan.scale_bits;
  for (int group = 0; group < plan.kGroups; ++group) {
    const int scale = plan.scales[group] + 32;
    OrBits(block->scales_low, {group / 2, group % 2 * 4}, scale & 15);
    block->scales_high = static_cast<uint16_t>(block->scales_high | scale >> 4 << 2 * group);
  }
  for (int v = 0; v < kSuperBlock; ++v) {
    const float scale = plan.scale * static_cast<float>(plan.scales[v / 32]);
    const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
    OrBits(block->codes, NibbleOfGroup32(v), kIQ4Levels.Index(inverse * x[v]));
  }
  return true;
}

}  // namespace mote
