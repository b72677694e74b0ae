// Searching scales (and mins) that make the weighted squared error of a group small.
//
// For fixed codes the best scale follows from least squares; for a fixed scale the best codes follow from rounding. The
// search starts from several trial scales, rounds, solves, and keeps the best outcome. Sums run in fixed lanes, so that
// the compiler may vectorise them and every platform gets the same bits.
#ifndef MOTE_QUANT_SCALE_SEARCH_H_
#define MOTE_QUANT_SCALE_SEARCH_H_

#include <math.h>
#include <stdint.h>

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
};

inline constexpr int kLanes = 8;

struct Lanes {
  float lane[kLanes] = {};
  void Add(int i, float x) { lane[i] += x; }
  float Sum() const {
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
  }
};

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
  Lanes xq;
  Lanes qq;
  for (int i = 0; i < kN; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      const float q = levels.Nearest(inverse * x[i + l]);
      const float wq = w[i + l] * q;
      xq.Add(l, wq * x[i + l]);
      qq.Add(l, wq * q);
    }
  }
  return {xq.Sum(), qq.Sum()};
}

// Weighted squared error of x against scale * nearest level; scale 0: all codes decode to 0.
template <int kN, class Levels>
float ScaleError(const float* x, const float* w, float scale, const Levels& levels) {
  const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
  Lanes error;
  for (int i = 0; i < kN; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      const float off = x[i + l] - scale * levels.Nearest(inverse * x[i + l]);
      error.Add(l, w[i + l] * off * off);
    }
  }
  return error.Sum();
}

// A group with a scale and a min: x ~ scale * q - min, q in 0 .. max_code, scale and min not negative.
struct AffineFit {
  float scale = 0;
  float min = 0;
};

template <int kN>
float AffineError(const float* x, const float* w, AffineFit fit, float max_code) {
  const float inverse = fit.scale != 0 ? 1.0f / fit.scale : 0.0f;
  Lanes error;
  for (int i = 0; i < kN; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      const float q = RoundSmall(Clamp((x[i + l] + fit.min) * inverse, 0, max_code));
      const float off = x[i + l] - (fit.scale * q - fit.min);
      error.Add(l, w[i + l] * off * off);
    }
  }
  return error.Sum();
}

struct AffineSolution {
  AffineFit fit;
  float gain = 0;  // how much the error, for the trial's codes, falls below sum of w x^2
};

// The best scale and min for the codes that a trial gives. Normal equations of the weighted line through (q, x):
// [sum wqq, sum wq; sum wq, sum w] [scale; -min] = [sum wqx; sum wx]. `sum_w` and `sum_x`: sums of w and of w x.
template <int kN>
AffineSolution SolveAffine(const float* x, const float* w, float sum_w, float sum_x, AffineFit trial, float max_code) {
  const float inverse = 1.0f / trial.scale;
  Lanes sum_q;
  Lanes sum_qq;
  Lanes sum_qx;
  for (int i = 0; i < kN; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      const float q = RoundSmall(Clamp((x[i + l] + trial.min) * inverse, 0, max_code));
      const float wq = w[i + l] * q;
      sum_q.Add(l, wq);
      sum_qq.Add(l, wq * q);
      sum_qx.Add(l, wq * x[i + l]);
    }
  }
  const float q = sum_q.Sum();
  const float qq = sum_qq.Sum();
  const float qx = sum_qx.Sum();
  const float determinant = sum_w * qq - q * q;
  if (!(determinant > 0)) return {};
  const AffineFit fit = {(sum_w * qx - sum_x * q) / determinant, (q * qx - qq * sum_x) / determinant};
  if (!(fit.scale > 0)) return {};
  if (fit.min >= 0) return {fit, fit.scale * qx - fit.min * sum_x};
  // The format has no negative min: the best line through 0.
  return {{qx / qq, 0}, qx / qq * qx};
}

}  // namespace mote

#endif  // MOTE_QUANT_SCALE_SEARCH_H_
