// The errors that simd/math-inl.h states, found again on every row. Compiled once per instruction set, as the kernels
// are.
#include "simd/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tests/simd/math_test.cc"
#include "hwy/foreach_target.h"
//
#include "simd/math-inl.h"

#if MOTE_VECTORS
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {

// out[i] = function(x[i]) for whole vectors only: n a multiple of 16.
void MathTestExp(const float* x, size_t n, float* out) {
  for (size_t i = 0; i < n; i += kLanes) hn::StoreU(Exp(DF(), hn::LoadU(DF(), x + i)), DF(), out + i);
}
void MathTestTanh(const float* x, size_t n, float* out) {
  for (size_t i = 0; i < n; i += kLanes) hn::StoreU(Tanh(DF(), hn::LoadU(DF(), x + i)), DF(), out + i);
}
void MathTestErf(const float* x, size_t n, float* out) {
  for (size_t i = 0; i < n; i += kLanes) hn::StoreU(Erf(DF(), hn::LoadU(DF(), x + i)), DF(), out + i);
}

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "simd/kernels.h"
#include "tests/support/effort.h"

namespace mote::testing {
namespace {

struct Functions {
  const char* row;
  void (*exp)(const float*, size_t, float*);
  void (*tanh)(const float*, size_t, float*);
  void (*erf)(const float*, size_t, float*);
};

std::vector<Functions> RunnableFunctions() {
  std::vector<Functions> all;
#define MOTE_ADD(name, target)                                                                            \
  all.push_back({name, simd::MOTE_VARIANT::target::MathTestExp, simd::MOTE_VARIANT::target::MathTestTanh, \
                 simd::MOTE_VARIANT::target::MathTestErf})
#if HWY_TARGETS & HWY_AVX3_DL
  MOTE_ADD("avx512_vnni", N_AVX3_DL);
#endif
#if HWY_TARGETS & HWY_AVX3
  MOTE_ADD("avx512", N_AVX3);
#endif
#if HWY_TARGETS & HWY_AVX2
  MOTE_ADD("avx2", N_AVX2);
#endif
#if HWY_TARGETS & HWY_SSE4
  MOTE_ADD("sse4", N_SSE4);
#endif
#if HWY_TARGETS & MOTE_TARGET_NEON
  MOTE_ADD("neon", MOTE_NEON_NAMESPACE);
#endif
#if HWY_TARGETS & HWY_WASM
#if defined(__wasm_relaxed_simd__)
  MOTE_ADD("wasm_relaxed", N_WASM);
#else
  MOTE_ADD("wasm", N_WASM);
#endif
#endif
  std::vector<Functions> runnable;
  for (const Functions& functions : all) {
    const simd::KernelTable* table = simd::FindTable(functions.row);
    if (table != nullptr && simd::CanRun(*table)) runnable.push_back(functions);
  }
  return runnable;
}

float FromBits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

// Floats between two bounds of the same sign, evenly over their bit patterns; a multiple of 16.
std::vector<float> Walk(float from, float to, size_t count) {
  uint32_t low, high;
  memcpy(&low, &from, sizeof(low));
  memcpy(&high, &to, sizeof(high));
  std::vector<float> values;
  for (size_t i = 0; i < count; ++i) {
    values.push_back(FromBits(low + static_cast<uint32_t>((static_cast<uint64_t>(high - low) * i) / (count - 1))));
  }
  while (values.size() % 16 != 0) values.push_back(to);
  return values;
}

// Distance in units in the last place of the float nearest to `want`; the unit of subnormals below 2^-126.
double Ulps(float got, double want) {
  const float nearest = static_cast<float>(want);
  if (std::isinf(nearest) || std::isnan(nearest)) return got == nearest ? 0 : INFINITY;
  if (!std::isfinite(got)) return INFINITY;
  int exponent;
  std::frexp(nearest, &exponent);
  const double unit = std::ldexp(1.0, std::max(exponent - 24, -149));
  return std::abs(static_cast<double>(got) - want) / unit;
}

constexpr size_t kSteps = Effort(400000, 50000);

double Worst(void (*function)(const float*, size_t, float*), double (*want)(double), const std::vector<float>& x,
             float* at) {
  std::vector<float> out(x.size());
  function(x.data(), x.size(), out.data());
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double ulps = Ulps(out[i], want(x[i]));
    if (!(ulps <= worst)) {
      worst = ulps;
      *at = x[i];
    }
  }
  return worst;
}

double ExpInDouble(double x) {
  return std::exp(x);
}
double TanhInDouble(double x) {
  return std::tanh(x);
}
double ErfInDouble(double x) {
  return std::erf(x);
}

void CheckWorst(const char* row, const char* name, void (*function)(const float*, size_t, float*),
                double (*want)(double), double limit, float end) {
  for (const float sign : {1.0f, -1.0f}) {
    float at = 0;
    const double worst = Worst(function, want, Walk(sign * 1e-30f, sign * end, kSteps), &at);
    printf("%s %s: at most %.2f ULP up to %g, at %.9g\n", row, name, worst, static_cast<double>(sign * end),
           static_cast<double>(at));
    EXPECT_LE(worst, limit) << row << " " << name << " at " << at;
  }
}

TEST(Math, ErrorsAreAsStated) {
  ASSERT_FALSE(RunnableFunctions().empty());
  for (const Functions& f : RunnableFunctions()) {
    CheckWorst(f.row, "exp", f.exp, ExpInDouble, 2, 110.0f);
    CheckWorst(f.row, "tanh", f.tanh, TanhInDouble, 3, 100.0f);
    CheckWorst(f.row, "erf", f.erf, ErfInDouble, 3, 100.0f);
    // Where the forms of a function meet, and where results matter most: densely.
    float at = 0;
    EXPECT_LE(Worst(f.tanh, TanhInDouble, Walk(0.5f, 0.75f, kSteps), &at), 3) << f.row << " tanh at " << at;
    EXPECT_LE(Worst(f.erf, ErfInDouble, Walk(0.85f, 1.0f, kSteps), &at), 3) << f.row << " erf at " << at;
    EXPECT_LE(Worst(f.exp, ExpInDouble, Walk(-87.0f, -104.5f, kSteps), &at), 2) << f.row << " exp at " << at;
    EXPECT_LE(Worst(f.exp, ExpInDouble, Walk(88.0f, 89.0f, kSteps), &at), 2) << f.row << " exp at " << at;
  }
}

TEST(Math, Specials) {
  const std::vector<float> x = {0.0f,  -0.0f,  INFINITY, -INFINITY, NAN,    -NAN,   1e-45f, -1e-45f,
                                3e38f, -3e38f, 1.0f,     -1.0f,     88.73f, 88.72f, -150.f, 89.0f};
  for (const Functions& f : RunnableFunctions()) {
    SCOPED_TRACE(f.row);
    std::vector<float> out(16);
    f.exp(x.data(), 16, out.data());
    EXPECT_EQ(out[0], 1.0f);
    EXPECT_EQ(out[1], 1.0f);
    EXPECT_EQ(out[2], INFINITY);
    EXPECT_EQ(out[3], 0.0f);
    EXPECT_TRUE(std::isnan(out[4]));
    EXPECT_TRUE(std::isnan(out[5]));
    EXPECT_EQ(out[6], 1.0f);
    EXPECT_EQ(out[8], INFINITY);
    EXPECT_EQ(out[9], 0.0f);
    EXPECT_EQ(out[12], INFINITY);
    EXPECT_TRUE(std::isfinite(out[13]));
    EXPECT_EQ(out[14], 0.0f);
    for (auto function : {f.tanh, f.erf}) {
      function(x.data(), 16, out.data());
      EXPECT_EQ(out[0], 0.0f);
      EXPECT_EQ(out[2], 1.0f);
      EXPECT_EQ(out[3], -1.0f);
      EXPECT_TRUE(std::isnan(out[4]));
      EXPECT_TRUE(std::isnan(out[5]));
      EXPECT_EQ(out[8], 1.0f);
      EXPECT_EQ(out[9], -1.0f);
      EXPECT_EQ(out[10], -out[11]) << "odd";
    }
  }
}

}  // namespace
}  // namespace mote::testing
#endif  // HWY_ONCE
