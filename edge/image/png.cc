// PNG by libpng: grey, palette and colour of 1 to 16 bits, alpha, interlaced.
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include "edge/image/exif.h"
#include "edge/image/formats.h"

#if MOTE_HAVE_PNG
#include <png.h>
#endif

namespace mote::image {

Result<Header> ReadPngHeader(Bytes file) {
  // Signature; then chunks of length, name, data and checksum, the first of them IHDR.
  if (file.size() < 33 || BigEndian32(&file[8]) != 13 || memcmp(&file[12], "IHDR", 4) != 0) {
    return Error(Code::kMalformed, "the PNG file has no whole IHDR at its start: it is broken or cut short");
  }
  Header header = {BigEndian32(&file[16]), BigEndian32(&file[20]), 1};
  size_t at = 8;
  while (file.size() - at >= 12) {
    const size_t length = BigEndian32(&file[at]);
    if (length > file.size() - at - 12) break;
    if (memcmp(&file[at + 4], "eXIf", 4) == 0) {
      header.orientation = ExifOrientation(file.subspan(at + 8, length));
      break;
    }
    at += 12 + length;
  }
  return header;
}

#if MOTE_HAVE_PNG
namespace {

// libpng reports by a callback that must not return: out of its calls by longjmp, over C frames and functions of this
// file that own nothing.
struct Reader {
  png_structp png = nullptr;
  png_infop info = nullptr;
  Bytes rest;
  jmp_buf jump;
  char message[128] = {};

  explicit Reader(Bytes file) : rest(file) {
    png = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, Fail, [](png_structp, png_const_charp) {});
    if (png != nullptr) info = png_create_info_struct(png);
  }
  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  [[noreturn]] static void Fail(png_structp png, png_const_charp text) {
    Reader& reader = *static_cast<Reader*>(png_get_error_ptr(png));
    snprintf(reader.message, sizeof(reader.message), "%s", text);
    longjmp(reader.jump, 1);
  }
  static void Read(png_structp png, png_bytep out, size_t bytes) {
    Reader& reader = *static_cast<Reader*>(png_get_io_ptr(png));
    if (bytes > reader.rest.size()) Fail(png, "the file ends too early");
    memcpy(out, reader.rest.data(), bytes);
    reader.rest = reader.rest.subspan(bytes);
  }

  Status Broken() const {
    return Error(Code::kMalformed, "the PNG file is broken or cut short: %s; wanted is a whole one", message);
  }
};

// Up to the first pixel. Afterwards rows come as 8-bit RGB or RGBA.
bool ReadInfo(Reader& reader) {
  if (setjmp(reader.jump) != 0) return false;
  png_structp png = reader.png;
  // Text, profiles and the like are skipped unread: compressed, they would be bombs of their own, and none of them
  // changes what a model's processor sees.
  static const png_byte kSkipped[] =
      "iCCP\0tEXt\0zTXt\0iTXt\0sPLT\0hIST\0pHYs\0oFFs\0pCAL\0sCAL\0tIME\0bKGD\0sBIT\0gAMA\0cHRM\0sRGB\0eXIf";
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, kSkipped, static_cast<int>(sizeof(kSkipped) / 5));
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, nullptr, 0);
  png_set_user_limits(png, kMaxImageSide, kMaxImageSide);
  png_set_read_fn(png, &reader, Reader::Read);
  png_read_info(png, reader.info);
  png_set_expand(png);    // palettes, fewer than 8 bits, tRNS
  png_set_strip_16(png);  // the upper byte, as Pillow and stb take it
  png_set_gray_to_rgb(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, reader.info);
  return true;
}

bool ReadRow(Reader& reader, uint8_t* row) {
  if (setjmp(reader.jump) != 0) return false;
  png_read_row(reader.png, row, nullptr);
  return true;
}

// All rows of one picture, `stride` apart; an interlaced file passes over them seven times.
bool ReadRows(Reader& reader, uint8_t* rows, size_t stride) {
  if (setjmp(reader.jump) != 0) return false;
  const int passes = png_get_interlace_type(reader.png, reader.info) == PNG_INTERLACE_NONE ? 1 : 7;
  const uint32_t height = png_get_image_height(reader.png, reader.info);
  for (int pass = 0; pass < passes; ++pass) {
    for (uint32_t y = 0; y < height; ++y) png_read_row(reader.png, rows + y * stride, nullptr);
  }
  return true;
}

}  // namespace

Result<Image> DecodePng(Bytes file, const ImageLimits& limits, Alpha alpha) {
  Reader reader(file);
  if (reader.info == nullptr) return Error(Code::kOutOfMemory, "libpng could not start: no memory, or another version");
  if (!ReadInfo(reader)) return reader.Broken();
  const uint32_t width = png_get_image_width(reader.png, reader.info);
  const uint32_t height = png_get_image_height(reader.png, reader.info);
  const size_t channels = png_get_channels(reader.png, reader.info);
  if (png_get_rowbytes(reader.png, reader.info) != channels * width || channels < 3 || channels > 4) {
    return Error(Code::kInternal, "libpng gives rows of %zu bytes for %u pixels of %zu channels",
                 png_get_rowbytes(reader.png, reader.info), width, channels);
  }
  MOTE_ASSIGN_OR_RETURN(Image image, CreateImage(width, height, limits));
  if (channels == 3) {
    if (!ReadRows(reader, image.rgb.data(), size_t{3} * width)) return reader.Broken();
    return image;
  }
  const bool interlaced = png_get_interlace_type(reader.png, reader.info) != PNG_INTERLACE_NONE;
  const size_t stride = size_t{4} * width;
  MOTE_ASSIGN_OR_RETURN(Buffer rgba, Buffer::Create(stride * (interlaced ? height : 1), "the pixels of a picture"));
  if (interlaced && !ReadRows(reader, rgba.data(), stride)) return reader.Broken();
  for (uint32_t y = 0; y < height; ++y) {
    if (!interlaced && !ReadRow(reader, rgba.data())) return reader.Broken();
    RgbaToRgb(rgba.data() + (interlaced ? y * stride : 0), width, alpha, image.row(y));
  }
  return image;
}

#else

Result<Image> DecodePng(Bytes, const ImageLimits&, Alpha) {
  return Error(Code::kUnsupported, "this mote was built without libpng");
}

#endif

}  // namespace mote::image
