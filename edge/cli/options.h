// Options that several commands share, and the checks of their ranges.
#ifndef MOTE_EDGE_CLI_OPTIONS_H_
#define MOTE_EDGE_CLI_OPTIONS_H_

#include <stdint.h>

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "engine/api/mote.h"

namespace mote::cli {

// `low` to `high`, told with the option's name: "--top-p is 3; it must be 0 to 1". Open at the lower end where `above`.
CLI::Validator Within(double low, double high, bool above = false);
// The same for whole numbers, which are decimal: the parser itself would take 010 for eight. For transform(), not
// check(), as it rewrites the number.
CLI::Validator WholeWithin(int64_t low, int64_t high);
// How many, of what a text holds: 1 or more, or -1 for all. None at all gives no result.
CLI::Validator CountOrAll();

struct ModelOptions {
  std::string path;
  int threads = 0;
  uint32_t context = 0;
  uint32_t batch = 512;
  std::string memory_limit;
  bool verbose = false;
  std::string cache_type_k = "f16";
  std::string cache_type_v = "f16";
  std::string device = "auto";
  std::string gpu_layers = "auto";
  bool dynamic_sparsity = false;
  bool fast_prompts = false;
  bool persistent_steps = false;
  std::string autotune = "on";      // what of it is remembered, and whether: edge/cli/tuning_file.h
  std::string split;                // empty: the model is this process's alone
  const mote_link* link = nullptr;  // SplitGuard sets it

  // MODEL. Not required, so that the missing one can be told in our own words: see path_or_usage().
  void AddPath(CLI::App& command);
  void AddThreads(CLI::App& command);
  void AddAll(CLI::App& command);  // MODEL, threads, context, batch, cache types, device, memory limit, verbose
  void AddSplit(CLI::App& command);
  // The path; empty where none was given and the program has a model of its own, which stands for it. Wrong words where
  // it has none.
  const std::string& PathOrUsage(const char* command) const;
  // For people: the path, or the built-in model's name.
  std::string Name() const;
  // As the C API wants them. MOTE_ISA is read here: the library itself looks at no environment. The pointers in the
  // result are valid while this object is.
  mote_model_params Params() const;
  // What a model that was loaded with Params has found out (mote_model_tuning), for the next run.
  void KeepTuning(const std::string& lines) const;

 private:
  mutable std::string isa_;
  mutable std::string tuning_;
};

// The value of MOTE_ISA, checked against what this build and CPU can run; empty if unset.
std::string ForcedIsa();
// The value of MOTE_SPARSE, auto, sparse or dense: how block-sparse matrices are multiplied with.
mote_sparse_path ForcedSparsePath();

struct SamplingFlags {
  float temperature = 0.8f;
  int top_k = 40;
  float top_p = 0.95f;
  float min_p = 0.05f;
  float repeat_penalty = 1.0f;
  int penalty_window = 64;
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  std::string seed = "-1";              // -1: a new one each time
  std::vector<std::string> logit_bias;  // "ID=VALUE"

  void Add(CLI::App& command);
};

// "4G", "512 MiB", "1000000"; WrongWords names the option otherwise. 0: empty.
uint64_t ParseBytes(const std::string& option, const std::string& text);

// Failure with the message of a call that failed; some codes add what to try.
[[noreturn]] void FailWith(mote_status code, const std::string& message);

}  // namespace mote::cli

#endif  // MOTE_EDGE_CLI_OPTIONS_H_
