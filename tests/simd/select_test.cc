// top_k and max: exact on every row.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "simd/kernels.h"
#include "tests/simd/rows.h"
#include "tests/support/guarded.h"

namespace mote::testing {
namespace {

// By the words of kernels.h: descending, ties to the lower index, NaN smaller than everything.
std::vector<int32_t> Sorted(const std::vector<float>& x) {
  std::vector<int32_t> order(x.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    if (std::isnan(x[a])) return false;
    return std::isnan(x[b]) || x[a] > x[b];
  });
  return order;
}

void CheckTopK(const std::vector<float>& x, size_t k, const std::string& label) {
  const std::vector<int32_t> want = Sorted(x);
  for (const simd::KernelTable* table : RunnableRows()) {
    Guarded<int32_t> indices(2 * k + 64);
    Guarded<float> values(2 * k + 64);
    table->top_k(x.data(), x.size(), k, indices.data(), values.data());
    ASSERT_TRUE(indices.GuardsIntact()) << label << " " << table->name;
    ASSERT_TRUE(values.GuardsIntact()) << label << " " << table->name;
    for (size_t i = 0; i < k; ++i) {
      ASSERT_EQ(indices[i], want[i]) << label << " " << table->name << " n=" << x.size() << " k=" << k << " rank " << i;
      ASSERT_EQ(memcmp(&values[i], &x[want[i]], sizeof(float)), 0) << label << " " << table->name << " rank " << i;
    }
  }
}

TEST(TopK, AgreesWithASort) {
  Random random(1);
  for (size_t n : {1, 2, 3, 15, 16, 17, 63, 64, 65, 100, 129, 1000, 5003}) {
    for (size_t k : {size_t{1}, size_t{2}, size_t{5}, size_t{40}, n / 2, n}) {
      if (k == 0 || k > n) continue;
      CheckTopK(random.Floats(n, 10.0f), k, "random");
      std::vector<float> few = random.Floats(n);
      for (float& value : few) value = std::round(value * 3);  // many ties, both zeros
      CheckTopK(few, k, "ties");
      std::vector<float> rising(n), falling(n);
      for (size_t i = 0; i < n; ++i) rising[i] = static_cast<float>(i);
      for (size_t i = 0; i < n; ++i) falling[i] = -static_cast<float>(i);
      CheckTopK(rising, k, "rising");
      CheckTopK(falling, k, "falling");
      CheckTopK(std::vector<float>(n, 0.5f), k, "constant");
      CheckTopK(std::vector<float>(n, NAN), k, "all NaN");
      CheckTopK(std::vector<float>(n, -INFINITY), k, "all minus infinity");
      std::vector<float> mixed = random.Floats(n);
      for (size_t i = 0; i < n; ++i) {
        if (random.Below(3) == 0) mixed[i] = NAN;
        if (random.Below(5) == 0) mixed[i] = -INFINITY;
        if (random.Below(50) == 0) mixed[i] = INFINITY;
      }
      CheckTopK(mixed, k, "NaN and infinities");
      std::vector<float> late(n, NAN);
      late[n - 1] = -INFINITY;
      CheckTopK(late, k, "one number after many NaN");
    }
  }
}

TEST(TopK, NothingAsked) {
  const float x[] = {1, 2, 3};
  for (const simd::KernelTable* table : RunnableRows()) {
    Guarded<int32_t> indices(64);
    Guarded<float> values(64);
    table->top_k(x, 3, 0, indices.data(), values.data());
    EXPECT_TRUE(indices.GuardsIntact());
    EXPECT_TRUE(values.GuardsIntact());
  }
}

TEST(Max, IgnoresNaN) {
  Random random(2);
  for (size_t n = 1; n < 80; ++n) {
    std::vector<float> x = random.Floats(n, 100.0f);
    for (size_t i = 0; i < n; ++i) x[i] -= 200.0f;  // a zero from padding would win
    float want = -INFINITY;
    for (size_t i = 0; i < n; ++i) {
      if (n > 1 && random.Below(3) == 0) x[i] = NAN;
      if (x[i] > want) want = x[i];
    }
    for (const simd::KernelTable* table : RunnableRows()) EXPECT_EQ(table->max(x.data(), n), want) << table->name;
  }
  const std::vector<float> nothing(19, NAN);
  for (const simd::KernelTable* table : RunnableRows()) {
    EXPECT_EQ(table->max(nothing.data(), nothing.size()), -INFINITY) << table->name;
  }
}

}  // namespace
}  // namespace mote::testing
