// Pictures in memory: sizes held to limits, alpha, cutting out, padding.
#include "engine/vision/image.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

namespace mote {
namespace {

TEST(ImageSize, IsHeldToItsLimits) {
  ImageLimits limits;
  EXPECT_TRUE(CheckImageSize(1, 1, limits).ok());
  EXPECT_TRUE(CheckImageSize(65535, 1, limits).ok());
  EXPECT_TRUE(CheckImageSize(4096, 4096, limits).ok());
  EXPECT_EQ(CheckImageSize(4096, 4097, limits).code(), Code::kOutOfMemory);
  EXPECT_EQ(CheckImageSize(65535, 65535, limits).code(), Code::kOutOfMemory);
  for (const auto& [width, height] : {std::pair<uint64_t, uint64_t>{0, 1},
                                      {1, 0},
                                      {65536, 1},
                                      {1, 65536},
                                      {uint64_t{1} << 32, uint64_t{1} << 32},
                                      {UINT64_MAX, UINT64_MAX}}) {
    EXPECT_EQ(CheckImageSize(width, height, limits).code(), Code::kInvalidArgument) << width << " x " << height;
    EXPECT_FALSE(CreateImage(width, height, limits).ok());
  }
  limits.max_pixels = 100;
  EXPECT_TRUE(CheckImageSize(10, 10, limits).ok());
  const Status status = CheckImageSize(101, 1, limits);
  EXPECT_EQ(status.code(), Code::kOutOfMemory);
  EXPECT_NE(status.message().find("101 x 1"), std::string::npos) << status.message();
  EXPECT_NE(status.message().find("limit is 100"), std::string::npos) << status.message();
}

TEST(ImageFromRgb, WantsExactlyThePixels) {
  const std::vector<uint8_t> pixels = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  const auto image = ImageFromRgb(pixels, 2, 2, {});
  ASSERT_TRUE(image.ok());
  EXPECT_EQ(std::vector<uint8_t>(image->rgb.data(), image->rgb.data() + 12), pixels);
  EXPECT_EQ(image->view().row(1)[3], 10);
  for (const uint64_t width : {1, 3, 4}) {
    EXPECT_EQ(ImageFromRgb(pixels, width, 2, {}).status().code(), Code::kInvalidArgument);
  }
  EXPECT_EQ(ImageFromRgb({}, 65535, 65535, {}).status().code(), Code::kOutOfMemory);  // before the bytes are counted
  EXPECT_EQ(ImageFromRgba(pixels, 2, 2, {}).status().code(), Code::kInvalidArgument);
  EXPECT_TRUE(ImageFromRgba(pixels, 3, 1, {}).ok());
}

TEST(ImageFromRgba, LaysEveryColourOverWhite) {
  std::vector<uint8_t> pixels;
  for (int alpha = 0; alpha < 256; ++alpha) {
    for (int value = 0; value < 256; ++value) {
      pixels.insert(pixels.end(), {static_cast<uint8_t>(value), 255, 0, static_cast<uint8_t>(alpha)});
    }
  }
  const auto white = ImageFromRgba(pixels, 256, 256, {});
  const auto drop = ImageFromRgba(pixels, 256, 256, {}, Alpha::kDrop);
  ASSERT_TRUE(white.ok() && drop.ok());
  for (int alpha = 0; alpha < 256; ++alpha) {
    const double a = alpha / 255.0;
    for (int value = 0; value < 256; ++value) {
      const size_t at = 3 * static_cast<size_t>(alpha * 256 + value);
      ASSERT_EQ(white->rgb.data()[at], std::lround(value * a + 255 * (1 - a))) << value << " at " << alpha;
      ASSERT_EQ(white->rgb.data()[at + 1], 255);
      ASSERT_EQ(white->rgb.data()[at + 2], 255 - alpha);
      ASSERT_EQ(drop->rgb.data()[at], value);
      ASSERT_EQ(drop->rgb.data()[at + 2], 0);
    }
  }
}

Image Numbered(uint32_t width, uint32_t height) {
  auto image = CreateImage(width, height, {});
  EXPECT_TRUE(image.ok());
  for (uint32_t y = 0; y < height; ++y) {
    for (uint32_t x = 0; x < width; ++x) {
      image->row(y)[3 * x] = static_cast<uint8_t>(x);
      image->row(y)[3 * x + 1] = static_cast<uint8_t>(y);
      image->row(y)[3 * x + 2] = 77;
    }
  }
  return std::move(image).value();
}

TEST(Crop, SharesPixelsAndStaysInside) {
  const Image image = Numbered(9, 6);
  const auto part = Crop(image.view(), 2, 1, 4, 3);
  ASSERT_TRUE(part.ok());
  const auto inner = Crop(*part, 1, 1, 3, 2);  // of a part
  ASSERT_TRUE(inner.ok());
  EXPECT_EQ(inner->row(1)[3 * 2], 2 + 1 + 2);
  EXPECT_EQ(inner->row(1)[3 * 2 + 1], 1 + 1 + 1);
  EXPECT_TRUE(Crop(image.view(), 0, 0, 9, 6).ok());
  EXPECT_TRUE(Crop(image.view(), 8, 5, 1, 1).ok());
  constexpr uint32_t kMost = UINT32_MAX;
  for (const auto& [x, y, width, height] : std::vector<std::array<uint32_t, 4>>{{0, 0, 0, 1},
                                                                                {0, 0, 1, 0},
                                                                                {9, 0, 1, 1},
                                                                                {0, 6, 1, 1},
                                                                                {5, 0, 5, 1},
                                                                                {0, 4, 1, 3},
                                                                                {kMost, 0, 2, 1},
                                                                                {0, kMost, 1, 2},
                                                                                {1, 1, kMost, 1},
                                                                                {1, 1, 1, kMost}}) {
    EXPECT_EQ(Crop(image.view(), x, y, width, height).status().code(), Code::kInvalidArgument)
        << x << ", " << y << ": " << width << " x " << height;
  }
}

TEST(Pad, PutsThePictureWhereItIsTold) {
  const Image image = Numbered(3, 2);
  const auto padded = Pad(image.view(), 7, 5, 2, 1, {9, 8, 250}, {});
  ASSERT_TRUE(padded.ok());
  for (uint32_t y = 0; y < 5; ++y) {
    for (uint32_t x = 0; x < 7; ++x) {
      const uint8_t* pixel = padded->view().row(y) + 3 * x;
      const bool inside = x >= 2 && x < 5 && y >= 1 && y < 3;
      EXPECT_EQ(pixel[0], inside ? x - 2 : 9);
      EXPECT_EQ(pixel[1], inside ? y - 1 : 8);
      EXPECT_EQ(pixel[2], inside ? 77 : 250);
    }
  }
  EXPECT_TRUE(Pad(image.view(), 3, 2, 0, 0, {}, {}).ok());
  EXPECT_EQ(Pad(image.view(), 2, 2, 0, 0, {}, {}).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(Pad(image.view(), 7, 5, 5, 0, {}, {}).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(Pad(image.view(), 7, 5, 0, UINT32_MAX, {}, {}).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(Pad(image.view(), 60000, 60000, 0, 0, {}, {}).status().code(), Code::kOutOfMemory);
}

}  // namespace
}  // namespace mote
