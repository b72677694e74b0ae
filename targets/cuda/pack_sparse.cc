#include "targets/cuda/pack_sparse.h"

#include <string.h>

#include <algorithm>

namespace mote::cuda {
namespace {

// Halves of which more are kept run dense.
constexpr double kFullest = 0.9;

constexpr uint64_t Align(uint64_t bytes) {
  return (bytes + 127) / 128 * 128;
}

// A unit's blocks: where their activations are, and which of the view's they are.
struct Kept {
  uint8_t byte;
  uint64_t block;
};

// The order of a unit's blocks. What a warp gathers at once is the words of the first, or of the second, blocks of a
// step's four pairs, for eight tokens whose rows are four banks of shared memory apart (matmul_sparse.cuh): words that
// differ modulo four meet no bank twice. So each four take their blocks from the four classes as far as these last.
void Order(const Kept* from, size_t count, Kept* to) {
  size_t next[4][kUnitPlaces], size[4] = {}, taken[4] = {};
  for (size_t i = 0; i < count; ++i) {
    const uint32_t own = from[i].byte / 4 % 4;
    next[own][size[own]++] = i;
  }
  for (size_t first = 0; first < count; first += 2 * kStepPairs) {
    for (size_t half = 0; half < 2; ++half) {
      bool used[4] = {};
      for (size_t t = 0; t < kStepPairs; ++t) {
        const size_t at = first + 2 * t + half;
        if (at >= count) break;
        size_t best = 4;
        const auto left = [&](size_t c) { return size[c] - taken[c]; };
        for (size_t c = 0; c < 4; ++c) {
          if (left(c) == 0) continue;
          const bool better = best == 4 || (used[best] && !used[c]) || (used[best] == used[c] && left(c) > left(best));
          if (better) best = c;
        }
        used[best] = true;
        to[at] = from[next[best][taken[best]++]];
      }
    }
  }
}

// The block's 16 rows of four bytes to where lanes read them: 16 bytes from row g to row g + 1, row g + 8 beside row g.
void PutBlock(DType type, const uint8_t* block, uint8_t* to) {
  for (uint32_t row = 0; row < kTileRows; ++row) {
    uint8_t* word = to + row % 8 * 16 + row / 8 * 4;
    if (type == DType::kI8) {
      memcpy(word, block + 4 * row, 4);
    } else {
      memcpy(word, block + 2 * row, 2);
      memcpy(word + 2, block + 2 * (kTileRows + row), 2);
    }
  }
}

// Calls `unit(stretch, unit of the stretch, first block, end)` for a group's units, empty ones too.
template <class Function>
void EachUnit(const SparseView& view, uint64_t group, uint64_t block, Function unit) {
  const uint32_t units = kTileCols / UnitCols(view.shape.type);
  const uint64_t stretches = view.shape.stretches();
  for (uint64_t s = 0; s < stretches; ++s) {
    const uint64_t end = block + view.counts[group * stretches + s];
    for (uint32_t u = 0; u < units; ++u) {
      const uint64_t first = block;
      while (block < end && view.index[block] < (u + 1) * kUnitPlaces) ++block;
      unit(s, u, first, block);
    }
  }
}

}  // namespace

SparseLayout::SparseLayout(const SparseShape& shape, uint64_t blocks) {
  const uint64_t units = shape.groups() * RowUnits(shape.type, shape.cols);
  pairs = (blocks + std::min(blocks, units)) / 2;  // one of each unit's may be filled up
  starts_at = Align(sizeof(SparseMatrixArgs));
  scales_at = starts_at + Align((units + 1) * sizeof(uint32_t));
  index_at = scales_at + Align(units * UnitScaleBytes(shape.type));
  values_at = index_at + Align(2 * pairs);
  bytes = values_at + pairs * kPairBytes;
}

SparseMatrixArgs SparseLayout::At(const uint8_t* memory) const {
  return {reinterpret_cast<const uint32_t*>(memory + starts_at), memory + scales_at, memory + index_at,
          memory + values_at};
}

bool RunsSparse(const SparseShape& shape, uint64_t blocks) {
  if (!IsPackedSparse(shape.type)) return false;
  return shape.type == DType::kI8 || static_cast<double>(blocks) <= kFullest * static_cast<double>(shape.all_blocks());
}

bool RunsBothWays(const SparseShape& shape) {
  return IsPackedSparse(shape.type) && shape.type != DType::kI8;
}

std::vector<uint32_t> PairStarts(const SparseView& view) {
  std::vector<uint32_t> starts;
  starts.reserve(view.shape.groups() * RowUnits(view.shape.type, view.shape.cols) + 1);
  uint64_t block = 0;
  uint32_t pairs = 0;
  for (uint64_t g = 0; g < view.shape.groups(); ++g) {
    EachUnit(view, g, block, [&](uint64_t, uint32_t, uint64_t first, uint64_t end) {
      starts.push_back(pairs);
      pairs += static_cast<uint32_t>((end - first + 1) / 2);
      block = end;
    });
  }
  starts.push_back(pairs);
  return starts;
}

void PackSparseGroup(const SparseView& view, uint64_t group, uint64_t block, const uint32_t* units, uint8_t* scales,
                     uint8_t* index, uint8_t* values) {
  const DType type = view.shape.type;
  const uint32_t block_cols = static_cast<uint32_t>(SparseBlockCols(type));
  const uint64_t scale_bytes = 2 * view.shape.group_scales();
  uint32_t done = 0;
  EachUnit(view, group, block, [&](uint64_t stretch, uint32_t, uint64_t first, uint64_t end) {
    Kept kept[kUnitPlaces], ordered[kUnitPlaces];
    const size_t count = end - first;
    for (size_t i = 0; i < count; ++i) {
      const uint32_t k = view.index[first + i] * block_cols;
      kept[i] = {static_cast<uint8_t>(WordByte(type, k)), first + i};
    }
    Order(kept, count, ordered);
    const uint32_t pair = units[done] - units[0];
    for (size_t i = 0; i < count; ++i) {
      PutBlock(type, view.values.data() + ordered[i].block * kSparseBlockBytes,
               values + (pair + i / 2) * kPairBytes + i % 2 * 8);
      index[2 * pair + i] = ordered[i].byte;
    }
    if (count % 2 != 0) {
      for (uint32_t g = 0; g < 8; ++g) memset(values + (pair + count / 2) * kPairBytes + g * 16 + 8, 0, 8);
      index[2 * pair + count] = ordered[count - 1].byte;
    }
    if (type == DType::kI8) {
      const uint8_t* from = view.scales.data() + group * scale_bytes + stretch * 2 * kSparseRows;
      for (uint32_t row = 0; row < kTileRows; ++row) {
        memcpy(scales + done * UnitScaleBytes(type) + row % 8 * 4 + row / 8 * 2, from + 2 * row, 2);
      }
    }
    ++done;
  });
}

}  // namespace mote::cuda
