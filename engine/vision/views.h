// From an image to the views of it that a tower reads: whole, in tiles, or at its own size, as the model's own
// processor cuts it (sources beside each rule in views.cc).
#ifndef MOTE_ENGINE_VISION_VIEWS_H_
#define MOTE_ENGINE_VISION_VIEWS_H_

#include <stdint.h>

#include <span>
#include <string>
#include <vector>

#include "engine/arch/tower.h"
#include "engine/core/buffer.h"
#include "engine/core/context.h"
#include "engine/core/status.h"
#include "engine/format/gguf.h"
#include "engine/graph/backend.h"
#include "engine/graph/pixel_kernels.h"
#include "engine/vision/image.h"

namespace mote {

// What part of the image a view is. Tiles come row by row, before the whole.
struct ViewPlace {
  bool tile = false;
  uint32_t row = 0;  // of a tile, from 0
  uint32_t col = 0;
  uint32_t rows = 0;  // tiles in all; 0: there are none
  uint32_t cols = 0;
};

struct View {
  Image pixels;
  ViewPlace place;
};

// kInvalidArgument: the image cannot be cut (thinner than 1 : 200), with both sizes. `max_tokens`: of a view, where the
// tower takes any size; 0: its own limit.
Result<std::vector<View>> MakeViews(const TowerParams& tower, const ImageView& image, uint32_t max_tokens,
                                    const PixelKernels& kernels, ThreadPool* pool);

// Rows of a step: patches, and the class token where the tower has one.
uint32_t PatchRows(const TowerParams& tower, uint32_t width, uint32_t height);
// The most that a view can have.
uint32_t MaxPatchRows(const TowerParams& tower, uint32_t max_tokens);

// The learned positions of a tower, as floats; empty where it has none.
class PositionTable {
 public:
  PositionTable() = default;
  static Result<PositionTable> Read(const TowerParams& tower, const GgufFile& file);
  // Of the patch at (row, col) of a grid of (rows, cols): `out` (width). Between the table's own places where the grid
  // is not its own.
  void Fill(uint32_t row, uint32_t col, uint32_t rows, uint32_t cols, float* out) const;
  // What stands before the patches; false where nothing does.
  bool FillClass(float* out) const;

 private:
  const float* At(uint32_t row, uint32_t col) const {
    return table_.As<float>() + (first_ + uint64_t{row} * side_ + col) * width_;
  }

  uint32_t width_ = 0;
  uint32_t side_ = 0;
  uint64_t first_ = 0;  // rows before the patches'
  Buffer table_;        // (first + side * side, width) floats
  Buffer class_;        // (width), with its position, less the filters' bias
};

// A view as rows of a step, in the order that merging wants.
struct ViewRows {
  Buffer inputs;                     // (rows, patch_floats [+ width]) floats
  std::vector<RopePosition> places;  // row and column of the patch
  std::vector<uint32_t> window_begins, window_ends;
  std::vector<uint32_t> outputs;  // rows that go on, in the order of the result
  uint32_t rows = 0;
  uint32_t cols = 0;       // floats of an input
  uint32_t grid_rows = 0;  // of the result
  uint32_t grid_cols = 0;
};
Result<ViewRows> MakeRows(const TowerParams& tower, const PositionTable& positions, const ImageView& view,
                          ThreadPool* pool);

}  // namespace mote

#endif  // MOTE_ENGINE_VISION_VIEWS_H_
