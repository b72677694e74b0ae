// exp, tanh and erf on vectors. Errors are the largest found over every float in the ranges that
// tests/simd/math_test.cc walks, in units in the last place (ULP) of the result; it asserts them. The polynomials are
// least-maximum fits of our own, the method beside each.
#if defined(MOTE_SIMD_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MOTE_SIMD_MATH_INL_H_
#undef MOTE_SIMD_MATH_INL_H_
#else
#define MOTE_SIMD_MATH_INL_H_
#endif

#include "simd/primitives-inl.h"

#if MOTE_VECTORS
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {

// At most 2 ULP; the subnormal results are right to 2 of their steps. exp(-inf) = 0, exp(x >= 88.8) = inf, NaN stays
// NaN.
HWY_INLINE VF Exp(DF d, VF x) {
  const DI32 di32;
  // Clamped so that 2^n stays a product of two finite powers; the ends already give 0 and infinity. The comparisons are
  // written so that NaN passes unchanged.
  const VF low = hn::Set(d, -105.0f);
  const VF high = hn::Set(d, 89.5f);
  VF y = hn::IfThenElse(hn::Lt(x, low), low, x);
  y = hn::IfThenElse(hn::Gt(y, high), high, y);
  // x = n ln 2 + r. ln 2 in two parts, the first with so few bits that its product with n is exact (Cody and Waite).
  // Adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the low bits.
  const VF magic = hn::Set(d, 0x1.8p23f);
  const VF shifted = hn::MulAdd(y, hn::Set(d, 1.44269504f), magic);
  const VF n = hn::Sub(shifted, magic);
  VF r = hn::NegMulAdd(n, hn::Set(d, 0x1.62e4p-1f), y);
  r = hn::NegMulAdd(n, hn::Set(d, 0x1.7f7d1cp-20f), r);
  // exp(r) = 1 + r + r^2 q(r), |r| <= ln 2 / 2, relative error 3e-9.
  VF q = hn::MulAdd(hn::Set(d, 0.00138145383f), r, hn::Set(d, 0.00836874545f));
  q = hn::MulAdd(q, r, hn::Set(d, 0.041668389f));
  q = hn::MulAdd(q, r, hn::Set(d, 0.166665211f));
  q = hn::MulAdd(q, r, hn::Set(d, 0.49999994f));
  const VF p = hn::Add(hn::MulAdd(hn::Mul(r, r), q, r), hn::Set(d, 1.0f));
  // Times 2^n as 2^(n/2) * 2^(n - n/2): n itself reaches -152, below the exponents of floats.
  const VI32 exponent = hn::Sub(hn::BitCast(di32, shifted), hn::BitCast(di32, magic));
  const VI32 half = hn::ShiftRight<1>(exponent);
  const VI32 bias = hn::Set(di32, 127);
  const VF scale1 = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(half, bias)));
  const VF scale2 = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(hn::Sub(exponent, half), bias)));
  return hn::Mul(hn::Mul(p, scale1), scale2);
}

// At most 3 ULP.
HWY_INLINE VF Tanh(DF d, VF x) {
  const VF magnitude = hn::Abs(x);
  // tanh(x) = x + x^3 q(x^2) up to 0.625, relative error 5e-9: the other form cancels near 0.
  const VF z = hn::Mul(x, x);
  VF q = hn::MulAdd(hn::Set(d, -0.00570497848f), z, hn::Set(d, 0.0206390787f));
  q = hn::MulAdd(q, z, hn::Set(d, -0.0537397116f));
  q = hn::MulAdd(q, z, hn::Set(d, 0.133314416f));
  q = hn::MulAdd(q, z, hn::Set(d, -0.333332807f));
  const VF small = hn::MulAdd(hn::Mul(x, z), q, x);
  const VF one = hn::Set(d, 1.0f);
  const VF two = hn::Set(d, 2.0f);
  const VF large = hn::Sub(one, hn::Div(two, hn::Add(Exp(d, hn::Add(magnitude, magnitude)), one)));
  return hn::IfThenElse(hn::Lt(magnitude, hn::Set(d, 0.625f)), small, hn::CopySign(large, x));
}

// At most 3 ULP.
HWY_INLINE VF Erf(DF d, VF x) {
  // erf(x) = x q(x^2) up to 0.92, relative error 4e-10.
  const VF z = hn::Mul(x, x);
  VF q = hn::MulAdd(hn::Set(d, 8.38238775e-05f), z, hn::Set(d, -0.000814559695f));
  q = hn::MulAdd(q, z, hn::Set(d, 0.00520128617f));
  q = hn::MulAdd(q, z, hn::Set(d, -0.0268594995f));
  q = hn::MulAdd(q, z, hn::Set(d, 0.112836972f));
  q = hn::MulAdd(q, z, hn::Set(d, -0.376126349f));
  q = hn::MulAdd(q, z, hn::Set(d, 1.12837923f));
  const VF small = hn::Mul(x, q);
  // erf(x) = 1 - exp(-p(x)) beyond, p a fit of -log(erfc(x)); from 3.95 on the result is 1.
  const VF magnitude = hn::Abs(x);
  const VF limit = hn::Set(d, 3.95f);
  const VF y = hn::IfThenElse(hn::Gt(magnitude, limit), limit, magnitude);
  VF p = hn::MulAdd(hn::Set(d, -0.000198220674f), y, hn::Set(d, 0.00306549948f));
  p = hn::MulAdd(p, y, hn::Set(d, -0.022315247f));
  p = hn::MulAdd(p, y, hn::Set(d, 0.104113743f));
  p = hn::MulAdd(p, y, hn::Set(d, 0.636976004f));
  p = hn::MulAdd(p, y, hn::Set(d, 1.12779725f));
  p = hn::MulAdd(p, y, hn::Set(d, 0.00016643932f));
  const VF large = hn::Sub(hn::Set(d, 1.0f), Exp(d, hn::Neg(p)));
  return hn::IfThenElse(hn::Lt(magnitude, hn::Set(d, 0.92f)), small, hn::CopySign(large, x));
}

// x / (1 + exp(-x)).
HWY_INLINE VF Silu(DF d, VF x) {
  return hn::Div(x, hn::Add(hn::Set(d, 1.0f), Exp(d, hn::Neg(x))));
}
// x Phi(x). The error is absolute, 2e-7 |x|: Phi = (1 + erf) / 2 cancels for negative x, as in the models' own
// training.
HWY_INLINE VF Gelu(DF d, VF x) {
  const VF half = hn::Mul(x, hn::Set(d, 0.5f));
  return hn::MulAdd(half, Erf(d, hn::Mul(x, hn::Set(d, 0.70710678f))), half);
}
// Hendrycks and Gimpel, arXiv 1606.08415, section 2. The same kind of error.
HWY_INLINE VF GeluTanh(DF d, VF x) {
  const VF cubic = hn::MulAdd(hn::Mul(hn::Mul(x, x), x), hn::Set(d, 0.044715f), x);
  const VF half = hn::Mul(x, hn::Set(d, 0.5f));
  return hn::MulAdd(half, Tanh(d, hn::Mul(cubic, hn::Set(d, 0.79788456f))), half);
}

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // MOTE_VECTORS

#endif  // MOTE_SIMD_MATH_INL_H_
