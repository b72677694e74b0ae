// The methods of pruning, against small cases that can be told exactly and against plain elimination in long double.
#include "engine/tune/prune.h"

#include <gtest/gtest.h>
#include <math.h>
#include <string.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "engine/tune/reconstruct.h"

namespace mote::tune {
namespace {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 2654435769u + 1) {}
  double Uniform() {  // -1 to 1
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<double>(static_cast<int64_t>(state_ >> 11)) / static_cast<double>(uint64_t{1} << 52) - 1;
  }
  uint64_t Below(uint64_t n) { return static_cast<uint64_t>((Uniform() + 1) / 2 * static_cast<double>(n)) % n; }

 private:
  uint64_t state_;
};

// A matrix, and correlated activations for it.
struct Case {
  Case(uint64_t rows, uint64_t cols, BlockSize size, uint64_t seed, uint64_t seen = 300) {
    Random random(seed);
    weights.resize(rows * cols);
    for (float& w : weights) w = static_cast<float>(random.Uniform());
    x.resize(seen * cols);
    for (uint64_t r = 0; r < seen; ++r) {
      const double common = random.Uniform();
      for (uint64_t c = 0; c < cols; ++c) {
        const double own = random.Uniform() * (c % 5 == 0 ? 3 : 1);
        x[r * cols + c] =
            static_cast<float>(own + (c % 3 == 0 ? 2 * common : 0) + (c > 0 ? 0.5 * x[r * cols + c - 1] : 0));
      }
    }
    gram.cols = cols;
    gram.rows = seen;
    gram.sums = std::move(Buffer::CreateZeroed(cols * cols * sizeof(double), "test")).value();
    for (uint64_t r = 0; r < seen; ++r) {
      for (uint64_t i = 0; i < cols; ++i) {
        for (uint64_t j = 0; j < cols; ++j) {
          gram.sums.As<double>()[i * cols + j] +=
              static_cast<double>(x[r * cols + i]) * static_cast<double>(x[r * cols + j]);
        }
      }
    }
    input = {weights.data(), {rows, cols, size}, &gram};
  }

  // The relative error of the output, from the activations themselves.
  double Loss(const std::vector<float>& other) const {
    const uint64_t cols = input.grid.cols;
    double before = 0, off = 0;
    for (size_t t = 0; t < x.size() / cols; ++t) {
      for (uint64_t r = 0; r < input.grid.rows; ++r) {
        double y = 0, d = 0;
        for (uint64_t c = 0; c < cols; ++c) {
          const double w = static_cast<double>(weights[r * cols + c]);
          y += w * static_cast<double>(x[t * cols + c]);
          d += (static_cast<double>(other[r * cols + c]) - w) * static_cast<double>(x[t * cols + c]);
        }
        before += y * y;
        off += d * d;
      }
    }
    return sqrt(off / before);
  }

  Pruned Run(PruneMethod method, double density, uint32_t rounds = 0) const {
    PruneOptions options;
    options.method = method;
    options.rounds = rounds;
    Result<Pruned> pruned = Prune(input, density, options, nullptr);
    EXPECT_TRUE(pruned.ok()) << pruned.status().message();
    return std::move(pruned).value();
  }

  std::vector<float> weights;
  std::vector<float> x;
  Gram gram;
  PruneInput input;
};

// Exactly the blocks that the mask gives up are zero, and as many as the density says.
void ExpectMasked(const Case& c, const Pruned& pruned, double density) {
  const BlockGrid& grid = c.input.grid;
  EXPECT_EQ(pruned.kept, KeptAt(density, grid.blocks()));
  EXPECT_EQ(CountKept(pruned.mask), pruned.kept);
  for (uint64_t row = 0; row < grid.rows; ++row) {
    for (uint64_t col = 0; col < grid.cols; ++col) {
      const uint64_t block = row / grid.size.rows * grid.per_group() + col / grid.size.cols;
      EXPECT_EQ(pruned.mask[block] == 0, pruned.weights[row * grid.cols + col] == 0.0f) << row << "," << col;
    }
  }
}

