#include "engine/vision/resize.h"

#include <string.h>

#include <algorithm>
#include <utility>

#include "engine/core/checked.h"
#include "engine/vision/for_rows.h"
#include "engine/vision/resize_taps.h"

namespace mote {
namespace {

constexpr uint32_t kGroup = kPixelRowGroup;

// What Pillow resizes in two passes: first all rows it needs to the new width, rounded to bytes, then those to the new
// height. Here both at once: a worker keeps the last few narrowed rows in a ring and never all of them.
class TwoPasses {
 public:
  TwoPasses(const ImageView& source, const PixelKernels& kernels, Image& out)
      : source_(source), kernels_(kernels), out_(out) {}

  Status Prepare(Filter filter, const Box& box, uint64_t workers) {
    across_ = source_.width != out_.width || box.left != 0 || box.right != static_cast<float>(source_.width);
    down_ = source_.height != out_.height || box.top != 0 || box.bottom != static_cast<float>(source_.height);
    if (across_) {
      MOTE_ASSIGN_OR_RETURN(columns_, MakeResizeTaps(filter, source_.width, box.left, box.right, out_.width));
      kernel_bytes_ = Checked64(PixelScratchBytes(source_.width)).AlignUp(64).value();
    }
    Checked64 worker_bytes = kernel_bytes_;
    if (down_) {
      MOTE_ASSIGN_OR_RETURN(rows_, MakeResizeTaps(filter, source_.height, box.top, box.bottom, out_.height));
      pointer_bytes_ = Checked64(rows_.max_count * sizeof(const uint8_t*)).AlignUp(64).value();
      worker_bytes = worker_bytes + pointer_bytes_;
      if (across_) {
        // Those that an output row needs, those computed with the last of them, and whole groups.
        ring_rows_ = (rows_.max_count + kGroup - 1) / kGroup * kGroup + kGroup;
        ring_stride_ = Checked64(size_t{3} * out_.width).AlignUp(64).value();
        worker_bytes = worker_bytes + Checked64(ring_rows_) * ring_stride_;
      }
    }
    const Checked64 bytes = worker_bytes * workers;
    if (!bytes.FitsIn(kMaxResizeScratch)) {
      return Error(Code::kOutOfMemory,
                   "resizing %u x %u pixels to %u x %u takes over %llu MiB of working memory: do it in two steps",
                   source_.width, source_.height, out_.width, out_.height,
                   static_cast<unsigned long long>(kMaxResizeScratch >> 20));
    }
    worker_bytes_ = worker_bytes.value();
    MOTE_ASSIGN_OR_RETURN(scratch_, Buffer::Create(bytes.value(), "working memory of a resize"));
    return Status();
  }

  // Rows [first, end) of the result.
  void Run(uint32_t first, uint32_t end, uint64_t worker) {
    uint8_t* scratch = scratch_.data() + worker * worker_bytes_;
    if (!down_) {
      if (across_) {
        Narrow(first, end - first, out_.row(first), size_t{3} * out_.width, scratch);
      } else {
        for (uint32_t y = first; y < end; ++y) memcpy(out_.row(y), source_.row(y), size_t{3} * out_.width);
      }
      return;
    }
    const uint8_t** pointers = reinterpret_cast<const uint8_t**>(scratch + kernel_bytes_);
    uint8_t* ring = scratch + kernel_bytes_ + pointer_bytes_;
    const uint32_t base = static_cast<uint32_t>(rows_.at(first)[0]);
    const int32_t* final_row = rows_.at(end - 1);
    const uint32_t last = static_cast<uint32_t>(final_row[0] + final_row[1]);
    uint32_t next = base;  // the first row that is not in the ring yet
    for (uint32_t y = first; y < end; ++y) {
      const int32_t* taps = rows_.at(y);
      const uint32_t top = static_cast<uint32_t>(taps[0]), count = static_cast<uint32_t>(taps[1]);
      for (; across_ && next < top + count; next += kGroup) {
        Narrow(next, std::min(kGroup, last - next), ring + (next - base) % ring_rows_ * ring_stride_, ring_stride_,
               scratch);
      }
      for (uint32_t j = 0; j < count; ++j) {
        pointers[j] = across_ ? ring + (top + j - base) % ring_rows_ * ring_stride_ : source_.row(top + j);
      }
      kernels_.blend_rows(pointers, taps + 2, count, size_t{3} * out_.width, out_.row(y));
    }
  }

