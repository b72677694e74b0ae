// Attention against a softmax over all positions at once, in double.
#include <gtest/gtest.h>

#include <cmath>

#include "simd/kernels.h"
#include "tests/simd/rows.h"
#include "tests/support/closeness.h"
#include "tests/support/guarded.h"

namespace mote::testing {
namespace {

struct Problem {
  size_t heads, key_dim, value_dim, positions;
  size_t q_stride, out_stride;
  std::vector<float> q;
  std::vector<uint16_t> k, v;

  Problem(size_t heads_arg, size_t key_dim_arg, size_t value_dim_arg, size_t positions_arg, Random& random,
          float amplitude = 1.0f)
      : heads(heads_arg),
        key_dim(key_dim_arg),
        value_dim(value_dim_arg),
        positions(positions_arg),
        q_stride(key_dim + 3),
        out_stride(value_dim + 5),
        q(random.Floats(heads * q_stride, amplitude)),
        k(Halves(positions * key_dim, random, amplitude)),
        v(Halves(positions * value_dim, random, 1.0f)) {}

  static std::vector<uint16_t> Halves(size_t n, Random& random, float amplitude) {
    std::vector<uint16_t> halves(n);
    for (uint16_t& half : halves) half = F32ToF16(random.Uniform() * amplitude);
    return halves;
  }

  simd::AttentionArgs Args(size_t begin, size_t end, float softcap, float* out) const {
    simd::AttentionArgs args;
    args.q = q.data();
    args.q_stride = q_stride;
    args.heads = heads;
    args.k = k.data();
    args.v = v.data();
    args.key_dim = key_dim;
    args.value_dim = value_dim;
    args.begin = begin;
    args.end = end;
    args.scale = 1 / std::sqrt(static_cast<float>(key_dim));
    args.softcap = softcap;
    args.out = out;
    args.out_stride = out_stride;
    return args;
  }