constexpr PruneMethod kScored[] = {PruneMethod::kMagnitude, PruneMethod::kWanda, PruneMethod::kReconstruct};

TEST(Prune, KeepsExactlyWhatTheDensitySays) {
  const Case even(48, 32, {16, 4}, 1);
  const Case odd(37, 30, {16, 4}, 2);
  const Case wide(16, 40, {16, 8}, 3);
  const Case narrow(32, 14, {16, 2}, 4);
  for (const Case* c : {&even, &odd, &wide, &narrow}) {
    for (const PruneMethod method : kScored) {
      for (const double density : {0.1, 0.5, 0.75, 0.99}) {
        const Pruned pruned = c->Run(method, density);
        ExpectMasked(*c, pruned, density);
        EXPECT_NEAR(pruned.loss, c->Loss(pruned.weights), 1e-6 * pruned.loss);
      }
    }
  }
}

TEST(Prune, EndsOfTheScale) {
  const Case c(20, 24, {16, 4}, 5);
  for (const PruneMethod method : kScored) {
    const Pruned all = c.Run(method, 1);
    EXPECT_EQ(all.weights, c.weights);
    EXPECT_EQ(all.loss, 0);
    const Pruned none = c.Run(method, 0);
    EXPECT_EQ(none.weights, std::vector<float>(c.weights.size(), 0.0f));
    EXPECT_NEAR(none.loss, 1, 1e-9);
  }
}

TEST(Prune, MagnitudeKeepsTheLargestBlocksAndTheFirstOfEquals) {
  const BlockGrid grid{4, 8, {2, 4}};
  std::vector<float> w(32, 1.0f);
  w[2 * 8 + 5] = 2;  // block 3
  w[0] = -1.5f;      // block 0
  Result<Pruned> pruned = Prune({w.data(), grid, nullptr}, 0.75, {PruneMethod::kMagnitude}, nullptr);
  ASSERT_TRUE(pruned.ok());
  EXPECT_EQ(pruned->mask, (BlockMask{1, 1, 0, 1}));
  EXPECT_NEAR(pruned->loss, sqrt(8 / (32 + 3 + 1.25)), 1e-12);  // without activations: of the weights
}

TEST(Prune, WandaWeighsColumnsByWhatTheyAreMultipliedWith) {
  Case c(2, 4, {2, 2}, 6);
  c.weights = {1, 1, 3, 3, 1, 1, 3, 3};
  double* sums = c.gram.sums.As<double>();
  std::fill_n(sums, 16, 0.0);
  for (const int column : {0, 1}) sums[column * 5] = 100;
  for (const int column : {2, 3}) sums[column * 5] = 1;
  c.input.weights = c.weights.data();
  EXPECT_EQ(c.Run(PruneMethod::kMagnitude, 0.5).mask, (BlockMask{0, 1}));
  EXPECT_EQ(c.Run(PruneMethod::kWanda, 0.5).mask, (BlockMask{1, 0}));
}

TEST(Prune, ZerosAreFoundAndTheRestIsLeftAlone) {
  Case c(19, 22, {16, 4}, 7);
  const BlockMask mask = KeepHighest(ScoreBlocks(c.input.grid, c.weights.data(), {}), {}, 5);
  ApplyMask(c.input.grid, mask, c.weights.data());
  c.weights[0] = mask[0] != 0 ? c.weights[0] : -0.0f;  // a zero all the same
  const Pruned pruned = c.Run(PruneMethod::kZeros, 1);
  EXPECT_EQ(pruned.mask, mask);
  EXPECT_EQ(pruned.weights, c.weights);
  EXPECT_EQ(pruned.loss, 0);
}

