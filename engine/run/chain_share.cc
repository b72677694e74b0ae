#include "engine/run/chain_share.h"

#include <stdlib.h>

#include <algorithm>

namespace mote {
namespace {

// Numbers between colons; empty where there is anything else.
std::vector<uint32_t> ReadNumbers(const std::string& text) {
  std::vector<uint32_t> numbers;
  size_t at = 0;
  while (at <= text.size()) {
    const size_t end = std::min(text.find(':', at), text.size());
    const std::string word = text.substr(at, end - at);
    if (word.empty() || word.size() > 6 || word.find_first_not_of("0123456789") != std::string::npos) return {};
    numbers.push_back(static_cast<uint32_t>(atol(word.c_str())));
    at = end + 1;
  }
  return numbers;
}

// Layers that end by `seconds` on a rank with `least` bytes to read beside them, at most `most`, at least one.
uint32_t LayersBy(double seconds, double speed, uint64_t beside, uint64_t layer, uint32_t most) {
  const double bytes = seconds * speed - static_cast<double>(beside);
  const double layers = bytes / static_cast<double>(std::max<uint64_t>(layer, 1));
  return static_cast<uint32_t>(std::clamp(layers, 1.0, static_cast<double>(std::max(most, 1u))));
}

unsigned long long Mebibytes(uint64_t bytes) {
  return static_cast<unsigned long long>(bytes >> 20);
}

class AutoShare {
 public:
  AutoShare(std::span<const ChainAbility> ranks, const ChainLoad& load) : ranks_(ranks), load_(load) {}

  Result<std::vector<uint32_t>> Choose() {
    MOTE_RETURN_IF_ERROR(ReadMemories());
    // The shortest time in which all layers are done, by halving; 60 steps are finer than any clock.
    double least = 0, enough = 1;
    while (LayersWithin(enough) < load_.layers && enough < 1e12) enough *= 2;
    for (int i = 0; i < 60; ++i) {
      const double middle = (least + enough) / 2;
      (LayersWithin(middle) < load_.layers ? least : enough) = middle;
    }
    LayersWithin(enough);
    // Too many now by those that end at the same moment: taken from who would be the last to end.
    uint32_t sum = 0;
    for (const uint32_t layers : layers_) sum += layers;
    for (; sum > load_.layers; --sum) {
      size_t slowest = SIZE_MAX;
      for (size_t rank = 0; rank < layers_.size(); ++rank) {
        if (layers_[rank] == 1) continue;
        if (slowest == SIZE_MAX || Seconds(rank) > Seconds(slowest)) slowest = rank;
      }
      --layers_[slowest];
    }
    return layers_;
  }

 private:
  Status ReadMemories() {
    uint64_t sum = 0;
    std::string table;
    for (size_t rank = 0; rank < ranks_.size(); ++rank) {
      const uint64_t beside = load_.beside_bytes + Beside(rank) + (rank == 0 ? load_.first_bytes : 0);
      const uint64_t free_bytes = ranks_[rank].free_bytes;
      uint64_t most = load_.layers;
      if (free_bytes != 0) {
        const uint64_t room = free_bytes - std::min(free_bytes, beside);
        most = std::min<uint64_t>(most, room / std::max<uint64_t>(load_.layer_bytes, 1));
      }
      most_.push_back(static_cast<uint32_t>(most));
      sum += most;
      const Status line =
          Error(Code::kOutOfMemory, "%srank %zu has %llu MiB free, %llu MiB beside layers, room for %u of them",
                table.empty() ? "" : "; ", rank, Mebibytes(free_bytes), Mebibytes(beside), most_.back());
      table += line.message();
    }
    if (sum >= load_.layers && *std::min_element(most_.begin(), most_.end()) > 0) return Status();
    return Error(Code::kOutOfMemory, "the model's %u layers of %llu MiB do not fit: %s", load_.layers,
                 Mebibytes(load_.layer_bytes), table.c_str());
  }

  uint64_t Beside(size_t rank) const { return rank + 1 == ranks_.size() ? load_.last_bytes : 0; }
  double Seconds(size_t rank) const {
    return static_cast<double>(layers_[rank] * load_.layer_bytes + Beside(rank)) / Speed(rank);
  }
  double Speed(size_t rank) const { return std::max(ranks_[rank].bytes_per_second, 1.0); }

  uint32_t LayersWithin(double seconds) {
    layers_.clear();
    uint32_t sum = 0;
    for (size_t rank = 0; rank < ranks_.size(); ++rank) {
      layers_.push_back(LayersBy(seconds, Speed(rank), Beside(rank), load_.layer_bytes, most_[rank]));
      sum += layers_.back();
    }
    return sum;
  }

  std::span<const ChainAbility> ranks_;
  const ChainLoad& load_;
  std::vector<uint32_t> most_;
  std::vector<uint32_t> layers_;
};

}  // namespace

Result<std::vector<uint32_t>> ShareLayers(const std::string& split, std::span<const ChainAbility> ranks,
                                          const ChainLoad& load) {
  if (load.layers < ranks.size()) {
    return Error(Code::kInvalidArgument, "%zu processes share %u layers; each needs at least one", ranks.size(),
                 load.layers);
  }
  if (split == "auto") return AutoShare(ranks, load).Choose();
  const std::vector<uint32_t> numbers = ReadNumbers(split);
  if (numbers.size() == 1 && ranks.size() == 2) {
    if (numbers[0] > 0 && numbers[0] < load.layers) return std::vector<uint32_t>{numbers[0], load.layers - numbers[0]};
    return Error(Code::kInvalidArgument, "split \"%s\": 1 to %u of the model's %u layers can be here", split.c_str(),
                 load.layers - 1, load.layers);
  }
  if (numbers.size() != ranks.size() || std::find(numbers.begin(), numbers.end(), 0u) != numbers.end()) {
    return Error(Code::kInvalidArgument,
                 "split \"%s\"; auto, a number of layers (of two processes) or %zu shares as 3:2 are possible",
                 split.substr(0, 64).c_str(), ranks.size());
  }
  // Rounded down, at least one each; what is left goes to those with the largest shares, one by one.
  uint64_t whole = 0;
  for (const uint32_t number : numbers) whole += number;
  std::vector<uint32_t> layers;
  uint32_t sum = 0;
  for (const uint32_t number : numbers) {
    layers.push_back(std::max(1u, static_cast<uint32_t>(uint64_t{number} * load.layers / whole)));
    sum += layers.back();
  }
  const size_t largest = static_cast<size_t>(std::max_element(numbers.begin(), numbers.end()) - numbers.begin());
  for (; sum < load.layers; ++sum) ++layers[largest];
  for (; sum > load.layers; --sum) --*std::max_element(layers.begin(), layers.end());
  return layers;
}

}  // namespace mote
