#include "engine/tune/thresholds.h"

#include <gtest/gtest.h>
#include <math.h>

#include <algorithm>
#include <vector>

namespace mote::tune {
namespace {

TEST(Thresholds, MakeTheShareThatIsWanted) {
  TensorInfo tensor, other;
  tensor.name = "blk.0.attn_q.weight";
  other.name = "blk.0.attn_k.weight";
  Weight weight, not_wanted;
  weight.tensor = &tensor;
  weight.cols = 40;
  not_wanted.tensor = &other;
  not_wanted.cols = 40;
  for (const uint32_t width : {1u, 4u, 16u}) {
    ThresholdCollector collector(width, {tensor.name});
    std::vector<std::vector<float>> rows;
    std::vector<float> largest;  // of each run
    for (size_t r = 0; r < 50; ++r) {
      rows.emplace_back(40);
      for (size_t i = 0; i < 40; ++i)
        rows[r][i] = sinf(0.5f + static_cast<float>(r * 40 + i * i)) * (i % 7 == 0 ? 3 : 1);
      for (size_t i = 0; i < 40; i += width) {
        float most = 0;
        for (size_t j = i; j < std::min<size_t>(40, i + width); ++j) most = std::max(most, fabsf(rows[r][j]));
        largest.push_back(most);
      }
    }
    std::vector<const float*> pointers;
    for (const auto& row : rows) pointers.push_back(row.data());
    const ActivationObserver observer = collector.observer();
    observer.observe(observer.user, weight, 0, pointers);
    observer.observe(observer.user, not_wanted, 0, pointers);
    ASSERT_TRUE(collector.status().ok());
    EXPECT_TRUE(collector.Saw(tensor.name));
    EXPECT_FALSE(collector.Saw(other.name));
    for (const double wanted : {0.0, 0.2, 0.5, 0.9, 1.0}) {
      const ActivationThreshold found = collector.Find(tensor.name, wanted);
      const double zero = static_cast<double>(std::count_if(largest.begin(), largest.end(),
                                                            [&](float x) { return x <= found.threshold; })) /
                          static_cast<double>(largest.size());
      EXPECT_NEAR(zero, found.share, 1e-9) << wanted << " of runs of " << width;
      EXPECT_LE(zero, wanted);
      EXPECT_GE(zero, wanted - 0.1) << "bins are finer than this";
    }
  }
}

TEST(Thresholds, ActivationsMustBeFinite) {
  TensorInfo tensor;
  tensor.name = "x";
  Weight weight;
  weight.tensor = &tensor;
  weight.cols = 2;
  ThresholdCollector collector(4, {"x"});
  const float row[] = {1, NAN};
  const std::vector<const float*> rows = {row};
  const ActivationObserver observer = collector.observer();
  observer.observe(observer.user, weight, 0, rows);
  EXPECT_FALSE(collector.status().ok());
}

}  // namespace
}  // namespace mote::tune