// The best weights for a mask, by elimination with pivots in long double.
std::vector<double> SolvePlainly(std::vector<long double> a, std::vector<long double> b, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    size_t pivot = i;
    for (size_t r = i; r < n; ++r) {
      if (fabsl(a[r * n + i]) > fabsl(a[pivot * n + i])) pivot = r;
    }
    for (size_t k = 0; k < n; ++k) std::swap(a[i * n + k], a[pivot * n + k]);
    std::swap(b[i], b[pivot]);
    for (size_t r = i + 1; r < n; ++r) {
      const long double f = a[r * n + i] / a[i * n + i];
      for (size_t k = i; k < n; ++k) a[r * n + k] -= f * a[i * n + k];
      b[r] -= f * b[i];
    }
  }
  std::vector<double> x(n);
  for (size_t i = n; i-- > 0;) {
    long double rest = b[i];
    for (size_t k = i + 1; k < n; ++k) rest -= a[i * n + k] * static_cast<long double>(x[k]);
    x[i] = static_cast<double>(rest / a[i * n + i]);
  }
  return x;
}

TEST(Prune, FitsTheKeptWeightsByLeastSquares) {
  const Case c(21, 26, {16, 4}, 8);
  const BlockGrid& grid = c.input.grid;
  constexpr double kDamping = 0.02;
  Result<Reconstruction> fit = Reconstruction::Create(c.input, kDamping, nullptr);
  ASSERT_TRUE(fit.ok());
  BlockMask mask(grid.blocks());
  Random random(9);
  for (uint8_t& bit : mask) bit = random.Uniform() > 0;
  mask[0] = 1;
  ASSERT_TRUE(fit->FitTo(mask).ok());
  const std::vector<float> fitted = fit->Weights();
  double trace = 0;
  for (uint64_t i = 0; i < grid.cols; ++i) trace += c.gram.line(i)[i];
  const double ridge = kDamping * trace / static_cast<double>(grid.cols);
  for (uint64_t row = 0; row < grid.rows; ++row) {
    std::vector<uint64_t> columns;
    for (uint64_t col = 0; col < grid.cols; ++col) {
      if (mask[row / 16 * grid.per_group() + col / 4] != 0) columns.push_back(col);
    }
    const size_t n = columns.size();
    std::vector<long double> a(n * n), b(n);
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < n; ++j) {
        a[i * n + j] = static_cast<long double>(c.gram.line(columns[i])[columns[j]]) + (i == j ? ridge : 0.0);
      }
      for (uint64_t col = 0; col < grid.cols; ++col) {
        const double h = c.gram.line(columns[i])[col] + (col == columns[i] ? ridge : 0.0);
        b[i] += static_cast<long double>(h) * static_cast<long double>(c.weights[row * grid.cols + col]);
      }
    }
    const std::vector<double> expected = SolvePlainly(a, b, n);
    for (size_t i = 0; i < n; ++i) {
      EXPECT_NEAR(static_cast<double>(fitted[row * grid.cols + columns[i]]), expected[i],
                  1e-6 + 1e-6 * fabs(expected[i]));
    }
  }
}

// What the saliency of a block promises is what taking it away costs.
TEST(Prune, TheFirstBlockToGoIsTheOneThatCostsLeast) {
  const Case c(16, 24, {16, 4}, 10);
  Result<Reconstruction> greedy = Reconstruction::Create(c.input, 1e-9, nullptr);
  ASSERT_TRUE(greedy.ok() && greedy->RemoveTo(5, 1).ok());
  double least = INFINITY;
  size_t best = 0;
  for (size_t gone = 0; gone < 6; ++gone) {
    Result<Reconstruction> tried = Reconstruction::Create(c.input, 1e-9, nullptr);
    BlockMask mask(6, 1);
    mask[gone] = 0;
    ASSERT_TRUE(tried->FitTo(mask).ok());
    const double loss = c.Loss(tried->Weights());
    if (loss < least) {
      least = loss;
      best = gone;
    }
  }
  EXPECT_EQ(greedy->mask()[best], 0);
}

