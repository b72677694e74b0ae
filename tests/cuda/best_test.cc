// The best logits of rows, as the GPU picks them, against a sort.
#include <algorithm>
#include <limits>
#include <numeric>

#include "tests/cuda/kernels.h"

namespace mote::testing {
namespace {

using cuda::BestLogit;
using cuda::kMaxBest;

constexpr float kInf = std::numeric_limits<float>::infinity();

// Bits, so that what is compared is what is there. Zeros are equal.
struct Picked {
  int32_t token;
  uint32_t logit;
  bool operator==(const Picked&) const = default;
};
Picked PickedOf(int32_t token, float logit) {
  Picked picked = {token, 0};
  logit += 0.0f;
  memcpy(&picked.logit, &logit, sizeof(logit));
  return picked;
}

std::vector<Picked> OnGpu(const std::vector<float>& logits, uint32_t rows, uint32_t room) {
  const uint32_t cols = static_cast<uint32_t>(logits.size() / rows);
  const uint32_t lists = cuda::BestLists(cols);
  DeviceStream stream;
  DeviceBytes counts(sizeof(cuda::StepCounts)), on_device(logits.size() * 4);
  DeviceBytes keys(uint64_t{rows} * lists * kMaxBest * 8), best(uint64_t{rows} * kMaxBest * sizeof(BestLogit));
  counts.As<cuda::StepCounts>()->rows[cuda::kRowsLogits] = rows;
  memcpy(on_device.data(), logits.data(), on_device.size());
  memset(keys.data(), 0xff, keys.size());
  cuda::LaunchBest(
      {counts.As<cuda::StepCounts>(), cols, lists, on_device.As<float>(), keys.As<uint64_t>(), best.As<BestLogit>()},
      room, stream.get());
  std::vector<Picked> picked;
  for (uint32_t i = 0; i < rows * kMaxBest; ++i) {
    picked.push_back(PickedOf(best.As<BestLogit>()[i].token, best.As<BestLogit>()[i].logit));
  }
  return picked;
}

std::vector<Picked> BySorting(const std::vector<float>& logits, uint32_t rows) {
  const size_t cols = logits.size() / rows;
  std::vector<Picked> picked;
  for (uint32_t row = 0; row < rows; ++row) {
    std::vector<float> values(logits.begin() + static_cast<ptrdiff_t>(row * cols),
                              logits.begin() + static_cast<ptrdiff_t>((row + 1) * cols));
    for (float& v : values) v = v != v ? -kInf : v;
    std::vector<int32_t> order(cols);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
      return values[static_cast<size_t>(a)] > values[static_cast<size_t>(b)];
    });
    for (uint32_t i = 0; i < kMaxBest; ++i) {
      picked.push_back(i < cols ? PickedOf(order[i], values[static_cast<size_t>(order[i])]) : PickedOf(-1, -kInf));
    }
  }
  return picked;
}

TEST(CudaBest, AreThoseOfASort) {
  for (const uint32_t cols : {1u, 31u, 128u, 129u, 8192u, 8193u, 8320u, 40000u}) {
    const std::vector<float> logits = RandomFloats(3 * uint64_t{cols}, cols, 5);
    EXPECT_EQ(OnGpu(logits, 3, 3), BySorting(logits, 3)) << cols;
  }
}

TEST(CudaBest, OfTheLargestVocabulary) {
  const uint32_t cols = cuda::kMaxBestLists * 8192;
  EXPECT_EQ(cuda::BestLists(cols), cuda::kMaxBestLists);
  EXPECT_EQ(cuda::BestLists(cols + 1), cuda::kMaxBestLists + 1);
  const std::vector<float> logits = RandomFloats(cols, 1);
  EXPECT_EQ(OnGpu(logits, 1, 1), BySorting(logits, 1));
}

// Equal ones within a list and beyond, neighbours in the last bit, and what is no number.
TEST(CudaBest, EqualAndStrangeLogits) {
  constexpr size_t kCols = 20000;
  std::vector<std::vector<float>> cases;
  cases.emplace_back(kCols, 1.0f);
  cases.emplace_back(kCols, -kInf);
  cases.emplace_back(kCols, std::numeric_limits<float>::quiet_NaN());
  std::vector<float> mixed = RandomFloats(kCols, 7);
  for (size_t i = 0; i < kCols; i += 3) mixed[i] = -kInf;
  for (size_t i = 1; i < kCols; i += 5) mixed[i] = std::numeric_limits<float>::quiet_NaN();
  for (size_t i = 2; i < kCols; i += 400) mixed[i] = kInf;
  for (size_t i = 4; i < kCols; i += 700) mixed[i] = -std::numeric_limits<float>::quiet_NaN();
  cases.push_back(mixed);
  std::vector<float> zeros(kCols, -1.0f);
  for (size_t i = 0; i < kCols; i += 50) zeros[i] = i % 100 == 0 ? 0.0f : -0.0f;
  cases.push_back(zeros);
  std::vector<float> ascending(kCols);
  float value = -3;
  for (float& v : ascending) v = value = nextafterf(value, 9);
  cases.push_back(ascending);
  std::reverse(ascending.begin(), ascending.end());
  cases.push_back(ascending);
  std::vector<float> few(kCols, -kInf);  // numbers in one list alone
  for (size_t i = 9000; i < 9100; ++i) few[i] = static_cast<float>(i % 7);
  cases.push_back(few);
  for (size_t i = 0; i < cases.size(); ++i) EXPECT_EQ(OnGpu(cases[i], 1, 1), BySorting(cases[i], 1)) << "case " << i;
}

// A graph is launched for more rows than there are.
TEST(CudaBest, RowsBeyondTheCountAreLeftAlone) {
  const std::vector<float> logits = RandomFloats(2 * 9000, 3);
  EXPECT_EQ(OnGpu(logits, 2, 4), BySorting(logits, 2));
}

TEST(CudaBest, DoNotDependOnTheOrderOfThreads) {
  const std::vector<float> logits = RandomFloats(2 * 17000, 5);
  ExpectTheSameInEveryOrder(
      [&] {
        std::vector<std::pair<int32_t, uint32_t>> all;
        for (const Picked& p : OnGpu(logits, 2, 2)) all.emplace_back(p.token, p.logit);
        return all;
      },
      "best");
}

}  // namespace
}  // namespace mote::testing
