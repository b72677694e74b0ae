#include "engine/tune/reconstruct.h"

#include <math.h>
#include <string.h>

#include <algorithm>
#include <utility>

#include "engine/tune/dense.h"
#include "engine/tune/parallel.h"

namespace mote::tune {
namespace {

constexpr size_t kMaxBlockCols = 16;

// v m^-1 v^T for a symmetric positive definite m (n, n) in rows of kMaxBlockCols, which is overwritten by its factor.
bool Factor(double* m, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j <= i; ++j) {
      double rest = m[i * kMaxBlockCols + j];
      for (size_t k = 0; k < j; ++k) rest -= m[i * kMaxBlockCols + k] * m[j * kMaxBlockCols + k];
      if (i != j) {
        m[i * kMaxBlockCols + j] = rest / m[j * kMaxBlockCols + j];
      } else if (rest > 0) {
        m[i * kMaxBlockCols + i] = sqrt(rest);
      } else {
        return false;
      }
    }
  }
  return true;
}

double Saliency(const double* factor, size_t n, const double* v) {
  double y[kMaxBlockCols];
  double sum = 0;
  for (size_t i = 0; i < n; ++i) {
    double rest = v[i];
    for (size_t k = 0; k < i; ++k) rest -= factor[i * kMaxBlockCols + k] * y[k];
    y[i] = rest / factor[i * kMaxBlockCols + i];
    sum += y[i] * y[i];
  }
  return sum;
}

}  // namespace

Result<Reconstruction> Reconstruction::Create(const PruneInput& input, double damping, ThreadPool* pool) {
  const BlockGrid& grid = input.grid;
  if (grid.size.cols > kMaxBlockCols) {
    return Error(Code::kInvalidArgument, "blocks of %u columns; at most %zu are possible", grid.size.cols,
                 kMaxBlockCols);
  }
  Reconstruction r;
  r.input_ = input;
  r.pool_ = pool;
  double trace = 0;
  for (uint64_t i = 0; i < grid.cols; ++i) trace += input.gram->line(i)[i];
  // Where nothing was seen at all, every weight is as good as every other: any positive number will do.
  r.ridge_ = trace > 0 ? damping * trace / static_cast<double>(grid.cols) : 1.0;
  r.mask_.assign(static_cast<size_t>(grid.blocks()), 1);
  r.scores_.assign(static_cast<size_t>(grid.blocks()), 0.0);
  r.values_.assign(input.weights, input.weights + grid.rows * grid.cols);
  r.scratch_.resize(static_cast<size_t>(NumWorkers(pool)));
  for (Scratch& scratch : r.scratch_) {
    MOTE_ASSIGN_OR_RETURN(scratch.factor, Buffer::Create(r.SystemBytes(), "a system of equations"));
  }
  return r;
}

void Reconstruction::ScoreGroup(uint64_t group, const Scratch& scratch) {
  const BlockGrid& grid = input_.grid;
  const size_t n = scratch.columns.size();
  const double* inverse = scratch.inverse.As<double>();
  // The columns of a kept block stand side by side among the kept columns.
  size_t at = 0;
  for (uint64_t block = 0; block < grid.per_group(); ++block) {
    const size_t index = static_cast<size_t>(group * grid.per_group() + block);
    if (mask_[index] == 0) continue;
    const uint64_t first_col = grid.first_col(block);
    const size_t width = static_cast<size_t>(grid.end_col(block) - first_col);
    double m[kMaxBlockCols * kMaxBlockCols] = {};
    for (size_t row = at; row < n; ++row) {
      const double* line = inverse + row * n + at;
      for (size_t i = 0; i < width; ++i) {
        for (size_t j = 0; j <= i; ++j) m[i * kMaxBlockCols + j] += line[i] * line[j];
      }
    }
    at += width;
    double score = 0;
    if (Factor(m, width)) {
      for (uint64_t row = grid.first_row(group); row < grid.end_row(group); ++row) {
        score += Saliency(m, width, values_.data() + row * grid.cols + first_col);
      }
    }
    scores_[index] = score;
  }
}

