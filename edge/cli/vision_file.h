// The vision file of a model ("mmproj"): the one that was told, or the one that lies beside it.
#ifndef MOTE_EDGE_CLI_VISION_FILE_H_
#define MOTE_EDGE_CLI_VISION_FILE_H_

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "engine/api/mote.hpp"

namespace mote::cli {

struct VisionFlags {
  std::string mmproj;
  bool no_mmproj = false;
  uint32_t max_tokens = 0;  // of a view

  void Add(CLI::App& command);
  // Wrong words about vision files are told before the work begins.
  void Check(bool has_images) const;
  VisionOptions Options() const;
};

// Adds --image, which may be given several times.
void AddImages(CLI::App& command, std::vector<std::string>* paths);

// Vision files beside a model, the likeliest first: names that are most like the model's, then smaller ones.
std::vector<std::string> VisionFilesBeside(const std::string& model_path);

// Failure where images will find no vision file: told before a large model is loaded.
void RequireVisionFile(const VisionFlags& flags, const std::string& model_path);

// Gives the model its vision file; says on stderr which one, where it was found, and returns its path. Failure where
// there is none that fits. An empty model_path stands for the built-in model, which brings its own: the path is empty.
std::string AttachVision(const VisionFlags& flags, const std::string& model_path, Model* model);

// The text with a mark for each image: where it has none, in front.
std::string WithMarks(const std::string& text, size_t images);

}  // namespace mote::cli

#endif  // MOTE_EDGE_CLI_VISION_FILE_H_
