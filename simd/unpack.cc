// The way back of simd/pack.cc, of the same table of fields.
#include "simd/unpack.h"

#include <string.h>

#include "quant/blocks.h"

namespace mote::simd {
namespace {

// The way back of SpreadHighBits.
uint32_t GatherHighBits(uint32_t spread) {
  uint32_t bits = 0;
  for (uint32_t v = 0; v < 32; ++v) bits |= (spread >> (v % 4 * 8 + v / 4) & 1) << v;
  return bits;
}

// Words of 32 bits that packing changed, as they were.
void Restore(const PackedRow& row, const ChunkField& field, uint8_t* field_bytes) {
  const bool raised = row.raised_q8 && row.type == DType::kQ8_0;
  const bool spread = (row.type == DType::kQ5_0 || row.type == DType::kQ5_1) && field.count == 1;
  if (field.bytes != 4 || (!raised && !spread)) return;
  for (size_t e = 0; e < field.count; ++e) {
    uint32_t word;
    memcpy(&word, field_bytes + e * 4, 4);
    word = spread ? GatherHighBits(word) : word ^ 0x80808080u;
    memcpy(field_bytes + e * 4, &word, 4);
  }
}

void UnpackBlock(const PackedRow& row, size_t index, const DTypeInfo& info, uint8_t* block) {
  const size_t blocks = row.k / info.block_values;
  const size_t chunk = info.block_values == kBlock ? kChunkBlocks : 1;
  const size_t begin = index / chunk * chunk;
  const size_t in_chunk = blocks - begin < chunk ? blocks - begin : chunk;
  const uint8_t* field_begin = row.panel + begin * info.block_bytes * row.panel_rows;
  for (const ChunkField& field : ChunkFields(row.type)) {
    const size_t first = (index - begin) * field.count;
    for (size_t e = 0; e < field.count; ++e) {
      memcpy(block + field.offset + e * field.bytes,
             field_begin + ((first + e) * row.panel_rows + row.row) * field.bytes, field.bytes);
    }
    Restore(row, field, block + field.offset);
    field_begin += in_chunk * field.count * row.panel_rows * field.bytes;
  }
}

}  // namespace

bool RaisesQ8(const KernelTable& table) {
  constexpr size_t kMostRows = 64;  // of vectors of 2048 bits
  if (table.panel_rows == 1 || table.panel_rows > kMostRows) return false;
  const uint8_t zeros[sizeof(BlockQ8_0)] = {};
  uint8_t panel[kMostRows * sizeof(BlockQ8_0)];
  PackArgs args;
  args.type = DType::kQ8_0;
  args.rows = zeros;
  args.num_rows = 1;
  args.k = kBlock;
  args.panels = panel;
  table.pack(args);
  return panel[table.panel_rows * 2] == 0x80;  // the first code, after the scales
}

void UnpackBlocks(const PackedRow& row, size_t first, size_t count, uint8_t* blocks) {
  const DTypeInfo& info = *DTypeInfoOf(row.type);
  const size_t bytes = info.block_bytes;
  if (row.panel_rows == 1) {  // the reference kernels read rows as they are
    memcpy(blocks, row.panel + first * bytes, count * bytes);
    return;
  }
  for (size_t i = 0; i < count; ++i) {
    if (row.type == DType::kI8Row) {
      uint32_t word;
      memcpy(&word, row.panel + ((first + i) * row.panel_rows + row.row) * bytes, bytes);
      if (row.raised_q8) word ^= 0x80808080u;
      memcpy(blocks + i * bytes, &word, bytes);
    } else if (info.block_values == 1) {
      memcpy(blocks + i * bytes, row.panel + ((first + i) * row.panel_rows + row.row) * bytes, bytes);
    } else {
      UnpackBlock(row, first + i, info, blocks + i * bytes);
    }
  }
}

float ScaleOf(const PackedRow& row) {
  float scale;
  memcpy(&scale, row.panel + row.panel_rows * row.k + row.row * sizeof(scale), sizeof(scale));
  return scale;
}

}  // namespace mote::simd
