// Image files as pixels, for the commands and the server. (This header knows neither the engine's nor the API's C++
// names, which stand in each other's way.)
#ifndef MOTE_EDGE_PIXELS_H_
#define MOTE_EDGE_PIXELS_H_

#include <stdint.h>

#include <memory>
#include <string>
#include <string_view>

#include "engine/api/mote.h"

namespace mote::edge {

struct Pixels {
  uint32_t width = 0;
  uint32_t height = 0;
  std::shared_ptr<const uint8_t> rgb;

  mote_image ToC() const;
};

// JPEG, PNG, WebP, PPM, whose bytes `file` holds. `max_pixels`: refused above, before a pixel is allocated. False with
// the reason where it is not a picture that this build decodes.
bool DecodePixels(std::string_view file, uint64_t max_pixels, Pixels* pixels, std::string* why);
// The same of a file; "-": standard input.
bool LoadPixels(const std::string& path, Pixels* pixels, std::string* why);

}  // namespace mote::edge

#endif  // MOTE_EDGE_PIXELS_H_
