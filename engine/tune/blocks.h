// A matrix seen as blocks of rows x columns, what each block is worth, and which of them are kept.
#ifndef MOTE_ENGINE_TUNE_BLOCKS_H_
#define MOTE_ENGINE_TUNE_BLOCKS_H_

#include <stddef.h>
#include <stdint.h>

#include <algorithm>
#include <span>
#include <vector>

namespace mote::tune {

struct BlockSize {
  uint32_t rows = 16;
  uint32_t cols = 4;
};

// Blocks are numbered along a group of rows, then group by group. The last ones of a row or a column may be cut off.
struct BlockGrid {
  uint64_t rows = 0;
  uint64_t cols = 0;
  BlockSize size;

  uint64_t groups() const { return (rows + size.rows - 1) / size.rows; }
  uint64_t per_group() const { return (cols + size.cols - 1) / size.cols; }
  uint64_t blocks() const { return groups() * per_group(); }
  uint64_t first_row(uint64_t group) const { return group * size.rows; }
  uint64_t end_row(uint64_t group) const { return std::min<uint64_t>(rows, (group + 1) * size.rows); }
  uint64_t first_col(uint64_t block) const { return block * size.cols; }  // of a block within its group
  uint64_t end_col(uint64_t block) const { return std::min<uint64_t>(cols, (block + 1) * size.cols); }
};

// One element per block of a grid: 1 where it is kept, 0 where all of it becomes zero.
using BlockMask = std::vector<uint8_t>;

uint64_t CountKept(std::span<const uint8_t> mask);
// The blocks that hold anything but zeros.
BlockMask NonZeroBlocks(const BlockGrid& grid, const float* weights);

// Blocks that a density (0 to 1) leaves of `blocks`: to nearest.
uint64_t KeptAt(double density, uint64_t blocks);

// A block's sum of w^2 * column_squares[column]; with an empty span, of w^2. `weights`: (rows, cols). One score per
// block.
std::vector<double> ScoreBlocks(const BlockGrid& grid, const float* weights, std::span<const double> column_squares);

// Keeps exactly `keep` of the blocks that `among` keeps (all where it is empty), those with the highest scores; of
// equals, those that come first.
BlockMask KeepHighest(std::span<const double> scores, std::span<const uint8_t> among, uint64_t keep);

// Makes zeros of what the mask does not keep.
void ApplyMask(const BlockGrid& grid, std::span<const uint8_t> mask, float* weights);

}  // namespace mote::tune

#endif  // MOTE_ENGINE_TUNE_BLOCKS_H_
