// Image files to pixels: JPEG, PNG, WebP, and binary PPM and PGM.
//
// Everything in such a file is hostile until checked: sizes are read and held to the limits before a pixel is
// allocated, a file that ends too early or breaks its format is an error rather than half a picture, and decoding takes
// at most 12 bytes a pixel, the result included, and 64 MiB (which only pictures of a few rows or columns come near
// to).
#ifndef MOTE_EDGE_IMAGE_DECODE_H_
#define MOTE_EDGE_IMAGE_DECODE_H_

#include <stdint.h>

#include <span>
#include <string>

#include "engine/core/status.h"
#include "engine/vision/image.h"

namespace mote {

// What a file says of itself. Width and height as people see it: EXIF orientation applied.
struct ImageInfo {
  const char* format = "";  // "JPEG", "PNG", "WebP", "PPM"
  uint32_t width = 0;
  uint32_t height = 0;
};

// "JPEG, PNG, WebP, PPM": what this build decodes.
std::string ImageFormats();

// From the header alone; nothing is held to a limit. kUnsupported names what the bytes are, where they are known, and
// the formats accepted. The format is told by the first bytes, never by a file's name.
Result<ImageInfo> ProbeImage(std::span<const uint8_t> bytes);

// The picture, upright (EXIF orientation 1..8); grey, palettes, 16 bits and CMYK become 8-bit RGB. Of an animation, the
// first frame. Colour profiles are ignored, as models' processors do. kMalformed: broken or cut short; kOutOfMemory:
// over the limits.
Result<Image> DecodeImage(std::span<const uint8_t> bytes, const ImageLimits& limits, Alpha alpha = Alpha::kOverWhite);

// A file, or standard input where `path` is "-", read whole and held to limits.max_file_bytes. Messages name the path.
Result<Image> LoadImageFile(const std::string& path, const ImageLimits& limits, Alpha alpha = Alpha::kOverWhite);

}  // namespace mote

#endif  // MOTE_EDGE_IMAGE_DECODE_H_
