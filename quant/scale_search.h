// Searching scales (and mins) that make the weighted squared error of a group small.
//
// For fixed codes the best scale follows from least squares; for a fixed scale the best codes follow from rounding. The
// search starts from several trial scales, rounds, solves, keeps the best outcome, and rounds and solves from there
// until nothing is gained. Sums run in fixed lanes, so that every platform gets the same bits.
#ifndef MOTE_QUANT_SCALE_SEARCH_H_
#define MOTE_QUANT_SCALE_SEARCH_H_

#include <math.h>
#include <stdint.h>

#include "quant/vec4.h"

namespace mote {

// Groups whose values are all below this are zero in every format here: the least float16 scale times the least
// product of integers is 6e-8.
inline constexpr float kZeroGroup = 1e-15f;

// Round to nearest even for |x| < 2^22, in float32.
inline float RoundSmall(float x) {
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23
  return (x + kMagic) - kMagic;
}

inline float Clamp(float x, float low, float high) {
  const float raised = x < low ? low : x;
  return raised > high ? high : raised;
}

// The value of greatest magnitude, with its sign; the first of equals; 0 for none.
inline float ExtremeOf(const float* x, int n) {
  // Comparing with fabsf(extreme) instead of a magnitude of its own is miscompiled by clang 19 at -O3: unrolled, the
  // first step's fabs is folded away (fabs of `x != 0 ? x : 0` becomes that value itself, sign and all).
  float extreme = 0;
  float largest = 0;
  for (int i = 0; i < n; ++i) {
    const float magnitude = fabsf(x[i]);
    if (magnitude > largest) {
      largest = magnitude;
      extreme = x[i];
    }
  }
  return extreme;
}

// Codes low .. high that stand for themselves.
struct UniformLevels {
  float low;
  float high;
  // The level nearest to x.
  float Nearest(float x) const { return RoundSmall(Clamp(x, low, high)); }
  Vec4 Nearest4(Vec4 x) const { return RoundSmall4(Clamp4(x, Splat4(low), Splat4(high))); }
};

// Groups have a multiple of 8 values.
inline constexpr int kLanes = 8;

// Sums over a group for x ~ scale * q.
struct ScaleFit {
  float xq = 0;  // sum of w x q
  float qq = 0;  // sum of w q^2
  float Scale() const { return qq > 0 ? xq / qq : 0; }
  // How much the error falls below sum of w x^2 with the best scale.
  float Gain() const { return qq > 0 ? xq * xq / qq : 0; }
};

template <int kN, class Levels>
ScaleFit FitScale(const float* x, const float* w, float inverse, const Levels& levels) {
  Lanes8 xq;
  Lanes8 qq;
  const auto add = [&](int i, Vec4* sum_xq, Vec4* sum_qq) {
    const Vec4 x4 = Load4(x + i);
    const Vec4 q = levels.Nearest4(inverse * x4);
    const Vec4 wq = Load4(w + i) * q;
    *sum_xq += wq * x4;
    *sum_qq += wq * q;
  };
  for (int i = 0; i < kN; i += kLanes) {
    add(i, &xq.low, &qq.low);
    add(i + 4, &xq.high, &qq.high);
  }
  return {xq.Sum(), qq.Sum()};
}

// Weighted squared error of x against scale * nearest level; scale 0: all codes decode to 0.
template <int kN, class Levels>
float ScaleError(const float* x, const float* w, float scale, const Levels& levels) {
  const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
  Lanes8 error;
  const auto add = [&](int i, Vec4* sum) {
    const Vec4 x4 = Load4(x + i);
    const Vec4 off = x4 - scale * levels.Nearest4(inverse * x4);
    *sum += Load4(w + i) * off * off;
  };
  for (int i = 0; i < kN; i += kLanes) {
    add(i, &error.low);
    add(i + 4, &error.high);
  }
  return error.Sum();
}

// A group with a scale and a min: x ~ scale * q - min, q in 0 .. max_code, scale not negative.
struct AffineFit {
  float scale = 0;
  float min = 0;
};

// The codes of four values.
inline Vec4 AffineCodes4(Vec4 x, float min, float inverse, float max_code) {
  return RoundSmall4(Clamp4((x + min) * inverse, Vec4{}, Splat4(max_code)));
}

template <int kN>
float AffineError(const float* x, const float* w, AffineFit fit, float max_code) {
  const float inverse = fit.scale != 0 ? 1.0f / fit.scale : 0.0f;
  Lanes8 error;
  const auto add = [&](int i, Vec4* sum) {
    const Vec4 x4 = Load4(x + i);
    const Vec4 off = x4 - (fit.scale * AffineCodes4(x4, fit.min, inverse, max_code) - fit.min);
    *sum += Load4(w + i) * off * off;
  };
  for (int i = 0; i < kN; i += kLanes) {
    add(i, &error.low);
    add(i + 4, &error.high);
  }
  return error.Sum();
}

struct AffineSolution {
  AffineFit fit;
  float gain = 0;  // how much the error, for the trial's codes, falls below sum of w x^2
};

// The K formats store mins that are not negative; Q4_1 and Q5_1 store any.
enum class MinSign { kNotNegative, kAny };

// The best scale and min for the codes that a trial gives. Normal equations of the weighted line through (q, x):
// [sum wqq, sum wq; sum wq, sum w] [scale; -min] = [sum wqx; sum wx]. `sum_w` and `sum_x`: sums of w and of w x.
template <int kN, MinSign kSign>
AffineSolution SolveAffine(const float* x, const float* w, float sum_w, float sum_x, AffineFit trial, float max_code) {
  const float inverse = 1.0f / trial.scale;
  Lanes8 sum_q;
  Lanes8 sum_qq;
  Lanes8 sum_qx;
  const auto add = [&](int i, Vec4* to_q, Vec4* to_qq, Vec4* to_qx) {
    const Vec4 x4 = Load4(x + i);
    const Vec4 q = AffineCodes4(x4, trial.min, inverse, max_code);
    const Vec4 wq = Load4(w + i) * q;
    *to_q += wq;
    *to_qq += wq * q;
    *to_qx += wq * x4;
  };
  for (int i = 0; i < kN; i += kLanes) {
    add(i, &sum_q.low, &sum_qq.low, &sum_qx.low);
    add(i + 4, &sum_q.high, &sum_qq.high, &sum_qx.high);
  }
  const float q = sum_q.Sum();
  const float qq = sum_qq.Sum();
  const float qx = sum_qx.Sum();
  const float determinant = sum_w * qq - q * q;
  if (!(determinant > 0)) return {};
  const AffineFit fit = {(sum_w * qx - sum_x * q) / determinant, (q * qx - qq * sum_x) / determinant};
  if (!(fit.scale > 0)) return {};
  if (kSign == MinSign::kAny || fit.min >= 0) return {fit, fit.scale * qx - fit.min * sum_x};
  // The best line through 0.
  return {{qx / qq, 0}, qx / qq * qx};
}

// The best scale, or the best min, with the other kept, for the codes that `from` gives.
template <int kN>
AffineFit FitSlope(const float* x, const float* w, AffineFit from, float max_code) {
  const float inverse = from.scale != 0 ? 1.0f / from.scale : 0.0f;
  Lanes8 above;  // sum of w q (x + min)
  Lanes8 below;  // sum of w q^2
  const auto add = [&](int i, Vec4 Lanes8::*lane) {
    const Vec4 x4 = Load4(x + i);
    const Vec4 q = AffineCodes4(x4, from.min, inverse, max_code);
    const Vec4 wq = Load4(w + i) * q;
    above.*lane += wq * (x4 + from.min);
    below.*lane += wq * q;
  };
  for (int i = 0; i < kN; i += kLanes) {
    add(i, &Lanes8::low);
    add(i + 4, &Lanes8::high);
  }
  return below.Sum() > 0 ? AffineFit{above.Sum() / below.Sum(), from.min} : from;
}

template <int kN>
AffineFit FitMin(const float* x, const float* w, AffineFit from, float max_code) {
  const float inverse = from.scale != 0 ? 1.0f / from.scale : 0.0f;
  Lanes8 above;  // sum of w (scale q - x)
  Lanes8 below;  // sum of w
  const auto add = [&](int i, Vec4 Lanes8::*lane) {
    const Vec4 x4 = Load4(x + i);
    const Vec4 w4 = Load4(w + i);
    above.*lane += w4 * (from.scale * AffineCodes4(x4, from.min, inverse, max_code) - x4);
    below.*lane += w4;
  };
  for (int i = 0; i < kN; i += kLanes) {
    add(i, &Lanes8::low);
    add(i + 4, &Lanes8::high);
  }
  return below.Sum() > 0 ? AffineFit{from.scale, above.Sum() / below.Sum()} : from;
}

// Rounding and solving again from the best trial: how often at most.
inline constexpr int kRefinements = 3;

// How trials are compared. By gain costs nothing, but a gain is the difference of two sums: where one value outweighs
// all others a thousandfold, float32 has no digits left for the error of those. Importances do that.
enum class Score { kGain, kError };

// The scale of one group without a min. Trials put the extreme value at `anchor` + step * (-count .. count), and, for
// levels that are not symmetric, at the same with the other sign.
struct Trials {
  float anchor;
  float step;
  int count;
  bool both_signs;
  Score score;
};

template <int kN, class Levels>
float SearchScale(const float* x, const float* w, const Levels& levels, const Trials& trials) {
  const float extreme = ExtremeOf(x, kN);
  if (fabsf(extreme) < kZeroGroup) return 0;
  float best_scale = 0;
  float best_cost = trials.score == Score::kGain ? 0.0f : ScaleError<kN>(x, w, 0, levels);
  // Keeps what the inverse scale `inverse` leads to, if that is better.
  const auto improves = [&](float inverse) {
    const ScaleFit fit = FitScale<kN>(x, w, inverse, levels);
    const float cost = trials.score == Score::kGain ? -fit.Gain() : ScaleError<kN>(x, w, fit.Scale(), levels);
    if (!(cost < best_cost)) return false;
    best_cost = cost;
    best_scale = fit.Scale();
    return true;
  };
  for (int sign = trials.both_signs ? -1 : 1; sign <= 1; sign += 2) {
    for (int trial = -trials.count; trial <= trials.count; ++trial) {
      improves(static_cast<float>(sign) * (trials.anchor + trials.step * static_cast<float>(trial)) / extreme);
    }
  }
  for (int i = 0; i < kRefinements && best_scale != 0; ++i) {
    if (!improves(1.0f / best_scale)) break;
  }
  return best_scale;
}

// Trials: code max_code + first + step * i (i = 0 .. count) falls on the group's maximum.
struct AffineTrials {
  float max_code;
  float first;
  float step;
  int count;
  Score score;
};

template <int kN, MinSign kSign>
AffineFit SearchAffine(const float* x, const float* w, const AffineTrials& trials) {
  float low = x[0];
  float high = x[0];
  for (int i = 1; i < kN; ++i) {
    low = x[i] < low ? x[i] : low;
    high = x[i] > high ? x[i] : high;
  }
  if (kSign == MinSign::kNotNegative && low > 0) low = 0;
  if (high - low < kZeroGroup) return {0, -low};
  Lanes8 lanes_w;
  Lanes8 lanes_x;
  for (int i = 0; i < kN; i += kLanes) {
    lanes_w.low += Load4(w + i);
    lanes_w.high += Load4(w + i + 4);
    lanes_x.low += Load4(w + i) * Load4(x + i);
    lanes_x.high += Load4(w + i + 4) * Load4(x + i + 4);
  }
  const float sum_w = lanes_w.Sum();
  const float sum_x = lanes_x.Sum();
  const AffineFit plain = {(high - low) / trials.max_code, -low};
  AffineFit best;
  float best_cost = trials.score == Score::kGain ? 0.0f : AffineError<kN>(x, w, plain, trials.max_code);
  const auto improves = [&](AffineFit trial) {
    const AffineSolution solution = SolveAffine<kN, kSign>(x, w, sum_w, sum_x, trial, trials.max_code);
    if (!(solution.fit.scale > 0)) return false;
    const float cost =
        trials.score == Score::kGain ? -solution.gain : AffineError<kN>(x, w, solution.fit, trials.max_code);
    if (!(cost < best_cost)) return false;
    best_cost = cost;
    best = solution.fit;
    return true;
  };
  for (int i = 0; i <= trials.count; ++i) {
    const float steps = trials.max_code + trials.first + trials.step * static_cast<float>(i);
    improves({(high - low) / steps, -low});
  }
  for (int i = 0; i < kRefinements && best.scale > 0; ++i) {
    if (!improves(best)) break;
  }
  if (!(best.scale > 0)) return plain;
  if (trials.score == Score::kError) return best;
  const bool improved = AffineError<kN>(x, w, best, trials.max_code) < AffineError<kN>(x, w, plain, trials.max_code);
  return improved ? best : plain;
}

}  // namespace mote

#endif  // MOTE_QUANT_SCALE_SEARCH_H_
