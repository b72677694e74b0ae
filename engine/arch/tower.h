// Vision towers: what turns the patches of an image into rows that a decoder reads. The files are GGUF with
// general.architecture = "clip", "mmproj" by name; docs/vision.md describes their keys and tensors.
//
// A tower is a Graph like a decoder's. Its rows are the patches of one view of an image (several views per step are
// several sequences); the input of a row is the patch's pixels, (3, patch_size, patch_size) floats, normalised, and,
// where the tower has learned positions, its position's row of `width` floats. Rows come in an order that makes
// merging a reshape: block by block of merge x merge patches, the class token (a patch of zeros) first where there is
// one.
#ifndef MOTE_ENGINE_ARCH_TOWER_H_
#define MOTE_ENGINE_ARCH_TOWER_H_

#include <stdint.h>

#include <span>
#include <string>
#include <vector>

#include "engine/core/status.h"
#include "engine/format/gguf.h"
#include "engine/graph/graph.h"

namespace mote {

enum class Projector : uint8_t { kMlp, kIdefics3, kGemma3, kQwen2Vl, kQwen25Vl, kQwen3Vl, kInternVl, kPixtral };

// From the `clip.*` keys and the tensors' shapes, checked: every count is in its stated range.
struct TowerParams {
  Projector projector = Projector::kIdefics3;
  std::string projector_name;  // "idefics3"
  std::string name;            // general.name, or ""
  uint32_t image_size = 0;     // pixels a side of a view, [1, 16384]; with native resolution, of what it was made for
  uint32_t patch_size = 0;     // [1, 256]
  uint32_t width = 0;          // [1, 2^16]
  uint32_t ff = 0;             // [1, 2^20]
  uint32_t layers = 0;         // [1, 256]
  uint32_t heads = 0;          // [1, 256]
  float epsilon = 0;
  Activation activation = Activation::kGeluQuick;
  float mean[3] = {};  // of pixels in [0, 1]
  float std[3] = {};
  uint32_t merge = 1;           // merge x merge patches become one row, [1, 64]
  uint32_t longest_side = 0;    // clip.vision.preproc_image_size: an image is scaled to it and tiled; 0: no tiles
  uint32_t window_pattern = 0;  // every so many layers see all of the image, the others a window; 0: all see all
  uint32_t window_size = 0;     // pixels a side
  uint64_t min_pixels = 0;      // of a resized image, where the tower takes any size
  uint64_t max_pixels = 0;
  uint32_t min_tiles = 0;  // internvl
  uint32_t max_tiles = 0;
  std::vector<uint32_t> deepstack;  // layers whose output goes to the decoder's first layers, ascending
  std::vector<uint32_t> features;   // mlp: blocks whose inputs are the result, ascending; `layers`: the last's output
  bool class_token = false;
  bool learned_positions = false;
  uint32_t out_width = 0;    // the decoder's width
  bool native_size = false;  // takes views of any multiple of patch_size * merge, not only of image_size

  uint32_t patch_floats() const { return 3 * patch_size * patch_size; }
  uint32_t merged() const { return merge * merge; }
  uint32_t out_cols() const { return out_width * (1 + static_cast<uint32_t>(deepstack.size())); }
};

Result<TowerParams> ReadTowerParams(const GgufFile& file);
Status BuildTower(const GgufFile& file, const TowerParams& params, Graph* graph);

// Names of the projectors that mote runs, as files write them.
std::span<const char* const> ProjectorNames();

// Step::sights: everything in a view, and windows of it.
inline constexpr uint32_t kSightView = 0;
inline constexpr uint32_t kSightWindow = 1;

}  // namespace mote

#endif  // MOTE_ENGINE_ARCH_TOWER_H_
