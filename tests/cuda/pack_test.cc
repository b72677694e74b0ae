// Weights in tiles: every value is found where it was put, as the format's definition decodes it.
#include <gtest/gtest.h>
#include <string.h>

#include <random>
#include <vector>

#include "quant/codec.h"
#include "tests/cuda/emulator/emulator.h"
// The emulator first: it defines the words that kernels are written in.
#include "targets/cuda/tile.cuh"

namespace mote::cuda {
namespace {

constexpr DType kTypes[] = {DType::kQ4_0,  DType::kQ4_1,   DType::kQ5_0,   DType::kQ5_1, DType::kQ8_0, DType::kQ2_K,
                            DType::kQ3_K,  DType::kQ4_K,   DType::kQ5_K,   DType::kQ6_K, DType::kF16,  DType::kBF16,
                            DType::kMXFP4, DType::kIQ4_NL, DType::kIQ4_XS, DType::kI8Row};

std::vector<uint8_t> RandomRows(DType type, uint32_t rows, uint64_t cols) {
  std::minstd_rand random(7);
  std::normal_distribution<float> normal;
  std::vector<float> values(cols);
  std::vector<uint8_t> bytes(rows * RowBytes(type, cols));
  for (uint32_t row = 0; row < rows; ++row) {
    for (float& v : values) v = normal(random);
    EXPECT_TRUE(EncodeRow(type, values.data(), bytes.data() + row * RowBytes(type, cols), cols));
  }
  return bytes;
}

TEST(Pack, EveryValueIsFoundAndDecodesToTheSameBits) {
  for (const DType type : kTypes) {
    const uint32_t block = DTypeInfoOf(type)->block_values;
    const uint32_t uneven = block == 256 ? 512 : block == 32 ? 352 : 77 / block * block;
    for (const uint64_t cols : {uint64_t{256}, uint64_t{768}, uint64_t{uneven}}) {
      for (const uint32_t rows : {1u, 16u, 35u}) {
        const std::vector<uint8_t> bytes = RandomRows(type, rows, cols);
        std::vector<uint8_t> tiles(PackedBytes(type, rows, cols), 0xee);
        const uint64_t tile_row = PackedBytes(type, kTileRows, cols);
        for (uint32_t row = 0; row < rows; row += kTileRows) {
          PackTiles(type, bytes.data() + row * RowBytes(type, cols), RowBytes(type, cols),
                    std::min(kTileRows, rows - row), cols, tiles.data() + row / kTileRows * tile_row);
        }
        std::vector<float> want(cols);
        for (uint32_t row = 0; row < rows; ++row) {
          DecodeRow(type, bytes.data() + row * RowBytes(type, cols), want.data(), cols);
          for (uint32_t k = 0; k < cols; ++k) {
            const float got = PackedValue(type, tiles.data(), RowTiles(cols), row, k);
            ASSERT_EQ(memcmp(&got, &want[k], sizeof(got)) == 0 || got == want[k], true)
                << DTypeName(type) << " row " << row << " column " << k << ": " << got << ", not " << want[k];
          }
        }
      }
    }
  }
}

// What the file has, a value at a time; two formats are allowed a little more (packed.h).
TEST(Pack, TilesTakeTheBytesOfTheFile) {
  for (const DType type : kTypes) {
    const double bits = PackedBytes(type, 16, 256) * 8.0 / (16 * 256);
    const double file_bits = RowBytes(type, 256) * 8.0 / 256;
    const double more = type == DType::kQ3_K ? 0.13 : type == DType::kIQ4_XS ? 0.07 : type == DType::kMXFP4 ? 0.26 : 0;
    EXPECT_LE(bits, file_bits + more) << DTypeName(type);
    EXPECT_GE(bits, file_bits) << DTypeName(type);
    EXPECT_EQ(FormatOf(type).tile_bytes() % 16, 0u) << DTypeName(type);
  }
}

TEST(Pack, PlacesOfActivationsAreAPermutation) {
  std::vector<int> seen(256), seen_halves(256);
  for (uint32_t k = 0; k < 256; ++k) {
    ++seen[ActPlace(k)];
    ++seen_halves[HalfActPlace(k)];
    // 16 bytes of a lane: the two registers of B of two steps.
    EXPECT_EQ(ActPlace(k) / 16 % 4, k % 16 / 4);
  }
  for (uint32_t k = 0; k < 256; ++k) EXPECT_TRUE(seen[k] == 1 && seen_halves[k] == 1) << k;
  std::vector<int> tile(16 * 256);
  for (uint32_t row = 0; row < 16; ++row) {
    for (uint32_t k = 0; k < 256; ++k) ++tile[HalfTilePlace(row, k)];
  }
  for (const int count : tile) EXPECT_EQ(count, 1);
}

}  // namespace
}  // namespace mote::cuda
