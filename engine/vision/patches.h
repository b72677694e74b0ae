// Pixels as a vision tower's patch embedding takes them: one row of floats per patch, so that the embedding is one
// matrix product.
#ifndef MOTE_ENGINE_VISION_PATCHES_H_
#define MOTE_ENGINE_VISION_PATCHES_H_

#include <stdint.h>

#include <span>

#include "engine/core/context.h"
#include "engine/core/status.h"
#include "engine/vision/image.h"

namespace mote {

struct PatchLayout {
  uint32_t patch = 0;  // pixels a side, >= 1
  // Patches come in blocks of merge x merge, blocks in raster order, patches inside a block in raster order: what a
  // projector joins stands together. 1: plain raster order.
  uint32_t merge = 1;
  float mean[3] = {0.5f, 0.5f, 0.5f};  // of r, g, b
  float std[3] = {0.5f, 0.5f, 0.5f};   // not 0
};

// Floats of a picture: width * height * 3. kInvalidArgument unless both sides are multiples of patch * merge, and for a
// mean or std that is not finite or a std of 0.
Status CheckPatches(const ImageView& image, const PatchLayout& layout);

// out[p][c][y][x] = (pixel / 255 - mean[c]) / std[c] in float32, each operation rounded, for pixel (x, y) of patch p;
// `out` has exactly (patches) rows of (3 * patch * patch) floats. `pool` as for Resize. kInvalidArgument as
// CheckPatches, and for another size of `out`.
Status ToPatches(const ImageView& image, const PatchLayout& layout, std::span<float> out, ThreadPool* pool);

}  // namespace mote

#endif  // MOTE_ENGINE_VISION_PATCHES_H_
