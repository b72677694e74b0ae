// What `mote run` was told, for the one-shot and for the chat.
#ifndef MOTE_EDGE_CLI_RUN_OPTIONS_H_
#define MOTE_EDGE_CLI_RUN_OPTIONS_H_

#include <string>
#include <vector>

#include "edge/cli/model_loader.h"
#include "edge/cli/options.h"

namespace mote::cli {

struct RunOptions {
  ModelOptions model;
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

// "42 prompt tokens (30 cached), 1234.5/s; 100 tokens, 89.1/s; stop"
std::string Summary(const Generation& generation);

// Talks until the person leaves.
int Chat(const RunOptions& options, const Model& model);

}  // namespace mote::cli

#endif  // MOTE_EDGE_CLI_RUN_OPTIONS_H_