TEST(Prune, ReconstructionIsNeverWorseThanWandaAndWandaBeatsChance) {
  int better_than_chance = 0;
  for (uint64_t seed = 20; seed < 40; ++seed) {
    const Case c(32 + seed % 3, 36 + seed % 4 * 4, {16, 4}, seed, seed % 2 == 0 ? 300 : 10);
    for (const double density : {0.25, 0.5, 0.8}) {
      const double reconstructed = c.Run(PruneMethod::kReconstruct, density).loss;
      const double wanda = c.Run(PruneMethod::kWanda, density).loss;
      EXPECT_LE(reconstructed, wanda) << seed << " " << density;
      EXPECT_LT(reconstructed, 1);
      Random random(seed);
      std::vector<double> scores(c.input.grid.blocks());
      for (double& score : scores) score = random.Uniform();
      std::vector<float> chance = c.weights;
      ApplyMask(c.input.grid, KeepHighest(scores, {}, KeptAt(density, scores.size())), chance.data());
      better_than_chance += wanda < OutputLoss(c.input, chance.data(), nullptr) ? 1 : 0;
    }
  }
  EXPECT_GE(better_than_chance, 55);  // of 60
}

TEST(Prune, MoreRoundsFindBetterMasks) {
  double one = 0, eight = 0;
  for (uint64_t seed = 50; seed < 60; ++seed) {
    const Case c(32, 48, {16, 4}, seed);
    one += c.Run(PruneMethod::kReconstruct, 0.4, 1).loss;
    eight += c.Run(PruneMethod::kReconstruct, 0.4, 8).loss;
  }
  EXPECT_LT(eight, one);
}

TEST(Prune, FindsTheLeastDensityWithinALoss) {
  const Case c(32, 64, {16, 4}, 11);
  for (const PruneMethod method : kScored) {
    for (const double allowed : {0.0, 0.05, 0.3, 2.0}) {
      PruneOptions options;
      options.method = method;
      const Result<Pruned> found = PruneToLoss(c.input, allowed, options, nullptr);
      ASSERT_TRUE(found.ok());
      EXPECT_LE(found->loss, allowed);
      const double density = static_cast<double>(found->kept) / static_cast<double>(c.input.grid.blocks());
      if (density > 0) {
        EXPECT_GT(c.Run(method, density - 1.0 / 32).loss, allowed);
      }
      if (allowed == 0.0) {
        EXPECT_EQ(density, 1);
      }
      if (allowed == 2.0) {
        EXPECT_EQ(density, 0);
      }
    }
  }
}

TEST(Prune, ColumnsThatSawNothingGoFirst) {
  Case c(16, 32, {16, 4}, 12);
  for (uint64_t i = 0; i < 32; ++i) {
    for (uint64_t j = 0; j < 32; ++j) {
      if (i < 8 || j < 8) c.gram.sums.As<double>()[i * 32 + j] = 0;
    }
  }
  for (const PruneMethod method : {PruneMethod::kWanda, PruneMethod::kReconstruct}) {
    const Pruned pruned = c.Run(method, 0.75);
    EXPECT_EQ(pruned.mask[0] + pruned.mask[1], 0);
    EXPECT_NEAR(pruned.loss, 0, 1e-6);
  }
  std::fill_n(c.gram.sums.As<double>(), 32 * 32, 0.0);
  EXPECT_EQ(c.Run(PruneMethod::kReconstruct, 0.5).kept, 4u);  // nothing seen at all: any choice, but a finite one
}

TEST(Prune, RefusesWhatItCannotDo) {
  const Case c(16, 16, {16, 4}, 13);
  const PruneInput blind{c.weights.data(), c.input.grid, nullptr};
  EXPECT_EQ(Prune(blind, 0.5, {PruneMethod::kWanda}, nullptr).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(Prune(blind, 0.5, {PruneMethod::kReconstruct}, nullptr).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(Prune(c.input, 1.5, {}, nullptr).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(Prune(c.input, NAN, {}, nullptr).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(Prune(c.input, 0.5, {PruneMethod::kReconstruct, 0.0}, nullptr).status().code(), Code::kInvalidArgument);
  PruneInput narrow = c.input;
  narrow.grid.cols = 12;
  EXPECT_EQ(Prune(narrow, 0.5, {}, nullptr).status().code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace mote::tune
