// Pictures that a command was given, as pixels. (This header knows neither the engine's nor the API's C++ names, which
// stand in each other's way.)
#ifndef MOTE_EDGE_CLI_PICTURE_H_
#define MOTE_EDGE_CLI_PICTURE_H_

#include <string>
#include <vector>

#include "edge/pixels.h"
#include "engine/api/mote.h"

namespace mote::cli {

struct Picture : edge::Pixels {
  std::string path;  // as it was given
  double decode_seconds = 0;
};

// JPEG, PNG, WebP, PPM; "-": from standard input. Failure where it cannot be read.
Picture LoadPicture(const std::string& path);

std::vector<mote_image> ToC(const std::vector<Picture>& pictures);
double DecodeSeconds(const std::vector<Picture>& pictures);

}  // namespace mote::cli

#endif  // MOTE_EDGE_CLI_PICTURE_H_
