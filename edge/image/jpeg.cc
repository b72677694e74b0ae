// JPEG by libjpeg-turbo: baseline and progressive, grey, RGB, YCbCr, CMYK and YCCK.
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include "edge/image/exif.h"
#include "edge/image/formats.h"

#if MOTE_HAVE_JPEG
// jerror.h numbers its messages by what jpeglib.h configures, and jpeglib.h wants stdio.h before it.
#include <jpeglib.h>
//
#include <jerror.h>
#endif

namespace mote::image {
namespace {

// EXIF's orientation from the segments before the first scan.
int FindOrientation(Bytes file) {
  size_t at = 2;
  while (at + 4 <= file.size() && file[at] == 0xff) {
    const uint8_t marker = file[at + 1];
    if (marker == 0xff) {  // filling
      ++at;
      continue;
    }
    if (marker == 0xda || marker == 0xd9) break;  // a scan, the end
    const size_t length = BigEndian16(&file[at + 2]);
    if (length < 2 || length > file.size() - at - 2) break;
    const Bytes segment = file.subspan(at + 4, length - 2);
    if (marker == 0xe1 && segment.size() >= 6 && memcmp(segment.data(), "Exif\0\0", 6) == 0) {
      return ExifOrientation(segment);
    }
    at += 2 + length;
  }
  return 1;
}

}  // namespace

#if MOTE_HAVE_JPEG
namespace {

// Each scan of a progressive file passes over the whole picture, and may take no more than some bytes of the file: a
// small file could ask for hours. Encoders write about ten.
constexpr int kMaxScans = 100;

// libjpeg reports by calling back and wants not to be returned to: out of its calls by longjmp, over C frames and
// functions of this file that own nothing.
struct Reader {
  jpeg_decompress_struct info = {};
  jpeg_error_mgr errors = {};
  jpeg_progress_mgr progress = {};
  jmp_buf jump;
  char message[JMSG_LENGTH_MAX] = {};

