#include "engine/vision/resize_taps.h"

#include <math.h>

#include <algorithm>

#include "engine/core/checked.h"
#include "engine/graph/pixel_kernels.h"

namespace mote {
namespace {

double Sinc(double x) {
  constexpr double kPi = 3.14159265358979323846;
  return x == 0 ? 1.0 : sin(x * kPi) / (x * kPi);
}

// Distance from the centre at which a filter ends, in pixels of the source where nothing shrinks.
double SupportOf(Filter filter) {
  switch (filter) {
    case Filter::kBox:
      return 0.5;
    case Filter::kBilinear:
    case Filter::kPlainBilinear:
      return 1;
    case Filter::kBicubic:
      return 2;
    case Filter::kLanczos:
      return 3;
  }
  return 0;
}

double WeightAt(Filter filter, double x) {
  const double d = fabs(x);
  switch (filter) {
    case Filter::kBox:
      return x > -0.5 && x <= 0.5 ? 1 : 0;  // the pixel on the border counts once
    case Filter::kBilinear:
    case Filter::kPlainBilinear:
      return d < 1 ? 1 - d : 0;
    case Filter::kBicubic: {  // Keys's kernel, in Horner form
      constexpr double a = -0.5;
      if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
      if (d < 2) return (((d - 5) * d + 8) * d - 4) * a;
      return 0;
    }
    case Filter::kLanczos:
      return x >= -3 && x < 3 ? Sinc(x) * Sinc(x / 3) : 0;
  }
  return 0;
}

}  // namespace

Result<ResizeTaps> MakeResizeTaps(Filter filter, uint32_t source, float begin, float end, uint32_t outputs) {
  // The span as a float, then everything in double: Pillow's order, which decides between neighbouring weights.
  const double scale = static_cast<double>(end - begin) / outputs;
  const double stretch = std::max(scale, 1.0);
  const double support = SupportOf(filter) * stretch;
  const size_t most = static_cast<size_t>(ceil(support)) * 2 + 1;
  ResizeTaps taps;
  taps.stride = 2 + std::min<size_t>(most, source);
  const Checked64 bytes = Checked64(outputs) * taps.stride * sizeof(int32_t);
  if (!bytes.ok()) return Error(Code::kOutOfMemory, "the weights of a resize have 2^64 bytes or more");
  MOTE_ASSIGN_OR_RETURN(taps.memory, Buffer::Create(bytes.value(), "the weights of a resize"));
  MOTE_ASSIGN_OR_RETURN(Buffer exact_memory, Buffer::Create(most * sizeof(double), "the weights of a resize"));
  double* exact = exact_memory.As<double>();
  for (uint32_t x = 0; x < outputs; ++x) {
    const double center = begin + (x + 0.5) * scale;
    const uint32_t first = static_cast<uint32_t>(std::max(center - support + 0.5, 0.0));
    const uint32_t last = static_cast<uint32_t>(std::min<double>(center + support + 0.5, source));
    const uint32_t count = last - first;
    double sum = 0;
    for (uint32_t j = 0; j < count; ++j) {
      exact[j] = WeightAt(filter, (j + first - center + 0.5) * (1.0 / stretch));
      sum += exact[j];
    }
    int32_t* out = taps.memory.As<int32_t>() + x * taps.stride;
    out[0] = static_cast<int32_t>(first);
    out[1] = static_cast<int32_t>(count);
    for (uint32_t j = 0; j < count; ++j) {
      // To nearest, halves away from zero.
      const double weight = (sum == 0 ? exact[j] : exact[j] / sum) * (1 << kPixelWeightBits);
      out[2 + j] = static_cast<int32_t>(weight < 0 ? weight - 0.5 : weight + 0.5);
    }
    taps.max_count = std::max(taps.max_count, count);
  }
  return taps;
}

}  // namespace mote
