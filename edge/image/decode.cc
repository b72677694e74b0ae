#include "edge/image/decode.h"

#include <string.h>

#include <utility>

#include "edge/image/exif.h"
#include "edge/image/formats.h"

namespace mote {
namespace {

using image::Bytes;
using image::Header;

struct Format {
  const char* name;
  bool built;
  Result<Header> (*read_header)(Bytes);
  Result<Image> (*decode)(Bytes, const ImageLimits&, Alpha);
};

constexpr Format kJpeg = {"JPEG", MOTE_HAVE_JPEG != 0, image::ReadJpegHeader,
                          [](Bytes file, const ImageLimits& limits, Alpha) { return image::DecodeJpeg(file, limits); }};
constexpr Format kPng = {"PNG", MOTE_HAVE_PNG != 0, image::ReadPngHeader, image::DecodePng};
constexpr Format kWebp = {"WebP", MOTE_HAVE_WEBP != 0, image::ReadWebpHeader, image::DecodeWebp};
constexpr Format kPnm = {"PPM", true, image::ReadPnmHeader,
                         [](Bytes file, const ImageLimits& limits, Alpha) { return image::DecodePnm(file, limits); }};

bool Has(Bytes file, size_t at, const char* magic) {
  const size_t length = strlen(magic);
  return file.size() >= at + length && memcmp(file.data() + at, magic, length) == 0;
}

// By the first bytes. Null: not a format that mote knows how to read.
const Format* Sniff(Bytes file) {
  if (Has(file, 0, "\xff\xd8\xff")) return &kJpeg;
  if (Has(file, 0, "\x89PNG\r\n\x1a\n")) return &kPng;
  if (Has(file, 0, "RIFF") && Has(file, 8, "WEBP")) return &kWebp;
  if (Has(file, 0, "P5") || Has(file, 0, "P6")) return &kPnm;
  return nullptr;
}

// For the message alone.
const char* NameOf(Bytes file) {
  if (file.empty()) return "an empty file";
  if (Has(file, 0, "GIF8")) return "GIF";
  if (Has(file, 0, "BM")) return "BMP";
  if (Has(file, 0, "II*") || Has(file, 0, "MM")) return "TIFF";
  if (Has(file, 4, "ftypavi")) return "AVIF";
  if (Has(file, 4, "ftyphei") || Has(file, 4, "ftypmif") || Has(file, 4, "ftyphev")) return "HEIC";
  if (Has(file, 0, "\xff\x0a") || Has(file, 4, "JXL ")) return "JPEG XL";
  if (Has(file, 4, "jP  ")) return "JPEG 2000";
  if (Has(file, 0, "%PDF")) return "PDF";
  if (Has(file, 0, "<svg") || Has(file, 0, "<?xml")) return "SVG or XML";
  if (Has(file, 0, "GGUF")) return "a GGUF model";
  if (Has(file, 0, "\xff\xd8")) return "a JPEG file that ends after its first bytes";
  if (Has(file, 0, "\x89PN")) return "a PNG file that is cut short or was changed as if it were text";
  return "nothing that is known as a picture";
}

struct Sniffed {
  const Format* format;
  Header header;
};
Result<Sniffed> ReadHeader(Bytes file) {
  const Format* format = Sniff(file);
  if (format == nullptr) {
    return Error(Code::kUnsupported, "the picture's bytes are %s; mote reads %s", NameOf(file), ImageFormats().c_str());
  }
  if (!format->built) {
    return Error(Code::kUnsupported, "this mote was built without %s; it reads %s", format->name,
                 ImageFormats().c_str());
  }
  MOTE_ASSIGN_OR_RETURN(const Header header, format->read_header(file));
  return Sniffed{format, header};
}

}  // namespace

std::string ImageFormats() {
  std::string names;
  for (const Format* format : {&kJpeg, &kPng, &kWebp, &kPnm}) {
    if (format->built) names += (names.empty() ? "" : ", ") + std::string(format->name);
  }
  return names;
}

Result<ImageInfo> ProbeImage(std::span<const uint8_t> bytes) {
  MOTE_ASSIGN_OR_RETURN(const Sniffed found, ReadHeader(bytes));
  ImageInfo info = {found.format->name, found.header.width, found.header.height};
  if (found.header.orientation >= 5) std::swap(info.width, info.height);
  return info;
}

Result<Image> DecodeImage(std::span<const uint8_t> bytes, const ImageLimits& limits, Alpha alpha) {
  if (bytes.size() > limits.max_file_bytes) {
    return Error(Code::kOutOfMemory, "the picture's file has %zu bytes; the limit is %llu", bytes.size(),
                 static_cast<unsigned long long>(limits.max_file_bytes));
  }
  MOTE_ASSIGN_OR_RETURN(const Sniffed found, ReadHeader(bytes));
  MOTE_RETURN_IF_ERROR(CheckImageSize(found.header.width, found.header.height, limits));
  MOTE_ASSIGN_OR_RETURN(Image picture, found.format->decode(bytes, limits, alpha));
  return image::Upright(std::move(picture), found.header.orientation);
}

}  // namespace mote
