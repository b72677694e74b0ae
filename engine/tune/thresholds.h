// How small the activations of a model are: which thresholds make so many of them zero.
#ifndef MOTE_ENGINE_TUNE_THRESHOLDS_H_
#define MOTE_ENGINE_TUNE_THRESHOLDS_H_

#include <stdint.h>

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/status.h"
#include "engine/graph/backend.h"

namespace mote::tune {

struct ActivationThreshold {
  float threshold = 0;
  double share = 0;  // of the runs seen, those with no magnitude above the threshold
};

// Counts, for each matrix, the largest magnitudes of runs of `width` activations (ActivationRules) by size: in bins of
// 1/128 of their value.
class ThresholdCollector {
 public:
  // `names`: the tensors to look at.
  ThresholdCollector(uint32_t width, std::set<std::string> names) : width_(width), names_(std::move(names)) {}
  ThresholdCollector(const ThresholdCollector&) = delete;
  ThresholdCollector& operator=(const ThresholdCollector&) = delete;

  // The program must not run longer than this lives, or be told to observe nothing first.
  ActivationObserver observer() { return {Observe, this}; }
  // kMalformed where an activation was not finite.
  Status status() const { return status_; }
  bool Saw(const std::string& name) const { return counts_.contains(name); }
  // The largest threshold with which no more than `wanted` (0 to 1) of the runs are zero, as far as they are not zero
  // anyway. Of a matrix that was seen.
  ActivationThreshold Find(const std::string& name, double wanted) const;

 private:
  static void Observe(void* self, const Weight& weight, uint32_t matrix, std::span<const float* const> rows);
  void Count(const float* row, uint64_t cols, std::vector<uint64_t>* counts);

  const uint32_t width_;
  const std::set<std::string> names_;
  std::map<std::string, std::vector<uint64_t>> counts_;
  Status status_;  // the first failure
};

}  // namespace mote::tune

#endif  // MOTE_ENGINE_TUNE_THRESHOLDS_H_