  // (value_dim) of one head. An error e of a score multiplies its weight by 1 + e; the weighted sum of values then
  // moves by at most 2 e max|v|. Scores: a sum of key_dim products, scaled, capped; exp and the sums of weights on top.
  std::vector<Expected> Want(size_t head, size_t begin, size_t end, float softcap) const {
    const float scale = 1 / std::sqrt(static_cast<float>(key_dim));
    std::vector<double> scores;
    double largest = -INFINITY, score_error = 0;
    for (size_t p = begin; p < end; ++p) {
      DotReference dot;
      for (size_t d = 0; d < key_dim; ++d) dot.Add(q[head * q_stride + d], F16ToF32(k[p * key_dim + d]));
      const Expected sum = dot.Expect(kEpsilonF32);
      double score = sum.value * scale;
      score_error = std::max(score_error, sum.bound * scale + std::abs(score) * 2 * kEpsilonF32);
      if (softcap > 0) score = softcap * std::tanh(score / softcap);
      scores.push_back(score);
      largest = std::max(largest, score);
    }
    double total = 0;
    std::vector<double> sums(value_dim, 0.0), magnitudes(value_dim, 0.0);
    double spread = 0;
    for (size_t p = begin; p < end; ++p) {
      const double weight = std::exp(scores[p - begin] - largest);
      spread = std::max(spread, weight * (largest - scores[p - begin]));
      total += weight;
      for (size_t d = 0; d < value_dim; ++d) {
        const double value = F16ToF32(v[p * value_dim + d]);
        sums[d] += weight * value;
        magnitudes[d] += weight * std::abs(value);
      }
    }
    const double n = static_cast<double>(end - begin);
    const double additions = std::min(n, DotReference::kLambda * std::sqrt(n)) + n / simd::kAttentionBlock + 8;
    std::vector<Expected> want(value_dim);
    for (size_t d = 0; d < value_dim; ++d) {
      const double relative = 2 * score_error + (additions + spread) * kEpsilonF32;
      want[d] = {sums[d] / total, magnitudes[d] / total * relative + 1e-12};
    }
    return want;
  }
};

void Check(const Problem& problem, size_t begin, size_t end, float softcap) {
  for (const simd::KernelTable* table : RunnableRows()) {
    char label[160];
    snprintf(label, sizeof(label), "%s heads=%zu dims=%zu/%zu positions [%zu, %zu) softcap=%g", table->name,
             problem.heads, problem.key_dim, problem.value_dim, begin, end, static_cast<double>(softcap));
    Guarded<float> out(problem.heads * problem.out_stride, 1);
    table->attention(problem.Args(begin, end, softcap, out.data()));
    EXPECT_TRUE(out.GuardsIntact()) << label;
    for (size_t head = 0; head < problem.heads; ++head) {
      const std::span<const float> row(out.data() + head * problem.out_stride, problem.value_dim);
      EXPECT_TRUE(AllClose(row, problem.Want(head, begin, end, softcap), label));
      for (size_t i = problem.value_dim; i < problem.out_stride; ++i) {
        EXPECT_TRUE(out.IsPoison(head * problem.out_stride + i)) << label << ": wrote between the heads";
      }
    }
  }
}

TEST(Attention, HeadsAndDims) {
  Random random(1);
  const size_t dims[][2] = {{64, 64}, {128, 128}, {80, 80},   {96, 96},  {1, 1},
                            {7, 5},   {33, 100},  {192, 128}, {256, 256}};
  for (const auto& dim : dims) {
    for (size_t heads : {1, 2, 3, 4, 5, 6, 7, 8, 9, 17}) {
      Check(Problem(heads, dim[0], dim[1], 70, random), 0, 70, 0);
    }
  }
}

TEST(Attention, Windows) {
  Random random(2);
  const Problem problem(3, 64, 64, 300, random);
  for (size_t end : {1, 2, 3, 4, 5, 63, 64, 65, 127, 128, 129, 300}) {
    for (size_t window : {1, 2, 5, 63, 64, 65, 200, 300}) Check(problem, end > window ? end - window : 0, end, 0);
  }
}

TEST(Attention, SoftcapAndLargeScores) {
  Random random(3);
  Check(Problem(2, 64, 64, 150, random, 3.0f), 0, 150, 3.0f);
  Check(Problem(5, 64, 64, 150, random, 8.0f), 0, 150, 10.0f);
  Check(Problem(2, 64, 64, 150, random, 20.0f), 0, 150, 50.0f);
  // Scores in the hundreds: without the running maximum, exp overflows.
  Check(Problem(2, 64, 64, 150, random, 20.0f), 0, 150, 0);
}

// A rising sequence of scores moves the maximum at every block.
TEST(Attention, MaximumMoves) {
  Random random(4);
  Problem problem(1, 16, 16, 400, random);
  for (size_t d = 0; d < 16; ++d) problem.q[d] = 1.0f;
  for (const bool rising : {true, false}) {
    for (size_t p = 0; p < 400; ++p) {
      for (size_t d = 0; d < 16; ++d) {
        problem.k[p * 16 + d] = F32ToF16(static_cast<float>(rising ? p : 400 - p) / 16);
      }
    }
    Check(problem, 0, 400, 0);
  }
}

// A head alone gives the same bits as in its group, whatever the strides.
TEST(Attention, DoesNotDependOnTheGroup) {
  Random random(5);
  const Problem problem(11, 72, 40, 200, random);
  for (const simd::KernelTable* table : RunnableRows()) {
    std::vector<float> all(problem.heads * problem.out_stride);
    table->attention(problem.Args(10, 200, 0, all.data()));
    for (size_t head = 0; head < problem.heads; ++head) {
      std::vector<float> alone(problem.value_dim);
      simd::AttentionArgs args = problem.Args(10, 200, 0, alone.data());
      args.q += head * problem.q_stride;
      args.heads = 1;
      table->attention(args);
      EXPECT_EQ(memcmp(alone.data(), &all[head * problem.out_stride], problem.value_dim * sizeof(float)), 0)
          << table->name << " head " << head;
    }
  }
}

// What is outside [begin, end) is not looked at.
TEST(Attention, IgnoresHiddenPositions) {
  Random random(6);
  Problem problem(2, 64, 64, 200, random);
  for (size_t p = 0; p < 200; ++p) {
    if (p >= 37 && p < 151) continue;
    for (size_t d = 0; d < 64; ++d) problem.k[p * 64 + d] = problem.v[p * 64 + d] = 0x7e00;  // NaN
  }
  Check(problem, 37, 151, 0);
}

}  // namespace
}  // namespace mote::testing
