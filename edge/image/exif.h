// The one thing of EXIF that a model needs: which side is up.
#ifndef MOTE_EDGE_IMAGE_EXIF_H_
#define MOTE_EDGE_IMAGE_EXIF_H_

#include <stdint.h>

#include <span>

#include "engine/core/status.h"
#include "engine/vision/image.h"

namespace mote::image {

// Of a block of EXIF data (a TIFF header and its first directory, with or without "Exif\0\0" before it): 1..8, and 1
// where it says nothing or nonsense. Reads nothing outside of the block and follows no further directory.
int ExifOrientation(std::span<const uint8_t> block);

// The picture turned and mirrored so that it stands as EXIF's orientation says. 5..8 exchange width and height.
Result<Image> Upright(Image image, int orientation);

}  // namespace mote::image

#endif  // MOTE_EDGE_IMAGE_EXIF_H_
