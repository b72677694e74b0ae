#include "engine/tune/gram.h"

#include <gtest/gtest.h>
#include <math.h>
#include <string.h>

#include <vector>

namespace mote::tune {
namespace {

struct Matrices {
  TensorInfo tensors[3];
  Weight weights[3];

  Matrices() {
    const char* names[] = {"blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.0.ffn_down.weight"};
    for (int i = 0; i < 3; ++i) {
      tensors[i].name = names[i];
      weights[i].tensor = &tensors[i];
      weights[i].cols = 5;
    }
  }
};

std::vector<float> SomeRows(size_t rows, int seed) {
  std::vector<float> x(rows * 5);
  for (size_t i = 0; i < x.size(); ++i) x[i] = sinf(static_cast<float>(i * 7 + 3 * static_cast<size_t>(seed)));
  return x;
}

void Show(GramCollector* collector, const Weight& weight, const std::vector<float>& x, uint32_t matrix = 0) {
  std::vector<const float*> rows;
  for (size_t r = 0; r < x.size() / 5; ++r) rows.push_back(x.data() + r * 5);
  const ActivationObserver observer = collector->observer();
  observer.observe(observer.user, weight, matrix, rows);
}

void ExpectSums(const Gram& gram, const std::vector<std::vector<float>>& seen) {
  for (uint64_t i = 0; i < 5; ++i) {
    for (uint64_t j = 0; j < 5; ++j) {
      double sum = 0;
      for (const std::vector<float>& x : seen) {
        for (size_t r = 0; r < x.size() / 5; ++r) {
          sum += static_cast<double>(x[r * 5 + i]) * static_cast<double>(x[r * 5 + j]);
        }
      }
      EXPECT_NEAR(gram.line(i)[j], sum, 1e-12) << i << "," << j;
    }
  }
}

TEST(Gram, AddsUpAndSharesWhatIsReadTwice) {
  const Matrices m;
  GramCollector collector({"blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.0.ffn_down.weight"});
  const std::vector<float> a = SomeRows(19, 1), b = SomeRows(4, 2), c = SomeRows(19, 3);
  for (const auto* x : {&a, &b}) {
    Show(&collector, m.weights[0], *x);
    Show(&collector, m.weights[1], *x);
    Show(&collector, m.weights[2], c);
    ASSERT_TRUE(collector.Flush(nullptr).ok());
  }
  collector.Finish();
  EXPECT_EQ(collector.Find("blk.0.attn_q.weight", 0), collector.Find("blk.0.attn_k.weight", 0));
  const Gram* q = collector.Find("blk.0.attn_q.weight", 0);
  ASSERT_NE(q, nullptr);
  EXPECT_EQ(q->rows, 23u);
  ExpectSums(*q, {a, b});
  ExpectSums(*collector.Find("blk.0.ffn_down.weight", 0), {c, c});
}

// The same rows again for the same matrix are more rows; the same rows for another expert are that expert's own.
TEST(Gram, RepeatedRowsCount) {
  const Matrices m;
  GramCollector collector({"blk.0.attn_q.weight"});
  const std::vector<float> a = SomeRows(3, 1);
  Show(&collector, m.weights[0], a);
  Show(&collector, m.weights[0], a);
  Show(&collector, m.weights[0], a, 1);
  Show(&collector, m.weights[2], a);  // nobody asked for that one
  ASSERT_TRUE(collector.Flush(nullptr).ok());
  collector.Finish();
  ExpectSums(*collector.Find("blk.0.attn_q.weight", 0), {a, a});
  ExpectSums(*collector.Find("blk.0.attn_q.weight", 1), {a});
  EXPECT_EQ(collector.Find("blk.0.attn_q.weight", 2), nullptr);
  EXPECT_EQ(collector.Find("blk.0.ffn_down.weight", 0), nullptr);
}

TEST(Gram, SumsDoNotDependOnWhereItIsFlushed) {
  const Matrices m;
  GramCollector once({"blk.0.attn_q.weight"}), often({"blk.0.attn_q.weight"});
  for (int i = 0; i < 5; ++i) {
    const std::vector<float> x = SomeRows(static_cast<size_t>(3 + i), i);
    Show(&once, m.weights[0], x);
    Show(&often, m.weights[0], x);
    ASSERT_TRUE(often.Flush(nullptr).ok());
  }
  ASSERT_TRUE(once.Flush(nullptr).ok());
  const Gram& a = *once.Find("blk.0.attn_q.weight", 0);
  const Gram& b = *often.Find("blk.0.attn_q.weight", 0);
  EXPECT_EQ(a.rows, b.rows);
  EXPECT_EQ(memcmp(a.sums.data(), b.sums.data(), 25 * sizeof(double)), 0);
}

TEST(Gram, RefusesWhatIsNotFinite) {
  const Matrices m;
  GramCollector collector({"blk.0.attn_q.weight"});
  std::vector<float> x = SomeRows(2, 1);
  x[7] = INFINITY;
  Show(&collector, m.weights[0], x);
  EXPECT_EQ(collector.Flush(nullptr).code(), Code::kMalformed);
}

TEST(Gram, RefusesRowsThatAreSharedAtFirstAndNotLater) {
  const Matrices m;
  GramCollector collector({"blk.0.attn_q.weight", "blk.0.attn_k.weight"});
  Show(&collector, m.weights[0], SomeRows(2, 1));
  Show(&collector, m.weights[1], SomeRows(2, 1));
  Show(&collector, m.weights[0], SomeRows(2, 2));
  Show(&collector, m.weights[1], SomeRows(2, 3));
  EXPECT_EQ(collector.Flush(nullptr).code(), Code::kInternal);
}

}  // namespace
}  // namespace mote::tune
