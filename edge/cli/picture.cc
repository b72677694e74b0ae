#include "edge/cli/picture.h"

#include <chrono>
#include <utility>

#include "edge/cli/console.h"
#include "edge/image/decode.h"

namespace mote::cli {

mote_image Picture::ToC() const {
  mote_image image = {};
  image.pixels = rgb.get();
  image.width = width;
  image.height = height;
  image.channels = 3;
  return image;
}

Picture LoadPicture(const std::string& path) {
  const auto start = std::chrono::steady_clock::now();
  Result<Image> image = LoadImageFile(path, ImageLimits());
  if (!image.ok()) Fail(image.status().message());
  Picture picture;
  picture.path = path;
  picture.width = image->width;
  picture.height = image->height;
  const auto kept = std::make_shared<Image>(std::move(image).value());
  picture.rgb = std::shared_ptr<const uint8_t>(kept, kept->rgb.data());
  picture.decode_seconds = SecondsSince(start);
  return picture;
}

std::vector<mote_image> ToC(const std::vector<Picture>& pictures) {
  std::vector<mote_image> images;
  for (const Picture& picture : pictures) images.push_back(picture.ToC());
  return images;
}

double DecodeSeconds(const std::vector<Picture>& pictures) {
  double seconds = 0;
  for (const Picture& picture : pictures) seconds += picture.decode_seconds;
  return seconds;
}

}  // namespace mote::cli
