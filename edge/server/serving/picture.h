// Image files of a request, as pixels. (This header knows neither the engine's nor the API's C++ names, which stand in
// each other's way.)
#ifndef MOTE_EDGE_SERVER_SERVING_PICTURE_H_
#define MOTE_EDGE_SERVER_SERVING_PICTURE_H_

#include <stdint.h>

#include <memory>
#include <string>
#include <string_view>

#include "engine/api/mote.h"

namespace mote::server {

struct Picture {
  uint32_t width = 0;
  uint32_t height = 0;
  std::shared_ptr<const uint8_t> rgb;

  mote_image ToC() const;
};

// `max_pixels`: refused above, before a pixel is allocated. False with the reason where it is not a picture that this
// build decodes.
bool DecodePicture(std::string_view file, uint64_t max_pixels, Picture* picture, std::string* why);

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_SERVING_PICTURE_H_
