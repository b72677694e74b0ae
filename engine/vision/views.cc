// How each family's own processor cuts an image. The sources are the processors published with the models
// (transformers' Idefics3ImageProcessor, Gemma3ImageProcessor, Qwen2VLImageProcessor, PixtralImageProcessor; InternVL's
// dynamic_preprocess; LLaVA's expand2square), read in 2026-11.
#include "engine/vision/views.h"

#include <math.h>

#include <algorithm>

#include "engine/vision/resize.h"

namespace mote {
namespace {

struct Size {
  uint32_t width = 0;
  uint32_t height = 0;
};

class Cutter {
 public:
  Cutter(const TowerParams& tower, const PixelKernels& kernels, ThreadPool* pool)
      : tower_(tower), kernels_(kernels), pool_(pool) {}

  Result<Image> Stretch(const ImageView& image, Size size, Filter filter) const {
    ResizeOptions options;
    options.width = size.width;
    options.height = size.height;
    options.filter = filter;
    return Resize(image, options, kernels_, pool_);
  }

  // The image alone, stretched.
  Result<std::vector<View>> Whole(const ImageView& image, Size size, Filter filter) const {
    std::vector<View> views(1);
    MOTE_ASSIGN_OR_RETURN(views[0].pixels, Stretch(image, size, filter));
    return views;
  }

  // `refined` in tiles of image_size, row by row, and `whole` last.
  Result<std::vector<View>> Tiles(const ImageView& refined, Image whole) const {
    const uint32_t side = tower_.image_size;
    const uint32_t rows = refined.height / side;
    const uint32_t cols = refined.width / side;
    std::vector<View> views;
    for (uint32_t row = 0; row < rows; ++row) {
      for (uint32_t col = 0; col < cols; ++col) {
        View view;
        view.place = {true, row, col, rows, cols};
        MOTE_ASSIGN_OR_RETURN(const ImageView part, Crop(refined, col * side, row * side, side, side));
        MOTE_ASSIGN_OR_RETURN(view.pixels, Pad(part, side, side, 0, 0, {}, {}));
        views.push_back(std::move(view));
      }
    }
    View last;
    last.place = {false, 0, 0, rows, cols};
    last.pixels = std::move(whole);
    views.push_back(std::move(last));
    return views;
  }

  Result<std::vector<View>> Idefics3(const ImageView& image) const;
  Result<std::vector<View>> InternVl(const ImageView& image) const;
  Result<std::vector<View>> Llava(const ImageView& image) const;

