// WebP by libwebp: lossy and lossless, alpha, the first frame of an animation.
#include <string.h>

#include <optional>

#include "edge/image/exif.h"
#include "edge/image/formats.h"

#if MOTE_HAVE_WEBP
#include <webp/decode.h>
#endif

namespace mote::image {
namespace {

uint32_t LittleEndian24(const uint8_t* p) {
  return LittleEndian16(p) | static_cast<uint32_t>(p[2]) << 16;
}

// The chunks of a RIFF file that matter here. Walked in place: libwebp's demuxer would keep a record of every frame of
// an animation, and a file can have millions.
struct Chunks {
  std::optional<Bytes> extended;  // VP8X
  std::optional<Bytes> frame;     // ANMF, the first
  std::optional<Bytes> exif;
};
Chunks Walk(Bytes file) {
  Chunks chunks;
  size_t at = 12;  // "RIFF", size, "WEBP"
  while (at < file.size() && file.size() - at >= 8) {
    const size_t length = LittleEndian32(&file[at + 4]);
    if (length > file.size() - at - 8) break;
    const Bytes data = file.subspan(at + 8, length);
    const auto is = [&](const char* name) { return memcmp(&file[at], name, 4) == 0; };
    if (is("VP8X") && !chunks.extended && length >= 10) chunks.extended = data;
    if (is("ANMF") && !chunks.frame && length >= 16) chunks.frame = data;
    if (is("EXIF") && !chunks.exif) chunks.exif = data;
    at += 8 + length + length % 2;
  }
  return chunks;
}

}  // namespace

#if MOTE_HAVE_WEBP
namespace {

Status Broken(VP8StatusCode code) {
  const char* what = code == VP8_STATUS_NOT_ENOUGH_DATA || code == VP8_STATUS_SUSPENDED ? "it ends too early"
                     : code == VP8_STATUS_OUT_OF_MEMORY                                 ? "libwebp has no memory for it"
                                                                                        : "its data make no sense";
  return Error(code == VP8_STATUS_OUT_OF_MEMORY ? Code::kOutOfMemory : Code::kMalformed,
               "the WebP file is broken or cut short: %s; wanted is a whole one", what);
}

// Where the first picture stands on its canvas, and its coded data.
struct Placed {
  uint32_t width = 0, height = 0;  // of the canvas
  uint32_t x = 0, y = 0;           // of the picture on it
  Bytes data;
};
Result<Placed> Place(Bytes file) {
  WebPBitstreamFeatures features;
  const VP8StatusCode code = WebPGetFeatures(file.data(), file.size(), &features);
  if (code != VP8_STATUS_OK) return Broken(code);
  Placed placed = {static_cast<uint32_t>(features.width), static_cast<uint32_t>(features.height), 0, 0, file};
  if (!features.has_animation) return placed;
  const Chunks chunks = Walk(file);
  if (!chunks.frame) return Broken(VP8_STATUS_NOT_ENOUGH_DATA);
  const uint8_t* frame = chunks.frame->data();
  placed.x = 2 * LittleEndian24(frame);
  placed.y = 2 * LittleEndian24(frame + 3);
  placed.data = chunks.frame->subspan(16);
  return placed;
}

// Decodes into `out`, `stride` bytes a row.
Status DecodeInto(Bytes data, const WebPBitstreamFeatures& features, uint8_t* out, size_t stride) {
  WebPDecoderConfig config;
  if (!WebPInitDecoderConfig(&config)) return Error(Code::kInternal, "libwebp is of another version than its headers");
  config.output.colorspace = features.has_alpha ? MODE_RGBA : MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA = {out, static_cast<int>(stride), stride * static_cast<size_t>(features.height)};
  const VP8StatusCode code = WebPDecode(data.data(), data.size(), &config);
  WebPFreeDecBuffer(&config.output);
  return code == VP8_STATUS_OK ? Status() : Broken(code);
}

}  // namespace

Result<Header> ReadWebpHeader(Bytes file) {
  MOTE_ASSIGN_OR_RETURN(const Placed placed, Place(file));
  const Chunks chunks = Walk(file);
  return Header{placed.width, placed.height, chunks.exif ? ExifOrientation(*chunks.exif) : 1};
}

Result<Image> DecodeWebp(Bytes file, const ImageLimits& limits, Alpha alpha) {
  MOTE_ASSIGN_OR_RETURN(const Placed placed, Place(file));
  MOTE_RETURN_IF_ERROR(CheckImageSize(placed.width, placed.height, limits));
  WebPBitstreamFeatures features;
  const VP8StatusCode code = WebPGetFeatures(placed.data.data(), placed.data.size(), &features);
  if (code != VP8_STATUS_OK) return Broken(code);
  const uint32_t width = static_cast<uint32_t>(features.width), height = static_cast<uint32_t>(features.height);
  if (features.has_animation || width == 0 || height == 0 || placed.x > placed.width ||
      width > placed.width - placed.x || placed.y > placed.height || height > placed.height - placed.y) {
    return Broken(VP8_STATUS_BITSTREAM_ERROR);
  }
  MOTE_ASSIGN_OR_RETURN(Image image, CreateImage(placed.width, placed.height, limits));
  const size_t channels = features.has_alpha ? 4 : 3;
  if (channels == 3 && width == image.width && height == image.height) {
    MOTE_RETURN_IF_ERROR(DecodeInto(placed.data, features, image.rgb.data(), size_t{3} * width));
    return image;
  }
  // What a frame leaves of its canvas is transparent.
  memset(image.rgb.data(), alpha == Alpha::kDrop ? 0 : 255, image.rgb.size());
  const size_t stride = channels * width;
  MOTE_ASSIGN_OR_RETURN(Buffer pixels, Buffer::Create(stride * height, "the pixels of a picture"));
  MOTE_RETURN_IF_ERROR(DecodeInto(placed.data, features, pixels.data(), stride));
  for (uint32_t y = 0; y < height; ++y) {
    uint8_t* to = image.row(placed.y + y) + size_t{3} * placed.x;
    if (channels == 4) {
      RgbaToRgb(pixels.data() + y * stride, width, alpha, to);
    } else {
      memcpy(to, pixels.data() + y * stride, stride);
    }
  }
  return image;
}

#else

Result<Header> ReadWebpHeader(Bytes file) {
  (void)Walk(file);
  (void)LittleEndian24;
  return Error(Code::kUnsupported, "this mote was built without libwebp");
}
Result<Image> DecodeWebp(Bytes, const ImageLimits&, Alpha) {
  return Error(Code::kUnsupported, "this mote was built without libwebp");
}

#endif

}  // namespace mote::image