 private:
  void Narrow(uint32_t row, uint32_t count, uint8_t* out, size_t out_stride, uint8_t* scratch) const {
    kernels_.resize_rows(source_.row(row), source_.stride, source_.width, count, columns_.at(0), columns_.stride,
                         out_.width, out, out_stride, scratch);
  }

  const ImageView source_;
  const PixelKernels& kernels_;
  Image& out_;
  bool across_ = false, down_ = false;  // the passes that are needed
  ResizeTaps columns_, rows_;
  uint64_t kernel_bytes_ = 0, pointer_bytes_ = 0, worker_bytes_ = 0;  // of scratch
  uint64_t ring_rows_ = 0, ring_stride_ = 0;
  Buffer scratch_;
};

// Where an output pixel stands between two source pixels.
struct Between {
  uint32_t low, high;
  float low_weight, high_weight;
};
Between PlainTaps(uint32_t output, float begin, float scale, uint32_t source) {
  const float at = std::max(begin + scale * (static_cast<float>(output) + 0.5f) - 0.5f, 0.0f);
  const uint32_t low = std::min(static_cast<uint32_t>(at), source - 1);
  const float high_weight = std::min(at - static_cast<float>(low), 1.0f);
  return {low, std::min(low + 1, source - 1), 1.0f - high_weight, high_weight};
}

// Four pixels per output pixel: not worth a kernel.
void PlainRow(const ImageView& source, const Box& box, uint32_t y, Image& out) {
  const float x_scale = (box.right - box.left) / static_cast<float>(out.width);
  const float y_scale = (box.bottom - box.top) / static_cast<float>(out.height);
  const Between rows = PlainTaps(y, box.top, y_scale, source.height);
  const uint8_t* upper = source.row(rows.low);
  const uint8_t* lower = source.row(rows.high);
  uint8_t* pixel = out.row(y);
  for (uint32_t x = 0; x < out.width; ++x, pixel += 3) {
    const Between columns = PlainTaps(x, box.left, x_scale, source.width);
    const size_t left = size_t{3} * columns.low, right = size_t{3} * columns.high;
    for (size_t c = 0; c < 3; ++c) {
      const float above = columns.low_weight * upper[left + c] + columns.high_weight * upper[right + c];
      const float below = columns.low_weight * lower[left + c] + columns.high_weight * lower[right + c];
      // Weights add up to 1, so that the sum stays in 0..255 but for rounding.
      const float sum = __builtin_rintf(rows.low_weight * above + rows.high_weight * below);
      pixel[c] = static_cast<uint8_t>(std::clamp(sum, 0.0f, 255.0f));
    }
  }
}

}  // namespace

Result<Image> Resize(const ImageView& source, const ResizeOptions& options, const PixelKernels& kernels,
                     ThreadPool* pool) {
  ImageLimits any;
  any.max_pixels = UINT64_MAX;
  MOTE_RETURN_IF_ERROR(CheckImageSize(source.width, source.height, any));
  const Box box = options.box.value_or(Box{0, 0, static_cast<float>(source.width), static_cast<float>(source.height)});
  // Written so that NaN fails.
  if (!(box.left >= 0 && box.left < box.right && box.right <= static_cast<float>(source.width) && box.top >= 0 &&
        box.top < box.bottom && box.bottom <= static_cast<float>(source.height))) {
    return Error(Code::kInvalidArgument, "the box (%g, %g)-(%g, %g) is empty or outside of a picture of %u x %u",
                 static_cast<double>(box.left), static_cast<double>(box.top), static_cast<double>(box.right),
                 static_cast<double>(box.bottom), source.width, source.height);
  }
  auto created = CreateImage(options.width, options.height, options.limits);
  if (!created.ok()) return created.status().Within("resizing");
  Image out = std::move(created).value();
  if (options.filter == Filter::kPlainBilinear) {
    ForRows(pool, out.height, [&](uint32_t first, uint32_t end, uint64_t) {
      for (uint32_t y = first; y < end; ++y) PlainRow(source, box, y, out);
    });
    return out;
  }
  TwoPasses passes(source, kernels, out);
  MOTE_RETURN_IF_ERROR(passes.Prepare(options.filter, box, pool == nullptr ? 1 : pool->num_workers()));
  ForRows(pool, out.height, [&](uint32_t first, uint32_t end, uint64_t worker) { passes.Run(first, end, worker); });
  return out;
}

}  // namespace mote
