// Where block-sparse weights are cut, so that workers get as many blocks each.
#include "targets/cpu/weights.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace mote::testing {
namespace {

// The first group before which there is at least the tile's share of all that groups cost: a block 1, and a group 1
// more.
uint64_t Expected(const std::vector<uint64_t>& blocks, uint64_t tile, uint64_t tiles) {
  uint64_t total = 0;
  for (const uint64_t n : blocks) total += n + 1;
  const uint64_t wanted = total / tiles * tile + total % tiles * tile / tiles;
  uint64_t group = 0;
  for (uint64_t cost = 0; cost < wanted; ++group) cost += blocks[group] + 1;
  return group;
}

void Check(const std::vector<uint64_t>& blocks, uint64_t before) {
  CpuSparse sparse;
  sparse.starts.resize(before + blocks.size() + 1);
  for (uint64_t g = 0; g < before; ++g) sparse.starts[g + 1] = sparse.starts[g] + 7;
  for (size_t g = 0; g < blocks.size(); ++g) {
    sparse.starts[before + g + 1] = sparse.starts[before + g] + blocks[g];
  }
  CpuWeight weight;
  weight.sparse = &sparse;
  weight.first_group = before;
  weight.rows = blocks.size() * kSparseRows;
  for (const uint64_t tiles : {1, 2, 3, 8, 17, 64, 1000}) {
    for (uint64_t tile = 0; tile <= tiles; ++tile) {
      ASSERT_EQ(weight.GroupOfTile(tile, tiles), Expected(blocks, tile, tiles))
          << blocks.size() << " groups, tile " << tile << " of " << tiles;
    }
  }
}

TEST(SparseWeight, IsCutByBlocks) {
  std::mt19937 random(1);
  for (const size_t groups : {1, 2, 3, 5, 16, 100, 513}) {
    for (const uint64_t before : {0, 3}) {
      Check(std::vector<uint64_t>(groups, 0), before);
      Check(std::vector<uint64_t>(groups, 256), before);
      std::vector<uint64_t> blocks(groups);
      for (uint64_t& n : blocks) n = 96 + random() % 64;
      Check(blocks, before);
      for (size_t g = 0; g < groups; ++g) blocks[g] = g < groups / 8 ? 4000 : random() % 2;  // all at the begin
      Check(blocks, before);
      for (size_t g = 0; g < groups; ++g) blocks[g] = g + 1 == groups ? 100000 : 0;  // and at the end
      Check(blocks, before);
    }
  }
}

}  // namespace
}  // namespace mote::testing
