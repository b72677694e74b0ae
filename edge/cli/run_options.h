// What `mote run` was told, for the one-shot and for the chat.
#ifndef MOTE_EDGE_CLI_RUN_OPTIONS_H_
#define MOTE_EDGE_CLI_RUN_OPTIONS_H_

#include <string>
#include <vector>

#include "edge/cli/model_loader.h"
#include "edge/cli/options.h"
#include "edge/cli/picture.h"
#include "edge/cli/vision_file.h"

namespace mote::cli {

struct RunOptions {
  ModelOptions model;
  VisionFlags vision;
  std::vector<std::string> images;
  SamplingFlags sampling;
  std::string prompt;
  std::string prompt_file;
  std::string system;
  int max_tokens = -1;
  std::vector<std::string> stop;
  bool ignore_eos = false;
  bool json = false;
  bool no_chat = false;

  GenerateOptions Generate() const;
};

// "prompt 42 tokens (30 known), 1234.5 tokens/s; answer 100 tokens, 89.1 tokens/s; stop", and before it, where the
// prompt has images, what each stage of them took. `decode_seconds`: from files to pixels.
std::string Summary(const Generation& generation, const mote_prompt_info& prompt, double decode_seconds);

// Reads images with a progress line, until an interrupt comes.
PromptOptions ReadingImages(Progress* progress, const Session& session);

// Talks until the person leaves. `pictures` go into the first message; `vision_path`: the vision file that is loaded.
int Chat(const RunOptions& options, Model& model, std::string vision_path, std::vector<Picture> pictures);

}  // namespace mote::cli

#endif  // MOTE_EDGE_CLI_RUN_OPTIONS_H_
