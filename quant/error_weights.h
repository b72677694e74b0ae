// How much the squared error of each value counts while scales are searched.
#ifndef MOTE_QUANT_ERROR_WEIGHTS_H_
#define MOTE_QUANT_ERROR_WEIGHTS_H_

#include <math.h>

#include "quant/blocks.h"
#include "quant/scale_search.h"

namespace mote {

template <int kN>
float MeanSquare(const float* x) {
  Lanes8 squares;
  for (int i = 0; i < kN; i += kLanes) {
    squares.low += Load4(x + i) * Load4(x + i);
    squares.high += Load4(x + i + 4) * Load4(x + i + 4);
  }
  return squares.Sum() / static_cast<float>(kN);
}

// Where importances are known they are the weights: the error of a row's product with activations a is the sum of
// (error of the weight)^2 mean(a^2), as far as columns are independent. The reference multiplies them with
// sqrt(sigma^2 + x^2), which leaves 2 % to 20 % more of that sum (2026-11).
inline void ImportanceWeights(const float* importance, int n, float* w) {
  for (int i = 0; i < n; ++i) w[i] = importance[i];
}

// x^2 + 2 * mean square of the group. With x^2 alone, as in the reference, small values count for nothing and the plain
// squared error grows by up to 4 %; with the mean, both the plain and the |x|-weighted error fall below the
// reference's.
template <int kN>
void SquareWeights(const float* x, const float* importance, int n, float* w) {
  if (importance != nullptr) return ImportanceWeights(importance, n, w);
  for (int first = 0; first < n; first += kN) {
    const float mean = 2 * MeanSquare<kN>(x + first);
    for (int i = 0; i < kN; ++i) w[first + i] = x[first + i] * x[first + i] + mean;
  }
}

// |x| + share * root mean square of the group. Q4_K and Q5_K: share 1, as the reference; Q2_K: 0.25, which halves the
// plain error on heavy tails against the reference's 0 and costs nothing in the weighted one.
template <int kN>
void RmsWeights(const float* x, const float* importance, float share, float w[kSuperBlock]) {
  if (importance != nullptr) return ImportanceWeights(importance, kSuperBlock, w);
  for (int first = 0; first < kSuperBlock; first += kN) {
    const float rms = share * sqrtf(MeanSquare<kN>(x + first));
    for (int i = 0; i < kN; ++i) w[first + i] = fabsf(x[first + i]) + rms;
  }
}

}  // namespace mote

#endif  // MOTE_QUANT_ERROR_WEIGHTS_H_
