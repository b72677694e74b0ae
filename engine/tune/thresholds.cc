#include "engine/tune/thresholds.h"

#include <math.h>
#include <string.h>

#include <algorithm>

namespace mote::tune {
namespace {

// A float's bits, without those of the mantissa's end: magnitudes in their order.
constexpr int kDropped = 16;
constexpr uint32_t kBins = 0x7F80u;  // up to infinity

uint32_t BinOf(float magnitude) {
  uint32_t bits;
  memcpy(&bits, &magnitude, sizeof(bits));
  return bits >> kDropped;
}

// The largest magnitude of a bin.
float TopOf(uint32_t bin) {
  const uint32_t bits = ((bin + 1) << kDropped) - 1;
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

}  // namespace

void ThresholdCollector::Count(const float* row, uint64_t cols, std::vector<uint64_t>* counts) {
  for (uint64_t begin = 0; begin < cols; begin += width_) {
    float largest = 0;
    for (uint64_t i = begin; i < std::min(cols, begin + width_); ++i) {
      if (!isfinite(row[i])) {
        status_ = Error(Code::kMalformed, "an activation is not finite: the model cannot be calibrated");
        return;
      }
      largest = std::max(largest, fabsf(row[i]));
    }
    ++(*counts)[BinOf(largest)];
  }
}

void ThresholdCollector::Observe(void* self, const Weight& weight, uint32_t, std::span<const float* const> rows) {
  ThresholdCollector& collector = *static_cast<ThresholdCollector*>(self);
  if (rows.empty() || !collector.status_.ok() || !collector.names_.contains(weight.tensor->name)) return;
  std::vector<uint64_t>& counts = collector.counts_[weight.tensor->name];
  counts.resize(kBins);
  for (const float* row : rows) collector.Count(row, weight.cols, &counts);
}

ActivationThreshold ThresholdCollector::Find(const std::string& name, double wanted) const {
  const std::vector<uint64_t>& counts = counts_.at(name);
  uint64_t all = 0;
  for (const uint64_t count : counts) all += count;
  const uint64_t most = static_cast<uint64_t>(wanted * static_cast<double>(all));
  uint64_t below = 0;
  uint32_t bin = 0;
  while (bin < kBins && below + counts[bin] <= most) below += counts[bin++];
  while (bin > 1 && counts[bin - 1] == 0) --bin;  // no larger than what was seen
  // What is zero already counts, whatever is wanted: it has the first bin, with nothing else above 1e-40.
  const bool none = bin == 0;
  return {none ? 0.0f : TopOf(bin - 1), static_cast<double>(none ? counts[0] : below) / static_cast<double>(all)};
}

}  // namespace mote::tune