  Reader() {
    info.err = jpeg_std_error(&errors);
    info.client_data = this;
    errors.error_exit = Fail;
    errors.emit_message = Warn;
    errors.output_message = [](j_common_ptr) {};
    progress.progress_monitor = CountScans;
  }
  ~Reader() { jpeg_destroy_decompress(&info); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  [[noreturn]] static void Fail(j_common_ptr common) {
    Reader& reader = *static_cast<Reader*>(common->client_data);
    common->err->format_message(common, reader.message);
    longjmp(reader.jump, 1);
  }
  // What libjpeg mends by making up pixels is an error here: an answer about them would look like any other.
  static void Warn(j_common_ptr common, int level) {
    if (level >= 0) return;
    switch (common->err->msg_code) {
      case JWRN_JPEG_EOF:
      case JWRN_HIT_MARKER:
      case JWRN_HUFF_BAD_CODE:
      case JWRN_ARITH_BAD_CODE:
      case JWRN_MUST_RESYNC:
        Fail(common);
      default:
        break;
    }
  }
  // The file has ended. Where its one scan is under way, all that lacks may be the end marker, which some writers leave
  // out: libjpeg gets one, and warns if it still wants pixels. Where more scans may follow, nobody could tell.
  static boolean AtEnd(j_decompress_ptr info) {
    if (info->progressive_mode || info->comps_in_scan < info->num_components || info->num_components == 0) {
      info->err->msg_code = JWRN_JPEG_EOF;
      Fail(reinterpret_cast<j_common_ptr>(info));
    }
    static const JOCTET kEndMarker[] = {0xff, JPEG_EOI};
    info->src->next_input_byte = kEndMarker;
    info->src->bytes_in_buffer = sizeof(kEndMarker);
    return TRUE;
  }
  static void CountScans(j_common_ptr common) {
    Reader& reader = *static_cast<Reader*>(common->client_data);
    if (reader.info.input_scan_number <= kMaxScans) return;
    snprintf(reader.message, sizeof(reader.message), "it has over %d scans", kMaxScans);
    longjmp(reader.jump, 1);
  }

  Status Broken() const {
    return Error(Code::kMalformed, "the JPEG file is broken or cut short: %s; wanted is a whole one", message);
  }
};

bool ReadHeader(Reader& reader, Bytes file) {
  if (setjmp(reader.jump) != 0) return false;
  jpeg_create_decompress(&reader.info);
  reader.info.progress = &reader.progress;
  jpeg_mem_src(&reader.info, file.data(), file.size());
  reader.info.src->fill_input_buffer = Reader::AtEnd;
  jpeg_read_header(&reader.info, TRUE);
  return true;
}

// CMYK as Adobe writes it, ink counted from full: the only kind that is found in files.
void CmykToRgb(const uint8_t* cmyk, size_t pixels, uint8_t* rgb) {
  for (size_t i = 0; i < pixels; ++i, cmyk += 4, rgb += 3) {
    const uint32_t light = cmyk[3];  // what black lets through
    for (int c = 0; c < 3; ++c) {
      const uint32_t ink = (255u - cmyk[c]) * light + 128;  // over 255, to nearest, below
      rgb[c] = static_cast<uint8_t>(light - ((ink + (ink >> 8)) >> 8));
    }
  }
}

// `row`: 4 * width bytes where the file is CMYK, else null.
bool ReadPixels(Reader& reader, uint8_t* rgb, uint8_t* row) {
  if (setjmp(reader.jump) != 0) return false;
  jpeg_decompress_struct& info = reader.info;
  jpeg_start_decompress(&info);
  while (info.output_scanline < info.output_height) {
    uint8_t* line = rgb + size_t{3} * info.output_width * info.output_scanline;
    JSAMPROW target = row == nullptr ? line : row;
    jpeg_read_scanlines(&info, &target, 1);
    if (row != nullptr) CmykToRgb(row, info.output_width, line);
  }
  // What follows the last line is of no interest.
  jpeg_abort_decompress(&info);
  return true;
}

}  // namespace

Result<Header> ReadJpegHeader(Bytes file) {
  Reader reader;
  if (!ReadHeader(reader, file)) return reader.Broken();
  return Header{reader.info.image_width, reader.info.image_height, FindOrientation(file)};
}

Result<Image> DecodeJpeg(Bytes file, const ImageLimits& limits) {
  Reader reader;
  if (!ReadHeader(reader, file)) return reader.Broken();
  jpeg_decompress_struct& info = reader.info;
  MOTE_RETURN_IF_ERROR(CheckImageSize(info.image_width, info.image_height, limits));
  bool cmyk = false;
  switch (info.jpeg_color_space) {
    case JCS_GRAYSCALE:
    case JCS_RGB:
    case JCS_YCbCr:
      info.out_color_space = JCS_RGB;
      break;
    case JCS_CMYK:
    case JCS_YCCK:
      info.out_color_space = JCS_CMYK;
      cmyk = true;
      break;
    default:
      return Error(Code::kUnsupported, "the JPEG file has %d components; grey (1), colour (3) and CMYK (4) are known",
                   info.num_components);
  }
  // Coefficients of a progressive file: at most 2 bytes for each of 4 components, and blocks that stand over the edge.
  const uint64_t pixels = uint64_t{info.image_width} * info.image_height;
  info.mem->max_memory_to_use = static_cast<long>(pixels * 9 + (48 << 20));
  MOTE_ASSIGN_OR_RETURN(Image image, CreateImage(info.image_width, info.image_height, limits));
  Buffer row;
  if (cmyk) {
    MOTE_ASSIGN_OR_RETURN(row, Buffer::Create(uint64_t{4} * image.width, "a row of a picture"));
  }
  if (!ReadPixels(reader, image.rgb.data(), row.data())) return reader.Broken();
  return image;
}

#else

Result<Header> ReadJpegHeader(Bytes file) {
  (void)FindOrientation(file);
  return Error(Code::kUnsupported, "this mote was built without libjpeg");
}
Result<Image> DecodeJpeg(Bytes, const ImageLimits&) {
  return Error(Code::kUnsupported, "this mote was built without libjpeg");
}

#endif

}  // namespace mote::image
