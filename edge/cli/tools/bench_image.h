// The img row of mote bench: a picture through the model's tower.
#ifndef MOTE_EDGE_CLI_TOOLS_BENCH_IMAGE_H_
#define MOTE_EDGE_CLI_TOOLS_BENCH_IMAGE_H_

#include <stdint.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "edge/cli/tools/model_file.h"
#include "engine/api/mote.h"

namespace mote::cli {

class ImageBench {
 public:
  // Gives the model the vision file at `path` (empty: the built-in model's). `size`: pixels a side of the picture, 0:
  // what the tower was made for.
  ImageBench(mote_model* model, Platform& platform, const std::string& path, uint32_t size);

  // One picture that nothing is known of. Returns the rows that the decoder would get per second.
  double Measure(bool counts);

  std::string name() const { return "img" + std::to_string(size_); }
  // Of the tower alone, median, in operations per second.
  double speed() const;
  bool mostly_int8() const { return work_.mostly_int8; }
  bool mostly_plain() const { return work_.mostly_plain; }
  // A matrix unit does not take such towers (targets/cpu/weights.h).
  bool has_sparse() const { return !file_->sparse_tensors().empty(); }
  // "img512: 120.3 ms per image, ..."
  std::string Describe() const;
  // Fields of its row; for other rows, the same as null.
  static void AddToJson(const ImageBench* bench, nlohmann::ordered_json* row);

 private:
  struct Sample {
    double preprocess_seconds = 0;
    double encode_seconds = 0;
  };
  double MedianOf(double Sample::*field) const;
  double MedianSeconds() const;

  mote_model* model_;
  std::unique_ptr<GgufFile> file_;
  TowerParams tower_;
  uint32_t size_ = 0;
  std::vector<uint8_t> pixels_;
  mote_prompt_info info_ = {};  // of the latest picture
  TowerWork work_;
  std::vector<Sample> samples_;
};

}  // namespace mote::cli

#endif  // MOTE_EDGE_CLI_TOOLS_BENCH_IMAGE_H_
