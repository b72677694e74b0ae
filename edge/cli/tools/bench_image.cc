#include "edge/cli/tools/bench_image.h"

#include <algorithm>
#include <random>
#include <string_view>

#include "edge/cli/builtin.h"
#include "edge/cli/console.h"
#include "edge/cli/options.h"

namespace mote::cli {
namespace {

void Check(mote_status status, const mote_error& error) {
  if (status != MOTE_OK) FailWith(status, error.message);
}

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

}  // namespace

ImageBench::ImageBench(mote_model* model, Platform& platform, const std::string& path, uint32_t size)
    : model_(model), file_(OpenVisionFile(platform, path)) {
  Result<TowerParams> tower = ReadTowerParams(*file_);
  if (!tower.ok()) Fail(path + ": " + tower.status().message());
  tower_ = *std::move(tower);
  mote_vision_params params = mote_vision_default_params();
  params.cache_bytes = 0;  // each round reads anew
  mote_error error = {};
  if (path.empty()) {
    const BuiltinFile& vision = BuiltinModel()->vision;
    Check(mote_model_load_vision_memory(model, vision.bytes, vision.size, &params, &error), error);
  } else {
    Check(mote_model_load_vision(model, path.c_str(), &params, &error), error);
  }
  size_ = size != 0 ? size : tower_.image_size;
  std::mt19937 random(42);
  pixels_.resize(size_t{3} * size_ * size_);
  for (uint8_t& value : pixels_) value = static_cast<uint8_t>(random());
}

double ImageBench::Measure(bool counts) {
  mote_image image = {};
  image.pixels = pixels_.data();
  image.width = size_;
  image.height = size_;
  image.channels = 3;
  constexpr std::string_view kText = MOTE_IMAGE_MARK " ";
  mote_prompt* prompt = nullptr;
  mote_error error = {};
  Check(mote_prompt_create_text(model_, kText.data(), kText.size(), 0, &image, 1, nullptr, &prompt, &error), error);
  info_.struct_size = sizeof(info_);
  mote_prompt_get_info(prompt, &info_, nullptr);
  mote_prompt_free(prompt);
  if (samples_.empty()) {
    const uint32_t lines = size_ / (tower_.patch_size * tower_.merge);
    work_ = WorkPerImage(*file_, tower_, info_.image_rows, std::max(info_.views, 1u), lines);
  }
  if (counts) samples_.push_back({info_.preprocess_seconds, info_.encode_seconds});
  return info_.image_rows / (info_.preprocess_seconds + info_.encode_seconds);
}

double ImageBench::MedianOf(double Sample::*field) const {
  std::vector<double> values;
  for (const Sample& sample : samples_) values.push_back(sample.*field);
  return Median(values);
}

double ImageBench::MedianSeconds() const {
  std::vector<double> values;
  for (const Sample& sample : samples_) values.push_back(sample.preprocess_seconds + sample.encode_seconds);
  return Median(values);
}

double ImageBench::speed() const {
  const double seconds = MedianOf(&Sample::encode_seconds);
  return seconds > 0 ? work_.operations / seconds : 0;
}

std::string ImageBench::Describe() const {
  return Format("%s: %.2f ms per image of %u tokens in %u view%s (resize %.2f, encode %.2f), %.2f images/s, %.2f Gop",
                name().c_str(), MedianSeconds() * 1e3, info_.image_rows, info_.views, info_.views == 1 ? "" : "s",
                MedianOf(&Sample::preprocess_seconds) * 1e3, MedianOf(&Sample::encode_seconds) * 1e3,
                1 / MedianSeconds(), work_.operations / 1e9);
}

void ImageBench::AddToJson(const ImageBench* bench, nlohmann::ordered_json* row) {
  for (const char* key : {"ms_per_image", "preprocess_ms", "encode_ms", "tokens_per_image", "views_per_image",
                          "images_per_second", "operations_per_image"}) {
    (*row)[key] = nullptr;
  }
  if (bench == nullptr) return;
  (*row)["ms_per_image"] = bench->MedianSeconds() * 1e3;
  (*row)["preprocess_ms"] = bench->MedianOf(&Sample::preprocess_seconds) * 1e3;
  (*row)["encode_ms"] = bench->MedianOf(&Sample::encode_seconds) * 1e3;
  (*row)["tokens_per_image"] = bench->info_.image_rows;
  (*row)["views_per_image"] = bench->info_.views;
  (*row)["images_per_second"] = 1 / bench->MedianSeconds();
  (*row)["operations_per_image"] = bench->work_.operations;
}

}  // namespace mote::cli
