#include "edge/cli/picture.h"

#include <chrono>

#include "edge/cli/console.h"

namespace mote::cli {

Picture LoadPicture(const std::string& path) {
  const auto start = std::chrono::steady_clock::now();
  Picture picture;
  picture.path = path;
  std::string why;
  if (!edge::LoadPixels(path, &picture, &why)) Fail(why);
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
