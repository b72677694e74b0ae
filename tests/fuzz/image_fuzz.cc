// Any bytes as an image file: probed, decoded, resized, and made into patches. Its last byte chooses the size and the
// filter. (The vector kernels have tests of their own, which the sanitizers run as well.)
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <span>
#include <vector>

#include "edge/image/decode.h"
#include "engine/vision/patches.h"
#include "engine/vision/resize.h"
#include "simd/ref/reference.h"
#include "tests/fuzz/heap_growth-inl.h"

namespace mote {
namespace {

// A finding: both libFuzzer and the replay program take an abort for one.
void Require(bool condition, const char* what) {
  if (condition) return;
  fprintf(stderr, "image_fuzz: %s\n", what);
  abort();
}

constexpr uint64_t kMaxPixels = uint64_t{1} << 20;

Result<Image> Decode(std::span<const uint8_t> file, Alpha alpha) {
  ImageLimits limits;
  limits.max_pixels = kMaxPixels;
  const int64_t before = StartHeapGrowth();
  auto image = DecodeImage(file, limits, alpha);
  const uint64_t growth = static_cast<uint64_t>(PeakHeap() - before);
  Require(growth <= 12 * kMaxPixels + (uint64_t{64} << 20), "decoding takes over 12 bytes a pixel and 64 MiB");
  if (image.ok()) {
    Require(uint64_t{image->width} * image->height <= kMaxPixels, "a picture over the limit");
    Require(image->rgb.size() == uint64_t{3} * image->width * image->height, "a picture without its pixels");
  } else {
    Require(!image.status().message().empty(), "an error without a message");
    Require(image.status().message().find('\n') == std::string::npos, "an error of several lines");
  }
  return image;
}

void ResizeAndCut(const Image& image, uint8_t choice) {
  ResizeOptions options;
  options.width = 2 * (1 + choice % 13);
  options.height = 2 * (1 + choice / 13);
  options.filter = static_cast<Filter>(choice % 5);
  const PixelKernels kernels = {simd::ref::ResizeRows, simd::ref::BlendRows};
  const auto resized = Resize(image.view(), options, kernels, nullptr);
  Require(resized.ok(), "a picture within the limits cannot be made small");
  std::vector<float> patches(resized->rgb.size());
  Require(ToPatches(resized->view(), {.patch = 2}, patches, nullptr).ok(), "patches were refused");
  for (const float value : patches) Require(value >= -1 && value <= 1, "a pixel out of range");
}

}  // namespace
}  // namespace mote

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> file(data, size);
  const auto info = mote::ProbeImage(file);
  const auto image = mote::Decode(file, mote::Alpha::kOverWhite);
  const auto dropped = mote::Decode(file, mote::Alpha::kDrop);
  mote::Require(image.ok() == dropped.ok(), "alpha decides whether a file is read");
  if (!image.ok()) return 0;
  mote::Require(info.ok() && info->width == image->width && info->height == image->height,
                "the header told another size");
  mote::ResizeAndCut(*image, data[size - 1]);
  return 0;
}
