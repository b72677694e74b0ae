#include "edge/server/serving/picture.h"

#include <utility>

#include "edge/image/decode.h"

namespace mote::server {

mote_image Picture::ToC() const {
  mote_image image = {};
  image.pixels = rgb.get();
  image.width = width;
  image.height = height;
  image.channels = 3;
  return image;
}

bool DecodePicture(std::string_view file, uint64_t max_pixels, Picture* picture, std::string* why) {
  ImageLimits limits;
  limits.max_pixels = max_pixels;
  Result<Image> image = DecodeImage({reinterpret_cast<const uint8_t*>(file.data()), file.size()}, limits);
  if (!image.ok()) {
    *why = image.status().message();
    return false;
  }
  picture->width = image->width;
  picture->height = image->height;
  const auto kept = std::make_shared<Image>(std::move(image).value());
  picture->rgb = std::shared_ptr<const uint8_t>(kept, kept->rgb.data());
  return true;
}

}  // namespace mote::server
