// The decoders, one file each. Orientation is the caller's business; sizes are as stored.
#ifndef MOTE_EDGE_IMAGE_FORMATS_H_
#define MOTE_EDGE_IMAGE_FORMATS_H_

#include <stdint.h>

#include <span>

#include "engine/core/status.h"
#include "engine/vision/image.h"

namespace mote::image {

using Bytes = std::span<const uint8_t>;

struct Header {
  uint32_t width = 0;
  uint32_t height = 0;
  int orientation = 1;  // EXIF's, 1..8
};

// From the header alone, without allocating what a header may ask for.
Result<Header> ReadJpegHeader(Bytes file);
Result<Header> ReadPngHeader(Bytes file);
Result<Header> ReadWebpHeader(Bytes file);
Result<Header> ReadPnmHeader(Bytes file);

// Pixels as stored. The header has been read and its size is within the limits; the decoder holds its own idea of the
// size to the limits once more before it allocates.
Result<Image> DecodeJpeg(Bytes file, const ImageLimits& limits);
Result<Image> DecodePng(Bytes file, const ImageLimits& limits, Alpha alpha);
Result<Image> DecodeWebp(Bytes file, const ImageLimits& limits, Alpha alpha);
Result<Image> DecodePnm(Bytes file, const ImageLimits& limits);

inline uint32_t BigEndian16(const uint8_t* p) {
  return static_cast<uint32_t>(p[0] << 8 | p[1]);
}
inline uint32_t BigEndian32(const uint8_t* p) {
  return BigEndian16(p) << 16 | BigEndian16(p + 2);
}
inline uint32_t LittleEndian16(const uint8_t* p) {
  return static_cast<uint32_t>(p[1] << 8 | p[0]);
}
inline uint32_t LittleEndian32(const uint8_t* p) {
  return LittleEndian16(p + 2) << 16 | LittleEndian16(p);
}

}  // namespace mote::image

#endif  // MOTE_EDGE_IMAGE_FORMATS_H_
