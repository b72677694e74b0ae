// Resizes pictures for tests/vision/pillow_test.py, which compares them with Pillow's.
//
// Reads jobs from standard input until it ends: a line "ROW FILTER WIDTH HEIGHT NEW_WIDTH NEW_HEIGHT LEFT TOP RIGHT
// BOTTOM" (ROW: of the kernel table; FILTER: its number in engine/vision/resize.h), then WIDTH * HEIGHT * 3 bytes.
// Writes the pixels of each result, or a line on stderr and nothing more.
#include <stdio.h>

#include <memory>
#include <vector>

#include "engine/vision/resize.h"
#include "simd/kernels.h"

int main() {
  const std::unique_ptr<mote::Platform> platform = mote::CreatePlatform();
  auto pool = platform->CreateThreadPool(2);
  char row[32];
  unsigned filter = 0;
  mote::ImageView view;
  mote::ResizeOptions options;
  mote::Box box;
  while (scanf("%31s %u %u %u %u %u %f %f %f %f", row, &filter, &view.width, &view.height, &options.width,
               &options.height, &box.left, &box.top, &box.right, &box.bottom) == 10) {
    getchar();  // the end of the line
    std::vector<uint8_t> pixels(size_t{3} * view.width * view.height);
    if (fread(pixels.data(), 1, pixels.size(), stdin) != pixels.size()) return 1;
    view.rgb = pixels.data();
    view.stride = size_t{3} * view.width;
    options.filter = static_cast<mote::Filter>(filter);
    options.box = box;
    const mote::simd::KernelTable* table = mote::simd::FindTable(row);
    if (table == nullptr || !mote::simd::CanRun(*table)) return 1;
    const mote::PixelKernels kernels = {table->resize_rows, table->blend_rows};
    const auto image = mote::Resize(view, options, kernels, pool.ok() ? pool.value().get() : nullptr);
    if (!image.ok()) {
      fprintf(stderr, "%s\n", image.status().message().c_str());
      return 1;
    }
    fwrite(image->rgb.data(), 1, image->rgb.size(), stdout);
    fflush(stdout);
  }
  return 0;
}
