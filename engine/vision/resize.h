// Resizing as the processors of vision models do it.
#ifndef MOTE_ENGINE_VISION_RESIZE_H_
#define MOTE_ENGINE_VISION_RESIZE_H_

#include <stdint.h>

#include <optional>

#include "engine/core/context.h"
#include "engine/core/status.h"
#include "engine/graph/pixel_kernels.h"
#include "engine/vision/image.h"

namespace mote {

enum class Filter : uint8_t {
  // Pillow's filters, byte for byte its results (tests/vision compares with Pillow 9.4): the kernel is stretched by the
  // ratio where the picture shrinks, so that every source pixel counts.
  kBox,
  kBilinear,
  kBicubic,  // a = -1/2
  kLanczos,  // three lobes
  // Between the four nearest pixels, whatever the ratio, in float32; pixel centres at 1/2, rounded to nearest even.
  // PyTorch's interpolate(mode="bilinear", align_corners=False, antialias=False).
  kPlainBilinear,
};

// A rectangle in pixels of the source, fractions allowed: 0 <= left < right <= width, 0 <= top < bottom <= height.
struct Box {
  float left = 0, top = 0, right = 0, bottom = 0;
};

struct ResizeOptions {
  uint32_t width = 0;  // of the result
  uint32_t height = 0;
  Filter filter = Filter::kBicubic;
  std::optional<Box> box;  // what of the source; without: all
  ImageLimits limits;      // of the result
};

// `pool`: rows are split over its workers, and no other Run of it may be going on; null: the caller's thread alone. The
// result is the same either way. kInvalidArgument: a size or a box out of range. kOutOfMemory: over the limits, or
// working memory over kMaxResizeScratch (one row of the result per source row under the filter, and per worker).
inline constexpr uint64_t kMaxResizeScratch = uint64_t{1} << 28;
Result<Image> Resize(const ImageView& source, const ResizeOptions& options, const PixelKernels& kernels,
                     ThreadPool* pool);

}  // namespace mote

#endif  // MOTE_ENGINE_VISION_RESIZE_H_
