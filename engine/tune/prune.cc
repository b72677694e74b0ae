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

double SumOf(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum;
}

// Of each row of `weights`, or of their difference to the input's; added up row by row, whatever the pool.
double OutputEnergy(const PruneInput& input, const float* weights, bool difference, ThreadPool* pool) {
  const uint64_t rows = input.grid.rows;
  const uint64_t cols = input.grid.cols;
  std::vector<double> energies(static_cast<size_t>(rows));
  std::vector<std::vector<double>> lines(static_cast<size_t>(NumWorkers(pool)),
                                         std::vector<double>(static_cast<size_t>(cols)));
  ForEach(pool, rows, [&](uint64_t row, int worker) {
    std::vector<double>& line = lines[static_cast<size_t>(worker)];
    const float* from = input.weights + row * cols;
    const float* to = weights + row * cols;
    for (uint64_t i = 0; i < cols; ++i) {
      line[static_cast<size_t>(i)] = static_cast<double>(to[i]) - (difference ? static_cast<double>(from[i]) : 0.0);
    }
    energies[static_cast<size_t>(row)] = RowEnergy(input.gram, line.data(), cols);
  });
  return SumOf(energies);
}

// A matrix that is pruned several ways: what its output was is known once for all of them.
struct Subject {
  Subject(const PruneInput& in, ThreadPool* workers)
      : input(in), pool(workers), before(OutputEnergy(in, in.weights, /*difference=*/false, workers)) {}

  double Loss(const float* weights) const {
    const double difference = OutputEnergy(input, weights, /*difference=*/true, pool);
    if (difference == 0) return 0;
    return before > 0 ? sqrt(difference / before) : 1.0;
  }

  const PruneInput& input;
  ThreadPool* pool;
  double before;
};

Pruned Finish(const Subject& subject, BlockMask mask, std::vector<float> weights) {
  Pruned pruned;
  pruned.kept = CountKept(mask);
  pruned.mask = std::move(mask);
  pruned.weights = std::move(weights);
  pruned.loss = subject.Loss(pruned.weights.data());
  return pruned;
}

Pruned Masked(const Subject& subject, BlockMask mask) {
  const PruneInput& input = subject.input;
  std::vector<float> weights(input.weights, input.weights + input.grid.rows * input.grid.cols);
  ApplyMask(input.grid, mask, weights.data());
  return Finish(subject, std::move(mask), std::move(weights));
}

Pruned PruneByScore(const Subject& subject, uint64_t keep, bool by_activation) {
  const PruneInput& input = subject.input;
  const std::vector<double> squares = by_activation ? input.gram->Diagonal() : std::vector<double>();
  return Masked(subject, KeepHighest(ScoreBlocks(input.grid, input.weights, squares), {}, keep));
}

Result<Pruned> Reconstruct(const Subject& subject, uint64_t keep, const PruneOptions& options) {
  const PruneInput& input = subject.input;
  MOTE_ASSIGN_OR_RETURN(Reconstruction fit, Reconstruction::Create(input, options.damping, subject.pool));
  MOTE_RETURN_IF_ERROR(fit.RemoveTo(keep, RoundsFor(options, input.grid.cols)));
  Pruned best = Finish(subject, fit.mask(), fit.Weights());
  // Taking blocks away greedily finds good masks, not always the best: where the simple one is better, it is taken.
  Pruned simple = PruneByScore(subject, keep, /*by_activation=*/true);
  if (best.loss <= simple.loss) return best;
  MOTE_RETURN_IF_ERROR(fit.FitTo(simple.mask));
  best = Finish(subject, simple.mask, fit.Weights());
  if (best.loss <= simple.loss) return best;
  return simple;
}

Result<Pruned> PruneSubject(const Subject& subject, double density, const PruneOptions& options) {
  const PruneInput& input = subject.input;
  const uint64_t keep = KeptAt(density, input.grid.blocks());
  switch (options.method) {
    case PruneMethod::kMagnitude:
      return PruneByScore(subject, keep, /*by_activation=*/false);
    case PruneMethod::kWanda:
      return PruneByScore(subject, keep, /*by_activation=*/true);
    case PruneMethod::kReconstruct:
      return Reconstruct(subject, keep, options);
    case PruneMethod::kZeros:
      return Masked(subject, NonZeroBlocks(input.grid, input.weights));
  }
  return Error(Code::kInternal, "no such method of pruning");
}

}  // namespace

double OutputLoss(const PruneInput& input, const float* weights, ThreadPool* pool) {
  return Subject(input, pool).Loss(weights);
}

Result<Pruned> Prune(const PruneInput& input, double density, const PruneOptions& options, ThreadPool* pool) {
  MOTE_RETURN_IF_ERROR(CheckInput(input, density, options));
  return PruneSubject(Subject(input, pool), density, options);
}

Result<Pruned> PruneToLoss(const PruneInput& input, double max_loss, const PruneOptions& options, ThreadPool* pool) {
  MOTE_RETURN_IF_ERROR(CheckInput(input, 1.0, options));
  const Subject subject(input, pool);
  int low = 0;  // the densities tried that lost too much end here
  int high = kDensitySteps;
  MOTE_ASSIGN_OR_RETURN(Pruned best, PruneSubject(subject, 1.0, options));
  while (low < high) {
    const int middle = (low + high) / 2;
    const double density = static_cast<double>(middle) / kDensitySteps;
    MOTE_ASSIGN_OR_RETURN(Pruned tried, PruneSubject(subject, density, options));
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
