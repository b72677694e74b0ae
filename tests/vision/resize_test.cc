// Resizing beside what Pillow and PyTorch computed for the same pictures: tests/golden/resize.txt, made by
// tests/vision/make_golden.py. (pillow_test.py compares with Pillow at random sizes, where it is installed.)
#include "engine/vision/resize.h"

#include <gtest/gtest.h>
#include <stdio.h>
#include <string.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "engine/vision/resize_taps.h"
#include "simd/kernels.h"
#include "tests/support/effort.h"

namespace mote {
namespace {

// The formula of make_golden.py.
Image Source(uint32_t width, uint32_t height) {
  auto image = CreateImage(width, height, {});
  EXPECT_TRUE(image.ok());
  for (uint32_t y = 0; y < height; ++y) {
    for (uint32_t x = 0; x < width; ++x) {
      for (uint32_t c = 0; c < 3; ++c) {
        image->row(y)[3 * x + c] =
            static_cast<uint8_t>(x * x * 3 + y * (7 + 4 * c) + x * y * 5 + c * 50 + ((x * y) ^ (x + 3 * y)));
      }
    }
  }
  return std::move(image).value();
}

uint64_t Fnv1a(const Image& image) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (size_t i = 0; i < image.rgb.size(); ++i) hash = (hash ^ image.rgb.data()[i]) * 0x100000001b3u;
  return hash;
}

std::string Hex(const Image& image, size_t bytes) {
  std::string hex;
  for (size_t i = 0; i < std::min(bytes, image.rgb.size()); ++i) {
    char two[3];
    snprintf(two, sizeof(two), "%02x", image.rgb.data()[i]);
    hex += two;
  }
  return hex;
}

PixelKernels KernelsOf(const simd::KernelTable& table) {
  return {table.resize_rows, table.blend_rows};
}

std::vector<const simd::KernelTable*> Rows() {
  std::vector<const simd::KernelTable*> rows;
  for (const simd::KernelTable* table : simd::Tables()) {
    if (simd::CanRun(*table)) rows.push_back(table);
  }
  return rows;
}

// Runs the workers of a Run one after another: what they share, they may not write.
class OneAfterAnother : public ThreadPool {
 public:
  explicit OneAfterAnother(int workers) : workers_(workers) {}
  int num_workers() const override { return workers_; }
  void RunSome(int workers, void (*body)(void* argument, int worker), void* argument) override {
    for (int worker = workers - 1; worker >= 0; --worker) body(argument, worker);
  }
  void Sync() override { FAIL() << "no worker waits for another"; }

