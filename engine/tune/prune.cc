#include "engine/tune/prune.h"

#include <math.h>

#include <algorithm>
#include <utility>

#include "engine/tune/dense.h"
#include "engine/tune/parallel.h"
#include "engine/tune/reconstruct.h"

namespace mote::tune {
namespace {

constexpr int kDensitySteps = 64;
// A round of reconstruction costs a system of equations per group; the number of columns to the third power.
constexpr uint64_t kColumnsOfOneRound = 2048;
constexpr uint64_t kMostRounds = 8;

// d H d^T of one row, and scratch-free: H line by line.
double RowEnergy(const Gram* gram, const double* row, uint64_t cols) {
  if (gram == nullptr) return DotDouble(row, row, static_cast<size_t>(cols));
  double sum = 0;
  for (uint64_t i = 0; i < cols; ++i) {
    if (row[i] != 0.0) sum += row[i] * DotDouble(gram->line(i), row, static_cast<size_t>(cols));
  }
  return std::max(sum, 0.0);  // rounding can make it less than nothing
}

Status CheckInput(const PruneInput& input, double density, const PruneOptions& options) {
  const bool needs_gram = options.method == PruneMethod::kWanda || options.method == PruneMethod::kReconstruct;
  if (needs_gram && input.gram == nullptr) {
    return Error(Code::kInvalidArgument, "this method needs the activations of the matrix, and it has seen none");
  }
  if (input.gram != nullptr && input.gram->cols != input.grid.cols) {
    return Error(Code::kInvalidArgument, "a matrix of %llu columns, activations of %llu",
                 static_cast<unsigned long long>(input.grid.cols), static_cast<unsigned long long>(input.gram->cols));
  }
  if (!(density >= 0 && density <= 1)) {
    return Error(Code::kInvalidArgument, "a density of %g; it must be 0 to 1", density);
  }
  if (!(options.damping > 0) || !isfinite(options.damping)) {
    return Error(Code::kInvalidArgument, "damping of %g; it must be above 0", options.damping);
  }
  return Status();
}

uint32_t RoundsFor(const PruneOptions& options, uint64_t cols) {
  if (options.rounds != 0) return options.rounds;
  return static_cast<uint32_t>(std::clamp<uint64_t>(kColumnsOfOneRound / std::max<uint64_t>(cols, 1), 1, kMostRounds));
}

Pruned Finish(const PruneInput& input, BlockMask mask, std::vector<float> weights, ThreadPool* pool) {
  Pruned pruned;
  pruned.kept = CountKept(mask);
  pruned.mask = std::move(mask);
  pruned.weights = std::move(weights);
  pruned.loss = OutputLoss(input, pruned.weights.data(), pool);
  return pruned;
}

Pruned Masked(const PruneInput& input, BlockMask mask, ThreadPool* pool) {
  std::vector<float> weights(input.weights, input.weights + input.grid.rows * input.grid.cols);
  ApplyMask(input.grid, mask, weights.data());
  return Finish(input, std::move(mask), std::move(weights), pool);
}

Pruned PruneByScore(const PruneInput& input, uint64_t keep, bool by_activation, ThreadPool* pool) {
  const std::vector<double> squares = by_activation ? input.gram->Diagonal() : std::vector<double>();
  return Masked(input, KeepHighest(ScoreBlocks(input.grid, input.weights, squares), {}, keep), pool);
}

Result<Pruned> Reconstruct(const PruneInput& input, uint64_t keep, const PruneOptions& options, ThreadPool* pool) {
  MOTE_ASSIGN_OR_RETURN(Reconstruction fit, Reconstruction::Create(input, options.damping, pool));
  MOTE_RETURN_IF_ERROR(fit.RemoveTo(keep, RoundsFor(options, input.grid.cols)));
  Pruned best = Finish(input, fit.mask(), fit.Weights(), pool);
  // Taking blocks away greedily finds good masks, not always the best: where the simple one is better, it is taken.
  Pruned simple = PruneByScore(input, keep, /*by_activation=*/true, pool);
  if (best.loss <= simple.loss) return best;
  MOTE_RETURN_IF_ERROR(fit.FitTo(simple.mask));
  best = Finish(input, simple.mask, fit.Weights(), pool);
  if (best.loss <= simple.loss) return best;
  return simple;
}

}  // namespace

double OutputLoss(const PruneInput& input, const float* weights, ThreadPool* pool) {
  const uint64_t rows = input.grid.rows;
  const uint64_t cols = input.grid.cols;
  std::vector<double> was(static_cast<size_t>(rows));
  std::vector<double> off(static_cast<size_t>(rows));
  std::vector<std::vector<double>> lines(static_cast<size_t>(NumWorkers(pool)),
                                         std::vector<double>(static_cast<size_t>(cols)));
  ForEach(pool, rows, [&](uint64_t row, int worker) {
    std::vector<double>& line = lines[static_cast<size_t>(worker)];
    const float* before = input.weights + row * cols;
    const float* after = weights + row * cols;
    for (uint64_t i = 0; i < cols; ++i) line[static_cast<size_t>(i)] = static_cast<double>(before[i]);
    was[static_cast<size_t>(row)] = RowEnergy(input.gram, line.data(), cols);
    for (uint64_t i = 0; i < cols; ++i) {
      line[static_cast<size_t>(i)] = static_cast<double>(after[i]) - static_cast<double>(before[i]);
    }
    off[static_cast<size_t>(row)] = RowEnergy(input.gram, line.data(), cols);
  });
  double before = 0;
  double difference = 0;
  for (size_t row = 0; row < was.size(); ++row) {
    before += was[row];
    difference += off[row];
  }
  if (difference == 0) return 0;
  return before > 0 ? sqrt(difference / before) : 1.0;
}

Result<Pruned> Prune(const PruneInput& input, double density, const PruneOptions& options, ThreadPool* pool) {
  MOTE_RETURN_IF_ERROR(CheckInput(input, density, options));
  const uint64_t keep = KeptAt(density, input.grid.blocks());
  switch (options.method) {
    case PruneMethod::kMagnitude:
      return PruneByScore(input, keep, /*by_activation=*/false, pool);
    case PruneMethod::kWanda:
      return PruneByScore(input, keep, /*by_activation=*/true, pool);
    case PruneMethod::kReconstruct:
      return Reconstruct(input, keep, options, pool);
    case PruneMethod::kZeros:
      return Masked(input, NonZeroBlocks(input.grid, input.weights), pool);
  }
  return Error(Code::kInternal, "no such method of pruning");
}

Result<Pruned> PruneToLoss(const PruneInput& input, double max_loss, const PruneOptions& options, ThreadPool* pool) {
  int low = 0;  // the densities tried that lost too much end here
  int high = kDensitySteps;
  MOTE_ASSIGN_OR_RETURN(Pruned best, Prune(input, 1.0, options, pool));
  while (low < high) {
    const int middle = (low + high) / 2;
    MOTE_ASSIGN_OR_RETURN(Pruned tried, Prune(input, static_cast<double>(middle) / kDensitySteps, options, pool));
    if (tried.loss <= max_loss) {
      best = std::move(tried);
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return best;
}

}  // namespace mote::tune
