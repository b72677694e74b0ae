#include "edge/image/exif.h"

#include <string.h>

#include <algorithm>
#include <utility>

#include "edge/image/formats.h"

namespace mote::image {

int ExifOrientation(std::span<const uint8_t> block) {
  constexpr uint32_t kTag = 0x0112, kByte = 1, kShort = 3, kLong = 4;
  if (block.size() >= 6 && memcmp(block.data(), "Exif\0\0", 6) == 0) block = block.subspan(6);
  if (block.size() < 8) return 1;
  const bool little = memcmp(block.data(), "II*\0", 4) == 0;
  if (!little && memcmp(block.data(), "MM\0*", 4) != 0) return 1;
  const auto u16 = [&](size_t at) { return (little ? LittleEndian16 : BigEndian16)(block.data() + at); };
  const auto u32 = [&](size_t at) { return (little ? LittleEndian32 : BigEndian32)(block.data() + at); };
  const size_t directory = u32(4);
  if (directory > block.size() - 2) return 1;
  const size_t entries = std::min<size_t>(u16(directory), (block.size() - directory - 2) / 12);
  for (size_t i = 0; i < entries; ++i) {
    // Tag, type, count, value.
    const size_t entry = directory + 2 + i * 12;
    if (u16(entry) != kTag) continue;
    const uint32_t type = u16(entry + 2);
    if (u32(entry + 4) != 1) return 1;
    const uint32_t value = type == kShort  ? u16(entry + 8)
                           : type == kLong ? u32(entry + 8)
                           : type == kByte ? block[entry + 8]
                                           : 0;
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

Result<Image> Upright(Image image, int orientation) {
  if (orientation <= 1 || orientation > 8) return image;
  const uint32_t width = image.width, height = image.height;
  const bool exchange = orientation >= 5;
  // The stored pixel under the result's upper left one, and the way from pixel to pixel and from row to row.
  const ptrdiff_t across = 3, down = ptrdiff_t{3} * width;
  const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const ptrdiff_t x_step = from_right ? -across : across;
  const ptrdiff_t y_step = from_bottom ? -down : down;
  const uint8_t* start = image.rgb.data() + (from_right ? across * (ptrdiff_t{width} - 1) : 0) +
                         (from_bottom ? down * (ptrdiff_t{height} - 1) : 0);
  const ptrdiff_t step = exchange ? y_step : x_step;
  const ptrdiff_t row_step = exchange ? x_step : y_step;
  ImageLimits any;
  any.max_pixels = UINT64_MAX;
  MOTE_ASSIGN_OR_RETURN(Image out, CreateImage(exchange ? height : width, exchange ? width : height, any));
  for (uint32_t y = 0; y < out.height; ++y) {
    const uint8_t* from = start + row_step * ptrdiff_t{y};
    uint8_t* to = out.row(y);
    for (uint32_t x = 0; x < out.width; ++x, to += 3, from += step) memcpy(to, from, 3);
  }
  return out;
}

}  // namespace mote::image
