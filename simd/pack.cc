// Packing is a transposition of words: plain loops, bound by the memory that they read.
#include "simd/pack.h"

#include <string.h>

#include "quant/blocks.h"

namespace mote::simd {
namespace {

#define MOTE_FIELD(Block, field, bytes, count) \
  { offsetof(Block, field), bytes, count }

constexpr ChunkField kQ4_0[] = {MOTE_FIELD(BlockQ4_0, scale, 2, 1), MOTE_FIELD(BlockQ4_0, codes, 4, 4)};
constexpr ChunkField kQ4_1[] = {MOTE_FIELD(BlockQ4_1, scale, 2, 1), MOTE_FIELD(BlockQ4_1, min, 2, 1),
                                MOTE_FIELD(BlockQ4_1, codes, 4, 4)};
constexpr ChunkField kQ5_0[] = {MOTE_FIELD(BlockQ5_0, scale, 2, 1), MOTE_FIELD(BlockQ5_0, high, 4, 1),
                                MOTE_FIELD(BlockQ5_0, codes, 4, 4)};
constexpr ChunkField kQ5_1[] = {MOTE_FIELD(BlockQ5_1, scale, 2, 1), MOTE_FIELD(BlockQ5_1, min, 2, 1),
                                MOTE_FIELD(BlockQ5_1, high, 4, 1), MOTE_FIELD(BlockQ5_1, codes, 4, 4)};
constexpr ChunkField kQ8_0[] = {MOTE_FIELD(BlockQ8_0, scale, 2, 1), MOTE_FIELD(BlockQ8_0, codes, 4, 8)};
constexpr ChunkField kIQ4_NL[] = {MOTE_FIELD(BlockIQ4_NL, scale, 2, 1), MOTE_FIELD(BlockIQ4_NL, codes, 4, 4)};
constexpr ChunkField kMXFP4[] = {MOTE_FIELD(BlockMXFP4, exponent, 1, 1), MOTE_FIELD(BlockMXFP4, codes, 4, 4)};
constexpr ChunkField kQ2_K[] = {MOTE_FIELD(BlockQ2_K, scale, 2, 1), MOTE_FIELD(BlockQ2_K, min, 2, 1),
                                MOTE_FIELD(BlockQ2_K, scales, 4, 4), MOTE_FIELD(BlockQ2_K, codes, 4, 16)};
constexpr ChunkField kQ3_K[] = {MOTE_FIELD(BlockQ3_K, scale, 2, 1), MOTE_FIELD(BlockQ3_K, scales, 4, 3),
                                MOTE_FIELD(BlockQ3_K, high, 4, 8), MOTE_FIELD(BlockQ3_K, codes, 4, 16)};
constexpr ChunkField kQ4_K[] = {MOTE_FIELD(BlockQ4_K, scale, 2, 1), MOTE_FIELD(BlockQ4_K, min, 2, 1),
                                MOTE_FIELD(BlockQ4_K, scales, 4, 3), MOTE_FIELD(BlockQ4_K, codes, 4, 32)};
constexpr ChunkField kQ5_K[] = {MOTE_FIELD(BlockQ5_K, scale, 2, 1), MOTE_FIELD(BlockQ5_K, min, 2, 1),
                                MOTE_FIELD(BlockQ5_K, scales, 4, 3), MOTE_FIELD(BlockQ5_K, high, 4, 8),
                                MOTE_FIELD(BlockQ5_K, codes, 4, 32)};
constexpr ChunkField kQ6_K[] = {MOTE_FIELD(BlockQ6_K, scale, 2, 1), MOTE_FIELD(BlockQ6_K, scales, 4, 4),
                                MOTE_FIELD(BlockQ6_K, high, 4, 16), MOTE_FIELD(BlockQ6_K, low, 4, 32)};
constexpr ChunkField kIQ4_XS[] = {MOTE_FIELD(BlockIQ4_XS, scale, 2, 1), MOTE_FIELD(BlockIQ4_XS, scales_high, 2, 1),
                                  MOTE_FIELD(BlockIQ4_XS, scales_low, 4, 1), MOTE_FIELD(BlockIQ4_XS, codes, 4, 32)};
#undef MOTE_FIELD

struct Panel {
  const uint8_t* rows;
  size_t row_bytes;
  size_t num_rows;    // real ones
  size_t panel_rows;  // with those that are zero
};

// Element by element, the same one of all rows side by side: `elements` of `bytes` (Word) at `step` bytes in each row.
template <class Word, class Change>
uint8_t* Transpose(const Panel& panel, const uint8_t* first, size_t step, size_t elements, Change change,
                   uint8_t* out) {
  for (size_t e = 0; e < elements; ++e) {
    const uint8_t* from = first + e * step;
    size_t r = 0;
    for (; r < panel.num_rows; ++r) {
      Word word;
      memcpy(&word, from + r * panel.row_bytes, sizeof(word));
      word = change(word);
      memcpy(out + r * sizeof(word), &word, sizeof(word));
    }
    memset(out + r * sizeof(Word), 0, (panel.panel_rows - r) * sizeof(Word));
    out += panel.panel_rows * sizeof(Word);
  }
  return out;
}

uint32_t RaisedCodes(uint32_t word) {
  return word ^ 0x80808080u;
}

uint8_t* PackField(const Panel& panel, const uint8_t* block, const ChunkField& field, DType type, bool raise_q8,
                   uint8_t* out) {
  const uint8_t* first = block + field.offset;
  const auto same = [](auto word) { return word; };
  if (field.bytes == 1) return Transpose<uint8_t>(panel, first, 1, field.count, same, out);
  if (field.bytes == 2) return Transpose<uint16_t>(panel, first, 2, field.count, same, out);
  const bool spread = (type == DType::kQ5_0 || type == DType::kQ5_1) && field.count == 1;
  if (spread) return Transpose<uint32_t>(panel, first, 4, 1, SpreadHighBits, out);
  if (raise_q8 && type == DType::kQ8_0) return Transpose<uint32_t>(panel, first, 4, field.count, RaisedCodes, out);
  return Transpose<uint32_t>(panel, first, 4, field.count, same, out);
}

uint8_t* PackPanel(const Panel& panel, const PackArgs& args, bool raise_q8, uint8_t* out) {
  const DTypeInfo& info = *DTypeInfoOf(args.type);
  const auto same = [](auto word) { return word; };
  if (info.block_values == 1) {
    return info.block_bytes == 4 ? Transpose<uint32_t>(panel, panel.rows, 4, args.k, same, out)
                                 : Transpose<uint16_t>(panel, panel.rows, 2, args.k, same, out);
  }
  if (args.type == DType::kI8Row) {
    out = raise_q8 ? Transpose<uint32_t>(panel, panel.rows, 4, args.k / 4, RaisedCodes, out)
                   : Transpose<uint32_t>(panel, panel.rows, 4, args.k / 4, same, out);
    return Transpose<uint32_t>(panel, panel.rows + args.k, 4, 1, same, out);
  }
  const size_t blocks = args.k / info.block_values;
  const size_t chunk = info.block_values == kBlock ? kChunkBlocks : 1;
  for (size_t begin = 0; begin < blocks; begin += chunk) {
    const size_t end = blocks - begin < chunk ? blocks : begin + chunk;
    for (const ChunkField& field : ChunkFields(args.type)) {
      for (size_t b = begin; b < end; ++b) {
        out = PackField(panel, panel.rows + b * info.block_bytes, field, args.type, raise_q8, out);
      }
    }
  }
  return out;
}

}  // namespace

std::span<const ChunkField> ChunkFields(DType type) {
  switch (type) {
    case DType::kQ4_0:
      return kQ4_0;
    case DType::kQ4_1:
      return kQ4_1;
    case DType::kQ5_0:
      return kQ5_0;
    case DType::kQ5_1:
      return kQ5_1;
    case DType::kQ8_0:
      return kQ8_0;
    case DType::kQ2_K:
      return kQ2_K;
    case DType::kQ3_K:
      return kQ3_K;
    case DType::kQ4_K:
      return kQ4_K;
    case DType::kQ5_K:
      return kQ5_K;
    case DType::kQ6_K:
      return kQ6_K;
    case DType::kIQ4_NL:
      return kIQ4_NL;
    case DType::kIQ4_XS:
      return kIQ4_XS;
    case DType::kMXFP4:
      return kMXFP4;
    default:
      return {};
  }
}

uint32_t SpreadHighBits(uint32_t bits) {
  uint32_t spread = 0;
  for (int j = 0; j < 8; ++j) {
    const uint32_t four = (bits >> 4 * j) & 15;
    spread |= ((four * 0x00204081u) & 0x01010101u) << j;  // bit i of the four to byte i
  }
  return spread;
}

void PackPanels(const PackArgs& args, size_t panel_rows, bool raise_q8) {
  const size_t row_bytes = RowBytes(args.type, args.k);
  uint8_t* out = args.panels;
  for (size_t row = 0; row < args.num_rows; row += panel_rows) {
    const size_t left = args.num_rows - row;
    const Panel panel = {args.rows + row * row_bytes, row_bytes, left < panel_rows ? left : panel_rows, panel_rows};
    out = PackPanel(panel, args, raise_q8, out);
  }
}

}  // namespace mote::simd