 private:
  const int workers_;
};

struct Golden {
  unsigned filter = 0;
  uint32_t width = 0, height = 0;
  ResizeOptions options;
  unsigned long long hash = 0;
  char hex[2500] = {};
};

std::vector<Golden> ReadGolden() {
  std::vector<Golden> all;
  FILE* file = fopen("tests/golden/resize.txt", "r");
  if (file == nullptr) return all;
  char line[4096];
  while (fgets(line, sizeof(line), file) != nullptr) {
    Golden golden;
    Box box;
    if (line[0] == '#') continue;
    EXPECT_EQ(sscanf(line, "%u %u %u %u %u %f %f %f %f %llx %2499s", &golden.filter, &golden.width, &golden.height,
                     &golden.options.width, &golden.options.height, &box.left, &box.top, &box.right, &box.bottom,
                     &golden.hash, golden.hex),
              11)
        << line;
    golden.options.filter = static_cast<Filter>(golden.filter);
    golden.options.box = box;
    all.push_back(golden);
  }
  fclose(file);
  return all;
}

TEST(Resize, GivesPillowsBytes) {
  const std::vector<Golden> all = ReadGolden();
  ASSERT_GT(all.size(), 100u) << "tests/golden/resize.txt is missing: run from the top of the repository";
  size_t number = 0;
  for (const Golden& golden : all) {
    if (golden.options.filter == Filter::kPlainBilinear || ++number % Effort(1, 5) != 0) continue;
    const Image source = Source(golden.width, golden.height);
    for (const simd::KernelTable* table : Rows()) {
      for (const int workers : {0, 1, 3}) {
        OneAfterAnother pool(workers);
        const auto image = Resize(source.view(), golden.options, KernelsOf(*table), workers == 0 ? nullptr : &pool);
        ASSERT_TRUE(image.ok()) << image.status().message();
        ASSERT_EQ(Hex(*image, 12), golden.hex);
        ASSERT_EQ(Fnv1a(*image), golden.hash)
            << table->name << ", " << workers << " workers: filter " << golden.filter << ", " << golden.width << " x "
            << golden.height << " to " << golden.options.width << " x " << golden.options.height;
      }
    }
  }
}

// The value before it is rounded, in double, from the definition.
double PlainExact(const Image& source, const ResizeOptions& options, uint32_t x, uint32_t y, uint32_t c) {
  const auto place = [](uint32_t output, uint32_t outputs, uint32_t inputs) {
    return std::clamp((output + 0.5) * inputs / outputs - 0.5, 0.0, inputs - 1.0);
  };
  const double u = place(x, options.width, source.width), v = place(y, options.height, source.height);
  double sum = 0;
  for (uint32_t row = 0; row < source.height; ++row) {
    for (uint32_t column = 0; column < source.width; ++column) {
      const double weight = std::max(0.0, 1 - std::abs(u - column)) * std::max(0.0, 1 - std::abs(v - row));
      sum += weight * source.view().row(row)[3 * column + c];
    }
  }
  return sum;
}

// PyTorch adds in another order, so that halves (they are common: 2 to 1) can fall to either side.
TEST(Resize, PlainBilinearGivesPyTorchsBytes) {
  size_t bytes = 0;
  for (const Golden& golden : ReadGolden()) {
    if (golden.options.filter != Filter::kPlainBilinear) continue;
    OneAfterAnother pool(2);
    const Image source = Source(golden.width, golden.height);
    const auto image = Resize(source.view(), golden.options, {}, &pool);
    ASSERT_TRUE(image.ok()) << image.status().message();
    ASSERT_EQ(strlen(golden.hex), 2 * image->rgb.size());
    for (size_t i = 0; i < image->rgb.size(); ++i, ++bytes) {
      unsigned want = 0;
      sscanf(golden.hex + 2 * i, "%2x", &want);
      const uint32_t pixel = static_cast<uint32_t>(i / 3);
      const double exact = PlainExact(source, golden.options, pixel % image->width, pixel / image->width, i % 3);
      ASSERT_NEAR(image->rgb.data()[i], exact, 0.5001) << golden.width << " x " << golden.height << ": byte " << i;
      if (std::abs(exact - std::floor(exact) - 0.5) > 0.001) {
        ASSERT_EQ(image->rgb.data()[i], want) << golden.width << " x " << golden.height << ": byte " << i;
      }
    }
  }
  EXPECT_GT(bytes, 1000u);
}

TEST(Resize, OfTheSameSizeIsACopy) {
  const Image source = Source(37, 21);
  for (const Filter filter :
       {Filter::kBox, Filter::kBilinear, Filter::kBicubic, Filter::kLanczos, Filter::kPlainBilinear}) {
    const auto image = Resize(source.view(), {.width = 37, .height = 21, .filter = filter},
                              KernelsOf(*simd::FindTable("scalar")), nullptr);
    ASSERT_TRUE(image.ok());
    EXPECT_EQ(memcmp(image->rgb.data(), source.rgb.data(), source.rgb.size()), 0);
  }
}

// A view of a part is resized as the part alone would be: nothing of its surroundings gets in.
TEST(Resize, SeesNothingOutsideOfItsView) {
  const Image whole = Source(60, 50);
  const auto part = Crop(whole.view(), 13, 9, 31, 23);
  ASSERT_TRUE(part.ok());
  auto alone = CreateImage(31, 23, {});
  ASSERT_TRUE(alone.ok());
  for (uint32_t y = 0; y < 23; ++y) memcpy(alone->row(y), part->row(y), 3 * 31);
  for (const simd::KernelTable* table : Rows()) {
    for (const Filter filter : {Filter::kBicubic, Filter::kLanczos, Filter::kPlainBilinear}) {
      const ResizeOptions options = {.width = 19, .height = 40, .filter = filter};
      const auto a = Resize(*part, options, KernelsOf(*table), nullptr);
      const auto b = Resize(alone->view(), options, KernelsOf(*table), nullptr);
      ASSERT_TRUE(a.ok() && b.ok());
      EXPECT_EQ(memcmp(a->rgb.data(), b->rgb.data(), a->rgb.size()), 0);
    }
  }
}

TEST(Resize, RefusesWhatIsOutOfRange) {
  const Image source = Source(10, 8);
  const PixelKernels kernels = KernelsOf(*simd::FindTable("scalar"));
  const auto code = [&](const ResizeOptions& options) {
    return Resize(source.view(), options, kernels, nullptr).status().code();
  };
  EXPECT_EQ(code({.width = 0, .height = 4}), Code::kInvalidArgument);
  EXPECT_EQ(code({.width = 4, .height = 65536}), Code::kInvalidArgument);
  EXPECT_EQ(code({.width = 5000, .height = 5000}), Code::kOutOfMemory);
  EXPECT_EQ(code({.width = 11, .height = 10, .limits = {.max_pixels = 109}}), Code::kOutOfMemory);
  for (const Box& box : {Box{-1, 0, 10, 8}, Box{0, 0, 10.5f, 8}, Box{5, 0, 5, 8}, Box{0, 6, 10, 2}, Box{0, 0, 10, 9},
                         Box{NAN, 0, 10, 8}, Box{0, 0, 10, NAN}, Box{0, 0, INFINITY, 8}}) {
    EXPECT_EQ(code({.width = 4, .height = 4, .box = box}), Code::kInvalidArgument) << box.left << " " << box.right;
  }
  EXPECT_EQ(Resize(ImageView{}, {.width = 4, .height = 4}, kernels, nullptr).status().code(), Code::kInvalidArgument);
  // 65535 rows kept at 65535 pixels would be 12 GiB.
  const Image tall = Source(1, 65535);
  EXPECT_EQ(Resize(tall.view(), {.width = 65535, .height = 1}, kernels, nullptr).status().code(), Code::kOutOfMemory);
}

// What the kernels' 32-bit sums rest on, from one pixel to one, at the ends and far apart.
TEST(ResizeTaps, StayInsideThePictureAndBelowTwo) {
  constexpr double kOne = 1 << kPixelWeightBits;
  for (const Filter filter : {Filter::kBox, Filter::kBilinear, Filter::kBicubic, Filter::kLanczos}) {
    for (const uint32_t source : {1u, 2u, 3u, 7u, 100u, 1000u, 65535u}) {
      for (const uint32_t outputs : {1u, 2u, 3u, 5u, 99u, 101u, 3000u}) {
        const float end = static_cast<float>(source);
        for (const auto& [from, to] :
             {std::pair<float, float>{0, end}, {end * 0.25f, end * 0.3f}, {end - 0.125f, end}}) {
          const auto taps = MakeResizeTaps(filter, source, from, to, outputs);
          ASSERT_TRUE(taps.ok());
          for (uint32_t x = 0; x < outputs; ++x) {
            const int32_t* tap = taps->at(x);
            ASSERT_GE(tap[0], 0);
            ASSERT_GE(tap[1], 1);
            ASSERT_LE(static_cast<uint32_t>(tap[0] + tap[1]), source);
            ASSERT_LE(static_cast<uint32_t>(tap[1]), taps->max_count);
            double sum = 0, magnitude = 0;
            for (int32_t j = 0; j < tap[1]; ++j) {
              sum += tap[2 + j];
              magnitude += std::abs(tap[2 + j]);
            }
            ASSERT_LT(magnitude, 2 * kOne) << source << " to " << outputs << ", filter " << static_cast<int>(filter);
            // Each weight is rounded by half of one at most.
            ASSERT_NEAR(sum, kOne, 0.5 * tap[1] + 1) << source << " to " << outputs;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace mote
