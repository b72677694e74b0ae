// What mote sparsify was asked for.
#ifndef MOTE_EDGE_CLI_TOOLS_SPARSIFY_FLAGS_H_
#define MOTE_EDGE_CLI_TOOLS_SPARSIFY_FLAGS_H_

#include <stdint.h>

#include <optional>
#include <string>
#include <vector>

#include "edge/cli/console.h"
#include "edge/cli/options.h"
#include "engine/core/status.h"

namespace mote::cli {

struct SparsifyFlags {
  std::string in;
  std::string out;
  std::string method;  // empty: reconstruct where there is something to calibrate with, else magnitude
  std::string type = "int8";

  // How much: one of the first three, and patterns beside it.
  double density = 0.5;
  std::string size;
  double max_loss = 0;
  bool has_density = false;
  bool has_max_loss = false;
  std::vector<std::string> layer_densities;  // "PATTERN=DENSITY", or "@FILE" with a line for each
  std::vector<std::string> dense;            // patterns of matrices that stay dense
  std::vector<std::string> also;             // patterns of matrices outside layers that do not

  // Dynamic sparsity instead of sparse weights: this share of the activations becomes zero, `width` by `width`.
  double activations = 0;
  bool has_activations = false;
  uint32_t width = 4;
  bool has_width = false;

  std::string calibration;
  std::string images;
  std::string test;
  std::string test_images;
  int chunks = -1;
  std::vector<std::string> floors;  // "perplexity:X", "accuracy:Y"
  bool keep_failed = false;
  double damping = 0.01;
  uint32_t rounds = 0;

  std::string mmproj;   // of a text model
  std::string decoder;  // of a vision file
  ModelOptions model;   // threads, context, batch
  bool json = false;

  bool calibrates() const { return !calibration.empty() || !images.empty(); }
};

// The least that the result must reach.
struct SparsifyFloors {
  std::optional<double> perplexity;  // at most
  std::optional<double> accuracy;    // at least, percent
};

// Wrong words are told before the work begins. Also fills in the method.
SparsifyFloors CheckSparsifyFlags(SparsifyFlags* flags);

// The value, or the failure of the command.
void OrFailure(const Status& status);
template <class T>
T OrFailure(Result<T> result) {
  if (!result.ok()) Fail(result.status().message());
  return std::move(result).value();
}

}  // namespace mote::cli

#endif  // MOTE_EDGE_CLI_TOOLS_SPARSIFY_FLAGS_H_
