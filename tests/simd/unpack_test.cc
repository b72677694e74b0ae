// Packed rows come back as they were.
#include "simd/unpack.h"

#include <gtest/gtest.h>
#include <string.h>

#include <vector>

#include "tests/simd/rows.h"
#include "tests/support/guarded.h"

namespace mote::testing {
namespace {

TEST(Unpack, BlocksAreThoseOfTheFile) {
  Random random(11);
  for (const simd::KernelTable* table : RunnableRows()) {
    std::vector<DType> types = WeightTypes();
    types.push_back(DType::kI8Row);
    for (const DType type : types) {
      SCOPED_TRACE(std::string(table->name) + " " + DTypeName(type));
      const DTypeInfo& info = *DTypeInfoOf(type);
      const size_t panel_rows = simd::PanelRows(*table, type);
      // Whole chunks of eight blocks, a last one that has fewer, and panels that are not full.
      for (const size_t blocks : {1u, 3u, 8u, 17u}) {
        const size_t rows = panel_rows * 2 + (panel_rows > 1 ? panel_rows / 2 : 0);
        const size_t k = blocks * info.block_values, row_bytes = RowBytes(type, k);
        std::vector<uint8_t> file(rows * row_bytes);
        for (uint8_t& byte : file) byte = static_cast<uint8_t>(random.Bits() >> 24);
        std::vector<uint8_t> panels(simd::PackedBytes(*table, type, rows, k));
        simd::PackArgs args;
        args.type = type;
        args.rows = file.data();
        args.num_rows = rows;
        args.k = k;
        args.panels = panels.data();
        table->pack(args);
        for (size_t row = 0; row < rows; ++row) {
          simd::PackedRow packed;
          packed.type = type;
          packed.panel = panels.data() + row / panel_rows * panel_rows * row_bytes;
          packed.panel_rows = panel_rows;
          packed.row = row % panel_rows;
          packed.k = k;
          packed.raised_q8 = simd::RaisesQ8(*table);
          if (type == DType::kI8Row) {
            const float scale = simd::ScaleOf(packed);
            ASSERT_EQ(memcmp(&scale, file.data() + row * row_bytes + k, sizeof(scale)), 0) << "row " << row;
          }
          for (size_t first = 0; first < blocks; first += 2) {
            const size_t count = std::min<size_t>(2, blocks - first);
            Guarded<uint8_t> out(count * info.block_bytes);
            simd::UnpackBlocks(packed, first, count, out.data());
            ASSERT_EQ(memcmp(out.data(), file.data() + row * row_bytes + first * info.block_bytes, out.size()), 0)
                << "row " << row << ", block " << first << " of " << blocks;
            ASSERT_TRUE(out.GuardsIntact());
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace mote::testing
