#include "engine/vision/patches.h"

#include <math.h>

#include "engine/vision/for_rows.h"

namespace mote {
namespace {

// What each byte of each channel becomes.
struct Tables {
  float value[3][256];
};

// A block of patches in one row of blocks: merge x merge rows of `out`.
void Block(const ImageView& image, const PatchLayout& layout, const Tables& tables, uint32_t x, uint32_t y,
           float* out) {
  const uint32_t patch = layout.patch;
  for (uint32_t i = 0; i < layout.merge * layout.merge; ++i) {
    const size_t left = x + i % layout.merge * patch;
    const uint32_t top = y + i / layout.merge * patch;
    for (size_t c = 0; c < 3; ++c) {
      const float* table = tables.value[c];
      for (uint32_t row = 0; row < patch; ++row, out += patch) {
        const uint8_t* pixel = image.row(top + row) + 3 * left + c;
        for (uint32_t column = 0; column < patch; ++column) out[column] = table[pixel[size_t{3} * column]];
      }
    }
  }
}

}  // namespace

Status CheckPatches(const ImageView& image, const PatchLayout& layout) {
  const uint64_t side = uint64_t{layout.patch} * layout.merge;
  if (side == 0 || image.width == 0 || image.height == 0 || image.width % side != 0 || image.height % side != 0) {
    return Error(Code::kInvalidArgument, "a picture of %u x %u pixels is no whole number of %u x %u patches of %u",
                 image.width, image.height, layout.merge, layout.merge, layout.patch);
  }
  for (int c = 0; c < 3; ++c) {
    if (!isfinite(layout.mean[c]) || !isfinite(layout.std[c]) || layout.std[c] == 0) {
      return Error(Code::kInvalidArgument, "image mean %g and std %g: both must be finite and std not 0",
                   static_cast<double>(layout.mean[c]), static_cast<double>(layout.std[c]));
    }
  }
  return Status();
}

Status ToPatches(const ImageView& image, const PatchLayout& layout, std::span<float> out, ThreadPool* pool) {
  MOTE_RETURN_IF_ERROR(CheckPatches(image, layout));
  const uint64_t floats = uint64_t{3} * image.width * image.height;
  if (out.size() != floats) {
    return Error(Code::kInvalidArgument, "the patches of %u x %u pixels have %llu floats, not %zu", image.width,
                 image.height, static_cast<unsigned long long>(floats), out.size());
  }
  // A byte has 256 values: looked up, they are exact on every machine, and a load, a load and a store per value are all
  // that is left of the work.
  Tables tables;
  for (int c = 0; c < 3; ++c) {
    for (int byte = 0; byte < 256; ++byte) {
      tables.value[c][byte] = (static_cast<float>(byte) / 255.0f - layout.mean[c]) / layout.std[c];
    }
  }
  const uint32_t side = layout.patch * layout.merge;
  const size_t block_floats = size_t{3} * side * side;
  const uint32_t blocks = image.width / side;
  ForRows(pool, image.height / side, [&](uint32_t first, uint32_t end, uint64_t) {
    for (uint32_t y = first; y < end; ++y) {
      for (uint32_t x = 0; x < blocks; ++x) {
        Block(image, layout, tables, x * side, y * side, out.data() + (size_t{y} * blocks + x) * block_floats);
      }
    }
  });
  return Status();
}

}  // namespace mote