void Reconstruction::FitGroup(uint64_t group, bool fit, bool score, Scratch* scratch) {
  const BlockGrid& grid = input_.grid;
  const uint8_t* mask = mask_.data() + group * grid.per_group();
  std::vector<uint32_t>& columns = scratch->columns;
  columns.clear();
  for (uint64_t col = 0; col < grid.cols; ++col) {
    if (mask[col / grid.size.cols] != 0) columns.push_back(static_cast<uint32_t>(col));
  }
  const size_t n = columns.size();
  const bool whole = n == grid.cols;
  for (uint64_t row = grid.first_row(group); row < grid.end_row(group); ++row) {
    const float* from = input_.weights + row * grid.cols;
    if (fit && n == 0) std::fill_n(values_.data() + row * grid.cols, grid.cols, 0.0);
    if (fit && whole) std::copy_n(from, grid.cols, values_.data() + row * grid.cols);
  }
  if (n == 0 || (whole && !score)) return;
  double* factor = scratch->factor.As<double>();
  for (size_t i = 0; i < n; ++i) {
    const double* line = input_.gram->line(columns[i]);
    for (size_t j = 0; j <= i; ++j) factor[i * n + j] = line[columns[j]];
    factor[i * n + i] += ridge_;
  }
  if (!Cholesky(factor, n)) {
    scratch->solved = false;
    return;
  }
  std::vector<double>& right = scratch->right;
  for (uint64_t row = grid.first_row(group); fit && !whole && row < grid.end_row(group); ++row) {
    // What is gone is made up for by a step from the old weights: H_SS (v_S - w_S) = H_SP w_P.
    const float* from = input_.weights + row * grid.cols;
    right.assign(n, 0.0);
    for (uint64_t col = 0; col < grid.cols; ++col) {
      if (mask[col / grid.size.cols] != 0 || from[col] == 0.0f) continue;
      const double* line = input_.gram->line(col);
      const double gone = static_cast<double>(from[col]);
      for (size_t i = 0; i < n; ++i) right[i] += gone * line[columns[i]];
    }
    SolveCholesky(factor, n, right.data());
    double* to = values_.data() + row * grid.cols;
    std::fill_n(to, grid.cols, 0.0);
    for (size_t i = 0; i < n; ++i) to[columns[i]] = static_cast<double>(from[columns[i]]) + right[i];
  }
  if (!score) return;
  InvertLower(factor, n, scratch->inverse.As<double>());
  ScoreGroup(group, *scratch);
}

Status Reconstruction::MakeInverse(Scratch* scratch) {
  if (scratch->inverse.data() != nullptr) return Status();
  MOTE_ASSIGN_OR_RETURN(scratch->inverse, Buffer::Create(SystemBytes(), "a system of equations"));
  return Status();
}

Status Reconstruction::Pass(bool fit, bool score) {
  for (Scratch& scratch : scratch_) {
    if (score) MOTE_RETURN_IF_ERROR(MakeInverse(&scratch));
  }
  ForEach(pool_, input_.grid.groups(),
          [&](uint64_t group, int worker) { FitGroup(group, fit, score, &scratch_[static_cast<size_t>(worker)]); });
  for (const Scratch& scratch : scratch_) {
    if (scratch.solved) continue;
    return Error(Code::kMalformed,
                 "the products of the activations are not positive definite; more calibration data or more damping "
                 "(now %g on the diagonal) would help",
                 ridge_);
  }
  return Status();
}

Status Reconstruction::RemoveTo(uint64_t keep, uint32_t rounds) {
  const uint64_t before = CountKept(mask_);
  if (keep >= before) return Status();
  bool fresh = before == mask_.size();
  for (uint32_t round = 1; round <= rounds; ++round) {
    if (fresh) {
      // Nothing is gone yet, so all groups have one system: solved once, judged for each.
      Scratch& first = scratch_[0];
      MOTE_RETURN_IF_ERROR(MakeInverse(&first));
      FitGroup(0, false, true, &first);
      if (!first.solved) return Pass(false, false);
      ForEach(pool_, input_.grid.groups(), [&](uint64_t group, int) { ScoreGroup(group, first); });
    } else {
      MOTE_RETURN_IF_ERROR(Pass(false, true));
    }
    fresh = false;
    const uint64_t left = before - (before - keep) * round / rounds;
    mask_ = KeepHighest(scores_, mask_, left);
    MOTE_RETURN_IF_ERROR(Pass(true, false));
  }
  return Status();
}

Status Reconstruction::FitTo(const BlockMask& mask) {
  mask_ = mask;
  return Pass(true, false);
}

std::vector<float> Reconstruction::Weights() const {
  std::vector<float> weights(values_.size());
  for (size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<float>(values_[i]);
  return weights;
}

}  // namespace mote::tune
