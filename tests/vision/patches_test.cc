// Pixels as rows of patches.
#include "engine/vision/patches.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/support/guarded.h"

namespace mote {
namespace {

Image Noise(uint32_t width, uint32_t height) {
  auto image = CreateImage(width, height, {});
  EXPECT_TRUE(image.ok());
  uint32_t state = 7;
  for (size_t i = 0; i < image->rgb.size(); ++i) {
    state = state * 1664525 + 1013904223;
    image->rgb.data()[i] = static_cast<uint8_t>(state >> 24);
  }
  return std::move(image).value();
}

class InTurn : public ThreadPool {
 public:
  int num_workers() const override { return 3; }
  void RunSome(int workers, void (*body)(void* argument, int worker), void* argument) override {
    ASSERT_EQ(workers, 3);
    for (int worker : {1, 2, 0}) body(argument, worker);
  }
  void Sync() override {}
};

// Written from where a pixel must go, the code from where a patch comes from.
size_t PlaceOf(uint32_t x, uint32_t y, uint32_t c, uint32_t width, uint32_t patch, uint32_t merge) {
  const uint32_t px = x / patch, py = y / patch;  // the patch
  const size_t block = size_t{py / merge} * (width / patch / merge) + px / merge;
  const size_t number = block * merge * merge + py % merge * merge + px % merge;
  return ((number * 3 + c) * patch + y % patch) * patch + x % patch;
}

TEST(ToPatches, PutsEveryPixelInItsPlace) {
  const float mean[3] = {0.48145466f, 0.4578275f, 0.40821073f}, std[3] = {0.26862954f, 0.26130258f, 0.27577711f};
  InTurn in_turn;
  for (const auto& [patch, merge, across, down] : std::vector<std::array<uint32_t, 4>>{
           {1, 1, 5, 3}, {2, 1, 1, 1}, {14, 1, 3, 4}, {14, 2, 2, 3}, {16, 4, 1, 2}, {7, 3, 2, 1}}) {
    const uint32_t side = patch * merge;
    const Image image = Noise(across * side + 5, down * side + 2);
    const auto view = Crop(image.view(), 3, 1, across * side, down * side);  // rows that do not touch
    ASSERT_TRUE(view.ok());
    PatchLayout layout = {.patch = patch, .merge = merge};
    for (int c = 0; c < 3; ++c) {
      layout.mean[c] = mean[c];
      layout.std[c] = std[c];
    }
    for (ThreadPool* pool : {static_cast<ThreadPool*>(nullptr), static_cast<ThreadPool*>(&in_turn)}) {
      testing::Guarded<float> out(size_t{3} * view->width * view->height);
      const Status status = ToPatches(*view, layout, out.span(), pool);
      ASSERT_TRUE(status.ok()) << status.message();
      ASSERT_TRUE(out.GuardsIntact());
      for (uint32_t y = 0; y < view->height; ++y) {
        for (uint32_t x = 0; x < view->width; ++x) {
          for (uint32_t c = 0; c < 3; ++c) {
            const float pixel = static_cast<float>(view->row(y)[3 * x + c]) / 255.0f;
            ASSERT_EQ(out[PlaceOf(x, y, c, view->width, patch, merge)], (pixel - mean[c]) / std[c])
                << "patch " << patch << ", merge " << merge << ": " << x << ", " << y << ", " << c;
          }
        }
      }
    }
  }
}

// Blocks of two by two, numbered by hand: 6 x 4 patches of one pixel.
TEST(ToPatches, OrdersBlocksAsAProjectorJoinsThem) {
  auto image = CreateImage(6, 4, {});
  ASSERT_TRUE(image.ok());
  for (int i = 0; i < 6 * 4 * 3; ++i) image->rgb.data()[i] = static_cast<uint8_t>(i / 3);
  std::vector<float> out(6 * 4 * 3);
  const PatchLayout layout = {.patch = 1, .merge = 2, .mean = {0, 0, 0}, .std = {1, 1, 1}};
  ASSERT_TRUE(ToPatches(image->view(), layout, out, nullptr).ok());
  const int want[24] = {0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11, 12, 13, 18, 19, 14, 15, 20, 21, 16, 17, 22, 23};
  for (size_t i = 0; i < 24; ++i) EXPECT_EQ(std::lround(out[3 * i] * 255), want[i]) << i;
}

TEST(ToPatches, RefusesWhatDoesNotFit) {
  const Image image = Noise(32, 16);
  std::vector<float> out(3 * 32 * 16);
  const auto code = [&](const PatchLayout& layout, size_t floats) {
    return ToPatches(image.view(), layout, std::span<float>(out).first(floats), nullptr).code();
  };
  EXPECT_EQ(code({.patch = 16}, out.size()), Code::kOk);
  EXPECT_EQ(code({.patch = 16}, out.size() - 1), Code::kInvalidArgument);
  EXPECT_EQ(code({.patch = 16, .merge = 2}, out.size()), Code::kInvalidArgument);
  EXPECT_EQ(code({.patch = 0}, out.size()), Code::kInvalidArgument);
  EXPECT_EQ(code({.patch = 16, .merge = 0}, out.size()), Code::kInvalidArgument);
  EXPECT_EQ(code({.patch = 3}, out.size()), Code::kInvalidArgument);
  EXPECT_EQ(code({.patch = 1u << 31, .merge = 1u << 31}, out.size()), Code::kInvalidArgument);
  EXPECT_EQ(code({.patch = 16, .std = {1, 0, 1}}, out.size()), Code::kInvalidArgument);
  EXPECT_EQ(code({.patch = 16, .mean = {NAN, 0, 0}}, out.size()), Code::kInvalidArgument);
}

}  // namespace
}  // namespace mote