 private:
  const TowerParams& tower_;
  const PixelKernels& kernels_;
  ThreadPool* pool_;
};

uint32_t RoundUp(uint32_t value, uint32_t unit) {
  return (value + unit - 1) / unit * unit;
}

// The longer side to longest_side, the other along with it and even; then both up to whole tiles.
Result<std::vector<View>> Cutter::Idefics3(const ImageView& image) const {
  const uint32_t side = tower_.image_size;
  if (tower_.longest_side == 0) return Whole(image, {side, side}, Filter::kLanczos);
  const double aspect = static_cast<double>(image.width) / image.height;
  const uint32_t longest = tower_.longest_side;
  const auto other = [](double length) {
    const uint32_t whole = static_cast<uint32_t>(length);
    return std::max(whole + whole % 2, 1u);
  };
  const Size scaled = aspect >= 1 ? Size{longest, other(longest / aspect)} : Size{other(longest * aspect), longest};
  MOTE_ASSIGN_OR_RETURN(const Image first, Stretch(image, scaled, Filter::kLanczos));
  const double ratio = static_cast<double>(scaled.width) / scaled.height;
  Size tiled;
  if (scaled.width >= scaled.height) {
    tiled.width = RoundUp(scaled.width, side);
    tiled.height = RoundUp(std::max(static_cast<uint32_t>(tiled.width / ratio), 1u), side);
  } else {
    tiled.height = RoundUp(scaled.height, side);
    tiled.width = RoundUp(std::max(static_cast<uint32_t>(tiled.height * ratio), 1u), side);
  }
  MOTE_ASSIGN_OR_RETURN(const Image refined, Stretch(first.view(), tiled, Filter::kLanczos));
  if (tiled.width == side && tiled.height == side) return Whole(refined.view(), tiled, Filter::kLanczos);
  MOTE_ASSIGN_OR_RETURN(Image whole, Stretch(refined.view(), {side, side}, Filter::kLanczos));
  return Tiles(refined.view(), std::move(whole));
}

// The grid of min_tiles to max_tiles whose aspect comes nearest; of two as near, the larger if the image fills half.
Result<std::vector<View>> Cutter::InternVl(const ImageView& image) const {
  const uint32_t side = tower_.image_size;
  const double aspect = static_cast<double>(image.width) / image.height;
  const double area = static_cast<double>(image.width) * image.height;
  double least = INFINITY;
  Size best = {1, 1};
  for (uint32_t tiles = tower_.min_tiles; tiles <= tower_.max_tiles; ++tiles) {
    for (uint32_t cols = 1; cols <= tiles; ++cols) {
      if (tiles % cols != 0) continue;
      const uint32_t rows = tiles / cols;
      const double difference = fabs(aspect - static_cast<double>(cols) / rows);
      const bool fills = area > 0.5 * side * side * tiles;
      if (difference < least || (difference == least && fills)) best = {cols, rows};
      least = std::min(least, difference);
    }
  }
  MOTE_ASSIGN_OR_RETURN(Image refined, Stretch(image, {best.width * side, best.height * side}, Filter::kBicubic));
  if (best.width * best.height == 1) return Whole(refined.view(), {side, side}, Filter::kBicubic);
  MOTE_ASSIGN_OR_RETURN(Image whole, Stretch(image, {side, side}, Filter::kBicubic));
  return Tiles(refined.view(), std::move(whole));
}

// A square around it in CLIP's mean colour.
Result<std::vector<View>> Cutter::Llava(const ImageView& image) const {
  const uint32_t side = std::max(image.width, image.height);
  MOTE_ASSIGN_OR_RETURN(const Image square, Pad(image, side, side, (side - image.width) / 2, (side - image.height) / 2,
                                                {122, 116, 104}, {uint64_t{1} << 32, 0}));
  return Whole(square.view(), {tower_.image_size, tower_.image_size}, Filter::kBicubic);
}

// Qwen2-VL: the nearest multiples of `unit` that keep within the limits.
Size SmartSize(const ImageView& image, uint32_t unit, uint64_t min_pixels, uint64_t max_pixels) {
  const double width = image.width;
  const double height = image.height;
  const auto nearest = [&](double length) { return std::max<double>(unit, nearbyint(length / unit) * unit); };
  double w = nearest(width);
  double h = nearest(height);
  if (w * h > static_cast<double>(max_pixels)) {
    const double beta = sqrt(width * height / static_cast<double>(max_pixels));
    w = std::max<double>(unit, floor(width / beta / unit) * unit);
    h = std::max<double>(unit, floor(height / beta / unit) * unit);
  } else if (w * h < static_cast<double>(min_pixels)) {
    const double beta = sqrt(static_cast<double>(min_pixels) / (width * height));
    w = ceil(width * beta / unit) * unit;
    h = ceil(height * beta / unit) * unit;
  }
  return {static_cast<uint32_t>(w), static_cast<uint32_t>(h)};
}

// Pixtral: no side longer than `longest`, then both up to multiples of `unit`.
Size FittedSize(const ImageView& image, uint32_t unit, uint32_t longest) {
  const double ratio = std::max(image.width, image.height) / static_cast<double>(longest);
  const auto fit = [&](uint32_t length) {
    const uint32_t scaled = ratio > 1 ? static_cast<uint32_t>(floor(length / ratio)) : length;
    return RoundUp(std::max(scaled, 1u), unit);
  };
  return {fit(image.width), fit(image.height)};
}

// Longest side of a view of up to `max_tokens` rows, where the tower fits images into a square.
uint32_t FittedSide(const TowerParams& tower, uint32_t max_tokens) {
  const uint32_t unit = tower.patch_size * tower.merge;
  const uint32_t side = max_tokens == 0 ? UINT32_MAX : std::max(static_cast<uint32_t>(sqrt(max_tokens)), 1u) * unit;
  return std::min(tower.image_size, side);
}

uint64_t PixelLimit(const TowerParams& tower, uint32_t max_tokens) {
  const uint64_t unit = uint64_t{tower.patch_size} * tower.merge;
  return max_tokens == 0 ? tower.max_pixels : std::min(tower.max_pixels, max_tokens * unit * unit);
}

}  // namespace

Result<std::vector<View>> MakeViews(const TowerParams& tower, const ImageView& image, uint32_t max_tokens,
                                    const PixelKernels& kernels, ThreadPool* pool) {
  constexpr uint32_t kMostAspect = 200;  // Qwen2-VL's own limit
  if (std::max(image.width, image.height) / kMostAspect >= std::max(std::min(image.width, image.height), 1u)) {
    return Error(Code::kInvalidArgument, "an image of %u x %u pixels: one side may be less than %u times the other",
                 image.width, image.height, kMostAspect);
  }
  const Cutter cutter(tower, kernels, pool);
  const uint32_t unit = tower.patch_size * tower.merge;
  const Size square = {tower.image_size, tower.image_size};
  switch (tower.projector) {
    case Projector::kIdefics3:
      return cutter.Idefics3(image);
    case Projector::kGemma3:
      return cutter.Whole(image, square, Filter::kBilinear);
    case Projector::kInternVl:
      return cutter.InternVl(image);
    case Projector::kMlp:
      return cutter.Llava(image);
    case Projector::kPixtral:
      return cutter.Whole(image, FittedSize(image, unit, FittedSide(tower, max_tokens)), Filter::kBicubic);
    case Projector::kQwen2Vl:
    case Projector::kQwen25Vl:
    case Projector::kQwen3Vl: {
      const uint64_t most = PixelLimit(tower, max_tokens);
      return cutter.Whole(image, SmartSize(image, unit, std::min(tower.min_pixels, most), most), Filter::kBicubic);
    }
  }
  return Error(Code::kInternal, "a projector without a processor");
}

uint32_t PatchRows(const TowerParams& tower, uint32_t width, uint32_t height) {
  return width / tower.patch_size * (height / tower.patch_size) + (tower.class_token ? 1 : 0);
}

uint32_t MaxPatchRows(const TowerParams& tower, uint32_t max_tokens) {
  if (!tower.native_size) return PatchRows(tower, tower.image_size, tower.image_size);
  const uint64_t patch = uint64_t{tower.patch_size} * tower.patch_size;
  if (tower.projector == Projector::kPixtral) {
    const uint32_t side = RoundUp(FittedSide(tower, max_tokens), tower.patch_size * tower.merge);
    return PatchRows(tower, side, side);
  }
  // A side is at least one unit: the limits can be passed by images thinner than that.
  const uint64_t unit = uint64_t{tower.patch_size} * tower.merge;
  const uint64_t thin = unit * unit * 200;
  return static_cast<uint32_t>(std::max(PixelLimit(tower, max_tokens), thin) / patch);
}

}  // namespace mote
