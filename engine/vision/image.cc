#include "engine/vision/image.h"

#include <string.h>

#include "engine/core/checked.h"

namespace mote {
namespace {

// `channels` bytes per pixel were received: are they as many as the size says?
Status CheckBytes(std::span<const uint8_t> pixels, uint64_t width, uint64_t height, uint64_t channels) {
  const uint64_t wanted = width * height * channels;  // sides are below 2^16
  if (pixels.size() == wanted) return Status();
  return Error(Code::kInvalidArgument, "a picture of %llu x %llu pixels with %llu bytes each has %llu bytes, not %zu",
               static_cast<unsigned long long>(width), static_cast<unsigned long long>(height),
               static_cast<unsigned long long>(channels), static_cast<unsigned long long>(wanted), pixels.size());
}

}  // namespace

Status CheckImageSize(uint64_t width, uint64_t height, const ImageLimits& limits) {
  const unsigned long long w = width, h = height;
  if (width == 0 || height == 0 || width > kMaxImageSide || height > kMaxImageSide) {
    return Error(Code::kInvalidArgument, "the picture is %llu x %llu pixels; each side must have 1 to %u", w, h,
                 kMaxImageSide);
  }
  if (width * height > limits.max_pixels) {
    return Error(Code::kOutOfMemory, "the picture is %llu x %llu, %llu pixels; the limit is %llu: make it smaller", w,
                 h, w * h, static_cast<unsigned long long>(limits.max_pixels));
  }
  return Status();
}

Result<Image> CreateImage(uint64_t width, uint64_t height, const ImageLimits& limits) {
  MOTE_RETURN_IF_ERROR(CheckImageSize(width, height, limits));
  Image image;
  MOTE_ASSIGN_OR_RETURN(image.rgb, Buffer::Create(width * height * 3, "the pixels of a picture"));
  image.width = static_cast<uint32_t>(width);
  image.height = static_cast<uint32_t>(height);
  return image;
}

Result<Image> ImageFromRgb(std::span<const uint8_t> pixels, uint64_t width, uint64_t height,
                           const ImageLimits& limits) {
  MOTE_RETURN_IF_ERROR(CheckImageSize(width, height, limits));
  MOTE_RETURN_IF_ERROR(CheckBytes(pixels, width, height, 3));
  MOTE_ASSIGN_OR_RETURN(Image image, CreateImage(width, height, limits));
  memcpy(image.rgb.data(), pixels.data(), pixels.size());
  return image;
}

Result<Image> ImageFromRgba(std::span<const uint8_t> pixels, uint64_t width, uint64_t height, const ImageLimits& limits,
                            Alpha alpha) {
  MOTE_RETURN_IF_ERROR(CheckImageSize(width, height, limits));
  MOTE_RETURN_IF_ERROR(CheckBytes(pixels, width, height, 4));
  MOTE_ASSIGN_OR_RETURN(Image image, CreateImage(width, height, limits));
  RgbaToRgb(pixels.data(), pixels.size() / 4, alpha, image.rgb.data());
  return image;
}

void RgbaToRgb(const uint8_t* rgba, size_t pixels, Alpha alpha, uint8_t* rgb) {
  for (size_t i = 0; i < pixels; ++i, rgba += 4, rgb += 3) {
    // Nothing of white shows: kDrop.
    const uint32_t a = alpha == Alpha::kDrop ? 255 : rgba[3];
    for (int c = 0; c < 3; ++c) {
      // (color * a + 255 * (255 - a)) / 255, to nearest; the division is exact for all of 0..255 * 255.
      const uint32_t sum = rgba[c] * a + 255 * (255 - a) + 128;
      rgb[c] = static_cast<uint8_t>((sum + (sum >> 8)) >> 8);
    }
  }
}

Result<ImageView> Crop(const ImageView& view, uint32_t x, uint32_t y, uint32_t width, uint32_t height) {
  if (width == 0 || height == 0 || x > view.width || width > view.width - x || y > view.height ||
      height > view.height - y) {
    return Error(Code::kInvalidArgument, "cannot cut %u x %u pixels at (%u, %u) out of a picture of %u x %u", width,
                 height, x, y, view.width, view.height);
  }
  return ImageView{view.row(y) + size_t{3} * x, width, height, view.stride};
}

Result<Image> Pad(const ImageView& view, uint32_t width, uint32_t height, uint32_t x, uint32_t y, Rgb color,
                  const ImageLimits& limits) {
  if (x > width || view.width > width - x || y > height || view.height > height - y) {
    return Error(Code::kInvalidArgument, "a picture of %u x %u at (%u, %u) does not fit into %u x %u", view.width,
                 view.height, x, y, width, height);
  }
  MOTE_ASSIGN_OR_RETURN(Image image, CreateImage(width, height, limits));
  for (uint32_t i = 0; i < width; ++i) {
    image.rgb.data()[size_t{3} * i] = color.r;
    image.rgb.data()[size_t{3} * i + 1] = color.g;
    image.rgb.data()[size_t{3} * i + 2] = color.b;
  }
  for (uint32_t row = 1; row < height; ++row) memcpy(image.row(row), image.row(0), size_t{3} * width);
  for (uint32_t row = 0; row < view.height; ++row) {
    memcpy(image.row(y + row) + size_t{3} * x, view.row(row), size_t{3} * view.width);
  }
  return image;
}

}  // namespace mote
