#include "edge/pixels.h"

#include <utility>

#include "edge/image/decode.h"

namespace mote::edge {
namespace {

bool Keep(Result<Image> image, Pixels* pixels, std::string* why) {
  if (!image.ok()) {
    *why = image.status().message();
    return false;
  }
  pixels->width = image->width;
  pixels->height = image->height;
  const auto kept = std::make_shared<Image>(std::move(image).value());
  pixels->rgb = std::shared_ptr<const uint8_t>(kept, kept->rgb.data());
  return true;
}

}  // namespace

mote_image Pixels::ToC() const {
  mote_image image = {};
  image.pixels = rgb.get();
  image.width = width;
  image.height = height;
  image.channels = 3;
  return image;
}

bool DecodePixels(std::string_view file, uint64_t max_pixels, Pixels* pixels, std::string* why) {
  ImageLimits limits;
  limits.max_pixels = max_pixels;
  return Keep(DecodeImage({reinterpret_cast<const uint8_t*>(file.data()), file.size()}, limits), pixels, why);
}

bool LoadPixels(const std::string& path, Pixels* pixels, std::string* why) {
  return Keep(LoadImageFile(path, ImageLimits()), pixels, why);
}

}  // namespace mote::edge
