// Norms, rotary positions, activations and the small vector operations.
#include "simd/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/elementwise.cc"
#include "hwy/foreach_target.h"
//
#include <math.h>

#include "simd/kernel_list-inl.h"
#include "simd/math-inl.h"

#if MOTE_VECTORS
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {
namespace {

// The functors below are called with whole vectors only: a tail is padded with zeros, so that a value does not depend
// on its place in the row.

// out[i] = f(x[i]).
template <class F>
HWY_INLINE void Map(const float* x, size_t n, float* out, const F& f) {
  const DF d;
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) hn::StoreU(f(d, hn::LoadU(d, x + i)), d, out + i);
  if (i < n) StorePartial(f(d, LoadPartial(d, x + i, n - i)), d, out + i, n - i);
}
// out[i] = f(x[i], y[i]).
template <class F>
HWY_INLINE void Map2(const float* x, const float* y, size_t n, float* out, const F& f) {
  const DF d;
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) hn::StoreU(f(d, hn::LoadU(d, x + i), hn::LoadU(d, y + i)), d, out + i);
  if (i < n) {
    const size_t rest = n - i;
    StorePartial(f(d, LoadPartial(d, x + i, rest), LoadPartial(d, y + i, rest)), d, out + i, rest);
  }
}
// out[i] = f(x[i], y[i], z[i]).
template <class F>
HWY_INLINE void Map3(const float* x, const float* y, const float* z, size_t n, float* out, const F& f) {
  const DF d;
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    hn::StoreU(f(d, hn::LoadU(d, x + i), hn::LoadU(d, y + i), hn::LoadU(d, z + i)), d, out + i);
  }
  if (i < n) {
    const size_t rest = n - i;
    const VF result = f(d, LoadPartial(d, x + i, rest), LoadPartial(d, y + i, rest), LoadPartial(d, z + i, rest));
    StorePartial(result, d, out + i, rest);
  }
}

// Sum of f(x[i]) over the row, f(0 padding) masked out by the caller's f or harmless. Four chains hide the latency of
// the addition; they are joined in a fixed order.
template <class F>
HWY_INLINE float Reduce(const float* x, size_t n, const F& f) {
  const DF d;
  VF sums[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
  size_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    MOTE_UNROLL for (size_t j = 0; j < 4; ++j) sums[j] = f(d, hn::LoadU(d, x + i + j * kLanes), sums[j]);
  }
  for (; i + kLanes <= n; i += kLanes) sums[0] = f(d, hn::LoadU(d, x + i), sums[0]);
  if (i < n) sums[1] = hn::Add(sums[1], f.Last(d, LoadPartial(d, x + i, n - i), n - i));
  return SumLanes(hn::Add(hn::Add(sums[0], sums[1]), hn::Add(sums[2], sums[3])));
}

struct AddUp {
  HWY_INLINE VF operator()(DF, VF x, VF sum) const { return hn::Add(sum, x); }
  HWY_INLINE VF Last(DF, VF x, size_t) const { return x; }
};
struct AddSquare {
  HWY_INLINE VF operator()(DF, VF x, VF sum) const { return hn::MulAdd(x, x, sum); }
  HWY_INLINE VF Last(DF, VF x, size_t) const { return hn::Mul(x, x); }
};
struct AddSquareOfDifference {
  float mean;
  HWY_INLINE VF operator()(DF d, VF x, VF sum) const {
    const VF difference = hn::Sub(x, hn::Set(d, mean));
    return hn::MulAdd(difference, difference, sum);
  }
  HWY_INLINE VF Last(DF d, VF x, size_t n) const {
    const VF difference = hn::IfThenElseZero(hn::FirstN(d, n), hn::Sub(x, hn::Set(d, mean)));
    return hn::Mul(difference, difference);
  }
};

struct TimesFactorTimes {
  float factor;
  HWY_INLINE VF operator()(DF d, VF x, VF weight) const { return hn::Mul(hn::Mul(x, hn::Set(d, factor)), weight); }
};
struct Normalise {
  float mean;
  float factor;
  HWY_INLINE VF operator()(DF d, VF x, VF weight) const {
    return hn::Mul(hn::Mul(hn::Sub(x, hn::Set(d, mean)), hn::Set(d, factor)), weight);
  }
  HWY_INLINE VF operator()(DF d, VF x, VF weight, VF bias) const { return hn::Add((*this)(d, x, weight), bias); }
};
struct Sum {
  HWY_INLINE VF operator()(DF, VF a, VF b) const { return hn::Add(a, b); }
};
struct Product {
  HWY_INLINE VF operator()(DF, VF a, VF b) const { return hn::Mul(a, b); }
};
struct TimesFactor {
  float factor;
  HWY_INLINE VF operator()(DF d, VF x) const { return hn::Mul(x, hn::Set(d, factor)); }
};
struct PlusTimesFactor {
  float factor;
  HWY_INLINE VF operator()(DF d, VF x, VF sum) const { return hn::MulAdd(x, hn::Set(d, factor), sum); }
};
struct CapBy {
  float cap;
  HWY_INLINE VF operator()(DF d, VF x) const { return hn::Mul(hn::Set(d, cap), Tanh(d, hn::Div(x, hn::Set(d, cap)))); }
};
struct ExpOfDifference {
  float largest;
  HWY_INLINE VF operator()(DF d, VF x) const { return Exp(d, hn::Sub(x, hn::Set(d, largest))); }
};

