// Who goes to which expert: chosen and sorted on the emulated GPU, against the same in plain loops.
#include <math.h>

#include <algorithm>
#include <numeric>

#include "tests/cuda/kernels.h"

namespace mote::testing {
namespace {

struct Routed {
  std::vector<uint32_t> expert, slot, first, row_of_slot;
  bool operator==(const Routed&) const = default;
};

Routed Route(const std::vector<float>& logits, uint32_t rows, uint32_t experts, uint32_t used) {
  const uint32_t pairs = rows * used;
  DeviceStream stream;
  DeviceBytes counts(sizeof(cuda::StepCounts)), probabilities(logits.size() * 4), weight(pairs * 4);
  DeviceBytes expert(pairs * 4), slot(pairs * 4), first((experts + 1) * 4), row_of_slot(pairs * 4);
  counts.As<cuda::StepCounts>()->rows[cuda::kRowsTokens] = rows;
  memcpy(probabilities.data(), logits.data(), probabilities.size());
  for (DeviceBytes* bytes : {&expert, &slot, &first, &row_of_slot}) memset(bytes->data(), 0xff, bytes->size());
  cuda::RouteArgs args = {};
  args.counts = counts.As<cuda::StepCounts>();
  args.rows_kind = cuda::kRowsTokens;
  args.experts = experts;
  args.used = used;
  args.weight_scale = 1;
  args.probabilities = probabilities.As<float>();
  args.expert = expert.As<uint32_t>();
  args.weight = weight.As<float>();
  args.slot = slot.As<uint32_t>();
  args.first = first.As<uint32_t>();
  args.row_of_slot = row_of_slot.As<uint32_t>();
  cuda::LaunchRoute(args, rows, stream.get());
  const auto words = [](DeviceBytes& bytes) {
    return std::vector<uint32_t>(bytes.As<uint32_t>(), bytes.As<uint32_t>() + bytes.size() / 4);
  };
  return {words(expert), words(slot), words(first), words(row_of_slot)};
}

struct Shape {
  uint32_t rows, experts, used;
};

TEST(CudaExperts, PairsAreSortedByExpertAndRow) {
  for (const Shape s : {Shape{1, 8, 2}, Shape{5, 4, 4}, Shape{37, 128, 8}, Shape{300, 64, 6}, Shape{20, 300, 4},
                        Shape{70, 2000, 3}, Shape{2, 9000, 2}}) {
    SCOPED_TRACE(::testing::Message() << s.rows << " rows, " << s.used << " of " << s.experts << " experts");
    const std::vector<float> logits = RandomFloats(uint64_t{s.rows} * s.experts, s.rows);
    const Routed got = Route(logits, s.rows, s.experts, s.used);
    for (uint32_t row = 0; row < s.rows; ++row) {
      std::vector<uint32_t> order(s.experts);
      std::iota(order.begin(), order.end(), 0u);
      std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
        return logits[row * s.experts + a] > logits[row * s.experts + b];
      });
      order.resize(s.used);
      const auto chosen = got.expert.begin() + row * s.used;
      EXPECT_EQ(std::vector<uint32_t>(chosen, chosen + s.used), order) << row;
    }
    const uint32_t pairs = s.rows * s.used;
    std::vector<uint32_t> sorted(pairs), first(s.experts + 1);
    std::iota(sorted.begin(), sorted.end(), 0u);
    std::stable_sort(sorted.begin(), sorted.end(),
                     [&](uint32_t a, uint32_t b) { return got.expert[a] < got.expert[b]; });
    for (const uint32_t e : got.expert) ++first[e + 1];
    std::partial_sum(first.begin(), first.end(), first.begin());
    EXPECT_EQ(got.first, first);
    for (uint32_t at = 0; at < pairs; ++at) {
      EXPECT_EQ(got.slot[sorted[at]], at);
      EXPECT_EQ(got.row_of_slot[at], sorted[at] / s.used);
    }
  }
}

// All to the same ones: every lane of a warp has the same expert.
TEST(CudaExperts, OneExpertTakesAll) {
  std::vector<float> logits(100 * 16, 0.0f);
  for (uint32_t row = 0; row < 100; ++row) logits[row * 16 + 11] = 3;
  const Routed got = Route(logits, 100, 16, 1);
  EXPECT_EQ(got.expert, std::vector<uint32_t>(100, 11));
  std::vector<uint32_t> rows(100);
  std::iota(rows.begin(), rows.end(), 0u);
  EXPECT_EQ(got.slot, rows);
  EXPECT_EQ(got.row_of_slot, rows);
}

TEST(CudaExperts, DoNotDependOnTheOrderOfThreads) {
  const std::vector<float> logits = RandomFloats(90 * 40, 4);
  ExpectTheSameInEveryOrder(
      [&] {
        const Routed got = Route(logits, 90, 40, 4);
        std::vector<uint32_t> all;
        for (const auto* words : {&got.expert, &got.slot, &got.first, &got.row_of_slot}) {
          all.insert(all.end(), words->begin(), words->end());
        }
        return all;
      },
      "experts");
}

}  // namespace
}  // namespace mote::testing
