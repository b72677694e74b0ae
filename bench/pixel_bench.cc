// Pictures on one thread: a photo of 1920 x 1080 resized for a tower, by kernel table row, and patches made of it.
//
//   pixel_bench [--benchmark_filter=bicubic] [Google Benchmark's options]
//
// Rows of one filter come one after another, so that their ratio is that of one minute.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "engine/vision/patches.h"
#include "engine/vision/resize.h"
#include "simd/kernels.h"

namespace {

mote::Image Noise(uint32_t width, uint32_t height) {
  auto image = mote::CreateImage(width, height, {});
  if (!image.ok()) return {};
  uint32_t state = 1;
  for (size_t i = 0; i < image->rgb.size(); ++i) {
    state = state * 1664525 + 1013904223;
    image->rgb.data()[i] = static_cast<uint8_t>(state >> 24);
  }
  return std::move(image).value();
}

void ResizeTo512(benchmark::State& state, const mote::simd::KernelTable* table, mote::Filter filter) {
  const mote::Image photo = Noise(1920, 1080);
  const mote::PixelKernels kernels = {table->resize_rows, table->blend_rows};
  const mote::ResizeOptions options = {.width = 512, .height = 512, .filter = filter};
  for (auto _ : state) {
    auto image = mote::Resize(photo.view(), options, kernels, nullptr);
    if (!image.ok()) state.SkipWithError(image.status().message().c_str());
    benchmark::DoNotOptimize(image->rgb.data());
  }
}

void Patches512(benchmark::State& state) {
  const mote::Image image = Noise(512, 512);
  std::vector<float> out(size_t{3} * 512 * 512);
  const mote::PatchLayout layout = {.patch = 16};
  for (auto _ : state) {
    if (!mote::ToPatches(image.view(), layout, out, nullptr).ok()) state.SkipWithError("refused");
    benchmark::DoNotOptimize(out.data());
  }
}

}  // namespace

int main(int argc, char** argv) {
  constexpr struct {
    const char* name;
    mote::Filter filter;
  } kFilters[] = {
      {"bilinear", mote::Filter::kBilinear}, {"bicubic", mote::Filter::kBicubic}, {"lanczos", mote::Filter::kLanczos}};
  for (const auto& filter : kFilters) {
    for (const mote::simd::KernelTable* table : mote::simd::Tables()) {
      if (!mote::simd::CanRun(*table)) continue;
      benchmark::RegisterBenchmark((std::string("resize/") + filter.name + "/" + table->name).c_str(), ResizeTo512,
                                   table, filter.filter)
          ->Unit(benchmark::kMillisecond);
    }
  }
  benchmark::RegisterBenchmark("patches", Patches512)->Unit(benchmark::kMillisecond);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
