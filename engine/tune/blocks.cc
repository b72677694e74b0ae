#include "engine/tune/blocks.h"

#include <math.h>

namespace mote::tune {

uint64_t CountKept(std::span<const uint8_t> mask) {
  uint64_t kept = 0;
  for (const uint8_t bit : mask) kept += bit;
  return kept;
}

BlockMask NonZeroBlocks(const BlockGrid& grid, const float* weights) {
  BlockMask mask(static_cast<size_t>(grid.blocks()), 0);
  const uint64_t per_group = grid.per_group();
  for (uint64_t row = 0; row < grid.rows; ++row) {
    uint8_t* line = mask.data() + row / grid.size.rows * per_group;
    for (uint64_t col = 0; col < grid.cols; ++col) {
      if (weights[row * grid.cols + col] != 0.0f) line[col / grid.size.cols] = 1;
    }
  }
  return mask;
}

uint64_t KeptAt(double density, uint64_t blocks) {
  const double kept = floor(density * static_cast<double>(blocks) + 0.5);
  return std::min(blocks, static_cast<uint64_t>(std::max(kept, 0.0)));
}

std::vector<double> ScoreBlocks(const BlockGrid& grid, const float* weights, std::span<const double> column_squares) {
  std::vector<double> scores(static_cast<size_t>(grid.blocks()), 0.0);
  const uint64_t per_group = grid.per_group();
  for (uint64_t row = 0; row < grid.rows; ++row) {
    double* line = scores.data() + row / grid.size.rows * per_group;
    const float* w = weights + row * grid.cols;
    for (uint64_t col = 0; col < grid.cols; ++col) {
      const double value = static_cast<double>(w[col]);
      const double weight = column_squares.empty() ? 1.0 : column_squares[static_cast<size_t>(col)];
      line[col / grid.size.cols] += value * value * weight;
    }
  }
  return scores;
}

BlockMask KeepHighest(std::span<const double> scores, std::span<const uint8_t> among, uint64_t keep) {
  std::vector<uint32_t> order;
  order.reserve(scores.size());
  for (size_t i = 0; i < scores.size(); ++i) {
    if (among.empty() || among[i] != 0) order.push_back(static_cast<uint32_t>(i));
  }
  BlockMask mask(scores.size(), 0);
  keep = std::min<uint64_t>(keep, order.size());
  const auto first = order.begin();
  const auto cut = first + static_cast<ptrdiff_t>(keep);
  std::nth_element(first, cut, order.end(),
                   [&](uint32_t a, uint32_t b) { return scores[a] != scores[b] ? scores[a] > scores[b] : a < b; });
  for (auto it = first; it != cut; ++it) mask[*it] = 1;
  return mask;
}

void ApplyMask(const BlockGrid& grid, std::span<const uint8_t> mask, float* weights) {
  const uint64_t per_group = grid.per_group();
  for (uint64_t row = 0; row < grid.rows; ++row) {
    const uint8_t* line = mask.data() + row / grid.size.rows * per_group;
    float* w = weights + row * grid.cols;
    for (uint64_t col = 0; col < grid.cols; ++col) {
      if (line[col / grid.size.cols] == 0) w[col] = 0.0f;
    }
  }
}

}  // namespace mote::tune
