// Pictures in memory: 8-bit RGB, interleaved, rows from top to bottom. Nothing here knows a file format.
#ifndef MOTE_ENGINE_VISION_IMAGE_H_
#define MOTE_ENGINE_VISION_IMAGE_H_

#include <stddef.h>
#include <stdint.h>

#include <span>

#include "engine/core/buffer.h"
#include "engine/core/status.h"

namespace mote {

inline constexpr uint32_t kMaxImageSide = 65535;

// What a picture may measure. Checked before a pixel is allocated.
struct ImageLimits {
  uint64_t max_pixels = uint64_t{1} << 24;       // 16 megapixels: 4096 x 4096
  uint64_t max_file_bytes = uint64_t{64} << 20;  // of an encoded picture
};

// What becomes of transparency.
enum class Alpha : uint8_t {
  // Over white. The processors of Idefics3/SmolVLM and Pixtral and Qwen's qwen-vl-utils do this, and it keeps what
  // people see: a logo of black lines on nothing would otherwise be black on whatever its writer left there, often
  // black.
  kOverWhite,
  // The colour as it stands below the alpha channel, which is ignored: PIL's convert("RGB"), llama.cpp's loader.
  kDrop,
};

struct Rgb {
  uint8_t r = 0, g = 0, b = 0;
};

// Somebody else's pixels: row y begins at rgb + y * stride (bytes), pixel x of it at 3 * x.
struct ImageView {
  const uint8_t* rgb = nullptr;
  uint32_t width = 0;   // pixels, 1..kMaxImageSide
  uint32_t height = 0;  // pixels, 1..kMaxImageSide
  size_t stride = 0;    // bytes, >= 3 * width

  const uint8_t* row(uint32_t y) const { return rgb + y * stride; }
};

// Owns its pixels; stride 3 * width. Move-only. Empty (0 x 0) unless made by a function below.
struct Image {
  uint32_t width = 0;
  uint32_t height = 0;
  Buffer rgb;  // height * width * 3 bytes

  uint8_t* row(uint32_t y) { return rgb.data() + size_t{3} * width * y; }
  ImageView view() const { return {rgb.data(), width, height, size_t{3} * width}; }
};

// kInvalidArgument: no pixels, or a side over kMaxImageSide. kOutOfMemory: over limits.max_pixels. Both say the size
// received and the size allowed.
Status CheckImageSize(uint64_t width, uint64_t height, const ImageLimits& limits);

// Uninitialised pixels.
Result<Image> CreateImage(uint64_t width, uint64_t height, const ImageLimits& limits);

// Copies. `pixels` has exactly width * height * 3 bytes (RGB) or * 4 (RGBA, colour not multiplied by alpha); else
// kInvalidArgument.
Result<Image> ImageFromRgb(std::span<const uint8_t> pixels, uint64_t width, uint64_t height, const ImageLimits& limits);
Result<Image> ImageFromRgba(std::span<const uint8_t> pixels, uint64_t width, uint64_t height, const ImageLimits& limits,
                            Alpha alpha = Alpha::kOverWhite);

// One row: `pixels` RGBA to RGB.
void RgbaToRgb(const uint8_t* rgba, size_t pixels, Alpha alpha, uint8_t* rgb);

// The rectangle of `view` whose upper left pixel is (x, y), sharing its pixels. kInvalidArgument where it is empty or
// stands out of the view.
Result<ImageView> Crop(const ImageView& view, uint32_t x, uint32_t y, uint32_t width, uint32_t height);

// A width x height picture of `color` with `view` in it, its upper left pixel at (x, y). kInvalidArgument where it does
// not fit.
Result<Image> Pad(const ImageView& view, uint32_t width, uint32_t height, uint32_t x, uint32_t y, Rgb color,
                  const ImageLimits& limits);

}  // namespace mote

#endif  // MOTE_ENGINE_VISION_IMAGE_H_
