// Binary PGM (P5) and PPM (P6): a few words, then samples of one byte, or of two where the largest value is over 255.
#include <stdint.h>

#include "edge/image/formats.h"

namespace mote::image {
namespace {

struct Pnm {
  uint32_t channels = 0;
  uint64_t width = 0, height = 0, largest = 0;
  Bytes samples;
};

// The next number, after spaces and comments. Nothing where there is none below 2^32.
bool ReadNumber(Bytes file, size_t& at, uint64_t& value) {
  const auto is_space = [](uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
  while (at < file.size() && (is_space(file[at]) || file[at] == '#')) {
    if (file[at] == '#') {
      while (at < file.size() && file[at] != '\n' && file[at] != '\r') ++at;
    } else {
      ++at;
    }
  }
  const size_t begin = at;
  value = 0;
  for (; at < file.size() && file[at] >= '0' && file[at] <= '9' && at - begin < 10; ++at) {
    value = value * 10 + (file[at] - '0');
  }
  return at > begin && at < file.size() && is_space(file[at]) && value <= UINT32_MAX;
}

Result<Pnm> Read(Bytes file) {
  Pnm pnm;
  pnm.channels = file[1] == '6' ? 3 : 1;
  size_t at = 2;
  if (!ReadNumber(file, at, pnm.width) || !ReadNumber(file, at, pnm.height) || !ReadNumber(file, at, pnm.largest) ||
      pnm.largest == 0 || pnm.largest > 65535) {
    return Error(Code::kMalformed,
                 "the PPM or PGM file does not begin with a width, a height and a largest value of 1 "
                 "to 65535");
  }
  pnm.samples = file.subspan(at + 1);  // one space
  return pnm;
}

}  // namespace

Result<Header> ReadPnmHeader(Bytes file) {
  MOTE_ASSIGN_OR_RETURN(const Pnm pnm, Read(file));
  return Header{static_cast<uint32_t>(pnm.width), static_cast<uint32_t>(pnm.height), 1};
}

Result<Image> DecodePnm(Bytes file, const ImageLimits& limits) {
  MOTE_ASSIGN_OR_RETURN(const Pnm pnm, Read(file));
  MOTE_RETURN_IF_ERROR(CheckImageSize(pnm.width, pnm.height, limits));
  const uint64_t sample_bytes = pnm.largest > 255 ? 2 : 1;
  const uint64_t wanted = pnm.width * pnm.height * pnm.channels * sample_bytes;
  if (pnm.samples.size() < wanted) {
    return Error(Code::kMalformed, "the PPM or PGM file is cut short: %zu bytes of pixels, not %llu",
                 pnm.samples.size(), static_cast<unsigned long long>(wanted));
  }
  MOTE_ASSIGN_OR_RETURN(Image image, CreateImage(pnm.width, pnm.height, limits));
  const uint8_t* in = pnm.samples.data();
  uint8_t* out = image.rgb.data();
  for (uint64_t i = 0; i < pnm.width * pnm.height * pnm.channels; ++i, in += sample_bytes) {
    uint64_t value = sample_bytes == 2 ? BigEndian16(in) : *in;
    if (value > pnm.largest) value = pnm.largest;
    const uint8_t byte = static_cast<uint8_t>((value * 255 + pnm.largest / 2) / pnm.largest);
    *out++ = byte;
    if (pnm.channels == 1) {
      *out++ = byte;
      *out++ = byte;
    }
  }
  return image;
}

}  // namespace mote::image
