// Which source pixels make an output pixel, and with what weight: Pillow's rule for its four antialiased filters.
#ifndef MOTE_ENGINE_VISION_RESIZE_TAPS_H_
#define MOTE_ENGINE_VISION_RESIZE_TAPS_H_

#include <stddef.h>
#include <stdint.h>

#include "engine/core/buffer.h"
#include "engine/core/status.h"
#include "engine/vision/resize.h"

namespace mote {

// Of one direction. at(x): first source pixel, number of source pixels, weights (pixel_kernels.h).
struct ResizeTaps {
  Buffer memory;
  size_t stride = 0;  // int32 per output pixel
  uint32_t max_count = 0;

  const int32_t* at(uint32_t x) const { return memory.As<int32_t>() + x * stride; }
};

// From the part [begin, end) of `source` pixels, 0 <= begin < end <= source, to `outputs`. Not for kPlainBilinear.
Result<ResizeTaps> MakeResizeTaps(Filter filter, uint32_t source, float begin, float end, uint32_t outputs);

}  // namespace mote

#endif  // MOTE_ENGINE_VISION_RESIZE_TAPS_H_