template <Activation kActivation>
struct Activate {
  HWY_INLINE VF operator()(DF d, VF x) const {
    if constexpr (kActivation == Activation::kSilu) return Silu(d, x);
    if constexpr (kActivation == Activation::kGelu) return Gelu(d, x);
    if constexpr (kActivation == Activation::kGeluTanh) return GeluTanh(d, x);
    if constexpr (kActivation == Activation::kGeluQuick) {
      return hn::Div(x, hn::Add(hn::Set(d, 1.0f), Exp(d, hn::Mul(x, hn::Set(d, -1.702f)))));
    }
    return hn::IfThenElseZero(hn::Gt(x, hn::Zero(d)), x);
  }
  HWY_INLINE VF operator()(DF d, VF x, VF up) const { return hn::Mul((*this)(d, x), up); }
};

template <Activation kActivation>
HWY_INLINE void GateBy(const float* gate, const float* up, size_t n, float* out) {
  const Activate<kActivation> activate;
  if (up != nullptr) {
    Map2(gate, up, n, out, activate);
  } else {
    Map(gate, n, out, activate);
  }
}

}  // namespace

void RmsNorm(const float* x, const float* weight, size_t n, float epsilon, float* out) {
  const float squares = Reduce(x, n, AddSquare());
  const float factor = 1.0f / sqrtf(squares / static_cast<float>(n) + epsilon);
  Map2(x, weight, n, out, TimesFactorTimes{factor});
}

void LayerNorm(const float* x, const float* weight, const float* bias, size_t n, float epsilon, float* out) {
  const float mean = Reduce(x, n, AddUp()) / static_cast<float>(n);
  // Two passes: the mean of squares less the squared mean loses all digits where the mean is large.
  const float squares = Reduce(x, n, AddSquareOfDifference{mean});
  const Normalise normalise{mean, 1.0f / sqrtf(squares / static_cast<float>(n) + epsilon)};
  if (bias != nullptr) {
    Map3(x, weight, bias, n, out, normalise);
  } else {
    Map2(x, weight, n, out, normalise);
  }
}

void RopeAdjacent(float* x, const float* cos, const float* sin, size_t pairs) {
  const DF d;
  VF a, b;
  size_t i = 0;
  for (; i + kLanes <= pairs; i += kLanes) {
    hn::LoadInterleaved2(d, x + 2 * i, a, b);
    const VF c = hn::LoadU(d, cos + i);
    const VF s = hn::LoadU(d, sin + i);
    hn::StoreInterleaved2(hn::NegMulAdd(b, s, hn::Mul(a, c)), hn::MulAdd(a, s, hn::Mul(b, c)), d, x + 2 * i);
  }
  if (i < pairs) {
    const size_t rest = pairs - i;
    HWY_ALIGN float padded[2 * kLanes] = {};
    memcpy(padded, x + 2 * i, rest * 2 * sizeof(float));
    hn::LoadInterleaved2(d, padded, a, b);
    const VF c = LoadPartial(d, cos + i, rest);
    const VF s = LoadPartial(d, sin + i, rest);
    hn::StoreInterleaved2(hn::NegMulAdd(b, s, hn::Mul(a, c)), hn::MulAdd(a, s, hn::Mul(b, c)), d, padded);
    memcpy(x + 2 * i, padded, rest * 2 * sizeof(float));
  }
}

void RopeSplit(float* x, const float* cos, const float* sin, size_t pairs) {
  const DF d;
  size_t i = 0;
  for (; i + kLanes <= pairs; i += kLanes) {
    const VF a = hn::LoadU(d, x + i);
    const VF b = hn::LoadU(d, x + pairs + i);
    const VF c = hn::LoadU(d, cos + i);
    const VF s = hn::LoadU(d, sin + i);
    hn::StoreU(hn::NegMulAdd(b, s, hn::Mul(a, c)), d, x + i);
    hn::StoreU(hn::MulAdd(a, s, hn::Mul(b, c)), d, x + pairs + i);
  }
  if (i < pairs) {
    const size_t rest = pairs - i;
    const VF a = LoadPartial(d, x + i, rest);
    const VF b = LoadPartial(d, x + pairs + i, rest);
    const VF c = LoadPartial(d, cos + i, rest);
    const VF s = LoadPartial(d, sin + i, rest);
    StorePartial(hn::NegMulAdd(b, s, hn::Mul(a, c)), d, x + i, rest);
    StorePartial(hn::MulAdd(a, s, hn::Mul(b, c)), d, x + pairs + i, rest);
  }
}

void Gate(Activation activation, const float* gate, const float* up, size_t n, float* out) {
  switch (activation) {
    case Activation::kSilu:
      return GateBy<Activation::kSilu>(gate, up, n, out);
    case Activation::kGelu:
      return GateBy<Activation::kGelu>(gate, up, n, out);
    case Activation::kGeluTanh:
      return GateBy<Activation::kGeluTanh>(gate, up, n, out);
    case Activation::kRelu:
      return GateBy<Activation::kRelu>(gate, up, n, out);
    case Activation::kGeluQuick:
      return GateBy<Activation::kGeluQuick>(gate, up, n, out);
  }
}

void Add(const float* a, const float* b, size_t n, float* out) {
  Map2(a, b, n, out, Sum());
}

void Mul(const float* a, const float* b, size_t n, float* out) {
  Map2(a, b, n, out, Product());
}

void Scale(const float* x, float factor, size_t n, float* out) {
  Map(x, n, out, TimesFactor{factor});
}

void AddScaled(const float* x, float factor, size_t n, float* inout) {
  Map2(x, inout, n, inout, PlusTimesFactor{factor});
}

void Softcap(const float* x, float cap, size_t n, float* out) {
  Map(x, n, out, CapBy{cap});
}

void Softmax(const float* x, size_t n, float* out) {
  Map(x, n, out, ExpOfDifference{Max(x, n)});
  Map(out, n, out, TimesFactor{1.0f / Reduce(out, n, AddUp())});
}

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
